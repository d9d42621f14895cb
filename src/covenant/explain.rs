//! A decision in plain words, Dutch and English. Composed from the clauses' own annotations and closed tables of words.
//!
//! An explanation discloses. Whoever takes no active part in the case gets [`Explanation::for_outsiders`] and nothing
//! else; that the caller is such a participant is for the caller of this module to establish.

use serde_json::Value;

use super::Covenant;
use super::clause::{entity, path};
use super::decide::Denial;
use super::facts::Question;
use super::narrow::Near;
use super::words;
use crate::party::Article;
use crate::reason::Reason;

/// Why, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub allowed: bool,
    /// `None` when allowed, and for outsiders.
    pub reason: Option<Reason>,
    /// `None` for outsiders.
    pub article: Option<Article>,
    pub sentence_nl: String,
    pub sentence_en: String,
    /// The deciding clause, or the nearest one.
    pub clause: Option<String>,
    /// What the nearest clause still asks: Dutch and English.
    pub missing: Vec<(String, String)>,
}

impl Explanation {
    /// The one sentence for everybody who takes no part: the same for an unknown case and a case of others.
    pub fn for_outsiders() -> Self {
        Self {
            allowed: false,
            reason: None,
            article: None,
            sentence_nl: "Deze vraag is niet toegestaan of slaat op niets dat u kent.".to_owned(),
            sentence_en: "This request is not allowed, or concerns nothing known to you.".to_owned(),
            clause: None,
            missing: Vec::new(),
        }
    }
}

impl Covenant {
    /// Explains the decision on a question; usable for "what if" by changing the facts.
    pub fn explain(&self, question: &Question) -> Explanation {
        match self.decide(question) {
            Ok(permit) => {
                let clause = permit.clauses().next().unwrap_or_default().to_owned();
                let title = self.title(&clause);
                Explanation {
                    allowed: true,
                    reason: None,
                    article: Some(question.article),
                    sentence_nl: format!("Toegestaan door bepaling {clause} ({title})."),
                    sentence_en: format!("Allowed by clause {clause} of article {}.", question.article),
                    clause: Some(clause),
                    missing: Vec::new(),
                }
            }
            Err(denial) => self.refusal(question, &denial),
        }
    }

    fn refusal(&self, question: &Question, denial: &Denial) -> Explanation {
        let clause = denial.clauses.first().cloned();
        let rule = clause.as_ref().and_then(|id| self.clauses.get(id)).and_then(|c| c.as_forbid());
        let (nl, en, clause, missing) = match rule {
            _ if denial.fault => (
                "Geweigerd: de vraag kon niet worden beoordeeld.".to_owned(),
                "Refused: the request could not be evaluated.".to_owned(),
                None,
                Vec::new(),
            ),
            Some(rule) => {
                (format!("Geweigerd: {}", rule.deny), format!("Refused: {}", rule.deny_en), clause, Vec::new())
            }
            None => self.near_miss(question),
        };
        Explanation {
            allowed: false,
            reason: Some(denial.reason),
            article: Some(question.article),
            sentence_nl: nl,
            sentence_en: en,
            clause,
            missing,
        }
    }

    /// No prohibition speaks: the nearest permit of the article, and what it still asks.
    fn near_miss(&self, question: &Question) -> (String, String, Option<String>, Vec<(String, String)>) {
        let near = self.engine.ask(question).and_then(|asked| self.nearest(question, &asked)).ok().flatten();
        let Some((clause, rule, missing)) = near.and_then(|Near { permits, .. }| permits.into_iter().next()) else {
            let article = question.article;
            return (
                format!("Geweigerd: artikel {article} kent hiervoor geen bepaling."),
                format!("Refused: article {article} has no clause for this."),
                None,
                Vec::new(),
            );
        };
        let said = |language| missing.iter().map(|c| say(&c.body, language)).collect::<Vec<String>>();
        let (nl, en) = (said(Language::Dutch), said(Language::English));
        (
            format!(
                "Geweigerd. Het dichtst komt bepaling {} ({}); daarvoor is nog nodig: {}.",
                clause.id,
                rule.title,
                nl.join("; ")
            ),
            format!("Refused. The nearest clause is {}; it still requires: {}.", clause.id, en.join("; ")),
            Some(clause.id.clone()),
            nl.into_iter().zip(en).collect(),
        )
    }

    fn title(&self, clause: &str) -> &str {
        self.clauses.get(clause).and_then(|c| c.as_permit()).map_or("", |rule| &rule.title)
    }
}

#[derive(Clone, Copy)]
enum Language {
    Dutch,
    English,
}

impl Language {
    fn pick(self, both: words::Both) -> &'static str {
        match self {
            Self::Dutch => both.0,
            Self::English => both.1,
        }
    }
}

/// A condition as a phrase. The operators are those that the loader lets through; anything else stays unnamed.
fn say(node: &Value, language: Language) -> String {
    if let Some(path) = path(node) {
        return language.pick(fact(&path)).to_owned();
    }
    let Some((operator, operands)) = node.as_object().and_then(|o| o.iter().next()) else { return unnamed(language) };
    let part = |name: &str| operands.get(name).unwrap_or(&Value::Null);
    match operator.as_str() {
        "&&" => {
            format!("{} {} {}", say(part("left"), language), language.pick(("en", "and")), say(part("right"), language))
        }
        "||" => {
            format!("{}, {} {}", say(part("left"), language), language.pick(("of", "or")), say(part("right"), language))
        }
        "==" => is(part("left"), part("right"), language),
        "contains" => is(part("right"), part("left"), language),
        "!" => say(part("arg"), language),
        "isEmpty" => say(part("arg"), language),
        "<=" => {
            let count = part("right").get("Value").and_then(Value::as_u64).unwrap_or_default();
            format!(
                "{} {count} {}",
                language.pick(("ten hoogste", "at most")),
                language.pick(("ontvangers", "recipients"))
            )
        }
        _ => unnamed(language),
    }
}

/// "The role is R02 (case lead)" for one value or a set of them. For a set of facts the sides are the other way round.
fn is(subject: &Value, values: &Value, language: Language) -> String {
    let (subject, values) = if path(subject).is_some() { (subject, values) } else { (values, subject) };
    let list = values.get("Set").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![values.clone()]);
    let names: Vec<String> = list.iter().filter_map(entity).map(|(kind, id)| name(kind, id, language)).collect();
    let subject = path(subject).map_or(("dit", "this"), |p| fact(&p));
    let verb = language.pick(("is", "is"));
    format!("{} {verb} {}", language.pick(subject), names.join(language.pick((" of ", " or "))))
}

fn unnamed(language: Language) -> String {
    language.pick(("een voorwaarde van het artikel", "a condition of the article")).to_owned()
}

/// A code with its name, where it has one.
fn name(kind: &str, id: &str, language: Language) -> String {
    let both = match kind {
        "Sluis::Role" => id.parse().ok().map(words::role),
        "Sluis::Category" => id.parse().ok().map(words::category),
        "Sluis::Phase" => id.parse().ok().map(words::phase),
        "Sluis::Form" => id.parse().ok().map(words::form),
        "Sluis::Consent" => (id == "complete").then_some(("volledig", "complete")),
        _ => None,
    };
    match both {
        Some(both) if kind == "Sluis::Consent" => language.pick(both).to_owned(),
        Some(both) => format!("{id} ({})", language.pick(both)),
        None if id == "-" => language.pick(("geen", "none")).to_owned(),
        None => id.to_owned(),
    }
}

/// What an attribute says: a closed table, one row per attribute that a permit may read.
fn fact(path: &str) -> words::Both {
    match path {
        "principal.role" => ("de eigen rol", "the own role"),
        "principal.kind" => ("de soort van de eigen organisatie", "the kind of the own organisation"),
        "principal.direct" => ("zelf rechtstreeks betrokken zijn", "being directly involved oneself"),
        "principal.invited" => {
            ("een uitnodiging aan de tafel van deze casus", "an invitation to the table of this case")
        }
        "principal.chosen" => ("de gekozen aanbieder zijn", "being the chosen provider"),
        "principal.executesMeasure" => ("zelf de maatregel uitvoeren", "carrying out the measure oneself"),
        "context.other.role" => ("de rol van de andere partij", "the role of the other party"),
        "context.other.kind" => ("de soort van de andere partij", "the kind of the other party"),
        "context.other.direct" => {
            ("rechtstreekse betrokkenheid van de andere partij", "direct involvement of the other party")
        }
        "context.other.executesMeasure" => {
            ("de andere partij voert de maatregel uit", "the other party carries out the measure")
        }
        "context.article" => ("het artikel", "the article"),
        "context.purpose" => ("het doel", "the purpose"),
        "context.reasonGiven" => ("een opgegeven reden", "a stated reason"),
        "context.recipients" => ("het aantal ontvangers", "the number of recipients"),
        "context.case.phase" => ("de fase", "the phase"),
        "context.case.escalated" => ("een lopende escalatie", "an active escalation"),
        "context.case.measures" => ("een actieve maatregel", "an active measure"),
        "context.case.choiceMade" => ("een vastgelegde keuze voor een aanbieder", "a recorded choice of provider"),
        "context.case.nearAdulthood" => ("een jeugdige van ten minste 16½ jaar", "a youth of at least 16½ years"),
        "resource.category" => ("de categorie", "the category"),
        "resource.form" => ("de vorm", "the form"),
        "resource.source" => ("de bron", "the source"),
        "resource.basisSource" => ("de soort van de bron", "the kind of the source"),
        "resource.consent" => ("de toestemming", "the consent"),
        "resource.explicitConsent" => ("de uitdrukkelijke toestemming", "the explicit consent"),
        _ => ("een feit van de casus", "a fact of the case"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::covenant::facts::{Action, Question};
    use crate::covenant::facts::{Actor, CaseFacts, ConsentState, Item, Kind, Purpose};
    use crate::party::{Category, Form, OrgKind, Phase, Role};

    fn table_asks(category: Category, phase: Phase) -> Explanation {
        let member = Actor { invited: true, ..Actor::participant(OrgKind::Aanbieder, Role::R05) };
        Covenant::embedded().unwrap().explain(&Question {
            action: Action::Receive,
            article: Article::new(13).unwrap(),
            purpose: Purpose::Advies,
            actor: member,
            other: Some(Actor::participant(OrgKind::Gemeente, Role::R02)),
            case: Some(CaseFacts::in_phase(phase, OrgKind::Gemeente)),
            item: Some(Item {
                category,
                form: Form::P,
                source: Kind::Partner(OrgKind::Aanbieder),
                consent: ConsentState::Incomplete,
                explicit_consent: ConsentState::Missing,
                expired: false,
            }),
            recipients: 1,
            reason_given: true,
        })
    }

    #[test]
    fn outsiders_learn_nothing() {
        let explanation = Explanation::for_outsiders();
        assert_eq!((explanation.reason, explanation.article, explanation.clause), (None, None, None));
        assert!(!explanation.allowed && explanation.missing.is_empty());
    }

    #[test]
    fn a_near_miss_says_what_is_missing() {
        let explanation = table_asks(Category::C08, Phase::F3);
        assert_eq!(explanation.reason, Some(Reason::ConsentIncomplete));
        assert_eq!(explanation.clause.as_deref(), Some("13.a"));
        let [(nl, en)] = explanation.missing.as_slice() else { panic!("{explanation:?}") };
        assert_eq!(nl, "de soort van de bron is gemeente, of de toestemming is volledig");
        assert_eq!(en, "the kind of the source is gemeente, or the consent is complete");
        assert!(explanation.sentence_nl.contains("Tafel bespreekt de casus"), "{}", explanation.sentence_nl);
    }

    #[test]
    fn prohibitions_speak_for_themselves() {
        let explanation = table_asks(Category::C08, Phase::F8);
        assert_eq!(explanation.reason, Some(Reason::CaseClosed));
        assert_eq!(explanation.sentence_nl, "Geweigerd: De casus is gesloten.");
        assert_eq!(explanation.sentence_en, "Refused: The case is closed.");
    }
}
