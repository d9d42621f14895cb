//! The caller's deadline holds at the hub itself, whatever the caller's own library does.

use std::time::{Duration, Instant};

use sluis::api::v1;

use crate::direct::{AANMELDING, FASE, Players, regime, subject};
use crate::network::{Network, id, is_postgres};
use crate::raw::Raw;

const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_cannot_be_read_is_refused() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let database = network.database().await;
    let mut raw = Raw::connect(&network, &players.gemeente.holder, 1 << 20).await;
    for (nth, timeout) in ["soon", "", "1", "1s", "-1S", "100000000S"].into_iter().enumerate() {
        let (stream, before) = (2 * u32::try_from(nth).unwrap() + 1, database.events().await);
        raw.open(stream, "Directory/ListPartners", &[("grpc-timeout", timeout)]).await;
        raw.send(stream, &v1::ListPartnersRequest::default()).await;
        assert_eq!(raw.status(stream).await, INVALID_ARGUMENT, "{timeout:?}");
        assert_eq!(database.events().await, before + 1, "{timeout:?}: the refusal has its event");
    }
    raw.open(21, "Directory/ListPartners", &[("grpc-timeout", "20S")]).await;
    raw.send(21, &v1::ListPartnersRequest::default()).await;
    assert_eq!(raw.status(21).await, 0);
    raw.open(23, "Directory/ListPartners", &[("grpc-timeout", "20S"), ("grpc-timeout", "20S")]).await;
    raw.send(23, &v1::ListPartnersRequest::default()).await;
    assert_eq!(raw.status(23).await, INVALID_ARGUMENT, "two deadlines are none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_deadline_ends_calls_and_streams() {
    let network = Network::start_with(", calls = 64, calls_per_partner = 4").await;
    let players = Players::join(&network).await;
    let database = network.database().await;
    let mut raw = Raw::connect(&network, &players.gemeente.holder, 1 << 20).await;
    let before = database.events().await;
    // An upload that is never gone on with, of which the method's own deadline would allow five minutes.
    for stream in [1, 3, 5] {
        let start = Instant::now();
        raw.open(stream, "Records/PublishRecord", &[("grpc-timeout", "200m")]).await;
        assert_eq!(raw.status(stream).await, DEADLINE_EXCEEDED);
        assert!(start.elapsed() >= Duration::from_millis(200));
    }
    assert_eq!(database.events().await, before, "nothing was done, so there is no event");
    for stream in [7, 9] {
        let start = Instant::now();
        raw.open(stream, "Inbox/StreamInbox", &[("grpc-timeout", "300m")]).await;
        let context = FASE.context();
        raw.send(stream, &v1::StreamInboxRequest { context, cursor: String::new(), drain: false }).await;
        assert_eq!(raw.status(stream).await, DEADLINE_EXCEEDED);
        assert!(start.elapsed() >= Duration::from_millis(300));
    }
    // What comes too late is not begun.
    raw.open(11, "Directory/ListPartners", &[("grpc-timeout", "0n")]).await;
    assert_eq!(raw.status(11).await, DEADLINE_EXCEEDED);
    assert_eq!(database.events().await, before + 2, "opening a stream has its event");
}

/// What an expired deadline means: a commit that was under way is finished, and the same request id tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_outlasts_the_deadline_counts_once() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let gemeente = &players.gemeente;
    let request = v1::ReferCaseRequest {
        request_id: id(),
        context: AANMELDING.context(),
        subject: subject(None),
        regime: regime(),
        holder: String::new(),
    };
    let mut raw = Raw::connect(&network, &gemeente.holder, 1 << 20).await;
    let (lock, database) = (network.database().await, network.database().await);
    lock.run(if is_postgres() { "BEGIN; LOCK TABLE audit_event IN SHARE MODE" } else { "BEGIN IMMEDIATE" }).await;
    raw.open(1, "Cases/ReferCase", &[("grpc-timeout", "500m")]).await;
    raw.send(1, &request).await;
    assert_eq!(raw.status(1).await, DEADLINE_EXCEEDED);
    lock.run("ROLLBACK").await;
    let again = gemeente.client().call::<_, v1::Case>("Cases/ReferCase", &request).await.unwrap();
    assert!(!again.message.name.is_empty());
    assert_eq!(database.number("SELECT COUNT(*) FROM case_file").await, 1);
}
