//! `golden/*.toml`: questions with the decision that they must get.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Golden>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    name: String,
    ask: Ask,
    /// Clauses that allow it; or
    allow: Option<Vec<String>>,
    /// the reason of refusal.
    deny: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    action: String,
    article: u8,
    purpose: Option<String>,
    actor: Party,
    other: Option<Party>,
    case: Option<Case>,
    item: Option<Thing>,
    #[serde(default = "one")]
    recipients: u32,
    #[serde(default)]
    reason: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Party {
    role: Option<String>,
    kind: String,
    status: Option<String>,
    #[serde(default = "yes")]
    accepted: bool,
    standing: Option<String>,
    #[serde(default)]
    involved: bool,
    #[serde(default)]
    invited: bool,
    #[serde(default)]
    chosen: bool,
    #[serde(default)]
    executes: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    phase: String,
    #[serde(default)]
    escalated: bool,
    #[serde(default)]
    measures: Vec<String>,
    #[serde(default)]
    restricted: bool,
    #[serde(default)]
    objection: bool,
    #[serde(default)]
    choice: bool,
    #[serde(default)]
    near_adulthood: bool,
    holder: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    category: String,
    form: String,
    source: Option<String>,
    consent: Option<String>,
    explicit: Option<String>,
    #[serde(default)]
    expired: bool,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

/// A question in the notation of the golden files. Left out: an active partner taking part in its role, the article's
/// own purpose, the facility as source, no consent.
pub(super) fn question(toml: &str) -> Question {
    toml::from_str::<Ask>(toml).unwrap().question()
}

impl Ask {
    fn question(self) -> Question {
        let article = Article::new(self.article).unwrap();
        Question {
            action: self.action.parse().unwrap(),
            article,
            purpose: self.purpose.map_or_else(|| own_purpose(article), |p| p.parse().unwrap()),
            actor: self.actor.actor(),
            other: self.other.map(Party::actor),
            case: self.case.map(Case::facts),
            item: self.item.map(Thing::item),
            recipients: self.recipients,
            reason_given: self.reason,
        }
    }
}

impl Party {
    fn actor(self) -> Actor {
        let kind = kind(&self.kind);
        let default = match kind {
            Kind::External(kind) => Actor::external(kind),
            _ => Actor { standing: Standing::Participant, ..Actor::partner(OrgKind::Netwerk) },
        };
        Actor {
            kind,
            status: self.status.map_or(default.status, |s| s.parse().unwrap()),
            accepted: self.accepted,
            role: self.role.map(|r| r.parse().unwrap()),
            standing: self.standing.map_or(default.standing, |s| s.parse().unwrap()),
            involved: self.involved,
            invited: self.invited,
            chosen: self.chosen,
            executes_measure: self.executes,
        }
    }
}

impl Case {
    fn facts(self) -> CaseFacts {
        CaseFacts {
            phase: self.phase.parse().unwrap(),
            escalated: self.escalated,
            measures: self.measures.iter().map(|m| m.parse().unwrap()).collect(),
            restricted: self.restricted,
            objection: self.objection,
            choice_made: self.choice,
            near_adulthood: self.near_adulthood,
            holder: self.holder.map_or(OrgKind::Gemeente, |h| h.parse().unwrap()),
        }
    }
}

impl Thing {
    fn item(self) -> Item {
        let consent = |text: Option<String>| text.map_or(ConsentState::Missing, |c| c.parse().unwrap());
        Item {
            category: self.category.parse().unwrap(),
            form: self.form.parse().unwrap(),
            source: self.source.map_or(Kind::Facility, |s| kind(&s)),
            consent: consent(self.consent),
            explicit_consent: consent(self.explicit),
            expired: self.expired,
        }
    }
}

fn kind(code: &str) -> Kind {
    let partner = code.parse().map(Kind::Partner);
    partner.or_else(|_| code.parse().map(Kind::External)).unwrap_or(Kind::Facility)
}

#[test]
fn golden_decisions_hold() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for (path, text) in embedded_files().iter().filter(|(path, _)| path.starts_with("golden/")) {
        for golden in toml::from_str::<File>(text).unwrap_or_else(|e| panic!("{path}: {e}")).case {
            count += 1;
            let answer = match covenant().decide(&golden.ask.question()) {
                Ok(permit) => format!("allow {:?}", permit.clauses().collect::<Vec<_>>()),
                Err(denial) => format!("deny {} (fault: {})", denial.reason, denial.fault),
            };
            let expected = match (&golden.allow, &golden.deny) {
                (Some(clauses), None) => format!("allow {clauses:?}"),
                (None, Some(reason)) => format!("deny {reason} (fault: false)"),
                _ => panic!("{path}, {}: write allow or deny", golden.name),
            };
            if answer != expected {
                wrong.push(format!("{path}, {}: expected {expected}, got {answer}", golden.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 80, "only {count} golden decisions");
}
