//! Who receives a record: exactly those whom an article, a role in this case, phase, category, form and legal basis let
//! receive it now (guarantee G5).

use uuid::Uuid;

use super::super::facts::{Goods, Scene, Seat};
use super::super::{Decided, Exchange, Facts, Operation, Target};
use super::records::furthest;
use crate::api::v1;
use crate::audit::Draft;
use crate::case::Party;
use crate::covenant::Permit;
use crate::covenant::facts::Standing;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Category, ExternalKind, Form, Oin, Role};
use crate::seal::CaseBinding;
use crate::store::{Tx, WorkError};
use crate::wire::{Numbered as _, partner_name};

/// What a record is and for whom, before anybody is found for it.
pub struct Wanted {
    /// Why.
    pub context: Context,
    /// The caller's own name of the case; empty: none.
    pub case: String,
    /// One category.
    pub category: Category,
    /// In one form.
    pub form: Form,
    /// Only these roles.
    pub roles: Vec<Role>,
    /// Only these partners.
    pub named: Vec<Oin>,
    /// The third party from which the sender had it.
    pub source_external: Option<ExternalKind>,
}

/// One recipient in one role.
pub struct Route {
    /// Who, in which role.
    pub seat: Seat,
    /// Clauses that let it receive.
    pub clauses: Vec<String>,
}

/// All recipients, and the permit for sending to them.
pub struct Plan {
    /// Recipients in the order of their roles.
    pub routes: Vec<Route>,
    /// The permit of the whole: every half of every exchange.
    pub permit: Permit,
    /// Clauses that let the caller send.
    pub clauses: Vec<String>,
}

/// Reads the fields that a plan and a publication share.
#[expect(clippy::too_many_arguments, reason = "the shared fields of two messages that have no common type")]
pub(super) fn read_wanted(
    fields: &mut Fields,
    context: Option<&v1::RequestContext>,
    case: &str,
    category: i32,
    form: i32,
    roles: &[i32],
    recipients: &[String],
    source_external: i32,
) -> Option<Wanted> {
    let context = fields.context(context);
    let case = if case.is_empty() { Some(String::new()) } else { fields.named("case", "cases", case) };
    let category = fields.word("category", category);
    let form = fields.word("form", form);
    let roles = fields.words("recipient_roles", roles);
    let named = fields.partners("recipients", recipients);
    let source_external = match source_external {
        0 => Some(None),
        kind => fields.word("source_external", kind).map(Some),
    };
    Some(Wanted {
        context: context?,
        case: case?,
        category: category?,
        form: form?,
        roles: roles?,
        named: named?,
        source_external: source_external?,
    })
}

impl Wanted {
    /// What the call is about.
    pub fn target(&self) -> Target<'_> {
        if self.case.is_empty() { Target::Nothing } else { Target::Case(&self.case) }
    }

    /// Names category and form in the event.
    pub fn describe(&self, draft: &mut Draft) {
        draft.categories = vec![self.category];
        draft.form = Some(self.form);
        draft.recipients = self.named.iter().map(ToString::to_string).collect();
    }

    /// Finds the recipients, or the reason why there is none. Somebody named who may not receive refuses the whole.
    pub fn plan(&self, hub: &Exchange, facts: &Facts) -> Result<Plan, Refusal> {
        let sender = facts.seat_of_caller(hub, &self.context);
        let seats = self.candidates(hub, facts, &sender);
        // As a rule everybody asked for may receive, and asking once is enough.
        if !self.is_missing(&seats)
            && let Ok(Some(plan)) = self.plan_for(hub, facts, &sender, &seats)
        {
            return Ok(plan);
        }
        let mut passed: Vec<Seat> = Vec::new();
        let mut refused: Vec<Refusal> = Vec::new();
        for seat in seats {
            match facts.exchange(hub, &self.context, self.goods(), &sender, &seat, 1) {
                Ok(_) => passed.push(seat),
                Err(refusal) if self.is_named(&seat) && !self.named_elsewhere(&seat, &passed) => refused.push(refusal),
                Err(refusal) if self.named.is_empty() => refused.push(refusal),
                Err(_) => {}
            }
        }
        let plan = if self.is_missing(&passed) { None } else { self.plan_for(hub, facts, &sender, &passed)? };
        plan.ok_or_else(|| furthest(refused).unwrap_or_else(|| self.nobody(hub, facts, &sender)))
    }

    /// Whether somebody was named who is not among these.
    fn is_missing(&self, seats: &[Seat]) -> bool {
        self.named.iter().any(|oin| !seats.iter().any(|seat| is(seat, oin)))
    }

    /// The plan for all of these; none for nobody. Limits on the number of recipients hold for the whole set.
    fn plan_for(&self, hub: &Exchange, facts: &Facts, sender: &Seat, seats: &[Seat]) -> Result<Option<Plan>, Refusal> {
        let count = u32::try_from(super::super::facts::partners(seats).len().max(1)).unwrap_or(u32::MAX);
        let mut routes = Vec::with_capacity(seats.len());
        let mut whole: Option<Permit> = None;
        let mut clauses: Vec<String> = Vec::new();
        for seat in seats {
            let (send, receive) = facts.exchange(hub, &self.context, self.goods(), sender, seat, count)?;
            clauses.extend(send.clauses().map(ToOwned::to_owned));
            routes.push(Route { seat: seat.clone(), clauses: receive.clauses().map(ToOwned::to_owned).collect() });
            let both = send.and(receive);
            whole = Some(match whole {
                None => both,
                Some(permit) => permit.and(both),
            });
        }
        clauses.sort_unstable();
        clauses.dedup();
        Ok(whole.map(|permit| Plan { routes, permit, clauses }))
    }

    fn goods(&self) -> Goods {
        Goods { category: self.category, form: self.form, source_external: self.source_external, expired: false }
    }

    fn is_named(&self, seat: &Seat) -> bool {
        self.named.iter().any(|oin| is(seat, oin))
    }

    /// A partner that holds two roles is reached if it may receive in one of them.
    fn named_elsewhere(&self, seat: &Seat, passed: &[Seat]) -> bool {
        passed.iter().any(|other| other.party == seat.party)
    }

    /// Everybody who holds a role that could receive, leaving the rest to the covenant.
    fn candidates(&self, hub: &Exchange, facts: &Facts, sender: &Seat) -> Vec<Seat> {
        let mut seats: Vec<Seat> = Vec::new();
        if let Some(case) = facts.case() {
            seats.extend(case.active(facts.now, hub.terms()).map(Scene::seat_of));
        }
        seats.extend(self.offices(facts));
        // What a third party gave the casusregisseur is recorded for the casusregisseur itself (article 25); anything else
        // is not sent to oneself.
        let for_oneself = self.source_external.is_some();
        seats.retain(|seat| for_oneself || seat.party != sender.party || seat.role != sender.role);
        seats.retain(|seat| self.roles.is_empty() || seat.role.is_some_and(|role| self.roles.contains(&role)));
        seats.retain(|seat| self.named.is_empty() || self.is_named(seat));
        seats.sort_by_key(|seat| seat.role);
        seats
    }

    /// Who may receive outside any role in the case: by standing role, or (article 20) every partner.
    fn offices(&self, facts: &Facts) -> Vec<Seat> {
        let roles: &[Role] = match self.context.article.number() {
            9 => &[Role::R03, Role::R04, Role::R05],
            20 => {
                let partners = facts.registry.partners.iter().filter(|(_, entry)| entry.takes_part(facts.now));
                return partners.map(|(oin, _)| standing_seat(oin, None, Standing::None)).collect();
            }
            31 | 33 => &[Role::R13],
            32 => &[Role::R11],
            _ => &[],
        };
        let holders = |role: &Role| {
            let role = *role;
            facts.registry.standing(role, facts.now).map(move |oin| standing_seat(oin, Some(role), Standing::Office))
        };
        roles.iter().flat_map(holders).collect()
    }

    /// With nobody to send to, the sender's own half still says whether it could send at all.
    fn nobody(&self, hub: &Exchange, facts: &Facts, sender: &Seat) -> Refusal {
        let somebody = Seat { party: sender.party.clone(), role: Some(Role::R02), ..sender.clone() };
        match facts.exchange(hub, &self.context, self.goods(), sender, &somebody, 1) {
            Err(refusal) if is_about_sender(&refusal) => refusal,
            _ => Refusal::precondition("nobody who takes part now may receive this"),
        }
    }
}

fn is_about_sender(refusal: &Refusal) -> bool {
    use crate::reason::Reason as R;
    matches!(refusal.reason, R::CaseUnknown | R::NotInvolved | R::RoleExpired | R::CaseClosed | R::RequestIncomplete)
}

fn is(seat: &Seat, oin: &Oin) -> bool {
    matches!(&seat.party, Party::Partner(partner) if partner == oin)
}

fn standing_seat(oin: &Oin, role: Option<Role>, standing: Standing) -> Seat {
    Seat { party: Party::Partner(oin.clone()), role, standing, involved: false }
}

/// A route for the wire, without the keys to seal to. What goes to a third party goes to the caller's own organisation, which
/// passes it on.
pub(super) fn route_reply(
    facts: &Facts,
    route: &Route,
    article: crate::party::Article,
    record: Option<Uuid>,
) -> v1::Route {
    let (oin, external) = match &route.seat.party {
        Party::Partner(oin) => (oin, 0),
        Party::External(kind) => (facts.caller.oin(), kind.number()),
    };
    let binding = record.map(|record| binding(facts, record, oin).as_bytes().to_vec());
    v1::Route {
        partner: partner_name(oin.as_str()),
        role: route.seat.role.map_or(0, |role| role.number()),
        external_kind: external,
        article: article.to_string(),
        clauses: route.clauses.clone(),
        keys: None,
        case_binding: binding.unwrap_or_default(),
    }
}

/// A route for whoever is to seal.
pub(super) fn sealing_route(
    facts: &Facts,
    route: &Route,
    article: crate::party::Article,
    record: Option<Uuid>,
) -> v1::Route {
    let oin = match &route.seat.party {
        Party::Partner(oin) => oin,
        Party::External(_) => facts.caller.oin(),
    };
    let keys = facts.registry.get(oin).and_then(|entry| entry.keys.clone());
    v1::Route { keys, ..route_reply(facts, route, article, record) }
}

/// Binds a record to an organisation's own name of the case; outside a case to the empty name.
pub(super) fn binding(facts: &Facts, record: Uuid, oin: &Oin) -> CaseBinding {
    let name = facts.case().and_then(|case| case.name_for(oin)).unwrap_or_default();
    CaseBinding::new(record, name)
}

/// Organisations that must be able to open a record: its recipients, and its author, who seals for newcomers.
pub(super) fn addressees(facts: &Facts, routes: &[Route]) -> std::collections::BTreeSet<Oin> {
    let mut all: std::collections::BTreeSet<Oin> =
        super::super::facts::partners(routes.iter().map(|route| &route.seat)).into_iter().cloned().collect();
    all.insert(facts.caller.oin().clone());
    all
}

/// `Records.PlanRoute`.
pub struct PlanRoute {
    wanted: Wanted,
    record: Option<Uuid>,
}

impl Operation for PlanRoute {
    type Message = v1::PlanRouteRequest;
    type Reply = v1::RoutePlan;
    type Rows = ();
    type Plan = Plan;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let wanted = read_wanted(
            &mut fields,
            message.context.as_ref(),
            &message.case,
            message.category,
            message.form,
            &message.recipient_roles,
            &message.recipients,
            message.source_external,
        );
        let record = match message.record.as_str() {
            "" => Some(None),
            name => fields.named("record", "records", name).and_then(|id| id.parse().ok()).map(Some),
        };
        fields.done((|| Some(Self { wanted: wanted?, record: record? }))())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.wanted.context)
    }

    fn target(&self) -> Target<'_> {
        self.wanted.target()
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        self.wanted.describe(draft);
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, Plan), Refusal> {
        let plan = self.wanted.plan(hub, facts)?;
        Ok((Ground::permit(plan.permit.clone()), plan))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::RoutePlan, WorkError> {
        let facts = &done.facts;
        draft.recipients = addressees(facts, &done.plan.routes).iter().map(ToString::to_string).collect();
        let article = self.wanted.context.article;
        let mut routes: Vec<v1::Route> =
            done.plan.routes.iter().map(|route| sealing_route(facts, route, article, self.record)).collect();
        // The author seals to itself too: the same shape as a recipient, without a role.
        let me = facts.caller.oin();
        if !routes.iter().any(|route| route.partner == partner_name(me.as_str()) && route.external_kind == 0) {
            let own = v1::Route {
                partner: partner_name(me.as_str()),
                keys: facts.registry.get(me).and_then(|entry| entry.keys.clone()),
                case_binding: self
                    .record
                    .map(|record| binding(facts, record, me).as_bytes().to_vec())
                    .unwrap_or_default(),
                ..v1::Route::default()
            };
            routes.push(own);
        }
        Ok(v1::RoutePlan { routes, clauses: done.plan.clauses.clone() })
    }
}
