//! The two parties that the agent talks to, and the known-answer check at every connect: if agent, keyholder and hub
//! don't find the same answer for one fixed identifier, no subject leaves, because one youth would become two.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use rand_core::OsRng;
use tokio::sync::{Mutex, watch};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::forward::within;
use super::nodes::{Connection, Node, Nodes};
use super::receipts::Receipts;
use super::refusal::{is_outdated, is_too_late, is_unanswered, upstream};
use crate::api::v1;
use crate::api::v1::keyholder_client::KeyholderClient;
use crate::api::v1::pseudonyms_client::PseudonymsClient;
use crate::clock::TlsClock;
use crate::identity::KeyHash;
use crate::pseudonym::known_answer::IDENTIFIER;
use crate::pseudonym::oprf::PublicKey;
use crate::pseudonym::{Blinding, Bsn, KnownAnswer, OprfOutput};
use crate::serve::health::{READINESS, Standing};
use crate::serve::leash::Leash;
use crate::status::early::{self, Effect};
use crate::tls::{ClientTls, Identity, TlsError};
use crate::trust::Trust;
use crate::version;

pub(super) const HUB: &str = "the hub";
const CHECK: &str = "sluis.v1.Pseudonyms/CheckKnownAnswer";
pub(super) const KEYHOLDER: &str = "the keyholder";

/// How long a difference is believed before it is looked at again on the same connections: somebody may have repaired it
/// elsewhere. Doubles with every difference in a row.
const DIFFERENCE: Duration = Duration::from_secs(30);
/// The same on a new connection, from the second difference in a row on.
const RECONNECTED: Duration = Duration::from_secs(2);
/// Longest pause between two looks.
const LONGEST: Duration = Duration::from_secs(300);
/// Pace of the watch until the keyholder was reached, and after that.
const SEEKING: Duration = Duration::from_millis(300);
const WATCHING: Duration = Duration::from_secs(10);
/// Time for one sign of life.
const PATIENCE: Duration = Duration::from_secs(5);

/// One process: a channel that connects by itself, and what counts its connections.
pub(super) struct Link {
    pub(super) address: SocketAddr,
    pub(super) tls: ClientTls,
    channel: StdMutex<Channel>,
}

impl Link {
    pub(super) fn new(address: SocketAddr, tls: ClientTls) -> Result<Self, TlsError> {
        let channel = StdMutex::new(tls.connect_lazy(&address.to_string())?);
        Ok(Self { address, tls, channel })
    }

    /// Over which the next call goes.
    pub(super) fn channel(&self) -> Channel {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows another certificate and believes others from the next call on. What goes on, goes on over the old connection.
    fn renew(&self, identity: &Identity, trust: &Arc<Trust>) -> Result<(), TlsError> {
        self.tls.renew(identity, trust, Arc::new(TlsClock))?;
        let anew = self.tls.connect_lazy(&self.address.to_string())?;
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = anew;
        Ok(())
    }
}

/// The links, and what was found on them.
pub(super) struct Links {
    pub(super) hub: Nodes,
    keyholder: Link,
    /// What the keyholder is shown: for a time the certificate of before.
    shown: StdMutex<Identity>,
    /// The keyholder refused what it was shown when it was asked last.
    is_stranger: AtomicBool,
    pinned: PublicKey,
    /// The hub's answers are held against its log, as all others.
    receipts: Option<Arc<Receipts>>,
    checked: Mutex<Checks>,
    /// What the hub says of the agent's version.
    pub(super) standing: watch::Sender<Standing>,
    /// The agent shows another certificate than before.
    renewed: watch::Sender<()>,
}

/// What was found, and what it cost to find.
#[derive(Default)]
struct Checks {
    last: Option<Checked>,
    /// What the agent itself finds, by key epoch of the pinned key. Found once: it costs one of the organisation's
    /// evaluations, and a hub that hangs up every second must not use up the others.
    found: BTreeMap<u32, KnownAnswer>,
}

/// The outcome of a check, for the connections that it was made on.
struct Checked {
    hub: Connection,
    keyholder: u64,
    at: Instant,
    outcome: Outcome,
    /// Differences in a row, this one included.
    differences: u32,
}

impl Checked {
    /// Whether the outcome still counts.
    fn holds(&self, connections: (Connection, u64), now: Instant) -> bool {
        let same = (self.hub, self.keyholder) == connections;
        match self.outcome {
            Outcome::Agrees { .. } => same,
            Outcome::Differs(_) => now.duration_since(self.at) < difference_holds(self.differences, same),
        }
    }
}

/// How long a difference holds after so many in a row, on the same connections or on new ones.
fn difference_holds(differences: u32, same: bool) -> Duration {
    let earlier = differences.saturating_sub(1);
    match (same, earlier) {
        (true, _) => backed_off(DIFFERENCE, earlier),
        (false, 0) => Duration::ZERO,
        (false, _) => backed_off(RECONNECTED, earlier - 1),
    }
}

/// Doubled `times` times, up to five minutes.
fn backed_off(pause: Duration, times: u32) -> Duration {
    LONGEST.min(pause.saturating_mul(2_u32.saturating_pow(times)))
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
    /// Shows the hub another certificate and believes others from the next connection on. The keyholder is to be told first.
    pub(super) fn renew(&self, identity: &Identity, trust: &Arc<Trust>) -> Result<(), TlsError> {
        self.hub.links().try_for_each(|link| link.renew(identity, trust))?;
        self.renewed.send_replace(());
        Ok(())
    }

    /// The same with the keyholder.
    pub(super) fn renew_keyholder(&self, identity: &Identity, trust: &Arc<Trust>) -> Result<(), TlsError> {
        self.keyholder.renew(identity, trust)?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = identity.clone();
        Ok(())
    }

    /// What the keyholder is shown.
    pub(super) fn shown_to_keyholder(&self) -> Identity {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the keyholder lets this certificate call already: its people may have put the key on the roster.
    pub(super) async fn is_known(&self, identity: &Identity, trust: &Arc<Trust>) -> bool {
        let tls = self.keyholder.tls.beside(identity, trust, Arc::new(TlsClock));
        let channel = tls.and_then(|tls| tls.connect_lazy(&self.keyholder.address.to_string()));
        let Ok(channel) = channel else { return false };
        let mut request = Request::new(v1::GetKeyRequest {});
        request.set_timeout(PATIENCE);
        KeyholderClient::new(channel).get_key(request).await.is_ok()
    }

    /// Tells the keyholder which key takes the place of the one that the agent shows.
    ///
    /// # Errors
    /// What the keyholder said, or that it can't be reached.
    pub(super) async fn announce(&self, next: KeyHash) -> Result<(), Status> {
        let mut request = Request::new(v1::SucceedKeyRequest { key_hash: next.as_bytes().to_vec() });
        request.set_timeout(PATIENCE);
        match self.keyholder_client().succeed_key(request).await {
            Ok(_) => Ok(()),
            // Without a roster's place there is nothing to pass on; an older keyholder's people change the roster.
            Err(status) if matches!(status.code(), Code::PermissionDenied | Code::Unimplemented) => {
                tracing::warn!(code = ?status.code(), "the keyholder's roster has to be changed for the agent's next certificate");
                Ok(())
            }
            Err(status) => Err(status),
        }
    }

    /// Changes whenever the agent shows another certificate: what is to last longer than the old one moves over.
    pub(super) fn renewed(&self) -> watch::Receiver<()> {
        self.renewed.subscribe()
    }

    pub(super) fn new(
        hub: Nodes,
        (keyholder, shown): (Link, Identity),
        pinned: PublicKey,
        receipts: Option<Arc<Receipts>>,
    ) -> Self {
        let (shown, is_stranger) = (StdMutex::new(shown), AtomicBool::new(false));
        let (checked, standing, renewed) = (Mutex::default(), watch::Sender::default(), watch::Sender::default());
        Self { hub, keyholder, shown, is_stranger, pinned, receipts, checked, standing, renewed }
    }

    /// The epoch under which subjects may leave now; checks again whenever a connection is new.
    ///
    /// # Errors
    /// FAILED_PRECONDITION when the answers differ, UNAVAILABLE when somebody can't be asked.
    pub(super) async fn agreed(&self) -> Result<u32, Status> {
        // A dead connection shows only when it is used, and the next one may lead to another hub.
        let node = self.hub.living().await?;
        self.agreed_with(&node).await
    }

    /// As [`Self::agreed`], with this node of the hub.
    ///
    /// # Errors
    /// As [`Self::agreed`].
    pub(super) async fn agreed_with(&self, node: &Node) -> Result<u32, Status> {
        let mut checks = self.checked.lock().await;
        let connections = (self.hub.connection(node), self.keyholder.tls.connections());
        let outcome = match checks.last.as_ref().filter(|last| last.holds(connections, Instant::now())) {
            Some(last) => last.outcome,
            None => self.check_anew(&mut checks, node).await?,
        };
        match outcome {
            Outcome::Agrees { epoch } => Ok(epoch),
            Outcome::Differs(where_) => {
                Err(Status::failed_precondition(format!("{}; no subject leaves until this is repaired", where_.text())))
            }
        }
    }

    /// Notices what the hub says of the agent's version, with whatever it answers. A refusal that says nothing may have been made
    /// by something in between.
    pub(super) fn heard<O>(&self, answer: &Result<Response<O>, Status>) {
        let (metadata, is_answer) = match answer {
            Ok(answer) => (answer.metadata(), true),
            Err(status) => (status.metadata(), false),
        };
        let said = metadata.get(version::HEADER).and_then(|value| value.to_str().ok());
        let standing = match said {
            Some(said) if version::says_refused(said) => Standing::Refused,
            Some(_) => Standing::Outdated,
            None if is_answer => Standing::Current,
            None => return,
        };
        let is_new = self.standing.send_if_modified(|before| std::mem::replace(before, standing) != standing);
        if let Some(said) = said.filter(|_| is_new) {
            tracing::error!(hub = said, "ALARM: the agent is too old: bring it up to date");
        }
    }

    async fn check_anew(&self, checks: &mut Checks, node: &Node) -> Result<Outcome, Status> {
        let outcome = self.compare(&mut checks.found, node).await?;
        let (hub, keyholder) = (self.hub.connection(node), self.keyholder.tls.connections());
        let differences = match outcome {
            Outcome::Agrees { epoch } => {
                tracing::info!(epoch, "agent, keyholder and hub find the same answer");
                0
            }
            Outcome::Differs(where_) => {
                tracing::error!(problem = where_.text(), "no subject leaves until this is repaired");
                checks.last.as_ref().map_or(0, |last| last.differences).saturating_add(1)
            }
        };
        checks.last = Some(Checked { hub, keyholder, at: Instant::now(), outcome, differences });
        Ok(outcome)
    }

    async fn compare(&self, known: &mut BTreeMap<u32, KnownAnswer>, node: &Node) -> Result<Outcome, Status> {
        let answer = self.keyholder_client().get_key(v1::GetKeyRequest {}).await;
        self.notice_stranger(answer.as_ref().err());
        let key = answer.map_err(|status| of_keyholder(&status))?.into_inner();
        if key.public_key != self.pinned.to_bytes() {
            return Ok(Outcome::Differs(Difference::Key));
        }
        let found = match known.get(&key.epoch) {
            Some(found) => *found,
            None => match self.known_answer(key.epoch).await {
                Err(status) if status.code() == Code::FailedPrecondition => {
                    return Ok(Outcome::Differs(Difference::Keyholder));
                }
                found => *known.entry(key.epoch).or_insert(found?),
            },
        };
        if KnownAnswer::from_bytes(&key.known_answer) != Some(found) {
            return Ok(Outcome::Differs(Difference::Keyholder));
        }
        let question = v1::CheckKnownAnswerRequest { digest: found.as_bytes().to_vec(), keyholder_epoch: key.epoch };
        let mut hub = PseudonymsClient::new(node.channel.clone());
        let answer = match &self.receipts {
            Some(receipts) => receipts.watch(CHECK.into(), hub.check_known_answer(question)).await,
            None => hub.check_known_answer(question).await,
        };
        self.heard(&answer);
        match answer {
            Ok(_) => Ok(Outcome::Agrees { epoch: key.epoch }),
            Err(status) if is_outdated(&status) => Err(upstream(&status, HUB)),
            Err(status) if status.code() == Code::FailedPrecondition => Ok(Outcome::Differs(Difference::Hub)),
            Err(status) => Err(upstream(&status, HUB)),
        }
    }

    /// Says once that the keyholder does not let this agent call, also at the start: nobody else would notice before the first referral.
    fn notice_stranger(&self, refusal: Option<&Status>) {
        let Some(is_stranger) = is_stranger(refusal) else { return };
        if !self.is_stranger.swap(is_stranger, Ordering::Relaxed) && is_stranger {
            tracing::error!("ALARM: the keyholder does not know the agent's certificate: its roster must be changed");
        }
    }

    /// What the agent finds for the fixed identifier.
    async fn known_answer(&self, epoch: u32) -> Result<KnownAnswer, Status> {
        let identifier = Bsn::parse(IDENTIFIER).map_err(|_| Status::internal("the fixed identifier is none"))?;
        Ok(KnownAnswer::of(&self.evaluate(&identifier, epoch, None).await?))
    }

    /// `y` for a number: blinded, evaluated, proven, unblinded. Nothing of it is kept.
    pub(super) async fn evaluate(&self, bsn: &Bsn, epoch: u32, leash: Option<&Leash>) -> Result<OprfOutput, Status> {
        let broken = |_| Status::internal("the number can't be blinded");
        let (blinding, element) = Blinding::start(&bsn.canonical_input(), &mut OsRng).map_err(broken)?;
        let question = v1::EvaluateRequest { blinded_elements: vec![element.to_vec()], epoch };
        let mut question = Request::new(question);
        within(&mut question, leash);
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

    /// Looks after the links for ever: tells `keyholder` once that party has answered, and checks every new connection.
    pub(super) async fn watch(&self, keyholder: watch::Sender<bool>) {
        tokio::join!(self.hub.watch(), self.watch_agreement(keyholder));
    }

    async fn watch_agreement(&self, keyholder: watch::Sender<bool>) {
        while !self.keyholder_lives().await {
            tokio::time::sleep(SEEKING).await;
        }
        keyholder.send_replace(true);
        let (mut hub, mut failures) = (self.hub.reached(), 0_u32);
        // Ends with the agent.
        while hub.wait_for(|reached| *reached).await.is_ok() {
            // What goes wrong is logged there, and told to every caller whom it concerns.
            let agreed = matches!(tokio::time::timeout(2 * PATIENCE, self.agreed()).await, Ok(Ok(_)));
            failures = if agreed { 0 } else { failures.saturating_add(1) };
            tokio::time::sleep(backed_off(WATCHING, failures)).await;
        }
    }

    async fn keyholder_lives(&self) -> bool {
        match asked_for_life(&self.keyholder.channel()).await {
            Some(Err(status)) => !is_unanswered(&status),
            Some(Ok(_)) => true,
            None => false,
        }
    }

    fn keyholder_client(&self) -> KeyholderClient<Channel> {
        KeyholderClient::new(self.keyholder.channel())
    }
}

/// What comes when a process is asked for a sign of life; nothing, when nothing comes in time.
pub(super) async fn asked_for_life(channel: &Channel) -> Option<Result<Response<HealthCheckResponse>, Status>> {
    let mut client = HealthClient::new(channel.clone());
    let question = HealthCheckRequest { service: READINESS.to_owned() };
    tokio::time::timeout(PATIENCE, client.check(question)).await.ok()
}

/// Whether the keyholder's answer says that it does not know the agent's certificate; `None`: it says nothing of it.
fn is_stranger(refusal: Option<&Status>) -> Option<bool> {
    match refusal.map(Status::code) {
        None => Some(false),
        Some(Code::PermissionDenied) => Some(true),
        Some(_) => None,
    }
}

/// The keyholder's refusals concern the agent, not its caller: whose certificate is not on the roster, for example.
fn of_keyholder(status: &Status) -> Status {
    match status.code() {
        Code::PermissionDenied => Status::failed_precondition(
            "the keyholder does not know this organisation's certificate; its roster must be changed first",
        ),
        Code::InvalidArgument => Status::internal("the keyholder does not accept what the agent sent"),
        // A subject goes to the hub after this, so nothing has gone there.
        _ if is_too_late(status) => early::too_late(Effect::None),
        _ if is_unanswered(status) => {
            Status::unavailable("the keyholder can't be reached; nothing was done: call again later")
        }
        _ => upstream(status, KEYHOLDER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_in_a_row_are_looked_at_ever_less_often() {
        let seconds = |same| [1, 2, 3, 4, 5, 9, 40, u32::MAX].map(|n| difference_holds(n, same).as_secs());
        assert_eq!(seconds(true), [30, 60, 120, 240, 300, 300, 300, 300]);
        assert_eq!(seconds(false), [0, 2, 4, 8, 16, 256, 300, 300]);
    }

    #[test]
    fn only_the_keyholder_itself_says_that_it_does_not_know_a_certificate() {
        let says = |code| is_stranger(Some(&Status::new(code, "")));
        assert_eq!((is_stranger(None), says(Code::PermissionDenied)), (Some(false), Some(true)));
        assert_eq!((says(Code::Unavailable), says(Code::DeadlineExceeded)), (None, None), "it was not heard");
    }

    #[test]
    fn an_agreement_holds_for_its_connections_only() {
        let now = Instant::now();
        let first = |number| Connection { node: 0, number };
        let with = |outcome, differences| Checked { hub: first(1), keyholder: 1, at: now, outcome, differences };
        let agreed = with(Outcome::Agrees { epoch: 1 }, 0);
        assert!(agreed.holds((first(1), 1), now + LONGEST * 2));
        for other in [(first(2), 1), (first(1), 2), (Connection { node: 1, number: 1 }, 1)] {
            assert!(!agreed.holds(other, now), "{other:?}");
        }
        let differs = |n| with(Outcome::Differs(Difference::Hub), n);
        assert!(differs(1).holds((first(1), 1), now) && !differs(1).holds((first(1), 1), now + DIFFERENCE));
        assert!(!differs(1).holds((first(2), 1), now) && differs(2).holds((first(2), 1), now));
    }
}
