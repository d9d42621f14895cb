//! The two parties that the agent talks to, and the known-answer check at every connect: if agent, keyholder and hub
//! don't find the same answer for one fixed identifier, no subject leaves, because one youth would become two.

use std::time::{Duration, Instant};

use rand_core::OsRng;
use tokio::sync::{Mutex, watch};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::refusal::{is_unanswered, upstream};
use crate::api::v1;
use crate::api::v1::keyholder_client::KeyholderClient;
use crate::api::v1::pseudonyms_client::PseudonymsClient;
use crate::pseudonym::known_answer::IDENTIFIER;
use crate::pseudonym::oprf::PublicKey;
use crate::pseudonym::{Blinding, Bsn, KnownAnswer, OprfOutput};
use crate::tls::ClientTls;

pub(super) const HUB: &str = "the hub";
pub(super) const KEYHOLDER: &str = "the keyholder";

/// How long a difference is believed before it is looked at again: somebody may have repaired it elsewhere.
const DIFFERENCE: Duration = Duration::from_secs(30);
/// Pace of the watch until both parties were reached, and after that.
const SEEKING: Duration = Duration::from_millis(300);
const WATCHING: Duration = Duration::from_secs(10);
/// Time for one sign of life.
const PATIENCE: Duration = Duration::from_secs(5);

/// One party: a channel that connects by itself, and what counts its connections.
pub(super) struct Link {
    pub(super) channel: Channel,
    pub(super) tls: ClientTls,
}

/// The links, and what was found on them.
pub(super) struct Links {
    pub(super) hub: Link,
    keyholder: Link,
    pinned: PublicKey,
    checked: Mutex<Option<Checked>>,
}

/// The outcome of a check, for the connections that it was made on.
struct Checked {
    hub: u64,
    keyholder: u64,
    at: Instant,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Under this key epoch.
    Agrees { epoch: u32 },
    /// Somebody finds another answer.
    Differs(Difference),
}

/// Where the answers part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// The keyholder has another key than the pinned one.
    Key,
    /// The keyholder announces another answer than it gives.
    Keyholder,
    /// The hub expects another answer.
    Hub,
}

impl Difference {
    const fn text(self) -> &'static str {
        match self {
            Self::Key => "the keyholder's key is not the one pinned in [keyholder] public_key",
            Self::Keyholder => "the keyholder's known answer is not what the agent finds",
            Self::Hub => "the hub's known answer is not the keyholder's",
        }
    }
}

impl Links {
    pub(super) fn new(hub: Link, keyholder: Link, pinned: PublicKey) -> Self {
        Self { hub, keyholder, pinned, checked: Mutex::new(None) }
    }

    /// The epoch under which subjects may leave now; checks again whenever a connection is new.
    ///
    /// # Errors
    /// FAILED_PRECONDITION when the answers differ, UNAVAILABLE when somebody can't be asked.
    pub(super) async fn agreed(&self) -> Result<u32, Status> {
        // A dead connection shows only when it is used, and the next one may lead to another hub.
        alive(&self.hub, HUB).await?;
        let mut checked = self.checked.lock().await;
        let current = checked.as_ref().filter(|last| {
            let same = (last.hub, last.keyholder) == self.connections();
            same && !(matches!(last.outcome, Outcome::Differs(_)) && last.at.elapsed() > DIFFERENCE)
        });
        let outcome = match current {
            Some(last) => last.outcome,
            None => {
                let outcome = self.compare().await?;
                let (hub, keyholder) = self.connections();
                *checked = Some(Checked { hub, keyholder, at: Instant::now(), outcome });
                match outcome {
                    Outcome::Agrees { epoch } => tracing::info!(epoch, "agent, keyholder and hub find the same answer"),
                    Outcome::Differs(where_) => {
                        tracing::error!(problem = where_.text(), "no subject leaves until this is repaired");
                    }
                }
                outcome
            }
        };
        match outcome {
            Outcome::Agrees { epoch } => Ok(epoch),
            Outcome::Differs(where_) => {
                Err(Status::failed_precondition(format!("{}; no subject leaves until this is repaired", where_.text())))
            }
        }
    }

    async fn compare(&self) -> Result<Outcome, Status> {
        let answer = self.keyholder_client().get_key(v1::GetKeyRequest {}).await;
        let key = answer.map_err(|status| of_keyholder(&status))?.into_inner();
        if key.public_key != self.pinned.to_bytes() {
            return Ok(Outcome::Differs(Difference::Key));
        }
        let identifier = Bsn::parse(IDENTIFIER).map_err(|_| Status::internal("the fixed identifier is none"))?;
        let y = match self.evaluate(&identifier, key.epoch).await {
            Err(status) if status.code() == Code::FailedPrecondition => {
                return Ok(Outcome::Differs(Difference::Keyholder));
            }
            y => y?,
        };
        let found = KnownAnswer::of(&y);
        if KnownAnswer::from_bytes(&key.known_answer) != Some(found) {
            return Ok(Outcome::Differs(Difference::Keyholder));
        }
        let question = v1::CheckKnownAnswerRequest { digest: found.as_bytes().to_vec(), keyholder_epoch: key.epoch };
        match PseudonymsClient::new(self.hub.channel.clone()).check_known_answer(question).await {
            Ok(_) => Ok(Outcome::Agrees { epoch: key.epoch }),
            Err(status) if status.code() == Code::FailedPrecondition => Ok(Outcome::Differs(Difference::Hub)),
            Err(status) => Err(upstream(&status, HUB)),
        }
    }

    /// `y` for a number: blinded, evaluated, proven, unblinded. Nothing of it is kept.
    pub(super) async fn evaluate(&self, bsn: &Bsn, epoch: u32) -> Result<OprfOutput, Status> {
        let broken = |_| Status::internal("the number can't be blinded");
        let (blinding, element) = Blinding::start(&bsn.canonical_input(), &mut OsRng).map_err(broken)?;
        let question = v1::EvaluateRequest { blinded_elements: vec![element.to_vec()], epoch };
        let answer = self.keyholder_client().evaluate(question).await.map_err(|status| of_keyholder(&status))?;
        let proven = match answer.into_inner().evaluations.as_slice() {
            [one] => blinding.finish(&one.evaluated_element, &one.proof, &self.pinned).ok(),
            _ => None,
        };
        proven.ok_or_else(|| {
            tracing::error!("the keyholder's proof does not hold under the pinned key");
            Status::failed_precondition("the keyholder's proof does not hold under the pinned key; nothing was sent")
        })
    }

    /// Looks after the links for ever: tells `reached` once both parties answered, and checks every new connection.
    pub(super) async fn watch(&self, reached: watch::Sender<bool>) {
        loop {
            if !*reached.borrow() {
                let both = tokio::join!(alive(&self.hub, HUB), alive(&self.keyholder, KEYHOLDER));
                if matches!(both, (Ok(()), Ok(()))) {
                    reached.send_replace(true);
                }
            }
            // What goes wrong is logged there, and told to every caller whom it concerns.
            drop(tokio::time::timeout(2 * PATIENCE, self.agreed()).await);
            tokio::time::sleep(if *reached.borrow() { WATCHING } else { SEEKING }).await;
        }
    }

    fn keyholder_client(&self) -> KeyholderClient<Channel> {
        KeyholderClient::new(self.keyholder.channel.clone())
    }

    fn connections(&self) -> (u64, u64) {
        (self.hub.tls.connections(), self.keyholder.tls.connections())
    }
}

/// Asks for a sign of life. Any answer is one, also that health is not for us to know.
async fn alive(link: &Link, party: &'static str) -> Result<(), Status> {
    let mut client = HealthClient::new(link.channel.clone());
    match tokio::time::timeout(PATIENCE, client.check(HealthCheckRequest::default())).await {
        Ok(Err(status)) if is_unanswered(&status) => Err(upstream(&status, party)),
        Ok(_) => Ok(()),
        Err(_) => Err(Status::unavailable(format!("{party} does not answer"))),
    }
}

/// The keyholder's refusals concern the agent, not its caller: whose certificate is not on the roster, for example.
fn of_keyholder(status: &Status) -> Status {
    match status.code() {
        Code::PermissionDenied => Status::failed_precondition(
            "the keyholder does not know this organisation's certificate; its roster must be changed first",
        ),
        Code::InvalidArgument => Status::internal("the keyholder does not accept what the agent sent"),
        _ => upstream(status, KEYHOLDER),
    }
}
