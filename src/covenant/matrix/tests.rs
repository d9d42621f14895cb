use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::covenant::file::embedded_files;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    article: u8,
    recipient: String,
    category: String,
    phases: Vec<String>,
    form: String,
    basis: String,
    #[expect(dead_code, reason = "a remark for people")]
    condition: String,
}

impl Row {
    fn grant(&self) -> Grant {
        let phases = if self.phases == ["ANY"] {
            Phases::Any
        } else {
            Phases::In(self.phases.iter().map(|p| p.parse().unwrap()).collect())
        };
        Grant {
            article: Article::new(self.article).unwrap(),
            recipient: (self.recipient != "ALL").then(|| self.recipient.parse().unwrap()),
            category: self.category.parse().unwrap(),
            form: self.form.parse().unwrap(),
            phases,
            bases: self.basis.split(' ').map(|b| b.parse().unwrap()).collect(),
        }
    }
}

fn oracle() -> Vec<Grant> {
    let rows: Vec<Row> = serde_json::from_str(&embedded_files()["grants.json"]).unwrap();
    assert_eq!(rows.len(), 186);
    rows.iter().map(Row::grant).collect()
}

#[test]
fn matrix_is_exactly_the_grants() {
    let covenant = Covenant::embedded().unwrap();
    let matrix: BTreeSet<Grant> = covenant.matrix().into_iter().collect();
    let oracle: BTreeSet<Grant> = oracle().into_iter().collect();
    let extra: Vec<_> = matrix.difference(&oracle).collect();
    let lacking: Vec<_> = oracle.difference(&matrix).collect();
    assert!(extra.is_empty() && lacking.is_empty(), "extra: {extra:#?}\nlacking: {lacking:#?}");
    assert_eq!(matrix.len(), 186);
    no_clause_is_hidden(&covenant, &matrix);
}

/// Every role, category and form that a receiving clause names shows up: no clause needs a world that nobody tried.
fn no_clause_is_hidden(covenant: &Covenant, matrix: &BTreeSet<Grant>) {
    for clause in covenant.clauses.values() {
        let Some(rule) = clause.as_permit().filter(|rule| rule.action == Action::Receive) else { continue };
        let roles: Vec<Role> = Role::ALL.iter().copied().filter(|role| rule.names_role(*role)).collect();
        let named: Vec<Option<Role>> =
            if roles.is_empty() { vec![None] } else { roles.into_iter().map(Some).collect() };
        for category in rule.categories() {
            let found = |role: &Option<Role>| {
                matrix.iter().any(|g| {
                    (g.article, g.recipient, g.category, Some(g.form)) == (clause.article, *role, category, rule.form)
                })
            };
            assert!(named.iter().all(found), "{} {category}", clause.id);
        }
    }
}

/// Every grant has a sender, except where the facility is the source, and C02, which travels outside the facility.
#[test]
fn every_grant_has_a_sender() {
    let covenant = Covenant::embedded().unwrap();
    let mut unsent: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    for grant in oracle() {
        if !is_sent(&covenant, &grant) {
            *unsent.entry((grant.article.number(), grant.category.code())).or_default() += 1;
        }
    }
    let exceptions = [
        ((21, "C02"), 1), // identity goes from partner to partner, never through the facility (article 21)
        ((34, "C23"), 1), // the facility's consent register is the source
        ((34, "C24"), 1), // the facility's log is the source
        ((36, "C24"), 1), // the facility's log is the source
    ];
    assert_eq!(unsent, BTreeMap::from(exceptions));
}

/// In every phase of the grant there is a favourable sender.
fn is_sent(covenant: &Covenant, grant: &Grant) -> bool {
    let phases = match &grant.phases {
        Phases::Any => RESTING.to_vec(),
        Phases::In(phases) => phases.clone(),
    };
    let senders = senders(covenant, grant);
    phases.into_iter().all(|phase| {
        let (resting, escalated) = if phase == Phase::FE { (Phase::F4, true) } else { (phase, false) };
        senders.iter().any(|s| covenant.allows(&asking(&at(s, resting, escalated), grant.category, grant.form)))
    })
}

/// The favourable questions that get past the check on roles.
fn senders(covenant: &Covenant, grant: &Grant) -> Vec<Question> {
    let purpose = covenant.purpose(grant.article).unwrap();
    let school = grant.article.number() == 25 && grant.recipient == Some(Role::R02);
    let source = if school { Kind::External(ExternalKind::School) } else { Kind::Partner(OrgKind::Gemeente) };
    let mut questions = Vec::new();
    for sender in [None].into_iter().chain(Role::ALL.iter().copied().map(Some)) {
        for kind in OrgKind::ALL.iter().copied().map(Kind::Partner) {
            for other in
                kinds().filter(|k| grant.recipient == Some(Role::R16) || *k == Kind::Partner(OrgKind::Gemeente))
            {
                let mut question = favourable(grant.article, purpose, sender, kind, source);
                question.action = Action::Send;
                question.other = Some(Actor { role: grant.recipient, kind: other, ..question.actor });
                questions.push(question);
            }
        }
    }
    questions.retain(|q| covenant.decide(q).map_or_else(|denial| denial.step != WHO, |_| true));
    questions
}
