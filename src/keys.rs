//! The hub's own secrets: the keys of subject tags and of pseudonyms. They live outside the database (guarantee G4).

use crate::party::Oin;
use crate::pseudonym::{Epoch, KeyError, KeyRing, OprfOutput, Pseudonym, Scope, SubjectTag, TagError};

/// Key rings of the hub.
pub struct HubKeys {
    /// For `t = HMAC(k, y)`.
    pub tags: KeyRing,
    /// For pseudonyms per organisation and scope.
    pub pseudonyms: KeyRing,
    /// Epoch in which new pseudonyms are derived.
    pub pseudonym_epoch: Epoch,
}

impl HubKeys {
    /// The tag of a VOPRF output.
    pub fn tag(&self, output: &OprfOutput) -> Result<SubjectTag, TagError> {
        SubjectTag::derive(&self.tags, output)
    }

    /// An organisation's pseudonym of a subject.
    pub fn pseudonym(&self, tag: &SubjectTag, oin: &Oin, scope: Scope) -> Result<Pseudonym, KeyError> {
        Pseudonym::derive(&self.pseudonyms, self.pseudonym_epoch, tag, oin, scope)
    }
}
