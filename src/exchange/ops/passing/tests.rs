use time::Duration;
use time::macros::datetime;

use super::*;
use crate::case::MeasureInForce;
use crate::covenant::consent::{AgeBand, Giver, Regime};
use crate::party::{Measure, Phase};

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

fn oin(last: u8) -> Oin {
    format!("000000991000014{last}0000").parse().unwrap()
}

fn hours(hours: i64) -> OffsetDateTime {
    NOW + Duration::hours(hours)
}

/// Who holds or held what, and when it ended in hours from now.
fn case(held: &[(u8, Role, Option<i64>)]) -> CaseFile {
    let assignment = |(at, (of, role, ended)): (usize, &(u8, Role, Option<i64>))| Assignment {
        id: at.to_string(),
        role: *role,
        party: Party::Partner(oin(*of)),
        involved: *role == Role::R07,
        starts_at: hours(-100),
        ends_at: None,
        ended_at: ended.map(hours),
    };
    CaseFile {
        id: "c".into(),
        rev: 1,
        subject_tag: vec![],
        tag_epoch: 0,
        phase: Phase::F2,
        phase_at: hours(-100),
        table_at: None,
        created_at: hours(-100),
        closed_at: None,
        escalated: false,
        restricted: false,
        objection: false,
        chosen: None,
        regime: Regime {
            band: AgeBand::Under12,
            capable: false,
            youth_alone: false,
            represented: false,
            authority: [Giver::Parent1].into(),
        },
        regime_until: None,
        names: [(oin(1), "of-1".to_owned())].into(),
        assignments: held.iter().enumerate().map(assignment).collect(),
        measures: vec![],
        consents: vec![],
    }
}

/// What begins and what ends, as roles; nothing if nothing is done.
fn moved(case: &CaseFile, heir: Option<i64>, left: Option<i64>) -> Option<(Vec<Role>, Vec<Role>)> {
    let (from, to) = (oin(1), oin(2));
    let between = oin(5);
    let line = vec![&between, &to];
    let going = Going { from: &from, heir: heir.map(|since| (&to, hours(since))), line, left: left.map(hours) };
    let mut ids = 0..;
    let after = pass(case, &going, NOW, || format!("new-{}", ids.next().unwrap()))?;
    assert!(after.begun.iter().all(|a| a.partner() == Some(&to) && a.holds(NOW)));
    assert!(after.ended.iter().all(|a| a.partner() == Some(&from) && !a.holds(NOW)));
    assert!(
        !after.case.assignments.iter().any(|a| a.partner() == Some(&from) && a.holds(NOW)),
        "nobody is left behind"
    );
    assert_eq!(after.case.name_for(&to).is_some(), !after.begun.is_empty());
    // What was done is not done again, also by a node whose clock is behind, or that began to look before.
    for moment in [NOW, NOW - Duration::SECOND, NOW + Duration::SECOND] {
        assert!(pass(&after.case, &going, moment, String::new).is_none(), "once, also at {moment}");
    }
    let roles = |all: &[Assignment]| all.iter().map(|a| a.role).collect();
    Some((roles(&after.begun), roles(&after.ended)))
}

#[test]
fn roles_end_with_a_membership_and_pass_to_an_heir() {
    use Role::{R01, R02, R07};
    let both = [(1, R01, None), (1, R02, None), (3, R07, None)];
    for (what, held, heir, left, expected) in [
        ("left", &both[..], None, Some(-1), Some((vec![], vec![R01, R02]))),
        ("succeeded", &both[..], Some(-1), None, Some((vec![R01, R02], vec![R01, R02]))),
        ("both at once", &both[..], Some(-1), Some(-1), Some((vec![R01, R02], vec![R01, R02]))),
        ("a role that ended stays ended", &[(1, R07, Some(-2)), (3, R02, None)], Some(-1), None, None),
        ("no role", &[(3, R02, None)], Some(-1), Some(-1), None),
        ("merger: both held it", &[(1, R07, None), (2, R07, None)], Some(-1), None, Some((vec![], vec![R07]))),
        ("the heir held it once", &[(1, R07, None), (2, R07, Some(-3))], Some(-1), None, Some((vec![R07], vec![R07]))),
        ("twice the same role", &[(1, R07, None), (1, R07, None)], Some(-1), None, Some((vec![R07], vec![R07, R07]))),
    ] {
        assert_eq!(moved(&case(held), heir, left), expected, "{what}");
    }
}

#[test]
fn a_closed_case_has_a_holder_and_nothing_else_moves_in_it() {
    let (from, to) = (oin(1), oin(2));
    let mut closed = case(&[(1, Role::R02, None), (1, Role::R01, None), (3, Role::R07, None)]);
    (closed.phase, closed.closed_at) = (Phase::F8, Some(hours(-2)));
    for (heir, left, moved) in [(None, Some(-1), false), (Some(-1), None, true), (Some(-1), Some(-3), true)] {
        let heir = heir.map(|since| (&to, hours(since)));
        let going = Going { from: &from, heir, line: vec![&to], left: left.map(hours) };
        let after = pass(&closed, &going, NOW, || "new".to_owned());
        let roles = |all: &[Assignment]| all.iter().map(|a| a.role).collect::<Vec<_>>();
        let found = after.as_ref().map(|after| (roles(&after.begun), roles(&after.ended)));
        assert_eq!(found, moved.then(|| (vec![Role::R02], vec![Role::R02])));
        assert!(after.is_none_or(|after| pass(&after.case, &going, NOW, String::new).is_none()), "once");
    }
}

#[test]
fn what_ended_with_a_membership_passes_later() {
    use Role::{R02, R07};
    for (what, held, since, expected) in [
        ("the case itself", &[(1, R02, Some(-5))][..], -1, Some((vec![R02], vec![]))),
        ("somebody else has it", &[(1, R02, Some(-5)), (3, R02, None)], -1, None),
        ("somebody else had it since", &[(1, R02, Some(-5)), (3, R02, Some(-2))], -1, None),
        ("it ended before", &[(1, R02, Some(-6))], -1, None),
        ("another role, named afterwards", &[(1, R07, Some(-5))], -1, None),
        ("another role, named before", &[(1, R07, Some(-5))], -6, Some((vec![R07], vec![]))),
        ("the heir has it", &[(1, R07, Some(-5)), (2, R07, None)], -6, None),
        ("the heir had it since", &[(1, R07, Some(-5)), (2, R07, Some(-4))], -6, None),
        ("one before the heir had it since", &[(1, R07, Some(-5)), (5, R07, Some(-4))], -6, None),
        ("one before the heir had it before", &[(1, R07, Some(-5)), (5, R07, Some(-7))], -6, Some((vec![R07], vec![]))),
        ("the heir had it before", &[(1, R07, Some(-5)), (2, R07, Some(-7))], -6, Some((vec![R07], vec![]))),
    ] {
        assert_eq!(moved(&case(held), Some(since), Some(-5)), expected, "{what}");
    }
}

/// The case in the end, when somebody left five hours ago and the hub looked at these hours.
fn settled(case: &CaseFile, since: i64, looks: &[i64]) -> CaseFile {
    let (from, to) = (oin(1), oin(2));
    let mut case = case.clone();
    for look in looks {
        let heir = (since <= *look).then(|| (&to, hours(since)));
        let going = Going { from: &from, heir, line: vec![&to], left: Some(hours(-5)) };
        let mut ids = 0..;
        let mut again = || pass(&case, &going, hours(*look), || format!("{look}-{}", ids.next().unwrap()));
        if let Some(after) = again() {
            case = after.case;
            // The exit of a case comes first, and what passes follows at once.
            let more = pass(&case, &going, hours(*look), || format!("{look}-more"));
            case = more.map_or(case, |more| more.case);
        }
    }
    case
}

#[test]
fn an_exit_that_is_carried_out_late_leaves_what_one_in_time_does() {
    use Role::{R01, R02, R07, R08, R09, R10};
    // R08 was to end while nobody looked; the heir gave up R07 in that time, and had R10 all along.
    let held = [R01, R02, R07, R08, R09, R10].map(|role| (1, role, None));
    let mut before = case(&[&held[..], &[(2, R07, Some(-4)), (2, R10, None)]].concat());
    before.assignments[3].ends_at = Some(hours(-3));
    before.chosen = Some(oin(1));
    for (since, expected, chosen) in [
        (-6, vec![R10, R01, R02, R09], 2),
        (-5, vec![R10, R01, R02, R09], 2),
        (-4, vec![R10, R02], 1),
        (-1, vec![R10, R02], 1),
    ] {
        for looks in [&[-5, 0][..], &[-5, -4, -1, 0], &[-2, 0], &[0]] {
            let after = settled(&before, since, looks);
            let of = |whose: Oin| after.assignments.iter().filter(move |a| a.partner() == Some(&whose));
            let gone: Vec<_> = of(oin(1)).map(|a| (a.role, a.ended_at)).collect();
            let has: Vec<_> = of(oin(2)).filter(|a| a.holds(NOW)).map(|a| a.role).collect();
            assert_eq!(gone, held.map(|(_, role, _)| (role, Some(hours(-5)))), "{since} {looks:?}");
            assert_eq!((has, after.chosen), (expected.clone(), Some(oin(chosen))), "{since} {looks:?}");
        }
    }
}

#[test]
fn an_heir_gets_the_role_as_it_was_with_measures_and_choice() {
    let mut before = case(&[(1, Role::R09, None), (1, Role::R08, None), (3, Role::R02, None)]);
    before.assignments[1].ends_at = Some(hours(9));
    before.assignments[1].involved = true;
    before.chosen = Some(oin(1));
    let measure = |of, ends: Option<i64>| MeasureInForce {
        kind: Measure::Ots,
        executor: oin(of),
        starts_at: hours(-9),
        ends_at: ends.map(hours),
    };
    before.measures = vec![measure(1, None), measure(1, Some(-1)), measure(3, None)];
    let (from, to) = (oin(1), oin(2));
    let going = Going { from: &from, heir: Some((&to, hours(-1))), line: vec![&to], left: None };
    let after = pass(&before, &going, NOW, || "new".to_owned()).unwrap();
    let begun = after.begun.iter().find(|a| a.role == Role::R08).unwrap();
    assert_eq!((begun.ends_at, begun.involved, begun.starts_at), (Some(hours(9)), true, NOW));
    assert_eq!(after.case.chosen, Some(oin(2)));
    let executors: Vec<&Oin> = after.case.measures.iter().map(|m| &m.executor).collect();
    assert_eq!(executors, [&oin(2), &oin(1), &oin(3)], "a measure that is over stays whose it was");
    // Whoever leaves without an heir leaves the court's measure and the choice to be recorded anew.
    let gone = pass(&before, &Going { heir: None, left: Some(NOW), ..going.clone() }, NOW, String::new).unwrap();
    assert_eq!((&gone.case.chosen, gone.measures, gone.case.holder(NOW)), (&Some(oin(1)), false, Some(&oin(3))));
    // It was chosen still when its membership ended before it passes.
    let mut late = case(&[(1, Role::R09, Some(-5)), (3, Role::R02, None)]);
    late.chosen = Some(oin(1));
    let later = Going { heir: Some((&to, hours(-6))), left: Some(hours(-5)), ..going.clone() };
    let after = pass(&late, &later, NOW, || "new".to_owned()).unwrap();
    assert_eq!((&after.case.chosen, after.chosen), (&Some(oin(2)), true));
    // Whoever is named after the other left carries out nothing.
    for (since, expected) in [(-6, true), (-5, true), (-4, false)] {
        let later = Going { heir: Some((&to, hours(since))), left: Some(hours(-5)), ..going.clone() };
        assert_eq!(pass(&before, &later, NOW, || "new".to_owned()).unwrap().measures, expected, "{since}");
    }
    // Nothing is moved in a case that is closed.
    before.phase = Phase::F8;
    assert!(pass(&before, &going, NOW, String::new).is_none());
}

#[test]
fn others_hear_who_takes_part_and_an_heir_of_its_own_roles() {
    let terms = crate::covenant::Covenant::embedded().unwrap();
    let before = case(&[(1, Role::R02, None), (3, Role::R07, None), (4, Role::R09, None), (2, Role::R08, None)]);
    let (from, to) = (oin(1), oin(2));
    let going = Going { from: &from, heir: Some((&to, hours(-1))), line: vec![&to], left: None };
    let after = pass(&before, &going, NOW, || "new".to_owned()).unwrap().case;
    let heard: Vec<Oin> = audience(&after, Some(&to), NOW, terms.parameters()).into_iter().cloned().collect();
    assert_eq!(heard, [oin(3)], "not a provider that was asked and not chosen");
    let gone = pass(&before, &Going { heir: None, left: Some(NOW), ..going.clone() }, NOW, String::new).unwrap().case;
    let heard: Vec<Oin> = audience(&gone, None, NOW, terms.parameters()).into_iter().cloned().collect();
    assert_eq!(heard, [oin(2), oin(3)]);
}
