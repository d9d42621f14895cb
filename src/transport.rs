//! The hub's gRPC edge: [`edge`] looks at every call before and after, [`services`] hands each to its operation.
//! No decision is made here.

pub mod edge;
pub mod services;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::exchange::{Answer, Call, Exchange, Operation, Refused};
use crate::method::Method;
use crate::status::{EVENT, event_value, status};
use crate::tls::PeerInfo;

/// The hub as a set of gRPC services.
#[derive(Clone)]
pub struct Hub {
    exchange: Arc<Exchange>,
}

impl Hub {
    /// The services over this exchange.
    pub const fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange }
    }

    /// One unary call.
    async fn unary<O: Operation>(&self, request: Request<O::Message>) -> Result<Response<O::Reply>, Status> {
        let call = call(&request)?;
        let answer = self.exchange.handle::<O>(&call, request.into_inner()).await;
        reply(answer)
    }
}

/// Who calls what: put there by the acceptor and the edge, never read from a header.
fn call<T>(request: &Request<T>) -> Result<Call, Status> {
    let peer = request.extensions().get::<Arc<PeerInfo>>();
    let method = request.extensions().get::<&'static Method>();
    match (peer, method) {
        (Some(peer), Some(method)) => {
            let trace_id = trace_id(request.metadata());
            Ok(Call { certificate: peer.certificate.clone(), method, trace_id })
        }
        _ => Err(Status::internal("the call did not come through the edge")),
    }
}

/// The trace-id of a W3C traceparent (`00-{32 hex}-{16 hex}-{2 hex}`), or nothing.
fn trace_id(metadata: &tonic::metadata::MetadataMap) -> String {
    let parent = metadata.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let trace = parent.split('-').nth(1).unwrap_or_default();
    let hex = trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit());
    if hex { trace.to_ascii_lowercase() } else { String::new() }
}

fn reply<T>(answer: Result<Answer<T>, Refused>) -> Result<Response<T>, Status> {
    let answer = answer.map_err(|refused| status(&refused))?;
    Ok(named(Response::new(answer.reply), &answer.event_id))
}

/// Names the event in the response metadata.
fn named<T>(mut response: Response<T>, event_id: &str) -> Response<T> {
    if let Some(value) = event_value(event_id) {
        response.metadata_mut().insert(EVENT, value);
    }
    response
}
