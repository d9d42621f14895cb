//! The same on a server, as the owner of the tables. A hub may serve meanwhile: its calls wait while a table is written anew.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Row as _};

use super::super::engine::{Access, Engine, connect};
use super::super::{StoreError, Unfit, open};
use super::{Order, Right, Step, Steps, rewritten_in};
use crate::clock::micros;

/// What holds values that are erased, with the statement that leaves out those that were. Statistics are made anew with it.
const TABLES: [(&str, &str); 3] = [
    ("audit_event", "VACUUM (FULL, ANALYZE) audit_event"),
    ("audit_event_party", "VACUUM (FULL, ANALYZE) audit_event_party"),
    ("audit_event_listed", "VACUUM (FULL, ANALYZE) audit_event_listed"),
];
/// What the planner knew of them: values that are frequent, and bounds of histograms.
const STATISTICS: (&str, &str) = ("pg_statistic", "VACUUM FULL pg_statistic");

/// Writing a table anew takes as long as it takes. Waiting for its lock does not, since the hub waits behind whoever waits for
/// it: after this it is given up, and the hub, which itself waits twice as long, lost nothing.
const SESSION: [&str; 2] = ["SET statement_timeout = 0", "SET lock_timeout = '5s'"];

/// One scrub at a time: a lock of this database, which ends with the session.
const ALONE: &str = "SELECT CAST(CASE WHEN pg_try_advisory_lock(7310583320661) THEN 1 ELSE 0 END AS BIGINT)";
/// How long a standby that follows may be behind.
const BEHIND: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Erasures that wait for their values to leave the tables; and then the rest.
const IN_TABLES: &str = "SELECT erased_by FROM audit_scrub WHERE rewritten_at IS NULL";
const ELSEWHERE: &str = "SELECT erased_by FROM audit_scrub WHERE rewritten_at IS NOT NULL AND gone_at IS NULL";

pub(super) async fn scrub(access: &Access, order: &Order<'_>, steps: &mut Steps<'_>) -> Result<(), StoreError> {
    let owner = access.owner_options()?.ok_or(Unfit::NoOwnerToScrub)?;
    let mut conn = connect(&owner).await?;
    open::verify(&mut conn, Engine::Postgres).await?;
    for statement in SESSION {
        sqlx::query(statement).execute(&mut conn).await?;
    }
    if number(&mut conn, ALONE).await? == 0 {
        return Err(Unfit::Scrubbing.into());
    }
    let rights = Rights::read(&mut conn).await?;
    rights.missing().for_each(|step| steps.push(step));
    let erased = names(&mut conn, IN_TABLES).await?;
    let mut clean = true;
    if erased.is_empty() && !order.force {
        steps.push(Step::Unneeded(rewritten_in(&mut conn).await?.last));
    } else {
        clean = rights.tables && tables(&mut conn, order, steps).await?;
        if clean {
            let note = "UPDATE audit_scrub SET rewritten_at = $1 WHERE erased_by = ANY (string_to_array($2, ' '))";
            mark(&mut conn, note, &erased, order).await?;
        }
    }
    let rewritten = names(&mut conn, ELSEWHERE).await?;
    if clean && (order.force || !rewritten.is_empty()) {
        elsewhere(&mut conn, &rights, order, steps).await?;
        // Whatever is left: the next run sees to all of it again.
        if steps.left == 0 {
            let note = "UPDATE audit_scrub SET gone_at = $1 WHERE erased_by = ANY (string_to_array($2, ' '))";
            mark(&mut conn, note, &rewritten, order).await?;
        }
    }
    archive(&mut conn, steps).await
}

/// What the role may do.
#[expect(clippy::struct_excessive_bools, reason = "each is a right of its own")]
struct Rights {
    role: String,
    database: String,
    tables: bool,
    statistics: bool,
    switch: bool,
    checkpoint: bool,
    files: bool,
}

impl Rights {
    async fn read(conn: &mut AnyConnection) -> Result<Self, StoreError> {
        // Whoever owns a database may have all its tables written anew, the catalogue's too.
        let text = "SELECT CAST(current_user AS TEXT), CAST(current_database() AS TEXT), \
             (SELECT CAST(COUNT(*) AS BIGINT) FROM pg_class WHERE pg_has_role(relowner, 'USAGE') AND oid IN \
             (to_regclass('audit_event'), to_regclass('audit_event_party'), to_regclass('audit_event_listed'), \
             to_regclass('audit_scrub'))), \
             CAST(CASE WHEN pg_has_role(datdba, 'USAGE') THEN 1 ELSE 0 END AS BIGINT), \
             CAST(CASE WHEN has_function_privilege('pg_switch_wal()', 'EXECUTE') THEN 1 ELSE 0 END AS BIGINT), \
             CAST(CASE WHEN pg_has_role('pg_checkpoint', 'USAGE') THEN 1 ELSE 0 END AS BIGINT), \
             CAST(CASE WHEN has_function_privilege('pg_ls_waldir()', 'EXECUTE') THEN 1 ELSE 0 END AS BIGINT) \
             FROM pg_database WHERE datname = current_database()";
        let row = sqlx::query(text).fetch_one(conn).await?;
        let is = |place: usize, least: i64| row.try_get::<i64, _>(place).map(|found| found >= least);
        Ok(Self {
            role: row.try_get(0)?,
            database: row.try_get(1)?,
            tables: is(2, 4)?,
            statistics: is(3, 1)?,
            switch: is(4, 1)?,
            checkpoint: is(5, 1)?,
            files: is(6, 1)?,
        })
    }

    fn missing(&self) -> impl Iterator<Item = Step> + '_ {
        let all = [
            (Right::Tables, self.tables),
            (Right::Statistics, self.statistics),
            (Right::Switch, self.switch),
            (Right::Checkpoint, self.checkpoint),
            (Right::Files, self.files),
        ];
        // Whoever does not own the tables is named by mistake: nobody is to give that role more.
        let count = if self.tables { all.len() } else { 1 };
        all.into_iter().take(count).filter(|(_, has)| !has).map(|(right, _)| Step::Forbidden {
            right,
            role: self.role.clone(),
            database: self.database.clone(),
        })
    }
}

/// Writes the tables anew; says whether all of them were.
async fn tables(conn: &mut AnyConnection, order: &Order<'_>, steps: &mut Steps<'_>) -> Result<bool, StoreError> {
    if let Some(by) = held(conn, order.patience).await? {
        steps.push(Step::Held(by));
        return Ok(false);
    }
    for table in TABLES {
        if !rewrite(conn, table, steps).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What stands outside the tables: statistics and the write-ahead log.
async fn elsewhere(
    conn: &mut AnyConnection,
    rights: &Rights,
    order: &Order<'_>,
    steps: &mut Steps<'_>,
) -> Result<(), StoreError> {
    if rights.statistics {
        // What was known before the tables were analysed died just now.
        match held(conn, order.patience).await? {
            Some(by) => steps.push(Step::Held(by)),
            None => drop(rewrite(conn, STATISTICS, steps).await?),
        }
    }
    if rights.switch && rights.checkpoint && rights.files { write_ahead_log(conn, steps).await } else { Ok(()) }
}

/// Goes past every file that the write-ahead log has: those behind are removed, or wait further ahead for their next use with what
/// stands in them. The second time goes past these; leaving a file fills the rest of it with nothing.
async fn write_ahead_log(conn: &mut AnyConnection, steps: &mut Steps<'_>) -> Result<(), StoreError> {
    let before = position(conn).await?;
    let mut passed = 0;
    for _ in 0..2 {
        let ahead = "SELECT CAST(MAX(SUBSTR(name, 9)) AS TEXT) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'";
        let ahead: String = sqlx::query(ahead).fetch_one(&mut *conn).await?.try_get(0)?;
        loop {
            // A file in which nothing stands is not left.
            sqlx::query("SELECT CAST(pg_current_xact_id() AS TEXT)").execute(&mut *conn).await?;
            if position(conn).await? > ahead {
                break;
            }
            sqlx::query("SELECT CAST(pg_switch_wal() AS TEXT)").execute(&mut *conn).await?;
            passed += 1;
        }
        // A checkpoint leaves what a standby has yet to fetch.
        slots(conn, BEHIND).await?;
        sqlx::query("CHECKPOINT").execute(&mut *conn).await?;
    }
    steps.push(Step::Switched(passed));
    steps.push(Step::Checkpointed);
    let older = older(conn, &before).await?;
    if older > 0 {
        steps.push(Step::Older(older));
        keepers(conn, steps).await?;
    }
    Ok(())
}

/// Where the write-ahead log stands, as its files are named, whatever their timeline.
async fn position(conn: &mut AnyConnection) -> Result<String, StoreError> {
    let text = "SELECT SUBSTR(pg_walfile_name(pg_current_wal_insert_lsn()), 9)";
    Ok(sqlx::query(text).fetch_one(conn).await?.try_get(0)?)
}

/// Files of the write-ahead log up to there. What an archive has yet to take goes with a checkpoint after that.
async fn older(conn: &mut AnyConnection, until: &str) -> Result<i64, StoreError> {
    let text =
        "SELECT COUNT(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}([.]partial)?$' AND SUBSTR(name, 9, 16) <= $1";
    let end = Instant::now() + BEHIND;
    loop {
        let found = sqlx::query(text).bind(until).fetch_one(&mut *conn).await?.try_get(0)?;
        if found == 0 || Instant::now() >= end {
            return Ok(found);
        }
        tokio::time::sleep(BEHIND / 4).await;
        sqlx::query("CHECKPOINT").execute(&mut *conn).await?;
    }
}

/// Writes a table anew, if its lock can be had; says whether it was.
async fn rewrite(
    conn: &mut AnyConnection,
    (table, statement): (&'static str, &'static str),
    steps: &mut Steps<'_>,
) -> Result<bool, StoreError> {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let (before, started) = (file_of(conn, table).await?, Instant::now());
    if let Err(error) = sqlx::raw_sql(statement).execute(&mut *conn).await {
        let code = error.as_database_error().and_then(|error| error.code());
        if code.as_deref() != Some(LOCK_NOT_AVAILABLE) {
            return Err(error.into());
        }
        steps.push(Step::InUse(table));
        return Ok(false);
    }
    let took = started.elapsed();
    // Who may not is warned by the server, and told that all is well.
    if file_of(conn, table).await? == before {
        steps.push(Step::Unchanged(table));
        return Ok(false);
    }
    let size = "SELECT pg_total_relation_size(to_regclass($1))";
    let bytes: i64 = sqlx::query(size).bind(table).fetch_one(conn).await?.try_get(0)?;
    steps.push(Step::Rewritten { table, bytes: bytes.unsigned_abs(), took });
    Ok(true)
}

/// Number of the file in which a table stands.
async fn file_of(conn: &mut AnyConnection, table: &'static str) -> Result<i64, StoreError> {
    let text = "SELECT CAST(pg_relation_filenode(to_regclass($1)) AS BIGINT)";
    Ok(sqlx::query(text).bind(table).fetch_one(conn).await?.try_get(0)?)
}

/// Rows that some transaction may still read are copied, dead or not. Waits until there is none that began before this moment; names
/// one that does not end.
async fn held(conn: &mut AnyConnection, patience: Duration) -> Result<Option<String>, StoreError> {
    // A vacuum by itself reads nothing. A transaction of another database holds as well, by its number.
    let text = "WITH now AS (SELECT CAST(CAST($1 AS TEXT) AS xid8) AS number, age(xid(CAST(CAST($1 AS TEXT) AS xid8))) AS age) \
         SELECT 'session ' || a.pid || ' of ' || COALESCE(a.usename, a.backend_type) FROM pg_stat_activity a, now \
         WHERE a.pid <> pg_backend_pid() AND a.pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum) \
         AND (age(a.backend_xid) > now.age OR (age(a.backend_xmin) > now.age \
         AND (a.datid IS NULL OR a.datname = current_database()))) \
         UNION ALL SELECT 'prepared transaction ' || p.gid FROM pg_prepared_xacts p, now WHERE age(p.transaction) > now.age \
         UNION ALL SELECT 'replication slot ' || s.slot_name FROM pg_replication_slots s, now \
         WHERE age(s.xmin) > now.age OR age(s.catalog_xmin) > now.age \
         UNION ALL SELECT 'a transaction' FROM now WHERE pg_snapshot_xmin(pg_current_snapshot()) < now.number \
         LIMIT 1";
    let now = number(conn, "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)").await?;
    let until = Instant::now() + patience;
    loop {
        let Some(row) = sqlx::query(text).bind(now).fetch_optional(&mut *conn).await? else { return Ok(None) };
        if Instant::now() >= until {
            return Ok(Some(row.try_get(0)?));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What keeps files of the write-ahead log from being removed.
async fn keepers(conn: &mut AnyConnection, steps: &mut Steps<'_>) -> Result<(), StoreError> {
    let keep = "SELECT current_setting('wal_keep_size')";
    let keep: String = sqlx::query(keep).fetch_one(&mut *conn).await?.try_get(0)?;
    if keep != "0" {
        steps.push(Step::Kept(keep));
    }
    slots(conn, Duration::ZERO).await?.into_iter().for_each(|slot| steps.push(Step::Slot(slot)));
    Ok(())
}

async fn archive(conn: &mut AnyConnection, steps: &mut Steps<'_>) -> Result<(), StoreError> {
    let mode = "SELECT current_setting('archive_mode')";
    let mode: String = sqlx::query(mode).fetch_one(conn).await?.try_get(0)?;
    if mode != "off" {
        steps.push(Step::Archived);
    }
    Ok(())
}

/// Replication slots for which the server keeps older files of the write-ahead log than that of now, for longer than a moment.
async fn slots(conn: &mut AnyConnection, patience: Duration) -> Result<Vec<String>, StoreError> {
    let text = "SELECT CAST(s.slot_name AS TEXT) FROM pg_replication_slots s, \
         (SELECT CAST(setting AS NUMERIC) AS bytes FROM pg_settings WHERE name = 'wal_segment_size') size \
         WHERE div(s.restart_lsn - pg_lsn '0/0', size.bytes) < div(pg_current_wal_lsn() - pg_lsn '0/0', size.bytes)";
    let until = Instant::now() + patience;
    loop {
        let found = names(conn, text).await?;
        if found.is_empty() || Instant::now() >= until {
            return Ok(found);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn mark(
    conn: &mut AnyConnection,
    note: &'static str,
    erased: &[String],
    order: &Order<'_>,
) -> Result<(), StoreError> {
    let now = micros(order.clock.now());
    sqlx::query(note).bind(now).bind(erased.join(" ")).execute(conn).await?;
    Ok(())
}

async fn names(conn: &mut AnyConnection, text: &'static str) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(text).fetch_all(conn).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

async fn number(conn: &mut AnyConnection, text: &'static str) -> Result<i64, StoreError> {
    Ok(sqlx::query(text).fetch_one(conn).await?.try_get(0)?)
}
