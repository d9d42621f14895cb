//! What an agent sent, was promised and was told of, held against what the hub's log says about it: one command for a partner's
//! officer.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};
use tonic::transport::Channel;

use super::officer::{AGAIN, BadAnswer, context, pages, proofs};
use super::plain;
use super::progress::Progress;
use super::remote::{RemoteArgs, RemoteError};
use crate::api::v1;
use crate::clock::{from_micros, micros};
use crate::config::{self, AgentConfig, ConfigError, PolicyError};
use crate::identity::certificate::KeyHash;
use crate::party::Oin;
use crate::reconcile::journal::Journal;
use crate::reconcile::{APART, Answer, Difference, Reconciled, Setting, Severity, Sides, not_shown, reconcile};
use crate::report::day_begins;
use crate::tlog::{Policy, PublicKey};
use crate::wire::timestamp;

/// Longest period of one query.
const SLICE: Duration = Duration::days(31);
/// Events of a page: as many as come with proofs.
const PAGE: i32 = 100;
/// Missing events that are asked for by name, at most: more are missing for one reason.
const BY_NAME: usize = 1000;

/// Compare what the agent keeps of its calls with what the hub's log says about them; print the differences by event.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// The agent's store directory.
    #[arg(long, required_unless_present = "config", conflicts_with = "config")]
    store: Option<PathBuf>,
    /// The agent's configuration file: names its store, its certificate, and the log's key and policy.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The log's public key, {name}+{id}+{base64}, as its operator published it.
    #[arg(long, required_unless_present_any = ["policy", "config"])]
    log_key: Option<PublicKey>,
    /// The log's policy (C2SP tlog-policy): its key, its witnesses, and how many of them must have signed.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// From this moment: RFC 3339, or a day in the Netherlands. Left out: the 24 hours before the end.
    #[arg(long, value_parser = moment)]
    from: Option<OffsetDateTime>,
    /// Until this moment: RFC 3339, or the start of a day in the Netherlands. Left out: now.
    #[arg(long, value_parser = moment)]
    until: Option<OffsetDateTime>,
    /// The officer's own reference, as it stands in the log of the queries. Their certificate names them anyway.
    #[arg(long, default_value = "reconcile")]
    user_ref: String,
}

/// Why nothing is reconciled, or what was found.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A call failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// `--config`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `--policy`.
    #[error("the log's policy")]
    Policy(#[from] PolicyError),
    /// A configuration without the log's key.
    #[error("the configuration has no key `hub.log_key`: its agent keeps no receipts; name --log-key or --policy")]
    NoLog,
    /// `--from` and `--until`.
    #[error("--from is not before --until")]
    Period,
    /// A certificate of an organisation or its officer.
    #[error("{}: not a certificate of an organisation", .0.display())]
    Certificate(PathBuf),
    /// The officer of another organisation than the agent's.
    #[error("the officer's certificate is not of the organisation of the agent's configuration")]
    OtherOrganisation,
    /// A file.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The output is closed.
    #[error("the output can't be written")]
    Output(#[from] io::Error),
    /// An answer that is none.
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    /// Differences.
    #[error("{0} differences between the agent's journal and the hub's log")]
    Differences(usize),
}

impl ReconcileError {
    /// Whether the two sides differ, rather than that something went wrong.
    pub const fn is_finding(&self) -> bool {
        matches!(self, Self::Differences(_))
    }

    /// Whether the arguments, or the files that they name, are wrong.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Policy(error) => error.is_usage(),
            _ => matches!(
                self,
                Self::Config(_) | Self::NoLog | Self::Period | Self::Certificate(_) | Self::OtherOrganisation
            ),
        }
    }
}

/// Whose agent, and what to believe.
struct Known {
    own: Oin,
    store: PathBuf,
    policy: Policy,
    keys: BTreeSet<String>,
}

/// Compares, and prints the differences.
///
/// # Errors
/// [`ReconcileError`]; differences that are findings are one.
pub async fn run(
    args: ReconcileArgs,
    json: bool,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> Result<(), ReconcileError> {
    let until = args.until.unwrap_or(now);
    let from = args.from.unwrap_or_else(|| until.saturating_sub(Duration::days(1)));
    if from >= until {
        return Err(ReconcileError::Period);
    }
    let Known { own, store, policy, keys } = known(&args)?;
    let setting = Setting {
        own: format!("partners/{own}"),
        from: micros(from),
        until: micros(until),
        now: micros(now),
        policy: &policy,
        keys,
    };
    // First the journal: what stands there by now, the hub must know. And once more after it: an agent that runs goes on writing.
    let before = files::read(&store, setting.from, setting.until)?;
    let hub = Hub { channel: args.remote.channel(now).await?, user_ref: args.user_ref };
    let apart = Duration::microseconds(APART);
    let mut shown = hub.period(from.saturating_sub(apart), until.saturating_add(apart)).await?;
    let missing: Vec<String> =
        not_shown(&setting, &shown.beside(&before, &before)).into_iter().take(BY_NAME).map(ToOwned::to_owned).collect();
    for id in missing {
        shown.add(hub.by_name(&id).await?);
    }
    hub.prove_erasures(&mut shown).await?;
    let after = files::read(&store, setting.from, setting.until)?;
    let outcome = reconcile(&setting, &shown.beside(&before, &after));
    print(&outcome, &setting, json, out)?;
    match outcome.findings() {
        0 => Ok(()),
        findings => Err(ReconcileError::Differences(findings)),
    }
}

fn known(args: &ReconcileArgs) -> Result<Known, ReconcileError> {
    let (own, _) = files::certificate(args.remote.certificate())?;
    let mut keys = BTreeSet::new();
    let (mut log_key, mut policy) = (args.log_key.clone(), args.policy.clone());
    let store = match (&args.config, &args.store) {
        (Some(file), _) => {
            let config: AgentConfig = config::load(file)?;
            if config.organisation.oin != own {
                return Err(ReconcileError::OtherOrganisation);
            }
            let (_, key): (_, KeyHash) = files::certificate(&config.tls.certificate)?;
            keys.insert(key.to_string());
            if log_key.is_none() && policy.is_none() {
                log_key = config.hub.log_key.map(|key| key.0);
                policy = config.hub.log_policy;
            }
            config.store.directory
        }
        (None, store) => store.clone().unwrap_or_default(),
    };
    if policy.is_none() && log_key.is_none() {
        return Err(ReconcileError::NoLog);
    }
    let policy = config::policy(policy.as_deref(), log_key)?;
    Ok(Known { own, store, policy, keys })
}

/// What the hub shows, by id of the event.
#[derive(Default)]
struct Shown {
    answers: BTreeMap<String, Answer>,
    erasures: BTreeMap<String, Vec<v1::Erasure>>,
    erasing: Vec<v1::EventProof>,
}

impl Shown {
    fn beside<'s>(&'s self, before: &'s Journal, after: &'s Journal) -> Sides<'s> {
        Sides { before, after, answers: &self.answers, erasures: &self.erasures, erasing: &self.erasing }
    }

    fn add(&mut self, other: Self) {
        self.answers.extend(other.answers);
        self.erasures.extend(other.erasures);
    }

    fn add_page(&mut self, page: &v1::QueryEventsResponse) {
        for (event, proof) in page.events.iter().zip(&page.proofs) {
            let answer = Answer { event: event.clone(), proof: proof.clone() };
            self.answers.insert(answer.id().to_owned(), answer);
        }
        for erasure in &page.erasures {
            let id = erasure.event.strip_prefix("events/").unwrap_or(&erasure.event).to_owned();
            let known = self.erasures.entry(id).or_default();
            // The page after this one may say it again.
            if !known.contains(erasure) {
                known.push(erasure.clone());
            }
        }
    }
}

/// The hub, as an officer asks it.
struct Hub {
    channel: Channel,
    user_ref: String,
}

impl Hub {
    /// Every event that concerns the organisation, by id.
    async fn period(&self, from: OffsetDateTime, until: OffsetDateTime) -> Result<Shown, ReconcileError> {
        let mut shown = Shown::default();
        let mut start = from;
        while start < until {
            let end = until.min(start.saturating_add(SLICE));
            let (start_time, end_time) = (Some(timestamp(start)), Some(timestamp(end)));
            let slice = v1::QueryEventsRequest { start_time, end_time, ..v1::QueryEventsRequest::default() };
            self.pages(slice, &mut shown).await?;
            start = end;
        }
        Ok(shown)
    }

    /// One event, whenever it was.
    async fn by_name(&self, id: &str) -> Result<Shown, ReconcileError> {
        let mut shown = Shown::default();
        let one = v1::QueryEventsRequest { event: format!("events/{id}"), ..v1::QueryEventsRequest::default() };
        self.pages(one, &mut shown).await?;
        shown.answers.retain(|found, _| found == id);
        shown.erasures.retain(|found, _| found == id);
        Ok(shown)
    }

    /// The erasures by which something of what was shown is gone.
    async fn prove_erasures(&self, shown: &mut Shown) -> Result<(), ReconcileError> {
        let by: BTreeSet<&String> = shown.erasures.values().flatten().map(|erasure| &erasure.by).collect();
        let by: Vec<String> = by.into_iter().cloned().collect();
        shown.erasing = proofs::<ReconcileError>(self.channel.clone(), &by, AGAIN).await?;
        Ok(())
    }

    async fn pages(&self, mut query: v1::QueryEventsRequest, shown: &mut Shown) -> Result<(), ReconcileError> {
        let mut progress = Progress::new();
        query.context = context(&self.user_ref);
        (query.page_size, query.proofs) = (PAGE, true);
        // What is not under a checkpoint yet is a difference like others, if it is late.
        pages(self.channel.clone(), query, 0, async |page| {
            shown.add_page(page);
            progress.tell(shown.answers.len() as u64, "events");
            Ok(true)
        })
        .await
    }
}

fn print(outcome: &Reconciled, setting: &Setting<'_>, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        for difference in &outcome.differences {
            serde_json::to_writer(&mut *out, difference)?;
            writeln!(out)?;
        }
        return Ok(());
    }
    let (from, until) = (shown(setting.from), shown(setting.until));
    writeln!(out, "{}, from {from} until {until}", setting.own)?;
    writeln!(out, "{} promises in the journal, {} events in the log\n", outcome.promises, outcome.events)?;
    for (severity, title) in [(Severity::Finding, "Differences"), (Severity::Information, "For information")] {
        let of_it = |one: &&Difference| one.severity() == severity;
        let rows: Vec<&Difference> = outcome.differences.iter().filter(of_it).collect();
        if rows.is_empty() && severity == Severity::Information {
            continue;
        }
        writeln!(out, "{title}: {}", rows.len())?;
        for Difference { code, about, agent, hub } in rows {
            writeln!(out, "  {:<18} {}", code.word(), plain(about))?;
            for (side, says) in [("agent", agent), ("hub", hub)] {
                if !says.is_empty() {
                    writeln!(out, "    {side:<6} {}", plain(says))?;
                }
            }
        }
    }
    Ok(())
}

fn shown(at: i64) -> String {
    from_micros(at).format(&Rfc3339).unwrap_or_default()
}

/// RFC 3339, or a date: its first moment in the Netherlands, whose days reports print.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, String> {
    let date = || Date::parse(text, format_description!("[year]-[month]-[day]")).map(day_begins);
    let wrong = |_| "a moment like 2027-01-31T12:00:00Z, or a date like 2027-01-31".to_owned();
    OffsetDateTime::parse(text, &Rfc3339).or_else(|_| date()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_or_dates() {
        let read = |text| moment(text).map(OffsetDateTime::unix_timestamp);
        for (text, at) in [
            ("1970-01-02", 86_400 - 3600),
            ("2026-07-01", 1_782_856_800),
            ("2026-07-01T00:00:00+02:00", 1_782_856_800),
            ("1970-01-01T00:00:07Z", 7),
            ("1970-01-01T01:00:07+01:00", 7),
        ] {
            assert_eq!(read(text), Ok(at), "{text}");
        }
        for text in ["", "yesterday", "1970-13-01", "1970-01-01 00:00"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_say_what_is_missing() {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Command {
            #[command(flatten)]
            args: ReconcileArgs,
        }
        let remote = ["reconcile", "--address", "a:1", "--anchors", "a", "--certificate", "c", "--key", "k"];
        let parsed =
            |more: &[&str]| Command::try_parse_from([&remote, more].concat()).map_err(|error| error.to_string());
        assert!(parsed(&["--config", "agent.toml"]).is_ok());
        assert!(parsed(&["--store", "s", "--policy", "p", "--from", "2027-01-01"]).is_ok());
        for (more, wanted) in [
            (&[][..], "--store"),
            (&["--store", "s"], "--log-key"),
            (&["--store", "s", "--config", "c"], "cannot be used with"),
            (&["--store", "s", "--log-key", "x"], "--log-key"),
            (&["--config", "c", "--until", "soon"], "--until"),
        ] {
            let error = parsed(more).unwrap_err();
            assert!(error.contains(wanted), "{more:?}: {error}");
        }
    }
}
