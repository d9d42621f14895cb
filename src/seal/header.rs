//! What a record says of itself: signed by its author, bound into every sealed key.
//!
//! The hub and every recipient read the header; none of them can change it, move it to another case, add a recipient or
//! put it above another body without being noticed.

pub(super) mod wire;

use ring::digest;
use time::OffsetDateTime;
use uuid::Uuid;

use super::agent_keys::AgentKeys;
use super::body::BodyDigest;
use super::canonical::NotCanonical;
use super::hpke::Suite;
use super::key_set::KeySet;
use super::record_key::KeyCommitment;
use crate::party::{Article, Category, Form, Oin, Role, UnknownCode};

/// Longest header in bytes.
pub const MAX_HEADER_LEN: usize = 32 * 1024;
/// Most recipients of one record; the covenant has about 42 partners.
pub const MAX_RECIPIENTS: usize = 100;

const DOMAIN: &[u8] = b"sluis/v1/header\0";

/// The header's content. To be trusted only as part of an [`AuthenticHeader`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The record's identifier; names this record and no other.
    pub record: Uuid,
    /// The article that the author relies on.
    pub article: Article,
    /// What kind of data the record holds.
    pub category: Category,
    /// How much of the person it shows.
    pub form: Form,
    /// The organisation that made and signed it.
    pub author: Oin,
    /// The form that the content follows.
    pub schema: SchemaName,
    /// When it was sealed; whole seconds, UTC.
    pub created: OffsetDateTime,
    /// How the record key is sealed to every recipient.
    pub suite: Suite,
    /// Binds the header to one record key.
    pub key_commitment: KeyCommitment,
    /// Binds the header to one ciphertext.
    pub body: BodyDigest,
    /// Who may open it, in ascending order of OIN, each organisation once.
    pub recipients: Vec<Recipient>,
    /// Roles to which the author will open it later, in ascending order, each once. Nobody can widen it: it is signed.
    pub open_to: Vec<Role>,
}

/// One organisation that a record is sealed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The organisation.
    pub oin: Oin,
    /// Its role in the case, by which the article lets it receive; `None` where the article asks for none (article 20).
    pub role: Option<Role>,
    /// Binds the record to the recipient's case.
    pub case: CaseBinding,
}

/// SHA-256 over a record and one organisation's own reference of its case.
///
/// Instead of a case identifier, of which two organisations would share the value. It hides the reference only if that
/// can't be guessed, so references are pseudonyms or random, never numbers that somebody counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseBinding([u8; 32]);

impl CaseBinding {
    /// The binding of a record to a case as its recipient knows it.
    pub fn new(record: Uuid, case_ref: &str) -> Self {
        let record = record.hyphenated().to_string();
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"sluis/v1/case-binding");
        for part in [record.as_bytes(), case_ref.as_bytes()] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut binding = Self([0; 32]);
        binding.0.copy_from_slice(hash.finish().as_ref());
        binding
    }

    /// A binding as it came over the wire.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Name of a content schema: 1–64 characters of `a–z`, `0–9`, `-`, `.`, `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName(String);

impl SchemaName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for SchemaName {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-./".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnknownCode("schema"))
        }
    }
}

/// Why a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Another organisation's keys than the author's.
    #[error("the header names another author")]
    Author,
    /// Not sealed for this case of the recipient.
    #[error("the record belongs to another case")]
    Case,
    /// Not canonical, an unknown word or version, or a number out of range.
    #[error("the header is malformed")]
    Format,
    /// This organisation is no recipient.
    #[error("the record is not addressed to this organisation")]
    NotAddressed,
    /// None, too many, twice the same, or not in order.
    #[error("the recipients are not a list of different organisations in order")]
    Recipients,
    /// Twice the same, or not in order.
    #[error("the roles are not a list of different roles in order")]
    Roles,
    /// Another record than the one asked for.
    #[error("the header is of another record")]
    Record,
    /// Not signed by the author.
    #[error("the header is not signed by its author")]
    Signature,
    /// Over [`MAX_HEADER_LEN`].
    #[error("the header is too long")]
    TooLong,
}

impl From<NotCanonical> for HeaderError {
    fn from(NotCanonical: NotCanonical) -> Self {
        Self::Format
    }
}

impl From<UnknownCode> for HeaderError {
    fn from(_: UnknownCode) -> Self {
        Self::Format
    }
}

impl Header {
    /// Signs the header with the author's key.
    ///
    /// # Errors
    /// [`HeaderError::Recipients`], [`HeaderError::Roles`], [`HeaderError::TooLong`] or [`HeaderError::Format`].
    pub fn sign(&self, keys: &AgentKeys) -> Result<SignedHeader, HeaderError> {
        let bytes = self.to_bytes()?;
        let signature = keys.sign(DOMAIN, &bytes);
        // Read back, so that what was signed is what everybody will read.
        let header = Self::from_bytes(&bytes)?;
        Ok(SignedHeader { header, bytes, signature })
    }

    fn check_recipients(&self) -> Result<(), HeaderError> {
        let ascending = self.recipients.is_sorted_by(|a, b| a.oin < b.oin);
        let count = (1..=MAX_RECIPIENTS).contains(&self.recipients.len());
        if ascending && count { Ok(()) } else { Err(HeaderError::Recipients) }
    }

    fn check_open_to(&self) -> Result<(), HeaderError> {
        if self.open_to.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(HeaderError::Roles) }
    }
}

/// A header, its canonical bytes, and a signature that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeader {
    header: Header,
    bytes: Vec<u8>,
    signature: [u8; 64],
}

impl SignedHeader {
    /// Reads a header strictly: known fields only, and bytes that are the one canonical form of what they say.
    ///
    /// # Errors
    /// [`HeaderError`], all but those of a recipient.
    pub fn read(bytes: Vec<u8>, signature: &[u8]) -> Result<Self, HeaderError> {
        let header = Header::from_bytes(&bytes)?;
        let signature = signature.try_into().map_err(|_| HeaderError::Signature)?;
        Ok(Self { header, bytes, signature })
    }

    /// Checks the signature against the keys that the author published.
    ///
    /// # Errors
    /// [`HeaderError::Author`] or [`HeaderError::Signature`].
    pub fn authenticate(self, author: &KeySet) -> Result<AuthenticHeader, HeaderError> {
        if self.header.author != *author.oin() {
            return Err(HeaderError::Author);
        }
        if self.is_by(author) { Ok(AuthenticHeader(self)) } else { Err(HeaderError::Signature) }
    }

    /// Whether this author wrote and signed it.
    pub fn is_by(&self, author: &KeySet) -> bool {
        self.header.author == *author.oin() && author.signed(DOMAIN, &self.bytes, &self.signature)
    }

    /// Authenticates the header and checks that it is what this recipient asked for.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn verify(self, author: &KeySet, expectation: &Expectation<'_>) -> Result<AddressedHeader, HeaderError> {
        self.authenticate(author)?.address(expectation)
    }

    /// What it says, unverified: enough for the hub to compare with its route plan.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The canonical bytes: what is signed, sent, and bound into sealed keys.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ed25519, 64 bytes.
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// SHA-256 of the canonical bytes.
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &self.bytes).as_ref());
        hash
    }
}

/// What a recipient asked for.
pub struct Expectation<'a> {
    /// The record that was asked for.
    pub record: Uuid,
    /// The recipient's own reference of the case it thinks it reads.
    pub case_ref: &'a str,
    /// The recipient.
    pub me: &'a Oin,
}

/// A header that its author signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticHeader(SignedHeader);

impl AuthenticHeader {
    /// Checks that the record is the one that was asked for, addressed to this organisation, in this case.
    ///
    /// # Errors
    /// [`HeaderError::Record`], [`HeaderError::NotAddressed`] or [`HeaderError::Case`].
    pub fn address(self, expectation: &Expectation<'_>) -> Result<AddressedHeader, HeaderError> {
        let recipient = self.header().recipients.iter().find(|recipient| recipient.oin == *expectation.me);
        let recipient = recipient.ok_or(HeaderError::NotAddressed)?.clone();
        let aad = self.0.bytes.clone();
        self.address_as(recipient, expectation, aad)
    }

    /// The same for a recipient that the author added later.
    pub(super) fn address_as(
        self,
        recipient: Recipient,
        expectation: &Expectation<'_>,
        aad: Vec<u8>,
    ) -> Result<AddressedHeader, HeaderError> {
        if self.header().record != expectation.record {
            return Err(HeaderError::Record);
        }
        if recipient.oin != *expectation.me {
            return Err(HeaderError::NotAddressed);
        }
        if recipient.case != CaseBinding::new(expectation.record, expectation.case_ref) {
            return Err(HeaderError::Case);
        }
        Ok(AddressedHeader { header: self.0.header, recipient, aad })
    }

    /// What the author says.
    pub const fn header(&self) -> &Header {
        &self.0.header
    }

    /// The header as it was signed.
    pub const fn signed(&self) -> &SignedHeader {
        &self.0
    }
}

/// A header that its author signed and that is meant for this organisation, in this case. Only this opens a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressedHeader {
    header: Header,
    recipient: Recipient,
    aad: Vec<u8>,
}

impl AddressedHeader {
    /// What the author says.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// As what this organisation receives.
    pub const fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// What the sealed key is bound to.
    pub(super) fn aad(&self) -> &[u8] {
        &self.aad
    }
}

#[cfg(test)]
mod tests;
