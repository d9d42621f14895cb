//! Signs of life: each node writes when it last could write. Found by readiness; nobody's act, so there is no event of it.

use tokio::sync::oneshot;

use super::tx::{Tx, WorkError};
use super::writer::{Running, Unit};
use super::{CommitError, Store, StoreError};
use crate::clock::micros;

struct Sign {
    node: String,
    at: i64,
    reply: oneshot::Sender<Result<(), CommitError>>,
}

impl Unit for Sign {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Running<'a, Result<(), WorkError>> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO node_sign (node, at) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET at = excluded.at",
            )
            .bind(self.node.as_str())
            .bind(self.at)
            .execute(&mut *tx.conn)
            .await?;
            Ok(())
        })
    }

    fn event_id(&self) -> &str {
        ""
    }

    fn tell(self: Box<Self>, outcome: Result<(), CommitError>) {
        drop(self.reply.send(outcome));
    }
}

impl Store {
    /// Whether the store can be written: through the same queue and the same commit as everything else.
    ///
    /// # Errors
    /// As of a commit.
    pub async fn sign(&self) -> Result<(), CommitError> {
        let (reply, told) = oneshot::channel();
        let at = micros(self.clock.now());
        self.submit(Box::new(Sign { node: self.node.clone(), at, reply })).await?;
        told.await.map_err(|_| StoreError::Busy)?
    }
}
