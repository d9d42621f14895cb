//! What a process says of itself: `grpc.health.v1` by hand.

use std::time::Duration;

use tonic::{Status, Streaming};

use crate::calls::Client;

/// How long anything may take on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SERVING: i32 = 1;
pub(crate) const NOT_SERVING: i32 = 2;

pub(crate) async fn health(client: &Client, service: &str) -> i32 {
    watch(client, service).await.unwrap().next().await.unwrap()
}

/// Answers as they change.
pub(crate) struct Watched(Streaming<Vec<u8>>);

impl Watched {
    pub(crate) async fn next(&mut self) -> Result<i32, Status> {
        let next = tokio::time::timeout(PATIENCE, self.0.message()).await.expect("an answer");
        Ok(status_of(&next?.ok_or_else(|| Status::ok("ended"))?))
    }
}

/// `HealthCheckResponse` by hand: field 1 is the status.
fn status_of(message: &[u8]) -> i32 {
    match message {
        [] => 0,
        [8, status] => i32::from(*status),
        _ => panic!("no answer of a health check: {message:?}"),
    }
}

pub(crate) async fn watch(client: &Client, service: &str) -> Result<Watched, Status> {
    // `HealthCheckRequest` by hand: field 1 is the service.
    let mut request = vec![10, u8::try_from(service.len()).unwrap()];
    request.extend(service.bytes());
    let opened = client.open("/grpc.health.v1.Health/Watch", tokio_stream::once(request)).await;
    opened.map(|(_, answers)| Watched(answers))
}

pub(crate) async fn until_ready(client: &Client) {
    until(client, SERVING).await;
}

/// Not ready, and alive all the same.
pub(crate) async fn until_not_ready(client: &Client) {
    until(client, NOT_SERVING).await;
    assert_eq!(health(client, "").await, SERVING);
}

async fn until(client: &Client, status: i32) {
    let mut watched = watch(client, "readiness").await.unwrap();
    while watched.next().await.unwrap() != status {}
}
