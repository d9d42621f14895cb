//! Changes that take two operators: one asks, another confirms. What cuts somebody off, or makes an operator, is nobody's alone.

use prost::Message as _;
use time::{Duration, OffsetDateTime};

use super::super::{Decided, Exchange, Facts, Operation};
use super::certificates::{Entered, RegisterCertificate};
use super::mandates::{self, RegisterMandate};
use super::membership::SetPartnerStatus;
use super::registry::RegisterPartner;
use super::succession::SucceedPartner;
use crate::api::v1;
use crate::api::v1::confirm_change_response::Changed;
use crate::audit::Draft;
use crate::clock::{from_micros, micros};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::{Caller, Holder};
use crate::method::Admitted;
use crate::party::Oin;
use crate::registry::{Entry, OPERATOR, Registry, state};
use crate::store::certificates::CertificateRow;
use crate::store::pending::{self, PendingRow};
use crate::store::succession::{OpenCases, open_cases};
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
        obstacle: String::new(),
    }
}

/// Why what somebody asked for is not confirmed any more: a second pair of eyes is worth nothing where the first may have been a
/// thief's.
fn obstacle(registry: &Registry, row: &PendingRow, now: OffsetDateTime) -> Option<&'static str> {
    let entry = row.oin.parse().ok().and_then(|oin| registry.get(&oin));
    if !entry.is_some_and(|entry| entry.takes_part(now)) {
        return Some("the organisation of the operator that asked does not take part: it can only be taken back");
    }
    let own = |key: &&CertificateRow| {
        (key.oin.as_str(), key.person_ref.as_str(), key.holder.as_str()) == (&row.oin, &row.person_ref, OPERATOR)
    };
    let mut keys = registry.certificates.values().filter(own);
    if keys.clone().any(|key| key.revoked_at.is_some_and(|at| at >= row.asked_at)) {
        return Some("a key of the operator that asked was revoked since: it can only be taken back");
    }
    if keys.any(|key| state(key).holds(now)) {
        None
    } else {
        Some("whoever asked is an operator no more: it can only be taken back")
    }
}

/// What was asked for, read again.
enum Change {
    Partner(RegisterPartner),
    Status(SetPartnerStatus),
    Succession(SucceedPartner),
    Certificate(Box<RegisterCertificate>),
    Mandate(Box<RegisterMandate>),
}

impl Change {
    fn read(row: &PendingRow) -> Option<Self> {
        match row.method.as_str() {
            RegisterPartner::METHOD => {
                let message = v1::RegisterPartnerRequest::decode(&*row.request).ok()?;
                RegisterPartner::parse(message).ok().map(Self::Partner)
            }
            SetPartnerStatus::METHOD => {
                let message = v1::SetPartnerStatusRequest::decode(&*row.request).ok()?;
                SetPartnerStatus::parse(message).ok().map(Self::Status)
            }
            SucceedPartner::METHOD => {
                let message = v1::SucceedPartnerRequest::decode(&*row.request).ok()?;
                SucceedPartner::parse(message).ok().map(Self::Succession)
            }
            RegisterCertificate::METHOD => {
                let message = v1::RegisterCertificateRequest::decode(&*row.request).ok()?;
                RegisterCertificate::parse(message).ok().map(Box::new).map(Self::Certificate)
            }
            RegisterMandate::METHOD => {
                let message = v1::RegisterMandateRequest::decode(&*row.request).ok()?;
                RegisterMandate::parse(message).ok().map(Box::new).map(Self::Mandate)
            }
            _ => None,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Partner(change) => change.summary(),
            Self::Status(change) => change.summary(),
            Self::Succession(change) => change.summary(),
            Self::Certificate(change) => change.summary(),
            Self::Mandate(change) => change.summary(),
        }
    }

    fn name(&self, draft: &mut Draft) {
        match self {
            Self::Partner(change) => change.name(draft),
            Self::Status(change) => change.name(draft),
            Self::Succession(change) => change.name(draft),
            Self::Certificate(change) => change.name(draft),
            Self::Mandate(change) => change.name(draft),
        }
    }
}

impl Change {
    /// Who leaves by it, if somebody does.
    const fn leaves(&self) -> Option<&Oin> {
        match self {
            Self::Status(change) => Some(change.oin()),
            Self::Succession(change) => Some(change.oin()),
            Self::Partner(_) | Self::Certificate(_) | Self::Mandate(_) => None,
        }
    }
}

/// Changes that wait, each with what is open of who leaves by it.
async fn read_waiting(facts: &Facts, reader: &mut Reader) -> Result<Vec<Waiting>, StoreError> {
    let mut waiting = Vec::new();
    for row in pending::all(reader).await? {
        let open = match Change::read(&row).as_ref().and_then(Change::leaves) {
            Some(oin) => open_cases(reader, oin.as_str(), micros(facts.now)).await?,
            None => OpenCases::default(),
        };
        waiting.push((row, open));
    }
    Ok(waiting)
}

type Waiting = (PendingRow, OpenCases);

/// A change that was judged anew.
enum Judged {
    Partner(RegisterPartner, Box<Entry>),
    Status(SetPartnerStatus, Box<Entry>),
    Succession(SucceedPartner, Box<Entry>),
    Certificate(Box<RegisterCertificate>, Box<Entered>),
    Mandate(Box<RegisterMandate>, Box<mandates::Entered>),
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
    type Rows = Vec<Waiting>;
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

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Vec<Waiting>, StoreError> {
        read_waiting(facts, reader).await
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        rows: &Vec<Waiting>,
        admitted: Admitted,
    ) -> Result<(Ground, Confirmed), Refusal> {
        let (row, open) = waiting(rows, &self.change_id, facts.now)?;
        if person(&facts.caller) == Some(&row.person_ref) && facts.caller.oin().as_str() == row.oin {
            return Err(Refusal::precondition("another operator confirms: a second person, with an own key"));
        }
        if let Some(why) = obstacle(&facts.registry, row, facts.now) {
            return Err(Refusal::precondition(why));
        }
        let judged = match Change::read(row).ok_or_else(Refusal::not_found)? {
            Change::Partner(change) => {
                let entry = change.judge(facts)?;
                Judged::Partner(change, Box::new(entry))
            }
            Change::Status(change) => {
                let entry = change.judge(facts, *open)?;
                Judged::Status(change, Box::new(entry))
            }
            Change::Succession(change) => {
                let entry = change.judge(hub, facts)?;
                Judged::Succession(change, Box::new(entry))
            }
            Change::Certificate(change) => {
                let entered = change.judge(facts)?;
                Judged::Certificate(change, Box::new(entered))
            }
            Change::Mandate(change) => {
                let entered = change.judge(hub, facts)?;
                Judged::Mandate(change, Box::new(entered))
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
            Judged::Partner(change, entry) => {
                change.name(draft);
                Changed::Partner(change.carry_out(tx, entry).await?)
            }
            Judged::Status(change, entry) => {
                change.name(draft);
                draft.motivation += &change.takes_back(&done.facts);
                Changed::Partner(change.carry_out(tx, entry, done.facts.now).await?)
            }
            Judged::Succession(change, entry) => {
                change.name(draft);
                Changed::Partner(change.carry_out(tx, entry).await?)
            }
            Judged::Certificate(change, entered) => {
                change.name(draft);
                Changed::Certificate(change.carry_out(tx, entered, done.facts.now).await?)
            }
            Judged::Mandate(change, entered) => {
                change.name(draft);
                Changed::Mandate(change.carry_out(tx, entered, &done.facts).await?)
            }
        };
        Ok(v1::ConfirmChangeResponse { changed: Some(changed) })
    }
}

/// The change with this id, if it waits still.
fn waiting<'r>(rows: &'r [Waiting], id: &str, now: OffsetDateTime) -> Result<&'r Waiting, Refusal> {
    rows.iter().find(|(row, _)| row.change_id == id && micros(now) < row.ends_at).ok_or_else(Refusal::not_found)
}

/// `Registry.CancelChange`.
pub struct CancelChange {
    request_id: String,
    change_id: String,
}

impl Operation for CancelChange {
    type Message = v1::CancelChangeRequest;
    type Reply = v1::PendingChange;
    type Rows = Vec<Waiting>;
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

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Vec<Waiting>, StoreError> {
        read_waiting(facts, reader).await
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        rows: &Vec<Waiting>,
        admitted: Admitted,
    ) -> Result<(Ground, v1::PendingChange), Refusal> {
        let (row, _) = waiting(rows, &self.change_id, facts.now)?;
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
        if let Some(change) =
            waiting(&done.rows, &self.change_id, done.facts.now).ok().and_then(|(row, _)| Change::read(row))
        {
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
    type Rows = Vec<Waiting>;
    type Plan = ();

    fn parse(_: Self::Message) -> Result<Self, Refusal> {
        Ok(Self)
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Vec<Waiting>, StoreError> {
        read_waiting(facts, reader).await
    }

    fn decide(&self, _: &Exchange, _: &Facts, _: &Vec<Waiting>, admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::ListPendingChangesResponse, WorkError> {
        let now = micros(done.facts.now);
        let waiting = done.rows.iter().filter(|(row, _)| now < row.ends_at);
        let changes = waiting.map(|(row, open)| shown(hub, &done.facts, row, *open)).collect();
        Ok(v1::ListPendingChangesResponse { changes })
    }
}

/// A change that waits, with what follows from it as things stand now, and what stands in its way.
fn shown(hub: &Exchange, facts: &Facts, row: &PendingRow, open: OpenCases) -> v1::PendingChange {
    let more = match Change::read(row) {
        Some(Change::Status(change)) => change.more(hub, facts, open),
        Some(Change::Succession(change)) => change.more(facts, open),
        Some(Change::Partner(_) | Change::Certificate(_) | Change::Mandate(_)) | None => String::new(),
    };
    let mut change = pending_change(row);
    change.summary += &more;
    change.obstacle = obstacle(&facts.registry, row, facts.now).unwrap_or_default().to_owned();
    change
}

#[cfg(test)]
mod tests;
