//! The keyholder: a second, independent party that evaluates blinded identifiers (DESIGN §6).
//!
//! It sees blinded points and learns nothing from them. What it guards is the number: every organisation on its own
//! roster has a quota per day and per minute, so that nobody can try all citizen service numbers. It does not take the
//! hub's word for who takes part.

mod quota;
mod roster;
mod service;
mod successors;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::util::MapResponseLayer;

use crate::api::v1::keyholder_server::KeyholderServer;
use crate::clock::{Clock, SystemClock, TlsClock};
use crate::config::{ConfigError, KeyholderConfig, Source};
use crate::pseudonym::{Epoch, KeyError, OprfError, SecretKey, oprf};
use crate::serve::guard::GuardLayer;
use crate::serve::health::Health;
use crate::serve::reload::{self, Asker, ReloadError, Watched};
use crate::serve::{self, Leave, Process};
use crate::tls::{self, FileError, Gate, TlsError};
use quota::{Quota, QuotaError};
use roster::Members;
use service::Desk;

/// Largest request in bytes: fifty elements and their framing, with room.
const MAX_MESSAGE: usize = 16 * 1024;
/// Calls at the same time on one connection.
const STREAMS: u32 = 128;
/// Between two looks whether quota can be counted, and how long one may take.
const LOOK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the keyholder can't start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum KeyholderError {
    /// The roster can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key file can't be read.
    #[error("{}: can't be read; make it with `sluis keyholder init --dir`", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others can read the key file.
    #[error("{path}: others may read this key; run `chmod 600 {path}`", path = .0.display())]
    OpenKey(PathBuf),
    /// The key file holds no key.
    #[error("{}: not a key file of `sluis keyholder init`", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// Epochs count from 1.
    #[error("key `key.epoch` is 0; epochs count from 1")]
    Epoch,
    /// The seed gives no key.
    #[error("the key can't be used; make another one")]
    Function(#[from] OprfError),
    /// Quota.
    #[error("the database of used quota can't be opened")]
    Quota(#[from] QuotaError),
    /// A certificate, key or anchor file.
    #[error(transparent)]
    File(#[from] FileError),
    /// TLS.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    /// The address.
    #[error("can't listen at the address of key `listen.address`; is another process there?")]
    Listen(#[source] io::Error),
    /// The server ended by itself.
    #[error("the server ended")]
    Server(#[from] tonic::transport::Error),
}

/// Runs a keyholder until `shutdown` resolves.
///
/// # Errors
/// [`KeyholderError`].
pub async fn run(
    source: Source<KeyholderConfig>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), KeyholderError> {
    let config = source.read()?;
    let listener = TcpListener::bind(config.listen.address.0).await.map_err(KeyholderError::Listen)?;
    serve_on(listener, source, Arc::new(SystemClock), shutdown).await
}

/// As [`run`], on a socket and by a clock of the caller's choice.
pub(crate) async fn serve_on(
    listener: TcpListener,
    source: Source<KeyholderConfig>,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), KeyholderError> {
    let config = source.read()?;
    let roster = Members::load(&config.roster.file)?;
    let partners = roster.len();
    let (renewed, members) = watch::channel(roster);
    let epoch = Epoch::new(config.key.epoch).ok_or(KeyholderError::Epoch)?;
    let key = oprf::Keyholder::from_seed(&read_key(&config.key.file)?)?;
    let quota = Quota::open(config.store.url.as_str()).await?;
    let desk = Desk::new(key, epoch, members, quota.clone(), Arc::clone(&clock))?;
    serve::lists::fetch_missing(&config.trust).await;
    let watched = Watched::of(&source, |config: &KeyholderConfig| serve::watched(&config.tls, &config.trust));
    let tls = serve::server_tls::<KeyholderError>(&config.tls, &config.trust, Arc::new(TlsClock))?;
    let (gate, incoming) = Gate::open(listener, tls, tls::Limits::default());
    let (gate, process) = (Arc::new(gate), Process::new());
    let mut tasks = JoinSet::new();
    serve::sweep(&mut tasks, Arc::clone(&gate));
    let door = Arc::clone(&gate);
    tasks.spawn(serve::expiry::follow(source.clone(), |config: &KeyholderConfig| {
        serve::ending(&config.tls, &config.trust)
    }));
    tasks.spawn(serve::lists::follow(source.clone(), |config: &KeyholderConfig| &config.trust));
    tasks.spawn(reload::follow(watched, Asker::new().1, move |config| {
        Ok(door.reload(serve::server_tls::<ReloadError>(&config.tls, &config.trust, Arc::new(TlsClock))?))
    }));
    tasks.spawn(roster::follow(config.roster.file.clone(), renewed));
    tasks.spawn(follow_quota(quota, clock, process.health().clone()));
    tracing::info!(partners = crate::redact::log(&partners), "the keyholder serves");
    let server = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(serve::KEEPALIVE))
        .http2_keepalive_timeout(Some(serve::KEEPALIVE))
        .layer(MapResponseLayer::new(serve::blame_caller))
        .layer(GuardLayer::new(process.phase()))
        .add_routes(
            Routes::new(process.health().service())
                .add_service(KeyholderServer::new(desk).max_decoding_message_size(MAX_MESSAGE)),
        );
    serve::until(&process, &gate, Leave::default(), shutdown, |stop| {
        server.serve_with_incoming_shutdown(incoming, stop)
    })
    .await?;
    Ok(())
}

/// Ready as long as quota can be counted: nothing is evaluated without.
async fn follow_quota(quota: Quota, clock: Arc<dyn Clock>, health: Health) {
    loop {
        let counted = tokio::time::timeout(PATIENCE, quota.check(clock.now())).await;
        health.found(matches!(counted, Ok(Ok(()))));
        tokio::time::sleep(LOOK).await;
    }
}

fn read_key(path: &Path) -> Result<SecretKey, KeyholderError> {
    let unreadable = |source| KeyholderError::KeyFile { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    if tls::files::is_open_to_others(&file).map_err(unreadable)? {
        return Err(KeyholderError::OpenKey(path.to_owned()));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    io::Read::read_to_string(&mut file, &mut text).map_err(unreadable)?;
    SecretKey::from_hex_file_text(&text).map_err(|source| KeyholderError::Key { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
