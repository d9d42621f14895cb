use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const OIN: &str = "00000099100001410000";

/// A certificate as it should be, altered by `change`.
fn leaf(serial_numbers: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Gemeente Almelo");
    // The generator holds each attribute once: a second serialNumber is written as dnQualifier and renamed below.
    for (number, last_arc) in serial_numbers.iter().zip([5, 46]) {
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, last_arc]), *number);
    }
    params.not_before = NOW - time::Duration::days(1);
    params.not_after = NOW + time::Duration::days(1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    change(&mut params);
    let mut der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    let qualifier = [0x06, 0x03, 0x55, 0x04, 46];
    while let Some(at) = der.windows(5).position(|window| window == qualifier) {
        der[at + 4] = 5;
    }
    der
}

/// certificatePolicies with one policy, 1.3.6.1.5.5.7.13.1 (RFC 7229).
fn policy(params: &mut CertificateParams) {
    let content = vec![0x30, 0x0c, 0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x0d, 0x01];
    params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 32], content)];
}

#[test]
fn a_good_certificate_tells_who_it_is() {
    let der = leaf(&[OIN], policy);
    let leaf = Leaf::read(&der).unwrap();
    let oin = leaf.oin().unwrap();
    let peer = PeerCertificate::new(leaf, Some(oin), &"own-ca".into());
    assert_eq!(peer.oin().map(Oin::as_str), Some(OIN));
    assert_eq!(peer.common_name(), Some("Gemeente Almelo"));
    assert_eq!(peer.fingerprint(), Fingerprint::of(&der));
    assert_eq!(peer.not_after(), NOW + time::Duration::days(1));
    assert!(peer.policies().contains(&"1.3.6.1.5.5.7.13.1".parse().unwrap()));
    assert_eq!(format!("{peer:?}"), format!("PeerCertificate({})", peer.fingerprint()));
}

#[test]
fn key_hash_is_of_the_public_key_info() {
    let key = KeyPair::generate().unwrap();
    let mut hashes = [1, 2].map(|days| {
        let mut params = CertificateParams::default();
        params.not_after = NOW + time::Duration::days(days);
        let leaf = Leaf::read(params.self_signed(&key).unwrap().der()).unwrap();
        (leaf.key_hash, leaf.fingerprint)
    });
    assert_eq!(hashes[0].0, KeyHash::of(&rcgen::PublicKeyData::subject_public_key_info(&key)));
    assert_eq!(hashes[0].0, hashes[1].0, "renewal with the same key keeps the hash");
    hashes.sort();
    assert_ne!(hashes[0].1, hashes[1].1);
}

#[test]
fn what_is_wrong_by_itself_is_named() {
    use CertificateError as E;
    let day = time::Duration::days(1);
    let cases: Vec<(&str, Vec<u8>, E, Reason)> = vec![
        ("no serialNumber", leaf(&[], |_| {}), E::NoOin, Reason::OinMissing),
        ("two", leaf(&[OIN, OIN], |_| {}), E::SeveralOins, Reason::OinMissing),
        ("KvK number", leaf(&["12345678"], |_| {}), E::WrongOin, Reason::OinMissing),
        ("letters", leaf(&["0000009910000141000a"], |_| {}), E::WrongOin, Reason::OinMissing),
        ("past", leaf(&[OIN], |p| p.not_after = NOW - day / 2), E::Expired, Reason::CertExpired),
        ("future", leaf(&[OIN], |p| p.not_before = NOW + day / 2), E::NotYetValid, Reason::CertExpired),
        ("not a certificate", b"0\x03\x02\x01\x00".to_vec(), E::Malformed, Reason::CertUntrusted),
        ("trailing byte", [leaf(&[OIN], |_| {}), vec![0]].concat(), E::Malformed, Reason::CertUntrusted),
    ];
    for (name, der, error, reason) in cases {
        let read = Leaf::read(&der).and_then(|leaf| leaf.check_validity(NOW).and_then(|()| leaf.oin()));
        let refused = read.unwrap_err();
        assert_eq!((refused, refused.reason()), (error, reason), "{name}");
    }
}

#[test]
fn validity_includes_both_ends() {
    let der = leaf(&[OIN], |_| {});
    let day = time::Duration::days(1);
    let second = time::Duration::SECOND;
    for (now, good) in [(NOW - day, true), (NOW + day, true), (NOW - day - second, false), (NOW + day + second, false)]
    {
        assert_eq!(Leaf::read(&der).unwrap().check_validity(now).is_ok(), good, "{now}");
    }
}

proptest::proptest! {
    /// Damage is refused or harmless, and never a panic.
    #[test]
    fn damaged_certificates_are_survived(flips in proptest::collection::vec((0_usize..400, 0_u8..8), 1..6)) {
        let mut der = leaf(&[OIN], policy);
        for (at, bit) in flips {
            if let Some(byte) = der.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        proptest::prop_assert!(Leaf::read(&der).is_ok() || crate::trust::Contents::read(&der).is_err());
        der.truncate(der.len() / 2);
        proptest::prop_assert!(Leaf::read(&der).is_err());
    }
}
