//! The hub's gRPC edge: [`edge`] looks at every call before and after, [`services`] hands each to its operation.
//! No decision is made here.

mod admission;
mod connection;
pub mod edge;
mod files;
pub mod services;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

pub use admission::Bounds;

use crate::exchange::{Answer, Call, Evidence, Exchange, Operation, Refused};
use crate::serve::leash::Leash;
use crate::serve::reload::Asker;
use crate::status::{name, status};
use crate::tls::Refusals;

/// What operators ask of one node, and not of the network.
#[derive(Clone)]
pub(crate) struct Node {
    /// Loads certificates, anchors, lists and limits anew.
    pub(crate) reload: Asker,
    /// Whose certificates were refused.
    pub(crate) refusals: Arc<Refusals>,
}

/// The hub as a set of gRPC services.
#[derive(Clone)]
pub struct Hub {
    exchange: Arc<Exchange>,
    patience: Duration,
    node: Node,
}

impl Hub {
    /// The services over this exchange. Whoever takes nothing of a stream for as long as `patience` loses it.
    pub(crate) const fn new(exchange: Arc<Exchange>, patience: Duration, node: Node) -> Self {
        Self { exchange, patience, node }
    }

    /// One unary call.
    async fn unary<O: Operation>(&self, request: Request<O::Message>) -> Result<Response<O::Reply>, Status> {
        let call = call(&request)?;
        let answer = self.exchange.handle::<O>(&call, request.into_inner()).await;
        reply(answer)
    }
}

/// Who calls what: put there by the edge, never read from a header.
fn call<T>(request: &Request<T>) -> Result<Call, Status> {
    request.extensions().get::<Call>().cloned().ok_or_else(not_through_the_edge)
}

/// What holds the call.
fn leash<T>(request: &Request<T>) -> Result<Leash, Status> {
    request.extensions().get::<Leash>().cloned().ok_or_else(not_through_the_edge)
}

fn not_through_the_edge() -> Status {
    Status::internal("the call did not come through the edge")
}

fn reply<T>(answer: Result<Answer<T>, Refused>) -> Result<Response<T>, Status> {
    let answer = answer.map_err(|refused| status(&refused))?;
    Ok(named(Response::new(answer.reply), &answer.event))
}

/// Names the event in the response metadata.
fn named<T>(mut response: Response<T>, event: &Evidence) -> Response<T> {
    name(response.metadata_mut(), event);
    response
}
