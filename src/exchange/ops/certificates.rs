//! The register of certificates, for operators: announced, active from the first call on, retiring once the successor is in use,
//! revoked.

mod first_use;

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::super::{Decided, Exchange, Facts, Operation};
use super::changes::Proposal;
use super::mandates::{may_act_for, principal};
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::{Clock as _, SystemClock, from_micros, micros};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::certificate::{Leaf, PERSON};
use crate::identity::{KeyHash, KeyState};
use crate::method::Admitted;
use crate::party::Oin;
use crate::registry::{Registry, holder_code, holder_kind, needs_two, state};
use crate::store::certificates::{self, CertificateRow};
use crate::store::succession::OpenCases;
use crate::store::{Changes, StoreError, Tx, WorkError};
use crate::trust::Contents;
use crate::wire::timestamp;

pub(in crate::exchange) use first_use::FirstUse;

/// What is registered, for the wire.
pub(super) fn reply(row: &CertificateRow, now: OffsetDateTime) -> v1::RegisteredCertificate {
    use v1::CertificateState as Wire;
    let wire = match state(row) {
        KeyState::Announced => Wire::Announced,
        KeyState::Active => Wire::Active,
        KeyState::Retiring(end) if now < end => Wire::Retiring,
        KeyState::Retiring(_) => Wire::Retired,
        KeyState::Revoked => Wire::Revoked,
    };
    // 0: before this was kept.
    let known = |at: i64| (at > 0).then(|| timestamp(from_micros(at)));
    v1::RegisteredCertificate {
        key_hash: row.key_hash.clone(),
        oin: row.oin.clone(),
        holder: holder_kind(&row.holder) as i32,
        revoked: row.revoked_at.is_some(),
        expire_time: Some(timestamp(from_micros(row.expires_at))),
        state: wire as i32,
        person_ref: row.person_ref.clone(),
        system: row.system.clone(),
        start_time: known(row.starts_at),
        issuer: row.issuer.clone(),
        set: row.anchor_set.clone(),
        register_time: known(row.registered_at),
        use_time: row.used_at.and_then(known),
        retire_time: row.retires_at.and_then(known),
        replaces: row.replaces.clone(),
        pending: None,
        revoked_with_it: Vec::new(),
        withheld_mandates: Vec::new(),
        via: row.via.clone(),
        revocation_reason: revocation_reason(row) as i32,
    }
}

const fn revocation_reason(row: &CertificateRow) -> v1::RevocationReason {
    match (row.revoked_at, row.ceased) {
        (None, _) => v1::RevocationReason::Unspecified,
        (Some(_), true) => v1::RevocationReason::CessationOfOperation,
        (Some(_), false) => v1::RevocationReason::KeyCompromise,
    }
}

/// What every change of this holder's keys is about.
pub(super) fn of_holder(row: &CertificateRow) -> String {
    format!("certificates of {} {} {} {}", row.oin, row.via, row.holder, row.person_ref)
}

/// Whether two keys are of the same holder.
fn same_holder(a: &CertificateRow, b: &CertificateRow) -> bool {
    (&a.oin, &a.via, &a.holder, &a.person_ref) == (&b.oin, &b.via, &b.holder, &b.person_ref)
}

/// `Registry.RegisterCertificate`.
pub struct RegisterCertificate {
    request_id: String,
    leaf: Leaf,
    row: CertificateRow,
    oin: Oin,
}

/// A certificate as it will stand in the register.
pub struct Entered(CertificateRow);

impl Proposal for RegisterCertificate {
    const METHOD: &str = "sluis.v1.Registry/RegisterCertificate";
    type Message = v1::RegisterCertificateRequest;
    type Reply = v1::RegisteredCertificate;
    type Judged = Entered;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let leaf = Contents::read(&message.certificate).ok().and_then(|read| Some((read.oin().ok()?, read)));
        if leaf.is_none() {
            fields.wrong("certificate", "DER of a leaf with one OIN in subject.serialNumber");
        }
        let holder = message.holder();
        let code = holder_code(holder);
        if code.is_none() {
            fields.wrong("holder", "what the holder of the certificate is");
        }
        let person = leaf.as_ref().filter(|(_, read)| read.is_own(PERSON)).map(|(_, read)| read.known_as());
        match (person, holder) {
            (Some(_), v1::HolderKind::Organisation) => {
                fields.wrong("holder", "what the person is whose certificate this is, and person_ref");
            }
            // Two operators are two people by what the authority knows of them, not by what somebody types.
            (Some(person), _) if person != message.person_ref => {
                fields.wrong("person_ref", "the person as the certificate names it");
            }
            _ => {}
        }
        let person_ref = if holder == v1::HolderKind::Organisation {
            if !message.person_ref.is_empty() {
                fields.wrong("person_ref", "nothing, for an organisation");
            }
            Some(String::new())
        } else {
            fields.reference("person_ref", &message.person_ref)
        };
        let system = match message.system.as_str() {
            "" => Some(String::new()),
            system => fields.reference("system", system),
        };
        let replaces = match message.replaces.as_str() {
            "" => Some(String::new()),
            hash => key_hash(&mut fields, "replaces", hash).map(|hash| hash.to_string()),
        };
        let principal = principal(&mut fields, &message, leaf.as_ref().map(|(oin, _)| oin));
        fields.done((|| {
            let (shown, Contents { leaf, issuer, .. }) = leaf?;
            let (oin, via) = principal?.map_or_else(|| (shown.clone(), String::new()), |oin| (oin, shown.to_string()));
            let row = CertificateRow {
                key_hash: leaf.key_hash.to_string(),
                oin: oin.to_string(),
                via,
                holder: code?.to_owned(),
                person_ref: person_ref?,
                system: system?,
                issuer,
                starts_at: micros(leaf.not_before),
                expires_at: micros(leaf.not_after),
                registered_at: 0,
                used_at: None,
                anchor_set: String::new(),
                replaces: replaces?,
                renewed: false,
                retires_at: None,
                revoked_at: None,
                ceased: false,
                warned: 0,
            };
            Some(Self { request_id: request_id?, leaf, row, oin })
        })())
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Another certificate for a key that is registered gives nobody anything new.
    fn takes_two(&self, registry: &Registry) -> bool {
        needs_two(&self.row.holder) && !registry.certificates.contains_key(&self.leaf.key_hash)
    }

    fn name(&self, _: &Facts, draft: &mut Draft) {
        draft.source = self.oin.to_string();
    }

    /// A key that is revoked may have been stolen with whatever else its holder has.
    fn about(&self) -> Vec<String> {
        vec![of_holder(&self.row)]
    }

    /// Somebody may get two keys at once.
    fn overtakes(&self) -> Vec<String> {
        Vec::new()
    }

    fn judge(&self, _: &Exchange, facts: &Facts, _: OpenCases) -> Result<Entered, Refusal> {
        if self.leaf.check_validity(SystemClock.now()).is_err() {
            return Err(Refusal::malformed("certificate", "a certificate that is valid now"));
        }
        if facts.registry.get(&self.oin).is_none() {
            return Err(Refusal::malformed("certificate", "the OIN of a registered partner (RegisterPartner first)"));
        }
        may_act_for(facts, &self.oin, &self.row.via)?;
        let certificates = &facts.registry.certificates;
        let replaced = self.row.replaces.parse().ok().and_then(|hash: KeyHash| certificates.get(&hash));
        let is_good = replaced.is_some_and(|old| {
            same_holder(old, &self.row) && old.revoked_at.is_none() && old.key_hash != self.row.key_hash
        });
        if !self.row.replaces.is_empty() && !is_good {
            return Err(Refusal::malformed("replaces", "the hash of another key of the same holder, not revoked"));
        }
        match certificates.get(&self.leaf.key_hash) {
            None => Ok(Entered(CertificateRow { registered_at: micros(facts.now), ..self.row.clone() })),
            Some(known) if same_holder(known, &self.row) && known.revoked_at.is_none() && replaced.is_none() => {
                let new = self.row.clone();
                let (system, issuer, starts_at, expires_at) = (new.system, new.issuer, new.starts_at, new.expires_at);
                Ok(Entered(CertificateRow { system, issuer, starts_at, expires_at, ..known.clone() }))
            }
            Some(known) if known.revoked_at.is_some() => {
                Err(Refusal::malformed("certificate", "a key that was not revoked: make a new one"))
            }
            Some(_) => Err(Refusal::malformed(
                "certificate",
                "a key that is not registered yet, or for the same holder: ListCertificates says for whom it is",
            )),
        }
    }

    async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        Entered(row): &Entered,
        facts: &Facts,
        _: OpenCases,
    ) -> Result<v1::RegisteredCertificate, WorkError> {
        certificates::put(tx, row).await?;
        Ok(reply(row, facts.now))
    }

    fn asked(
        &self,
        facts: &Facts,
        _: OpenCases,
        pending: v1::PendingChange,
    ) -> Result<v1::RegisteredCertificate, StoreError> {
        let state = v1::CertificateState::Unspecified as i32;
        Ok(v1::RegisteredCertificate { pending: Some(pending), state, ..reply(&self.row, facts.now) })
    }

    fn summary(&self) -> String {
        let CertificateRow { holder, person_ref, key_hash, replaces, .. } = &self.row;
        let instead = match replaces.as_str() {
            "" => String::new(),
            // It retires: whoever confirms this ends another key.
            old => format!("; it replaces key {old}, which is refused 14 days after the first call with the new one"),
        };
        format!("partners/{} gets a certificate for {holder} {person_ref}, key {key_hash}{instead}", self.oin)
    }
}

pub(super) fn key_hash(fields: &mut Fields, field: &str, text: &str) -> Option<KeyHash> {
    let hash = text.parse().ok();
    if hash.is_none() {
        fields.wrong(field, "SHA-256 of the public key, 64 hexadecimal digits");
    }
    hash
}

/// A registered certificate, for what ends its use.
pub(super) fn known<'r>(facts: &'r Facts, hash: &KeyHash, own: &'static str) -> Result<&'r CertificateRow, Refusal> {
    if *hash == facts.caller.key_hash() {
        return Err(Refusal::precondition(own));
    }
    facts.registry.certificates.get(hash).ok_or_else(Refusal::not_found)
}

/// `Registry.RetireCertificate`.
pub struct RetireCertificate {
    request_id: String,
    key_hash: KeyHash,
    at: Option<OffsetDateTime>,
}

impl Operation for RetireCertificate {
    type Message = v1::RetireCertificateRequest;
    type Reply = v1::RegisteredCertificate;
    type Rows = ();
    type Plan = CertificateRow;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let key_hash = key_hash(&mut fields, "key_hash", &message.key_hash);
        let at = fields.moment_or_none("retire_time", message.retire_time.as_ref());
        fields.done((|| Some(Self { request_id: request_id?, key_hash: key_hash?, at: at? }))())
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Registry
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        (): &(),
        admitted: Admitted,
    ) -> Result<(Ground, CertificateRow), Refusal> {
        let row = known(facts, &self.key_hash, "an operator does not retire the key it is using")?;
        if row.revoked_at.is_some() {
            return Err(Refusal::precondition("it is revoked"));
        }
        if !has_successor(&facts.registry, row, facts.now) {
            return Err(Refusal::precondition(
                "no other key of this holder has been used yet: register its successor and wait for the first call with it, or revoke",
            ));
        }
        // Never later than it retires already: one that has retired is not brought back.
        let at = micros(self.at.map_or(facts.now, |at| at.max(facts.now))).min(row.expires_at);
        let at = row.retires_at.map_or(at, |earlier| at.min(earlier));
        Ok((admitted.office(), CertificateRow { retires_at: Some(at), ..row.clone() }))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::RegisteredCertificate, WorkError> {
        let row = &done.plan;
        certificates::retire(tx, &row.key_hash, row.retires_at.unwrap_or_default()).await?;
        draft.source.clone_from(&row.oin);
        Ok(reply(row, done.facts.now))
    }
}

/// Whether another key of the same holder is in use.
fn has_successor(registry: &Registry, row: &CertificateRow, now: OffsetDateTime) -> bool {
    registry.certificates.values().any(|other| {
        other.key_hash != row.key_hash
            && same_holder(other, row)
            && state(other) == KeyState::Active
            && other.expires_at > micros(now)
    })
}

/// `Registry.ListCertificates`.
pub struct ListCertificates {
    oin: Option<Oin>,
    page_size: usize,
    after: Option<KeyHash>,
}

impl Operation for ListCertificates {
    type Message = v1::ListCertificatesRequest;
    type Reply = v1::ListCertificatesResponse;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let page_size = fields.page_size(message.page_size, 200, 1000).and_then(|size| usize::try_from(size).ok());
        let oin = match message.oin.as_str() {
            "" => None,
            oin => {
                let oin = oin.parse().ok();
                if oin.is_none() {
                    fields.wrong("oin", "20 digits, or nothing");
                }
                oin
            }
        };
        let after = match message.page_token.as_str() {
            "" => None,
            token => {
                let after = token.parse().ok();
                if after.is_none() {
                    fields.wrong("page_token", "a token from an earlier page");
                }
                after
            }
        };
        fields.done(page_size.map(|page_size| Self { oin, page_size, after }))
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
    ) -> Result<v1::ListCertificatesResponse, WorkError> {
        let (page, next) = page(&done.facts.registry.certificates, self);
        let certificates = page.into_iter().map(|row| reply(row, done.facts.now)).collect();
        Ok(v1::ListCertificatesResponse { certificates, next_page_token: next })
    }
}

fn page<'r>(all: &'r BTreeMap<KeyHash, CertificateRow>, asked: &ListCertificates) -> (Vec<&'r CertificateRow>, String) {
    let rows = all.iter().filter(|(hash, _)| asked.after.is_none_or(|after| **hash > after));
    let rows = rows.map(|(_, row)| row).filter(|row| asked.oin.as_ref().is_none_or(|oin| oin.as_str() == row.oin));
    let mut page: Vec<_> = rows.take(asked.page_size + 1).collect();
    let is_last = page.len() <= asked.page_size;
    page.truncate(asked.page_size);
    let next = page.last().filter(|_| !is_last).map(|row| row.key_hash.clone()).unwrap_or_default();
    (page, next)
}
