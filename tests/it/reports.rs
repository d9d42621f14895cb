//! Reports and overview from what a hub really logs: the story of a case as two officers read it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use sluis::api::v1;
use sluis::covenant::Covenant;
use sluis::report::{Ask, Availability, Code, Language, Level, Report, Reports, Scope, Setting, Terms, overview};
use time::Duration;

use crate::calls::Client;
use crate::direct::{Draft, Players, why};
use crate::exports::says;
use crate::network::{AANBIEDER, GEMEENTE, Network, Party, id, now};

/// Everything that an officer sees, page by page.
async fn events(officer: &Client, start: time::OffsetDateTime) -> Vec<v1::Event> {
    let stamp = |at| Some(sluis::wire::timestamp(at));
    let mut request = v1::QueryEventsRequest {
        context: why("36", "verantwoording", v1::Role::R14).context(),
        start_time: stamp(start),
        end_time: stamp(start + Duration::days(30)),
        page_size: 20,
        ..v1::QueryEventsRequest::default()
    };
    let mut events = Vec::new();
    loop {
        let page: v1::QueryEventsResponse = officer.call("Audit/QueryEvents", &request).await.unwrap().message;
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            return events;
        }
        request.page_token = page.next_page_token;
    }
}

fn reports(events: &[v1::Event], scope: Scope, partners: &[v1::Partner], start: time::OffsetDateTime) -> Vec<Report> {
    let mut reports = Reports::new(Setting {
        from: start,
        until: start + Duration::days(30),
        as_of: start + Duration::days(30),
        since_start: true,
        scope,
        terms: Terms::of(&Covenant::embedded().unwrap()),
        partners: partners.to_vec(),
        integrity: None,
    });
    events.iter().for_each(|event| reports.add(event));
    reports.finish()
}

fn report(reports: &[Report], code: Code) -> &Report {
    reports.iter().find(|report| report.code == code).unwrap()
}

fn rows(reports: &[Report], code: Code, table: usize) -> usize {
    report(reports, code).tables[table].rows.len()
}

/// A case from referral to closing, with a role that ends, a consent that is withdrawn and a call that is refused.
async fn story(players: &Players) -> String {
    let gemeente = &players.gemeente;
    let case = gemeente.refer(None).await.unwrap().message.name;
    gemeente.move_to(&case, v1::Phase::F2).await;
    gemeente.assign(&case, v1::Role::R07, &players.aanbieder).await.unwrap();
    let draft = Draft::of_participants(&case);
    gemeente.publish(&draft).await.unwrap();
    let expert = gemeente.assign(&case, v1::Role::R05, &players.expert).await.unwrap().message.name;
    let consent = gemeente.consent(&case, &["14"], &[v1::Category::C08], &[v1::Role::R02]).await.unwrap().message.name;
    gemeente.withdraw(&consent).await.unwrap();
    gemeente.end_role(&expert).await.unwrap();
    let look = v1::GetCaseRequest {
        context: why("18", "hulp", v1::Role::R07).context(),
        name: "cases/00000000-0000-4000-8000-000000000000".to_owned(),
        ..v1::GetCaseRequest::default()
    };
    players.aanbieder.client().call::<_, v1::Case>("Cases/GetCase", &look).await.unwrap_err();
    gemeente.move_to(&case, v1::Phase::F7).await;
    let close = v1::CloseCaseRequest {
        request_id: id(),
        context: why("37", "beheer", v1::Role::R02).context(),
        case: case.clone(),
        end_reason: "31".to_owned(),
    };
    gemeente.client().call::<_, v1::Case>("Cases/CloseCase", &close).await.unwrap();
    case
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lawful_case_gives_no_signal_of_access() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let start = now() - Duration::hours(1);
    let case = story(&players).await;
    let list = v1::ListPartnersRequest::default();
    let listed: v1::ListPartnersResponse =
        network.officer.client.call("Directory/ListPartners", &list).await.unwrap().message;
    let all = events(&network.officer.client, start).await;

    let whole = reports(&all, Scope::Network, &listed.partners, start);
    let unread = |report: &Report| report.notes.iter().any(|note| note.en.contains("could not be read"));
    assert!(!whole.iter().any(unread));
    for code in [Code::Q4, Code::Q10] {
        assert_eq!(report(&whole, code).level(), Some(Level::Green), "{:?}", report(&whole, code));
        assert_eq!(report(&whole, code).availability, Availability::Complete, "{code}");
    }
    // On which consent a disclosure rested the log does not say: silence is not green.
    assert_eq!((rows(&whole, Code::Q6, 0), report(&whole, Code::Q6).level()), (1, None));
    assert_eq!(rows(&whole, Code::Q5, 0), 1);
    assert!(rows(&whole, Code::Q1, 0) >= 1 && rows(&whole, Code::Q2, 1) >= 1);
    assert!(rows(&whole, Code::Q11, 1) >= 10);

    // A partner's officer: what the own organisation did, and no more.
    for (oin, party) in [(GEMEENTE, &players.gemeente), (AANBIEDER, &players.aanbieder)] {
        let officer = network.certificate(oin).await;
        network.register_certificate(&officer, v1::HolderKind::Officer, &format!("fg-{oin}")).await;
        let own = events(&officer.client, start).await;
        assert!(own.len() < all.len());
        let scope = Scope::Own(party.oin().clone());
        let made = reports(&own, scope.clone(), &listed.partners, start);
        assert!(report(&made, Code::Q4).level().is_none_or(|level| level == Level::Green), "{oin}");
        assert_eq!(report(&made, Code::Q10).level(), Some(Level::Green), "{oin}");
        if oin == GEMEENTE {
            family(&own, &case, scope, listed.partners.clone(), start, party);
        }
    }
}

fn family(
    events: &[v1::Event],
    case: &str,
    scope: Scope,
    partners: Vec<v1::Partner>,
    start: time::OffsetDateTime,
    party: &Party,
) {
    let ask = Ask {
        cases: BTreeSet::from([case.to_owned()]),
        subjects: BTreeSet::new(),
        listed: BTreeSet::new(),
        from: start,
        until: start + Duration::days(30),
        as_of: start + Duration::days(30),
        scope,
        partners,
        refusals: true,
        events: false,
    };
    let text = overview(events, &ask, Language::Nl).markdown();
    for words in ["meldde de zaak aan", "deelde informatie", "trok uw toestemming in", "sloot de zaak af"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    for hidden in [case, "proef.medewerker", "proef van toewijzen", "events/"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert!(!text.contains(party.oin().as_str()), "organisations go by their names: {text}");
}

/// Whoever has a report, its signature and the network's root needs nothing of ours.
pub(crate) fn are_signed(folder: &Path, anchors: &Path) {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (signatures, reports): (Vec<PathBuf>, Vec<PathBuf>) =
        names.partition(|path| path.extension().is_some_and(|extension| extension == "p7s"));
    assert!(!reports.is_empty() && reports.len() == signatures.len(), "{reports:?}, {signatures:?}");
    for report in reports {
        let verified = || {
            let mut openssl = Command::new("openssl");
            openssl.args(["cms", "-verify", "-binary", "-purpose", "any", "-inform", "DER", "-CAfile"]).arg(anchors);
            openssl.arg("-in").arg(format!("{}.p7s", report.display())).arg("-content").arg(&report);
            says(openssl.arg("-out").arg("/dev/null"), b"")
        };
        let (good, said) = verified();
        assert!(good, "{}: {said}", report.display());
        let text = std::fs::read(&report).unwrap();
        std::fs::write(&report, [&text[..], b" "].concat()).unwrap();
        let (good, said) = verified();
        assert!(!good, "{}: {said}", report.display());
        std::fs::write(&report, text).unwrap();
    }
}
