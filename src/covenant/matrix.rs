//! The rights matrix: who may receive what, asked of the decision itself with every other condition favourable.

use std::collections::{BTreeMap, BTreeSet};

use super::Covenant;
use super::facts::{Action, Actor, CaseFacts, ConsentState, Item, Kind, Purpose, Question, Standing};
use crate::party::{Article, Basis, Category, ExternalKind, Form, Measure, OrgKind, Phase, Role};

/// One cell: an article lets a recipient receive a category, in a form, in phases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    pub article: Article,
    /// `None`: every partner (article 20).
    pub recipient: Option<Role>,
    pub category: Category,
    pub form: Form,
    pub phases: Phases,
    /// Alternatives as the clause names them, the leading one first.
    pub bases: Vec<Basis>,
}

/// The phases of a grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phases {
    Any,
    /// In order; `FE` stands for "only while an escalation is active".
    In(Vec<Phase>),
}

/// The phases that a case can rest in.
const RESTING: [Phase; 9] =
    [Phase::F0, Phase::F1, Phase::F2, Phase::F3, Phase::F4, Phase::F5, Phase::F6, Phase::F7, Phase::F8];

/// Sources that between them satisfy every legal basis.
const SOURCES: [Kind; 3] =
    [Kind::Partner(OrgKind::Gemeente), Kind::Partner(OrgKind::Gi), Kind::External(ExternalKind::School)];

/// Steps of the checks on roles and on phase.
const WHO: u8 = 5;
const PHASE: u8 = 7;

impl Covenant {
    /// Every grant, ordered by article, recipient, category and form. Takes some seconds in a debug build.
    pub fn matrix(&self) -> Vec<Grant> {
        let mut grants = Vec::new();
        for (article, categories) in self.received() {
            let Some(purpose) = self.purpose(article) else { continue };
            for recipient in [None].into_iter().chain(Role::ALL.iter().copied().map(Some)) {
                let worlds = self.worlds(article, purpose, recipient);
                for category in &categories {
                    for form in Form::ALL {
                        grants.extend(self.grant(&worlds, *category, *form));
                    }
                }
            }
        }
        grants.sort();
        grants
    }

    /// One cell of the matrix, if the covenant has it: some hundred questions, a few milliseconds.
    pub fn cell(&self, article: Article, recipient: Option<Role>, category: Category, form: Form) -> Option<Grant> {
        let purpose = self.purpose(article)?;
        self.grant(&self.worlds(article, purpose, recipient), category, form)
    }

    fn received(&self) -> BTreeMap<Article, Vec<Category>> {
        let mut received: BTreeMap<Article, Vec<Category>> = BTreeMap::new();
        for (article, category) in self.index.received() {
            received.entry(article).or_default().push(category);
        }
        received
    }

    /// The favourable questions in which this recipient gets past the checks on roles and phase, whatever the category.
    fn worlds(&self, article: Article, purpose: Purpose, recipient: Option<Role>) -> Vec<Question> {
        let mut worlds = Vec::new();
        for kind in kinds() {
            for source in SOURCES {
                let question = favourable(article, purpose, recipient, kind, source);
                if self.fails_by(&question, WHO) {
                    continue;
                }
                for phase in RESTING {
                    // An escalation adds a right only where the phase alone does not give it.
                    let both = [at(&question, phase, false), at(&question, phase, true)];
                    worlds.extend(both.into_iter().find(|q| !self.fails_by(q, PHASE)));
                }
            }
        }
        worlds
    }

    fn fails_by(&self, question: &Question, step: u8) -> bool {
        self.decide(question).is_err_and(|denial| denial.step <= step)
    }

    fn grant(&self, worlds: &[Question], category: Category, form: Form) -> Option<Grant> {
        let mut phases: BTreeSet<Phase> = BTreeSet::new();
        for world in worlds {
            let phase = match &world.case {
                Some(case) if case.escalated => Phase::FE,
                Some(case) => case.phase,
                None => continue,
            };
            if !phases.contains(&phase) && self.allows(&asking(world, category, form)) {
                phases.insert(phase);
            }
        }
        let first = worlds.first().filter(|_| !phases.is_empty())?;
        let bases = self.bases(first, category, form)?;
        let phases = if phases.len() == RESTING.len() { Phases::Any } else { Phases::In(phases.into_iter().collect()) };
        Some(Grant { article: first.article, recipient: first.actor.role, category, form, phases, bases })
    }

    /// The bases of the clause behind the cell.
    fn bases(&self, world: &Question, category: Category, form: Form) -> Option<Vec<Basis>> {
        let group = self.index.group(world.action, world.article)?;
        let rules = group.permits.iter().filter_map(|id| self.clauses.get(id)?.as_permit());
        let mut fits = rules.filter(|rule| {
            let speaks = rule.categories().contains(&category) && rule.form == Some(form);
            speaks && world.actor.role.is_none_or(|role| rule.names_role(role))
        });
        fits.next().map(|rule| rule.bases.clone())
    }
}

fn kinds() -> impl Iterator<Item = Kind> {
    let partners = OrgKind::ALL.iter().copied().map(Kind::Partner);
    partners.chain(ExternalKind::ALL.iter().copied().map(Kind::External))
}

fn at(world: &Question, phase: Phase, escalated: bool) -> Question {
    let mut question = world.clone();
    question.case = world.case.clone().map(|case| CaseFacts { phase, escalated, ..case });
    question
}

fn asking(world: &Question, category: Category, form: Form) -> Question {
    Question { item: world.item.map(|item| Item { category, form, ..item }), ..world.clone() }
}

/// Everything that a clause could ask for is so. The category, form and phase are placeholders.
pub(crate) fn favourable(article: Article, purpose: Purpose, role: Option<Role>, kind: Kind, source: Kind) -> Question {
    let actor = match kind {
        Kind::External(kind) => Actor { role, ..Actor::external(kind) },
        _ => Actor { kind, role, standing: Standing::Participant, ..Actor::partner(OrgKind::Gemeente) },
    };
    let actor = Actor { involved: true, invited: true, chosen: true, executes_measure: true, ..actor };
    let sender = Actor { involved: true, executes_measure: true, ..Actor::participant(OrgKind::Gi, Role::R03) };
    Question {
        action: Action::Receive,
        article,
        purpose,
        actor,
        other: Some(sender),
        case: Some(CaseFacts {
            measures: Measure::ALL.to_vec(),
            choice_made: true,
            near_adulthood: true,
            ..CaseFacts::in_phase(Phase::F3, OrgKind::Gemeente)
        }),
        item: Some(Item {
            category: Category::C01,
            form: Form::I,
            source,
            consent: ConsentState::Complete,
            explicit_consent: ConsentState::Complete,
            expired: false,
        }),
        recipients: 1,
        reason_given: true,
    }
}

#[cfg(test)]
mod tests;
