//! The decision: a [`Permit`] or a [`Denial`], never anything between.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::facts::{Action, ConsentState, Item, Question};
use super::{Covenant, Version};
use crate::party::{Article, Basis};
use crate::reason::Reason;

/// Proof that the covenant allows something. Only [`Covenant::decide`] makes one.
///
/// ```compile_fail,E0451
/// fn widen(permit: sluis::covenant::Permit) -> sluis::covenant::Permit {
///     sluis::covenant::Permit { clauses: ["22.a".to_owned()].into(), ..permit }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a permit that is not used lets nothing through"]
pub struct Permit {
    clauses: BTreeSet<String>,
    articles: BTreeSet<Article>,
    bases: BTreeSet<Basis>,
    retention: BTreeSet<String>,
    actions: BTreeSet<Action>,
    consents: BTreeSet<String>,
    version: Arc<Version>,
}

/// Which kind of consent a permit rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentBehind {
    /// Consent for exactly this.
    Any,
    /// The same, explicit and naming the source.
    Explicit,
}

/// The covenant does not allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The first check that failed, in the order of REFERENCE §5.5.
    pub reason: Reason,
    /// The prohibitions that fired at that check, or the permits that came nearest.
    pub clauses: Vec<String>,
    /// Step of the decision order, 2–12.
    pub step: u8,
    /// The covenant could not be evaluated: refused, and somebody must look.
    pub fault: bool,
}

impl Covenant {
    /// Decides one question. Deterministic and without side effects. One that was decided before takes a microsecond.
    pub fn decide(&self, question: &Question) -> Result<Permit, Denial> {
        self.memo.answer(question, || self.evaluate(question))
    }

    /// Decides by asking Cedar, whatever was decided before.
    pub fn evaluate(&self, question: &Question) -> Result<Permit, Denial> {
        let asked = self.engine.ask(question).map_err(|_| Denial::fault())?;
        let policies = self.index.slice(question);
        let answer = self.engine.answer(&asked, policies).map_err(|_| Denial::fault())?;
        if answer.allow {
            Permit::granted(self, question, answer.determining).ok_or_else(Denial::fault)
        } else {
            Err(self.first_failure(question, &asked, &answer.determining))
        }
    }
}

impl Covenant {
    /// What consent a question rests on that was permitted: without it the answer would have been no. `None`: it was permitted
    /// on another ground, whatever consents there are.
    pub fn consent_behind(&self, question: &Question) -> Option<ConsentBehind> {
        let item = question.item?;
        let with = |consent, explicit_consent| {
            let item = Some(Item { consent, explicit_consent, ..item });
            self.decide(&Question { item, ..question.clone() }).is_ok()
        };
        let missing = ConsentState::Missing;
        match (item.consent, item.explicit_consent) {
            (ConsentState::Complete, _) | (_, ConsentState::Complete) if !with(missing, missing) => {
                Some(if with(item.consent, missing) { ConsentBehind::Any } else { ConsentBehind::Explicit })
            }
            _ => None,
        }
    }

    /// Whether [`Covenant::decide`] would permit it, without asking why not: for the many questions of the matrix.
    pub(crate) fn allows(&self, question: &Question) -> bool {
        let asked = self.engine.ask(question);
        asked.and_then(|asked| self.engine.answer(&asked, self.index.slice(question))).is_ok_and(|answer| answer.allow)
    }
}

impl Permit {
    /// The one constructor. `None` if no permit clause stands behind it.
    fn granted(covenant: &Covenant, question: &Question, ids: Vec<String>) -> Option<Self> {
        let mut bases = BTreeSet::new();
        let mut retention = BTreeSet::new();
        for id in &ids {
            let rule = covenant.clauses.get(id)?.as_permit()?;
            bases.extend(rule.bases.iter().copied());
            retention.insert(rule.retention.clone());
        }
        (!ids.is_empty()).then(|| Self {
            clauses: ids.into_iter().collect(),
            articles: BTreeSet::from([question.article]),
            actions: BTreeSet::from([question.action]),
            consents: BTreeSet::new(),
            version: Arc::clone(&covenant.version),
            bases,
            retention,
        })
    }

    /// Both permits in one: an exchange needs leave to send and leave to receive.
    pub fn and(mut self, other: Self) -> Self {
        self.clauses.extend(other.clauses);
        self.articles.extend(other.articles);
        self.bases.extend(other.bases);
        self.retention.extend(other.retention);
        self.actions.extend(other.actions);
        self.consents.extend(other.consents);
        self
    }

    /// Names the consents without which it would have been refused.
    pub(crate) fn resting_on(mut self, consents: impl IntoIterator<Item = String>) -> Self {
        self.consents.extend(consents);
        self
    }

    /// The consents without which it would have been refused, sorted.
    pub fn consents(&self) -> impl Iterator<Item = &str> {
        self.consents.iter().map(String::as_str)
    }

    /// The clauses that allowed it, sorted.
    pub fn clauses(&self) -> impl Iterator<Item = &str> {
        self.clauses.iter().map(String::as_str)
    }

    /// The article; the lowest number where permits of several were joined.
    pub fn article(&self) -> Option<Article> {
        self.articles.first().copied()
    }

    /// The legal bases that the clauses name; at least one of each clause's alternatives held.
    pub fn bases(&self) -> impl Iterator<Item = Basis> {
        self.bases.iter().copied()
    }

    /// The retention classes (`B0`–`B6`) that the clauses name.
    pub fn retention(&self) -> impl Iterator<Item = &str> {
        self.retention.iter().map(String::as_str)
    }

    /// Whether leave for this action is in it.
    pub fn allows(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    /// The covenant version that decided.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl Denial {
    /// Refused because the covenant could not be evaluated.
    pub(crate) fn fault() -> Self {
        Self { reason: Reason::RequestIncomplete, clauses: Vec::new(), step: 4, fault: true }
    }
}
