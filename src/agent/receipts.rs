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
use crate::clock::micros;
use crate::redact::log;
use crate::status::RECEIPT;
use crate::tlog::{Proof, PublicKey, Receipt, record_hash};

/// Between two looks whether there are proofs.
const LOOK: Duration = Duration::from_secs(20);
/// A receipt is asked after when it is this old, microseconds: a proof takes a second or two.
const YOUNG: i64 = 3_000_000;
/// Events in one question.
const AT_ONCE: usize = 100;

/// Receipts of this agent's calls: `waiting` for their proof, `kept` with the place that they have in the log, and `broken`.
pub(super) struct Receipts {
    log: PublicKey,
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
    pub(super) fn open(store: &Path, log: PublicKey) -> io::Result<Self> {
        let directory = store.join("receipts");
        private_directory(&directory)?;
        let mut receipts = BTreeMap::new();
        let file = directory.join("waiting");
        if file.exists() {
            for line in std::fs::read_to_string(&file)?.lines() {
                // The end of a line that was cut off is no receipt.
                if let Some(promise) = Promise::read(line, &log) {
                    receipts.insert(promise.event_id.clone(), promise);
                }
            }
        }
        let file = rewrite(&directory, &receipts)?;
        Ok(Self { log, directory, waiting: Mutex::new(Waiting { receipts, file }) })
    }

    /// Keeps the receipt that came with an answer.
    fn keep(&self, metadata: &MetadataMap) {
        let Some(event) = event_of(metadata) else { return };
        let bytes = metadata.get_bin(RECEIPT).and_then(|value| value.to_bytes().ok());
        let receipt = bytes.as_ref().and_then(|bytes| Receipt::open(bytes, &self.log).ok());
        let (Some(event_id), Some(receipt), Some(bytes)) = (event.strip_prefix("events/"), receipt, bytes) else {
            tracing::error!(event, "ALARM: the hub named an event and gave no receipt of its log for it");
            return;
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let promise = Promise { event_id: event_id.to_owned(), receipt, bytes: bytes.to_vec() };
        if let Err(error) = writeln!(waiting.file, "{}", promise.line()) {
            tracing::error!(error = %error, "a receipt can't be written down; it is kept in memory");
        }
        waiting.receipts.insert(promise.event_id.clone(), promise);
    }

    /// Those that are old enough to ask after.
    fn due(&self, now: OffsetDateTime) -> Vec<Promise> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = micros(now) - YOUNG;
        waiting.receipts.values().filter(|promise| promise.receipt.at < before).cloned().collect()
    }

    /// Writes down what became of some, and forgets that they waited.
    fn settle(&self, settled: &[(Promise, Kept)]) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (promise, kept) in settled {
            let (name, line) = match kept {
                Kept::NotYet => continue,
                _ if !waiting.receipts.contains_key(&promise.event_id) => continue,
                Kept::Yes(index) => ("kept", format!("{} {index}", promise.line())),
                Kept::No(why) => ("broken", format!("{} {why}", promise.line())),
            };
            let mut file = append(&self.directory.join(name))?;
            writeln!(file, "{line}")?;
            if let Kept::No(why) = kept {
                file.sync_all()?;
                tracing::error!(event = promise.event_id, why, "ALARM: the hub broke its word about its log");
            }
            waiting.receipts.remove(&promise.event_id);
        }
        waiting.file = rewrite(&self.directory, &waiting.receipts)?;
        Ok(())
    }
}

/// What a proof makes of a promise.
fn judge(promise: &Promise, proof: &v1::EventProof, log: &PublicKey, now: OffsetDateTime) -> Kept {
    let receipt = &promise.receipt;
    if proof.state() != State::Proven {
        let late = micros(now).saturating_sub(receipt.at) > i64::from(receipt.within) * 1_000_000;
        return if late { Kept::No("no proof within the time that was promised") } else { Kept::NotYet };
    }
    if record_hash(&proof.leaf) != receipt.entry || !is_of(&proof.leaf, &promise.event_id) {
        return Kept::No("the log holds something else than was promised");
    }
    match Proof::from_bytes(&proof.proof).ok().map(|proof| (proof.index, proof.verify(receipt.entry, log))) {
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
        let answer = self.links.hub.call(again, call).await;
        if let Some(receipts) = &self.receipts {
            receipts.keep(answer.as_ref().map_or_else(Status::metadata, Response::metadata));
        }
        answer
    }

    /// Asks for proofs, for ever.
    pub(super) async fn ask_for_proofs(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(receipts) = &self.receipts else { return };
            for some in receipts.due(self.clock.now()).chunks(AT_ONCE) {
                if let Err(why) = self.ask_for(receipts, some).await {
                    tracing::warn!(why = %why, receipts = log(&some.len()), "no proofs now: asked again later");
                    break;
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
        let judge = |(promise, proof): (&Promise, _)| (promise.clone(), judge(promise, proof, &receipts.log, now));
        let judged: Vec<(Promise, Kept)> = some.iter().zip(&proofs).map(judge).collect();
        receipts.settle(&judged).map_err(|error| error.to_string())
    }
}

impl Promise {
    fn read(line: &str, log: &PublicKey) -> Option<Self> {
        let (event_id, receipt) = line.split_once(' ')?;
        let bytes = STANDARD.decode(receipt).ok()?;
        Some(Self { event_id: event_id.to_owned(), receipt: Receipt::open(&bytes, log).ok()?, bytes })
    }

    fn line(&self) -> String {
        format!("{} {}", self.event_id, STANDARD.encode(&self.bytes))
    }
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
    let (path, next) = (directory.join("waiting"), directory.join("waiting.next"));
    drop(std::fs::remove_file(&next));
    let mut file = append(&next)?;
    for promise in receipts.values() {
        writeln!(file, "{}", promise.line())?;
    }
    file.sync_all()?;
    std::fs::rename(&next, &path)?;
    Ok(file)
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

    const LEAF: &[u8] = br#"{"id":"0192f3a0-0000-7000-8000-000000000000"}"#;

    fn promise(leaf: &[u8], at: OffsetDateTime, key: &PrivateKey) -> Promise {
        let bytes = Together::new(&[record_hash(leaf)], micros(at)).receipt(0, 3600, key).unwrap();
        Promise { event_id: EVENT.to_owned(), receipt: Receipt::open(&bytes, key.public()).unwrap(), bytes }
    }

    /// A proof of this leaf, second of three.
    fn proof(leaf: &[u8], key: &PrivateKey) -> v1::EventProof {
        let mut edge = Edge::default();
        let mut tiles = Tiles::default();
        for (place, bytes) in edge.grow([record_hash(b"a"), record_hash(leaf), record_hash(b"b")]).tiles {
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
            assert_eq!(judge(&promise(LEAF, now, &log), &proof, log.public(), at), expected);
        }
        // The promise was of another event from the start, and so is the proof.
        let other = br#"{"id":"0192f3a0-0000-7000-8000-000000000001"}"#;
        let verdict = judge(&promise(other, now, &log), &proof(other, &log), log.public(), soon);
        assert_eq!(verdict, Kept::No("the log holds something else than was promised"));
    }

    #[test]
    fn receipts_outlive_the_agent_and_are_settled_once() {
        let folder = tempfile::tempdir().unwrap();
        let (log, now) = (key(1), SystemClock.now());
        let open = || Receipts::open(folder.path(), log.public().clone()).unwrap();
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
        // Without one, with another log's: nothing is believed.
        receipts.keep(&said(&name, None));
        receipts.keep(&said(&name, Some(promise(LEAF, now, &key(2)).bytes)));
        assert_eq!(receipts.due(now), []);
        receipts.keep(&said(&name, Some(given.bytes.clone())));
        drop(receipts);

        let receipts = open();
        assert_eq!(receipts.due(now), std::slice::from_ref(&given));
        assert_eq!(receipts.due(now - time::Duration::minutes(1)), [], "too young to ask after");
        receipts.settle(&[(given.clone(), Kept::NotYet)]).unwrap();
        assert_eq!(receipts.due(now).len(), 1);
        receipts.settle(&[(given.clone(), Kept::No("proef"))]).unwrap();
        receipts.settle(&[(given.clone(), Kept::Yes(3))]).unwrap();
        drop(receipts);
        assert_eq!(open().due(now), []);
        let broken = std::fs::read_to_string(folder.path().join("receipts/broken")).unwrap();
        assert!(broken.starts_with(EVENT) && broken.ends_with(" proef\n"), "{broken}");
        assert!(!folder.path().join("receipts/kept").exists());
    }
}
