//! The second operator: what waits, confirming it, taking it back.

use std::pin::Pin;

use prost::Message;
use time::OffsetDateTime;

use super::super::super::{Decided, Exchange, Facts, Operation};
use super::super::certificates::RegisterCertificate;
use super::super::mandates::RegisterMandate;
use super::super::membership::SetPartnerStatus;
use super::super::registry::RegisterPartner;
use super::super::revocation::RevokeCertificate;
use super::super::succession::SucceedPartner;
use super::{Proposal, carry_out, open, pending_change, person};
use crate::api::v1;
use crate::api::v1::confirm_change_response::Changed;
use crate::audit::Draft;
use crate::clock::micros;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::Oin;
use crate::registry::{OPERATOR, Registry, state};
use crate::store::certificates::CertificateRow;
use crate::store::pending::{self, PendingRow};
use crate::store::succession::OpenCases;
use crate::store::{Changes, Reader, StoreError, Tx, WorkError};

impl From<v1::Partner> for Changed {
    fn from(partner: v1::Partner) -> Self {
        Self::Partner(partner)
    }
}

impl From<v1::RegisteredCertificate> for Changed {
    fn from(certificate: v1::RegisteredCertificate) -> Self {
        Self::Certificate(certificate)
    }
}

impl From<v1::RegisteredMandate> for Changed {
    fn from(mandate: v1::RegisteredMandate) -> Self {
        Self::Mandate(mandate)
    }
}

/// A change of any kind, read again.
type Change = Box<dyn Waits>;

/// How the request of a method is read.
type Read = fn(&[u8]) -> Option<Change>;

fn read(row: &PendingRow) -> Option<Change> {
    const READERS: [(&str, Read); 6] = [
        of::<RegisterPartner>(),
        of::<SetPartnerStatus>(),
        of::<SucceedPartner>(),
        of::<RegisterCertificate>(),
        of::<RevokeCertificate>(),
        of::<RegisterMandate>(),
    ];
    let (_, read) = READERS.iter().find(|(method, _)| *method == row.method)?;
    read(&row.request)
}

const fn of<P: Proposal>() -> (&'static str, Read) {
    (P::METHOD, |request| {
        let change = P::parse(P::Message::decode(request).ok()?).ok()?;
        Some(Box::new(change))
    })
}

/// A [`Proposal`] of any kind.
trait Waits: Send + Sync {
    fn leaves(&self) -> Option<&Oin>;
    fn name(&self, facts: &Facts, draft: &mut Draft);
    fn summary(&self) -> String;
    fn more(&self, hub: &Exchange, facts: &Facts, open: OpenCases) -> String;
    fn judge(self: Box<Self>, hub: &Exchange, facts: &Facts, open: OpenCases) -> Result<Box<dyn Judged>, Refusal>;
}

impl<P: Proposal> Waits for P {
    fn leaves(&self) -> Option<&Oin> {
        Proposal::leaves(self)
    }

    fn name(&self, facts: &Facts, draft: &mut Draft) {
        Proposal::name(self, facts, draft);
    }

    fn summary(&self) -> String {
        Proposal::summary(self)
    }

    fn more(&self, hub: &Exchange, facts: &Facts, open: OpenCases) -> String {
        Proposal::more(self, hub, facts, open)
    }

    fn judge(self: Box<Self>, hub: &Exchange, facts: &Facts, open: OpenCases) -> Result<Box<dyn Judged>, Refusal> {
        let judged = Proposal::judge(&*self, hub, facts, open)?;
        Ok(Box::new(Good { change: *self, judged }))
    }
}

type Done<'a> = Pin<Box<dyn Future<Output = Result<Changed, WorkError>> + Send + 'a>>;

/// A change of any kind that was judged anew.
trait Judged: Send + Sync {
    fn carry_out<'a>(&'a self, tx: &'a mut Tx<'_>, facts: &'a Facts, open: OpenCases, draft: &'a mut Draft)
    -> Done<'a>;
}

struct Good<P: Proposal> {
    change: P,
    judged: P::Judged,
}

impl<P: Proposal> Judged for Good<P> {
    fn carry_out<'a>(
        &'a self,
        tx: &'a mut Tx<'_>,
        facts: &'a Facts,
        open: OpenCases,
        draft: &'a mut Draft,
    ) -> Done<'a> {
        Box::pin(async move {
            Proposal::name(&self.change, facts, draft);
            draft.motivation += &self.change.undoes(facts);
            carry_out(&self.change, tx, &self.judged, facts, open).await.map(Into::into)
        })
    }
}

/// Why what somebody asked for is not confirmed any more: a second pair of eyes is worth nothing where the first may have been a
/// thief's, or saw something else.
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
    if !keys.any(|key| state(key).holds(now)) {
        return Some("whoever asked is an operator no more: it can only be taken back");
    }
    row.superseded_at.map(|_| "what it is about was changed since: take it back, and ask anew")
}

/// Changes that wait, each with what is open of who leaves by it.
async fn read_waiting(facts: &Facts, reader: &mut Reader) -> Result<Vec<Waiting>, StoreError> {
    let mut waiting = Vec::new();
    for row in pending::all(reader).await? {
        let open = open(read(&row).as_ref().and_then(|change| change.leaves()), facts, reader).await?;
        waiting.push((row, open));
    }
    Ok(waiting)
}

type Waiting = (PendingRow, OpenCases);

/// The change with this id, if it waits still.
fn waiting<'r>(rows: &'r [Waiting], id: &str, now: OffsetDateTime) -> Result<&'r Waiting, Refusal> {
    rows.iter().find(|(row, _)| row.change_id == id && micros(now) < row.ends_at).ok_or_else(Refusal::not_found)
}

/// `Registry.ConfirmChange`.
pub struct ConfirmChange {
    request_id: String,
    change_id: String,
}

/// Of [`ConfirmChange`].
pub struct Confirmed(Box<dyn Judged>, OpenCases);

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
        let change = read(row).ok_or_else(Refusal::not_found)?;
        if let Some(why) = obstacle(&facts.registry, row, facts.now) {
            return Err(Refusal::precondition(why));
        }
        Ok((admitted.office(), Confirmed(change.judge(hub, facts, *open)?, *open)))
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
        let Confirmed(judged, open) = &done.plan;
        let changed = judged.carry_out(tx, &done.facts, *open, draft).await?;
        Ok(v1::ConfirmChangeResponse { changed: Some(changed) })
    }
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
        let summary = read(row).map(|change| change.summary()).unwrap_or_default();
        Ok((admitted.office(), pending_change(row, summary)))
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
        let row = waiting(&done.rows, &self.change_id, done.facts.now).ok();
        if let Some(change) = row.and_then(|(row, _)| read(row)) {
            change.name(&done.facts, draft);
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
    let Some(change) = read(row) else {
        let obstacle = "this version of the hub does not know what was asked for: it can only be taken back";
        return v1::PendingChange { obstacle: obstacle.to_owned(), ..pending_change(row, String::new()) };
    };
    let summary = change.summary() + &change.more(hub, facts, open);
    let obstacle = obstacle(&facts.registry, row, facts.now).unwrap_or_default().to_owned();
    v1::PendingChange { obstacle, ..pending_change(row, summary) }
}

#[cfg(test)]
mod tests;
