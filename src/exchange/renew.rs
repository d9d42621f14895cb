//! Keeping up with what changed: on this node by its own commits, on others by their word, or by looking.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::Exchange;
use crate::registry::Registry;
use crate::store::{Seen, StoreError, Wake};

impl Exchange {
    /// Looks again at what a decision rested on that has changed since.
    pub(super) async fn renew(&self, seen: &Seen) -> Result<(), StoreError> {
        if let Some((case_id, _)) = &seen.case {
            self.store.cases().forget(case_id);
        }
        self.refresh().await
    }

    /// Reads the registry anew, if it changed, and shows it to everybody who waits.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] once another node serves with a newer covenant or newer keys: this one may decide no more.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let shown = self.registry.borrow().rev;
        if !self.is_stale(shown).await? {
            return Ok(());
        }
        let mut reader = self.store.read().await?;
        let rows = crate::store::registry::load(&mut reader).await?;
        self.store.deployment().beside(&rows.deployment)?;
        let picture = Arc::new(Registry::from_rows(rows)?);
        self.registry.send_if_modified(|now| {
            let newer = picture.rev > now.rev;
            if newer {
                *now = picture;
            }
            newer
        });
        Ok(())
    }

    /// Whoever changed the registry finds it changed when the reply arrives.
    pub(super) async fn show_registry(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(error = %crate::telemetry::Chain(&error), "registry not read");
        }
    }

    /// Keeps the picture of the registry new. Ends with the store.
    pub async fn follow_registry(self: Arc<Self>) {
        let mut wakes = self.store.wakes();
        loop {
            // Without any word the revision is looked at now and then: another node's word may have been lost.
            match tokio::time::timeout(self.store.look_again(), wakes.recv()).await {
                Ok(Ok(Wake::Registry | Wake::Anything) | Err(RecvError::Lagged(_))) | Err(_) => {
                    self.show_registry().await;
                }
                Ok(Ok(Wake::Case(_) | Wake::Inbox(_) | Wake::Seal(_))) => {}
                Ok(Err(RecvError::Closed)) => return,
            }
        }
    }

    /// Whether the registry has changed since this revision.
    pub(super) async fn is_stale(&self, seen: i64) -> Result<bool, StoreError> {
        let mut reader = self.store.read().await?;
        Ok(crate::store::registry::rev(&mut reader).await? != seen)
    }
}
