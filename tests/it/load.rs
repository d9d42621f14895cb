//! Calls under way while something breaks. Each is repeated under its request id until it is answered OK; in the end each has
//! been carried out once, and whatever was answered is stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sluis::api::v1;
use tokio::task::JoinSet;
use tonic::Code;

use crate::calls::{Client, reason};
use crate::direct::referral;
use crate::health::PATIENCE;
use crate::network::Network;

/// Callers at a time.
const CALLERS: usize = 4;

/// How far they are.
#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    done: AtomicUsize,
    refused: AtomicUsize,
}

pub(crate) struct Load {
    progress: Arc<Progress>,
    /// Events of what was answered OK.
    callers: JoinSet<Vec<String>>,
    cases: i64,
}

impl Load {
    pub(crate) async fn start(network: &Network, client: &Client) -> Self {
        let (progress, cases) = (Arc::new(Progress::default()), cases(network).await);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(refer(client.clone(), Arc::clone(&progress)));
        }
        Self { progress, callers, cases }
    }

    /// Waits until so many more calls were answered OK.
    pub(crate) async fn until_done(&self, more: usize) {
        wait_for(&self.progress.done, more, "no more calls are done").await;
    }

    /// Waits until so many more calls were refused.
    pub(crate) async fn until_refused(&self, more: usize) {
        wait_for(&self.progress.refused, more, "no more calls are refused").await;
    }

    /// Lets every call come to its end, and holds what was answered against what is stored.
    pub(crate) async fn judge(self, network: &Network) {
        self.progress.stop.store(true, Ordering::SeqCst);
        let events: Vec<String> = self.callers.join_all().await.into_iter().flatten().collect();
        let database = network.database().await;
        for event in &events {
            assert_eq!(database.event(event).await.0, "allowed", "{event}");
        }
        let new = cases(network).await - self.cases;
        assert_eq!(usize::try_from(new).unwrap(), events.len(), "each was carried out once");
        network.holds_together().await;
        eprintln!("{} calls done, {} refused", events.len(), self.progress.refused.load(Ordering::SeqCst));
    }
}

async fn cases(network: &Network) -> i64 {
    network.database().await.number("SELECT COUNT(*) FROM case_file").await
}

async fn wait_for(count: &AtomicUsize, more: usize, otherwise: &str) {
    let enough = count.load(Ordering::SeqCst) + more;
    let reached = async {
        while count.load(Ordering::SeqCst) < enough {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{otherwise}"));
}

async fn refer(client: Client, progress: Arc<Progress>) -> Vec<String> {
    let mut events = Vec::new();
    while !progress.stop.load(Ordering::SeqCst) {
        let request = referral(None);
        let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
        let event = loop {
            match client.call::<_, v1::Case>("Cases/ReferCase", &request).await {
                Ok(reply) => break reply.event,
                Err(status) => {
                    // Nothing was done, or nobody can tell: in either case to be repeated, and said so.
                    let why = reason(&status);
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    assert!(matches!(why.as_deref(), None | Some("LOG_UNAVAILABLE")), "{status:?}");
                    *refusals.entry(format!("{why:?} {}", status.message())).or_default() += 1;
                }
            }
            progress.refused.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(refusals.values().sum::<usize>() < 2_000, "it does not end: {refusals:?}");
        };
        events.push(event);
        progress.done.fetch_add(1, Ordering::SeqCst);
    }
    events
}
