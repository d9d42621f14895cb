//! Every RPC of the hub's own descriptors against every kind of caller: the code, the reason if the caller may know it,
//! and exactly one audit event wherever a caller was established.

use std::collections::BTreeSet;

use prost::Message as _;
use sluis::api::DESCRIPTORS;

mod requests;
mod table;

use crate::calls::Outcome;
use crate::network::{Database, Network};
use requests::Stage;
use table::{Cell, TABLE};

/// Served elsewhere, with the reason.
const ELSEWHERE: [(&str, &str); 1] =
    [("sluis.v1.Keyholder/", "another process, run by another party: tested with the keyholder")];

/// Every RPC of the descriptors that reflection shows.
fn described() -> BTreeSet<String> {
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut names = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                names.insert(format!("{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    assert!(names.len() > 40, "the descriptors are those of the API");
    names.retain(|name| !ELSEWHERE.iter().any(|(prefix, _)| name.starts_with(prefix)));
    names
}

#[test]
fn every_method_has_a_row_here_and_in_the_hub_and_every_row_a_method() {
    let described = described();
    let rows: BTreeSet<String> = TABLE.iter().map(|row| format!("sluis.v1.{}", row.rpc)).collect();
    assert_eq!(rows.len(), TABLE.len(), "no row twice");
    assert_eq!(rows, described);
    let methods: BTreeSet<String> = sluis::method::METHODS.iter().map(|method| method.name.to_owned()).collect();
    assert_eq!(methods.len(), sluis::method::METHODS.len(), "no method twice");
    assert_eq!(methods, described);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_answers_every_caller_as_the_table_says_with_one_event() {
    let network = Network::start().await;
    let database = network.database().await;
    let stage = Stage::set(&network, &database).await;
    let mut wrong = Vec::new();
    for row in TABLE {
        for (cell, expected) in Cell::ALL.into_iter().zip(row.cells) {
            if let Some(reason) = expected.strip_prefix("n/a: ") {
                assert!(reason.len() > 5, "{} {cell:?}: say why it does not apply", row.rpc);
                continue;
            }
            let (mut outcome, mut events) = act(&stage, &database, row.rpc, cell).await;
            // Each change of the registry cuts the connections of suspended partners, in the midst of a refusal too.
            if matches!(cell, Cell::Suspended) && outcome.word() == "no connection" {
                (outcome, events) = act(&stage, &database, row.rpc, cell).await;
            }
            let word = outcome.word();
            let one = if matches!(cell, Cell::NoCertificate | Cell::WrongCa) { 0 } else { 1 };
            let named = match &outcome.event {
                Some(name) => witness(&stage, &database, name, row.rpc, &word, cell).await,
                None if one == 0 => Ok(()),
                None => Err("no event is named".to_owned()),
            };
            if word != expected || events != one || named.is_err() {
                wrong
                    .push(format!("{} {cell:?}: expected {expected}, got {word}; {events} events; {named:?}", row.rpc));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// One call, and how many events it left.
async fn act(stage: &Stage<'_>, database: &Database, rpc: &str, cell: Cell) -> (Outcome, i64) {
    let prepared = stage.prepare(rpc, cell).await;
    let before = database.events().await;
    let path = format!("/sluis.v1.{rpc}");
    let outcome = prepared.client.send(&path, prepared.messages, prepared.replies).await;
    (outcome, database.events().await - before)
}

/// The event that the reply names is the one that was written, says what came out, and the network's officer finds it.
async fn witness(
    stage: &Stage<'_>,
    database: &Database,
    name: &str,
    rpc: &str,
    word: &str,
    cell: Cell,
) -> Result<(), String> {
    let (outcome, reason, organisation) = database.event(name).await;
    // The report of a refusal reads as the refusal that it reports.
    let allowed = word == "OK" && rpc != "Audit/ReportRefusal";
    if allowed != (outcome == "allowed") {
        return Err(format!("the event says {outcome} {reason}"));
    }
    if stage.organisation(cell).is_some_and(|expected| expected != organisation) {
        return Err(format!("the event is of {organisation}"));
    }
    let found = stage.officer_finds(name).await;
    if found == 1 { Ok(()) } else { Err(format!("the officer finds {found}")) }
}
