//! The log as files: proofs of single events, a copy of the whole log, and verifying both without any hub.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::transport::Channel;

use super::super::progress::Watched;
use super::super::remote::done;
use super::entries::Entries;
use super::{AuditError, Say};
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::api::v1::event_proof::State;
use crate::audit::export::{self, Folder, verify as verify_bundle};
use crate::folder::Directory;
use crate::plain_http::{self, Answer, StatusCode};
use crate::telemetry::Chain;
use crate::tlog::{Checkpoint, Policy, Proof, Resource, Tiles, Tree, path, record_hash, verify};

/// Fetches proofs, each as a file.
pub(super) async fn prove(
    channel: Channel,
    policy: Option<Policy>,
    dir: &Path,
    events: Vec<String>,
    out: &mut Say<'_>,
) -> Result<(), AuditError> {
    let request = v1::ProveEventsRequest { events: events.clone() };
    let answer = done("proving events", AuditClient::new(channel).prove_events(request).await)?;
    if policy.is_none() {
        out.say(
            json!({ "logKey": answer.log_key }),
            format_args!("log key  {}  compare it with the one that the operator published", answer.log_key),
        )?;
    }
    if answer.proofs.len() != events.len() {
        return Err(AuditError::NotProven(events.len()));
    }
    let policy = match policy {
        Some(policy) => policy,
        None => Policy::of_log(answer.log_key.parse()?),
    };
    let mut missing = 0;
    // What a service calls an event does not name a file here.
    for (event, proof) in events.iter().zip(answer.proofs) {
        let id = event.strip_prefix("events/").and_then(|id| uuid::Uuid::try_parse(id).ok());
        let Some(id) = id.filter(|_| proof.event == *event) else {
            return Err(AuditError::NotGiven(event.clone(), "the answer is about another event".to_owned()));
        };
        let name = dir.join(id.to_string());
        let (word, state) = match proof.state() {
            State::Proven => {
                let file = name.with_extension("tlog-proof");
                keep_proof(&name, &proof.leaf, &proof.proof)?;
                write(&name.with_extension("leaf"), &proof.leaf)?;
                write(&file, &proof.proof)?;
                if !proof.disclosures.is_empty() {
                    write(&name.with_extension("disclosures"), proof.disclosures.join("\n").as_bytes())?;
                }
                // Without a policy under the key that was said here: whether that is the log's, `verify` looks. One that does not hold is kept, as evidence.
                verify_proof(&file, &policy, &mut Say::new(&mut io::sink(), false))?;
                out.say(
                    json!({ "event": proof.event, "state": "proven", "file": file }),
                    format_args!("{}  proven: {}", proof.event, file.display()),
                )?;
                continue;
            }
            State::Waiting => ("waiting", "not under a checkpoint yet: ask again in some seconds"),
            State::Unknown | State::Unspecified => ("unknown", "no event of this organisation"),
        };
        out.say(json!({ "event": proof.event, "state": word }), format_args!("{}  {state}", proof.event))?;
        missing += 1;
    }
    if missing == 0 { Ok(()) } else { Err(AuditError::NotProven(missing)) }
}

/// Beside a copy: when it was made. It is the copier's own word, and nothing that the log signed.
const COPIED: &str = "copied";

/// Copies the log's files, as they stood at `now` or later.
pub(super) async fn copy(
    channel: Channel,
    dir: &Path,
    entries: bool,
    now: OffsetDateTime,
    out: &mut Say<'_>,
) -> Result<(), AuditError> {
    let note = get(&channel, &Resource::Checkpoint).await?;
    let size = size_of(&note).ok_or_else(|| not_given(&Resource::Checkpoint, "not a checkpoint"))?;
    rolled_back(dir, &note, size)?;
    let mut fetched = 0;
    // One after the other: the size is not verified yet.
    let bundles = Resource::leaves(size).map(|(_, bundle)| bundle).filter(|_| entries);
    for resource in Resource::tiles(size).chain(bundles) {
        let file = at(dir, &resource);
        if !file.exists() {
            write(&file, &get(&channel, &resource).await?)?;
            fetched += 1;
            out.progress(fetched, "files fetched");
        }
    }
    keep_checkpoint(dir, &note)?;
    // Last: a copy that broke off has the checkpoint of the one before.
    write(&at(dir, &Resource::Checkpoint), &note)?;
    write(&dir.join(COPIED), now.format(&Rfc3339).unwrap_or_default().as_bytes())?;
    out.say(
        json!({ "entries": size, "fetched": fetched, "directory": dir }),
        format_args!("{size} entries, {fetched} files fetched: {}", dir.display()),
    )
}

/// A log does not shrink, and a tree of one size has one root: what is shown now is no reason to forget what was shown before.
fn rolled_back(dir: &Path, note: &[u8], size: u64) -> Result<(), AuditError> {
    let file = at(dir, &Resource::Checkpoint);
    let Ok(before) = std::fs::read(&file) else { return Ok(()) };
    let known = size_of(&before).unwrap_or_default();
    let body = |note: &[u8]| note.split(|byte| *byte == b'\n').take(3).map(<[u8]>::to_vec).collect::<Vec<_>>();
    if size < known || (size == known && body(&before) != body(note)) { Err(AuditError::Forked(file)) } else { Ok(()) }
}

/// What the log showed before is evidence, and is kept under another name.
fn keep_checkpoint(dir: &Path, note: &[u8]) -> Result<(), AuditError> {
    let file = at(dir, &Resource::Checkpoint);
    match std::fs::read(&file) {
        Ok(before) if before != note => {
            write(&dir.join(format!("checkpoint.{}", size_of(&before).unwrap_or_default())), &before)
        }
        _ => Ok(()),
    }
}

/// A proof that was fetched before, and what it was beside, goes to a directory of its own. The leaf of an event is one for ever.
fn keep_proof(name: &Path, leaf: &[u8], proof: &[u8]) -> Result<(), AuditError> {
    let Ok(before) = std::fs::read(name.with_extension("tlog-proof")) else { return Ok(()) };
    let changed = std::fs::read(name.with_extension("leaf")).is_ok_and(|before| before != leaf);
    if before == proof && !changed {
        return Ok(());
    }
    let size = Proof::from_bytes(&before).ok().and_then(|proof| size_of(proof.note())).unwrap_or_default();
    let dir = name.with_file_name(format!("at-{size}"));
    let moved = || {
        std::fs::create_dir_all(&dir)?;
        for file in ["tlog-proof", "leaf", "disclosures"].map(|extension| name.with_extension(extension)) {
            match file.file_name().map(|name| std::fs::rename(&file, dir.join(name))) {
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    moved().map_err(|error| AuditError::File(dir.clone(), error))
}

/// The size that a checkpoint names. Whether it is the log's is found out by verifying.
fn size_of(note: &[u8]) -> Option<u64> {
    std::str::from_utf8(note).ok()?.lines().nth(1)?.parse().ok()
}

async fn get(channel: &Channel, resource: &Resource) -> Result<Vec<u8>, AuditError> {
    let Answer { code, body } = plain_http::get(channel, &path(resource))
        .await
        .map_err(|error| not_given(resource, &Chain(&error).to_string()))?;
    if code == StatusCode::OK {
        Ok(body.to_vec())
    } else {
        Err(not_given(resource, &format!("{code}, {}", String::from_utf8_lossy(&body).trim())))
    }
}

fn not_given(resource: &Resource, why: &str) -> AuditError {
    AuditError::NotGiven(path(resource), why.to_owned())
}

/// When a copy was made, if that stands beside it.
pub(super) fn copied_at(dir: &Path) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(std::fs::read_to_string(dir.join(COPIED)).ok()?.trim(), &Rfc3339).ok()
}

/// A copy that verifies.
pub(super) struct Copied {
    /// Its tree.
    pub(super) tree: Tree,
    /// When the first of its witnesses signed that this was the log.
    pub(super) witnessed: Option<OffsetDateTime>,
}

/// Verifies the directory of a copy.
pub(super) fn verify_copy(
    dir: &Path,
    older: Option<&Path>,
    policy: &Policy,
    out: &mut Say<'_>,
) -> Result<Copied, AuditError> {
    let mut files = 0;
    let read = |resource: &Resource| {
        files += 1;
        out.progress(files, "files read");
        match std::fs::read(at(dir, resource)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    };
    let whole = verify(policy, read).map_err(|fault| AuditError::Log(dir.to_owned(), Box::new(fault)))?;
    let tree = whole.checkpoint.tree();
    if let Some(older) = older {
        let note = std::fs::read(older).map_err(|error| AuditError::File(older.to_owned(), error))?;
        let before = policy.open(&note).map_err(|error| AuditError::Older(older.to_owned(), error))?;
        if !holds(dir, tree, before.tree()) {
            return Err(AuditError::Forked(older.to_owned()));
        }
        let entries = before.tree().size;
        out.say(
            json!({ "checkpoint": older, "entries": entries, "held": true }),
            format_args!("{}  {entries} entries, all of them in this copy", older.display()),
        )?;
    }
    let (size, entries) = (tree.size, whole.entries);
    let witnesses = cosigners(policy, &whole.checkpoint);
    out.say(
        json!({ "copy": dir, "verified": true, "entries": size, "here": entries, "witnesses": witnesses }),
        format_args!(
            "{}  verified: {size} entries under one signed root, {entries} of them here to read{}",
            dir.display(),
            in_words(&witnesses)
        ),
    )?;
    Ok(Copied { tree: *tree, witnessed: witnessed(policy, &whole.checkpoint) })
}

/// Whether a copy that was verified a moment ago holds everything that stood in an earlier tree.
fn holds(dir: &Path, tree: &Tree, before: &Tree) -> bool {
    let tile = |place| std::fs::read(at(dir, &Resource::tile(place, tree.size))).unwrap_or_default();
    Tiles::default().gather(|tiles| tree.follows(before, tiles), tile).flatten().is_some()
}

fn witnessed(policy: &Policy, checkpoint: &Checkpoint) -> Option<OffsetDateTime> {
    let times = policy.cosigned(checkpoint).into_iter().filter_map(|key| key.time(&checkpoint.signature(key)?));
    OffsetDateTime::from_unix_timestamp(i64::try_from(times.min()?).ok()?).ok()
}

/// Verifies a file of proof beside its leaf.
pub(super) fn verify_proof(file: &Path, policy: &Policy, out: &mut Say<'_>) -> Result<(), AuditError> {
    let read = |file: PathBuf| std::fs::read(&file).map_err(|error| AuditError::File(file, error));
    let failed = |error| AuditError::Proof(file.to_owned(), error);
    let (proof, leaf) = (read(file.to_owned())?, read(file.with_extension("leaf"))?);
    let proof = Proof::from_bytes(&proof).map_err(|error| failed(error.into()))?;
    let checkpoint = policy.verify(&proof, record_hash(&leaf)).map_err(failed)?;
    let event = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if !crate::audit::is_of(&leaf, event) {
        return Err(AuditError::AnotherEvent(file.to_owned()));
    }
    let opened = file.with_extension("disclosures");
    let groups = if opened.exists() {
        let disclosures =
            String::from_utf8(read(opened.clone())?).map_err(|_| AuditError::Disclosures(opened.clone()))?;
        crate::audit::open(&leaf, disclosures.lines()).ok_or(AuditError::Disclosures(opened))?
    } else {
        Vec::new()
    };
    let words = if groups.is_empty() { String::new() } else { format!(", with {}", groups.join(", ")) };
    let (index, size) = (proof.index, checkpoint.tree().size);
    let witnesses = cosigners(policy, &checkpoint);
    out.say(
        json!({ "proof": file, "verified": true, "entry": index, "entries": size, "opened": groups, "witnesses": witnesses }),
        format_args!("{}  verified: entry {index} of {size}{words}{}", file.display(), in_words(&witnesses)),
    )
}

/// A directory of which is said how far it is read.
struct Watching(Directory);

impl Folder for Watching {
    type Reader = Watched<<Directory as Folder>::Reader>;
    type Writer = <Directory as Folder>::Writer;

    fn create(&self, name: &str) -> io::Result<Self::Writer> {
        self.0.create(name)
    }

    fn keep(&self, file: Self::Writer) -> io::Result<()> {
        self.0.keep(file)
    }

    fn open(&self, name: &str) -> io::Result<Option<Self::Reader>> {
        Ok(self.0.open(name)?.map(Watched::new))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
}

/// Verifies an export; beside a copy that is at least as new and has its entries, also that nothing is left out of its events.
pub(super) fn verify_export(
    dir: &Path,
    copy: Option<&Path>,
    policy: &Policy,
    out: &mut Say<'_>,
) -> Result<(), AuditError> {
    let failed = |fault| AuditError::Export(dir.to_owned(), Box::new(fault));
    let (tree, erasures) = match copy {
        None => (None, None),
        Some(copy) => {
            let Copied { tree, .. } = verify_copy(copy, None, policy, out)?;
            // What was erased since the copy was made would be found missing.
            let newest = std::fs::read(at(dir, &Resource::Checkpoint)).ok().and_then(|note| size_of(&note));
            if newest.is_some_and(|newest| newest > tree.size) {
                return Err(AuditError::Option(
                    "erasures",
                    "a copy made after the export; if it was, the log was rolled back",
                ));
            }
            let entries = Entries::read(copy, tree.size, out)?;
            let whole =
                entries.ok_or(AuditError::Option("erasures", "a copy with its entries: sluis audit copy --entries"))?;
            (Some((copy, tree)), Some(whole.erasures))
        }
    };
    let said = if erasures.is_some() { ", and what is not there was erased" } else { "" };
    let verified = verify_bundle(&Watching(Directory::new(dir.to_owned())), policy, erasures).map_err(failed)?;
    let is_held = |proven: &Tree| tree.is_none_or(|(copy, tree)| holds(copy, &tree, proven));
    if !verified.trees.iter().all(is_held) {
        return Err(AuditError::Forked(dir.to_owned()));
    }
    let export::Verified { manifest, proven, waiting, uncovered, .. } = &verified;
    out.say(
        json!({
            "export": dir, "verified": *waiting == 0, "whole": !said.is_empty(), "events": manifest.events, "proven": proven, "waiting": waiting,
            "format": manifest.format, "query": manifest.query, "created": manifest.created, "uncovered": uncovered,
        }),
        format_args!(
            "{}  verified: {proven} of {} events are in the log as they stand here{said}{}",
            dir.display(),
            manifest.events,
            if *waiting > 0 { format!(", {waiting} were not under a checkpoint yet") } else { String::new() },
        ),
    )?;
    // What the hub shows an officer without a proof is said, not passed over.
    for (field, events) in uncovered {
        out.note(format_args!("  {field}: the hub's word only, in {events} events"))?;
    }
    // `sluis audit export` writes none of those: whoever made this one shows events that no log has signed.
    match usize::try_from(*waiting).unwrap_or(usize::MAX) {
        0 => Ok(()),
        waiting => Err(AuditError::NotProven(waiting)),
    }
}

/// Witnesses of the policy under a checkpoint, by name.
pub(super) fn cosigners(policy: &Policy, checkpoint: &Checkpoint) -> Vec<String> {
    policy.cosigned(checkpoint).iter().map(|key| key.name().to_string()).collect()
}

fn in_words(witnesses: &[String]) -> String {
    if witnesses.is_empty() { String::new() } else { format!(", signed by {}", witnesses.join(", ")) }
}

/// Where a file of the log stands in a copy.
pub(super) fn at(dir: &Path, resource: &Resource) -> PathBuf {
    dir.join(path(resource).trim_start_matches('/'))
}

/// Whole, or not at all.
fn write(file: &Path, bytes: &[u8]) -> Result<(), AuditError> {
    let written = || {
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let part = file.with_extension("part");
        std::fs::write(&part, bytes)?;
        std::fs::rename(&part, file)
    };
    written().map_err(|error| AuditError::File(file.to_owned(), error))
}
