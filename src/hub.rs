//! The hub as a process: the composition root, the only place that knows all the others.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::api::v1::audit_server::AuditServer;
use crate::api::v1::cases_server::CasesServer;
use crate::api::v1::certificates_server::CertificatesServer;
use crate::api::v1::connection_server::ConnectionServer;
use crate::api::v1::consents_server::ConsentsServer;
use crate::api::v1::covenants_server::CovenantsServer;
use crate::api::v1::directory_server::DirectoryServer;
use crate::api::v1::inbox_server::InboxServer;
use crate::api::v1::pseudonyms_server::PseudonymsServer;
use crate::api::v1::records_server::RecordsServer;
use crate::api::v1::registry_server::RegistryServer;
use crate::api::v1::simulation_server::SimulationServer;
use crate::clock::{Clock, ShiftedClock, SteadyClock, SystemClock, TlsClock};
use crate::config::{self, ConfigError, HubConfig, Source};
use crate::covenant::Covenant;
use crate::exchange::{CheckedKeys, Exchange, Settings, spool};
use crate::keys::{HubKeys, KeyFileError};
use crate::reason::Reason;
use crate::registry::Registry;
use crate::serve::health::Health;
use crate::serve::reload::{self, Asker, ReloadError, Watched};
use crate::serve::{self, Leave, Process};
use crate::store::{Access, Deployment, Opening, Store, StoreError};
use crate::tls::{FileError, Gate, Limits, PeerInfo, PerAddress, TlsError};
use crate::transport::edge::EdgeLayer;
use crate::transport::{Bounds, Hub, Node};
use crate::trust::Trust;

mod bootstrap;
mod endings;
mod notary;
mod readiness;
mod retention;
mod succession;
mod witnesses;

use notary::Notary;

/// Largest message in bytes, for services that carry no pieces of records: every request of theirs is far smaller.
const WITHOUT_PIECES: usize = 256 << 10;

/// Why the hub can't start or stopped.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The covenant's files.
    #[error("the covenant can't be loaded")]
    Covenant(#[from] crate::covenant::file::LoadError),
    /// A certificate, key or anchor file.
    #[error("a certificate file can't be used")]
    File(#[from] FileError),
    /// The first operator's certificate.
    #[error("[bootstrap] operator: not a PEM certificate with one OIN; issue one with `sluis ca issue person`")]
    Operator,
    /// The hub's own keys.
    #[error("[keys] directory: the hub's keys can't be read; make them with `sluis hub init`")]
    Keys(#[from] KeyFileError),
    /// A password file.
    #[error("[store]: a password can't be read")]
    Password(#[source] KeyFileError),
    /// The address.
    #[error("[listen] address: can't listen there; is the port in use?")]
    Listen(#[source] std::io::Error),
    /// Reflection.
    #[error("the API's descriptors can't be served")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The API's own description.
    #[error("the API's description can't be read")]
    Shapes(#[from] prost::DecodeError),
    /// The server.
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
    /// The spool.
    #[error("[store] spool: the directory can't be used")]
    Spool(#[source] std::io::Error),
    /// The database.
    #[error("[store] url: the store can't be used")]
    Store(#[from] StoreError),
    /// A defect: every 32 bytes are a key.
    #[error("the log's key can't be used")]
    LogKey,
    /// The log's tree and what was signed of it.
    #[error("[audit]: the log can't be kept")]
    Log(#[from] notary::NotaryError),
    /// Witnesses of the log.
    #[error("[audit.witnesses]")]
    Witnesses(#[from] witnesses::WitnessesError),
    /// The first operator could not be registered.
    #[error("the first operator can't be registered")]
    Bootstrap(#[from] crate::store::CommitError),
    /// A defect: the writer does not end by itself.
    #[error("the store's writer ended; start the hub again")]
    Writer,
    /// A defect: what signs the log does not end by itself.
    #[error("what signs the log ended; start the hub again")]
    Notary,
    /// TLS.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
}

/// How long the store may take to be closed.
const CLOSE: std::time::Duration = std::time::Duration::from_secs(5);

/// Serves until `shutdown` is ready; then finishes what was accepted and returns.
///
/// # Errors
/// [`HubError`], before anything is served or when serving fails.
pub async fn run(
    source: Source<HubConfig>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), HubError> {
    run_by(Arc::new(SystemClock), source, shutdown).await
}

/// As [`run`], by another clock than the machine's.
///
/// # Errors
/// As [`run`].
pub async fn run_by(
    machine: Arc<dyn Clock>,
    source: Source<HubConfig>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), HubError> {
    let config = source.read()?;
    serve::lists::fetch_missing(&config.trust).await;
    let watched = Watched::of(&source, |config: &HubConfig| {
        [serve::watched(&config.tls, &config.trust), witnesses::watched(config)].concat()
    });
    let tls = serve::server_tls::<HubError>(&config.tls, &config.trust, Arc::new(TlsClock))?;
    let exchange = Arc::new(exchange(&config, machine, tls.trust()).await?);
    tracing::info!(log = %exchange.log.public(), "the log's public key, for whoever verifies it");
    // Before anything is written: a database that does not hold what was signed takes nothing more.
    let notary = Notary::open(Arc::clone(&exchange), &config.audit.checkpoint).await?;
    bootstrap::first_operator(&exchange, &config.bootstrap).await?;
    exchange.refresh().await?;
    let listener = TcpListener::bind(config.listen.address.0).await.map_err(HubError::Listen)?;
    let limits = &config.limits;
    let (gate, incoming) = Gate::open(listener, tls, at_the_door(limits));
    let gate = Arc::new(gate);
    let process = Process::new();
    let mut background = background(&exchange, &gate, process.health());
    let calls = witnesses::Calls::start(&mut background, &exchange, &config)?;
    let (last_look, ended) = oneshot::channel();
    let mut notary = tokio::spawn(notary.follow(ended));
    tracing::info!(node = config.node.as_str(), covenant = exchange.covenant.version().number, "hub serves");

    let (reload, asked) = Asker::new();
    let node = Node { reload, refusals: gate.refusals() };
    let routes = routes(&config, &exchange, &process, node)?;
    let edge = EdgeLayer::new(Arc::clone(&exchange), bounds(limits), process.phase());
    serve::sweep(&mut background, Arc::clone(&gate));
    let apply = renewal(&exchange, &gate, &edge, calls);
    let ending = |config: &HubConfig| [serve::ending(&config.tls, &config.trust), witnesses::ending(config)].concat();
    background.spawn(serve::expiry::follow(source.clone(), ending));
    background.spawn(serve::lists::follow(source.clone(), |config: &HubConfig| &config.trust));
    background.spawn(reload::follow(watched, asked, apply));
    let server = Server::builder()
        .layer(edge)
        .max_concurrent_streams(Some(limits.streams_per_connection))
        .http2_keepalive_interval(Some(limits.keepalive()))
        .http2_keepalive_timeout(Some(limits.keepalive()))
        .max_frame_size(Some(64 * 1024))
        .add_routes(routes);
    let leave = Leave { grace: limits.grace(), drain: limits.drain() };
    let serving =
        serve::until(&process, &gate, leave, shutdown, |stop| server.serve_with_incoming_shutdown(incoming, stop));
    tokio::select! {
        served = serving => served?,
        // Nothing can be committed any more: whoever watches this process starts it anew.
        () = exchange.store.stopped() => return Err(HubError::Writer),
        _ = &mut notary => return Err(HubError::Notary),
    }
    drop(background);
    drop(last_look);
    if !matches!(tokio::time::timeout(CLOSE, notary).await, Ok(Ok(()))) {
        tracing::warn!("the log's tree was not finished in time: it goes on with the next start");
    }
    if tokio::time::timeout(CLOSE, exchange.store.close()).await.is_err() {
        tracing::warn!("the store was not closed in time: what was answered is in it all the same");
    }
    tracing::info!("hub stopped");
    Ok(())
}

/// Puts keys, anchors, lists, rules and limits in place: all of them, or none.
fn renewal(
    exchange: &Arc<Exchange>,
    gate: &Arc<Gate>,
    edge: &EdgeLayer,
    calls: witnesses::Calls,
) -> impl Fn(HubConfig) -> Result<usize, ReloadError> + Send + Sync + 'static {
    let (exchange, gate, edge) = (Arc::clone(exchange), Arc::clone(gate), edge.clone());
    move |config| {
        let tls = serve::server_tls::<ReloadError>(&config.tls, &config.trust, Arc::new(TlsClock))?;
        let lines = witnesses::lines(&exchange.policy, &config, tls.trust());
        let lines = lines.map_err(|error| ReloadError::Own(Box::new(error)))?;
        // From here on nothing fails.
        calls.renew(lines);
        exchange.settings.trust.send_replace(Arc::clone(tls.trust()));
        gate.limit(at_the_door(&config.limits));
        edge.resize(bounds(&config.limits));
        Ok(gate.reload(tls))
    }
}

const fn bounds(limits: &config::Limits) -> Bounds {
    Bounds {
        calls: limits.calls,
        calls_per_partner: limits.calls_per_partner,
        streams: limits.streams,
        streams_per_partner: limits.streams_per_partner,
    }
}

fn at_the_door(limits: &config::Limits) -> Limits {
    Limits {
        handshake: limits.handshake(),
        handshakes: limits.handshakes,
        per_address: PerAddress {
            handshakes: limits.handshakes_per_address,
            per_second: limits.connections_per_address_second,
        },
        connections: limits.connections,
        per_key: limits.connections_per_partner,
        stall: limits.keepalive(),
    }
}

/// Every service, each with the largest message that it takes.
fn routes(config: &HubConfig, exchange: &Arc<Exchange>, process: &Process, node: Node) -> Result<Routes, HubError> {
    let hub = Hub::new(Arc::clone(exchange), config.limits.reader(), node);
    let with_pieces = config.limits.message_bytes;
    let most = with_pieces.min(WITHOUT_PIECES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::api::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let routes = Routes::new(DirectoryServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(CovenantsServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(PseudonymsServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(CasesServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(ConsentsServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(RecordsServer::new(hub.clone()).max_decoding_message_size(with_pieces))
        .add_service(InboxServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(AuditServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(ConnectionServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(RegistryServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(CertificatesServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(process.health().service())
        .add_service(reflection);
    if !config.simulation.clock {
        return Ok(routes);
    }
    Ok(routes.add_service(SimulationServer::new(hub).max_decoding_message_size(most)))
}

/// What goes on beside the calls. It ends with the set: each task holds the store, and the store its file.
fn background(exchange: &Arc<Exchange>, gate: &Arc<Gate>, health: &Health) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(exchange).follow_registry());
    tasks.spawn(cut_ended(Arc::clone(exchange), Arc::clone(gate)));
    tasks.spawn(cut_useless(Arc::clone(exchange), Arc::clone(gate)));
    tasks.spawn(readiness::follow(Arc::clone(exchange), health.clone()));
    tasks.spawn(retention::follow(Arc::clone(exchange)));
    tasks.spawn(endings::follow(Arc::clone(exchange)));
    tasks.spawn(succession::follow(Arc::clone(exchange)));
    tasks.spawn(witnesses::watch(Arc::clone(exchange)));
    tasks
}

/// Everything behind the edge.
async fn exchange(config: &HubConfig, machine: Arc<dyn Clock>, trust: &Arc<Trust>) -> Result<Exchange, HubError> {
    let covenant = match &config.covenant.directory {
        Some(directory) => Covenant::read(directory)?,
        None => Covenant::embedded()?,
    };
    let steady = Arc::new(SteadyClock::new(machine)) as Arc<dyn Clock>;
    let shifted = config.simulation.clock.then(|| Arc::new(ShiftedClock::new(Arc::clone(&steady))));
    let clock = shifted.clone().map_or(steady, |shifted| shifted as Arc<dyn Clock>);
    spool::clean(&config.store.spool).await.map_err(HubError::Spool)?;
    let covenant = Arc::new(covenant);
    let keys = HubKeys::load(&config.keys.directory)?;
    let log = keys.log(&config.audit.origin.0).ok_or(HubError::LogKey)?;
    let policy = witnesses::policy(config, log.public())?;
    let opening = Opening {
        access: access(config)?,
        node: config.node.as_str().to_owned(),
        clock: Arc::clone(&clock),
        simulated: config.simulation.clock,
        deployment: Deployment {
            covenant_version: covenant.version().number,
            covenant_hash: covenant.version().content_hash.clone(),
            keys: keys.fingerprints(),
        },
    };
    let store = Store::open(opening).await?;
    Ok(Exchange {
        store: Arc::new(store),
        covenant,
        keys,
        clock,
        registry: tokio::sync::watch::Sender::new(Arc::default()),
        shapes: crate::inspect::Shapes::of_api()?,
        checked: CheckedKeys::default(),
        log: Arc::new(log),
        policy,
        unwitnessed: AtomicBool::new(false),
        erased: Notify::new(),
        settings: Settings {
            spool: config.store.spool.clone(),
            known_answer: config.keyholder.known_answer.0,
            node: config.node.as_str().to_owned(),
            trust: tokio::sync::watch::Sender::new(Arc::clone(trust)),
            shifted,
        },
    })
}

/// The database, with the passwords that the configuration names files of.
pub(crate) fn access(config: &HubConfig) -> Result<Access, HubError> {
    let password =
        |path: &Option<PathBuf>| path.as_deref().map(crate::keys::password).transpose().map_err(HubError::Password);
    let access =
        Access::new(config.store.url.as_str(), password(&config.store.password_file)?.as_deref().map(|p| p.as_str()))?;
    Ok(match &config.store.owner_url {
        None => access,
        Some(owner) => {
            let password = password(&config.store.owner_password_file)?;
            access.with_owner(owner.as_str(), password.as_deref().map(|p| p.as_str()))?
        }
    })
}

/// How long calls and streams have to say why they end, before their connection is cut: within the second of guarantee
/// G7, whatever is still under way then.
const LAST_WORDS: Duration = Duration::from_millis(250);
const LONGEST_LAST_WORDS: Duration = Duration::from_millis(700);
/// Between two looks at the clock while somebody is about to be refused.
const TICK: Duration = Duration::from_millis(100);

/// Cuts live connections the moment the registry no longer knows their key or partner (guarantee G7).
async fn cut_ended(exchange: Arc<Exchange>, gate: Arc<Gate>) {
    let mut registry = exchange.registry.subscribe();
    // Nothing that ends between two looks is passed over.
    let mut looked = exchange.clock.now();
    loop {
        let next = registry.borrow().registrations.next_end(looked);
        // The clock may be moved by hand: it is looked at often, while anything is about to end.
        let until = next.map_or(Duration::MAX, |_| TICK);
        match tokio::time::timeout(until, registry.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) if next.is_some_and(|end| end > exchange.clock.now()) => continue,
            Err(_) => {}
        }
        if next.is_some_and(|end| end <= exchange.clock.now()) {
            // A moment that comes is no change: whoever waits for one is woken, to say why it ends.
            exchange.registry.send_modify(|_| {});
        }
        let latest = Instant::now() + LONGEST_LAST_WORDS;
        let (mut cut, mut is_busy) = (0, true);
        while is_busy {
            // New calls are refused already; what is under way gets a moment to say why it ends.
            tokio::time::sleep(LAST_WORDS).await;
            is_busy = false;
            let is_last = Instant::now() >= latest;
            let picture = Arc::clone(&registry.borrow_and_update());
            looked = exchange.clock.now();
            cut += gate.connections().cut_where(|peer| {
                let ended = has_ended(&picture, peer, looked);
                // Of this connection, in whatever place its calls are counted.
                let speaks = peer.idle().is_zero();
                let waits = ended && !is_last && speaks;
                is_busy |= waits;
                ended && !waits
            });
        }
        if cut > 0 {
            tracing::info!(connections = cut, "cut connections of revoked keys or suspended partners");
        }
    }
}

/// How long a connection with a key that was revoked or has ended is kept, when nothing is called on it: whoever comes with one
/// is refused by call, so that the log says it, and takes up no place for longer.
const NO_USE: Duration = Duration::from_secs(1);

/// Ends connections that are opened with a key after it was revoked, or after its mandate ended. A suspended partner's stay.
async fn cut_useless(exchange: Arc<Exchange>, gate: Arc<Gate>) {
    loop {
        tokio::time::sleep(NO_USE).await;
        let (picture, now) = (Arc::clone(&exchange.registry.borrow()), exchange.clock.now());
        let is_ended = |peer: &PeerInfo| {
            picture.registrations.key(&peer.certificate.key_hash()).is_some_and(|known| !known.holds(now))
        };
        let cut = gate.connections().cut_where(|peer| peer.idle() >= NO_USE && is_ended(peer));
        if cut > 0 {
            tracing::info!(connections = cut, "cut connections that were opened with keys that are no longer good");
        }
    }
}

/// A key that is not registered (yet) keeps its connection: it may be the one that is about to be registered.
fn has_ended(picture: &Registry, peer: &PeerInfo, now: OffsetDateTime) -> bool {
    matches!(
        picture.registrations.caller(&peer.certificate, now),
        Err(Reason::CertRevoked | Reason::PartnerSuspended | Reason::PartnerWithdrawn)
    )
}
