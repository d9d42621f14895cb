//! Keys under a passphrase: what OpenSSL says of them, and what happens when something is wrong with them.

use super::super::secret::tests::{file, from};
use super::*;

fn locked(folder: &Path) -> Plan {
    Plan { key: NewKey::Locked(from(folder)), signing: Signing::Alone, crl_url: None }
}

/// A test authority whose keys have the passphrase of [`from`].
fn protected(folder: &Path) -> Authority {
    let plans = (locked(folder), locked(folder));
    Authority::init_with(&folder.join("ca"), &"RET Testland".parse().unwrap(), Environment::Test, plans, NOW).unwrap()
}

fn reopen(folder: &Path, secret: &SecretFrom) -> Result<Authority, CaError> {
    Authority::open_with(Office::read(&folder.join("ca"), Level::Issuing)?, secret)
}

fn openssl(arguments: &[&str]) -> Option<std::process::Output> {
    Command::new("openssl").args(arguments).output().ok()
}

#[test]
fn a_protected_key_opens_with_its_passphrase_alone() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(protected(folder.path()).kept(), Kept::Locked);
    let text = fs::read_to_string(folder.path().join("ca/issuing.key")).unwrap();
    assert_eq!(pem::parse(&text).unwrap().tag(), "ENCRYPTED PRIVATE KEY");
    let authority = reopen(folder.path(), &from(folder.path())).unwrap();
    assert_eq!(authority.kept(), Kept::Locked);
    let issued = authority.issue("org", &organisation(), 30, NOW).unwrap();
    assert_eq!(webpki_verify(&folder.path().join("ca"), &issued.chain, webpki::KeyUsage::client_auth(), NOW), Ok(()));
    for (name, text) in
        [("other", "vier andere woorden"), ("case", "Vier woorden of meer"), ("space", "vier woorden of meer ")]
    {
        let wrong = SecretFrom::issuing(Some(file(folder.path(), name, text)));
        let error = reopen(folder.path(), &wrong).err().unwrap();
        assert!(matches!(error, CaError::Secret(SecretError::Wrong(_))), "{name}: {error}");
        let said = format!("{error} {error:?}");
        assert!(said.contains("issuing.key") && !said.contains("woorden"), "{said}");
    }
}

#[test]
fn a_damaged_key_is_told_from_a_wrong_passphrase_where_that_can_be() {
    let folder = tempfile::tempdir().unwrap();
    drop(protected(folder.path()));
    let path = folder.path().join("ca/issuing.key");
    let good = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let without_a_line = [lines[0], lines[1], lines[lines.len() - 1], ""].join("\n");
    let inside = {
        let mut changed: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let nth = changed.len() - 3;
        changed[nth] = changed[nth].chars().rev().collect();
        changed.join("\n") + "\n"
    };
    let damaged: fn(&CaError) -> bool = |error| matches!(error, CaError::Damaged(_));
    let wrong: fn(&CaError) -> bool = |error| matches!(error, CaError::Secret(SecretError::Wrong(_)));
    let cases = [
        ("cut off", good.chars().take(good.len() / 2).collect(), damaged),
        ("a line is gone", without_a_line, damaged),
        ("not base64", good.replacen("MI", "!!", 1), damaged),
        ("the encrypted bytes", inside, wrong),
        ("empty", String::new(), damaged),
    ];
    for (name, text, is) in cases {
        fs::write(&path, text).unwrap();
        let error = reopen(folder.path(), &from(folder.path())).err().unwrap();
        assert!(is(&error), "{name}: {error}");
    }
}

#[test]
fn openssl_reads_our_keys_and_we_read_its() {
    let folder = tempfile::tempdir().unwrap();
    drop(protected(folder.path()));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (key, pass) =
        (text(&folder.path().join("ca/issuing.key")), format!("file:{}", text(&folder.path().join("passphrase"))));
    let Some(shown) = openssl(&["pkey", "-in", &key, "-passin", &pass, "-text", "-noout"]) else {
        use std::io::Write;
        writeln!(std::io::stderr(), "skipped: no openssl on this machine").unwrap();
        return;
    };
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("prime256v1"));
    let wrong = format!("file:{}", text(&file(folder.path(), "wrong", "vier andere woorden")));
    assert!(!openssl(&["pkey", "-in", &key, "-passin", &wrong, "-noout"]).unwrap().status.success());
    let structure = openssl(&["asn1parse", "-in", &key]).unwrap();
    let structure = String::from_utf8_lossy(&structure.stdout).into_owned();
    assert!(["PBES2", "scrypt", "aes-256-cbc"].iter().all(|word| structure.contains(word)), "{structure}");

    let plain = text(&folder.path().join("plain.key"));
    assert!(
        openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-passin", &pass, "-out", &plain])
            .unwrap()
            .status
            .success()
    );
    let ways: [(&str, &[&str], bool); 4] = [
        ("scrypt", &["-scrypt"], true),
        ("pbkdf2", &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "600000"], true),
        ("beyond reason", &["-scrypt", "-scrypt_N", "1048576", "-scrypt_r", "8", "-scrypt_p", "16"], false),
        ("single DES", &["-v1", "PBE-SHA1-3DES"], false),
    ];
    for (name, way, good) in ways {
        let made =
            openssl(&[&["pkcs8", "-topk8", "-in", &plain, "-out", &key, "-passout", &pass], way].concat()).unwrap();
        if !made.status.success() {
            assert!(!good, "{name}: {}", String::from_utf8_lossy(&made.stderr));
            continue;
        }
        let opened = reopen(folder.path(), &from(folder.path()));
        match opened {
            Ok(_) => assert!(good, "{name}"),
            Err(error) => {
                let refused = matches!(error, CaError::Secret(SecretError::Unsupported(_)) | CaError::Damaged(_));
                assert!(!good && refused, "{name}: {error}");
            }
        }
    }
}

#[test]
fn a_plain_key_is_protected_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    assert_eq!(authority(&ca, Environment::Test).kept(), Kept::Plain);
    let plain = fs::read(ca.join("issuing.key")).unwrap();
    let secret = from(folder.path());
    let short = SecretFrom::issuing(Some(file(folder.path(), "short", "kort")));
    let refused = Authority::open(&ca).unwrap().protect(None, &short);
    assert!(matches!(refused, Err(CaError::Secret(SecretError::Short))));
    assert_eq!(fs::read(ca.join("issuing.key")).unwrap(), plain, "as it was");
    Authority::open(&ca).unwrap().protect(None, &secret).unwrap();
    assert_eq!(reopen(folder.path(), &secret).unwrap().kept(), Kept::Locked);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(ca.join("issuing.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = reopen(folder.path(), &secret).unwrap().protect(None, &secret);
    assert!(matches!(again, Err(CaError::Secret(SecretError::AlreadyLocked(_)))));
    assert!(fs::read_dir(&ca).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().ends_with(".new")));
}

/// Directories of the time before settings and registers: they work, and stop to when a key is protected and what was written
/// down then is taken away.
#[test]
fn an_old_directory_keeps_working() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    drop(authority(&ca, Environment::Test));
    for name in ["root.toml", "issuing.toml", "root-issued.jsonl"] {
        fs::remove_file(ca.join(name)).unwrap();
    }
    let old = Authority::open(&ca).unwrap();
    assert_eq!(old.kept(), Kept::Plain);
    old.issue("org", &organisation(), 30, NOW).unwrap();
    old.protect(None, &from(folder.path())).unwrap();
    reopen(folder.path(), &from(folder.path())).unwrap().issue("again", &organisation(), 30, NOW).unwrap();
    fs::remove_file(ca.join("issuing.toml")).unwrap();
    assert!(
        matches!(reopen(folder.path(), &from(folder.path())), Err(CaError::Damaged(path)) if path.ends_with("issuing.toml"))
    );
}

#[test]
fn production_has_no_plain_keys() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Authority::init(folder.path(), &"RET".parse().unwrap(), Environment::Production, NOW);
    assert!(matches!(refused, Err(CaError::Secret(SecretError::PlainInProduction))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
