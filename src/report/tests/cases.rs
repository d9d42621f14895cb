//! Q4, Q5, Q6 and Q10: what happened in a case, in order.

use super::*;

/// G refers, and is referrer and lead; N coordinates.
fn opened() -> v1::Event {
    in_case(1, "Cases/ReferCase", G, &[G, N])
}

fn assigned(seconds: i64, to: &str) -> v1::Event {
    in_case(seconds, "Cases/AssignRole", G, &[to])
}

fn ended(seconds: i64, of: &str) -> v1::Event {
    in_case(seconds, "Cases/EndRole", G, &[of])
}

fn reads(seconds: i64, by: &str) -> v1::Event {
    in_case(seconds, "Cases/GetCase", by, &[])
}

fn sends(seconds: i64, to: &str) -> v1::Event {
    in_case(seconds, "Records/PublishRecord", G, &[to])
}

/// Rows of the table without roles, and the level of the report.
fn found(setting: Setting, code: Code, events: &[v1::Event]) -> (usize, Option<Level>) {
    let report = one(setting, code, events);
    (report.tables.first().map_or(0, |table| table.rows.len()), report.level())
}

#[test]
fn whoever_acts_without_a_role_is_found() {
    let (good, red) = ((0, Some(Level::Green)), (1, Some(Level::Red)));
    let roster = |seconds, named: &[&str]| in_case(seconds, "Cases/AdvancePhase", G, named);
    let handed = |seconds, by, to| in_case(seconds, "Cases/HandOverCase", by, &[to]);
    let passed = |seconds, from: &str, to: &[&str]| {
        let method = if to.is_empty() { "Registry/SetPartnerStatus" } else { "Registry/SucceedPartner" };
        v1::Event {
            organisation: String::new(),
            source: format!("partners/{from}"),
            ..in_case(seconds, method, "", to)
        }
    };
    for (what, events, expected) in [
        ("an heir", vec![opened(), passed(4, G, &[Z]), reads(5, Z)], good),
        ("who is succeeded", vec![opened(), passed(4, G, &[Z]), reads(5, G)], red),
        (
            "both of its roles pass",
            vec![opened(), passed(4, G, &[Z]), in_case(5, "Cases/EndRole", N, &[Z]), reads(6, Z)],
            good,
        ),
        ("who left", vec![opened(), assigned(3, Z), passed(4, Z, &[]), reads(5, Z)], red),
        ("heir of who left", vec![opened(), passed(4, G, &[]), passed(5, G, &[Z]), reads(6, Z)], good),
        ("never", vec![opened(), reads(5, Z)], red),
        ("before", vec![opened(), reads(5, Z), assigned(6, Z)], red),
        ("with", vec![opened(), assigned(4, Z), reads(5, Z)], good),
        ("after", vec![opened(), assigned(4, Z), ended(5, Z), reads(6, Z)], red),
        ("one of two is left", vec![opened(), assigned(3, Z), assigned(4, Z), ended(5, Z), reads(6, Z)], good),
        (
            "none of two is left",
            vec![opened(), assigned(2, Z), assigned(3, Z), ended(4, Z), ended(5, Z), reads(6, Z)],
            red,
        ),
        ("not named any more", vec![opened(), assigned(4, Z), roster(5, &[G, N]), reads(6, Z)], red),
        ("named", vec![opened(), assigned(4, Z), roster(5, &[G, N, Z]), reads(6, Z)], good),
        ("a repeat names nobody", vec![opened(), assigned(4, Z), roster(5, &[]), reads(6, Z)], good),
        ("referrer still", vec![opened(), handed(4, G, Z), reads(5, G), reads(6, Z)], good),
        ("handed over twice", vec![opened(), handed(4, G, Z), handed(5, Z, G), handed(6, G, N), reads(7, Z)], red),
        ("a repeat of a hand-over", vec![opened(), handed(4, G, Z), handed(5, G, Z), reads(6, G)], good),
    ] {
        let counted = events.len();
        assert_eq!(found(setting(), Code::Q4, &events), expected, "{what} ({counted})");
    }
}

#[test]
fn an_escalation_gives_a_role_and_takes_it() {
    let starts = in_case(4, "Cases/StartEscalation", G, &[G, N, Z]);
    let ends = in_case(8, "Cases/EndEscalation", G, &[G, N]);
    let during = vec![opened(), starts, reads(5, Z)];
    assert_eq!(found(setting(), Code::Q4, &during), (0, Some(Level::Green)));
    let after = [during, vec![ends, reads(9, Z)]].concat();
    assert_eq!(found(setting(), Code::Q4, &after), (1, Some(Level::Red)));
}

#[test]
fn nobody_is_accused_for_history_that_was_not_read() {
    let part = Setting { since_start: false, ..setting() };
    assert_eq!(found(part.clone(), Code::Q4, &[reads(5, Z)]), (0, None));
    let report = one(part.clone(), Code::Q4, &[reads(5, Z)]);
    assert!(
        matches!(&report.availability, Availability::Partial(lacks) if lacks[0].en.starts_with("1 can't be judged"))
    );
    // It may have another role, from before.
    let given = [assigned(3, Z), ended(4, Z), reads(5, Z)];
    assert_eq!(found(part.clone(), Code::Q4, &given), (1, Some(Level::Amber)));
    assert_eq!(found(setting(), Code::Q4, &[given.to_vec(), vec![opened()]].concat()), (1, Some(Level::Red)));
    // The referral lies before the period: history, and enough.
    let earlier = in_case(-100, "Cases/ReferCase", G, &[G, N]);
    assert_eq!(found(part, Code::Q4, &[earlier, reads(5, Z)]), (1, Some(Level::Red)));
    assert_eq!(found(setting(), Code::Q4, &[]), (0, None));
}

#[test]
fn what_needs_no_role_is_not_accused() {
    let emergency = v1::Event { emergency: true, ..reads(5, Z) };
    let officer = in_case(5, "Audit/QueryEvents", Z, &[]);
    let sealed = in_case(5, "Records/AddRecipient", Z, &[G]);
    let denied = v1::Event { outcome: v1::Outcome::Refused as i32, ..reads(5, Z) };
    let learns = v1::Event { article: "33".to_owned(), ..in_case(5, "Records/FetchRecord", Z, &[Z]) };
    for event in [emergency, officer, sealed, denied, learns] {
        assert_eq!(found(setting(), Code::Q4, &[opened(), event, reads(6, G)]), (0, Some(Level::Green)));
    }
}

#[test]
fn a_closed_case_answers_rights_only() {
    let closed = in_case(5, "Cases/CloseCase", G, &[G, N]);
    for (article, late) in [("18", 1), ("32", 1), ("33", 0), ("35", 0), ("37", 0), ("38", 1), ("", 1)] {
        let read = v1::Event { article: article.to_owned(), ..reads(6, G) };
        let report = one(setting(), Code::Q4, &[opened(), closed.clone(), read]);
        assert_eq!(cells(&report, 1).len(), late, "{article}");
        assert_eq!(report.level(), Some(if late > 0 { Level::Red } else { Level::Green }), "{article}");
    }
    let before = one(setting(), Code::Q4, &[opened(), reads(4, G), closed]);
    assert!(cells(&before, 1).is_empty());
}

#[test]
fn what_went_outside_the_case_is_found() {
    for (what, events, expected) in [
        ("inside", vec![opened(), sends(5, N)], (0, Some(Level::Green))),
        ("outside", vec![opened(), sends(5, Z)], (1, Some(Level::Red))),
        ("given a role", vec![opened(), assigned(4, Z), sends(5, Z)], (0, Some(Level::Green))),
        ("role ended", vec![opened(), assigned(3, Z), ended(4, Z), sends(5, Z)], (1, Some(Level::Red))),
        ("nothing sent", vec![opened(), reads(5, G)], (0, None)),
    ] {
        assert_eq!(found(setting(), Code::Q10, &events), expected, "{what}");
    }
    let report = one(setting(), Code::Q10, &[opened(), sends(5, Z)]);
    let row = &cells(&report, 0)[0];
    assert_eq!((row[0].as_str(), row[2].as_str()), ("2026-11-01", format!("Aanbieder Z ({Z})").as_str()));
    assert_eq!(row[3..], ["Records/PublishRecord", "cases/x", "18"]);
}

#[test]
fn a_partners_officer_judges_its_own_organisation_only() {
    let own = Setting { scope: Scope::Own(Z.parse().unwrap()), ..setting() };
    // G reads without a role that Z could know of; Z itself has one, and loses it.
    let events = [assigned(2, Z), reads(3, G), reads(4, Z), sends(5, Z), in_case(6, "Cases/EndRole", G, &[Z])];
    assert_eq!(found(own.clone(), Code::Q4, &events), (0, Some(Level::Green)));
    assert_eq!(found(own.clone(), Code::Q10, &events), (0, Some(Level::Green)));
    let after = [events.to_vec(), vec![reads(7, Z), sends(8, Z)]].concat();
    assert_eq!(found(own.clone(), Code::Q4, &after), (1, Some(Level::Red)));
    assert_eq!(found(own.clone(), Code::Q10, &after), (1, Some(Level::Red)));
    let report = one(own, Code::Q10, &events);
    assert!(matches!(&report.availability, Availability::Partial(lacks) if lacks[0].en.starts_with("Only your own")));
}

/// The same event, whose case does not show.
fn hidden(event: v1::Event, erased: &[&str]) -> v1::Event {
    v1::Event { case: String::new(), erased: erased.iter().map(|group| (*group).to_owned()).collect(), ..event }
}

#[test]
fn what_shows_no_case_is_never_green() {
    let on = |article: &str, event: v1::Event| v1::Event { article: article.to_owned(), ..event };
    let (no, one_of) = (0, 1);
    for (what, event, calls, deliveries) in [
        ("read, no name for the case", hidden(reads(5, G), &[]), one_of, no),
        ("read, erased", hidden(reads(5, G), &["subject", "case", "data"]), one_of, no),
        ("sent", hidden(sends(5, N), &[]), one_of, one_of),
        (
            "sent, recipients erased too",
            hidden(in_case(5, "Records/PublishRecord", G, &[]), &["case", "data"]),
            one_of,
            one_of,
        ),
        ("sent without a role, after closing or not", on("32", hidden(sends(5, N), &["case"])), one_of, no),
        ("rights need no open case and no role", on("33", hidden(reads(5, G), &[])), no, no),
        ("there need be no case", on("20", hidden(sends(5, N), &[])), no, no),
        ("refused", hidden(refused(5, G, "NOT_INVOLVED"), &["case"]), no, no),
        ("a list", hidden(event(5, "Cases/ListCases", G), &["case"]), no, no),
        ("no case's", hidden(event(5, "Directory/ListPartners", G), &["case"]), no, no),
    ] {
        let judged = [opened(), reads(6, G), sends(7, N)];
        for (code, hidden) in [(Code::Q4, calls), (Code::Q10, deliveries)] {
            let report = one(setting(), code, &[&judged[..], std::slice::from_ref(&event)].concat());
            assert_eq!(report.level(), Some(if hidden > 0 { Level::Amber } else { Level::Green }), "{what}, {code}");
            let says = format!("{hidden} events can't be judged: their case does not show");
            assert_eq!(signals(&report).contains(&(Level::Amber, &says)), hidden > 0, "{what}, {code}");
            let said = format!("{hidden} events in a case can't be judged");
            let lacks =
                matches!(&report.availability, Availability::Partial(l) if l.iter().any(|l| l.en.starts_with(&said)));
            assert_eq!(lacks, hidden > 0, "{what}, {code}");
            let alone = one(setting(), code, std::slice::from_ref(&event));
            assert_eq!(matches!(alone.availability, Availability::Missing(_)), hidden == 0, "{what}, {code}");
        }
    }
    // Sure is sure.
    let found = one(setting(), Code::Q4, &[opened(), reads(5, Z), hidden(reads(6, G), &["case"])]);
    assert_eq!(found.level(), Some(Level::Red));
}

#[test]
fn a_partners_officer_is_told_of_its_own_hidden_cases_only() {
    let own = Setting { scope: Scope::Own(G.parse().unwrap()), ..setting() };
    let sent_on = |by, to| hidden(in_case(5, "Records/PublishRecord", by, &[to]), &[]);
    for (what, event, level) in
        [("to us", sent_on(Z, G), Some(Level::Amber)), ("among others", sent_on(Z, N), Some(Level::Green))]
    {
        let report = one(own.clone(), Code::Q10, &[opened(), in_case(6, "Records/PublishRecord", N, &[G]), event]);
        assert_eq!(report.level(), level, "{what}");
    }
}

#[test]
fn nobody_is_accused_for_history_that_was_erased() {
    let erased = |event| hidden(event, &["subject", "case", "data"]);
    let earlier = in_case(-100, "Cases/AssignRole", G, &[Z]);
    for (what, events, expected) in [
        ("before the referral", vec![erased(earlier), opened(), reads(5, Z)], (1, Some(Level::Red))),
        ("a role", vec![opened(), erased(assigned(3, Z)), reads(5, Z)], (0, Some(Level::Amber))),
        ("afterwards", vec![opened(), reads(5, Z), erased(assigned(6, Z))], (1, Some(Level::Red))),
        ("a look", vec![opened(), erased(reads(3, G)), reads(5, Z)], (1, Some(Level::Red))),
        (
            "a second role",
            vec![opened(), assigned(2, Z), erased(assigned(3, Z)), ended(4, Z), reads(5, Z)],
            (1, Some(Level::Amber)),
        ),
        ("of another case", vec![opened(), hidden(assigned(3, Z), &[]), reads(5, Z)], (1, Some(Level::Red))),
    ] {
        assert_eq!(found(setting(), Code::Q4, &events), expected, "{what}");
    }
}

fn on_consent(event: v1::Event, consent: &str) -> v1::Event {
    v1::Event { consents: vec![consent.to_owned()], ..event }
}

#[test]
fn disclosure_stops_after_withdrawal() {
    let withdrawn = on_consent(in_case(100, "Consents/WithdrawConsent", G, &[G, N]), "c1");
    let sent = |seconds, consent| on_consent(sends(seconds, N), consent);
    for (what, events, level, stopped) in [
        ("never told", vec![], None, "–"),
        ("used before", vec![sent(99, "c1")], Some(Level::Green), "nothing after it"),
        ("another", vec![sent(200, "c2")], Some(Level::Green), "nothing after it"),
        ("in time", vec![sent(159, "c1")], Some(Level::Green), "59 s"),
        ("just in time", vec![sent(160, "c1"), sent(99, "c1")], Some(Level::Green), "60 s"),
        ("late", vec![sent(160, "c1"), sent(161, "c1")], Some(Level::Red), "61 s"),
    ] {
        let report = one(setting(), Code::Q6, &[events, vec![withdrawn.clone()]].concat());
        assert_eq!(report.level(), level, "{what}");
        let g = format!("Gemeente G ({G})");
        assert_eq!(cells(&report, 0), [["2026-11-01", &g, "cases/x", "c1", "2", stopped]], "{what}");
    }
    let again = on_consent(in_case(300, "Consents/WithdrawConsent", G, &[]), "c1");
    let report = one(setting(), Code::Q6, &[again, withdrawn, sent(250, "c1")]);
    assert_eq!((cells(&report, 0)[0][5].as_str(), cells(&report, 0).len()), ("150 s", 1));
    let restricted = one(setting(), Code::Q6, &[in_case(5, "Cases/RestrictCase", G, &[G])]);
    assert_eq!((restricted.level(), cells(&restricted, 1).len()), (None, 1));
}

#[test]
fn consent_that_ends_soon_is_named() {
    let recorded = |days: i64| on_consent(in_case(days * 86_400 + 43_200, "Consents/RecordConsent", G, &[]), "c1");
    // Six months before the report is 1 June; day 0 is 1 November.
    let june = -153;
    for (days, soon) in [(june - 1, false), (june, true), (june + 14, true), (june + 15, false)] {
        let report = one(setting(), Code::Q5, &[recorded(days), reads(5, G)]);
        assert_eq!(cells(&report, 2).len(), usize::from(soon), "{days}");
        assert_eq!(report.level(), Some(if soon { Level::Amber } else { Level::Green }), "{days}");
    }
    let withdrawn = on_consent(in_case(5, "Consents/WithdrawConsent", G, &[]), "c1");
    let report = one(setting(), Code::Q5, &[recorded(june), withdrawn]);
    assert!(cells(&report, 2).is_empty());
    assert_eq!(cells(&report, 0), [[format!("Gemeente G ({G})"), "0".to_owned(), "1".to_owned()]]);
}

#[test]
fn refusals_for_consent_are_counted() {
    let events = [refused(1, Z, "CONSENT_MISSING"), refused(2, Z, "CONSENT_MISSING"), refused(3, Z, "NOT_INVOLVED")];
    let report = one(setting(), Code::Q5, &events);
    assert_eq!(cells(&report, 1), [[format!("Aanbieder Z ({Z})"), "CONSENT_MISSING".to_owned(), "2".to_owned()]]);
    assert_eq!(report.level(), Some(Level::Amber));
}
