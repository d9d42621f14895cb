//! `sluis audit`: what privacy officers ask of the log, and verifying what they got without any hub.

mod ask;
mod entries;
mod erase;
mod export;
mod files;
mod report;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use time::OffsetDateTime;

use super::officer::BadAnswer;
use super::progress::Progress;
use super::remote::{RemoteArgs, RemoteError};
use crate::audit::export::{BundleError, Fault as ExportFault};
use crate::config::{self, PolicyError};
use crate::tlog::{Disbelief, Fault, NotAKey, NotProven, Policy, PublicKey};

/// Ask the audit log, prove what stands in it, and verify without any hub.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// One JSON object per line instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Find events: who saw what, why, under which article, and who was refused.
    Query {
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(flatten)]
        search: ask::Search,
        /// Stop after so many events, and say so. Left out: all of them.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show one event whole, with the proof that it is in the log.
    Show {
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(flatten)]
        trust: TrustArgs,
        /// events/{uuid}
        event: String,
    },
    /// At the partner's own agent: the pseudonym by which the log knows a youth, from a BSN.
    Subject {
        #[command(flatten)]
        remote: RemoteArgs,
        /// File with the BSN, - for standard input. Never an argument: others see those.
        #[arg(long)]
        bsn_file: PathBuf,
    },
    /// Write events with their proofs to a directory that verifies by itself.
    Export {
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(flatten)]
        trust: TrustArgs,
        #[command(flatten)]
        search: ask::Search,
        /// ndjson, csv, fhir (R4 AuditEvent), ldv-core, ldv-nen7513 (Logboek Dataverwerkingen).
        #[arg(long, default_value = "ndjson")]
        format: String,
        /// Directory for the export; made if it is not there.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Reports Q1-Q15: disclosures, refusals, emergencies, consent, integrity and so on.
    Report(report::ReportArgs),
    /// What a family may read: who did what with the data of one youth, in plain Dutch or English.
    Overview(report::OverviewArgs),
    /// Compare what an agent sent, received and was promised with what the log says.
    Reconcile(super::reconcile::ReconcileArgs),
    /// For the network's officer: erase what events say of somebody. What stands in the tree stays.
    Erase(erase::EraseArgs),
    /// Fetch proofs that events are in the log: for each its leaf, what an officer may open of it, and the proof.
    Prove {
        #[command(flatten)]
        remote: RemoteArgs,
        /// The log's public key, as its operator published it. Left out, with --policy too: the key that the hub names now.
        #[arg(long)]
        log_key: Option<String>,
        /// The log's policy (C2SP tlog-policy).
        #[arg(long)]
        policy: Option<PathBuf>,
        /// Directory for the files; made if it is not there. A proof that is there and leads to another checkpoint is kept in a
        /// directory beside the new one, at-{entries}.
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
        /// Directory of the copy; made if it is not there. A checkpoint that is there is kept, as checkpoint.{entries}.
        #[arg(long)]
        dir: PathBuf,
        /// The entries too. They are for the network's officer.
        #[arg(long)]
        entries: bool,
    },
    /// Verify a copy of the log, exports, or files of proof, with the log's public key or policy alone.
    Verify {
        #[command(flatten)]
        trust: TrustArgs,
        /// A checkpoint from earlier: the copy must hold everything that it was about.
        #[arg(long)]
        older: Option<PathBuf>,
        /// For the network's officer's exports: a copy of the log with its entries, made after the export. What of an event is not
        /// there must be erased by an event in it.
        #[arg(long)]
        erasures: Option<PathBuf>,
        /// The directory of a copy or of an export, or files of proof (.tlog-proof) beside their leaves (.leaf).
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Whose signatures count.
#[derive(Debug, Clone, Args)]
pub struct TrustArgs {
    /// The log's public key, {name}+{id}+{base64}, as its operator published it.
    #[arg(long, required_unless_present = "policy")]
    log_key: Option<String>,
    /// The log's policy (C2SP tlog-policy): its key, its witnesses, and how many of them must have signed.
    #[arg(long)]
    policy: Option<PathBuf>,
}

impl TrustArgs {
    pub(super) fn policy(&self) -> Result<Policy, AuditError> {
        let log: Option<PublicKey> = self.log_key.as_deref().map(str::parse).transpose()?;
        Ok(config::policy(self.policy.as_deref(), log)?)
    }
}

/// Where it is said, and how.
pub(super) struct Say<'o> {
    out: &'o mut dyn Write,
    json: bool,
    progress: Progress,
}

impl<'o> Say<'o> {
    fn new(out: &'o mut dyn Write, json: bool) -> Self {
        Self { out, json, progress: Progress::new() }
    }

    /// One thing, in either form.
    fn say(&mut self, json: impl serde::Serialize, text: fmt::Arguments<'_>) -> Result<(), AuditError> {
        if self.json {
            let line = serde_json::to_string(&json).map_err(io::Error::from)?;
            writeln!(self.out, "{line}")?;
        } else {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    /// For people only.
    fn note(&mut self, text: fmt::Arguments<'_>) -> Result<(), AuditError> {
        if !self.json {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    /// That long work goes on, to people, now and then.
    fn progress(&mut self, count: u64, what: &str) {
        self.progress.tell(count, what);
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A call failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// An answer that is none.
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    /// `--log-key`.
    #[error("--log-key")]
    Key(#[from] NotAKey),
    /// `--policy`.
    #[error("--policy")]
    Policy(#[from] PolicyError),
    /// A file.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The output is closed.
    #[error("the output can't be written")]
    Output(#[from] io::Error),
    /// `--network`, asked by somebody who may not see it.
    #[error("--network: the hub gave the events of {0} alone, not the network's; ask as the network's officer")]
    NotNetwork(String),
    /// An option.
    #[error("--{0}: {1}")]
    Option(&'static str, &'static str),
    /// An export that can't be written.
    #[error("{}", .0.display())]
    Bundle(PathBuf, #[source] BundleError),
    /// An export that does not verify.
    #[error("{}", .0.display())]
    Export(PathBuf, #[source] Box<ExportFault>),
    /// A covenant.
    #[error("--covenant")]
    Covenant(#[from] crate::covenant::file::LoadError),
    /// Reconciling.
    #[error(transparent)]
    Reconcile(#[from] super::reconcile::ReconcileError),
    /// A report that can't be signed.
    #[error("--key, --certificate")]
    NotSigned(#[from] crate::seal::document::NotSigned),
    /// Something red in a report.
    #[error("{0} reports have a red signal")]
    Red(usize),
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
    pub fn is_finding(&self) -> bool {
        match self {
            Self::Export(_, fault) => fault.is_finding(),
            Self::Bundle(_, BundleError::Fault(fault)) => fault.is_finding(),
            Self::Reconcile(error) => error.is_finding(),
            _ => self.is_found(),
        }
    }

    /// Whether it is the arguments' fault.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Reconcile(error) => error.is_usage(),
            Self::Policy(error) => error.is_usage(),
            _ => matches!(self, Self::Key(_) | Self::Option(..) | Self::NotNetwork(_) | Self::Covenant(_)),
        }
    }

    const fn is_found(&self) -> bool {
        matches!(
            self,
            Self::Red(_)
                | Self::NotProven(_)
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
    let mut say = Say::new(out, args.json);
    let out = &mut say;
    match args.command {
        AuditCommand::Query { remote, search, limit } => {
            ask::query(remote.channel(now).await?, &search, limit, now, out).await
        }
        AuditCommand::Show { remote, trust, event } => {
            let policy = trust.policy()?;
            ask::show(remote.channel(now).await?, &policy, &event, now, out).await
        }
        AuditCommand::Subject { remote, bsn_file } => ask::subject(remote.channel(now).await?, &bsn_file, out).await,
        AuditCommand::Export { remote, trust, search, format, dir } => {
            let policy = trust.policy()?;
            let format = format
                .parse()
                .map_err(|_| AuditError::Option("format", "ndjson, csv, fhir, ldv-core or ldv-nen7513"))?;
            export::run(remote.channel(now).await?, policy, &search, format, &dir, now, out).await
        }
        AuditCommand::Report(args) => report::reports(&args, now, out).await,
        AuditCommand::Overview(args) => report::overview(&args, now, out).await,
        AuditCommand::Reconcile(args) => Ok(super::reconcile::run(args, say.json, now, say.out).await?),
        AuditCommand::Erase(args) => erase::run(args, now, out).await,
        AuditCommand::Prove { remote, log_key, policy, dir, events } => {
            let known = log_key.is_some() || policy.is_some();
            let policy = known.then(|| TrustArgs { log_key, policy }.policy()).transpose()?;
            files::prove(remote.channel(now).await?, policy, &dir, events, out).await
        }
        AuditCommand::Copy { remote, dir, entries } => {
            files::copy(remote.channel(now).await?, &dir, entries, now, out).await
        }
        AuditCommand::Verify { trust, older, erasures, files } => {
            let policy = trust.policy()?;
            for file in &files {
                verify(file, older.as_deref(), erasures.as_deref(), &policy, out)?;
            }
            Ok(())
        }
    }
}

/// A copy, an export, or a file of proof.
fn verify(
    file: &Path,
    older: Option<&Path>,
    erasures: Option<&Path>,
    policy: &Policy,
    out: &mut Say<'_>,
) -> Result<(), AuditError> {
    let is_export = file.join("manifest.json").exists() || file.join("events.ndjson").exists();
    if older.is_some() && (!file.is_dir() || is_export) {
        return Err(AuditError::Option(
            "older",
            "only beside a copy of the log: it says nothing about an export or a proof",
        ));
    }
    if erasures.is_some() && !is_export {
        return Err(AuditError::Option("erasures", "only beside an export: a copy holds the erasures itself"));
    }
    if !file.is_dir() {
        return files::verify_proof(file, policy, out);
    }
    if is_export {
        return files::verify_export(file, erasures, policy, out);
    }
    files::verify_copy(file, older, policy, out).map(|_| ())
}
