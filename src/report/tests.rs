//! Events made by hand, and what each report says of them.

use std::sync::OnceLock;

use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::covenant::Covenant;
use crate::party::Role;
use crate::wire::{Numbered as _, partner_name, timestamp};

mod cases;
mod counts;
mod draw;
mod duties;

pub(super) const G: &str = "00000099100000000001";
pub(super) const Z: &str = "00000099100000000002";
pub(super) const N: &str = "00000099100000000003";
/// The first moment of the period.
pub(super) const START: OffsetDateTime = datetime!(2026-11-01 0:00 UTC);

pub(super) fn terms() -> Terms {
    static TERMS: OnceLock<Terms> = OnceLock::new();
    TERMS.get_or_init(|| Terms::of(&Covenant::embedded().unwrap())).clone()
}

pub(super) fn partner(oin: &str, name: &str) -> v1::Partner {
    v1::Partner {
        name: partner_name(oin),
        display_name: name.to_owned(),
        status: v1::PartnerStatus::Active as i32,
        accepted_covenant: 1,
        ..v1::Partner::default()
    }
}

/// November 2026, the whole network, with all of its history.
fn setting() -> Setting {
    Setting {
        from: START,
        until: datetime!(2026-12-01 0:00 UTC),
        as_of: datetime!(2026-12-01 0:00 UTC),
        since_start: true,
        scope: Scope::Network,
        terms: terms(),
        partners: vec![partner(G, "Gemeente G"), partner(Z, "Aanbieder Z"), partner(N, "Netwerk")],
        integrity: None,
    }
}

/// The event with this number, that many seconds after the start of the period.
pub(super) fn event(seconds: i64, method: &str, by: &str) -> v1::Event {
    let hash = ring::digest::digest(&ring::digest::SHA256, format!("{seconds} {method} {by}").as_bytes());
    let id = uuid::Uuid::from_slice(&hash.as_ref()[..16]).unwrap();
    v1::Event {
        name: format!("events/{id}"),
        time: Some(timestamp(START + Duration::seconds(seconds))),
        method: format!("sluis.v1.{method}"),
        outcome: v1::Outcome::Allowed as i32,
        organisation: partner_name(by),
        article: "18".to_owned(),
        ..v1::Event::default()
    }
}

/// The same in a case, with recipients.
pub(super) fn in_case(seconds: i64, method: &str, by: &str, recipients: &[&str]) -> v1::Event {
    let recipients = recipients.iter().map(|oin| partner_name(oin)).collect();
    v1::Event { case: "cases/x".to_owned(), recipients, ..event(seconds, method, by) }
}

pub(super) fn refused(seconds: i64, by: &str, reason: &str) -> v1::Event {
    let (outcome, reason) = (v1::Outcome::Refused as i32, reason.to_owned());
    v1::Event { outcome, reason, ..event(seconds, "Cases/GetCase", by) }
}

fn all(setting: Setting, events: &[v1::Event]) -> Vec<Report> {
    let mut reports = Reports::new(setting);
    events.iter().for_each(|event| reports.add(event));
    reports.finish()
}

fn one(setting: Setting, code: Code, events: &[v1::Event]) -> Report {
    all(setting, events).into_iter().find(|report| report.code == code).unwrap()
}

/// The rows of a table as they are written out in English.
fn cells(report: &Report, table: usize) -> Vec<Vec<String>> {
    let read = |row: &Vec<Cell>| row.iter().map(|cell| cell.get(Language::En).to_owned()).collect();
    report.tables[table].rows.iter().map(read).collect()
}

/// Signals with their level, in English.
fn signals(report: &Report) -> Vec<(Level, &str)> {
    report.signals.iter().map(|signal| (signal.level, signal.text.en.as_str())).collect()
}

#[test]
fn without_events_no_report_is_green() {
    for scope in [Scope::Network, Scope::Own(G.parse().unwrap())] {
        let reports = all(Setting { scope, partners: Vec::new(), ..setting() }, &[]);
        assert_eq!(reports.iter().map(|report| report.code).collect::<Vec<_>>(), Code::ALL);
        for report in reports {
            let green = report.signals.iter().any(|signal| signal.level == Level::Green);
            assert!(!green, "{} {:?}", report.code, report.signals);
            if let Availability::Missing(_) = report.availability {
                assert!(report.tables.is_empty() && report.signals.is_empty(), "{}", report.code);
                let text = markdown(&report, Language::Nl);
                assert!(text.contains("**Niet beschikbaar.**") && !text.contains("groen"), "{text}");
                assert!(csv(&report, Language::En)[0].text.contains("availability,missing\r\n"));
            }
        }
    }
}

#[test]
fn reports_without_facts_are_missing() {
    let reports = all(setting(), &[event(1, "Cases/GetCase", G)]);
    for code in [Code::Q7, Code::Q8, Code::Q13, Code::Q15] {
        let report = reports.iter().find(|report| report.code == code).unwrap();
        assert!(matches!(report.availability, Availability::Missing(_)), "{code}");
    }
    let erased = v1::Event { erased: vec!["actor".to_owned()], ..event(1, "Cases/GetCase", G) };
    let report = one(setting(), Code::Q7, &[erased]);
    assert!(matches!(report.availability, Availability::Partial(_)));
    assert_eq!(cells(&report, 0), [["events of which data was erased", "1"]]);
    assert_eq!(report.level(), None);
}

#[test]
fn what_is_outside_the_period_is_not_counted() {
    let late = datetime!(2026-11-15 0:00 UTC);
    for (setting, seconds, counted) in [
        (setting(), -1, false),
        (setting(), 0, true),
        (setting(), 30 * 86_400 - 1, true),
        (setting(), 30 * 86_400, false),
        (Setting { as_of: late, ..setting() }, 14 * 86_400, true),
        (Setting { as_of: late, ..setting() }, 14 * 86_400 + 1, false),
    ] {
        let report = one(setting, Code::Q2, &[event(seconds, "Cases/GetCase", G)]);
        assert_eq!(!matches!(report.availability, Availability::Missing(_)), counted, "{seconds}");
    }
}

#[test]
fn what_can_not_be_read_is_said() {
    let nameless = v1::Event { name: String::new(), ..event(1, "Cases/GetCase", G) };
    let timeless = v1::Event { time: None, ..event(1, "Cases/GetCase", G) };
    let report = one(setting(), Code::Q1, &[nameless, timeless, event(2, "Cases/Unheard", G)]);
    assert!(report.notes.iter().any(|note| note.en == "2 events could not be read and are not counted."));
}

#[test]
fn what_the_edge_refused_is_counted() {
    let unheard = v1::Event { method: String::new(), ..refused(1, "", "CERT_REVOKED") };
    let reports = all(setting(), &[unheard]);
    let found = |code| reports.iter().find(|report| report.code == code).unwrap();
    assert_eq!(cells(found(Code::Q2), 1), [["–", "CERT_REVOKED", "1"]]);
    assert_eq!(cells(found(Code::Q14), 1), [["2026-11", "CERT_REVOKED", "–", "1"]]);
    assert_eq!(cells(found(Code::Q11), 1)[0][5], "–");
}

#[test]
fn a_report_says_what_its_reader_does_not_see() {
    let own = Setting { scope: Scope::Own(G.parse().unwrap()), ..setting() };
    for report in all(own, &[event(1, "Cases/GetCase", G)]) {
        assert!(report.notes[0].nl.contains("de andere ontvangers niet"), "{}", report.code);
        assert_eq!(report.scope, G);
    }
}

#[test]
fn files_hold_the_moment_and_the_same_words() {
    let report = one(setting(), Code::Q2, &[event(1, "Cases/GetCase", G)]);
    let text = markdown(&report, Language::Nl);
    assert!(text.starts_with("# Q2 – Weigeringen per reden en partij\n\n- Periode: 2026-11-01T00:00:00Z – "), "{text}");
    assert!(text.contains("- Stand van: 2026-12-01T00:00:00Z\n- Bereik: het hele netwerk\n"), "{text}");
    assert!(text.contains("| Gemeente G (00000099100000000001) | 2026-11 | 1 | 0 | 0 | 0.0 |\n"), "{text}");
    let read: serde_json::Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    assert_eq!((&read["code"], &read["availability"]), (&"Q2".into(), &"complete".into()));
    assert_eq!(read["signals"][0]["level"], "green");
    let files = csv(&report, Language::En);
    assert_eq!(
        files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
        ["Q2.csv", "Q2-1.csv", "Q2-2.csv", "Q2-3.csv"]
    );
    assert!(files[3].text.starts_with("Partner,Month,Requests,Refused,Failed,Refused %\r\nGemeente G ("));
}

/// Some event of a small world.
fn events() -> impl Strategy<Value = v1::Event> {
    let methods: Vec<&str> = crate::method::METHODS.iter().map(|method| method.name).collect();
    let who = prop::sample::select(&[G, Z, N]);
    let recipients = prop::collection::vec(prop::sample::select(&[G, Z, N]), 0..3);
    let parts = (0_i64..40 * 86_400, prop::sample::select(methods), who, recipients, 1_i32..4, 1_i32..25);
    let more =
        (prop::sample::select(&["", "cases/x", "cases/y"]), prop::sample::select(&["", "u1", "u2"]), any::<bool>());
    (parts, more).prop_map(|((at, method, by, recipients, outcome, category), (case, user, emergency))| v1::Event {
        method: method.to_owned(),
        case: case.to_owned(),
        user_ref: user.to_owned(),
        emergency,
        outcome,
        reason: if outcome == 2 { "NOT_INVOLVED".to_owned() } else { String::new() },
        categories: vec![category],
        role: Role::R02.number(),
        consents: if emergency { vec!["c".to_owned()] } else { Vec::new() },
        recipients: recipients.into_iter().map(partner_name).collect(),
        ..event(at, method, by)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The order in which events come in changes no byte of any file.
    #[test]
    fn order_changes_nothing(
        (given, shuffled) in prop::collection::vec(events(), 0..60)
            .prop_map(|mut events| {
                events.sort_by(|a, b| a.name.cmp(&b.name));
                events.dedup_by(|a, b| a.name == b.name);
                events
            })
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        since_start in any::<bool>(),
        own in any::<bool>(),
    ) {
        let scope = if own { Scope::Own(G.parse().unwrap()) } else { Scope::Network };
        let setting = Setting { since_start, scope, ..setting() };
        let write = |events: &[v1::Event]| -> Vec<String> {
            let reports = all(setting.clone(), events);
            reports.iter().flat_map(|report| {
                let mut files: Vec<String> = csv(report, Language::En).into_iter().map(|file| file.text).collect();
                files.extend([json(report).unwrap(), markdown(report, Language::Nl), markdown(report, Language::En)]);
                files
            }).collect()
        };
        prop_assert_eq!(write(&given), write(&shuffled));
        for report in all(setting.clone(), &given) {
            for table in &report.tables {
                prop_assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{}", report.code);
            }
        }
    }
}
