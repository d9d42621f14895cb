//! Mandates: suppliers that act in a partner's name. The partner signs its own; operators register what it signed, and end it.

use std::borrow::Cow;

use prost::Message as _;

use super::super::{Decided, Exchange, Facts, Operation};
use super::changes::Proposal;
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::{Clock as _, SystemClock, from_micros, micros};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::mandate::{self, Moment, NotGiven};
use crate::method::Admitted;
use crate::party::Oin;
use crate::registry::Registry;
use crate::seal::{Mandate, MandateError};
use crate::store::certificates::CertificateRow;
use crate::store::mandate::{self as rows, MandateRow};
use crate::store::succession::OpenCases;
use crate::store::{Changes, StoreError, Tx, WorkError, pending, renewal};
use crate::trust::Contents;
use crate::wire::{partner_name, timestamp};
use time::OffsetDateTime;

/// The partner in whose name a certificate is to be used; the inner `None`: its organisation's own.
pub(super) fn principal(
    fields: &mut Fields,
    message: &v1::RegisterCertificateRequest,
    shown: Option<&Oin>,
) -> Option<Option<Oin>> {
    if message.acts_on_behalf_of.is_empty() {
        return Some(None);
    }
    if message.holder() != v1::HolderKind::Organisation {
        fields.wrong("acts_on_behalf_of", "nothing, for a person");
    }
    let oin: Option<Oin> = message.acts_on_behalf_of.parse().ok();
    if oin.is_none() || oin.as_ref() == shown {
        fields.wrong("acts_on_behalf_of", "20 digits: another organisation than that in the certificate, or nothing");
    }
    oin.map(Some)
}

/// Whether a supplier may act for a partner now; nothing is asked where there is none.
pub(super) fn may_act_for(facts: &Facts, principal: &Oin, via: &str) -> Result<(), Refusal> {
    if via.is_empty() {
        return Ok(());
    }
    let delegate = via.parse().map_err(|_| Refusal::not_found())?;
    let row = facts.registry.mandate(principal, &delegate);
    if row.is_some_and(|row| facts.registry.is_in_force(row, facts.now)) {
        return Ok(());
    }
    Err(Refusal::precondition(
        "no mandate of the partner to the organisation in the certificate is in force: RegisterMandate first, and neither is suspended",
    ))
}

/// What all mandates of one partner to one supplier are about.
fn between(principal: &str, delegate: &str) -> String {
    format!("{} {delegate}", partner_name(principal))
}

/// The keys that may be used under a mandate, as long as that is in force.
fn under<'r>(registry: &'r Registry, row: &'r MandateRow) -> impl Iterator<Item = &'r CertificateRow> {
    registry.certificates.values().filter(|certificate| {
        certificate.oin == row.principal && certificate.via == row.delegate && certificate.revoked_at.is_none()
    })
}

/// The mandates that one of these keys signed and that give nothing once it is revoked.
pub(super) fn signed_with<'r>(registry: &'r Registry, keys: &[&str], now: OffsetDateTime) -> Vec<&'r MandateRow> {
    let mandates = registry.mandates.iter();
    mandates
        .filter(|row| row.cut_at.is_none() && micros(now) < row.ends_at && keys.contains(&row.key_hash.as_str()))
        .collect()
}

fn reply(registry: &Registry, row: &MandateRow, now: OffsetDateTime) -> v1::RegisteredMandate {
    let moment = |at: i64| Some(timestamp(from_micros(at)));
    v1::RegisteredMandate {
        name: format!("mandates/{}", row.mandate_id),
        principal: row.principal.clone(),
        delegate: row.delegate.clone(),
        start_time: moment(row.starts_at),
        end_time: moment(row.ends_at),
        register_time: moment(row.registered_at),
        cut_time: row.cut_at.and_then(moment),
        in_force: registry.is_in_force(row, now),
        key_hashes: under(registry, row)
            .filter(|_| row.cut_at.is_none())
            .map(|certificate| certificate.key_hash.clone())
            .collect(),
        pending: None,
    }
}

/// `Registry.RegisterMandate`.
pub struct RegisterMandate {
    request_id: String,
    message: v1::Mandate,
    told: Mandate,
    key_hash: String,
}

/// A mandate as it will stand in the register.
pub struct Entered(MandateRow);

impl Proposal for RegisterMandate {
    const METHOD: &str = "sluis.v1.Registry/RegisterMandate";
    type Message = v1::RegisterMandateRequest;
    type Reply = v1::RegisteredMandate;
    type Judged = Entered;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let mandate = message.mandate.unwrap_or_default();
        let told = mandate::told(&mandate).ok();
        if told.is_none() {
            fields.wrong("mandate.document", "a mandate of `sluis mandate sign`, for three years at most");
        }
        let signer = mandate.certificate_chain.first().and_then(|leaf| Contents::read(leaf).ok());
        if signer.is_none() {
            fields.wrong("mandate.certificate_chain", "the certificate that signed, and its chain");
        }
        fields.done((|| {
            let key_hash = signer?.leaf.key_hash.to_string();
            Some(Self { request_id: request_id?, message: mandate, told: told?, key_hash })
        })())
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn name(&self, _: &Facts, draft: &mut Draft) {
        draft.source = self.told.principal().to_string();
        draft.motivation = format!("mandate {} to {}", self.told.id(), self.told.delegate());
    }

    fn about(&self) -> Vec<String> {
        vec![between(self.told.principal().as_str(), self.told.delegate().as_str())]
    }

    fn judge(&self, hub: &Exchange, facts: &Facts, _: OpenCases) -> Result<Entered, Refusal> {
        let principal = self.told.principal();
        if facts.registry.get(principal).is_none() {
            return Err(Refusal::malformed("mandate", "signed by a registered partner: not by its supplier"));
        }
        let row = self.row(facts.now);
        if facts.registry.mandates.iter().any(|known| known.mandate_id == row.mandate_id) {
            return Err(Refusal::malformed(
                "mandate",
                "one that was not registered before: a new one is signed for it",
            ));
        }
        let covenant = &hub.covenant.version().name;
        let moment = Moment { covenant, machine: SystemClock.now(), network: facts.now };
        let given = mandate::given(&hub.settings.trust.borrow(), &self.message, principal, moment);
        given.map_err(|why| Refusal::malformed("mandate", wanted(why)))?;
        if !facts.registry.is_signed_by_its_principal(&row) {
            return Err(Refusal::malformed(
                "mandate.certificate_chain",
                "a certificate that is registered for the partner itself and not revoked",
            ));
        }
        Ok(Entered(row))
    }

    async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        Entered(row): &Entered,
        facts: &Facts,
        _: OpenCases,
    ) -> Result<v1::RegisteredMandate, WorkError> {
        rows::put(tx, row).await?;
        Ok(reply(&facts.registry, row, facts.now))
    }

    fn asked(
        &self,
        facts: &Facts,
        _: OpenCases,
        pending: v1::PendingChange,
    ) -> Result<v1::RegisteredMandate, StoreError> {
        let reply = reply(&facts.registry, &self.row(facts.now), facts.now);
        let (in_force, key_hashes) = (false, Vec::new());
        Ok(v1::RegisteredMandate { pending: Some(pending), in_force, key_hashes, ..reply })
    }

    fn summary(&self) -> String {
        let (delegate, ends) = (self.told.delegate(), self.told.ends().date());
        format!("{delegate} may act in the name of partners/{} until {ends}", self.told.principal())
    }
}

/// What the mandate would have to be, for the operator who was given it.
fn wanted(why: NotGiven) -> Cow<'static, str> {
    use MandateError as M;
    Cow::Borrowed(match why {
        NotGiven::Certificate(fault) => {
            return format!("signed with a certificate that is accepted here, and this one is not: {}", fault.code())
                .into();
        }
        NotGiven::Chain => "with a certificate that can be read, and its chain",
        NotGiven::Outlasts => "for no longer than the certificate that signed it is good",
        NotGiven::Delegate | NotGiven::Mandate(M::Owner) => {
            "signed by the partner's own certificate, to another organisation"
        }
        NotGiven::Mandate(M::Format) => "as `sluis mandate sign` prints it",
        NotGiven::Mandate(M::NotYet) => "one that has begun",
        NotGiven::Mandate(M::Over) => "one that has not ended",
        NotGiven::Mandate(M::Covenant) => "for the network of this covenant: the partner signs it with that name",
        NotGiven::Mandate(M::Signature(_)) => {
            "signed with the key of the certificate that came with it, and not changed since"
        }
        NotGiven::Mandate(M::Term) => "for three years at most, and with its end after its beginning",
    })
}

impl RegisterMandate {
    fn row(&self, now: OffsetDateTime) -> MandateRow {
        MandateRow {
            mandate_id: self.told.id().to_string(),
            principal: self.told.principal().to_string(),
            delegate: self.told.delegate().to_string(),
            starts_at: micros(self.told.starts()),
            ends_at: micros(self.told.ends()),
            key_hash: self.key_hash.clone(),
            message: self.message.encode_to_vec(),
            registered_at: micros(now),
            cut_at: None,
        }
    }
}

/// What whoever asked with a key under a mandate that ended is told.
const TOLD: &str = "the mandate under which it was asked for has ended";

/// What [`EndMandate`] does.
pub struct Ended {
    row: MandateRow,
    /// Keys that are revoked with it.
    keys: Vec<String>,
}

/// `Registry.EndMandate`.
pub struct EndMandate {
    request_id: String,
    mandate_id: String,
    reason: String,
}

impl Operation for EndMandate {
    type Message = v1::EndMandateRequest;
    type Reply = v1::RegisteredMandate;
    type Rows = ();
    type Plan = Ended;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let mandate_id = fields.named("name", "mandates", &message.name);
        let reason = fields.text("reason", &message.reason, 500);
        if message.reason.trim().is_empty() {
            fields.wrong("reason", "a motivation");
        }
        fields.done((|| Some(Self { request_id: request_id?, mandate_id: mandate_id?, reason: reason? }))())
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Registry
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn describe(&self, facts: &Facts, draft: &mut Draft) {
        let known = facts.registry.mandates.iter().find(|row| row.mandate_id == self.mandate_id);
        draft.source = known.map(|row| row.principal.clone()).unwrap_or_default();
        draft.motivation.clone_from(&self.reason);
    }

    fn decide(&self, _: &Exchange, facts: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, Ended), Refusal> {
        let known = facts.registry.mandates.iter().find(|row| row.mandate_id == self.mandate_id);
        let row = known.ok_or_else(Refusal::not_found)?;
        if row.cut_at.is_some() {
            return Err(Refusal::precondition("it has been ended, or another one took its place: see ListMandates"));
        }
        let keys = under(&facts.registry, row).map(|certificate| certificate.key_hash.clone()).collect();
        let row = MandateRow { cut_at: Some(micros(facts.now)), ..row.clone() };
        Ok((admitted.office(), Ended { row, keys }))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::RegisteredMandate, WorkError> {
        let (Ended { row, keys }, at) = (&done.plan, micros(done.facts.now));
        rows::end(tx, &row.principal, &row.delegate, at).await?;
        // One that was asked for before is not to undo this.
        pending::supersede(tx, &between(&row.principal, &row.delegate), at).await?;
        for key in keys {
            renewal::refuse_of_key(tx, key, TOLD, at).await?;
        }
        let revoked = match keys.as_slice() {
            [] => String::new(),
            keys => format!("; revoked with it: key {}", keys.join(", key ")),
        };
        draft.motivation = format!("{}; ended: mandate {} to {}{revoked}", self.reason, row.mandate_id, row.delegate);
        Ok(reply(&done.facts.registry, row, done.facts.now))
    }
}

/// `Registry.ListMandates`.
pub struct ListMandates;

impl Operation for ListMandates {
    type Message = v1::ListMandatesRequest;
    type Reply = v1::ListMandatesResponse;
    type Rows = ();
    type Plan = ();

    fn parse(_: Self::Message) -> Result<Self, Refusal> {
        Ok(Self)
    }

    fn decide(&self, _: &Exchange, _: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::ListMandatesResponse, WorkError> {
        let registry = &done.facts.registry;
        let mandates = registry.mandates.iter().map(|row| reply(registry, row, done.facts.now)).collect();
        Ok(v1::ListMandatesResponse { mandates })
    }
}
