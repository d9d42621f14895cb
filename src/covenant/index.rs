//! Which clauses can matter to a question: built once, so that a decision costs the same in a covenant of any length.

use std::collections::BTreeMap;

use cedar_policy::{Policy, PolicyId, PolicySet};
use serde_json::json;

use super::clause::Clause;
use super::facts::{Action, Question};
use crate::party::{Article, Category};

/// The clauses by action, article and category; the prohibitions are in every part.
pub(crate) struct Index {
    whole: PolicySet,
    forbids: PolicySet,
    groups: BTreeMap<(Action, Article), Group>,
}

/// The permits of one action under one article.
pub(crate) struct Group {
    /// Ids in order.
    pub(crate) permits: Vec<String>,
    /// Every condition of every permit as a policy of its own, named `clause#number` from 0.
    pub(crate) conditions: PolicySet,
    cells: BTreeMap<Option<Category>, PolicySet>,
}

impl Index {
    /// Fails with a message for the editor of the covenant.
    pub(crate) fn build(clauses: &BTreeMap<String, Clause>) -> Result<Self, String> {
        let mut forbids = PolicySet::new();
        let mut whole = PolicySet::new();
        for clause in clauses.values() {
            add(&mut whole, &clause.policy)?;
            if clause.as_forbid().is_some() {
                add(&mut forbids, &clause.policy)?;
            }
        }
        let mut groups: BTreeMap<(Action, Article), Group> = BTreeMap::new();
        for clause in clauses.values() {
            let Some(rule) = clause.as_permit() else { continue };
            let group = groups.entry((rule.action, clause.article)).or_insert_with(Group::empty);
            group.permits.push(clause.id.clone());
            for (number, condition) in rule.conditions.iter().enumerate() {
                let id = PolicyId::new(format!("{}#{number}", clause.id));
                add(&mut group.conditions, &lone(id, &condition.body)?)?;
            }
            let mut cells: Vec<Option<Category>> = rule.categories().into_iter().map(Some).collect();
            if cells.is_empty() {
                cells.push(None);
            }
            for cell in cells {
                let policies = group.cells.entry(cell).or_insert_with(|| forbids.clone());
                add(policies, &clause.policy)?;
            }
        }
        Ok(Self { whole, forbids, groups })
    }

    /// Every clause.
    pub(crate) fn whole(&self) -> &PolicySet {
        &self.whole
    }

    /// The clauses that can decide this question: the prohibitions, and the permits of its cell.
    pub(crate) fn slice(&self, question: &Question) -> &PolicySet {
        let group = self.groups.get(&(question.action, question.article));
        group.and_then(|g| g.cells.get(&question.item.map(|item| item.category))).unwrap_or(&self.forbids)
    }

    pub(crate) fn group(&self, action: Action, article: Article) -> Option<&Group> {
        self.groups.get(&(action, article))
    }

    /// Whether the article grants anything at all.
    pub(crate) fn grants(&self, article: Article) -> bool {
        self.groups.keys().any(|(_, a)| *a == article)
    }

    /// The articles and categories that some clause lets a recipient receive.
    pub(crate) fn received(&self) -> impl Iterator<Item = (Article, Category)> {
        self.groups
            .iter()
            .filter(|((action, _), _)| *action == Action::Receive)
            .flat_map(|((_, article), group)| group.cells.keys().flatten().map(|category| (*article, *category)))
    }
}

impl Group {
    fn empty() -> Self {
        Self { permits: Vec::new(), conditions: PolicySet::new(), cells: BTreeMap::new() }
    }
}

/// A policy that allows whenever this one condition holds: used to find which conditions hold, never to decide.
fn lone(id: PolicyId, body: &serde_json::Value) -> Result<Policy, String> {
    let all = json!({ "op": "All" });
    let policy = json!({
        "effect": "permit", "principal": all, "action": all, "resource": all,
        "conditions": [{ "kind": "when", "body": body }],
    });
    Policy::from_json(Some(id), policy).map_err(|e| e.to_string())
}

fn add(set: &mut PolicySet, policy: &Policy) -> Result<(), String> {
    set.add(policy.clone()).map_err(|e| e.to_string())
}
