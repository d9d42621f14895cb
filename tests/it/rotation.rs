//! Everything that shows a certificate gets another one while calls and streams go on: the hub's nodes, the issuing CA, every
//! organisation, towards hub and keyholder. No call fails, no stream ends, no item is lost or comes twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;
use sluis::api::v1;
use sluis::clock::TlsClock;
use sluis::config::Source;
use sluis::tls::files::servers;
use sluis::tls::{ClientTls, Identity};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::calls::Client;
use crate::certificates::{agent_at, registered, serve_by};
use crate::direct::{FASE, referral};
use crate::network::{ANDERE_GEMEENTE, GEMEENTE, Holder, Network, SecondNode, forward, id, is_postgres, now};
use crate::streams::{Live, places};
use crate::tree::until;

use v1::CertificateState as State;
use v1::OrganisationKind::Gemeente;

const MEMBERS: [&str; 3] = [GEMEENTE, ANDERE_GEMEENTE, "00000099100001430000"];
const STAYS: &str = "00000099100001440000";
/// Between two calls of one caller: a load, and not a flood.
const PAUSE: Duration = Duration::from_millis(40);
/// Each case brings its first holder two items: R01 and R02.
const ITEMS: usize = 2;

/// An organisation with an agent, a system that calls it, and one that listens to its inbox.
struct Member {
    oin: String,
    old_key: String,
    client: Client,
    stop: oneshot::Sender<()>,
    agent: JoinHandle<Result<(), sluis::agent::AgentError>>,
    caller: JoinHandle<()>,
    listener: JoinHandle<Vec<u64>>,
    load: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    done: AtomicUsize,
    came: AtomicUsize,
}

impl Member {
    async fn join(network: &Network, holder: Holder, hub: &[&str]) -> Self {
        let oin = holder.oin.to_string();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = agent_at(network, &format!("agent-{oin}"), &holder, hub, port);
        let local = config.local.certificate.parent().unwrap();
        let system = Identity::load(&local.join("system.pem"), &local.join("system.key"), now()).unwrap();
        let trust = servers(&config.local.anchors).unwrap();
        let tls = ClientTls::new(&system, &trust, "127.0.0.1", Arc::new(TlsClock)).unwrap();
        let client = Client::new(tls.connect_lazy(&format!("127.0.0.1:{port}")).unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let agent = tokio::spawn(sluis::agent::run(Source::still(config), async move {
            let _ = stopped.await;
        }));
        sign(&client).await;
        let load = Arc::<Progress>::default();
        let caller = tokio::spawn(call(client.clone(), Arc::clone(&load)));
        let listener = tokio::spawn(listen(client.clone(), Arc::clone(&load)));
        Self { oin, old_key: holder.key_hash, client, stop, agent, caller, listener, load }
    }

    /// Waits until so many more calls were answered: a step of the rotation is felt by many.
    async fn goes_on(&self) {
        let enough = self.load.done.load(Ordering::SeqCst) + 10;
        until(|| async { (self.load.done.load(Ordering::SeqCst) >= enough).then_some(()) }).await;
    }

    /// Every call was answered OK, and every item came, once and in order, over one stream.
    async fn judge(self) -> usize {
        self.load.stop.store(true, Ordering::SeqCst);
        self.caller.await.unwrap();
        let done = self.load.done.load(Ordering::SeqCst);
        until(|| async {
            (self.load.came.load(Ordering::SeqCst) >= ITEMS * done || self.listener.is_finished()).then_some(())
        })
        .await;
        // Long enough for one that comes twice.
        let request = v1::ListPartnersRequest::default();
        self.client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.unwrap();
        let came = self.listener.await.unwrap();
        let all: Vec<u64> = (1..=u64::try_from(ITEMS * done).unwrap()).collect();
        assert_eq!(came, all, "{}", self.oin);
        let _ = self.stop.send(());
        self.agent.await.unwrap().unwrap();
        done
    }
}

/// Publishes the agent's keys and signs the covenant, once the agent serves.
async fn sign(client: &Client) {
    let request = v1::GetCovenantRequest::default();
    let ask = || client.call::<_, v1::Covenant>("Covenants/GetCovenant", &request);
    let covenant = until(|| async { ask().await.ok() }).await.message;
    let keys = v1::PublishKeysRequest { request_id: id(), keys: None };
    client.call::<_, v1::PublishKeysResponse>("Directory/PublishKeys", &keys).await.unwrap();
    let (name, content_hash) = (covenant.name, covenant.content_hash);
    let request = v1::SignCovenantRequest { request_id: id(), name, content_hash, ..Default::default() };
    client.call::<_, v1::CovenantSignature>("Covenants/SignCovenant", &request).await.unwrap();
}

async fn call(client: Client, load: Arc<Progress>) {
    while !load.stop.load(Ordering::SeqCst) {
        client.call::<_, v1::Case>("Cases/ReferCase", &referral(None)).await.expect("no call fails");
        load.done.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE).await;
    }
}

/// What one stream brings until everything has come, and a second more.
async fn listen(client: Client, load: Arc<Progress>) -> Vec<u64> {
    let request = v1::StreamInboxRequest { context: FASE.context(), cursor: String::new(), drain: false };
    let messages = tokio_stream::once(request.encode_to_vec());
    let mut items = client.open("/sluis.v1.Inbox/StreamInbox", messages).await.unwrap().1;
    let mut came = Vec::new();
    loop {
        let is_over = load.stop.load(Ordering::SeqCst) && came.len() >= ITEMS * load.done.load(Ordering::SeqCst);
        let next = match tokio::time::timeout(Duration::from_secs(1), items.message()).await {
            Ok(next) => next.expect("no stream breaks").expect("no stream ends"),
            Err(_) if is_over => return came,
            Err(_) => continue,
        };
        came.extend(places(&[v1::InboxItem::decode(&*next).unwrap()]));
        load.came.store(came.len(), Ordering::SeqCst);
    }
}

/// Both nodes where there can be two.
async fn shown(network: &Network, node: Option<&SecondNode>) -> Vec<Vec<u8>> {
    let mut all = vec![network.shown().await.unwrap()];
    if let Some(node) = node {
        all.push(network.shown_at(&node.address).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_replaced_while_calls_and_streams_go_on() {
    let network = Network::start().await;
    let node = if is_postgres() { Some(network.second_node().await) } else { None };
    let mut holders = Vec::new();
    for oin in MEMBERS {
        network.register_partner(oin, Gemeente, &[]).await;
        let holder = network.half_over(oin).await;
        network.register_certificate(&holder, v1::HolderKind::Organisation, "").await;
        holders.push(holder);
    }
    let keyholder = network.run_keyholder(&holders.iter().collect::<Vec<_>>()).await;
    let mut members = Vec::new();
    for (nth, holder) in holders.into_iter().enumerate() {
        let mut hub: Vec<&str> = vec![network.address()];
        hub.extend(node.as_ref().map(|node| node.address.as_str()));
        // Some begin at the one node, some at the other.
        let first = nth % hub.len();
        hub.rotate_left(first);
        members.push(Member::join(&network, holder, &hub).await);
    }
    // Whoever keeps its certificate keeps its streams at the hub: an agent's would be opened again unseen.
    let stays = network.partner(STAYS, Gemeente).await;
    let mut streams = vec![Live::open(&stays, "").await];
    if let Some(node) = &node {
        streams.push(Live::over(&node.client(&stays.holder).await, "").await);
    }
    let start = Instant::now();
    members[0].goes_on().await;

    // The key of the nodes, under another issuing CA.
    let next = network.next_issuing("next-ca");
    let before = shown(&network, node.as_ref()).await;
    network.renew_hub_by(&next);
    until(|| async {
        let after = shown(&network, node.as_ref()).await;
        before.iter().zip(&after).all(|(before, after)| before != after).then_some(())
    })
    .await;
    for member in &members {
        member.goes_on().await;
    }

    // Every organisation's certificate, under that CA too.
    let predecessor = network.path("ca").display().to_string();
    for member in &members {
        until(|| async {
            serve_by(&network, "next-ca", &["--predecessor", &predecessor]);
            let known = registered(&network, &member.oin).await;
            known.iter().any(|known| known.key_hash == member.old_key && known.state() == State::Retiring).then_some(())
        })
        .await;
        member.goes_on().await;
    }

    // The old ones are refused from now on.
    forward(&network, 14 * 24 * 3600 + 60).await;
    network.until_cut().await;
    for member in &members {
        member.goes_on().await;
        let known = registered(&network, &member.oin).await;
        assert_eq!(known.len(), 2);
        for one in &known {
            let is_old = one.key_hash == member.old_key;
            assert_eq!(one.state(), if is_old { State::Retired } else { State::Active });
        }
        let new = known.iter().find(|one| one.key_hash != member.old_key).unwrap();
        assert!(new.issuer.contains("issuing CA 2"), "{}", new.issuer);
    }
    let took = start.elapsed();
    stays.refer(None).await.unwrap();
    for stream in &mut streams {
        for _ in 0..ITEMS {
            stream.next().await;
        }
    }
    let mut calls = 0;
    for member in members {
        calls += member.judge().await;
    }
    let streams = MEMBERS.len() + streams.len();
    eprintln!("{calls} calls and {streams} streams in {took:?}: 0 failed, 0 dropped");
    if let Some(node) = node {
        node.stop().await;
    }
    keyholder.stop().await;
    network.holds_together().await;
}
