//! The hub's store. [`Store::run_tx`] and [`Store::refuse`] are the only begin and commit in Sluis.
//!
//! Both take the ground on which the act rests, and both write the act's audit event in the same transaction, so
//! guarantee G1 (no effect without its event) and G2 (no effect without a permit) hold by construction.
//!
//! Modules in the order of a request: how a commit happens, then one module per table group.

mod tx;
mod writer;

mod schema;

pub mod case;
pub mod consent;
pub mod event;
pub mod inbox;
pub mod record;
pub mod registry;
pub mod request;
mod sign;

use std::sync::Arc;

use sqlx::AnyConnection;
use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool};
use tokio::sync::{broadcast, mpsc};

use crate::audit::{Draft, Outcome, Stamp, Verdict};
use crate::clock::Clock;
use crate::ground::{Ground, Refusal};

pub use tx::{Tx, Wake, Work, WorkError};

/// Why the store could not do it. Nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached, is full, or refused the statement.
    #[error("the store is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// A row with that key exists already.
    #[error("the row exists already")]
    Conflict,
    /// A row says something that Sluis never writes.
    #[error("the store is inconsistent in table {0}")]
    Inconsistent(&'static str),
    /// The schema is not one that this version knows.
    #[error("the store's schema can't be brought up to date")]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// The writer has stopped, or is so far behind that nothing more is queued.
    #[error("the store accepts no more work now")]
    Busy,
}

impl StoreError {
    /// What was to be stored can't be read from the disk.
    pub const fn disk(error: std::io::Error) -> Self {
        Self::Unavailable(sqlx::Error::Io(error))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // A taken key fails its own unit; anything else may have broken the transaction, and fails the group.
        if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
            Self::Conflict
        } else {
            Self::Unavailable(error)
        }
    }
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// What the decision rested on has changed since: decide again.
    #[error("the facts have changed since the decision")]
    Stale,
    /// The work itself found a reason to refuse (a request id used before, a name already taken).
    #[error("the work was refused")]
    Refused(Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An act that has been committed, with the name of its event.
#[derive(Debug)]
pub struct Committed<T> {
    /// What the work returned.
    pub output: T,
    /// UUID of the audit event.
    pub event_id: String,
}

/// A connection for reading. It can't begin a transaction: nothing outside this module can.
pub struct Reader(PoolConnection<Any>);

impl Reader {
    fn conn(&mut self) -> &mut AnyConnection {
        &mut self.0
    }
}

/// The store: one writer that groups commits, several readers.
pub struct Store {
    readers: AnyPool,
    queue: mpsc::Sender<Box<dyn writer::Unit>>,
    wakes: broadcast::Sender<Wake>,
    clock: Arc<dyn Clock>,
    node: String,
    rng: ring::rand::SystemRandom,
}

/// How many units may wait for the writer before callers are refused.
const QUEUE: usize = 1024;

impl Store {
    /// Opens the store, brings its schema up to date and starts the writer. `url` is `sqlite:PATH`.
    pub async fn open(url: &str, node: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        schema::make_private(url).map_err(sqlx::Error::Io)?;
        let writer = schema::options(1).connect(&schema::url(url)).await?;
        schema::migrate(&writer).await?;
        let readers: AnyPoolOptions = schema::options(8);
        let readers = readers.connect(&schema::url(url)).await?;
        let (queue, work) = mpsc::channel(QUEUE);
        let (wakes, _) = broadcast::channel(1024);
        tokio::spawn(writer::run(writer, work, wakes.clone()));
        Ok(Self { readers, queue, wakes, clock, node: node.to_owned(), rng: ring::rand::SystemRandom::new() })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        Ok(Reader(self.readers.acquire().await?))
    }

    /// What commits wake: inboxes, cases, the registry.
    pub fn wakes(&self) -> broadcast::Receiver<Wake> {
        self.wakes.subscribe()
    }

    /// Carries out `work` and writes its event, in one transaction. Durable when it returns.
    ///
    /// Without a ground there is no commit:
    ///
    /// ```compile_fail,E0308
    /// async fn commit<W: sluis::store::Work>(store: &sluis::store::Store, work: W) {
    ///     store.run_tx((), work).await;
    /// }
    /// ```
    ///
    /// nor is there another way to a transaction:
    ///
    /// ```compile_fail,E0451
    /// fn open(conn: &mut sqlx::AnyConnection) -> sluis::store::Tx<'_> {
    ///     sluis::store::Tx { conn, wakes: Vec::new(), event_id: String::new() }
    /// }
    /// ```
    pub async fn run_tx<W: Work>(&self, ground: Ground, work: W) -> Result<Committed<W::Output>, CommitError> {
        let verdict = ground.into_verdict();
        let (unit, reply) = writer::Pending::new(work, verdict, self.stamp()?);
        self.submit(Box::new(unit)).await?;
        reply.await.map_err(|_| StoreError::Busy)?
    }

    /// Writes the event of a refusal. Durable when it returns.
    pub async fn refuse(&self, refusal: &Refusal, draft: Draft) -> Result<String, StoreError> {
        let outcome = if refusal.fault { Outcome::Failed(refusal.reason) } else { Outcome::Refused(refusal.reason) };
        let verdict = Verdict { outcome, clauses: refusal.clauses.clone(), covenant_version: refusal.covenant_version };
        let (unit, reply) = writer::Pending::new(tx::Nothing(draft), verdict, self.stamp()?);
        self.submit(Box::new(unit)).await?;
        match reply.await.map_err(|_| StoreError::Busy)? {
            Ok(committed) => Ok(committed.event_id),
            Err(CommitError::Store(error)) => Err(error),
            Err(CommitError::Stale | CommitError::Refused(_)) => Err(StoreError::Inconsistent("audit_event")),
        }
    }

    async fn submit(&self, unit: Box<dyn writer::Unit>) -> Result<(), StoreError> {
        self.queue.send(unit).await.map_err(|_| StoreError::Busy)
    }

    fn stamp(&self) -> Result<Stamp, StoreError> {
        let now = self.clock.now();
        let mut salts = [[0; 16]; 6];
        for salt in &mut salts {
            ring::rand::SecureRandom::fill(&self.rng, salt).map_err(|_| StoreError::Busy)?;
        }
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.nanosecond());
        Ok(Stamp {
            event_id: uuid::Uuid::new_v7(stamp).to_string(),
            at: crate::clock::micros(now),
            node: self.node.clone(),
            salts,
        })
    }
}

#[cfg(test)]
mod tests;
