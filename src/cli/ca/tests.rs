use clap::Parser;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

#[derive(Parser)]
struct Ca {
    #[command(flatten)]
    args: CaArgs,
}

/// Runs `sluis ca …` with the words of `line` in `folder`; the output or the error.
fn sluis_ca(folder: &std::path::Path, line: &str) -> Result<String, String> {
    let folder = folder.to_str().unwrap();
    let line = line.replace('@', folder);
    let place: &[&str] = if line.contains("--dir") { &[] } else { &["--dir", folder] };
    let words = ["ca"].into_iter().chain(line.split_whitespace()).chain(place.iter().copied());
    let args = Ca::try_parse_from(words).map_err(|error| error.to_string())?.args;
    let mut out = Vec::new();
    run(args, NOW, &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

/// A passphrase file `@/passphrase`, the operators' keys `@/anna.key` and `@/bert.key`, and the request `@/zorg.csr`.
fn prepare(folder: &std::path::Path) {
    secret_file(folder, "passphrase", "vier woorden of meer\n");
    for name in ["anna", "bert"] {
        sluis_ca(folder, &format!("operator {name} --insecure-plain-key")).unwrap();
    }
    let request = rcgen::CertificateParams::default().serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("zorg.csr"), request.pem().unwrap()).unwrap();
}

fn secret_file(folder: &std::path::Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(folder.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

const PRODUCTION: &str = "init --network RET --environment production --passphrase-file @/passphrase \
    --root-passphrase-file @/passphrase --operator anna=@/anna.pub --operator bert=@/bert.pub";

#[test]
fn people_see_what_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let out = sluis_ca(folder.path(), "init --network RET --environment test --insecure-plain-key --without-four-eyes")
        .unwrap();
    assert!(out.contains("anchors.pem") && out.contains("(test)") && out.contains("offline"), "{out}");
    assert!(out.contains("warning") && out.contains("sluis ca protect"), "{out}");
    let out = sluis_ca(
        folder.path(),
        "issue organisation almelo --name Almelo --oin 00000099100001410000 --san agent.example --san 192.0.2.7",
    )
    .unwrap();
    for line in
        ["almelo.pem", "almelo.key", "subject      Almelo", "OIN          00000099100001410000", "key hash     "]
    {
        assert!(out.contains(line), "{line:?} is not in {out}");
    }
    assert!(out.contains("valid        2026-06-01T11:55:00Z to 2027-07-03T12:00:00Z"), "{out}");
    for line in [
        "issue server hub --name hub --san localhost",
        "issue person fg --person fg-01 --oin 00000099100001410000 --days 90",
        "issue local ecd --name ecd",
    ] {
        assert!(sluis_ca(folder.path(), line).is_ok(), "{line}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    sluis_ca(folder.path(), PRODUCTION).unwrap();
    let cases = [
        (PRODUCTION, "never overwritten"),
        ("init --network RET", "--environment"),
        ("init --network RET --environment production --dir @/x", "two operators"),
        ("init --network RET --environment test --dir @/x", "--without-four-eyes"),
        ("init --network RET --environment production --without-four-eyes --dir @/x", "four eyes"),
        ("init --network RET --environment production --own-systems --insecure-plain-key --dir @/x", "for tests"),
        ("init --network RET --environment production --operator anna=@/anna.pub --dir @/x", "two operators"),
        (
            "init --network RET --environment test --own-systems --insecure-plain-key --crl-url https://x --dir @/x",
            "http://",
        ),
        ("root --network RET --environment test --token-module /x --dir @/x", "--token"),
        ("root --network RET --environment production --insecure-plain-key --dir @/x", "for tests"),
        ("issuing --root @/absent --without-four-eyes", "there is no root.pem in it"),
        ("operator anna", "never overwritten"),
        ("operator a@b", "opaque reference"),
        ("protect --passphrase-file @/passphrase", "protected already"),
        ("issue local a --name A", "sluis ca request"),
        (
            "request @/zorg.csr local a --name A --key @/root.key --passphrase-file @/passphrase",
            "nobody who may propose",
        ),
        ("request @/zorg.csr local a --name A --key @/zorg.csr", "no private key in it"),
        ("request @/zorg.csr local a --name A --key @/anna.pub", "NAME.key"),
        ("request @/root.pem local a --name A --key @/anna.key", "no signing request"),
        ("approve @/root.pem --key @/anna.key", "no proposal"),
        ("sign @/absent", "can't be read"),
        ("revoke 0a --reason superseded", "sluis ca list"),
        ("revoke 0a --reason because", "key-compromise"),
        ("revoke @/zorg.csr --reason superseded", "no certificate of this authority"),
        ("crl --days 90 --passphrase-file @/passphrase", "1 to 31 days"),
        ("crl --passphrase-file @/absent", "can't be read"),
        ("issue organisation a --name A", "--oin is needed"),
        ("issue organisation a --oin 00000003123456780000", "--name is needed"),
        ("issue organisation a --name A --oin 123", "20 digits"),
        ("issue organisation a --name A --oin 00000099100001410000", "for tests"),
        ("issue organisation a --name A --oin 00000003123456780000 --person x", "--person has no place"),
        ("issue organisation ../a --name A --oin 00000003123456780000", "file name"),
        ("issue server a --name A", "--san is needed"),
        ("issue server a --name A --san a_b/c", "DNS name"),
        ("issue person a --oin 00000003123456780000", "--person is needed"),
        ("issue person a --oin 00000003123456780000 --person a@b", "opaque reference"),
        ("issue local a --name A --oin 00000003123456780000", "--oin has no place"),
        ("issue local a --name A --days 0", "1 to 1200 days"),
        ("issue local a --name A --csr /absent", "can't be read"),
        ("issue king a", "organisation"),
    ];
    for (line, hint) in cases {
        let error = sluis_ca(folder.path(), line).unwrap_err();
        assert!(error.contains(hint), "{line}: {hint:?} is not in {error:?}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(sluis_ca(elsewhere.path(), "issue local a --name A").unwrap_err().contains("sluis ca init"));
}

/// From a request to a revocation, as people do it and see it.
#[test]
fn two_people_make_a_certificate_and_take_it_back() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let out = sluis_ca(folder.path(), PRODUCTION).unwrap();
    assert!(out.contains("operator     anna") && !out.contains("warning"), "{out}");
    let request = "request @/zorg.csr organisation zorg --name Zorg --oin 00000003123456780000 --san zorg.example \
        --key @/anna.key";
    let out = sluis_ca(folder.path(), request).unwrap();
    for line in
        ["proposed by  anna", "profile      organisation", "subject      Zorg", "OIN          00000003123456780000"]
    {
        assert!(out.contains(line), "{line:?} is not in {out}");
    }
    assert!(
        out.contains("also         zorg.example")
            && out.contains("key hash     ")
            && out.contains("policy       2.25.")
    );
    let early = sluis_ca(folder.path(), "sign @/zorg.proposal --passphrase-file @/passphrase").unwrap_err();
    assert!(early.contains("sluis ca approve"), "{early}");
    let same = sluis_ca(folder.path(), "approve @/zorg.proposal --key @/anna.key").unwrap_err();
    assert!(same.contains("another operator"), "{same}");
    let out = sluis_ca(folder.path(), "approve @/zorg.proposal --key @/bert.key").unwrap();
    assert!(out.contains("subject      Zorg") && out.contains("approved by  bert"), "{out}");
    let out = sluis_ca(folder.path(), "sign @/zorg.proposal --passphrase-file @/passphrase").unwrap();
    assert!(out.contains("anna proposed, bert approved"), "{out}");
    let serial = out.lines().find_map(|line| line.strip_prefix("serial       ")).unwrap().to_owned();
    let out = sluis_ca(folder.path(), "list").unwrap();
    assert!(out.contains(&serial) && out.contains("until 2027-") && out.contains("anna, bert"), "{out}");
    let out = sluis_ca(folder.path(), &format!("revoke {serial} --reason key-compromise")).unwrap();
    assert!(out.contains("sluis ca crl"), "{out}");
    let twice = sluis_ca(folder.path(), "revoke @/zorg.pem --reason superseded").unwrap_err();
    assert!(twice.contains("revoked already"), "{twice}");
    let out = sluis_ca(folder.path(), "crl --passphrase-file @/passphrase").unwrap();
    assert!(out.contains("1, 1 revoked") && out.contains("2026-06-08"), "{out}");
    let out = sluis_ca(folder.path(), "crl --root --days 90 --passphrase-file @/passphrase").unwrap();
    assert!(out.contains("root.crl"), "{out}");
    assert!(sluis_ca(folder.path(), "list").unwrap().contains("revoked 2026-06-01T12:00:00Z, key-compromise"));
    assert!(sluis_ca(folder.path(), "list --root").unwrap().contains("issuing CA 1"));
}

#[test]
fn two_people_let_a_third_take_a_place() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    sluis_ca(folder.path(), PRODUCTION).unwrap();
    sluis_ca(folder.path(), "operator carla --insecure-plain-key").unwrap();
    let out = sluis_ca(folder.path(), "operators").unwrap();
    assert!(out.contains("operator     anna, key ") && out.lines().count() == 2, "{out}");
    let line = "operators --add carla=@/carla.pub --remove anna --key @/anna.key";
    assert!(sluis_ca(folder.path(), "operators --remove anna").unwrap_err().contains("--key"));
    let out = sluis_ca(folder.path(), line).unwrap();
    for line in ["proposed by  anna", "no more      anna, key ", "operator     carla, key ", "as before    bert"] {
        assert!(out.contains(line), "{line:?} is not in {out}");
    }
    let paper = "@/operators-1.proposal";
    let early = sluis_ca(folder.path(), &format!("sign {paper} --passphrase-file @/passphrase")).unwrap_err();
    assert!(early.contains("sluis ca approve"), "{early}");
    let out = sluis_ca(folder.path(), &format!("approve {paper} --key @/bert.key")).unwrap();
    assert!(out.contains("no more      anna") && out.contains("approved by  bert"), "{out}");
    let out = sluis_ca(folder.path(), &format!("sign {paper} --passphrase-file @/passphrase")).unwrap();
    assert!(out.contains("carla joined, anna left") && out.contains("anna proposed, bert approved"), "{out}");
    let out = sluis_ca(folder.path(), "operators").unwrap();
    assert!(out.contains("operator     carla") && !out.contains("operator     anna"), "{out}");
    assert!(out.contains("changed      2026-06-01T12:00:00Z: carla joined, anna left"), "{out}");
    let gone = sluis_ca(folder.path(), "request @/zorg.csr local a --name A --key @/anna.key").unwrap_err();
    assert!(gone.contains("nobody who may propose"), "{gone}");
    sluis_ca(folder.path(), "request @/zorg.csr local a --name A --key @/carla.key").unwrap();
}

#[test]
fn an_old_authority_is_protected() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    sluis_ca(folder.path(), "init --network RET --environment test --insecure-plain-key --without-four-eyes").unwrap();
    assert!(sluis_ca(folder.path(), "issue local a --name A").unwrap().contains("warning"));
    for line in ["protect", "protect --root"] {
        let out = sluis_ca(folder.path(), &format!("{line} --passphrase-file @/passphrase")).unwrap();
        assert!(out.contains("protected"), "{out}");
    }
    let out = sluis_ca(folder.path(), "issue local b --name B --passphrase-file @/passphrase").unwrap();
    assert!(!out.contains("warning"), "{out}");
    let line = "issuing --root @ --root-passphrase-file @/passphrase --dir @/next --passphrase-file @/passphrase --without-four-eyes";
    assert!(sluis_ca(folder.path(), line).unwrap().contains("(test)"));
}
