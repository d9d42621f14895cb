//! The two engines, and the little in which they differ: how a session is set up and how a transaction begins.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, Connection as _};

use super::StoreError;
use crate::redact::Redacted;

/// Which engine keeps the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// One file beside the hub.
    Sqlite,
    /// A server that several hub nodes share.
    Postgres,
}

/// Where the database is, and as whom to reach it. May hold passwords, so it does not print.
#[derive(Debug, Clone)]
pub struct Access {
    url: Redacted<String>,
    owner: Option<Redacted<String>>,
}

impl Access {
    /// By URL, `sqlite:PATH` or `postgres://…`, and the password of its role.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        Ok(Self { url: Redacted::new(with_password(url, password)?), owner: None })
    }

    /// With the role that may change the schema.
    ///
    /// # Errors
    /// The URL is none.
    pub fn with_owner(self, url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        Ok(Self { owner: Some(Redacted::new(with_password(url, password)?)), ..self })
    }

    /// The same database, through another port of this machine.
    #[cfg(test)]
    pub(super) fn through(&self, port: u16) -> Self {
        let through = |url: &Redacted<String>| {
            let mut url = AnyConnectOptions::from_str(url.reveal()).unwrap().database_url;
            url.set_port(Some(port)).unwrap();
            Redacted::new(url.into())
        };
        Self { url: through(&self.url), owner: self.owner.clone() }
    }

    pub(super) fn engine(&self) -> Engine {
        if self.url.reveal().starts_with("sqlite:") { Engine::Sqlite } else { Engine::Postgres }
    }

    /// The file, for SQLite.
    pub(super) fn path(&self) -> Option<&str> {
        let path = self.url.reveal().strip_prefix("sqlite:")?.trim_start_matches("//");
        path.split('?').next().filter(|path| !path.is_empty() && !path.starts_with(':'))
    }

    /// The URL, for what takes no [`AnyConnectOptions`].
    pub(super) fn url(&self) -> &str {
        self.url.reveal()
    }

    pub(super) fn options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        options(self.url.reveal())
    }

    /// Options of the role that may change the schema; of the hub's own where none is named.
    pub(super) fn owner_options(&self) -> Result<Option<AnyConnectOptions>, sqlx::Error> {
        match (&self.owner, self.engine()) {
            (Some(owner), _) => options(owner.reveal()).map(Some),
            (None, Engine::Sqlite) => self.options().map(Some),
            (None, Engine::Postgres) => Ok(None),
        }
    }
}

fn with_password(url: &str, password: Option<&str>) -> Result<String, sqlx::Error> {
    let Some(password) = password else { return Ok(url.to_owned()) };
    let mut url = AnyConnectOptions::from_str(url)?.database_url;
    url.set_password(Some(password)).map_err(|()| sqlx::Error::Configuration("a URL that takes no password".into()))?;
    Ok(url.into())
}

fn options(url: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    // A SQLite file that is not there yet is made.
    let file = url.starts_with("sqlite:") && !url.contains('?');
    AnyConnectOptions::from_str(&if file { format!("{url}?mode=rwc") } else { url.to_owned() })
}

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection that is set up.
pub(super) async fn connect(options: &AnyConnectOptions) -> Result<AnyConnection, sqlx::Error> {
    let mut conn = tokio::time::timeout(CONNECT, AnyConnection::connect_with(options))
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)??;
    set_up(&mut conn).await?;
    Ok(conn)
}

/// Connections that are set up.
pub(super) fn pool(engine: Engine, connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECT)
        // A file does not go away; a server may have been started anew since.
        .test_before_acquire(engine == Engine::Postgres)
        .after_connect(|conn, _| Box::pin(set_up(conn)))
}

async fn set_up(conn: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let statements: &[&'static str] = match conn.backend_name() {
        "SQLite" => &SQLITE,
        _ => &POSTGRES,
    };
    for statement in statements {
        sqlx::query(*statement).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Write-ahead log, durable at every commit and put away after 16 MiB, patience with a reader's checkpoint, and nothing
/// left of what was deleted.
pub(super) const SQLITE: [&str; 6] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA secure_delete = ON",
];

/// Durable at every commit, also where the server's default is not; a stricter default (a synchronous standby) stays. No
/// statement and no forgotten transaction holds others up for long.
const POSTGRES: [&str; 1] = ["SELECT set_config('synchronous_commit', \
     CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' WHEN 'local' THEN 'on' \
     ELSE current_setting('synchronous_commit') END, false), \
     set_config('default_transaction_isolation', 'read committed', false), \
     set_config('statement_timeout', '15s', false), \
     set_config('lock_timeout', '10s', false), \
     set_config('idle_in_transaction_session_timeout', '10s', false)"];

impl Engine {
    /// SQLite has one writer anyway: it says so at once, rather than find out half-way.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }
}
