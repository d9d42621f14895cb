//! The partner directory: who takes part, with which published keys.

use rustls_pki_types::CertificateDer;

use super::super::{Decided, Exchange, Facts, Operation};
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::{Clock as _, SystemClock, micros};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::mandate::{Moment, NotSpeaking, speaks_for};
use crate::method::Admitted;
use crate::party::Oin;
use crate::registry::Entry;
use crate::seal::certificate_signature::CertSignature;
use crate::seal::{KeySet, SignedKeySet};
use crate::store::{Changes, Tx, WorkError};
use crate::wire::{Numbered as _, partner_name, timestamp};
use prost::Message as _;

/// A partner for the wire.
pub(super) fn partner_reply(oin: &Oin, entry: &Entry) -> v1::Partner {
    v1::Partner {
        name: partner_name(oin.as_str()),
        display_name: entry.partner.name.clone(),
        kind: entry.partner.kind.number(),
        status: entry.partner.status.number(),
        accepted_covenant: entry.partner.accepted_covenant.unwrap_or(0),
        standing_roles: entry.standing_roles.iter().map(|role| role.number()).collect(),
        keys: entry.keys.clone(),
        pending: None,
        withdraw_time: entry.partner.withdrawn_at.map(timestamp),
        successor: entry.succession.as_ref().map(|by| partner_name(by.successor.as_str())).unwrap_or_default(),
        succeed_time: entry.succession.as_ref().map(|by| timestamp(by.effective)),
        open_cases: None,
    }
}

/// Checks a published set against the certificate that it brings, for this organisation. Whether that certificate may
/// speak for the organisation was checked when the set was published: the registry knows its key.
pub(super) fn verify_keys(keys: &v1::KeySet, oin: &Oin) -> Option<KeySet> {
    let signature = CertSignature::from_wire(keys.signature_scheme, &keys.signature)?;
    let leaf = CertificateDer::from(keys.certificate_chain.first()?.as_slice());
    KeySet::verify(&SignedKeySet { bytes: keys.document.clone(), signature }, &leaf, oin).ok()
}

/// Whether the leaf that signed is the very certificate key with which the caller is connected.
pub(super) fn is_callers_leaf(facts: &Facts, chain: &[Vec<u8>]) -> bool {
    chain
        .first()
        .and_then(|leaf| crate::identity::certificate::Leaf::read(leaf).ok())
        .is_some_and(|leaf| leaf.key_hash == facts.caller.key_hash())
}

/// `Directory.ListPartners`.
pub struct ListPartners {
    page_size: i64,
    after: Option<Oin>,
}

impl Operation for ListPartners {
    type Message = v1::ListPartnersRequest;
    type Reply = v1::ListPartnersResponse;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let page_size = fields.page_size(message.page_size, 50, 100);
        let after = match message.page_token.as_str() {
            "" => Some(None),
            token => {
                let oin = token.parse().ok();
                if oin.is_none() {
                    fields.wrong("page_token", "a token from an earlier page");
                }
                oin.map(Some)
            }
        };
        fields.done((|| Some(Self { page_size: page_size?, after: after? }))())
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
    ) -> Result<v1::ListPartnersResponse, WorkError> {
        let size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        let partners = &done.facts.registry.partners;
        let page: Vec<(&Oin, &Entry)> = partners
            .iter()
            .filter(|(oin, _)| self.after.as_ref().is_none_or(|after| *oin > after))
            .take(size + 1)
            .collect();
        let more = page.len() > size;
        let page: Vec<_> = page.into_iter().take(size).collect();
        let next = page.last().filter(|_| more).map(|(oin, _)| oin.to_string()).unwrap_or_default();
        let partners = page.into_iter().map(|(oin, entry)| partner_reply(oin, entry)).collect();
        Ok(v1::ListPartnersResponse { partners, next_page_token: next })
    }
}

/// `Directory.GetPartner`.
pub struct GetPartner {
    oin: Oin,
}

impl Operation for GetPartner {
    type Message = v1::GetPartnerRequest;
    type Reply = v1::Partner;
    type Rows = ();
    type Plan = v1::Partner;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let oin = fields.partner("name", &message.name);
        fields.done(oin.map(|oin| Self { oin }))
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        (): &(),
        admitted: Admitted,
    ) -> Result<(Ground, v1::Partner), Refusal> {
        let entry = facts.registry.get(&self.oin).ok_or_else(Refusal::not_found)?;
        Ok((admitted.office(), partner_reply(&self.oin, entry)))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Partner, WorkError> {
        Ok(done.plan.clone())
    }
}

/// `Directory.PublishKeys`.
pub struct PublishKeys {
    request_id: String,
    keys: v1::KeySet,
}

impl Operation for PublishKeys {
    type Message = v1::PublishKeysRequest;
    type Reply = v1::PublishKeysResponse;
    type Rows = ();
    type Plan = Entry;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        if message.keys.is_none() {
            fields.wrong("keys", "a signed key set; an agent makes its own");
        }
        let keys = message.keys;
        fields.done((|| Some(Self { request_id: request_id?, keys: keys? }))())
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Registry
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, Entry), Refusal> {
        let oin = facts.caller.oin();
        if !is_callers_leaf(facts, &self.keys.certificate_chain) {
            return Err(Refusal::malformed(
                "keys.certificate_chain",
                "the certificate with which the caller is connected",
            ));
        }
        // The same test as every peer's agent will make: a set that they refuse would stop them from sending at all.
        // Certificates follow the machine's clock, not a demo network's.
        let covenant = &hub.covenant.version().name;
        let moment = Moment { covenant, machine: SystemClock.now(), network: facts.now };
        let (trust, mandate) = (hub.settings.trust.borrow().clone(), self.keys.mandate.as_ref());
        match speaks_for(&trust, &self.keys.certificate_chain, mandate, oin, moment) {
            Ok(_) if self.is_registered(facts) => {}
            Ok(_) | Err(NotSpeaking::Mandate(_) | NotSpeaking::Other) => {
                return Err(Refusal::malformed(
                    "keys.mandate",
                    "of a supplier the mandate in force, as it is registered",
                ));
            }
            Err(NotSpeaking::Certificate(_) | NotSpeaking::Chain) => {
                let expected = "at most 4 certificates that lead to an anchor";
                return Err(Refusal::malformed("keys.certificate_chain", expected));
            }
        }
        let Some(new) = verify_keys(&self.keys, oin) else {
            return Err(Refusal::malformed(
                "keys.signature",
                "a signature with that certificate over the caller's key set",
            ));
        };
        let mut entry = facts.registry.get(oin).ok_or_else(Refusal::not_found)?.clone();
        // Also with a set that nobody is shown any more: peers that saw it refuse other keys of the same epoch.
        let known = facts.registry.last_keys.get(oin).and_then(|keys| verify_keys(keys, oin));
        if let Some(known) = known.filter(|known| *known != new) {
            let next = known.epoch().number().saturating_add(1);
            // Nor do they take a set that skips one.
            if !new.succeeds(&known) || new.epoch().number() != next {
                let expected = format!("the keys that were published last, or new ones of the next epoch: {next}");
                return Err(Refusal::malformed("keys.document", expected));
            }
        }
        entry.keys = Some(self.keys.clone());
        Ok((admitted.office(), entry))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::PublishKeysResponse, WorkError> {
        let (facts, oin) = (&done.facts, done.facts.caller.oin());
        crate::store::registry::put_keys(tx, oin.as_str(), &self.keys.encode_to_vec(), micros(facts.now)).await?;
        Ok(v1::PublishKeysResponse {
            partner: Some(partner_reply(oin, &done.plan)),
            publish_time: Some(timestamp(facts.now)),
        })
    }
}

impl PublishKeys {
    /// Whether the mandate is the one that is registered; of whoever calls for itself, that there is none.
    fn is_registered(&self, facts: &Facts) -> bool {
        let Some(supplier) = facts.caller.via() else { return self.keys.mandate.is_none() };
        let row = facts.registry.mandate(facts.caller.oin(), supplier);
        let known = row.and_then(|row| v1::Mandate::decode(&*row.message).ok());
        known.is_some() && known == self.keys.mandate
    }
}
