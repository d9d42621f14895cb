//! Asking the hub for events, page by page.

use std::io::Read as _;
use std::path::Path;

use clap::Args;
use serde_json::json;
use time::OffsetDateTime;
use tonic::transport::Channel;
use zeroize::Zeroizing;

use super::super::officer::{self, AGAIN, context};
use super::super::plain;
use super::super::reconcile;
use super::super::remote::done;
use super::files::cosigners;
use super::{AuditError, Say};
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::api::v1::event_proof::State;
use crate::api::v1::pseudonyms_client::PseudonymsClient;
use crate::api::v1::query_events_request::Appearance;
use crate::audit::export::{Line, confirm, confirm_gone};
use crate::party::Role;
use crate::tlog::{Policy, Proof, ProofError};
use crate::wire::{Numbered as _, timestamp};

/// As whom the log names the officer beside the certificate.
pub(super) const ASKER: &str = "officer";
/// Events in one page.
const PAGE: i32 = 500;
/// With proofs.
const PROVEN_PAGE: i32 = 100;

/// Which events. What is given narrows.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Search {
    /// cases/{case}, as the own organisation names it.
    #[arg(long)]
    pub(super) case: Option<String>,
    /// The own organisation's log pseudonym of a youth: see `sluis audit subject`.
    #[arg(long, allow_hyphen_values = true)]
    pub(super) subject: Option<String>,
    /// OIN that asked, sent or received.
    #[arg(long)]
    pub(super) organisation: Option<String>,
    /// OIN that asked.
    #[arg(long)]
    pub(super) requester: Option<String>,
    /// OIN of a supplier that called in a partner's name.
    #[arg(long)]
    pub(super) via: Option<String>,
    /// OIN whose data it concerns.
    #[arg(long)]
    pub(super) source: Option<String>,
    /// Employee, of the own organisation.
    #[arg(long)]
    pub(super) user_ref: Option<String>,
    /// Role, R01-R14.
    #[arg(long)]
    pub(super) role: Option<String>,
    /// Number of an article.
    #[arg(long)]
    pub(super) article: Option<String>,
    /// Purpose code.
    #[arg(long)]
    pub(super) purpose: Option<String>,
    /// allowed, refused or failed.
    #[arg(long)]
    pub(super) outcome: Option<String>,
    /// Reason code, for example NOT_INVOLVED.
    #[arg(long)]
    pub(super) reason: Option<String>,
    /// Only what rested on article 30.
    #[arg(long)]
    pub(super) emergency: bool,
    /// W3C trace-id.
    #[arg(long)]
    pub(super) trace: Option<String>,
    /// listed: the case stood in a list; consulted: the event is about the case itself.
    #[arg(long)]
    pub(super) appearance: Option<String>,
    /// From this moment on: RFC 3339, or a day in the Netherlands.
    #[arg(long)]
    pub(super) from: Option<String>,
    /// Before this moment: RFC 3339, or the start of a day in the Netherlands. Left out: now.
    #[arg(long)]
    pub(super) until: Option<String>,
}

impl Search {
    /// As the hub is asked. Whatever is written later than `now` stays out: pages would not end.
    pub(super) fn request(&self, now: OffsetDateTime) -> Result<v1::QueryEventsRequest, AuditError> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let named = |text: &Option<String>, collection: &str| named(text.clone(), collection);
        let role = self.role.as_deref().map(str::parse::<Role>).transpose();
        let role = role.map_err(|_| AuditError::Option("role", "R01 to R14"))?;
        let outcome = match self.outcome.as_deref() {
            None => v1::Outcome::Unspecified,
            Some("allowed") => v1::Outcome::Allowed,
            Some("refused") => v1::Outcome::Refused,
            Some("failed") => v1::Outcome::Failed,
            Some(_) => return Err(AuditError::Option("outcome", "allowed, refused or failed")),
        };
        let appearance = match self.appearance.as_deref() {
            None => Appearance::Unspecified,
            Some("listed") => Appearance::Listed,
            Some("consulted") => Appearance::Consulted,
            Some(_) => return Err(AuditError::Option("appearance", "listed or consulted")),
        };
        let from = self.from.as_deref().map(|text| moment("from", text)).transpose()?;
        let until = self.until.as_deref().map_or(Ok(now), |text| moment("until", text))?;
        Ok(v1::QueryEventsRequest {
            context: context(ASKER),
            case: named(&self.case, "cases"),
            organisation: named(&self.organisation, "partners"),
            user_ref: text(&self.user_ref),
            article: text(&self.article),
            outcome: outcome.into(),
            reason: text(&self.reason),
            start_time: from.map(timestamp),
            end_time: Some(timestamp(until)),
            event: String::new(),
            page_size: PAGE,
            page_token: String::new(),
            subject: text(&self.subject),
            requester: named(&self.requester, "partners"),
            source: named(&self.source, "partners"),
            role: role.map(|role| role.number()).unwrap_or_default(),
            purpose: text(&self.purpose),
            emergency: self.emergency,
            trace_id: text(&self.trace),
            appearance: appearance.into(),
            proofs: false,
            via: text(&self.via),
        })
    }
}

/// A moment, or the beginning of a day in the Netherlands.
pub(super) fn moment(option: &'static str, text: &str) -> Result<OffsetDateTime, AuditError> {
    reconcile::moment(text)
        .map_err(|_| AuditError::Option(option, "a moment like 2026-11-01T09:00:00Z, or a day like 2026-11-01"))
}

/// A resource's name, from that or from its last part.
pub(super) fn named(text: Option<String>, collection: &str) -> String {
    match text {
        Some(name) if name.contains('/') => name,
        Some(name) => format!("{collection}/{name}"),
        None => String::new(),
    }
}

/// Asks for one page after the other, until there is none or `take` has enough; with proofs, once all of a page is under a
/// checkpoint.
pub(super) async fn pages(
    channel: Channel,
    mut request: v1::QueryEventsRequest,
    take: impl AsyncFnMut(&v1::QueryEventsResponse) -> Result<bool, AuditError>,
) -> Result<(), AuditError> {
    if request.proofs {
        request.page_size = request.page_size.min(PROVEN_PAGE);
    }
    officer::pages(channel, request, AGAIN, take).await
}

/// Prints events, newest first.
pub(super) async fn query(
    channel: Channel,
    search: &Search,
    limit: Option<usize>,
    now: OffsetDateTime,
    out: &mut Say<'_>,
) -> Result<(), AuditError> {
    let most = limit.unwrap_or(usize::MAX);
    let (mut count, mut more) = (0, false);
    let mut head = Some(HEAD);
    pages(channel, search.request(now)?, async |page| {
        if let Some(head) = head.take() {
            out.note(format_args!("{head}"))?;
        }
        for event in &page.events {
            if count == most {
                more = true;
                return Ok(false);
            }
            count += 1;
            out.say(Line::from(event), format_args!("{}", plain(&row(event))))?;
        }
        Ok(true)
    })
    .await?;
    let and_more = if more { ", and more: raise --limit" } else { "" };
    out.note(format_args!("{count} events{and_more}"))?;
    if more && out.json {
        out.say(json!({ "more": true, "limit": most }), format_args!(""))?;
    }
    Ok(())
}

const HEAD: &str = "time                         organisation          who               role  what                       outcome                      art.  case or list";

fn row(event: &v1::Event) -> String {
    let line = Line::from(event);
    let outcome = match event.outcome() {
        v1::Outcome::Allowed if event.emergency => "allowed, emergency".to_owned(),
        v1::Outcome::Allowed => "allowed".to_owned(),
        v1::Outcome::Refused => format!("refused {}", event.reason),
        _ => format!("failed {}", event.reason),
    };
    let short = |name: &str, prefix: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
    let role = Role::from_number(event.role).map_or("", Role::code);
    let case = match (event.case.as_str(), event.listed.len()) {
        ("", 0) => String::new(),
        ("", cases) => format!("a list of {cases}"),
        (case, _) => case.to_owned(),
    };
    let via = if event.via.is_empty() { String::new() } else { format!("  via {}", event.via) };
    format!(
        "{:<28} {:<21} {:<17} {:<5} {:<26} {:<28} {:<5} {case}{via}",
        line.time,
        short(&event.organisation, "partners/"),
        event.user_ref,
        role,
        short(&event.method, "sluis.v1."),
        outcome,
        event.article,
    )
}

/// Prints everything about one event, and whether it is proven.
pub(super) async fn show(
    channel: Channel,
    policy: &Policy,
    event: &str,
    now: OffsetDateTime,
    out: &mut Say<'_>,
) -> Result<(), AuditError> {
    let name = if event.contains('/') { event.to_owned() } else { format!("events/{event}") };
    let request = v1::QueryEventsRequest {
        event: name.clone(),
        proofs: true,
        end_time: None,
        page_size: 1,
        ..Search::default().request(now)?
    };
    let mut client = AuditClient::new(channel.clone());
    let answer: v1::QueryEventsResponse = officer::page::<AuditError>(&mut client, &request, AGAIN).await?;
    let mut by: Vec<&v1::Erasure> = answer.erasures.iter().filter(|erasure| erasure.event == name).collect();
    by.sort_by_key(|erasure| &erasure.by);
    let names: Vec<String> = by.iter().map(|erasure| erasure.by.clone()).collect();
    let mut erasures = officer::proofs::<AuditError>(channel, &names, AGAIN).await?;
    erasures.retain(|proof| proof.state() == State::Proven);
    let (Some(event), Some(proof)) = (answer.events.first(), answer.proofs.first()) else {
        return gone(name, &by, &erasures, policy, out);
    };
    if event.name != name || proof.event != name {
        return Err(AuditError::NotGiven(name, "the answer is about another event".to_owned()));
    }
    let line = Line::from(event);
    let fields = serde_json::to_value(&line).map_err(std::io::Error::from)?;
    let standing = prove(&line, proof, &erasures, policy)?;
    let proven = if proof.state() == State::Proven { Ok(()) } else { Err(AuditError::NotProven(1)) };
    if out.json {
        out.say(json!({ "event": fields, "erasures": in_json(&by), "proof": standing.1 }), format_args!(""))?;
        return proven;
    }
    for (field, value) in fields.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        out.note(format_args!("{field:<18} {}", plain(&value)))?;
    }
    note_erasures(&by, out)?;
    out.note(format_args!("{:<18} {}", "proof", standing.0))?;
    proven
}

/// Of an event that is not shown by this name: that its data was erased, for an organisation that had got it, or nothing.
fn gone(
    name: String,
    by: &[&v1::Erasure],
    erasures: &[v1::EventProof],
    policy: &Policy,
    out: &mut Say<'_>,
) -> Result<(), AuditError> {
    if by.is_empty() {
        return Err(AuditError::NotGiven(name, "no such event, or none of this organisation".to_owned()));
    }
    for group in by.iter().flat_map(|erasure| &erasure.groups) {
        let confirmed = confirm_gone(policy, &name, group, erasures);
        confirmed.map_err(|fault| AuditError::Export((&name).into(), Box::new(fault)))?;
    }
    if out.json {
        let erased = json!({ "event": { "name": name }, "erasures": in_json(by), "proof": { "proven": false } });
        return out.say(erased, format_args!(""));
    }
    out.note(format_args!("{:<18} {name}", "name"))?;
    note_erasures(by, out)?;
    out.note(format_args!(
        "{:<18} of the erasure; of the event nothing is shown to this organisation any more",
        "proof"
    ))
}

fn in_json(by: &[&v1::Erasure]) -> Vec<serde_json::Value> {
    by.iter().map(|erasure| json!({ "by": erasure.by, "groups": erasure.groups })).collect()
}

fn note_erasures(by: &[&v1::Erasure], out: &mut Say<'_>) -> Result<(), AuditError> {
    for erasure in by {
        let said = format!("{} by {}", erasure.groups.join(", "), erasure.by);
        out.note(format_args!("{:<18} {}", "erasure", plain(&said)))?;
    }
    Ok(())
}

/// What a proof shows, in words and as JSON.
fn prove(
    line: &Line,
    proof: &v1::EventProof,
    erasures: &[v1::EventProof],
    policy: &Policy,
) -> Result<(String, serde_json::Value), AuditError> {
    if proof.state() != State::Proven {
        let words = match proof.state() {
            State::Waiting => "not under a checkpoint yet: ask again in some seconds",
            _ => "the hub gives none",
        };
        return Ok((words.to_owned(), json!({ "proven": false })));
    }
    let file = || std::path::PathBuf::from(&line.name);
    let failed = |error: ProofError| AuditError::Proof(file(), error.into());
    let uncovered = confirm(policy, line, proof, erasures);
    let uncovered = uncovered.map_err(|fault| AuditError::Export(file(), Box::new(fault)))?;
    let parsed = Proof::from_bytes(&proof.proof).map_err(failed)?;
    let checkpoint = policy.open(parsed.note()).map_err(|error| AuditError::Proof(file(), error.into()))?;
    let (index, size) = (parsed.index, checkpoint.tree().size);
    let witnesses = cosigners(policy, &checkpoint);
    let by = if witnesses.is_empty() { String::new() } else { format!(", signed by {}", witnesses.join(", ")) };
    let word =
        if uncovered.is_empty() { String::new() } else { format!("; the hub's word only: {}", uncovered.join(", ")) };
    Ok((
        format!("entry {index} of {size}{by}{word}"),
        json!({ "proven": true, "entry": index, "entries": size, "witnesses": witnesses, "uncovered": uncovered }),
    ))
}

/// Prints the pseudonym by which the log knows a youth to the own organisation.
pub(super) async fn subject(channel: Channel, bsn_file: &Path, out: &mut Say<'_>) -> Result<(), AuditError> {
    let failed = |error| AuditError::File(bsn_file.to_owned(), error);
    let mut text = Zeroizing::new(String::new());
    if bsn_file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(bsn_file).and_then(|mut file| file.read_to_string(&mut text)).map_err(failed)?;
    }
    let request = v1::ResolvePseudonymRequest {
        context: Some(v1::RequestContext {
            article: "5".to_owned(),
            purpose: "beheer".to_owned(),
            acting_role: Role::R01.number(),
            user_ref: "officer".to_owned(),
            ..v1::RequestContext::default()
        }),
        subject: Some(v1::Subject { id: Some(v1::subject::Id::Bsn(text.trim().to_owned())) }),
    };
    let answer = done("finding the subject", PseudonymsClient::new(channel).resolve_pseudonym(request).await)?;
    out.say(json!({ "subject": answer.log_pseudonym }), format_args!("{}", answer.log_pseudonym))
}
