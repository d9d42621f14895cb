//! How a privacy officer asks the hub for events: under article 36, page by page, and believing no page that can't be one.

use std::time::Duration;

use tonic::transport::Channel;

use super::remote::{RemoteError, done};
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::api::v1::event_proof::State;
use crate::party::Role;
use crate::report::Scope;
use crate::wire::Numbered as _;

/// An event that was written a moment ago is proven a moment later: so often it is asked for again.
pub(super) const AGAIN: usize = 30;
/// Between two questions for the same page.
const SOON: Duration = Duration::from_secs(1);

/// An answer that is none to what was asked.
#[derive(Debug, thiserror::Error)]
#[error("the hub's answer is not to what was asked: {0}")]
pub struct BadAnswer(pub(super) &'static str);

/// Why an officer asks. Who it is, the certificate says.
pub(super) fn context(user_ref: &str) -> Option<v1::RequestContext> {
    Some(v1::RequestContext {
        article: "36".to_owned(),
        purpose: "verantwoording".to_owned(),
        acting_role: Role::R14.number(),
        user_ref: user_ref.to_owned(),
        ..v1::RequestContext::default()
    })
}

/// Whose events an answer was made of, as the service says.
///
/// # Errors
/// [`BadAnswer`]: it does not say, or it says something else than an earlier answer did.
pub(super) fn scope(answer: &v1::QueryEventsResponse, before: Option<&Scope>) -> Result<Scope, BadAnswer> {
    let scope = Scope::of_answer(&answer.scope).ok_or(BadAnswer("it does not say whose events these are"))?;
    if before.is_some_and(|before| *before != scope) {
        return Err(BadAnswer("events of another scope than those before"));
    }
    Ok(scope)
}

/// Asks for one page after the other, until there is none or `take` has enough.
///
/// # Errors
/// What the hub or `take` says; [`BadAnswer`].
pub(super) async fn pages<E: From<RemoteError> + From<BadAnswer>>(
    channel: Channel,
    mut request: v1::QueryEventsRequest,
    again: usize,
    mut take: impl AsyncFnMut(&v1::QueryEventsResponse) -> Result<bool, E>,
) -> Result<(), E> {
    let mut client = AuditClient::new(channel);
    let mut last: Option<(i64, i32, String)> = None;
    loop {
        let answer = page::<E>(&mut client, &request, again).await?;
        if !answer.next_page_token.is_empty() && answer.events.is_empty() {
            return Err(BadAnswer("a page without an event").into());
        }
        // Newest first, each one older than the one before: or pages would repeat, or not end.
        for event in &answer.events {
            let time = event.time.as_ref().map(|time| (time.seconds, time.nanos)).unwrap_or_default();
            let place = (time.0, time.1, event.name.clone());
            if last.as_ref().is_some_and(|last| place >= *last) {
                return Err(BadAnswer("an event that is not older than the one before").into());
            }
            last = Some(place);
        }
        if !take(&answer).await? || answer.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = answer.next_page_token;
    }
}

/// Events whose proofs are asked for in one call: a leaf may have 64 KiB, and a reply 4 MiB.
const PROVEN: usize = 40;

/// Proofs of these events; asked for `again` so often until all of them are under a checkpoint.
///
/// # Errors
/// What the hub says; [`BadAnswer`].
pub(super) async fn proofs<E: From<RemoteError> + From<BadAnswer>>(
    channel: Channel,
    events: &[String],
    mut again: usize,
) -> Result<Vec<v1::EventProof>, E> {
    let mut client = AuditClient::new(channel);
    let mut proofs = Vec::new();
    for some in events.chunks(PROVEN) {
        let request = v1::ProveEventsRequest { events: some.to_vec() };
        loop {
            let answer = done("proving events", client.prove_events(request.clone()).await)?;
            if !answer.proofs.iter().map(|proof| &proof.event).eq(some) {
                return Err(BadAnswer("proofs of other events").into());
            }
            if again == 0 || answer.proofs.iter().all(|proof| proof.state() != State::Waiting) {
                proofs.extend(answer.proofs);
                break;
            }
            again -= 1;
            tokio::time::sleep(SOON).await;
        }
    }
    Ok(proofs)
}

/// One page; with proofs, it is asked for `again` so often until all of it is under a checkpoint.
///
/// # Errors
/// What the hub says; [`BadAnswer`].
pub(super) async fn page<E: From<RemoteError> + From<BadAnswer>>(
    client: &mut AuditClient<Channel>,
    request: &v1::QueryEventsRequest,
    mut again: usize,
) -> Result<v1::QueryEventsResponse, E> {
    loop {
        let answer = done("reading the log", client.query_events(request.clone()).await)?;
        if request.proofs && answer.events.len() != answer.proofs.len() {
            return Err(BadAnswer("another number of proofs than of events").into());
        }
        let waits = answer.proofs.iter().any(|proof| proof.state() == State::Waiting);
        if !waits || again == 0 {
            return Ok(answer);
        }
        again -= 1;
        tokio::time::sleep(SOON).await;
    }
}
