use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use time::Duration;
use time::macros::datetime;

use super::*;
use crate::identity::certificate::Leaf;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const ALMELO: &str = "00000099100001410000";
const RAALTE: &str = "00000099100001770000";

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
    Registration { oin: ALMELO.parse().unwrap(), holder: Holder::Organisation, state: KeyState::Active }
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
