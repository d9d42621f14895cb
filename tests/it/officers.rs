//! What privacy officers do from the command line, and what erasing leaves.

use serde_json::Value;
use sluis::api::v1;
use sluis::tlog::{Policy, Proof, record_hash};
use time::format_description::well_known::Rfc3339;
use tonic::Code;

use crate::calls::event_of;
use crate::direct::{FASE, Players, subject, why};
use crate::network::{AANBIEDER, GEMEENTE, Holder, Network, id, now};
use crate::traces;
use crate::tree::{Log, list, prove, sluis, until};

const BSN: &str = "999990019";

pub(crate) struct Office {
    pub(crate) network: Network,
    pub(crate) players: Players,
    officer: Holder,
    case: String,
    /// What the gemeente's officer knows the youth by.
    subject: String,
    /// Of a look at the case, a list of cases, and a refusal to a stranger.
    pub(crate) events: [String; 3],
}

impl Office {
    pub(crate) async fn open() -> Self {
        let network = Network::start().await;
        let players = Players::join(&network).await;
        let gemeente = players.gemeente.client();
        let case = players.gemeente.refer(Some(network.voprf(BSN))).await.unwrap().message.name;
        let request = v1::GetCaseRequest {
            context: why("10", "aanmelding", v1::Role::R02).context(),
            name: case.clone(),
            ..Default::default()
        };
        let looked = gemeente.call::<_, v1::Case>("Cases/GetCase", &request).await.unwrap().event;
        let request = v1::ListCasesRequest { context: FASE.context(), ..Default::default() };
        let listed = gemeente.call::<_, v1::ListCasesResponse>("Cases/ListCases", &request).await.unwrap().event;
        let request = v1::GetCaseRequest {
            context: why("10", "aanmelding", v1::Role::R02).context(),
            name: format!("cases/{}", id()),
            ..Default::default()
        };
        let refused = players.aanbieder.client().call::<_, v1::Case>("Cases/GetCase", &request).await.unwrap_err();
        let request = v1::ResolvePseudonymRequest {
            context: why("5", "beheer", v1::Role::R01).context(),
            subject: subject(Some(network.voprf(BSN))),
        };
        let resolved = gemeente.call::<_, v1::ResolvePseudonymResponse>("Pseudonyms/ResolvePseudonym", &request).await;
        let officer = network.officer_of(GEMEENTE, "fg-gemeente").await;
        let subject = resolved.unwrap().message.log_pseudonym;
        let events = [looked, listed, event_of(&refused).unwrap()];
        Self { network, players, officer, case, subject, events }
    }

    pub(crate) async fn audit(&self, who: &str, command: &str, args: &[&str]) -> (Option<i32>, String) {
        let remote = self.network.remote(who);
        let remote: Vec<&str> = remote.iter().map(String::as_str).collect();
        tokio::task::block_in_place(|| sluis(&[&["audit", command], &remote[..], args].concat()))
    }

    /// Names of the events that a query finds, newest first.
    async fn find(&self, who: &str, args: &[&str]) -> Vec<String> {
        let (code, said) = self.audit(who, "query", &[&["--json"], args].concat()).await;
        assert_eq!(code, Some(0), "{said}");
        said.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) async fn shown(&self, name: &str) -> String {
        self.network.path(name).display().to_string()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_officer_answers_five_questions_with_five_commands() {
    let office = Office::open().await;
    let [looked, listed, refused] = &office.events;
    let log = Log::of(office.players.gemeente.client()).await;
    let key = log.key.to_string();
    // Who saw something of this youth? By subject as by case; looking is not the same as standing in a list.
    let all = office.find("fg-gemeente", &["--subject", &office.subject]).await;
    assert!(all.contains(looked) && all.contains(listed) && !all.contains(refused), "{all:?}");
    let by_case = office.find("fg-gemeente", &["--case", &office.case]).await;
    assert!(by_case.iter().all(|event| all.contains(event)), "the queries by subject themselves come besides");
    assert_eq!(
        office.find("fg-gemeente", &["--case", &office.case, "--appearance", "listed"]).await,
        [listed.as_str()]
    );
    let consulted = office.find("fg-gemeente", &["--subject", &office.subject, "--appearance", "consulted"]).await;
    assert!(consulted.contains(looked) && !consulted.contains(listed));
    // Who was refused? Each officer sees its own.
    let refusals = &["--outcome", "refused"];
    assert!(!office.find("fg-gemeente", refusals).await.contains(refused));
    assert!(office.find("fg-netwerk", refusals).await.contains(refused));
    office.network.officer_of(AANBIEDER, "fg-aanbieder").await;
    assert_eq!(office.find("fg-aanbieder", refusals).await, [refused.as_str()]);
    assert!(
        office.find("fg-aanbieder", &["--subject", &office.subject]).await.is_empty(),
        "another's pseudonym is nobody"
    );

    let (code, said) = office.audit("fg-gemeente", "show", &["--log-key", &key, looked]).await;
    assert!(code == Some(0) && said.contains("GetCase") && said.contains("proof              entry "), "{said}");
    let (code, said) = office.audit("fg-aanbieder", "show", &["--log-key", &key, looked]).await;
    assert!(code == Some(3) && said.contains("none of this organisation"), "{said}");

    let (code, said) = office.audit("fg-gemeente", "query", &["--case", &office.case, "--limit", "1"]).await;
    assert!(code == Some(0) && said.contains("1 events, and more: raise --limit"), "{said}");
    for (args, code, word) in [
        (&["--role", "R99"][..], 2, "--role"),
        (&["--from", "yesterday"], 2, "--from"),
        (&[], 3, "a time range of at most 31 days"),
        (&["--from", "2026-01-02", "--until", "2026-01-01", "--case", &office.case], 3, "end_time"),
        (&["--appearance", "listed"], 3, "appearance"),
        (&["--subject", "999990019"], 3, "subject"),
        (&["--trace", "x"], 3, "trace_id"),
    ] {
        let (found, said) = office.audit("fg-gemeente", "query", args).await;
        assert!(found == Some(code) && said.contains(word), "{args:?}: {found:?} {said}");
    }
    let (code, said) = office.audit("org-1", "query", &["--case", &office.case]).await;
    assert!(code == Some(3) && said.contains("ROLE_NOT_ALLOWED"), "a system is no officer: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_and_reports_come_from_the_command_line() {
    let office = Office::open().await;
    let log = Log::of(office.players.gemeente.client()).await;
    let key = log.key.to_string();
    let verify = |dir: &str| tokio::task::block_in_place(|| sluis(&["audit", "verify", "--log-key", &key, dir]));
    for format in ["ndjson", "csv", "fhir", "ldv-core", "ldv-nen7513"] {
        let dir = office.shown(&format!("export-{format}")).await;
        let args = ["--log-key", &key, "--case", &office.case, "--format", format, "--dir", &dir];
        let (code, said) = office.audit("fg-gemeente", "export", &args).await;
        assert!(code == Some(0) && said.contains("events with their proofs"), "{said}");
        let (code, said) = verify(&dir);
        assert!(code == Some(0) && said.contains("are in the log as they stand here"), "{said}");
        let (code, said) = office.audit("fg-gemeente", "export", &args).await;
        assert!(code != Some(0), "an export is not written over: {said}");
    }
    crate::exports::are_audit_events(&office.network.path("export-fhir/events.fhir.ndjson"));
    let events = office.network.path("export-csv/events.ndjson");
    let text = std::fs::read_to_string(&events).unwrap();
    std::fs::write(&events, text.replacen("OUTCOME_ALLOWED", "OUTCOME_REFUSED", 1)).unwrap();
    let (code, said) = verify(&office.shown("export-csv").await);
    assert!(code == Some(1) && said.contains("not the file that was written"), "{said}");
    std::fs::remove_file(office.network.path("export-fhir/manifest.json")).unwrap();
    let (code, said) = verify(&office.shown("export-fhir").await);
    assert!(code == Some(1) && said.contains("manifest.json is missing"), "{said}");

    let period = ["--from", "2026-01-01", "--as-of", "2035-01-01"];
    let (code, said) = office.audit("fg-gemeente", "report", &period).await;
    assert_eq!(code, Some(0), "{said}");
    for number in 1..=15 {
        assert!(said.contains(&format!("# Q{number} ")), "Q{number} in {said}");
    }
    let dir = office.shown("reports").await;
    let args = [&period[..], &["--report", "Q2", "--format", "csv", "--dir", &dir, "--network"]].concat();
    let (code, said) = office.audit("fg-netwerk", "report", &args).await;
    assert!(code == Some(0) && said.contains("Q2"), "{said}");
    crate::reports::are_signed(&office.network.path("reports"), &office.network.path("ca/anchors.pem"));
    let args = [&period[..], &["--subject", &office.subject]].concat();
    let (code, said) = office.audit("fg-gemeente", "overview", &args).await;
    assert!(code == Some(0) && !said.contains(&office.subject), "{said}");
    let args = [&period[..], &["--subject", &office.subject, "--language", "en"]].concat();
    let (_, english) = office.audit("fg-gemeente", "overview", &args).await;
    assert_ne!(said, english);
    for (args, word) in [
        (&["--from", "2026-01-01", "--report", "Q16"][..], "--report"),
        (&["--from", "2026-01-01", "--format", "pdf"], "--format"),
        (&["--from", "2026-01-01", "--until", "2025-01-01"], "--until"),
    ] {
        let (code, said) = office.audit("fg-gemeente", "report", args).await;
        assert!(code == Some(2) && said.contains(word), "{said}");
    }
}

/// Whether a name of a collection stands there with nothing behind it.
fn names_nobody(text: &str) -> bool {
    let is_cut = |after: &str| !after.starts_with(|next: char| next.is_ascii_digit());
    ["partners/", "urn:sluis:partner:"].iter().any(|name| text.split(name).skip(1).any(is_cut))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_hub_did_of_its_own_accord_names_no_organisation_that_asked() {
    let office = Office::open().await;
    let key = Log::of(office.players.gemeente.client()).await.key.to_string();
    let of_gemeente = ["--organisation", GEMEENTE];
    let (code, lines) = office.audit("fg-gemeente", "query", &[&["--json"], &of_gemeente[..]].concat()).await;
    assert_eq!(code, Some(0), "{lines}");
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let own: Vec<&Value> = events.iter().filter(|event| event.get("organisation").is_none()).collect();
    let first = own.iter().find(|event| event["motivation"].as_str().unwrap().starts_with("first call")).unwrap();
    assert_eq!(first["source"], format!("partners/{GEMEENTE}"));
    let (_, table) = office.audit("fg-gemeente", "query", &of_gemeente).await;
    let name = first["name"].as_str().unwrap();
    let (code, shown) = office.audit("fg-gemeente", "show", &["--log-key", &key, name]).await;
    assert!(
        code == Some(0) && shown.contains("proof              entry ") && !shown.contains("organisation"),
        "{shown}"
    );
    let mut said = vec![lines, table, shown];
    for format in ["ndjson", "csv", "fhir", "ldv-core", "ldv-nen7513"] {
        let dir = office.shown(&format!("own-{format}")).await;
        let args = ["--log-key", &key, "--format", format, "--dir", &dir];
        let (code, text) = office.audit("fg-gemeente", "export", &[&args[..], &of_gemeente[..]].concat()).await;
        assert_eq!(code, Some(0), "{text}");
        let verified = tokio::task::block_in_place(|| sluis(&["audit", "verify", "--log-key", &key, &dir]));
        assert_eq!(verified.0, Some(0), "{}", verified.1);
        let events = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path());
        said.extend(events.map(|file| std::fs::read_to_string(file).unwrap()));
    }
    for (command, args) in [("report", &[][..]), ("overview", &["--subject", &office.subject])] {
        let args = [&["--from", "2026-01-01", "--as-of", "2035-01-01"], args].concat();
        said.push(office.audit("fg-gemeente", command, &args).await.1);
    }
    for text in said {
        assert!(!names_nobody(&text), "{text}");
    }
}

/// Whoever signed a report may be asked how it came about: whatever happens later, it comes out the same, but for how organisations are
/// called by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_as_of_a_past_moment_comes_out_the_same_later() {
    let office = Office::open().await;
    let moment = now().format(&Rfc3339).unwrap();
    let args = ["--from", "2026-01-01", "--until", &moment, "--as-of", &moment, "--network"];
    let made = async |form: &str| {
        let (code, said) = office.audit("fg-netwerk", "report", &[&args[..], &["--format", form]].concat()).await;
        assert_eq!(code, Some(0), "{said}");
        said
    };
    let before = [made("json").await, made("csv").await, made("md").await];
    office.players.gemeente.refer(None).await.unwrap();
    office
        .players
        .aanbieder
        .client()
        .call::<_, v1::Case>("Cases/GetCase", &v1::GetCaseRequest::default())
        .await
        .unwrap_err();
    let again = [made("json").await, made("csv").await, made("md").await];
    assert_eq!(before, again);
    let request = v1::RegisterPartnerRequest {
        request_id: id(),
        oin: GEMEENTE.to_owned(),
        display_name: "Anders geheten".to_owned(),
        kind: v1::OrganisationKind::Gemeente as i32,
        ..Default::default()
    };
    office.network.operator.client.call::<_, v1::Partner>("Registry/RegisterPartner", &request).await.unwrap();
    let renamed = [made("json").await, made("csv").await, made("md").await];
    assert!(renamed.iter().zip(&before).all(|(renamed, before)| renamed != before), "it is about the gemeente");
    assert_eq!(renamed.map(|text| text.replace("Anders geheten", "Partner Gemeente")), before);
    // Whoever asks as of later sees more.
    let later = now().format(&Rfc3339).unwrap();
    let args = ["--from", "2026-01-01", "--until", &later, "--as-of", &later, "--network", "--format", "json"];
    assert_ne!(office.audit("fg-netwerk", "report", &args).await.1, before[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_of_what_the_hub_gave_and_not_of_what_was_asked_for() {
    let office = Office::open().await;
    let period = ["--from", "2026-01-01", "--report", "Q2"];
    let network = [&period[..], &["--network"]].concat();
    let (code, said) = office.audit("fg-netwerk", "report", &period).await;
    assert!(code == Some(0) && said.contains("- Bereik: het hele netwerk"), "{said}");
    let (code, said) = office.audit("fg-netwerk", "report", &network).await;
    assert!(code == Some(0) && said.contains("- Bereik: het hele netwerk"), "{said}");
    let (code, said) = office.audit("fg-gemeente", "report", &period).await;
    assert!(code == Some(0) && said.contains(&format!("- Bereik: {GEMEENTE}")), "{said}");
    let overview = ["--from", "2026-01-01", "--subject", &office.subject, "--network"];
    for (command, args) in [("report", &network[..]), ("overview", &overview)] {
        let (code, said) = office.audit("fg-gemeente", command, args).await;
        let refusal = format!("--network: the hub gave the events of {GEMEENTE} alone");
        assert!(code == Some(2) && said.contains(&refusal) && !said.contains("Bereik"), "{command}: {code:?} {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_verified_as_of_its_copy() {
    let office = Office::open().await;
    let log = Log::of(office.players.gemeente.client()).await;
    log.newest(&office.events[0]).await;
    let key = log.key.to_string();
    let dir = office.shown("copy").await;
    let (code, said) = office.audit("fg-gemeente", "copy", &["--dir", &dir]).await;
    assert_eq!(code, Some(0), "{said}");
    let made = office.network.path("copy/copied");
    let first = std::fs::read_to_string(&made).unwrap();
    let args = ["--from", "2026-01-01", "--report", "Q9", "--copy", &dir, "--log-key", &key];
    let early = "De nagerekende kopie is gemaakt vóór het einde van de periode";
    for (what, moment, says) in [
        ("as it was made", first.as_str(), first.trim_end_matches('Z')),
        ("made long ago", "2026-01-02T03:04:05Z", "| 2026-01-02T03:04:05Z | "),
        ("nobody knows", "", "| – | "),
    ] {
        std::fs::write(&made, moment).unwrap();
        let (code, said) = office.audit("fg-gemeente", "report", &args).await;
        assert!(code == Some(0) && said.contains(says) && said.contains("de keten klopt"), "{what}: {said}");
        assert_eq!(said.contains(early), !moment.is_empty(), "{what}: {said}");
        assert_eq!(said.contains("is niet bekend; tot welk moment"), moment.is_empty(), "{what}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overview_by_subject_holds_what_only_stood_in_lists() {
    let office = Office::open().await;
    let (code, said) =
        office.audit("fg-gemeente", "query", &["--json", "--subject", &office.subject, "--appearance", "listed"]).await;
    assert_eq!(code, Some(0), "{said}");
    let event: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(event["name"], office.events[1].as_str());
    // From the list on: whatever was about the case itself came before it.
    let args = ["--from", event["time"].as_str().unwrap(), "--subject", &office.subject, "--events"];
    let (code, said) = office.audit("fg-gemeente", "overview", &args).await;
    let line = said.lines().find(|line| line.contains(&office.events[1])).unwrap_or_else(|| panic!("{said}"));
    assert!(code == Some(0) && line.contains("de zaak stond in een lijst die de organisatie kreeg"), "{said}");
    assert!(!said.contains(&office.events[0]) && !said.contains("cases/"), "{said}");
}

pub(crate) fn erasing(ground: &'static str) -> v1::EraseEventsRequest {
    v1::EraseEventsRequest {
        request_id: id(),
        context: why("36", "verantwoording", v1::Role::R14).because(ground).context(),
        ..Default::default()
    }
}

pub(crate) const GROUND: &str = "beschikking van de rechtbank over deze casus";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_is_gone_and_every_older_proof_verifies() {
    let mut office = Office::open().await;
    let [looked, listed, _] = office.events.clone();
    let log = Log::of(office.players.gemeente.client()).await;
    let last = list(office.players.gemeente.client()).await.unwrap();
    log.newest(&last).await;
    let all = office.find("fg-netwerk", &["--case", &netwerk_name(&office).await]).await;
    let kept: Vec<_> = prove(&office.network.officer.client, vec![looked.clone(), listed.clone()]).await.proofs;
    let erase = |request: v1::EraseEventsRequest| {
        let client = office.network.officer.client.clone();
        async move { client.call::<_, v1::EraseEventsResponse>("Audit/EraseEvents", &request).await }
    };
    // Who may, and what is asked of it.
    let case = netwerk_name(&office).await;
    let by_case = || v1::EraseEventsRequest { case: case.clone(), ..erasing(GROUND) };
    let other = office.officer.client.call::<_, v1::EraseEventsResponse>("Audit/EraseEvents", &by_case()).await;
    assert_eq!(other.unwrap_err().code(), Code::PermissionDenied, "a partner's officer");
    let recent = prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 };
    for (wrong, request) in [
        ("no ground", v1::EraseEventsRequest { case: case.clone(), ..erasing("") }),
        ("nothing selected", erasing(GROUND)),
        ("two selections", v1::EraseEventsRequest { events: vec![looked.clone()], ..by_case() }),
        ("a group that is none", v1::EraseEventsRequest { groups: vec!["leaf".to_owned()], ..by_case() }),
        ("a case without its name", v1::EraseEventsRequest { groups: vec!["data".to_owned()], ..by_case() }),
        ("too young", v1::EraseEventsRequest { before: Some(recent), ..erasing(GROUND) }),
    ] {
        assert_eq!(erase(request).await.unwrap_err().code(), Code::InvalidArgument, "{wrong}");
    }
    let done = erase(by_case()).await.unwrap();
    assert!(done.message.erased >= 3 && !done.message.more, "{:?}", done.message);
    assert_eq!(erase(by_case()).await.unwrap_err().code(), Code::FailedPrecondition, "nothing is left of it");
    let young =
        v1::EraseEventsRequest { events: vec![looked.clone()], groups: vec!["actor".to_owned()], ..erasing(GROUND) };
    assert_eq!(erase(young).await.unwrap_err().code(), Code::InvalidArgument, "who did it stays");

    // What is nobody's stays, and says that something is gone.
    assert!(office.find("fg-netwerk", &["--case", &case]).await.iter().all(|event| !all.contains(event)));
    let (_, said) = office.audit("fg-netwerk", "show", &["--log-key", &log.key.to_string(), &looked]).await;
    assert!(said.contains("erased             [\"subject\",\"case\",\"data\"]") && said.contains("GetCase"), "{said}");
    // The proofs of before, and those of now.
    let policy = Policy::of_log(log.key.clone());
    let fresh = prove(&office.network.officer.client, vec![looked.clone(), listed.clone()]).await.proofs;
    for (before, now) in kept.iter().zip(&fresh) {
        for proof in [before, now] {
            policy.verify(&Proof::from_bytes(&proof.proof).unwrap(), record_hash(&proof.leaf)).unwrap();
        }
        assert_eq!(before.leaf, now.leaf);
        assert!(before.disclosures.len() > now.disclosures.len());
    }
    office.network.holds_together().await;
    // The log-scope pseudonym stood in the log alone: no page of the file holds it now.
    let by_subject = v1::EraseEventsRequest {
        subject: office.subject.clone(),
        subject_of: format!("partners/{GEMEENTE}"),
        ..erasing(GROUND)
    };
    let args = ["--subject", &office.subject, "--subject-of", GEMEENTE, "--ground", GROUND];
    let (code, said) = office.audit("fg-netwerk", "erase", &args).await;
    assert!(code == Some(0) && said.contains("events erased") && !said.starts_with("0 "), "{said}");
    let (code, said) = office.audit("fg-gemeente", "erase", &args).await;
    assert!(code == Some(3) && said.contains("ROLE_NOT_ALLOWED"), "{said}");
    let nobody = v1::EraseEventsRequest { request_id: id(), subject_of: String::new(), ..by_subject };
    assert_eq!(erase(nobody).await.unwrap_err().code(), Code::FailedPrecondition, "another organisation's pseudonym");
    let subject = office.subject.clone();
    // Nor what is published of the log, nor an export that is made now, in any form.
    let dir = office.shown("copy").await;
    let (code, said) = office.audit("fg-netwerk", "copy", &["--entries", "--dir", &dir]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        !traces::found_in(dir.as_ref(), &[looked.trim_start_matches("events/")]).is_empty(),
        "the search sees entries"
    );
    assert_eq!(traces::found_in(dir.as_ref(), &[&subject]), Vec::new());
    for format in ["ndjson", "csv", "fhir", "ldv-core", "ldv-nen7513"] {
        let dir = office.shown(&format!("after-{format}")).await;
        let key = log.key.to_string();
        let args = ["--log-key", &key, "--organisation", GEMEENTE, "--format", format, "--dir", &dir];
        let (code, said) = office.audit("fg-netwerk", "export", &args).await;
        assert!(code == Some(0) && said.contains("events with their proofs"), "{said}");
        assert_eq!(traces::found_in(dir.as_ref(), &[&subject]), Vec::new());
    }
    office.network.stop().await;
    office.network.restart().await;
    if !crate::network::is_postgres() {
        let hub = office.network.path("hub");
        until(|| async { traces::found_in(&hub, &[&subject]).is_empty().then_some(()) }).await;
    }
    office.network.holds_together().await;
}

/// What the network's office calls the case.
pub(crate) async fn netwerk_name(office: &Office) -> String {
    office.network.database().await.case_name(&office.case, office.network.netwerk.oin()).await
}

/// By what the data of an event was erased is told to whoever finds it, and to whoever knows its name; to nobody what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_is_named_with_what_it_erased() {
    let office = Office::open().await;
    let stranger = office.network.officer_of(AANBIEDER, "fg-aanbieder").await;
    let [looked, other, _] = office.events.clone();
    let erased = |groups: &[&str]| v1::EraseEventsRequest {
        events: vec![looked.clone()],
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..erasing(GROUND)
    };
    let ask = async |officer: &Holder, event: &str| {
        let context = why("36", "verantwoording", v1::Role::R14).context();
        let request = v1::QueryEventsRequest { context, event: event.to_owned(), ..Default::default() };
        let answer = officer.client.call::<_, v1::QueryEventsResponse>("Audit/QueryEvents", &request).await;
        let v1::QueryEventsResponse { events, erasures, .. } = answer.unwrap().message;
        (events.len(), erasures)
    };
    let erase = async |request: v1::EraseEventsRequest| {
        let officer = &office.network.officer.client;
        officer.call::<_, v1::EraseEventsResponse>("Audit/EraseEvents", &request).await.unwrap().event
    };
    let by_case = erase(erased(&["case"])).await;
    let one = |by: &String, groups: &[&str]| v1::Erasure {
        event: looked.clone(),
        by: by.clone(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    assert_eq!(ask(&office.officer, &looked).await, (1, vec![one(&by_case, &["case"])]));
    assert_eq!(ask(&stranger, &looked).await, (0, vec![]), "it is not by its case that anybody found it");
    let by_data = erase(erased(&["subject", "data"])).await;
    let all = [one(&by_case, &["case"]), one(&by_data, &["subject", "data"])];
    assert_eq!(ask(&office.officer, &looked).await, (1, all.to_vec()));
    assert_eq!(ask(&stranger, &looked).await, (0, vec![one(&by_data, &["data"])]));
    for officer in [&office.officer, &stranger] {
        assert_eq!(ask(officer, &other).await.1, vec![], "nothing of it is erased");
    }
}
