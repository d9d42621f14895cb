//! Reading a scenario file. Every mistake is named with file, step and key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::call::Call;
use super::word::{Word, numbers};
use crate::api::v1 as api;
use crate::party::Oin;
use crate::reason::Reason;

/// A story with its outcomes.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// One line.
    pub title: String,
    /// What it shows, and to whom.
    pub description: String,
    /// The partners that must be running.
    pub partners: Vec<Partner>,
    /// Organisations with a valid certificate that are not partners.
    pub outsiders: Vec<Outsider>,
    pub(crate) youths: BTreeMap<String, String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) view: Option<View>,
}

/// Whose privacy officer looks at which case when the story is over.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct View {
    pub(crate) partner: String,
    pub(crate) case: String,
}

/// A partner of the network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partner {
    /// Label, for example "G-A".
    pub id: String,
    /// Display name.
    pub name: String,
    #[serde(rename = "kind")]
    pub(crate) kind: Word<api::OrganisationKind>,
    #[serde(deserialize_with = "oin")]
    /// 20 digits.
    pub oin: Oin,
    /// Roles that it holds outside any case.
    #[serde(default, rename = "standing")]
    pub(crate) standing: Vec<Word<api::Role>>,
}

impl Partner {
    /// Whether it becomes coordinator (R03) of every case.
    pub fn coordinates(&self) -> bool {
        self.standing.iter().any(|role| role.0 == api::Role::R03)
    }

    /// Its kind, as the API numbers it.
    pub fn kind_number(&self) -> i32 {
        self.kind.number()
    }

    /// Its standing roles, as the API numbers them.
    pub fn standing_numbers(&self) -> Vec<i32> {
        numbers(&self.standing)
    }
}

/// Somebody with a certificate of the network's CA who is not registered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outsider {
    /// Label.
    pub id: String,
    /// Display name.
    pub name: String,
    /// 20 digits.
    #[serde(deserialize_with = "oin")]
    pub oin: Oin,
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) id: String,
    pub(crate) who: String,
    pub(crate) role: Option<Word<api::Role>>,
    pub(crate) user: String,
    pub(crate) what: String,
    pub(crate) article: String,
    pub(crate) purpose: String,
    pub(crate) reason: String,
    pub(crate) expect: Expect,
    pub(crate) call: Call,
}

/// What must come out of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Allow,
    Refuse(Reason),
}

/// Why a scenario file can't be played.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The call does not exist.
    #[error("{file}, step {step}, key `call`: `{call}` is not a call; write one of {}", Call::WORDS.join(", "))]
    Call {
        /// The scenario file.
        file: PathBuf,
        /// Id of the step.
        step: String,
        /// What stands there.
        call: String,
    },
    /// A key of the head of the file, or of a partner.
    #[error("{file}: {problem}")]
    Head {
        /// The scenario file.
        file: PathBuf,
        /// What is wrong, with the key.
        problem: String,
    },
    /// Nobody has this label.
    #[error(
        "{file}, step {step}, key `{key}`: there is no `{label}` in this scenario; add it above or correct the label"
    )]
    Label {
        /// The scenario file.
        file: PathBuf,
        /// Id of the step.
        step: String,
        /// The key.
        key: &'static str,
        /// The label.
        label: String,
    },
    /// The file can't be read.
    #[error("can't read {file}; give the path of a scenario file, for example tests/scenarios/s1.toml")]
    Read {
        /// The scenario file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A key of a step.
    #[error("{file}, step {step}: {problem}")]
    Step {
        /// The scenario file.
        file: PathBuf,
        /// Id of the step, or its number.
        step: String,
        /// What is wrong, with the key.
        problem: String,
    },
}

impl Scenario {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// The first mistake, with file, step and key.
    pub fn load(file: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(file).map_err(|source| FileError::Read { file: file.to_owned(), source })?;
        Self::parse(file, &text)
    }

    /// Parses the text of `file`.
    ///
    /// # Errors
    /// The first mistake, with file, step and key.
    pub fn parse(file: &Path, text: &str) -> Result<Self, FileError> {
        let head: Head = toml::from_str(text)
            .map_err(|error| FileError::Head { file: file.to_owned(), problem: problem(&error) })?;
        let steps = head.steps.into_iter().enumerate();
        let scenario = Self {
            title: head.title,
            description: head.description,
            partners: head.partners,
            outsiders: head.outsiders,
            youths: head.youths.into_iter().map(|youth| (youth.id, youth.bsn)).collect(),
            view: head.view,
            steps: steps.map(|(index, table)| step(file, index, table)).collect::<Result<_, _>>()?,
        };
        scenario.check_labels(file)?;
        Ok(scenario)
    }

    fn check_labels(&self, file: &Path) -> Result<(), FileError> {
        for step in &self.steps {
            let known = self.partners.iter().map(|p| &p.id).chain(self.outsiders.iter().map(|o| &o.id));
            let missing = |key, label: &String| FileError::Label {
                file: file.to_owned(),
                step: step.id.clone(),
                key,
                label: label.clone(),
            };
            if !matches!(step.call, Call::Wait(_)) && !known.into_iter().any(|id| *id == step.who) {
                return Err(missing("who", &step.who));
            }
            let youth = match &step.call {
                Call::Refer(call) => Some(&call.youth),
                Call::Resolve(call) => Some(&call.youth),
                Call::Case(call) => call.youth.as_ref(),
                _ => None,
            };
            if let Some(youth) = youth.filter(|youth| !self.youths.contains_key(*youth)) {
                return Err(missing("youth", youth));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    title: String,
    description: String,
    #[serde(default, rename = "partner")]
    partners: Vec<Partner>,
    #[serde(default, rename = "outsider")]
    outsiders: Vec<Outsider>,
    #[serde(default, rename = "youth")]
    youths: Vec<Youth>,
    #[serde(rename = "step")]
    steps: Vec<toml::Table>,
    #[serde(rename = "officers_view")]
    view: Option<View>,
}

/// A synthetic youth: a test number of the range 999900006–999999990.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Youth {
    id: String,
    bsn: String,
}

/// The keys that every step has; the others are arguments of its call.
#[derive(Deserialize)]
struct Common {
    id: String,
    #[serde(default)]
    who: String,
    role: Option<Word<api::Role>>,
    #[serde(default)]
    user: String,
    what: String,
    call: String,
    #[serde(default)]
    article: String,
    #[serde(default)]
    purpose: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    expect: Option<String>,
}

const COMMON: [&str; 10] = ["id", "who", "role", "user", "what", "call", "article", "purpose", "reason", "expect"];

fn step(file: &Path, index: usize, mut table: toml::Table) -> Result<Step, FileError> {
    let name =
        table.get("id").and_then(toml::Value::as_str).map_or_else(|| format!("number {}", index + 1), str::to_owned);
    let wrong = |problem| FileError::Step { file: file.to_owned(), step: name.clone(), problem };
    let common: toml::Table =
        COMMON.iter().filter_map(|key| table.remove(*key).map(|value| ((*key).to_owned(), value))).collect();
    let common: Common = common.try_into().map_err(|error| wrong(problem(&error)))?;
    let call = Call::read(&common.call, table)
        .ok_or_else(|| FileError::Call { file: file.to_owned(), step: name.clone(), call: common.call.clone() })?
        .map_err(|error| wrong(problem(&error)))?;
    let expect = match common.expect.as_deref() {
        None | Some("allow") => Expect::Allow,
        Some(code) => code.parse().map(Expect::Refuse).map_err(|_| {
            wrong(format!("key `expect`: `{code}` is neither \"allow\" nor a reason code of the covenant"))
        })?,
    };
    Ok(Step {
        id: common.id,
        who: common.who,
        role: common.role,
        user: common.user,
        what: common.what,
        article: common.article,
        purpose: common.purpose,
        reason: common.reason,
        expect,
        call,
    })
}

fn oin<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Oin, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format_args!("`{text}` is not an OIN of 20 digits")))
}

/// The parser's message with its key, on one line.
fn problem(error: &toml::de::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
