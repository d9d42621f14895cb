//! The registry of partners and what a node believes, for operators (article 39).

use std::marker::PhantomData;

use prost::Message;
use time::OffsetDateTime;

use super::super::{Decided, Exchange, Facts, Operation};
use super::changes::{Step, pending_change};
use super::directory::partner_reply;
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::micros;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::Partner;
use crate::method::Admitted;
use crate::party::{Oin, OrgKind, PartnerStatus, Role};
use crate::registry::Entry;
use crate::store::registry::{self, PartnerRow};
use crate::store::{Changes, StoreError, Tx, WorkError, pending};
use crate::trust::{Contents, List, Set, Trust};
use crate::wire::timestamp;

/// `Registry.RegisterPartner`.
pub struct RegisterPartner {
    request_id: String,
    oin: Oin,
    name: String,
    kind: OrgKind,
    standing_roles: Vec<Role>,
    effective: Option<OffsetDateTime>,
}

impl Operation for RegisterPartner {
    type Message = v1::RegisterPartnerRequest;
    type Reply = v1::Partner;
    type Rows = ();
    type Plan = Entry;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let oin = message.oin.parse().ok();
        if oin.is_none() {
            fields.wrong("oin", "20 digits");
        }
        let name = fields.text("display_name", &message.display_name, 200);
        let kind = fields.word("kind", message.kind);
        let standing_roles = fields.words::<Role>("standing_roles", &message.standing_roles);
        let outside = |role: &Role| matches!(role, Role::R03 | Role::R04 | Role::R05 | Role::R11 | Role::R13);
        if standing_roles.as_ref().is_some_and(|roles| !roles.iter().all(outside)) {
            fields.wrong("standing_roles", "roles that exist outside a case: R03, R04, R05, R11, R13");
        }
        let effective = fields.moment_or_none("effective_time", message.effective_time.as_ref());
        fields.done((|| {
            Some(Self {
                request_id: request_id?,
                oin: oin?,
                name: name?,
                kind: kind?,
                standing_roles: standing_roles?,
                effective: effective?,
            })
        })())
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Registry
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.source = self.oin.to_string();
    }

    fn decide(&self, _: &Exchange, facts: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, Entry), Refusal> {
        let entry = match facts.registry.get(&self.oin) {
            Some(known) if known.partner.kind != self.kind => {
                return Err(Refusal::malformed("kind", "the kind as registered: it does not change"));
            }
            Some(known) => {
                let partner = Partner { name: self.name.clone(), ..known.partner.clone() };
                Entry { partner, standing_roles: self.standing_roles.clone(), keys: known.keys.clone() }
            }
            None => Entry {
                partner: Partner {
                    name: self.name.clone(),
                    kind: self.kind,
                    status: PartnerStatus::Active,
                    effective_from: self.effective.unwrap_or(facts.now),
                    withdrawn_at: None,
                    accepted_covenant: None,
                },
                standing_roles: self.standing_roles.clone(),
                keys: None,
            },
        };
        Ok((admitted.office(), entry))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Partner, WorkError> {
        let entry = &done.plan;
        let row = PartnerRow {
            oin: self.oin.to_string(),
            display_name: self.name.clone(),
            kind: self.kind.code().to_owned(),
            status: PartnerStatus::Active.code().to_owned(),
            standing_roles: self.standing_roles.iter().map(|role| role.code()).collect::<Vec<_>>().join(" "),
            effective_at: micros(entry.partner.effective_from),
            withdrawn_at: None,
            accepted_covenant: 0,
        };
        registry::put_partner(tx, &row).await?;
        Ok(partner_reply(&self.oin, entry))
    }
}

/// `Registry.ReloadNode` and `Registry.ListRefusals`: what one node does or has, and not the store. That it was asked for is
/// written down first; the reply is filled in afterwards, by the node.
pub struct OfNode<M, R>(PhantomData<fn(M) -> R>);

impl<M, R> Operation for OfNode<M, R>
where
    M: Message + 'static,
    R: Message + Default + Send + Sync + 'static,
{
    type Message = M;
    type Reply = R;
    type Rows = ();
    type Plan = ();

    fn parse(_: M) -> Result<Self, Refusal> {
        Ok(Self(PhantomData))
    }

    fn decide(&self, _: &Exchange, _: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(&self, _: &Exchange, _: &mut Tx<'_>, _: &Decided<Self>, _: &mut Draft) -> Result<R, WorkError> {
        Ok(R::default())
    }
}

/// `Registry.ReloadNode`.
pub type ReloadNode = OfNode<v1::ReloadNodeRequest, v1::ReloadNodeResponse>;
/// `Registry.ListRefusals`.
pub type ListRefusals = OfNode<v1::ListRefusalsRequest, v1::ListRefusalsResponse>;

/// What a node believes, for operators.
pub fn anchor_sets(trust: &Trust) -> Vec<v1::AnchorSet> {
    let anchor =
        |root: &Contents| v1::Anchor { subject: root.subject.clone(), expire_time: Some(timestamp(root.not_after)) };
    let list = |list: &List| v1::RevocationList {
        issuer: list.issuer.clone(),
        this_update: Some(timestamp(list.this_update)),
        next_update: Some(timestamp(list.next_update)),
        revoked: u32::try_from(list.revoked).unwrap_or(u32::MAX),
    };
    let set = |set: &Set| v1::AnchorSet {
        name: set.name.to_string(),
        anchors: set.roots().iter().map(anchor).collect(),
        lists: set.lists().iter().map(list).collect(),
    };
    trust.sets().iter().map(set).collect()
}

/// `Registry.SetPartnerStatus`.
pub struct SetPartnerStatus {
    asked: Vec<u8>,
    request_id: String,
    oin: Oin,
    status: PartnerStatus,
    reason: String,
}

impl Operation for SetPartnerStatus {
    type Message = v1::SetPartnerStatusRequest;
    type Reply = v1::Partner;
    type Rows = ();
    type Plan = Step<Entry>;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let oin = fields.partner("name", &message.name);
        let status = fields.word("status", message.status);
        let reason = fields.text("reason", &message.reason, 500);
        if message.reason.trim().is_empty() {
            fields.wrong("reason", "a motivation");
        }
        let asked = message.encode_to_vec();
        fields.done((|| Some(Self { asked, request_id: request_id?, oin: oin?, status: status?, reason: reason? }))())
    }

    fn changes(&self, done: &Decided<Self>) -> Changes {
        done.plan.changes()
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        self.name(draft);
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        (): &(),
        admitted: Admitted,
    ) -> Result<(Ground, Step<Entry>), Refusal> {
        let entry = self.judge(facts)?;
        let step = Step::of(facts, facts.registry.takes_two(), Self::METHOD, &self.asked, entry)?;
        Ok((admitted.office(), step))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Partner, WorkError> {
        match &done.plan {
            Step::Now(entry) => self.carry_out(tx, entry, done.facts.now).await,
            Step::Asked(change) => {
                pending::add(tx, change).await?;
                let known = done.facts.registry.get(&self.oin).ok_or(StoreError::Inconsistent("partner"))?;
                Ok(v1::Partner { pending: Some(pending_change(change)), ..partner_reply(&self.oin, known) })
            }
        }
    }
}

impl SetPartnerStatus {
    pub(super) const METHOD: &str = "sluis.v1.Registry/SetPartnerStatus";

    /// Whom the event is about, and why.
    pub(super) fn name(&self, draft: &mut Draft) {
        draft.source = self.oin.to_string();
        draft.motivation.clone_from(&self.reason);
    }

    /// The partner as it would be.
    pub(super) fn judge(&self, facts: &Facts) -> Result<Entry, Refusal> {
        if self.oin == *facts.caller.oin() && self.status != PartnerStatus::Active {
            return Err(Refusal::precondition("an operator does not cut off its own organisation"));
        }
        let known = facts.registry.get(&self.oin).ok_or_else(Refusal::not_found)?;
        if known.partner.status == PartnerStatus::Withdrawn && self.status != PartnerStatus::Withdrawn {
            return Err(Refusal::precondition("a partner that left joins anew under article 39"));
        }
        let mut entry = known.clone();
        entry.partner.status = self.status;
        Ok(entry)
    }

    pub(super) async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        entry: &Entry,
        now: OffsetDateTime,
    ) -> Result<v1::Partner, WorkError> {
        let withdrawn = (self.status == PartnerStatus::Withdrawn).then_some(micros(now));
        registry::set_status(tx, self.oin.as_str(), self.status.code(), withdrawn).await?;
        Ok(partner_reply(&self.oin, entry))
    }

    /// For whoever is to confirm it.
    pub(super) fn summary(&self) -> String {
        format!("partners/{} becomes {}: {}", self.oin, self.status.code(), self.reason)
    }
}
