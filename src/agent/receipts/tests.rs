//! Promises that are kept, and that are not.

use tonic::metadata::MetadataValue;
use tonic::{Response, Status};

use super::*;
use crate::clock::{ShiftedClock, SystemClock};
use crate::reconcile::journal::{Called, Inbox, Journal};
use crate::tlog::{Checkpoint, Edge, Kind, PrivateKey, Tiles, Together, Tree};

const EVENT: &str = "0192f3a0-0000-7000-8000-000000000000";

fn key(seed: u8) -> PrivateKey {
    PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[seed; 32]).unwrap()
}

fn opened(folder: &Path, log: &PrivateKey) -> io::Result<Receipts> {
    opened_at(folder, log, Arc::new(SystemClock))
}

fn opened_at(folder: &Path, log: &PrivateKey, clock: Arc<dyn Clock>) -> io::Result<Receipts> {
    Receipts::open(folder, log.public().clone(), Policy::of_log(log.public().clone()), clock)
}

const LEAF: &[u8] = br#"{"id":"0192f3a0-0000-7000-8000-000000000000"}"#;

fn promise(leaf: &[u8], at: OffsetDateTime, key: &PrivateKey) -> Promise {
    let bytes = Together::new(&[record_hash(leaf)], micros(at)).receipt(0, 3600, key).unwrap();
    let receipt = Receipt::open(&bytes, key.public()).unwrap();
    Promise { event_id: EVENT.to_owned(), receipt, since: micros(at), bytes, call: None }
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
    // Its witnesses may be about to change.
    let witness = PrivateKey::from_seed("w.example".parse().unwrap(), Kind::Witness, &[7; 32]).unwrap();
    let text = format!("log {}\nwitness w {}\nquorum w\n", log.public(), witness.public());
    let policy = Policy::from_bytes(text.as_bytes()).unwrap();
    for (at, expected) in [(soon, Kept::NotYet), (late, Kept::No("no proof that the witnesses signed"))] {
        assert_eq!(judge(&promise(LEAF, now, &log), &proof(LEAF, &log), &policy, at), expected);
    }
    // The promise was of another event from the start, and so is the proof.
    let other = br#"{"id":"0192f3a0-0000-7000-8000-000000000001"}"#;
    let verdict = judge(&promise(other, now, &log), &proof(other, &log), &Policy::of_log(log.public().clone()), soon);
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
    let call = |outcome: &str| Call {
        called: Called::Rpc("sluis.v1.Cases/GetCase".into()),
        outcome: outcome.into(),
        at: micros(now),
    };
    let keep = |receipts: &Receipts, metadata: MetadataMap, outcome: &str, began| {
        receipts.keep(&metadata, call(outcome), began, Settle::Later);
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
        keep(&receipts, said(event, receipt), OK, now);
    }
    keep(&receipts, MetadataMap::new(), OK, now);
    keep(&receipts, MetadataMap::new(), "Unavailable", now);
    assert_eq!(receipts.due(now), []);
    let began = from_micros(given.since);
    keep(&receipts, said(&name, Some(given.bytes.clone())), "PermissionDenied", began);
    let given = Promise { call: Some(call("PermissionDenied")), ..given };
    keep(&receipts, said(&name, Some(promise(b"other", now, &log).bytes)), OK, began);
    // Nor is it the answer to another call.
    keep(&receipts, said(&name, Some(given.bytes.clone())), OK, began + time::Duration::seconds(1));
    assert_eq!(receipts.due(now), std::slice::from_ref(&given));
    let broken = written(folder.path(), "broken");
    let why: Vec<&str> = broken.lines().filter_map(|line| Written::read(line)).map(|(_, why)| why).collect();
    assert_eq!(why, ["another receipt for an event that has one", "the receipt of another call"]);
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
    assert!(!folder.path().join("receipts").join(month("kept", given.since)).exists());
}

/// What stands in a file of this name, of whichever month.
fn written(folder: &Path, name: &str) -> String {
    let mut files = std::fs::read_dir(folder.join("receipts")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name));
    file.map_or_else(String::new, |file| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        std::fs::read_to_string(file).unwrap()
    })
}

#[tokio::test]
async fn every_call_is_written_down_with_what_came_of_it() {
    const REPORT: &str = "sluis.v1.Audit/ReportRefusal:sluis.v1.Cases/GetCase:r-1";
    let folder = tempfile::tempdir().unwrap();
    let log = key(1);
    let receipts = opened(folder.path(), &log).unwrap();
    let leaf = |nth: usize| LEAF.to_vec().into_iter().chain(nth.to_string().into_bytes()).collect::<Vec<u8>>();
    let named = |nth: usize| EVENT.replace("8000", &format!("800{nth}"));
    let said = |nth: usize| {
        let mut metadata = MetadataMap::new();
        metadata.insert(crate::status::EVENT, format!("events/{}", named(nth)).parse().unwrap());
        let receipt = promise(&leaf(nth), SystemClock.now(), &log).bytes;
        metadata.insert_bin(RECEIPT, MetadataValue::from_bytes(&receipt));
        metadata
    };
    let done = |nth: usize| {
        let mut answer = Response::new(());
        *answer.metadata_mut() = said(nth);
        Ok(answer)
    };
    let refused = |nth: usize| {
        let mut status = Status::permission_denied("no");
        *status.metadata_mut() = said(nth);
        Err::<Response<()>, _>(status)
    };
    receipts.watch(GET.into(), async { done(1) }).await.unwrap();
    receipts.watch(GET.into(), async { refused(2) }).await.unwrap_err();
    // The hub takes the report of a refusal, or refuses it itself.
    receipts.watch(Asked::refusing(&report(GET)), async { done(3) }).await.unwrap();
    receipts.watch(Asked::refusing(&report(GET)), async { refused(4) }).await.unwrap_err();
    receipts.watch(Asked::in_passing(PROVE), async { done(5) }).await.unwrap();
    receipts.ended("sluis.v1.Inbox/StreamInbox", &refused(6).unwrap_err());
    // A call without an answer, and one whose caller left.
    let nothing = async { Err::<Response<()>, _>(Status::unavailable("gone")) };
    receipts.watch(GET.into(), nothing).await.unwrap_err();
    drop(for_a_moment(receipts.watch(GET.into(), std::future::pending::<Result<Response<()>, Status>>())).await);

    let calls: BTreeMap<String, (String, String)> = written(folder.path(), "waiting")
        .lines()
        .map(|line| {
            let (written, rest) = Written::read(line).unwrap();
            assert_eq!(rest, "");
            let call = written.call.unwrap();
            (written.event_id, (call.called.to_string(), call.outcome))
        })
        .collect();
    let expected = [
        (1, GET, OK),
        (2, GET, "PermissionDenied"),
        (3, REPORT, OK),
        (4, REPORT, "PermissionDenied"),
        (6, "sluis.v1.Inbox/StreamInbox", "PermissionDenied"),
    ];
    let expected = expected.map(|(nth, method, outcome)| (named(nth), (method.to_owned(), outcome.to_owned())));
    assert_eq!(calls, BTreeMap::from(expected));
    let asked = written(folder.path(), "asked");
    assert!(asked.starts_with(&named(5)) && asked.contains(PROVE) && asked.lines().count() == 1, "{asked}");
    let ended = written(folder.path(), "under_way");
    assert_eq!(ended.lines().filter(|line| line.starts_with("- ")).count() * 2, ended.lines().count(), "{ended}");
    receipts.tidy().unwrap();
    assert_eq!(written(folder.path(), "under_way"), "");
    let lost = written(folder.path(), "lost");
    assert!(lost.lines().all(|line| line.starts_with(GET)) && lost.lines().count() == 2, "{lost}");
}

const GET: &str = "sluis.v1.Cases/GetCase";

fn report(of: &str) -> v1::ReportRefusalRequest {
    v1::ReportRefusalRequest { request_id: "r-1".into(), method: of.into(), ..v1::ReportRefusalRequest::default() }
}

#[tokio::test]
async fn a_call_stands_in_the_journal_before_it_is_made_and_is_lost_when_the_agent_ends_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let receipts = opened(folder.path(), &key(1)).unwrap();
    let mut calling = Box::pin(receipts.watch(Asked::refusing(&report(GET)), std::future::pending()));
    let call: &mut (dyn Future<Output = Result<Response<()>, Status>> + Unpin) = &mut calling;
    assert!(for_a_moment(call).await.is_none());
    let begun = written(folder.path(), "under_way");
    let word = "sluis.v1.Audit/ReportRefusal:sluis.v1.Cases/GetCase:r-1";
    assert!(begun.starts_with("+ ") && begun.ends_with(&format!(" {word}\n")), "{begun}");
    assert_eq!(written(folder.path(), "lost"), "", "nobody knows yet");
    // As a killed agent leaves it, and once more by one that is killed while it starts.
    receipts.tidy().unwrap();
    std::mem::forget(calling);
    drop(opened(folder.path(), &key(1)).unwrap());
    drop(opened(folder.path(), &key(1)).unwrap());
    let lost = written(folder.path(), "lost");
    assert!(lost.starts_with(&format!("{word} ")) && lost.lines().count() == 1, "{lost}");
    assert_eq!(written(folder.path(), "under_way"), "");
}

/// Waits for it a little, and leaves.
async fn for_a_moment<T>(call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(1), call).await.ok()
}

/// Whoever is killed says nothing any more: until when it listened, it said before.
#[test]
fn that_somebody_listens_is_said_again() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(ShiftedClock::new(Arc::new(SystemClock))));
    let receipts = opened_at(folder.path(), &key(1), Arc::<ShiftedClock>::clone(&clock)).unwrap();
    let later = |minutes| {
        clock.forward(time::Duration::minutes(minutes));
        receipts.still_listens();
    };
    later(11);
    receipts.mark(Inbox::Opened, |streams| streams + 1);
    [9, 2, 9, 2].into_iter().for_each(later);
    receipts.mark(Inbox::Closed, |streams| streams - 1);
    later(11);
    let (now, text) = (micros(clock.now()), written(folder.path(), "received"));
    let marks: String = text.lines().filter_map(|line| line.chars().next()).collect();
    assert_eq!(marks, "0+==-", "{text}");
    let mut journal = Journal::default();
    journal.add_received(text.split_inclusive('\n').take(3).collect::<String>().as_str());
    let minute = 60 * 1_000_000;
    // The last word that counts here was said 22 minutes before.
    assert!(journal.has_listened_since(now - 23 * minute) && !journal.has_listened_since(now - 21 * minute), "{text}");
}

#[test]
fn a_record_is_written_down_once_also_by_the_agent_after_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = key(1);
    let item = |name: String| v1::InboxItem {
        item: Some(v1::inbox_item::Item::Record(v1::Record { name, ..v1::Record::default() })),
        create_time: Some(prost_types::Timestamp { seconds: 7, nanos: 0 }),
        event: format!("events/{EVENT}"),
        ..v1::InboxItem::default()
    };
    for _ in 0..2 {
        let receipts = opened(folder.path(), &log).unwrap();
        for name in [format!("records/{EVENT}"), format!("records/{EVENT}"), "records/none".to_owned(), String::new()] {
            receipts.told(&item(name));
        }
        receipts.told(&v1::InboxItem::default());
    }
    let text = written(folder.path(), "received");
    let lines: Vec<&str> = text.lines().collect();
    let [started, record, again] = lines[..] else { panic!("{text}") };
    assert!(started.starts_with("0 ") && again.starts_with("0 "), "{text}");
    assert!(
        record.starts_with(&format!("records/{EVENT} ")) && record.ends_with(&format!(" 7000000 events/{EVENT}")),
        "{text}"
    );
}
