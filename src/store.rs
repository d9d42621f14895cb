//! The hub's store. [`Store::run_tx`] and [`Store::refuse`] are the only begin and commit in Sluis.
//!
//! Both take the ground on which the act rests, and both write the act's audit event in the same transaction, so
//! guarantee G1 (no effect without its event) and G2 (no effect without a permit) hold by construction.
//!
//! Modules in the order of a request: how a commit happens, then one module per table group.

mod batch;
mod cache;
mod engine;
mod notify;
mod open;
mod picture;
mod rows;
mod session;
mod tx;
mod writer;

pub mod case;
pub mod certificates;
pub mod check;
pub mod checkpoint;
pub mod consent;
pub mod copy;
pub mod deployment;
pub mod erasure;
mod event;
pub mod inbox;
pub mod mandate;
pub mod pending;
pub mod record;
pub mod registry;
pub mod renewal;
pub mod request;
pub mod scrub;
pub mod search;
mod sign;
pub mod succession;
pub mod tree;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::audit::{Draft, Outcome, Stamp, Verdict};
use crate::clock::{Clock, from_micros, micros};
use crate::ground::{Ground, Refusal};
use crate::tlog::Together;

pub use cache::Cases;
pub use deployment::Deployment;
pub use engine::Access;
pub use open::Opening;
pub use tx::{Changes, Seen, Tx, Wake, Work, WorkError};

use engine::Engine;

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
    /// The store can't be used as it is; the text says what to do.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The connection was lost; what became of the work is not known here. A repeat of the request id finds out.
    #[error("the connection to the database was lost")]
    Lost,
    /// The writer has stopped, or is so far behind that nothing more is queued.
    #[error("the store accepts no more work now")]
    Busy,
}

/// Why a database is not used, although it answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It holds tables, and not those of a hub.
    #[error("the database belongs to something else: name one that is empty, or a hub's")]
    NotOurs,
    /// A migration began and did not end.
    #[error("migration {0} was left half applied: restore the last backup, or ask for help before anything else")]
    HalfApplied(i64),
    /// Migrations that this version knows are missing, and nobody here may apply them.
    #[error(
        "the schema is at version {found} and this version of the hub needs {needed}: start the hub, which brings it up to date; on PostgreSQL with [store] owner_url"
    )]
    Behind {
        /// Last one applied.
        found: i64,
        /// Last one known.
        needed: i64,
    },
    /// A database that is looked at is made by the hub that uses it.
    #[error("there is no file {0}: a hub makes it when it first starts")]
    NoFile(String),
    /// Somebody applied a migration that this version does not know, or knows otherwise.
    #[error(
        "the schema has migration {0}, which this version of the hub does not know: run the version that made it, or a newer one"
    )]
    Unknown(i64),
    /// A copy goes one way only.
    #[error("rows are copied from a SQLite file to a PostgreSQL database")]
    Direction,
    /// A copy needs the right to make the schema.
    #[error("set [store] owner_url in the configuration of the PostgreSQL hub: the schema has to be made there")]
    NoOwner,
    /// Nobody else may have the tables written anew.
    #[error("set [store] owner_url: only the owner of the tables can have them written anew")]
    NoOwnerToScrub,
    /// One after the other.
    #[error("another scrub of this database is under way: wait until it has ended")]
    Scrubbing,
    /// A copy would mix two logs.
    #[error("the PostgreSQL database holds audit events already: copy into an empty one")]
    NotEmpty,
    /// Another process has the file.
    #[error("another hub has this database open: several hubs share a PostgreSQL database, never a SQLite file")]
    InUse,
    /// Another network's keys.
    #[error(
        "[keys] directory: the database was made with other keys; with these every youth would get another pseudonym"
    )]
    OtherKeys,
    /// This node lacks a key that another has.
    #[error("[keys] directory: another node has newer keys; copy them to this node")]
    OlderKeys,
    /// The same number, another text.
    #[error("[covenant]: the database has another text in force under this version number; a version never changes")]
    OtherCovenant,
    /// Another node is ahead.
    #[error(
        "[covenant]: version {0} is in force in this database, and this node has an older one: install that version and start again"
    )]
    OlderCovenant(u32),
    /// The clock.
    #[error("this machine's clock and the database's are {0} seconds apart: set both right (NTP)")]
    Clock(i64),
    /// The clock, against the time that has passed.
    #[error("the clock jumped by {0} seconds: set it right (NTP); if it is right now, it is believed within a minute")]
    ClockJumped(i64),
    /// The clock, against what was written last.
    #[error("the clock is {0} seconds behind the newest audit event: set it right (NTP)")]
    ClockBehind(i64),
    /// The log, against what was signed.
    #[error(
        "the log has {found} entries and is not the one of which {signed} were signed: the database was restored from an older copy, or is another one. Nothing more is written to it. Bring back the newest copy; if there is none, begin a new log (README, \"A log that was lost\")"
    )]
    Forked {
        /// Entries under the last checkpoint that this node knows.
        signed: u64,
        /// Entries in the database.
        found: u64,
    },
    /// Commits would not survive a power cut.
    #[error("the database server runs with {0} = off: what it acknowledges could be lost; set it on")]
    NotDurable(&'static str),
    /// The role may do more than a hub should.
    #[error(
        "the database role may change or remove audit events: use the role sluis_hub, and owner_url for the schema"
    )]
    TooPowerful,
}

impl StoreError {
    /// What was to be stored can't be read from the disk.
    pub const fn disk(error: std::io::Error) -> Self {
        Self::Unavailable(sqlx::Error::Io(error))
    }

    /// Whether the database has no room, or can't use its disk.
    fn is_full(&self) -> bool {
        const SQLITE_IOERR: u32 = 10;
        const SQLITE_FULL: u32 = 13;
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        let Some(code) = error.code() else { return false };
        // PostgreSQL's have five places; SQLite's say more precisely in higher bits what it was.
        match code.parse::<u32>() {
            Ok(code) if code < 10_000 => matches!(code & 0xff, SQLITE_IOERR | SQLITE_FULL),
            _ => code.starts_with("53") || code.starts_with("58"),
        }
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
    /// The request id has a reply already.
    #[error("the request id was used before")]
    Repeated,
    /// The work itself found a reason to refuse (a request id used before, a name already taken).
    #[error("the work was refused")]
    Refused(Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WorkError> for CommitError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Stale => Self::Stale,
            WorkError::Repeated => Self::Repeated,
            WorkError::Refused(refusal) => Self::Refused(refusal),
            WorkError::Store(error) => Self::Store(error),
        }
    }
}

/// An act that has been committed, with the name of its event.
#[derive(Debug)]
pub struct Committed<T> {
    /// What the work returned.
    pub output: T,
    /// UUID of the audit event.
    pub event_id: String,
    /// What was committed together.
    pub together: Arc<Together>,
    /// The event's place in it.
    pub place: u64,
}

/// A connection for reading, taken when it is first used. It can't begin a transaction: nothing outside this module can.
pub struct Reader {
    engine: Engine,
    pool: AnyPool,
    conn: Option<PoolConnection<Any>>,
}

impl Reader {
    async fn conn(&mut self) -> Result<&mut AnyConnection, StoreError> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.pool.acquire().await?,
        };
        Ok(self.conn.insert(conn))
    }
}

/// The store: one writer that groups commits, several readers, and a memory of cases.
pub struct Store {
    engine: Engine,
    readers: AnyPool,
    queue: mpsc::Sender<Box<dyn writer::Unit>>,
    keeper: tree::Keeper,
    wakes: broadcast::Sender<Wake>,
    cases: Arc<Cases>,
    clock: Arc<dyn Clock>,
    node: String,
    deployment: Deployment,
    rng: ring::rand::SystemRandom,
    /// Set while this machine's clock and the database's disagree.
    adrift: Arc<AtomicBool>,
    /// Set for good when the database does not hold what its log signed.
    forked: OnceLock<Unfit>,
    /// Time of the newest event that this node knows of, in microseconds: none is written before it.
    newest: AtomicI64,
    /// The same as it was found at the start.
    found: i64,
    /// What the last commit showed of the database since somebody asked: see [`sign`].
    shown: AtomicU8,
    /// Tells the writer to end.
    last_orders: Mutex<Option<oneshot::Sender<()>>>,
    /// Others end when this is dropped.
    _end: mpsc::Sender<()>,
    /// Held while the file is open, for SQLite.
    _file: Option<std::fs::File>,
}

/// How many units may wait for the writer before callers are refused.
const QUEUE: usize = 1024;

impl Store {
    /// A connection for reading.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        let mut reader = self.reader();
        reader.conn().await?;
        Ok(reader)
    }

    /// A connection for reading, if one is needed at all.
    pub fn reader(&self) -> Reader {
        Reader { engine: self.engine, pool: self.readers.clone(), conn: None }
    }

    /// With what this node serves.
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// What commits wake: inboxes, cases, the registry.
    pub fn wakes(&self) -> broadcast::Receiver<Wake> {
        self.wakes.subscribe()
    }

    /// Cases in memory.
    pub fn cases(&self) -> &Cases {
        &self.cases
    }

    /// How long a change that nobody told of may stay unseen: other nodes' word can get lost, this node's can't.
    pub const fn look_again(&self) -> Duration {
        match self.engine {
            Engine::Sqlite => Duration::from_secs(5),
            Engine::Postgres => Duration::from_millis(500),
        }
    }

    /// Returns when the writer has stopped: nothing more can be committed.
    pub async fn stopped(&self) {
        self.queue.closed().await;
    }

    /// Takes nothing more: the database is not the one whose log was signed.
    pub fn distrust(&self, why: Unfit) {
        // The first reason stays.
        drop(self.forked.set(why));
    }

    /// Commits what has been handed over, takes nothing more, and closes all sessions: a SQLite file is then whole without the
    /// files beside it.
    pub async fn close(&self) {
        self.readers.close().await;
        let end = self.last_orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(end);
        self.queue.closed().await;
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
    ///     sluis::store::Tx { conn: Some(conn), saved: false, added: Default::default(), changes: Default::default(), event_id: String::new() }
    /// }
    /// ```
    pub async fn run_tx<W: Work>(&self, ground: Ground, work: W) -> Result<Committed<W::Output>, CommitError> {
        self.commit(ground.into_verdict(), work).await
    }

    /// Writes the event of a refusal, unless what it rests on has changed. Durable when it returns.
    pub async fn refuse(&self, refusal: &Refusal, draft: Draft, seen: Seen) -> Result<Committed<()>, CommitError> {
        let outcome = if refusal.fault { Outcome::Failed(refusal.reason) } else { Outcome::Refused(refusal.reason) };
        let verdict = Verdict { outcome, clauses: refusal.clauses.clone(), covenant_version: refusal.covenant_version };
        self.commit(verdict, tx::Nothing { draft, seen }).await
    }

    async fn commit<W: Work>(&self, verdict: Verdict, work: W) -> Result<Committed<W::Output>, CommitError> {
        let (mut unit, reply) = writer::Pending::new(work, verdict, self.stamp()?);
        let place = self.queue.try_reserve().map_err(|_| StoreError::Busy)?;
        unit.rehearse().await;
        place.send(Box::new(unit));
        let outcome = reply.await.map_err(|_| StoreError::Lost)?;
        match &outcome {
            Ok(_) => self.shown.store(sign::WRITES, Ordering::Relaxed),
            Err(CommitError::Store(error)) if error.is_full() => self.shown.store(sign::FULL, Ordering::Relaxed),
            Err(_) => {}
        }
        outcome
    }

    /// Time of the newest event that was there at the start, if there was one.
    pub fn found(&self) -> Option<time::OffsetDateTime> {
        (self.found > i64::MIN).then(|| from_micros(self.found))
    }

    fn stamp(&self) -> Result<Stamp, StoreError> {
        self.believes_itself()?;
        let now = micros(self.clock.now());
        // The next event is no older than the last one, whatever small step the clock made.
        let at = self.newest.fetch_max(now, Ordering::Relaxed).max(now);
        let now = from_micros(at);
        let mut salts = [[0; 16]; crate::audit::SALTS];
        ring::rand::SecureRandom::fill(&self.rng, salts.as_flattened_mut()).map_err(|_| StoreError::Busy)?;
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.nanosecond());
        Ok(Stamp { event_id: uuid::Uuid::new_v7(stamp).to_string(), at, node: self.node.clone(), salts })
    }

    /// Whether what the clock shows may be written.
    /// Whether clock and database are to be trusted.
    fn believes_itself(&self) -> Result<(), Unfit> {
        if let Some(forked) = self.forked.get() {
            return Err(forked.clone());
        }
        if let Some(seconds) = self.clock.jumped() {
            return Err(Unfit::ClockJumped(seconds));
        }
        if self.adrift.load(Ordering::Relaxed) {
            return Err(Unfit::Clock(open::DRIFT.as_secs().cast_signed()));
        }
        open::not_before(self.newest.load(Ordering::Relaxed), &*self.clock)
    }
}

#[cfg(test)]
pub(crate) mod tests;
