//! Whether a change may still be confirmed.

use time::Duration;
use time::macros::datetime;

use super::*;
use crate::identity::Partner;
use crate::party::{OrgKind, PartnerStatus};
use crate::registry::Entry;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const ASKED: OffsetDateTime = datetime!(2026-06-01 11:00 UTC);
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
        ceased: false,
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
        about: String::new(),
        superseded_at: None,
        asked_at: micros(ASKED),
        ends_at: micros(NOW + Duration::DAY),
    }
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
        let found = obstacle(&registry(status, keys), &row, NOW);
        assert_eq!(found.is_some(), said.is_some(), "{what}: {found:?}");
        assert!(said.is_none_or(|said| found.unwrap().contains(said)), "{what}: {found:?}");
    }
    let superseded = PendingRow { superseded_at: Some(micros(NOW)), ..row };
    let found = obstacle(&registry(Active, vec![key(1)]), &superseded, NOW);
    assert!(found.is_some_and(|said| said.contains("was changed since")), "{found:?}");
}
