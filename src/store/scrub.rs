//! What was erased goes from the database's files too.
//!
//! No query finds it from the commit of the erasure on. SQLite writes over the row, but not over what was left of it where a page was
//! split: it is gone once the file is written anew and the write-ahead log is emptied, which the hub does by itself. A server keeps it
//! in dead rows, in its planner's statistics and in its write-ahead log until the tables are written anew and each file of the log is
//! removed or written over: only the tables' owner can have that done.

mod server;

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Connection as _, Row as _};

use super::engine::{Access, Engine, connect};
use super::session::{Session, query};
use super::{Reader, Store, StoreError, Unfit, open};
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
    /// A SQLite file was written anew.
    Anew {
        /// What it takes up now.
        bytes: u64,
        /// For how long nothing else could be written.
        took: Duration,
    },
    /// The write-ahead log goes on in another file; so many were written over on the way.
    Switched(u64),
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
    /// So many files of the write-ahead log from before are still there.
    Older(i64),
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
    /// See which files the write-ahead log has.
    Files,
}

impl Step {
    /// Whether what was erased may still stand in the database's own files.
    pub const fn is_left(&self) -> bool {
        match self {
            Self::Unneeded(_)
            | Self::Rewritten { .. }
            | Self::Anew { .. }
            | Self::Switched(_)
            | Self::Checkpointed
            | Self::Emptied
            | Self::SeenTo
            | Self::Archived => false,
            Self::Held(_)
            | Self::InUse(_)
            | Self::Unchanged(_)
            | Self::Forbidden { .. }
            | Self::Waits
            | Self::Older(_)
            | Self::Kept(_)
            | Self::Slot(_) => true,
        }
    }
}

/// Who hears of each step as it is done, and how many things were left so far.
struct Steps<'h> {
    hear: &'h mut dyn FnMut(Step),
    left: usize,
}

impl Steps<'_> {
    fn push(&mut self, step: Step) {
        self.left += usize::from(step.is_left());
        (self.hear)(step);
    }
}

/// Removes what was erased from the database's files, and says each step as it is done. Gives how many things are left.
///
/// # Errors
/// The database can't be reached, is no hub's, or refused a statement. The steps before that are done.
pub async fn scrub(access: &Access, order: &Order<'_>, hear: &mut dyn FnMut(Step)) -> Result<usize, StoreError> {
    sqlx::any::install_default_drivers();
    let mut steps = Steps { hear, left: 0 };
    match access.engine() {
        Engine::Sqlite => file(access, order, &mut steps).await?,
        Engine::Postgres => server::scrub(access, order, &mut steps).await?,
    }
    Ok(steps.left)
}

async fn file(access: &Access, order: &Order<'_>, steps: &mut Steps<'_>) -> Result<(), StoreError> {
    open::is_there(access)?;
    let own = open::own_file(access).await;
    let mut conn = connect(&access.options()?).await.map_err(open::not_a_database)?;
    open::verify(&mut conn, Engine::Sqlite).await?;
    let waits = waiting_in(&mut conn).await?.erasures > 0;
    let rewritten = rewritten_in(&mut conn).await?;
    drop(conn.close().await);
    let _file = match own {
        Err(StoreError::Unfit(Unfit::InUse)) => {
            steps.push(if waits { Step::Waits } else { Step::SeenTo });
            return Ok(());
        }
        own => own?,
    };
    if !waits && !order.force {
        steps.push(Step::Unneeded(rewritten.last));
        return Ok(());
    }
    let (mut session, now, started) = (Session::open(access).await?, micros(order.clock.now()), Instant::now());
    if order.force || rewritten.waits {
        rewrite(&mut session, now).await?;
        let file = access.path().map(std::fs::metadata).transpose().map_err(StoreError::disk)?;
        steps.push(Step::Anew { bytes: file.map_or(0, |file| file.len()), took: started.elapsed() });
    }
    steps.push(if empty(&mut session, now).await? { Step::Emptied } else { Step::Waits });
    Ok(())
}

/// Writes a file anew and notes it.
pub(super) async fn rewrite(session: &mut Session, now: i64) -> Result<(), StoreError> {
    if session.engine() == Engine::Postgres {
        return Ok(());
    }
    if let Err(error) = session.write_anew() {
        // What there was no room for does not go on taking it.
        drop(truncate(session).await);
        return Err(error);
    }
    // A file has one writer: nothing was erased since.
    query("UPDATE audit_scrub SET rewritten_at = $1 WHERE rewritten_at IS NULL").bind(now).execute(session).await?;
    Ok(())
}

/// Empties the write-ahead log of a file, and notes what is gone by that; says whether it could be done now.
pub(super) async fn empty(session: &mut Session, now: i64) -> Result<bool, StoreError> {
    if session.engine() == Engine::Postgres {
        return Ok(true);
    }
    let done = truncate(session).await?;
    if done {
        let note = "UPDATE audit_scrub SET gone_at = $1 WHERE gone_at IS NULL AND rewritten_at IS NOT NULL";
        query(note).bind(now).execute(session).await?;
    }
    Ok(done)
}

async fn truncate(session: &mut Session) -> Result<bool, StoreError> {
    // Nobody's commit waits for a reader to end.
    query("PRAGMA busy_timeout = 0").fetch_all(session).await?;
    let done = query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_optional(session).await;
    query("PRAGMA busy_timeout = 5000").fetch_all(session).await?;
    // The first column says whether somebody was reading.
    Ok(done?.map(|row| row.number(0)).transpose()? == Some(0))
}

/// When the tables or the file were written anew.
struct Rewritten {
    /// Something was erased since.
    waits: bool,
    /// The last time, in microseconds.
    last: Option<i64>,
}

async fn rewritten_in(conn: &mut AnyConnection) -> Result<Rewritten, StoreError> {
    let text = "SELECT COUNT(*) - COUNT(rewritten_at), MAX(rewritten_at) FROM audit_scrub";
    let row = sqlx::query(text).fetch_one(conn).await?;
    Ok(Rewritten { waits: row.try_get::<i64, _>(0)? > 0, last: row.try_get(1)? })
}

impl Store {
    /// Whether a file is to be written anew: something was erased, and the last time is this long ago. A server's never is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_to_be_rewritten(&self, every: Duration) -> Result<bool, StoreError> {
        if self.engine == Engine::Postgres {
            return Ok(false);
        }
        let Rewritten { waits, last } = rewritten_in(self.read().await?.conn().await?).await?;
        // One that is ahead was noted by another clock.
        let since = last.map(|last| micros(self.clock.now()).saturating_sub(last)).filter(|since| *since >= 0);
        Ok(waits && since.is_none_or(|since| u128::from(since.unsigned_abs()) >= every.as_micros()))
    }
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
