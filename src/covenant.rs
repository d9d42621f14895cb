//! The covenant as code: what the partners signed, as decisions.
//!
//! A [`facts::Question`] says who asks what of whom in which case, in recorded facts. [`Covenant::decide`] answers with
//! a [`decide::Permit`] naming the clauses that allow it, or a [`decide::Denial`] with the first reason that failed
//! (REFERENCE §5.5). Everything here is pure: the files are embedded, `now` comes as an argument.
//!
//! ```text
//! files → checks → Covenant      (file, clause, index)
//! Question → Cedar request       (facts, request)
//!          → Permit | Denial     (decide, narrow)
//!          → plain words         (explain)
//! ```

pub mod facts;

pub mod decide;

pub mod explain;

pub mod matrix;

pub mod consent;

pub mod calendar;

pub mod parameters;

pub mod file;

mod clause;
mod index;
mod memo;
mod narrow;
mod request;
mod words;

pub use decide::{ConsentBehind, Denial, Permit};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::party::{Article, Basis};

/// One version of the covenant, checked and ready to decide. Immutable.
pub struct Covenant {
    version: Arc<Version>,
    engine: request::Engine,
    clauses: BTreeMap<String, clause::Clause>,
    index: index::Index,
    texts: BTreeMap<Article, String>,
    invariants: cedar_policy::PolicySet,
    parameters: parameters::Parameters,
    consent: consent::ConsentRules,
    memo: memo::Memo,
}

/// Which covenant decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub name: String,
    /// In Dutch, for people.
    pub title: String,
    pub number: u32,
    /// SHA-256 in lower-case hex over the RFC 8785 form of `{path: text}` of the binding files.
    pub content_hash: String,
    pub valid_from: time::Date,
    /// First day on which this version no longer holds.
    pub valid_until: time::Date,
}

impl Covenant {
    /// Which version this is.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Whether this version is in force on a day.
    pub fn in_force(&self, day: time::Date) -> bool {
        self.version.valid_from <= day && day < self.version.valid_until
    }

    /// Terms, limits, retention and calendar.
    pub fn parameters(&self) -> &parameters::Parameters {
        &self.parameters
    }

    /// Who must consent, and for how long consent holds.
    pub fn consent(&self) -> &consent::ConsentRules {
        &self.consent
    }

    /// The Dutch text of an article (Markdown).
    pub fn text(&self, article: Article) -> Option<&str> {
        self.texts.get(&article).map(String::as_str)
    }

    /// The promises of `invariants.cedar`, for the proof step and for tests. They take no part in decisions.
    pub fn invariants(&self) -> &cedar_policy::PolicySet {
        &self.invariants
    }

    /// All clauses as one policy set, and the vocabulary they are written in: for the proof step.
    pub fn policies(&self) -> (&cedar_policy::PolicySet, &cedar_policy::Schema) {
        (self.index.whole(), self.engine.schema())
    }

    /// The legal bases of every clause that allows something, by the clause's number.
    pub fn clause_bases(&self) -> BTreeMap<&str, &[Basis]> {
        let permits = self.clauses.values().filter_map(|c| Some((c.id.as_str(), c.as_permit()?.bases.as_slice())));
        permits.collect()
    }

    /// The one purpose for which an article exchanges or manages anything, if it grants anything at all.
    pub fn purpose(&self, article: Article) -> Option<facts::Purpose> {
        self.clauses.values().find_map(|c| (c.article == article).then(|| c.as_permit().map(|p| p.purpose))?)
    }
}

#[cfg(test)]
mod tests;
