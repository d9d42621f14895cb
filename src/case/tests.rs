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
