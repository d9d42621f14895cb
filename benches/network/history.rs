//! A long log: copies of one real event, as many as years would leave.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, AssertSqlSafe, Column as _, Row as _};

use crate::Failed;
use crate::rows::{TABLES, newest};

/// The name of the event `n`, in SQL and here.
pub(crate) const NAME: &str = "'01900000-0000-7000-8000-' || substr(CAST(1000000000000 + n AS TEXT), 2, 12)";

/// The same name.
pub(crate) fn name(nth: u64) -> String {
    format!("01900000-0000-7000-8000-{nth:012}")
}

/// Events written in one transaction.
const PIECE: u64 = 50_000;

/// Adds so many events to a store that nobody has open, all older than the newest one. SQL that both engines read.
pub(crate) async fn fill(conn: &mut AnyConnection, events: u64) -> Result<(), Failed> {
    let event = newest(conn).await?;
    copies(conn, &event, events).await
}

/// Adds so many copies of an event.
pub(crate) async fn copies(conn: &mut AnyConnection, event: &str, events: u64) -> Result<(), Failed> {
    // It may have its place in the tree; its copies are to wait for theirs.
    let waits = "INSERT INTO audit_outbox (event_id) VALUES ($1) ON CONFLICT (event_id) DO NOTHING";
    sqlx::query(waits).bind(event).execute(&mut *conn).await?;
    let mut inserts = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT * FROM {table} WHERE event_id = $1");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(event).fetch_one(&mut *conn).await?;
        let names: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
        let values: Vec<String> = names.iter().map(|name| value(name)).collect();
        inserts.push(format!(
            "WITH RECURSIVE series (n) AS (SELECT CAST($2 AS BIGINT) UNION ALL SELECT n + 1 FROM series WHERE n < $3) \
             INSERT INTO {table} ({}) SELECT {} FROM {table} t, series WHERE t.event_id = $1",
            names.join(","),
            values.join(",")
        ));
    }
    let mut from = 1;
    while from <= events {
        let to = (from + PIECE - 1).min(events);
        sqlx::query("BEGIN").execute(&mut *conn).await?;
        for insert in &inserts {
            let insert = sqlx::query(AssertSqlSafe(insert.clone())).bind(event);
            insert.bind(i64::try_from(from)?).bind(i64::try_from(to)?).execute(&mut *conn).await?;
        }
        sqlx::query("COMMIT").execute(&mut *conn).await?;
        from = to + 1;
    }
    sqlx::query("DELETE FROM audit_outbox WHERE event_id = $1").bind(event).execute(&mut *conn).await?;
    Ok(())
}

/// What a copy has in a column: a name of its own, a time of its own, all else as it was.
fn value(column: &str) -> String {
    match column {
        // In the form and the order of UUIDs version 7.
        "event_id" => NAME.to_owned(),
        // A second apart, long ago.
        "at" => "1700000000000000 + n * 1000000".to_owned(),
        other => format!("t.{other}"),
    }
}

/// How long a tree may take to grow over a log that was written without it: a million events take half a minute.
const GROWS: Duration = Duration::from_secs(600);

/// Waits until every event has its place and the newest checkpoint holds them all.
pub(crate) async fn until_sealed(conn: &mut AnyConnection) -> Result<(), Failed> {
    let sealed = "SELECT CASE WHEN EXISTS (SELECT 1 FROM audit_outbox) THEN 0 \
                  WHEN (SELECT MAX(size) FROM log_published) = (SELECT size FROM log_head) THEN 1 ELSE 0 END";
    let started = Instant::now();
    while sqlx::query(sealed).fetch_one(&mut *conn).await?.try_get::<i64, _>(0)? == 0 {
        if started.elapsed() > GROWS {
            return Err("the tree does not grow over the long log".into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
