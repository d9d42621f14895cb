//! What the callers saw: counts, the events of what was answered, and every change with its request id.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A change that a worker had carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// A case was referred.
    Refer,
    /// A consent was recorded.
    Consent,
    /// A role was given.
    Assign,
    /// A record was published.
    Publish,
}

impl Change {
    /// Full name of its RPC.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Refer => "sluis.v1.Cases/ReferCase",
            Self::Consent => "sluis.v1.Consents/RecordConsent",
            Self::Assign => "sluis.v1.Cases/AssignRole",
            Self::Publish => "sluis.v1.Records/PublishRecord",
        }
    }
}

/// A change that was answered OK, at the first or a later time of asking.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) oin: String,
    /// The worker, as the log names it.
    pub(super) user_ref: String,
    pub(super) change: Change,
    pub(super) request_id: String,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Calls made, each time of asking counted.
    pub(super) calls: usize,
    /// Calls answered OK.
    pub(super) answered: usize,
    /// Calls made again because there was no answer, or UNAVAILABLE.
    pub(super) repeated: usize,
    /// Longest time in which no call at all was answered, by what had been killed last before it ended.
    pub(super) longest: BTreeMap<&'static str, Duration>,
    /// Events of the calls that were answered OK.
    pub(super) events: Vec<String>,
    pub(super) done: Vec<Done>,
    /// What was answered otherwise.
    pub(super) broken: Vec<String>,
    last: Option<Instant>,
    killed: &'static str,
}

/// What all workers write down together.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Seen>);

impl Tally {
    pub(super) fn start(&self) {
        let mut seen = self.lock();
        seen.last = Some(Instant::now());
        seen.killed = "nothing yet";
    }

    /// A process of this kind is about to be killed.
    pub(super) fn killed(&self, kind: &'static str) {
        self.lock().killed = kind;
    }

    pub(super) fn called(&self, again: bool) {
        let mut seen = self.lock();
        seen.calls += 1;
        seen.repeated += usize::from(again);
    }

    /// A call was answered OK, under this event.
    pub(super) fn answered(&self, event: Option<String>) {
        let mut seen = self.lock();
        seen.answered += 1;
        if let Some(last) = seen.last.replace(Instant::now()) {
            let killed = seen.killed;
            let longest = seen.longest.entry(killed).or_default();
            *longest = last.elapsed().max(*longest);
        }
        seen.events.extend(event);
    }

    pub(super) fn done(&self, done: Done) {
        self.lock().done.push(done);
    }

    pub(super) fn broken(&self, what: String) {
        self.lock().broken.push(what);
    }

    pub(super) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// A worker that panicked leaves counts that are still right.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
