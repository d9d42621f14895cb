//! Erased values go from the database's files while a hub serves; and the hub says when they have not for long.

use std::process::Command;
use std::time::Duration;

use sluis::api::v1;

use crate::direct::{Players, why};
use crate::load::Load;
use crate::network::{Network, id, is_postgres};
use crate::tree::until;

/// Runs the command beside the hub; its exit code and what it says.
async fn scrub(network: &Network, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
    command.args(["hub", "scrub", "--config"]).arg(network.config_file()).args(more);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The network's officer erases what the log says of this.
pub(crate) async fn erase_one(network: &Network, event: String) {
    let ground = "beschikking van de rechtbank over deze casus";
    let request = v1::EraseEventsRequest {
        request_id: id(),
        context: why("36", "verantwoording", v1::Role::R14).because(ground).context(),
        events: vec![event],
        ..Default::default()
    };
    let client = &network.officer.client;
    let done = client.call::<_, v1::EraseEventsResponse>("Audit/EraseEvents", &request).await.unwrap();
    assert_eq!(done.message.erased, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_serves_loses_no_call_by_it() {
    let mut network = Network::start().await;
    let gemeente = Players::join(&network).await.gemeente;
    let referred = [gemeente.refer(None).await.unwrap().event, gemeente.refer(None).await.unwrap().event];
    let load = Load::start(&network, gemeente.client()).await;
    for (event, force) in referred.into_iter().zip([&[][..], &["--force"]]) {
        load.until_done(5).await;
        erase_one(&network, event).await;
        if !is_postgres() {
            // The hub does it by itself: within the hour, and after a start.
            let (code, said) = scrub(&network, force).await;
            assert!(code == Some(1) && said.contains("left  file: a hub or somebody else has it open"), "{said}");
            break;
        }
        let (code, said) = scrub(&network, force).await;
        assert_eq!(code, Some(0), "{said}");
        for line in ["done  audit_event: written anew", "done  pg_statistic: written anew", "done  checkpoint: made"] {
            assert!(said.contains(line), "{said}");
        }
    }
    if is_postgres() {
        let (code, said) = scrub(&network, &["--json"]).await;
        let line: serde_json::Value = serde_json::from_str(said.trim_end()).unwrap();
        assert_eq!((code, &line["state"], &line["what"]), (Some(0), &"done".into(), &"tables".into()), "{said}");
        assert!(line["text"].as_str().unwrap().starts_with("nothing was erased since"), "{said}");
        // A log that takes long to be written anew: longer than the hub waits for a lock with a group of calls, and then with one.
        let database = network.database().await;
        let long = "BEGIN; LOCK TABLE audit_event IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(24); COMMIT";
        tokio::join!(load.until_refused(1), database.run(long));
    }
    load.until_done(20).await;
    load.judge(&network).await;
    if !is_postgres() {
        network.stop().await;
        network.restart().await;
        let seen_to = || async {
            let (code, said) = scrub(&network, &[]).await;
            assert!(said.contains("done  file: the hub that has it open") || said.contains("left  file"), "{said}");
            (code == Some(0)).then_some(())
        };
        until(seen_to).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_says_when_erased_values_stand_for_more_than_a_month() {
    let logged = crate::log::capture();
    let mut network = Network::start().await;
    let gemeente = Players::join(&network).await.gemeente;
    let alarms = || {
        let lines = String::from_utf8_lossy(&logged.lock().unwrap()).into_owned();
        lines.matches("ALARM: what was erased has stood in the database's files").count()
    };
    erase_one(&network, gemeente.refer(None).await.unwrap().event).await;
    // A server's clock does not go along with a hub's: the erasure was before.
    let long_ago = "UPDATE audit_event SET at = at - 32 * 86400000000 WHERE method = 'sluis.v1.Audit/EraseEvents'";
    network.database().await.run(long_ago).await;
    assert_eq!(alarms(), 0);
    // It looks when it starts, and each hour.
    network.stop().await;
    network.restart().await;
    if is_postgres() {
        until(|| async { (alarms() == 1).then_some(()) }).await;
        assert_eq!(scrub(&network, &[]).await.0, Some(0));
        network.stop().await;
        network.restart().await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(alarms(), usize::from(is_postgres()), "it is gone; of a file, the hub itself saw to that");
}
