//! A clock that jumps under a running hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sluis::api::v1;
use sluis::clock::{Clock, SystemClock};
use tonic::Code;

use crate::direct::{FASE, Players, referral};
use crate::health::{until_not_ready, until_ready};
use crate::network::{LIMITS, Network, Place};
use crate::streams::{Live, places};

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
