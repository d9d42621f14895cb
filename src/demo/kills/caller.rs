//! A partner's system that asks its agent until it has an answer.

use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::tally::Tally;
use crate::clock::{Clock as _, SystemClock};
use crate::scenario::connect;
use crate::scenario::network::{Member, Person};

/// An answer that takes longer counts as none.
const ANSWER: Duration = Duration::from_secs(20);
/// Before the same is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// Name of the metadata that carries the audit event.
const EVENT: &str = "sluis-event";

/// A call that was answered otherwise than it should be.
#[derive(Debug, thiserror::Error)]
#[error("{who}, {what}: {code:?}, {message}")]
pub(super) struct Broken {
    who: String,
    what: &'static str,
    code: Code,
    message: String,
}

/// One system of one partner.
pub(super) struct Caller {
    pub(super) member: Member,
    /// What the log calls it.
    pub(super) user_ref: String,
    pub(super) tally: Arc<Tally>,
    channel: Option<Channel>,
}

impl Caller {
    pub(super) fn new(member: &Member, user_ref: String, tally: &Arc<Tally>) -> Self {
        Self { member: member.clone(), user_ref, tally: Arc::clone(tally), channel: None }
    }

    /// Asks until there is an answer. A change must be asked for under one request id.
    ///
    /// # Errors
    /// Any answer but OK: nothing that is asked here is forbidden.
    pub(super) async fn ask<T, F>(&mut self, what: &'static str, call: impl Fn(Channel) -> F) -> Result<T, Broken>
    where
        F: Future<Output = Result<(MetadataMap, T), Status>>,
    {
        let mut again = false;
        loop {
            let Some(channel) = self.channel().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            self.tally.called(again);
            again = true;
            match tokio::time::timeout(ANSWER, call(channel)).await {
                Ok(Ok((metadata, reply))) => {
                    self.tally.answered(event(&metadata));
                    return Ok(reply);
                }
                Ok(Err(status)) if !is_unsettled(&status) => {
                    let (who, message) = (self.user_ref.clone(), status.message().to_owned());
                    return Err(Broken { who, what, code: status.code(), message });
                }
                Ok(Err(_)) | Err(_) => {
                    self.channel = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A channel to the agent, if it can be reached.
    pub(super) async fn channel(&mut self) -> Option<Channel> {
        if self.channel.is_none() {
            let person = Person { certificate: self.member.certificate.clone(), key: self.member.key.clone() };
            self.channel = connect(&self.member.agent, &person, SystemClock.now()).await.ok();
        }
        self.channel.clone()
    }

    /// The next call goes over a new channel.
    pub(super) fn leave(&mut self) {
        self.channel = None;
    }
}

/// One reply with its metadata, as [`Caller::ask`] takes it.
pub(super) fn unary<T>(answer: Result<Response<T>, Status>) -> Result<(MetadataMap, T), Status> {
    answer.map(|response| {
        let (metadata, reply, _) = response.into_parts();
        (metadata, reply)
    })
}

/// Whether the call may or may not have been carried out, or could not be: no answer, or one that says so.
pub(super) fn is_unsettled(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) || std::error::Error::source(status).is_some()
}

/// UUID of the audit event that metadata names.
pub(super) fn event(metadata: &MetadataMap) -> Option<String> {
    let name = metadata.get(EVENT)?.to_str().ok()?;
    Some(name.strip_prefix("events/").unwrap_or(name).to_owned())
}
