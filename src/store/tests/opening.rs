//! Which databases a hub opens, and what it says of the others.

use super::super::*;
use super::{Engine, on_every_engine};
use crate::clock::SystemClock;

on_every_engine!(
    a_clock_behind_the_log_is_refused,
    a_schema_that_is_not_ours_is_refused,
    another_network_does_not_serve_here,
);

async fn a_schema_that_is_not_ours_is_refused(engine: Engine) {
    drop(engine.open().await.unwrap());
    drop(engine.open().await.expect("opening again changes nothing"));
    engine
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'later', TRUE, 'x', 0)",
        )
        .await;
    assert!(matches!(engine.open().await, Err(StoreError::Unfit(Unfit::Unknown(9999)))), "a newer version's store");
    engine.run("DELETE FROM _sqlx_migrations WHERE version = 9999").await;
    engine.run("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2").await;
    assert!(matches!(engine.open().await, Err(StoreError::Unfit(Unfit::HalfApplied(2)))));
    engine.run("UPDATE _sqlx_migrations SET success = TRUE, checksum = 'x' WHERE version = 2").await;
    assert!(matches!(engine.open().await, Err(StoreError::Unfit(Unfit::Unknown(2)))), "an edited migration");
    engine.run("DROP TABLE _sqlx_migrations").await;
    assert!(matches!(engine.open().await, Err(StoreError::Unfit(Unfit::NotOurs))), "somebody's tables");
}

async fn another_network_does_not_serve_here(engine: Engine) {
    let with = |version, hash: &str, key: &str| Deployment {
        covenant_version: version,
        covenant_hash: hash.to_owned(),
        keys: [key.to_owned()].into(),
    };
    let first = engine.open_as(&with(1, "a", "p1:x")).await.unwrap();
    let seen = registry::load(&mut first.read().await.unwrap()).await.unwrap();
    assert_eq!(seen.deployment, with(1, "a", "p1:x"));
    drop(first);
    for (other, why) in [
        (with(1, "b", "p1:x"), Unfit::OtherCovenant),
        (with(1, "a", "p1:y"), Unfit::OtherKeys),
        (with(0, "0", "p1:x"), Unfit::OlderCovenant(1)),
    ] {
        match engine.open_as(&other).await {
            Err(StoreError::Unfit(unfit)) => assert_eq!(unfit, why),
            other => panic!("{:?}", other.err()),
        }
    }
    let newer = engine.open_as(&with(2, "b", "p1:x")).await.unwrap();
    let now = registry::load(&mut newer.read().await.unwrap()).await.unwrap();
    assert_eq!((now.deployment.covenant_version, now.rev), (2, seen.rev + 1), "older nodes notice");
}

async fn a_clock_behind_the_log_is_refused(engine: Engine) {
    struct Back(i64);
    impl Clock for Back {
        fn now(&self) -> time::OffsetDateTime {
            SystemClock.now() - time::Duration::seconds(self.0)
        }
    }
    drop(engine.open().await.unwrap());
    drop(engine.open_at(&Deployment::default(), Arc::new(Back(30))).await.unwrap());
    let behind = engine.open_at(&Deployment::default(), Arc::new(Back(3600))).await;
    assert!(matches!(behind, Err(StoreError::Unfit(Unfit::ClockBehind(3500..)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_has_one_hub() {
    let engine = Engine::sqlite();
    let _first = engine.open().await.unwrap();
    assert!(matches!(engine.open().await, Err(StoreError::Unfit(Unfit::InUse))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_database_is_not_ours() {
    let engine = Engine::sqlite();
    std::fs::write(engine.access.path().unwrap(), "iets heel anders, en lang genoeg om gelezen te worden".repeat(99))
        .unwrap();
    assert!(matches!(engine.open().await, Err(StoreError::Unfit(Unfit::NotOurs))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_to_another_engine_as_it_is() {
    let (file, server) = (Engine::sqlite(), Engine::postgres());
    let store = file.open().await.unwrap();
    let event =
        store.refuse(&Refusal::denied(crate::reason::Reason::NotInvolved), super::draft(), Seen::default()).await;
    let running = copy::copy(&file.access, &server.access).await;
    assert!(matches!(running, Err(StoreError::Unfit(Unfit::InUse))), "a hub runs on it");
    drop(store);
    let copied = copy::copy(&file.access, &server.access).await.unwrap();
    assert!(copied.contains(&("audit_event".to_owned(), 2)), "{copied:?}");
    assert!(check::check(&server.access).await.unwrap().findings.is_empty());
    let moved = server.open().await.unwrap();
    let filter = search::Filter { event_id: Some(event.unwrap().event_id), limit: 10, ..search::Filter::default() };
    assert_eq!(search::select(&mut moved.read().await.unwrap(), &filter).await.unwrap().len(), 1);
    let again = copy::copy(&file.access, &server.access).await;
    assert!(matches!(again, Err(StoreError::Unfit(Unfit::NotEmpty))));
    let backwards = copy::copy(&server.access, &file.access).await;
    assert!(matches!(backwards, Err(StoreError::Unfit(Unfit::Direction))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_make_one_schema() {
    let engine = Engine::postgres();
    let (one, two, three) = tokio::join!(engine.open(), engine.open(), engine.open());
    for opened in [one, two, three] {
        opened.map(drop).unwrap();
    }
    assert_eq!(engine.count("SELECT COUNT(*) FROM audit_event").await, 1, "one first start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hubs_role_cannot_change_the_log_or_the_schema() {
    let engine = Engine::postgres();
    drop(engine.open().await.unwrap());
    let mut hub = engine::connect(&engine.access.options().unwrap()).await.unwrap();
    for statement in [
        "UPDATE audit_event SET outcome = 'allowed'",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "UPDATE audit_event_party SET oin = ''",
        "DELETE FROM record",
        "UPDATE inbox_item SET seq = 0",
        "DROP TABLE audit_event",
        "CREATE TABLE elsewhere (a BIGINT)",
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
    ] {
        let refused = sqlx::query(statement).execute(&mut hub).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501", "{statement}");
    }
    let powerful = Engine { access: engine.owner.clone(), owner: engine.owner.clone(), _folder: None };
    assert!(matches!(powerful.open().await, Err(StoreError::Unfit(Unfit::TooPowerful))));
}
