//! The agent's own copy of the covenant: what it signs, and by what it decides about newcomers.

#[cfg(test)]
use std::collections::BTreeSet;

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
    /// SHA-256 of its content.
    pub(super) content_hash: [u8; 32],
    rights: Rights,
}

/// Where the rights come from.
enum Rights {
    Covenant(Box<Covenant>),
    #[cfg(test)]
    These(BTreeSet<(Article, Option<Role>, Category, Form)>),
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
            content_hash: *hash.as_bytes(),
            rights: Rights::Covenant(Box::new(covenant)),
        })
    }

    /// Whether the article lets this role receive this category in this form at all. Phase, consent and the facts of the
    /// case are the hub's to know.
    pub(super) fn grants(&self, article: Article, role: Option<Role>, category: Category, form: Form) -> bool {
        match &self.rights {
            Rights::Covenant(covenant) => {
                [role, None].into_iter().any(|r| covenant.cell(article, r, category, form).is_some())
            }
            #[cfg(test)]
            Rights::These(these) => [role, None].into_iter().any(|r| these.contains(&(article, r, category, form))),
        }
    }

    /// A copy with these grants only.
    #[cfg(test)]
    pub(super) fn of(grants: impl IntoIterator<Item = (Article, Option<Role>, Category, Form)>) -> Self {
        let name = "covenants/proef/versions/1".to_owned();
        Self { name, content_hash: [7; 32], rights: Rights::These(grants.into_iter().collect()) }
    }
}
