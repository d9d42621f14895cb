//! `sluis audit`: proofs of single events, a copy of the whole log, and verifying both without any hub.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use tonic::transport::Channel;

use super::remote::{RemoteArgs, RemoteError, done};
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::api::v1::event_proof::State;
use crate::plain_http::{self, Answer, StatusCode};
use crate::telemetry::Chain;
use crate::tlog::{
    Disbelief, Fault, NotAKey, NotAPolicy, NotProven, Policy, Proof, PublicKey, Resource, Tiles, path, record_hash,
    verify,
};

/// Prove what stands in the audit log, copy it, and verify proofs and copies without any hub.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Fetch proofs that events are in the log: for each its leaf, what an officer may open of it, and the proof.
    Prove {
        #[command(flatten)]
        remote: RemoteArgs,
        /// Directory for the files; made if it is not there.
        #[arg(long)]
        dir: PathBuf,
        /// Names of events, events/{uuid}: at most 100.
        #[arg(required = true)]
        events: Vec<String>,
    },
    /// Copy the log's files (C2SP tlog-tiles) into a directory; what is there already is not fetched again.
    Copy {
        #[command(flatten)]
        remote: RemoteArgs,
        /// Directory of the copy; made if it is not there.
        #[arg(long)]
        dir: PathBuf,
        /// The entries too. They are for the network's officer.
        #[arg(long)]
        entries: bool,
    },
    /// Verify a copy of the log, or files of proof, with the log's public key alone.
    Verify {
        /// The log's public key, <name>+<id>+<base64>, as its operator published it.
        #[arg(long, required_unless_present = "policy")]
        log_key: Option<String>,
        /// The log's policy (C2SP tlog-policy): its key, its witnesses, and how many of them must have signed.
        #[arg(long)]
        policy: Option<PathBuf>,
        /// A checkpoint from earlier: the copy must hold everything that it was about.
        #[arg(long)]
        older: Option<PathBuf>,
        /// The directory of a copy, or files of proof (.tlog-proof) beside their leaves (.leaf).
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A call failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// `--log-key`.
    #[error("--log-key")]
    Key(#[from] NotAKey),
    /// `--policy`.
    #[error("{}", .0.display())]
    Policy(PathBuf, #[source] NotAPolicy),
    /// `--log-key` and `--policy`.
    #[error("--policy names logs, and not the one of --log-key")]
    OtherLog,
    /// A file.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The output is closed.
    #[error("the output can't be written")]
    Output(#[from] io::Error),
    /// Events that could not be proven.
    #[error("{0} events are not proven")]
    NotProven(usize),
    /// A file of the log that the service does not give.
    #[error("{0}: {1}")]
    NotGiven(String, String),
    /// A proof that proves nothing.
    #[error("{}", .0.display())]
    Proof(PathBuf, #[source] NotProven),
    /// A leaf that is in the log, and is another event's than the file is named after.
    #[error("{}: in the log, but not the event that the file is named after", .0.display())]
    AnotherEvent(PathBuf),
    /// Disclosures that are not those of their leaf.
    #[error("{}: not what the leaf's digests are of", .0.display())]
    Disclosures(PathBuf),
    /// A log that does not verify.
    #[error("{}", .0.display())]
    Log(PathBuf, #[source] Box<Fault<io::Error>>),
    /// A checkpoint that is none.
    #[error("{}", .0.display())]
    Older(PathBuf, #[source] Disbelief),
    /// A log that was forked or rolled back.
    #[error("the copy does not hold what stood under {}: the log was forked or rolled back", .0.display())]
    Forked(PathBuf),
}

impl AuditError {
    /// Whether something was found that does not verify, rather than something that went wrong.
    pub const fn is_finding(&self) -> bool {
        matches!(
            self,
            Self::NotProven(_)
                | Self::Proof(..)
                | Self::AnotherEvent(_)
                | Self::Disclosures(_)
                | Self::Log(..)
                | Self::Older(..)
                | Self::Forked(_)
        )
    }
}

/// Carries out one command.
pub(super) async fn run(args: AuditArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), AuditError> {
    match args.command {
        AuditCommand::Prove { remote, dir, events } => prove(remote.channel(now).await?, &dir, events, out).await,
        AuditCommand::Copy { remote, dir, entries } => copy(remote.channel(now).await?, &dir, entries, out).await,
        AuditCommand::Verify { log_key, policy, older, files } => {
            let log = trust(log_key.as_deref(), policy.as_deref())?;
            for file in &files {
                if file.is_dir() {
                    verify_copy(file, older.as_deref(), &log, out)?;
                } else {
                    verify_proof(file, &log, out)?;
                }
            }
            Ok(())
        }
    }
}

/// Whose signatures count.
fn trust(log_key: Option<&str>, policy: Option<&Path>) -> Result<Policy, AuditError> {
    let log: Option<PublicKey> = log_key.map(str::parse).transpose()?;
    let Some(file) = policy else { return log.map(Policy::of_log).ok_or(AuditError::Key(NotAKey)) };
    let bytes = std::fs::read(file).map_err(|error| AuditError::File(file.to_owned(), error))?;
    let policy = Policy::from_bytes(&bytes).map_err(|error| AuditError::Policy(file.to_owned(), error))?;
    match log {
        Some(log) => policy.with_log(log).ok_or(AuditError::OtherLog),
        None => Ok(policy),
    }
}

async fn prove(channel: Channel, dir: &Path, events: Vec<String>, out: &mut dyn Write) -> Result<(), AuditError> {
    let request = v1::ProveEventsRequest { events: events.clone() };
    let answer = done("proving events", AuditClient::new(channel).prove_events(request).await)?;
    writeln!(out, "log key  {}  compare it with the one that the operator published", answer.log_key)?;
    if answer.proofs.len() != events.len() {
        return Err(AuditError::NotProven(events.len()));
    }
    let mut missing = 0;
    // What a service calls an event does not name a file here.
    for (event, proof) in events.iter().zip(answer.proofs) {
        let id = event.strip_prefix("events/").and_then(|id| uuid::Uuid::try_parse(id).ok());
        let Some(id) = id.filter(|_| proof.event == *event) else {
            return Err(AuditError::NotGiven(event.clone(), "the answer is about another event".to_owned()));
        };
        let name = dir.join(id.to_string());
        let state = match proof.state() {
            State::Proven => {
                write(&name.with_extension("leaf"), &proof.leaf)?;
                write(&name.with_extension("tlog-proof"), &proof.proof)?;
                if !proof.disclosures.is_empty() {
                    write(&name.with_extension("disclosures"), proof.disclosures.join("\n").as_bytes())?;
                }
                writeln!(out, "{}  proven: {}", proof.event, name.with_extension("tlog-proof").display())?;
                continue;
            }
            State::Waiting => "not under a checkpoint yet: ask again in some seconds",
            State::Unknown | State::Unspecified => "no event of this organisation",
        };
        writeln!(out, "{}  {state}", proof.event)?;
        missing += 1;
    }
    if missing == 0 { Ok(()) } else { Err(AuditError::NotProven(missing)) }
}

async fn copy(channel: Channel, dir: &Path, entries: bool, out: &mut dyn Write) -> Result<(), AuditError> {
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
        }
    }
    // Last: a copy that broke off has the checkpoint of the one before.
    write(&at(dir, &Resource::Checkpoint), &note)?;
    writeln!(out, "{size} entries, {fetched} files fetched: {}", dir.display())?;
    Ok(())
}

/// A log does not shrink, and a tree of one size has one root: what is shown now is no reason to forget what was shown before.
fn rolled_back(dir: &Path, note: &[u8], size: u64) -> Result<(), AuditError> {
    let file = at(dir, &Resource::Checkpoint);
    let Ok(before) = std::fs::read(&file) else { return Ok(()) };
    let known = size_of(&before).unwrap_or_default();
    let body = |note: &[u8]| note.split(|byte| *byte == b'\n').take(3).map(<[u8]>::to_vec).collect::<Vec<_>>();
    if size < known || (size == known && body(&before) != body(note)) { Err(AuditError::Forked(file)) } else { Ok(()) }
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

fn verify_copy(dir: &Path, older: Option<&Path>, policy: &Policy, out: &mut dyn Write) -> Result<(), AuditError> {
    let read = |resource: &Resource| match std::fs::read(at(dir, resource)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let whole = verify(policy, read).map_err(|fault| AuditError::Log(dir.to_owned(), Box::new(fault)))?;
    let tree = whole.checkpoint.tree();
    if let Some(older) = older {
        let note = std::fs::read(older).map_err(|error| AuditError::File(older.to_owned(), error))?;
        let before = policy.open(&note).map_err(|error| AuditError::Older(older.to_owned(), error))?;
        // The tiles were verified a moment ago.
        let tile = |place| std::fs::read(at(dir, &Resource::tile(place, tree.size))).unwrap_or_default();
        let holds = Tiles::default().gather(|tiles| tree.follows(before.tree(), tiles), tile).flatten().is_some();
        if !holds {
            return Err(AuditError::Forked(older.to_owned()));
        }
        writeln!(out, "{}  {} entries, all of them in this copy", older.display(), before.tree().size)?;
    }
    let (size, entries) = (tree.size, whole.entries);
    writeln!(out, "{}  verified: {size} entries under one signed root, {entries} of them here to read", dir.display())?;
    Ok(())
}

fn verify_proof(file: &Path, policy: &Policy, out: &mut dyn Write) -> Result<(), AuditError> {
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
    let words = if opened.exists() {
        let disclosures =
            String::from_utf8(read(opened.clone())?).map_err(|_| AuditError::Disclosures(opened.clone()))?;
        let groups = crate::audit::open(&leaf, disclosures.lines()).ok_or(AuditError::Disclosures(opened))?;
        format!(", with {}", groups.join(", "))
    } else {
        String::new()
    };
    writeln!(out, "{}  verified: entry {} of {}{words}", file.display(), proof.index, checkpoint.tree().size)?;
    Ok(())
}

/// Where a file of the log stands in a copy.
fn at(dir: &Path, resource: &Resource) -> PathBuf {
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
