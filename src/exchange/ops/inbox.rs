//! Opening and acknowledging an inbox; the stream itself is in [`super::super::stream`].

use ring::digest::{SHA256, digest};

use super::super::{Decided, Exchange, Facts, Operation};
use crate::api::v1;
use crate::audit::Draft;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::Oin;
use crate::store::{Reader, StoreError, Tx, WorkError, inbox};

/// The cursor of an item: its place, and a check that it is this organisation's. A check, not a secret: a place in one's
/// own inbox opens nothing.
pub(crate) fn cursor(oin: &Oin, seq: i64) -> String {
    format!("{seq}-{}", check(oin, seq))
}

fn check(oin: &Oin, seq: i64) -> String {
    let hash = digest(&SHA256, format!("sluis/v1/cursor/{oin}/{seq}").as_bytes());
    hex::encode(hash.as_ref().get(..6).unwrap_or_default())
}

fn place(oin: &Oin, cursor: &str) -> Option<i64> {
    let (seq, found) = cursor.split_once('-')?;
    let seq: i64 = seq.parse().ok().filter(|seq| *seq > 0)?;
    (found == check(oin, seq)).then_some(seq)
}

/// A cursor that is not one of the caller's, or lies beyond what there is.
fn stale() -> Refusal {
    Refusal::precondition("the cursor is not one of this inbox; start with an empty cursor")
}

/// `Inbox.StreamInbox`, up to its first item.
pub struct OpenInbox {
    user_ref: String,
    cursor: String,
    /// End when nothing is left.
    pub drain: bool,
}

impl Operation for OpenInbox {
    type Message = v1::StreamInboxRequest;
    type Reply = v1::AcknowledgeInboxRequest;
    type Rows = (i64, i64);
    type Plan = i64;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let user_ref = fields.user_ref(message.context.as_ref());
        if message.cursor.len() > 64 {
            fields.wrong("cursor", "a cursor from an earlier item");
        }
        let (cursor, drain) = (message.cursor, message.drain);
        fields.done((|| Some(Self { user_ref: user_ref?, cursor, drain }))())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.user_ref.clone_from(&self.user_ref);
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<(i64, i64), StoreError> {
        inbox::head(reader, facts.caller.oin().as_str()).await
    }

    /// An inbox is the organisation's own list; what is in it is decided item by item.
    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        head: &(i64, i64),
        admitted: Admitted,
    ) -> Result<(Ground, i64), Refusal> {
        let (last, acked) = *head;
        let after = match self.cursor.as_str() {
            "" => acked,
            cursor => place(facts.caller.oin(), cursor).filter(|seq| *seq <= last).ok_or_else(stale)?,
        };
        Ok((admitted.office(), after))
    }

    /// The reply carries where the stream starts; it does not leave the hub.
    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::AcknowledgeInboxRequest, WorkError> {
        Ok(v1::AcknowledgeInboxRequest { context: None, cursor: done.plan.to_string() })
    }
}

/// `Inbox.AcknowledgeInbox`.
pub struct AcknowledgeInbox {
    user_ref: String,
    cursor: String,
}

impl Operation for AcknowledgeInbox {
    type Message = v1::AcknowledgeInboxRequest;
    type Reply = v1::AcknowledgeInboxResponse;
    type Rows = (i64, i64);
    type Plan = i64;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let user_ref = fields.user_ref(message.context.as_ref());
        if message.cursor.is_empty() || message.cursor.len() > 64 {
            fields.wrong("cursor", "a cursor from an earlier item");
        }
        fields.done((|| Some(Self { user_ref: user_ref?, cursor: message.cursor }))())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.user_ref.clone_from(&self.user_ref);
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<(i64, i64), StoreError> {
        inbox::head(reader, facts.caller.oin().as_str()).await
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        head: &(i64, i64),
        admitted: Admitted,
    ) -> Result<(Ground, i64), Refusal> {
        let seq = place(facts.caller.oin(), &self.cursor).filter(|seq| *seq <= head.0).ok_or_else(stale)?;
        Ok((admitted.office(), seq))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::AcknowledgeInboxResponse, WorkError> {
        inbox::acknowledge(tx, done.facts.caller.oin().as_str(), done.plan);
        Ok(v1::AcknowledgeInboxResponse {})
    }
}

/// `Records.StreamSealRequests`, up to its first item.
pub struct OpenSealRequests;

impl Operation for OpenSealRequests {
    type Message = v1::StreamSealRequestsRequest;
    type Reply = v1::AcknowledgeInboxResponse;
    type Rows = ();
    type Plan = ();

    fn parse(_: Self::Message) -> Result<Self, Refusal> {
        Ok(Self)
    }

    /// Only what the caller wrote itself is told.
    fn decide(&self, _: &Exchange, _: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        _: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::AcknowledgeInboxResponse, WorkError> {
        Ok(v1::AcknowledgeInboxResponse {})
    }
}
