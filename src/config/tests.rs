use std::path::Path;

use super::*;

const HUB: &str = include_str!("../../config/hub.toml");
const AGENT: &str = include_str!("../../config/agent.toml");
const KEYHOLDER: &str = include_str!("../../config/keyholder.toml");
const WITNESS: &str = include_str!("../../config/witness.toml");
const ROSTER: &str = include_str!("../../config/roster.toml");

fn problem<T: Config>(text: &str) -> String {
    parse::<T>(Path::new("/etc/sluis/x.toml"), text).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn the_samples_parse_and_show_the_defaults() {
    let hub: HubConfig = parse(Path::new("/etc/sluis/hub.toml"), HUB).unwrap();
    assert_eq!(hub.limits, Limits::default());
    assert!(!hub.simulation.clock);
    assert_eq!(hub.store.url.as_str(), "sqlite:/etc/sluis/data/hub.db");
    assert_eq!(hub.tls.key, Path::new("/etc/sluis/tls/hub.key"));
    let agent: AgentConfig = parse(Path::new("/etc/sluis/agent.toml"), AGENT).unwrap();
    assert_eq!(agent.local.anchors, Path::new("/etc/sluis/local/anchors.pem"));
    let keyholder: KeyholderConfig = parse(Path::new("/etc/sluis/keyholder.toml"), KEYHOLDER).unwrap();
    assert_eq!(keyholder.key.epoch, 1);
    let witness: WitnessConfig = parse(Path::new("/etc/sluis/witness.toml"), WITNESS).unwrap();
    assert_eq!(witness.witness.directory, Path::new("/etc/sluis/witness"));
    let roster: Roster = parse(Path::new("/etc/sluis/roster.toml"), ROSTER).unwrap();
    assert_eq!(roster.partners.len(), 1);
}

/// What a sample shows in a comment can be written as it stands there.
#[test]
fn optional_sections_of_the_samples_parse_too() {
    let with = |text: &str, section: &str| {
        let keys: Vec<String> = text
            .split_once(section)
            .unwrap()
            .1
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with('#'))
            .filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = \"")).map(ToOwned::to_owned))
            .collect();
        format!("{text}\n{}\n{}\n", section.trim_start_matches("# "), keys.join("\n"))
    };
    let agent: AgentConfig = parse(Path::new("/etc/sluis/agent.toml"), &with(AGENT, "# [witness]")).unwrap();
    assert_eq!(agent.witness.unwrap().directory, Path::new("/etc/sluis/witness"));
    let agent: AgentConfig = parse(Path::new("/etc/sluis/agent.toml"), &with(AGENT, "# [mandate]")).unwrap();
    assert_eq!(agent.mandate.unwrap().file, Path::new("/etc/sluis/mandate.json"));
    let sets = with(HUB, "# [[trust.sets]]");
    let hub: HubConfig = parse(Path::new("/etc/sluis/hub.toml"), &sets).unwrap();
    assert_eq!(hub.trust.sets[0].anchors, Path::new("/etc/sluis/tls/pkioverheid-g1.pem"));
    assert_eq!(hub.trust.sets[0].profile.as_deref(), Some("pkioverheid-g1"));
    let hub: HubConfig = parse(Path::new("/etc/sluis/hub.toml"), &with(HUB, "# [audit.witnesses]")).unwrap();
    assert_eq!(hub.audit.witnesses.unwrap().policy, Path::new("/etc/sluis/audit.policy"));
}

#[test]
fn every_key_of_a_sample_has_a_comment_above_it() {
    for text in [HUB, AGENT, KEYHOLDER, WITNESS, ROSTER] {
        let mut commented = false;
        for line in text.lines() {
            let line = line.trim();
            match line {
                "" => commented = false,
                _ if line.starts_with('#') => commented = true,
                _ if line.starts_with('[') => commented = false,
                // A key directly under a commented key shares its comment.
                _ => assert!(commented, "{line}"),
            }
        }
    }
}

#[test]
fn errors_name_the_key_and_the_way_out() {
    for (from, to, wanted) in [
        (
            "address = \"127.0.0.1:4400\"",
            "address = \"localhost\"",
            ["listen.address", "`localhost`", "127.0.0.1:4400"],
        ),
        ("node = \"hub-1\"", "node = \"hub 1\"", ["`node`", "hub 1", "for example"]),
        ("url = \"sqlite:data/hub.db\"", "url = \"mysql://u:geheim@h/d\"", ["store.url", "sqlite:hub.db", "line"]),
        ("url = \"sqlite:data/hub.db\"", "url = \"postgres://u:geheim@h/d\"", ["store.url", "password_file", "line"]),
        ("url = \"sqlite:data/hub.db\"", "url = \"postgres://u@h/d\"", ["store.url", "verify-full", "line"]),
        ("url = \"sqlite:data/hub.db\"", "url = \"postgres://h/d\"", ["store.url", "sluis_hub", "line"]),
        ("clock = false", "clok = false", ["simulation", "unknown field `clok`", "`clock`"]),
        ("level = \"info\"", "level = \"loud\"", ["log.level", "loud", "`info`"]),
        ("clock = false", "clock = \"no\"", ["simulation.clock", "no", "boolean"]),
        ("handshakes = 256", "handshakes = 0", ["limits.handshakes", "is 0", "default"]),
        ("known_answer = \"00", "known_answer = \"zz", ["keyholder.known_answer", "zz", "init"]),
    ] {
        assert!(HUB.contains(from));
        let message = problem::<HubConfig>(&HUB.replace(from, to));
        for word in wanted {
            assert!(message.contains(word), "{word}: {message}");
        }
        assert!(!message.contains("geheim"), "{message}");
    }
    let message = problem::<Roster>(&ROSTER.replace("00000099100001410000", "123"));
    assert!(message.contains("partner.oin") && message.contains("20 digits"), "{message}");
}

#[test]
fn an_agent_knows_one_node_of_the_hub_or_several() {
    const ONE: &str = "address = \"127.0.0.1:4400\"";
    assert!(AGENT.contains(ONE));
    let with = |nodes: &str| AGENT.replace(ONE, &format!("address = {nodes}"));
    let address = |text: &str| Address::try_from(text.to_owned()).unwrap();
    let read = |nodes: &str| parse::<AgentConfig>(Path::new("/etc/sluis/x.toml"), &with(nodes)).unwrap().hub.address;
    let first = address("127.0.0.1:4400");
    for one in ["\"127.0.0.1:4400\"", "[\"127.0.0.1:4400\"]"] {
        assert_eq!(read(one), Nodes { first, others: vec![] }, "{one}");
    }
    let three = read("[\"127.0.0.1:4400\", \"[::1]:4400\", \"127.0.0.1:1\"]");
    assert_eq!(three, Nodes { first, others: vec![address("[::1]:4400"), address("127.0.0.1:1")] });
    for (nodes, wanted) in [
        ("[]", "at least one"),
        ("[\"127.0.0.1:4400\", \"127.0.0.1:4400\"]", "twice"),
        ("[\"127.0.0.1:4400\", \"hub\"]", "`hub` is not an IP address"),
        ("4400", "neither an IP address"),
    ] {
        let message = problem::<AgentConfig>(&with(nodes));
        assert!(message.contains("hub.address") && message.contains(wanted), "{nodes}: {message}");
    }
}

#[test]
fn a_missing_key_is_named() {
    let message = problem::<HubConfig>(&HUB.replace("spool = \"data/spool\"", ""));
    assert!(message.contains("spool") && message.contains("store"), "{message}");
    let message = problem::<HubConfig>("not toml");
    assert!(message.contains("line 1"), "{message}");
}

#[test]
fn a_file_that_does_not_exist_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hub.toml");
    std::fs::write(&file, HUB).unwrap();
    let message = load::<HubConfig>(&file).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("tls.certificate") && message.contains("sluis ca issue"), "{message}");
}
