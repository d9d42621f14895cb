//! The registry of partners and what a node believes, for operators (article 39).

use std::marker::PhantomData;

use prost::Message;
use time::OffsetDateTime;

use super::super::{Decided, Exchange, Facts, Operation};
use super::changes::Proposal;
use super::directory::partner_reply;
use super::rejoining::{self, Wanted};
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::micros;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::Partner;
use crate::method::Admitted;
use crate::party::{Oin, OrgKind, PartnerStatus, Role};
use crate::registry::{Entry, Registry};
use crate::store::registry::{self, PartnerRow};
use crate::store::succession::OpenCases;
use crate::store::{StoreError, Tx, WorkError};
use crate::trust::{Contents, List, Set, Trust};
use crate::wire::{partner_name, timestamp};

/// `Registry.RegisterPartner`.
pub struct RegisterPartner {
    request_id: String,
    oin: Oin,
    name: String,
    kind: OrgKind,
    standing_roles: Vec<Role>,
    effective: Option<OffsetDateTime>,
}

impl Proposal for RegisterPartner {
    const METHOD: &str = "sluis.v1.Registry/RegisterPartner";
    type Message = v1::RegisterPartnerRequest;
    type Reply = v1::Partner;
    type Judged = Entry;

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

    fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Nobody by joining; of who left, what is open still has a say in whether it may.
    fn leaves(&self) -> Option<&Oin> {
        Some(&self.oin)
    }

    /// Whoever names itself R11 sees what goes to no case of its own: that is nobody's alone to give. Nor is it to bring back who left.
    fn takes_two(&self, registry: &Registry) -> bool {
        let known = registry.get(&self.oin);
        let held = known.map_or(&[][..], |known| &known.standing_roles);
        let left = known.is_some_and(|known| known.partner.status == PartnerStatus::Withdrawn);
        left || self.standing_roles.iter().any(|role| !held.contains(role))
    }

    fn name(&self, _: &Facts, draft: &mut Draft) {
        draft.source = self.oin.to_string();
    }

    fn about(&self) -> Vec<String> {
        vec![partner_name(self.oin.as_str())]
    }

    fn judge(&self, _: &Exchange, facts: &Facts, open: OpenCases) -> Result<Entry, Refusal> {
        Ok(match facts.registry.get(&self.oin) {
            Some(known) if known.partner.kind != self.kind => {
                return Err(Refusal::malformed("kind", "the kind as registered: it does not change"));
            }
            Some(known) if known.left(facts.now).is_some() => {
                let Self { name, standing_roles, effective, .. } = self;
                let wanted = Wanted { name, standing_roles, effective: *effective };
                rejoining::anew(known, &wanted, open, facts.now)?
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

    async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        entry: &Entry,
        facts: &Facts,
        _: OpenCases,
    ) -> Result<v1::Partner, WorkError> {
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
        match rejoining::left(facts, &self.oin) {
            None => registry::put_partner(tx, &row).await?,
            Some(left) => registry::join_anew(tx, &row, micros(left), micros(facts.now)).await?,
        }
        Ok(partner_reply(&self.oin, entry))
    }

    /// As it stands: of one that is new, nothing but its name.
    fn asked(&self, facts: &Facts, _: OpenCases, pending: v1::PendingChange) -> Result<v1::Partner, StoreError> {
        let name = partner_name(self.oin.as_str());
        let known = facts.registry.get(&self.oin).map(|known| partner_reply(&self.oin, known));
        let known = known.unwrap_or_else(|| v1::Partner { name, ..Default::default() });
        Ok(v1::Partner { pending: Some(pending), ..known })
    }

    fn summary(&self) -> String {
        let roles = self.standing_roles.iter().map(|role| role.code()).collect::<Vec<_>>().join(", ");
        format!("partners/{} ({}), {}, has the standing roles {roles}", self.oin, self.name, self.kind.code())
    }

    fn more(&self, _: &Exchange, facts: &Facts, _: OpenCases) -> String {
        let undoes = rejoining::undoes(facts, &self.oin);
        if undoes.is_empty() { undoes } else { format!("; {undoes}") }
    }

    fn undoes(&self, facts: &Facts) -> String {
        rejoining::undoes(facts, &self.oin)
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
