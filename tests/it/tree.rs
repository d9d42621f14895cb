//! The provable log from outside: its files as a partner reads them, and databases that are not what was signed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sluis::api::v1;
use sluis::api::v1::event_proof::State;
use sluis::tlog::{
    Checkpoint, Edge, Hash, Missing, Place, PrivateKey, Proof, PublicKey, Receipt, Resource, Tiles, Tree, entries,
    path, record_hash,
};
use tonic::Code;

use crate::calls::Client;
use crate::direct::{Players, why};
use crate::network::{GEMEENTE, Network, id};

mod cli;

/// Asks until it is so.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(mut asked: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = asked().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn prove(client: &Client, events: Vec<String>) -> v1::ProveEventsResponse {
    client
        .call::<_, v1::ProveEventsResponse>("Audit/ProveEvents", &v1::ProveEventsRequest { events })
        .await
        .unwrap()
        .message
}

/// The log as one partner knows it.
pub(crate) struct Log<'n> {
    pub(crate) client: &'n Client,
    pub(crate) key: PublicKey,
}

impl<'n> Log<'n> {
    pub(crate) async fn of(client: &'n Client) -> Self {
        let key = prove(client, vec![format!("events/{}", id())]).await.log_key.parse().unwrap();
        Self { client, key }
    }

    pub(crate) async fn checkpoint(&self) -> Option<Checkpoint> {
        self.note("/checkpoint").await
    }

    /// What waits for witnesses.
    pub(crate) async fn pending(&self) -> Option<Checkpoint> {
        self.note("/checkpoint.pending").await
    }

    async fn note(&self, path: &str) -> Option<Checkpoint> {
        let (code, kind, note) = self.client.get(path).await;
        match code {
            404 => None,
            _ => {
                assert_eq!((code, kind.as_str()), (200, "text/plain; charset=utf-8"));
                Some(Checkpoint::open(&note, &self.key).unwrap())
            }
        }
    }

    /// A checkpoint over everything that was answered before.
    pub(crate) async fn newest(&self, event: &str) -> Checkpoint {
        let proven = || async {
            let proofs = prove(self.client, vec![event.to_owned()]).await.proofs;
            (proofs[0].state() == State::Proven).then_some(())
        };
        until(proven).await;
        self.checkpoint().await.unwrap()
    }

    async fn tile(&self, place: Place, size: u64) -> Vec<u8> {
        let resource = Resource::tile(place, size);
        let file = path(&resource);
        let (code, kind, bytes) = self.client.get(&file).await;
        assert_eq!(
            (code, kind.as_str(), bytes.len()),
            (200, "application/octet-stream", resource.width() * 32),
            "{file}"
        );
        bytes
    }

    async fn follows(&self, newer: &Tree, older: &Tree) -> Option<Vec<Hash>> {
        let mut tiles = Tiles::default();
        loop {
            match newer.follows(older, &tiles) {
                Err(Missing::Tiles(places)) => {
                    for place in places {
                        let bytes = self.tile(place, newer.size).await;
                        tiles.add(place, bytes);
                    }
                }
                found => return found.unwrap(),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_proven_to_whom_it_concerns() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let client = players.gemeente.client();
    let log = Log::of(client).await;
    let event = players.gemeente.refer(None).await.unwrap().event;
    let refused = client.send("/sluis.v1.Cases/GetCase", vec![vec![0xff]], 1).await.event.unwrap();
    let first = log.newest(&refused).await;

    let other = players.aanbieder.client();
    let asked = vec![event.clone(), refused.clone(), format!("events/{}", id())];
    let own = prove(client, asked.clone()).await.proofs;
    let states = |proofs: &[v1::EventProof]| proofs.iter().map(v1::EventProof::state).collect::<Vec<_>>();
    assert_eq!(states(&own), [State::Proven, State::Proven, State::Unknown]);
    for proof in &own[..2] {
        let read = Proof::from_bytes(&proof.proof).unwrap();
        let checkpoint = read.verify(record_hash(&proof.leaf), &log.key).unwrap();
        assert!(checkpoint.tree().size >= first.tree().size);
        assert!(proof.disclosures.is_empty(), "an agent gets no disclosures");
        let leaf: serde_json::Value = serde_json::from_slice(&proof.leaf).unwrap();
        assert_eq!(format!("events/{}", leaf["id"].as_str().unwrap()), proof.event);
    }
    // To somebody else it does not exist; the network's officer sees the whole of it.
    assert_eq!(states(&prove(other, vec![refused.clone()]).await.proofs), [State::Unknown]);
    let whole = prove(&network.officer.client, vec![refused]).await.proofs;
    assert_eq!((whole[0].state(), whole[0].disclosures.len()), (State::Proven, 6));

    // A partner's officer opens the own events, and is not told by them whether somebody else has a case.
    let officer = network.certificate(GEMEENTE).await;
    network.register_certificate(&officer, v1::HolderKind::Officer, "fg-gemeente").await;
    let unknown = v1::GetCaseRequest { context: None, name: format!("cases/{}", id()), ..Default::default() };
    let mut asked = vec![event.clone()];
    for context in [why("10", "aanmelding", v1::Role::R02).context(), None] {
        let request = v1::GetCaseRequest { context, ..unknown.clone() };
        let status = client.call::<_, v1::Case>("Cases/GetCase", &request).await.unwrap_err();
        asked.push(crate::calls::event_of(&status).unwrap());
    }
    let reasons =
        [network.database().await.event(&asked[1]).await.1, network.database().await.event(&asked[2]).await.1];
    assert_eq!(reasons, ["CASE_UNKNOWN", "REQUEST_INCOMPLETE"]);
    log.newest(&asked[2]).await;
    let opened: Vec<Vec<String>> = prove(&officer.client, asked)
        .await
        .proofs
        .iter()
        .map(|proof| sluis::audit::open(&proof.leaf, proof.disclosures.iter().map(String::as_str)).unwrap())
        .collect();
    assert_eq!(opened[0], ["actor", "subject", "data", "decision", "network"]);
    assert_eq!(opened[1], ["actor", "data", "network"]);
    assert_eq!(opened[2], ["actor", "subject", "data", "decision", "network"]);

    for (events, wrong) in [
        (vec![], "none"),
        (vec![event.clone(), event.clone()], "twice"),
        (vec![event.clone(); 101], "too many"),
        (vec!["events/1".to_owned()], "no name"),
    ] {
        let asked = v1::ProveEventsRequest { events };
        let status = client.call::<_, v1::ProveEventsResponse>("Audit/ProveEvents", &asked).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{wrong}");
    }
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_the_files_gets_the_same_tree() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let client = players.gemeente.client();
    let log = Log::of(client).await;
    let first = until(|| log.checkpoint()).await;
    let mut last = String::new();
    // Past a full tile, with many checkpoints on the way.
    for _ in 0..9 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let client = client.clone();
            calls.spawn(async move {
                client
                    .call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &v1::ListPartnersRequest::default())
                    .await
            });
        }
        last = calls.join_all().await.pop().unwrap().unwrap().event;
    }
    let second = log.newest(&last).await;
    let (older, newer) = (*first.tree(), *second.tree());
    assert!(older.size < newer.size && newer.size > 256);
    assert!(log.follows(&newer, &older).await.is_some());

    // The tree from the network's officer's entries.
    let officer = &network.officer.client;
    let mut edge = Edge::default();
    let mut tiles: BTreeMap<Place, Vec<u8>> = BTreeMap::new();
    for (_, resource) in Resource::leaves(newer.size) {
        let file = path(&resource);
        let (code, _, bundle) = officer.get(&file).await;
        assert_eq!(code, 200, "{file}");
        let entries = entries(&bundle).unwrap();
        assert_eq!(entries.len(), resource.width());
        tiles.extend(edge.grow(entries.iter().map(|entry| record_hash(entry))));
        let (code, _, _) = client.get(&file).await;
        assert_eq!(code, 403, "entries are not for partners");
    }
    assert_eq!(edge.root(), newer.root);
    for (place, hashes) in tiles {
        assert_eq!(log.tile(place, newer.size).await, hashes);
    }

    // What is not there, and who may not ask.
    for missing in [
        "/tile/0/999",
        "/tile/7/000",
        "/tile/0/000.p/256",
        "/tile/entries/999",
        "/checkpoint/",
        "/",
        "/tile/0/001.p/255",
    ] {
        assert_eq!(officer.get(missing).await.0, 404, "{missing}");
    }
    let unregistered = network.certificate(GEMEENTE).await;
    let before = network.database().await.events().await;
    assert_eq!(unregistered.client.get("/checkpoint").await.0, 403);
    assert_eq!(unregistered.client.get("/tile/0/000").await.0, 403);
    assert_eq!(network.database().await.events().await, before + 2, "strangers are written down");
    // Reading hashes leaves no events: the log would grow by being read.
    for _ in 0..20 {
        client.get("/checkpoint").await;
        client.get("/tile/0/000").await;
    }
    assert_eq!(network.database().await.events().await, before + 2);
    network.holds_together().await;
}

/// Whatever was answered, well or not, in one message or many: the log gave its word, and kept it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_is_kept() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let client = players.gemeente.client();
    let log = Log::of(client).await;
    players.gemeente.refer(None).await.unwrap();
    players.gemeente.inbox("").await.unwrap();
    client.send("/sluis.v1.Cases/GetCase", vec![vec![0xff]], 1).await;
    client.send("/sluis.v1.Registry/RegisterPartner", vec![Vec::new()], 1).await;
    let last = list(client).await.unwrap();
    // What follows asks for proofs, and gets receipts for that: younger than the checkpoint, perhaps.
    let receipts = client.receipts();
    log.newest(&last).await;

    assert!(receipts.len() >= 8, "{}", receipts.len());
    for some in receipts.chunks(50) {
        let events = some.iter().map(|(event, _)| format!("events/{event}")).collect();
        for (proof, (event, receipt)) in prove(client, events).await.proofs.iter().zip(some) {
            let receipt = Receipt::open(receipt, &log.key).unwrap();
            assert_eq!((proof.state(), receipt.within), (State::Proven, 86_400), "{event}");
            let leaf: serde_json::Value = serde_json::from_slice(&proof.leaf).unwrap();
            assert_eq!((record_hash(&proof.leaf), leaf["id"].as_str()), (receipt.entry, Some(event.as_str())));
            assert!(leaf["at"].as_i64().unwrap() <= receipt.at);
            Proof::from_bytes(&proof.proof).unwrap().verify(receipt.entry, &log.key).unwrap();
        }
    }
}

/// Everything that a backup of the database brings back.
const TABLES: [&str; 8] = [
    "audit_event",
    "audit_event_party",
    "audit_outbox",
    "log_leaf",
    "log_tile",
    "log_checkpoint",
    "log_cosignature",
    "log_published",
];

/// As of one moment: the tree grows by itself.
pub(crate) async fn back_up(network: &Network) {
    let begin =
        if crate::network::is_postgres() { "BEGIN ISOLATION LEVEL REPEATABLE READ;" } else { "BEGIN IMMEDIATE;" };
    let mut all = begin.to_owned();
    for table in TABLES.into_iter().chain(["log_head"]) {
        all.push_str(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table};"));
    }
    all.push_str("COMMIT");
    network.database().await.any(all).await;
}

/// The head row first, as the sequencer does: two that go through the tables in another order may lock one another.
pub(crate) async fn restore(network: &Network) {
    let database = network.database().await;
    let mut all = String::from("BEGIN; UPDATE log_head SET size = (SELECT size FROM kept_log_head);");
    for table in TABLES {
        all.push_str(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table};"));
    }
    all.push_str("COMMIT");
    database.any(all).await;
}

/// A network whose database was backed up, and went on after that.
async fn with_a_backup() -> (Network, crate::network::Party) {
    let network = Network::start().await;
    let gemeente = network.partner(GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let log = Log::of(gemeente.client()).await;
    let event = list(gemeente.client()).await.unwrap();
    log.newest(&event).await;
    back_up(&network).await;
    let event = list(gemeente.client()).await.unwrap();
    log.newest(&event).await;
    (network, gemeente)
}

pub(crate) async fn list(client: &Client) -> Result<String, tonic::Status> {
    let request = v1::ListPartnersRequest::default();
    client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.map(|reply| reply.event)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_restored_from_a_backup_is_refused() {
    let (mut network, gemeente) = with_a_backup().await;
    network.stop().await;
    let memory = network.path("hub/audit/checkpoint");
    let (signed, elsewhere) = (std::fs::read(&memory).unwrap(), network.path("elsewhere"));
    restore(&network).await;
    let why = network.does_not_start().await;
    assert!(why.contains("restored from an older copy") && why.contains("begin a new log"), "{why}");

    // The same node without its memory believes what it finds, and goes on from there: another history, as long as the first.
    std::fs::rename(&memory, &elsewhere).unwrap();
    network.restart().await;
    for _ in 0..20 {
        list(&network.operator.client).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    network.stop().await;
    assert_ne!(std::fs::read(&memory).unwrap(), signed);
    network.restart().await;
    network.stop().await;
    std::fs::write(&memory, &signed).unwrap();
    let why = network.does_not_start().await;
    assert!(why.contains("is not the one of which"), "{why}");

    // What README says to do when the newest copy is gone for good: another log, from here on.
    network.reconfigure("sluis.example/test", "sluis.example/test/2");
    network.reconfigure("audit/checkpoint", "audit/checkpoint-2");
    network.restart().await;
    let log = Log::of(gemeente.client()).await;
    assert_eq!(log.key.name().as_str(), "sluis.example/test/2");
    let event = list(gemeente.client()).await.unwrap();
    log.newest(&event).await;
    network.stop().await;
    network.reconfigure("sluis.example/test/2", "sluis.example/test");
    network.reconfigure("audit/checkpoint-2", "audit/checkpoint");

    // A memory of another log is no memory.
    std::fs::write(&memory, b"sluis.example/other\n1\nAAAA\n\n").unwrap();
    let why = network.does_not_start().await;
    assert!(why.contains("not a checkpoint of this log"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_replaced_under_a_running_hub_takes_nothing_more() {
    let (mut network, gemeente) = with_a_backup().await;
    restore(&network).await;
    let refused = || async { list(gemeente.client()).await.err().filter(|status| status.code() == Code::Unavailable) };
    let status = until(refused).await;
    assert!(!status.message().contains("restored"), "the caller hears no more than that");
    let database = network.database().await;
    let before = database.events().await;
    assert!(list(gemeente.client()).await.is_err());
    assert_eq!(database.events().await, before);
    network.stop().await;
}

/// The binary, with these arguments: exit code and what it said.
pub(crate) fn sluis(args: &[&str]) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sluis")).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Two entries change places behind the log's back, under a hub that runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_changed_is_found_by_whoever_looks() {
    let network = Network::start().await;
    let gemeente = network.partner(GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let log = Log::of(gemeente.client()).await;
    let events = [list(log.client).await.unwrap(), list(log.client).await.unwrap()];
    log.newest(&events[1]).await;
    let holds = async || {
        let proofs = prove(log.client, events.to_vec()).await.proofs;
        let held = |proof: &v1::EventProof| {
            let read = Proof::from_bytes(&proof.proof).ok()?;
            read.verify(record_hash(&proof.leaf), &log.key).ok()
        };
        proofs.iter().filter(|proof| held(proof).is_some()).count()
    };
    let remote = network.remote("fg-netwerk");
    let officer = |args: &[&str]| {
        let remote: Vec<&str> = remote.iter().map(String::as_str).collect();
        tokio::task::block_in_place(|| sluis(&[&["audit", args[0]], &remote[..], &args[1..]].concat()))
    };
    let (copy, key) = (network.path("copy").display().to_string(), log.key.to_string());
    assert_eq!(holds().await, 2);

    let [one, other] = events.each_ref().map(|event| event.trim_start_matches("events/"));
    let swap = format!(
        "BEGIN; UPDATE log_leaf SET event_id = event_id || '-' WHERE event_id IN ('{one}', '{other}'); \
         UPDATE log_leaf SET event_id = CASE event_id WHEN '{one}-' THEN '{other}' ELSE '{one}' END \
         WHERE event_id LIKE '%-'; COMMIT"
    );
    network.database().await.any(swap).await;
    // The partner that was answered; the officer who proves, or copies and verifies; the operator who looks.
    assert_eq!(holds().await, 0);
    let (code, said) = officer(&["prove", "--dir", &network.path("proofs").display().to_string(), &events[0]]);
    assert!(code == Some(1) && !said.contains("proven:"), "{said}");
    let (code, said) = officer(&["copy", "--dir", &copy, "--entries"]);
    let (verified, words) = sluis(&["audit", "verify", "--log-key", &key, &copy]);
    assert!(code != Some(0) || verified == Some(1), "{said}{words}");
    assert!(!network.checked().await.findings.is_empty());
    // The log goes on, and its next checkpoints follow those of before.
    let next = list(log.client).await.unwrap();
    log.newest(&next).await;
}
