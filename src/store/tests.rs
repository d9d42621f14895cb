//! The store on every engine: each test is one function of an engine, run once per engine.

use std::future::Future;
use std::sync::OnceLock;

mod certificates;
mod clock;
mod faults;
mod finding;
mod opening;
mod proxy;
mod scrub;
mod succession;
#[path = "../../tests/it/traces.rs"]
mod traces;
mod tree;

use super::inbox::{self, NewItem};
use super::registry::{self, PartnerRow};
use super::request::{self, Key, Remembered};
use super::*;
use crate::clock::SystemClock;
use crate::demo::postgres::Cluster;
use crate::method::Admitted;
use crate::reason::Reason;

/// A database of our own.
pub(super) struct Engine {
    pub(super) access: Access,
    /// The role that may do everything, for looking at what the store did.
    pub(super) owner: Access,
    pub(super) _folder: Option<tempfile::TempDir>,
}

impl Engine {
    pub(super) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::new(&format!("sqlite:{}", folder.path().join("store.db").display()), None).unwrap();
        Self { owner: access.clone(), access, _folder: Some(folder) }
    }

    pub(super) fn postgres() -> Self {
        Self::on(cluster())
    }

    pub(super) fn on(cluster: &Cluster) -> Self {
        let database = cluster.new_database().unwrap();
        let password = |file: &std::path::Path| crate::keys::password(file).unwrap();
        let (hub, owner) = (password(&database.password_file), password(&database.owner_password_file));
        let access = Access::new(&database.url, Some(&hub)).unwrap();
        let access = access.with_owner(&database.owner_url, Some(&owner)).unwrap();
        Self { access, owner: Access::new(&database.owner_url, Some(&owner)).unwrap(), _folder: None }
    }

    pub(super) async fn open(&self) -> Result<Store, StoreError> {
        self.open_as(&Deployment::default()).await
    }

    pub(super) async fn open_as(&self, deployment: &Deployment) -> Result<Store, StoreError> {
        self.open_at(deployment, Arc::new(SystemClock)).await
    }

    pub(super) async fn open_at(&self, deployment: &Deployment, clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        let deployment = deployment.clone();
        let (access, node) = (self.access.clone(), "node-1".to_owned());
        Store::open(Opening { access, node, clock, simulated: false, deployment }).await
    }

    /// A connection beside the store's.
    pub(super) async fn beside(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        engine::connect(&self.owner.options().unwrap()).await.unwrap()
    }

    pub(super) async fn run(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&mut self.beside().await).await.unwrap();
    }

    /// One statement for SQLite, another for PostgreSQL.
    pub(super) async fn run_in(&self, sqlite: &'static str, postgres: &'static str) {
        self.run(if self.access.engine() == super::engine::Engine::Sqlite { sqlite } else { postgres }).await;
    }

    pub(super) async fn count(&self, query: &'static str) -> i64 {
        sqlx::Row::get(&sqlx::query(query).fetch_one(&mut self.beside().await).await.unwrap(), 0)
    }

    /// When an event was, in microseconds.
    pub(super) async fn time_of(&self, event_id: &str) -> i64 {
        let row = sqlx::query("SELECT at FROM audit_event WHERE event_id = $1").bind(event_id);
        sqlx::Row::get(&row.fetch_one(&mut self.beside().await).await.unwrap(), 0)
    }

    /// From now on a table takes no rows, until [`Self::allow`].
    pub(super) async fn forbid(&self, table: &str) {
        let statement = if self.access.engine() == super::engine::Engine::Sqlite {
            format!("CREATE TRIGGER forbidden BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'proef'); END")
        } else {
            format!(
                "CREATE OR REPLACE FUNCTION forbid() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'proef'; \
                 END $$; CREATE TRIGGER forbidden BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION forbid()"
            )
        };
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut self.beside().await).await.unwrap();
    }

    pub(super) async fn allow(&self, table: &str) {
        let on = if self.access.engine() == super::engine::Engine::Sqlite { "" } else { " ON " };
        let table = if on.is_empty() { "" } else { table };
        let statement = format!("DROP TRIGGER forbidden{on}{table}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut self.beside().await).await.unwrap();
    }

    /// Any statement.
    pub(super) async fn any(&self, statement: String) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut self.beside().await).await.unwrap();
    }

    /// These bytes as this engine writes them.
    pub(super) fn bytes_of(&self, text: &str) -> String {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        if self.access.engine() == super::engine::Engine::Sqlite { format!("X'{hex}'") } else { format!("'\\x{hex}'") }
    }

    /// All that a table holds, with what disclosures in it hold.
    pub(super) async fn text_of(&self, table: &str) -> String {
        let whole = if self.access.engine() == super::engine::Engine::Sqlite {
            let columns = format!("SELECT group_concat(name, ' || '' '' || ') FROM pragma_table_info('{table}')");
            let row = sqlx::query(sqlx::AssertSqlSafe(columns)).fetch_one(&mut self.beside().await).await.unwrap();
            let columns: String = sqlx::Row::get(&row, 0);
            let columns: Vec<String> =
                columns.split(" || ' ' || ").map(|name| format!("COALESCE(CAST({name} AS TEXT), '')")).collect();
            format!("SELECT COALESCE(group_concat({}), '') FROM {table}", columns.join(" || ' ' || "))
        } else {
            format!("SELECT COALESCE(string_agg(t::text, ' '), '') FROM {table} t")
        };
        let row = sqlx::query(sqlx::AssertSqlSafe(whole)).fetch_one(&mut self.beside().await).await.unwrap();
        sqlx::Row::get(&row, 0)
    }

    /// Events, without the one of the first start.
    pub(super) async fn events(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM audit_event WHERE method <> 'hub/Start'").await
    }
}

/// The PostgreSQL of these tests.
pub(super) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start().unwrap())
}

macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Engine::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Engine::postgres()).await;
            })+
        }
    };
}

pub(super) use on_every_engine;

on_every_engine!(
    a_change_that_was_not_named_is_a_fault,
    a_commit_holds_its_effect_and_its_event,
    an_inbox_has_no_gaps_whatever_node_fills_it,
    of_equal_requests_at_once_one_is_carried_out,
    a_refusal_is_an_event_and_no_effect,
    a_node_that_is_gone_is_forgotten,
    a_request_id_is_remembered_until_it_is_forgotten,
    an_inbox_has_no_gaps_under_concurrency,
    facts_that_changed_are_noticed,
    neighbours_of_a_failing_unit_are_committed,
    who_no_longer_listens_is_served_all_the_same,
    work_that_changes_its_mind_leaves_nothing,
);

const OIN: &str = "00000099100001410000";

pub(super) fn office() -> Ground {
    Admitted::by_configuration().office()
}

fn draft() -> Draft {
    Draft { method: "sluis.v1.Inbox/AcknowledgeInbox", organisation: OIN.to_owned(), ..Draft::default() }
}

fn item(oin: &str) -> NewItem {
    let (case_id, record_id, role) = (None, None, String::new());
    NewItem { oin: oin.to_owned(), case_id, record_id, role, message: Vec::new(), at: 1 }
}

/// How a [`Push`] ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    Stale,
    Refused,
    Conflict,
}

/// Puts an item in the inbox, then ends as it is told.
struct Push(End);

impl Work for Push {
    type Output = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        inbox::push(tx, item(OIN));
        match self.0 {
            End::Good => Ok(((), draft())),
            End::Stale => Err(WorkError::Stale),
            End::Refused => Err(WorkError::Refused(Refusal::precondition("proef"))),
            End::Conflict => Err(StoreError::Conflict.into()),
        }
    }
}

async fn places(store: &Store) -> Vec<i64> {
    let mut reader = store.read().await.unwrap();
    inbox::after(&mut reader, OIN, 0, 1000).await.unwrap().iter().map(|item| item.seq).collect()
}

async fn a_commit_holds_its_effect_and_its_event(engine: Engine) {
    let store = engine.open().await.unwrap();
    let mut wakes = store.wakes();
    let committed = store.run_tx(office(), Push(End::Good)).await.unwrap();
    // A node that begins to listen is told first that anything may have changed.
    while wakes.recv().await.unwrap() != Wake::Inbox(OIN.to_owned()) {}
    drop(store);
    let again = engine.open().await.unwrap();
    assert_eq!(places(&again).await, [1]);
    let mut reader = again.read().await.unwrap();
    let filter = search::Filter { event_id: Some(committed.event_id), limit: 10, ..search::Filter::default() };
    let lines = search::select(&mut reader, &filter).await.unwrap();
    assert_eq!((lines.len(), lines[0].outcome.as_str(), lines[0].node.as_str()), (1, "allowed", "node-1"));
    assert_eq!(engine.count("SELECT COUNT(*) FROM audit_outbox").await, 2, "it and the first start wait for the tree");
}

async fn a_refusal_is_an_event_and_no_effect(engine: Engine) {
    let store = engine.open().await.unwrap();
    let event_id =
        store.refuse(&Refusal::denied(Reason::NotInvolved), draft(), Seen::default()).await.unwrap().event_id;
    let mut reader = store.read().await.unwrap();
    let filter = search::Filter { event_id: Some(event_id), limit: 10, ..search::Filter::default() };
    let lines = search::select(&mut reader, &filter).await.unwrap();
    assert_eq!((lines[0].outcome.as_str(), lines[0].reason.as_str()), ("refused", "NOT_INVOLVED"));
    assert_eq!(engine.count("SELECT COUNT(*) FROM inbox_item").await, 0);
}

async fn work_that_changes_its_mind_leaves_nothing(engine: Engine) {
    let store = engine.open().await.unwrap();
    assert!(matches!(store.run_tx(office(), Push(End::Stale)).await, Err(CommitError::Stale)));
    assert!(matches!(store.run_tx(office(), Push(End::Refused)).await, Err(CommitError::Refused(_))));
    let conflict = store.run_tx(office(), Push(End::Conflict)).await;
    assert!(matches!(conflict, Err(CommitError::Store(StoreError::Conflict))));
    assert_eq!((places(&store).await, engine.events().await), (vec![], 0));
    store.run_tx(office(), Push(End::Good)).await.unwrap();
    assert_eq!(places(&store).await, [1], "the place was not used up");
}

/// Starts `count` units at once, so that they meet in groups.
pub(super) async fn at_once<F: Future<Output = R> + Send + 'static, R: Send + 'static>(
    count: usize,
    unit: impl Fn(usize) -> F,
) -> Vec<R> {
    let tasks: tokio::task::JoinSet<R> = (0..count).map(unit).collect();
    tasks.join_all().await
}

async fn an_inbox_has_no_gaps_under_concurrency(engine: Engine) {
    let store = Arc::new(engine.open().await.unwrap());
    let push = |_| {
        let store = Arc::clone(&store);
        async move { store.run_tx(office(), Push(End::Good)).await.map(|_| ()) }
    };
    assert!(at_once(300, push).await.iter().all(Result::is_ok));
    assert_eq!(places(&store).await, (1..=300).collect::<Vec<i64>>());
    assert_eq!(engine.events().await, 300);
}

async fn neighbours_of_a_failing_unit_are_committed(engine: Engine) {
    let store = Arc::new(engine.open().await.unwrap());
    engine
        .run_in(
            "CREATE TRIGGER unlucky BEFORE INSERT ON audit_event WHEN NEW.user_ref = 'pechvogel' \
             BEGIN SELECT RAISE(ABORT, 'proef'); END",
            "CREATE FUNCTION unlucky() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'proef'; END $$; \
             CREATE TRIGGER unlucky BEFORE INSERT ON audit_event FOR EACH ROW \
             WHEN (NEW.user_ref = 'pechvogel') EXECUTE FUNCTION unlucky()",
        )
        .await;
    let unit = |nth: usize| {
        let store = Arc::clone(&store);
        async move {
            match nth % 4 {
                0 => store.run_tx(office(), Push(End::Stale)).await.is_ok(),
                1 => {
                    let unlucky = Draft { user_ref: "pechvogel".to_owned(), ..draft() };
                    store.refuse(&Refusal::denied(Reason::NotInvolved), unlucky, Seen::default()).await.is_ok()
                }
                _ => store.run_tx(office(), Push(End::Good)).await.is_ok(),
            }
        }
    };
    let good = at_once(200, unit).await.into_iter().filter(|good| *good).count();
    assert_eq!((good, engine.events().await), (100, 100));
    assert_eq!(places(&store).await, (1..=100).collect::<Vec<i64>>());
}

async fn who_no_longer_listens_is_served_all_the_same(engine: Engine) {
    let store = Arc::new(engine.open().await.unwrap());
    for _ in 0..20 {
        let store = Arc::clone(&store);
        let call = tokio::spawn(async move { store.run_tx(office(), Push(End::Good)).await.map(|_| ()) });
        tokio::task::yield_now().await;
        call.abort();
        drop(call.await);
    }
    store.run_tx(office(), Push(End::Good)).await.unwrap();
    let places = places(&store).await;
    assert_eq!(i64::try_from(places.len()).unwrap(), engine.events().await, "an effect for every event");
}

/// Registers a partner, if the registry is as it was seen.
struct Register(i64);

impl Work for Register {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen { registry: Some(self.0), changes: Changes::Registry, ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        let row = PartnerRow {
            oin: OIN.to_owned(),
            display_name: "Gemeente".to_owned(),
            kind: "gemeente".to_owned(),
            status: "active".to_owned(),
            standing_roles: String::new(),
            effective_at: 0,
            withdrawn_at: None,
            accepted_covenant: 0,
        };
        registry::put_partner(tx, &row).await?;
        Ok(((), draft()))
    }
}

async fn facts_that_changed_are_noticed(engine: Engine) {
    let store = Arc::new(engine.open().await.unwrap());
    let seen = registry::load(&mut store.read().await.unwrap()).await.unwrap().rev;
    let unit = |_| {
        let store = Arc::clone(&store);
        async move { store.run_tx(office(), Register(seen)).await.is_ok() }
    };
    let good = at_once(20, unit).await.into_iter().filter(|good| *good).count();
    assert_eq!((good, engine.events().await), (1, 1), "only the first saw what is");
}

/// Remembers a request.
struct Remember {
    key: Key,
    at: i64,
}

impl Work for Remember {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen { request: Some(self.key.clone()), ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        let remembered = Remembered {
            method: "proef".to_owned(),
            body_hash: vec![1],
            reply: vec![2],
            event_id: tx.event_id().to_owned(),
        };
        tx.remember(self.key.clone(), remembered, self.at);
        Ok(((), draft()))
    }
}

fn key(oin: &str, request_id: &str, since: i64) -> Key {
    Key { oin: oin.to_owned(), request_id: request_id.to_owned(), since }
}

async fn a_request_id_is_remembered_until_it_is_forgotten(engine: Engine) {
    let store = engine.open().await.unwrap();
    for (id, at, since, new) in
        [("a", 100, 0, true), ("b", 200, 0, true), ("a", 300, 0, false), ("a", 400, 150, true), ("b", 500, 150, false)]
    {
        let outcome = store.run_tx(office(), Remember { key: key(OIN, id, since), at }).await;
        assert!(if new { outcome.is_ok() } else { matches!(outcome, Err(CommitError::Repeated)) }, "{id} at {at}");
    }
    let mut reader = store.read().await.unwrap();
    assert!(request::find(&mut reader, &key(OIN, "a", 150)).await.unwrap().is_some());
    assert!(request::find(&mut reader, &key(OIN, "a", 401)).await.unwrap().is_none(), "too long ago");
    assert!(request::find(&mut reader, &key("00000099100001420000", "a", 0)).await.unwrap().is_none());
    request::forget(&mut session::Session::Server(engine.beside().await), 300).await.unwrap();
    assert_eq!(engine.count("SELECT COUNT(*) FROM request").await, 1);
}

async fn a_node_that_is_gone_is_forgotten(engine: Engine) {
    let store = engine.open().await.unwrap();
    let hours = |hours: i64| crate::clock::micros(crate::clock::SystemClock.now()) - hours * 3_600_000_000;
    let mut beside = engine.beside().await;
    for (node, at) in [("node-2", hours(23)), ("node-3", hours(25)), ("node-4", 0)] {
        let sign = sqlx::query("INSERT INTO node_sign (node, at) VALUES ($1, $2)").bind(node).bind(at);
        sign.execute(&mut beside).await.unwrap();
    }
    // What was committed proves enough; without it a sign is written.
    store.sign().await.unwrap();
    store.sign().await.unwrap();
    let rows = sqlx::query("SELECT node FROM node_sign ORDER BY node").fetch_all(&mut beside).await.unwrap();
    let nodes: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, 0)).collect();
    assert_eq!(nodes, ["node-1", "node-2"]);
}

async fn of_equal_requests_at_once_one_is_carried_out(engine: Engine) {
    let nodes = nodes(&engine).await;
    let unit = |nth: usize| {
        let node = Arc::clone(&nodes[nth % nodes.len()]);
        async move { node.run_tx(office(), Remember { key: key(OIN, "a", 0), at: 1 }).await.map(|_| ()) }
    };
    let outcomes = at_once(40, unit).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Err(CommitError::Repeated))).count(), 39);
    assert_eq!(engine.events().await, 1);
}

async fn a_change_that_was_not_named_is_a_fault(engine: Engine) {
    struct Unnamed;
    impl Work for Unnamed {
        type Output = ();
        async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
            registry::touch(tx).await?;
            Ok(((), draft()))
        }
    }
    let store = engine.open().await.unwrap();
    let outcome = store.run_tx(office(), Unnamed).await;
    assert!(matches!(outcome, Err(CommitError::Store(_))), "it held no lock");
    assert_eq!(engine.events().await, 0);
}

/// As many nodes as the engine takes.
async fn nodes(engine: &Engine) -> Vec<Arc<Store>> {
    let count = if engine.access.engine() == super::engine::Engine::Sqlite { 1 } else { 2 };
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Arc::new(engine.open().await.unwrap()));
    }
    nodes
}

async fn an_inbox_has_no_gaps_whatever_node_fills_it(engine: Engine) {
    struct Both;
    impl Work for Both {
        type Output = ();
        async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
            for oin in [OIN, "00000099100001420000"] {
                inbox::push(tx, item(oin));
            }
            inbox::acknowledge(tx, "00000099100001430000", 1);
            Ok(((), draft()))
        }
    }
    let nodes = nodes(&engine).await;
    let unit = |nth: usize| {
        let node = Arc::clone(&nodes[nth % nodes.len()]);
        async move { node.run_tx(office(), Both).await.map(|_| ()) }
    };
    assert!(at_once(300, unit).await.iter().all(Result::is_ok));
    assert_eq!(places(&nodes[0]).await, (1..=300).collect::<Vec<i64>>());
    assert_eq!(engine.events().await, 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hears_what_another_changed() {
    let engine = Engine::postgres();
    let (one, two) = (engine.open().await.unwrap(), engine.open().await.unwrap());
    let mut wakes = two.wakes();
    until_heard(&mut wakes, &one).await;
    // An ear that is lost is given back by itself, and what was said meanwhile may be anything.
    let mut hub = engine::connect(&engine.access.options().unwrap()).await.unwrap();
    let ears = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
                AND query LIKE 'LISTEN %'";
    let ears: i64 = sqlx::Row::get(&sqlx::query(ears).fetch_one(&mut hub).await.unwrap(), 0);
    assert_eq!(ears, 2);
    hear(&mut wakes, Wake::Anything).await;
    until_heard(&mut wakes, &one).await;
}

async fn hear(wakes: &mut broadcast::Receiver<Wake>, word: Wake) {
    let heard = async { while wakes.recv().await.unwrap() != word {} };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("nothing heard");
}

/// What is said before the other listens is lost; streams look again by themselves.
async fn until_heard(wakes: &mut broadcast::Receiver<Wake>, speaker: &Store) {
    let say = async {
        loop {
            speaker.run_tx(office(), Push(End::Good)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = hear(wakes, Wake::Inbox(OIN.to_owned())) => {}
        () = say => {}
    }
}
