//! Whether the hub should be sent work, found out beforehand so that asking costs nothing: the store answers and can be
//! written, and the picture of the registry is the store's. Keys and covenant are loaded before anything is served.

use std::sync::Arc;
use std::time::Duration;

use crate::exchange::Exchange;
use crate::serve::health::Health;
use crate::store::StoreError;
use crate::telemetry::Chain;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// A store that takes longer than this is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks for ever.
pub(super) async fn follow(exchange: Arc<Exchange>, health: Health) {
    let mut failed = false;
    loop {
        let found = tokio::time::timeout(PATIENCE, look(&exchange)).await;
        // Once, and not at every look: the line that it is ready again closes it.
        match &found {
            Ok(Ok(())) => {}
            _ if failed => {}
            Ok(Err(error)) => tracing::warn!(error = %Chain(error), "not ready: the store can't be used"),
            Err(_) => tracing::warn!("not ready: the store does not answer in time"),
        }
        let works = matches!(found, Ok(Ok(())));
        failed = !works;
        health.found(works);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(exchange: &Exchange) -> Result<(), StoreError> {
    // Whatever told of a change may have been missed; and another node may serve with a newer covenant by now.
    exchange.refresh().await?;
    exchange.store.sign().await
}
