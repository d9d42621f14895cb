//! The key of one record: drawn once, used for one body, committed to in the header.

use rand_core::CryptoRngCore;
use ring::hmac;

use crate::pseudonym::key::{KeyError, SecretKey};

/// A record key that has not encrypted anything yet. A body takes it and gives a [`RecordKey`] back, so no key can
/// encrypt two bodies: the body's nonces start at zero and rely on that.
pub struct FreshKey(SecretKey);

impl FreshKey {
    /// A fresh key for one body.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
        Self(SecretKey::generate(rng))
    }

    /// The same key once its body is under way: it can be sealed to recipients, never encrypt again.
    pub(super) fn spend(self) -> RecordKey {
        RecordKey(self.0)
    }
}

/// A record key whose body exists. Opens that body and can be sealed to its recipients.
pub struct RecordKey(SecretKey);

impl RecordKey {
    /// A key as HPKE opened it; not yet known to be the record's, see [`RecordKey::fits`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        SecretKey::from_bytes(bytes).map(Self)
    }

    /// What stands in the header: names this key, says nothing about it.
    pub fn commitment(&self) -> KeyCommitment {
        let mut commitment = KeyCommitment([0; KeyCommitment::LEN]);
        commitment.0.copy_from_slice(hmac::sign(&self.commitment_key(), b"").as_ref());
        commitment
    }

    /// Whether this is the key that the header commits to. Constant time.
    ///
    /// ChaCha20-Poly1305 alone isn't key committing: an author could make one ciphertext that opens to two texts under
    /// two keys and send each recipient another key. HMAC-SHA256 is collision resistant, so one header has one key.
    pub fn fits(&self, commitment: &KeyCommitment) -> bool {
        hmac::verify(&self.commitment_key(), b"", &commitment.0).is_ok()
    }

    pub(super) fn body_key(&self) -> SecretKey {
        self.0.derive(b"body")
    }

    pub(super) fn as_bytes(&self) -> &[u8; SecretKey::LEN] {
        self.0.as_bytes()
    }

    fn commitment_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.derive(b"key-commitment").as_bytes())
    }
}

/// 32 bytes that bind a header to one record key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCommitment([u8; Self::LEN]);

impl KeyCommitment {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A commitment as it stands in a header.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes for the header.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;

    #[test]
    fn a_commitment_fits_its_key_only() {
        let (key, other) = (FreshKey::generate(&mut OsRng).spend(), FreshKey::generate(&mut OsRng).spend());
        assert!(key.fits(&key.commitment()));
        assert!(!other.fits(&key.commitment()));
        assert!(key.commitment().as_bytes() != key.as_bytes());
        assert!(key.commitment().as_bytes() != key.body_key().as_bytes());
    }
}
