//! The log's word, and whether it was kept. With every answer the hub gives a receipt: this will be in the log. The agent keeps
//! it, asks for the proof before long, and says ALARM when there is none or another one: a hub that drops or alters an event
//! is found out by the very partner to whom it said that the event is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use super::Agent;
use super::nodes::{Again, Node};
use super::refusal::event_of;
use super::spool::private_directory;
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::api::v1::event_proof::State;
use crate::audit::is_of;
use crate::clock::{from_micros, micros};
use crate::redact::log;
use crate::status::RECEIPT;
use crate::tlog::{Policy, Proof, PublicKey, Receipt, record_hash};
use crate::whole_file::replace;

/// Between two looks whether there are proofs.
const LOOK: Duration = Duration::from_secs(20);
/// A receipt is asked after when it is this old, microseconds: a proof takes a second or two.
const YOUNG: i64 = 3_000_000;
/// A promise for later than this is none, seconds.
const LONGEST: u32 = 7 * 24 * 3600;
/// How far this machine's clock may be ahead of the hub's, microseconds.
const TOLERANCE: i64 = 120_000_000;
/// Events in one question.
const AT_ONCE: usize = 100;

/// Receipts of this agent's calls: `waiting` for their proof, `kept.YYYY-MM` with the place that they have in the log, `broken`,
/// and `other` that could not be read under the log's key.
pub(super) struct Receipts {
    log: PublicKey,
    /// Whom a proof's checkpoint must be signed by.
    policy: Policy,
    directory: PathBuf,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    /// By event.
    receipts: BTreeMap<String, Promise>,
    file: File,
}

/// A receipt, and of which event.
#[derive(Debug, Clone, PartialEq)]
struct Promise {
    event_id: String,
    receipt: Receipt,
    /// When it was given, microseconds, by this machine's clock.
    since: i64,
    /// As it was given.
    bytes: Vec<u8>,
}

/// What became of a promise.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    /// At this place.
    Yes(u64),
    /// There is time left.
    NotYet,
    /// There is none, or something else stands there.
    No(&'static str),
}

impl Receipts {
    /// With what waits from before. Readable by the agent alone: it tells when the partner did something.
    pub(super) fn open(store: &Path, log: PublicKey, policy: Policy) -> io::Result<Self> {
        let directory = store.join("receipts");
        private_directory(&directory)?;
        let mut receipts = BTreeMap::new();
        let file = directory.join("waiting");
        if file.exists() {
            for line in std::fs::read_to_string(&file)?.lines() {
                match Promise::read(line, &log) {
                    Some(promise) => drop(receipts.insert(promise.event_id.clone(), promise)),
                    // The log has another key now, or the line was cut off: evidence all the same.
                    None => writeln!(append(&directory.join("other"))?, "{line}")?,
                }
            }
        }
        let file = rewrite(&directory, &receipts)?;
        Ok(Self { log, policy, directory, waiting: Mutex::new(Waiting { receipts, file }) })
    }

    /// Keeps the receipt that came with an answer to a call that began at `began`.
    fn keep(&self, metadata: &MetadataMap, is_ok: bool, began: OffsetDateTime) {
        let event = event_of(metadata);
        if event.is_none() && !is_ok {
            // No answer, or one that could not be written down: nothing was said of the log.
            return;
        }
        let why = match self.promise(event.as_deref(), metadata, began) {
            Ok(promise) => match self.wait_for(promise) {
                Ok(()) => return,
                Err(why) => why,
            },
            Err(why) => why,
        };
        tracing::error!(event, why, "ALARM: the hub answered, and gave no word of its log that can be held against it");
    }

    fn promise(
        &self,
        event: Option<&str>,
        metadata: &MetadataMap,
        began: OffsetDateTime,
    ) -> Result<Promise, &'static str> {
        let id = event.and_then(|event| event.strip_prefix("events/")).ok_or("no event")?;
        let canonical = uuid::Uuid::try_parse(id).is_ok_and(|uuid| uuid.to_string() == id);
        let event_id = Some(id.to_owned()).filter(|_| canonical).ok_or("an event with no proper name")?;
        let bytes = metadata.get_bin(RECEIPT).and_then(|value| value.to_bytes().ok()).ok_or("no receipt")?.to_vec();
        let receipt = Receipt::open(&bytes, &self.log).map_err(|_| "a receipt that is not the log's")?;
        if receipt.within > LONGEST {
            return Err("a receipt that promises nothing in time");
        }
        // An older event, told once more for a call that was not logged.
        if receipt.at < micros(began) - TOLERANCE {
            return Err("a receipt from before the call");
        }
        Ok(Promise { event_id, receipt, since: micros(began), bytes })
    }

    fn wait_for(&self, promise: Promise) -> Result<(), &'static str> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.receipts.get(&promise.event_id) {
            Some(known) if known.receipt.entry == promise.receipt.entry => return Ok(()),
            // The first stays: it is evidence.
            Some(_) => return Err("another receipt for an event that has one"),
            None => {}
        }
        if let Err(error) = writeln!(waiting.file, "{}", promise.line()) {
            tracing::error!(error = %error, "a receipt can't be written down; it is kept in memory");
        }
        waiting.receipts.insert(promise.event_id.clone(), promise);
        Ok(())
    }

    /// Those that are old enough to ask after.
    fn due(&self, now: OffsetDateTime) -> Vec<Promise> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = micros(now) - YOUNG;
        waiting.receipts.values().filter(|promise| promise.since < before).cloned().collect()
    }

    /// Writes down what became of some, and forgets that they waited.
    fn settle(&self, settled: &[(Promise, Kept)]) -> io::Result<()> {
        for (promise, kept) in settled {
            let (name, line) = match kept {
                Kept::NotYet => continue,
                Kept::Yes(index) => (month(promise.since), format!("{} {index}", promise.line())),
                Kept::No(why) => {
                    tracing::error!(event = promise.event_id, why, "ALARM: the hub broke its word about its log");
                    ("broken".to_owned(), format!("{} {why}", promise.line()))
                }
            };
            let mut file = append(&self.directory.join(name))?;
            writeln!(file, "{line}")?;
            if matches!(kept, Kept::No(_)) {
                file.sync_all()?;
            }
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.receipts.get(&promise.event_id).is_some_and(|known| known.receipt == promise.receipt) {
                waiting.receipts.remove(&promise.event_id);
            }
        }
        Ok(())
    }

    /// Puts the file of what waits in order: it only grows otherwise.
    fn tidy(&self) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.file = rewrite(&self.directory, &waiting.receipts)?;
        Ok(())
    }
}

/// What a proof makes of a promise.
fn judge(promise: &Promise, proof: &v1::EventProof, policy: &Policy, now: OffsetDateTime) -> Kept {
    let receipt = &promise.receipt;
    if proof.state() != State::Proven {
        let late = micros(now).saturating_sub(promise.since) > i64::from(receipt.within) * 1_000_000;
        return if late { Kept::No("no proof within the time that was promised") } else { Kept::NotYet };
    }
    if record_hash(&proof.leaf) != receipt.entry || !is_of(&proof.leaf, &promise.event_id) {
        return Kept::No("the log holds something else than was promised");
    }
    match Proof::from_bytes(&proof.proof).ok().map(|proof| (proof.index, policy.verify(&proof, receipt.entry))) {
        Some((index, Ok(_))) => Kept::Yes(index),
        _ => Kept::No("the proof does not hold"),
    }
}

impl Agent {
    /// A call at the hub. Whatever comes back, the receipt that comes with it is kept.
    pub(super) async fn at_hub<O, F>(&self, again: Again, call: impl FnMut(Node) -> F) -> Result<Response<O>, Status>
    where
        F: Future<Output = Result<Response<O>, Status>>,
    {
        let began = self.clock.now();
        let answer = self.links.hub.call(again, call).await;
        if let Some(receipts) = &self.receipts {
            let metadata = answer.as_ref().map_or_else(Status::metadata, Response::metadata);
            receipts.keep(metadata, answer.is_ok(), began);
        }
        answer
    }

    /// Asks for proofs, for ever.
    pub(super) async fn ask_for_proofs(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(receipts) = &self.receipts else { return };
            let due = receipts.due(self.clock.now());
            for some in due.chunks(AT_ONCE) {
                if let Err(why) = self.ask_for(receipts, some).await {
                    tracing::warn!(why = %why, receipts = log(&some.len()), "no proofs now: asked again later");
                    // A hub that never answers breaks its word like one that has no proof.
                    let nothing = v1::EventProof::default();
                    let now = self.clock.now();
                    let late: Vec<(Promise, Kept)> =
                        some.iter().map(|p| (p.clone(), judge(p, &nothing, &receipts.policy, now))).collect();
                    if let Err(error) = receipts.settle(&late) {
                        tracing::error!(error = %error, "what became of receipts can't be written down");
                    }
                }
            }
            if !due.is_empty() {
                let agent = self.clone();
                let tidied =
                    tokio::task::spawn_blocking(move || agent.receipts.as_ref().map_or(Ok(()), Receipts::tidy)).await;
                if !matches!(tidied, Ok(Ok(()))) {
                    tracing::error!("the receipts that wait can't be written down; they are kept in memory");
                }
            }
        }
    }

    async fn ask_for(&self, receipts: &Receipts, some: &[Promise]) -> Result<(), String> {
        let events: Vec<String> = some.iter().map(|promise| format!("events/{}", promise.event_id)).collect();
        let ask = |node: Node| {
            let request = v1::ProveEventsRequest { events: events.clone() };
            async move { AuditClient::new(node.channel).prove_events(request).await }
        };
        // The receipt for the question is not kept: asking after it would never end.
        let answer = self.links.hub.call(Again::Yes, ask).await.map_err(|status| status.message().to_owned())?;
        let proofs = answer.into_inner().proofs;
        if proofs.len() != some.len() || proofs.iter().zip(&events).any(|(proof, event)| proof.event != *event) {
            return Err("the hub's answer is not to what was asked".to_owned());
        }
        let now = self.clock.now();
        let judge = |(promise, proof): (&Promise, _)| (promise.clone(), judge(promise, proof, &receipts.policy, now));
        let judged: Vec<(Promise, Kept)> = some.iter().zip(&proofs).map(judge).collect();
        receipts.settle(&judged).map_err(|error| error.to_string())
    }
}

impl Promise {
    fn read(line: &str, log: &PublicKey) -> Option<Self> {
        let (event_id, rest) = line.split_once(' ')?;
        let (since, receipt) = rest.split_once(' ')?;
        let bytes = STANDARD.decode(receipt).ok()?;
        let (event_id, since) = (event_id.to_owned(), since.parse().ok()?);
        Some(Self { event_id, receipt: Receipt::open(&bytes, log).ok()?, since, bytes })
    }

    fn line(&self) -> String {
        format!("{} {} {}", self.event_id, self.since, STANDARD.encode(&self.bytes))
    }
}

/// Where receipts of this month are kept: whole months can be put away.
fn month(at: i64) -> String {
    let at = from_micros(at);
    format!("kept.{}-{:02}", at.year(), u8::from(at.month()))
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes what waits anew, and goes on from there.
fn rewrite(directory: &Path, receipts: &BTreeMap<String, Promise>) -> io::Result<File> {
    let path = directory.join("waiting");
    let lines: String = receipts.values().map(|promise| format!("{}\n", promise.line())).collect();
    replace(&path, lines.as_bytes())?;
    append(&path)
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};
    use crate::tlog::{Checkpoint, Edge, PrivateKey, Tiles, Together, Tree};

    const EVENT: &str = "0192f3a0-0000-7000-8000-000000000000";

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[seed; 32]).unwrap()
    }

    fn opened(folder: &Path, log: &PrivateKey) -> io::Result<Receipts> {
        Receipts::open(folder, log.public().clone(), Policy::of_log(log.public().clone()))
    }

    const LEAF: &[u8] = br#"{"id":"0192f3a0-0000-7000-8000-000000000000"}"#;

    fn promise(leaf: &[u8], at: OffsetDateTime, key: &PrivateKey) -> Promise {
        let bytes = Together::new(&[record_hash(leaf)], micros(at)).receipt(0, 3600, key).unwrap();
        let receipt = Receipt::open(&bytes, key.public()).unwrap();
        Promise { event_id: EVENT.to_owned(), receipt, since: micros(at), bytes }
    }

    /// A proof of this leaf, second of three.
    fn proof(leaf: &[u8], key: &PrivateKey) -> v1::EventProof {
        let mut edge = Edge::default();
        let mut tiles = Tiles::default();
        for (place, bytes) in edge.grow([record_hash(b"a"), record_hash(leaf), record_hash(b"b")]) {
            tiles.add(place, bytes);
        }
        let checkpoint = Checkpoint::sign(key, Tree { size: 3, root: edge.root() }).unwrap();
        v1::EventProof {
            event: format!("events/{EVENT}"),
            state: State::Proven.into(),
            leaf: leaf.to_vec(),
            disclosures: vec![],
            proof: Proof::make(1, &checkpoint, &tiles).unwrap().to_bytes(),
        }
    }

    #[test]
    fn a_promise_is_kept_by_a_proof_of_what_was_promised_and_nothing_else() {
        let (log, now) = (key(1), SystemClock.now());
        let soon = now + time::Duration::minutes(59);
        let late = now + time::Duration::minutes(61);
        let waiting = |state: State| v1::EventProof { state: state.into(), ..Default::default() };
        let no = Kept::No("no proof within the time that was promised");
        for (proof, at, expected) in [
            (proof(LEAF, &log), soon, Kept::Yes(1)),
            (proof(LEAF, &log), late, Kept::Yes(1)),
            (waiting(State::Waiting), soon, Kept::NotYet),
            (waiting(State::Unknown), soon, Kept::NotYet),
            (waiting(State::Waiting), late, no),
            // The event was dropped after the receipt.
            (waiting(State::Unknown), late, Kept::No("no proof within the time that was promised")),
            // It was altered.
            (proof(b"another leaf", &log), soon, Kept::No("the log holds something else than was promised")),
            (
                v1::EventProof { leaf: LEAF.to_vec(), ..proof(b"another leaf", &log) },
                soon,
                Kept::No("the proof does not hold"),
            ),
            // It stands in somebody else's log.
            (proof(LEAF, &key(2)), soon, Kept::No("the proof does not hold")),
            (v1::EventProof { proof: vec![], ..proof(LEAF, &log) }, soon, Kept::No("the proof does not hold")),
        ] {
            assert_eq!(judge(&promise(LEAF, now, &log), &proof, &Policy::of_log(log.public().clone()), at), expected);
        }
        // The promise was of another event from the start, and so is the proof.
        let other = br#"{"id":"0192f3a0-0000-7000-8000-000000000001"}"#;
        let verdict =
            judge(&promise(other, now, &log), &proof(other, &log), &Policy::of_log(log.public().clone()), soon);
        assert_eq!(verdict, Kept::No("the log holds something else than was promised"));
    }

    #[test]
    fn receipts_outlive_the_agent_and_are_settled_once() {
        let folder = tempfile::tempdir().unwrap();
        let (log, now) = (key(1), SystemClock.now());
        let open = || opened(folder.path(), &log).unwrap();
        let said = |event: &str, receipt: Option<Vec<u8>>| {
            let mut metadata = MetadataMap::new();
            metadata.insert(crate::status::EVENT, event.parse().unwrap());
            if let Some(receipt) = receipt {
                metadata.insert_bin(RECEIPT, MetadataValue::from_bytes(&receipt));
            }
            metadata
        };
        let receipts = open();
        let (name, given) = (format!("events/{EVENT}"), promise(LEAF, now - time::Duration::minutes(1), &log));
        // Without one, with another log's, for something without a name, from before the call: nothing is believed.
        let early = now - time::Duration::minutes(10);
        for (event, receipt) in [
            (name.as_str(), None),
            (&name, Some(promise(LEAF, now, &key(2)).bytes)),
            ("events/0", Some(promise(LEAF, now, &log).bytes)),
            (&name.to_uppercase(), Some(promise(LEAF, now, &log).bytes)),
            (&name, Some(promise(LEAF, early, &log).bytes)),
        ] {
            receipts.keep(&said(event, receipt), true, now);
        }
        receipts.keep(&MetadataMap::new(), true, now);
        receipts.keep(&MetadataMap::new(), false, now);
        assert_eq!(receipts.due(now), []);
        let began = from_micros(given.since);
        receipts.keep(&said(&name, Some(given.bytes.clone())), true, began);
        receipts.keep(&said(&name, Some(promise(b"other", now, &log).bytes)), true, began);
        drop(receipts);
        // A log under another key: what waits is not thrown away.
        drop(opened(folder.path(), &key(3)).unwrap());
        let other = folder.path().join("receipts/other");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), format!("{}\n", given.line()));
        std::fs::rename(other, folder.path().join("receipts/waiting")).unwrap();

        let receipts = open();
        assert_eq!(receipts.due(now), std::slice::from_ref(&given));
        assert_eq!(receipts.due(now - time::Duration::minutes(1)), [], "too young to ask after");
        receipts.settle(&[(given.clone(), Kept::NotYet)]).unwrap();
        assert_eq!(receipts.due(now).len(), 1);
        receipts.settle(&[(given.clone(), Kept::No("proef"))]).unwrap();
        receipts.tidy().unwrap();
        drop(receipts);
        assert_eq!(open().due(now), []);
        let broken = std::fs::read_to_string(folder.path().join("receipts/broken")).unwrap();
        assert!(broken.starts_with(EVENT) && broken.ends_with(" proef\n"), "{broken}");
        assert!(!folder.path().join("receipts").join(month(given.since)).exists());
    }
}
