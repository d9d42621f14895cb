//! Changes that take two operators: one asks, another confirms. What cuts somebody off, or makes an operator, is nobody's alone.

use prost::Message as _;
use time::{Duration, OffsetDateTime};

use super::super::{Decided, Exchange, Facts, Operation};
use super::certificates::{Entered, RegisterCertificate};
use super::registry::SetPartnerStatus;
use crate::api::v1;
use crate::api::v1::confirm_change_response::Changed;
use crate::audit::Draft;
use crate::clock::{from_micros, micros};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::{Caller, Holder};
use crate::method::Admitted;
use crate::registry::Entry;
use crate::store::pending::{self, PendingRow};
use crate::store::{Changes, Reader, StoreError, Tx, WorkError};
use crate::wire::timestamp;

/// How long a change waits.
const WAITS: Duration = Duration::hours(24);

/// What becomes of a change that was found good.
pub enum Step<P> {
    /// It is carried out.
    Now(P),
    /// It waits for a second operator.
    Asked(PendingRow),
}

impl<P> Step<P> {
    /// Now, or later if it `takes_two`.
    pub(super) fn of(facts: &Facts, takes_two: bool, method: &str, request: &[u8], plan: P) -> Result<Self, Refusal> {
        if !takes_two {
            return Ok(Self::Now(plan));
        }
        let person = person(&facts.caller).ok_or_else(|| Refusal::precondition("a person with a certificate asks"))?;
        Ok(Self::Asked(PendingRow {
            change_id: uuid::Uuid::new_v4().to_string(),
            method: method.to_owned(),
            request: request.to_vec(),
            oin: facts.caller.oin().to_string(),
            person_ref: person.to_owned(),
            asked_at: micros(facts.now),
            ends_at: micros(facts.now + WAITS),
        }))
    }

    pub(super) const fn changes(&self) -> Changes {
        match self {
            Self::Now(_) => Changes::Registry,
            Self::Asked(_) => Changes::Nothing,
        }
    }
}

fn person(caller: &Caller) -> Option<&str> {
    match caller.holder() {
        Holder::Person { person, .. } => Some(person.as_str()),
        Holder::Organisation => None,
    }
}

/// A change that waits, for the wire.
pub(super) fn pending_change(row: &PendingRow) -> v1::PendingChange {
    v1::PendingChange {
        name: format!("changes/{}", row.change_id),
        method: row.method.clone(),
        summary: Change::read(row).map(|change| change.summary()).unwrap_or_default(),
        oin: row.oin.clone(),
        person_ref: row.person_ref.clone(),
        create_time: Some(timestamp(from_micros(row.asked_at))),
        expire_time: Some(timestamp(from_micros(row.ends_at))),
    }
}

/// What was asked for, read again.
enum Change {
    Status(SetPartnerStatus),
    Certificate(Box<RegisterCertificate>),
}

impl Change {
    fn read(row: &PendingRow) -> Option<Self> {
        match row.method.as_str() {
            SetPartnerStatus::METHOD => {
                let message = v1::SetPartnerStatusRequest::decode(&*row.request).ok()?;
                SetPartnerStatus::parse(message).ok().map(Self::Status)
            }
            RegisterCertificate::METHOD => {
                let message = v1::RegisterCertificateRequest::decode(&*row.request).ok()?;
                RegisterCertificate::parse(message).ok().map(Box::new).map(Self::Certificate)
            }
            _ => None,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Status(change) => change.summary(),
            Self::Certificate(change) => change.summary(),
        }
    }

    fn name(&self, draft: &mut Draft) {
        match self {
            Self::Status(change) => change.name(draft),
            Self::Certificate(change) => change.name(draft),
        }
    }
}

/// A change that was judged anew.
enum Judged {
    Status(SetPartnerStatus, Box<Entry>),
    Certificate(Box<RegisterCertificate>, Box<Entered>),
}

/// `Registry.ConfirmChange`.
pub struct ConfirmChange {
    request_id: String,
    change_id: String,
}

/// Of [`ConfirmChange`].
pub struct Confirmed(Judged);

impl Operation for ConfirmChange {
    type Message = v1::ConfirmChangeRequest;
    type Reply = v1::ConfirmChangeResponse;
    type Rows = Vec<PendingRow>;
    type Plan = Confirmed;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let change_id = fields.named("name", "changes", &message.name);
        fields.done((|| Some(Self { request_id: request_id?, change_id: change_id? }))())
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Registry
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn gather(&self, _: &Exchange, _: &Facts, reader: &mut Reader) -> Result<Vec<PendingRow>, StoreError> {
        pending::all(reader).await
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        rows: &Vec<PendingRow>,
        admitted: Admitted,
    ) -> Result<(Ground, Confirmed), Refusal> {
        let row = waiting(rows, &self.change_id, facts.now)?;
        if person(&facts.caller) == Some(&row.person_ref) && facts.caller.oin().as_str() == row.oin {
            return Err(Refusal::precondition("another operator confirms: a second person, with an own key"));
        }
        let judged = match Change::read(row).ok_or_else(Refusal::not_found)? {
            Change::Status(change) => {
                let entry = change.judge(facts)?;
                Judged::Status(change, Box::new(entry))
            }
            Change::Certificate(change) => {
                let entered = change.judge(facts)?;
                Judged::Certificate(change, Box::new(entered))
            }
        };
        Ok((admitted.office(), Confirmed(judged)))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::ConfirmChangeResponse, WorkError> {
        if !pending::take(tx, &self.change_id).await? {
            return Err(WorkError::Refused(Refusal::not_found()));
        }
        let changed = match &done.plan.0 {
            Judged::Status(change, entry) => {
                change.name(draft);
                Changed::Partner(change.carry_out(tx, entry, done.facts.now).await?)
            }
            Judged::Certificate(change, entered) => {
                change.name(draft);
                Changed::Certificate(change.carry_out(tx, entered, done.facts.now).await?)
            }
        };
        Ok(v1::ConfirmChangeResponse { changed: Some(changed) })
    }
}

/// The change with this id, if it waits still.
fn waiting<'r>(rows: &'r [PendingRow], id: &str, now: OffsetDateTime) -> Result<&'r PendingRow, Refusal> {
    rows.iter().find(|row| row.change_id == id && micros(now) < row.ends_at).ok_or_else(Refusal::not_found)
}

/// `Registry.CancelChange`.
pub struct CancelChange {
    request_id: String,
    change_id: String,
}

impl Operation for CancelChange {
    type Message = v1::CancelChangeRequest;
    type Reply = v1::PendingChange;
    type Rows = Vec<PendingRow>;
    type Plan = v1::PendingChange;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let change_id = fields.named("name", "changes", &message.name);
        fields.done((|| Some(Self { request_id: request_id?, change_id: change_id? }))())
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn gather(&self, _: &Exchange, _: &Facts, reader: &mut Reader) -> Result<Vec<PendingRow>, StoreError> {
        pending::all(reader).await
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        rows: &Vec<PendingRow>,
        admitted: Admitted,
    ) -> Result<(Ground, v1::PendingChange), Refusal> {
        let row = waiting(rows, &self.change_id, facts.now)?;
        Ok((admitted.office(), pending_change(row)))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::PendingChange, WorkError> {
        if !pending::take(tx, &self.change_id).await? {
            return Err(WorkError::Refused(Refusal::not_found()));
        }
        if let Some(change) = waiting(&done.rows, &self.change_id, done.facts.now).ok().and_then(Change::read) {
            change.name(draft);
        }
        draft.motivation = format!("not carried out: {}", done.plan.method);
        Ok(done.plan.clone())
    }
}

/// `Registry.ListPendingChanges`.
pub struct ListPendingChanges;

impl Operation for ListPendingChanges {
    type Message = v1::ListPendingChangesRequest;
    type Reply = v1::ListPendingChangesResponse;
    type Rows = Vec<PendingRow>;
    type Plan = ();

    fn parse(_: Self::Message) -> Result<Self, Refusal> {
        Ok(Self)
    }

    async fn gather(&self, _: &Exchange, _: &Facts, reader: &mut Reader) -> Result<Vec<PendingRow>, StoreError> {
        pending::all(reader).await
    }

    fn decide(
        &self,
        _: &Exchange,
        _: &Facts,
        _: &Vec<PendingRow>,
        admitted: Admitted,
    ) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::ListPendingChangesResponse, WorkError> {
        let now = micros(done.facts.now);
        let changes = done.rows.iter().filter(|row| now < row.ends_at).map(pending_change).collect();
        Ok(v1::ListPendingChangesResponse { changes })
    }
}
