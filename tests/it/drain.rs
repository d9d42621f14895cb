//! Stopping and health: a real hub process that is told to stop breaks nothing off, and what it says of itself is so.

use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;
use sluis::api::v1;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::calls::{Client, reason};
use crate::direct::{FASE, Players, referral};
use crate::health::{NOT_SERVING, PATIENCE, SERVING, health, until_ready, watch};
use crate::network::{Network, is_postgres};

fn terminate(process: &Child) {
    assert!(Command::new("kill").arg("-TERM").arg(process.id().to_string()).status().unwrap().success());
}

async fn exit(process: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > PATIENCE {
            process.kill().unwrap();
            panic!("the process does not end");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What became of the calls of a few callers, until they are told to stop or find nobody any more.
fn load(clients: &[Client], stop: &Arc<AtomicBool>) -> JoinSet<Vec<Result<(), Status>>> {
    let mut callers = JoinSet::new();
    for client in clients.iter().cycle().take(12) {
        let (client, stop) = (client.clone(), Arc::clone(stop));
        callers.spawn(async move {
            let mut became = Vec::new();
            let mut failed = 0;
            while !stop.load(Ordering::Relaxed) && failed < 20 {
                let answer = client.call::<_, v1::Case>("Cases/ReferCase", &referral(None)).await.map(|_| ());
                failed += u32::from(answer.is_err());
                became.push(answer);
            }
            became
        });
    }
    callers
}

/// What the client's library had not sent yet when it heard that the connection is the last: it calls that cancelled or
/// internal, by where in the library the call was. A GOAWAY without error covers only what the hub did not touch
/// (RFC 9113, section 6.8).
fn was_unsent(status: &Status) -> bool {
    let said = format!("{status:?}");
    match status.code() {
        Code::Cancelled => said.contains("hyper::Error(Canceled"),
        Code::Internal => said.contains("GoAway(b\"\", NO_ERROR, Remote)"),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_breaks_nothing_off() {
    let mut network = Network::start_limited("grace_seconds = 1, drain_seconds = 20").await;
    let players = Players::join(&network).await;
    network.stop().await;
    let mut process = network.restart_as_process().await;
    let clients = [
        players.gemeente.client().clone(),
        network.partner(crate::network::ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await.holder.client,
    ];
    let idle = network.certificate(crate::network::GI).await.client;
    until_ready(&idle).await;
    let mut readiness = watch(&idle, "readiness").await.unwrap();
    assert_eq!(readiness.next().await.unwrap(), SERVING);
    let request = v1::StreamInboxRequest { context: FASE.context(), cursor: String::new(), drain: false };
    let messages = tokio_stream::once(request.encode_to_vec());
    let (_, mut inbox) = players.aanbieder.client().open("/sluis.v1.Inbox/StreamInbox", messages).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let callers = load(&clients, &stop);
    tokio::time::sleep(Duration::from_millis(500)).await;
    terminate(&process);
    let start = Instant::now();
    assert_eq!(readiness.next().await.unwrap(), NOT_SERVING, "at once");
    assert_eq!(health(&idle, "").await, SERVING, "and alive");
    players.gemeente.refer(None).await.expect("within the grace everything is taken");
    let ended = readiness.next().await.unwrap_err();
    assert_eq!(reason(&ended).as_deref(), Some("DRAINING"), "{ended:?}");
    let ended = loop {
        match inbox.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended as if nothing had happened"),
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), reason(&ended).as_deref()), (Code::Unavailable, Some("DRAINING")));
    assert!(ended.get_details_retry_info().unwrap().retry_delay.unwrap() < Duration::from_secs(1));
    let status = exit(&mut process).await;
    assert!(start.elapsed() < Duration::from_secs(20), "it did not wait for what never ends");
    assert_eq!(status.code(), Some(0), "{}", std::fs::read_to_string(network.path("hub.log")).unwrap());
    assert!(is_postgres() || !network.path("hub/hub.db-wal").exists(), "the file is whole by itself");

    let became: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    let done = became.iter().filter(|answer| answer.is_ok()).count();
    for status in became.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(status.code() == Code::Unavailable || was_unsent(status), "{status:?}");
    }
    eprintln!("{done} calls done, {} clean refusals", became.len() - done);
    assert!(done > 20 && became.len() > done);
    let stored = network.database().await.number("SELECT COUNT(*) FROM case_file").await;
    assert_eq!(usize::try_from(stored).unwrap(), done + 1, "what was answered is stored, and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_is_told_so_and_a_second_signal_does_not_wait() {
    let mut network = Network::start_limited("grace_seconds = 0, drain_seconds = 3").await;
    let players = Players::join(&network).await;
    network.stop().await;
    for signals in [1, 2] {
        let mut process = network.restart_as_process().await;
        let client = players.gemeente.client().clone();
        let upload = tokio::spawn(async move {
            let nothing = tokio_stream::pending::<Vec<u8>>();
            client.open("/sluis.v1.Records/PublishRecord", nothing).await.map(|_| ()).unwrap_err()
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let start = Instant::now();
        for _ in 0..signals {
            assert_eq!(process.try_wait().unwrap(), None, "it waits for the call");
            terminate(&process);
            tokio::time::sleep(Duration::from_millis(1000)).await;
        }
        assert_eq!(exit(&mut process).await.code(), Some(0));
        let status = upload.await.unwrap();
        if signals == 1 {
            assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
            assert_eq!((status.code(), reason(&status).as_deref()), (Code::Unavailable, Some("DRAINING")));
        } else {
            assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        }
    }
}

const FULL_ON_SQLITE: &str =
    "CREATE TRIGGER no_room BEFORE UPDATE ON node_sign BEGIN SELECT RAISE(ABORT, 'disk full'); END";
const FULL_ON_POSTGRES: &str = "CREATE FUNCTION no_room() RETURNS TRIGGER LANGUAGE plpgsql AS \
                                $$ BEGIN RAISE EXCEPTION 'disk full'; END $$; \
                                CREATE TRIGGER no_room BEFORE UPDATE ON node_sign FOR EACH ROW EXECUTE FUNCTION no_room()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_without_its_store_is_alive_and_not_ready_until_it_is_back() {
    let network = Network::start().await;
    let client = &network.operator.client;
    until_ready(client).await;
    let mut readiness = watch(client, "readiness").await.unwrap();
    assert_eq!(readiness.next().await.unwrap(), SERVING);
    let database = network.database().await;
    // Nothing can be written any more: as on a disk that is full.
    database.run(if is_postgres() { FULL_ON_POSTGRES } else { FULL_ON_SQLITE }).await;
    assert_eq!(readiness.next().await.unwrap(), NOT_SERVING);
    assert_eq!(health(client, "").await, SERVING);
    let unknown = watch(client, "sluis.v1.Cases").await.map(|_| ()).unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    database.run(if is_postgres() { "DROP TRIGGER no_room ON node_sign" } else { "DROP TRIGGER no_room" }).await;
    assert_eq!(readiness.next().await.unwrap(), SERVING, "by itself");
}
