//! Around every call of an agent or a keyholder: a place and a time. The hub has an edge of its own
//! ([`crate::transport::edge`]), because its refusals are audit events.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tower::Layer;

use super::deadline;
use super::leash::{Leash, Phase};
use super::room::Room;
use crate::method;
use crate::status::early::{self, Effect};
use crate::tls::PeerInfo;

/// Services that are asked when everything else is full.
const OPEN: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/"];

/// Calls, and streams that wait, at a time.
const CALLS: usize = 512;
const STREAMS: usize = 512;
/// Of one key: a local system's at an agent, a partner's at the keyholder, or a supplier's for one of its customers.
const PER_HOLDER: usize = 128;
/// An agent asks the hub, which has this deadline too: the hub's answer comes first.
const MARGIN: Duration = Duration::from_secs(5);
/// Deadline of what is not in the hub's table.
const DEADLINE: Duration = Duration::from_secs(30);

/// Puts the guard around a service.
#[derive(Clone)]
pub(crate) struct GuardLayer(Arc<Bounds>);

struct Bounds {
    calls: Arc<Room>,
    streams: Arc<Room>,
    phase: watch::Receiver<Phase>,
}

impl GuardLayer {
    /// The guard of a process.
    pub(crate) fn new(phase: watch::Receiver<Phase>) -> Self {
        Self(Arc::new(Bounds { calls: Room::for_calls(CALLS), streams: Room::for_streams(STREAMS), phase }))
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;
    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, bounds: Arc::clone(&self.0) }
    }
}

/// A service with the guard around it.
#[derive(Clone)]
pub(crate) struct Guard<S> {
    inner: S,
    bounds: Arc<Bounds>,
}

impl<S: NamedService> NamedService for Guard<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if OPEN.iter().any(|open| path.starts_with(open)) {
            return Box::pin(self.inner.call(request));
        }
        let leash = match self.bounds.enter(&request) {
            Ok(leash) => leash,
            Err(status) => return Box::pin(std::future::ready(Ok(status.into_http()))),
        };
        request.extensions_mut().insert(leash.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let held = leash.hold(answer).await;
            held.unwrap_or_else(|ended| Ok(ended.status(Effect::Unknown).into_http()))
        })
    }
}

impl Bounds {
    fn enter(&self, request: &http::Request<Body>) -> Result<Leash, Status> {
        let peer = request.extensions().get::<Arc<PeerInfo>>();
        let peer = peer.ok_or_else(|| Status::internal("the call did not come through the acceptor"))?;
        let asked = deadline::asked(request.headers()).map_err(|_| early::bad_timeout())?;
        let row = method::find(request.uri().path());
        let (own, waits, places) = match row {
            Some(row) => (row.deadline.map(|own| own + MARGIN), row.deadline.is_none(), row.places),
            None => (Some(DEADLINE), false, 1),
        };
        let room = if waits { &self.streams } else { &self.calls };
        let place = room.enter(&peer.load, PER_HOLDER, places).ok_or_else(early::too_many)?;
        let mut leash = Leash::new(deadline::shorter(asked, own), waits, self.phase.clone());
        leash.keep(place);
        Ok(leash)
    }
}
