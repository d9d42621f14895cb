use super::*;
use crate::audit::Draft;
use crate::ground::{Ground, Office};
use crate::party::Role;
use crate::store::record::{RecordRow, drop_requests, insert as insert_record, request_seal, seal_requests};
use crate::store::tests::{Engine, on_every_engine};
use crate::store::{CommitError, Store, Work};

#[derive(Clone, Copy)]
enum Act {
    Publish(&'static str),
    Seat,
    End(i64),
    Await(&'static str),
    Leave(&'static str),
    SawRecords(i64),
}

const OIN: &str = "00000099300000010000";
const AUTHOR: &str = "00000099100001410000";

impl Work for Act {
    type Output = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        match *self {
            Self::Publish(id) => drop(insert_record(tx, &record(id)).await?),
            Self::Seat => insert_assignment(tx, "case", &expert()).await?,
            Self::End(at) => set_assignment_end(tx, "expert", at).await?,
            Self::Await(role) => request_seal(tx, AUTHOR, "record", OIN, role, 1).await?,
            Self::Leave(role) => drop_requests(tx, "case", OIN, role).await?,
            Self::SawRecords(seen) => check_record_count(tx, "case", seen).await?,
        }
        Ok(((), Draft::default()))
    }
}

fn expert() -> Assignment {
    Assignment {
        id: "expert".to_owned(),
        role: Role::R05,
        party: Party::Partner(OIN.parse().unwrap()),
        involved: false,
        starts_at: from_micros(1),
        ends_at: None,
        ended_at: None,
    }
}

fn record(id: &str) -> RecordRow {
    RecordRow {
        record_id: id.to_owned(),
        case_id: Some("case".to_owned()),
        category: "C05".to_owned(),
        form: "I".to_owned(),
        article: 12,
        purpose: "triage".to_owned(),
        author_oin: AUTHOR.to_owned(),
        author_role: "R02".to_owned(),
        source_external: None,
        schema: "sluis/tekst/v1".to_owned(),
        roles: String::new(),
        named: false,
        header: Vec::new(),
        signature: Vec::new(),
        size: 0,
        created_at: 1,
        expires_at: None,
    }
}

on_every_engine!(
    a_record_that_came_since_makes_the_decision_stale,
    an_end_only_ever_comes_sooner,
    whoever_leaves_one_role_still_waits_in_another,
);

async fn perform(store: &Store, act: Act) -> Result<(), CommitError> {
    store.run_tx(Ground::office(Office::admitted()), act).await.map(drop)
}

async fn a_record_that_came_since_makes_the_decision_stale(engine: Engine) {
    let store = engine.open().await.unwrap();
    perform(&store, Act::SawRecords(0)).await.unwrap();
    let seen = record_count(&mut store.read().await.unwrap(), "case").await.unwrap();
    perform(&store, Act::Publish("record")).await.unwrap();
    assert!(matches!(perform(&store, Act::SawRecords(seen)).await, Err(CommitError::Stale)));
    perform(&store, Act::SawRecords(seen + 1)).await.unwrap();
}

async fn an_end_only_ever_comes_sooner(engine: Engine) {
    let store = engine.open().await.unwrap();
    perform(&store, Act::Seat).await.unwrap();
    for (end, expected) in [(50, 50), (70, 50), (40, 40)] {
        perform(&store, Act::End(end)).await.unwrap();
        let mut reader = store.read().await.unwrap();
        let held = load_assignments(reader.conn().await.unwrap(), "case").await.unwrap();
        assert_eq!(held[0].ends_at, Some(from_micros(expected)), "{end}");
    }
}

async fn whoever_leaves_one_role_still_waits_in_another(engine: Engine) {
    let store = engine.open().await.unwrap();
    for act in [Act::Publish("record"), Act::Await("R05"), Act::Await("R07"), Act::Leave("R05")] {
        perform(&store, act).await.unwrap();
    }
    let left = seal_requests(&mut store.read().await.unwrap(), AUTHOR).await.unwrap();
    assert_eq!(left.iter().map(|row| row.role.as_str()).collect::<Vec<_>>(), ["R07"]);
}
