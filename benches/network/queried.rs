//! A log to look things up in: 42 organisations, a thousand cases, four years. Its rows are as the service writes them but for
//! their leaves and disclosures, which are cut short: no query without proofs reads them, and they are not in the tree.

use sqlx::{AnyConnection, AssertSqlSafe, Column as _, Row as _};

use crate::Failed;
use crate::history::NAME;
use crate::rows::newest;
use crate::setup::{ALL_CASES, GEMEENTE};

/// Events in one statement.
const PIECE: u64 = 250_000;
/// Organisations that ask, the gemeente included.
const ORGANISATIONS: u64 = 42;
/// Employees of each.
const USERS: u64 = 50;
/// Microseconds from the first event to the last.
const SPAN: u64 = 90_000_000_000_000;
/// In one of so many events, the youth's case stood in a list.
const LISTED: u64 = 20;

/// Employees' references.
pub(crate) fn user(nth: u64) -> String {
    format!("mdw-{}", nth % USERS)
}

/// Three numbers of an event that look drawn: of its case, of who asked, of what came of it. SQL that both engines read.
const DRAWN: &str = "drawn AS (SELECT n, (n * 2654435761) % 4294967291 AS a, (n * 1597334677) % 2147483647 AS b, \
     (n * 1103515245) % 2147483629 AS c FROM series)";

/// Adds so many events to a store that nobody has open. The indexes are made when all rows are there, as it is faster.
pub(crate) async fn fill(conn: &mut AnyConnection, events: u64, on_postgres: bool) -> Result<(), Failed> {
    let event = newest(conn).await?;
    let indexes = indexes(conn, on_postgres).await?;
    for (name, _) in &indexes {
        sqlx::query(AssertSqlSafe(format!("DROP INDEX {name}"))).execute(&mut *conn).await?;
    }
    name_cases(conn).await?;
    let statements = statements(conn, &event, events).await?;
    let mut from = 1;
    while from <= events {
        let to = (from + PIECE - 1).min(events);
        sqlx::query("BEGIN").execute(&mut *conn).await?;
        for (statement, names_event) in &statements {
            let mut query = sqlx::query(AssertSqlSafe(statement.clone()));
            query = query.bind(i64::try_from(from)?).bind(i64::try_from(to)?);
            if *names_event {
                query = query.bind(&event);
            }
            query.execute(&mut *conn).await?;
        }
        sqlx::query("COMMIT").execute(&mut *conn).await?;
        from = to + 1;
    }
    for (_, definition) in indexes {
        sqlx::query(AssertSqlSafe(definition)).execute(&mut *conn).await?;
    }
    sqlx::query("DROP TABLE bench_case").execute(&mut *conn).await?;
    if on_postgres {
        // As autovacuum would, after minutes.
        sqlx::query("VACUUM ANALYZE").execute(&mut *conn).await?;
    }
    Ok(())
}

/// Indexes of the table of events, and how they are made.
async fn indexes(conn: &mut AnyConnection, on_postgres: bool) -> Result<Vec<(String, String)>, Failed> {
    let known = if on_postgres {
        "SELECT CAST(indexname AS TEXT), indexdef FROM pg_indexes WHERE tablename = 'audit_event' AND indexname NOT LIKE '%pkey'"
    } else {
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'audit_event' AND sql IS NOT NULL"
    };
    let rows = sqlx::query(known).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Numbers the cases, and gives each youth a name for the organisations that ask.
async fn name_cases(conn: &mut AnyConnection) -> Result<(), Failed> {
    let made = "CREATE TEMPORARY TABLE bench_case (nth BIGINT PRIMARY KEY, case_id TEXT NOT NULL)";
    sqlx::query(made).execute(&mut *conn).await?;
    let numbered = "INSERT INTO bench_case (nth, case_id) SELECT ROW_NUMBER() OVER (ORDER BY case_id) - 1, case_id \
                    FROM case_name WHERE oin = $1";
    let cases = sqlx::query(numbered).bind(GEMEENTE).execute(&mut *conn).await?.rows_affected();
    if cases < ALL_CASES as u64 { Err("too few cases".into()) } else { Ok(()) }
}

/// Statements that write a piece of the log, and whether they are told the event that the others are like.
async fn statements(conn: &mut AnyConnection, event: &str, events: u64) -> Result<Vec<(String, bool)>, Failed> {
    let row = sqlx::query("SELECT * FROM audit_event WHERE event_id = $1").bind(event).fetch_one(&mut *conn).await?;
    let names: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
    let step = (SPAN / events.max(1)).max(1);
    let values: Vec<String> = names.iter().map(|name| value(name, step)).collect();
    let series =
        "WITH RECURSIVE series (n) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM series WHERE n < $2)";
    let written = format!(
        "{series}, {DRAWN} INSERT INTO audit_event ({}) SELECT {} FROM drawn CROSS JOIN audit_event t \
         JOIN bench_case k ON k.nth = a % {ALL_CASES} WHERE t.event_id = $3",
        names.join(","),
        values.join(",")
    );
    let at = value("at", step);
    // Who asked, and whose data it is.
    let party = |whose: &str, and: &str| {
        let party = value(whose, step);
        format!(
            "{series}, {DRAWN} INSERT INTO audit_event_party (oin, at, event_id) SELECT {party}, {at}, {NAME} FROM drawn{and}"
        )
    };
    let others = format!(" WHERE NOT {}", own());
    let listed = format!(
        "{series}, {DRAWN} INSERT INTO audit_event_listed (case_id, at, event_id) SELECT k.case_id, {at}, {NAME} FROM drawn \
         JOIN bench_case k ON k.nth = c % {ALL_CASES} WHERE n % {LISTED} = 0"
    );
    Ok(vec![(written, true), (party("req_oin", ""), false), (party("src_oin", &others), false), (listed, false)])
}

/// Whether the gemeente itself asked: one in four times.
fn own() -> String {
    "(b % 4 = 0)".to_owned()
}

/// What an event has in a column. A case is with five organisations besides the gemeente.
fn value(column: &str, step: u64) -> String {
    let others = ORGANISATIONS - 1;
    let other = format!(
        "'00000099300000' || substr(CAST(101 + ((a % {ALL_CASES}) * 5 + c % 5) % {others} AS TEXT), 2, 2) || '0000'"
    );
    match column {
        "event_id" => NAME.to_owned(),
        "at" => format!("1700000000000000 + n * {step}"),
        "req_oin" => format!("CASE WHEN {} THEN '{GEMEENTE}' ELSE {other} END", own()),
        "src_oin" => format!("'{GEMEENTE}'"),
        "user_ref" => format!("'mdw-' || CAST((c / 5) % {USERS} AS TEXT)"),
        "case_id" => "k.case_id".to_owned(),
        "subject" => "substr(k.case_id, 1, 8) || CAST(b % 4 AS TEXT)".to_owned(),
        "outcome" => "CASE WHEN (b / 4) % 50 = 0 THEN 'refused' ELSE 'allowed' END".to_owned(),
        "reason" => "CASE WHEN (b / 4) % 50 = 0 THEN 'NOT_INVOLVED' ELSE '' END".to_owned(),
        "leaf" | "disclosures" => format!("substr(t.{column}, 1, 2)"),
        other => format!("t.{other}"),
    }
}
