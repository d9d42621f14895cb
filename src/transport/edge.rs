//! Around every call: finds the method's row, bounds its time, and sees to it that whatever is refused before an
//! operation could look at it (undecodable bytes, a message over its size, an unknown method) is an audit event too.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Layer;

use crate::audit::Action;
use crate::exchange::{Call, Exchange, is_own_standing};
use crate::ground::Refusal;
use crate::method::{Callers, METHODS, Method, find};
use crate::status::{EVENT, status};
use crate::tls::PeerInfo;

/// Services that carry no case and need no row: any certificate of the network may ask them.
const OPEN: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// A method that nobody serves.
static UNKNOWN: Method =
    Method { name: "unknown", callers: Callers::Registered, covenant: false, action: Action::Execute, deadline: None };

/// Puts the edge around a service.
#[derive(Clone)]
pub struct EdgeLayer {
    exchange: Arc<Exchange>,
}

impl EdgeLayer {
    /// The edge of this exchange.
    pub const fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange }
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;
    fn layer(&self, inner: S) -> Edge<S> {
        Edge { inner, exchange: Arc::clone(&self.exchange) }
    }
}

/// A service with the edge around it.
#[derive(Clone)]
pub struct Edge<S> {
    inner: S,
    exchange: Arc<Exchange>,
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

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if OPEN.iter().any(|open| path.starts_with(open)) {
            return Box::pin(self.inner.call(request));
        }
        let method = find(path).unwrap_or(&UNKNOWN);
        let peer = request.extensions().get::<Arc<PeerInfo>>().cloned();
        request.extensions_mut().insert(method);
        let exchange = Arc::clone(&self.exchange);
        // The clone has not been polled ready; the service that has been takes the call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let response = match method.deadline {
                None => inner.call(request).await?,
                Some(deadline) => match tokio::time::timeout(deadline, inner.call(request)).await {
                    Ok(response) => response?,
                    Err(_) => {
                        Status::deadline_exceeded("the call took too long; its outcome is in the log").into_http()
                    }
                },
            };
            Ok(seen_to(&exchange, peer, method, response).await)
        })
    }
}

/// A refusal that no operation made gets its event here.
async fn seen_to(
    exchange: &Exchange,
    peer: Option<Arc<PeerInfo>>,
    method: &'static Method,
    response: http::Response<Body>,
) -> http::Response<Body> {
    let Some(code) = early_code(&response) else { return response };
    if code == Code::Ok || response.headers().contains_key(EVENT) || code == Code::Unavailable {
        return response;
    }
    let Some(peer) = peer else { return response };
    let call = Call { certificate: peer.certificate.clone(), method, trace_id: String::new() };
    let refusal = match code {
        Code::DeadlineExceeded | Code::Cancelled => return response,
        Code::Unimplemented => Refusal::not_found(),
        _ => Refusal::malformed("", "a message of the documented type, within its size"),
    };
    let known = exchange.registry.borrow().registrations.caller(&call.certificate, exchange.clock.now());
    let (refusal, told) = match known {
        Ok(_) => (refusal, true),
        Err(reason) => (Refusal::denied(reason), is_own_standing(reason)),
    };
    let refused = exchange.refuse(refusal, told, exchange.draft(&call)).await;
    let mut answer = status(&refused);
    if code == Code::Unimplemented && told && refused.event_id.is_some() {
        let mut unimplemented = Status::unimplemented("the hub has no such method");
        *unimplemented.metadata_mut() = answer.metadata().clone();
        answer = unimplemented;
    }
    answer.into_http()
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
