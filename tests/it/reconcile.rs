//! An officer's reconciliation, with a hub and agents that run: both sides agree, until somebody touches the hub's rows.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Parser;
use sluis::cli::reconcile::{ReconcileArgs, ReconcileError, run};
use sluis::clock::SystemClock;
use sluis::demo::{Demo, DemoOptions};
use sluis::scenario::{self, Network, Scenario};
use time::Duration;

use crate::network::{Database, GEMEENTE, now};

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: ReconcileArgs,
}

/// The first steps of S1: referral, consents, records in both directions, and refusals by agent and hub.
fn beginning() -> Scenario {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/s1.toml")).unwrap();
    let mut scenario: toml::Table = text.parse().unwrap();
    scenario.remove("officers_view");
    let takes_part = |partner: &toml::Value| ["G-A", "Z-1", "Z-2", "NET"].contains(&partner["id"].as_str().unwrap());
    scenario["partner"].as_array_mut().unwrap().retain(takes_part);
    scenario["step"].as_array_mut().unwrap().truncate(13);
    Scenario::parse(Path::new("beginning.toml"), &toml::to_string(&scenario).unwrap()).unwrap()
}

/// What the command of a partner's officer prints, and how it ends.
async fn reconciled(folder: &Path, network: &Network, partner: &str) -> (Vec<serde_json::Value>, Option<usize>) {
    let member = network.partners.iter().find(|member| member.id == partner).unwrap();
    let officer = member.officer.as_ref().unwrap();
    let config = folder.join("agents").join(partner.to_lowercase()).join("agent.toml");
    let paths = [&network.hub.anchors, &officer.certificate, &officer.key, &config].map(|path| path.to_str().unwrap());
    let [anchors, certificate, key, config] = paths;
    let line = ["reconcile", "--address", &network.hub.address, "--server-name", &network.hub.server_name];
    let files = ["--anchors", anchors, "--certificate", certificate, "--key", key, "--config", config];
    let Command { args } = Command::parse_from(line.into_iter().chain(files));
    let mut out = Vec::new();
    // Two minutes later: nothing is under way any more.
    let outcome = run(args, true, now() + Duration::minutes(2), &mut out).await;
    let found = match outcome {
        Ok(()) => None,
        Err(ReconcileError::Differences(findings)) => Some(findings),
        Err(error) => panic!("{}", sluis::telemetry::chain(&error)),
    };
    let lines = String::from_utf8(out).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), found)
}

/// Findings by what they are about.
fn findings(differences: &[serde_json::Value]) -> BTreeMap<&str, &str> {
    let findings = differences.iter().filter(|one| one["severity"] == "finding");
    findings.map(|one| (one["about"].as_str().unwrap(), one["code"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_until_the_hub_loses_one_event_and_alters_another() {
    let folder = tempfile::tempdir().unwrap();
    let options = DemoOptions {
        directory: Some(folder.path().to_owned()),
        program: Some(env!("CARGO_BIN_EXE_sluis").into()),
        ..DemoOptions::default()
    };
    let scenario = beginning();
    let mut demo = Demo::new(options).unwrap();
    demo.start(&scenario, &mut Vec::new()).await.unwrap();
    let network = demo.network().unwrap().clone();
    let mut report = Vec::new();
    let verdict = scenario::play(&scenario, &network, &SystemClock, &mut report).await.unwrap();
    assert_eq!(verdict.wrong, 0, "{}", String::from_utf8_lossy(&report));

    // The officer's own queries stand in the log under another certificate.
    for partner in ["G-A", "NET", "Z-1"] {
        let (differences, found) = reconciled(folder.path(), &network, partner).await;
        assert_eq!((findings(&differences), found), (BTreeMap::new(), None), "{partner}: {differences:?}");
        let (again, _) = reconciled(folder.path(), &network, partner).await;
        assert!(again.iter().any(|one| one["code"] == "other-certificate"), "{partner}: {again:?}");
        assert!(again.iter().all(|one| one["severity"] == "information"), "{partner}: {again:?}");
    }

    let url = format!("sqlite:{}", folder.path().join("hub/data/hub.db").display());
    let database = Database::open(&url).await;
    let event = |method: &'static str| {
        let database = &database;
        async move { database.first_event(GEMEENTE, method).await }
    };
    let (lost, altered) =
        (event("sluis.v1.Covenants/GetCovenant").await, event("sluis.v1.Consents/RecordConsent").await);
    let mut all = String::from("BEGIN;");
    for table in ["audit_outbox", "log_leaf", "audit_event_party", "audit_event"] {
        all.push_str(&format!("DELETE FROM {table} WHERE event_id = '{lost}';"));
    }
    all.push_str(&format!(
        "UPDATE audit_event SET outcome = 'refused', \
         leaf = CAST(REPLACE(CAST(leaf AS TEXT), '\"out\":\"allowed\"', '\"out\":\"refused\"') AS BLOB) \
         WHERE event_id = '{altered}'; COMMIT"
    ));
    database.any(all).await;
    let (differences, found) = reconciled(folder.path(), &network, "G-A").await;
    let (lost, altered) = (format!("events/{lost}"), format!("events/{altered}"));
    let expected = BTreeMap::from([(lost.as_str(), "promise-missing"), (altered.as_str(), "entry-differs")]);
    assert_eq!((findings(&differences), found), (expected, Some(2)), "{differences:?}");
    // Nobody else is told that something is wrong: these were not theirs.
    let (differences, found) = reconciled(folder.path(), &network, "Z-1").await;
    assert_eq!(found, None, "{differences:?}");
    demo.stop().await;
}
