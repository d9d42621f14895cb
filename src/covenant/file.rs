//! Loading a covenant: files in, a checked [`Covenant`] out. Anything unclear refuses, naming file, clause and fix.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use ring::digest;
use serde::de::DeserializeOwned;

use super::clause::{Clause, ClauseError};
use super::consent::ConsentRules;
use super::facts::{Action, Actor, CaseFacts, ConsentState, Item, Kind, Question};
use super::index::Index;
use super::parameters::Parameters;
use super::request::Engine;
use super::{Covenant, Version};
use crate::party::{Article, Category, Form, OrgKind, PartnerStatus, Phase, Role};

const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/covenant_files.rs"));

const SCHEMA: &str = "covenant.cedarschema";
const GENERAL: &str = "algemeen.cedar";
const INVARIANTS: &str = "invariants.cedar";
const PARAMETERS: &str = "parameters.toml";
const CONSENT: &str = "consent.toml";

/// Why a covenant does not load. Speaks of the covenant's own files only.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}: can't be read")]
    Unreadable(String),
    #[error("{0}: this file is missing: add it")]
    FileMissing(String),
    #[error("{0}: this file has no place in a covenant: remove it or correct its name")]
    FileUnknown(String),
    #[error("{file}: {message}")]
    Syntax { file: String, message: String },
    #[error("{file}, clause {clause}: {source}")]
    Clause { file: String, clause: String, source: ClauseError },
    #[error("{file}, clause {clause}: this number is used twice: give it its own")]
    ClauseTwice { file: String, clause: String },
    #[error("clause {clause}: names retention class {class}, which parameters.toml does not have")]
    RetentionUnknown { clause: String, class: String },
    #[error("{0}: the clauses do not fit the vocabulary: {1}")]
    Invalid(String, String),
    #[error("{0}: first line must be \"# Artikel {1} – title\"")]
    TextHeading(String, Article),
    #[error("article {0} has no text, or more than one: it needs exactly one articles/NN-name.md")]
    TextMissing(Article),
    #[error("self-test: {0}")]
    SelfTest(&'static str),
}

fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) -> Result<(), LoadError> {
    let unreadable = |path: &Path| LoadError::Unreadable(path.display().to_string());
    for entry in std::fs::read_dir(directory).map_err(|_| unreadable(directory))? {
        let path = entry.map_err(|_| unreadable(directory))?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.insert(name, std::fs::read_to_string(&path).map_err(|_| unreadable(&path))?);
        }
    }
    Ok(())
}

impl Covenant {
    /// The covenant that is built into the binary.
    pub fn embedded() -> Result<Self, LoadError> {
        Self::load(embedded_files())
    }

    /// A covenant from a directory on disk, for a network with its own text.
    pub fn read(directory: &Path) -> Result<Self, LoadError> {
        let mut files = BTreeMap::new();
        collect(directory, directory, &mut files)?;
        Self::load(files)
    }

    /// A covenant from its files, by path relative to the covenant's directory. `grants.json` and `golden/` are test
    /// material: accepted, not read, not part of the content hash.
    pub fn load(files: BTreeMap<String, String>) -> Result<Self, LoadError> {
        let files: BTreeMap<String, String> = files.into_iter().filter(|(path, _)| !is_test_material(path)).collect();
        let schema = schema(file(&files, SCHEMA)?)?;
        let parameters: Parameters = from_toml(&files, PARAMETERS)?;
        parameters.check().map_err(|message| syntax(PARAMETERS, message))?;
        let consent = ConsentRules { table: from_toml(&files, CONSENT)?, months: parameters.terms.consent_months };
        let clauses = clauses(&files, &parameters)?;
        let invariants = invariants(file(&files, INVARIANTS)?)?;
        let index = Index::build(&clauses).map_err(|message| LoadError::Invalid("articles".to_owned(), message))?;
        validate(&schema, index.whole(), "articles")?;
        validate(&schema, &invariants, INVARIANTS)?;
        let header = &parameters.covenant;
        let version = Version {
            name: header.name.clone(),
            title: header.title.clone(),
            number: header.number,
            content_hash: content_hash(&files)?,
            valid_from: header.valid_from.0,
            valid_until: header.valid_until.0,
        };
        let engine = Engine::new(schema).map_err(|_| LoadError::SelfTest("the vocabulary gives no usable requests"))?;
        let texts = texts(&files)?;
        let (version, memo) = (Arc::new(version), super::memo::Memo::default());
        let covenant = Self { version, engine, clauses, index, texts, invariants, parameters, consent, memo };
        covenant.self_test()?;
        Ok(covenant)
    }

    /// Known answers: a prohibition on the exchange group must bite (it would not if Cedar lost the groups), and one
    /// plain exchange must pass.
    fn self_test(&self) -> Result<(), LoadError> {
        let article = Article::new(12).ok_or(LoadError::SelfTest("there is no article 12"))?;
        let mut question = known_question(article);
        if self.decide(&question).is_err() {
            return Err(LoadError::SelfTest("a known permitted exchange is refused"));
        }
        question.case = Some(CaseFacts { restricted: true, ..CaseFacts::in_phase(Phase::F2, OrgKind::Gemeente) });
        if self.decide(&question).is_ok() {
            return Err(LoadError::SelfTest("a restricted case is not refused: the action groups are lost"));
        }
        question = known_question(article);
        question.actor.status = PartnerStatus::Suspended;
        if self.decide(&question).is_ok() {
            return Err(LoadError::SelfTest("a suspended partner is not refused"));
        }
        Ok(())
    }
}

/// The files of the embedded covenant, test material included.
pub(crate) fn embedded_files() -> BTreeMap<String, String> {
    EMBEDDED.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// Article 12: the network coordinator reads the status of a case of a gemeente.
fn known_question(article: Article) -> Question {
    Question {
        action: Action::Receive,
        article,
        purpose: super::facts::Purpose::Triage,
        actor: Actor::participant(OrgKind::Netwerk, Role::R03),
        other: None,
        case: Some(CaseFacts::in_phase(Phase::F2, OrgKind::Gemeente)),
        item: Some(Item {
            category: Category::C01,
            form: Form::P,
            source: Kind::Facility,
            consent: ConsentState::Missing,
            explicit_consent: ConsentState::Missing,
            expired: false,
        }),
        recipients: 1,
        reason_given: false,
    }
}

fn is_test_material(path: &str) -> bool {
    path == "grants.json" || path.starts_with("golden/")
}

fn schema(text: &str) -> Result<Schema, LoadError> {
    let (schema, mut warnings) = Schema::from_cedarschema_str(text).map_err(|e| syntax(SCHEMA, &e.to_string()))?;
    warnings.next().map_or(Ok(schema), |warning| Err(syntax(SCHEMA, &warning.to_string())))
}

fn clauses(files: &BTreeMap<String, String>, parameters: &Parameters) -> Result<BTreeMap<String, Clause>, LoadError> {
    let mut clauses = BTreeMap::new();
    for (path, text) in files {
        let article = match article_file(path) {
            Some((article, "cedar")) => Some(article),
            None if path == GENERAL => None,
            Some((_, "md")) => continue,
            None if [SCHEMA, INVARIANTS, PARAMETERS, CONSENT].contains(&path.as_str()) => continue,
            _ => return Err(LoadError::FileUnknown(path.clone())),
        };
        for policy in policies(path, text)? {
            let id = policy.id().to_string();
            let wrap = |source| LoadError::Clause { file: path.clone(), clause: id.clone(), source };
            let clause = match article {
                Some(article) => Clause::permit(policy, article).map_err(wrap)?,
                None => Clause::forbid(policy).map_err(wrap)?,
            };
            if let Some(rule) = clause.as_permit().filter(|r| !parameters.retention.contains_key(&r.retention)) {
                return Err(LoadError::RetentionUnknown { clause: id, class: rule.retention.clone() });
            }
            if clauses.insert(id.clone(), clause).is_some() {
                return Err(LoadError::ClauseTwice { file: path.clone(), clause: id });
            }
        }
    }
    file(files, GENERAL)?;
    Ok(clauses)
}

/// The policies of one file, each with its `@clause` as id: Cedar itself would number them.
fn policies(path: &str, text: &str) -> Result<Vec<Policy>, LoadError> {
    let set = PolicySet::from_str(text).map_err(|e| syntax(path, &e.to_string()))?;
    if set.templates().next().is_some() {
        return Err(syntax(path, "templates have no place in a covenant: write the clause out"));
    }
    set.policies()
        .map(|policy| {
            let id = policy.annotation("clause").filter(|id| !id.is_empty()).ok_or_else(|| LoadError::Clause {
                file: path.to_owned(),
                clause: "?".to_owned(),
                source: ClauseError::AnnotationMissing("clause"),
            })?;
            Ok(policy.new_id(PolicyId::new(id)))
        })
        .collect()
}

fn invariants(text: &str) -> Result<PolicySet, LoadError> {
    let mut set = PolicySet::new();
    for policy in policies(INVARIANTS, text)? {
        let id = policy.id().to_string();
        let wrap = |source| LoadError::Clause { file: INVARIANTS.to_owned(), clause: id.clone(), source };
        if !matches!(policy.annotation("kind"), Some("never" | "always")) {
            return Err(wrap(ClauseError::AnnotationValue("kind")));
        }
        if policy.annotation("says").is_none_or(str::is_empty) {
            return Err(wrap(ClauseError::AnnotationMissing("says")));
        }
        if let Some((key, _)) = policy.annotations().find(|(key, _)| !["clause", "kind", "says"].contains(key)) {
            return Err(wrap(ClauseError::AnnotationUnknown(key.to_owned())));
        }
        set.add(policy).map_err(|_| LoadError::ClauseTwice { file: INVARIANTS.to_owned(), clause: id.clone() })?;
    }
    Ok(set)
}

/// Strict, and a warning is an error: comparing a role with a category is "only" a warning to Cedar.
fn validate(schema: &Schema, policies: &PolicySet, what: &str) -> Result<(), LoadError> {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    let mut complaints: Vec<String> = result.validation_errors().map(ToString::to_string).collect();
    complaints.extend(result.validation_warnings().map(ToString::to_string));
    complaints.sort();
    if complaints.is_empty() { Ok(()) } else { Err(LoadError::Invalid(what.to_owned(), complaints.join("; "))) }
}

fn texts(files: &BTreeMap<String, String>) -> Result<BTreeMap<Article, String>, LoadError> {
    let mut texts = BTreeMap::new();
    let mut names = BTreeMap::new();
    for (path, text) in files {
        let Some((article, kind)) = article_file(path) else { continue };
        let stem = path.trim_end_matches(kind).to_owned();
        if *names.entry(article).or_insert_with(|| stem.clone()) != stem {
            return Err(LoadError::TextMissing(article));
        }
        if kind != "md" {
            continue;
        }
        if !text.starts_with(&format!("# Artikel {article} – ")) {
            return Err(LoadError::TextHeading(path.clone(), article));
        }
        texts.insert(article, text.clone());
    }
    let all: BTreeSet<Article> = (1..=40).filter_map(Article::new).collect();
    let missing = all.into_iter().find(|article| !texts.contains_key(article));
    missing.map_or(Ok(texts), |article| Err(LoadError::TextMissing(article)))
}

/// `articles/NN-name.cedar` or `.md`: its article and its kind.
fn article_file(path: &str) -> Option<(Article, &'static str)> {
    let name = path.strip_prefix("articles/")?;
    let (number, rest) = name.split_once('-')?;
    let (stem, kind) = rest.split_once('.')?;
    let kind = ["cedar", "md"].into_iter().find(|k| *k == kind)?;
    let plain = stem.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !stem.is_empty() && number.len() == 2;
    let article = Article::new(number.parse().ok()?)?;
    plain.then_some((article, kind))
}

fn content_hash(files: &BTreeMap<String, String>) -> Result<String, LoadError> {
    let canonical = serde_json_canonicalizer::to_vec(files).map_err(|e| syntax("covenant", &e.to_string()))?;
    let hash = digest::digest(&digest::SHA256, &canonical);
    Ok(hex::encode(hash))
}

fn from_toml<T: DeserializeOwned>(files: &BTreeMap<String, String>, path: &str) -> Result<T, LoadError> {
    toml::from_str(file(files, path)?).map_err(|e| syntax(path, e.message()))
}

fn file<'f>(files: &'f BTreeMap<String, String>, path: &str) -> Result<&'f str, LoadError> {
    files.get(path).map(String::as_str).ok_or_else(|| LoadError::FileMissing(path.to_owned()))
}

fn syntax(file: &str, message: &str) -> LoadError {
    LoadError::Syntax { file: file.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests;
