//! What was erased goes from the files of the database, and from them alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::AnyConnection;

use super::super::copy::copy;
use super::super::erasure::Which;
use super::super::scrub::{Order, Right, Step, Waiting, scrub, waiting};
use super::super::{Access, Store, StoreError, Unfit, check, engine};
use super::finding::{Say, about, erase, marked, say};
use super::{Engine, OIN, at_once, office, on_every_engine, traces};
use crate::audit::{Draft, Group};
use crate::clock::SystemClock;
use crate::demo::postgres::Cluster;

on_every_engine!(an_erasure_waits_until_its_values_are_gone);

/// Files with something that was erased.
fn found_in(folder: &Path) -> Vec<(PathBuf, Vec<String>)> {
    traces::found_in(folder, &["merkteken"])
}

async fn scrubbed_as(access: &Access, force: bool) -> Result<Vec<Step>, StoreError> {
    let order = Order { force, patience: Duration::from_millis(500), clock: &SystemClock };
    let mut steps = Vec::new();
    let left = scrub(access, &order, &mut |step| steps.push(step)).await?;
    assert_eq!(left, steps.iter().filter(|step| step.is_left()).count());
    Ok(steps)
}

async fn scrubbed(engine: &Engine, force: bool) -> Vec<Step> {
    scrubbed_as(&engine.access, force).await.unwrap()
}

/// Tables that were written anew.
fn rewritten(steps: &[Step]) -> Vec<&'static str> {
    let table = |step: &Step| if let Step::Rewritten { table, .. } = step { Some(*table) } else { None };
    steps.iter().filter_map(table).collect()
}

const DAY: Duration = Duration::from_secs(24 * 3600);
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
        assert!(store.scrub().await.unwrap());
        assert_eq!(scrubbed(&engine, false).await, [Step::Waits], "emptying the write-ahead log is not enough");
        assert!(store.is_to_be_rewritten(DAY).await.unwrap());
        store.rewrite().await.unwrap();
        assert_eq!(scrubbed(&engine, false).await, [Step::Waits], "nor is what stands in the write-ahead log yet");
        assert!(store.scrub().await.unwrap());
        assert_eq!(scrubbed(&engine, false).await, [Step::SeenTo]);
        assert!(!store.is_to_be_rewritten(Duration::ZERO).await.unwrap(), "nothing was erased since");
    } else {
        assert!(store.scrub().await.unwrap());
        assert_eq!(waits(&store).await.erasures, 2, "a server's files are not the hub's");
        assert_eq!(left(&scrubbed(&engine, false).await), Vec::<&Step>::new());
    }
    assert_eq!(waits(&store).await, Waiting::default());
    erase_one(&store).await;
    assert!(!store.is_to_be_rewritten(DAY).await.unwrap(), "once a day");
    assert_eq!(store.is_to_be_rewritten(Duration::ZERO).await.unwrap(), is_file, "a server's never");
    store.close().await;
    drop(store);
    let steps = scrubbed(&engine, false).await;
    assert!(steps.contains(if is_file { &Step::Emptied } else { &Step::Checkpointed }), "{steps:?}");
    assert!(matches!(scrubbed(&engine, false).await[..], [Step::Unneeded(Some(_))]));
    if is_file {
        assert!(matches!(scrubbed(&engine, true).await[..], [Step::Anew { .. }, Step::Emptied]));
    }
    assert!(check::check(&engine.access).await.unwrap().findings.is_empty());
    if let Some(folder) = &engine._folder {
        assert_eq!(found_in(folder.path()), Vec::new());
    }
    engine.run("DELETE FROM audit_scrub").await;
    let findings = check::check(&engine.access).await.unwrap().findings;
    assert_eq!(findings[0].rule, "an erasure waits to be gone from the files too, or is");
}

/// Pages that split keep parts of rows where no row is, and nothing that is written over later reaches them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_leaves_every_page_of_a_large_file() {
    const EVENTS: usize = 24_000;
    const PART: usize = 500;
    let engine = Engine::sqlite();
    let folder = engine._folder.as_ref().unwrap().path();
    let store = Arc::new(engine.open().await.unwrap());
    let unit = |nth: usize| {
        let store = Arc::clone(&store);
        // Scattered over the indexes, and of many lengths.
        let (word, length) = (nth.wrapping_mul(0x9e37_79b9) % 4096, nth.wrapping_mul(7) % 60);
        let others = |what: &str| format!("{word:x}-{what}-{}", "y".repeat(length));
        let is_marked = nth.is_multiple_of(7);
        let name = |what: &str| if is_marked { format!("{word:x}-merkteken-{what}") } else { others(what) };
        let (subject, user_ref, trace_id, case_id) = (name("subject"), name("user"), name("trace"), Some(name("case")));
        let draft = if is_marked { marked() } else { about(OIN, "") };
        let draft = Draft { subject, user_ref, trace_id, case_id, ..draft };
        async move { store.run_tx(office(), Say(draft)).await.unwrap().event_id }
    };
    let write = async |part: usize| {
        let events = at_once(PART, |nth| {
            let unit = unit(part * PART + nth);
            async move { (nth, unit.await) }
        })
        .await;
        // Some are erased while others are still to come.
        let is_marked = |nth: &usize| (part * PART + nth).is_multiple_of(7);
        let erased: Vec<String> =
            events.into_iter().filter(|(nth, _)| is_marked(nth)).map(|(_, event)| event).collect();
        assert_eq!(erase(&store, &Which::Named(erased.clone()), &Group::ALL, None).await, erased.len());
    };
    // Which pages split, and where, is chance: more are written until something is left behind.
    let mut part = 0;
    while part < EVENTS / PART || found_in(folder).is_empty() {
        write(part).await;
        part += 1;
        assert!(part < 8 * EVENTS / PART, "the search finds what is there");
        if part >= EVENTS / PART {
            while store.grow().await.unwrap().more {}
            assert!(store.scrub().await.unwrap());
        }
    }
    assert_eq!(engine.count("SELECT COUNT(*) FROM audit_event WHERE subject LIKE '%merkteken%'").await, 0);

    // Commits and reads go on meanwhile.
    let reads = async {
        for _ in 0..50 {
            waits(&store).await;
        }
    };
    let (rewritten, commits, ()) = tokio::join!(store.rewrite(), at_once(200, |nth| unit(7 * nth + 1)), reads);
    rewritten.unwrap();
    assert_eq!(commits.len(), 200);
    assert!(store.scrub().await.unwrap());
    assert_eq!(found_in(folder), Vec::new());
    assert_eq!(waits(&store).await, Waiting::default());
    assert!(check::check(&engine.access).await.unwrap().findings.is_empty());
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
    // Files that come free wait for their next use as they are, ahead of those in use.
    let recycles = "ALTER SYSTEM SET wal_recycle = on;\nSELECT pg_reload_conf()";
    cluster.sql("sluis", recycles).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.sql("sluis", "SELECT pg_switch_wal();\nCHECKPOINT").unwrap();
    assert!(!found_in(&cluster.data().join("pg_wal")).is_empty(), "also in its write-ahead log");

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
    assert_eq!(found_in(&cluster.data()), Vec::new(), "{steps:?}");
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
    assert_eq!(rights(&steps), [Right::Tables], "and no word of what the hub's role might be given");
    assert_eq!(rewritten(&steps), Vec::<&str>::new());
    let noted = sqlx::query("UPDATE audit_scrub SET gone_at = 1").execute(&mut session(&engine, &[]).await).await;
    assert!(noted.unwrap_err().to_string().contains("permission denied"), "the hub can't say that it is gone");

    // What an owner may not that nobody gave anything: the rest is done, and is not done again.
    let row = sqlx::query("SELECT CAST(current_database() AS TEXT)").fetch_one(&mut engine.beside().await).await;
    let database: String = sqlx::Row::get(&row.unwrap(), 0);
    let more = format!(
        "REVOKE EXECUTE ON FUNCTION pg_switch_wal(), pg_ls_waldir() FROM sluis_owner;\nREVOKE pg_checkpoint FROM sluis_owner;\nALTER DATABASE {database} OWNER TO postgres;\nGRANT CONNECT ON DATABASE {database} TO sluis_owner"
    );
    cluster.sql(&database, &more).unwrap();
    let steps = scrubbed(&engine, false).await;
    assert_eq!(rights(&steps), [Right::Statistics, Right::Switch, Right::Checkpoint, Right::Files]);
    assert_eq!(rewritten(&steps), ALL[..3]);
    assert_eq!(waits(&store).await.erasures, 1);
    let more = format!(
        "GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_ls_waldir() TO sluis_owner;\nGRANT pg_checkpoint TO sluis_owner;\nALTER DATABASE {database} OWNER TO sluis_owner"
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
    let settings = "ALTER SYSTEM SET wal_keep_size = '64MB';\nSELECT pg_reload_conf();\n\
                    SELECT pg_create_physical_replication_slot('proef', true)";
    cluster.sql("sluis", settings).unwrap();
    erase_one(&store).await;
    let mut other = engine.beside().await;
    sqlx::query("SELECT 1 FROM pg_advisory_lock(7310583320661)").execute(&mut other).await.unwrap();
    let second = scrubbed_as(&engine.access, false).await;
    assert!(matches!(second, Err(StoreError::Unfit(Unfit::Scrubbing))), "{second:?}");
    drop(other);
    let steps = scrubbed(&engine, false).await;
    assert!(
        matches!(left(&steps)[..], [Step::Older(_), Step::Kept(size), Step::Slot(slot)] if size == "64MB" && slot == "proef"),
        "{steps:?}"
    );
    assert_eq!((rewritten(&steps), waits(&store).await.erasures), (ALL.to_vec(), 1));
    assert!(!found_in(&cluster.data()).is_empty());
    // The next run knows that something was left.
    let settings =
        "ALTER SYSTEM RESET wal_keep_size;\nSELECT pg_reload_conf();\nSELECT pg_drop_replication_slot('proef')";
    cluster.sql("sluis", settings).unwrap();
    let steps = scrubbed(&engine, false).await;
    assert_eq!((rewritten(&steps), left(&steps)), (ALL[3..].to_vec(), vec![]), "{steps:?}");
    assert_eq!((found_in(&cluster.data()), waits(&store).await), (Vec::new(), Waiting::default()));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made_by_looking_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let access = Access::new(&format!("sqlite:{}", path.display()), None).unwrap();
    let server = Access::new("postgres://sluis@localhost/sluis", None).unwrap();
    let found = [
        check::check(&access).await.map(|_| ()),
        scrubbed_as(&access, false).await.map(|_| ()),
        copy(&access, &server).await.map(|_| ()),
    ];
    for found in found {
        let error = found.unwrap_err();
        assert!(
            matches!(&error, StoreError::Unfit(Unfit::NoFile(name)) if *name == path.display().to_string()),
            "{error}"
        );
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
