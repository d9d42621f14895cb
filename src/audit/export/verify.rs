//! Whether a bundle is what it says it is. Needs the log's public key, or its policy, and nothing else.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead as _, BufReader, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::bundle::Folder;
use super::compare::compare;
use super::line::NotALine;
use super::manifest::{CHECKPOINT, ERASURES, EVENTS, MANIFEST, PROOFS, measure};
use super::{Format, Line, Manifest, Rendering};
use crate::api::v1;
use crate::audit::{Erasures, Group, read};
use crate::tlog::{Checkpoint, Disbelief, NotProven, Policy, Proof, ProofError, Tree, record_hash};

/// Bytes of a line or a manifest, at most: a leaf has 64 KiB, its disclosures are no longer.
const MOST: u64 = 1 << 20;

/// A bundle that verifies.
#[derive(Debug)]
pub struct Verified {
    /// What it says of itself. Nobody signed that: who asked what and when is the word of whoever gave the bundle.
    pub manifest: Manifest,
    /// Events that are in the log.
    pub proven: u64,
    /// Events that were not under a checkpoint yet: nothing of them is proven.
    pub waiting: u64,
    /// The newest tree that a proof leads to.
    pub tree: Option<Tree>,
    /// Every tree that a proof leads to, smallest first. That they are of one log, only the log's tiles show.
    pub trees: Vec<Tree>,
    /// Of the events in the log, how often a field says something for which there is no proof.
    pub uncovered: BTreeMap<&'static str, u64>,
}

/// Where a bundle does not verify.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A proof of another event than the one in its place.
    #[error("{0}: the proof in its place is of another event")]
    AnotherEvent(String),
    /// A file that is not as it was written.
    #[error("{0} is not the file that was written")]
    Changed(String),
    /// `checkpoint`.
    #[error("checkpoint")]
    Checkpoint(#[source] Disbelief),
    /// Another number of events or of proofs than the manifest says.
    #[error("the manifest says another number of events than there are")]
    Count,
    /// Disclosures that are not of the leaf.
    #[error("{0}: a disclosure is not what a digest of its leaf is of")]
    Disclosure(String),
    /// A line that says something else than the log.
    #[error("{event}: {field} is not what stands in the log")]
    Field {
        /// Name of the event.
        event: String,
        /// Name of the field.
        field: &'static str,
    },
    /// Other files than belong to the format.
    #[error("the files are not those of a bundle of its format")]
    Files,
    /// Two trees of one size: the log was forked.
    #[error("two proofs lead to different trees of {0} entries: the log was forked")]
    Forked(u64),
    /// A leaf that can't be read.
    #[error("{0}: not the leaf of an event")]
    Leaf(String),
    /// A file that was cut off, or that grew.
    #[error("{file} has {found} bytes and should have {expected}")]
    Length {
        /// The file.
        file: String,
        /// As the manifest says.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// A line that is not one of this file.
    #[error("{0}: line {1} is not written as it should be")]
    Line(&'static str, u64),
    /// A manifest that was changed, or of a later version.
    #[error("the manifest was changed, or is of another version")]
    Manifest,
    /// A file is not there; without a manifest the export broke off.
    #[error("{0} is missing")]
    Missing(String),
    /// Newest first, each once.
    #[error("{0} stands in the wrong place, or twice")]
    Order(String),
    /// Checkpoints of another log.
    #[error("the manifest names the log {0}")]
    OtherLog(String),
    /// A proof that proves nothing.
    #[error("{0}")]
    Proof(String, #[source] NotProven),
    /// A file can't be read.
    #[error("{0} can't be read")]
    Read(String, #[source] io::Error),
    /// A part of an event that is neither there nor erased.
    #[error("{event}: group {group} is not there, and no erasure in the log names it")]
    Withheld {
        /// Name of the event.
        event: String,
        /// Name of the group.
        group: &'static str,
    },
    /// A part of an event that is said to be erased, by nothing.
    #[error("{event}: group {group} is said to be erased, and no erasure that is proven names it")]
    Unsaid {
        /// Name of the event.
        event: String,
        /// Name of the group.
        group: String,
    },
    /// A derived file that says something else than the events.
    #[error("{0} is not what this version makes of the events")]
    Rendering(&'static str),
}

impl Fault {
    /// Whether something was found that does not verify, rather than something that went wrong.
    pub const fn is_finding(&self) -> bool {
        !matches!(self, Self::Read(..))
    }
}

/// One line of `proofs.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evidence {
    /// events/{uuid}
    event: String,
    /// Base64.
    leaf: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    disclosures: Vec<String>,
    /// The file of proof, as it is; empty for an event that is not under a checkpoint yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    proof: String,
}

impl Evidence {
    pub(super) fn of(proof: &v1::EventProof) -> Result<Self, Fault> {
        let text = String::from_utf8(proof.proof.clone());
        Ok(Self {
            event: proof.event.clone(),
            leaf: STANDARD.encode(&proof.leaf),
            disclosures: proof.disclosures.clone(),
            proof: text.map_err(|_| Fault::Proof(proof.event.clone(), ProofError::Malformed.into()))?,
        })
    }
}

/// What is checked of each event, whoever writes or reads it.
pub(super) struct Checks {
    policy: Policy,
    /// Ids of the events so far.
    seen: HashSet<u128>,
    /// The last of them: its time and id.
    before: Option<(i64, String)>,
    /// The last note that was verified: pages come under one.
    note: Option<(Vec<u8>, Tree)>,
    /// Roots by size.
    roots: BTreeMap<u64, Tree>,
    newest: Option<Checkpoint>,
    waiting: u64,
    uncovered: BTreeMap<&'static str, u64>,
    /// What was erased by erasures of which there is a proof.
    proven: Erasures,
    /// All that was erased; nothing if nobody knows.
    all: Option<Erasures>,
}

impl Checks {
    pub(super) fn new(policy: Policy) -> Self {
        let (seen, roots, uncovered) = (HashSet::new(), BTreeMap::new(), BTreeMap::new());
        let (before, note, newest, proven, all) = (None, None, None, Erasures::default(), None);
        Self { policy, seen, before, note, roots, newest, waiting: 0, uncovered, proven, all }
    }

    pub(super) const fn newest(&self) -> Option<&Checkpoint> {
        self.newest.as_ref()
    }

    pub(super) fn events(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(super) const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// One event, after those that are newer.
    pub(super) fn event(&mut self, line: &Line, evidence: &Evidence) -> Result<(), Fault> {
        let event = || line.name.clone();
        if evidence.event != line.name {
            return Err(Fault::AnotherEvent(event()));
        }
        self.order(line)?;
        let leaf = STANDARD.decode(&evidence.leaf).map_err(|_| Fault::Leaf(event()))?;
        let clear = read::clear(&leaf).ok_or_else(|| Fault::Leaf(event()))?;
        let opened = read::opened(&leaf, evidence.disclosures.iter().map(String::as_str));
        let opened = opened.ok_or_else(|| Fault::Disclosure(event()))?;
        let all = self.all.as_ref();
        if let Some(group) = all.and_then(|known| known.withheld(&clear.id, &leaf, &evidence.disclosures)) {
            return Err(Fault::Withheld { event: event(), group: group.code() });
        }
        let proven = !evidence.proof.is_empty();
        if proven {
            self.proof(evidence, &leaf)?;
        } else {
            self.waiting += 1;
        }
        let uncovered =
            compare(line, &clear, &opened).map_err(|NotALine(field)| Fault::Field { event: event(), field })?;
        self.erased(line, &clear.id, &leaf, &evidence.disclosures)?;
        for field in uncovered.into_iter().filter(|field| proven && *field != "erased") {
            *self.uncovered.entry(field).or_default() += 1;
        }
        Ok(())
    }

    /// An event by which something was erased, before the events of which it was.
    pub(super) fn erasure(&mut self, evidence: &Evidence) -> Result<(), Fault> {
        let event = || evidence.event.clone();
        let leaf = STANDARD.decode(&evidence.leaf).map_err(|_| Fault::Leaf(event()))?;
        let clear = read::clear(&leaf).ok_or_else(|| Fault::Leaf(event()))?;
        if evidence.event != format!("events/{}", clear.id) {
            return Err(Fault::AnotherEvent(event()));
        }
        self.proof(evidence, &leaf)?;
        self.proven.add(&leaf);
        Ok(())
    }

    /// Whether what is said to be erased was.
    fn erased(&self, line: &Line, event_id: &str, leaf: &[u8], disclosures: &[String]) -> Result<(), Fault> {
        let unsaid = |group: String| Fault::Unsaid { event: line.name.clone(), group };
        let said = line.erased.iter().map(|group| group.parse().map_err(|_| unsaid(group.clone())));
        let said = said.collect::<Result<Vec<Group>, Fault>>()?;
        let unproven = self.proven.unsaid(event_id, leaf, disclosures, &said);
        unproven.map_or(Ok(()), |group| Err(unsaid(group.code().to_owned())))
    }

    fn order(&mut self, line: &Line) -> Result<(), Fault> {
        let wrong = || Fault::Order(line.name.clone());
        let at = line.micros().ok_or_else(wrong)?;
        let key = (at, line.id().to_owned());
        if self.before.as_ref().is_some_and(|before| *before <= key) {
            return Err(wrong());
        }
        let id = u128::from_str_radix(&key.1.replace('-', ""), 16).map_err(|_| wrong())?;
        self.before = Some(key);
        if self.seen.insert(id) { Ok(()) } else { Err(wrong()) }
    }

    fn proof(&mut self, evidence: &Evidence, leaf: &[u8]) -> Result<(), Fault> {
        let wrong = |error: ProofError| Fault::Proof(evidence.event.clone(), error.into());
        let proof = Proof::from_bytes(evidence.proof.as_bytes()).map_err(wrong)?;
        let tree = match &self.note {
            Some((note, tree)) if note == proof.note() => *tree,
            _ => self.checkpoint(proof.note()).map_err(|fault| match fault {
                Fault::Checkpoint(error) => Fault::Proof(evidence.event.clone(), error.into()),
                other => other,
            })?,
        };
        if proof.leads_to(record_hash(leaf), &tree) { Ok(()) } else { Err(wrong(ProofError::Inclusion)) }
    }

    /// A checkpoint of this log, which may not contradict another.
    fn checkpoint(&mut self, note: &[u8]) -> Result<Tree, Fault> {
        let checkpoint = self.policy.open(note).map_err(Fault::Checkpoint)?;
        let tree = *checkpoint.tree();
        if *self.roots.entry(tree.size).or_insert(tree) != tree {
            return Err(Fault::Forked(tree.size));
        }
        if self.newest.as_ref().is_none_or(|newest| newest.tree().size < tree.size) {
            self.newest = Some(checkpoint);
        }
        self.note = Some((note.to_vec(), tree));
        Ok(tree)
    }
}

/// Of what in one event there is the hub's word only, beside its proof and those of the erasures by which it lost something.
///
/// # Errors
/// [`Fault`]: the first that was found.
pub fn confirm(
    policy: &Policy,
    line: &Line,
    proof: &v1::EventProof,
    erasures: &[v1::EventProof],
) -> Result<Vec<&'static str>, Fault> {
    let mut checks = Checks::new(policy.clone());
    for erasure in erasures {
        checks.erasure(&Evidence::of(erasure)?)?;
    }
    checks.event(line, &Evidence::of(proof)?)?;
    Ok(checks.uncovered.into_keys().collect())
}

/// That a group of an event that is not shown itself was erased, beside the proofs of the erasures.
///
/// # Errors
/// [`Fault`]: the first that was found; [`Fault::Unsaid`] if none of them names it.
pub fn confirm_gone(policy: &Policy, event: &str, group: &str, erasures: &[v1::EventProof]) -> Result<(), Fault> {
    let mut checks = Checks::new(policy.clone());
    for erasure in erasures {
        checks.erasure(&Evidence::of(erasure)?)?;
    }
    let names = |group| checks.proven.name(event.trim_start_matches("events/"), group);
    let unsaid = || Fault::Unsaid { event: event.to_owned(), group: group.to_owned() };
    if group.parse().is_ok_and(names) { Ok(()) } else { Err(unsaid()) }
}

/// Verifies a bundle.
///
/// It does not show whether events are missing that the query would have given. What is said to be erased was, by an erasure that
/// stands in the log. Beside `erasures`, all that the log names, every part of an event has to be there or be erased: so it is for
/// the network's officer, who may open everything.
///
/// # Errors
/// [`Fault`]: the first that was found.
pub fn verify(folder: &impl Folder, policy: &Policy, erasures: Option<Erasures>) -> Result<Verified, Fault> {
    let manifest = manifest(folder, policy)?;
    let format: Format = manifest.format.parse().map_err(|_| Fault::Manifest)?;
    for (name, expected) in &manifest.files {
        let found = measure(file(folder, name)?).map_err(|error| Fault::Read(name.clone(), error))?;
        if found.length != expected.length {
            return Err(Fault::Length { file: name.clone(), expected: expected.length, found: found.length });
        }
        if found.sha256 != expected.sha256 {
            return Err(Fault::Changed(name.clone()));
        }
    }
    let mut checks = Checks { all: erasures, ..Checks::new(policy.clone()) };
    if manifest.files.contains_key(ERASURES) {
        let mut erasures = Lines::new(ERASURES, file(folder, ERASURES)?);
        while let Some(evidence) = erasures.next::<Evidence>()? {
            checks.erasure(&evidence)?;
        }
    }
    let mut events = Lines::new(EVENTS, file(folder, EVENTS)?);
    let mut proofs = Lines::new(PROOFS, file(folder, PROOFS)?);
    let mut derived = match format {
        Format::Ndjson => None,
        _ => Some(Derived::new(format, file(folder, format.file())?)?),
    };
    while let Some(line) = events.next::<Line>()? {
        v1::Event::try_from(line.clone()).map_err(|_| Fault::Line(EVENTS, events.number))?;
        let evidence = proofs.next::<Evidence>()?.ok_or(Fault::Count)?;
        checks.event(&line, &evidence)?;
        derived.as_mut().map_or(Ok(()), |derived| derived.line(&line))?;
    }
    derived.map_or(Ok(()), Derived::finish)?;
    if proofs.next::<Evidence>()?.is_some() || (checks.events(), checks.waiting) != (manifest.events, manifest.waiting)
    {
        return Err(Fault::Count);
    }
    let tree = checks.newest().map(|checkpoint| *checkpoint.tree());
    if let Some(tree) = tree {
        let mut note = Vec::new();
        let bytes = file(folder, CHECKPOINT)?.take(MOST).read_to_end(&mut note);
        bytes.map_err(|error| Fault::Read(CHECKPOINT.to_owned(), error))?;
        if checks.checkpoint(&note)? != tree {
            return Err(Fault::Changed(CHECKPOINT.to_owned()));
        }
    }
    let (proven, waiting) = (manifest.events - manifest.waiting, manifest.waiting);
    let trees = checks.roots.into_values().collect();
    Ok(Verified { manifest, proven, waiting, tree, trees, uncovered: checks.uncovered })
}

/// The manifest, and whether it names the files that belong to it.
fn manifest(folder: &impl Folder, policy: &Policy) -> Result<Manifest, Fault> {
    let mut bytes = Vec::new();
    let read = file(folder, MANIFEST)?.take(MOST).read_to_end(&mut bytes);
    read.map_err(|error| Fault::Read(MANIFEST.to_owned(), error))?;
    let manifest = Manifest::from_bytes(&bytes).filter(|manifest| manifest.version == 1 && manifest.complete);
    let manifest = manifest.ok_or(Fault::Manifest)?;
    let format: Format = manifest.format.parse().map_err(|_| Fault::Manifest)?;
    let proven = manifest.events.checked_sub(manifest.waiting).ok_or(Fault::Count)?;
    let mut expected = vec![EVENTS, PROOFS, format.file()];
    let has_erasures = manifest.files.contains_key(ERASURES);
    expected.extend(has_erasures.then_some(ERASURES));
    expected.extend((proven > 0 || has_erasures).then_some(CHECKPOINT));
    expected.sort_unstable();
    expected.dedup();
    if !manifest.files.keys().eq(expected) {
        return Err(Fault::Files);
    }
    if !policy.logs().iter().any(|log| log.name().as_str() == manifest.log) {
        return Err(Fault::OtherLog(manifest.log));
    }
    Ok(manifest)
}

fn file<F: Folder>(folder: &F, name: &str) -> Result<F::Reader, Fault> {
    let found = folder.open(name).map_err(|error| Fault::Read(name.to_owned(), error))?;
    found.ok_or_else(|| Fault::Missing(name.to_owned()))
}

/// The lines of a file, each of them written in the one way there is.
struct Lines<R> {
    file: &'static str,
    reader: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    fn new(file: &'static str, reader: R) -> Self {
        Self { file, reader: BufReader::new(reader), number: 0 }
    }

    fn next<T: DeserializeOwned + Serialize>(&mut self) -> Result<Option<T>, Fault> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(MOST).read_until(b'\n', &mut bytes);
        read.map_err(|error| Fault::Read(self.file.to_owned(), error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let wrong = Fault::Line(self.file, self.number);
        let Ok(value) = serde_json::from_slice::<T>(&bytes) else { return Err(wrong) };
        let mut again = Vec::new();
        if super::json_line(&mut again, &value).is_err() || again != bytes {
            return Err(wrong);
        }
        Ok(Some(value))
    }
}

/// A derived file, held against what the events give.
struct Derived<R> {
    format: Format,
    rendering: Rendering<Same<BufReader<R>>>,
}

impl<R: Read> Derived<R> {
    fn new(format: Format, reader: R) -> Result<Self, Fault> {
        let rendering = Rendering::new(format, Same(BufReader::new(reader)));
        Ok(Self { format, rendering: rendering.map_err(|error| different(format, error))? })
    }

    fn line(&mut self, line: &Line) -> Result<(), Fault> {
        self.rendering.line(line).map_err(|error| different(self.format, error))
    }

    fn finish(self) -> Result<(), Fault> {
        let failed = |error| different(self.format, error);
        let mut rest = self.rendering.finish().map_err(failed)?.0;
        if rest.fill_buf().map_err(failed)?.is_empty() { Ok(()) } else { Err(Fault::Rendering(self.format.file())) }
    }
}

fn different(format: Format, error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Fault::Rendering(format.file()),
        _ => Fault::Read(format.file().to_owned(), error),
    }
}

/// Takes only what there is to read.
struct Same<R>(R);

impl<R: Read> Write for Same<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut expected = vec![0; bytes.len()];
        self.0.read_exact(&mut expected)?;
        if expected == bytes { Ok(bytes.len()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
