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
    let words = ["ca"].into_iter().chain(line.split_whitespace()).chain(["--dir", folder]);
    let args = Ca::try_parse_from(words).map_err(|error| error.to_string())?.args;
    let mut out = Vec::new();
    run(args, NOW, &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn people_see_what_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let out = sluis_ca(folder.path(), "init --network RET --environment test").unwrap();
    assert!(out.contains("anchors.pem") && out.contains("(test)") && out.contains("offline"), "{out}");
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
    sluis_ca(folder.path(), "init --network RET --environment production").unwrap();
    let cases = [
        ("init --network RET --environment production", "never overwritten"),
        ("init --network RET", "--environment"),
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
