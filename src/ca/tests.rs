use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

mod eyes;
mod keys;
mod levels;
mod renewal;
mod revoked;

use super::profile::alternative;
use super::*;
use crate::identity::certificate::{Environment, Leaf};
use crate::tls::Identity;
use crate::trust;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const ALMELO: &str = "00000099100001410000";

fn authority(folder: &Path, environment: Environment) -> Authority {
    Authority::init(folder, &"RET Testland".parse().unwrap(), environment, NOW).unwrap()
}

fn organisation() -> Profile {
    Profile::Organisation {
        name: "Gemeente Almelo".parse().unwrap(),
        oin: ALMELO.parse().unwrap(),
        alternatives: vec![alternative("agent.almelo.example").unwrap(), alternative("192.0.2.7").unwrap()],
    }
}

fn server() -> Profile {
    Profile::Server { name: "hub".parse().unwrap(), oin: None, alternatives: vec![alternative("localhost").unwrap()] }
}

fn person() -> Profile {
    Profile::Person { person: "fg-01".parse().unwrap(), oin: ALMELO.parse().unwrap() }
}

fn local() -> Profile {
    Profile::Local { system: "clientsysteem".parse().unwrap() }
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

/// Verifies a chain file with webpki, as rustls does.
fn webpki_verify(
    folder: &Path,
    chain: &Path,
    usage: webpki::KeyUsage,
    now: OffsetDateTime,
) -> Result<(), webpki::Error> {
    let root = certificates(&folder.join("anchors.pem"));
    let anchors = [webpki::anchor_from_trusted_cert(&root[0])?];
    let chain = certificates(chain);
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.unix_timestamp().unsigned_abs()));
    let leaf = webpki::EndEntityCert::try_from(&chain[0])?;
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &chain[1..], at, usage, None, None).map(|_| ())
}

#[test]
fn every_profile_verifies_for_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let cases =
        [("org", organisation(), true), ("hub", server(), true), ("fg", person(), false), ("sys", local(), false)];
    for (name, profile, serves) in cases {
        let issued = authority.issue(name, &profile, DEFAULT_DAYS, NOW).unwrap();
        let verify = |usage, now| webpki_verify(folder.path(), &issued.chain, usage, now);
        assert_eq!(verify(webpki::KeyUsage::client_auth(), NOW), Ok(()), "{name}");
        assert_eq!(verify(webpki::KeyUsage::server_auth(), NOW).is_ok(), serves, "{name}");
        assert!(verify(webpki::KeyUsage::client_auth(), NOW + Duration::days(398)).is_err(), "{name}");
        assert_eq!(issued.leaf.oin().ok().as_ref(), profile.oin(), "{name}");
        assert!(issued.leaf.policies.contains(&issued.policy.parse().unwrap()), "{name}: {}", issued.policy);
        assert!(Identity::load(&issued.chain, issued.key.as_deref().unwrap(), NOW).is_ok(), "{name}");
    }
}

/// The table in certs/README.md.
#[test]
fn every_profile_says_what_it_is_for_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let (oin, name) = (ALMELO.parse().unwrap(), "Gemeente Almelo".parse().unwrap());
    let calls_only = Profile::Organisation { name, oin, alternatives: Vec::new() };
    let both = vec!["clientAuth", "serverAuth"];
    let cases = [
        (
            "org",
            organisation(),
            both.clone(),
            (1, 1),
            "O=Gemeente Almelo, CN=Gemeente Almelo, serialNumber=00000099100001410000",
        ),
        (
            "calls",
            calls_only,
            vec!["clientAuth"],
            (0, 0),
            "O=Gemeente Almelo, CN=Gemeente Almelo, serialNumber=00000099100001410000",
        ),
        ("hub", server(), both, (1, 0), "CN=hub"),
        ("fg", person(), vec!["clientAuth"], (0, 0), "CN=fg-01, serialNumber=00000099100001410000"),
        ("sys", local(), vec!["clientAuth"], (0, 0), "CN=clientsysteem"),
    ];
    for (file, profile, purposes, names, subject) in cases {
        let issued = authority.issue(file, &profile, 30, NOW).unwrap();
        let leaf = trust::Contents::read(&certificates(&issued.chain)[0]).unwrap();
        assert_eq!(leaf.subject, subject, "{file}");
        let shown: Vec<String> = leaf.purposes.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(shown, purposes, "{file}");
        assert_eq!((leaf.dns.len(), leaf.addresses.len(), leaf.other_names), (names.0, names.1, 0), "{file}");
        assert_eq!(leaf.usages.as_deref().unwrap(), ["digitalSignature"], "{file}");
        assert!(!leaf.is_authority && leaf.policies.len() == 1, "{file}");
    }
    for (file, policies) in [("issuing.pem", 1), ("root.pem", 0)] {
        let authority = trust::Contents::read(&certificates(&folder.path().join(file))[0]).unwrap();
        assert_eq!(authority.usages.as_deref().unwrap(), ["keyCertSign", "cRLSign"], "{file}");
        assert!(authority.purposes.is_none() && authority.policies.len() == policies, "{file}");
    }
}

#[test]
fn names_of_servers_are_in_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let issued = authority(folder.path(), Environment::Test).issue("org", &organisation(), 30, NOW).unwrap();
    let chain = certificates(&issued.chain);
    let leaf = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
    for (name, good) in [("agent.almelo.example", true), ("192.0.2.7", true), ("almelo.example", false)] {
        let name = ServerName::try_from(name).unwrap();
        assert_eq!(leaf.verify_is_valid_for_subject_name(&name).is_ok(), good, "{name:?}");
    }
}

#[test]
fn the_policy_tells_people_from_systems() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let mut rules = trust::Profile::built_in("sluis-ca").unwrap();
    rules.policies = BTreeSet::from([organisation().policy().parse().unwrap()]);
    let root = certificates(&folder.path().join("anchors.pem"));
    let set = trust::Set::new("own-ca", rules, &root, trust::Lists::default(), Environment::Test).unwrap();
    let trust = trust::Trust::new(Environment::Test, vec![set]);
    for (name, profile, good) in [("org", organisation(), true), ("fg", person(), false)] {
        let issued = authority.issue(name, &profile, 30, NOW).unwrap();
        assert_eq!(trust.judge(&certificates(&issued.chain), NOW).is_ok(), good, "{name}");
    }
}

#[test]
fn openssl_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    if Command::new("openssl").arg("version").output().is_err() {
        use std::io::Write;
        writeln!(std::io::stderr(), "skipped: no openssl on this machine").unwrap();
        return;
    }
    for (name, profile, purpose) in
        [("org", organisation(), "sslclient"), ("hub", server(), "sslserver"), ("fg", person(), "sslclient")]
    {
        let issued = authority.issue(name, &profile, 30, NOW).unwrap();
        let verify = |policy: &str| {
            Command::new("openssl")
                .args(["verify", "-x509_strict", "-explicit_policy", "-purpose", purpose, "-policy", policy])
                .args(["-attime", &NOW.unix_timestamp().to_string(), "-CAfile"])
                .arg(folder.path().join("anchors.pem"))
                .arg("-untrusted")
                .arg(folder.path().join("issuing.pem"))
                .arg(&issued.chain)
                .output()
                .unwrap()
        };
        let good = verify(&issued.policy);
        assert!(good.status.success(), "{name}: {}", String::from_utf8_lossy(&good.stderr));
        assert!(!verify(&local().policy()).status.success(), "{name}: another policy");
    }
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    authority.issue("org", &organisation(), 30, NOW).unwrap();
    let all = || -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect()
    };
    let before = all();
    // Two certificates, keys and settings of the authority, two registers, anchors, and the pair that was issued.
    assert_eq!(before.len(), 6 + 2 + 1 + 2);
    let again = Authority::init(folder.path(), &"Other".parse().unwrap(), Environment::Test, NOW);
    assert!(matches!(again, Err(CaError::Exists(_))));
    assert!(matches!(authority.issue("org", &organisation(), 30, NOW), Err(CaError::Exists(_))));
    assert_eq!(all(), before);
    fs::remove_file(folder.path().join("org.pem")).unwrap();
    assert!(matches!(authority.issue("org", &organisation(), 30, NOW), Err(CaError::Exists(_))), "the key is left");
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("ca");
    authority(&inner, Environment::Test).issue("org", &organisation(), 30, NOW).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for name in ["root.key", "issuing.key", "org.key"] {
        assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
    }
    fs::set_permissions(inner.join("issuing.key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Authority::open(&inner), Err(CaError::OpenKey(_))));
    // What everybody may read, and is no private key, is told to be that.
    fs::write(inner.join("issuing.key"), fs::read(inner.join("issuing.pem")).unwrap()).unwrap();
    assert!(matches!(Authority::open(&inner), Err(CaError::NoPrivateKey(_))));
}

#[test]
fn the_root_key_is_not_needed_for_daily_work() {
    let folder = tempfile::tempdir().unwrap();
    drop(authority(folder.path(), Environment::Test));
    fs::remove_file(folder.path().join("root.key")).unwrap();
    assert!(Authority::open(folder.path()).unwrap().issue("org", &organisation(), 30, NOW).is_ok());
}

#[test]
fn a_mixed_up_directory_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(matches!(Authority::open(folder.path()), Err(CaError::NoAuthority { stem: "issuing", .. })));
    drop(authority(folder.path(), Environment::Test));
    fs::copy(path("root.key"), path("issuing.key")).unwrap();
    assert!(matches!(Authority::open(folder.path()), Err(CaError::KeyMismatch(_))));
    fs::write(path("issuing.pem"), "nonsense").unwrap();
    assert!(matches!(Authority::open(folder.path()), Err(CaError::Damaged(_))));
}

#[test]
fn environments_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = || secret::tests::from(folder.path());
    let plan = || Plan { key: NewKey::Locked(passphrase()), signing: Signing::OwnSystems, crl_url: None };
    let (ca, name) = (folder.path().join("ca"), "RET Testland".parse().unwrap());
    let production = Authority::init_with(&ca, &name, Environment::Production, (plan(), plan()), NOW).unwrap();
    assert!(matches!(production.issue("org", &organisation(), 30, NOW), Err(CaError::TestOin)));
    assert!(matches!(production.issue("fg", &person(), 30, NOW), Err(CaError::TestOin)));
    assert!(production.issue("hub", &server(), 30, NOW).is_ok());
    let office = Office::read(&ca, Level::Issuing).unwrap();
    assert_eq!(Authority::open_with(office, &passphrase()).unwrap().environment(), Environment::Production);
}

#[test]
fn wrong_wishes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    for name in ["", ".", "..", "a/b", "root", "issuing", "anchors", ".hidden", "é"] {
        assert!(matches!(authority.issue(name, &local(), 30, NOW), Err(CaError::BadFileName)), "{name:?}");
    }
    for days in [0, 1201, u16::MAX] {
        assert!(matches!(authority.issue("a", &local(), days, NOW), Err(CaError::BadDays)), "{days}");
    }
    let late = NOW + Duration::days(ISSUING_DAYS - 100);
    assert!(matches!(authority.issue("a", &local(), DEFAULT_DAYS, late), Err(CaError::OutlivesCa)));
    for name in ["", " a", "a ", "a\nb", &"x".repeat(65)] {
        assert!(name.parse::<Name>().is_err(), "{name:?}");
    }
    for name in ["", "*.example.nl", "a b", "https://x", "1.2.3.4.5"] {
        assert!(alternative(name).is_err(), "{name:?}");
    }
}

#[test]
fn serial_numbers_differ_and_have_128_bits() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let mut seen = BTreeSet::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let issued = authority.issue(name, &local(), 30, NOW).unwrap();
        let chain = certificates(&issued.chain);
        let serial = webpki::EndEntityCert::try_from(&chain[0]).unwrap().serial().to_vec();
        assert!((14..=17).contains(&serial.len()), "{}", serial.len());
        seen.insert(serial);
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn a_request_gives_its_key_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 99], vec![5, 0])];
    let request = params.serialize_request(&key).unwrap();
    let file = folder.path().join("request.csr");
    fs::write(&file, request.pem().unwrap()).unwrap();
    let issued = authority.sign("org", &file, &organisation(), 30, NOW).unwrap();
    assert!(issued.key.is_none() && !folder.path().join("org.key").exists());
    let info = rcgen::PublicKeyData::subject_public_key_info(&key);
    assert_eq!(issued.leaf.key_hash, crate::identity::KeyHash::of(&info));
    assert_eq!(webpki_verify(folder.path(), &issued.chain, webpki::KeyUsage::client_auth(), NOW), Ok(()));
    let chain = certificates(&issued.chain);
    let leaf = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
    assert!(leaf.verify_is_valid_for_subject_name(&"evil.example".try_into().unwrap()).is_err());
    assert_eq!(Leaf::read(&chain[0]).unwrap().oin().unwrap().as_str(), ALMELO);
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let request = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let mut der = request.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let pem = pem_text("CERTIFICATE REQUEST", &der);
    let certificate = fs::read_to_string(folder.path().join("issuing.pem")).unwrap();
    for (name, text) in [("forged", pem.as_str()), ("empty", ""), ("certificate", certificate.as_str())] {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let refused = authority.sign("org", &file, &organisation(), 30, NOW);
        assert!(matches!(refused, Err(CaError::BadRequest(_))), "{name}");
    }
}

fn pem_text(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
