//! Changes that take two operators: one asks, another confirms. What cuts somebody off, or makes an operator, is nobody's alone.

mod confirm;

use prost::Message;
use time::Duration;

use super::super::{Decided, Exchange, Facts, Operation};
use crate::api::v1;
use crate::api::v1::confirm_change_response::Changed;
use crate::audit::Draft;
use crate::clock::{from_micros, micros};
use crate::ground::{Ground, Refusal};
use crate::identity::{Caller, Holder};
use crate::method::Admitted;
use crate::party::Oin;
use crate::registry::Registry;
use crate::store::pending::{self, PendingRow};
use crate::store::succession::{OpenCases, open_cases};
use crate::store::{Changes, Reader, StoreError, Tx, WorkError};
use crate::wire::timestamp;

pub use confirm::{CancelChange, ConfirmChange, ListPendingChanges};

/// How long a change waits.
const WAITS: Duration = Duration::hours(24);

/// A change of the registry that takes two operators where there are two: [`Propose`] asks for it, [`ConfirmChange`] reads
/// and judges it again.
pub trait Proposal: Send + Sync + Sized + 'static {
    /// Full name of the RPC that asks for it.
    const METHOD: &str;
    /// The request message.
    type Message: Message + Default + 'static;
    /// What the registry says afterwards.
    type Reply: Message + Default + Into<Changed> + Send + Sync + 'static;
    /// The change, found good.
    type Judged: Send + Sync + 'static;

    /// Reads and checks the fields.
    fn parse(message: Self::Message) -> Result<Self, Refusal>;

    /// The request id.
    fn request_id(&self) -> &str;

    /// Who leaves by it, or left before it, if somebody does: what is open of that one is counted.
    fn leaves(&self) -> Option<&Oin> {
        None
    }

    /// Whether one operator is not enough.
    fn takes_two(&self, _registry: &Registry) -> bool {
        true
    }

    /// Whom the event is about, and why.
    fn name(&self, facts: &Facts, draft: &mut Draft);

    /// What it changes, judged by the facts of now. Pure.
    fn judge(&self, hub: &Exchange, facts: &Facts, open: OpenCases) -> Result<Self::Judged, Refusal>;

    /// What it is about. Once another change of that is carried out, this one is not confirmed any more: whoever confirms it is
    /// to see what its asker saw.
    fn about(&self) -> Vec<String> {
        Vec::new()
    }

    /// What waits about this is too late once it is carried out.
    fn overtakes(&self) -> Vec<String> {
        self.about()
    }

    /// For whoever is to confirm it.
    fn summary(&self) -> String;

    /// And what follows from it, as things stand now.
    fn more(&self, _hub: &Exchange, _facts: &Facts, _open: OpenCases) -> String {
        String::new()
    }

    /// What of that belongs into the log.
    fn undoes(&self, _facts: &Facts) -> String {
        String::new()
    }

    /// Carries it out.
    fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        judged: &Self::Judged,
        facts: &Facts,
        open: OpenCases,
    ) -> impl Future<Output = Result<Self::Reply, WorkError>> + Send;

    /// The reply while it waits: what the registry says still.
    fn asked(&self, facts: &Facts, open: OpenCases, pending: v1::PendingChange) -> Result<Self::Reply, StoreError>;
}

/// What becomes of a change that was found good.
pub enum Step<P> {
    /// It is carried out.
    Now(P),
    /// It waits for a second operator.
    Asked(PendingRow),
}

/// The operation of every [`Proposal`].
pub struct Propose<P> {
    change: P,
    request: Vec<u8>,
}

impl<P: Proposal> Operation for Propose<P> {
    type Message = P::Message;
    type Reply = P::Reply;
    type Rows = OpenCases;
    type Plan = Step<P::Judged>;

    fn parse(message: P::Message) -> Result<Self, Refusal> {
        let request = message.encode_to_vec();
        P::parse(message).map(|change| Self { change, request })
    }

    fn changes(&self, done: &Decided<Self>) -> Changes {
        match done.plan {
            Step::Now(_) => Changes::Registry,
            Step::Asked(_) => Changes::Nothing,
        }
    }

    fn request_id(&self) -> Option<&str> {
        Some(self.change.request_id())
    }

    fn describe(&self, facts: &Facts, draft: &mut Draft) {
        self.change.name(facts, draft);
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<OpenCases, StoreError> {
        open(self.change.leaves(), facts, reader).await
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        open: &OpenCases,
        admitted: Admitted,
    ) -> Result<(Ground, Step<P::Judged>), Refusal> {
        let judged = self.change.judge(hub, facts, *open)?;
        let takes_two = facts.registry.takes_two() && self.change.takes_two(&facts.registry);
        let step = if takes_two { Step::Asked(self.pending(facts)?) } else { Step::Now(judged) };
        Ok((admitted.office(), step))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<P::Reply, WorkError> {
        let (facts, open) = (&done.facts, done.rows);
        draft.motivation += &self.change.undoes(facts);
        match &done.plan {
            Step::Now(judged) => carry_out(&self.change, tx, judged, facts, open).await,
            Step::Asked(row) => {
                pending::add(tx, row).await?;
                let summary = self.change.summary() + &self.change.more(hub, facts, open);
                Ok(self.change.asked(facts, open, pending_change(row, summary))?)
            }
        }
    }
}

impl<P: Proposal> Propose<P> {
    fn pending(&self, facts: &Facts) -> Result<PendingRow, Refusal> {
        let person = person(&facts.caller).ok_or_else(|| Refusal::precondition("a person with a certificate asks"))?;
        Ok(PendingRow {
            change_id: uuid::Uuid::new_v4().to_string(),
            method: P::METHOD.to_owned(),
            request: self.request.clone(),
            oin: facts.caller.oin().to_string(),
            person_ref: person.to_owned(),
            about: pending::about(&self.change.about()),
            superseded_at: None,
            asked_at: micros(facts.now),
            ends_at: micros(facts.now + WAITS),
        })
    }
}

/// Carries a change out; what else waits about the same is too late.
async fn carry_out<P: Proposal>(
    change: &P,
    tx: &mut Tx<'_>,
    judged: &P::Judged,
    facts: &Facts,
    open: OpenCases,
) -> Result<P::Reply, WorkError> {
    for about in change.overtakes() {
        pending::supersede(tx, &about, micros(facts.now)).await?;
    }
    change.carry_out(tx, judged, facts, open).await
}

fn person(caller: &Caller) -> Option<&str> {
    match caller.holder() {
        Holder::Person { person, .. } => Some(person.as_str()),
        Holder::Organisation => None,
    }
}

/// What is open of who leaves, if somebody does.
async fn open(leaves: Option<&Oin>, facts: &Facts, reader: &mut Reader) -> Result<OpenCases, StoreError> {
    match leaves {
        Some(oin) => {
            let left = facts.registry.get(oin).and_then(|entry| entry.left(facts.now));
            open_cases(reader, oin.as_str(), left.map(micros), micros(facts.now)).await
        }
        None => Ok(OpenCases::default()),
    }
}

/// A change that waits, for the wire.
fn pending_change(row: &PendingRow, summary: String) -> v1::PendingChange {
    v1::PendingChange {
        name: format!("changes/{}", row.change_id),
        method: row.method.clone(),
        summary,
        oin: row.oin.clone(),
        person_ref: row.person_ref.clone(),
        create_time: Some(timestamp(from_micros(row.asked_at))),
        expire_time: Some(timestamp(from_micros(row.ends_at))),
        obstacle: String::new(),
    }
}
