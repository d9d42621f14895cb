//! `sluis audit export`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::transport::Channel;

use super::super::officer::{AGAIN, proofs};
use super::ask::{Search, pages};
use super::{AuditError, Say};
use crate::api::v1;
use crate::audit::export::{Bundle, Format, Story, Unproven};
use crate::folder::Directory;
use crate::tlog::Policy;
use crate::whole_file::private_directory;

/// Writes what was found, verified on the way.
pub(super) async fn run(
    channel: Channel,
    policy: Policy,
    search: &Search,
    format: Format,
    dir: &Path,
    now: OffsetDateTime,
    out: &mut Say<'_>,
) -> Result<(), AuditError> {
    let failed = |error| AuditError::Bundle(dir.to_owned(), error);
    let request = v1::QueryEventsRequest { proofs: true, ..search.request(now)? };
    let story = Story {
        tool: concat!("sluis ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: now.format(&Rfc3339).unwrap_or_default(),
        query: in_words(&request),
    };
    private_directory(dir).map_err(|error| AuditError::File(dir.to_owned(), error))?;
    let folder = Directory::new(dir.to_owned());
    let mut bundle = Bundle::new(folder, policy, format, Unproven::Fails).map_err(failed)?;
    let (mut count, mut known) = (0, BTreeSet::new());
    pages(channel.clone(), request, async |page| {
        let mut erased = erased(page);
        erased.retain(|by| !known.contains(by));
        bundle.erasures(&proofs::<AuditError>(channel.clone(), &erased, AGAIN).await?).map_err(failed)?;
        known.extend(erased);
        bundle.page(&page.events, &page.proofs).map_err(failed)?;
        count += page.events.len();
        out.progress(count as u64, "events");
        Ok(true)
    })
    .await?;
    let manifest = bundle.finish(story).map_err(failed)?;
    out.say(
        json!({ "export": dir, "events": manifest.events, "format": manifest.format }),
        format_args!("{} events with their proofs: {}", manifest.events, dir.display()),
    )
}

/// By which events something of a page's was erased, each once.
fn erased(page: &v1::QueryEventsResponse) -> Vec<String> {
    let given = |erasure: &&v1::Erasure| page.events.iter().any(|event| event.name == erasure.event);
    let by: BTreeSet<String> = page.erasures.iter().filter(given).map(|erasure| erasure.by.clone()).collect();
    by.into_iter().collect()
}

/// What was asked for, as the manifest says it.
fn in_words(request: &v1::QueryEventsRequest) -> BTreeMap<String, String> {
    let moment = |at: &Option<prost_types::Timestamp>| {
        let at = at.as_ref().and_then(crate::wire::moment);
        at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
    };
    let outcome = match request.outcome() {
        v1::Outcome::Unspecified => "",
        outcome => outcome.as_str_name(),
    };
    let role = if request.role == 0 { "" } else { request.role().as_str_name() };
    let appearance = if request.appearance == 0 { "" } else { request.appearance().as_str_name() };
    let all = [
        ("case", request.case.clone()),
        ("subject", request.subject.clone()),
        ("organisation", request.organisation.clone()),
        ("requester", request.requester.clone()),
        ("via", request.via.clone()),
        ("event", request.event.clone()),
        ("source", request.source.clone()),
        ("userRef", request.user_ref.clone()),
        ("role", role.to_owned()),
        ("article", request.article.clone()),
        ("purpose", request.purpose.clone()),
        ("outcome", outcome.to_owned()),
        ("reason", request.reason.clone()),
        ("emergency", if request.emergency { "true".to_owned() } else { String::new() }),
        ("traceId", request.trace_id.clone()),
        ("appearance", appearance.to_owned()),
        ("startTime", moment(&request.start_time)),
        ("endTime", moment(&request.end_time)),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect()
}
