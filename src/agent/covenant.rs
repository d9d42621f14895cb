//! The agent's own copy of the covenant: what it signs, and by what it decides about newcomers.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::CovenantConfig;
use crate::covenant::Covenant;
use crate::covenant::file::LoadError;
use crate::party::{Article, Category, Form, Role};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CovenantError {
    /// The directory.
    #[error("the directory of key `covenant.directory` can't be read")]
    Directory(#[source] std::io::Error),
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
    grants: BTreeSet<(Article, Option<Role>, Category, Form)>,
}

impl OwnCopy {
    /// Loads the covenant and derives who may receive what. Takes a while: call it where it may block.
    pub(super) fn load(config: &CovenantConfig) -> Result<Self, CovenantError> {
        let covenant = match &config.directory {
            None => Covenant::embedded()?,
            Some(directory) => Covenant::load(files(directory).map_err(CovenantError::Directory)?)?,
        };
        let version = covenant.version();
        let hash = version.content_hash.parse::<crate::identity::Fingerprint>().map_err(|_| CovenantError::Hash)?;
        let grants = covenant.matrix().into_iter().map(|g| (g.article, g.recipient, g.category, g.form)).collect();
        Ok(Self {
            name: format!("covenants/{}/versions/{}", version.name, version.number),
            content_hash: *hash.as_bytes(),
            grants,
        })
    }

    /// Whether the article lets this role receive this category in this form at all. Phase, consent and the facts of the
    /// case are the hub's to know.
    pub(super) fn grants(&self, article: Article, role: Option<Role>, category: Category, form: Form) -> bool {
        self.grants.contains(&(article, role, category, form)) || self.grants.contains(&(article, None, category, form))
    }

    /// A copy with these grants only.
    #[cfg(test)]
    pub(super) fn of(grants: impl IntoIterator<Item = (Article, Option<Role>, Category, Form)>) -> Self {
        let name = "covenants/proef/versions/1".to_owned();
        Self { name, content_hash: [7; 32], grants: grants.into_iter().collect() }
    }
}

/// Every file below the directory, by its path within it.
fn files(directory: &Path) -> std::io::Result<std::collections::BTreeMap<String, String>> {
    let mut files = std::collections::BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if let Some(name) = path.strip_prefix(directory).ok().and_then(Path::to_str) {
                files.insert(name.replace('\\', "/"), std::fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}
