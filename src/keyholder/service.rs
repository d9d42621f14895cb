//! The two calls. Nothing that a caller sent is ever repeated, logged or kept.

use std::sync::Arc;

use rand_core::OsRng;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::quota::{Quota, Taken, day_end};
use super::roster::{Allowance, MAX_ELEMENTS, Members};
use crate::api::v1;
use crate::clock::Clock;
use crate::party::Oin;
use crate::pseudonym::oprf::{self, POINT_LEN};
use crate::pseudonym::{Epoch, KnownAnswer, OprfError};
use crate::redact::log;
use crate::telemetry::chain;
use crate::tls::PeerInfo;

/// What answers.
pub(super) struct Desk {
    key: Arc<oprf::Keyholder>,
    epoch: Epoch,
    known_answer: KnownAnswer,
    members: watch::Receiver<Members>,
    quota: Quota,
    clock: Arc<dyn Clock>,
}

impl Desk {
    pub(super) fn new(
        key: oprf::Keyholder,
        epoch: Epoch,
        members: watch::Receiver<Members>,
        quota: Quota,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OprfError> {
        let known_answer = key.evaluate_known_answer()?;
        Ok(Self { key: Arc::new(key), epoch, known_answer, members, quota, clock })
    }

    /// Who calls, on every call: a connection may outlive its certificate.
    fn caller<T>(&self, request: &Request<T>) -> Result<(Oin, Allowance), Status> {
        let peer = request.extensions().get::<Arc<PeerInfo>>();
        let certificate = peer.map(|peer| &peer.certificate).filter(|c| c.check_validity(self.clock.now()).is_ok());
        certificate.and_then(|certificate| self.members.borrow().find(certificate)).ok_or_else(|| {
            tracing::warn!("a caller that is not on the roster was refused");
            Status::permission_denied("this certificate is not on the keyholder's roster; ask the keyholder's people")
        })
    }

    fn check(&self, message: &v1::EvaluateRequest) -> Result<u32, Status> {
        let elements = &message.blinded_elements;
        if !(1..=MAX_ELEMENTS).contains(&elements.len()) {
            return Err(bad_field("blinded_elements", "between 1 and 50 elements"));
        }
        if let Some(index) = elements.iter().position(|element| element.len() != POINT_LEN) {
            return Err(bad_element(index));
        }
        if message.epoch != 0 && message.epoch != self.epoch.number() {
            return Err(Status::failed_precondition("the keyholder has no key of this epoch; call GetKey"));
        }
        u32::try_from(elements.len()).map_err(|_| bad_field("blinded_elements", "between 1 and 50 elements"))
    }

    /// Fifty evaluations take some ten milliseconds: not on a thread that serves others.
    async fn evaluate(&self, elements: Vec<Vec<u8>>) -> Result<Vec<v1::Evaluation>, Status> {
        let key = Arc::clone(&self.key);
        let all = move || elements.iter().enumerate().map(|(index, bytes)| one(&key, index, bytes)).collect();
        tokio::task::spawn_blocking(all).await.map_err(|_| Status::internal("the evaluation broke off"))?
    }
}

#[tonic::async_trait]
impl v1::keyholder_server::Keyholder for Desk {
    async fn get_key(&self, request: Request<v1::GetKeyRequest>) -> Result<Response<v1::KeyholderKey>, Status> {
        let (oin, allowance) = self.caller(&request)?;
        let now = self.clock.now();
        let remaining = self.quota.remaining(&oin, allowance, now).await.map_err(|error| unavailable(&error))?;
        Ok(Response::new(v1::KeyholderKey {
            epoch: self.epoch.number(),
            public_key: self.key.public_key().to_bytes().to_vec(),
            known_answer: self.known_answer.as_bytes().to_vec(),
            quota_remaining: remaining,
            quota_reset_time: Some(prost_types::Timestamp { seconds: day_end(now), nanos: 0 }),
        }))
    }

    async fn evaluate(&self, request: Request<v1::EvaluateRequest>) -> Result<Response<v1::EvaluateResponse>, Status> {
        let (oin, allowance) = self.caller(&request)?;
        let message = request.into_inner();
        let count = self.check(&message)?;
        let taken = self.quota.take(&oin, count, allowance, self.clock.now()).await;
        let remaining = match taken.map_err(|error| unavailable(&error))? {
            Taken::Counted { remaining } => remaining,
            Taken::Exhausted { wait } => {
                tracing::warn!(organisation = log(&oin), elements = log(&count), "quota used up");
                let details = ErrorDetails::with_retry_info(Some(wait));
                let text = "the quota of this organisation is used up for now";
                return Err(Status::with_error_details(Code::ResourceExhausted, text, details));
            }
        };
        let evaluations = Desk::evaluate(self, message.blinded_elements).await?;
        tracing::info!(organisation = log(&oin), elements = log(&count), remaining = log(&remaining), "evaluated");
        let epoch = self.epoch.number();
        Ok(Response::new(v1::EvaluateResponse { epoch, evaluations, quota_remaining: remaining }))
    }
}

/// One element, with a proof of its own: the caller may have put several people's numbers in one call.
fn one(key: &oprf::Keyholder, index: usize, bytes: &[u8]) -> Result<v1::Evaluation, Status> {
    let answer = key.evaluate(bytes, &mut OsRng).map_err(|_| bad_element(index))?;
    let evaluated = answer.evaluated.first().ok_or_else(|| Status::internal("nothing was evaluated"))?;
    Ok(v1::Evaluation { evaluated_element: evaluated.to_vec(), proof: answer.proof.to_vec() })
}

fn bad_element(index: usize) -> Status {
    bad_field(&format!("blinded_elements[{index}]"), "a compressed ristretto255 element of 32 bytes, not the identity")
}

fn bad_field(field: &str, expected: &str) -> Status {
    let details = ErrorDetails::with_bad_request_violation(field, format!("expected: {expected}"));
    Status::with_error_details(Code::InvalidArgument, format!("{field} is not as expected"), details)
}

fn unavailable(error: &super::QuotaError) -> Status {
    tracing::error!(error = chain(error), "quota can't be counted, so nothing is evaluated");
    Status::unavailable("the keyholder can't count quota now; nothing was evaluated")
}
