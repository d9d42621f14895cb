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
use crate::tree::until;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: ReconcileArgs,
}

/// The first steps of S1, of which thirteen are: referral, consents, records in both directions, and refusals by agent and hub.
fn beginning(steps: usize) -> Scenario {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/s1.toml")).unwrap();
    let mut scenario: toml::Table = text.parse().unwrap();
    scenario.remove("officers_view");
    let takes_part = |partner: &toml::Value| ["G-A", "Z-1", "Z-2", "NET"].contains(&partner["id"].as_str().unwrap());
    scenario["partner"].as_array_mut().unwrap().retain(takes_part);
    scenario["step"].as_array_mut().unwrap().truncate(steps);
    Scenario::parse(Path::new("beginning.toml"), &toml::to_string(&scenario).unwrap()).unwrap()
}

/// What the command of a partner's officer prints, and how it ends.
async fn reconciled(folder: &Path, network: &Network, partner: &str) -> (Vec<serde_json::Value>, Option<usize>) {
    reconciled_with(folder, network, partner, "agent.toml").await
}

/// The same, with another configuration of the partner's agent.
async fn reconciled_with(
    folder: &Path,
    network: &Network,
    partner: &str,
    config: &str,
) -> (Vec<serde_json::Value>, Option<usize>) {
    let member = network.partners.iter().find(|member| member.id == partner).unwrap();
    let officer = member.officer.as_ref().unwrap();
    let config = folder.join("agents").join(partner.to_lowercase()).join(config);
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

/// As if the agent had been killed when it had reported a refusal and heard nothing yet: the journal has the call, and not its end.
async fn a_report_whose_answer_was_lost_is_known(folder: &Path, network: &Network) {
    let agent = folder.join("agents/z-1");
    let config = std::fs::read_to_string(agent.join("agent.toml")).unwrap();
    std::fs::write(agent.join("killed.toml"), config.replace("directory = \"store\"", "directory = \"killed\""))
        .unwrap();
    let killed = agent.join("killed/receipts");
    std::fs::create_dir_all(&killed).unwrap();
    let mut begun = String::new();
    for file in std::fs::read_dir(agent.join("store/receipts")).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let is_report = |line: &&str| line.split(' ').nth(3).is_some_and(|word| word.contains("/ReportRefusal:"));
        let (reports, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(is_report);
        for report in reports {
            let words: Vec<&str> = report.split(' ').collect();
            begun.push_str(&format!("+ {} {}\n", words[1], words[3]));
        }
        std::fs::write(killed.join(file.file_name()), rest.iter().map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
    }
    assert_eq!(begun.lines().count(), 1, "{begun}");
    let codes =
        |differences: &[serde_json::Value], code: &str| differences.iter().filter(|one| one["code"] == code).count();
    // Without that line nothing explains the event.
    std::fs::write(killed.join("under_way"), "").unwrap();
    let (differences, found) = reconciled_with(folder, network, "Z-1", "killed.toml").await;
    assert_eq!((codes(&differences, "event-unknown"), found), (1, Some(1)), "{differences:?}");
    std::fs::write(killed.join("under_way"), begun).unwrap();
    let (differences, found) = reconciled_with(folder, network, "Z-1", "killed.toml").await;
    assert_eq!((codes(&differences, "answer-lost"), found), (1, None), "{differences:?}");
}

/// The network's officer erases what the event says of a record that was sent.
async fn what_is_erased_is_told_with_the_erasure(folder: &Path, network: &Network) {
    let text: String = std::fs::read_dir(folder.join("agents/net/store/receipts"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("received."))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let told = text.lines().find(|line| line.starts_with("records/")).unwrap();
    let [record, _, _, event] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let officer = network.network_officer.as_ref().unwrap();
    let paths = [&network.hub.anchors, &officer.certificate, &officer.key].map(|path| path.to_str().unwrap());
    let hub =
        ["audit", "erase", "--json", "--address", &network.hub.address, "--server-name", &network.hub.server_name];
    let [anchors, certificate, key] = paths;
    let files = ["--anchors", anchors, "--certificate", certificate, "--key", key];
    let what = ["--ground", "beschikking van de rechtbank over dit verzoek", "--group", "data", event];
    let (code, said) = tokio::task::block_in_place(|| crate::tree::sluis(&[&hub[..], &files, &what].concat()));
    assert_eq!(code, Some(0), "{said}");
    for (partner, about) in [("NET", record), ("Z-1", event)] {
        let (differences, found) = reconciled(folder, network, partner).await;
        assert_eq!(found, None, "{partner}: {differences:?}");
        let erased: Vec<&serde_json::Value> = differences.iter().filter(|one| one["code"] == "event-erased").collect();
        assert!(erased.iter().any(|one| one["about"] == about), "{partner}: {differences:?}");
        let by =
            |one: &&serde_json::Value| one["hub"].as_str().unwrap().contains("cannot be compared: data by events/");
        assert!(erased.iter().all(by), "{partner}: {differences:?}");
    }
    // Whoever got it finds the erasure by the event's name, and nothing else of the event.
    let member = network.partners.iter().find(|member| member.id == "NET").unwrap();
    let officer = member.officer.as_ref().unwrap();
    let policy = folder.join("audit.policy");
    let paths = [&network.hub.anchors, &officer.certificate, &officer.key, &policy].map(|path| path.to_str().unwrap());
    let [anchors, certificate, key, policy] = paths;
    let hub = ["audit", "show", "--address", &network.hub.address, "--server-name", &network.hub.server_name];
    let files = ["--anchors", anchors, "--certificate", certificate, "--key", key, "--policy", policy];
    let show = |more: &[&str]| tokio::task::block_in_place(|| crate::tree::sluis(&[&hub[..], &files, more].concat()));
    let (code, said) = show(&[event]);
    assert!(code == Some(0) && said.contains("erasure            data by events/"), "{said}");
    assert!(said.contains("proof              of the erasure") && !said.contains("PublishRecord"), "{said}");
    let (code, said) = show(&["--json", event]);
    assert!(code == Some(0) && said.contains(r#""groups":["data"]"#) && said.contains(r#""proven":false"#), "{said}");
    let (code, said) = show(&[&format!("events/{}", uuid::Uuid::new_v4())]);
    assert!(code == Some(3) && said.contains("no such event"), "{said}");
}

/// The hub alters an event of which an agent has a receipt: the agent hears of it within a minute, whether or not anybody
/// reconciles. That all is well again when somebody does changes nothing.
async fn an_agent_says_alarm(folder: &Path, network: &Network, database: &Database) {
    let agent = folder.join("agents/z-1");
    scenario::play(&beginning(1), network, &SystemClock, &mut Vec::new()).await.unwrap();
    // Names begin with their time: of this one there is no proof yet.
    let waiting = std::fs::read_to_string(agent.join("store/receipts/waiting")).unwrap();
    let event = waiting.lines().filter_map(|line| line.split(' ').next()).max().unwrap();
    let placed = format!("SELECT COUNT(*) FROM log_leaf WHERE event_id = '{event}'");
    until(|| async { (database.any_number(placed.clone()).await == 1).then_some(()) }).await;
    let alter = async |from: &str, to: &str| {
        let altered = format!("CAST(REPLACE(CAST(leaf AS TEXT), '{from}', '{to}') AS BLOB)");
        database.any(format!("UPDATE audit_event SET leaf = {altered} WHERE event_id = '{event}'")).await;
    };
    let (was, is) = ("\"covenant\":", "\"Covenant\":");
    alter(was, is).await;
    let broken = until(|| async {
        let broken = std::fs::read_to_string(agent.join("store/receipts/broken")).unwrap_or_default();
        broken.lines().find(|line| line.starts_with(event)).map(ToOwned::to_owned)
    });
    let broken = broken.await;
    assert!(broken.ends_with("the log holds something else than was promised"), "{broken}");
    let said = std::fs::read_to_string(folder.join("logs/z-1.log")).unwrap();
    let alarm = said.lines().find(|line| line.contains("ALARM: the hub broke its word about its log"));
    assert!(alarm.is_some_and(|line| line.contains(event)), "{said}");
    alter(is, was).await;
    let (differences, found) = reconciled(folder, network, "Z-1").await;
    let about = format!("events/{event}");
    assert_eq!((findings(&differences), found), ([(about.as_str(), "promise-broken")].into(), Some(1)));
}

/// What the comparison rests on: a report is the refusal that it reports, and its repeat is a line of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_comes_twice_is_one_refusal() {
    let network = crate::network::Network::start().await;
    let players = crate::direct::Players::join(&network).await;
    let report = sluis::api::v1::ReportRefusalRequest {
        request_id: crate::network::id(),
        method: "sluis.v1.Cases/GetCase".to_owned(),
        reason: "BSN_IN_TEXT".to_owned(),
        ..Default::default()
    };
    let client = players.gemeente.client();
    let database = network.database().await;
    for (outcome, reason, method) in
        [("refused", "BSN_IN_TEXT", "Cases/GetCase"), ("allowed", "", "Audit/ReportRefusal")]
    {
        let answer =
            client.call::<_, sluis::api::v1::ReportRefusalResponse>("Audit/ReportRefusal", &report).await.unwrap();
        let (is, why, of) = database.event(&answer.event).await;
        assert_eq!((is.as_str(), why.as_str(), of.as_str()), (outcome, reason, GEMEENTE));
        let newest = database.last_event(GEMEENTE, &format!("sluis.v1.{method}")).await;
        assert_eq!(answer.event, format!("events/{newest}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_until_the_hub_loses_one_event_and_alters_another() {
    let folder = tempfile::tempdir().unwrap();
    let options = DemoOptions {
        directory: Some(folder.path().to_owned()),
        program: Some(env!("CARGO_BIN_EXE_sluis").into()),
        ..DemoOptions::default()
    };
    let scenario = beginning(13);
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

    a_report_whose_answer_was_lost_is_known(folder.path(), &network).await;
    what_is_erased_is_told_with_the_erasure(folder.path(), &network).await;

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
    an_agent_says_alarm(folder.path(), &network, &database).await;
    demo.stop().await;
}
