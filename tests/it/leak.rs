//! Blind hub and silent telemetry (guarantees G3, G11): planted BSNs, names and content, and a search of every byte that
//! the hub wrote, logged or sent for them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use prost::Message as _;
use sluis::api::v1;

use crate::direct::{AANMELDING, Draft, FASE, Players, regime, subject, why};
use crate::log;
use crate::network::{Network, id, is_postgres};

/// What must be nowhere. BSNs of the test range; the rest is made up.
const BSNS: [&str; 3] = ["999907141", "999921423", "10000008"];
const NAMES: [&str; 2] = ["Fleurtje Zandbergen-Proef", "Zandbergen"];
const CONTENT: &str = "Zij slaapt sinds drie weken op de bank bij haar tante.";

/// A planted text in every form in which it could be written.
fn forms(planted: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = planted.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![planted.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    // Base64 looks different at each of three alignments; the characters that depend on neighbours are left out.
    for shift in 0..3 {
        let shifted = [vec![0; shift], planted.to_vec()].concat();
        let from = (shift * 8).div_ceil(6);
        let until = shifted.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&shifted).as_bytes()[from..until].to_vec());
        }
    }
    forms
}

/// Where a planted text stands, if anywhere. The first two bytes decide quickly: there are megabytes to search.
fn find<'p>(planted: &[(&'p str, Vec<Vec<u8>>)], hay: &[u8]) -> Option<&'p str> {
    let pair = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    let mut starts = vec![Vec::new(); 1 << 16];
    for (what, forms) in planted {
        for form in forms {
            starts[pair(form)].push((form.as_slice(), *what));
        }
    }
    let begins = |at: usize| starts[pair(&hay[at..])].iter().find(|(form, _)| hay[at..].starts_with(form));
    (0..hay.len().saturating_sub(1)).find_map(begins).map(|(_, what)| *what)
}

#[test]
fn the_search_finds_every_form() {
    let planted = [("naam", forms(b"Zandbergen"))];
    let base64 = STANDARD_NO_PAD.encode(b"x{\"naam\":\"Zandbergen\"}");
    let hex: String = b"Zandbergen".iter().map(|byte| format!("{byte:02X}")).collect();
    for hay in [&b"..Zandbergen.."[..], base64.as_bytes(), hex.as_bytes()] {
        assert_eq!(find(&planted, hay), Some("naam"));
    }
    assert_eq!(find(&planted, b"zand en bergen"), None);
}

pub(crate) fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// A case from referral to reading, with everything that must not be there put wherever a client could put it.
async fn play(network: &Network, players: &Players) {
    let (gemeente, client) = (&players.gemeente, players.gemeente.client());
    let case = gemeente.refer(Some(network.voprf(BSNS[0]))).await.unwrap().message.name;
    let content = format!("{} ({}): {CONTENT}", NAMES[0], BSNS[0]).repeat(200).into_bytes();
    let draft = Draft {
        case: case.clone(),
        why: AANMELDING,
        category: v1::Category::C06,
        form: v1::Form::P,
        roles: vec![v1::Role::R03],
        content,
    };
    let record = gemeente.publish(&draft).await.unwrap().message.record.unwrap().name;
    let theirs = network.database().await.case_name(&case, network.netwerk.oin()).await;
    let fetched = network.netwerk.fetch(&record, &theirs, &why("10", "aanmelding", v1::Role::R03)).await.unwrap();
    assert_eq!(fetched.content, draft.content);

    // Asked by subject, also of people of whom there is no case.
    for bsn in BSNS.iter().take(2) {
        let request = v1::GetCaseRequest {
            context: AANMELDING.context(),
            subject: subject(Some(network.voprf(bsn))),
            ..Default::default()
        };
        drop(client.call::<_, v1::Case>("Cases/GetCase", &request).await);
        let context = why("5", "beheer", v1::Role::R01).context();
        let request = v1::ResolvePseudonymRequest { context, subject: subject(Some(network.voprf(bsn))) };
        client.call::<_, v1::ResolvePseudonymResponse>("Pseudonyms/ResolvePseudonym", &request).await.unwrap();
    }
    spoil(network, players, &draft).await;
}

/// Every way of handing the hub what it must not have.
async fn spoil(network: &Network, players: &Players, draft: &Draft) {
    let client = players.gemeente.client();
    let mut refused = Vec::new();
    for planted in BSNS.iter().chain(&NAMES).chain([&CONTENT]) {
        let plain = Some(v1::Subject { id: Some(v1::subject::Id::Bsn((*planted).to_owned())) });
        let request = v1::ReferCaseRequest {
            request_id: id(),
            context: AANMELDING.context(),
            subject: plain,
            regime: regime(),
            holder: (*planted).to_owned(),
        };
        refused.push(client.send("/sluis.v1.Cases/ReferCase", vec![request.encode_to_vec()], 1).await);
        let context = FASE.context().map(|context| v1::RequestContext {
            article: (*planted).to_owned(),
            purpose: (*planted).to_owned(),
            user_ref: (*planted).to_owned(),
            ..context
        });
        let request = v1::AdvancePhaseRequest {
            request_id: (*planted).to_owned(),
            context,
            case: format!("cases/{planted}"),
            phase: 1,
        };
        refused.push(client.send("/sluis.v1.Cases/AdvancePhase", vec![request.encode_to_vec()], 1).await);
        let chunk = Some(v1::publish_record_request::Chunk::Plain(planted.as_bytes().to_vec().into()));
        let open = Some(players.gemeente.seal(draft).await.unwrap().open);
        let request = v1::PublishRecordRequest { open, chunk };
        refused.push(client.send("/sluis.v1.Records/PublishRecord", vec![request.encode_to_vec()], 1).await);
        refused.push(client.send("/sluis.v1.Cases/GetCase", vec![planted.as_bytes().to_vec()], 1).await);
        let path = format!("/sluis.v1.Cases/{}", planted.replace([' ', '.'], "-"));
        refused.push(client.send(&path, vec![Vec::new()], 1).await);
        let request = v1::GetPartnerRequest { name: format!("partners/{planted}") };
        refused.push(client.send("/sluis.v1.Directory/GetPartner", vec![request.encode_to_vec()], 1).await);
    }
    for bsn in BSNS {
        let context = FASE.context().map(|c| v1::RequestContext { reason: format!("over {bsn}"), ..c });
        let request = v1::AdvancePhaseRequest {
            request_id: id(),
            context,
            case: draft.case.clone(),
            phase: v1::Phase::F2 as i32,
        };
        refused.push(client.send("/sluis.v1.Cases/AdvancePhase", vec![request.encode_to_vec()], 1).await);
        let request = v1::SetPartnerStatusRequest {
            request_id: id(),
            name: players.expert.name(),
            status: v1::PartnerStatus::Suspended as i32,
            reason: format!("wegens {bsn}"),
            effective_time: None,
        };
        let operator = &network.operator.client;
        refused.push(operator.send("/sluis.v1.Registry/SetPartnerStatus", vec![request.encode_to_vec()], 1).await);
    }
    assert!(refused.iter().all(|outcome| outcome.status.is_some()), "something planted was taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_planted_is_written_logged_or_sent() {
    let logged = log::capture();
    let mut network = Network::start().await;
    let players = Players::join(&network).await;
    play(&network, &players).await;
    let outputs: Vec<Vec<u8>> = BSNS.iter().take(2).map(|bsn| network.voprf(bsn)).collect();

    let mut planted: Vec<(&str, Vec<Vec<u8>>)> =
        BSNS.iter().chain(&NAMES).chain([&CONTENT]).map(|text| (*text, forms(text.as_bytes()))).collect();
    planted.extend(outputs.iter().map(|output| ("VOPRF output", forms(output))));
    let check = |when: &str| {
        let mut found = Vec::new();
        network.data().iter().for_each(|folder| files(folder, &mut found));
        let database = if is_postgres() { "PG_VERSION" } else { "hub.db" };
        assert!(found.iter().any(|path| path.ends_with(database)));
        for path in found {
            // A server may have removed it meanwhile.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            assert_eq!(find(&planted, &bytes), None, "{when}: in {}", path.display());
        }
    };
    check("while the hub runs");
    network.stop().await;
    let mut found = Vec::new();
    network.data().iter().for_each(|folder| files(folder, &mut found));
    assert!(!found.is_empty());
    for path in found {
        // The database takes its own log away when it is closed.
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert_eq!(find(&planted, &bytes), None, "after the end: in {}", path.display());
    }
    let lines = logged.lock().unwrap().clone();
    assert!(lines.len() > 1000, "the log was captured");
    assert_eq!(find(&planted, &lines), None, "in the log");
    for client in [players.gemeente.client(), network.netwerk.client(), &network.operator.client] {
        let seen = client.seen();
        assert!(!seen.is_empty());
        assert_eq!(find(&planted, &seen), None, "in a reply");
    }
}
