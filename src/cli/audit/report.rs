//! `sluis audit report` and `sluis audit overview`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use time::{Duration, OffsetDateTime};
use tonic::transport::Channel;

use super::super::officer::{BadAnswer, scope};
use super::super::remote::{RemoteArgs, done};
use super::ask::{Search, moment, pages};
use super::entries::{Entries, Held};
use super::files::{Copied, copied_at, verify_copy};
use super::{AuditError, Say, TrustArgs};
use crate::api::v1;
use crate::api::v1::directory_client::DirectoryClient;
use crate::covenant::Covenant;
use crate::report::{Ask, Code, File, Integrity, Language, Level, Reports, Scope, Setting, Terms};
use crate::seal::document;
use crate::wire::timestamp;

/// History before the period, to know who held which role.
const HISTORY: Duration = Duration::days(366);
/// The longest period that the hub takes without another condition.
const SLICE: Duration = Duration::days(31);

/// What reports and overviews have in common.
#[derive(Debug, Clone, Args)]
struct Common {
    #[command(flatten)]
    remote: RemoteArgs,
    /// First moment of the period: RFC 3339, or a day in the Netherlands.
    #[arg(long)]
    from: String,
    /// First moment after it: RFC 3339, or a day in the Netherlands, which is not in it any more. Left out: now.
    #[arg(long)]
    until: Option<String>,
    /// As things stood at this moment, or when this day began in the Netherlands: what came later is left out. Left out: the end of
    /// the period.
    #[arg(long)]
    as_of: Option<String>,
    /// Only if these are the whole network's events, which the hub gives the network's officer. Whose they are the hub says, and
    /// each report repeats it.
    #[arg(long)]
    network: bool,
    /// md, json or csv. Left out: md, or json with --json.
    #[arg(long)]
    format: Option<String>,
    /// nl or en.
    #[arg(long, default_value = "nl")]
    language: String,
    /// Directory for the files, and for a detached signature with your certificate under each (.p7s, RFC 5652); left out: all of it
    /// to standard output, unsigned.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Arguments of `sluis audit report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    #[command(flatten)]
    common: Common,
    /// Q1 to Q15; left out: all of them.
    #[arg(long = "report")]
    codes: Vec<String>,
    /// When the log began, a moment or a day in the Netherlands: with it everything is known of who held which role. Left out: a year before the period is read.
    #[arg(long)]
    since: Option<String>,
    /// Directory of a covenant; left out: the one that is built in.
    #[arg(long)]
    covenant: Option<PathBuf>,
    /// Directory of a copy of the log (`sluis audit copy`): it is verified for report Q9, which speaks of the log as it was when the
    /// copy was made. With its entries (--entries), each event is looked up in it too, and whether a clock went back.
    #[arg(long)]
    copy: Option<PathBuf>,
    /// The log's public key, to verify the copy with.
    #[arg(long, requires = "copy")]
    log_key: Option<String>,
    /// The log's policy, to verify the copy with.
    #[arg(long, requires = "copy")]
    policy: Option<PathBuf>,
    /// Exit with 1 if a report has a red signal.
    #[arg(long)]
    fail_on_red: bool,
}

/// Arguments of `sluis audit overview`.
#[derive(Debug, Args)]
pub(super) struct OverviewArgs {
    #[command(flatten)]
    common: Common,
    /// cases/{case}, as the own organisation names it.
    #[arg(long, required_unless_present = "subject")]
    case: Option<String>,
    /// The own organisation's log pseudonym of the youth: see `sluis audit subject`.
    #[arg(long, allow_hyphen_values = true)]
    subject: Option<String>,
    /// Show refusals: only when somebody judged that this harms nobody's safety.
    #[arg(long)]
    refusals: bool,
    /// Name the events behind every line, for whoever has to answer questions about it.
    #[arg(long)]
    events: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Markdown,
    Json,
    Csv,
}

/// What was said of the period, read.
struct Frame {
    from: OffsetDateTime,
    until: OffsetDateTime,
    as_of: OffsetDateTime,
    form: Form,
    language: Language,
}

impl Common {
    fn frame(&self, now: OffsetDateTime, json: bool) -> Result<Frame, AuditError> {
        let from = moment("from", &self.from)?;
        let until = self.until.as_deref().map_or(Ok(now), |text| moment("until", text))?;
        if from >= until {
            return Err(AuditError::Option("until", "a moment after --from"));
        }
        let as_of = self.as_of.as_deref().map_or(Ok(until), |text| moment("as-of", text))?;
        let form = match self.format.as_deref() {
            None if json => Form::Json,
            None | Some("md") => Form::Markdown,
            Some("json") => Form::Json,
            Some("csv") => Form::Csv,
            Some(_) => return Err(AuditError::Option("format", "md, json or csv")),
        };
        let language = match self.language.as_str() {
            "nl" => Language::Nl,
            "en" => Language::En,
            _ => return Err(AuditError::Option("language", "nl or en")),
        };
        Ok(Frame { from, until, as_of, form, language })
    }

    /// Whose events the hub gave. It is not for the asker to say.
    fn scope(&self, page: &v1::QueryEventsResponse, before: Option<&Scope>) -> Result<Scope, AuditError> {
        match scope(page, before)? {
            Scope::Own(oin) if self.network => Err(AuditError::NotNetwork(oin.to_string())),
            scope => Ok(scope),
        }
    }

    /// To files, each beside a signature of whoever asked; or to whoever reads along.
    fn deliver(&self, files: &[File], now: OffsetDateTime, out: &mut Say<'_>) -> Result<(), AuditError> {
        let Some(dir) = &self.dir else {
            for file in files {
                out.out.write_all(file.text.as_bytes())?;
                writeln!(out.out)?;
            }
            return Ok(());
        };
        let (chain, key) = self.remote.identity()?;
        crate::whole_file::private_directory(dir).map_err(|error| AuditError::File(dir.clone(), error))?;
        for File { name, text } in files {
            let path = dir.join(name);
            let signature = document::sign(&key, &chain, text.as_bytes(), now)?;
            for (path, bytes) in [(dir.join(format!("{name}.p7s")), &signature[..]), (path.clone(), text.as_bytes())] {
                crate::whole_file::replace(&path, bytes).map_err(|error| AuditError::File(path, error))?;
            }
            out.say(
                json!({ "file": path, "signature": format!("{}.p7s", path.display()) }),
                format_args!("{}", path.display()),
            )?;
        }
        Ok(())
    }
}

/// Writes reports.
pub(super) async fn reports(args: &ReportArgs, now: OffsetDateTime, out: &mut Say<'_>) -> Result<(), AuditError> {
    let frame = args.common.frame(now, out.json && args.common.dir.is_none())?;
    let codes: Vec<Code> = args
        .codes
        .iter()
        .map(|code| code.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| AuditError::Option("report", "Q1 to Q15"))?;
    let covenant = match &args.covenant {
        Some(directory) => Covenant::read(directory)?,
        None => Covenant::embedded()?,
    };
    let since = args.since.as_deref().map(|text| moment("since", text)).transpose()?;
    if since.is_some_and(|since| since > frame.from) {
        return Err(AuditError::Option("since", "a moment that is not after --from"));
    }
    let (integrity, mut held) = args.integrity(out)?;
    let channel = args.common.remote.channel(now).await?;
    let partners = partners(channel.clone()).await?;
    let reports = |scope| {
        Reports::new(Setting {
            from: frame.from,
            until: frame.until,
            as_of: frame.as_of,
            since_start: since.is_some(),
            scope,
            terms: Terms::of(&covenant),
            partners: partners.clone(),
            integrity: integrity.clone(),
        })
    };
    let begin = since.unwrap_or(frame.from - HISTORY);
    let period = (begin, frame.until.min(now));
    let mut gathered = gather(&args.common, channel, period, reports, held.as_mut(), out).await?;
    if let Some(held) = &mut held {
        gathered.held(held.missing(), held.back_seconds());
    }
    let mut wanted = gathered.finish();
    wanted.retain(|report| codes.is_empty() || codes.contains(&report.code));
    let mut files = Vec::new();
    for report in &wanted {
        match frame.form {
            Form::Markdown => files.push(File {
                name: format!("{}.md", report.code),
                text: crate::report::markdown(report, frame.language),
            }),
            Form::Json => {
                let text = crate::report::json(report).map_err(std::io::Error::from)?;
                files.push(File { name: format!("{}.json", report.code), text });
            }
            Form::Csv => files.extend(crate::report::csv(report, frame.language)),
        }
    }
    args.common.deliver(&files, now, out)?;
    let red = wanted.iter().filter(|report| report.level() == Some(Level::Red)).count();
    if args.fail_on_red && red > 0 { Err(AuditError::Red(red)) } else { Ok(()) }
}

/// Reads events since a moment. What is reported on is known when the hub says whose events it gives.
async fn gather(
    common: &Common,
    channel: Channel,
    (begin, mut end): (OffsetDateTime, OffsetDateTime),
    reports_on: impl Fn(Scope) -> Reports,
    mut held: Option<&mut Held>,
    out: &mut Say<'_>,
) -> Result<Reports, AuditError> {
    let mut gathered: Option<(Scope, Reports)> = None;
    let mut count = 0;
    // Newest first, a month at a time: the hub takes no longer period without another condition.
    while end > begin {
        let start = begin.max(end - SLICE);
        let request = v1::QueryEventsRequest {
            start_time: Some(timestamp(start)),
            end_time: Some(timestamp(end)),
            ..Search::default().request(end)?
        };
        pages(channel.clone(), request, async |page| {
            let scope = common.scope(page, gathered.as_ref().map(|(scope, _)| scope))?;
            let (_, reports) = gathered.get_or_insert_with(|| (scope.clone(), reports_on(scope)));
            for event in &page.events {
                reports.add(event);
                if let Some(held) = &mut held {
                    held.add(event);
                }
            }
            count += page.events.len() as u64;
            out.progress(count, "events");
            Ok(true)
        })
        .await?;
        end = start;
    }
    gathered.map(|(_, reports)| reports).ok_or(AuditError::Option("from", "a moment that has been"))
}

impl ReportArgs {
    /// What a copy of the log shows of it; and, if its entries are there, those to hold events against.
    fn integrity(&self, out: &mut Say<'_>) -> Result<(Option<Integrity>, Option<Held>), AuditError> {
        let Some(copy) = &self.copy else { return Ok((None, None)) };
        let trust = TrustArgs { log_key: self.log_key.clone(), policy: self.policy.clone() };
        // What it finds stands in the report.
        let found = verify_copy(copy, None, &trust.policy()?, &mut Say::new(&mut std::io::sink(), false));
        let (verified, tree_size, witnessed) = match found {
            Ok(Copied { tree, witnessed }) => (true, tree.size, witnessed),
            // That it does not verify is what the report is to say.
            Err(error) if error.is_finding() => (false, 0, None),
            Err(error) => return Err(error),
        };
        let entries = if verified { Entries::read(copy, tree_size, out)? } else { None };
        let copied_at = copied_at(copy).or(witnessed);
        let integrity = Integrity { verified, tree_size, copied_at, unproven: None, clock_back_seconds: None };
        Ok((Some(integrity), entries.map(Held::new)))
    }
}

/// Writes what a family may read.
pub(super) async fn overview(args: &OverviewArgs, now: OffsetDateTime, out: &mut Say<'_>) -> Result<(), AuditError> {
    let frame = args.common.frame(now, out.json && args.common.dir.is_none())?;
    let channel = args.common.remote.channel(now).await?;
    let search = Search {
        case: args.case.clone(),
        subject: args.subject.clone(),
        from: Some(args.common.from.clone()),
        until: args.common.until.clone(),
        ..Search::default()
    };
    let request = search.request(now)?;
    let (mut found, mut scope) = (Vec::new(), None);
    pages(channel.clone(), request.clone(), async |page| {
        scope = Some(args.common.scope(page, scope.as_ref())?);
        found.extend_from_slice(&page.events);
        Ok(true)
    })
    .await?;
    let ask = Ask {
        cases: of(&request.case, found.iter().map(|event| &event.case)),
        subjects: of(&request.subject, std::iter::empty()),
        from: frame.from,
        until: frame.until,
        as_of: frame.as_of,
        listed: if request.case.is_empty() { lists(&found) } else { BTreeSet::new() },
        scope: scope.ok_or(BadAnswer("there is none"))?,
        partners: partners(channel).await?,
        refusals: args.refusals,
        events: args.events,
    };
    let overview = crate::report::overview(&found, &ask, frame.language);
    let (extension, text) = match frame.form {
        Form::Markdown => ("md", overview.markdown()),
        Form::Json => ("json", overview.json().map_err(std::io::Error::from)?),
        Form::Csv => ("csv", overview.csv()),
    };
    let name = if frame.language == Language::Nl { "inzage" } else { "access" };
    args.common.deliver(&[File { name: format!("{name}.{extension}"), text }], now, out)
}

/// What was asked for, or else what was found for it: everything that a subject's query gives is about that subject.
fn of<'e>(asked: &str, found: impl Iterator<Item = &'e String>) -> BTreeSet<String> {
    if !asked.is_empty() {
        return BTreeSet::from([asked.to_owned()]);
    }
    found.filter(|name| !name.is_empty()).cloned().collect()
}

/// Lists that were found for a subject: one of its cases stood in each.
fn lists(found: &[v1::Event]) -> BTreeSet<String> {
    found.iter().filter(|event| !event.listed.is_empty()).map(|event| event.name.clone()).collect()
}

async fn partners(channel: Channel) -> Result<Vec<v1::Partner>, AuditError> {
    let mut client = DirectoryClient::new(channel);
    let (mut all, mut request) = (Vec::new(), v1::ListPartnersRequest::default());
    loop {
        let page = done("reading the directory", client.list_partners(request.clone()).await)?;
        all.extend(page.partners);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}
