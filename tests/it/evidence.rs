//! What officers keep of the log, and what they find by it: proofs of before, and what a hub left out without a word.

use std::path::Path;

use sluis::api::v1;
use sluis::api::v1::event_proof::State;
use sluis::audit::{Action, Draft, Event, Leaf, Outcome, SALTS, Stamp, Verdict, encode};
use sluis::keys::HubKeys;
use sluis::tlog::{Checkpoint, Edge, PublicKey, Resource, Tree, bundle, entries, path, record_hash};

use crate::direct::why;
use crate::network::{AANBIEDER, EXPERT, GEMEENTE, NETWERK, is_postgres, now};
use crate::officers::{GROUND, Office, erasing};
use crate::tree::{Log, list, prove, sluis};

fn verify(args: &[&str]) -> (Option<i32>, String) {
    tokio::task::block_in_place(|| sluis(&[&["audit", "verify"], args].concat()))
}

/// The copy of a log that has the first entry twice at its end, and the second in place of the first.
fn fork(copy: &Path, forked: &Path, keys: &Path, log: &PublicKey) {
    let at = |dir: &Path, resource: &Resource| dir.join(path(resource).trim_start_matches('/'));
    let note = std::fs::read_to_string(copy.join("checkpoint")).unwrap();
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    let mut leaves: Vec<Vec<u8>> = Vec::new();
    for (_, bundle) in Resource::leaves(size) {
        leaves.extend(entries(&std::fs::read(at(copy, &bundle)).unwrap()).unwrap().into_iter().map(<[u8]>::to_vec));
    }
    leaves[0] = leaves[1].clone();
    leaves.push(leaves[1].clone());
    let size = leaves.len() as u64;
    let mut edge = Edge::default();
    let tiles = edge.grow(leaves.iter().map(|leaf| record_hash(leaf)));
    let write = |resource: &Resource, bytes: &[u8]| {
        let file = at(forked, resource);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    };
    for (place, bytes) in tiles {
        write(&Resource::tile(place, size), &bytes);
    }
    for ((_, resource), some) in Resource::leaves(size).zip(leaves.chunks(256)) {
        write(&resource, &bundle(some).unwrap());
    }
    let key = HubKeys::load(keys).unwrap().log(log.name()).unwrap();
    let checkpoint = Checkpoint::sign(&key, Tree { size, root: edge.root() }).unwrap();
    write(&Resource::Checkpoint, &checkpoint.to_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fetched_again_leaves_what_was_fetched_before() {
    let office = Office::open().await;
    let log = Log::of(office.players.gemeente.client()).await;
    let event = office.events[0].clone();
    let first = log.newest(&event).await.tree().size;
    let (copy, proofs, key) = (office.shown("copy").await, office.shown("proofs").await, log.key.to_string());
    let name = format!("{}.tlog-proof", event.replace("events/", ""));
    let mut sizes = Vec::new();
    for _ in 0..2 {
        let (code, said) = office.audit("fg-gemeente", "copy", &["--dir", &copy]).await;
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = office.audit("fg-gemeente", "prove", &["--log-key", &key, "--dir", &proofs, &event]).await;
        assert!(code == Some(0) && !said.contains("compare it"), "{said}");
        let checkpoint = std::fs::read_to_string(Path::new(&copy).join("checkpoint")).unwrap();
        sizes.push(checkpoint.lines().nth(1).unwrap().parse::<u64>().unwrap());
        log.newest(&list(office.players.gemeente.client()).await.unwrap()).await;
    }
    assert!(sizes[0] >= first && sizes[1] > sizes[0], "{sizes:?}");
    let (code, said) = verify(&["--log-key", &key, "--older", &format!("{copy}/checkpoint.{}", sizes[0]), &copy]);
    assert!(code == Some(0) && said.contains("all of them in this copy"), "{said}");
    let kept: Vec<_> = std::fs::read_dir(&proofs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("at-"))
        .collect();
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    for proof in [format!("{proofs}/{name}"), format!("{proofs}/{kept}/{name}")] {
        let (code, said) = verify(&["--log-key", &key, &proof]);
        assert!(code == Some(0) && said.contains("with actor"), "{proof}: {said}");
    }
    // Another log's key than the one that is known is no matter of comparing by eye.
    let other = sluis::tlog::PrivateKey::of_log(log.key.name().clone(), &[7; 32]).unwrap().public().to_string();
    let dir = office.shown("other").await;
    let (code, said) = office.audit("fg-gemeente", "prove", &["--log-key", &other, "--dir", &dir, &event]).await;
    assert!(code == Some(1) && !said.contains("proven:"), "{said}");
}

/// A hub whose operator empties a part of an event and says that it was erased: the event of the erasure is what is missing. If it
/// does not say so, whoever may open everything finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_without_an_erasure_is_found() {
    let office = Office::open().await;
    let log = Log::of(office.players.gemeente.client()).await;
    let [looked, listed, _] = office.events.clone();
    let officer = &office.network.officer.client;
    let request = v1::EraseEventsRequest { events: vec![looked.clone()], ..erasing(GROUND) };
    let erasure = officer.call::<_, v1::EraseEventsResponse>("Audit/EraseEvents", &request).await.unwrap().event;
    // What came after it is in the log, and so is the erasure.
    log.newest(&list(office.players.gemeente.client()).await.unwrap()).await;
    let key = log.key.to_string();
    let fetch = async |export: &str, copy: &str| {
        let dir = office.shown(export).await;
        let args = ["--log-key", &key, "--organisation", GEMEENTE, "--dir", &dir];
        let (code, said) = office.audit("fg-netwerk", "export", &args).await;
        assert_eq!(code, Some(0), "{said}");
        let copied = office.shown(copy).await;
        let (code, said) = office.audit("fg-netwerk", "copy", &["--entries", "--dir", &copied]).await;
        assert_eq!(code, Some(0), "{said}");
        (dir, copied)
    };
    let (export, copy) = fetch("export", "copy").await;
    let beside = |copy: &str, export: &str| verify(&["--log-key", &key, "--erasures", copy, export]);
    let (code, said) = beside(&copy, &export);
    assert!(code == Some(0) && said.contains("and what is not there was erased"), "{said}");
    // What says nothing about it is refused, not passed over.
    let hashes = office.shown("hashes").await;
    assert_eq!(office.audit("fg-netwerk", "copy", &["--dir", &hashes]).await.0, Some(0));
    let (code, said) = beside(&hashes, &export);
    assert!(code == Some(2) && said.contains("a copy with its entries"), "{said}");
    assert_eq!(beside(&copy, &copy).0, Some(2), "a copy is no export");

    // Another log under the same key, as long and longer: what the export proves never stood there.
    let forked = office.shown("forked").await;
    fork(Path::new(&copy), Path::new(&forked), &office.network.path("keys"), &log.key);
    assert_eq!(verify(&["--log-key", &key, &forked]).0, Some(0), "by itself it is a log");
    let (code, said) = beside(&forked, &export);
    assert!(code == Some(1) && said.contains("forked or rolled back"), "{said}");
    let older = format!("{export}/checkpoint");
    let (code, said) = verify(&["--log-key", &key, "--older", &older, &forked]);
    assert!(code == Some(1) && said.contains("forked or rolled back"), "{said}");

    // The entries are there to hold a report's events against, too.
    let args = ["--from", "2026-01-01", "--report", "Q9", "--copy", &copy, "--log-key", &key];
    let (code, said) = office.audit("fg-netwerk", "report", &args).await;
    let good = ["geen gebeurtenis zonder bewijs", "geen klok ging meer dan"];
    assert!(code == Some(0) && good.iter().all(|word| said.contains(word)), "{said}");
    let (code, said) = office.audit("fg-netwerk", "report", &[&["--json"], &args[..]].concat()).await;
    let report: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(code == Some(0) && report["code"] == "Q9", "{said}");

    let open = prove(officer, vec![listed.clone()]).await.proofs.remove(0).disclosures;
    let rest = hex::encode(serde_json::to_vec(&open[1..]).unwrap());
    let id = listed.trim_start_matches("events/");
    let bytes = if is_postgres() { format!("decode('{rest}', 'hex')") } else { format!("X'{rest}'") };
    let hidden = format!(
        "UPDATE audit_event SET disclosures = {bytes}, user_ref = '', role = '', erased = 'actor' WHERE event_id = '{id}'"
    );
    let database = office.network.database().await;
    database.any(hidden).await;
    let by = erasure.trim_start_matches("events/");
    let unsaid = format!("{listed}: group actor is said to be erased, and no erasure that is proven names it");
    // By nothing, and by an erasure that says nothing of it.
    let row = format!("INSERT INTO audit_erasure (event_id, place, erased_by) VALUES ('{id}', 0, '{by}')");
    for (nth, row) in [None, Some(row)].into_iter().enumerate() {
        if let Some(row) = row {
            database.any(row).await;
        }
        for who in ["fg-gemeente", "fg-netwerk"] {
            let dir = office.shown(&format!("unsaid-{who}-{nth}")).await;
            let args = ["--log-key", &key, "--organisation", GEMEENTE, "--dir", &dir];
            for (command, args) in [("export", &args[..]), ("show", &["--log-key", &key, &listed])] {
                let (code, said) = office.audit(who, command, args).await;
                assert!(code == Some(1) && said.contains(&unsaid), "{who} {command} {nth}: {said}");
            }
        }
    }
    database.any(format!("UPDATE audit_event SET erased = '' WHERE event_id = '{id}'")).await;
    let (export, newer) = fetch("export-2", "copy-2").await;
    assert_eq!(verify(&["--log-key", &key, &export]).0, Some(0), "as if whoever asked might not open it");
    let (code, said) = beside(&newer, &export);
    let found = format!("{listed}: group actor is not there, and no erasure in the log names it");
    assert!(code == Some(1) && said.contains(&found), "{said}");
    let (code, said) = beside(&copy, &export);
    assert!(code == Some(2) && said.contains("made after the export"), "{said}");
}

/// A partner's officer needs no word of the hub for what was erased: the erasure is in the log, and names the event to whoever
/// knows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_proves_what_was_erased() {
    let office = Office::open().await;
    let log = Log::of(office.players.gemeente.client()).await;
    let [looked, listed, refused] = office.events.clone();
    let officer = &office.network.officer.client;
    // One group alone: what stays does not say it in another way, and is not taken for a lie.
    let groups = vec!["subject".to_owned()];
    let request = v1::EraseEventsRequest { events: vec![looked.clone()], groups, ..erasing(GROUND) };
    let subject = officer.call::<_, v1::EraseEventsResponse>("Audit/EraseEvents", &request).await.unwrap().event;
    for who in ["fg-gemeente", "fg-netwerk"] {
        let (code, said) = office.audit(who, "show", &["--log-key", &log.key.to_string(), &looked]).await;
        assert!(code == Some(0) && said.contains("case               cases/"), "{who}: {said}");
        assert!(said.contains(&format!("erasure            subject by {subject}")), "{who}: {said}");
        assert!(!said.contains("subject            "), "{who}: {said}");
    }
    let events = vec![looked.clone(), refused.clone()];
    let request = v1::EraseEventsRequest { events, ..erasing(GROUND) };
    let one = officer.call::<_, v1::EraseEventsResponse>("Audit/EraseEvents", &request).await.unwrap().event;
    let case = crate::officers::netwerk_name(&office).await;
    let request = v1::EraseEventsRequest { case, ..erasing(GROUND) };
    let of_case = officer.call::<_, v1::EraseEventsResponse>("Audit/EraseEvents", &request).await.unwrap().event;
    log.newest(&of_case).await;
    let key = log.key.to_string();
    for (format, who) in [("ndjson", "fg-gemeente"), ("fhir", "fg-gemeente"), ("csv", "fg-netwerk")] {
        let dir = office.shown(&format!("export-{format}")).await;
        let args = ["--log-key", &key, "--organisation", GEMEENTE, "--format", format, "--dir", &dir];
        let (code, said) = office.audit(who, "export", &args).await;
        assert_eq!(code, Some(0), "{said}");
        let erasures = std::fs::read_to_string(Path::new(&dir).join("erasures.ndjson")).unwrap();
        assert!(erasures.contains(&one) && erasures.contains(&of_case), "{erasures}");
        let (code, said) = verify(&["--log-key", &key, &dir]);
        assert!(code == Some(0) && said.contains("group case, not opened") == (who == "fg-gemeente"), "{said}");
        assert!(!said.contains("erased: the hub's word"), "{said}");
    }
    let show = async |event: &str, args: &[&str]| {
        office.audit("fg-gemeente", "show", &[args, &["--log-key", &key, event]].concat()).await
    };
    let (code, said) = show(&looked, &[]).await;
    let by = |groups: &str, by: &str| format!("erasure            {groups} by {by}");
    assert!(code == Some(0) && said.contains(&by("case, data", &one)) && !said.contains("only: erased"), "{said}");
    let (code, said) = show(&listed, &["--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(code == Some(0) && shown["erasures"][0]["by"] == of_case.as_str(), "{said}");
    // Whoever was told its name is proven the erasure, which names events to those alone who know them.
    for (oin, name) in [GEMEENTE, AANBIEDER, EXPERT].map(|oin| (oin, format!("fg-{oin}"))) {
        let officer = office.network.officer_of(oin, &name).await;
        let proofs = prove(&officer.client, vec![one.clone(), of_case.clone()]).await.proofs;
        for v1::EventProof { leaf, disclosures, .. } in &proofs {
            let says = |text: &str| String::from_utf8_lossy(leaf).contains(text.trim_start_matches("events/"));
            assert!(disclosures.is_empty() && says("erases"), "{name}");
            assert!([&looked, &listed, &refused].iter().all(|event| !says(event)), "{name}");
        }
        assert!(proofs.iter().all(|proof| proof.state() == State::Proven), "{name}");
        let other = prove(&officer.client, vec![looked.clone()]).await.proofs.remove(0);
        assert!(oin != EXPERT || other.state() == State::Unknown, "what it erased is nobody else's");
    }
}

/// What erased much says much: a page of such events is as long as a client takes, and the next one follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_are_proven_page_by_page() {
    const COUNT: usize = 90;
    let office = Office::open().await;
    let log = Log::of(office.players.gemeente.client()).await;
    let start = sluis::clock::micros(now());
    let mut names = Vec::new();
    let mut rows = String::new();
    for at in (start..).take(COUNT) {
        let event_id = uuid::Uuid::new_v4().to_string();
        let event = Event {
            draft: Draft {
                method: "sluis.v1.Audit/EraseEvents",
                action: Some(Action::Delete),
                organisation: NETWERK.to_owned(),
                erases: (0..1100).map(|nth| (format!("{event_id}-{nth}"), vec![3])).collect(),
                ..Draft::default()
            },
            verdict: Verdict { outcome: Outcome::Allowed, clauses: vec![], covenant_version: 0 },
            stamp: Stamp { event_id: event_id.clone(), at, node: String::new(), salts: [[7; 16]; SALTS] },
        };
        let Leaf { leaf, disclosures } = encode(&event);
        assert!((55_000..1 << 16).contains(&leaf.len()), "{}", leaf.len());
        let bytes = |bytes: &[u8]| match (hex::encode(bytes), is_postgres()) {
            (hex, true) => format!("decode('{hex}', 'hex')"),
            (hex, false) => format!("X'{hex}'"),
        };
        rows += &format!(
            "INSERT INTO audit_event (event_id, at, method, action, outcome, reason, req_oin, src_oin, user_ref, role, \
             purpose, article, covenant_version, clauses, case_id, subject, categories, form, recipients, record_id, \
             consents, emergency, motivation, key_hash, node, trace_id, leaf, disclosures, via) \
             VALUES ('{event_id}', {at}, 'sluis.v1.Audit/EraseEvents', 'D', 'allowed', '', '{NETWERK}', '', '', '', \
             '', 0, 0, '', NULL, '', '', '', '', '', '', 0, '', '', '', '', {}, {}, ''); \
             INSERT INTO audit_event_party (oin, at, event_id) VALUES ('{NETWERK}', {at}, '{event_id}'); \
             INSERT INTO audit_outbox (event_id) VALUES ('{event_id}');",
            bytes(&leaf),
            bytes(&disclosures),
        );
        names.push(format!("events/{event_id}"));
    }
    office.network.database().await.any(rows).await;
    log.newest(&list(office.players.gemeente.client()).await.unwrap()).await;
    let mut request = v1::QueryEventsRequest {
        context: why("36", "verantwoording", v1::Role::R14).context(),
        organisation: format!("partners/{NETWERK}"),
        start_time: Some(sluis::wire::timestamp(sluis::clock::from_micros(start))),
        page_size: 100,
        proofs: true,
        ..Default::default()
    };
    let officer = &office.network.officer.client;
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let answer = officer.call::<_, v1::QueryEventsResponse>("Audit/QueryEvents", &request).await.unwrap().message;
        assert!(answer.events.len() == answer.proofs.len() && !answer.events.is_empty());
        found.extend(answer.events.into_iter().map(|event| event.name));
        pages += 1;
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    found.retain(|name| names.contains(name));
    found.reverse();
    assert_eq!(found, names, "each once, in {pages} pages");
    assert!(pages > 2, "{pages}");
    let (dir, key) = (office.shown("export").await, log.key.to_string());
    let args = ["--log-key", &key, "--organisation", NETWERK, "--dir", &dir];
    let (code, said) = office.audit("fg-netwerk", "export", &args).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = verify(&["--log-key", &key, &dir]);
    assert_eq!(code, Some(0), "{said}");
}
