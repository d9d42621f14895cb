//! Inboxes: in order, at least once, from a cursor, and over the moment the right is (guarantee G7).

use std::time::{Duration, Instant};

use prost::Message as _;
use sluis::api::v1;
use tonic::{Code, Status, Streaming};

use crate::calls::{Client, reason};
use crate::direct::{AANMELDING, Draft, FASE, Players, why};
use crate::health::PATIENCE;
use crate::network::{Network, Party, SecondNode, id};

/// Streams must end within this time.
const SECOND: Duration = Duration::from_secs(1);

/// An inbox that waits for more.
pub(crate) struct Live(Streaming<Vec<u8>>);

impl Live {
    pub(crate) async fn open(party: &Party, cursor: &str) -> Self {
        Self::over(party.client(), cursor).await
    }

    pub(crate) async fn over(client: &Client, cursor: &str) -> Self {
        let request = v1::StreamInboxRequest { context: FASE.context(), cursor: cursor.to_owned(), drain: false };
        let messages = tokio_stream::once(request.encode_to_vec());
        Self(client.open("/sluis.v1.Inbox/StreamInbox", messages).await.unwrap().1)
    }

    pub(crate) async fn next(&mut self) -> v1::InboxItem {
        let next = tokio::time::timeout(PATIENCE, self.0.message()).await.expect("an item comes");
        v1::InboxItem::decode(&*next.unwrap().unwrap()).unwrap()
    }

    /// The next item within a second, if there is one.
    pub(crate) async fn maybe(&mut self) -> Option<v1::InboxItem> {
        let next = tokio::time::timeout(SECOND, self.0.message()).await.ok()?;
        Some(v1::InboxItem::decode(&*next.unwrap().unwrap()).unwrap())
    }

    /// How the stream ends, and how long after now.
    pub(crate) async fn end(self) -> (Status, Duration) {
        self.end_after(Instant::now()).await
    }

    /// The same, and how long after this moment.
    pub(crate) async fn end_after(mut self, start: Instant) -> (Status, Duration) {
        loop {
            let next = tokio::time::timeout(5 * SECOND, self.0.message()).await.expect("the stream ends");
            match next {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended as if nothing had happened"),
                Err(status) => return (status, start.elapsed()),
            }
        }
    }
}

/// Place of an item in its inbox.
fn place(item: &v1::InboxItem) -> u64 {
    item.cursor.split('-').next().unwrap().parse().unwrap()
}

pub(crate) fn places(items: &[v1::InboxItem]) -> Vec<u64> {
    items.iter().map(place).collect()
}

async fn acknowledge(party: &Party, cursor: &str) {
    let request = v1::AcknowledgeInboxRequest { context: FASE.context(), cursor: cursor.to_owned() };
    let call = party.client().call::<_, v1::AcknowledgeInboxResponse>("Inbox/AcknowledgeInbox", &request);
    call.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_come_in_order_again_until_acknowledged_and_from_any_cursor() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let gemeente = &players.gemeente;
    let mut live = Live::open(gemeente, "").await;
    let mut cases = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, context) = (gemeente.client().clone(), AANMELDING.context());
        cases.spawn(async move {
            let request = v1::ReferCaseRequest {
                request_id: id(),
                context,
                subject: crate::direct::subject(None),
                regime: crate::direct::regime(),
                holder: String::new(),
            };
            client.call::<_, v1::Case>("Cases/ReferCase", &request).await.unwrap();
        });
    }
    cases.join_all().await;
    // Each case brings R01 and R02.
    let all: Vec<u64> = (1..=40).collect();
    let mut came = Vec::new();
    while came.len() < 15 {
        came.push(live.next().await);
    }
    drop(live);
    let last = came.last().unwrap().cursor.clone();
    let mut resumed = Live::open(gemeente, &last).await;
    while came.len() < 40 {
        came.push(resumed.next().await);
    }
    assert_eq!(places(&came), all, "in order, no gap, none twice");
    assert_eq!(places(&gemeente.inbox("").await.unwrap()), all, "not acknowledged, so all of it again");
    acknowledge(gemeente, &came[29].cursor).await;
    acknowledge(gemeente, &came[3].cursor).await;
    assert_eq!(places(&gemeente.inbox("").await.unwrap()), all[30..], "acknowledging never goes back");
    assert_eq!(places(&gemeente.inbox(&came[9].cursor).await.unwrap()), all[10..], "unless it is asked for");
}

/// A node whose clock is behind, or that looked at its clock before the item was written: an item that is passed over once is
/// never delivered again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_is_younger_than_the_hubs_clock_is_delivered() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let gemeente = &players.gemeente;
    let case = gemeente.refer(None).await.unwrap().message.name;
    let draft = Draft {
        case,
        why: AANMELDING,
        category: v1::Category::C06,
        form: v1::Form::P,
        roles: vec![v1::Role::R03],
        content: vec![1; 10],
    };
    gemeente.publish(&draft).await.unwrap();
    let database = network.database().await;
    database.run("UPDATE assignment SET starts_at = starts_at + 60000000").await;
    database.run("UPDATE inbox_item SET created_at = created_at + 60000000").await;
    assert_eq!(places(&network.netwerk.inbox("").await.unwrap()), [1, 2], "its role and the record");
}

/// Another node's word can get lost: a stream looks again by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_nobody_told_of_is_delivered() {
    let network = Network::start().await;
    let gemeente = Players::join(&network).await.gemeente;
    let mut live = Live::open(&gemeente, "").await;
    gemeente.refer(None).await.unwrap();
    let roles = [live.next().await, live.next().await];
    assert_eq!(live.maybe().await, None);
    let database = network.database().await;
    database
        .run(
            "INSERT INTO inbox_item (oin, seq, case_id, record_id, role, message, created_at) \
             SELECT oin, seq + 1, case_id, record_id, role, message, created_at FROM inbox_item \
             WHERE oin = '00000099100001410000' AND seq = 2; \
             UPDATE inbox_head SET seq = 3 WHERE oin = '00000099100001410000'",
        )
        .await;
    let next = live.next().await;
    assert_eq!((place(&next), next.item), (3, roles[1].item.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_survives_a_restart_of_the_hub() {
    let mut network = Network::start().await;
    let players = Players::join(&network).await;
    players.gemeente.refer(None).await.unwrap();
    let before = players.gemeente.inbox("").await.unwrap();
    network.stop().await;
    network.restart().await;
    assert_eq!(players.gemeente.inbox("").await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspension_ends_streams_within_a_second() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let live = Live::open(&players.aanbieder, "").await;
    let other = Live::open(&players.expert, "").await;
    network.set_status(players.aanbieder.oin(), v1::PartnerStatus::Suspended).await;
    let (status, took) = live.end().await;
    assert_eq!(reason(&status).as_deref(), Some("PARTNER_SUSPENDED"), "{status:?}");
    assert!(took < SECOND, "{took:?}");
    assert!(players.aanbieder.inbox("").await.is_err(), "new calls are refused");
    // Others notice nothing.
    let mut other = other;
    let case = players.gemeente.refer(None).await.unwrap().message.name;
    players.gemeente.assign(&case, v1::Role::R07, &players.expert).await.unwrap();
    other.next().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_ends_streams_within_a_second_and_cuts_the_connection() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let live = Live::open(&players.aanbieder, "").await;
    let key_hash = players.aanbieder.holder.key_hash.clone();
    let request = v1::RevokeCertificateRequest { request_id: id(), key_hash, ..Default::default() };
    let call = network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RevokeCertificate", &request);
    call.await.unwrap();
    let (status, took) = live.end().await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert!(took < SECOND, "{took:?}");
    network.until_cut().await;
    let status = players.aanbieder.inbox("").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
}

/// Guarantee G7 on every node: whoever is connected to the other one is cut there as soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_and_suspension_end_streams_on_both_nodes_within_a_second() {
    if !crate::network::is_postgres() {
        eprintln!("skipped: two nodes need PostgreSQL");
        return;
    }
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let node = network.second_node().await;
    let mut healthy = on_both(&node, &players.gemeente).await;
    for (party, revokes) in [(&players.aanbieder, true), (&players.expert, false)] {
        let away = node.client(&party.holder).await;
        let (here, there) = (Live::open(party, "").await, Live::over(&away, "").await);
        // The time that the operator's own call takes is in it.
        let start = Instant::now();
        if revokes {
            let request = v1::RevokeCertificateRequest {
                request_id: id(),
                key_hash: party.holder.key_hash.clone(),
                ..Default::default()
            };
            let client = &network.operator.client;
            let call = client.call::<_, v1::RegisteredCertificate>("Registry/RevokeCertificate", &request);
            call.await.unwrap();
        } else {
            network.set_status(party.oin(), v1::PartnerStatus::Suspended).await;
        }
        let answered = start.elapsed();
        let (here, there) = tokio::join!(here.end_after(start), there.end_after(start));
        eprintln!("revoked: {revokes}; answered after {answered:?}, ended after {:?} and {:?}", here.1, there.1);
        for (status, took) in [here, there] {
            assert!(matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied), "{status:?}");
            assert!(took < SECOND, "{took:?}");
        }
        network.until_cut().await;
        let request = v1::ListPartnersRequest::default();
        assert!(away.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.is_err());
    }
    // Who is neither hears what comes afterwards, on the streams of before.
    deliver(&players.gemeente, &mut healthy).await;
    drop(healthy);
    node.stop().await;
}

/// An inbox of the party at each node.
pub(crate) async fn on_both(node: &SecondNode, party: &Party) -> [Live; 2] {
    let away = node.client(&party.holder).await;
    [Live::open(party, "").await, Live::over(&away, "").await]
}

/// A case that begins now is heard of on each of these inboxes, which are the party's own.
pub(crate) async fn deliver(party: &Party, inboxes: &mut [Live]) {
    party.refer(None).await.unwrap();
    for inbox in inboxes {
        // R01 and R02.
        let items = [inbox.next().await, inbox.next().await];
        let [first, second] = items.map(|item| place(&item));
        assert_eq!(second, first + 1);
    }
}

/// The gemeente tells the aanbieder who takes part (article 12).
fn who_takes_part(case: &str) -> Draft {
    Draft {
        case: case.to_owned(),
        why: why("12", "triage", v1::Role::R02),
        category: v1::Category::C05,
        form: v1::Form::I,
        roles: vec![v1::Role::R07],
        content: b"wie doet mee".to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_role_takes_what_rested_on_it() {
    use v1::inbox_item::Item;
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (gemeente, aanbieder) = (&players.gemeente, &players.aanbieder);
    let case = gemeente.refer(None).await.unwrap().message.name;
    gemeente.advance(&case, v1::Phase::F2).await.unwrap();
    let assignment = gemeente.assign(&case, v1::Role::R07, aanbieder).await.unwrap().message.name;
    let record = gemeente.publish(&who_takes_part(&case)).await.unwrap().message.record.unwrap().name;
    let before = aanbieder.inbox("").await.unwrap();
    assert!(before.iter().any(|item| matches!(item.item, Some(Item::Record(_)))));
    let own = network.database().await.case_name(&case, aanbieder.oin()).await;
    let reading = why("12", "triage", v1::Role::R07);
    aanbieder.fetch(&record, &own, &reading).await.unwrap();
    let mut live = Live::open(aanbieder, &before.last().unwrap().cursor).await;

    gemeente.end_role(&assignment).await.unwrap();
    let ended = Instant::now();
    let farewell = live.next().await;
    assert!(ended.elapsed() < SECOND);
    let Some(Item::Changed(changed)) = farewell.item else { panic!("{farewell:?}") };
    assert_eq!(changed.kind(), v1::case_changed::Kind::RoleEnded);
    assert!(aanbieder.fetch(&record, &own, &reading).await.is_err(), "what had been delivered is closed");
    let again = aanbieder.inbox("").await.unwrap();
    assert!(!again.iter().any(|item| matches!(item.item, Some(Item::Record(_)))), "what had not been read is skipped");
    gemeente.advance(&case, v1::Phase::F3).await.unwrap();
    assert_eq!(live.maybe().await, None, "and nothing more comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdrawn_consent_stops_what_rested_on_it_at_once() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let gemeente = &players.gemeente;
    let case = gemeente.refer(None).await.unwrap().message.name;
    let draft = Draft {
        case: case.clone(),
        why: why("11", "aanmelding", v1::Role::R01),
        category: v1::Category::C07,
        form: v1::Form::I,
        roles: vec![v1::Role::R02],
        content: b"gezin en wonen".to_vec(),
    };
    let refused = gemeente.publish(&draft).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("CONSENT_MISSING"));
    let consent = gemeente.consent(&case, &["11"], &[v1::Category::C07], &[v1::Role::R02]).await.unwrap().message.name;
    let published = gemeente.publish(&draft).await.unwrap();
    let record = published.message.record.unwrap().name;
    let reading = why("11", "aanmelding", v1::Role::R02);
    gemeente.fetch(&record, &case, &reading).await.unwrap();
    let database = network.database().await;
    let (_, used) = consent.rsplit_once('/').unwrap();
    assert_eq!(database.consents_of("/PublishRecord").await, [used]);
    assert_eq!(database.consents_of("/FetchRecord").await, [used]);
    assert!(database.consents_of("/ReferCase").await.iter().all(String::is_empty), "what rests on none names none");
    gemeente.withdraw(&consent).await.unwrap();
    let refused = gemeente.fetch(&record, &case, &reading).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("CONSENT_WITHDRAWN"));
    let refused = gemeente.publish(&draft).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("CONSENT_WITHDRAWN"));
    use v1::inbox_item::Item;
    let items = gemeente.inbox("").await.unwrap();
    assert!(!items.iter().any(|item| matches!(item.item, Some(Item::Record(_)))));
}
