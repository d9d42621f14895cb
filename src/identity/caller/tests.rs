use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use time::Duration;
use time::macros::datetime;

use super::*;
use crate::identity::certificate::Leaf;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const ALMELO: &str = "00000099100001410000";
const RAALTE: &str = "00000099100001770000";
const LEVERANCIER: &str = "00000099900000010000";

fn certificate(oin: Option<&str>) -> PeerCertificate {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(oin) = oin {
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), oin);
    }
    params.not_before = NOW - Duration::days(100);
    params.not_after = NOW + Duration::days(100);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let oin = oin.map(|oin| oin.parse().unwrap());
    PeerCertificate::new(Leaf::read(der.der()).unwrap(), oin, &"own-ca".into())
}

fn partner() -> Partner {
    Partner {
        name: "Gemeente Almelo".to_owned(),
        kind: OrgKind::Gemeente,
        status: PartnerStatus::Active,
        effective_from: NOW - Duration::days(10),
        withdrawn_at: None,
        accepted_covenant: Some(3),
    }
}

fn registration() -> Registration {
    Registration {
        oin: ALMELO.parse().unwrap(),
        via: None,
        holder: Holder::Organisation,
        state: KeyState::Active,
        is_used: true,
    }
}

fn registry(certificate: &PeerCertificate, registration: Registration, partner: Partner) -> Registrations {
    Registrations::new(
        HashMap::from([(certificate.key_hash(), registration)]),
        HashMap::from([(ALMELO.parse().unwrap(), partner)]),
    )
}

#[test]
fn a_registered_partner_becomes_a_caller() {
    let certificate = certificate(Some(ALMELO));
    let caller = registry(&certificate, registration(), partner()).caller(&certificate, NOW).unwrap();
    assert_eq!(caller.oin().as_str(), ALMELO);
    assert_eq!(caller.kind(), OrgKind::Gemeente);
    assert_eq!(caller.function(), None);
    assert_eq!(caller.key_hash(), certificate.key_hash());
    assert_eq!(caller.fingerprint(), certificate.fingerprint());
    assert!(caller.accepted(3) && !caller.accepted(2) && !caller.accepted(4));
}

#[test]
fn a_person_calls_in_the_registered_function_and_stays_out_of_logs() {
    let certificate = certificate(Some(ALMELO));
    let holder = Holder::Person { person: "mw-0042".parse().unwrap(), function: Function::Officer };
    let registry = registry(&certificate, Registration { holder, ..registration() }, partner());
    let caller = registry.caller(&certificate, NOW).unwrap();
    assert_eq!(caller.function(), Some(Function::Officer));
    assert!(!format!("{caller:?}").contains("0042"));
}

#[test]
fn every_step_refuses_with_its_reason() {
    use PartnerStatus::{Suspended, Withdrawn};
    let certificate = certificate(Some(ALMELO));
    let revoked = || Registration { state: KeyState::Revoked, ..registration() };
    let foreign = || Registration { oin: RAALTE.parse().unwrap(), ..registration() };
    let suspended = || Partner { status: Suspended, ..partner() };
    let cases = [
        (
            "not a member yet",
            registration(),
            Partner { effective_from: NOW + Duration::SECOND, ..partner() },
            Reason::PartnerUnknown,
        ),
        ("revoked", revoked(), partner(), Reason::CertRevoked),
        ("suspended", registration(), suspended(), Reason::PartnerSuspended),
        ("withdrawn", registration(), Partner { status: Withdrawn, ..partner() }, Reason::PartnerWithdrawn),
        ("time is up", registration(), Partner { withdrawn_at: Some(NOW), ..partner() }, Reason::PartnerWithdrawn),
        ("another's key", foreign(), partner(), Reason::OinMismatch),
        ("revoked before suspended", revoked(), suspended(), Reason::CertRevoked),
        ("suspended before mismatch", foreign(), suspended(), Reason::PartnerSuspended),
    ];
    for (name, registration, partner, reason) in cases {
        let refused = registry(&certificate, registration, partner).caller(&certificate, NOW);
        assert_eq!(refused.err(), Some(reason), "{name}");
    }
}

#[test]
fn strangers_are_refused() {
    let known = certificate(Some(ALMELO));
    let registry = registry(&known, registration(), partner());
    let cases = [
        ("unknown partner", certificate(Some(RAALTE)), Reason::PartnerUnknown),
        ("unknown key of a partner", certificate(Some(ALMELO)), Reason::CertUntrusted),
        ("no organisation", certificate(None), Reason::OinMissing),
    ];
    for (name, certificate, reason) in cases {
        assert_eq!(registry.caller(&certificate, NOW).err(), Some(reason), "{name}");
    }
    assert_eq!(Registrations::default().caller(&known, NOW).err(), Some(Reason::PartnerUnknown));
}

#[test]
fn a_certificate_that_expires_during_a_connection_stops() {
    let certificate = certificate(Some(ALMELO));
    let registry = registry(&certificate, registration(), partner());
    assert!(registry.caller(&certificate, NOW + Duration::days(100)).is_ok());
    let late = registry.caller(&certificate, NOW + Duration::days(101));
    assert_eq!(late.err(), Some(Reason::CertExpired));
}

#[test]
fn a_revoked_key_in_use_is_not_masked_by_the_end_of_its_certificate() {
    let certificate = certificate(Some(ALMELO));
    let late = NOW + Duration::days(101);
    let retired = KeyState::Retiring(NOW);
    for (state, reason) in [
        (KeyState::Revoked, Reason::CertRevoked),
        (retired, Reason::CertExpired),
        (KeyState::Active, Reason::CertExpired),
    ] {
        let registry = registry(&certificate, Registration { state, ..registration() }, partner());
        assert_eq!(registry.caller(&certificate, late).err(), Some(reason), "{state:?}");
    }
    let gone = Partner { status: PartnerStatus::Withdrawn, ..partner() };
    let registry = registry(&certificate, Registration { state: KeyState::Revoked, ..registration() }, gone);
    assert_eq!(registry.caller(&certificate, NOW).err(), Some(Reason::CertRevoked), "whatever became of the partner");
}

#[test]
fn a_key_is_new_until_it_was_used_also_when_it_retires() {
    let certificate = certificate(Some(ALMELO));
    let retiring = KeyState::Retiring(NOW + Duration::DAY);
    for (state, is_used) in
        [(KeyState::Announced, false), (retiring, false), (retiring, true), (KeyState::Active, true)]
    {
        let registry = registry(&certificate, Registration { state, is_used, ..registration() }, partner());
        let caller = registry.caller(&certificate, NOW).unwrap();
        assert_eq!(caller.is_new(), !is_used, "{state:?}");
    }
}

#[test]
fn withdrawal_is_to_the_second() {
    let certificate = certificate(Some(ALMELO));
    let partner = Partner { withdrawn_at: Some(NOW + Duration::SECOND), ..partner() };
    let registry = registry(&certificate, registration(), partner);
    assert!(registry.caller(&certificate, NOW).is_ok());
    assert!(registry.caller(&certificate, NOW + Duration::SECOND).is_err());
}

#[test]
fn person_references_are_plain() {
    assert!("mw-0042_a.B".parse::<PersonRef>().is_ok());
    for text in ["", "jan de vries", "é", "a/b", &"x".repeat(65)] {
        assert!(text.parse::<PersonRef>().is_err(), "{text:?}");
    }
}

/// The same, held by a supplier in the partner's name.
fn delegated() -> Registration {
    let given = Given { starts: NOW - Duration::DAY, ends: NOW + Duration::DAY };
    Registration { via: Some(Via { oin: LEVERANCIER.parse().unwrap(), given: Some(given) }), ..registration() }
}

#[test]
fn a_supplier_calls_in_its_customers_name_with_the_key_for_that_customer() {
    let shown = certificate(Some(LEVERANCIER));
    let registry = registry(&shown, delegated(), partner());
    let caller = registry.caller(&shown, NOW).unwrap();
    assert_eq!((caller.oin().as_str(), caller.via().unwrap().as_str()), (ALMELO, LEVERANCIER));
    assert!(caller.accepted(3), "the customer's signature");
    assert_eq!(registry.registered(&shown).unwrap().oin.as_str(), ALMELO);
    // Another key of the same supplier is nobody's.
    let other = certificate(Some(LEVERANCIER));
    assert_eq!(registry.caller(&other, NOW).err(), Some(Reason::PartnerUnknown));
    assert!(registry.registered(&other).is_none());
    let end = NOW + Duration::DAY;
    assert_eq!(registry.next_end(NOW), Some(end));
    assert!(registry.caller(&shown, end - Duration::SECOND).is_ok());
    assert_eq!(registry.caller(&shown, end).err(), Some(Reason::CertRevoked));
}

#[test]
fn a_supplier_is_refused_where_anything_of_it_does_not_hold() {
    use PartnerStatus::{Suspended, Withdrawn};
    let given = |given| Registration { via: Some(Via { oin: LEVERANCIER.parse().unwrap(), given }), ..registration() };
    let term = |starts, ends| given(Some(Given { starts: NOW + starts, ends: NOW + ends }));
    let (day, second) = (Duration::DAY, Duration::SECOND);
    let revoked = Registration { state: KeyState::Revoked, ..delegated() };
    let in_status = |status| Partner { status, ..partner() };
    let (known, gone) = (Some(partner()), None::<Partner>);
    let cases = [
        ("no mandate any more", given(None), LEVERANCIER, &known, None, Reason::CertRevoked),
        ("not yet", term(second, day), LEVERANCIER, &known, None, Reason::CertRevoked),
        ("over", term(-day, Duration::ZERO), LEVERANCIER, &known, None, Reason::CertRevoked),
        ("revoked", revoked, LEVERANCIER, &known, None, Reason::CertRevoked),
        ("nobody's supplier", delegated(), LEVERANCIER, &gone, None, Reason::PartnerUnknown),
        ("another's certificate", delegated(), RAALTE, &known, Some((RAALTE, partner())), Reason::OinMismatch),
        ("the customer's certificate", delegated(), ALMELO, &known, None, Reason::OinMismatch),
        (
            "suspended supplier",
            delegated(),
            LEVERANCIER,
            &known,
            Some((LEVERANCIER, in_status(Suspended))),
            Reason::PartnerSuspended,
        ),
        ("withdrawn customer", delegated(), LEVERANCIER, &Some(in_status(Withdrawn)), None, Reason::PartnerWithdrawn),
        ("suspended customer", delegated(), LEVERANCIER, &Some(in_status(Suspended)), None, Reason::PartnerSuspended),
        ("the customer's own key", registration(), LEVERANCIER, &known, None, Reason::PartnerUnknown),
    ];
    for (name, registration, shown, customer, other, reason) in cases {
        let shown = certificate(Some(shown));
        let customer = customer.iter().map(|partner| (ALMELO.parse().unwrap(), partner.clone()));
        let other = other.into_iter().map(|(oin, partner)| (oin.parse().unwrap(), partner));
        let registry =
            Registrations::new(HashMap::from([(shown.key_hash(), registration)]), customer.chain(other).collect());
        assert_eq!(registry.caller(&shown, NOW).err(), Some(reason), "{name}");
    }
}

#[test]
fn a_supplier_that_left_the_covenant_as_a_partner_is_a_supplier_still() {
    let shown = certificate(Some(LEVERANCIER));
    let keys = HashMap::from([(shown.key_hash(), delegated())]);
    let (customer, supplier): (Oin, Oin) = (ALMELO.parse().unwrap(), LEVERANCIER.parse().unwrap());
    let gone = Partner { withdrawn_at: Some(NOW), ..partner() };
    for (status, good) in
        [(PartnerStatus::Active, true), (PartnerStatus::Withdrawn, true), (PartnerStatus::Suspended, false)]
    {
        let supplying = Partner { status, ..gone.clone() };
        let partners = HashMap::from([(customer.clone(), partner()), (supplier.clone(), supplying)]);
        let registry = Registrations::new(keys.clone(), partners);
        assert_eq!(registry.caller(&shown, NOW).is_ok(), good, "{status:?}");
        assert_eq!(registry.may_act_for(&customer, &supplier, NOW).is_ok(), good, "{status:?}");
        assert!(registry.may_act_for(&supplier, &customer, NOW).is_err(), "who left gives nothing");
    }
}
