//! A partner's own private keys, all from one seed, so that there is one thing to keep, back up and destroy.

use rand_core::CryptoRngCore;
use ring::signature::{Ed25519KeyPair, KeyPair};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::canonical::NotCanonical;
use super::hpke::{HpkeError, PrivateKey, SealedKey, Suite, open_key};
use super::key_set::{KeySet, PublicKeys};
use super::record_key::RecordKey;
use crate::party::Oin;
use crate::pseudonym::key::{Epoch, KeyError, SecretKey};

/// Private keys of one epoch: X25519 and X-Wing to open record keys, Ed25519 to sign headers.
///
/// The seed and both opening keys are wiped on drop; `ring` keeps the expanded signing key and doesn't wipe it.
pub struct AgentKeys {
    seed: SecretKey,
    x25519: PrivateKey,
    xwing: PrivateKey,
    signing: Ed25519KeyPair,
    public: PublicKeys,
}

impl AgentKeys {
    /// Fresh keys.
    ///
    /// # Errors
    /// [`KeyError`], never for a random seed.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Result<Self, KeyError> {
        Self::from_seed(SecretKey::generate(rng))
    }

    /// The keys of a seed file: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_seed_file_text(text: &str) -> Result<Self, KeyError> {
        Self::from_seed(SecretKey::from_hex_file_text(text)?)
    }

    /// What to keep in the seed file.
    pub fn seed_file_text(&self) -> Zeroizing<String> {
        self.seed.to_hex()
    }

    /// The public halves, to be published with [`KeySet::sign`].
    ///
    /// # Errors
    /// [`NotCanonical`] for a time that RFC 3339 can't write.
    pub fn key_set(&self, oin: Oin, epoch: Epoch, created: OffsetDateTime) -> Result<KeySet, NotCanonical> {
        KeySet::new(oin, epoch, created, self.public.clone())
    }

    /// Opens a sealed record key with whichever key its suite names.
    pub(super) fn open_key(&self, aad: &[u8], sealed: &SealedKey) -> Result<RecordKey, HpkeError> {
        let key = match sealed.suite {
            Suite::X25519 => &self.x25519,
            Suite::XWing => &self.xwing,
        };
        open_key(key, aad, sealed)
    }

    /// Signs a text that begins with its own domain.
    pub(super) fn sign(&self, domain: &[u8], message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.signing.sign(&[domain, message].concat()).as_ref());
        signature
    }

    fn from_seed(seed: SecretKey) -> Result<Self, KeyError> {
        let (x25519, x25519_public) = PrivateKey::from_seed(Suite::X25519, &seed.derive(b"agent/x25519"));
        let (xwing, xwing_public) = PrivateKey::from_seed(Suite::XWing, &seed.derive(b"agent/xwing"));
        let signing = Ed25519KeyPair::from_seed_unchecked(seed.derive(b"agent/ed25519").as_bytes())
            .map_err(|_| KeyError::Length)?;
        let mut verifying = [0; 32];
        verifying.copy_from_slice(signing.public_key().as_ref());
        let public = PublicKeys { x25519: x25519_public, xwing: xwing_public, verifying };
        Ok(Self { seed, x25519, xwing, signing, public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;

    #[test]
    fn a_seed_file_gives_the_same_keys_again() {
        let keys = AgentKeys::generate(&mut OsRng).unwrap();
        let again = AgentKeys::from_seed_file_text(&keys.seed_file_text()).unwrap();
        assert!(keys.public == again.public);
        assert!(keys.public != AgentKeys::generate(&mut OsRng).unwrap().public);
        assert!(AgentKeys::from_seed_file_text("00").is_err());
    }

    /// A change here locks every partner out of what was sealed to it.
    #[test]
    fn the_derivation_is_frozen() {
        let keys = AgentKeys::from_seed_file_text(&"0123456789abcdef".repeat(4)).unwrap();
        let digest = ring::digest::digest(
            &ring::digest::SHA256,
            &[keys.public.x25519.as_slice(), &keys.public.xwing, &keys.public.verifying].concat(),
        );
        assert_eq!(hex::encode(digest), "4479bba39f8308970217a102a8a9b91891fb755b16da52a7dccd78c9d2262ebe");
    }
}
