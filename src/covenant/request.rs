//! A question as a Cedar request. Built with the schema throughout: without it Cedar loses the action groups silently, and
//! a prohibition would not fire.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression, Schema,
};

use super::facts::{Action, Actor, CaseFacts, Item, Kind, Question};
use crate::party::{OrgKind, PartnerStatus, Phase};

/// The vocabulary, ready to build requests and to ask them.
pub(crate) struct Engine {
    schema: Schema,
    /// The action entities with their groups.
    world: Entities,
    authorizer: Authorizer,
    types: HashMap<&'static str, EntityTypeName>,
}

/// A question in Cedar's terms.
pub(crate) struct Asked {
    request: Request,
    entities: Entities,
}

/// What one set of policies answers.
pub(crate) struct Answer {
    pub(crate) allow: bool,
    /// Ids of the policies that determined it, sorted.
    pub(crate) determining: Vec<String>,
}

/// The question does not fit the vocabulary, or a policy could not be evaluated: a fault, never an allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the covenant could not be evaluated for this question")]
pub(crate) struct Fault;

const TYPES: [&str; 16] = [
    "Action", "Actor", "Article", "Case", "Category", "Consent", "Facility", "Form", "Item", "Kind", "Measure",
    "Phase", "Purpose", "Role", "Standing", "Status",
];

impl Engine {
    pub(crate) fn new(schema: Schema) -> Result<Self, Fault> {
        let world = Entities::from_entities([], Some(&schema)).map_err(|_| Fault)?;
        let mut types = HashMap::new();
        for name in TYPES {
            types.insert(name, EntityTypeName::from_str(&format!("Sluis::{name}")).map_err(|_| Fault)?);
        }
        Ok(Self { schema, world, authorizer: Authorizer::new(), types })
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn ask(&self, question: &Question) -> Result<Asked, Fault> {
        let actor_uid = self.uid("Actor", "actor")?;
        let (resource, item) = match &question.item {
            Some(item) if question.action.is_exchange() => {
                let uid = self.uid("Item", "item")?;
                (uid.clone(), Some(self.entity(uid, self.item(item, question.case.as_ref())?)?))
            }
            None if question.action.is_facility() => (self.uid("Facility", "voorziening")?, None),
            None if !question.action.is_exchange() => (self.uid("Case", "case")?, None),
            _ => return Err(Fault),
        };
        let actor = self.entity(actor_uid.clone(), self.actor(&question.actor)?)?;
        let entities = self.world.clone();
        let entities = entities.add_entities([actor].into_iter().chain(item), Some(&self.schema)).map_err(|_| Fault)?;
        let context = Context::from_pairs(self.situation(question)?).map_err(|_| Fault)?;
        let action = self.uid("Action", question.action.code())?;
        let request = Request::new(actor_uid, action, resource, context, Some(&self.schema)).map_err(|_| Fault)?;
        Ok(Asked { request, entities })
    }

    /// Fails on any evaluation error: Cedar skips a policy that errs, and a skipped prohibition would open the door.
    pub(crate) fn answer(&self, asked: &Asked, policies: &PolicySet) -> Result<Answer, Fault> {
        let response = self.authorizer.is_authorized(&asked.request, policies, &asked.entities);
        if response.diagnostics().errors().next().is_some() {
            return Err(Fault);
        }
        let mut determining: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        determining.sort();
        Ok(Answer { allow: response.decision() == Decision::Allow, determining })
    }

    fn situation(&self, question: &Question) -> Result<Vec<(String, RestrictedExpression)>, Fault> {
        let case = question.case.as_ref();
        let other = question.other.as_ref();
        Ok(pairs([
            ("article", self.word("Article", &question.article.to_string())?),
            ("purpose", self.word("Purpose", question.purpose.code())?),
            ("reasonGiven", RestrictedExpression::new_bool(question.reason_given)),
            ("recipients", RestrictedExpression::new_long(i64::from(question.recipients))),
            ("other", self.party(other, question)?),
            ("case", self.case(case)?),
        ])
        .collect())
    }

    /// The other side; the facility where there is none. As source it stands for the casusregisseur whose index it keeps,
    /// and for nobody otherwise: a forgotten sender must not count as directly involved.
    fn party(&self, other: Option<&Actor>, question: &Question) -> Result<RestrictedExpression, Fault> {
        let is_source = question.item.is_some_and(|item| item.source == Kind::Facility);
        let holder = question.case.as_ref().map(|case| case.holder);
        let stands_in = is_source && matches!(holder, Some(OrgKind::Gemeente | OrgKind::Gi));
        let direct = other.map_or(stands_in && question.action == Action::Receive, Actor::direct);
        record([
            ("kind", self.word("Kind", other.map_or(Kind::Facility, |o| o.kind).code())?),
            ("role", self.word("Role", role_code(other))?),
            ("direct", RestrictedExpression::new_bool(direct)),
            ("executesMeasure", RestrictedExpression::new_bool(other.is_some_and(|o| o.executes_measure))),
        ])
    }

    fn case(&self, case: Option<&CaseFacts>) -> Result<RestrictedExpression, Fault> {
        let phase = case.map_or(Phase::F0, |c| c.phase);
        if phase == Phase::FE {
            return Err(Fault);
        }
        let measures = case.map(|c| c.measures.as_slice()).unwrap_or_default();
        let measures = measures.iter().map(|m| self.word("Measure", m.code())).collect::<Result<Vec<_>, _>>()?;
        let flag = |read: fn(&CaseFacts) -> bool| RestrictedExpression::new_bool(case.is_some_and(read));
        record([
            ("known", flag(|_| true)),
            ("phase", self.word("Phase", phase.code())?),
            ("escalated", flag(|c| c.escalated)),
            ("measures", RestrictedExpression::new_set(measures)),
            ("restricted", flag(|c| c.restricted)),
            ("objection", flag(|c| c.objection)),
            ("choiceMade", flag(|c| c.choice_made)),
            ("nearAdulthood", flag(|c| c.near_adulthood)),
        ])
    }

    fn actor(&self, actor: &Actor) -> Result<HashMap<String, RestrictedExpression>, Fault> {
        let status = match (actor.kind, actor.status) {
            (Kind::Partner(_), PartnerStatus::Active) => "active",
            (Kind::Partner(_), PartnerStatus::Suspended) => "suspended",
            (Kind::Partner(_), PartnerStatus::Withdrawn) => "withdrawn",
            (Kind::External(_), _) => "derde",
            (Kind::Facility, _) => return Err(Fault),
        };
        Ok(pairs([
            ("kind", self.word("Kind", actor.kind.code())?),
            ("status", self.word("Status", status)?),
            ("accepted", RestrictedExpression::new_bool(actor.accepted)),
            ("role", self.word("Role", role_code(Some(actor)))?),
            ("standing", self.word("Standing", actor.standing.code())?),
            ("direct", RestrictedExpression::new_bool(actor.direct())),
            ("invited", RestrictedExpression::new_bool(actor.invited)),
            ("chosen", RestrictedExpression::new_bool(actor.chosen)),
            ("executesMeasure", RestrictedExpression::new_bool(actor.executes_measure)),
        ])
        .collect())
    }

    fn item(&self, item: &Item, case: Option<&CaseFacts>) -> Result<HashMap<String, RestrictedExpression>, Fault> {
        let basis = match (item.source, case) {
            (Kind::Facility, Some(case)) => Kind::Partner(case.holder),
            (source, _) => source,
        };
        Ok(pairs([
            ("category", self.word("Category", item.category.code())?),
            ("form", self.word("Form", item.form.code())?),
            ("source", self.word("Kind", item.source.code())?),
            ("basisSource", self.word("Kind", basis.code())?),
            ("consent", self.word("Consent", item.consent.code())?),
            ("explicitConsent", self.word("Consent", item.explicit_consent.code())?),
            ("expired", RestrictedExpression::new_bool(item.expired)),
        ])
        .collect())
    }

    fn entity(&self, uid: EntityUid, attributes: HashMap<String, RestrictedExpression>) -> Result<Entity, Fault> {
        Entity::new(uid, attributes, HashSet::new()).map_err(|_| Fault)
    }

    fn word(&self, kind: &str, code: &str) -> Result<RestrictedExpression, Fault> {
        Ok(RestrictedExpression::new_entity_uid(self.uid(kind, code)?))
    }

    fn uid(&self, kind: &str, id: &str) -> Result<EntityUid, Fault> {
        let name = self.types.get(kind).ok_or(Fault)?;
        Ok(EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id)))
    }
}

fn role_code(actor: Option<&Actor>) -> &'static str {
    actor.and_then(|a| a.role).map_or("-", |role| role.code())
}

fn record<const N: usize>(fields: [(&str, RestrictedExpression); N]) -> Result<RestrictedExpression, Fault> {
    RestrictedExpression::new_record(pairs(fields)).map_err(|_| Fault)
}

fn pairs<const N: usize>(
    fields: [(&str, RestrictedExpression); N],
) -> impl Iterator<Item = (String, RestrictedExpression)> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value))
}
