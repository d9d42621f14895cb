//! `grpc.health.v1`. Questions that must not be mixed up: the service "" says that the process serves (liveness: restart it
//! when not), "readiness" that it should be sent work now (route elsewhere when not), "version" that it is not older than the
//! covenant wants (bring it up to date when not).
//!
//! An answer is a look at what was found last; nothing is done for it.

use std::pin::Pin;

use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use super::leash::{Leash, Phase};

/// The service that says whether the process should be sent work.
pub(crate) const READINESS: &str = "readiness";

/// The service that says whether the process is not too old.
pub(crate) const VERSION: &str = "version";

/// What the covenant makes of a process's version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not below the minimum, as far as anybody said.
    #[default]
    Current,
    /// Below it, and served for the time being.
    Outdated,
    /// Below it, and refused.
    Refused,
}

/// What is found, for whoever finds it and whoever asks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Health {
    found: watch::Sender<Found>,
    phase: watch::Receiver<Phase>,
}

#[derive(Clone, Copy, Default)]
struct Found {
    /// What it needs works.
    works: bool,
    /// It was told to stop.
    leaves: bool,
    /// What it was told of its version.
    version: Standing,
}

impl Found {
    const fn is_ready(self) -> bool {
        self.works && !self.leaves && !matches!(self.version, Standing::Refused)
    }

    /// The answer for a service, if there is such a one.
    fn answer(self, service: &str) -> Option<bool> {
        match service {
            "" => Some(true),
            READINESS => Some(self.is_ready()),
            VERSION => Some(matches!(self.version, Standing::Current)),
            _ => None,
        }
    }
}

impl Health {
    /// Alive, and not ready yet.
    pub(super) fn new(phase: watch::Receiver<Phase>) -> Self {
        Self { found: watch::Sender::new(Found::default()), phase }
    }

    /// What was found now: whether everything works that an answer needs.
    pub(crate) fn found(&self, works: bool) {
        if self.change(|found| found.works = works) {
            tracing::info!(ready = self.found.borrow().is_ready(), "readiness changed");
        }
    }

    /// What was said of its version.
    pub(crate) fn version(&self, version: Standing) {
        self.change(|found| found.version = version);
    }

    /// Not ready from now on, whatever is found.
    pub(super) fn leave(&self) {
        self.change(|found| found.leaves = true);
    }

    /// Tells whoever watches, if the answer is another now.
    fn change(&self, change: impl FnOnce(&mut Found)) -> bool {
        self.found.send_if_modified(|found| {
            let before = [READINESS, VERSION].map(|service| found.answer(service));
            change(found);
            [READINESS, VERSION].map(|service| found.answer(service)) != before
        })
    }

    /// The service.
    pub(crate) fn service(&self) -> HealthServer<Self> {
        HealthServer::new(self.clone())
    }
}

fn answer(is_serving: bool) -> HealthCheckResponse {
    let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

fn no_such_service() -> Status {
    Status::not_found("there are three: \"\" (liveness), \"readiness\" and \"version\"")
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let found = self.found.borrow().answer(&request.get_ref().service);
        found.map(|is_serving| Response::new(answer(is_serving))).ok_or_else(no_such_service)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        if self.found.borrow().answer(&service).is_none() {
            return Err(no_such_service());
        }
        let mut told = None;
        let answers = WatchStream::new(self.found.subscribe()).filter_map(move |found| {
            let serving = found.answer(&service).unwrap_or_default();
            (told.replace(serving) != Some(serving)).then(|| Ok(answer(serving)))
        });
        let leash = Leash::new(None, true, self.phase.clone());
        Ok(Response::new(Box::pin(leash.stream(answers))))
    }
}

#[cfg(test)]
mod tests {
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    fn ask(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.to_owned() })
    }

    #[tokio::test]
    async fn liveness_is_not_readiness() {
        let (_process, phase) = watch::channel(Phase::Serving);
        let health = Health::new(phase);
        let serves = async |service| health.check(ask(service)).await.map(|a| a.into_inner().status == 1);
        assert!(serves("").await.unwrap() && !serves(READINESS).await.unwrap());
        health.found(true);
        assert!(serves(READINESS).await.unwrap());
        health.found(false);
        assert!(serves("").await.unwrap() && !serves(READINESS).await.unwrap());
        health.leave();
        health.found(true);
        assert!(serves("").await.unwrap() && !serves(READINESS).await.unwrap(), "who leaves is not ready any more");
        assert!(serves(VERSION).await.unwrap(), "which says nothing of its version");
        assert_eq!(serves("sluis.v1.Cases").await.unwrap_err().code(), tonic::Code::NotFound);
    }

    #[tokio::test]
    async fn an_old_version_is_told_apart_and_not_ready_once_it_is_refused() {
        let (_process, phase) = watch::channel(Phase::Serving);
        let health = Health::new(phase);
        let serves = async |service| health.check(ask(service)).await.unwrap().into_inner().status == 1;
        health.found(true);
        for (standing, version, ready) in
            [(Standing::Outdated, false, true), (Standing::Refused, false, false), (Standing::Current, true, true)]
        {
            health.version(standing);
            assert_eq!((serves(VERSION).await, serves(READINESS).await), (version, ready), "{standing:?}");
            assert!(serves("").await);
        }
    }

    #[tokio::test]
    async fn a_watch_tells_changes_and_ends_with_the_process() {
        let (process, phase) = watch::channel(Phase::Serving);
        let health = Health::new(phase);
        let mut watched = health.watch(ask(READINESS)).await.unwrap().into_inner();
        let mut next = async || watched.next().await.unwrap().map(|answer| answer.status);
        assert_eq!(next().await.unwrap(), 2);
        health.found(true);
        assert_eq!(next().await.unwrap(), 1);
        health.found(true);
        health.leave();
        assert_eq!(next().await.unwrap(), 2, "no answer is given twice");
        process.send_replace(Phase::Draining);
        assert_eq!(next().await.unwrap_err().code(), tonic::Code::Unavailable);
        assert!(watched.next().await.is_none());
        assert!(health.watch(ask("x")).await.is_err());
    }
}
