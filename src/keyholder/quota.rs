//! Used quota, counted before anything is evaluated, on disk, so that a restart forgets nothing.

use std::time::Duration;

use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use time::OffsetDateTime;

use super::roster::Allowance;
use super::successors::Successors;
use crate::party::Oin;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/keyholder");

/// Windows in seconds, the longest first: when both are used up, waiting for the minute would not help.
const DAY: i64 = 86_400;
const MINUTE: i64 = 60;
/// Days for which counts are kept. One would do; a clock that was set back by mistake gives no quota anew.
const KEPT: i64 = 7;

/// Why nothing could be counted. Nothing is evaluated then.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// The database.
    #[error("the database does not answer")]
    Store(#[from] sqlx::Error),
    /// Its tables.
    #[error("the database has another version of the tables")]
    Schema(#[from] MigrateError),
    /// The directory that the database should stand in.
    #[error("the directory of the database can't be made")]
    Directory(#[from] std::io::Error),
}

/// The outcome of asking for quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Counted; this much is left today.
    Counted { remaining: u32 },
    /// Not counted: too much for this window, of which this much is left.
    Exhausted { wait: Duration },
}

/// The counts. Cheap to clone.
#[derive(Clone)]
pub(super) struct Quota(AnyPool);

impl Quota {
    /// Opens the database, making it if needed.
    pub(super) async fn open(url: &str) -> Result<Self, QuotaError> {
        sqlx::any::install_default_drivers();
        let path = url.strip_prefix("sqlite:").map(|path| path.split('?').next().unwrap_or_default());
        if let Some(directory) = path.and_then(|path| std::path::Path::new(path).parent()) {
            std::fs::create_dir_all(directory)?;
        }
        let url = if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
        // One connection: the statements are short, and SQLite has one writer anyway.
        let options = AnyPoolOptions::new().max_connections(1).after_connect(|conn, _| {
            Box::pin(async move {
                for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA busy_timeout = 5000"] {
                    sqlx::query(pragma).execute(&mut *conn).await?;
                }
                Ok(())
            })
        });
        let pool = options.connect(&url).await?;
        MIGRATIONS.run(&pool).await?;
        Ok(Self(pool))
    }

    /// The table beside the counts.
    pub(super) fn successors(&self) -> Successors {
        Successors::new(self.0.clone())
    }

    /// Counts `elements` in both windows, or in neither. Each count is one statement that checks and adds, so that
    /// concurrent calls can't spend the same quota.
    pub(super) async fn take(
        &self,
        oin: &Oin,
        elements: u32,
        allowance: Allowance,
        now: OffsetDateTime,
    ) -> Result<Taken, QuotaError> {
        let mut tx = self.0.begin().await?;
        for (span, limit) in [(DAY, allowance.per_day), (MINUTE, allowance.per_minute)] {
            let counted = if elements > limit {
                0
            } else {
                sqlx::query(
                    "INSERT INTO quota_use (oin, span, window_start, used) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (oin, span, window_start) DO UPDATE SET used = quota_use.used + $5 \
                     WHERE quota_use.used + $6 <= $7",
                )
                .bind(oin.as_str())
                .bind(span)
                .bind(start(now, span))
                .bind(i64::from(elements))
                .bind(i64::from(elements))
                .bind(i64::from(elements))
                .bind(i64::from(limit))
                .execute(&mut *tx)
                .await?
                .rows_affected()
            };
            if counted == 0 {
                tx.rollback().await?;
                return Ok(Taken::Exhausted { wait: left(now, span) });
            }
        }
        tx.commit().await?;
        Ok(Taken::Counted { remaining: self.remaining(oin, allowance, now).await? })
    }

    /// Whether there is a database that can be written. What is long past is forgotten on the way.
    pub(super) async fn check(&self, now: OffsetDateTime) -> Result<(), QuotaError> {
        let past = start(now, DAY) - KEPT * DAY;
        sqlx::query("DELETE FROM quota_use WHERE window_start < $1").bind(past).execute(&self.0).await?;
        Ok(())
    }

    /// What is left today.
    pub(super) async fn remaining(
        &self,
        oin: &Oin,
        allowance: Allowance,
        now: OffsetDateTime,
    ) -> Result<u32, QuotaError> {
        let used: Option<i64> =
            sqlx::query_scalar("SELECT used FROM quota_use WHERE oin = $1 AND span = $2 AND window_start = $3")
                .bind(oin.as_str())
                .bind(DAY)
                .bind(start(now, DAY))
                .fetch_optional(&self.0)
                .await?;
        let used = u32::try_from(used.unwrap_or(0)).unwrap_or(u32::MAX);
        Ok(allowance.per_day.saturating_sub(used))
    }
}

/// When today's quota ends: the next midnight, UTC.
pub(super) fn day_end(now: OffsetDateTime) -> i64 {
    start(now, DAY) + DAY
}

fn start(now: OffsetDateTime, span: i64) -> i64 {
    now.unix_timestamp().div_euclid(span) * span
}

fn left(now: OffsetDateTime, span: i64) -> Duration {
    let seconds = start(now, span) + span - now.unix_timestamp();
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00:30 UTC);

    async fn quota(dir: &tempfile::TempDir) -> Quota {
        Quota::open(&format!("sqlite:{}", dir.path().join("data/quota.db").display())).await.unwrap()
    }

    fn oin() -> Oin {
        "00000099100001410000".parse().unwrap()
    }

    #[tokio::test]
    async fn both_windows_are_kept_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let allowance = Allowance::of_day(100);
        let counts = quota(&dir).await;
        assert_eq!(counts.take(&oin(), 30, allowance, NOW).await.unwrap(), Taken::Counted { remaining: 70 });
        let too_fast = Taken::Exhausted { wait: Duration::from_secs(30) };
        assert_eq!(counts.take(&oin(), 30, allowance, NOW).await.unwrap(), too_fast);
        drop(counts);
        let counts = quota(&dir).await;
        assert_eq!(counts.remaining(&oin(), allowance, NOW).await.unwrap(), 70);
        let minutes = |n| NOW + time::Duration::minutes(n);
        assert_eq!(counts.take(&oin(), 50, allowance, minutes(1)).await.unwrap(), Taken::Counted { remaining: 20 });
        let used_up = Taken::Exhausted { wait: Duration::from_secs(12 * 3600 - 150) };
        assert_eq!(counts.take(&oin(), 21, allowance, minutes(2)).await.unwrap(), used_up);
        assert_eq!(counts.take(&oin(), 20, allowance, minutes(2)).await.unwrap(), Taken::Counted { remaining: 0 });
        let tomorrow = NOW + time::Duration::DAY;
        assert_eq!(counts.take(&oin(), 50, allowance, tomorrow).await.unwrap(), Taken::Counted { remaining: 50 });
        let other: Oin = "00000099100001770000".parse().unwrap();
        assert_eq!(counts.remaining(&other, allowance, NOW).await.unwrap(), 100);
    }

    #[tokio::test]
    async fn a_look_forgets_what_is_long_past_and_fails_without_a_database() {
        let dir = tempfile::tempdir().unwrap();
        let counts = quota(&dir).await;
        let allowance = Allowance::of_day(100);
        counts.take(&oin(), 30, allowance, NOW).await.unwrap();
        let rows = async || sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM quota_use").fetch_one(&counts.0).await;
        counts.check(NOW + time::Duration::days(7)).await.unwrap();
        assert_eq!(rows().await.unwrap(), 2);
        counts.check(NOW + time::Duration::days(8)).await.unwrap();
        assert_eq!(rows().await.unwrap(), 0);
        sqlx::query("DROP TABLE quota_use").execute(&counts.0).await.unwrap();
        assert!(counts.check(NOW).await.is_err());
    }

    #[tokio::test]
    async fn no_allowance_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let taken = quota(&dir).await.take(&oin(), 1, Allowance::of_day(0), NOW).await.unwrap();
        assert!(matches!(taken, Taken::Exhausted { .. }));
    }

    #[tokio::test]
    async fn concurrent_calls_never_over_spend() {
        let dir = tempfile::tempdir().unwrap();
        // Two processes on one file.
        let counts = [Arc::new(quota(&dir).await), Arc::new(quota(&dir).await)];
        let allowance = Allowance { per_day: 20, per_minute: 20 };
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..40 {
            let counts = Arc::clone(&counts[n % 2]);
            calls.spawn(async move { counts.take(&oin(), 3, allowance, NOW).await.unwrap() });
        }
        let taken = calls.join_all().await;
        assert_eq!(taken.iter().filter(|taken| matches!(taken, Taken::Counted { .. })).count(), 6);
        assert_eq!(counts[0].remaining(&oin(), allowance, NOW).await.unwrap(), 2);
    }
}
