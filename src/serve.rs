//! What every listening process shares: how calls are bounded and ended, what it says of its health, and a stop that
//! breaks nothing off.

pub(crate) mod deadline;
pub(crate) mod expiry;
pub(crate) mod guard;
pub(crate) mod health;
pub(crate) mod leash;
pub(crate) mod lists;
pub(crate) mod reload;
pub(crate) mod room;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};

use crate::clock::{Clock as _, SystemClock};
use crate::config::{SetConfig, TlsConfig, TrustConfig};
use crate::redact::log;
use crate::tls::files::SetFiles;
use crate::tls::{FileError, Gate, Identity, ServerTls, TlsError};
use crate::trust::{Subject, Trust};
use health::Health;
use leash::Phase;

/// How often a silent connection is asked for a sign of life, and how long that may take.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often open connections are held against the clock and the lists.
const SWEEP: Duration = Duration::from_secs(60);
/// Time for connections that were accepted when the door closed to show their certificate and be taken.
const SETTLE: Duration = Duration::from_millis(100);
/// Time for whoever is told that it is over to hear it.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Resolves when the server should take no more calls.
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How far this process is, and what it says of its health.
pub(crate) struct Process {
    phase: watch::Sender<Phase>,
    health: Health,
}

impl Process {
    /// Serving, and not ready yet.
    pub(crate) fn new() -> Self {
        let (phase, told) = watch::channel(Phase::Serving);
        Self { phase, health: Health::new(told) }
    }

    /// For whoever ends with the process.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// For whoever finds out whether it is ready, and whoever asks.
    pub(crate) const fn health(&self) -> &Health {
        &self.health
    }
}

/// How a process takes its leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leave {
    /// For this long it says that it is not ready and still takes everything: whoever routes gets time to notice.
    pub(crate) grace: Duration,
    /// For this long it takes no more connections and finishes what it took.
    pub(crate) drain: Duration,
}

impl Default for Leave {
    fn default() -> Self {
        Self { grace: Duration::from_secs(1), drain: Duration::from_secs(10) }
    }
}

/// Runs a server until `shutdown`, then takes leave: not ready at once; after the grace no new connections, and streams
/// that wait are told to go elsewhere; calls are finished. What is left after the drain is told that it is over, and cut.
///
/// # Errors
/// What the server says when it ends by itself.
pub(crate) async fn until<E, F: Future<Output = Result<(), E>>>(
    process: &Process,
    gate: &Gate,
    leave: Leave,
    shutdown: impl Future<Output = ()>,
    start: impl FnOnce(Stop) -> F,
) -> Result<(), E> {
    let (stop, stopped) = oneshot::channel::<()>();
    let server = start(Box::pin(async move { drop(stopped.await) }));
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown => {}
    }
    process.health.leave();
    tracing::info!("stopping: not ready any more");
    if let Ok(ended) = tokio::time::timeout(leave.grace, &mut server).await {
        return ended;
    }
    gate.close();
    if let Ok(ended) = tokio::time::timeout(SETTLE, &mut server).await {
        return ended;
    }
    // First every connection hears that it is the last to be used, then streams end: whoever opens one again connects anew.
    drop(stop);
    process.phase.send_replace(Phase::Draining);
    if let Ok(ended) = tokio::time::timeout(leave.drain, &mut server).await {
        return ended;
    }
    process.phase.send_replace(Phase::Over);
    if let Ok(ended) = tokio::time::timeout(LAST_WORDS, &mut server).await {
        return ended;
    }
    let cut = gate.connections().cut_where(|_| true);
    tracing::warn!(connections = log(&cut), "connections cut: not everything was finished in time");
    Ok(())
}

/// Bytes that are no message of the documented type, or one over its size, are the caller's mistake. The library calls
/// the first an internal error of ours.
pub(crate) fn blame_caller(response: http::Response<Body>) -> http::Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    let undecodable = status.code() == Code::Internal && status.message().starts_with("failed to decode Protobuf");
    let oversized = status.code() == Code::OutOfRange && status.message().contains("message length too large");
    if undecodable || oversized {
        Status::invalid_argument("the request is not a message of the documented type within its size").into_http()
    } else {
        response
    }
}

/// What a listener shows and believes, by the configuration.
///
/// # Errors
/// Files that can't be read, sets that can't be used.
pub(crate) fn server_tls<E: From<FileError> + From<TlsError>>(
    tls: &TlsConfig,
    trusted: &TrustConfig,
    clock: Arc<dyn TimeProvider>,
) -> Result<ServerTls, E> {
    // TLS follows the machine's clock, also in a demo network whose time is moved: certificates are real.
    let identity = Identity::load(&tls.certificate, &tls.key, SystemClock.now())?;
    Ok(ServerTls::new(&identity, trust(tls, trusted)?, clock)?)
}

/// The files that a process shows itself and believes others by.
pub(crate) fn watched(tls: &TlsConfig, trust: &TrustConfig) -> Vec<PathBuf> {
    let own = [Some(&tls.certificate), Some(&tls.key), tls.anchors.as_ref()].into_iter().flatten();
    let of_set = |set: &SetConfig| -> Vec<PathBuf> {
        set.profile_file.iter().chain([&set.anchors]).chain(&set.crls).cloned().chain(lists::files(set)).collect()
    };
    own.cloned().chain(trust.sets.iter().flat_map(of_set)).collect()
}

/// The files with certificates of its own, and of roots that it trusts: they end.
pub(crate) fn ending(tls: &TlsConfig, trust: &TrustConfig) -> Vec<PathBuf> {
    let own = [Some(&tls.certificate), tls.anchors.as_ref()].into_iter().flatten();
    own.chain(trust.sets.iter().map(|set| &set.anchors)).cloned().collect()
}

/// Whose certificates are believed, by the configuration.
///
/// # Errors
/// Files that can't be read, sets that can't be used.
pub(crate) fn trust(tls: &TlsConfig, trust: &TrustConfig) -> Result<Arc<Trust>, FileError> {
    let sets = match (&tls.anchors, trust.sets.is_empty()) {
        (Some(anchors), true) => vec![SetFiles::built_in("own-ca", "sluis-ca", anchors)?],
        (None, false) => trust.sets.iter().map(set).collect::<Result<_, _>>()?,
        (Some(_), false) => return Err(FileError::Sets("name `tls.anchors` or `[[trust.sets]]`, not both")),
        (None, true) => return Err(FileError::Sets("name `tls.anchors` or `[[trust.sets]]`: nobody is trusted")),
    };
    crate::tls::files::trust(trust.environment, sets)
}

fn set(config: &SetConfig) -> Result<SetFiles, FileError> {
    let mut profile = match (&config.profile, &config.profile_file) {
        (Some(name), None) => SetFiles::built_in(&config.name, name, &config.anchors)?.profile,
        (None, Some(file)) => crate::tls::files::profile(file)?,
        _ => return Err(FileError::Sets("each of `[[trust.sets]]` has either a profile or a profile_file")),
    };
    if !config.policies.is_empty() {
        profile.policies.clone_from(&config.policies);
    }
    if profile.subject != Subject::Organisation {
        return Err(FileError::Sets(
            "a profile of `[[trust.sets]]` is for organisations; of systems within one it is not",
        ));
    }
    if !config.crl_urls.is_empty() && config.issuers.is_none() {
        return Err(FileError::Sets(
            "`crl_urls` of `[[trust.sets]]` needs `issuers`: whose signatures fetched lists must have",
        ));
    }
    if config.crl_urls.is_empty() != config.crl_directory.is_none() {
        return Err(FileError::Sets("`crl_urls` and `crl_directory` of `[[trust.sets]]` go together"));
    }
    // Those that could not be fetched yet are missing: their issuers' certificates are refused, and nobody else's.
    let is_good = |file: &PathBuf| crate::tls::files::revocation_lists([file.as_path()]).is_ok();
    let fetched = lists::files(config).into_iter().filter(is_good);
    Ok(SetFiles {
        name: config.name.clone(),
        profile,
        anchors: config.anchors.clone(),
        lists: config.crls.iter().cloned().chain(fetched).collect(),
        awaits_lists: !config.crl_urls.is_empty(),
    })
}

/// Cuts connections whose certificate has expired meanwhile, once a minute, until the set is dropped.
pub(crate) fn sweep(tasks: &mut JoinSet<()>, gate: Arc<Gate>) {
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let gate = Arc::clone(&gate);
            if let Ok(cut @ 1..) = tokio::task::spawn_blocking(move || gate.sweep()).await {
                tracing::warn!(cut = log(&cut), "connections cut: their certificate is not accepted any more");
            }
        }
    });
}
