//! That a certificate ends is said once, whatever the number of nodes.

use std::sync::Arc;

use super::super::certificates::{CertificateRow, put, retire, revoke, warn};
use super::super::{Changes, CommitError, Seen, Store, Tx, Work, WorkError};
use super::{Engine, OIN, at_once, nodes, office, on_every_engine};
use crate::audit::Draft;

on_every_engine!(that_it_ends_is_said_once_for_each_step, of_nodes_that_say_it_at_once_one_does);

const END: i64 = 1_800_000_000_000_000;

fn row(expires_at: i64) -> CertificateRow {
    CertificateRow {
        via: String::new(),
        key_hash: "a".repeat(64),
        oin: OIN.to_owned(),
        holder: "organisation".to_owned(),
        person_ref: String::new(),
        system: String::new(),
        issuer: String::new(),
        starts_at: 0,
        expires_at,
        registered_at: 1,
        used_at: None,
        anchor_set: String::new(),
        replaces: String::new(),
        renewed: false,
        retires_at: None,
        revoked_at: None,
        ceased: false,
        warned: 0,
    }
}

/// What happens to the certificate.
#[derive(Clone, Copy)]
enum Step {
    Put(i64),
    /// End, and days.
    Warn(i64, i64),
    Retire,
    Revoke,
}

impl Work for Step {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen { changes: Changes::Registry, ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        let key = row(0).key_hash;
        match *self {
            Self::Put(end) => put(tx, &row(end)).await?,
            Self::Warn(end, days) if warn(tx, &key, end, days).await? => {}
            Self::Warn(..) => return Err(WorkError::Stale),
            Self::Retire => retire(tx, &key, END).await?,
            Self::Revoke => {
                revoke(tx, &key, false, 1).await?;
            }
        }
        Ok(((), Draft { method: "sluis.v1.Registry/ListCertificates", ..Draft::default() }))
    }
}

async fn done(store: &Store, step: Step) -> bool {
    match store.run_tx(office(), step).await {
        Ok(_) => true,
        Err(CommitError::Stale) => false,
        Err(error) => panic!("{error:?}"),
    }
}

async fn that_it_ends_is_said_once_for_each_step(engine: Engine) {
    let store = engine.open().await.unwrap();
    let mut events = 0;
    for (step, expected) in [
        (Step::Warn(END, 90), false),
        (Step::Put(END), true),
        (Step::Warn(END + 1, 90), false),
        (Step::Warn(END, 90), true),
        (Step::Warn(END, 90), false),
        (Step::Warn(END, 30), true),
        (Step::Warn(END, 60), false),
        (Step::Warn(END, 90), false),
        // The same certificate again is not a new one; one with another end is.
        (Step::Put(END), true),
        (Step::Warn(END, 30), false),
        (Step::Put(END + 1), true),
        (Step::Warn(END, 7), false),
        (Step::Warn(END + 1, 90), true),
        (Step::Retire, true),
        (Step::Warn(END + 1, 7), false),
    ] {
        assert_eq!(done(&store, step).await, expected, "after {events} events");
        events += i64::from(expected);
        assert_eq!(engine.events().await, events, "what is not said leaves nothing");
    }
    engine.run("UPDATE certificate SET retires_at = NULL").await;
    assert!(done(&store, Step::Warn(END + 1, 60)).await && done(&store, Step::Revoke).await);
    assert!(!done(&store, Step::Warn(END + 1, 7)).await);
}

async fn of_nodes_that_say_it_at_once_one_does(engine: Engine) {
    let nodes = nodes(&engine).await;
    assert!(done(&nodes[0], Step::Put(END)).await);
    for (nth, days) in (1..).zip([90, 60, 30, 7]) {
        let say = |nth: usize| {
            let store = Arc::clone(&nodes[nth % nodes.len()]);
            async move { done(&store, Step::Warn(END, days)).await }
        };
        let said = at_once(16, say).await.into_iter().filter(|said| *said).count();
        assert_eq!((said, engine.events().await), (1, nth + 1), "{days} days");
    }
}
