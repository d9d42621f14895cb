//! The store behind a hub: what meets in one case at one moment, and what a user of the library can do with a store.
//! Without the ground that only the hub's own decision gives, nothing is committed, so the rest is in `src/store/tests.rs`.

use std::sync::Arc;

use sluis::api::v1;
use sluis::audit::Draft;
use sluis::clock::SystemClock;
use sluis::ground::Refusal;
use sluis::reason::Reason;
use sluis::store::{Access, Deployment, Opening, Seen, Store};

use crate::direct::{Players, consent};
use crate::network::Network;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_can_be_written_from_outside_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let access = Access::new(&format!("sqlite:{}", folder.path().join("store.db").display()), None).unwrap();
    let (node, clock, deployment) = ("node-1".to_owned(), Arc::new(SystemClock), Deployment::default());
    let store = Store::open(Opening { access, node, clock, simulated: false, deployment }).await.unwrap();
    let draft = Draft { method: "proef", ..Draft::default() };
    let event = store.refuse(&Refusal::denied(Reason::NotInvolved), draft, Seen::default()).await.unwrap().event_id;
    assert_eq!(uuid::Uuid::parse_str(&event).unwrap().get_version_num(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_of_one_case_at_once_are_all_made() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let case = players.gemeente.refer(None).await.unwrap().message.name;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let client = players.gemeente.client().clone();
        let request = consent(&case, &["13"], &[v1::Category::C06], &[v1::Role::R05]);
        calls.spawn(async move { client.call::<_, v1::Consent>("Consents/RecordConsent", &request).await });
    }
    for reply in calls.join_all().await {
        reply.unwrap();
    }
    let database = network.database().await;
    assert_eq!(database.number("SELECT COUNT(*) FROM consent").await, 24);
    assert_eq!(database.number("SELECT rev FROM case_file").await, 25);
    network.holds_together().await;
}
