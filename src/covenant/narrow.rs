//! Why not: the first check that failed, in the order of REFERENCE §5.5.
//!
//! Prohibitions carry their step. Where no permit matched, the permits of the asked article are narrowed subject by
//! subject; the subject that leaves none is what failed.

use std::collections::BTreeSet;

use super::Covenant;
use super::clause::{Clause, Condition, PermitRule, Stage};
use super::decide::Denial;
use super::facts::{ConsentState, Question};
use super::request::{Asked, Fault};
use crate::party::Basis;
use crate::reason::Reason;

/// The subjects in the order of deciding, with their steps. The article itself was matched by choosing the group.
const ORDER: [(Stage, u8); 6] = [
    (Stage::Who, 5),
    (Stage::Phase, 7),
    (Stage::Category, 8),
    (Stage::Purpose, 8),
    (Stage::Basis, 9),
    (Stage::Limits, 12),
];

/// The permits that came furthest, and where they failed.
pub(crate) struct Near<'c> {
    pub(crate) stage: Stage,
    pub(crate) step: u8,
    /// What is left of the article's permits, with the conditions that do not hold; nearest first.
    pub(crate) permits: Vec<(&'c Clause, &'c PermitRule, Vec<&'c Condition>)>,
}

impl Covenant {
    /// `fired`: the prohibitions that determined the denial, if any.
    pub(crate) fn first_failure(&self, question: &Question, asked: &Asked, fired: &[String]) -> Denial {
        let mut failures: Vec<Denial> = Vec::new();
        for clause in fired.iter().filter_map(|id| self.clauses.get(id)) {
            if let Some(rule) = clause.as_forbid() {
                failures.push(denial(rule.reason, rule.step, vec![clause.id.clone()]));
            }
        }
        match self.nearest(question, asked) {
            Err(Fault) => return Denial::fault(),
            Ok(None) => {}
            Ok(Some(near)) => {
                let clauses = near.permits.iter().map(|(clause, ..)| clause.id.clone()).collect();
                failures.push(denial(self.reason_of(question, &near), near.step, clauses));
            }
        }
        let Some(first) = failures.iter().min_by_key(|f| (f.step, f.reason)).cloned() else { return Denial::fault() };
        let same = failures.into_iter().filter(|f| (f.step, f.reason) == (first.step, first.reason));
        let clauses: BTreeSet<String> = same.flat_map(|f| f.clauses).collect();
        Denial { clauses: clauses.into_iter().collect(), ..first }
    }

    /// Narrows the article's permits. `None`: one matches, so only a prohibition stands in the way.
    pub(crate) fn nearest(&self, question: &Question, asked: &Asked) -> Result<Option<Near<'_>>, Fault> {
        let Some(group) = self.index.group(question.action, question.article) else {
            return Ok(Some(Near { stage: Stage::Who, step: 5, permits: Vec::new() }));
        };
        let held: BTreeSet<String> = self.engine.answer(asked, &group.conditions)?.determining.into_iter().collect();
        let mut left: Vec<(&Clause, &PermitRule, Vec<&Condition>)> = Vec::new();
        for clause in group.permits.iter().filter_map(|id| self.clauses.get(id)) {
            let Some(rule) = clause.as_permit() else { continue };
            let missing = rule.conditions.iter().enumerate();
            let missing = missing.filter(|(number, _)| !held.contains(&format!("{}#{number}", clause.id)));
            left.push((clause, rule, missing.map(|(_, condition)| condition).collect()));
        }
        left.sort_by_key(|(_, _, missing)| missing.len());
        for (stage, step) in ORDER {
            let passes = |missing: &[&Condition]| missing.iter().all(|condition| condition.stage != stage);
            if !left.iter().any(|(_, _, missing)| passes(missing)) {
                return Ok(Some(Near { stage, step, permits: left }));
            }
            left.retain(|(_, _, missing)| passes(missing));
        }
        Ok(None)
    }

    fn reason_of(&self, question: &Question, near: &Near<'_>) -> Reason {
        let Some((_, rule, _)) = near.permits.first() else {
            return if self.index.grants(question.article) { Reason::RoleNotAllowed } else { Reason::ArticleInactive };
        };
        match near.stage {
            Stage::Who | Stage::Article => Reason::RoleNotAllowed,
            Stage::Purpose => Reason::PurposeMismatch,
            Stage::Phase => Reason::PhaseNotAllowed,
            Stage::Category => Reason::CategoryNotAllowed,
            Stage::Basis => basis_reason(question, rule),
            Stage::Limits => limit_reason(question, rule),
        }
    }
}

/// What the missing legal basis comes down to. The leading basis of the clause decides between measure and consent.
fn basis_reason(question: &Question, rule: &PermitRule) -> Reason {
    let has = |basis| rule.bases.contains(&basis);
    let executes = question.actor.executes_measure || question.other.is_some_and(|o| o.executes_measure);
    let active = question.case.as_ref().is_some_and(|case| !case.measures.is_empty());
    let measure_absent = rule.reads(Stage::Basis, "context.case.measures") && !(executes && active);
    let measure_leads = matches!(rule.bases.first(), Some(Basis::L5 | Basis::L13));
    let consent = question.item.map_or(ConsentState::Missing, |item| {
        if rule.reads(Stage::Basis, "resource.explicitConsent") { item.explicit_consent } else { item.consent }
    });
    let asks_consent =
        rule.reads(Stage::Basis, "resource.consent") || rule.reads(Stage::Basis, "resource.explicitConsent");
    if measure_absent && (!asks_consent || (measure_leads && consent == ConsentState::Missing)) {
        return Reason::MeasureAbsent;
    }
    if asks_consent {
        return match consent {
            ConsentState::Missing | ConsentState::Complete => Reason::ConsentMissing,
            ConsentState::Incomplete => Reason::ConsentIncomplete,
            ConsentState::Expired => Reason::ConsentExpired,
            ConsentState::Withdrawn => Reason::ConsentWithdrawn,
            ConsentState::RegimeChanged => Reason::RegimeChanged,
        };
    }
    if measure_leads {
        Reason::MeasureAbsent
    } else if has(Basis::L4) {
        Reason::NotInvolved
    } else {
        // Only a source or sender of another kind could give a basis.
        Reason::RoleNotAllowed
    }
}

fn limit_reason(question: &Question, rule: &PermitRule) -> Reason {
    let reads = |path| rule.reads(Stage::Limits, path);
    let choice = question.case.as_ref().is_some_and(|case| case.choice_made);
    let adult = question.case.as_ref().is_some_and(|case| case.near_adulthood);
    if (reads("principal.invited") && !question.actor.invited) || (reads("principal.chosen") && !question.actor.chosen)
    {
        Reason::NotInvolved
    } else if (reads("context.case.choiceMade") && !choice) || (reads("context.case.nearAdulthood") && !adult) {
        Reason::PhaseNotAllowed
    } else if reads("context.reasonGiven") && !question.reason_given {
        Reason::RequestIncomplete
    } else {
        Reason::RecipientLimit
    }
}

fn denial(reason: Reason, step: u8, clauses: Vec<String>) -> Denial {
    Denial { reason, clauses, step, fault: false }
}
