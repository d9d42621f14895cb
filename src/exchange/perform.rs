//! What a call does inside its commit: it looks whether the facts still hold, acts, and remembers its reply.

use std::sync::Arc;

use prost::Message as _;

use super::{Decided, Exchange, Found, Operation};
use crate::audit::Draft;
use crate::clock::micros;
use crate::store::request::Remembered;
use crate::store::{Tx, Work, WorkError};

/// The one unit of work behind every allowed call.
pub(super) struct Perform<O: Operation> {
    pub(super) hub: Arc<Exchange>,
    pub(super) operation: Arc<O>,
    pub(super) decided: Decided<O>,
    pub(super) draft: Draft,
    pub(super) body_hash: Vec<u8>,
}

impl<O: Operation> Work for Perform<O> {
    type Output = O::Reply;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(O::Reply, Draft), WorkError> {
        let facts = &self.decided.facts;
        crate::store::registry::check_rev(tx, facts.registry.rev).await?;
        if let Found::Case(case) = &facts.found {
            crate::store::case::check_rev(tx, &case.id, case.rev).await?;
        }
        let mut draft = self.draft.clone();
        let reply = self.operation.apply(&self.hub, tx, &self.decided, &mut draft).await?;
        if let Some(request_id) = self.operation.request_id() {
            let oin = facts.caller.oin().as_str();
            let remembered = Remembered {
                method: self.draft.method.to_owned(),
                body_hash: self.body_hash.clone(),
                reply: reply.encode_to_vec(),
                event_id: tx.event_id().to_owned(),
            };
            let at = micros(facts.now);
            let since = micros(facts.now - self.hub.request_id_retention());
            crate::store::request::forget(tx, since).await?;
            if !crate::store::request::remember(tx, oin, request_id, &remembered, at, since).await? {
                // The same id is being carried out by another call: let this one find its reply.
                return Err(WorkError::Stale);
            }
        }
        Ok((reply, draft))
    }
}

/// A repeat has an event and no effect.
pub(super) struct Repeat {
    pub(super) draft: Draft,
    pub(super) registry: i64,
    pub(super) case: Option<(String, i64)>,
}

impl Work for Repeat {
    type Output = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        crate::store::registry::check_rev(tx, self.registry).await?;
        if let Some((case_id, rev)) = &self.case {
            crate::store::case::check_rev(tx, case_id, *rev).await?;
        }
        Ok(((), self.draft.clone()))
    }
}
