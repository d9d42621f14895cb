//! From a hub's SQLite file to an empty PostgreSQL database: all rows as they are, in one transaction.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection as _, Row as _};

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
    open::is_there(from)?;
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
    // The rows that a new schema has.
    for statement in ["DELETE FROM registry_head", "DELETE FROM log_head"] {
        sqlx::query(statement).execute(&mut *target).await?;
    }
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

type Statement = Query<'static, Any, AnyArguments>;

/// What a column holds.
#[derive(Clone, Copy)]
enum Type {
    Number,
    Text,
    Bytes,
}

struct Column {
    name: String,
    kind: Type,
    /// Place in the primary key, from 1; 0: not in it.
    in_key: i64,
}

impl Column {
    /// Takes the value over from a row.
    fn bind(&self, query: Statement, row: &AnyRow, place: usize) -> Result<Statement, sqlx::Error> {
        Ok(match self.kind {
            Type::Number => query.bind(row.try_get::<Option<i64>, _>(place)?),
            Type::Text => query.bind(row.try_get::<Option<String>, _>(place)?),
            Type::Bytes => query.bind(row.try_get::<Option<Vec<u8>>, _>(place)?),
        })
    }
}

/// Rows read at once: a piece of a record has up to a MiB.
const PAGE: i64 = 64;

async fn table_rows(source: &mut AnyConnection, target: &mut AnyConnection, table: &str) -> Result<u64, StoreError> {
    let columns = columns(source, table).await?;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut keys: Vec<(usize, &Column)> = columns.iter().enumerate().filter(|(_, column)| column.in_key > 0).collect();
    keys.sort_by_key(|(_, column)| column.in_key);
    let key: Vec<&str> = keys.iter().map(|(_, column)| column.name.as_str()).collect();
    let (key, names, values) = (key.join(", "), names.join(", "), places(columns.len()));
    // Names of tables and columns come from the schema that this version made.
    let first = format!("SELECT {names} FROM {table} ORDER BY {key} LIMIT {PAGE}");
    let next =
        format!("SELECT {names} FROM {table} WHERE ({key}) > ({}) ORDER BY {key} LIMIT {PAGE}", places(keys.len()));
    let write = format!("INSERT INTO {table} ({names}) VALUES ({values})");
    let mut count = 0;
    let mut page = sqlx::query(AssertSqlSafe(first)).fetch_all(&mut *source).await?;
    while let Some(last) = page.last() {
        let mut after = sqlx::query(AssertSqlSafe(next.clone()));
        for (place, column) in &keys {
            after = column.bind(after, last, *place)?;
        }
        let after = after.fetch_all(&mut *source).await?;
        for row in &page {
            let mut insert = sqlx::query(AssertSqlSafe(write.clone()));
            for (place, column) in columns.iter().enumerate() {
                insert = column.bind(insert, row, place)?;
            }
            count += insert.execute(&mut *target).await?.rows_affected();
        }
        page = after;
    }
    Ok(count)
}

fn places(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|place| format!("${place}")).collect();
    places.join(",")
}

async fn columns(source: &mut AnyConnection, table: &str) -> Result<Vec<Column>, StoreError> {
    let query = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid";
    let mut columns = Vec::new();
    for row in sqlx::query(query).bind(table.to_owned()).fetch_all(source).await? {
        let kind = match row.try_get::<String, _>(1)?.as_str() {
            "BIGINT" | "INTEGER" => Type::Number,
            "TEXT" => Type::Text,
            "BLOB" => Type::Bytes,
            _ => return Err(StoreError::Inconsistent("sqlite_master")),
        };
        columns.push(Column { name: row.try_get(0)?, kind, in_key: row.try_get(2)? });
    }
    Ok(columns)
}
