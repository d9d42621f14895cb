//! One partner takes another's place: a merger, or the same organisation under a new OIN. This records it and shows how far it
//! is; what follows in each case is [`crate::hub`]'s to do ([`super::passing`]).

use time::{Duration, OffsetDateTime};

use super::super::{Decided, Exchange, Facts, Operation};
use super::changes::Proposal;
use super::directory::partner_reply;
use super::membership::{in_words, moment, open_cases};
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::micros;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::Oin;
use crate::registry::{Entry, Registry, Succession};
use crate::store::succession::{self, OpenCases, SuccessionRow};
use crate::store::{Reader, StoreError, Tx, WorkError};
use crate::wire::{partner_name, timestamp};

/// How long a partner stays that is succeeded, if nobody says otherwise: as long as records are opened to newcomers.
const STAYS: Duration = crate::seal::OPENS_FOR;

/// `Registry.SucceedPartner`.
pub struct SucceedPartner {
    request_id: String,
    oin: Oin,
    successor: Oin,
    at: Option<OffsetDateTime>,
    leaves: Option<OffsetDateTime>,
    reason: String,
}

impl Proposal for SucceedPartner {
    const METHOD: &str = "sluis.v1.Registry/SucceedPartner";
    type Message = v1::SucceedPartnerRequest;
    type Reply = v1::Partner;
    type Judged = Entry;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let oin = fields.partner("name", &message.name);
        let successor = fields.partner("successor", &message.successor);
        let at = fields.moment_or_none("effective_time", message.effective_time.as_ref());
        let leaves = fields.moment_or_none("leave_time", message.leave_time.as_ref());
        let reason = fields.text("reason", &message.reason, 500);
        if message.reason.trim().is_empty() {
            fields.wrong("reason", "a motivation");
        }
        fields.done((|| {
            let (oin, successor, at, leaves) = (oin?, successor?, at?, leaves?);
            Some(Self { request_id: request_id?, oin, successor, at, leaves, reason: reason? })
        })())
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn leaves(&self) -> Option<&Oin> {
        Some(&self.oin)
    }

    fn name(&self, _: &Facts, draft: &mut Draft) {
        draft.source = self.oin.to_string();
        draft.recipients = vec![self.successor.to_string()];
        draft.motivation.clone_from(&self.reason);
    }

    fn about(&self) -> Vec<String> {
        vec![partner_name(self.oin.as_str()), partner_name(self.successor.as_str())]
    }

    fn summary(&self) -> String {
        let at = self.at.map(|at| format!(" at {}", moment(at))).unwrap_or_default();
        let leaves = self.leaves.map(|at| format!(", and leaves at {}", moment(at))).unwrap_or_default();
        format!("partners/{} takes the place of partners/{}{at}{leaves}: {}", self.successor, self.oin, self.reason)
    }

    fn more(&self, _: &Exchange, facts: &Facts, open: OpenCases) -> String {
        let entry = facts.registry.get(&self.oin).filter(|entry| entry.left(facts.now).is_none());
        let standing = entry.into_iter().flat_map(|entry| &entry.standing_roles);
        in_words(open) + &standing.map(|role| format!("; {} goes over", role.code())).collect::<String>()
    }

    fn judge(&self, hub: &Exchange, facts: &Facts, _: OpenCases) -> Result<Entry, Refusal> {
        if self.oin == *facts.caller.oin() {
            return Err(Refusal::precondition("an operator does not cut off its own organisation"));
        }
        self.succeeded(&facts.registry, hub.covenant.version().number, facts.now)
    }

    async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        entry: &Entry,
        _: &Facts,
        open: OpenCases,
    ) -> Result<v1::Partner, WorkError> {
        let by = entry.succession.as_ref().ok_or(StoreError::Inconsistent("succession"))?;
        let row = SuccessionRow {
            oin: self.oin.to_string(),
            successor: by.successor.to_string(),
            effective_at: micros(by.effective),
            settled_at: None,
        };
        succession::put(tx, &row, entry.partner.withdrawn_at.map(micros)).await?;
        Ok(self.reply(entry, open))
    }

    fn asked(&self, facts: &Facts, open: OpenCases, pending: v1::PendingChange) -> Result<v1::Partner, StoreError> {
        let known = facts.registry.get(&self.oin).ok_or(StoreError::Inconsistent("partner"))?;
        Ok(v1::Partner { pending: Some(pending), ..self.reply(known, open) })
    }
}

impl SucceedPartner {
    fn reply(&self, entry: &Entry, open: OpenCases) -> v1::Partner {
        v1::Partner { open_cases: Some(open_cases(open)), ..partner_reply(&self.oin, entry) }
    }

    /// The partner as it would be.
    fn succeeded(&self, registry: &Registry, covenant: u32, now: OffsetDateTime) -> Result<Entry, Refusal> {
        let refused = |why| Err(Refusal::precondition(why));
        let mut entry = registry.get(&self.oin).ok_or_else(Refusal::not_found)?.clone();
        let heir = registry.get(&self.successor).ok_or_else(Refusal::not_found)?;
        let at = self.at.unwrap_or(now);
        if at < now {
            return Err(Refusal::malformed("effective_time", "a moment that is not past"));
        }
        if self.leaves.is_some_and(|leaves| leaves < at) {
            return Err(Refusal::malformed("leave_time", "no earlier than effective_time"));
        }
        if entry.is_succeeded(now) {
            return refused("the partner's place is taken already");
        }
        if registry.leads_to(&self.successor, &self.oin) {
            return refused("the successor's own place would come back to it");
        }
        if heir.partner.kind != entry.partner.kind {
            return refused("the successor is an organisation of another kind");
        }
        if !heir.takes_part(now) || heir.left(at).is_some() {
            return refused("the successor does not take part, or leaves before");
        }
        if heir.partner.accepted_covenant != Some(covenant) {
            return refused("the successor has not signed the covenant in force");
        }
        if heir.keys.is_none() {
            return refused("the successor has not published its keys");
        }
        let planned = entry.partner.withdrawn_at;
        if entry.left(now).is_none() {
            let leaves = self.leaves.or(planned).unwrap_or(at + STAYS);
            if leaves < at {
                return refused("the partner leaves before, as announced: say when it leaves (leave_time)");
            }
            entry.partner.withdrawn_at = Some(leaves);
        }
        entry.succession = Some(Succession { successor: self.successor.clone(), effective: at, settled: false });
        Ok(entry)
    }
}

/// `Registry.ListSuccessions`.
pub struct ListSuccessions {
    oin: Option<Oin>,
}

impl Operation for ListSuccessions {
    type Message = v1::ListSuccessionsRequest;
    type Reply = v1::ListSuccessionsResponse;
    type Rows = Vec<v1::Succession>;
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let oin = fields.partner_or_none("name", &message.name);
        fields.done((|| Some(Self { oin: oin? }))())
    }

    async fn gather(
        &self,
        _: &Exchange,
        facts: &Facts,
        reader: &mut Reader,
    ) -> Result<Vec<v1::Succession>, StoreError> {
        let mut found = Vec::new();
        let asked = facts.registry.partners.iter().filter(|(oin, _)| self.oin.as_ref().is_none_or(|own| own == *oin));
        for (oin, entry) in asked {
            let Some(by) = &entry.succession else { continue };
            let open_cases = super::passing::due(&facts.registry, oin, facts.now, reader).await?.len();
            let heir = facts.registry.heir(oin, facts.now);
            // What those wrote whose place it took itself, their own rows count.
            let (own_records, other_records) = succession::sealing(reader, oin.as_str(), heir.as_str()).await?;
            found.push(v1::Succession {
                name: partner_name(oin.as_str()),
                successor: partner_name(by.successor.as_str()),
                effective_time: Some(timestamp(by.effective)),
                leave_time: entry.partner.withdrawn_at.map(timestamp),
                open_cases: u32::try_from(open_cases).unwrap_or(u32::MAX),
                own_records,
                other_records,
            });
        }
        found.sort_by_key(|one| one.effective_time.map(|at| (at.seconds, at.nanos)));
        Ok(found)
    }

    fn decide(
        &self,
        _: &Exchange,
        _: &Facts,
        _: &Vec<v1::Succession>,
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
    ) -> Result<v1::ListSuccessionsResponse, WorkError> {
        Ok(v1::ListSuccessionsResponse { successions: done.rows.clone() })
    }
}
