//! One event: what stands in the log, what the hub says of it, and what the agent saw.

use std::collections::{BTreeMap, BTreeSet};

use super::difference::{Differences, erased, saw, time};
use super::journal::{Call, Lost, OK, Promise, Standing};
use super::{APART, Answer, Code, Setting, Sides};
use crate::api::v1;
use crate::api::v1::event_proof::State;
use crate::audit::{Erasures, Group, export, is_of, read};
use crate::tlog::{Hash, Policy, Proof, Receipt, Tree, record_hash};

/// Judges events, one after the other.
pub(super) struct Judge<'s> {
    setting: &'s Setting<'s>,
    sides: &'s Sides<'s>,
    /// Keys of the agent: those that are known, and those of calls that it was given receipts for.
    keys: BTreeSet<String>,
    /// Lost calls that explain an event already.
    spent: BTreeSet<usize>,
    /// Trees by size.
    trees: BTreeMap<u64, Tree>,
    /// What was erased by erasures that stand in the log.
    erasures: Erasures,
}

impl<'s> Judge<'s> {
    pub(super) fn new(setting: &'s Setting<'_>, sides: &'s Sides<'_>) -> Self {
        let mut keys = setting.keys.clone();
        for (id, answer) in sides.answers {
            let receipt = sides.after.promises.get(id).and_then(|(promise, _)| setting.receipt(promise));
            let promised = receipt.is_some_and(|receipt| receipt.entry == record_hash(&answer.proof.leaf));
            let own = answer.event.organisation == setting.own && !answer.event.key_hash.is_empty();
            if promised && own && contradiction(answer).is_none() {
                keys.insert(answer.event.key_hash.clone());
            }
        }
        Self { setting, sides, keys, spent: BTreeSet::new(), trees: BTreeMap::new(), erasures: Erasures::default() }
    }

    /// The erasures, before what they erased.
    pub(super) fn erasing(&mut self, found: &mut Differences) {
        for proof in self.sides.erasing.iter().filter(|proof| proof.state() == State::Proven) {
            let id = proof.event.strip_prefix("events/").unwrap_or(&proof.event);
            if self.proof(found, &proof.event, proof, &Standing::Open) && is_of(&proof.leaf, id) {
                self.erasures.add(&proof.leaf);
            }
        }
    }

    pub(super) const fn erasures(&self) -> &Erasures {
        &self.erasures
    }

    /// An event that was promised.
    pub(super) fn promised(
        &mut self,
        found: &mut Differences,
        answer: &Answer,
        promise: &Promise,
        receipt: &Receipt,
        standing: &Standing,
    ) {
        let before = found.count();
        let (about, entry) = (format!("events/{}", promise.event_id), record_hash(&answer.proof.leaf));
        if entry != receipt.entry || !is_of(&answer.proof.leaf, &promise.event_id) {
            let hub = format!("entry {}", short(&entry));
            found.add(Code::EntryDiffers, &about, format!("promised entry {}", short(&receipt.entry)), hub);
            return;
        }
        self.proof(found, &answer.event.name, &answer.proof, standing);
        if answer.proof.state() != State::Proven && !matches!(standing, Standing::Kept(_)) {
            let due = receipt.at.saturating_add(i64::from(receipt.within) * 1_000_000);
            if due < self.setting.now {
                let agent = format!("a proof was promised before {}", time(due));
                found.add(Code::ProofLate, &about, agent, "no proof yet");
            }
        }
        if let Some(field) = contradiction(answer) {
            found.add(
                Code::EventDiffers,
                &about,
                saw(promise),
                format!("shows another {field} than stands in the log"),
            );
        } else if let Some(call) = &promise.call {
            self.call(found, &about, answer, promise.since, call);
        }
        self.erased(found, answer, &saw(promise));
        if let (Standing::Broken(why), true) = (standing, before == found.count()) {
            found.add(Code::PromiseBroken, &about, format!("found broken: {why}"), "shows and proves it now");
        }
    }

    /// An event that the hub shows, in the period.
    pub(super) fn shown(&mut self, found: &mut Differences, answer: &Answer) {
        let event = &answer.event;
        if self.sides.after.promises.contains_key(answer.id()) {
            return;
        }
        self.proof(found, &event.name, &answer.proof, &Standing::Open);
        let contradiction = contradiction(answer);
        if let Some(field) = contradiction {
            let hub = format!("shows another {field} than stands in the log");
            found.add(Code::EventDiffers, &event.name, "not in its journal", hub);
        }
        if event.organisation != self.setting.own {
            return;
        }
        let at = answer.at().unwrap_or_default();
        let hub = format!("{}, {}, at {}", event.method, outcome(event), time(at));
        if event.key_hash.is_empty() && !event.erased.iter().any(|group| group == "network") {
            found.add(Code::EventDiffers, &event.name, "not in its journal", format!("{hub}; shows no certificate"));
        } else if event.key_hash.is_empty() {
            self.erased(found, answer, "not in its journal");
        } else if contradiction.is_none() && !proves_certificate(answer) {
            let hub = format!("{hub}; shows a certificate, and not that the log holds it");
            found.add(Code::EventDiffers, &event.name, "not in its journal", hub);
        } else if !self.keys.contains(&event.key_hash) {
            let user = if event.user_ref.is_empty() { String::new() } else { format!(" by {}", event.user_ref) };
            found.add(Code::OtherCertificate, &event.name, "not its certificate", hub + &user);
        } else if self.is_lost(event, at) {
            found.add(Code::AnswerLost, &event.name, "called, and got no answer", hub);
        } else if !self.setting.is_young(at) {
            found.add(Code::EventUnknown, &event.name, "no such call", hub);
        }
    }

    /// What of an event can't be compared any more, and by what it was erased.
    fn erased(&self, found: &mut Differences, answer: &Answer, agent: &str) {
        let Answer { event, proof } = answer;
        let by = self.sides.erasures.get(answer.id()).map(Vec::as_slice).unwrap_or_default();
        let named = |group: &String| by.iter().any(|erasure| erasure.groups.contains(group));
        if let Some(group) = event.erased.iter().find(|group| !named(group)) {
            let hub = format!("says that {group} is erased, and names no erasure of it");
            found.add(Code::EventDiffers, &event.name, agent, hub);
            return;
        }
        let said: Vec<Group> = event.erased.iter().filter_map(|group| group.parse().ok()).collect();
        if let Some(group) = self.erasures.unsaid(answer.id(), &proof.leaf, &proof.disclosures, &said) {
            let hub = format!("{}; and proves no erasure of {} by one of them", erased(by), group.code());
            found.add(Code::EventDiffers, &event.name, agent, hub);
        } else if !event.erased.is_empty() {
            found.add(Code::EventErased, &event.name, agent, erased(by));
        }
    }

    /// Whether there is a proof that holds, and whether it leads where others led.
    fn proof(&mut self, found: &mut Differences, about: &str, proof: &v1::EventProof, standing: &Standing) -> bool {
        let was = match standing {
            Standing::Kept(place) => Some(*place),
            Standing::Open | Standing::Broken(_) => None,
        };
        if proof.state() != State::Proven {
            if let Some(place) = was {
                found.add(Code::PlaceDiffers, about, format!("proven at place {place}"), "no proof");
            }
            return false;
        }
        let Some((place, tree)) = verified(proof, self.setting.policy) else {
            found.add(Code::ProofFails, about, "", "its proof does not hold");
            return false;
        };
        if let Some(was) = was.filter(|was| *was != place) {
            found.add(Code::PlaceDiffers, about, format!("proven at place {was}"), format!("proven at place {place}"));
        }
        if *self.trees.entry(tree.size).or_insert(tree) != tree {
            let hub = format!("two trees of {} entries", tree.size);
            found.add(Code::LogForked, about, "", hub);
        }
        true
    }

    /// Whether the log has the call that the agent made.
    fn call(&self, found: &mut Differences, about: &str, answer: &Answer, since: i64, call: &Call) {
        let event = &answer.event;
        let sent_before = self.sides.after.lost.iter().any(|lost| lost.called == call.called);
        let (method, allowed) = call.called.stands(call.outcome == OK, sent_before, event);
        if event.method != method {
            found.add(Code::MethodDiffers, about, call.called.told(), event.method.as_str());
        }
        if (event.outcome() == v1::Outcome::Allowed) != allowed {
            found.add(Code::OutcomeDiffers, about, call.outcome.as_str(), outcome(event));
        }
        let within = |at| since.saturating_sub(APART) <= at && at <= call.at.saturating_add(APART);
        if !answer.at().is_some_and(within) {
            let hub = answer.at().map_or_else(|| "no time".to_owned(), time);
            found.add(Code::TimeDiffers, about, format!("{} to {}", time(since), time(call.at)), hub);
        }
    }

    /// Whether one of the agent's calls without an answer is this one. Each explains one event.
    fn is_lost(&mut self, event: &v1::Event, at: i64) -> bool {
        let fits = |lost: &Lost| {
            lost.called.may_be(event)
                && (lost.since.saturating_sub(APART)..=lost.until.saturating_add(APART)).contains(&at)
        };
        let mut lost = self.sides.after.lost.iter().enumerate();
        let one = lost.find(|(nth, lost)| !self.spent.contains(nth) && fits(lost)).map(|(nth, _)| nth);
        one.is_some_and(|nth| self.spent.insert(nth))
    }
}

/// Where it stands, and in which tree; nothing if the proof does not hold.
fn verified(proof: &v1::EventProof, policy: &Policy) -> Option<(u64, Tree)> {
    let read = Proof::from_bytes(&proof.proof).ok()?;
    let checkpoint = policy.verify(&read, record_hash(&proof.leaf)).ok()?;
    Some((read.index, *checkpoint.tree()))
}

/// A field of which the hub says something else than the leaf, if there is one.
fn contradiction(answer: &Answer) -> Option<&'static str> {
    let Answer { event, proof } = answer;
    if proof.event != event.name {
        return Some("name");
    }
    export::contradiction(event, &proof.leaf, &proof.disclosures)
}

/// Whether the leaf says with which certificate it was called: whose event it is, gets that to open.
fn proves_certificate(answer: &Answer) -> bool {
    let Answer { proof, .. } = answer;
    let opened = read::opened(&proof.leaf, proof.disclosures.iter().map(String::as_str));
    opened.is_some_and(|opened| opened.network.is_some())
}

/// The outcome as the log has it.
fn outcome(event: &v1::Event) -> String {
    let word = match event.outcome() {
        v1::Outcome::Unspecified => "no outcome",
        v1::Outcome::Allowed => "allowed",
        v1::Outcome::Refused => "refused",
        v1::Outcome::Failed => "failed",
    };
    if event.reason.is_empty() { word.to_owned() } else { format!("{word} ({})", event.reason) }
}

/// Enough of a hash to tell it from another.
fn short(hash: &Hash) -> String {
    hex::encode(hash.0.get(..8).unwrap_or_default())
}
