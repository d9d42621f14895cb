//! What was erased goes from the files of the database, and from them alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::AnyConnection;

use super::super::erasure::Which;
use super::super::scrub::{Order, Right, Step, Waiting, scrub, waiting};
use super::super::{Access, Store, StoreError, Unfit, check, engine};
use super::finding::{erase, marked, say};
use super::{Engine, on_every_engine};
use crate::audit::Group;
use crate::clock::SystemClock;
use crate::demo::postgres::Cluster;

on_every_engine!(an_erasure_waits_until_its_values_are_gone);

/// Files with something that was erased.
fn found_in(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains("merkteken") {
                found.push(path);
            }
        }
    }
    found
}

async fn scrubbed_as(access: &Access, force: bool) -> Result<Vec<Step>, StoreError> {
    let order = Order { force, patience: Duration::from_millis(500), clock: &SystemClock };
    let mut steps = Vec::new();
    scrub(access, &order, &mut steps).await.map(|()| steps)
}

async fn scrubbed(engine: &Engine, force: bool) -> Vec<Step> {
    scrubbed_as(&engine.access, force).await.unwrap()
}

/// Tables that were written anew.
fn rewritten(steps: &[Step]) -> Vec<&'static str> {
    let table = |step: &Step| if let Step::Rewritten { table, .. } = step { Some(*table) } else { None };
    steps.iter().filter_map(table).collect()
}

const ALL: [&str; 4] = ["audit_event", "audit_event_party", "audit_event_listed", "pg_statistic"];

fn left(steps: &[Step]) -> Vec<&Step> {
    steps.iter().filter(|step| step.is_left()).collect()
}

async fn waits(store: &Store) -> Waiting {
    waiting(&mut store.read().await.unwrap()).await.unwrap()
}

async fn erase_one(store: &Store) {
    let event = say(store, marked()).await;
    assert_eq!(erase(store, &Which::Named(vec![event]), &Group::ALL, None).await, 1);
}

/// A session of the hub's role, in which this was done.
async fn session(engine: &Engine, statements: &[&'static str]) -> AnyConnection {
    let mut conn = engine::connect(&engine.access.options().unwrap()).await.unwrap();
    for statement in statements {
        sqlx::query(*statement).execute(&mut conn).await.unwrap();
    }
    conn
}

async fn an_erasure_waits_until_its_values_are_gone(engine: Engine) {
    let store = engine.open().await.unwrap();
    assert_eq!(waits(&store).await, Waiting::default());
    let before = crate::clock::micros(crate::clock::Clock::now(&SystemClock));
    erase_one(&store).await;
    let first = waits(&store).await;
    assert!(first.erasures == 1 && first.oldest.unwrap() >= before, "{first:?}");
    erase_one(&store).await;
    assert_eq!(waits(&store).await, Waiting { erasures: 2, ..first }, "the oldest counts");
    let is_file = engine._folder.is_some();
    if is_file {
        // The hub that has the file open does it.
        assert_eq!(scrubbed(&engine, false).await, [Step::Waits]);
        assert!(store.scrub().await.unwrap());
        assert_eq!(scrubbed(&engine, false).await, [Step::SeenTo]);
    } else {
        assert!(store.scrub().await.unwrap());
        assert_eq!(waits(&store).await.erasures, 2, "a server's files are not the hub's");
        assert_eq!(left(&scrubbed(&engine, false).await), Vec::<&Step>::new());
    }
    assert_eq!(waits(&store).await, Waiting::default());
    erase_one(&store).await;
    store.close().await;
    drop(store);
    let steps = scrubbed(&engine, false).await;
    assert!(steps.contains(if is_file { &Step::Emptied } else { &Step::Checkpointed }), "{steps:?}");
    assert!(check::check(&engine.access).await.unwrap().findings.is_empty());
    if let Some(folder) = &engine._folder {
        assert_eq!(found_in(folder.path()), Vec::<PathBuf>::new());
    }
    engine.run("DELETE FROM audit_scrub").await;
    let findings = check::check(&engine.access).await.unwrap().findings;
    assert_eq!(findings[0].rule, "an erasure waits to be gone from the files too, or is");
}

/// No page of the server has it then, and not its write-ahead log; and a hub has the database open all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_leaves_the_files_of_a_server_too() {
    let cluster = Cluster::start().unwrap();
    let engine = Engine::on(&cluster);
    let store = engine.open().await.unwrap();
    assert_eq!(scrubbed(&engine, false).await, [Step::Unneeded(None)]);
    let event = say(&store, marked()).await;
    engine.run("ANALYZE audit_event").await;
    let reads = session(&engine, &["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM node_sign"]).await;
    assert_eq!(erase(&store, &Which::Named(vec![event]), &Group::ALL, None).await, 1);
    assert!(!found_in(&cluster.data()).is_empty(), "the search finds what is there");

    // Whoever read it before still may: it would be copied.
    let steps = scrubbed(&engine, false).await;
    assert!(matches!(&steps[..], [Step::Held(by)] if by.ends_with(" of sluis_hub")), "{steps:?}");
    drop(reads);
    // Who waits for a lock makes the hub wait: not for long.
    let locks = session(&engine, &["BEGIN", "SELECT 1 FROM audit_event LIMIT 1"]).await;
    assert_eq!(scrubbed(&engine, false).await, [Step::InUse("audit_event")]);
    drop(locks);
    assert_eq!(waits(&store).await.erasures, 1);

    let steps = scrubbed(&engine, false).await;
    assert_eq!(found_in(&cluster.data()), Vec::<PathBuf>::new(), "{steps:?}");
    assert_eq!((rewritten(&steps), left(&steps)), (ALL.to_vec(), vec![]), "{steps:?}");
    assert_eq!(waits(&store).await, Waiting::default());
    assert!(matches!(scrubbed(&engine, false).await[..], [Step::Unneeded(Some(_))]));
    assert_eq!(rewritten(&scrubbed(&engine, true).await), ALL);
    assert!(check::check(&engine.access).await.unwrap().findings.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_is_told_what_it_lacks() {
    let cluster = Cluster::start().unwrap();
    let engine = Engine::on(&cluster);
    let store = engine.open().await.unwrap();
    erase_one(&store).await;
    let rights = |steps: &[Step]| -> Vec<Right> {
        let right = |step: &Step| if let Step::Forbidden { right, .. } = step { Some(*right) } else { None };
        steps.iter().filter_map(right).collect()
    };
    let own = engine.access.url().to_owned();
    let hub = Access::new(&own, None).unwrap();
    let none = scrubbed_as(&hub, false).await;
    assert!(matches!(none, Err(StoreError::Unfit(Unfit::NoOwnerToScrub))), "{none:?}");
    let steps = scrubbed_as(&hub.with_owner(&own, None).unwrap(), false).await.unwrap();
    assert_eq!(rights(&steps), [Right::Tables, Right::Statistics, Right::Switch, Right::Checkpoint]);
    assert_eq!(rewritten(&steps), Vec::<&str>::new());
    let noted = sqlx::query("UPDATE audit_scrub SET gone_at = 1").execute(&mut session(&engine, &[]).await).await;
    assert!(noted.unwrap_err().to_string().contains("permission denied"), "the hub can't say that it is gone");

    // What an owner may not that nobody gave anything: the rest is done, and is not done again.
    let row = sqlx::query("SELECT CAST(current_database() AS TEXT)").fetch_one(&mut engine.beside().await).await;
    let database: String = sqlx::Row::get(&row.unwrap(), 0);
    let more = format!(
        "REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM sluis_owner;\nREVOKE pg_checkpoint FROM sluis_owner;\nALTER DATABASE {database} OWNER TO postgres;\nGRANT CONNECT ON DATABASE {database} TO sluis_owner"
    );
    cluster.sql(&database, &more).unwrap();
    let steps = scrubbed(&engine, false).await;
    assert_eq!(rights(&steps), [Right::Statistics, Right::Switch, Right::Checkpoint]);
    assert_eq!(rewritten(&steps), ALL[..3]);
    assert_eq!(waits(&store).await.erasures, 1);
    let more = format!(
        "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO sluis_owner;\nGRANT pg_checkpoint TO sluis_owner;\nALTER DATABASE {database} OWNER TO sluis_owner"
    );
    cluster.sql(&database, &more).unwrap();
    let steps = scrubbed(&engine, false).await;
    assert_eq!((rewritten(&steps), left(&steps)), (vec!["pg_statistic"], vec![]), "{steps:?}");
    assert_eq!(waits(&store).await, Waiting::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_the_write_ahead_log_is_named() {
    let cluster = Cluster::start().unwrap();
    let engine = Engine::on(&cluster);
    let store = engine.open().await.unwrap();
    let settings = "ALTER SYSTEM SET wal_recycle = on;\nALTER SYSTEM SET wal_keep_size = '64MB';\nSELECT pg_reload_conf();\n\
                    SELECT pg_create_physical_replication_slot('proef', true)";
    cluster.sql("sluis", settings).unwrap();
    erase_one(&store).await;
    let mut other = engine.beside().await;
    sqlx::query("SELECT 1 FROM pg_advisory_lock(7310583320661)").execute(&mut other).await.unwrap();
    let second = scrubbed_as(&engine.access, false).await;
    assert!(matches!(second, Err(StoreError::Unfit(Unfit::Scrubbing))), "{second:?}");
    drop(other);
    let steps = scrubbed(&engine, false).await;
    let kept = [Step::Recycled, Step::Kept("64MB".to_owned()), Step::Slot("proef".to_owned())];
    assert_eq!((rewritten(&steps), left(&steps)), (ALL.to_vec(), kept.iter().collect()));
    assert_eq!(waits(&store).await, Waiting::default(), "that is the server's to decide");
}
