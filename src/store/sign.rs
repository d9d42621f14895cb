//! Signs of life: each node writes when it last could write. Found by readiness; nobody's act, so there is no event of it.

use std::sync::atomic::Ordering;

use super::{Store, StoreError};
use crate::clock::micros;

/// What the last commit showed: nothing was committed, it was, or there was no room.
pub(super) const NOTHING: u8 = 0;
pub(super) const WRITES: u8 = 1;
pub(super) const FULL: u8 = 2;
/// A node that has not signed for this long is gone, in microseconds. One that commits all the time may have signed long
/// ago too: it signs again as soon as it has nothing to commit.
const GONE: i64 = 24 * 3600 * 1_000_000;

impl Store {
    /// Whether the store can be written. A commit since the last time proves it; without one, a sign of life is written.
    ///
    /// # Errors
    /// It can't.
    pub async fn sign(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::Lost);
        }
        self.believes_itself()?;
        match self.shown.swap(NOTHING, Ordering::Relaxed) {
            WRITES => return Ok(()),
            // One row that is written over finds room where an event does not: the next look may be another one.
            FULL => return Err(StoreError::Lost),
            _ => {}
        }
        let now = micros(self.clock.now());
        let mut reader = self.read().await?;
        sqlx::query(
            "INSERT INTO node_sign (node, at) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET at = excluded.at",
        )
        .bind(self.node.as_str())
        .bind(now)
        .execute(reader.conn().await?)
        .await?;
        sqlx::query("DELETE FROM node_sign WHERE at < $1")
            .bind(now.saturating_sub(GONE))
            .execute(reader.conn().await?)
            .await?;
        Ok(())
    }
}
