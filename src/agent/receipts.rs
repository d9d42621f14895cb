//! The log's word, and whether it was kept. With every answer the hub gives a receipt: this will be in the log. The agent keeps
//! it, asks for the proof before long, and says ALARM when there is none or another one: a hub that drops or alters an event
//! is found out by the very partner to whom it said that the event is there.

mod attempt;
mod received;
mod under_way;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tonic::metadata::MetadataMap;

pub(super) use attempt::Asked;
pub(super) use received::Listening;
use received::Received;
use under_way::UnderWay;

use super::Agent;
use super::nodes::{Again, Node};
use super::refusal::event_of;
use super::spool::private_directory;
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::api::v1::event_proof::State;
use crate::audit::is_of;
use crate::clock::{Clock, from_micros, micros};
use crate::reconcile::journal::{Call, OK, Promise as Written};
use crate::redact::log;
use crate::status::RECEIPT;
use crate::tlog::{Disbelief, Hash, NotProven, Policy, Proof, PublicKey, Receipt, record_hash};
use crate::whole_file::replace;

/// Between two looks whether there are proofs.
const LOOK: Duration = Duration::from_secs(20);
/// A receipt is asked after when it is this old, microseconds: a proof takes a second or two.
const YOUNG: i64 = 3_000_000;
/// A promise for later than this is none, seconds.
const LONGEST: u32 = 7 * 24 * 3600;
/// How far this machine's clock may be ahead of the hub's, microseconds.
const TOLERANCE: i64 = 120_000_000;
/// Events in one question: a leaf may have 64 KiB, and a reply 4 MiB.
const AT_ONCE: usize = 40;
/// Between two words about the same silence.
const AGAIN: Duration = Duration::from_secs(3600);
/// The question.
const PROVE: &str = "sluis.v1.Audit/ProveEvents";

/// Receipts of this agent's calls: `waiting` for their proof, `kept.YYYY-MM` with the place that they have in the log, `broken`,
/// and `other` that could not be read under the log's key. `asked.YYYY-MM` has those for the questions themselves, which wait for
/// nothing, `under_way` the calls that have begun, `lost.YYYY-MM` those that ended without an answer, `received.YYYY-MM` the records that the hub told of: `sluis audit
/// reconcile` holds all of it against the log.
pub(super) struct Receipts {
    log: PublicKey,
    /// Whom a proof's checkpoint must be signed by.
    policy: Policy,
    directory: PathBuf,
    waiting: Mutex<Waiting>,
    under_way: Mutex<UnderWay>,
    received: Mutex<Received>,
    clock: Arc<dyn Clock>,
}

struct Waiting {
    /// By event.
    receipts: BTreeMap<String, Promise>,
    /// Events that were the answer to a call: when it began, and what the log was to hold. Kept for as long as the hub could give
    /// the same receipt for a later call.
    answered: BTreeMap<String, (i64, Hash)>,
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
    /// What was called, and what came of it.
    call: Option<Call>,
}

/// Whether a receipt is asked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settle {
    Later,
    Never,
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
    pub(super) fn open(store: &Path, log: PublicKey, policy: Policy, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let directory = store.join("receipts");
        private_directory(&directory)?;
        let mut receipts = BTreeMap::new();
        let file = directory.join("waiting");
        if file.exists() {
            for line in std::fs::read_to_string(&file)?.lines() {
                match Promise::read(line, &log) {
                    Some(promise) => drop(receipts.insert(promise.event_id.clone(), promise)),
                    // The log has another key now, or the line was cut off: evidence all the same.
                    None => {
                        tracing::warn!(file = "other", "a receipt that the log's key does not open is put aside");
                        writeln!(append(&directory.join("other"))?, "{line}")?;
                    }
                }
            }
        }
        let file = rewrite(&directory, &receipts)?;
        let received = Mutex::new(Received::open(&directory, micros(clock.now()))?);
        let under_way = Mutex::new(UnderWay::open(&directory)?);
        let answered = receipts.iter().map(|(id, promise)| (id.clone(), (promise.since, promise.receipt.entry)));
        let waiting = Mutex::new(Waiting { answered: answered.collect(), receipts, file });
        Ok(Self { log, policy, directory, waiting, under_way, received, clock })
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the receipt that came with an answer to a call that began at `began`. Whether the answer says anything of the log.
    fn keep(&self, metadata: &MetadataMap, call: Call, began: OffsetDateTime, settle: Settle) -> bool {
        let event = event_of(metadata);
        if event.is_none() && call.outcome != OK {
            // No answer, or one that could not be written down: nothing was said of the log.
            return false;
        }
        let kept = self.promise(event.as_deref(), metadata, began).and_then(|promise| {
            let promise = Promise { call: Some(call), ..promise };
            self.is_first(&promise)?;
            match settle {
                Settle::Later => self.wait_for(promise),
                Settle::Never => self.write("asked", promise.since, &promise.line()),
            }
            Ok(())
        });
        let Err(why) = kept else { return true };
        tracing::error!(event, why, "ALARM: the hub answered, and gave no word of its log that can be held against it");
        true
    }

    /// Adds a line to the file of this name for the month of a moment. Nothing is waiting for it: what can't be written is lost.
    fn write(&self, name: &str, at: i64, line: &str) {
        let written = append(&self.directory.join(month(name, at))).and_then(|mut file| writeln!(file, "{line}"));
        if let Err(error) = written {
            tracing::error!(error = %error, file = name, "the journal of calls can't be written");
        }
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
        Ok(Promise { event_id, receipt, since: micros(began), bytes, call: None })
    }

    /// Whether its event was the answer to no other call: each has an event of its own, also one that repeats another. What
    /// was given for two stands as broken.
    fn is_first(&self, promise: &Promise) -> Result<(), &'static str> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = promise.receipt.entry;
        let why = match waiting.answered.get(&promise.event_id) {
            None => {
                waiting.answered.insert(promise.event_id.clone(), (promise.since, entry));
                return Ok(());
            }
            Some((_, known)) if *known == entry => "the receipt of another call",
            Some(_) => "another receipt for an event that has one",
        };
        drop(waiting);
        let line = format!("{} {why}", promise.line());
        let written = append(&self.directory.join("broken")).and_then(|mut file| writeln!(file, "{line}"));
        if let Err(error) = written {
            tracing::error!(error = %error, "a broken promise can't be written down");
        }
        Err(why)
    }

    fn wait_for(&self, promise: Promise) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(waiting.file, "{}", promise.line()) {
            tracing::error!(error = %error, "a receipt can't be written down; it is kept in memory");
        }
        waiting.receipts.insert(promise.event_id.clone(), promise);
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
                Kept::Yes(index) => (month("kept", promise.since), format!("{} {index}", promise.line())),
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
        // A receipt of before that is not taken for a call of now.
        let before = micros(self.clock.now()) - 2 * TOLERANCE;
        waiting.answered.retain(|_, (since, _)| *since > before);
        self.under_way().tidy(&self.directory)
    }
}

/// What a proof makes of a promise.
fn judge(promise: &Promise, proof: &v1::EventProof, policy: &Policy, now: OffsetDateTime) -> Kept {
    let receipt = &promise.receipt;
    let waits = |why| if promise.is_late(now) { Kept::No(why) } else { Kept::NotYet };
    if proof.state() != State::Proven {
        return waits("no proof within the time that was promised");
    }
    if record_hash(&proof.leaf) != receipt.entry || !is_of(&proof.leaf, &promise.event_id) {
        return Kept::No("the log holds something else than was promised");
    }
    let broken = Kept::No("the proof does not hold");
    let Ok(proof) = Proof::from_bytes(&proof.proof) else { return broken };
    match policy.verify(&proof, receipt.entry) {
        Ok(_) => Kept::Yes(proof.index),
        // Its witnesses may be others by now, here or at the hub.
        Err(NotProven::Checkpoint(Disbelief::Quorum)) => waits("no proof that the witnesses signed"),
        Err(_) => broken,
    }
}

impl Agent {
    /// Asks for proofs, for ever.
    pub(super) async fn ask_for_proofs(self) {
        let mut said = None::<tokio::time::Instant>;
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(receipts) = &self.receipts else { return };
            receipts.still_listens();
            let due = receipts.due(self.clock.now());
            let mut late = 0;
            for some in due.chunks(AT_ONCE) {
                match self.ask_for(receipts, some).await {
                    Ok(judged) => {
                        if let Err(error) = receipts.settle(&judged) {
                            tracing::error!(error = %error, "what became of receipts can't be written down");
                        }
                    }
                    Err(why) => {
                        tracing::warn!(why = %why, receipts = log(&some.len()), "no proofs now: asked again later");
                        late += some.iter().filter(|promise| promise.is_late(self.clock.now())).count();
                    }
                }
            }
            // Whose fault it is that nobody answers, nothing shows: no promise is broken by that alone.
            if late > 0 && said.is_none_or(|said| said.elapsed() >= AGAIN) {
                said = Some(tokio::time::Instant::now());
                tracing::error!(receipts = log(&late), "ALARM: nobody proves what the hub promised");
            }
            if !due.is_empty() {
                let agent = self.clone();
                let tidy = move || agent.receipts.as_ref().map_or(Ok(()), |receipts| receipts.tidy());
                let tidied = tokio::task::spawn_blocking(tidy).await;
                if !matches!(tidied, Ok(Ok(()))) {
                    tracing::error!("the receipts that wait can't be written down; they are kept in memory");
                }
            }
        }
    }

    async fn ask_for(&self, receipts: &Receipts, some: &[Promise]) -> Result<Vec<(Promise, Kept)>, String> {
        let events: Vec<String> = some.iter().map(|promise| format!("events/{}", promise.event_id)).collect();
        let ask = |node: Node| {
            let request = v1::ProveEventsRequest { events: events.clone() };
            // Nobody asks after the receipt for the question: that would never end.
            async move {
                let asked = Asked::in_passing(PROVE);
                receipts.watch(asked, AuditClient::new(node.channel).prove_events(request)).await
            }
        };
        let answer = self.links.hub.call(Again::Yes, ask).await.map_err(|status| status.message().to_owned())?;
        let proofs = answer.into_inner().proofs;
        if proofs.len() != some.len() || proofs.iter().zip(&events).any(|(proof, event)| proof.event != *event) {
            return Err("the hub's answer is not to what was asked".to_owned());
        }
        let now = self.clock.now();
        let judge = |(promise, proof): (&Promise, _)| (promise.clone(), judge(promise, proof, &receipts.policy, now));
        Ok(some.iter().zip(&proofs).map(judge).collect())
    }
}

impl Promise {
    fn read(line: &str, log: &PublicKey) -> Option<Self> {
        let (Written { event_id, since, receipt: bytes, call }, _) =
            Written::read(line).filter(|(_, rest)| rest.is_empty())?;
        Some(Self { event_id, receipt: Receipt::open(&bytes, log).ok()?, since, bytes, call })
    }

    /// Whether its proof was promised for a moment before this one.
    fn is_late(&self, now: OffsetDateTime) -> bool {
        micros(now).saturating_sub(self.since) > i64::from(self.receipt.within) * 1_000_000
    }

    fn line(&self) -> String {
        let Self { event_id, since, bytes, call, .. } = self.clone();
        Written { event_id, since, receipt: bytes, call }.to_string()
    }
}

/// The file of this name for the month of a moment: whole months can be put away.
fn month(name: &str, at: i64) -> String {
    let at = from_micros(at);
    format!("{name}.{}-{:02}", at.year(), u8::from(at.month()))
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
mod tests;
