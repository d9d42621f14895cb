//! One clause of the covenant: a policy, what its annotations say, and its conditions apart.

use std::collections::BTreeSet;
use std::str::FromStr;

use cedar_policy::{ActionConstraint, Effect, Policy};
use serde_json::Value;

use super::facts::{Action, Purpose};
use crate::party::{Article, Basis, Category, Form, Role};
use crate::reason::Reason;

/// A checked clause.
pub(crate) struct Clause {
    /// The covenant's own numbering, also the policy id.
    pub(crate) id: String,
    pub(crate) article: Article,
    pub(crate) policy: Policy,
    pub(crate) rule: Rule,
}

pub(crate) enum Rule {
    Permit(PermitRule),
    Forbid(ForbidRule),
}

/// An article grants something, under conditions.
pub(crate) struct PermitRule {
    pub(crate) action: Action,
    pub(crate) title: String,
    pub(crate) purpose: Purpose,
    /// Alternatives, the first one leading.
    pub(crate) bases: Vec<Basis>,
    pub(crate) retention: String,
    pub(crate) form: Option<Form>,
    pub(crate) conditions: Vec<Condition>,
}

/// What always holds.
pub(crate) struct ForbidRule {
    pub(crate) deny: String,
    pub(crate) deny_en: String,
    pub(crate) reason: Reason,
    /// Step of the decision order (REFERENCE §5.5).
    pub(crate) step: u8,
}

/// One `when`.
pub(crate) struct Condition {
    pub(crate) stage: Stage,
    pub(crate) body: Value,
    /// Attribute paths, such as `principal.role`.
    pub(crate) reads: BTreeSet<String>,
}

/// What a condition is about, in the order in which a clause is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Who,
    Article,
    Purpose,
    Phase,
    Category,
    Basis,
    Limits,
}

/// What is wrong with a clause and how to mend it. The file is named by the loader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClauseError {
    #[error("annotation @{0} is missing: add it")]
    AnnotationMissing(&'static str),
    #[error("annotation @{0} is not known here: remove it or correct its name")]
    AnnotationUnknown(String),
    #[error("annotation @{0} has a value outside its vocabulary: correct it")]
    AnnotationValue(&'static str),
    #[error("@article must be the number of the article's file and the first part of @clause")]
    ArticleDiffers,
    #[error("a permit must name exactly one known action: write action == Sluis::Action::\"...\"")]
    ActionScope,
    #[error("an article's file holds permits only and algemeen.cedar prohibitions only: move the clause")]
    EffectMisplaced,
    #[error("condition {0} mixes subjects: give each subject its own when")]
    ConditionMixed(usize),
    #[error("condition {0} is out of order: who, article, purpose, phase, category and form, basis, limits")]
    ConditionOrder(usize),
    #[error("condition {0} must be a plain choice (== or contains): rewrite it without negation")]
    ConditionShape(usize),
    #[error("conditions must name @article and @purpose exactly as annotated")]
    ConditionDiffers,
    #[error("the exchange clause needs one condition on category")]
    CategoryMissing,
}

impl Clause {
    pub(crate) fn permit(policy: Policy, file_article: Article) -> Result<Self, ClauseError> {
        if policy.effect() != Effect::Permit {
            return Err(ClauseError::EffectMisplaced);
        }
        let action = action(&policy)?;
        let form = action == Action::Receive;
        known(&policy, &["clause", "article", "title", "purpose", "basis", "retention"], form.then_some("form"))?;
        let article: Article = word(&policy, "article")?;
        let id = text(&policy, "clause")?.to_owned();
        if article != file_article || id.split('.').next() != Some(article.to_string().as_str()) {
            return Err(ClauseError::ArticleDiffers);
        }
        let bases: Result<Vec<Basis>, _> = text(&policy, "basis")?.split(' ').map(str::parse).collect();
        let rule = PermitRule {
            action,
            title: text(&policy, "title")?.to_owned(),
            purpose: word(&policy, "purpose")?,
            bases: bases.map_err(|_| ClauseError::AnnotationValue("basis"))?,
            retention: text(&policy, "retention")?.to_owned(),
            form: form.then(|| word(&policy, "form")).transpose()?,
            conditions: conditions(&policy)?,
        };
        rule.check(article)?;
        Ok(Self { id, article, policy, rule: Rule::Permit(rule) })
    }

    pub(crate) fn forbid(policy: Policy) -> Result<Self, ClauseError> {
        if policy.effect() != Effect::Forbid {
            return Err(ClauseError::EffectMisplaced);
        }
        known(&policy, &["clause", "article", "deny", "deny_en", "reason", "order"], None)?;
        let step: u8 = word(&policy, "order")?;
        if !(2..=12).contains(&step) {
            return Err(ClauseError::AnnotationValue("order"));
        }
        Ok(Self {
            id: text(&policy, "clause")?.to_owned(),
            article: word(&policy, "article")?,
            rule: Rule::Forbid(ForbidRule {
                deny: text(&policy, "deny")?.to_owned(),
                deny_en: text(&policy, "deny_en")?.to_owned(),
                reason: word(&policy, "reason")?,
                step,
            }),
            policy,
        })
    }

    pub(crate) fn as_permit(&self) -> Option<&PermitRule> {
        match &self.rule {
            Rule::Permit(rule) => Some(rule),
            Rule::Forbid(_) => None,
        }
    }

    pub(crate) fn as_forbid(&self) -> Option<&ForbidRule> {
        match &self.rule {
            Rule::Forbid(rule) => Some(rule),
            Rule::Permit(_) => None,
        }
    }
}

impl PermitRule {
    /// The categories that the clause speaks of: exactly the literals of its category condition, which is a plain choice.
    pub(crate) fn categories(&self) -> BTreeSet<Category> {
        self.literals(Stage::Category, "Category").iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// Whether the clause names this role for the one who asks.
    pub(crate) fn names_role(&self, role: Role) -> bool {
        self.literals(Stage::Who, "Role").contains(role.code())
    }

    /// Whether the condition of this stage reads the attribute.
    pub(crate) fn reads(&self, stage: Stage, path: &str) -> bool {
        self.conditions.iter().any(|c| c.stage == stage && c.reads.contains(path))
    }

    fn check(&self, article: Article) -> Result<(), ClauseError> {
        let mut last = Stage::Who;
        for (number, condition) in self.conditions.iter().enumerate() {
            if condition.stage < last || (number > 0 && condition.stage == last && last < Stage::Basis) {
                return Err(ClauseError::ConditionOrder(number + 1));
            }
            last = condition.stage;
            let plain = matches!(condition.stage, Stage::Article | Stage::Purpose | Stage::Category);
            if plain && !is_choice(&condition.body) {
                return Err(ClauseError::ConditionShape(number + 1));
            }
        }
        let one = |stage, kind, code: &str| self.literals(stage, kind) == BTreeSet::from([code.to_owned()]);
        let form = self.form.is_none_or(|form| one(Stage::Category, "Form", form.code()));
        if !one(Stage::Article, "Article", &article.to_string())
            || !one(Stage::Purpose, "Purpose", self.purpose.code())
            || !form
        {
            return Err(ClauseError::ConditionDiffers);
        }
        if self.action.is_exchange() && self.categories().is_empty() {
            return Err(ClauseError::CategoryMissing);
        }
        Ok(())
    }

    fn literals(&self, stage: Stage, kind: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for condition in self.conditions.iter().filter(|c| c.stage == stage) {
            walk(&condition.body, &mut |node| {
                if let Some((type_name, id)) = entity(node)
                    && type_name.strip_prefix("Sluis::") == Some(kind)
                {
                    found.insert(id.to_owned());
                }
            });
        }
        found
    }
}

/// `Value` node of an entity: its type and id.
pub(crate) fn entity(node: &Value) -> Option<(&str, &str)> {
    let entity = node.get("Value")?.get("__entity")?;
    Some((entity.get("type")?.as_str()?, entity.get("id")?.as_str()?))
}

/// `principal.role` and the like, if the node is a path of attributes.
pub(crate) fn path(node: &Value) -> Option<String> {
    if let Some(variable) = node.get("Var") {
        return variable.as_str().map(str::to_owned);
    }
    let access = node.get(".")?;
    Some(format!("{}.{}", path(access.get("left")?)?, access.get("attr")?.as_str()?))
}

fn conditions(policy: &Policy) -> Result<Vec<Condition>, ClauseError> {
    let json = policy.to_json().map_err(|_| ClauseError::ConditionShape(0))?;
    let list = json.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    list.into_iter().enumerate().map(|(number, condition)| one_condition(number + 1, &condition)).collect()
}

fn one_condition(number: usize, condition: &Value) -> Result<Condition, ClauseError> {
    if condition.get("kind").and_then(Value::as_str) != Some("when") {
        return Err(ClauseError::ConditionShape(number));
    }
    let body = condition.get("body").cloned().ok_or(ClauseError::ConditionShape(number))?;
    let mut reads = BTreeSet::new();
    collect_paths(&body, &mut reads);
    let stage = stage(&reads).ok_or(ClauseError::ConditionMixed(number))?;
    Ok(Condition { stage, body, reads })
}

/// The subject of a condition follows from the attributes that it reads. Grounds and limits may weigh several attributes;
/// every other subject stands alone.
fn stage(reads: &BTreeSet<String>) -> Option<Stage> {
    let stages: BTreeSet<Stage> = reads.iter().map(|path| attribute(path)).collect::<Option<_>>()?;
    if stages.contains(&Stage::Basis) {
        return (!stages.contains(&Stage::Article) && !stages.contains(&Stage::Purpose)).then_some(Stage::Basis);
    }
    if stages.contains(&Stage::Limits) {
        return Some(if stages.iter().all(|s| matches!(s, Stage::Limits | Stage::Who)) {
            Stage::Limits
        } else {
            None?
        });
    }
    (stages.len() == 1).then(|| stages.first().copied())?
}

/// Which subject an attribute belongs to: a closed table, so that a new attribute is a decision.
fn attribute(path: &str) -> Option<Stage> {
    Some(match path {
        "principal.role" | "principal.kind" | "context.other.role" | "context.other.kind" | "resource.source" => {
            Stage::Who
        }
        "context.article" => Stage::Article,
        "context.purpose" => Stage::Purpose,
        "context.case.phase" | "context.case.escalated" => Stage::Phase,
        "resource.category" | "resource.form" => Stage::Category,
        "resource.basisSource"
        | "resource.consent"
        | "resource.explicitConsent"
        | "principal.direct"
        | "context.other.direct"
        | "principal.executesMeasure"
        | "context.other.executesMeasure"
        | "context.case.measures" => Stage::Basis,
        "principal.invited"
        | "principal.chosen"
        | "context.case.choiceMade"
        | "context.case.nearAdulthood"
        | "context.recipients"
        | "context.reasonGiven" => Stage::Limits,
        _ => return None,
    })
}

/// Longest paths only: `principal.role`, not `principal`.
fn collect_paths(node: &Value, into: &mut BTreeSet<String>) {
    if let Some(path) = path(node) {
        into.insert(path);
        return;
    }
    match node {
        Value::Object(fields) => fields.values().for_each(|child| collect_paths(child, into)),
        Value::Array(items) => items.iter().for_each(|child| collect_paths(child, into)),
        _ => {}
    }
}

fn walk(node: &Value, visit: &mut impl FnMut(&Value)) {
    visit(node);
    match node {
        Value::Object(fields) => fields.values().for_each(|child| walk(child, visit)),
        Value::Array(items) => items.iter().for_each(|child| walk(child, visit)),
        _ => {}
    }
}

/// Only `&&`, `==`, `contains`, sets, literals and paths: then the literals are exactly what is accepted.
fn is_choice(node: &Value) -> bool {
    let Some((operator, operands)) = node.as_object().and_then(|o| o.iter().next()) else { return false };
    match operator.as_str() {
        "&&" => operands.as_object().is_some_and(|o| o.values().all(is_choice)),
        "==" | "contains" => operands.as_object().is_some_and(|o| o.values().all(is_plain)),
        _ => false,
    }
}

fn is_plain(node: &Value) -> bool {
    let set = node.get("Set").and_then(Value::as_array);
    path(node).is_some() || entity(node).is_some() || set.is_some_and(|items| items.iter().all(|i| entity(i).is_some()))
}

fn action(policy: &Policy) -> Result<Action, ClauseError> {
    match policy.action_constraint() {
        ActionConstraint::Eq(uid) => uid.id().unescaped().parse().map_err(|_| ClauseError::ActionScope),
        _ => Err(ClauseError::ActionScope),
    }
}

fn known(policy: &Policy, required: &[&'static str], also: Option<&'static str>) -> Result<(), ClauseError> {
    for name in required.iter().chain(also.iter()) {
        text(policy, name)?;
    }
    let stranger = policy.annotations().find(|(key, _)| !required.contains(key) && also != Some(*key));
    stranger.map_or(Ok(()), |(key, _)| Err(ClauseError::AnnotationUnknown(key.to_owned())))
}

fn text<'p>(policy: &'p Policy, name: &'static str) -> Result<&'p str, ClauseError> {
    policy.annotation(name).filter(|value| !value.trim().is_empty()).ok_or(ClauseError::AnnotationMissing(name))
}

fn word<T: FromStr>(policy: &Policy, name: &'static str) -> Result<T, ClauseError> {
    text(policy, name)?.parse().map_err(|_| ClauseError::AnnotationValue(name))
}
