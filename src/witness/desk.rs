//! `sluis witness`: where logs hand their checkpoints in (C2SP tlog-witness, `POST {prefix}/add-checkpoint`), over mutual TLS.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::service::Routes;
use tonic::transport::Server;
use tower::Layer;

use super::{NotSigned, Witness, WitnessError};
use crate::clock::{Clock as _, SystemClock, TlsClock};
use crate::config::{ConfigError, Source, WitnessConfig};
use crate::plain_http;
use crate::serve::guard::GuardLayer;
use crate::serve::reload::{self, Asker, ReloadError, Watched};
use crate::serve::{self, Leave, Process};
use crate::telemetry::Chain;
use crate::tlog::{AddCheckpoint, Declined};
use crate::tls::{self, FileError, Gate, TlsError};

/// Largest body in bytes: 63 hashes, a checkpoint, and the signatures of many.
const MOST: usize = 32 << 10;
/// For a body to come.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// Calls at the same time on one connection.
const STREAMS: u32 = 32;
/// What a log hands in ends with this.
const PATH: &str = "/add-checkpoint";
/// Type of the answer that says how far the witness is.
const SIZE: &str = "text/x.tlog.size";
const TEXT: &str = "text/plain; charset=utf-8";

/// Why a witness can't start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The witness itself.
    #[error("[witness]")]
    Witness(#[from] WitnessError),
    /// A certificate, key or anchor file.
    #[error(transparent)]
    File(#[from] FileError),
    /// TLS.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    /// The address.
    #[error("can't listen at the address of key `listen.address`; is another process there?")]
    Listen(#[source] std::io::Error),
    /// The server ended by itself.
    #[error("the server ended")]
    Server(#[from] tonic::transport::Error),
}

/// Runs a witness until `shutdown` resolves.
///
/// # Errors
/// [`DeskError`].
pub async fn run(
    source: Source<WitnessConfig>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), DeskError> {
    let config = source.read()?;
    let section = config.witness.clone();
    let logs = section.logs.into_iter().map(|log| log.0).collect();
    let witness = Arc::new(Witness::open(&section.directory, section.name.0, logs)?);
    let listener = TcpListener::bind(config.listen.address.0).await.map_err(DeskError::Listen)?;
    serve::lists::fetch_missing(&config.trust).await;
    let watched = Watched::of(&source, |config: &WitnessConfig| serve::watched(&config.tls, &config.trust));
    let tls = serve::server_tls::<DeskError>(&config.tls, &config.trust, Arc::new(TlsClock))?;
    let (gate, incoming) = Gate::open(listener, tls, tls::Limits::default());
    let (gate, process) = (Arc::new(gate), Process::new());
    let mut tasks = JoinSet::new();
    serve::sweep(&mut tasks, Arc::clone(&gate));
    let door = Arc::clone(&gate);
    tasks.spawn(serve::expiry::follow(source.clone(), |config: &WitnessConfig| {
        serve::ending(&config.tls, &config.trust)
    }));
    tasks.spawn(serve::lists::follow(source.clone(), |config: &WitnessConfig| &config.trust));
    tasks.spawn(reload::follow(watched, Asker::new().1, move |config| {
        Ok(door.reload(serve::server_tls::<ReloadError>(&config.tls, &config.trust, Arc::new(TlsClock))?))
    }));
    process.health().found(true);
    tracing::info!(witness = %witness.public(), "the witness serves under this public key");
    let server = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(serve::KEEPALIVE))
        .http2_keepalive_timeout(Some(serve::KEEPALIVE))
        .layer(GuardLayer::new(process.phase()))
        .layer(DeskLayer(witness))
        .add_routes(Routes::new(process.health().service()));
    serve::until(&process, &gate, Leave::default(), shutdown, |stop| {
        server.serve_with_incoming_shutdown(incoming, stop)
    })
    .await?;
    Ok(())
}

/// Puts the desk in front of what else is served.
#[derive(Clone)]
struct DeskLayer(Arc<Witness>);

impl<S> Layer<S> for DeskLayer {
    type Service = Desk<S>;
    fn layer(&self, inner: S) -> Desk<S> {
        Desk { inner, witness: Arc::clone(&self.0) }
    }
}

/// Takes checkpoints; everything else goes on.
#[derive(Clone)]
struct Desk<S> {
    inner: S,
    witness: Arc<Witness>,
}

impl<S: tonic::server::NamedService> tonic::server::NamedService for Desk<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Desk<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.method() != http::Method::POST || !request.uri().path().ends_with(PATH) {
            return Box::pin(self.inner.call(request));
        }
        let witness = Arc::clone(&self.witness);
        Box::pin(async move { Ok(add(witness, request.into_body()).await) })
    }
}

async fn add(witness: Arc<Witness>, body: Body) -> http::Response<Body> {
    let Ok(Ok(bytes)) = tokio::time::timeout(PATIENCE, plain_http::body(body, MOST)).await else {
        return plain_http::response(400, TEXT, b"a body of at most 32 KiB, within ten seconds\n".to_vec());
    };
    let time = u64::try_from(SystemClock.now().unix_timestamp()).unwrap_or_default();
    let signed = tokio::task::spawn_blocking(move || witness.sign(&AddCheckpoint::from_bytes(&bytes)?, time)).await;
    match signed {
        Ok(Ok(line)) => plain_http::response(200, TEXT, line),
        Ok(Err(NotSigned::Declined(Declined::Conflict(size)))) => {
            plain_http::response(409, SIZE, format!("{size}\n").into_bytes())
        }
        Ok(Err(NotSigned::Declined(why))) => plain_http::response(why.code(), TEXT, format!("{why}\n").into_bytes()),
        Ok(Err(error)) => {
            tracing::error!(error = %Chain(&error), "a checkpoint was not signed");
            plain_http::response(500, TEXT, b"the witness can't sign now\n".to_vec())
        }
        Err(_) => plain_http::response(500, TEXT, b"the witness can't sign now\n".to_vec()),
    }
}
