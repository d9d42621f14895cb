//! The hub as a process: the composition root, the only place that knows all the others.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Server;

use crate::api::v1::audit_server::AuditServer;
use crate::api::v1::cases_server::CasesServer;
use crate::api::v1::consents_server::ConsentsServer;
use crate::api::v1::covenants_server::CovenantsServer;
use crate::api::v1::directory_server::DirectoryServer;
use crate::api::v1::inbox_server::InboxServer;
use crate::api::v1::pseudonyms_server::PseudonymsServer;
use crate::api::v1::records_server::RecordsServer;
use crate::api::v1::registry_server::RegistryServer;
use crate::api::v1::simulation_server::SimulationServer;
use crate::clock::{Clock, ShiftedClock, SystemClock, TlsClock};
use crate::config::HubConfig;
use crate::covenant::Covenant;
use crate::exchange::{Exchange, Settings, spool};
use crate::keys::{HubKeys, KeyFileError};
use crate::store::{Access, Deployment, Opening, Store, StoreError};
use crate::tls::files::{Anchors, revocation_lists};
use crate::tls::{ChainVerifier, FileError, Gate, Identity, Limits, Revocation, ServerTls, TlsError};
use crate::transport::Hub;
use crate::transport::edge::EdgeLayer;

mod bootstrap;

/// Why the hub can't start or stopped.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
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
    /// The first operator could not be registered.
    #[error("the first operator can't be registered")]
    Bootstrap(#[from] crate::store::CommitError),
    /// TLS.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
}

/// Serves until `shutdown` is ready; then finishes what was accepted and returns.
///
/// # Errors
/// [`HubError`], before anything is served or when serving fails.
pub async fn run(config: HubConfig, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), HubError> {
    let exchange = Arc::new(exchange(&config).await?);
    bootstrap::first_operator(&exchange, &config.bootstrap).await?;
    exchange.refresh().await?;
    let tls = server_tls(&config, &*exchange.clock)?;
    let listener = TcpListener::bind(config.listen.address.0).await.map_err(HubError::Listen)?;
    let limits = Limits {
        handshake: config.limits.handshake(),
        handshakes: config.limits.handshakes,
        connections: config.limits.connections,
        per_partner: config.limits.connections_per_partner,
    };
    let (gate, incoming) = Gate::open(listener, tls, limits);
    let gate = Arc::new(gate);
    let _background = background(&exchange, &gate);
    tracing::info!(node = config.node.as_str(), covenant = exchange.covenant.version().number, "hub serves");

    let hub = Hub::new(Arc::clone(&exchange));
    let most = config.limits.message_bytes;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::api::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let mut routes = tonic::service::Routes::new(DirectoryServer::new(hub.clone()))
        .add_service(CovenantsServer::new(hub.clone()))
        .add_service(PseudonymsServer::new(hub.clone()))
        .add_service(CasesServer::new(hub.clone()))
        .add_service(ConsentsServer::new(hub.clone()))
        .add_service(RecordsServer::new(hub.clone()).max_decoding_message_size(most))
        .add_service(InboxServer::new(hub.clone()))
        .add_service(AuditServer::new(hub.clone()))
        .add_service(RegistryServer::new(hub.clone()))
        .add_service(health_service)
        .add_service(reflection);
    if config.simulation.clock {
        routes = routes.add_service(SimulationServer::new(hub));
    }
    let drain = config.limits.drain();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = Server::builder()
        .layer(EdgeLayer::new(Arc::clone(&exchange)))
        .max_concurrent_streams(Some(config.limits.streams_per_connection))
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .max_frame_size(Some(64 * 1024))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, async move {
            shutdown.await;
            health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
            tracing::info!("hub drains");
            let _ = stop.send(());
        });
    // Streams never end by themselves: after the time to drain, what is still open is cut and resumes elsewhere.
    let cut = async move {
        if stopped.await.is_ok() {
            tokio::time::sleep(drain).await;
            gate.connections().cut_where(|_| true);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serving => served?,
        () = cut => {}
    }
    tracing::info!("hub stopped");
    Ok(())
}

/// What goes on beside the calls. It ends with the set: each task holds the store, and the store its file.
fn background(exchange: &Arc<Exchange>, gate: &Arc<Gate>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(exchange).follow_registry());
    tasks.spawn(cut_ended(Arc::clone(exchange), Arc::clone(gate)));
    tasks
}

/// Everything behind the edge.
async fn exchange(config: &HubConfig) -> Result<Exchange, HubError> {
    let covenant = match &config.covenant.directory {
        Some(directory) => Covenant::read(directory)?,
        None => Covenant::embedded()?,
    };
    let shifted = config.simulation.clock.then(|| Arc::new(ShiftedClock::new(Arc::new(SystemClock))));
    let clock: Arc<dyn Clock> = match &shifted {
        Some(shifted) => Arc::clone(shifted) as Arc<dyn Clock>,
        None => Arc::new(SystemClock),
    };
    spool::clean(&config.store.spool).await.map_err(HubError::Spool)?;
    let covenant = Arc::new(covenant);
    let keys = HubKeys::load(&config.keys.directory)?;
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
        settings: Settings {
            spool: config.store.spool.clone(),
            known_answer: config.keyholder.known_answer.0,
            chains: ChainVerifier::new(&anchors(config)?, revocation(config)?, config.trust.rules())?,
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

/// TLS follows the machine's clock, not the demo network's: certificates are real.
fn server_tls(config: &HubConfig, _: &dyn Clock) -> Result<ServerTls, HubError> {
    let now = SystemClock.now();
    let identity = Identity::load(&config.tls.certificate, &config.tls.key, now)?;
    let (anchors, revocation) = (anchors(config)?, revocation(config)?);
    Ok(ServerTls::new(&identity, &anchors, revocation, config.trust.rules(), Arc::new(TlsClock))?)
}

fn anchors(config: &HubConfig) -> Result<Anchors, HubError> {
    Ok(Anchors::load([config.tls.anchors.as_path()])?)
}

fn revocation(config: &HubConfig) -> Result<Revocation, HubError> {
    Ok(if config.trust.crls.is_empty() {
        Revocation::RegistryOnly
    } else {
        Revocation::Lists(revocation_lists(
            config.trust.crls.iter().map(|path: &std::path::PathBuf| -> &Path { path }),
        )?)
    })
}

/// How long a stream has to say why it ends before its connection is cut.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Cuts live connections the moment the registry no longer knows their key or partner (guarantee G7).
async fn cut_ended(exchange: Arc<Exchange>, gate: Arc<Gate>) {
    let mut registry = exchange.registry.subscribe();
    while registry.changed().await.is_ok() {
        // New calls are refused already; open streams get a moment to say why they end.
        tokio::time::sleep(LAST_WORDS).await;
        let picture = Arc::clone(&registry.borrow_and_update());
        let now = exchange.clock.now();
        // A key that is not registered (yet) keeps its connection: it may be the one that is about to be registered.
        let cut = gate.connections().cut_where(|peer| {
            matches!(
                picture.registrations.caller(&peer.certificate, now),
                Err(crate::reason::Reason::CertRevoked
                    | crate::reason::Reason::PartnerSuspended
                    | crate::reason::Reason::PartnerWithdrawn)
            )
        });
        if cut > 0 {
            tracing::info!(connections = cut, "cut connections of revoked keys or suspended partners");
        }
    }
}
