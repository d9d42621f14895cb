use super::*;
use crate::audit::Draft;
use crate::ground::{Ground, Office};
use crate::party::Role;
use crate::store::record::{
    RecordRow, drop_requests, insert as insert_record, request_seal, seal_done, seal_requests, waits,
};
use crate::store::tests::{Engine, on_every_engine};
use crate::store::{CommitError, Store, Work};

#[derive(Clone, Copy)]
enum Act {
    Publish(&'static str),
    Seat,
    End(i64),
    Await(&'static str),
    Leave(&'static str),
    Sealed(&'static str),
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
            Self::Sealed(role) => seal_done(tx, "record", OIN, role).await?,
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
    whoever_is_added_in_one_role_still_waits_in_another,
    whoever_waits_is_found_past_any_number_of_others,
    a_role_is_owed_unless_somebody_in_the_line_had_it,
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
    let left = seal_requests(&mut store.read().await.unwrap(), AUTHOR, None, 9).await.unwrap();
    assert_eq!(left.iter().map(|row| row.role.as_str()).collect::<Vec<_>>(), ["R07"]);
}

async fn whoever_is_added_in_one_role_still_waits_in_another(engine: Engine) {
    let store = engine.open().await.unwrap();
    for act in [Act::Publish("record"), Act::Await("R05"), Act::Await("R07"), Act::Sealed("R07")] {
        perform(&store, act).await.unwrap();
    }
    let mut reader = store.read().await.unwrap();
    for (role, expected) in [("R05", true), ("R07", false)] {
        assert_eq!(waits(&mut reader, "record", OIN, role).await.unwrap(), expected, "{role}");
    }
}

async fn whoever_waits_is_found_past_any_number_of_others(engine: Engine) {
    let store = engine.open().await.unwrap();
    perform(&store, Act::Publish("record")).await.unwrap();
    for role in ["R05", "R07", "R08", "R10", "R11"] {
        perform(&store, Act::Await(role)).await.unwrap();
    }
    // All of one moment.
    let (mut found, mut last) = (Vec::new(), None);
    loop {
        let page = seal_requests(&mut store.read().await.unwrap(), AUTHOR, last.as_ref(), 2).await.unwrap();
        let Some(end) = page.last() else { break };
        last = Some(end.clone());
        found.extend(page.into_iter().map(|row| row.role));
    }
    assert_eq!(found, ["R05", "R07", "R08", "R10", "R11"]);
}

/// Who held R07 since a predecessor left (at 5), and when that ended; and whether the line still gets it.
async fn a_role_is_owed_unless_somebody_in_the_line_had_it(engine: Engine) {
    let store = engine.open().await.unwrap();
    engine
        .run(
            "INSERT INTO case_file (case_id, rev, subject_tag, tag_epoch, phase, phase_at, created_at, escalated, restricted, \
             objection, regime) VALUES ('case', 1, '', 0, 'F2', 1, 1, 0, 0, 0, '{}'); \
             INSERT INTO case_name (name, case_id, oin) VALUES ('name', 'case', '00000099100001410000'); \
             INSERT INTO assignment (assignment_id, case_id, role, oin, involved, starts_at, ended_at) \
             VALUES ('old', 'case', 'R07', '00000099100001410000', 0, 1, 5)",
        )
        .await;
    let [next, last] = ["00000099100001420000", "00000099100001430000"].map(|oin| oin.parse::<Oin>().unwrap());
    let line = [&next, &last];
    let owed = async || {
        let mut reader = store.read().await.unwrap();
        let cases = crate::store::succession::left_cases(&mut reader, AUTHOR, 5, &line, true).await.unwrap();
        !cases.is_empty()
    };
    assert!(owed().await);
    for (held, expected) in [
        ("'00000099100001490000', 0, 6, NULL", true),
        ("'00000099100001420000', 0, 1, 4", true),
        ("'00000099100001420000', 0, 6, 7", false),
        ("'00000099100001430000', 0, 6, NULL", false),
    ] {
        let insert = format!(
            "INSERT INTO assignment (assignment_id, case_id, role, oin, involved, starts_at, ended_at) \
             VALUES ('new', 'case', 'R07', {held})"
        );
        engine.run(Box::leak(insert.into_boxed_str())).await;
        assert_eq!(owed().await, expected, "{held}");
        engine.run("DELETE FROM assignment WHERE assignment_id = 'new'").await;
    }
}
