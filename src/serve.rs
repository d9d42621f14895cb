//! What every listening process shares: a stop that lets running calls finish, and a sweep of expired certificates.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};

use crate::config::TrustConfig;
use crate::redact::log;
use crate::tls::files::revocation_lists;
use crate::tls::{FileError, Gate, Revocation};

/// How long running calls get to finish.
const DRAIN: Duration = Duration::from_secs(10);
/// How often a silent connection is asked for a sign of life.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often open connections are held against the clock and the lists.
const SWEEP: Duration = Duration::from_secs(60);

/// Resolves when the server should take no more calls.
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a server until `shutdown`, then gives its calls ten seconds. Streams that wait for ever are cut then.
///
/// # Errors
/// What the server says when it ends by itself.
pub(crate) async fn until<E, F: Future<Output = Result<(), E>>>(
    shutdown: impl Future<Output = ()>,
    start: impl FnOnce(Stop) -> F,
) -> Result<(), E> {
    until_within(DRAIN, shutdown, start).await
}

async fn until_within<E, F: Future<Output = Result<(), E>>>(
    drain: Duration,
    shutdown: impl Future<Output = ()>,
    start: impl FnOnce(Stop) -> F,
) -> Result<(), E> {
    let (stop, stopped) = oneshot::channel::<()>();
    let server = start(Box::pin(async move { drop(stopped.await) }));
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown => drop(stop),
    }
    tokio::time::timeout(drain, server).await.unwrap_or(Ok(()))
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

/// How revocation is learned, by the configuration.
///
/// # Errors
/// A list that can't be read.
pub(crate) fn revocation(trust: &TrustConfig) -> Result<Revocation, FileError> {
    if trust.crls.is_empty() {
        return Ok(Revocation::RegistryOnly);
    }
    revocation_lists(trust.crls.iter().map(std::path::PathBuf::as_path)).map(Revocation::Lists)
}

/// Cuts connections whose certificate has expired meanwhile, once a minute, until the set is dropped.
pub(crate) fn sweep(tasks: &mut JoinSet<()>, gate: Gate) {
    let gate = Arc::new(gate);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_running_calls_but_not_for_ever() {
        let quick = until(std::future::ready(()), |stop| async {
            stop.await;
            Err("ended by itself")
        });
        assert_eq!(quick.await, Err("ended by itself"));
        let endless = until_within(Duration::from_millis(1), std::future::ready(()), |_| {
            std::future::pending::<Result<(), ()>>()
        });
        assert_eq!(endless.await, Ok(()));
        let failed = until(std::future::pending(), |_| std::future::ready(Err("no socket")));
        assert_eq!(failed.await, Err("no socket"));
    }
}
