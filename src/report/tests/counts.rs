//! Q1, Q2, Q3, Q9, Q12 and Q14.

use super::*;
use crate::party::Category;

fn many(count: i64, make: impl Fn(i64) -> v1::Event) -> Vec<v1::Event> {
    (0..count).map(make).collect()
}

#[test]
fn disclosures_by_article_category_partner_and_month() {
    let shared = v1::Event {
        categories: vec![Category::C08.number(), Category::C14.number()],
        clauses: vec!["21.a".to_owned(), "nothing".to_owned()],
        consents: vec!["c1".to_owned()],
        article: "21".to_owned(),
        ..in_case(5, "Records/PublishRecord", G, &[Z, N])
    };
    let read = v1::Event { categories: vec![8], ..in_case(6, "Records/FetchRecord", Z, &[Z]) };
    let denied = v1::Event { outcome: v1::Outcome::Refused as i32, name: "events/".to_owned() + NIL, ..read.clone() };
    let december = v1::Event { categories: vec![8], ..in_case(30 * 86_400 - 1, "Records/FetchRecord", Z, &[Z]) };
    let report = one(setting(), Code::Q1, &[shared, read, denied, december, event(7, "Audit/QueryEvents", G)]);
    let basis = format!("{} T", terms().bases["21.a"].join(" "));
    let (g, z) = (format!("Gemeente G ({G})"), format!("Aanbieder Z ({Z})"));
    let expected = [
        ["2026-11", "sent", "21", "C08", &g, &basis, "1", "2"],
        ["2026-11", "sent", "21", "C14", &g, &basis, "1", "2"],
        ["2026-11", "fetched", "18", "C08", &z, "–", "1", "1"],
        ["2026-12", "fetched", "18", "C08", &z, "–", "1", "1"],
    ];
    assert_eq!(cells(&report, 0), expected);
    assert_eq!(report.availability, Availability::Complete);
}

const NIL: &str = "00000000-0000-0000-0000-000000000000";

#[test]
fn sensitive_data_is_judged_where_the_phase_is_known() {
    let health = |seconds, article: &str| v1::Event {
        categories: vec![Category::C09.number()],
        article: article.to_owned(),
        ..in_case(seconds, "Records/PublishRecord", G, &[])
    };
    let opened = in_case(1, "Cases/ReferCase", G, &[G, N]);
    let moved = in_case(10, "Cases/AdvancePhase", G, &[G, N]);
    let chosen = in_case(20, "Cases/ChooseProvider", G, &[G, N]);
    let closed = in_case(30, "Cases/CloseCase", G, &[G, N]);
    let red = (Level::Red, "C09–C13 outside F3–F6: 1 times");
    let amber = (Level::Amber, "C09–C13 outside F3–F6: 1 times, under an article that allows other phases");
    let green = (Level::Green, "no C09–C13 outside F3–F6 where the phase is known");
    for (events, expected, known) in [
        (vec![opened.clone(), health(5, "15")], vec![red], true),
        (vec![opened.clone(), health(5, "23")], vec![amber], true),
        (vec![opened.clone(), moved.clone(), health(15, "15")], vec![], false),
        (vec![opened.clone(), moved.clone(), chosen.clone(), health(25, "21")], vec![green], true),
        (vec![opened.clone(), chosen, closed, health(35, "15")], vec![red], true),
        (vec![health(5, "15")], vec![], false),
    ] {
        let report = one(setting(), Code::Q1, &events);
        assert_eq!(signals(&report), expected);
        assert_eq!(report.availability == Availability::Complete, known);
        assert_eq!(cells(&report, 1).len(), expected.iter().filter(|(level, _)| *level > Level::Green).count());
    }
}

#[test]
fn denials_speak_above_their_share_only() {
    for (refusals, level) in [(4, Level::Green), (5, Level::Green), (6, Level::Amber)] {
        let mut events = many(100 - refusals, |nth| event(nth, "Cases/GetCase", G));
        events.extend(many(refusals, |nth| refused(1000 + nth, G, "CONSENT_MISSING")));
        let report = one(setting(), Code::Q2, &events);
        assert_eq!(report.level(), Some(level), "{refusals}");
        assert_eq!(
            cells(&report, 1),
            [[format!("Gemeente G ({G})"), "CONSENT_MISSING".to_owned(), refusals.to_string()]]
        );
        let month = &cells(&report, 2)[0];
        assert_eq!(month[1..], ["2026-11", "100", &refusals.to_string(), "0", &format!("{refusals}.0")]);
    }
}

#[test]
fn trying_again_and_again_is_found_by_employee_and_day() {
    let attempt =
        |seconds, user: &str, reason: &str| v1::Event { user_ref: user.to_owned(), ..refused(seconds, Z, reason) };
    // The day in the Netherlands ends at 23:00 UTC.
    let midnight = 23 * 3600;
    let red = |events: &[v1::Event]| {
        let report = one(setting(), Code::Q2, events);
        let red = report.level() == Some(Level::Red);
        assert_eq!(red, !cells(&report, 0).is_empty());
        red
    };
    let three = [attempt(1, "u", "NOT_INVOLVED"), attempt(2, "u", "CASE_UNKNOWN"), attempt(3, "u", "NOT_INVOLVED")];
    assert!(red(&three));
    assert!(!red(&three[..2]));
    for (last, why) in [
        (attempt(midnight, "u", "NOT_INVOLVED"), "another day"),
        (attempt(3, "v", "NOT_INVOLVED"), "another employee"),
        (attempt(3, "u", "CONSENT_MISSING"), "another reason"),
        (attempt(3, "", "NOT_INVOLVED"), "an employee whom the reader does not see"),
    ] {
        assert!(!red(&[three[0].clone(), three[1].clone(), last]), "{why}");
    }
    assert!(red(&[three[0].clone(), three[1].clone(), attempt(midnight - 1, "u", "NOT_INVOLVED")]));
}

#[test]
fn break_glass_is_listed_and_counted_by_month() {
    let used = |seconds| v1::Event {
        emergency: true,
        user_ref: "u7".to_owned(),
        motivation: "=politie brengt jongen".to_owned(),
        ..in_case(seconds, "Cases/GetCase", Z, &[])
    };
    let report = one(setting(), Code::Q3, &[used(60)]);
    assert_eq!(signals(&report), [(Level::Amber, "break-glass 1 times: find out whether each was reviewed")]);
    let row = &cells(&report, 0)[0];
    assert_eq!(
        row[2..],
        [&format!("Aanbieder Z ({Z})"), "u7", "cases/x", "allowed", "=politie brengt jongen", "not recorded"]
    );
    assert!(csv(&report, Language::Nl)[1].text.contains("'=politie brengt jongen"));
    assert_eq!(one(setting(), Code::Q3, &[used(60), used(90)]).level(), Some(Level::Red));
    let attempt =
        v1::Event { outcome: v1::Outcome::Refused as i32, reason: "BREAKGLASS_REASON".to_owned(), ..used(90) };
    let report = one(setting(), Code::Q3, &[used(60), attempt]);
    assert_eq!((report.level(), cells(&report, 0)[1][5].as_str()), (Some(Level::Amber), "refused: BREAKGLASS_REASON"));
    let none = one(setting(), Code::Q3, &[event(1, "Cases/GetCase", Z)]);
    assert_eq!(none.level(), None);
    assert!(matches!(none.availability, Availability::Partial(_)));
}

#[test]
fn the_log_is_judged_by_its_proof() {
    let proof = Integrity {
        verified: true,
        tree_size: 12,
        copied_at: Some(datetime!(2026-12-01 8:00 UTC)),
        unproven: Some(0),
        clock_back_seconds: Some(1),
    };
    for (integrity, level, whole) in [
        (None, Level::Amber, false),
        (Some(proof.clone()), Level::Green, true),
        (Some(Integrity { clock_back_seconds: Some(2), ..proof.clone() }), Level::Red, true),
        (Some(Integrity { clock_back_seconds: None, ..proof.clone() }), Level::Green, false),
        (Some(Integrity { unproven: Some(1), ..proof.clone() }), Level::Red, true),
        (Some(Integrity { verified: false, ..proof.clone() }), Level::Red, true),
        (Some(Integrity { copied_at: Some(datetime!(2026-11-30 0:00 UTC)), ..proof.clone() }), Level::Green, false),
        (Some(Integrity { copied_at: None, ..proof.clone() }), Level::Green, false),
    ] {
        let report = one(Setting { integrity: integrity.clone(), ..setting() }, Code::Q9, &[]);
        assert_eq!(report.level(), Some(level), "{integrity:?}");
        assert_eq!(report.availability == Availability::Complete, whole, "{integrity:?}");
    }
    for (copied_at, says) in [(proof.copied_at, "2026-12-01T08:00:00Z"), (None, "–")] {
        let report =
            one(Setting { integrity: Some(Integrity { copied_at, ..proof.clone() }), ..setting() }, Code::Q9, &[]);
        assert_eq!(cells(&report, 0)[0][0], says);
    }
    let reader = |seconds, outcome: v1::Outcome| v1::Event {
        user_ref: "fg".to_owned(),
        outcome: outcome as i32,
        ..event(seconds, "Audit/QueryEvents", G)
    };
    let events = [reader(1, v1::Outcome::Allowed), reader(2, v1::Outcome::Allowed), reader(3, v1::Outcome::Refused)];
    let report = one(Setting { integrity: Some(proof), ..setting() }, Code::Q9, &events);
    let row = [&format!("Gemeente G ({G})"), "fg", "Audit/QueryEvents", "2026-11", "2", "1"];
    assert_eq!(cells(&report, 1), [row]);
    assert_eq!(report.level(), Some(Level::Amber));
}

#[test]
fn articles_stand_out_by_share_and_by_silence() {
    let on = |seconds, article: &str| v1::Event { article: article.to_owned(), ..event(seconds, "Cases/GetCase", G) };
    for (narrow, level) in [(39, Level::Green), (40, Level::Green), (41, Level::Amber)] {
        let mut events = many(narrow, |nth| on(nth, "12"));
        events.extend(many(100 - narrow, |nth| on(1000 + nth, ["18", "21"][usize::from(nth % 2 == 0)])));
        let report = one(setting(), Code::Q12, &events);
        assert_eq!(report.level(), Some(level), "{narrow}");
        let share = format!("{narrow}.0");
        assert_eq!(cells(&report, 0)[0], ["12", &narrow.to_string(), "0", &share]);
    }
    let year = Setting { from: datetime!(2025-12-01 0:00 UTC), ..setting() };
    let almost = Setting { from: datetime!(2025-12-02 0:00 UTC), ..setting() };
    let says = |setting, events: &[v1::Event]| {
        let report = one(setting, Code::Q12, events);
        report.signals.iter().any(|signal| signal.text.en.starts_with("unused for 12 months"))
    };
    assert!(says(year.clone(), &[on(1, "12")]));
    assert!(!says(almost, &[on(1, "12")]));
    let every: Vec<v1::Event> =
        terms().articles.iter().map(|article| on(i64::from(article.number()), &article.to_string())).collect();
    assert!(!says(year.clone(), &every));
    assert!(!says(Setting { scope: Scope::Own(G.parse().unwrap()), ..year }, &[on(1, "12")]));
}

#[test]
fn a_version_that_was_not_accepted_is_red() {
    for (status, accepted, level) in [
        (v1::PartnerStatus::Active, 1, Level::Green),
        (v1::PartnerStatus::Active, 0, Level::Red),
        (v1::PartnerStatus::Withdrawn, 0, Level::Green),
    ] {
        let partner = v1::Partner { status: status as i32, accepted_covenant: accepted, ..partner(G, "Gemeente G") };
        let report = one(Setting { partners: vec![partner], ..setting() }, Code::Q12, &[]);
        assert_eq!(report.level(), Some(level), "{status:?} {accepted}");
    }
}

/// A directory entry with a certificate that ends so many days after the moment of the report.
fn certified(days: i64, as_of: OffsetDateTime) -> v1::Partner {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.not_before = as_of - Duration::days(365);
    parameters.not_after = as_of + Duration::days(days);
    let chain = vec![parameters.self_signed(&key).unwrap().der().to_vec()];
    v1::Partner {
        keys: Some(v1::KeySet { certificate_chain: chain, ..v1::KeySet::default() }),
        ..partner(G, "Gemeente G")
    }
}

#[test]
fn certificates_that_end_soon_are_named() {
    let as_of = setting().as_of;
    for (days, level) in [
        (90, Level::Green),
        (60, Level::Green),
        (59, Level::Amber),
        (30, Level::Amber),
        (29, Level::Red),
        (-1, Level::Red),
    ] {
        let report = one(Setting { partners: vec![certified(days, as_of)], ..setting() }, Code::Q14, &[]);
        assert_eq!(report.level(), Some(level), "{days}");
        assert_ne!(cells(&report, 0)[0][2], "–");
    }
    let none = one(setting(), Code::Q14, &[refused(1, "", "PARTNER_UNKNOWN"), refused(2, Z, "CONSENT_MISSING")]);
    assert_eq!(signals(&none), [(Level::Amber, "refused 1 times for the certificate or an unknown party")]);
    assert_eq!(cells(&none, 0)[0][2], "–");
    assert_eq!(cells(&none, 1), [["2026-11", "PARTNER_UNKNOWN", "–", "1"]]);
}

#[test]
fn shares_are_rounded_and_compared_exactly() {
    for (part, whole, expected) in [(0, 0, "0.0"), (1, 3, "33.3"), (2, 3, "66.7"), (1, 2000, "0.1"), (3, 3, "100.0")] {
        assert_eq!(model::share(part, whole), expected);
    }
    for (part, whole, over) in [(5, 100, false), (51, 1000, true), (0, 0, false), (u64::MAX, u64::MAX, true)] {
        assert_eq!(model::exceeds(part, whole, 5), over);
    }
}

/// The hub's own word that a certificate of G ends so many days after the moment of the report.
fn warned(seconds: i64, key: &str, days: i64) -> v1::Event {
    let end = setting().as_of + Duration::days(days);
    v1::Event {
        action: "E".to_owned(),
        source: partner_name(G),
        key_hash: key.to_owned(),
        motivation: crate::ending::Warning { step: crate::ending::Step::Days90, end }.to_string(),
        ..event(seconds, "Registry/ListCertificates", "")
    }
}

/// The hub's own word of the first call of an organisation with a key.
fn used(seconds: i64, oin: &str) -> v1::Event {
    v1::Event {
        action: "U".to_owned(),
        source: partner_name(oin),
        ..event(seconds, "Registry/RegisterCertificate", oin)
    }
}

#[test]
fn what_the_hub_warned_of_is_told() {
    let none: Option<Level> = None;
    for (days, then, level) in [
        (80, None, none),
        (60, None, none),
        (59, None, Some(Level::Amber)),
        (30, None, Some(Level::Amber)),
        (29, None, Some(Level::Red)),
        (-1, None, Some(Level::Red)),
        // Another certificate is in use since: which one's place it takes, nobody knows.
        (29, Some(used(20, G)), Some(Level::Amber)),
        (29, Some(used(5, G)), Some(Level::Red)),
        (29, Some(used(20, Z)), Some(Level::Red)),
    ] {
        let events: Vec<v1::Event> = std::iter::once(warned(10, "k1", days)).chain(then.clone()).collect();
        let report = one(setting(), Code::Q14, &events);
        let found = report.signals.iter().filter(|signal| signal.text.en.contains("the hub warned")).map(|s| s.level);
        assert_eq!(found.max(), level, "{days} days, {then:?}");
    }
    // A directory in which nothing ends soon does not make it green.
    let directory = Setting { partners: vec![certified(400, setting().as_of)], ..setting() };
    let report = one(directory, Code::Q14, &[warned(10, "k1", 20)]);
    assert!(!signals(&report).iter().any(|(_, text)| text.contains("no known certificate")));
}

#[test]
fn of_each_certificate_the_last_warning_stands_and_others_are_no_warnings() {
    let erased = v1::Event { motivation: String::new(), ..warned(14, "k9", 20) };
    // An operator who lists, and a refusal, warn of nothing.
    let listed = v1::Event { action: "R".to_owned(), ..event(15, "Registry/ListCertificates", N) };
    let failed = v1::Event { outcome: v1::Outcome::Refused as i32, ..warned(16, "k8", 20) };
    let events = [warned(10, "k1", 70), warned(12, "k1", 71), warned(11, "k2", 65), erased, listed, failed];
    let report = one(setting(), Code::Q14, &events);
    let rows = cells(&report, 3);
    let short: Vec<(&str, &str)> = rows.iter().map(|row| (row[1].as_str(), row[2].as_str())).collect();
    assert_eq!(short, [("k2", "2027-02-04"), ("k1", "2027-02-10")]);
    assert_eq!((rows[0][4].as_str(), rows[0][5].as_str()), ("90", "no"));
    let Availability::Partial(lacks) = &report.availability else { panic!() };
    assert!(lacks.iter().any(|lack| lack.en == "What 1 warnings said was erased."), "{lacks:?}");
    assert!(lacks.iter().any(|lack| lack.en.contains("90 days before it")), "{lacks:?}");
}

#[test]
fn changes_of_the_register_are_counted_by_what_they_were() {
    let by_operator = |seconds, method: &str| v1::Event { source: partner_name(G), ..event(seconds, method, N) };
    let registered = v1::Event { action: "C".to_owned(), ..by_operator(1, "Registry/RegisterCertificate") };
    let events = [
        registered,
        used(2, G),
        by_operator(3, "Registry/RetireCertificate"),
        by_operator(4, "Registry/RevokeCertificate"),
        by_operator(5, "Registry/RegisterPartner"),
    ];
    let report = one(setting(), Code::Q14, &events);
    let found: Vec<String> = cells(&report, 2).into_iter().map(|row| format!("{} {}", row[2], row[3])).collect();
    assert_eq!(found, ["registered 1", "used for the first time 1", "end set after it was replaced 1", "revoked 1"]);
}

#[test]
fn what_a_supplier_did_in_somebodys_name_stands_beside_q1() {
    let supplier = "00000099900000000009";
    let via = |event: v1::Event| v1::Event { via: supplier.to_owned(), ..event };
    let events = [
        via(in_case(1, "Cases/GetCase", G, &[])),
        via(in_case(2, "Cases/GetCase", G, &[])),
        via(refused(3, G, "NOT_INVOLVED")),
        via(in_case(4, "Cases/GetCase", Z, &[])),
        in_case(5, "Cases/GetCase", N, &[]),
    ];
    let report = one(setting(), Code::Q1, &events);
    let table = report.tables.iter().position(|table| table.columns.len() == 5).unwrap();
    let rows = cells(&report, table);
    let (g, z) = (format!("Gemeente G ({G})"), format!("Aanbieder Z ({Z})"));
    let expected = [[&*g, supplier, "2026-11", "2", "1"], [&*z, supplier, "2026-11", "1", "0"]];
    assert_eq!(rows, expected);
    let without = one(setting(), Code::Q1, &events[4..]);
    assert_eq!(without.tables.len() + 1, report.tables.len());
}
