//! What is printed: one line per step, and the privacy officer's view of a case.

use std::io::{self, Write};

use time::OffsetDateTime;
use time::macros::format_description;

use super::connect::ConnectError;
use super::file::{Expect, Step};
use super::outcome::{Attempt, code_name};
use super::perform::{Stage, events_of_case};
use super::word::word_of;
use crate::api::v1 as api;

/// Writes the line of a step, and one line more for each thing that is wrong.
pub(crate) fn line(out: &mut dyn Write, step: &Step, attempt: &Attempt, wrong: &[String]) -> io::Result<()> {
    let mark = if wrong.is_empty() { "ok " } else { "NOK" };
    let role = step.role.map(|role| word_of(role.0.as_str_name(), "ROLE_")).unwrap_or_default();
    let who = if role.is_empty() { step.who.clone() } else { format!("{} ({role})", step.who) };
    let expected = match step.expect {
        Expect::Allow => "allow".to_owned(),
        Expect::Refuse(reason) => reason.to_string(),
    };
    let event = attempt.event.as_deref().map(|name| name.trim_start_matches("events/")).unwrap_or("-");
    writeln!(
        out,
        "{mark} {:<6} {who:<10} {} | expected {expected} | got {} | {} | {event}",
        step.id,
        step.what,
        got(attempt),
        article(step, attempt),
    )?;
    wrong.iter().try_for_each(|problem| writeln!(out, "           ^ {problem}"))
}

fn got(attempt: &Attempt) -> String {
    match &attempt.result {
        Ok(_) => "allow".to_owned(),
        Err(refusal) => refusal.reason().map_or_else(|| code_name(refusal.code), |reason| reason.to_string()),
    }
}

fn article(step: &Step, attempt: &Attempt) -> String {
    let shown = match &attempt.result {
        Ok(got) => got.article.as_deref().unwrap_or(&step.article),
        Err(_) => &step.article,
    };
    if shown.is_empty() { "-".to_owned() } else { format!("art. {shown}") }
}

/// Writes what the privacy officer of `who` sees of a case.
///
/// # Errors
/// No channel to the hub, or the output is closed.
pub(crate) async fn officers_view(
    out: &mut dyn Write,
    stage: &mut Stage,
    who: &str,
    case: &str,
) -> Result<Result<usize, io::Error>, ConnectError> {
    let events = match events_of_case(stage, who, case).await? {
        Ok(events) => events,
        Err(status) => return Ok(writeln!(out, "refused: {}", code_name(status.code())).map(|()| 0)),
    };
    Ok(table(out, stage, who, &events).map(|()| events.len()))
}

fn table(out: &mut dyn Write, stage: &Stage, who: &str, events: &[api::Event]) -> io::Result<()> {
    writeln!(out)?;
    writeln!(out, "What the privacy officer of {who} sees of this case: {} events, no content", events.len())?;
    writeln!(
        out,
        "{:<19} {:<4} {:<4} {:<14} {:<28} {:<12} {:<12} {:<16} outcome",
        "time (UTC)", "who", "role", "user", "what", "article", "categories", "to"
    )?;
    events.iter().try_for_each(|event| row(out, stage, event))
}

fn row(out: &mut dyn Write, stage: &Stage, event: &api::Event) -> io::Result<()> {
    let names = &stage.names;
    let method = event.method.rsplit(['/', '.']).next().unwrap_or_default();
    let outcome = match event.outcome() {
        api::Outcome::Allowed => "allowed".to_owned(),
        api::Outcome::Refused => format!("refused {}", event.reason),
        api::Outcome::Failed => "failed".to_owned(),
        api::Outcome::Unspecified => "-".to_owned(),
    };
    let article = if event.clauses.is_empty() { event.article.clone() } else { event.clauses.join(" ") };
    let categories: Vec<_> = event.categories().map(|one| word_of(one.as_str_name(), "CATEGORY_")).collect();
    writeln!(
        out,
        "{:<19} {:<4} {:<4} {:<14} {:<28} {:<12} {:<12} {:<16} {outcome}",
        moment(event.time.as_ref()),
        names.id(&event.organisation),
        word_of(event.role().as_str_name(), "ROLE_").replace("UNSPECIFIED", "-"),
        event.user_ref,
        method,
        article,
        categories.join(" "),
        names.ids(&event.recipients).join(" "),
    )
}

fn moment(time: Option<&prost_types::Timestamp>) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    time.and_then(|time| OffsetDateTime::from_unix_timestamp(time.seconds).ok())
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "-".to_owned())
}
