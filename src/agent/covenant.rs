//! The agent's own copy of the covenant: what it signs, and by what it decides to whom it seals.

#[cfg(test)]
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::config::CovenantConfig;
use crate::covenant::Covenant;
use crate::covenant::file::LoadError;
use crate::party::{Article, Category, Form, Role};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CovenantError {
    /// The files.
    #[error("the covenant can't be used")]
    Load(#[from] LoadError),
    /// The hash is not one.
    #[error("the covenant's content hash is not SHA-256")]
    Hash,
}

/// What the agent needs of the covenant.
pub(super) struct OwnCopy {
    /// `covenants/{id}/versions/{number}`.
    pub(super) name: String,
    /// The `{id}` in it: by this name a mandate says in which network it counts.
    pub(super) id: String,
    /// SHA-256 of its content.
    pub(super) content_hash: [u8; 32],
    rights: Rights,
    /// What was asked before: a cell takes milliseconds, and never changes.
    known: Mutex<HashMap<Cell, bool>>,
}

/// An article, the recipient's role (`None`: none at all), a category, a form.
type Cell = (Article, Option<Role>, Category, Form);

/// Where the rights come from.
enum Rights {
    Covenant(Box<Covenant>),
    #[cfg(test)]
    These(BTreeSet<Cell>),
}

impl OwnCopy {
    /// Loads and checks the covenant. Call it where it may block.
    pub(super) fn load(config: &CovenantConfig) -> Result<Self, CovenantError> {
        let covenant = match &config.directory {
            None => Covenant::embedded()?,
            Some(directory) => Covenant::read(directory)?,
        };
        let version = covenant.version();
        let hash = version.content_hash.parse::<crate::identity::Fingerprint>().map_err(|_| CovenantError::Hash)?;
        Ok(Self {
            name: format!("covenants/{}/versions/{}", version.name, version.number),
            id: version.name.clone(),
            content_hash: *hash.as_bytes(),
            rights: Rights::Covenant(Box::new(covenant)),
            known: Mutex::default(),
        })
    }

    /// Whether the article lets this role receive this category in this form at all; without a role: somebody who acts in
    /// none. Phase, consent and the facts of the case are the hub's to know.
    pub(super) fn grants(&self, article: Article, role: Option<Role>, category: Category, form: Form) -> bool {
        let cell = (article, role, category, form);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(cell).or_insert_with(|| match &self.rights {
            Rights::Covenant(covenant) => covenant.cell(article, role, category, form).is_some(),
            #[cfg(test)]
            Rights::These(these) => these.contains(&cell),
        })
    }

    /// A copy with these grants only.
    #[cfg(test)]
    pub(super) fn of(grants: impl IntoIterator<Item = Cell>) -> Self {
        let name = "covenants/proef/versions/1".to_owned();
        Self {
            name,
            id: "proef".to_owned(),
            content_hash: [7; 32],
            rights: Rights::These(grants.into_iter().collect()),
            known: Mutex::default(),
        }
    }
}
