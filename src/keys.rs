//! The hub's own secrets: the keys of subject tags and of pseudonyms. They live outside the database (guarantee G4).

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::party::Oin;
use crate::pseudonym::{Epoch, KeyError, KeyRing, OprfOutput, Pseudonym, Scope, SecretKey, SubjectTag, TagError};

/// Key rings of the hub.
pub struct HubKeys {
    /// For `t = HMAC(k, y)`.
    pub tags: KeyRing,
    /// For pseudonyms per organisation and scope.
    pub pseudonyms: KeyRing,
    /// Epoch in which new pseudonyms are derived.
    pub pseudonym_epoch: Epoch,
}

/// Why the hub's keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not readable.
    #[error("{0} can't be read")]
    Read(PathBuf, #[source] std::io::Error),
    /// Not a key.
    #[error("{0} does not hold a key of 64 hexadecimal digits")]
    Key(PathBuf, #[source] KeyError),
    /// There is none.
    #[error("there is no {0}.1.key")]
    None(&'static str),
}

impl HubKeys {
    /// Reads `subject-tag.N.key` and `pseudonym.N.key`, N from 1 without gaps.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(directory: &Path) -> Result<Self, KeyFileError> {
        let pseudonyms = ring(directory, "pseudonym")?;
        let pseudonym_epoch = pseudonyms.current();
        Ok(Self { tags: ring(directory, "subject-tag")?, pseudonyms, pseudonym_epoch })
    }

    /// The tag of a VOPRF output.
    pub fn tag(&self, output: &OprfOutput) -> Result<SubjectTag, TagError> {
        SubjectTag::derive(&self.tags, output)
    }

    /// An organisation's pseudonym of a subject.
    pub fn pseudonym(&self, tag: &SubjectTag, oin: &Oin, scope: Scope) -> Result<Pseudonym, KeyError> {
        Pseudonym::derive(&self.pseudonyms, self.pseudonym_epoch, tag, oin, scope)
    }
}

fn ring(directory: &Path, name: &'static str) -> Result<KeyRing, KeyFileError> {
    let mut ring: Option<KeyRing> = None;
    let mut epoch = Epoch::FIRST;
    loop {
        let path = directory.join(format!("{name}.{}.key", epoch.number()));
        if !path.exists() {
            return ring.ok_or(KeyFileError::None(name));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| KeyFileError::Read(path.clone(), error))?;
        let text = Zeroizing::new(text);
        let key = SecretKey::from_hex_file_text(&text).map_err(|error| KeyFileError::Key(path.clone(), error))?;
        match &mut ring {
            None => ring = Some(KeyRing::new(epoch, key)),
            Some(ring) => ring.add(epoch, key).map_err(|error| KeyFileError::Key(path, error))?,
        }
        epoch = epoch.next();
    }
}
