//! A flood of handshakes from one address: refused early, while others are served.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluis::api::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::health::PATIENCE;
use crate::log;
use crate::network::{Network, Party};
use crate::raw::Raw;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
/// Connections of the flood, and how many of them are tried at a time: more than the hub has turns for handshakes.
const CONNECTIONS: usize = 2_000;
const AT_A_TIME: usize = 400;

/// What a client sends first.
fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let config = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let mut bytes = Vec::new();
    rustls::ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

/// Connections that say hello and then nothing, one after the other, until they are told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Flood {
    fn start(address: &str) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (mut tasks, hello) = (JoinSet::new(), Arc::new(hello()));
        for _ in 0..AT_A_TIME {
            let (stop, made, hello) = (Arc::clone(&stop), Arc::clone(&made), Arc::clone(&hello));
            let address = address.to_owned();
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
                    made.fetch_add(1, Ordering::Relaxed);
                    let mut answer = Vec::new();
                    if stream.write_all(&hello).await.is_ok() {
                        // Stalls for as long as the hub lets it.
                        let _ = stream.read_to_end(&mut answer).await;
                    }
                    // A test machine has other things to do, too.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
        Self { stop, made, tasks }
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
    }
}

/// A call on a connection of its own, if the hub takes it.
async fn calls_from(network: &Network, party: &Party, address: IpAddr) -> bool {
    let Some(mut raw) = Raw::connect_from(network, &party.holder, 65_535, address).await else { return false };
    raw.open(1, "Directory/ListPartners", &[]).await;
    raw.send(1, &v1::ListPartnersRequest::default()).await;
    raw.status(1).await == 0
}

async fn refused(network: &Network) -> Vec<v1::RefusedCertificate> {
    let request = v1::ListRefusalsRequest {};
    let listed = network.operator.client.call::<_, v1::ListRefusalsResponse>("Registry/ListRefusals", &request).await;
    listed.unwrap().message.refusals.into_iter().filter(|one| one.fault == "crowded").collect()
}

/// How often the log has said it so far: all hubs of this process share it.
fn alarms(lines: &log::Lines) -> usize {
    let lines = lines.lock().unwrap();
    String::from_utf8_lossy(&lines).matches("ALARM: one address opens more connections").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_one_address_leaves_others_served() {
    let lines = log::capture();
    let network = Network::start().await;
    let party = network.partner(crate::network::GEMEENTE, v1::OrganisationKind::Gemeente).await;
    assert!(calls_from(&network, &party, HERE).await && calls_from(&network, &party, THERE).await);
    let before = alarms(&lines);

    let flood = Flood::start(&network.address);
    let start = Instant::now();
    let mut served = 0;
    while flood.made() < CONNECTIONS || served < 20 {
        assert!(start.elapsed() < PATIENCE, "{} connections, {served} calls", flood.made());
        assert!(calls_from(&network, &party, THERE).await, "another address, after {served} calls");
        // Whoever was past the door before is not concerned.
        let list = v1::ListPartnersRequest::default();
        party.client().call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &list).await.unwrap();
        served += 1;
    }
    let made = flood.made();
    flood.end().await;
    // One that shares the address, as soon as it has a turn again.
    while !calls_from(&network, &party, HERE).await {
        assert!(start.elapsed() < 2 * PATIENCE, "the flood has stopped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let refused = refused(&network).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((refused[0].address.as_str(), refused[0].reason.as_str()), ("127.0.0.1", "RATE_LIMITED"));
    assert!(usize::try_from(refused[0].count).unwrap() > made / 2, "{} of {made}", refused[0].count);
    let said = alarms(&lines) - before;
    assert!((1..=2).contains(&said), "at once, and once a minute: {said}");
}
