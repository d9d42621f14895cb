//! Opening a store: whose database it is, whether its schema is known, whether it keeps what it acknowledges.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, Row as _};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::cache::Cases;
use super::deployment::{self, Deploy};
use super::engine::{Access, Engine, connect, pool};
use super::notify::{self, Announcer};
use super::tree::Keeper;
use super::writer::Writer;
use super::{CommitError, Deployment, QUEUE, Store, StoreError, Unfit, Wake, sign};
use crate::audit::{Outcome, Verdict};
use crate::clock::{Clock, micros};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Two clocks that are further apart than this would put the log out of order.
pub(super) const DRIFT: Duration = Duration::from_secs(60);
/// How long a hub that is being replaced may take to let go of its file.
const HAND_OVER: Duration = Duration::from_secs(5);
/// Connections for reading.
const READERS: u32 = 8;
/// How often the clocks are compared.
const COMPARE: Duration = Duration::from_secs(5);
/// Wakes that a slow listener may miss before it is told that anything may have changed.
const WAKES: usize = 1024;

/// A node that opens a store.
pub struct Opening {
    /// Where the database is.
    pub access: Access,
    /// Name of the node, for its events.
    pub node: String,
    /// The time of events.
    pub clock: Arc<dyn Clock>,
    /// The time can be moved by hand: the newest event may be ahead of it.
    pub simulated: bool,
    /// What this node would serve with.
    pub deployment: Deployment,
}

impl Store {
    /// Opens the store, brings its schema up to date and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] says what to do; otherwise the database can't be reached or read.
    pub async fn open(opening: Opening) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let Opening { access, node, clock, simulated, deployment } = opening;
        let engine = access.engine();
        let file = own_file(&access).await?;
        migrate(&access).await?;
        let mut conn = connect(&access.options()?).await.map_err(not_a_database)?;
        verify(&mut conn, engine).await?;
        let found = newest(&mut conn).await?;
        let newest = if simulated { i64::MIN } else { found };
        not_before(newest, &*clock)?;
        if engine == Engine::Postgres {
            keeps_its_word(&mut conn).await?;
            let apart = drift(&mut conn, &*clock).await?;
            if apart.unsigned_abs() > DRIFT.as_secs() {
                return Err(Unfit::Clock(apart).into());
            }
        }
        let stored = deployment::load(&mut conn).await?;
        let readers = pool(engine, READERS).connect_with(access.options()?).await?;
        let (queue, work) = mpsc::channel(QUEUE);
        let (wakes, _) = broadcast::channel(WAKES);
        let cases = Arc::new(Cases::default());
        let adrift = Arc::new(AtomicBool::new(false));
        let (end, ended) = mpsc::channel(1);
        let announcer = others(&access, &readers, &wakes, &cases, ended);
        if engine == Engine::Postgres {
            let (clock, adrift) = (Arc::clone(&clock), Arc::clone(&adrift));
            tokio::spawn(compare_clocks(readers.clone(), clock, adrift, end.clone().downgrade()));
        }
        drop(conn.close().await);
        let (last_orders, writer_end) = oneshot::channel();
        let (keeper, to_do) = Keeper::new(&access);
        Writer::new(access, announcer).start(work, to_do, writer_end)?;
        let store = Self {
            engine,
            readers,
            queue,
            keeper,
            wakes,
            cases,
            clock,
            node,
            deployment,
            rng: ring::rand::SystemRandom::new(),
            adrift,
            forked: OnceLock::new(),
            newest: AtomicI64::new(newest),
            found,
            shown: AtomicU8::new(sign::NOTHING),
            last_orders: Mutex::new(Some(last_orders)),
            _end: end,
            _file: file,
        };
        let change = match &stored {
            Some(stored) => store.deployment.beside(stored)?,
            None => Some(store.deployment.clone()),
        };
        if let Some(change) = change {
            match store.commit(by_configuration(), Deploy(change)).await {
                // Another node that started at this moment was first.
                Ok(_) | Err(CommitError::Stale) => {}
                Err(CommitError::Store(error)) => return Err(error),
                Err(_) => return Err(StoreError::Inconsistent("deployment")),
            }
        }
        Ok(store)
    }
}

/// The word of whoever may write the hub's configuration file.
fn by_configuration() -> Verdict {
    Verdict { outcome: Outcome::Allowed, clauses: Vec::new(), covenant_version: 0 }
}

/// Who is told of commits: this node, and the others where there are any.
fn others(
    access: &Access,
    pool: &AnyPool,
    wakes: &broadcast::Sender<Wake>,
    cases: &Arc<Cases>,
    ended: mpsc::Receiver<()>,
) -> Announcer {
    if access.engine() == Engine::Sqlite {
        return Announcer::new(wakes.clone(), Arc::clone(cases), None);
    }
    // Tells nodes apart even where two were given one name.
    let instance = uuid::Uuid::new_v4().to_string();
    let (word, queue) = mpsc::channel(notify::OUTGOING);
    let announcer = Announcer::new(wakes.clone(), Arc::clone(cases), Some(word));
    tokio::spawn(notify::send(pool.clone(), instance.clone(), queue));
    let here = Announcer::new(wakes.clone(), Arc::clone(cases), None);
    tokio::spawn(notify::listen(access.clone(), instance, here, ended));
    announcer
}

/// Makes the database file readable by its owner alone (SQLite gives the files beside it the same rights), and takes it
/// for this process.
pub(super) async fn own_file(access: &Access) -> Result<Option<File>, StoreError> {
    let Some(path) = access.path() else { return Ok(None) };
    private(path).map_err(StoreError::disk)?;
    // A file of its own: SQLite's locks and this one would get in each other's way.
    let lock = private(&format!("{path}.lock")).map_err(StoreError::disk)?;
    let until = tokio::time::Instant::now() + HAND_OVER;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(Unfit::InUse.into()),
            Err(TryLockError::Error(error)) => return Err(StoreError::disk(error)),
        }
    }
}

/// A file that is not there is not made by looking for it.
pub(super) fn is_there(access: &Access) -> Result<(), StoreError> {
    match access.path().filter(|path| !std::path::Path::new(path).exists()) {
        Some(path) => Err(Unfit::NoFile(path.to_owned()).into()),
        None => Ok(()),
    }
}

fn private(path: &str) -> std::io::Result<File> {
    let mut options = File::options();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// A file that is something else altogether has no tables to look at.
pub(super) fn not_a_database(error: sqlx::Error) -> StoreError {
    const SQLITE_NOTADB: &str = "26";
    match error.as_database_error().and_then(|error| error.code()) {
        Some(code) if code == SQLITE_NOTADB => Unfit::NotOurs.into(),
        _ => StoreError::Unavailable(error),
    }
}

fn migrator(engine: Engine) -> &'static Migrator {
    match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    }
}

/// Applies what is missing, as the role that may. Two nodes that start at once wait for each other: the migrator holds a
/// lock in the database.
pub(super) async fn migrate(access: &Access) -> Result<(), StoreError> {
    let Some(options) = access.owner_options()? else { return Ok(()) };
    let mut conn = connect(&options).await.map_err(not_a_database)?;
    ours(&mut conn, access.engine()).await?;
    drop(conn.close().await);
    // A pool, because the migrator takes no borrowed connection across threads.
    let single = pool(access.engine(), 1).connect_with(options).await?;
    let migrated = migrator(access.engine()).run(&single).await;
    single.close().await;
    migrated.map_err(|error| match error {
        MigrateError::Dirty(version) => Unfit::HalfApplied(version).into(),
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
            Unfit::Unknown(version).into()
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => StoreError::Unavailable(error),
        error => StoreError::Schema(error),
    })
}

async fn tables(conn: &mut AnyConnection, engine: Engine) -> Result<Vec<String>, StoreError> {
    let query = match engine {
        Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Engine::Postgres => "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = current_schema()",
    };
    let rows = sqlx::query(query).fetch_all(conn).await.map_err(not_a_database)?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// An empty database, or a hub's.
async fn ours(conn: &mut AnyConnection, engine: Engine) -> Result<(), StoreError> {
    let tables = tables(conn, engine).await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    // The migrator's own table comes first, and alone when two nodes start at once.
    let new = tables.iter().all(|table| table == "_sqlx_migrations");
    if new || (has("_sqlx_migrations") && has("registry_head")) { Ok(()) } else { Err(Unfit::NotOurs.into()) }
}

/// Looks whether the schema is the one that this version knows: the hub's own role can't change it.
pub(super) async fn verify(conn: &mut AnyConnection, engine: Engine) -> Result<(), StoreError> {
    let known: BTreeMap<i64, &[u8]> =
        migrator(engine).iter().map(|migration| (migration.version, &*migration.checksum)).collect();
    let needed = known.keys().next_back().copied().unwrap_or_default();
    ours(conn, engine).await?;
    if !tables(conn, engine).await?.iter().any(|table| table == "_sqlx_migrations") {
        return Err(Unfit::Behind { found: 0, needed }.into());
    }
    let query = "SELECT version, CAST(CASE WHEN success THEN 1 ELSE 0 END AS BIGINT), checksum \
                 FROM _sqlx_migrations ORDER BY version";
    let mut found = 0;
    for row in sqlx::query(query).fetch_all(conn).await? {
        found = row.try_get(0)?;
        if row.try_get::<i64, _>(1)? == 0 {
            return Err(Unfit::HalfApplied(found).into());
        }
        if known.get(&found).is_none_or(|checksum| *checksum != row.get::<Vec<u8>, _>(2).as_slice()) {
            return Err(Unfit::Unknown(found).into());
        }
    }
    if found < needed { Err(Unfit::Behind { found, needed }.into()) } else { Ok(()) }
}

/// What the server acknowledges must survive a power cut, and the hub's role must not be able to change the log.
async fn keeps_its_word(conn: &mut AnyConnection) -> Result<(), StoreError> {
    for setting in ["fsync", "full_page_writes"] {
        let row = sqlx::query("SELECT current_setting($1)").bind(setting).fetch_one(&mut *conn).await?;
        if row.try_get::<String, _>(0)? != "on" {
            return Err(Unfit::NotDurable(setting).into());
        }
    }
    let query = "SELECT CAST(CASE WHEN has_table_privilege('audit_event', 'UPDATE, DELETE, TRUNCATE') \
                 THEN 1 ELSE 0 END AS BIGINT)";
    let row = sqlx::query(query).fetch_one(conn).await?;
    if row.try_get::<i64, _>(0)? == 0 { Ok(()) } else { Err(Unfit::TooPowerful.into()) }
}

/// Seconds that this machine's clock is ahead of the database's.
async fn drift(conn: &mut AnyConnection, clock: &dyn Clock) -> Result<i64, StoreError> {
    let query = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT)";
    let row = sqlx::query(query).fetch_one(conn).await?;
    Ok(clock.machine().unix_timestamp() - row.try_get::<i64, _>(0)?)
}

/// Compares the clocks now and then; while they disagree nothing is committed.
async fn compare_clocks(pool: AnyPool, clock: Arc<dyn Clock>, adrift: Arc<AtomicBool>, end: mpsc::WeakSender<()>) {
    loop {
        tokio::time::sleep(COMPARE).await;
        if end.upgrade().is_none() {
            return;
        }
        // A database that can't be reached is noticed elsewhere.
        let Ok(mut conn) = pool.acquire().await else { continue };
        let Ok(apart) = drift(&mut conn, &*clock).await else { continue };
        let now = apart.unsigned_abs() > DRIFT.as_secs();
        if now != adrift.swap(now, Ordering::Relaxed) {
            tracing::error!(seconds = apart, adrift = now, "this machine's clock against the database's");
        }
    }
}

/// Time of the newest event.
async fn newest(conn: &mut AnyConnection) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT at FROM audit_event ORDER BY at DESC LIMIT 1").fetch_optional(conn).await?;
    row.map_or(Ok(i64::MIN), |row| Ok(row.try_get(0)?))
}

/// A clock that stands before the newest event would write history backwards.
pub(super) fn not_before(newest: i64, clock: &dyn Clock) -> Result<(), Unfit> {
    let behind = newest.saturating_sub(micros(clock.now())) / 1_000_000;
    if behind > DRIFT.as_secs().cast_signed() { Err(Unfit::ClockBehind(behind)) } else { Ok(()) }
}
