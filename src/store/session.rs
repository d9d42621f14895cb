//! The writer's session with its database, and one way to put a statement to either engine.
//!
//! A server is spoken to through sqlx, like every reader. The file is written through the driver that its readers' driver is
//! made of, on the writer's own thread: sqlx would carry each statement to another thread and back, which costs more than
//! the statement, with all callers of a group waiting.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection as File, ErrorCode, OpenFlags, ToSql};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, AnyConnection, Connection as _, Row as _};

use super::StoreError;
use super::engine::{Access, Engine, SQLITE, connect};

/// Prepared statements kept: all that the writer has.
const PREPARED: usize = 256;

/// A session for writing.
pub(super) enum Session {
    /// One file beside the hub.
    File(File),
    /// A server.
    Server(AnyConnection),
}

/// A value of a statement.
#[derive(Debug, Clone)]
pub(super) enum Value<'v> {
    Number(Option<i64>),
    Text(Option<Cow<'v, str>>),
    Bytes(Option<Cow<'v, [u8]>>),
}

/// A statement with its values, named `$1`, `$2` … in it.
pub(super) struct Query<'v> {
    text: &'static str,
    values: Vec<Value<'v>>,
}

/// A row that came back.
pub(super) enum Row {
    File(Vec<rusqlite::types::Value>),
    Server(AnyRow),
}

/// Begins a statement.
pub(super) const fn query<'v>(text: &'static str) -> Query<'v> {
    Query { text, values: Vec::new() }
}

impl Session {
    /// Opens a session.
    pub(super) async fn open(access: &Access) -> Result<Self, StoreError> {
        match access.path() {
            Some(path) => Ok(Self::File(file(path)?)),
            None => Ok(Self::Server(connect(&access.options()?).await?)),
        }
    }

    /// Closes it without a word: the other side may not listen.
    pub(super) async fn close_hard(self) {
        if let Self::Server(conn) = self {
            drop(conn.close_hard().await);
        }
    }

    /// Bytes that go into one statement, about. A file has no way to go, so a row is a statement. What goes to a server has
    /// to fit into one record of TLS, 16 KiB: sqlx 0.9.0 leaves Nagle's algorithm on (its issue 4335), and the last of
    /// several records would wait 40 ms for an acknowledgement.
    pub(super) const fn bytes_at_once(&self) -> usize {
        match self {
            Self::File(_) => 0,
            Self::Server(_) => 12 * 1024,
        }
    }

    /// Writes a file anew, from the rows that it holds. A server's tables are its owner's.
    pub(super) fn write_anew(&self) -> Result<(), StoreError> {
        let Self::File(file) = self else { return Ok(()) };
        // What is written on the way stands beside the file, and nowhere where others may look.
        let folder = file.path().and_then(|path| Path::new(path).parent()).and_then(Path::to_str);
        file.pragma_update(None, "temp_store_directory", folder.unwrap_or_default())?;
        Ok(file.execute_batch("VACUUM")?)
    }

    /// What is at the other end.
    pub(super) const fn engine(&self) -> Engine {
        match self {
            Self::File(_) => Engine::Sqlite,
            Self::Server(_) => Engine::Postgres,
        }
    }
}

fn file(path: &str) -> Result<File, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = File::open_with_flags(path, flags)?;
    file.set_prepared_statement_cache_capacity(PREPARED);
    for pragma in SQLITE {
        rows(&file, pragma, &[])?;
    }
    Ok(file)
}

impl<'v> Query<'v> {
    /// Binds the next value.
    pub(super) fn bind(mut self, value: impl Into<Value<'v>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; says how many rows it touched.
    pub(super) async fn execute(self, session: &mut Session) -> Result<u64, StoreError> {
        match session {
            Session::File(file) => Ok(execute(file, self.text, &self.values)?),
            Session::Server(conn) => Ok(self.for_server().execute(conn).await?.rows_affected()),
        }
    }

    /// Runs it and takes what it returns.
    pub(super) async fn fetch_all(self, session: &mut Session) -> Result<Vec<Row>, StoreError> {
        match session {
            Session::File(file) => Ok(rows(file, self.text, &self.values)?),
            Session::Server(conn) => {
                Ok(self.for_server().fetch_all(conn).await?.into_iter().map(Row::Server).collect())
            }
        }
    }

    /// Runs it and takes the first row that it returns, if any.
    pub(super) async fn fetch_optional(self, session: &mut Session) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(session).await?.into_iter().next())
    }

    /// Runs it and takes the one number that it returns.
    pub(super) async fn fetch_number(self, session: &mut Session) -> Result<i64, StoreError> {
        let row = self.fetch_optional(session).await?;
        row.ok_or(StoreError::Unavailable(sqlx::Error::RowNotFound))?.number(0)
    }

    fn for_server(self) -> sqlx::query::Query<'static, Any, AnyArguments> {
        self.values.into_iter().fold(sqlx::query(self.text), |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text.map(Cow::into_owned)),
            Value::Bytes(bytes) => query.bind(bytes.map(Cow::into_owned)),
        })
    }
}

/// SQLite numbers places with `?1`; `$1` would be a name to it.
fn places(text: &str) -> String {
    text.replace('$', "?")
}

fn execute(file: &File, text: &str, values: &[Value<'_>]) -> rusqlite::Result<u64> {
    let mut statement = file.prepare_cached(&places(text))?;
    let touched = statement.execute(rusqlite::params_from_iter(values))?;
    Ok(touched as u64)
}

fn rows(file: &File, text: &str, values: &[Value<'_>]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = file.prepare_cached(&places(text))?;
    let width = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Row::File((0..width).map(|place| row.get(place)).collect::<Result<_, _>>()?));
    }
    Ok(found)
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Number(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Number(None) | Self::Text(None) | Self::Bytes(None) => ValueRef::Null,
        }))
    }
}

impl Row {
    /// A number that is never null.
    pub(super) fn number(&self, place: usize) -> Result<i64, StoreError> {
        match self {
            Self::File(values) => match values.get(place) {
                Some(rusqlite::types::Value::Integer(number)) => Ok(*number),
                _ => Err(undecodable(place)),
            },
            Self::Server(row) => Ok(row.try_get(place)?),
        }
    }

    /// A text that is never null.
    pub(super) fn text(&self, place: usize) -> Result<String, StoreError> {
        match self {
            Self::File(values) => match values.get(place) {
                Some(rusqlite::types::Value::Text(text)) => Ok(text.clone()),
                _ => Err(undecodable(place)),
            },
            Self::Server(row) => Ok(row.try_get(place)?),
        }
    }

    /// Bytes that are never null.
    pub(super) fn bytes(&self, place: usize) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::File(values) => match values.get(place) {
                Some(rusqlite::types::Value::Blob(bytes)) => Ok(bytes.clone()),
                _ => Err(undecodable(place)),
            },
            Self::Server(row) => Ok(row.try_get(place)?),
        }
    }
}

fn undecodable(place: usize) -> StoreError {
    StoreError::Unavailable(sqlx::Error::ColumnIndexOutOfBounds { index: place, len: 0 })
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(text)))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(bytes)))
    }
}

impl<'v> From<&'v Vec<u8>> for Value<'v> {
    fn from(bytes: &'v Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

/// What the file's driver says, in the terms of the other one: whoever looks at an error of the store need not know who
/// made it.
#[derive(Debug)]
struct FileError {
    code: i32,
    source: rusqlite::Error,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(found) => {
                let code = found.extended_code;
                sqlx::Error::Database(Box::new(FileError { code, source: error })).into()
            }
            None => Self::Unavailable(sqlx::Error::Protocol(error.to_string())),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl sqlx::error::DatabaseError for FileError {
    fn message(&self) -> &str {
        match &self.source {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message,
            _ => "the database refused the statement",
        }
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        match self.source.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation)
                if [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE].contains(&self.code) =>
            {
                sqlx::error::ErrorKind::UniqueViolation
            }
            _ => sqlx::error::ErrorKind::Other,
        }
    }
}
