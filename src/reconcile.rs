//! What an agent sent, was promised and was told of, held against what the hub's log says about it. Pure: the same journal and
//! the same answer give the same differences.
//!
//! ```text
//! journal of the agent (promises, lost calls, records told) ─┐
//! the hub's events with their proofs, the log's policy       ─┴► reconcile ─► differences, by event or record
//! ```
//!
//! What neither side shows is not found: a call that the agent never made and the hub never logged, or an event of others that the
//! hub keeps from the organisation altogether. That is what the log's witnesses and the network's officer are for.

mod called;
mod difference;
mod event;
pub mod journal;
mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use difference::{Code, Difference, Severity};

use crate::api::v1;
use crate::clock::micros;
use crate::tlog::{Policy, Receipt};
use crate::wire::moment;
use difference::Differences;
use journal::{Journal, Promise};

/// What is younger than this is still under way, microseconds.
pub const YOUNG: i64 = 60_000_000;
/// How far the clocks of hub and agent may be apart, microseconds.
pub const APART: i64 = 120_000_000;

/// An event as the hub shows it, and what proves it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The event.
    pub event: v1::Event,
    /// Its leaf, disclosures and proof.
    pub proof: v1::EventProof,
}

/// What is reconciled. Moments are microseconds.
#[derive(Debug)]
pub struct Setting<'s> {
    /// partners/{oin}: whose agent and whose officer.
    pub own: String,
    /// From this moment (inclusive).
    pub from: i64,
    /// Until this one (exclusive).
    pub until: i64,
    /// Now.
    pub now: i64,
    /// Whose signatures on the log count.
    pub policy: &'s Policy,
    /// Hashes of the agent's certificate keys, hex, as far as they are known from elsewhere.
    pub keys: BTreeSet<String>,
}

/// Both sides.
#[derive(Debug)]
pub struct Sides<'s> {
    /// What the agent had written down before the hub was asked: the hub must know all of it.
    pub before: &'s Journal,
    /// What it had written down after that: it must know everything that the hub says.
    pub after: &'s Journal,
    /// By id of the event.
    pub answers: &'s BTreeMap<String, Answer>,
    /// What the hub says was erased, and by what; also of events that it can't show any more. By id of the event.
    pub erasures: &'s BTreeMap<String, Vec<v1::Erasure>>,
    /// What it proves of that: the erasures themselves.
    pub erasing: &'s [v1::EventProof],
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// By event or record, findings first.
    pub differences: Vec<Difference>,
    /// Promises of the period.
    pub promises: usize,
    /// Events of the period.
    pub events: usize,
}

impl Reconciled {
    /// How many differences are findings.
    pub fn findings(&self) -> usize {
        self.differences.iter().filter(|one| one.severity() == Severity::Finding).count()
    }
}

impl Setting<'_> {
    const fn covers(&self, at: i64) -> bool {
        self.from <= at && at < self.until
    }

    fn is_young(&self, at: i64) -> bool {
        at > self.now.saturating_sub(YOUNG)
    }

    /// What was promised; nothing if the receipt is none of these logs.
    fn receipt(&self, promise: &Promise) -> Option<Receipt> {
        self.policy.logs().iter().find_map(|log| Receipt::open(&promise.receipt, log).ok())
    }
}

impl Answer {
    /// The event's moment, microseconds.
    fn at(&self) -> Option<i64> {
        self.event.time.as_ref().and_then(moment).map(micros)
    }

    /// The event's id.
    pub fn id(&self) -> &str {
        self.event.name.strip_prefix("events/").unwrap_or(&self.event.name)
    }
}

/// Events that were promised in the period, or by which records came then, and that the hub did not show: to be asked for by
/// name, before they are called missing.
pub fn not_shown<'s>(setting: &Setting<'_>, sides: &Sides<'s>) -> Vec<&'s str> {
    let promises = sides.before.promises.values().map(|(promise, _)| promise);
    let due = promises.filter(|promise| setting.covers(promise.since) && !setting.is_young(promise.since));
    let came = sides.before.came_by.iter().filter(|(record, _)| {
        let made = sides.before.told.get(*record).map(|(_, made)| *made);
        made.is_some_and(|made| setting.covers(made) && !setting.is_young(made))
    });
    let came = came.filter_map(|(_, event)| event.strip_prefix("events/"));
    let all = due.map(|promise| promise.event_id.as_str()).chain(came);
    let missing: BTreeSet<&str> = all.filter(|id| !sides.answers.contains_key(*id)).collect();
    missing.into_iter().collect()
}

/// Compares.
pub fn reconcile(setting: &Setting<'_>, sides: &Sides<'_>) -> Reconciled {
    let mut found = Differences::default();
    let mut judge = event::Judge::new(setting, sides);
    judge.erasing(&mut found);
    let mut promises = 0;
    for (promise, standing) in sides.before.promises.values().filter(|(one, _)| setting.covers(one.since)) {
        promises += 1;
        match (setting.receipt(promise), sides.answers.get(&promise.event_id)) {
            (None, _) => found.unreadable(promise),
            (Some(_), None) if setting.is_young(promise.since) => {}
            (Some(_), None) => found.missing(promise),
            (Some(receipt), Some(answer)) => judge.promised(&mut found, answer, promise, &receipt, standing),
        }
    }
    let mut events = 0;
    for answer in sides.answers.values().filter(|answer| answer.at().is_none_or(|at| setting.covers(at))) {
        events += 1;
        judge.shown(&mut found, answer);
    }
    records::compare(&mut found, setting, sides, judge.erasures());
    Reconciled { differences: found.sorted(), promises, events }
}
