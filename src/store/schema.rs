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

/// Makes the database file readable by its owner alone; SQLite gives the files beside it the same rights.
pub(super) fn make_private(configured: &str) -> std::io::Result<()> {
    let path = configured.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = path.split('?').next().unwrap_or_default();
    if path.is_empty() || path.starts_with(':') {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    drop(file);
    Ok(())
}

/// Applies what is missing; refuses a store that a newer version wrote or whose migrations were edited.
pub(super) async fn migrate(pool: &AnyPool) -> Result<(), StoreError> {
    SQLITE.run(pool).await.map_err(StoreError::Schema)
}
