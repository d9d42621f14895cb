//! The rows that one event leaves in a store, read back, so that others like them can be written without the service.

use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{AnyConnection, AssertSqlSafe, Column as _, Row as _, ValueRef as _};

use crate::Failed;

/// The tables with a row for every event.
pub(crate) const TABLES: [&str; 3] = ["audit_event", "audit_event_party", "audit_outbox"];

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

/// A row of a table, ready to be written again.
pub(crate) struct Template {
    insert: &'static str,
    values: Vec<Value>,
}

/// The rows of the newest event.
pub(crate) async fn templates(conn: &mut AnyConnection) -> Result<Vec<Template>, Failed> {
    let newest = "SELECT event_id FROM audit_event ORDER BY at DESC, event_id DESC LIMIT 1";
    let event: String = sqlx::query(newest).fetch_one(&mut *conn).await?.try_get(0)?;
    let mut templates = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT * FROM {table} WHERE event_id = $1");
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(&event).fetch_all(&mut *conn).await?;
        if rows.is_empty() {
            return Err(format!("{table} has no row of an event").into());
        }
        for row in rows {
            templates.push(Template::of(table, &row)?);
        }
    }
    Ok(templates)
}

impl Template {
    fn of(table: &str, row: &AnyRow) -> Result<Self, Failed> {
        let mut names = Vec::new();
        let mut values = Vec::new();
        for (place, column) in row.columns().iter().enumerate() {
            let raw = row.try_get_raw(place)?;
            let value = match raw.type_info().kind() {
                _ if column.name() == "event_id" => Value::Name,
                _ if raw.is_null() => Value::Null,
                AnyTypeInfoKind::BigInt | AnyTypeInfoKind::Integer => Value::Number(row.try_get(place)?),
                AnyTypeInfoKind::Text => Value::Text(row.try_get(place)?),
                AnyTypeInfoKind::Blob => Value::Bytes(row.try_get(place)?),
                kind => return Err(format!("{table}.{}: {kind:?}", column.name()).into()),
            };
            names.push(column.name().to_owned());
            values.push(value);
        }
        let places: Vec<String> = (1..=names.len()).map(|nth| format!("${nth}")).collect();
        let insert = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(","), places.join(","));
        // One text for each row of one event: as good as a constant.
        Ok(Self { insert: insert.leak(), values })
    }

    /// Writes the row as that of another event.
    pub(crate) async fn insert(&self, conn: &mut AnyConnection, event: &str) -> Result<(), sqlx::Error> {
        let mut query = sqlx::query(self.insert);
        for value in &self.values {
            query = match value {
                Value::Name => query.bind(event),
                Value::Null => query.bind(None::<String>),
                Value::Number(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.as_str()),
                Value::Bytes(bytes) => query.bind(bytes.as_slice()),
            };
        }
        query.execute(conn).await.map(|_| ())
    }
}
