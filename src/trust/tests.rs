//! Chains as authorities make them, and as they should not: each judged here and by OpenSSL.

use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, RevokedCertParams, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::*;

pub(crate) mod chains;
mod profiles;
mod pss;
mod taken;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
pub(crate) const DAY: Duration = Duration::DAY;
pub(crate) const ALMELO: &str = "00000099100001410000";
/// RFC 7229: policies for tests.
pub(crate) const POLICY: &str = "1.3.6.1.5.5.7.13.1";
const OTHER_POLICY: &str = "1.3.6.1.5.5.7.13.2";

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// `certificatePolicies` with these, all of the arc of RFC 7229 or anyPolicy.
fn policies(oids: &[&str]) -> CustomExtension {
    let mut content = Vec::new();
    for oid in oids {
        let encoded: &[u8] = match *oid {
            POLICY => &[0x2b, 6, 1, 5, 5, 7, 13, 1],
            OTHER_POLICY => &[0x2b, 6, 1, 5, 5, 7, 13, 2],
            ANY_POLICY => &[0x55, 0x1d, 0x20, 0],
            other => panic!("{other}"),
        };
        let length = u8::try_from(encoded.len()).unwrap();
        content.extend([0x30, length + 2, 6, length]);
        content.extend(encoded);
    }
    let whole = [vec![0x30, u8::try_from(content.len()).unwrap()], content].concat();
    CustomExtension::from_oid_content(&[2, 5, 29, 32], whole)
}

pub(crate) fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "NL");
    name.push(DnType::CommonName, common);
    name
}

/// An authority that is as it should be, altered by `change`.
pub(crate) fn authority(
    common: &str,
    issuer: Option<&Authority>,
    change: impl FnOnce(&mut CertificateParams),
) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = NOW - DAY * 1000;
    params.not_after = NOW + DAY * 1000;
    params.use_authority_key_identifier_extension = true;
    if issuer.is_some() {
        params.custom_extensions = vec![policies(&[POLICY])];
    }
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    match issuer {
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
    }
}

/// What a leaf says when it is as it should be.
pub(crate) fn good_leaf() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Gemeente Almelo");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), ALMELO);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = NOW - DAY;
    params.not_after = NOW + DAY * 396;
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = vec![policies(&[POLICY])];
    params.serial_number = Some(SerialNumber::from_slice(&[9]));
    params
}

pub(crate) fn leaf(issuer: &Authority, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = good_leaf();
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
}

/// A list of this issuer with these serial numbers, for ten days from `from`.
pub(crate) fn list(issuer: &Authority, from: OffsetDateTime, revoked: &[u8]) -> Vec<u8> {
    let entry = |serial: &u8| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[*serial]),
        revocation_time: from - DAY,
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: from,
        next_update: from + DAY * 10,
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

/// The own CA's kind of key under PKIoverheid's kind of rules.
pub(crate) fn profile() -> Profile {
    let mut profile = Profile::built_in("pkioverheid-g4-other").unwrap();
    profile.policies = [POLICY.parse().unwrap()].into();
    profile
}

pub(crate) fn has_openssl() -> bool {
    let is_there = Command::new("openssl").arg("version").output().is_ok();
    if !is_there {
        use std::io::Write as _;
        writeln!(std::io::stderr(), "skipped: no openssl on this machine").unwrap();
    }
    is_there
}

fn openssl(folder: &Path, line: &str) {
    let mut command = Command::new("openssl");
    // A configuration is read whole, and names these for `openssl ca`.
    command.current_dir(folder).env("INDEX", "none").env("NUMBER", "none");
    let done = command.args(line.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&done.stderr));
}

fn pem(label: &str, ders: &[impl AsRef<[u8]>]) -> String {
    use base64::Engine as _;
    let one = |der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    ders.iter().map(|der| one(der.as_ref())).collect()
}

/// Whether OpenSSL believes a chain as a client's, for the policy and with the lists of every layer.
fn openssl_believes(
    folder: &Path,
    roots: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
    lists: &[Vec<u8>],
    at: OffsetDateTime,
) -> Result<(), String> {
    let Some((leaf, rest)) = chain.split_first() else { return Err("empty".to_owned()) };
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    write("roots.pem", pem("CERTIFICATE", roots));
    write("rest.pem", pem("CERTIFICATE", rest));
    write("leaf.pem", pem("CERTIFICATE", &[leaf]));
    write("lists.pem", pem("X509 CRL", lists));
    let mut command = Command::new("openssl");
    command.current_dir(folder).args([
        "verify",
        "-auth_level",
        "2",
        "-purpose",
        "sslclient",
        "-policy",
        POLICY,
        "-explicit_policy",
    ]);
    command.args(["-attime", &at.unix_timestamp().to_string(), "-no-CApath", "-no-CAstore", "-CAfile", "roots.pem"]);
    if !rest.is_empty() {
        command.args(["-untrusted", "rest.pem"]);
    }
    if !lists.is_empty() {
        command.args(["-crl_check_all", "-CRLfile", "lists.pem"]);
    }
    let done = command.arg("leaf.pem").output().unwrap();
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
