//! What operators see of all organisations' certificates, and what the hub says by itself before one ends.

use serde_json::Value;
use sluis::api::v1;
use sluis::api::v1::OrganisationKind::Gemeente;
use sluis::ending::{Step, Warning};

use crate::network::{ANDERE_GEMEENTE, GEMEENTE, Holder, NETWERK, Network, forward, id};
use crate::tree::{prove, sluis, until};

/// `sluis cert COMMAND` as the holder of a certificate under `ca/`.
fn cert(network: &Network, who: &str, command: &str, args: &[&str]) -> (Option<i32>, String) {
    let remote = network.remote(who);
    let remote: Vec<&str> = remote.iter().map(String::as_str).collect();
    tokio::task::block_in_place(|| sluis(&[&["cert", command], &remote[..], args].concat()))
}

/// The one JSON object that it prints, before what it says of how it ended.
fn json(network: &Network, command: &str, args: &[&str]) -> (Option<i32>, Value) {
    let (code, said) = cert(network, "operator", command, &[&["--json"], args].concat());
    (code, serde_json::from_str(said.lines().next().unwrap()).unwrap_or_else(|_| panic!("{said}")))
}

async fn replace(network: &Network, new: &Holder, old: &Holder) {
    let request = v1::RegisterCertificateRequest {
        request_id: id(),
        certificate: new.chain[0].to_vec(),
        holder: v1::HolderKind::Organisation as i32,
        replaces: old.key_hash.clone(),
        ..Default::default()
    };
    let call = network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &request);
    call.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_which_certificates_there_are_and_which_end() {
    let network = Network::start().await;
    let party = network.partner(GEMEENTE, Gemeente).await;
    let (code, said) = cert(&network, "operator", "expiring", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("0 certificates\n"), "{said}");

    let short = network.certificate_for(GEMEENTE, 25).await;
    network.register_certificate(&short, v1::HolderKind::Organisation, "").await;
    let (code, said) = cert(&network, "operator", "list", &[]);
    assert_eq!(code, Some(0), "{said}");
    for words in
        ["Partner Gemeente", "announced", "active", "operator first-operator", &short.key_hash, "5 certificates"]
    {
        assert!(said.contains(words), "{words} in {said}");
    }
    for (args, expected) in [
        (vec!["--oin", GEMEENTE], vec![&short.key_hash, &party.holder.key_hash]),
        (vec!["--oin", GEMEENTE, "--state", "announced"], vec![&short.key_hash]),
        (vec!["--state", "announced", "--state", "revoked"], vec![&short.key_hash]),
        (vec!["--oin", ANDERE_GEMEENTE], vec![]),
        (vec!["--state", "retired"], vec![]),
    ] {
        let (code, said) = json(&network, "list", &args);
        let found = said["certificates"].as_array().unwrap();
        let mut keys: Vec<&str> = found.iter().map(|one| one["keyHash"].as_str().unwrap()).collect();
        // The network's own people have not called with theirs yet.
        keys.retain(|key| expected.iter().any(|own| own == key) || args.contains(&GEMEENTE));
        assert_eq!((code, keys), (Some(0), expected.iter().map(|key| key.as_str()).collect()), "{args:?}: {said}");
    }
    // Scripts go by the exit code.
    for (days, code, count) in [("90", 1, 1), ("24", 1, 1), ("23", 0, 0)] {
        let (found, said) = json(&network, "expiring", &["--days", days]);
        assert_eq!((found, said["certificates"].as_array().unwrap().len()), (Some(code), count), "{days}: {said}");
    }
    let (code, said) = cert(&network, "operator", "expiring", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("sluis: 1 certificates end within 90 days"), "{said}");

    let wrong =
        [("list", vec!["--state", "old"], 2), ("list", vec!["--oin", "1"], 2), ("expiring", vec!["--days", "-1"], 2)];
    for (command, args, expected) in wrong {
        let (code, said) = cert(&network, "operator", command, &args);
        assert_eq!(code, Some(expected), "{args:?}: {said}");
    }
    // An officer of the network is no operator.
    let (code, said) = cert(&network, "fg-netwerk", "list", &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("listing certificates was refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_who_is_under_which_root_and_what_each_month_brings() {
    let network = Network::start().await;
    let party = network.partner(GEMEENTE, Gemeente).await;
    let new = network.certificate_for(GEMEENTE, 60).await;
    replace(&network, &new, &party.holder).await;
    let (code, said) = cert(&network, "operator", "migrate-status", &[]);
    assert_eq!(code, Some(0), "{said}");
    for words in ["organisations only here", "1 announced, 1 active", "announced and not used yet", &new.key_hash] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let progress = |args: &[&str]| -> Vec<(String, String)> {
        let (code, said) = json(&network, "migrate-status", args);
        assert_eq!(code, Some(0), "{said}");
        let all = said["progress"].as_array().unwrap().iter();
        let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        all.map(|one| (word(one, "oin"), word(one, "progress"))).collect()
    };
    let both = |how: &str| vec![(GEMEENTE.to_owned(), how.to_owned()), (NETWERK.to_owned(), how.to_owned())];
    assert_eq!(progress(&["--from", "Proefnetwerk", "--to", "Elders"]), both("only"));
    assert_eq!(progress(&["--from", "Elders", "--to", "Proefnetwerk"]), both("moved"));
    assert_eq!(progress(&["--from", "Elders", "--to", "Nergens"]), both("neither"));
    let (_, said) = cert(&network, "operator", "migrate-status", &["--from", "Proefnetwerk", "--to", "Elders"]);
    for words in
        ["! --to Elders: nothing in force is there", "still only on the old one: 2", "moved: 0", "Partner Gemeente"]
    {
        assert!(said.contains(words), "{words} in {said}");
    }
    let (code, said) = cert(&network, "operator", "migrate-status", &["--from", "Proefnetwerk"]);
    assert_eq!(code, Some(2), "{said}");

    let file = network.path("forecast.svg");
    let (code, said) = cert(&network, "operator", "forecast", &["--svg", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("month") && said.contains("ended already: 0; later than these 24 months: 0"), "{said}");
    let picture = std::fs::read_to_string(&file).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("<desc ") && picture.contains("<rect "), "{picture}");
    let (_, said) = json(&network, "forecast", &[]);
    let months = said["months"].as_array().unwrap();
    let all: u64 = months.iter().map(|month| month["renewals"].as_u64().unwrap()).sum();
    assert_eq!((months.len(), all), (24, 5), "{said}");
    let nowhere = network.path("nowhere/forecast.svg");
    let (code, said) = cert(&network, "operator", "forecast", &["--svg", nowhere.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{said}");
}

/// What an officer sees of the hub's warnings, the oldest first.
async fn warnings(officer: &Holder) -> Vec<v1::Event> {
    let context = crate::direct::why("36", "verantwoording", v1::Role::R14).context();
    let source = format!("partners/{}", officer.oin);
    let request = v1::QueryEventsRequest { context, source, page_size: 100, ..Default::default() };
    let call = officer.client.call::<_, v1::QueryEventsResponse>("Audit/QueryEvents", &request);
    let mut events = call.await.unwrap().message.events;
    events.retain(|event| event.method == sluis::ending::METHOD && event.action == "E");
    events.sort_by(|a, b| a.name.cmp(&b.name));
    events
}

async fn until_there_are(officer: &Holder, count: usize) -> Vec<v1::Event> {
    until(|| async { Some(warnings(officer).await).filter(|found| found.len() >= count) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_reads_in_its_log_that_its_certificate_ends() {
    let network = Network::start().await;
    network.partner(GEMEENTE, Gemeente).await;
    network.partner(ANDERE_GEMEENTE, Gemeente).await;
    let officer = network.officer_of(GEMEENTE, "fg-gemeente").await;
    let other = network.officer_of(ANDERE_GEMEENTE, "fg-ander").await;
    let short = network.certificate_for(GEMEENTE, 25).await;
    network.register_certificate(&short, v1::HolderKind::Organisation, "").await;
    let first = until_there_are(&officer, 1).await.remove(0);
    let steps = |events: &[v1::Event]| -> Vec<Step> {
        events.iter().map(|event| event.motivation.parse::<Warning>().unwrap().step).collect()
    };
    assert_eq!(
        (first.key_hash.as_str(), steps(std::slice::from_ref(&first))),
        (short.key_hash.as_str(), vec![Step::Days30])
    );
    assert_eq!((first.organisation.as_str(), first.source), ("", format!("partners/{GEMEENTE}")));
    // Its officer can prove what it says; nobody else finds it.
    let proof = prove(&officer.client, vec![first.name.clone()]).await.proofs.remove(0);
    assert!(!proof.disclosures.is_empty());
    assert!(warnings(&other).await.is_empty());

    // The next step comes with the days, and is said once however often the register changes.
    forward(&network, 19 * 24 * 3600).await;
    for _ in 0..3 {
        network.register_certificate(&short, v1::HolderKind::Organisation, "").await;
    }
    let said = until_there_are(&officer, 2).await;
    assert_eq!(steps(&said), [Step::Days30, Step::Days7]);

    // One whose successor is in use ends unspoken of.
    let (old, new) = (network.certificate_for(ANDERE_GEMEENTE, 115).await, network.certificate(ANDERE_GEMEENTE).await);
    network.register_certificate(&old, v1::HolderKind::Organisation, "").await;
    old.greet().await;
    replace(&network, &new, &old).await;
    new.greet().await;
    forward(&network, 10 * 24 * 3600).await;
    network.register_certificate(&new, v1::HolderKind::Organisation, "").await;
    let third = network.certificate_for(GEMEENTE, 80).await;
    network.register_certificate(&third, v1::HolderKind::Organisation, "").await;
    let said = until_there_are(&officer, 3).await;
    assert_eq!((said[2].key_hash.as_str(), said.len()), (third.key_hash.as_str(), 3));
    assert!(warnings(&other).await.is_empty());
    network.holds_together().await;
}
