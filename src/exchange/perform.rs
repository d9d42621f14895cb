//! What a call does inside its commit: it acts, and remembers its reply.

use std::sync::Arc;

use prost::Message as _;

use super::{Decided, Exchange, Operation};
use crate::audit::Draft;
use crate::clock::micros;
use crate::store::request::Remembered;
use crate::store::{Seen, Tx, Work, WorkError};

/// The one unit of work behind every allowed call.
pub(super) struct Perform<O: Operation> {
    pub(super) hub: Arc<Exchange>,
    pub(super) operation: Arc<O>,
    pub(super) decided: Decided<O>,
    pub(super) draft: Draft,
    pub(super) body_hash: Vec<u8>,
    pub(super) seen: Seen,
}

impl<O: Operation> Work for Perform<O> {
    type Output = O::Reply;

    fn seen(&self) -> Seen {
        self.seen.clone()
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(O::Reply, Draft), WorkError> {
        let mut draft = self.draft.clone();
        let reply = self.operation.apply(&self.hub, tx, &self.decided, &mut draft).await?;
        if let Some(key) = self.seen.request.clone() {
            let remembered = Remembered {
                method: self.draft.method.to_owned(),
                body_hash: self.body_hash.clone(),
                reply: reply.encode_to_vec(),
                event_id: tx.event_id().to_owned(),
            };
            tx.remember(key, remembered, micros(self.decided.facts.now));
        }
        Ok((reply, draft))
    }
}

/// A repeat has an event and no effect.
pub(super) struct Repeat {
    pub(super) draft: Draft,
    pub(super) seen: Seen,
}

impl Work for Repeat {
    type Output = ();

    fn seen(&self) -> Seen {
        self.seen.clone()
    }

    async fn run(&self, _: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        Ok(((), self.draft.clone()))
    }
}
