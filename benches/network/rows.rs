//! Rows as the service left them, read back, so that others like them can be written without it.

use sqlx::any::{AnyArguments, AnyRow, AnyTypeInfoKind};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Column as _, Row as _, ValueRef as _};

use crate::Failed;

/// The tables with a row for every event.
pub(crate) const TABLES: [&str; 3] = ["audit_event", "audit_event_party", "audit_outbox"];

/// Rows in one statement, as the service's writer has them: powers of two, so that there are few statements.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// A value of a column.
#[derive(Debug, Clone)]
enum Value {
    /// The event's name: another one for every copy.
    Name,
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What an event leaves in one table.
pub(crate) struct Template {
    /// For every size, the statement.
    inserts: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

/// What the newest event left in all tables.
pub(crate) async fn templates(conn: &mut AnyConnection) -> Result<Vec<Template>, Failed> {
    let event = newest(conn).await?;
    let mut templates = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT * FROM {table} WHERE event_id = $1");
        let found = sqlx::query(AssertSqlSafe(sql)).bind(&event).fetch_all(&mut *conn).await?;
        let first = found.first().ok_or_else(|| format!("{table} has no row of an event"))?;
        let names: Vec<&str> = first.columns().iter().map(|column| column.name()).collect();
        let rows = found.iter().map(|row| values(row, true)).collect::<Result<_, _>>()?;
        let inserts = SIZES.iter().map(|size| insert(table, &names, *size)).collect();
        templates.push(Template { inserts, rows });
    }
    Ok(templates)
}

/// The event that was written last.
pub(crate) async fn newest(conn: &mut AnyConnection) -> Result<String, Failed> {
    let newest = "SELECT event_id FROM audit_event ORDER BY at DESC, event_id DESC LIMIT 1";
    Ok(sqlx::query(newest).fetch_one(conn).await?.try_get(0)?)
}

/// A statement for so many rows. There are few of them, for as long as the process lives.
fn insert(table: &str, names: &[&str], rows: usize) -> &'static str {
    let width = names.len();
    let row = |nth: usize| {
        let places: Vec<String> = (1..=width).map(|place| format!("${}", nth * width + place)).collect();
        format!("({})", places.join(","))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("INSERT INTO {table} ({}) VALUES {}", names.join(","), rows.join(",")).leak()
}

fn values(row: &AnyRow, of_event: bool) -> Result<Vec<Value>, Failed> {
    let mut values = Vec::with_capacity(row.columns().len());
    for (place, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(place)?;
        values.push(match raw.type_info().kind() {
            _ if of_event && column.name() == "event_id" => Value::Name,
            _ if raw.is_null() => Value::Null,
            AnyTypeInfoKind::BigInt | AnyTypeInfoKind::Integer => Value::Number(row.try_get(place)?),
            AnyTypeInfoKind::Text => Value::Text(row.try_get(place)?),
            AnyTypeInfoKind::Blob => Value::Bytes(row.try_get(place)?),
            kind => return Err(format!("{}: {kind:?}", column.name()).into()),
        });
    }
    Ok(values)
}

fn bind<'q>(query: Query<'q, Any, AnyArguments>, value: &Value, event: &str) -> Query<'q, Any, AnyArguments> {
    match value {
        Value::Name => query.bind(event.to_owned()),
        Value::Null => query.bind(None::<String>),
        Value::Number(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.clone()),
        Value::Bytes(bytes) => query.bind(bytes.clone()),
    }
}

impl Template {
    /// Writes the rows as those of other events.
    pub(crate) async fn write(&self, conn: &mut AnyConnection, events: &[String]) -> Result<(), sqlx::Error> {
        let rows: Vec<(&String, &Vec<Value>)> =
            events.iter().flat_map(|event| self.rows.iter().map(move |row| (event, row))).collect();
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let fitting = SIZES.iter().zip(&self.inserts).find(|(size, _)| **size <= rest.len());
            let Some((size, insert)) = fitting else { break };
            let (now, after) = rest.split_at(*size);
            let mut query = sqlx::query(*insert);
            for (event, row) in now {
                query = row.iter().fold(query, |query, value| bind(query, value, event));
            }
            query.execute(&mut *conn).await?;
            rest = after;
        }
        Ok(())
    }
}

/// Puts all rows of a SQLite store in the place of those of another store with the same schema.
pub(crate) async fn copy(from: &mut AnyConnection, to: &mut AnyConnection) -> Result<(), Failed> {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'";
    let tables = sqlx::query(tables).fetch_all(&mut *from).await?;
    sqlx::query("BEGIN").execute(&mut *to).await?;
    for table in tables {
        let table: String = table.try_get(0)?;
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut *to).await?;
        for row in sqlx::query(AssertSqlSafe(format!("SELECT * FROM {table}"))).fetch_all(&mut *from).await? {
            let values = values(&row, false)?;
            // A null has no type that every engine takes: it is what a column holds that is not named.
            let told = row.columns().iter().zip(&values).filter(|(_, value)| !matches!(value, Value::Null));
            let (names, values): (Vec<&str>, Vec<&Value>) = told.map(|(column, value)| (column.name(), value)).unzip();
            let places: Vec<String> = (1..=names.len()).map(|place| format!("${place}")).collect();
            let insert = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(","), places.join(","));
            let query = sqlx::query(AssertSqlSafe(insert));
            values.iter().fold(query, |query, value| bind(query, value, "")).execute(&mut *to).await?;
        }
    }
    sqlx::query("COMMIT").execute(&mut *to).await?;
    Ok(())
}
