//! The request path of the hub. [`Exchange::handle`] reads top-down and every RPC goes through it (DESIGN §3):
//!
//! ```text
//! certificate → caller → admitted → parsed → remembered? → facts → decision → one commit (effect + event) → reply
//! ```
//!
//! A refusal at any step goes to one place, [`Exchange::refuse`], which logs it before the caller hears of it.

mod admission;
mod call;
mod checked;
pub mod facts;
mod files;
mod find;
pub mod ops;
mod perform;
mod receipt;
mod renew;
pub mod spool;
pub mod stream;
mod witnesses;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use prost::Message;
use ring::digest::{SHA256, digest};
use tokio::sync::{Notify, watch};

use crate::audit::Draft;
use crate::clock::{Clock, micros};
use crate::covenant::Covenant;
use crate::covenant::parameters::Parameters;
use crate::form::Context;
use crate::ground::{FieldViolation, Ground, Refusal};
use crate::identity::{Caller, Holder};
use crate::inspect::{BsnField, Shapes};
use crate::keys::HubKeys;
use crate::method::Admitted;
use crate::reason::Reason;
use crate::registry::Registry;
use crate::store::request::{Key, Remembered};
use crate::store::{Changes, CommitError, Committed, Reader, Seen, Store, StoreError, Tx, WorkError};
use crate::tlog::{Policy, PrivateKey};

pub use call::{Call, Progress};
pub use checked::CheckedKeys;
pub use facts::{Facts, Found, Target};
pub use receipt::Evidence;
pub use witnesses::Heard;

use perform::{Perform, Repeat};

/// A request as bytes: looked through for numbers that may not be in it, and told apart from others, so that a request id
/// is not used for two.
pub trait Incoming {
    /// As a message of the method's type.
    fn encoded(&self) -> Vec<u8>;

    /// What makes it the same request, where that is not all of `encoded`.
    fn same(&self) -> Option<Vec<u8>> {
        None
    }
}

impl<M: Message> Incoming for M {
    fn encoded(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// One RPC: how its request is read, decided and carried out.
pub trait Operation: Send + Sync + Sized + 'static {
    /// The request message.
    type Message: Incoming;
    /// The reply message.
    type Reply: Message + Default + Send + Sync + 'static;
    /// Rows that the decision or the reply needs beyond the case.
    type Rows: Default + Send + Sync + 'static;
    /// What was decided, beyond yes.
    type Plan: Send + Sync + 'static;

    /// Reads and checks the fields.
    fn parse(message: Self::Message) -> Result<Self, Refusal>;

    /// The call's context, where the method has one.
    fn context(&self) -> Option<&Context> {
        None
    }

    /// The request id of a change.
    fn request_id(&self) -> Option<&str> {
        None
    }

    /// What the call is about.
    fn target(&self) -> Target<'_> {
        Target::Nothing
    }

    /// Reads further rows, before anything is decided.
    fn gather(
        &self,
        _hub: &Exchange,
        _facts: &Facts,
        _reader: &mut Reader,
    ) -> impl Future<Output = Result<Self::Rows, StoreError>> + Send {
        async { Ok(Self::Rows::default()) }
    }

    /// What it changes that decisions rest on. The commit refuses a change that is not named here.
    fn changes(&self, _done: &Decided<Self>) -> Changes {
        Changes::Nothing
    }

    /// Asks the covenant. Pure.
    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        rows: &Self::Rows,
        admitted: Admitted,
    ) -> Result<(Ground, Self::Plan), Refusal>;

    /// Adds to the event what it is about; also for a refusal, so it may look at the request and the facts only.
    fn describe(&self, _facts: &Facts, _draft: &mut Draft) {}

    /// Carries it out inside the commit and gives the reply.
    fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> impl Future<Output = Result<Self::Reply, WorkError>> + Send;
}

/// What was known and what was decided.
pub struct Decided<O: Operation> {
    /// Facts at the moment of the decision.
    pub facts: Facts,
    /// Further rows.
    pub rows: O::Rows,
    /// The decision's plan.
    pub plan: O::Plan,
}

/// A reply and its event.
#[derive(Debug)]
pub struct Answer<T> {
    /// The reply message.
    pub reply: T,
    /// Its event.
    pub event: Evidence,
}

/// A refusal that has been logged.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Whether this caller may learn the reason.
    pub told: bool,
    /// Its event; `None` when the log itself is unavailable or too busy: then nothing more may be said.
    pub event: Option<Evidence>,
}

/// The hub's working parts, shared by every call.
pub struct Exchange {
    /// The store.
    pub store: Arc<Store>,
    /// The covenant in force.
    pub covenant: Arc<Covenant>,
    /// Keys of subject tags and pseudonyms.
    pub keys: HubKeys,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The registry's newest picture.
    pub registry: watch::Sender<Arc<Registry>>,
    /// The log's key: for checkpoints.
    pub log: Arc<PrivateKey>,
    /// Who else signs them before they are published.
    pub policy: Policy,
    /// Witnesses have not signed for longer than the covenant allows: nothing is disclosed.
    pub unwitnessed: AtomicBool,
    /// Something was erased: what the database keeps of it can go.
    pub erased: Notify,
    /// Settings of single operations.
    pub settings: Settings,
    /// Which fields of the API hold text.
    pub(crate) shapes: Shapes,
    /// Published keys that were checked before.
    pub checked: CheckedKeys,
}

/// Settings that single operations need.
pub struct Settings {
    /// Where ciphertext waits while it arrives.
    pub spool: std::path::PathBuf,
    /// SHA-256 digest of the keyholder's known answer.
    pub known_answer: [u8; 32],
    /// This node's name.
    pub node: String,
    /// Judges the certificate chains of published keys.
    pub trust: tokio::sync::watch::Sender<Arc<crate::trust::Trust>>,
    /// The demo network's movable clock.
    pub shifted: Option<Arc<crate::clock::ShiftedClock>>,
}

/// A decision on stale facts is made again, this often at most: of all that change one case at one moment, one gets
/// through each time. The cap guards against a defect that loops.
const ATTEMPTS: usize = 64;

/// Why the path ended early.
enum Stop {
    Refused {
        refusal: Refusal,
        told: bool,
    },
    /// Refused and logged.
    Logged(Refused),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Stop {
    /// A refusal for a reason that lies with the caller itself or with the form of its request: it may know.
    const fn own(refusal: Refusal) -> Self {
        Self::Refused { refusal, told: true }
    }

    /// Its own standing is the caller's to know; whether a stranger is close to somebody known is not.
    fn standing(reason: Reason) -> Self {
        Self::Refused { refusal: Refusal::denied(reason), told: is_own_standing(reason) }
    }
}

/// Reasons that a caller is told although it is not admitted.
pub(crate) const fn is_own_standing(reason: Reason) -> bool {
    matches!(reason, Reason::PartnerSuspended | Reason::PartnerWithdrawn | Reason::CertExpired)
}

impl Exchange {
    /// The whole path of one call.
    pub async fn handle<O: Operation>(
        self: &Arc<Self>,
        call: &Call,
        message: O::Message,
    ) -> Result<Answer<O::Reply>, Refused> {
        let mut draft = self.draft(call);
        match self.steps::<O>(call, message, &mut draft).await {
            Ok(answer) => Ok(answer),
            Err(Stop::Refused { refusal, told }) => {
                call.progress.begin();
                Err(self.refuse(refusal, told, draft).await)
            }
            Err(Stop::Logged(refused)) => Err(refused),
            Err(Stop::Store(error)) => Err(unavailable(&error)),
        }
    }

    /// To admit may bring a newer picture of the registry, which knows in whose name the key is: the draft is made of that one.
    async fn admit_and_draft(&self, call: &Call, draft: &mut Draft) -> Result<(Caller, Admitted), Stop> {
        let admitted = self.admit(call).await;
        *draft = self.draft(call);
        admitted
    }

    async fn steps<O: Operation>(
        self: &Arc<Self>,
        call: &Call,
        message: O::Message,
        draft: &mut Draft,
    ) -> Result<Answer<O::Reply>, Stop> {
        let (caller, admitted) = self.admit_and_draft(call, draft).await?;
        let encoded = message.encoded();
        self.look_for_bsn(call, &encoded)?;
        let body_hash = digest(&SHA256, &message.same().unwrap_or(encoded));
        let operation = Arc::new(O::parse(message).map_err(Stop::own)?);
        name_caller(&caller, operation.context(), draft);
        // A repeat of a change is rare: the commit finds it, and only then is the first reply looked up.
        let mut again = None;
        for _ in 0..ATTEMPTS {
            let facts = self.recall(call, operation.target()).await?;
            let mut draft_now = draft.clone();
            facts.describe(&mut draft_now);
            operation.describe(&facts, &mut draft_now);
            if let Some(again) = again.take().filter(|_| facts.may_repeat(self)) {
                self.may_disclose(call)?;
                call.progress.begin();
                match self.repeat(again, admitted, draft_now, &facts).await? {
                    Some(answer) => return Ok(answer),
                    None => continue,
                }
            }
            let rows = operation.gather(self, &facts, &mut self.store.reader()).await?;
            let (ground, plan) = match operation.decide(self, &facts, &rows, admitted) {
                Ok(decision) => decision,
                Err(refusal) => {
                    // The same request may have been carried out already.
                    again = self.remembered(&*operation, call, &caller, body_hash.as_ref()).await?;
                    if again.is_none() || !facts.may_repeat(self) {
                        call.progress.begin();
                        self.deny(refusal, &facts, draft_now).await?;
                    }
                    continue;
                }
            };
            self.may_disclose(call)?;
            let decided = Decided { facts, rows, plan };
            let changes = operation.changes(&decided);
            let seen = Seen {
                changes: changes.clone(),
                request: operation.request_id().map(|id| self.request_key(&caller, id)),
                ..decided.facts.seen()
            };
            call.progress.begin();
            let (hub, again_of, body_hash_now) =
                (Arc::clone(self), Arc::clone(&operation), body_hash.as_ref().to_vec());
            let (operation, draft) = (Arc::clone(&operation), Draft { consents: ground.consents(), ..draft_now });
            let work = Perform { hub, operation, decided, draft, body_hash: body_hash_now, seen: seen.clone() };
            match self.store.run_tx(ground, work).await {
                Ok(committed) => {
                    if changes == Changes::Registry {
                        self.show_registry().await;
                    }
                    return Ok(Answer { event: self.evidence(&committed), reply: committed.output });
                }
                Err(CommitError::Stale) => self.renew(&seen).await?,
                Err(CommitError::Repeated) => {
                    again = self.remembered(&*again_of, call, &caller, body_hash.as_ref()).await?;
                }
                Err(CommitError::Refused(refusal)) => return Err(Stop::own(refusal)),
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(Stop::Store(StoreError::Busy))
    }

    /// Logs a refusal of the covenant's and ends the path with it; unless what it rests on has changed: no refusal rests on
    /// an old picture either.
    async fn deny(&self, refusal: Refusal, facts: &Facts, draft: Draft) -> Result<(), Stop> {
        match self.store.refuse(&refusal, draft, facts.seen()).await {
            Ok(committed) => Err(Stop::Logged(self.logged(refusal, facts.may_know(self), &committed))),
            Err(CommitError::Stale) => Ok(self.renew(&facts.seen()).await?),
            Err(CommitError::Store(error)) => Err(error.into()),
            Err(CommitError::Repeated | CommitError::Refused(_)) => Err(StoreError::Inconsistent("audit_event").into()),
        }
    }

    /// No text of any request may hold what reads as a BSN: every field that the API describes is looked at, also those that
    /// an operation does not read (guarantee G3).
    fn look_for_bsn(&self, call: &Call, encoded: &[u8]) -> Result<(), Stop> {
        let look = self.shapes.look(call.method.name, encoded, BsnField::Refused);
        let dirty = look.map_err(|_| Stop::own(Refusal::malformed("", "a message of the documented type")))?.dirty;
        if dirty.is_empty() {
            return Ok(());
        }
        let expected = "no number that passes the elfproef of a BSN: an agent turns a BSN into a pseudonym";
        let fields =
            dirty.into_iter().take(32).map(|field| FieldViolation { field, expected: expected.into() }).collect();
        Err(Stop::own(Refusal::fields(Reason::BsnInText, fields)))
    }

    /// What is known of a call before anything else is.
    pub(crate) fn draft(&self, call: &Call) -> Draft {
        // Of a supplier's key the partner's name, also where the call is refused.
        let registry = self.registry.borrow();
        let known = registry.registrations.registered(&call.certificate);
        let shown = call.certificate.oin().map(ToString::to_string).unwrap_or_default();
        let via = known.and_then(|known| known.via.as_ref()).map(|via| via.oin.to_string());
        Draft {
            method: call.method.name,
            action: Some(call.method.action),
            organisation: known.map_or(shown, |known| known.oin.to_string()),
            via: via.unwrap_or_default(),
            key_hash: call.certificate.key_hash().to_string(),
            trace_id: call.trace_id.clone(),
            ..Draft::default()
        }
    }

    /// Whether a caller may go on to send a body: the first three steps, before anything is kept for it.
    pub async fn precheck(&self, call: &Call) -> Result<(), Refused> {
        match self.admit(call).await {
            Ok(_) => Ok(()),
            Err(Stop::Refused { refusal, told }) => {
                call.progress.begin();
                Err(self.refuse(refusal, told, self.draft(call)).await)
            }
            Err(Stop::Logged(refused)) => Err(refused),
            Err(Stop::Store(error)) => Err(unavailable(&error)),
        }
    }

    async fn remembered<O: Operation>(
        &self,
        operation: &O,
        call: &Call,
        caller: &Caller,
        body_hash: &[u8],
    ) -> Result<Option<Remembered>, Stop> {
        let Some(request_id) = operation.request_id() else { return Ok(None) };
        let mut reader = self.store.read().await?;
        let found = crate::store::request::find(&mut reader, &self.request_key(caller, request_id)).await?;
        match found {
            Some(found) if found.method != call.method.name || found.body_hash != body_hash => {
                Err(Stop::own(Refusal::malformed("request_id", "an id not used before with another request")))
            }
            found => Ok(found),
        }
    }

    /// A repeat releases the remembered reply once more: that is an event of its own, and no effect. None: the facts have
    /// changed meanwhile.
    async fn repeat<R: Message + Default + Send + 'static>(
        self: &Arc<Self>,
        again: Remembered,
        admitted: Admitted,
        draft: Draft,
        facts: &Facts,
    ) -> Result<Option<Answer<R>>, Stop> {
        let reply = R::decode(&*again.reply).map_err(|_| StoreError::Inconsistent("request"))?;
        let work = Repeat { draft, seen: facts.seen() };
        match self.store.run_tx(admitted.office(), work).await {
            Ok(committed) => Ok(Some(Answer { reply, event: self.evidence(&committed) })),
            Err(CommitError::Store(error)) => Err(error.into()),
            Err(CommitError::Stale | CommitError::Repeated | CommitError::Refused(_)) => {
                self.renew(&facts.seen()).await?;
                Ok(None)
            }
        }
    }

    /// Logs a refusal, then lets it go. If it can't be logged, nothing is said.
    pub async fn refuse(&self, refusal: Refusal, told: bool, draft: Draft) -> Refused {
        match self.store.refuse(&refusal, draft, Seen::default()).await {
            Ok(committed) => self.logged(refusal, told, &committed),
            Err(CommitError::Store(error)) => unavailable(&error),
            // It rests on nothing that could have changed.
            Err(_) => unavailable(&StoreError::Inconsistent("audit_event")),
        }
    }

    fn logged(&self, refusal: Refusal, told: bool, committed: &Committed<()>) -> Refused {
        tracing::info!(reason = refusal.reason.code(), event = committed.event_id, "refused");
        Refused { refusal, told, event: Some(self.evidence(committed)) }
    }

    /// A request id of the caller's, and since when replies are remembered.
    fn request_key(&self, caller: &Caller, request_id: &str) -> Key {
        let kept = time::Duration::hours(i64::from(self.terms().terms.request_id_hours));
        Key { oin: caller.oin().to_string(), request_id: request_id.to_owned(), since: micros(self.clock.now() - kept) }
    }

    /// Terms, limits and calendar of the covenant in force.
    pub fn terms(&self) -> &Parameters {
        self.covenant.parameters()
    }
}

/// Number of the article of the emergency act.
const EMERGENCY: u8 = 30;

/// Who calls and why. A personal certificate says who it is: whatever reference the request names, the log names the registered
/// one.
fn name_caller(caller: &Caller, context: Option<&Context>, draft: &mut Draft) {
    if let Some(context) = context {
        draft.user_ref.clone_from(&context.user_ref);
        draft.role = Some(context.role);
        draft.purpose.clone_from(&context.purpose);
        draft.article = Some(context.article);
        draft.emergency = context.article.number() == EMERGENCY;
        draft.motivation.clone_from(&context.reason);
    }
    if let Holder::Person { person, .. } = caller.holder() {
        person.as_str().clone_into(&mut draft.user_ref);
    }
}

fn unavailable(error: &StoreError) -> Refused {
    let refusal = match error {
        // A line for every caller in the crowd would only add to it.
        StoreError::Busy => return Refused { refusal: Refusal::exhausted(), told: true, event: None },
        StoreError::Lost => Refusal::lost(),
        _ => Refusal::denied(Reason::LogUnavailable),
    };
    tracing::error!(error = %crate::telemetry::Chain(error), "store unavailable");
    Refused { refusal, told: true, event: None }
}
