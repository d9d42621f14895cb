//! Whether a change may still be confirmed.

use time::Duration;
use time::macros::datetime;

use super::*;
use crate::identity::Partner;
use crate::party::{OrgKind, PartnerStatus, Role};
use crate::registry::{Entry, Succession};

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const ASKED: OffsetDateTime = datetime!(2026-06-01 11:00 UTC);
const GEMEENTE: &str = "00000099100000010000";
const NETWERK: &str = "00000099400000010000";

fn key(nth: u8) -> CertificateRow {
    CertificateRow {
        key_hash: hex::encode([nth; 32]),
        oin: NETWERK.to_owned(),
        holder: OPERATOR.to_owned(),
        person_ref: "anna".to_owned(),
        system: String::new(),
        issuer: String::new(),
        starts_at: 0,
        expires_at: micros(NOW + Duration::days(90)),
        registered_at: 0,
        used_at: Some(1),
        anchor_set: String::new(),
        replaces: String::new(),
        renewed: false,
        via: String::new(),
        retires_at: None,
        revoked_at: None,
        warned: 0,
    }
}

fn registry(status: PartnerStatus, keys: Vec<CertificateRow>) -> Registry {
    let oin: Oin = NETWERK.parse().unwrap();
    let partner = Partner {
        name: "Netwerkbureau".to_owned(),
        kind: OrgKind::Netwerk,
        status,
        effective_from: NOW - Duration::DAY,
        withdrawn_at: None,
        accepted_covenant: None,
    };
    let entry = Entry { partner, standing_roles: Vec::new(), keys: None, succession: None };
    let certificates = keys.into_iter().map(|key| (key.key_hash.parse().unwrap(), key)).collect();
    Registry { partners: [(oin, entry)].into(), certificates, ..Registry::default() }
}

fn row() -> PendingRow {
    PendingRow {
        change_id: String::new(),
        method: String::new(),
        request: Vec::new(),
        oin: NETWERK.to_owned(),
        person_ref: "anna".to_owned(),
        stood: String::new(),
        asked_at: micros(ASKED),
        ends_at: micros(NOW + Duration::DAY),
    }
}

fn asked(status: v1::PartnerStatus) -> Change {
    let message = v1::SetPartnerStatusRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        name: format!("partners/{GEMEENTE}"),
        status: status as i32,
        reason: "ernstig risico".to_owned(),
        ..Default::default()
    };
    Box::new(SetPartnerStatus::parse(message).unwrap())
}

#[test]
fn whoever_asked_is_still_an_operator_with_all_its_keys() {
    let row = row();
    let revoked = |nth, at| CertificateRow { revoked_at: Some(micros(at)), ..key(nth) };
    let retired = CertificateRow { retires_at: Some(micros(NOW)), ..key(1) };
    let officer = CertificateRow { holder: "officer".to_owned(), ..key(1) };
    let bert = CertificateRow { person_ref: "bert".to_owned(), ..key(1) };
    let long_ago = ASKED - Duration::DAY;
    use PartnerStatus::{Active, Suspended, Withdrawn};
    for (what, status, keys, said) in [
        ("as it was", Active, vec![key(1)], None),
        ("another key, long ago", Active, vec![key(1), revoked(2, long_ago)], None),
        ("its key since", Active, vec![revoked(1, NOW)], Some("revoked since")),
        ("at the same moment", Active, vec![revoked(1, ASKED)], Some("revoked since")),
        ("another key since", Active, vec![key(1), revoked(2, NOW)], Some("revoked since")),
        ("retired", Active, vec![retired], Some("operator no more")),
        ("no operator", Active, vec![officer], Some("operator no more")),
        ("somebody else", Active, vec![bert], Some("operator no more")),
        ("suspended", Suspended, vec![key(1)], Some("does not take part")),
        ("gone", Withdrawn, vec![key(1)], Some("does not take part")),
    ] {
        let found = obstacle(&registry(status, keys), &row, &*asked(v1::PartnerStatus::Active), NOW);
        assert_eq!(found.is_some(), said.is_some(), "{what}: {found:?}");
        assert!(said.is_none_or(|said| found.unwrap().contains(said)), "{what}: {found:?}");
    }
}

#[test]
fn what_it_is_about_stands_as_when_it_was_asked_for() {
    let gemeente: Oin = GEMEENTE.parse().unwrap();
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut registry = registry(PartnerStatus::Active, vec![key(1)]);
        let mut entry = registry.partners.values().next().unwrap().clone();
        entry.partner.kind = OrgKind::Gemeente;
        change(&mut entry);
        registry.partners.insert(gemeente.clone(), entry);
        registry
    };
    let change = asked(v1::PartnerStatus::Active);
    let row = PendingRow { stood: change.stands(&with(&|_| ())), ..row() };
    let by = Succession { successor: NETWERK.parse().unwrap(), effective: NOW, settled: false };
    type Set<'a> = &'a dyn Fn(&mut Entry);
    let table: [(&str, bool, Set<'_>); 8] = [
        ("as it was", true, &|_| ()),
        ("has signed the covenant", true, &|it| it.partner.accepted_covenant = Some(2)),
        ("was suspended", false, &|it| it.partner.status = PartnerStatus::Suspended),
        ("was renamed", false, &|it| it.partner.name = "Zwolle".to_owned()),
        ("leaves", false, &|it| it.partner.withdrawn_at = Some(NOW + Duration::DAY)),
        ("leaves by now", false, &|it| it.partner.withdrawn_at = Some(NOW)),
        ("is succeeded", false, &|it| it.succession = Some(by.clone())),
        ("has another role", false, &|it| it.standing_roles = vec![Role::R11]),
    ];
    for (what, is_same, change_it) in table {
        let found = obstacle(&with(change_it), &row, &*change, NOW);
        assert_eq!(found.is_none(), is_same, "{what}: {found:?}");
        assert!(found.is_none_or(|said| said.contains("was changed since")), "{what}: {found:?}");
    }
    let never_seen = obstacle(&registry(PartnerStatus::Active, vec![key(1)]), &row, &*change, NOW);
    assert!(never_seen.is_some());
    let from_before = PendingRow { stood: "-".to_owned(), ..row };
    assert!(obstacle(&with(&|_| ()), &from_before, &*change, NOW).is_some(), "nobody knows what its asker saw");
}
