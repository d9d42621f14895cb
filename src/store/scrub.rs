//! What was erased goes from the database's files too.
//!
//! No query finds it from the commit of the erasure on. SQLite writes over it, and the hub empties the write-ahead log by itself. A
//! server keeps it in dead rows, in its planner's statistics and in its write-ahead log until the tables are written anew and the
//! log goes on in another file: only the tables' owner can have that done.

mod server;

use std::time::Duration;

use sqlx::{AnyConnection, Connection as _, Row as _};

use super::engine::{Access, Engine, connect};
use super::session::{Session, query};
use super::{Reader, StoreError, Unfit, open};
use crate::clock::{Clock, micros};

/// What is to be done.
pub struct Order<'c> {
    /// Also when nothing was erased since the last time.
    pub force: bool,
    /// How long to wait for transactions that may still read what was erased.
    pub patience: Duration,
    /// For the record.
    pub clock: &'c dyn Clock,
}

/// What was done or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing was erased since then, in microseconds; `None`: nothing ever was.
    Unneeded(Option<i64>),
    /// A table was written anew.
    Rewritten {
        /// Its name.
        table: &'static str,
        /// What it takes up now, with its indexes.
        bytes: u64,
        /// How long it was locked, about.
        took: Duration,
    },
    /// The write-ahead log goes on in another file.
    Switched,
    /// A checkpoint removed the files of the write-ahead log that are not needed any more.
    Checkpointed,
    /// The write-ahead log of a SQLite file was emptied.
    Emptied,
    /// The hub that has the SQLite file open has done it.
    SeenTo,
    /// Files of the write-ahead log are archived: what was erased stays there until the archive ends.
    Archived,
    /// Not done: this transaction or slot may still read what was erased, so it would be copied.
    Held(String),
    /// Not done: the table was in use for too long.
    InUse(&'static str),
    /// Not done, and the server did not say so: the role may not.
    Unchanged(&'static str),
    /// Not done: the role may not.
    Forbidden {
        /// What.
        right: Right,
        /// Who.
        role: String,
        /// Where.
        database: String,
    },
    /// The hub that has the SQLite file open has not done it yet; or somebody reads from the file.
    Waits,
    /// A setting that lets files of the write-ahead log be used again, with what stands in them.
    Recycled,
    /// A setting by which so much of the write-ahead log is kept, in megabytes.
    Kept(String),
    /// A replication slot for which files of the write-ahead log are kept.
    Slot(String),
}

/// What the owner's role must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Write the tables anew.
    Tables,
    /// Write the planner's statistics anew.
    Statistics,
    /// Let the write-ahead log go on in another file.
    Switch,
    /// Have a checkpoint made.
    Checkpoint,
}

impl Step {
    /// Whether what was erased may still stand in the database's own files.
    pub const fn is_left(&self) -> bool {
        match self {
            Self::Unneeded(_)
            | Self::Rewritten { .. }
            | Self::Switched
            | Self::Checkpointed
            | Self::Emptied
            | Self::SeenTo
            | Self::Archived => false,
            Self::Held(_)
            | Self::InUse(_)
            | Self::Unchanged(_)
            | Self::Forbidden { .. }
            | Self::Waits
            | Self::Recycled
            | Self::Kept(_)
            | Self::Slot(_) => true,
        }
    }
}

/// Removes what was erased from the database's files; says step by step what came of it.
///
/// # Errors
/// The database can't be reached, is no hub's, or refused a statement. The steps before that are done.
pub async fn scrub(access: &Access, order: &Order<'_>, steps: &mut Vec<Step>) -> Result<(), StoreError> {
    sqlx::any::install_default_drivers();
    match access.engine() {
        Engine::Sqlite => file(access, order, steps).await,
        Engine::Postgres => server::scrub(access, order, steps).await,
    }
}

async fn file(access: &Access, order: &Order<'_>, steps: &mut Vec<Step>) -> Result<(), StoreError> {
    let own = open::own_file(access).await;
    let mut conn = connect(&access.options()?).await.map_err(open::not_a_database)?;
    open::verify(&mut conn, Engine::Sqlite).await?;
    let waits = waiting_in(&mut conn).await?.erasures > 0;
    drop(conn.close().await);
    let _file = match own {
        Err(StoreError::Unfit(Unfit::InUse)) => {
            steps.push(if waits { Step::Waits } else { Step::SeenTo });
            return Ok(());
        }
        own => own?,
    };
    let emptied = empty(&mut Session::open(access).await?, micros(order.clock.now())).await?;
    steps.push(if emptied { Step::Emptied } else { Step::Waits });
    Ok(())
}

/// Empties the write-ahead log of a file and notes it; says whether that could be done now.
pub(super) async fn empty(session: &mut Session, now: i64) -> Result<bool, StoreError> {
    if session.engine() == Engine::Postgres {
        return Ok(true);
    }
    // Nobody's commit waits for a reader to end.
    query("PRAGMA busy_timeout = 0").fetch_all(session).await?;
    let done = query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_optional(session).await;
    query("PRAGMA busy_timeout = 5000").fetch_all(session).await?;
    // The first column says whether somebody was reading.
    let done = done?.map(|row| row.number(0)).transpose()? == Some(0);
    if done {
        // A file has one writer: nothing was erased since.
        let note = "UPDATE audit_scrub SET rewritten_at = $1, gone_at = $1 WHERE gone_at IS NULL";
        query(note).bind(now).execute(session).await?;
    }
    Ok(done)
}

/// Erasures of which the database's files may still show what was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub erasures: i64,
    /// When the oldest one was, in microseconds.
    pub oldest: Option<i64>,
}

/// What waits to be scrubbed.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting(reader: &mut Reader) -> Result<Waiting, StoreError> {
    waiting_in(reader.conn().await?).await
}

async fn waiting_in(conn: &mut AnyConnection) -> Result<Waiting, StoreError> {
    let text = "SELECT COUNT(*), MIN(e.at) FROM audit_scrub s LEFT JOIN audit_event e ON e.event_id = s.erased_by \
                WHERE s.gone_at IS NULL";
    let row = sqlx::query(text).fetch_one(conn).await?;
    Ok(Waiting { erasures: row.try_get(0)?, oldest: row.try_get(1)? })
}
