//! Telling whoever waits that something changed: on this node at once, on others through PostgreSQL's NOTIFY.
//!
//! The word travels beside the commit, not in it: a NOTIFY inside a transaction takes a lock that all committing nodes share.
//! Word that is lost (a node killed between commit and NOTIFY, a listener that was reconnecting) costs a second, not a
//! change: every commit checks revisions, and streams look again by themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::AnyPool;
use sqlx::postgres::PgListener;
use tokio::sync::{broadcast, mpsc};

use super::cache::Cases;
use super::engine::Access;
use super::tx::Wake;

const CHANNEL: &str = "sluis";
/// PostgreSQL takes payloads of less than 8,000 bytes.
const PAYLOAD: usize = 7_500;
/// Word that waits to be sent to other nodes. Beyond it they are told that anything may have changed.
pub(super) const OUTGOING: usize = 1024;
/// How long to wait before listening again.
const AGAIN: Duration = Duration::from_millis(500);

/// Spreads the word.
#[derive(Clone)]
pub(super) struct Announcer {
    here: broadcast::Sender<Wake>,
    cases: Arc<Cases>,
    others: Option<mpsc::Sender<Wake>>,
}

impl Announcer {
    pub(super) fn new(here: broadcast::Sender<Wake>, cases: Arc<Cases>, others: Option<mpsc::Sender<Wake>>) -> Self {
        Self { here, cases, others }
    }

    /// Tells everybody, this node's memory of cases first.
    pub(super) fn announce(&self, woken: Vec<Wake>) {
        for wake in woken {
            if let Some(others) = &self.others {
                // A full channel has the sender tell that anything may have changed.
                drop(others.try_send(wake.clone()));
            }
            self.hear(wake);
        }
    }

    fn hear(&self, wake: Wake) {
        match &wake {
            Wake::Case(case_id) => self.cases.forget(case_id),
            Wake::Anything => self.cases.forget_all(),
            Wake::Registry | Wake::Inbox(_) | Wake::Seal(_) => {}
        }
        // Nobody listening is fine.
        drop(self.here.send(wake));
    }
}

/// Sends word to the other nodes, many at a time. Ends with the store.
pub(super) async fn send(pool: AnyPool, node: String, mut queue: mpsc::Receiver<Wake>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, OUTGOING).await > 0 {
        for payload in payloads(&node, &gathered(&mut waiting)) {
            // It is worth no disk write: whoever misses it looks again by itself.
            let notify = "SELECT COUNT(set_config('synchronous_commit', 'off', true)), COUNT(pg_notify($1, $2))";
            if let Err(error) = sqlx::query(notify).bind(CHANNEL).bind(payload).execute(&pool).await {
                tracing::warn!(error = crate::telemetry::chain(&error), "other nodes not told");
            }
        }
    }
}

/// What waits, each word once. Where as much waited as may wait, some of it was lost.
fn gathered(waiting: &mut Vec<Wake>) -> BTreeSet<Wake> {
    let overflowed = waiting.len() >= OUTGOING;
    let wakes = waiting.drain(..).collect();
    if overflowed { BTreeSet::from([Wake::Anything]) } else { wakes }
}

/// Hears word from the other nodes. Ends when the sender of `end` is dropped.
pub(super) async fn listen(access: Access, node: String, announcer: Announcer, mut end: mpsc::Receiver<()>) {
    tokio::select! {
        _ = end.recv() => {}
        () = listen_for_ever(access, node, announcer) => {}
    }
}

async fn listen_for_ever(access: Access, node: String, announcer: Announcer) {
    loop {
        if let Err(error) = listen_once(&access, &node, &announcer).await {
            tracing::warn!(error = crate::telemetry::chain(&error), "not listening to other nodes; trying again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen_once(access: &Access, node: &str, announcer: &Announcer) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(access.url()).await?;
    listener.listen(CHANNEL).await?;
    // What was said before is lost.
    announcer.hear(Wake::Anything);
    while let Some(word) = listener.try_recv().await? {
        for wake in wakes(node, word.payload()) {
            announcer.hear(wake);
        }
    }
    Ok(())
}

/// The name of the sender, then one word per line.
fn payloads(node: &str, wakes: &BTreeSet<Wake>) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for wake in wakes {
        let line = match wake {
            Wake::Registry => "\nR".to_owned(),
            Wake::Case(case) => format!("\nC{case}"),
            Wake::Inbox(oin) => format!("\nI{oin}"),
            Wake::Seal(oin) => format!("\nS{oin}"),
            Wake::Anything => "\nA".to_owned(),
        };
        match payloads.last_mut() {
            Some(payload) if payload.len() + line.len() <= PAYLOAD => payload.push_str(&line),
            _ => payloads.push(format!("{node}{line}")),
        }
    }
    payloads
}

/// Nothing of what this node said itself. A word that this version does not know may mean anything.
fn wakes(node: &str, payload: &str) -> Vec<Wake> {
    let mut lines = payload.split('\n');
    if lines.next() == Some(node) {
        return Vec::new();
    }
    lines
        .map(|line| match line.split_at_checked(1) {
            Some(("R", "")) => Wake::Registry,
            Some(("C", case)) => Wake::Case(case.to_owned()),
            Some(("I", oin)) => Wake::Inbox(oin.to_owned()),
            Some(("S", oin)) => Wake::Seal(oin.to_owned()),
            _ => Wake::Anything,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_by_others_only() {
        let said = BTreeSet::from([
            Wake::Registry,
            Wake::Case("c".to_owned()),
            Wake::Inbox("i".to_owned()),
            Wake::Seal("s".to_owned()),
            Wake::Anything,
        ]);
        let payloads = payloads("one", &said);
        assert_eq!(payloads.len(), 1);
        assert!(wakes("one", &payloads[0]).is_empty());
        assert_eq!(wakes("two", &payloads[0]).into_iter().collect::<BTreeSet<_>>(), said);
        assert_eq!(wakes("two", "one\nX?"), [Wake::Anything]);
    }

    #[test]
    fn who_has_too_much_to_say_says_that_anything_may_have_changed() {
        let case = |n: usize| Wake::Case(n.to_string());
        let mut waiting = vec![case(1), case(2), case(1)];
        assert_eq!(gathered(&mut waiting), BTreeSet::from([case(1), case(2)]));
        waiting.extend((0..OUTGOING).map(case));
        assert_eq!(gathered(&mut waiting), BTreeSet::from([Wake::Anything]));
        assert!(waiting.is_empty());
    }

    #[test]
    fn much_is_said_in_pieces() {
        let said: BTreeSet<Wake> = (0..1000).map(|n| Wake::Case(format!("{n:036}"))).collect();
        let payloads = payloads("one", &said);
        assert!(payloads.len() > 4 && payloads.iter().all(|payload| payload.len() < 8_000));
        let heard: BTreeSet<Wake> = payloads.iter().flat_map(|payload| wakes("two", payload)).collect();
        assert_eq!(heard, said);
    }
}
