//! The store on every engine: each test is one function of an engine, run once per engine.

use std::future::Future;

use super::inbox::{self, NewItem};
use super::registry::{self, PartnerRow};
use super::request::{self, Remembered};
use super::*;
use crate::clock::SystemClock;
use crate::method::Admitted;
use crate::reason::Reason;

/// A database of our own.
struct Engine {
    url: String,
    _folder: tempfile::TempDir,
}

impl Engine {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: format!("sqlite:{}", folder.path().join("store.db").display()), _folder: folder }
    }

    async fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.url, "node-1", Arc::new(SystemClock)).await
    }

    /// A connection beside the store's.
    async fn beside(&self) -> AnyPool {
        schema::options(1).connect(&schema::url(&self.url)).await.unwrap()
    }

    async fn run(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.beside().await).await.unwrap();
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::Row::get(&sqlx::query(query).fetch_one(&self.beside().await).await.unwrap(), 0)
    }

    async fn events(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM audit_event").await
    }
}

macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Engine::sqlite()).await;
            })+
        }
    };
}

on_every_engine!(
    a_commit_holds_its_effect_and_its_event,
    a_refusal_is_an_event_and_no_effect,
    a_request_id_is_remembered_until_it_is_forgotten,
    an_inbox_has_no_gaps_under_concurrency,
    a_schema_that_is_not_ours_is_refused,
    facts_that_changed_are_noticed,
    neighbours_of_a_failing_unit_are_committed,
    who_no_longer_listens_is_served_all_the_same,
    work_that_changes_its_mind_leaves_nothing,
);

const OIN: &str = "00000099100001410000";

fn office() -> Ground {
    Admitted::by_configuration().office()
}

fn draft() -> Draft {
    Draft { method: "sluis.v1.Inbox/AcknowledgeInbox", organisation: OIN.to_owned(), ..Draft::default() }
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
        let item = NewItem { oin: OIN, case_id: None, record_id: None, role: "", message: Vec::new(), at: 1 };
        inbox::push(tx, item).await?;
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
    assert_eq!(wakes.recv().await.unwrap(), Wake::Inbox(OIN.to_owned()));
    drop(store);
    let again = engine.open().await.unwrap();
    assert_eq!(places(&again).await, [1]);
    let mut reader = again.read().await.unwrap();
    let filter = event::Filter { event_id: Some(committed.event_id), limit: 10, ..event::Filter::default() };
    let lines = event::select(&mut reader, &filter).await.unwrap();
    assert_eq!((lines.len(), lines[0].outcome.as_str(), lines[0].node.as_str()), (1, "allowed", "node-1"));
    assert_eq!(engine.count("SELECT COUNT(*) FROM audit_outbox").await, 1, "and waits for the log's tree");
}

async fn a_refusal_is_an_event_and_no_effect(engine: Engine) {
    let store = engine.open().await.unwrap();
    let event_id = store.refuse(&Refusal::denied(Reason::NotInvolved), draft()).await.unwrap();
    let mut reader = store.read().await.unwrap();
    let filter = event::Filter { event_id: Some(event_id), limit: 10, ..event::Filter::default() };
    let lines = event::select(&mut reader, &filter).await.unwrap();
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
async fn at_once<F: Future<Output = R> + Send + 'static, R: Send + 'static>(
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
        .run(
            "CREATE TRIGGER unlucky BEFORE INSERT ON audit_event WHEN NEW.user_ref = 'pechvogel' \
             BEGIN SELECT RAISE(ABORT, 'proef'); END",
        )
        .await;
    let unit = |nth: usize| {
        let store = Arc::clone(&store);
        async move {
            match nth % 4 {
                0 => store.run_tx(office(), Push(End::Stale)).await.is_ok(),
                1 => {
                    let unlucky = Draft { user_ref: "pechvogel".to_owned(), ..draft() };
                    store.refuse(&Refusal::denied(Reason::NotInvolved), unlucky).await.is_ok()
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

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        registry::check_rev(tx, self.0).await?;
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

/// Remembers a request, after forgetting what is older than a moment.
struct Remember {
    id: &'static str,
    at: i64,
    forget: i64,
}

impl Work for Remember {
    type Output = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(bool, Draft), WorkError> {
        request::forget(tx, self.forget).await?;
        let remembered = Remembered {
            method: "proef".to_owned(),
            body_hash: vec![1],
            reply: vec![2],
            event_id: tx.event_id().to_owned(),
        };
        Ok((request::remember(tx, OIN, self.id, &remembered, self.at, self.forget).await?, draft()))
    }
}

async fn a_request_id_is_remembered_until_it_is_forgotten(engine: Engine) {
    let store = engine.open().await.unwrap();
    for (id, at, forget, new) in
        [("a", 100, 0, true), ("b", 200, 0, true), ("a", 300, 0, false), ("a", 400, 150, true), ("b", 500, 150, false)]
    {
        let committed = store.run_tx(office(), Remember { id, at, forget }).await.unwrap();
        assert_eq!(committed.output, new, "{id} at {at}");
    }
    let mut reader = store.read().await.unwrap();
    assert!(request::find(&mut reader, OIN, "a", 150).await.unwrap().is_some());
    assert!(request::find(&mut reader, OIN, "a", 401).await.unwrap().is_none(), "too long ago");
    assert!(request::find(&mut reader, "00000099100001420000", "a", 0).await.unwrap().is_none());
}

async fn a_schema_that_is_not_ours_is_refused(engine: Engine) {
    drop(engine.open().await.unwrap());
    drop(engine.open().await.expect("opening again changes nothing"));
    engine.run("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await;
    assert!(matches!(engine.open().await, Err(StoreError::Schema(_))), "an edited migration");
    let newer = Engine::sqlite();
    drop(newer.open().await.unwrap());
    newer
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'later', TRUE, x'00', 0)",
        )
        .await;
    assert!(matches!(newer.open().await, Err(StoreError::Schema(_))), "a newer version's store");
}
