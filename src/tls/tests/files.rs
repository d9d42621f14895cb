//! Files as operators hand them over.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::tls::files::{SetFiles, own_authority, revocation_lists, trust as trust_of};

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn write(path: PathBuf, text: impl AsRef<[u8]>) -> PathBuf {
    fs::write(&path, text).unwrap();
    set_mode(&path, 0o600);
    path
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

/// A chain file and a key file, as `change` made the certificate.
fn pair(ca: &Ca, folder: &Path, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
    let (certificate, key) = ca.issue_parts(ALMELO, change);
    let chain = write(folder.join(format!("{name}.pem")), pem("CERTIFICATE", &certificate));
    let key = write(folder.join(format!("{name}.key")), pem("PRIVATE KEY", key.secret_der()));
    (chain, key)
}

#[test]
fn errors_name_the_file_and_the_way_out() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (chain, key) = pair(&ca, folder.path(), "good", |_| {});
    let (_, other_key) = pair(&ca, folder.path(), "other", |_| {});
    let (late, late_key) = pair(&ca, folder.path(), "late", |p| p.not_after = NOW - DAY / 2);
    let (early, early_key) = pair(&ca, folder.path(), "early", |p| p.not_before = NOW + DAY / 2);
    let empty = write(path("empty.pem"), "");
    let damaged = write(path("damaged.pem"), "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    let nonsense = write(path("nonsense.pem"), pem("CERTIFICATE", b"nonsense"));
    assert!(Identity::load(&chain, &key, NOW).is_ok());
    let cases = [
        (&chain, &other_key, "is not the private key of the first certificate"),
        (&late, &late_key, "has expired"),
        (&early, &early_key, "not valid yet"),
        (&empty, &key, "holds no certificate"),
        (&damaged, &key, "damaged PEM"),
        (&nonsense, &key, "nonsense.pem"),
        (&path("absent.pem"), &key, "can't be read"),
        (&chain, &path("absent.key"), "can't be read"),
        (&chain, &empty, "no private key"),
        (&chain, &chain, "no private key"),
    ];
    for (chain, key, hint) in cases {
        let error = Identity::load(chain, key, NOW).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(hint), "{hint:?} is not in {error:?}");
        assert!(error.contains(&folder.path().display().to_string()), "{error:?} names no file");
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_refused() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = pair(&ca, folder.path(), "a", |_| {});
    for mode in [0o640, 0o604, 0o660, 0o610] {
        set_mode(&key, mode);
        let error = Identity::load(&chain, &key, NOW).err().unwrap();
        assert!(matches!(&error, FileError::OpenKey(path) if *path == key), "{mode:o}");
        assert!(error.to_string().contains("chmod 600"));
    }
    set_mode(&key, 0o400);
    assert!(Identity::load(&chain, &key, NOW).is_ok());
}

#[test]
fn anchors_may_be_several_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let roots = [Ca::new(), Ca::new()].map(|ca| pem("CERTIFICATE", ca.0.der()));
    let two = write(folder.path().join("two.pem"), format!("{}{}", roots[0], roots[1]));
    let trust = own_authority(Environment::Test, &two).unwrap();
    assert_eq!(trust.sets()[0].roots().len(), 2);
    let empty = write(folder.path().join("empty.pem"), "");
    assert!(matches!(own_authority(Environment::Test, &empty), Err(FileError::Empty(_))));
}

#[test]
fn sets_that_can_not_be_used_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let anchors = write(folder.path().join("roots.pem"), pem("CERTIFICATE", Ca::new().0.der()));
    for (profile, environment, hint) in [
        ("pkioverheid-g1", Environment::Test, "is for the environment production"),
        ("pkioverheid-g1", Environment::Production, "learns revocation from lists and has none"),
        ("pkioverheid-g4-other", Environment::Production, "has no policies"),
        ("pkioverheid-g5", Environment::Production, "is not one of sluis-ca, "),
    ] {
        let made = SetFiles::built_in("set", profile, &anchors).and_then(|set| trust_of(environment, vec![set]));
        let error = made.err().unwrap().to_string();
        assert!(error.contains(hint) && error.contains("roots.pem"), "{error}");
    }
}

#[test]
fn revocation_lists_are_pem_or_der_and_the_newest_counts() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let list = |from| match ca.crl(from, &[1]) {
        Revocation::Lists(lists) => lists.iter().next().unwrap().der().to_vec(),
        Revocation::RegistryOnly => panic!("a list was made"),
    };
    let der = write(folder.path().join("a.crl"), list(NOW));
    let pem = write(folder.path().join("b.pem"), pem("X509 CRL", &list(NOW - DAY)));
    for files in [[&der, &pem], [&pem, &der]] {
        let lists = revocation_lists(files.map(PathBuf::as_path)).unwrap();
        assert_eq!(lists.iter().map(|list| list.this_update).collect::<Vec<_>>(), [NOW]);
    }
    let wrong = write(folder.path().join("c.crl"), "<html>not found</html>");
    assert!(matches!(revocation_lists([wrong.as_path()]), Err(FileError::BadList(_))));
}
