//! Every difference, each made in a picture that has none.

mod erasures;
mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::journal::{Called, Inbox, Journal, OK, Promise, Told};
use super::*;
use crate::api::v1::event_proof::State;
use crate::audit::{Group, mark_of};
use crate::clock::from_micros;
use crate::tlog::{Checkpoint, Edge, PrivateKey, Proof, Tiles, Together, Tree, record_hash};
use crate::wire::timestamp;

const SECOND: i64 = 1_000_000;
/// The period is an hour; it is over.
const FROM: i64 = 1_800_000_000 * SECOND;
const UNTIL: i64 = FROM + 3600 * SECOND;
const NOW: i64 = UNTIL + 600 * SECOND;
const OWN: &str = "00000099100001410000";
const OTHER: &str = "00000099300000010000";
const KEY: &str = "aa";
const GET: &str = "sluis.v1.Cases/GetCase";
const RECORD: &str = "records/r";

fn key(seed: u8) -> PrivateKey {
    PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[seed; 32]).unwrap()
}

fn id(nth: u8) -> String {
    format!("0192f3a0-0000-7000-8000-0000000000{nth:02x}")
}

fn name(nth: u8) -> String {
    format!("events/{}", id(nth))
}

/// An event of the organisation's own agent, `nth` seconds into the period.
fn event(nth: u8) -> v1::Event {
    v1::Event {
        name: name(nth),
        time: Some(timestamp(from_micros(FROM + i64::from(nth) * SECOND))),
        method: GET.into(),
        action: "R".into(),
        outcome: v1::Outcome::Allowed.into(),
        organisation: format!("partners/{OWN}"),
        key_hash: KEY.into(),
        ..v1::Event::default()
    }
}

/// A record that another organisation sends to this one.
fn sent(nth: u8) -> v1::Event {
    v1::Event {
        method: "sluis.v1.Records/PublishRecord".into(),
        organisation: format!("partners/{OTHER}"),
        recipients: vec![format!("partners/{OWN}")],
        record: RECORD.into(),
        key_hash: "bb".into(),
        ..event(nth)
    }
}

/// With which certificate it was called, as whose event it is gets that to open.
fn disclosures(event: &v1::Event) -> Vec<String> {
    let own = event.organisation == format!("partners/{OWN}") && !event.key_hash.is_empty();
    let network = json!({ "key_hash": event.key_hash, "node": event.node, "trace": event.trace_id });
    let one = || URL_SAFE_NO_PAD.encode(json!(["c2FsdA", "network", network]).to_string());
    own.then(one).into_iter().collect()
}

/// One digest for each group, that of group network last: of what is not opened, any.
fn leaf(event: &v1::Event) -> Vec<u8> {
    let digest = |one: String| URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, one.as_bytes()));
    let closed = (0..6).map(|place| format!("{place} of {}", event.name));
    let mut digests: Vec<String> = closed.map(digest).collect();
    if let Some(network) = disclosures(event).pop() {
        digests[5] = digest(network);
    }
    let at = micros(moment(event.time.as_ref().unwrap()).unwrap());
    let out = if event.outcome() == v1::Outcome::Allowed { "allowed" } else { "refused" };
    let leaf = json!({
        "_sd": digests, "act": event.action, "article": 0, "at": at, "clauses": [], "covenant": 0, "id": event.name.strip_prefix("events/"),
        "method": event.method, "out": out, "purpose": "", "req": event.organisation.strip_prefix("partners/"), "src": "", "v": 1,
    });
    leaf.to_string().into_bytes()
}

/// What the agent writes down when it is told of a record.
fn told<'l>(record: &'l str, at: i64, made: i64, event: &'l str) -> Inbox<'l> {
    Inbox::Record(record, Told { at, made, event })
}

/// Answers that a log of exactly these events gives.
fn answers(events: &[v1::Event], log: &PrivateKey) -> BTreeMap<String, Answer> {
    let proofs = proofs(&events.iter().map(leaf).collect::<Vec<_>>(), log);
    let answer = |(event, proof): (&v1::Event, Vec<u8>)| {
        let proof = v1::EventProof {
            event: event.name.clone(),
            state: State::Proven.into(),
            leaf: leaf(event),
            disclosures: disclosures(event),
            proof,
        };
        (event.name.replace("events/", ""), Answer { event: event.clone(), proof })
    };
    events.iter().zip(proofs).map(answer).collect()
}

/// That a log of exactly these leaves holds each of them.
fn proofs(leaves: &[Vec<u8>], log: &PrivateKey) -> Vec<Vec<u8>> {
    let (mut edge, mut tiles) = (Edge::default(), Tiles::default());
    for (place, bytes) in edge.grow(leaves.iter().map(|leaf| record_hash(leaf))) {
        tiles.add(place, bytes);
    }
    let tree = Tree { size: leaves.len() as u64, root: edge.root() };
    let checkpoint = Checkpoint::sign(log, tree).unwrap();
    (0..tree.size).map(|place| Proof::make(place, &checkpoint, &tiles).unwrap().to_bytes()).collect()
}

/// An erasure of groups of events, in a log of its own alone.
fn erasing(erased: &[v1::Erasure], log: &PrivateKey) -> v1::EventProof {
    let mut erases: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for v1::Erasure { event, groups, .. } in erased {
        let places = groups.iter().map(|group| group.parse::<Group>().unwrap() as usize);
        erases.entry(mark_of(&event.replace("events/", ""))).or_default().extend(places);
    }
    let erasure = v1::Event { method: "sluis.v1.Audit/EraseEvents".into(), ..event(99) };
    let mut leaf: serde_json::Value = serde_json::from_slice(&leaf(&erasure)).unwrap();
    leaf["erases"] = json!(erases);
    let leaf = leaf.to_string().into_bytes();
    let proof = proofs(std::slice::from_ref(&leaf), log).remove(0);
    v1::EventProof { event: name(99), state: State::Proven.into(), leaf, disclosures: vec![], proof }
}

fn receipt(event: &v1::Event, log: &PrivateKey) -> Vec<u8> {
    let at = micros(moment(event.time.as_ref().unwrap()).unwrap());
    Together::new(&[record_hash(&leaf(event))], at).receipt(0, 60, log).unwrap()
}

/// What the agent wrote down of a call that went as the event says.
fn promise(event: &v1::Event, log: &PrivateKey) -> Promise {
    let at = micros(moment(event.time.as_ref().unwrap()).unwrap());
    let outcome = if event.outcome() == v1::Outcome::Allowed { OK } else { "PermissionDenied" };
    let call = journal::Call { called: Called::Rpc(event.method.clone()), outcome: outcome.into(), at: at + 1 };
    let receipt = receipt(event, log);
    Promise { event_id: event.name.replace("events/", ""), since: at - 1, receipt, call: Some(call) }
}

/// Both sides of three calls and one record received, in agreement.
#[derive(Clone)]
struct Picture {
    log: Arc<PrivateKey>,
    events: Vec<v1::Event>,
    journal: Journal,
    answers: BTreeMap<String, Answer>,
    erasures: BTreeMap<String, Vec<v1::Erasure>>,
    erasing: Vec<v1::EventProof>,
    now: i64,
}

impl Picture {
    fn new() -> Self {
        let log = Arc::new(key(1));
        let refused = v1::Event { outcome: v1::Outcome::Refused.into(), ..event(2) };
        let events = vec![event(1), refused, event(3), sent(4)];
        let mut journal = Journal::default();
        journal.add_kept(&format!("{} 0\n", promise(&events[0], &log)));
        journal.add_open(&format!("{}\n{}\n", promise(&events[1], &log), promise(&events[2], &log)));
        journal.add_received(&format!("{}\n", Inbox::Opened(FROM)));
        let made = FROM + 4 * SECOND;
        journal.add_received(&format!("{}\n", told(RECORD, made + SECOND, made, "")));
        let answers = answers(&events, &log);
        Self { log, events, journal, answers, erasures: BTreeMap::new(), erasing: vec![], now: NOW }
    }

    /// Another event in the log, and in the answer.
    fn with(mut self, event: v1::Event) -> Self {
        self.events.push(event);
        self.answers = answers(&self.events, &self.log);
        self
    }

    fn answer(&mut self, nth: u8) -> &mut Answer {
        self.answers.get_mut(&id(nth)).unwrap()
    }

    /// The hub says that groups of an event were erased, and by what, and proves it.
    fn erased(mut self, nth: u8, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let erasure = v1::Erasure { event: name(nth), by: name(99), groups };
        self.erasures.entry(id(nth)).or_default().push(erasure);
        let all: Vec<v1::Erasure> = self.erasures.values().flatten().cloned().collect();
        self.erasing = vec![erasing(&all, &self.log)];
        self
    }

    fn sides(&self) -> Sides<'_> {
        let Self { journal, answers, erasures, erasing, .. } = self;
        Sides { before: journal, after: journal, answers, erasures, erasing }
    }

    fn reconciled(&self) -> Reconciled {
        let policy = Policy::of_log(self.log.public().clone());
        let own = format!("partners/{OWN}");
        let setting = Setting { own, from: FROM, until: UNTIL, now: self.now, policy: &policy, keys: BTreeSet::new() };
        reconcile(&setting, &self.sides())
    }

    fn found(&self) -> Vec<(Code, String)> {
        let reconciled = self.reconciled();
        let findings = reconciled.findings();
        let found: Vec<_> = reconciled.differences.into_iter().map(|one| (one.code, one.about)).collect();
        let expected = found.iter().filter(|(code, _)| code.severity() == Severity::Finding).count();
        assert_eq!(findings, expected);
        found
    }
}

#[test]
fn two_sides_that_agree_have_no_difference() {
    let picture = Picture::new();
    assert_eq!(picture.found(), []);
    let Reconciled { promises, events, .. } = picture.reconciled();
    assert_eq!((promises, events), (3, 4));
}

/// A case: what is done to the picture, and what is found then.
type Case = (fn(Picture) -> Picture, Code, fn() -> String);

#[test]
fn every_difference_of_a_promise_is_found() {
    let cases: [Case; 13] = [
        (
            |mut p| {
                p.answers.remove(&id(1));
                p
            },
            Code::PromiseMissing,
            || name(1),
        ),
        (
            |mut p| {
                // Another event was put in its place, with everything that belongs to it.
                p.events[0].method = "sluis.v1.Cases/ListCases".into();
                p.answers = answers(&p.events, &p.log);
                p
            },
            Code::EntryDiffers,
            || name(1),
        ),
        (
            |mut p| {
                p.answer(1).event.article = "7".into();
                p
            },
            Code::EventDiffers,
            || name(1),
        ),
        (
            |mut p| {
                let other = answers(&p.events, &key(2));
                p.answer(3).proof = other[&id(3)].proof.clone();
                p
            },
            Code::ProofFails,
            || name(3),
        ),
        (
            |mut p| {
                p.answer(3).proof.proof.clear();
                p
            },
            Code::ProofFails,
            || name(3),
        ),
        (
            |mut p| {
                p.answer(3).proof.state = State::Waiting.into();
                p
            },
            Code::ProofLate,
            || name(3),
        ),
        (
            |mut p| {
                p.answer(1).proof.state = State::Waiting.into();
                p
            },
            Code::PlaceDiffers,
            || name(1),
        ),
        (
            |mut p| {
                p.journal.promises.get_mut(&id(1)).unwrap().1 = journal::Standing::Kept(7);
                p
            },
            Code::PlaceDiffers,
            || name(1),
        ),
        (
            |mut p| {
                let line = format!("{} no proof\n", promise(&p.events[0], &p.log));
                p.journal.add_broken(&line);
                p
            },
            Code::PromiseBroken,
            || name(1),
        ),
        (
            |mut p| {
                p.answer(1).event.outcome = v1::Outcome::Refused.into();
                p
            },
            Code::EventDiffers,
            || name(1),
        ),
        (
            |p| saw(p, |call| call.called = Called::Rpc("sluis.v1.Cases/ListCases".into())),
            Code::MethodDiffers,
            || name(1),
        ),
        (|p| saw(p, |call| call.outcome = "PermissionDenied".into()), Code::OutcomeDiffers, || name(1)),
        (|p| saw(p, |call| call.at = FROM - 3600 * SECOND), Code::TimeDiffers, || name(1)),
    ];
    for (nth, (make, code, about)) in cases.into_iter().enumerate() {
        let found = make(Picture::new()).found();
        assert_eq!(found, [(code, about())], "case {nth}");
        assert_eq!(code.severity(), Severity::Finding);
    }
}

/// The agent saw something else of its first call.
fn saw(mut picture: Picture, change: fn(&mut journal::Call)) -> Picture {
    change(picture.journal.promises.get_mut(&id(1)).unwrap().0.call.as_mut().unwrap());
    picture
}

#[test]
fn every_difference_of_an_event_or_a_record_is_found() {
    let lost = format!("{GET} {} {}\n", FROM + 4 * SECOND, FROM + 6 * SECOND);
    let told_of = |record: &str| format!("{}\n", told(record, FROM + 9 * SECOND, FROM + 8 * SECOND, ""));
    let mut call_lost = Picture::new().with(event(5));
    call_lost.journal.add_lost(&lost);
    let mut another_lost = Picture::new().with(event(5)).with(event(6));
    another_lost.journal.add_lost(&lost);
    let mut not_told = Picture::new();
    not_told.journal.told.clear();
    let mut not_read = Picture::new();
    not_read.journal = Journal::default();
    not_read.answers.retain(|_, answer| answer.event.organisation != format!("partners/{OWN}"));
    // Killed at some moment, and whether before or after it is not known; or alive long after.
    let killed = |marks: &[Inbox<'_>]| {
        let mut killed = not_read.clone();
        marks.iter().for_each(|mark| killed.journal.add_received(&format!("{mark}\n")));
        killed
    };
    let (unknown, alive) = (killed(&[Inbox::Opened(FROM)]), killed(&[Inbox::Opened(FROM), Inbox::Open(UNTIL)]));
    let mut not_logged = Picture::new();
    not_logged.journal.add_received(&told_of("records/x"));
    let mut erased = Picture::new();
    erased.journal.add_received(&told_of("records/x"));
    let answer = erased.answer(4);
    answer.event.erased = vec!["data".into()];
    answer.event.record.clear();
    answer.event.recipients.clear();
    let erased = erased.erased(4, &["data"]);
    let mut forked = Picture::new();
    let other = answers(&[event(1), forked.events[1].clone(), event(3), sent(5)], &forked.log);
    forked.answers.insert(id(5), other[&id(5)].clone());
    let mut unreadable = Picture::new();
    let promise = promise(&event(3), &key(2));
    unreadable.journal.promises.insert(id(3), (promise, journal::Standing::Open));
    let another = v1::Event { key_hash: "cc".into(), ..event(5) };
    // By somebody else's certificate, says the hub, and shows nothing of it.
    let mut unproven = Picture::new().with(another.clone());
    unproven.answer(5).proof.disclosures.clear();
    let nobody = v1::Event { key_hash: String::new(), erased: vec!["network".into()], ..event(5) };
    for (picture, expected) in [
        (Picture::new().with(event(5)), vec![(Code::EventUnknown, name(5))]),
        (call_lost, vec![(Code::AnswerLost, name(5))]),
        (another_lost, vec![(Code::EventUnknown, name(6)), (Code::AnswerLost, name(5))]),
        (Picture::new().with(another), vec![(Code::OtherCertificate, name(5))]),
        (unproven, vec![(Code::EventDiffers, name(5))]),
        (Picture::new().with(nobody).erased(5, &["network"]), vec![(Code::EventErased, name(5))]),
        (not_told, vec![(Code::RecordNotTold, RECORD.into())]),
        (unknown, vec![(Code::InboxNotRead, RECORD.into())]),
        (alive, vec![(Code::RecordNotTold, RECORD.into())]),
        (not_read, vec![(Code::InboxNotRead, RECORD.into())]),
        (not_logged, vec![(Code::RecordNotLogged, "records/x".into())]),
        (erased, vec![(Code::EventErased, RECORD.into()), (Code::EventErased, "records/x".into())]),
        (forked, vec![(Code::LogForked, name(5))]),
        (unreadable, vec![(Code::ReceiptUnreadable, name(3))]),
    ] {
        assert_eq!(picture.found(), expected);
    }
}

#[test]
fn what_is_under_way_or_out_of_the_period_is_no_difference() {
    // A call of half a minute ago: the log may be ahead of the journal, and the answer behind it.
    let mut young = Picture::new().with(event(5));
    young.answers.remove(&id(3));
    young.now = FROM + 30 * SECOND;
    assert_eq!(young.found(), []);
    young.now = NOW;
    assert_eq!(young.found(), [(Code::PromiseMissing, name(3)), (Code::EventUnknown, name(5))]);
    // Not due yet.
    let mut waiting = Picture::new();
    waiting.answer(3).proof.state = State::Waiting.into();
    waiting.now = FROM + 30 * SECOND;
    assert_eq!(waiting.found(), []);
    // Before and after: both sides are looked at a little beyond the period, and not compared there.
    let mut outside = v1::Event { time: Some(timestamp(from_micros(FROM - SECOND))), ..event(5) };
    assert_eq!(Picture::new().with(outside.clone()).found(), []);
    outside.time = Some(timestamp(from_micros(UNTIL)));
    assert_eq!(Picture::new().with(outside).found(), []);
    let mut earlier = Picture::new();
    earlier.journal.add_received(&format!("{}\n", told("records/x", FROM, FROM - SECOND, "")));
    assert_eq!(earlier.found(), []);
}

#[test]
fn a_line_without_a_method_is_held_against_its_entry_alone() {
    let mut picture = saw(Picture::new(), |call| call.called = Called::Rpc("sluis.v1.Cases/ListCases".into()));
    picture.journal.promises.get_mut(&id(1)).unwrap().0.call = None;
    assert_eq!(picture.found(), []);
}

#[test]
fn what_the_hub_did_not_show_is_asked_for_by_name() {
    let mut picture = Picture::new();
    picture.answers.remove(&id(2));
    let policy = Policy::of_log(picture.log.public().clone());
    let setting =
        Setting { own: String::new(), from: FROM, until: UNTIL, now: NOW, policy: &policy, keys: BTreeSet::new() };
    assert_eq!(not_shown(&setting, &picture.sides()), [id(2)]);
    // Also by what a record came that no event tells of: it may be erased.
    let made = FROM + 8 * SECOND;
    picture.journal.add_received(&format!("{}\n", told("records/x", made, made, &name(7))));
    picture.journal.add_received(&format!("{}\n", told("records/y", made, FROM - SECOND, &name(8))));
    assert_eq!(not_shown(&setting, &picture.sides()), [id(2), id(7)]);
}

#[test]
fn a_difference_is_written_as_its_code_says() {
    let mut picture = Picture::new();
    picture.answers.remove(&id(1));
    let reconciled = picture.reconciled();
    let written = serde_json::to_value(&reconciled.differences[0]).unwrap();
    let agent = "sluis.v1.Cases/GetCase, ok, at 2027-01-15T08:00:01Z";
    let expected = json!({
        "severity": "finding", "code": "promise-missing", "about": name(1), "agent": agent, "hub": "no such event",
    });
    assert_eq!(written, expected);
    let all = [
        Code::PromiseMissing,
        Code::EntryDiffers,
        Code::ProofFails,
        Code::ProofLate,
        Code::PlaceDiffers,
        Code::LogForked,
        Code::PromiseBroken,
        Code::EventDiffers,
        Code::MethodDiffers,
        Code::OutcomeDiffers,
        Code::TimeDiffers,
        Code::EventUnknown,
        Code::RecordNotTold,
        Code::RecordNotLogged,
        Code::OtherCertificate,
        Code::AnswerLost,
        Code::InboxNotRead,
        Code::EventErased,
        Code::ReceiptUnreadable,
    ];
    for code in all {
        assert_eq!(serde_json::to_value(code).unwrap(), json!(code.word()));
    }
}
