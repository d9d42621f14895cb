//! Too much at a time: who presses in is told so, others are served, and what is slow or dead costs little.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message as _;
use sluis::api::v1;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::calls::{event_of, reason};
use crate::direct::{FASE, Players};
use crate::network::{ANDERE_GEMEENTE, Network, Party, id};
use crate::raw::{Came, Raw};

/// Generous: only a hub that does not do it at all takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

async fn list(party: &Party) -> Result<(), Status> {
    let request = v1::ListPartnersRequest::default();
    party.client().call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.map(|_| ())
}

/// What those heard who were turned away.
type Heard = Arc<Mutex<Vec<Status>>>;

/// An upload that is begun and not gone on with, until the set is dropped.
fn hang(uploads: &mut JoinSet<()>, party: &Party, heard: &Heard) {
    let (client, heard) = (party.client().clone(), Arc::clone(heard));
    uploads.spawn(async move {
        loop {
            let nothing = tokio_stream::pending::<Vec<u8>>();
            let refused = client.open("/sluis.v1.Records/PublishRecord", nothing).await.map(|_| ()).unwrap_err();
            heard.lock().unwrap().push(refused);
        }
    });
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_floods_leaves_others_served() {
    let network = Network::start_with(", calls = 64, calls_per_partner = 8").await;
    let players = Players::join(&network).await;
    let (flooding, other) = (&players.gemeente, &players.aanbieder);
    let database = network.database().await;
    let overloads = "SELECT COUNT(*) FROM audit_event WHERE reason = 'RATE_LIMITED'";
    assert_eq!(database.number(overloads).await, 0);
    let (mut uploads, heard) = (JoinSet::new(), Heard::default());
    // A call with a record takes four of the eight places.
    hang(&mut uploads, flooding, &heard);
    hang(&mut uploads, flooding, &heard);
    until("the bound is reached", async || match list(flooding).await {
        Ok(()) => false,
        Err(status) => {
            heard.lock().unwrap().push(status);
            true
        }
    })
    .await;

    let mut crowd = JoinSet::new();
    for _ in 0..200 {
        let client = flooding.client().clone();
        crowd.spawn(async move {
            let request = v1::ListPartnersRequest::default();
            client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.map(|_| ())
        });
    }
    for _ in 0..50 {
        list(other).await.unwrap();
        other.inbox("").await.unwrap();
    }
    let crowd = crowd.join_all().await;
    heard.lock().unwrap().extend(crowd.into_iter().map(Result::unwrap_err));
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    for status in &heard {
        assert_eq!((status.code(), reason(status).as_deref()), (Code::ResourceExhausted, Some("RATE_LIMITED")));
        let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!((1..5).contains(&wait.as_secs()), "{wait:?}");
    }
    let named: Vec<String> = heard.iter().filter_map(event_of).collect();
    assert_eq!((named.len(), database.number(overloads).await), (1, 1), "one event for all of {}", heard.len());
    let (outcome, reason, oin) = database.event(&named[0]).await;
    assert_eq!(
        (outcome.as_str(), reason.as_str(), oin.as_str()),
        ("refused", "RATE_LIMITED", crate::network::GEMEENTE)
    );

    uploads.shutdown().await;
    until("places come back", async || list(flooding).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_have_a_bound_of_their_own() {
    let network = Network::start_with(", calls_per_partner = 8, streams_per_partner = 2").await;
    let players = Players::join(&network).await;
    let open = async |party: &Party| {
        let request = v1::StreamInboxRequest { context: FASE.context(), cursor: String::new(), drain: false };
        let messages = tokio_stream::once(request.encode_to_vec());
        party.client().open("/sluis.v1.Inbox/StreamInbox", messages).await.map(|(_, stream)| stream)
    };
    let first = open(&players.gemeente).await.unwrap();
    let _second = open(&players.gemeente).await.unwrap();
    let refused = open(&players.gemeente).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("RATE_LIMITED"));
    let _other = open(&players.aanbieder).await.unwrap();
    list(&players.gemeente).await.unwrap();
    drop(first);
    until("the place comes back", async || open(&players.gemeente).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_share_a_small_bound_and_crowd_out_nobody() {
    let network = Network::start().await;
    let partner = network.partner(crate::network::GEMEENTE, v1::OrganisationKind::Gemeente).await;
    // Both have certificates of the network; neither is registered, though one names a partner.
    let strangers =
        [network.certificate(ANDERE_GEMEENTE).await.client, network.certificate(crate::network::GEMEENTE).await.client];
    let database = network.database().await;
    let before = database.events().await;
    let mut crowd = JoinSet::new();
    for client in strangers.iter().cycle().take(200) {
        let client = client.clone();
        crowd.spawn(async move {
            let request = v1::ListPartnersRequest::default();
            client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.unwrap_err()
        });
    }
    for _ in 0..20 {
        list(&partner).await.unwrap();
    }
    let mut codes = Vec::new();
    for status in crowd.join_all().await {
        codes.push(status.code());
    }
    let turned_away = codes.iter().filter(|code| **code == Code::ResourceExhausted).count();
    let refused = codes.iter().filter(|code| **code == Code::Unauthenticated).count();
    assert_eq!(turned_away + refused, 200, "{codes:?}");
    assert!(turned_away > 0);
    let written = usize::try_from(database.events().await - before).unwrap();
    assert_eq!(written, 20 + refused + 1, "an event each, and one for all who were turned away");
}

/// Puts five hundred more items like the last into the gemeente's inbox.
const FILL: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) \
    INSERT INTO inbox_item (oin, seq, case_id, record_id, role, message, created_at) \
    SELECT oin, seq + i, case_id, record_id, role, message, created_at FROM inbox_item, n \
    WHERE oin = '00000099100001410000' AND seq = (SELECT MAX(seq) FROM inbox_item WHERE oin = '00000099100001410000'); \
    UPDATE inbox_head SET seq = seq + 500 WHERE oin = '00000099100001410000'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_loses_its_stream_and_slows_nobody() {
    let network = Network::start_with(", reader_seconds = 1").await;
    let players = Players::join(&network).await;
    let (slow, other) = (&players.gemeente, &players.aanbieder);
    slow.refer(None).await.unwrap();
    network.database().await.run(FILL).await;
    let mut raw = Raw::connect(&network, &slow.holder, 1024).await;
    raw.open(1, "Inbox/StreamInbox", &[]).await;
    raw.send(1, &v1::StreamInboxRequest { context: FASE.context(), cursor: String::new(), drain: false }).await;

    // Meanwhile others work, and put still more into the slow one's inbox.
    let request = |n: usize| v1::ReferCaseRequest {
        request_id: id(),
        context: crate::direct::AANMELDING.context(),
        subject: crate::direct::subject(None),
        regime: crate::direct::regime(),
        holder: if n.is_multiple_of(2) { String::new() } else { slow.name() },
    };
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < Duration::from_secs(3) {
        list(other).await.unwrap();
        slow.client().call::<_, v1::Case>("Cases/ReferCase", &request(done)).await.unwrap();
        done += 1;
    }
    assert!(done > 10, "{done}");

    // It takes again: what was on its way, and then why there is no more.
    raw.take(1, 1 << 20).await;
    let mut bytes = 0;
    let status = loop {
        match tokio::time::timeout(PATIENCE, raw.next(1)).await.expect("the stream ends") {
            Came::Data(length) => bytes += length,
            Came::Status(code) => break code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(status, 10, "ABORTED");
    let all = slow.inbox("").await.unwrap();
    let size: usize = all.iter().map(|item| item.encoded_len() + 5).sum();
    let on_the_way = bytes * all.len() / size;
    eprintln!("{on_the_way} of {} items were on their way", all.len());
    assert!(on_the_way < 350 && bytes < 1024 + 2 * (32 << 10), "{on_the_way} items, {bytes} bytes");
    let places: HashSet<_> = all.iter().map(|item| item.cursor.clone()).collect();
    assert!(places.len() == all.len() && all.len() > 500, "nothing is lost: it is all there again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_gives_no_sign_of_life_is_cut() {
    let network = Network::start_with(", keepalive_seconds = 1").await;
    let players = Players::join(&network).await;
    let dead = Raw::connect(&network, &players.gemeente.holder, 1024).await;
    let mut silent = Raw::connect(&network, &players.aanbieder.holder, 1024).await;
    silent.open(1, "Inbox/StreamInbox", &[]).await;
    silent.send(1, &v1::StreamInboxRequest { context: FASE.context(), cursor: String::new(), drain: false }).await;
    let alive = tokio::spawn(async move { silent.next(1).await });
    // Half-open: the other end acknowledges bytes at most, and answers no ping.
    tokio::time::timeout(PATIENCE, dead.until_cut()).await.expect("the dead connection is cut");
    assert!(!alive.is_finished(), "one that has nothing to say and answers stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_with_one_key_have_a_bound() {
    let network = Network::start_with(", connections_per_partner = 3").await;
    let partner = network.registered(crate::network::GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let other = network.registered(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    list(&partner).await.unwrap();
    let from = std::net::Ipv4Addr::LOCALHOST.into();
    let open = async || Raw::connect_from(&network, &partner.holder, 1024, from).await;
    let is_cut = async |connection: Option<Raw>, patience| match connection {
        Some(connection) => tokio::time::timeout(patience, connection.until_cut()).await.is_ok(),
        None => true,
    };
    let (second, third) = (open().await, open().await);
    assert!(is_cut(open().await, PATIENCE).await, "one too many is closed");
    list(&other).await.unwrap();
    list(&partner).await.unwrap();
    let soon = Duration::from_millis(500);
    assert!(!is_cut(second, soon).await, "those that are open stay");
    until("a place comes back", async || !is_cut(open().await, soon).await).await;
    drop(third);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_a_revoked_key_ends_and_a_strangers_stays() {
    let network = Network::start().await;
    let partner = network.registered(crate::network::GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let stranger = network.certificate(ANDERE_GEMEENTE).await;
    let revoke = v1::RevokeCertificateRequest {
        request_id: id(),
        key_hash: partner.holder.key_hash.clone(),
        ..Default::default()
    };
    let operator = &network.operator.client;
    operator.call::<_, v1::RegisteredCertificate>("Registry/RevokeCertificate", &revoke).await.unwrap();
    network.until_cut().await;
    // Both come now, and say nothing; what a revoked key calls is refused, and in the log.
    let (cut, stays) =
        (Raw::connect(&network, &partner.holder, 1024).await, Raw::connect(&network, &stranger, 1024).await);
    tokio::time::timeout(Duration::from_secs(5), cut.until_cut()).await.expect("it ends");
    assert!(tokio::time::timeout(Duration::from_secs(2), stays.until_cut()).await.is_err());
    assert_eq!(list(&partner).await.unwrap_err().code(), Code::Unauthenticated);
}
