//! What an agent writes down of its calls, one line each: the hub's promises with what was called and what came of it, calls that
//! got no answer, and records that it was told of. The agent writes these lines, and whoever reconciles reads them.
//!
//! ```text
//! under_way                + {since} {called}, before it is made; - {since} when its end is written down
//! waiting, asked.YYYY-MM   {event} {since} {receipt} {called} {outcome} {at}
//! kept.YYYY-MM             the same, and the place in the log
//! broken                   the same, and why
//! lost.YYYY-MM             {called} {since} {until}
//! received.YYYY-MM         {record} {at} {made} {event}; or + {at}, = {at}, - {at}, 0 {at}
//! ```
//!
//! What is called is an RPC by its full name, or a report of a refusal ([`Called`]). Lines from before there were methods have none. A line that can't be read is passed over: the last one of a file that grows
//! may be cut off.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use super::called::Called;

/// What an agent writes for a call that the hub carried out.
pub const OK: &str = "ok";
/// Why a promise for two calls is broken.
const OF_ANOTHER: &str = "the receipt of another call";
/// No call at the hub takes longer, microseconds: it carries a record.
const LONGEST: i64 = 300_000_000;

/// What an agent saw of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub called: Called,
    /// [`OK`], or the name of the gRPC code.
    pub outcome: String,
    /// When the answer came, microseconds, by the agent's clock.
    pub at: i64,
}

/// A promise: an event, and the receipt for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Id of the event.
    pub event_id: String,
    /// When the call began, microseconds, by the agent's clock.
    pub since: i64,
    /// As the hub gave it.
    pub receipt: Vec<u8>,
    /// Nothing in lines from before this was written down.
    pub call: Option<Call>,
}

/// What the agent found out about a promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Not asked after yet, or it never will be.
    Open,
    /// Proven, at this place in the log.
    Kept(u64),
    /// Broken, and why.
    Broken(String),
}

/// A call that got no answer: it may stand in the log all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// What was called.
    pub called: Called,
    /// When it began, microseconds.
    pub since: i64,
    /// When it was given up, microseconds.
    pub until: i64,
}

/// How an agent was told of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<'l> {
    /// When, microseconds.
    pub at: i64,
    /// Since when the hub says it had been there, microseconds.
    pub made: i64,
    /// events/{uuid} by which it came there; empty where the hub did not say so.
    pub event: &'l str,
}

/// What an agent writes of its inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbox<'l> {
    /// It was told of a record, by name.
    Record(&'l str, Told<'l>),
    /// A stream of the inbox began.
    Opened(i64),
    /// There still is one: an agent that is killed writes nothing.
    Open(i64),
    /// A stream of the inbox ended.
    Closed(i64),
    /// The agent started: there is no stream.
    Started(i64),
}

/// What an agent wrote down.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// Promises by id of their event.
    pub promises: BTreeMap<String, (Promise, Standing)>,
    /// Calls without an answer.
    pub lost: Vec<Lost>,
    /// Records that the agent was told of, by name: when, and since when they had been there.
    pub told: BTreeMap<String, (i64, i64)>,
    /// By which event they came there, as far as the hub said so: events/{uuid}, by name of the record.
    pub came_by: BTreeMap<String, String>,
    /// Whether the inbox was read until a moment, or from it on.
    read: BTreeMap<i64, bool>,
    /// Streams of the inbox that the last line left open.
    streams: u32,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.event_id, self.since, STANDARD.encode(&self.receipt))?;
        match &self.call {
            Some(Call { called, outcome, at }) => write!(f, " {called} {outcome} {at}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.called, self.since, self.until)
    }
}

impl fmt::Display for Inbox<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(name, Told { at, made, event: "" }) => write!(f, "{name} {at} {made}"),
            Self::Record(name, Told { at, made, event }) => write!(f, "{name} {at} {made} {event}"),
            Self::Opened(at) => write!(f, "+ {at}"),
            Self::Open(at) => write!(f, "= {at}"),
            Self::Closed(at) => write!(f, "- {at}"),
            Self::Started(at) => write!(f, "0 {at}"),
        }
    }
}

impl Promise {
    /// Reads a line; gives what follows the promise too: a place, or a reason.
    pub fn read(line: &str) -> Option<(Self, &str)> {
        let (event_id, rest) = line.split_once(' ')?;
        let (since, rest) = rest.split_once(' ')?;
        let (receipt, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (call, rest) = match Call::read(rest) {
            Some((call, rest)) => (Some(call), rest),
            // A line that breaks off inside the call is not one from before there were calls.
            None if rest.split(' ').next().is_some_and(|word| word.contains('/')) => return None,
            None => (None, rest),
        };
        let receipt = STANDARD.decode(receipt).ok()?;
        Some((Self { event_id: event_id.to_owned(), since: since.parse().ok()?, receipt, call }, rest))
    }
}

impl Call {
    fn read(text: &str) -> Option<(Self, &str)> {
        let (called, rest) = text.split_once(' ').and_then(|(word, rest)| Some((Called::read(word)?, rest)))?;
        let (outcome, rest) = rest.split_once(' ')?;
        let (at, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        Some((Self { called, outcome: outcome.to_owned(), at: at.parse().ok()? }, rest))
    }
}

impl<'l> Inbox<'l> {
    /// Reads a line.
    pub fn read(line: &'l str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        Some(match word {
            "+" => Self::Opened(rest.parse().ok()?),
            "=" => Self::Open(rest.parse().ok()?),
            "-" => Self::Closed(rest.parse().ok()?),
            "0" => Self::Started(rest.parse().ok()?),
            name => {
                let (at, rest) = rest.split_once(' ')?;
                let (made, event) = rest.split_once(' ').unwrap_or((rest, ""));
                name.strip_prefix("records/")?;
                Self::Record(name, Told { at: at.parse().ok()?, made: made.parse().ok()?, event })
            }
        })
    }
}

/// Lines that end: what comes after the last end of a line was cut off, or is being written.
fn whole(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

impl Journal {
    /// Adds `waiting`, or a month of `asked`.
    pub fn add_open(&mut self, text: &str) {
        self.add(text, |_| Some(Standing::Open));
    }

    /// Adds a month of `kept`.
    pub fn add_kept(&mut self, text: &str) {
        self.add(text, |place| place.parse().ok().map(Standing::Kept));
    }

    /// Adds `broken`.
    pub fn add_broken(&mut self, text: &str) {
        self.add(text, |why| Some(Standing::Broken(why.to_owned())));
    }

    /// Adds a month of `lost`.
    pub fn add_lost(&mut self, text: &str) {
        self.lost.extend(whole(text).filter_map(|line| {
            let mut words = line.split(' ');
            let (called, since, until) = (Called::read(words.next()?)?, words.next()?, words.next()?);
            Some(Lost { called, since: since.parse().ok()?, until: until.parse().ok()? })
        }));
    }

    /// Adds `under_way`: what has begun and not ended counts as a call without an answer.
    pub fn add_under_way(&mut self, text: &str) {
        let mut open = BTreeMap::new();
        for line in whole(text) {
            match line.split_once(' ') {
                Some(("+", rest)) => {
                    let begun =
                        rest.split_once(' ').and_then(|(at, word)| Some((at.parse().ok()?, Called::read(word)?)));
                    open.extend(begun);
                }
                Some(("-", at)) => drop(at.parse::<i64>().map(|at| open.remove(&at))),
                _ => {}
            }
        }
        let lost = |(since, called)| Lost { called, since, until: since.saturating_add(LONGEST) };
        self.lost.extend(open.into_iter().map(lost));
    }

    /// Adds a month of `received`, after the months before it.
    pub fn add_received(&mut self, text: &str) {
        for line in whole(text).filter_map(Inbox::read) {
            let open = self.streams;
            let (at, read) = match line {
                Inbox::Record(name, Told { at, made, event }) => {
                    self.told.entry(name.to_owned()).or_insert((at, made));
                    if !event.is_empty() {
                        self.came_by.entry(name.to_owned()).or_insert_with(|| event.to_owned());
                    }
                    (at, open > 0)
                }
                Inbox::Opened(at) => {
                    self.streams = open.saturating_add(1);
                    (at, true)
                }
                Inbox::Open(at) => (at, open > 0),
                Inbox::Closed(at) => {
                    self.streams = open.saturating_sub(1);
                    (at, open > 0)
                }
                Inbox::Started(at) => {
                    self.streams = 0;
                    (at, false)
                }
            };
            *self.read.entry(at).or_default() |= read;
        }
    }

    /// Whether the inbox was read at some moment after this one, or at it.
    pub fn has_listened_since(&self, at: i64) -> bool {
        self.read.range(at..).any(|(_, read)| *read)
    }

    /// What the agent found out last counts.
    fn add(&mut self, text: &str, standing: impl Fn(&str) -> Option<Standing>) {
        for line in whole(text) {
            let read = Promise::read(line).and_then(|(promise, rest)| Some((promise, standing(rest)?)));
            let Some((promise, standing)) = read else { continue };
            let known = self.promises.get(&promise.event_id);
            // Each call has an event of its own.
            let is_of_another = known.is_some_and(|(before, _)| before.since != promise.since);
            let standing = if is_of_another { Standing::Broken(OF_ANOTHER.to_owned()) } else { standing };
            if known.is_none_or(|(_, before)| *before < standing) {
                self.promises.insert(promise.event_id.clone(), (promise, standing));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(call: bool) -> Promise {
        let call = call.then(|| Call {
            called: Called::Rpc("sluis.v1.Cases/GetCase".into()),
            outcome: "PermissionDenied".into(),
            at: 9,
        });
        Promise { event_id: "e".into(), since: 7, receipt: b"receipt".to_vec(), call }
    }

    #[test]
    fn lines_with_and_without_a_method_are_read_back() {
        for call in [true, false] {
            let promise = promise(call);
            for rest in ["", "12", "the proof does not hold"] {
                let line = format!("{promise} {rest}");
                assert_eq!(Promise::read(line.trim_end()), Some((promise.clone(), rest)), "{line}");
            }
        }
        // As agents wrote them before: a place, or a reason.
        let mut journal = Journal::default();
        journal.add_kept("e 7 cmVjZWlwdA== 12\n");
        journal.add_broken("f 7 cmVjZWlwdA== no proof within the time that was promised\n");
        assert_eq!(journal.promises["e"], (promise(false), Standing::Kept(12)));
        let why = "no proof within the time that was promised".to_owned();
        assert_eq!(journal.promises["f"].1, Standing::Broken(why));
    }

    #[test]
    fn what_is_cut_off_is_passed_over() {
        let line = format!("{} 12\n", promise(true));
        for length in 0..line.len() {
            let mut journal = Journal::default();
            journal.add_kept(line.get(..length).unwrap());
            journal.add_open(line.get(..length).unwrap());
            journal.add_lost("sluis.v1.Cases/GetCase 3 4\n".get(..length.min(26)).unwrap());
            journal.add_received("records/r 1 2\n".get(..length.min(13)).unwrap());
            assert!(journal.promises.is_empty() && journal.lost.is_empty() && journal.told.is_empty(), "{length}");
        }
        for line in ["", "e", "e 7", "e x cmVjZWlwdA==", "e 7 !", "e 7 cmVjZWlwdA== a/b", "e 7 cmVjZWlwdA== a/b ok x"] {
            assert_eq!(Promise::read(line), None, "{line}");
        }
    }

    #[test]
    fn what_was_found_out_last_counts() {
        let mut journal = Journal::default();
        journal.add_kept(&format!("{} 12\n", promise(true)));
        journal.add_open(&format!("{}\n", promise(true)));
        assert_eq!(journal.promises["e"].1, Standing::Kept(12));
        journal.add_broken(&format!("{} why\n", promise(true)));
        assert_eq!(journal.promises["e"].1, Standing::Broken("why".into()));
        // One event is the answer to one call.
        let other = Promise { since: 8, ..promise(true) };
        for (first, second) in [(promise(true), &other), (other.clone(), &promise(true))] {
            let mut journal = Journal::default();
            journal.add_kept(&format!("{first} 12\n"));
            journal.add_open(&format!("{second}\n"));
            assert_eq!(journal.promises["e"], (second.clone(), Standing::Broken(OF_ANOTHER.into())));
        }
    }

    #[test]
    fn an_inbox_is_read_between_its_opening_and_its_end() {
        let mut journal = Journal::default();
        journal.add_received("0 1\n+ 10\nrecords/a 12 11\nrecords/a 13 11\n+ 15\n- 20\n- 30\n");
        // Killed, it does not say when.
        journal.add_received("+ 40\n= 43\n0 50\n= 51\n");
        assert_eq!(journal.told["records/a"], (12, 11));
        journal.add_received("records/a 60 11 events/e\nrecords/b 60 59 events/f\nrecords/b 61 59 events/g\n");
        assert_eq!((journal.told["records/a"], &*journal.came_by["records/b"]), ((12, 11), "events/f"));
        for (at, listened) in
            [(5, true), (10, true), (25, true), (31, true), (40, true), (43, true), (44, false), (51, false)]
        {
            assert_eq!(journal.has_listened_since(at), listened, "{at}");
        }
        for line in ["", "+", "+ x", "= x", "cases/a 1 2", "records/a 1"] {
            assert_eq!(Inbox::read(line), None, "{line}");
        }
    }
}
