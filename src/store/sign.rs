//! Signs of life: each node writes when it last could write. Found by readiness; nobody's act, so there is no event of it.

use std::sync::atomic::Ordering;

use super::{Store, StoreError, Unfit, open};
use crate::clock::micros;

impl Store {
    /// Whether the store can be written. A commit since the last time proves it; without one, a sign of life is written.
    ///
    /// # Errors
    /// It can't.
    pub async fn sign(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::Lost);
        }
        if self.adrift.load(Ordering::Relaxed) {
            return Err(Unfit::Clock(open::DRIFT.as_secs().cast_signed()).into());
        }
        if self.proven.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let mut reader = self.read().await?;
        sqlx::query(
            "INSERT INTO node_sign (node, at) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET at = excluded.at",
        )
        .bind(self.node.as_str())
        .bind(micros(self.clock.now()))
        .execute(reader.conn().await?)
        .await?;
        Ok(())
    }
}
