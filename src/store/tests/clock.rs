//! A clock that jumps while the store is open: nothing is written by it, and what is written stays in order.

use super::super::*;
use super::{End, Engine, OIN, Push, draft, office, on_every_engine, places};
use crate::clock::SteadyClock;
use crate::clock::tests::Set;
use crate::reason::Reason;

const HOUR: i64 = 3600;

async fn open(engine: &Engine) -> (Arc<Set>, Store) {
    let set = Arc::new(Set::default());
    let clock = Arc::new(SteadyClock::new(Arc::clone(&set) as Arc<dyn Clock>));
    (set, engine.open_at(&Deployment::default(), clock).await.unwrap())
}

async fn push(store: &Store) -> Result<String, CommitError> {
    store.run_tx(office(), Push(End::Good)).await.map(|committed| committed.event_id)
}

/// Waits until the store says that it can be written; `then` is its last word.
async fn signs(store: &Store, then: fn(&Result<(), StoreError>) -> bool) {
    for _ in 0..600 {
        if then(&store.sign().await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never");
}

async fn in_order(engine: &Engine, events: &[String]) {
    let mut last = i64::MIN;
    for event in events {
        let at = engine.time_of(event).await;
        assert!(at >= last, "{event} is {} us before the one before it", last - at);
        last = at;
    }
}

on_every_engine!(
    a_clock_that_jumps_writes_nothing_until_it_is_back,
    a_clock_that_makes_small_steps_keeps_the_order,
    a_clock_before_the_newest_event_writes_nothing,
);

async fn a_clock_that_jumps_writes_nothing_until_it_is_back(engine: Engine) {
    let (set, store) = open(&engine).await;
    let mut events = vec![push(&store).await.unwrap()];
    for jump in [5 * HOUR, -5 * HOUR, 90, -90, 400 * 24 * HOUR] {
        set.to(jump);
        let refusal = store.refuse(&Refusal::denied(Reason::NotInvolved), draft(), Seen::default()).await;
        for refused in [push(&store).await, refusal.map(|refused| refused.event_id)] {
            assert!(matches!(refused, Err(CommitError::Store(StoreError::Unfit(Unfit::ClockJumped(_))))), "{jump}");
        }
        assert!(matches!(store.sign().await, Err(StoreError::Unfit(Unfit::ClockJumped(_)))), "{jump}");
        set.to(0);
        // PostgreSQL's clock may have been asked meanwhile.
        signs(&store, Result::is_ok).await;
        events.push(push(&store).await.unwrap());
    }
    assert_eq!((places(&store).await, engine.events().await), ((1..=6).collect(), 6));
    in_order(&engine, &events).await;
}

async fn a_clock_that_makes_small_steps_keeps_the_order(engine: Engine) {
    let (set, store) = open(&engine).await;
    let mut events = Vec::new();
    for step in [0, 20, -5, 30, -20, 0] {
        set.to(step);
        for _ in 0..3 {
            events.push(push(&store).await.unwrap());
        }
    }
    assert_eq!(places(&store).await, (1..=18).collect::<Vec<i64>>());
    in_order(&engine, &events).await;
    // Who starts again goes on after the newest event, as well.
    drop(store);
    let (_, store) = open(&engine).await;
    events.push(push(&store).await.unwrap());
    in_order(&engine, &events).await;
}

/// A clock that stood ahead long enough to be believed, and was set right then.
async fn a_clock_before_the_newest_event_writes_nothing(engine: Engine) {
    let set = Arc::new(Set::default());
    let store = engine.open_at(&Deployment::default(), Arc::clone(&set) as Arc<dyn Clock>).await.unwrap();
    set.to(50);
    push(&store).await.unwrap();
    set.to(-50);
    assert!(matches!(push(&store).await, Err(CommitError::Store(StoreError::Unfit(Unfit::ClockBehind(90..=100))))));
    assert!(store.sign().await.is_err());
    set.to(0);
    push(&store).await.unwrap();
    assert_eq!(inbox::head(&mut store.reader(), OIN).await.unwrap(), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_parts_from_the_databases_is_noticed() {
    let engine = Engine::postgres();
    let set = Arc::new(Set::default());
    let store = engine.open_at(&Deployment::default(), Arc::clone(&set) as Arc<dyn Clock>).await.unwrap();
    push(&store).await.unwrap();
    set.to(90);
    signs(&store, |said| matches!(said, Err(StoreError::Unfit(Unfit::Clock(_))))).await;
    assert!(matches!(push(&store).await, Err(CommitError::Store(StoreError::Unfit(Unfit::Clock(_))))));
    set.to(0);
    signs(&store, Result::is_ok).await;
    push(&store).await.unwrap();
}
