//! Q7, Q8, Q13 and Q15: what the log tells of them, and what it does not.

use super::*;

/// What an event lost when it was erased for its age.
fn emptied(event: v1::Event) -> v1::Event {
    let groups = ["actor", "subject", "case", "data", "decision", "network"];
    v1::Event { erased: groups.map(ToOwned::to_owned).to_vec(), ..event }
}

#[test]
fn events_past_their_term_must_be_empty() {
    // Seven years before the report is 1 December 2019; the hub has a day for it.
    let end = (datetime!(2019-11-30 0:00 UTC) - START).whole_seconds();
    let old = |seconds| event(seconds, "Cases/GetCase", G);
    let actor = v1::Event { erased: vec!["actor".to_owned()], ..old(end - 1) };
    for (what, event, level, row) in [
        ("not yet", old(end), None, None),
        ("past, and as it was", old(end - 1), Some(Level::Red), Some(["work on cases", "7", "1", "1"])),
        ("past, and partly erased", actor, Some(Level::Red), Some(["work on cases", "7", "1", "1"])),
        ("past, and empty", emptied(old(end - 1)), Some(Level::Green), Some(["work on cases", "7", "1", "0"])),
        (
            "of the log",
            emptied(event(end - 1, "Audit/QueryEvents", G)),
            Some(Level::Green),
            Some(["reading the log", "7", "1", "0"]),
        ),
        (
            "of the register",
            event(end - 1, "Registry/RegisterPartner", N),
            Some(Level::Red),
            Some(["administration", "7", "1", "1"]),
        ),
    ] {
        let report = one(setting(), Code::Q7, &[event]);
        assert_eq!(report.level(), level, "{what}");
        match row {
            Some(row) => assert_eq!(cells(&report, 1), [row], "{what}"),
            None => assert!(matches!(report.availability, Availability::Missing(_)), "{what}"),
        }
    }
}

#[test]
fn an_erasure_is_named_with_its_ground() {
    let ground = "bewaartermijn van 7 jaar verstreken (casus)";
    let erasure = |seconds, by| v1::Event { motivation: ground.to_owned(), ..event(seconds, "Audit/EraseEvents", by) };
    let refused = v1::Event { outcome: v1::Outcome::Refused as i32, ..erasure(3, G) };
    let report = one(setting(), Code::Q7, &[erasure(1, ""), erasure(2, N), refused, erasure(-1, N)]);
    let rows: Vec<_> = cells(&report, 2).into_iter().map(|row| (row[2].clone(), row[3].clone())).collect();
    assert_eq!(
        rows,
        [("the service itself".to_owned(), ground.to_owned()), (format!("Netwerk ({N})"), ground.to_owned())]
    );
    let part = Setting { since_start: false, ..setting() };
    let lacks = |setting| match one(setting, Code::Q7, &[erasure(1, N)]).availability {
        Availability::Partial(lacks) => lacks.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((lacks(setting()), lacks(part)), (1, 2), "older events were not read");
}

fn on(article: &str, event: v1::Event) -> v1::Event {
    v1::Event { article: article.to_owned(), ..event }
}

#[test]
fn what_was_given_under_the_rights_of_data_subjects_is_listed() {
    let given = on("34", in_case(5, "Consents/ListConsents", G, &[]));
    let denied =
        v1::Event { outcome: v1::Outcome::Refused as i32, ..on("34", in_case(6, "Consents/ListConsents", Z, &[])) };
    let report = one(setting(), Code::Q8, &[given, denied.clone(), on("35", in_case(7, "Cases/RestrictCase", G, &[]))]);
    assert_eq!(cells(&report, 0).len(), 1);
    assert_eq!(cells(&report, 0)[0][2..], [&format!("Gemeente G ({G})"), "Consents/ListConsents", "cases/x"]);
    assert!(matches!(&report.availability, Availability::Partial(l) if l[0].en.contains("the term (1 month)")));
    assert_eq!(report.level(), None, "nothing tells whether the answer was in time");
    assert!(matches!(one(setting(), Code::Q8, &[denied]).availability, Availability::Missing(_)));
}

#[test]
fn what_went_to_the_monitor_and_came_from_it_is_counted() {
    let sent = |seconds, article| on(article, event(seconds, "Records/PublishRecord", G));
    let fetched = on("31", event(4, "Records/FetchRecord", N));
    let report = one(setting(), Code::Q13, &[sent(1, "31"), sent(2, "31"), sent(3, "32"), fetched, sent(5, "18")]);
    let (g, n) = (format!("Gemeente G ({G})"), format!("Netwerk ({N})"));
    assert_eq!(
        cells(&report, 0),
        [
            ["2026-11", "31", "Records/FetchRecord", &n, "1"],
            ["2026-11", "31", "Records/PublishRecord", &g, "2"],
            ["2026-11", "32", "Records/PublishRecord", &g, "1"],
        ]
    );
    assert!(matches!(&report.availability, Availability::Partial(l) if l[0].en.contains("below 10")));
    assert_eq!(report.level(), None);
    assert!(matches!(one(setting(), Code::Q13, &[sent(5, "18")]).availability, Availability::Missing(_)));
}

#[test]
fn of_breaches_the_missing_facts_are_named() {
    let revoked = event(1, "Registry/RevokeCertificate", N);
    let Availability::Missing(why) = one(setting(), Code::Q15, &[revoked]).availability else { panic!("missing") };
    assert!(why.nl.contains("wanneer zij is ontdekt") && why.en.contains("24 and 72 hours"), "{why:?}");
}
