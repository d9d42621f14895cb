//! From a hub's SQLite file to an empty PostgreSQL database: all rows as they are, in one transaction.

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

use super::engine::{Access, Engine, connect};
use super::{StoreError, Unfit, open};

/// Copies every table; says how many rows each had.
///
/// # Errors
/// The source is in use, the target holds something already, or either can't be used. Then nothing was copied.
pub async fn copy(from: &Access, to: &Access) -> Result<Vec<(String, u64)>, StoreError> {
    sqlx::any::install_default_drivers();
    if (from.engine(), to.engine()) != (Engine::Sqlite, Engine::Postgres) {
        return Err(Unfit::Direction.into());
    }
    let _file = open::own_file(from).await?;
    for access in [from, to] {
        open::migrate(access).await?;
    }
    let owner = to.owner_options()?.ok_or(Unfit::NoOwner)?;
    let mut source = connect(&from.options()?).await?;
    let mut target = connect(&owner).await?;
    sqlx::query("BEGIN").execute(&mut target).await?;
    let copied = tables(&mut source, &mut target).await?;
    sqlx::query("COMMIT").execute(&mut target).await?;
    drop(target.close().await);
    Ok(copied)
}

async fn tables(source: &mut AnyConnection, target: &mut AnyConnection) -> Result<Vec<(String, u64)>, StoreError> {
    let events = sqlx::query("SELECT COUNT(*) FROM audit_event").fetch_one(&mut *target).await?;
    if events.try_get::<i64, _>(0)? > 0 {
        return Err(Unfit::NotEmpty.into());
    }
    // The one row that a new schema has.
    sqlx::query("DELETE FROM registry_head").execute(&mut *target).await?;
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                 AND name <> '_sqlx_migrations' ORDER BY name";
    let mut copied = Vec::new();
    for row in sqlx::query(names).fetch_all(&mut *source).await? {
        let table: String = row.try_get(0)?;
        let rows = table_rows(source, target, &table).await?;
        copied.push((table, rows));
    }
    Ok(copied)
}

/// What a column holds.
#[derive(Clone, Copy)]
enum Type {
    Number,
    Text,
    Bytes,
}

/// Rows read at once: a piece of a record has up to a MiB.
const PAGE: i64 = 64;

async fn table_rows(source: &mut AnyConnection, target: &mut AnyConnection, table: &str) -> Result<u64, StoreError> {
    let columns = columns(source, table).await?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    let values: Vec<String> = (1..=columns.len()).map(|place| format!("${place}")).collect();
    // Names of tables and columns come from the schema that this version made.
    let read = format!("SELECT {names}, rowid FROM {table} WHERE rowid > $1 ORDER BY rowid LIMIT $2");
    let write = format!("INSERT INTO {table} ({names}) VALUES ({})", values.join(","));
    let (mut count, mut last) = (0, i64::MIN);
    loop {
        let page = sqlx::query(AssertSqlSafe(read.clone())).bind(last).bind(PAGE).fetch_all(&mut *source).await?;
        if page.is_empty() {
            return Ok(count);
        }
        for row in page {
            let mut insert = sqlx::query(AssertSqlSafe(write.clone()));
            for (place, (_, kind)) in columns.iter().enumerate() {
                insert = match kind {
                    Type::Number => insert.bind(row.try_get::<Option<i64>, _>(place)?),
                    Type::Text => insert.bind(row.try_get::<Option<String>, _>(place)?),
                    Type::Bytes => insert.bind(row.try_get::<Option<Vec<u8>>, _>(place)?),
                };
            }
            last = row.try_get(columns.len())?;
            count += insert.execute(&mut *target).await?.rows_affected();
        }
    }
}

async fn columns(source: &mut AnyConnection, table: &str) -> Result<Vec<(String, Type)>, StoreError> {
    let query = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";
    let mut columns = Vec::new();
    for row in sqlx::query(query).bind(table.to_owned()).fetch_all(source).await? {
        let kind = match row.try_get::<String, _>(1)?.as_str() {
            "BIGINT" => Type::Number,
            "TEXT" => Type::Text,
            "BLOB" => Type::Bytes,
            _ => return Err(StoreError::Inconsistent("sqlite_master")),
        };
        columns.push((row.try_get(0)?, kind));
    }
    Ok(columns)
}
