//! Around every call: finds the method's row, gives it a place and a time, and sees to it that whatever is refused before
//! an operation could look at it (undecodable bytes, a message over its size, an unknown method) is an audit event too.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Layer;

use super::admission::{Admission, Bounds};
use super::files::{self, Ask, SIGN};
use super::versions::{Versions, tell};
use crate::audit::Action;
use crate::exchange::{Call, Exchange, Progress, is_own_standing};
use crate::ground::Refusal;
use crate::method::{Callers, METHODS, Method, find};
use crate::serve::deadline;
use crate::serve::leash::{Leash, Phase};
use crate::status::early::{Effect, TIMEOUT};
use crate::status::{EVENT, status};
use crate::tlog::Resource;
use crate::tls::PeerInfo;
use crate::version::Client;

/// Services that carry no case and need no row: any certificate of the network may ask them.
const OPEN: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// A method that nobody serves.
static UNKNOWN: Method = Method {
    name: "unknown",
    callers: Callers::Registered,
    covenant: false,
    action: Action::Execute,
    deadline: Some(Duration::from_secs(30)),
    places: 1,
};

/// The method whose row a file of the log is read by.
const FILES: &str = "/sluis.v1.Audit/ReadEntries";

/// What the edge asks of every call.
struct Door {
    exchange: Arc<Exchange>,
    admission: Admission,
    versions: Versions,
    phase: watch::Receiver<Phase>,
}

/// Puts the edge around a service.
#[derive(Clone)]
pub struct EdgeLayer(Arc<Door>);

impl EdgeLayer {
    /// The edge of this exchange.
    pub(crate) fn new(exchange: Arc<Exchange>, bounds: Bounds, phase: watch::Receiver<Phase>) -> Self {
        Self(Arc::new(Door { exchange, admission: Admission::new(bounds), versions: Versions::default(), phase }))
    }

    /// Other bounds from now on.
    pub(crate) fn resize(&self, bounds: Bounds) {
        self.0.admission.resize(bounds);
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;
    fn layer(&self, inner: S) -> Edge<S> {
        Edge { inner, door: Arc::clone(&self.0) }
    }
}

/// A service with the edge around it.
#[derive(Clone)]
pub struct Edge<S> {
    inner: S,
    door: Arc<Door>,
}

impl<S: NamedService> NamedService for Edge<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Edge<S>
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

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if OPEN.iter().any(|open| path.starts_with(open)) {
            return Box::pin(self.inner.call(request));
        }
        // gRPC has no GET.
        let is_get = request.method() == http::Method::GET;
        let signed = path.strip_prefix(SIGN).map(|size| size.parse().ok());
        let file = is_get.then(|| Resource::from_path(path));
        let is_plain = is_get || signed.is_some();
        let method = find(if is_plain { FILES } else { path }).unwrap_or(&UNKNOWN);
        let Some(peer) = request.extensions().get::<Arc<PeerInfo>>().cloned() else {
            let response = Status::internal("the call did not come through the acceptor").into_http();
            return Box::pin(std::future::ready(Ok(response)));
        };
        let door = Arc::clone(&self.door);
        if is_plain {
            let (head, body) = request.into_parts();
            let ask = file.map_or_else(|| Ask::Sign(signed.flatten(), body), Ask::File);
            return Box::pin(async move { Ok(door.answer(&peer, method, ask, &head.headers).await) });
        }
        // The clone has not been polled ready; the service that has been takes the call.
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move { door.pass(&peer, method, request, inner).await })
    }
}

impl Door {
    /// One call: its time and its place first, then the operation, then the event that a refusal before it still needs.
    async fn pass<S>(
        &self,
        peer: &Arc<PeerInfo>,
        method: &'static Method,
        mut request: http::Request<Body>,
        mut inner: S,
    ) -> Result<http::Response<Body>, S::Error>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>>,
    {
        let asked = deadline::asked(request.headers());
        let limit = deadline::shorter(asked.as_ref().ok().copied().flatten(), method.deadline);
        let mut leash = Leash::new(limit, method.deadline.is_none(), self.phase.clone());
        let call = call(peer, method, request.headers());
        let place = match self.admission.enter(&self.exchange, peer, method) {
            Ok(place) => place,
            Err(crowd) => {
                let answer = leash.hold(crowd.turn_away(&self.exchange, &call)).await;
                return Ok(answer.unwrap_or_else(|ended| ended.status(effect(&call))).into_http());
            }
        };
        leash.keep((place, peer.begin()));
        request.extensions_mut().insert(call.clone());
        request.extensions_mut().insert(leash.clone());
        let outdated = self.versions.judge(&self.exchange, &call);
        let early = match &outdated {
            _ if asked.is_err() => Some(Refusal::malformed(deadline::HEADER, TIMEOUT)),
            Some(old) if old.is_refused && !method.serves_outdated() => Some(Refusal::outdated(old.clone())),
            _ => None,
        };
        let answer = leash.hold(async {
            let mut answer = match early {
                Some(refusal) => self.refused(&call, refusal).await.0.into_http(),
                None => self.seen_to(&call, inner.call(request).await?).await,
            };
            if let Some(outdated) = &outdated {
                tell(answer.headers_mut(), outdated);
            }
            Ok(answer)
        });
        answer.await.unwrap_or_else(|ended| Ok(ended.status(effect(&call)).into_http()))
    }

    /// A refusal that no operation made gets its event here.
    async fn seen_to(&self, call: &Call, response: http::Response<Body>) -> http::Response<Body> {
        let Some(code) = early_code(&response) else { return response };
        if code == Code::Ok || response.headers().contains_key(EVENT) || code == Code::Unavailable {
            return response;
        }
        let refusal = match code {
            Code::DeadlineExceeded | Code::Cancelled => return response,
            Code::Unimplemented => Refusal::not_found(),
            _ => Refusal::malformed("", "a message of the documented type, within its size"),
        };
        let (mut answer, told) = self.refused(call, refusal).await;
        if code == Code::Unimplemented && told {
            let mut unimplemented = Status::unimplemented("the hub has no such method; its API is sluis.v1");
            *unimplemented.metadata_mut() = answer.metadata().clone();
            answer = unimplemented;
        }
        answer.into_http()
    }

    /// The refusal of a call that no operation saw, and whether the caller is told why: strangers are not.
    async fn refused(&self, call: &Call, refusal: Refusal) -> (Status, bool) {
        let known = self.exchange.registry.borrow().registrations.caller(&call.certificate, self.exchange.clock.now());
        let (refusal, told) = match known {
            Ok(_) => (refusal, true),
            Err(reason) => (Refusal::denied(reason), is_own_standing(reason)),
        };
        call.progress.begin();
        let refused = self.exchange.refuse(refusal, told, self.exchange.draft(call)).await;
        (status(&refused), told && refused.event.is_some())
    }

    /// A file of the log. It takes a place as every call does.
    async fn answer(
        &self,
        peer: &Arc<PeerInfo>,
        method: &'static Method,
        ask: Ask,
        headers: &http::HeaderMap,
    ) -> http::Response<Body> {
        let mut leash = Leash::new(method.deadline, false, self.phase.clone());
        let call = call(peer, method, headers);
        let place = match self.admission.enter(&self.exchange, peer, method) {
            Ok(place) => place,
            Err(crowd) => {
                let answer = leash.hold(crowd.turn_away(&self.exchange, &call)).await;
                return files::refused(&answer.unwrap_or_else(|ended| ended.status(Effect::None)));
            }
        };
        leash.keep((place, peer.begin()));
        let answer = leash.hold(async {
            let certificate = &call.certificate;
            let known = self.exchange.registry.borrow().registrations.caller(certificate, self.exchange.clock.now());
            match known {
                Ok(_) => files::answer(&self.exchange, &call, ask).await,
                Err(reason) => files::refused(&self.refused(&call, Refusal::denied(reason)).await.0),
            }
        });
        answer.await.unwrap_or_else(|ended| files::refused(&ended.status(Effect::None)))
    }
}

/// What is known of a call before anything else is.
fn call(peer: &PeerInfo, method: &'static Method, headers: &http::HeaderMap) -> Call {
    let client = Client::of(headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()));
    let trace_id = trace_id(headers);
    Call { certificate: peer.certificate.clone(), method, client, trace_id, progress: Progress::default() }
}

/// What a call that ends early has brought about.
fn effect(call: &Call) -> Effect {
    if call.progress.has_begun() { Effect::Unknown } else { Effect::None }
}

/// The trace-id of a W3C traceparent (`00-{32 hex}-{16 hex}-{2 hex}`), or nothing.
fn trace_id(headers: &http::HeaderMap) -> String {
    let parent = headers.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let trace = parent.split('-').nth(1).unwrap_or_default();
    let hex = trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit());
    if hex { trace.to_ascii_lowercase() } else { String::new() }
}

/// The code of a response that ends with its headers.
fn early_code(response: &http::Response<Body>) -> Option<Code> {
    let value = response.headers().get("grpc-status")?;
    Some(Code::from_bytes(value.as_bytes()))
}

/// Every method that has a row, for the test that compares with the descriptors.
pub fn rows() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.name)
}
