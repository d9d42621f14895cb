//! Q11.

use std::collections::BTreeSet;

use super::*;

fn drawn(setting: Setting, events: &[v1::Event]) -> Vec<Vec<String>> {
    cells(&one(setting, Code::Q11, events), 1)
}

fn of_case(count: i64) -> Vec<v1::Event> {
    (0..count).map(|nth| in_case(nth, "Cases/GetCase", G, &[])).collect()
}

#[test]
fn a_sample_is_a_share_and_at_least_so_many() {
    for (events, expected) in [(10, 10), (25, 25), (26, 25), (499, 25), (500, 25), (501, 26), (2000, 100), (2001, 101)]
    {
        let rows = drawn(setting(), &of_case(events));
        assert_eq!(rows.len(), expected, "{events}");
        let names: BTreeSet<&String> = rows.iter().map(|row| &row[4]).collect();
        assert_eq!(names.len(), expected, "each once");
    }
}

#[test]
fn every_partner_and_outcome_is_in_it() {
    let mut events = of_case(1000);
    events.push(in_case(1, "Cases/GetCase", Z, &[]));
    events.push(refused(2, Z, "NOT_INVOLVED"));
    let rows = drawn(setting(), &events);
    let strata: Vec<(&str, &str)> = rows.iter().map(|row| (row[1].as_str(), row[2].as_str())).collect();
    let z = format!("Aanbieder Z ({Z})");
    assert_eq!(rows.len(), 52);
    assert!(strata.contains(&(&z, "allowed")) && strata.contains(&(&z, "refused")));
}

#[test]
fn quarters_are_drawn_apart() {
    let long = Setting { from: datetime!(2026-09-01 0:00 UTC), ..setting() };
    let earlier = |nth: i64| in_case(nth - 40 * 86_400, "Cases/GetCase", G, &[]);
    let events: Vec<v1::Event> = (0..30).map(earlier).chain(of_case(30)).collect();
    let report = one(long, Code::Q11, &events);
    assert_eq!(cells(&report, 0), [["2026-K3", "30", "25"], ["2026-K4", "30", "25"]]);
}

#[test]
fn the_draw_is_the_same_for_everybody_and_no_other_for_another_period() {
    let events = of_case(400);
    let first = drawn(setting(), &events);
    assert_eq!(first, drawn(setting(), &events.iter().rev().cloned().collect::<Vec<_>>()));
    let another = Setting { until: datetime!(2026-12-02 0:00 UTC), ..setting() };
    assert_ne!(first, drawn(another, &events));
    assert_ne!(first, drawn(Setting { scope: Scope::Own(G.parse().unwrap()), ..setting() }, &events));
}

#[test]
fn only_what_concerns_somebody_or_was_refused_is_drawn() {
    let nobody = event(1, "Directory/ListPartners", G);
    assert!(matches!(one(setting(), Code::Q11, std::slice::from_ref(&nobody)).availability, Availability::Missing(_)));
    let subject = v1::Event { subject: "p".to_owned(), ..event(2, "Pseudonyms/ResolvePseudonym", G) };
    assert_eq!(drawn(setting(), &[nobody, subject, refused(3, G, "NOT_INVOLVED")]).len(), 2);
}

#[test]
fn what_shows_no_case_is_counted_and_not_passed_over() {
    let hidden = |seconds, erased: &[&str]| v1::Event {
        erased: erased.iter().map(|group| (*group).to_owned()).collect(),
        ..event(seconds, "Cases/GetCase", G)
    };
    let subject = v1::Event { subject: "p".to_owned(), ..hidden(3, &[]) };
    for (events, level, drawn) in [
        (vec![in_case(1, "Cases/GetCase", G, &[])], None, 1),
        (vec![in_case(1, "Cases/GetCase", G, &[]), hidden(2, &[]), hidden(3, &["case"])], Some(Level::Amber), 1),
        (vec![hidden(2, &["case"])], Some(Level::Amber), 0),
        (vec![subject], None, 1),
    ] {
        let report = one(setting(), Code::Q11, &events);
        assert_eq!((report.level(), cells(&report, 1).len()), (level, drawn));
        let Availability::Partial(lacks) = &report.availability else { panic!("{:?}", report.availability) };
        assert_eq!(lacks.iter().any(|text| text.en.contains("can't be judged")), level.is_some());
    }
}

/// The place of an event in the draw is documented, so it must not change.
#[test]
fn the_draw_is_as_documented() {
    let events = of_case(26);
    let mut seed = ring::digest::Context::new(&ring::digest::SHA256);
    seed.update(b"sluis/report/sample/v1\x001793491200\x001796083200\x00network\x00");
    let place = |event: &v1::Event| {
        let mut hash = seed.clone();
        hash.update(event.name.as_bytes());
        hash.update(&[0]);
        hash.finish().as_ref()[..8].to_vec()
    };
    let last = events.iter().max_by_key(|event| place(event)).unwrap();
    let rows = drawn(setting(), &events);
    assert!(!rows.iter().any(|row| row[4] == last.name));
}
