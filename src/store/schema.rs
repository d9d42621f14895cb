//! Connecting, and which schemas this version understands.

use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::Migrator;

use super::StoreError;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Every connection: write-ahead log, durable at every commit, and patience with a reader's checkpoint.
pub(super) fn options(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).after_connect(|conn, _| {
        Box::pin(async move {
            for pragma in [
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA foreign_keys = ON",
                "PRAGMA busy_timeout = 5000",
                "PRAGMA secure_delete = ON",
            ] {
                sqlx::query(pragma).execute(&mut *conn).await?;
            }
            Ok(())
        })
    })
}

/// A file that is not there yet is made.
pub(super) fn url(configured: &str) -> String {
    if configured.contains('?') { configured.to_owned() } else { format!("{configured}?mode=rwc") }
}

/// Applies what is missing; refuses a store that a newer version wrote or whose migrations were edited.
pub(super) async fn migrate(pool: &AnyPool) -> Result<(), StoreError> {
    SQLITE.run(pool).await.map_err(StoreError::Schema)
}
