//! A clock that jumps under a running hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sluis::api::v1;
use sluis::audit::Draft;
use sluis::clock::{Clock, SystemClock};
use sluis::ground::Refusal;
use sluis::reason::Reason;
use sluis::store::{Deployment, Opening, Seen, Store};
use tonic::Code;

use crate::direct::{FASE, Players, referral};
use crate::health::{until_not_ready, until_ready};
use crate::network::{Database, GEMEENTE, LIMITS, Network, Place};
use crate::streams::{Live, places};
use crate::tree::{prove, until};

const HOUR: i64 = 3600;

/// The clock of a machine that somebody sets.
#[derive(Default)]
struct Set(AtomicI64);

impl Set {
    /// So many seconds from the true time.
    fn to(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Set {
    fn now(&self) -> time::OffsetDateTime {
        SystemClock.now() + time::Duration::seconds(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_stops_the_hub_until_it_is_back() {
    let set = Arc::new(Set::default());
    let network = Network::start_at(LIMITS, Place::new, Arc::clone(&set) as Arc<dyn Clock>).await;
    let gemeente = Players::join(&network).await.gemeente;
    let client = &network.operator.client;
    until_ready(client).await;
    let mut live = Live::open(&gemeente, "").await;
    let (mut came, mut events) = (Vec::new(), Vec::new());
    let refer =
        async |request: &v1::ReferCaseRequest| gemeente.client().call::<_, v1::Case>("Cases/ReferCase", request).await;
    let first = referral(None);
    let case = refer(&first).await.unwrap().message;

    // Small steps, as a time server makes them: everything goes on, also what has just begun.
    for (step, phase) in [(40, v1::Phase::F2), (-15, v1::Phase::F3), (0, v1::Phase::F4)] {
        set.to(step);
        events.push(gemeente.advance(&case.name, phase).await.unwrap().event);
        events.push(gemeente.refer(None).await.unwrap().event);
    }
    // Whoever sets the clock elsewhere gets nothing done, and nothing passes meanwhile: no reply is forgotten, no right ends.
    for jump in [400 * 24 * HOUR, -5 * HOUR] {
        set.to(jump);
        until_not_ready(client).await;
        let request = v1::StreamInboxRequest { context: FASE.context(), cursor: String::new(), drain: true };
        let look = gemeente.client().call::<_, v1::InboxItem>("Inbox/StreamInbox", &request).await.unwrap_err();
        let change = refer(&referral(None)).await.unwrap_err();
        let again = refer(&first).await.unwrap_err();
        for status in [look, change, again] {
            assert_eq!(status.code(), Code::Unavailable, "{jump}: {status:?}");
        }
        set.to(0);
        until_ready(client).await;
        events.push(gemeente.refer(None).await.unwrap().event);
        assert_eq!(refer(&first).await.unwrap().message, case, "{jump}: the first answer");
    }

    let mut last = 0;
    let database = network.database().await;
    for event in &events {
        let at = database.time_of(event).await;
        assert!(at >= last, "{event} is before the one before it");
        last = at;
    }
    let all = places(&gemeente.inbox("").await.unwrap());
    while came.len() < all.len() {
        came.push(live.next().await);
    }
    assert_eq!(places(&came), all, "a stream that was open lost nothing");
    let stored = database.number("SELECT MAX(seq) FROM inbox_item WHERE oin = '00000099100001410000'").await;
    // Six cases with two roles each.
    assert!(stored >= 12);
    assert_eq!(all, (1..=stored.unsigned_abs()).collect::<Vec<_>>(), "nor did the inbox");
    network.holds_together().await;
}

/// Years ago, on a machine whose clock and database agree.
#[derive(Default)]
struct Past(Set);

impl Clock for Past {
    fn now(&self) -> time::OffsetDateTime {
        self.0.now()
    }

    fn machine(&self) -> time::OffsetDateTime {
        SystemClock.now()
    }
}

/// An event of long ago, in a store that no hub has served yet.
async fn history(place: &Place) -> String {
    let clock = Arc::new(Past::default());
    clock.0.to(-8 * 366 * 24 * HOUR);
    let access = place.access.clone();
    let deployment = Deployment::default();
    let opening =
        Opening { access, node: "hub-0".to_owned(), clock: Arc::clone(&clock) as _, simulated: false, deployment };
    let store = Store::open(opening).await.unwrap();
    let draft = Draft {
        method: "sluis.v1.Cases/GetCase",
        organisation: GEMEENTE.to_owned(),
        user_ref: "van-lang-geleden".to_owned(),
        ..Draft::default()
    };
    let refusal = Refusal::denied(Reason::NotInvolved);
    let event = store.refuse(&refusal, draft, Seen::default()).await.unwrap().event_id;
    // And one of the month before last.
    clock.0.to(-45 * 24 * HOUR);
    let draft = Draft { method: "sluis.v1.Cases/GetCase", organisation: GEMEENTE.to_owned(), ..Draft::default() };
    store.refuse(&refusal, draft, Seen::default()).await.unwrap();
    store.close().await;
    // The hub that comes has keys of its own.
    Database::open(&place.url).await.run("DELETE FROM deployment").await;
    format!("events/{event}")
}

/// What is older than the covenant keeps it is erased without being asked for; but not because a clock says that years have passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_past_its_retention_goes_by_itself() {
    let mut old = String::new();
    let filled = |folder: &std::path::Path| {
        let place = Place::new(folder);
        old = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(history(&place)));
        place
    };
    let mut network = Network::start_at(LIMITS, filled, Arc::new(SystemClock)).await;
    let kept = "SELECT COUNT(*) FROM audit_event WHERE user_ref = 'van-lang-geleden'";
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(network.database().await.number(kept).await, 1, "eight years at once are no years");
    let before = prove(&network.officer.client, vec![old.clone()]).await.proofs.remove(0);
    // The next process finds a log that has gone on.
    network.stop().await;
    network.restart().await;
    let gone = || async { (network.database().await.number(kept).await == 0).then_some(()) };
    until(gone).await;
    let said = "SELECT COUNT(*) FROM audit_event WHERE method = 'sluis.v1.Audit/EraseEvents' AND motivation LIKE 'bewaartermijn%'";
    assert!(network.database().await.number(said).await > 0);
    network.holds_together().await;
    let after = prove(&network.officer.client, vec![old]).await.proofs.remove(0);
    assert_eq!((before.leaf, before.disclosures.len(), after.disclosures.len()), (after.leaf, 6, 0));
}
