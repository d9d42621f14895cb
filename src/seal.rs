//! Content that only its recipients can read (DESIGN §7, G3): sealed at the author's agent, opened at theirs.
//!
//! ```text
//! author     FreshKey → BodySealer → ciphertext, SealedBody { digest, key }
//!            Header { …, commitment of the key, digest, recipients } → sign → SignedHeader
//!            seal_for(each recipient's KeySet)                            → SealedKey
//! hub        SignedHeader::read → compare with the route plan; stores, can't open
//! recipient  SignedHeader::verify(author's KeySet, Expectation) → AddressedHeader
//!            open_record_key → RecordKey → open_body → BodyOpener → content
//! late       author: Addition → seal_for_addition; newcomer: SignedAddition::verify → AddressedHeader
//! ```
//!
//! The order is in the types: no key opens a record without an [`AddressedHeader`], and no fresh key seals two bodies.

pub mod addition;
pub mod agent_keys;
pub mod body;
mod canonical;
pub mod certificate_signature;
pub mod document;
pub mod header;
pub mod hpke;
pub mod key_set;
pub mod mandate;
pub mod record_key;

use rand_core::CryptoRngCore;

pub use addition::{Addition, OPENS_FOR, SignedAddition};
pub use agent_keys::AgentKeys;
pub use body::{BodyDigest, BodyError, BodyOpener, BodySealer, MAX_CONTENT_LEN, SealedBody};
pub use canonical::NotCanonical;
pub use header::{
    AddressedHeader, AuthenticHeader, CaseBinding, Expectation, Header, HeaderError, Recipient, SchemaName,
    SignedHeader,
};
pub use hpke::{HpkeError, SealedKey, Suite};
pub use key_set::{KeySet, KeySetError, SignedKeySet};
pub use mandate::{Mandate, MandateError, SignedMandate};
pub use record_key::{FreshKey, KeyCommitment, RecordKey};

/// Why a record key can't be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Another key than the header commits to.
    #[error("the record key is not the one that the header commits to")]
    Commitment,
    /// HPKE failed.
    #[error("the record key can't be sealed or opened")]
    Hpke(#[source] HpkeError),
    /// The header doesn't name this organisation.
    #[error("the record is not addressed to this organisation")]
    NotAddressed,
    /// The addition is to another header.
    #[error("the addition belongs to another record")]
    Record,
}

/// Seals a record's key to one of the recipients in its header.
///
/// # Errors
/// [`SealError`].
pub fn seal_for(
    recipient: &KeySet,
    header: &SignedHeader,
    key: &RecordKey,
    rng: &mut impl CryptoRngCore,
) -> Result<SealedKey, SealError> {
    if !header.header().recipients.iter().any(|addressed| addressed.oin == *recipient.oin()) {
        return Err(SealError::NotAddressed);
    }
    seal(recipient, header.header(), header.bytes(), key, rng)
}

/// Seals a record's key to a newcomer whom its author added.
///
/// # Errors
/// [`SealError`].
pub fn seal_for_addition(
    newcomer: &KeySet,
    header: &SignedHeader,
    addition: &SignedAddition,
    key: &RecordKey,
    rng: &mut impl CryptoRngCore,
) -> Result<SealedKey, SealError> {
    if !addition.belongs_to(header) {
        return Err(SealError::Record);
    }
    if addition.addition().recipient.oin != *newcomer.oin() {
        return Err(SealError::NotAddressed);
    }
    seal(newcomer, header.header(), &addition.aad(header), key, rng)
}

/// Opens a record's key; it is then certainly the key that the author committed to.
///
/// # Errors
/// [`SealError::Hpke`] or [`SealError::Commitment`].
pub fn open_record_key(keys: &AgentKeys, header: &AddressedHeader, sealed: &SealedKey) -> Result<RecordKey, SealError> {
    if sealed.suite != header.header().suite {
        return Err(SealError::Hpke(HpkeError::Suite));
    }
    let key = keys.open_key(header.aad(), sealed).map_err(SealError::Hpke)?;
    if key.fits(&header.header().key_commitment) { Ok(key) } else { Err(SealError::Commitment) }
}

/// Starts opening the body that the header describes.
///
/// # Errors
/// [`BodyError::TooLarge`].
pub fn open_body(key: &RecordKey, header: &AddressedHeader) -> Result<BodyOpener, BodyError> {
    BodyOpener::new(key, header.header().body)
}

fn seal(
    recipient: &KeySet,
    header: &Header,
    aad: &[u8],
    key: &RecordKey,
    rng: &mut impl CryptoRngCore,
) -> Result<SealedKey, SealError> {
    // An author that seals another key than it committed to would lock everybody out.
    if !key.fits(&header.key_commitment) {
        return Err(SealError::Commitment);
    }
    hpke::seal_key(header.suite, recipient.sealing_key(header.suite), aad, key, rng).map_err(SealError::Hpke)
}

#[cfg(test)]
mod attack_test;
#[cfg(test)]
mod testing;
