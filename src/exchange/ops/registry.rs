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
use crate::store::{Changes, Tx, WorkError, pending};
use crate::trust::{Contents, List, Set, Trust};
use crate::wire::{partner_name, timestamp};

/// `Registry.RegisterPartner`.
pub struct RegisterPartner {
    asked: Vec<u8>,
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
    type Plan = Step<Entry>;

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
        let asked = message.encode_to_vec();
        fields.done((|| {
            Some(Self {
                asked,
                request_id: request_id?,
                oin: oin?,
                name: name?,
                kind: kind?,
                standing_roles: standing_roles?,
                effective: effective?,
            })
        })())
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
        // Whoever names itself R11 sees what goes to no case of its own: that is nobody's alone to give.
        let held = facts.registry.get(&self.oin).map_or(&[][..], |known| &known.standing_roles);
        let gives = self.standing_roles.iter().any(|role| !held.contains(role));
        let takes_two = gives && facts.registry.takes_two();
        Ok((admitted.office(), Step::of(facts, takes_two, Self::METHOD, &self.asked, entry)?))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Partner, WorkError> {
        match &done.plan {
            Step::Now(entry) => self.carry_out(tx, entry).await,
            Step::Asked(change) => {
                pending::add(tx, change).await?;
                // As it stands: of one that is new, nothing but its name.
                let name = partner_name(self.oin.as_str());
                let known = done.facts.registry.get(&self.oin);
                let known =
                    known.map_or_else(|| v1::Partner { name, ..Default::default() }, |it| partner_reply(&self.oin, it));
                Ok(v1::Partner { pending: Some(pending_change(change)), ..known })
            }
        }
    }
}

impl RegisterPartner {
    pub(super) const METHOD: &str = "sluis.v1.Registry/RegisterPartner";

    /// Whom the event is about.
    pub(super) fn name(&self, draft: &mut Draft) {
        draft.source = self.oin.to_string();
    }

    /// The partner as it would be.
    pub(super) fn judge(&self, facts: &Facts) -> Result<Entry, Refusal> {
        Ok(match facts.registry.get(&self.oin) {
            Some(known) if known.partner.kind != self.kind => {
                return Err(Refusal::malformed("kind", "the kind as registered: it does not change"));
            }
            Some(known) => {
                let partner = Partner { name: self.name.clone(), ..known.partner.clone() };
                Entry { partner, standing_roles: self.standing_roles.clone(), ..known.clone() }
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
                succession: None,
            },
        })
    }

    pub(super) async fn carry_out(&self, tx: &mut Tx<'_>, entry: &Entry) -> Result<v1::Partner, WorkError> {
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

    /// For whoever is to confirm it.
    pub(super) fn summary(&self) -> String {
        let roles = self.standing_roles.iter().map(|role| role.code()).collect::<Vec<_>>().join(", ");
        format!("partners/{} ({}), {}, has the standing roles {roles}", self.oin, self.name, self.kind.code())
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
