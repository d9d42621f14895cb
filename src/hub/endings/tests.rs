use time::macros::datetime;

use super::*;
use crate::clock::micros;
use crate::store::mandate::MandateRow;
use crate::store::registry::{PartnerRow, Rows};

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const A: &str = "00000099100001410000";
const B: &str = "00000099100001420000";

/// A certificate in use that ends so many days from now.
fn row(oin: &str, days: i64) -> CertificateRow {
    CertificateRow {
        via: String::new(),
        key_hash: format!("{:064x}", days.unsigned_abs()),
        oin: oin.to_owned(),
        holder: "organisation".to_owned(),
        person_ref: String::new(),
        system: String::new(),
        issuer: String::new(),
        starts_at: 0,
        expires_at: micros(NOW + time::Duration::days(days)),
        registered_at: 1,
        used_at: Some(1),
        anchor_set: String::new(),
        replaces: String::new(),
        renewed: false,
        retires_at: None,
        revoked_at: None,
        ceased: false,
        warned: 0,
    }
}

fn registry(certificates: Vec<CertificateRow>, status: &str) -> Registry {
    let partner = PartnerRow {
        oin: A.to_owned(),
        display_name: "Gemeente A".to_owned(),
        kind: "gemeente".to_owned(),
        status: status.to_owned(),
        standing_roles: String::new(),
        effective_at: 0,
        withdrawn_at: None,
        accepted_covenant: 0,
    };
    Registry::from_rows(Rows { rev: 5, partners: vec![partner], certificates, ..Rows::default() }).unwrap()
}

#[test]
fn each_step_is_said_once_and_only_before_the_end() {
    for (days, warned, expected) in [
        (91, 0, None),
        (90, 0, Some(90)),
        (90, 90, None),
        (61, 90, None),
        (60, 90, Some(60)),
        (31, 60, None),
        (30, 60, Some(30)),
        (8, 30, None),
        (7, 30, Some(7)),
        (7, 7, None),
        (1, 7, None),
        // Nobody looked for a while, or it was registered late: the step that was passed last, and none of those before it.
        (25, 0, Some(30)),
        (25, 90, Some(30)),
        (3, 90, Some(7)),
        // A clock that went back makes no new warning of an earlier step.
        (80, 30, None),
        (0, 0, None),
        (-1, 0, None),
    ] {
        let step = due(&CertificateRow { warned, ..row(A, days) }, NOW);
        assert_eq!(step.map(|step| i64::from(step.days())), expected, "{days} days left, said {warned}");
    }
    // Part of a day is no day.
    let late = CertificateRow { expires_at: row(A, 90).expires_at + 3_600_000_000, ..row(A, 90) };
    assert_eq!(due(&late, NOW), Some(Step::Days90));
    assert_eq!(due(&CertificateRow { expires_at: micros(NOW) + 1, ..row(A, 0) }, NOW), Some(Step::Days7));
}

#[test]
fn only_what_somebody_will_miss_is_spoken_of() {
    let good = row(A, 30);
    for (certificate, status, expected) in [
        (good.clone(), "active", true),
        (good.clone(), "suspended", true),
        (good.clone(), "withdrawn", false),
        (CertificateRow { used_at: None, ..good.clone() }, "active", true),
        (CertificateRow { revoked_at: Some(1), ..good.clone() }, "active", false),
        // Retired, and retiring because its successor is in use.
        (CertificateRow { retires_at: Some(1), ..good.clone() }, "active", false),
        (CertificateRow { retires_at: Some(good.expires_at), ..good.clone() }, "active", false),
        (CertificateRow { oin: B.to_owned(), ..good.clone() }, "active", false),
    ] {
        let registry = registry(vec![certificate.clone()], status);
        assert_eq!(next(&registry, NOW).is_some(), expected, "{certificate:?} of a partner that is {status}");
    }
    assert!(next(&registry(Vec::new(), "active"), NOW).is_none());
}

/// Whoever forgets the mandate is as much without its supplier as whoever forgets the certificate.
#[test]
fn a_suppliers_certificate_ends_with_its_mandate() {
    let own =
        |days| Registry { rev: 5, ..registry(vec![CertificateRow { via: B.to_owned(), ..row(A, days) }], "active") };
    let mandate = |days| MandateRow {
        mandate_id: "m".to_owned(),
        principal: A.to_owned(),
        delegate: B.to_owned(),
        starts_at: 0,
        ends_at: micros(NOW + time::Duration::days(days)),
        key_hash: String::new(),
        message: Vec::new(),
        registered_at: 0,
        cut_at: None,
    };
    let said = |certificate, given: Option<i64>| {
        let registry = Registry { mandates: given.map(mandate).into_iter().collect(), ..own(certificate) };
        next(&registry, NOW)
            .map(|ending| (ending.warning.step, ending.row.expires_at == row(A, certificate).expires_at))
    };
    assert_eq!(said(300, Some(25)), Some((Step::Days30, true)), "noted where the certificate's own end stands");
    assert_eq!(said(5, Some(25)), Some((Step::Days7, true)));
    assert_eq!(said(300, Some(200)), None);
    assert_eq!(said(300, Some(-1)), None, "over");
    assert_eq!(said(300, None), None);
}

#[test]
fn hundreds_are_said_one_after_the_other() {
    let mut rows: Vec<CertificateRow> = (1..=300).map(|days| row(A, days)).collect();
    let mut said = 0;
    while let Some(ending) = next(&registry(rows.clone(), "active"), NOW) {
        assert_eq!(ending.rev, 5);
        let found = rows.iter_mut().find(|row| row.key_hash == ending.row.key_hash).unwrap();
        found.warned = ending.warning.step.days().into();
        said += 1;
    }
    assert_eq!(said, 90);
}
