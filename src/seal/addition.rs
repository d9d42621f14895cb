//! A recipient who joins later: the author, and nobody else, adds it to a record that already exists.
//!
//! The header stays as it is. The sealed key for the newcomer is bound to header and addition together, so that neither
//! works without the other.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::agent_keys::AgentKeys;
use super::canonical;
use super::header::wire::{RecipientWire, read_uuid};
use super::header::{AddressedHeader, AuthenticHeader, Expectation, HeaderError, Recipient, SignedHeader};
use super::key_set::KeySet;

/// How long after it was sealed a record is opened to those who join: agents seal no later, so nobody asks later.
pub const OPENS_FOR: Duration = Duration::days(30);

/// Longest addition in bytes.
const MAX_LEN: usize = 1024;

const DOMAIN: &[u8] = b"sluis/v1/addition\0";

/// The author's word that one more organisation may open a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// The record.
    pub record: Uuid,
    /// SHA-256 of its header's canonical bytes.
    pub header_sha256: [u8; 32],
    /// Who joins, as what, in which case of its own.
    pub recipient: Recipient,
    /// When the author added it; whole seconds, UTC.
    pub created: OffsetDateTime,
}

impl Addition {
    /// The addition of a recipient to the record with this header.
    pub fn new(header: &SignedHeader, recipient: Recipient, created: OffsetDateTime) -> Self {
        Self { record: header.header().record, header_sha256: header.sha256(), recipient, created }
    }

    /// Signs with the author's key.
    ///
    /// # Errors
    /// [`HeaderError::Format`] for a time that RFC 3339 can't write.
    pub fn sign(&self, keys: &AgentKeys) -> Result<SignedAddition, HeaderError> {
        let bytes = canonical::write(&Wire {
            version: 1,
            record: self.record.hyphenated().to_string(),
            header_sha256: canonical::encode(&self.header_sha256),
            recipient: RecipientWire::from(&self.recipient),
            created: canonical::write_time(self.created)?,
        })?;
        let signature = keys.sign(DOMAIN, &bytes);
        SignedAddition::read(bytes, &signature)
    }
}

/// An addition, its canonical bytes, and a signature that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAddition {
    addition: Addition,
    bytes: Vec<u8>,
    signature: [u8; 64],
}

impl SignedAddition {
    /// Reads an addition, as strictly as a header.
    ///
    /// # Errors
    /// [`HeaderError::TooLong`], [`HeaderError::Format`] or [`HeaderError::Signature`].
    pub fn read(bytes: Vec<u8>, signature: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() > MAX_LEN {
            return Err(HeaderError::TooLong);
        }
        let wire: Wire = canonical::read(&bytes)?;
        if wire.version != 1 {
            return Err(HeaderError::Format);
        }
        let addition = Addition {
            record: read_uuid(&wire.record)?,
            header_sha256: canonical::decode(&wire.header_sha256)?,
            recipient: Recipient::try_from(&wire.recipient)?,
            created: canonical::read_time(&wire.created)?,
        };
        let signature = signature.try_into().map_err(|_| HeaderError::Signature)?;
        Ok(Self { addition, bytes, signature })
    }

    /// Checks that the header's author signed this addition to exactly this header, for this organisation and case.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn verify(
        &self,
        header: AuthenticHeader,
        author: &KeySet,
        expectation: &Expectation<'_>,
    ) -> Result<AddressedHeader, HeaderError> {
        if header.header().author != *author.oin() {
            return Err(HeaderError::Author);
        }
        if !author.signed(DOMAIN, &self.bytes, &self.signature) {
            return Err(HeaderError::Signature);
        }
        if !self.belongs_to(header.signed()) {
            return Err(HeaderError::Record);
        }
        let aad = self.aad(header.signed());
        header.address_as(self.addition.recipient.clone(), expectation, aad)
    }

    /// What it says, unverified.
    pub const fn addition(&self) -> &Addition {
        &self.addition
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ed25519, 64 bytes.
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    pub(super) fn belongs_to(&self, header: &SignedHeader) -> bool {
        self.addition.record == header.header().record && self.addition.header_sha256 == header.sha256()
    }

    /// What the newcomer's key is bound to. Two JSON texts after one another: there is one way to part them.
    pub(super) fn aad(&self, header: &SignedHeader) -> Vec<u8> {
        [header.bytes(), &self.bytes].concat()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u8,
    record: String,
    header_sha256: String,
    recipient: RecipientWire,
    created: String,
}
