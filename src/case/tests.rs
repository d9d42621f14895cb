use time::macros::datetime;

use super::*;

#[test]
fn phases_go_forward_or_one_step_back() {
    for (from, to, may) in [
        (Phase::F1, Phase::F2, true),
        (Phase::F1, Phase::F5, true),
        (Phase::F5, Phase::F4, true),
        (Phase::F5, Phase::F3, false),
        (Phase::F3, Phase::F3, false),
        (Phase::F7, Phase::F8, false),
        (Phase::F8, Phase::F7, false),
        (Phase::F2, Phase::F0, false),
        (Phase::F2, Phase::FE, false),
    ] {
        assert_eq!(may_advance(from, to), may, "{from} to {to}");
    }
}

#[test]
fn roles_are_for_kinds_of_partners() {
    for (role, kinds) in [
        (Role::R01, "gemeente gi"),
        (Role::R02, "gemeente gi"),
        (Role::R03, "netwerk"),
        (Role::R04, "gemeente gi aanbieder netwerk"),
        (Role::R05, "gemeente gi aanbieder netwerk"),
        (Role::R06, "gemeente gi aanbieder netwerk"),
        (Role::R07, "gemeente gi aanbieder"),
        (Role::R08, "gi"),
        (Role::R09, "aanbieder"),
        (Role::R10, "gemeente"),
        (Role::R11, ""),
        (Role::R12, "gi aanbieder"),
        (Role::R13, ""),
        (Role::R14, ""),
        (Role::R15, ""),
        (Role::R16, ""),
        (Role::R17, "gemeente gi aanbieder"),
        (Role::R18, ""),
    ] {
        let may: Vec<&str> =
            OrgKind::ALL.iter().filter(|kind| may_hold(role, **kind)).map(|kind| kind.code()).collect();
        assert_eq!(may.join(" "), kinds, "{role}");
    }
}

#[test]
fn who_knows_the_youth() {
    for role in Role::ALL {
        let knows = ["R01", "R02", "R07", "R08", "R10", "R12"].contains(&role.code());
        assert_eq!(knows_youth(*role, false), knows, "{role}");
        assert_eq!(knows_youth(*role, true), knows || *role == Role::R09, "{role}");
    }
    let mut case = case(Phase::F2);
    case.assignments.push(assignment(Role::R05, 1));
    case.assignments.push(assignment(Role::R09, 2));
    assert!(!case.knows_youth(&oin(1)) && !case.knows_youth(&oin(2)) && !case.knows_youth(&oin(3)));
    case.chosen = Some(oin(2));
    assert!(case.knows_youth(&oin(2)) && !case.knows_youth(&oin(1)));
    let mut past = assignment(Role::R07, 1);
    past.ended_at = Some(START);
    case.assignments.push(past);
    assert!(case.knows_youth(&oin(1)), "what it knew it knows");
}

const START: OffsetDateTime = datetime!(2026-11-02 10:00 UTC);
/// Ten working days after 9 November.
const END: OffsetDateTime = datetime!(2026-11-24 00:00 UTC);

#[test]
fn an_experts_right_ends_after_the_table_and_does_not_come_back() {
    let terms = terms();
    let table = datetime!(2026-11-09 09:00 UTC);
    let mut case = case(Phase::F2);
    case.assignments.push(assignment(Role::R05, 1));
    case.assignments.push(assignment(Role::R04, 2));
    let mut early = assignment(Role::R05, 3);
    early.ends_at = Some(datetime!(2026-11-12 10:00 UTC));
    case.assignments.push(early);
    assert_eq!(case.reading_end(Role::R05, START, &terms), None, "before the first table there is no end");

    let bounded = case.begin_table(table, &terms);
    let ends = |case: &CaseFile| case.assignments.iter().map(|a| a.ends_at).collect::<Vec<_>>();
    let first = vec![Some(END), None, Some(datetime!(2026-11-12 10:00 UTC))];
    assert_eq!(ends(&case), first, "an agreed earlier end stays");
    assert_eq!(bounded, [case.assignments[0].clone()]);
    assert!(matches!(case.held(&oin(1), Role::R05, END - Duration::SECOND, &terms), Held::Now(_)));
    assert_eq!(case.held(&oin(1), Role::R05, END, &terms), Held::Before);

    // The case goes back and comes to the table again, while the right runs and after it lapsed.
    for again in [datetime!(2026-11-16 09:00 UTC), datetime!(2026-12-14 09:00 UTC)] {
        assert_eq!(case.begin_table(again, &terms), [], "{again}");
        assert_eq!(ends(&case), first, "{again}");
        assert_eq!(case.held(&oin(1), Role::R05, END.max(again), &terms), Held::Before);
    }
}

/// A store that knows no end for an expert of an earlier table: that table's end is put down, not this one's.
#[test]
fn a_missing_end_is_that_of_the_earlier_table() {
    let terms = terms();
    let mut case = case(Phase::F2);
    case.table_at = Some(datetime!(2026-11-09 09:00 UTC));
    case.assignments.push(assignment(Role::R05, 1));
    let again = datetime!(2026-12-14 09:00 UTC);
    assert_eq!(case.held(&oin(1), Role::R05, again, &terms), Held::Before);
    case.begin_table(again, &terms);
    assert_eq!(case.assignments[0].ends_at, Some(END));
    assert_eq!(case.held(&oin(1), Role::R05, again, &terms), Held::Before);
}

#[test]
fn an_expert_invited_later_has_an_end_too() {
    let terms = terms();
    let mut case = case(Phase::F3);
    case.begin_table(START, &terms);
    let later = datetime!(2026-11-09 15:00 UTC);
    assert_eq!(case.reading_end(Role::R05, later, &terms), Some(END));
    assert_eq!(case.reading_end(Role::R04, later, &terms), None);
}

#[test]
fn a_year_without_known_holidays_gives_no_right() {
    let terms = terms();
    let now = datetime!(2028-12-28 10:00 UTC);
    let mut case = case(Phase::F2);
    case.assignments.push(assignment(Role::R05, 1));
    case.begin_table(now, &terms);
    assert_eq!(case.assignments[0].ends_at, Some(now));
    assert_eq!(case.held(&oin(1), Role::R05, now, &terms), Held::Before);
    assert_eq!(case.reading_end(Role::R05, now, &terms), Some(now));
}

fn terms() -> Parameters {
    crate::covenant::Covenant::embedded().unwrap().parameters().clone()
}

fn oin(last: u8) -> Oin {
    format!("000000993000000{last:02}000").parse().unwrap()
}

fn assignment(role: Role, last: u8) -> Assignment {
    Assignment {
        id: format!("{role}-{last}"),
        role,
        party: Party::Partner(oin(last)),
        involved: false,
        starts_at: START,
        ends_at: None,
        ended_at: None,
    }
}

fn case(phase: Phase) -> CaseFile {
    CaseFile {
        id: "case".to_owned(),
        rev: 1,
        subject_tag: Vec::new(),
        tag_epoch: 0,
        phase,
        phase_at: START,
        table_at: None,
        created_at: START,
        closed_at: None,
        escalated: false,
        restricted: false,
        objection: false,
        chosen: None,
        regime: Regime {
            band: AgeBand::Under12,
            capable: true,
            youth_alone: false,
            authority: BTreeSet::new(),
            represented: false,
        },
        regime_until: None,
        names: BTreeMap::new(),
        assignments: Vec::new(),
        measures: Vec::new(),
        consents: Vec::new(),
    }
}
