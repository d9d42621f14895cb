//! Bundles in memory: what verifies, and what does not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::verify::Evidence;
use super::super::{
    Bundle, BundleError, Fault, Folder, Format, Line, Manifest, Story, Unproven, contradiction, manifest, verify, write,
};
use super::{OIN, event, full, line, uuid};
use crate::api::v1;
use crate::api::v1::event_proof::State;
use crate::audit::{Draft, Erasures, Event, Outcome, Verdict, disclosed, encode};
use crate::tlog::{Checkpoint, Edge, Policy, PrivateKey, Proof, PublicKey, Tiles, Tree, record_hash};

/// Files in memory.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

struct Open(Memory, String);

impl io::Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.borrow_mut().get_mut(&self.1).unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Folder for Memory {
    type Reader = Cursor<Vec<u8>>;
    type Writer = Open;
    fn create(&self, name: &str) -> io::Result<Open> {
        self.0.borrow_mut().insert(name.to_owned(), Vec::new());
        Ok(Open(self.clone(), name.to_owned()))
    }
    fn keep(&self, _: Open) -> io::Result<()> {
        Ok(())
    }
    fn open(&self, name: &str) -> io::Result<Option<Self::Reader>> {
        Ok(self.0.borrow().get(name).cloned().map(Cursor::new))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.0.borrow_mut().remove(from).unwrap();
        self.0.borrow_mut().insert(to.to_owned(), file);
        Ok(())
    }
}

impl Memory {
    fn text(&self, name: &str) -> String {
        String::from_utf8(self.0.borrow()[name].clone()).unwrap()
    }
    fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.borrow_mut().insert(name.to_owned(), bytes.into());
    }
    fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }
    /// What somebody who changes files does to a manifest that nobody signed.
    fn with_new_manifest(&self) -> &Self {
        let mut manifest: Manifest = serde_json::from_str(&self.text("manifest.json")).unwrap();
        for (name, file) in &mut manifest.files {
            *file = manifest::measure(Cursor::new(self.0.borrow()[name].clone())).unwrap();
        }
        self.put("manifest.json", manifest.to_bytes().unwrap());
        self
    }
    /// Changes one line of a file.
    fn edit<T: Serialize + serde::de::DeserializeOwned>(&self, name: &str, nth: usize, change: impl FnOnce(&mut T)) {
        let mut lines: Vec<String> = self.text(name).lines().map(ToOwned::to_owned).collect();
        let mut value: T = serde_json::from_str(&lines[nth]).unwrap();
        change(&mut value);
        lines[nth] = serde_json::to_string(&value).unwrap();
        self.put(name, lines.join("\n") + "\n");
        if name == "events.ndjson" && self.0.borrow().contains_key("events.csv") {
            let lines: Vec<Line> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            let mut csv = Vec::new();
            write(Format::Csv, &lines, &mut csv).unwrap();
            self.put("events.csv", csv);
        }
    }
    fn fault(&self) -> Fault {
        verify(self, &policy(), None).unwrap_err()
    }
}

/// A partner's officer does not get to open the hub's own name of a case.
const CASE: &str = "group case, not opened";

fn policy() -> Policy {
    Policy::of_log(key().public().clone())
}

fn key() -> PrivateKey {
    PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[1; 32]).unwrap()
}

/// A log of these leaves, and their proofs in the tree of a size.
fn proofs(leaves: &[Vec<u8>], size: usize) -> Vec<Vec<u8>> {
    let mut edge = Edge::default();
    let files: BTreeMap<_, _> = edge.grow(leaves[..size].iter().map(|leaf| record_hash(leaf))).into_iter().collect();
    let checkpoint = Checkpoint::sign(&key(), Tree { size: edge.size(), root: edge.root() }).unwrap();
    let proof = |index| {
        let tile = |place| files.get(&place).cloned().unwrap_or_default();
        Tiles::default().gather(|tiles| Proof::make(index, &checkpoint, tiles), tile).unwrap().to_bytes()
    };
    (0..size as u64).map(proof).collect()
}

/// Events newest first with their proofs, as pages: the older half under an older checkpoint than the newer half.
fn answers(events: &[Event], hidden: &[&str]) -> Vec<(v1::Event, v1::EventProof)> {
    let encoded: Vec<_> = events.iter().map(encode).collect();
    let leaves: Vec<Vec<u8>> = encoded.iter().map(|leaf| leaf.leaf.clone()).collect();
    let (newer, older) = (proofs(&leaves, leaves.len()), proofs(&leaves, leaves.len() / 2));
    let answer = |(nth, event): (usize, &Event)| {
        let number = u64::try_from(nth).unwrap();
        let event = v1::Event { erased: vec![], listed: vec![], ..line(number, event) };
        let proof = v1::EventProof {
            event: event.name.clone(),
            state: State::Proven.into(),
            leaf: leaves[nth].clone(),
            disclosures: disclosed(&encoded[nth].disclosures, hidden).unwrap(),
            proof: older.get(nth).unwrap_or(&newer[nth]).clone(),
        };
        (event, proof)
    };
    events.iter().enumerate().map(answer).rev().collect()
}

/// An event that erases, at the beginning of a log of so many entries.
fn erasure(size: usize, erases: BTreeMap<String, Vec<usize>>, outcome: Outcome) -> v1::EventProof {
    let (draft, nth) = (Draft { method: "sluis.v1.Audit/EraseEvents", erases, ..Draft::default() }, 9);
    let verdict = Verdict { outcome, ..event(nth).verdict };
    let leaf = encode(&Event { draft, verdict, stamp: event(nth).stamp }).leaf;
    let proof = proofs(&vec![leaf.clone(); size], size).remove(0);
    v1::EventProof {
        event: format!("events/{}", uuid(nth)),
        state: State::Proven.into(),
        leaf,
        proof,
        ..Default::default()
    }
}

fn bundle(format: Format, answers: &[(v1::Event, v1::EventProof)]) -> Result<Memory, BundleError> {
    bundle_with(format, &[], answers)
}

fn bundle_with(
    format: Format,
    erasures: &[v1::EventProof],
    answers: &[(v1::Event, v1::EventProof)],
) -> Result<Memory, BundleError> {
    let folder = Memory::default();
    let mut bundle = Bundle::new(folder.clone(), policy(), format, Unproven::Fails)?;
    bundle.erasures(erasures)?;
    for page in answers.chunks(3) {
        let (events, proofs): (Vec<_>, Vec<_>) = page.iter().cloned().unzip();
        bundle.page(&events, &proofs)?;
    }
    let query = [("organisation".to_owned(), format!("partners/{OIN}"))].into();
    bundle.finish(Story { tool: "sluis 0.1.0".into(), created: "2027-01-15T08:00:00Z".into(), query })?;
    Ok(folder)
}

fn some(format: Format) -> Memory {
    let events: Vec<Event> = (0..8).map(event).collect();
    bundle(format, &answers(&events, &["case"])).unwrap()
}

#[test]
fn a_bundle_of_any_format_verifies() {
    for format in Format::ALL {
        let folder = some(*format);
        let verified = verify(&folder, &policy(), None).unwrap();
        assert_eq!((verified.proven, verified.waiting, verified.tree.unwrap().size), (8, 0, 8));
        assert_eq!(verified.uncovered, [("case", 8), (CASE, 8)].into(), "a case has the reader's own name");
        assert_eq!(verified.manifest.files.len(), if *format == Format::Ndjson { 3 } else { 4 });
        assert!(Bundle::new(folder, policy(), *format, Unproven::Fails).is_err(), "there is one");
    }
    let empty = bundle(Format::Csv, &[]).unwrap();
    let verified = verify(&empty, &policy(), None).unwrap();
    assert_eq!((verified.proven, verified.tree), (0, None));
    assert_eq!(empty.text("events.csv").lines().count(), 1);
}

#[test]
fn each_reader_has_a_view_that_verifies() {
    let events: Vec<Event> = (0..4).map(event).collect();
    // The network's officer opens all, and has another name for the youth, or none.
    let mut all = answers(&events, &[]);
    all[0].0.subject = "own-of-the-network".into();
    all[1].0.subject = String::new();
    let verified = verify(&bundle(Format::Fhir, &all).unwrap(), &policy(), None).unwrap();
    assert_eq!(verified.uncovered, [("case", 4), ("subject", 1)].into());
    // An officer opens nothing of what others did.
    let mut others = answers(&events, &["actor", "subject", "case", "data", "decision", "network"]);
    others.iter_mut().for_each(|(event, _)| event.user_ref = String::new());
    let verified = verify(&bundle(Format::Fhir, &others).unwrap(), &policy(), None).unwrap();
    assert_eq!(verified.uncovered.len(), 20, "14 fields, and six groups that may say more");
    assert_eq!(verified.uncovered["role"], 4);
    assert_eq!(verified.uncovered.get("userRef"), None);
    // Whose pseudonym it is has to be right for one's own.
    let mut own = answers(&events, &["case"]);
    own[0].0.subject = "somebody-else".into();
    let error = bundle(Format::Fhir, &own).err().unwrap().to_string();
    assert_eq!(error, format!("events/{}: subject is not what stands in the log", uuid(3)));
}

#[test]
fn what_was_erased_is_empty_and_has_no_disclosure() {
    let events: Vec<Event> = (0..2).map(event).collect();
    let mut erased = answers(&events, &["case", "actor", "subject"]);
    for (event, _) in &mut erased {
        *event = v1::Event {
            erased: vec!["actor".into(), "subject".into()],
            user_ref: String::new(),
            role: 0,
            subject: String::new(),
            ..event.clone()
        };
    }
    let erases = |nth: usize, places: Vec<usize>| [(events[nth].stamp.event_id.clone(), places)].into();
    let allowed = |size, erases| erasure(size, erases, Outcome::Allowed);
    let both = [allowed(11, erases(0, vec![0, 1])), allowed(12, erases(1, vec![0, 1]))];
    let with = |erasures: &[v1::EventProof]| bundle_with(Format::Fhir, erasures, &erased);
    let folder = with(&both).unwrap();
    let verified = verify(&folder, &policy(), None).unwrap();
    assert_eq!(verified.uncovered, [("case", 2), (CASE, 2)].into(), "no word of the hub is needed");
    assert!(verified.manifest.files.contains_key("erasures.ndjson"));
    // Erased by nothing, of another event, another part of it, or by what was refused.
    for some in [
        &[][..],
        &both[..1],
        &[both[0].clone(), allowed(13, erases(1, vec![0]))],
        &[both[0].clone(), erasure(14, erases(1, vec![0, 1]), Outcome::Refused(crate::reason::Reason::RoleNotAllowed))],
    ] {
        assert!(matches!(with(some), Err(BundleError::Fault(Fault::Unsaid { .. }))), "{}", some.len());
    }
    // An erasure that is proven no more, is another one, or is left out, and a manifest that says it is all well.
    for (field, from, to) in [("proof", "c2sp.org", "c2sp.com"), ("event", "events/", "events/0"), ("leaf", "A", "B")] {
        let changed = folder.copy();
        changed.edit::<Value>("erasures.ndjson", 1, |one| {
            one[field] = json!(one[field].as_str().unwrap().replacen(from, to, 1));
        });
        assert!(changed.text("erasures.ndjson") != folder.text("erasures.ndjson"), "{field}");
        assert!(verify(changed.with_new_manifest(), &policy(), None).is_err(), "{field}");
    }
    let left_out = folder.copy();
    let one = left_out.text("erasures.ndjson").lines().next().unwrap().to_owned();
    left_out.put("erasures.ndjson", one + "\n");
    assert!(matches!(verify(left_out.with_new_manifest(), &policy(), None), Err(Fault::Unsaid { .. })));
    let waiting = v1::EventProof { state: State::Waiting.into(), proof: Vec::new(), ..both[0].clone() };
    assert!(matches!(with(&[waiting]), Err(BundleError::Waiting(_))));
    let unknown = v1::EventProof { event: both[0].event.clone(), state: State::Unknown.into(), ..Default::default() };
    assert!(matches!(with(&[unknown]), Err(BundleError::NoProof(_))));
    // Whoever may open everything asks where the rest went.
    let mut erasures = Erasures::default();
    let beside = |erasures: &Erasures| verify(&folder, &policy(), Some(erasures.clone())).map(|_| ());
    for (nth, places) in [(0, vec![0, 1]), (0, vec![2]), (1, vec![0, 1]), (1, vec![2])] {
        assert!(matches!(beside(&erasures), Err(Fault::Withheld { .. })), "before {places:?} of {nth}");
        erasures.add(&allowed(15, erases(nth, places)).leaf);
    }
    assert!(beside(&erasures).is_ok());
    let refused =
        |answers: &[(v1::Event, v1::EventProof)]| bundle_with(Format::Fhir, &both, answers).err().unwrap().to_string();
    let mut filled = erased.clone();
    filled[0].0.user_ref = "mdw-9".into();
    assert!(refused(&filled).contains("userRef"));
    let mut there = erased.clone();
    there[0].1.disclosures = answers(&events, &["case"])[0].1.disclosures.clone();
    assert!(refused(&there).contains("erased"));
}

/// What the hub does of its own accord, no organisation asked for; an earlier hub wrote the collection's name alone.
#[test]
fn nobody_is_written_as_nothing() {
    let (asked, source) = (event(0), String::new());
    let own = Event { draft: Draft { organisation: String::new(), source, ..asked.draft.clone() }, ..event(0) };
    let shown = v1::Event { erased: vec![], listed: vec![], ..line(0, &own) };
    let nothing = |text: &str| v1::Event { organisation: text.into(), source: text.into(), ..shown.clone() };
    for (organisation, event, good) in [
        ("", &own, true),
        ("partners/", &own, true),
        ("network", &own, false),
        ("", &asked, false),
        ("partners/", &asked, false),
    ] {
        let encoded = encode(event);
        let said =
            contradiction(&nothing(organisation), &encoded.leaf, &disclosed(&encoded.disclosures, &["case"]).unwrap());
        assert_eq!(said, (!good).then_some("organisation"), "{organisation}");
    }
}

/// A leaf with more disclosures than those of its groups, as for a list of cases.
#[test]
fn listed_cases_are_opened_and_their_names_are_not_proven_and_hidden_ones_are_said() {
    let events = [event(0)];
    let encoded = encode(&events[0]);
    let mut leaf: Value = serde_json::from_slice(&encoded.leaf).unwrap();
    let mut disclosures = disclosed(&encoded.disclosures, &["case"]).unwrap();
    for case in ["hub-1", "hub-2"] {
        let disclosure = URL_SAFE_NO_PAD.encode(json!(["c2FsdA", "listed", { "case": case }]).to_string());
        let hash = ring::digest::digest(&ring::digest::SHA256, disclosure.as_bytes());
        leaf["_sd"].as_array_mut().unwrap().push(json!(URL_SAFE_NO_PAD.encode(hash)));
        disclosures.push(disclosure);
    }
    let leaf = leaf.to_string().into_bytes();
    let whole = v1::Event { erased: vec![], ..line(0, &events[0]) };
    let cut = v1::Event { listed: vec![], ..whole.clone() };
    // The second hides both cases of the list: from the event, and what opens them.
    for (listed, opened, word) in [(whole, 7, "listed"), (cut, 5, "group listed, not opened")] {
        let proof = v1::EventProof {
            event: listed.name.clone(),
            state: State::Proven.into(),
            proof: proofs(std::slice::from_ref(&leaf), 1)[0].clone(),
            leaf: leaf.clone(),
            disclosures: disclosures[..opened].to_vec(),
        };
        let folder = Memory::default();
        let mut bundle = Bundle::new(folder.clone(), policy(), Format::Fhir, Unproven::Fails).unwrap();
        bundle.page(&[listed], &[proof]).unwrap();
        bundle.finish(Story::default()).unwrap();
        let verified = verify(&folder, &policy(), None).unwrap();
        assert_eq!(verified.uncovered, [("case", 1), (CASE, 1), (word, 1)].into());
    }
}

#[test]
fn what_is_not_proven_is_not_exported_unless_one_says_so() {
    let events: Vec<Event> = (0..3).map(event).collect();
    let mut waiting = answers(&events, &["case"]);
    waiting[0].1.state = State::Waiting.into();
    waiting[0].1.proof = Vec::new();
    let refused = bundle(Format::Csv, &waiting).err().unwrap().to_string();
    assert_eq!(refused, format!("events/{} is not under a checkpoint yet: ask again within seconds", uuid(2)));
    let folder = Memory::default();
    let mut kept = Bundle::new(folder.clone(), policy(), Format::Csv, Unproven::Kept).unwrap();
    let (lines, proofs): (Vec<_>, Vec<_>) = waiting.iter().cloned().unzip();
    kept.page(&lines, &proofs).unwrap();
    assert!(verify(&folder, &policy(), None).is_err_and(|fault| matches!(fault, Fault::Missing(_))), "it broke off");
    kept.finish(Story::default()).unwrap();
    let verified = verify(&folder, &policy(), None).unwrap();
    assert_eq!((verified.proven, verified.waiting), (2, 1));
    assert_eq!(verified.uncovered, [("case", 2), (CASE, 2)].into());

    let mut unknown = answers(&events, &["case"]);
    unknown[1].1.state = State::Unknown.into();
    assert!(matches!(bundle(Format::Csv, &unknown), Err(BundleError::NoProof(_))));
    let mut kept = Bundle::new(Memory::default(), policy(), Format::Csv, Unproven::Kept).unwrap();
    assert!(matches!(kept.page(&lines, &proofs[1..]), Err(BundleError::Uneven { events: 3, proofs: 2 })));
    let mut oldest_first = answers(&events, &["case"]);
    oldest_first.reverse();
    assert!(matches!(bundle(Format::Csv, &oldest_first), Err(BundleError::Fault(Fault::Order(_)))));
}

#[test]
fn another_key_a_cut_tail_and_a_changed_order_are_found() {
    let honest = some(Format::Csv);
    let other = PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[2; 32]).unwrap();
    assert!(matches!(verify(&honest, &Policy::of_log(other.public().clone()), None), Err(Fault::Proof(..))));
    let other: PublicKey =
        PrivateKey::of_log("sluis.example/other".parse().unwrap(), &[1; 32]).unwrap().public().clone();
    assert!(matches!(verify(&honest, &Policy::of_log(other.clone()), None), Err(Fault::OtherLog(_))));
    for name in ["events.ndjson", "events.csv", "proofs.ndjson", "checkpoint"] {
        let cut = honest.copy();
        let text = cut.text(name);
        cut.put(name, &text.as_bytes()[..text.len() - 1]);
        assert!(matches!(cut.fault(), Fault::Length { .. }), "{name}");
        assert!(verify(cut.with_new_manifest(), &policy(), None).is_err(), "{name}");
        let gone = honest.copy();
        gone.0.borrow_mut().remove(name);
        assert!(matches!(gone.fault(), Fault::Missing(_)), "{name}");
        let swapped = honest.copy();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(1, 2);
        swapped.put(name, lines.join("\n") + "\n");
        assert!(verify(&swapped, &policy(), None).is_err(), "{name}");
        assert!(verify(swapped.with_new_manifest(), &policy(), None).is_err(), "{name}");
    }
    // Both in step: the order itself is wrong.
    let swapped = some(Format::Ndjson);
    for name in ["events.ndjson", "proofs.ndjson"] {
        let text = swapped.text(name);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(1, 2);
        swapped.put(name, lines.join("\n") + "\n");
    }
    assert!(matches!(swapped.with_new_manifest().fault(), Fault::Order(_)));
    // A line less at the end of each, and a manifest that still counts it.
    let short = honest.copy();
    for name in ["events.ndjson", "proofs.ndjson"] {
        let text = honest.text(name);
        let lines: Vec<&str> = text.lines().collect();
        short.put(name, lines[..7].join("\n") + "\n");
    }
    assert!(verify(short.with_new_manifest(), &policy(), None).is_err());
    // Another checkpoint of the log, of another tree.
    let forked = honest.copy();
    let tree = Tree { size: 8, root: record_hash(b"forked") };
    forked.put("checkpoint", Checkpoint::sign(&key(), tree).unwrap().to_bytes());
    assert!(matches!(forked.with_new_manifest().fault(), Fault::Forked(8)));
    let older = honest.copy();
    let tree = Tree { size: 5, root: record_hash(b"older") };
    older.put("checkpoint", Checkpoint::sign(&key(), tree).unwrap().to_bytes());
    assert!(matches!(older.with_new_manifest().fault(), Fault::Changed(_)));
}

/// Whoever changes a line and makes a new manifest is found out by the proof, in every field that a proof covers.
#[test]
fn a_new_manifest_does_not_help() {
    let honest = some(Format::Csv);
    let Value::Object(fields) = serde_json::to_value(full()).unwrap() else { panic!() };
    for field in fields.keys() {
        let changed = honest.copy();
        changed.edit::<Value>("events.ndjson", 3, |line| {
            let value = &mut line[field];
            *value = match (field.as_str(), value.clone()) {
                ("time", _) => json!("2027-01-15T08:00:00.999999Z"),
                ("outcome", _) => json!("OUTCOME_ALLOWED"),
                ("role", _) => json!("ROLE_R06"),
                ("form", _) => json!("FORM_I"),
                ("categories", _) => json!(["CATEGORY_C06"]),
                (_, Value::String(text)) => json!(format!("{text}0")),
                (_, Value::Number(number)) => json!(number.as_u64().unwrap() + 1),
                (_, Value::Array(list)) => json!(list[1..]),
                (_, Value::Bool(_)) => return drop(line.as_object_mut().unwrap().remove(field)),
                (_, Value::Null) => json!(["subject"]),
                (_, Value::Object(_)) => panic!("{field}"),
            };
        });
        // In the order of the fields, and without empty lists.
        changed.edit::<Line>("events.ndjson", 3, |_| ());
        let found = verify(changed.with_new_manifest(), &policy(), None);
        match field.as_str() {
            "case" => assert_eq!(found.unwrap().uncovered["case"], 8),
            "listed" => assert_eq!(found.unwrap().uncovered["listed"], 1),
            // Subject is erased, it says, and stands there all the same.
            _ => assert!(found.is_err(), "{field}"),
        }
    }
    // What opens nothing any more proves nothing any more, and is counted.
    let stripped = honest.copy();
    stripped.edit::<Value>("proofs.ndjson", 3, |proof| proof["disclosures"] = json!([]));
    stripped.edit::<Evidence>("proofs.ndjson", 3, |_| ());
    assert_eq!(verify(stripped.with_new_manifest(), &policy(), None).unwrap().uncovered["userRef"], 1);
    let leaf = honest.copy();
    leaf.edit::<Value>("proofs.ndjson", 3, |proof| {
        let text = STANDARD.decode(proof["leaf"].as_str().unwrap()).unwrap();
        let text = String::from_utf8(text).unwrap().replace("refused", "allowed");
        proof["leaf"] = json!(STANDARD.encode(text));
    });
    leaf.edit::<Value>("events.ndjson", 3, |line| line["outcome"] = json!("OUTCOME_ALLOWED"));
    assert!(matches!(leaf.with_new_manifest().fault(), Fault::Proof(..)));
    // An event twice.
    let twice = some(Format::Ndjson);
    for name in ["events.ndjson", "proofs.ndjson"] {
        let text = twice.text(name);
        let mut lines: Vec<&str> = text.lines().collect();
        lines[3] = lines[2];
        twice.put(name, lines.join("\n") + "\n");
    }
    assert!(matches!(twice.with_new_manifest().fault(), Fault::Order(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn no_byte_of_any_file_can_be_changed(
        csv in any::<bool>(), file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), by in 1u8..=255,
    ) {
        thread_local! {
            static HONEST: [Memory; 2] = [some(Format::Ndjson), some(Format::Csv)];
        }
        let folder = HONEST.with(|honest| honest[usize::from(csv)].copy());
        let name = folder.0.borrow().keys().nth(file.index(folder.0.borrow().len())).unwrap().clone();
        let at = at.index(folder.0.borrow()[&name].len());
        folder.0.borrow_mut().get_mut(&name).unwrap()[at] ^= by;
        prop_assert!(verify(&folder, &policy(), None).is_err(), "{} at {}", name, at);
        if matches!(name.as_str(), "proofs.ndjson" | "checkpoint" | "events.csv") {
            prop_assert!(verify(folder.with_new_manifest(), &policy(), None).is_err(), "{} at {}, new manifest", name, at);
        }
    }
}
