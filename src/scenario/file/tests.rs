use super::*;

const GOOD: &str = r#"
title = "Titel"
description = "Waarover"
[[partner]]
id = "G-A"
name = "Gemeente A"
kind = "gemeente"
oin = "00000099100001410000"
[[youth]]
id = "kind"
bsn = "999900006"
[[step]]
id = "1"
who = "G-A"
role = "R01"
user = "ga.1"
what = "Aanmelden"
call = "refer"
article = "10"
purpose = "aanmelding"
youth = "kind"
regime = { age = "12-15", authority = ["ouder-1"] }
as = "casus"
expect = "allow"
"#;

fn message(text: &str) -> String {
    Scenario::parse(Path::new("s.toml"), text).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn a_good_file_is_read() {
    let scenario = Scenario::parse(Path::new("s.toml"), GOOD).unwrap();
    assert_eq!(scenario.steps.len(), 1);
    assert_eq!(scenario.steps[0].expect, Expect::Allow);
    assert!(matches!(&scenario.steps[0].call, Call::Refer(call) if call.label == "casus" && call.regime.capable));
}

#[test]
fn mistakes_are_named_with_file_step_and_key() {
    for (from, to, wanted) in [
        ("youth = \"kind\"", "youth = \"kind\"\nyoth = 1", ["step 1", "yoth"]),
        ("youth = \"kind\"", "youth = \"ander\"", ["`youth`", "ander"]),
        ("who = \"G-A\"", "who = \"G-Z\"", ["`who`", "G-Z"]),
        ("call = \"refer\"", "call = \"steal\"", ["steal", "publish"]),
        ("expect = \"allow\"", "expect = \"MAYBE\"", ["`expect`", "MAYBE"]),
        ("role = \"R01\"", "role = \"R99\"", ["R99", "role"]),
        ("age = \"12-15\"", "age = \"12-16\"", ["12-16", "age band"]),
        ("oin = \"00000099100001410000\"", "oin = \"12\"", ["12", "20 digits"]),
        ("title = \"Titel\"", "title = \"Titel\"\ncolour = 1", ["colour", "s.toml"]),
        ("youth = \"kind\"", "", ["step 1", "youth"]),
    ] {
        assert!(GOOD.contains(from));
        let message = message(&GOOD.replacen(from, to, 1));
        for word in wanted {
            assert!(message.contains(word), "{word}: {message}");
        }
        assert!(message.contains("s.toml"), "{message}");
    }
}

#[test]
fn the_scenarios_of_the_repository_are_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut found = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let scenario = Scenario::load(&file).unwrap_or_else(|error| panic!("{error}"));
        assert!(!scenario.steps.is_empty());
        let mut ids: Vec<_> = scenario.steps.iter().map(|step| &step.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), scenario.steps.len(), "step ids repeat in {}", file.display());
        found += 1;
    }
    assert!(found >= 3, "{found} scenarios");
}
