//! Witnesses: nothing is published that a quorum has not signed, a fork gets no quorum, and without witnesses nothing is disclosed
//! for long.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sluis::api::v1;
use sluis::api::v1::event_proof::State;
use sluis::config::{Source, WitnessConfig};
use sluis::tlog::{Checkpoint, Policy, Proof, PublicKey, record_hash};
use sluis::witness::desk;
use tokio::sync::oneshot;
use tonic::Code;

use crate::direct::Players;
use crate::foreign_log::openssl_ed25519;
use crate::network::{Network, forward};
use crate::tree::{Log, back_up, list, prove, restore, until};

const BEFORE: &str = "checkpoint = \"hub/audit/checkpoint\" }";

type Running = (oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), desk::DeskError>>);

/// A witness at its desk.
struct Seat {
    key: PublicKey,
    port: u16,
    directory: String,
    config: String,
    running: Option<Running>,
}

impl Seat {
    fn make(network: &Network, log: &PublicKey, nth: usize) -> Self {
        let name = format!("w{nth}.example/witness");
        let directory = format!("witness-{nth}");
        let key =
            sluis::cli::init::witness(&network.path(&directory), &name.parse().unwrap(), &mut Vec::new()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        network.issue(&format!("witness-{nth}"), &format!("hub-{nth}"));
        std::fs::copy(network.path("ca/anchors.pem"), network.path("witness-anchors.pem")).unwrap();
        let config = format!(
            r#"
listen = {{ address = "127.0.0.1:{port}" }}
tls = {{ certificate = "ca/witness-{nth}.pem", key = "ca/witness-{nth}.key", anchors = "witness-anchors.pem" }}
trust = {{ environment = "test" }}
witness = {{ name = "{name}", directory = "witness-{nth}", logs = ["{log}"] }}
"#
        );
        Self { key, port, directory, config, running: None }
    }

    fn start(&mut self, network: &Network) {
        let config: WitnessConfig = sluis::config::parse(&network.path("witness.toml"), &self.config).unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(desk::run(Source::still(config), async move {
            let _ = stopped.await;
        }));
        self.running = Some((stop, task));
    }

    /// Of how many entries the log was that it signed last.
    fn signed(&self, network: &Network) -> Option<u64> {
        let files = std::fs::read_dir(network.path(&self.directory)).unwrap().map(|file| file.unwrap().path());
        let memory = { files }.find(|file| file.extension().is_some_and(|it| it == "checkpoint"))?;
        std::fs::read_to_string(memory).unwrap().lines().nth(1)?.parse().ok()
    }

    async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        let _ = stop.send(());
        task.await.unwrap().unwrap();
    }
}

/// A network whose log is signed by two of three witnesses.
async fn witnessed() -> (Network, Players, PublicKey, Vec<Seat>, Policy) {
    let mut network = Network::start().await;
    let players = Players::join(&network).await;
    let log = Log::of(players.gemeente.client()).await.key;
    let mut seats: Vec<Seat> = (1..=3).map(|nth| Seat::make(&network, &log, nth)).collect();
    seats.iter_mut().for_each(|seat| seat.start(&network));
    let mut text = format!("log {log}\n");
    for (nth, seat) in (1..).zip(&seats) {
        text.push_str(&format!("witness w{nth} {} https://127.0.0.1:{}\n", seat.key, seat.port));
    }
    text.push_str("group partners 2 w1 w2 w3\nquorum partners\n");
    std::fs::write(network.path("audit.policy"), &text).unwrap();
    let policy = Policy::from_bytes(text.as_bytes()).unwrap();
    network.stop().await;
    let witnesses = "policy = \"audit.policy\", certificate = \"ca/hub-1.pem\", key = \"ca/hub-1.key\"";
    network.reconfigure(BEFORE, &format!("{}, witnesses = {{ {witnesses} }} }}", BEFORE.trim_end_matches(" }")));
    network.restart().await;
    (network, players, log, seats, policy)
}

async fn shown(log: &Log<'_>) -> Checkpoint {
    log.checkpoint().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_is_shown_when_the_quorum_has_signed_it() {
    let (network, players, key, mut seats, policy) = witnessed().await;
    let log = Log { client: players.gemeente.client(), key };
    let event = list(log.client).await.unwrap();
    let first = log.newest(&event).await;
    assert!(policy.is_met(&first), "{:?}", policy.cosigned(&first));
    let proof = &prove(log.client, vec![event]).await.proofs[0];
    policy.verify(&Proof::from_bytes(&proof.proof).unwrap(), record_hash(&proof.leaf)).unwrap();

    // One is not missed; two are: what waits is not shown, and not proven.
    seats[0].stop().await;
    let event = list(log.client).await.unwrap();
    assert!(policy.is_met(&log.newest(&event).await));
    seats[1].stop().await;
    // What was handed in before is settled by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let last = shown(&log).await;
    let event = list(log.client).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(shown(&log).await.tree(), last.tree());
    assert_eq!(prove(log.client, vec![event.clone()]).await.proofs[0].state(), State::Waiting);
    let pending = log.pending().await.unwrap();
    assert!(pending.tree().size > last.tree().size, "what waits can be seen");
    // It is back, and remembers what it signed.
    seats[1].start(&network);
    assert!(policy.is_met(&log.newest(&event).await));
    network.holds_together().await;
}

/// The hub's certificate for witnesses moves to another authority while it runs; then the old one counts no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn witnesses_are_called_with_the_new_certificate() {
    let (network, players, key, _seats, policy) = witnessed().await;
    let log = Log { client: players.gemeente.client(), key };
    let event = list(log.client).await.unwrap();
    assert!(policy.is_met(&log.newest(&event).await));
    let anchors = network.path("witness-anchors.pem");
    let (old, new) = (std::fs::read(&anchors).unwrap(), network.other_root());
    sluis::whole_file::replace(&anchors, &[&old[..], &new].concat()).unwrap();
    network.replace_by_other("hub-1");
    // Both within a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let event = list(log.client).await.unwrap();
    assert!(policy.is_met(&log.newest(&event).await));
    sluis::whole_file::replace(&anchors, &new).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let event = list(log.client).await.unwrap();
    assert!(policy.is_met(&log.newest(&event).await), "under the old certificate nobody signs any more");
    network.holds_together().await;
}

/// The hub has lost its memory and its newest rows: it signs another history. The witnesses do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_gets_no_quorum() {
    let (mut network, players, key, mut seats, policy) = witnessed().await;
    let log = Log { client: players.gemeente.client(), key };
    let event = list(log.client).await.unwrap();
    log.newest(&event).await;
    back_up(&network).await;
    let event = list(log.client).await.unwrap();
    let signed = log.newest(&event).await;
    network.stop().await;
    std::fs::remove_file(network.path("hub/audit/checkpoint")).unwrap();
    restore(&network).await;
    network.restart().await;
    // More than what was lost: every question whether something is signed was an event too.
    for _ in 0..signed.tree().size + 30 {
        list(log.client).await.unwrap();
    }
    // A witness may have signed what waited when the copy was made: that is what is shown to them all for half a minute.
    forward(&network, 31).await;
    let forked = until(|| async {
        let waiting = log.pending().await?;
        (waiting.tree().size > signed.tree().size).then_some(waiting)
    })
    .await;
    assert!(shown(&log).await.tree().size < signed.tree().size, "and nothing of it is shown");
    assert!(policy.cosigned(&forked).is_empty());
    for seat in &mut seats {
        seat.stop().await;
    }
}

/// Two databases under one key at the same time: who was first goes on, and of the other nothing is ever shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hubs_under_one_key_one_gets_signatures() {
    let (mut network, players, key, mut seats, policy) = witnessed().await;
    let log = Log { client: players.gemeente.client(), key: key.clone() };
    let event = list(log.client).await.unwrap();
    let first = log.newest(&event).await;
    // All three know the first; a quorum of two may leave out one, and that one would sign whoever asks it first.
    let known = || async {
        list(log.client).await.unwrap();
        seats.iter().all(|seat| seat.signed(&network) >= Some(first.tree().size)).then_some(())
    };
    until(known).await;
    let twin = network.twin().await;
    let operator = twin.client(&network.operator).await;
    let other = Log { client: &operator, key };
    for _ in 0..first.tree().size + 30 {
        list(other.client).await.unwrap();
    }
    let waits = || async { other.pending().await.filter(|waiting| waiting.tree().size > first.tree().size) };
    let waiting = until(waits).await;
    // Every witness was asked by now, and asked again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(waits().await.map(|waiting| policy.cosigned(&waiting).len()), Some(0));
    assert!(other.checkpoint().await.is_none(), "of {} entries nothing is shown", waiting.tree().size);
    // The first is not held up by it.
    let event = list(log.client).await.unwrap();
    assert!(policy.is_met(&log.newest(&event).await));
    twin.stop().await;
    network.stop().await;
    for seat in &mut seats {
        seat.stop().await;
    }
}

/// A witness's signature with nothing but OpenSSL (C2SP tlog-cosignature: the time, then the note).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_verifies_what_witnesses_signed() {
    let (network, players, key, seats, _) = witnessed().await;
    let log = Log { client: players.gemeente.client(), key };
    let event = list(log.client).await.unwrap();
    let note = String::from_utf8(log.newest(&event).await.to_bytes()).unwrap();
    let (text, signatures) = note.split_once("\n\n").unwrap();
    let mut found = 0;
    for seat in &seats {
        let begins = format!("\u{2014} {} ", seat.key.name());
        let Some(signature) = signatures.lines().find_map(|line| line.strip_prefix(&begins)) else { continue };
        // Four bytes say which key, eight are the moment; then an Ed25519 signature.
        let signature = STANDARD.decode(signature).unwrap();
        let moment = u64::from_be_bytes(signature[4..12].try_into().unwrap());
        let signed = format!("cosignature/v1\ntime {moment}\n{text}\n");
        let verified =
            |signed: &str| openssl_ed25519(&seat.key, signed.as_bytes(), &signature[12..], &network.path(""));
        assert!(verified(&signed), "{note}");
        for other in [signed.replacen("time 1", "time 2", 1), signed.replacen("sluis.example", "sluis.exampel", 1)] {
            assert!(other != signed && !verified(&other), "{other}");
        }
        found += 1;
    }
    assert!(found >= 2, "{note}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_are_taken_from_witnesses_alone() {
    let (network, players, key, _seats, _) = witnessed().await;
    let client = players.gemeente.client();
    let log = Log { client, key };
    let size = shown(&log).await.tree().size;
    let forged = b"\xe2\x80\x94 w1.example/witness AAAAAAAA\n".to_vec();
    let before = network.database().await.events().await;
    let waiting = || async {
        list(client).await.unwrap();
        Some(log.pending().await?.tree().size)
    };
    let pending = until(waiting).await;
    for (path, body, code) in [
        (format!("/add-cosignature/{size}"), forged.clone(), 409),
        (format!("/add-cosignature/{}", u64::MAX), forged.clone(), 409),
        ("/add-cosignature/x".to_owned(), forged.clone(), 404),
        ("/add-cosignature/".to_owned(), Vec::new(), 404),
        (format!("/add-cosignature/{}", size + 1), vec![0; 40 << 10], 400),
    ] {
        assert_eq!(client.post(&path, body).await.0, code, "{path}");
    }
    // It may be published at any moment: then it waits no more.
    let answer = client.post(&format!("/add-cosignature/{pending}"), forged.clone()).await.0;
    assert!([403, 409].contains(&answer), "{answer}");
    let unregistered = network.certificate(crate::network::GI).await;
    assert_eq!(unregistered.client.post(&format!("/add-cosignature/{pending}"), forged).await.0, 403);
    assert!(network.database().await.events().await > before);
}

/// Past the covenant's limit nothing is disclosed; what is refused is refused, and the log can be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_witnesses_nothing_is_disclosed_for_long() {
    let lines = crate::log::capture();
    let alarms = || {
        let lines = String::from_utf8_lossy(&lines.lock().unwrap()).into_owned();
        ["events wait to be signed by the log", "not been signed for longer than the covenant allows"].map(|alarm| {
            lines.matches(&format!("ALARM: {alarm}")).count()
                + lines.matches(&format!("ALARM: the log has {alarm}")).count()
        })
    };
    let (network, players, key, mut seats, policy) = witnessed().await;
    let client = players.gemeente.client();
    let log = Log { client, key };
    let case = players.gemeente.refer(None).await.unwrap().message.name;
    for seat in &mut seats {
        seat.stop().await;
    }
    list(client).await.unwrap();
    until(|| log.pending()).await;
    let before = alarms();
    forward(&network, 5 * 3600).await;
    let cases = || async {
        let request = v1::ListCasesRequest {
            context: crate::direct::why("36", "verantwoording", v1::Role::R01).context(),
            ..Default::default()
        };
        client.call::<_, v1::ListCasesResponse>("Cases/ListCases", &request).await
    };
    let refused = until(|| async { cases().await.err() }).await;
    assert_eq!(
        (refused.code(), crate::calls::reason(&refused).as_deref()),
        (Code::Unavailable, Some("LOG_UNAVAILABLE"))
    );
    let event = crate::calls::event_of(&refused).expect("a refusal is an event");
    assert_eq!(network.database().await.event(&event).await.1, "LOG_UNAVAILABLE");
    // The operator hears of both: that it is late, and that nothing is disclosed any more.
    until(|| async { alarms().iter().zip(before).all(|(now, before)| *now > before).then_some(()) }).await;
    assert_eq!(players.gemeente.inbox("").await.unwrap_err().code(), Code::Unavailable);
    // Who may not, hears so as before; the log is read as before.
    let other = v1::GetCaseRequest { context: None, name: case, ..Default::default() };
    let status = client.call::<_, v1::Case>("Cases/GetCase", &other).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(prove(&network.officer.client, vec![event.clone()]).await.proofs[0].state(), State::Waiting);
    list(client).await.unwrap();

    seats[0].start(&network);
    seats[2].start(&network);
    let again = until(|| async { cases().await.ok() }).await;
    assert_eq!(again.message.cases.len(), 1);
    assert!(policy.is_met(&log.newest(&event).await));
}
