//! The tree over the log, on every engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::checkpoint::{
    CheckpointRow, CosignatureRow, cosignatures, newest_published, newest_signed, unpublished,
};
use super::super::tree::{self, entries, place, size, work_out};
use super::super::{Store, check};
use super::{Engine, at_once, draft, office, on_every_engine};
use crate::ground::Refusal;
use crate::reason::Reason;
use crate::store::{Seen, Tx, Work, WorkError};
use crate::tlog::{Edge, FULL, Tiles, Tree, record_hash};

on_every_engine!(
    every_event_gets_one_place_and_the_tree_is_theirs,
    a_tree_that_nobody_finished_is_taken_up,
    what_should_not_be_in_a_tree_is_found,
    checkpoints_are_kept,
);

struct Nothing;

impl Work for Nothing {
    type Output = ();
    async fn run(&self, _: &mut Tx<'_>) -> Result<((), crate::audit::Draft), WorkError> {
        Ok(((), draft()))
    }
}

async fn commit(store: &Arc<Store>, events: usize) {
    let unit = |_| {
        let store = Arc::clone(store);
        async move { store.run_tx(office(), Nothing).await.map(|_| ()) }
    };
    for done in at_once(events, unit).await {
        done.unwrap();
    }
}

async fn grow_all(store: &Store) {
    while store.grow().await.unwrap().more {}
}

/// The tree that the entries make, one after the other, and how many there are.
async fn rebuilt(store: &Store) -> Tree {
    let mut reader = store.read().await.unwrap();
    let mut rebuilt = Edge::default();
    for tile in 0.. {
        let leaves = entries(&mut reader, tile, FULL).await.unwrap();
        let full = leaves.len() == FULL;
        rebuilt.grow(leaves.iter().map(|leaf| record_hash(leaf)));
        if !full {
            break;
        }
    }
    Tree { size: rebuilt.size(), root: rebuilt.root() }
}

async fn stored(store: &Store) -> Tree {
    let mut reader = store.read().await.unwrap();
    let size = size(&mut reader).await.unwrap();
    tree::tree(&mut reader, size).await.unwrap()
}

async fn every_event_gets_one_place_and_the_tree_is_theirs(engine: Engine) {
    let store = Arc::new(engine.open().await.unwrap());
    let mut older = Vec::new();
    for events in [1, 3, 254, 300, 0] {
        commit(&store, events).await;
        let refused =
            store.refuse(&Refusal::denied(Reason::NotInvolved), draft(), Seen::default()).await.unwrap().event_id;
        let mut reader = store.read().await.unwrap();
        assert_eq!(place(&mut reader, &refused).await.unwrap(), None, "it waits");
        grow_all(&store).await;
        assert!(place(&mut reader, &refused).await.unwrap().is_some());
        let tree = stored(&store).await;
        assert!(tree == rebuilt(&store).await, "{tree:?}");
        older.push(tree);
    }
    assert_eq!(
        i64::try_from(stored(&store).await.size).unwrap(),
        engine.count("SELECT COUNT(*) FROM audit_event").await
    );
    let newest = *older.last().unwrap();
    for older in older {
        let mut reader = store.read().await.unwrap();
        let proof = work_out(&mut reader, &mut Tiles::default(), |tiles| newest.follows(&older, tiles))
            .await
            .unwrap()
            .flatten();
        assert!(proof.is_some(), "{older:?}");
    }
}

/// Growth and commits at the same time, by two nodes where there can be two, given up at any moment.
async fn a_tree_that_nobody_finished_is_taken_up(engine: Engine) {
    let first = Arc::new(engine.open().await.unwrap());
    let second = if engine.access.engine() == crate::store::Engine::Postgres {
        Some(Arc::new(engine.open().await.unwrap()))
    } else {
        None
    };
    let both = [Some(&first), second.as_ref()];
    let growing = async {
        for turn in 0..60u64 {
            for store in both.iter().flatten() {
                // Whoever asked goes away in the midst of it.
                drop(tokio::time::timeout(std::time::Duration::from_micros(turn * 97 % 2000), store.grow()).await);
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let committing = async {
        for _ in 0..20 {
            for store in both.iter().flatten() {
                commit(store, 17).await;
            }
        }
    };
    tokio::join!(growing, committing);
    let last = second.as_ref().unwrap_or(&first);
    grow_all(last).await;
    let tree = stored(last).await;
    assert!(tree == rebuilt(last).await);
    assert_eq!(i64::try_from(tree.size).unwrap(), engine.count("SELECT COUNT(*) FROM audit_event").await);
    assert_eq!(engine.count("SELECT COUNT(*) FROM audit_outbox").await, 0);
    assert_eq!(engine.count("SELECT COUNT(*) - 1 - MAX(seq) FROM log_leaf").await, 0, "no gap");
    let report = check::check(&engine.owner).await.unwrap();
    assert_eq!(report.findings, []);
}

async fn what_should_not_be_in_a_tree_is_found(engine: Engine) {
    let store = Arc::new(engine.open().await.unwrap());
    commit(&store, 300).await;
    grow_all(&store).await;
    drop(store);
    let rules = || async {
        let report = check::check(&engine.owner).await.unwrap();
        report.findings.iter().map(|finding| finding.rule).collect::<BTreeSet<_>>()
    };
    assert_eq!(rules().await, BTreeSet::new());
    engine.run("UPDATE log_head SET size = size - 1").await;
    assert_eq!(
        rules().await,
        BTreeSet::from(["every event waits for the tree or stands in it, once", "the tree is that of its entries"])
    );
    engine.run("UPDATE log_head SET size = size + 1").await;
    engine.run("UPDATE log_leaf SET seq = -1 WHERE seq = 3").await;
    engine.run("UPDATE log_leaf SET seq = 3 WHERE seq = 4").await;
    engine.run("UPDATE log_leaf SET seq = 4 WHERE seq = -1").await;
    assert_eq!(rules().await, BTreeSet::from(["the tree is that of its entries"]), "two that changed places");
}

async fn checkpoints_are_kept(engine: Engine) {
    let store = Arc::new(engine.open().await.unwrap());
    let named =
        |origin: &str, size, note: &[u8]| CheckpointRow { origin: origin.to_owned(), size, at: 7, note: note.to_vec() };
    let row = |size, note: &[u8]| named("sluis.example/1", size, note);
    for row in [row(5, b"five"), row(9, b"nine"), row(5, b"another five"), named("sluis.example/2", 9, b"other")] {
        store.sign_checkpoint(row).await.unwrap();
    }
    let mut reader = store.read().await.unwrap();
    let name = |origin: &str| -> crate::tlog::Origin { origin.parse().unwrap() };
    let (first, second) = (name("sluis.example/1"), name("sluis.example/2"));
    assert_eq!(newest_signed(&mut reader, &first).await.unwrap(), Some(row(9, b"nine")));
    assert_eq!(newest_signed(&mut reader, &second).await.unwrap().unwrap().note, b"other");
    assert_eq!(newest_signed(&mut reader, &name("sluis.example/3")).await.unwrap(), None);
    let waiting = async |reader: &mut _| {
        unpublished(reader, &first).await.unwrap().into_iter().map(|w| (w.row.size, w.signatures)).collect::<Vec<_>>()
    };
    assert_eq!(waiting(&mut reader).await, [(5, 0), (9, 0)]);
    assert_eq!(newest_published(&mut reader, &first).await.unwrap(), None);

    let cosigned = |size, witness: &str, line: &[u8]| CosignatureRow {
        origin: first.to_string(),
        size,
        witness: witness.to_owned(),
        line: line.to_vec(),
    };
    for row in [cosigned(5, "w2", b"b"), cosigned(5, "w1", b"a"), cosigned(5, "w1", b"again"), cosigned(9, "w1", b"c")]
    {
        store.cosign_checkpoint(row).await.unwrap();
    }
    let signed = vec![("w1".to_owned(), b"a".to_vec()), ("w2".to_owned(), b"b".to_vec())];
    assert_eq!(cosignatures(&mut reader, &first, 5).await.unwrap(), signed, "once for each witness");

    store.publish_checkpoint(row(5, b"five with two")).await.unwrap();
    assert_eq!(newest_published(&mut reader, &first).await.unwrap(), Some(row(5, b"five with two")));
    assert_eq!(waiting(&mut reader).await, [(9, 1)], "what is superseded is gone");
    assert_eq!(cosignatures(&mut reader, &first, 5).await.unwrap(), []);
    assert_eq!(cosignatures(&mut reader, &first, 9).await.unwrap().len(), 1);
    assert_eq!(newest_signed(&mut reader, &first).await.unwrap(), Some(row(9, b"nine")));
    store.publish_checkpoint(row(9, b"nine with one")).await.unwrap();
    assert_eq!(
        newest_signed(&mut reader, &first).await.unwrap(),
        Some(row(9, b"nine with one")),
        "nothing is forgotten"
    );
    assert_eq!(unpublished(&mut reader, &second).await.unwrap().len(), 1, "another log's");

    // A day later the older ones are taken away; of those that wait, the young ones stay.
    let day = 24 * 3600 * 1_000_000;
    store.publish_checkpoint(CheckpointRow { at: 8 + day, ..row(10, b"ten") }).await.unwrap();
    assert_eq!(engine.count("SELECT COUNT(*) FROM log_published").await, 1);
    for (size, at) in [(11, 1), (12, 2), (13, 50), (14, 90)] {
        store.sign_checkpoint(CheckpointRow { at: day + at * 1_000_000, ..row(size, b"") }).await.unwrap();
    }
    assert_eq!(waiting(&mut reader).await, [(13, 0), (14, 0)]);
}
