use time::macros::datetime;

use super::*;
use crate::covenant::Covenant;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn rules() -> ConsentRules {
    Covenant::embedded().unwrap().consent().clone()
}

fn regime(band: AgeBand) -> Regime {
    Regime {
        band,
        capable: true,
        youth_alone: false,
        authority: BTreeSet::from([Giver::Parent1, Giver::Parent2]),
        represented: false,
    }
}

fn oin(last: u8) -> Oin {
    format!("000000991000014100{last:02}").parse().unwrap()
}

fn given(giver: Giver) -> Given {
    Given {
        giver,
        regime: regime(AgeBand::From12),
        scope: Scope {
            articles: BTreeSet::from([Article::new(15).unwrap()]),
            categories: BTreeSet::from([Category::C09]),
            recipients: BTreeSet::from([oin(3)]),
            recipient_roles: BTreeSet::new(),
            sources: BTreeSet::from([oin(1)]),
        },
        explicit: true,
        given_at: datetime!(2026-10-01 12:00 UTC),
        valid_until: datetime!(2027-03-01 12:00 UTC),
        withdrawn_at: None,
    }
}

fn everybody() -> Vec<Given> {
    [Giver::Youth, Giver::Parent1, Giver::Parent2].map(given).to_vec()
}

fn state_for(given: &[Given], recipient: u8, source: u8, explicit: bool) -> ConsentState {
    let (recipient, source) = (oin(recipient), oin(source));
    let ask = Ask {
        article: Article::new(15).unwrap(),
        category: Category::C09,
        recipient: Some(&recipient),
        recipient_role: Role::R06,
        source: Some(&source),
    };
    ConsentState::of(&rules().complete(NOW, &regime(AgeBand::From12), given, &ask, explicit))
}

fn state(given: &[Given]) -> ConsentState {
    state_for(given, 3, 1, true)
}

#[test]
fn givers_follow_the_truth_table() {
    use Giver::{Guardian, Parent1, Parent2, Representative, Youth};
    let rules = rules();
    let parents = || BTreeSet::from([Parent1, Parent2]);
    let incapable = |band| Regime { capable: false, ..regime(band) };
    for (regime, expected) in [
        (regime(AgeBand::Under12), Some(parents())),
        (incapable(AgeBand::Under12), Some(parents())),
        (regime(AgeBand::From12), Some(BTreeSet::from([Youth, Parent1, Parent2]))),
        (Regime { youth_alone: true, ..regime(AgeBand::From12) }, Some(BTreeSet::from([Youth]))),
        (Regime { youth_alone: true, ..incapable(AgeBand::From12) }, Some(parents())),
        (incapable(AgeBand::From12), Some(parents())),
        (regime(AgeBand::From16), Some(BTreeSet::from([Youth]))),
        (incapable(AgeBand::From16), Some(parents())),
        (regime(AgeBand::From18), Some(BTreeSet::from([Youth]))),
        (Regime { represented: true, ..regime(AgeBand::From18) }, Some(BTreeSet::from([Representative]))),
        (incapable(AgeBand::From18), None),
        (Regime { authority: BTreeSet::new(), ..regime(AgeBand::Under12) }, None),
        (
            Regime { authority: BTreeSet::from([Guardian]), ..regime(AgeBand::Under12) },
            Some(BTreeSet::from([Guardian])),
        ),
    ] {
        assert_eq!(rules.required_givers(&regime), expected, "{regime:?}");
    }
}

#[test]
fn all_who_must_have_given() {
    assert_eq!(state(&[]), ConsentState::Missing);
    assert_eq!(state(&everybody()[..2]), ConsentState::Incomplete);
    assert_eq!(state(&everybody()), ConsentState::Complete);
}

#[test]
fn consent_covers_what_it_names() {
    let all = everybody();
    assert_eq!(state_for(&all, 4, 1, true), ConsentState::Missing, "another recipient");
    assert_eq!(state_for(&all, 3, 2, true), ConsentState::Missing, "another source");
    let change = |change: fn(&mut Given)| {
        let mut all = everybody();
        all.iter_mut().for_each(change);
        all
    };
    assert_eq!(state(&change(|g| g.scope.articles.clear())), ConsentState::Missing);
    assert_eq!(state(&change(|g| g.scope.categories.clear())), ConsentState::Missing);
    assert_eq!(state(&change(|g| g.scope.recipients.clear())), ConsentState::Missing);
    let any_source = change(|g| g.scope.sources.clear());
    assert_eq!(state_for(&any_source, 3, 1, false), ConsentState::Complete);
    assert_eq!(state_for(&any_source, 3, 1, true), ConsentState::Missing, "explicit consent names its source");
    let by_role = change(|g| {
        g.scope.recipients.clear();
        g.scope.recipient_roles.insert(Role::R06);
    });
    assert_eq!(state_for(&by_role, 4, 1, false), ConsentState::Complete);
    assert_eq!(state_for(&by_role, 4, 1, true), ConsentState::Missing, "explicit consent names its recipient");
    assert_eq!(state(&change(|g| g.explicit = false)), ConsentState::Missing);
}

#[test]
fn time_withdrawal_and_birthdays_end_consent() {
    let with = |change: fn(&mut Given)| {
        let mut all = everybody();
        change(&mut all[0]);
        state(&all)
    };
    assert_eq!(with(|g| g.valid_until = NOW), ConsentState::Expired);
    assert_eq!(with(|g| g.given_at = datetime!(2026-05-21 12:00 UTC)), ConsentState::Expired, "six months at most");
    assert_eq!(with(|g| g.given_at = datetime!(2026-05-21 12:01 UTC)), ConsentState::Complete);
    assert_eq!(with(|g| g.withdrawn_at = Some(NOW)), ConsentState::Withdrawn);
    assert_eq!(with(|g| g.withdrawn_at = Some(datetime!(2026-11-21 12:01 UTC))), ConsentState::Complete, "not yet");
    assert_eq!(with(|g| g.given_at = datetime!(2026-11-21 12:01 UTC)), ConsentState::Incomplete, "not yet given");
    assert_eq!(with(|g| g.regime.band = AgeBand::Under12), ConsentState::RegimeChanged);
    assert_eq!(with(|g| g.regime.capable = false), ConsentState::RegimeChanged);
}

#[test]
fn a_withdrawal_ends_older_consents_and_not_newer_ones() {
    let mut all = everybody();
    let mut again = given(Giver::Youth);
    all[0].withdrawn_at = Some(datetime!(2026-10-10 12:00 UTC));
    again.given_at = datetime!(2026-10-05 12:00 UTC);
    all.push(again.clone());
    assert_eq!(state(&all), ConsentState::Withdrawn);
    all[3].given_at = datetime!(2026-10-11 12:00 UTC);
    assert_eq!(state(&all), ConsentState::Complete);
}

#[test]
fn parents_consent_from_before_the_birthday_is_told_apart() {
    let mut parents = [Giver::Parent1, Giver::Parent2].map(given);
    for consent in &mut parents {
        consent.regime.band = AgeBand::Under12;
    }
    assert_eq!(state(&parents), ConsentState::RegimeChanged);
}

/// Each part of the regime counts: the youth alone gave, and then the regime is made one in which that would do.
#[test]
fn no_change_of_regime_makes_an_old_consent_sufficient() {
    let change = |change: fn(&mut Regime)| {
        let mut now = regime(AgeBand::From12);
        change(&mut now);
        now
    };
    let rules = rules();
    let recipient = oin(3);
    let source = oin(1);
    let ask = Ask {
        article: Article::new(15).unwrap(),
        category: Category::C09,
        recipient: Some(&recipient),
        recipient_role: Role::R06,
        source: Some(&source),
    };
    for now in [
        change(|r| r.youth_alone = true),
        change(|r| r.capable = false),
        change(|r| r.band = AgeBand::From16),
        change(|r| r.band = AgeBand::From18),
        change(|r| r.represented = true),
        change(|r| {
            r.authority.remove(&Giver::Parent2);
        }),
        change(|r| r.authority = BTreeSet::from([Giver::Guardian])),
    ] {
        for old in [everybody(), everybody()[..2].to_vec(), vec![given(Giver::Youth)]] {
            assert_eq!(rules.complete(NOW, &now, &old, &ask, true), Err(ConsentState::RegimeChanged), "{now:?}");
        }
        let required = rules.required_givers(&now).unwrap();
        let anew = required.iter().map(|giver| Given { regime: now.clone(), ..given(*giver) });
        let all: Vec<Given> = everybody().into_iter().chain(anew).collect();
        let found: Vec<Given> = rules.complete(NOW, &now, &all, &ask, true).unwrap().into_iter().cloned().collect();
        assert!(found.iter().all(|given| given.regime == now), "what counts is what was given anew: {found:?}");
        assert!(found.iter().map(|given| given.giver).eq(required.iter().copied()), "one of each: {found:?}");
    }
}

#[test]
fn months_end_on_a_day_that_exists() {
    use time::macros::date;
    for (day, months, expected) in [
        (date!(2026 - 08 - 31), 6, date!(2027 - 02 - 28)),
        (date!(2027 - 08 - 31), 6, date!(2028 - 02 - 29)),
        (date!(2026 - 12 - 15), 1, date!(2027 - 01 - 15)),
        (date!(2026 - 06 - 30), 6, date!(2026 - 12 - 30)),
    ] {
        assert_eq!(add_months(day, months), Some(expected));
    }
}
