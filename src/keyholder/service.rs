//! The calls. Nothing that a caller sent is ever repeated, logged or kept.

use std::sync::Arc;

use rand_core::OsRng;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::quota::{Quota, Taken, day_end};
use super::roster::{Allowance, MAX_ELEMENTS, Members};
use super::successors::{Named, Successors};
use crate::api::v1;
use crate::clock::Clock;
use crate::identity::KeyHash;
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
    successors: Successors,
    quota: Quota,
    clock: Arc<dyn Clock>,
}

/// Who calls, or in whose name, and with which key.
struct Caller {
    oin: Oin,
    allowance: Allowance,
    /// The OIN in the certificate.
    shown: Oin,
    key: KeyHash,
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
        let successors = quota.successors();
        Ok(Self { key: Arc::new(key), epoch, known_answer, members, successors, quota, clock })
    }

    /// Who calls, on every call: a connection may outlive its certificate.
    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let peer = request.extensions().get::<Arc<PeerInfo>>();
        let certificate = peer.map(|peer| &peer.certificate).filter(|c| c.check_validity(self.clock.now()).is_ok());
        let known = certificate.and_then(|certificate| Some((certificate.oin()?.clone(), certificate.key_hash())));
        let (shown, key) = known.ok_or_else(stranger)?;
        let now = self.clock.now();
        let found = self.members.borrow().find(&shown, std::iter::once(key), now);
        let (oin, allowance) = match found {
            Some(found) => found,
            None => {
                let line = self.successors.line(&shown, &key).await.map_err(|error| unavailable(&error))?;
                self.members.borrow().find(&shown, line.into_iter(), now).ok_or_else(stranger)?
            }
        };
        Ok(Caller { oin, allowance, shown, key })
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
        let Caller { oin, allowance, .. } = self.caller(&request).await?;
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
        let Caller { oin, allowance, .. } = self.caller(&request).await?;
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

    async fn succeed_key(
        &self,
        request: Request<v1::SucceedKeyRequest>,
    ) -> Result<Response<v1::SucceedKeyResponse>, Status> {
        let Caller { oin, shown, key, .. } = self.caller(&request).await?;
        let next = <[u8; 32]>::try_from(request.into_inner().key_hash.as_slice());
        let next = KeyHash::from_bytes(next.map_err(|_| bad_field("key_hash", "SHA-256 of a public key, 32 bytes"))?);
        // The roster's own word goes before.
        let listed = self.members.borrow().find(&shown, std::iter::once(next), self.clock.now());
        if next == key || listed.is_some_and(|(of, _)| of == oin) {
            return Ok(Response::new(v1::SucceedKeyResponse {}));
        }
        let named = self.successors.name(&shown, &next, &key, self.clock.now()).await;
        match named.map_err(|error| unavailable(&error))? {
            Named::Yes => {
                tracing::info!(organisation = log(&oin), "the key of the next certificate is known");
                Ok(Response::new(v1::SucceedKeyResponse {}))
            }
            Named::Refused => {
                tracing::warn!(organisation = log(&oin), "a key was not taken for the next certificate");
                Err(Status::failed_precondition(
                    "the key takes another one's place already, or the caller's has four successors; the roster must be changed",
                ))
            }
        }
    }
}

fn stranger() -> Status {
    tracing::warn!("a caller that is not on the roster was refused");
    Status::permission_denied("this certificate is not on the keyholder's roster; ask the keyholder's people")
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
    tracing::error!(error = chain(error), "the keyholder's database can't be used, so nothing is evaluated");
    Status::unavailable("the keyholder can't use its database now; nothing was done")
}
