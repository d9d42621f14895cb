//! Registers made by hand, and what operators see of them.

use time::Duration;
use time::macros::datetime;

use super::*;
use crate::wire::{partner_name, timestamp};

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const A: &str = "00000099100001410000";
const B: &str = "00000099100001420000";
const C: &str = "00000099200000010000";

use v1::CertificateState as Wire;

/// A certificate of an organisation's systems, in the set `g1` under the issuer `CN=G1`.
fn known(oin: &str, state: Wire, days: i64) -> v1::RegisteredCertificate {
    let is_used = state != Wire::Announced;
    v1::RegisteredCertificate {
        key_hash: format!("{oin}-{days}-{}", state as i32),
        oin: oin.to_owned(),
        holder: v1::HolderKind::Organisation as i32,
        state: state as i32,
        expire_time: Some(timestamp(NOW + Duration::days(days))),
        issuer: "CN=G1".to_owned(),
        set: if is_used { "g1".to_owned() } else { String::new() },
        ..Default::default()
    }
}

fn under(set: &str, known: v1::RegisteredCertificate) -> v1::RegisteredCertificate {
    let is_used = known.state() != Wire::Announced;
    let seen = if is_used { set.to_owned() } else { String::new() };
    v1::RegisteredCertificate { issuer: format!("CN={}", set.to_uppercase()), set: seen, ..known }
}

fn partner(oin: &str, status: v1::PartnerStatus) -> v1::Partner {
    let display_name = format!("Organisatie {oin}");
    v1::Partner { name: partner_name(oin), display_name, status: status as i32, ..v1::Partner::default() }
}

fn fleet(registered: &[v1::RegisteredCertificate]) -> Fleet {
    Fleet::of(registered, &[partner(A, v1::PartnerStatus::Active)])
}

#[test]
fn what_ends_is_what_somebody_will_miss() {
    for (state, days, within, found) in [
        (Wire::Active, 91, 90, false),
        (Wire::Active, 90, 90, true),
        (Wire::Active, 89, 90, true),
        (Wire::Active, 61, 60, false),
        (Wire::Active, 60, 60, true),
        (Wire::Active, 31, 30, false),
        (Wire::Active, 30, 30, true),
        (Wire::Active, 8, 7, false),
        (Wire::Active, 7, 7, true),
        (Wire::Active, 0, 0, true),
        (Wire::Active, -400, 0, true),
        (Wire::Announced, 30, 30, true),
        (Wire::Retiring, 1, 90, false),
        (Wire::Retired, 1, 90, false),
        (Wire::Revoked, 1, 90, false),
    ] {
        let fleet = fleet(&[known(A, state, days)]);
        assert_eq!(!fleet.ending(NOW, within).is_empty(), found, "{state:?}, {days} days, within {within}");
    }
    // Part of a day is no day: in 90 days and an hour it still has 90 days.
    let mut nearly = known(A, Wire::Active, 90);
    nearly.expire_time = Some(timestamp(NOW + Duration::days(90) + Duration::hours(23)));
    assert_eq!(fleet(&[nearly]).ending(NOW, 90).len(), 1);
}

#[test]
fn the_first_to_end_comes_first_whatever_their_number() {
    let many: Vec<_> = (0..600).map(|nth| known([A, B, C][nth % 3], Wire::Active, (nth as i64 * 7919) % 800)).collect();
    let fleet = fleet(&many);
    assert_eq!((fleet.certificates.len(), fleet.unread), (600, 0));
    let ending = fleet.ending(NOW, 90);
    assert!(ending.is_sorted_by_key(|one| one.end) && ending.len() > 40, "{}", ending.len());
    assert!(ending.iter().all(|one| one.days_left(NOW) <= 90));
    let forecast = fleet.forecast(NOW);
    let all: usize = forecast.months.iter().map(|month| month.renewals).sum();
    assert_eq!(all + forecast.ended + forecast.later, 600);
    assert!(forecast.months.iter().all(|month| month.organisations <= 3));
}

#[test]
fn who_left_is_not_looked_at_and_what_can_not_be_read_is_counted() {
    let unknown = v1::RegisteredCertificate { state: 99, ..known(A, Wire::Active, 1) };
    let endless = v1::RegisteredCertificate { expire_time: None, ..known(A, Wire::Active, 1) };
    let registered =
        [known(A, Wire::Active, 1), known(B, Wire::Active, 1), known(C, Wire::Active, 1), unknown, endless];
    let partners = [
        partner(A, v1::PartnerStatus::Active),
        partner(B, v1::PartnerStatus::Withdrawn),
        partner(C, v1::PartnerStatus::Suspended),
    ];
    let fleet = Fleet::of(&registered, &partners);
    let who: Vec<&str> = fleet.certificates.iter().map(|one| one.oin.as_str()).collect();
    assert_eq!((who, fleet.unread), (vec![A, C], 2));
    assert_eq!(fleet.certificates[0].name, format!("Organisatie {A}"));
    assert_eq!(fleet.certificates[0].holder, "organisation");
    let all = Fleet::with_all(&registered, &partners);
    assert_eq!(all.certificates.iter().map(|one| one.oin.as_str()).collect::<Vec<_>>(), [A, B, C]);
}

#[test]
fn an_empty_register_has_nothing_in_any_month() {
    let fleet = fleet(&[]);
    assert!(fleet.ending(NOW, u16::MAX).is_empty());
    let forecast = fleet.forecast(NOW);
    assert!(forecast.months.len() == MONTHS && forecast.months.iter().all(|month| month.renewals == 0));
    assert!(fleet.inventory().organisations.is_empty() && fleet.inventory().places.is_empty());
    assert!(svg(&forecast).contains("none in any of the months"));
}

#[test]
fn a_month_holds_what_ends_in_it() {
    use time::macros::datetime as at;
    for (end, month) in [
        (at!(2026-11-22 11:59:59 UTC), "ended"),
        (at!(2026-11-22 12:00 UTC), "ended"),
        (at!(2026-11-22 12:00:01 UTC), "2026-11"),
        (at!(2026-11-30 23:59:59 UTC), "2026-11"),
        (at!(2026-12-01 0:00 UTC), "2026-12"),
        // In the Netherlands it is the new year already.
        (at!(2026-12-31 23:30 UTC), "2026-12"),
        (at!(2027-01-01 0:00 UTC), "2027-01"),
        (at!(2028-02-29 23:59:59 UTC), "2028-02"),
        (at!(2028-10-31 23:59:59 UTC), "2028-10"),
        (at!(2028-11-01 0:00 UTC), "later"),
        (at!(2099-01-01 0:00 UTC), "later"),
    ] {
        let one = v1::RegisteredCertificate { expire_time: Some(timestamp(end)), ..known(A, Wire::Active, 0) };
        let forecast = fleet(&[one]).forecast(NOW);
        let found = match forecast {
            Forecast { ended: 1, later: 0, .. } => "ended",
            Forecast { ended: 0, later: 1, .. } => "later",
            _ => &forecast.months.iter().find(|month| month.renewals == 1).unwrap().name,
        };
        assert_eq!(found, month, "{end}");
    }
    let forecast = fleet(&[known(A, Wire::Active, 20), known(A, Wire::Active, 21), known(B, Wire::Announced, 22)]);
    let december = forecast.forecast(NOW).months.remove(1);
    assert_eq!(december, Month { name: "2026-12".to_owned(), renewals: 3, organisations: 2 });
    let first = |now| fleet(&[]).forecast(now).months.swap_remove(0).name;
    assert_eq!(first(at!(2027-01-31 23:59 UTC)), "2027-01");
    assert_eq!(first(at!(2027-02-01 0:30 +1)), "2027-01", "in UTC it is January");
}

#[test]
fn everybody_is_somewhere_between_two_roots() {
    use Wire::{Active, Announced, Retired, Retiring, Revoked};
    let old = |state| known(A, state, 300);
    let new = |state| under("g4", known(A, state, 301));
    let elsewhere = |state| under("own", known(A, state, 302));
    let cases: [(&[v1::RegisteredCertificate], Option<Progress>); 16] = [
        (&[old(Active)], Some(Progress::Only)),
        (&[old(Announced)], Some(Progress::Only)),
        (&[old(Retiring)], Some(Progress::Only)),
        (&[old(Active), new(Announced)], Some(Progress::Announced)),
        (&[new(Announced)], Some(Progress::Announced)),
        (&[old(Active), new(Active)], Some(Progress::Both)),
        (&[old(Retiring), new(Active)], Some(Progress::Both)),
        (&[old(Announced), new(Active)], Some(Progress::Both)),
        (&[new(Active)], Some(Progress::Moved)),
        (&[new(Active), new(Announced)], Some(Progress::Moved)),
        // What is retired or revoked does not count, on either side.
        (&[old(Retired), new(Active)], Some(Progress::Moved)),
        (&[old(Revoked), new(Active)], Some(Progress::Moved)),
        (&[old(Active), new(Revoked)], Some(Progress::Only)),
        (&[old(Active), new(Retired)], Some(Progress::Only)),
        (&[elsewhere(Active)], Some(Progress::Neither)),
        (&[old(Revoked), new(Retired)], None),
    ];
    let (from, to) = (["g1".to_owned()], ["g4".to_owned()]);
    for (registered, expected) in cases {
        // Others' calls tell in which sets the issuers stand.
        let others = [known(B, Active, 400), under("g4", known(C, Active, 400))];
        let fleet = fleet(&[registered, &others].concat());
        let inventory = fleet.inventory();
        let found = inventory.progress(&from, &to).into_iter().find(|(_, one)| one.oin == A).map(|(how, _)| how);
        let states: Vec<_> = registered.iter().map(|one| (one.issuer.as_str(), one.state())).collect();
        assert_eq!(found, expected, "{states:?}");
    }
}

#[test]
fn an_issuer_that_nobody_used_yet_has_no_set_and_is_named_by_its_name() {
    let registered = [known(A, Wire::Active, 300), under("g4", known(A, Wire::Announced, 700))];
    let fleet = fleet(&registered);
    let inventory = fleet.inventory();
    let places: Vec<(Option<&str>, &str)> =
        inventory.places.iter().map(|place| (place.set.as_deref(), place.issuer.as_str())).collect();
    assert_eq!(places, [(None, "CN=G4"), (Some("g1"), "CN=G1")]);
    let how = |to: &str| inventory.progress(&["g1".to_owned()], &[to.to_owned()])[0].0;
    assert_eq!((how("g4"), how("CN=G4"), how("CN=")), (Progress::Only, Progress::Announced, Progress::Moved));
}

#[test]
fn an_organisation_on_two_roots_is_only_at_neither() {
    let mut old = known(B, Wire::Active, 10);
    (old.set, old.issuer) = (String::new(), String::new());
    let registered = [
        known(A, Wire::Active, 300),
        known(A, Wire::Active, 301),
        under("g4", known(A, Wire::Announced, 700)),
        under("g4", known(C, Wire::Active, 700)),
        old,
    ];
    let fleet = fleet(&registered);
    let inventory = fleet.inventory();
    let only: Vec<(&str, Vec<&str>)> = inventory
        .places
        .iter()
        .map(|place| (place.issuer.as_str(), inventory.only_at(place).map(|one| one.oin.as_str()).collect()))
        .collect();
    assert_eq!(only, [("", vec![B]), ("CN=G1", vec![]), ("CN=G4", vec![C])]);
    let counts: Vec<Counts> = inventory.organisations[0].at.values().copied().collect();
    let active = Counts { active: 2, ..Counts::default() };
    assert_eq!(counts, [active, Counts { announced: 1, ..Counts::default() }]);
}

#[test]
fn a_picture_is_well_formed_and_says_the_same_in_words() {
    let fleet = fleet(&[known(A, Wire::Active, 20), known(B, Wire::Active, 21), known(C, Wire::Active, 60)]);
    let picture = svg(&fleet.forecast(NOW));
    let document: Vec<_> = ::svg::read(&picture).unwrap().collect();
    let errors = document.iter().filter(|event| matches!(event, ::svg::parser::Event::Error(_))).count();
    assert_eq!(errors, 0, "{picture}");
    for words in
        ["<svg ", "role=\"img\"", "<title id=\"title\">", "2026-12: 2, 2027-01: 1; ended already: 0", "2028-10"]
    {
        assert!(picture.contains(words), "{words} in {picture}");
    }
    // The ground, and a bar for each of the two months that have any.
    assert_eq!(picture.matches("<rect ").count(), 3);
    // The tallest stands on the ground and stays below the title.
    assert!(picture.contains("height=\"230\"") && picture.contains("height=\"115\""), "{picture}");
}
