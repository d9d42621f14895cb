//! Exports as others read them: FHIR models and a CSV reader that nobody here wrote, and bundles on a disk.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sluis::api::v1;
use sluis::api::v1::event_proof::State;
use sluis::audit::export::{Bundle, Format, Line, Story, Unproven, verify, write};
use sluis::audit::{Action, Draft, Event, Outcome, SALTS, Stamp, Verdict, disclosed, encode};
use sluis::folder::Directory;
use sluis::method::METHODS;
use sluis::tlog::{Checkpoint, Edge, Policy, PrivateKey, Proof, PublicKey, Tiles, Tree, record_hash};

use crate::calls::Client;
use crate::direct::{AANMELDING, Draft as Content, Players, why};
use crate::network::{AANBIEDER, GEMEENTE, Network, id};
use crate::processes::foreign;

const OIN: &str = "00000099300000020000";
const GROUP_NAMES: [&str; 7] = ["actor", "subject", "case", "data", "decision", "network", "listed"];

fn name(number: usize) -> String {
    format!("events/0199a0b0-c0d0-7000-8000-{number:012x}")
}

/// Events of every method and outcome, with and without each of what an event may have.
fn varied() -> Vec<Line> {
    let outcomes = [v1::Outcome::Allowed, v1::Outcome::Refused, v1::Outcome::Failed];
    let number = |number: usize| i32::try_from(number).unwrap();
    let some = |yes: bool, text: &str| if yes { text.to_owned() } else { String::new() };
    let kinds = METHODS.iter().flat_map(|method| (0..6).map(move |kind| (method, kind)));
    let event = |(nth, (method, kind)): (usize, (&sluis::method::Method, usize))| {
        let outcome = outcomes[kind % 3];
        let has = |every: usize| nth % every != 0;
        let mut event = v1::Event {
            name: name(nth),
            time: Some(prost_types::Timestamp { seconds: 1_800_000_000 + nth as i64, nanos: number(nth) * 1000 }),
            method: method.name.to_owned(),
            action: method.action.code().to_owned(),
            outcome: outcome.into(),
            reason: some(outcome != v1::Outcome::Allowed, "CONSENT_MISSING"),
            organisation: some(has(31), &format!("partners/{OIN}")),
            user_ref: some(has(5), "mdw-1"),
            role: if has(7) { number(nth % 18 + 1) } else { 0 },
            purpose: some(has(11), "advies"),
            article: some(has(4), "13"),
            covenant_version: u32::from(has(4)),
            clauses: if has(4) { vec!["13.a".to_owned(), "30.b".to_owned()] } else { vec![] },
            case: some(has(3), &format!("cases/{nth}")),
            subject: some(has(2), "pseudonym"),
            categories: (1..=number(nth % 25)).collect(),
            form: number(nth % 6),
            recipients: vec![format!("partners/{OIN}"); nth % 3],
            record: some(has(9), &format!("records/{nth}")),
            consents: vec!["consent-7".to_owned(); nth % 3],
            emergency: kind == 4,
            motivation: some(has(2), "=1+1, \"dringend\"\nen een regel"),
            key_hash: some(has(13), &"ab".repeat(32)),
            node: some(has(17), "node-1"),
            trace_id: some(has(3), "0af7651916cd43dd8448eb211c80319c"),
            source: some(has(6), &format!("partners/{OIN}")),
            erased: vec![],
            via: some(!has(10), "00000099900000010000"),
            listed: (0..nth % 4).map(|case| format!("cases/listed-{case}")).collect(),
        };
        if kind == 5 {
            event.erased = GROUP_NAMES.iter().take(nth % 8).map(|group| (*group).to_owned()).collect();
            (event.user_ref, event.role, event.subject) = (String::new(), 0, String::new());
        }
        Line::from(&event)
    };
    kinds.enumerate().map(event).collect()
}

fn rendered(format: Format, lines: &[Line]) -> Vec<u8> {
    let mut out = Vec::new();
    write(format, lines, &mut out).unwrap();
    out
}

/// What a program says to this input: whether it was content, and its words.
pub(crate) fn says(command: &mut Command, input: &[u8]) -> (bool, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that has seen enough does not read on.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn every_event_is_an_audit_event_to_models_that_nobody_here_wrote() {
    let Some(python) = foreign("SLUIS_TEST_PYTHON") else { return };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/audit_events.py");
    let check = |input: &[u8]| says(Command::new(&python).arg(&program), input);
    let lines = varied();
    assert!(lines.len() > 200);
    let fhir = rendered(Format::Fhir, &lines);
    let (good, said) = check(&fhir);
    assert!(good && said.contains(&format!("ok: {} AuditEvents", lines.len())), "{said}");
    // It would notice.
    let text = String::from_utf8(rendered(Format::Fhir, &lines[1..2])).unwrap();
    for (from, to) in [
        ("\"source\":", "\"sauce\":"),
        ("\"outcome\":", "\"outcom\":"),
        ("\"recorded\":\"20", "\"recorded\":\"x"),
        ("\"requestor\":true", "\"requestor\":\"perhaps\""),
        ("\"AuditEvent\"", "\"Patient\""),
        ("{", ""),
    ] {
        assert!(text.contains(from), "{from}");
        let (good, said) = check(text.replacen(from, to, 1).as_bytes());
        assert!(!good && said.contains("line 1"), "{from}: {said}");
    }
}

/// An export of what a hub gave, to models that nobody here wrote.
pub(crate) fn are_audit_events(file: &Path) {
    let Some(python) = foreign("SLUIS_TEST_PYTHON") else { return };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/audit_events.py");
    let events = std::fs::read_to_string(file).unwrap();
    let (good, said) = says(Command::new(&python).arg(program), events.as_bytes());
    assert!(good && said.contains(&format!("ok: {} AuditEvents", events.lines().count())), "{said}");
    assert!(events.lines().count() > 1);
}

#[test]
fn a_csv_reader_that_nobody_here_wrote_reads_every_cell() {
    let Some(python) = foreign("SLUIS_TEST_PYTHON") else { return };
    let lines = varied();
    let program = "import csv, io, json, sys\n\
                   text = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8', newline='')\n\
                   print(json.dumps(list(csv.DictReader(text, strict=True))))";
    let (good, said) = says(Command::new(&python).args(["-c", program]), &rendered(Format::Csv, &lines));
    assert!(good, "{said}");
    let rows: Vec<BTreeMap<String, String>> = serde_json::from_str(&said).unwrap();
    assert_eq!(rows.len(), lines.len());
    for (line, row) in lines.iter().zip(&rows) {
        assert_eq!((row.len(), &row["name"], row["listed"].clone()), (29, &line.name, line.listed.join(" ")));
        assert!(row.values().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "a formula in {row:?}");
        assert_eq!(row["motivation"].strip_prefix('\'').unwrap_or(&row["motivation"]), line.motivation);
    }
}

/// A log of some events, and what a hub would answer about them: newest first.
fn log(key: &PrivateKey, size: usize) -> Vec<(v1::Event, v1::EventProof)> {
    let events: Vec<Event> = (0..size)
        .map(|nth| Event {
            draft: Draft {
                method: "sluis.v1.Cases/GetCase",
                action: Some(Action::Read),
                organisation: OIN.to_owned(),
                user_ref: format!("mdw-{nth}"),
                ..Draft::default()
            },
            verdict: Verdict { outcome: Outcome::Allowed, clauses: vec!["13.a".to_owned()], covenant_version: 1 },
            stamp: Stamp {
                event_id: name(nth).replace("events/", ""),
                at: 1_800_000_000_000_000 + nth as i64,
                node: "node-1".to_owned(),
                salts: [[7; 16]; SALTS],
            },
        })
        .collect();
    let leaves: Vec<_> = events.iter().map(encode).collect();
    let mut edge = Edge::default();
    let files: BTreeMap<_, _> = edge.grow(leaves.iter().map(|leaf| record_hash(&leaf.leaf))).into_iter().collect();
    let checkpoint = Checkpoint::sign(key, Tree { size: edge.size(), root: edge.root() }).unwrap();
    let answer = |nth: usize| {
        let tile = |place| files.get(&place).cloned().unwrap_or_default();
        let make = |tiles: &Tiles| Proof::make(nth as u64, &checkpoint, tiles);
        let proof = v1::EventProof {
            event: name(nth),
            state: State::Proven.into(),
            leaf: leaves[nth].leaf.clone(),
            disclosures: disclosed(&leaves[nth].disclosures, &["case"]).unwrap(),
            proof: Tiles::default().gather(make, tile).unwrap().to_bytes(),
        };
        let event = v1::Event {
            name: name(nth),
            time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: i32::try_from(nth).unwrap() * 1000 }),
            method: "sluis.v1.Cases/GetCase".to_owned(),
            action: "R".to_owned(),
            outcome: v1::Outcome::Allowed.into(),
            organisation: format!("partners/{OIN}"),
            user_ref: format!("mdw-{nth}"),
            covenant_version: 1,
            clauses: vec!["13.a".to_owned()],
            node: "node-1".to_owned(),
            ..v1::Event::default()
        };
        (event, proof)
    };
    (0..size).rev().map(answer).collect()
}

#[test]
fn a_bundle_on_a_disk_verifies_with_the_public_key_alone() {
    let key = PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[1; 32]).unwrap();
    let answers = log(&key, 1_000);
    for format in Format::ALL {
        let directory = tempfile::tempdir().unwrap();
        let folder = Directory::new(directory.path().to_owned());
        let begin = || Bundle::new(folder.clone(), Policy::of_log(key.public().clone()), *format, Unproven::Fails);
        // One that broke off is none, and is begun anew.
        begin().unwrap().page(&[answers[0].0.clone()], &[answers[0].1.clone()]).unwrap();
        assert!(
            verify(&folder, &Policy::of_log(key.public().clone()), None)
                .unwrap_err()
                .to_string()
                .contains("manifest.json is missing")
        );
        let mut bundle = begin().unwrap();
        for page in answers.chunks(100) {
            let (events, proofs): (Vec<_>, Vec<_>) = page.iter().cloned().unzip();
            bundle.page(&events, &proofs).unwrap();
        }
        let manifest = bundle.finish(Story::default()).unwrap();
        assert!(begin().is_err(), "a whole one is not written over");
        let verified = verify(&folder, &Policy::of_log(key.public().clone()), None).unwrap();
        assert_eq!((verified.proven, verified.waiting, verified.manifest.clone()), (1_000, 0, manifest.clone()));
        assert!(fields(&verified).is_empty(), "{:?}", verified.uncovered);
        let mut names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "manifest.json")
            .collect();
        names.sort();
        assert!(manifest.files.keys().eq(&names), "nothing else is left: {names:?}");
        for name in names {
            let file = directory.path().join(name);
            let honest = std::fs::read(&file).unwrap();
            let mut changed = honest.clone();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            std::fs::write(&file, changed).unwrap();
            assert!(verify(&folder, &Policy::of_log(key.public().clone()), None).is_err(), "{}", file.display());
            std::fs::write(&file, honest).unwrap();
        }
        assert!(verify(&folder, &Policy::of_log(key.public().clone()), None).is_ok());
    }
}

/// Everything that an officer may see, newest first, each with its proof.
async fn seen_by(officer: &Client, organisation: &str) -> (PublicKey, Vec<(v1::Event, v1::EventProof)>) {
    let request = v1::QueryEventsRequest {
        context: why("36", "verantwoording", v1::Role::R14).context(),
        organisation: format!("partners/{organisation}"),
        page_size: 100,
        ..v1::QueryEventsRequest::default()
    };
    let events =
        officer.call::<_, v1::QueryEventsResponse>("Audit/QueryEvents", &request).await.unwrap().message.events;
    let asked = v1::ProveEventsRequest { events: events.iter().map(|event| event.name.clone()).collect() };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let proven = officer.call::<_, v1::ProveEventsResponse>("Audit/ProveEvents", &asked).await.unwrap().message;
        if proven.proofs.iter().all(|proof| proof.state() == State::Proven) {
            return (proven.log_key.parse().unwrap(), events.into_iter().zip(proven.proofs).collect());
        }
        assert!(Instant::now() < deadline, "not proven in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a hub shows its officers is backed by what it proves, field by field, and says for which fields it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hub_answers_becomes_a_bundle_that_verifies() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (gemeente, aanbieder) = (&players.gemeente, &players.aanbieder);
    let case = gemeente.refer(Some(network.voprf("999990019"))).await.unwrap().message.name;
    gemeente.refer(None).await.unwrap();
    gemeente.assign(&case, v1::Role::R07, aanbieder).await.unwrap();
    let (category, form, roles) = (v1::Category::C06, v1::Form::P, vec![v1::Role::R03]);
    let content = Content { case, why: AANMELDING, category, form, roles, content: b"proef".to_vec() };
    gemeente.publish(&content).await.unwrap();
    let (aanmelding, unknown) = (why("10", "aanmelding", v1::Role::R02), format!("cases/{}", id()));
    for (party, name) in [(gemeente, &content.case), (gemeente, &unknown), (aanbieder, &content.case)] {
        let request = v1::GetCaseRequest { context: aanmelding.context(), name: name.clone(), ..Default::default() };
        let _ = party.client().call::<_, v1::Case>("Cases/GetCase", &request).await;
    }
    let officer_of = async |oin, name| {
        let officer = network.certificate(oin).await;
        network.register_certificate(&officer, v1::HolderKind::Officer, name).await;
        officer
    };
    let officers = [officer_of(GEMEENTE, "fg-gemeente").await, officer_of(AANBIEDER, "fg-aanbieder").await];
    // Of what others did an officer opens nothing; the network's officer opens all. Names of cases are each reader's own, and so are
    // pseudonyms: the leaf has one only where a call is about a youth and no case.
    let others: &[&str] = &["case", "categories", "keyHash", "node", "reason", "recipients", "role", "subject"];
    for (officer, most) in [
        (&officers[0], &["case", "keyHash", "node", "reason", "subject"][..]),
        (&officers[1], others),
        (&network.officer, &["case", "subject"]),
    ] {
        let (log, answers) = seen_by(&officer.client, GEMEENTE).await;
        let directory = tempfile::tempdir().unwrap();
        let folder = Directory::new(directory.path().to_owned());
        let mut bundle =
            Bundle::new(folder.clone(), Policy::of_log(log.clone()), Format::Fhir, Unproven::Fails).unwrap();
        let (events, proofs): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        bundle.page(&events, &proofs).unwrap();
        bundle.finish(Story::default()).unwrap();
        let verified = verify(&folder, &Policy::of_log(log.clone()), None).unwrap();
        assert!(verified.proven as usize == events.len() && !events.is_empty());
        assert!(fields(&verified).iter().all(|field| most.contains(field)), "{:?}", verified.uncovered);
    }
}

/// Fields that say something for which there is no proof.
fn fields(verified: &sluis::audit::export::Verified) -> Vec<&'static str> {
    verified.uncovered.keys().copied().filter(|field| !field.starts_with("group ")).collect()
}
