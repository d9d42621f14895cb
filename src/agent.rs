//! The agent: the partner's own half of the exchange (DESIGN §1).
//!
//! It offers the partner's systems the whole API in plain form, over mutual TLS under the partner's own CA, and speaks
//! to the hub in the other form: a number becomes a pseudonym's seed, content becomes a sealed record.
//!
//! ```text
//! local call → inspect (no number in any text) → subject (conceal) ─┐
//!                                              → publish (seal)    ├→ hub
//!                                              → forward           ─┘
//! hub        → fetch (verify, open), inbox → local system
//! hub        → newcomers (decide by the own covenant, seal) → hub
//! hub        → directory (see everybody's keys while somebody vouches for them)
//! ```

mod certified;
mod content;
mod covenant;
mod directory;
mod fetch;
mod forward;
mod inbox;
mod links;
mod newcomers;
mod nodes;
mod own;
mod partners;
mod publish;
mod receipts;
mod refusal;
mod renewal;
mod schema;
mod sealing;
mod services;
mod spool;
mod strict_json;
mod subject;
mod witness;
mod words;

use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::util::MapResponseLayer;

use crate::api::v1;
use crate::clock::{Clock, SystemClock, TlsClock};
use crate::config::{self, Address, AgentConfig, ConfigError, PolicyError, ServerName, Source};
use crate::inspect::Shapes;
use crate::mandate::Moment;
use crate::pseudonym::OprfError;
use crate::pseudonym::oprf::PublicKey;
use crate::serve::guard::GuardLayer;
use crate::serve::health::{Health, Standing};
use crate::serve::reload::{self, Asker, ReloadError, Watched};
use crate::serve::{self, Leave, Process};
use crate::tls::files::SetFiles;
use crate::tls::{self, ClientTls, FileError, Gate, Identity, PerAddress, ServerTls, TlsError};
use crate::version;
use crate::witness::{Witness, WitnessError};
use covenant::{CovenantError, OwnCopy};
use links::{Link, Links};
pub(crate) use nodes::MOVED;
use nodes::Nodes;
use own::{Own, OwnError};
use partners::Partners;
use receipts::Receipts;
use spool::SpoolDirectory;
use witness::Eye;

/// Largest message of a local system in bytes: one piece of content and room around it.
const MAX_MESSAGE: usize = 2 << 20;
/// Calls at the same time on one local connection.
const STREAMS: u32 = 128;
/// Records being published or fetched at the same time; each takes a few pieces of memory.
const BODIES: usize = 32;

/// Why the agent can't start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate, key or anchor file.
    #[error(transparent)]
    File(#[from] FileError),
    /// TLS.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    /// The partner's own keys.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// The store.
    #[error("the directory of key `store.directory` can't be used; it must belong to the agent")]
    Store(#[source] io::Error),
    /// The policy of the log.
    #[error("key `hub.log_policy`")]
    Policy(#[from] PolicyError),
    /// A witness of nothing.
    #[error("section `[witness]` needs key `hub.log_key`: the log that it signs")]
    UnknownLog,
    /// The witness.
    #[error("section `[witness]`")]
    Witness(#[from] WitnessError),
    /// The covenant.
    #[error(transparent)]
    Covenant(#[from] CovenantError),
    /// The pinned key.
    #[error("key `keyholder.public_key` is not a key; copy the line that `sluis keyholder init` printed")]
    Keyholder(#[from] OprfError),
    /// A constant of this program.
    #[error("a part of the agent itself is broken: {0}")]
    Broken(&'static str),
    /// A certificate that was being put in place.
    #[error("section `[renewal]`")]
    Renewal(#[from] renewal::RenewalError),
    /// The address.
    #[error("can't listen at the address of key `local.address`; is another process there?")]
    Listen(#[source] io::Error),
    /// The server ended by itself.
    #[error("the server ended")]
    Server(#[from] tonic::transport::Error),
}

/// What answers the partner's systems. Cheap to clone.
#[derive(Clone)]
struct Agent(Arc<Parts>);

struct Parts {
    own: Own,
    partners: Partners,
    links: Links,
    covenant: OwnCopy,
    shapes: Shapes,
    spool: SpoolDirectory,
    receipts: Option<Arc<Receipts>>,
    eye: Option<Eye>,
    bodies: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

impl Deref for Agent {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Runs an agent until `shutdown` resolves.
///
/// # Errors
/// [`AgentError`].
pub async fn run(
    source: Source<AgentConfig>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), AgentError> {
    let config = source.read()?;
    renewal::finish(&config)?;
    let listener = TcpListener::bind(config.local.address.0).await.map_err(AgentError::Listen)?;
    let section = config.covenant.clone();
    let covenant = tokio::task::spawn_blocking(move || OwnCopy::load(&section)).await;
    let covenant = covenant.map_err(|_| AgentError::Broken("reading the covenant broke off"))??;
    serve_on(listener, source, covenant, shutdown).await
}

/// As [`run`], on a socket and with a covenant of the caller's choice.
async fn serve_on(
    listener: TcpListener,
    source: Source<AgentConfig>,
    covenant: OwnCopy,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), AgentError> {
    let config = source.read()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    serve::lists::fetch_missing(&config.trust).await;
    let looked_at = Watched::of(&source, watched);
    let agent = Agent(Arc::new(Parts::new(&config, covenant, Arc::clone(&clock))?));
    let (gate, incoming) = Gate::open(listener, local_tls::<AgentError>(&config)?, at_the_door());
    let (gate, process) = (Arc::new(gate), Process::new());
    let mut tasks = JoinSet::new();
    serve::sweep(&mut tasks, Arc::clone(&gate));

    let (renewed, door) = (agent.clone(), Arc::clone(&gate));
    tasks.spawn(serve::expiry::follow(source.clone(), ending));
    tasks.spawn(serve::lists::follow(source.clone(), |config: &AgentConfig| &config.trust));
    let renewing = source.clone();
    tasks.spawn(reload::follow(looked_at, Asker::new().1, move |config| renewed.renew(&config, &door)));
    let (keyholder, reached) = watch::channel(false);
    tasks.spawn(tell_health(reached, agent.links.hub.reached(), process.health().clone()));
    tasks.spawn(tell_version(agent.links.standing.subscribe(), process.health().clone()));
    let watched = agent.clone();
    tasks.spawn(async move { watched.links.watch(keyholder).await });
    tasks.spawn(agent.clone().ask_for_proofs());
    tasks.spawn(agent.clone().bear_witness());
    tasks.spawn(agent.clone().renew_ahead(renewing));
    tasks.spawn(agent.clone().keep_published());
    tasks.spawn(agent.clone().meet_partners());
    if config.sealing.late_joiners || config.sealing.successor.is_some() {
        tasks.spawn(agent.clone().serve_newcomers(config.sealing.clone()));
    }
    let server = Server::builder()
        .max_concurrent_streams(Some(STREAMS))
        .http2_keepalive_interval(Some(serve::KEEPALIVE))
        .http2_keepalive_timeout(Some(serve::KEEPALIVE))
        .layer(MapResponseLayer::new(serve::blame_caller))
        .layer(GuardLayer::new(process.phase()))
        .add_routes(routes(agent).add_service(process.health().service()).add_service(reflection()?));
    serve::until(&process, &gate, Leave::default(), shutdown, |stop| {
        server.serve_with_incoming_shutdown(incoming, stop)
    })
    .await?;
    Ok(())
}

/// Every service of the API but those for operators and keyholders.
fn routes(agent: Agent) -> Routes {
    Routes::new(v1::directory_server::DirectoryServer::new(agent.clone()))
        .add_service(v1::covenants_server::CovenantsServer::new(agent.clone()))
        .add_service(v1::connection_server::ConnectionServer::new(agent.clone()))
        .add_service(v1::pseudonyms_server::PseudonymsServer::new(agent.clone()))
        .add_service(v1::cases_server::CasesServer::new(agent.clone()))
        .add_service(v1::consents_server::ConsentsServer::new(agent.clone()))
        .add_service(v1::records_server::RecordsServer::new(agent.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(v1::inbox_server::InboxServer::new(agent.clone()))
        .add_service(v1::audit_server::AuditServer::new(agent))
}

fn reflection() -> Result<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
    AgentError,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::api::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|_| AgentError::Broken("the API's description"))
}

/// Ready once the keyholder has answered, and while a node of the hub answers. An outage of the keyholder shows in the
/// calls that it concerns.
async fn tell_health(mut keyholder: watch::Receiver<bool>, mut hub: watch::Receiver<bool>, health: Health) {
    if keyholder.wait_for(|reached| *reached).await.is_err() || hub.wait_for(|reached| *reached).await.is_err() {
        return;
    }
    health.found(true);
    tracing::info!("the agent is ready: hub and keyholder were reached");
    while hub.wait_for(|reached| !*reached).await.is_ok() {
        health.found(false);
        tracing::warn!("the agent is not ready: no node of the hub can be reached");
        if hub.wait_for(|reached| *reached).await.is_err() {
            return;
        }
        health.found(true);
        tracing::info!("the agent is ready again: the hub is reached");
    }
}

/// Says what the hub says of the agent's version.
async fn tell_version(mut standing: watch::Receiver<Standing>, health: Health) {
    loop {
        health.version(*standing.borrow_and_update());
        if standing.changed().await.is_err() {
            return;
        }
    }
}

/// The files that an agent shows itself and believes others by.
fn watched(config: &AgentConfig) -> Vec<PathBuf> {
    let local = [&config.local.certificate, &config.local.key, &config.local.anchors].map(Clone::clone);
    let mandate = config.mandate.iter().map(|section| section.file.clone());
    serve::watched(&config.tls, &config.trust).into_iter().chain(local).chain(mandate).collect()
}

/// Those of them that end.
fn ending(config: &AgentConfig) -> Vec<PathBuf> {
    let local = [&config.local.certificate, &config.local.anchors].map(Clone::clone);
    serve::ending(&config.tls, &config.trust).into_iter().chain(local).collect()
}

impl Agent {
    /// Puts certificates, keys and anchors in place: towards hub and keyholder all of them or none, and the same towards local
    /// systems. One does not wait for the other: a local certificate that ended must not keep a revocation from being heard of.
    fn renew(&self, config: &AgentConfig, gate: &Gate) -> Result<usize, ReloadError> {
        let local = local_tls::<ReloadError>(config).map(|local| gate.reload(local));
        match (self.renew_outward(config), local) {
            (Ok(()), Ok(cut)) => Ok(cut),
            (Ok(()), Err(error)) | (Err(error), Ok(_)) => Err(ReloadError::Part(Box::new(error))),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Connections to others are made with what is new from the next on.
    fn renew_outward(&self, config: &AgentConfig) -> Result<(), ReloadError> {
        let identity = Identity::load(&config.tls.certificate, &config.tls.key, SystemClock.now())?;
        let trust = serve::trust(&config.tls, &config.trust)?;
        let is_other =
            self.own.renew(config, &trust, SystemClock.now()).map_err(|error| ReloadError::Own(Box::new(error)))?;
        self.links.renew(&identity, &trust)?;
        self.partners.believe(Arc::clone(&trust));
        let runtime = tokio::runtime::Handle::current();
        runtime.spawn(self.clone().show_keyholder(identity, trust, self.links.renewed()));
        if is_other {
            tracing::info!("the agent has another certificate");
            runtime.spawn(self.clone().publish_anew());
        }
        Ok(())
    }
}

impl Parts {
    fn new(config: &AgentConfig, covenant: OwnCopy, clock: Arc<dyn Clock>) -> Result<Self, AgentError> {
        let identity = Identity::load(&config.tls.certificate, &config.tls.key, clock.now())?;
        let trust = serve::trust(&config.tls, &config.trust)?;
        let link = |address: Address, name: &ServerName| -> Result<Link, AgentError> {
            let tls = ClientTls::new(&identity, &trust, &name.get().to_str(), Arc::new(TlsClock))?;
            Ok(Link::new(address.0, tls.calling_itself(version::AGENT))?)
        };
        let node = |address: &Address| link(*address, &config.hub.server_name);
        let nodes = &config.hub.address;
        let hub = Nodes::new(node(&nodes.first)?, nodes.others.iter().map(node).collect::<Result<_, _>>()?);
        let keyholder = link(config.keyholder.address, &config.keyholder.server_name)?;
        let pinned = PublicKey::from_bytes(&config.keyholder.public_key.0)?;
        let store = &config.store.directory;
        let receipts = receipts(config, Arc::clone(&clock))?;
        Ok(Self {
            own: Own::load(config, &trust, Moment::of(&covenant.id, clock.now()))?,
            partners: Partners::open(store, Arc::clone(&trust), covenant.id.clone()).map_err(AgentError::Store)?,
            links: Links::new(hub, (keyholder, identity), pinned, receipts.clone()),
            covenant,
            shapes: Shapes::of_api().map_err(|_| AgentError::Broken("the API's description"))?,
            spool: SpoolDirectory::open(store).map_err(AgentError::Store)?,
            receipts,
            eye: eye(config)?,
            bodies: Arc::new(Semaphore::new(BODIES)),
            clock,
        })
    }
}

/// What the hub promises of its log is held against it, if the log's key is known.
fn receipts(config: &AgentConfig, clock: Arc<dyn Clock>) -> Result<Option<Arc<Receipts>>, AgentError> {
    let Some(log) = &config.hub.log_key else {
        tracing::warn!("key `hub.log_key` is not set: nobody here notices when the hub drops or alters an event");
        return Ok(None);
    };
    let policy = config::policy(config.hub.log_policy.as_deref(), Some(log.0.clone()))?;
    let opened = Receipts::open(&config.store.directory, log.0.clone(), policy, clock);
    opened.map(|receipts| Some(Arc::new(receipts))).map_err(AgentError::Store)
}

/// The agent signs the log's checkpoints too, if it has a witness's key.
fn eye(config: &AgentConfig) -> Result<Option<Eye>, AgentError> {
    let Some(section) = &config.witness else { return Ok(None) };
    let log = config.hub.log_key.as_ref().ok_or(AgentError::UnknownLog)?.0.clone();
    let witness = Arc::new(Witness::open(&section.directory, section.name.0.clone(), vec![log.clone()])?);
    tracing::info!(witness = %witness.public(), "the agent is a witness of the log under this public key");
    Ok(Some(Eye { witness, log }))
}

/// The partner's own systems may all stand behind one address: there is nobody else whose turn it could take.
fn at_the_door() -> tls::Limits {
    let all = tls::Limits::default();
    tls::Limits { per_address: PerAddress { handshakes: all.handshakes, per_second: 4096 }, ..all }
}

/// Local systems show a certificate of the local CA, made for a local system.
fn local_tls<E: From<FileError> + From<TlsError>>(config: &AgentConfig) -> Result<ServerTls, E> {
    let identity = Identity::load(&config.local.certificate, &config.local.key, SystemClock.now())?;
    let set = SetFiles::built_in("local", "sluis-ca-local", &config.local.anchors)?;
    let trust = tls::files::trust(config.trust.environment, vec![set])?;
    Ok(ServerTls::new(&identity, trust, Arc::new(TlsClock))?)
}

#[cfg(test)]
mod tests;
