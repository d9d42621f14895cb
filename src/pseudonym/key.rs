//! Secret keys and their epochs. Keys live outside the database, in files that only one process reads.

use std::collections::BTreeMap;

use hex::FromHexError;
use rand_core::CryptoRngCore;
use ring::{hkdf, hmac};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 secret bytes. Can't be printed, cloned or serialised by accident; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; Self::LEN]);

impl SecretKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
        let mut key = Self([0; Self::LEN]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// The key that these bytes are.
    ///
    /// # Errors
    /// [`KeyError::Length`] unless there are exactly 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut key = Self([0; Self::LEN]);
        if bytes.len() != Self::LEN {
            return Err(KeyError::Length);
        }
        key.0.copy_from_slice(bytes);
        Ok(key)
    }

    /// Reads a key file: 64 hexadecimal digits, with white space around them at most.
    ///
    /// # Errors
    /// [`KeyError::Length`], [`KeyError::NotHex`], or [`KeyError::Weak`] for 32 equal bytes, which only a placeholder has.
    pub fn from_hex_file_text(text: &str) -> Result<Self, KeyError> {
        let mut key = Self([0; Self::LEN]);
        hex::decode_to_slice(text.trim_ascii(), &mut key.0).map_err(|error| match error {
            FromHexError::InvalidHexCharacter { .. } => KeyError::NotHex,
            FromHexError::OddLength | FromHexError::InvalidStringLength => KeyError::Length,
        })?;
        let [first, rest @ ..] = &key.0;
        if rest.iter().all(|byte| byte == first) { Err(KeyError::Weak) } else { Ok(key) }
    }

    /// What stands in the key file: 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    /// A key for another purpose: HKDF-SHA256 (RFC 5869) with the purpose as info.
    pub fn derive(&self, purpose: &[u8]) -> Self {
        let mut key = Self([0; Self::LEN]);
        let filled = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sluis/v1")
            .extract(&self.0)
            .expand(&[purpose], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key.0));
        // HKDF fails only past 255 blocks of output; this is one.
        debug_assert!(filled.is_ok());
        key
    }

    /// HMAC-SHA256 (RFC 2104) over the parts, one after the other. Callers give parts of fixed or prefixed length.
    pub(super) fn hmac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    /// The bytes themselves, for the crate that uses the key.
    pub(crate) fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// Why a key or key ring can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An epoch that is already there, or not the next one.
    #[error("key epochs do not follow each other")]
    Epoch,
    /// Not 32 bytes.
    #[error("the key does not have 32 bytes")]
    Length,
    /// Not hexadecimal digits.
    #[error("the key has characters that are not hexadecimal digits")]
    NotHex,
    /// No key for this epoch.
    #[error("there is no key for this epoch")]
    UnknownEpoch,
    /// Not random.
    #[error("the key is a placeholder")]
    Weak,
}

/// Number of a key's term, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// The first term.
    pub const FIRST: Self = Self(1);

    /// The term with this number, unless it is zero.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// From 1.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The next term.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The keys of one purpose by epoch, without gaps; the newest is the current one.
pub struct KeyRing {
    current: Epoch,
    keys: BTreeMap<Epoch, SecretKey>,
}

impl KeyRing {
    /// A ring with one key.
    pub fn new(epoch: Epoch, key: SecretKey) -> Self {
        Self { current: epoch, keys: BTreeMap::from([(epoch, key)]) }
    }

    /// Adds the key of the next epoch, which becomes the current one.
    ///
    /// # Errors
    /// [`KeyError::Epoch`] if the epoch is not the one after the current one.
    pub fn add(&mut self, epoch: Epoch, key: SecretKey) -> Result<(), KeyError> {
        if epoch.0.checked_sub(self.current.0) != Some(1) {
            return Err(KeyError::Epoch);
        }
        self.keys.insert(epoch, key);
        self.current = epoch;
        Ok(())
    }

    /// Epochs that have a key.
    pub fn epochs(&self) -> impl Iterator<Item = Epoch> {
        self.keys.keys().copied()
    }

    /// The newest epoch.
    pub const fn current(&self) -> Epoch {
        self.current
    }

    /// The oldest epoch whose key is still there.
    pub fn first(&self) -> Epoch {
        self.keys.keys().next().copied().unwrap_or(self.current)
    }

    /// The key of an epoch.
    ///
    /// # Errors
    /// [`KeyError::UnknownEpoch`].
    pub fn key(&self, epoch: Epoch) -> Result<&SecretKey, KeyError> {
        self.keys.get(&epoch).ok_or(KeyError::UnknownEpoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;

    #[test]
    fn a_key_file_reads_back() {
        let key = SecretKey::generate(&mut OsRng);
        for text in [key.to_hex().to_string(), format!("{}\n", *key.to_hex()), key.to_hex().to_uppercase()] {
            assert!(SecretKey::from_hex_file_text(&text).is_ok_and(|read| read.0 == key.0));
        }
    }

    #[test]
    fn bad_key_files_are_refused() {
        let cases = [
            ("", KeyError::Length),
            ("00ff", KeyError::Length),
            (&"0123456789abcdef".repeat(5), KeyError::Length),
            (&"0123456789abcdeg".repeat(4), KeyError::NotHex),
            (&"+123456789abcdef".repeat(4), KeyError::NotHex),
            (&"0".repeat(64), KeyError::Weak),
            (&"ff".repeat(32), KeyError::Weak),
        ];
        for (text, error) in cases {
            assert!(SecretKey::from_hex_file_text(text).err() == Some(error), "{text:?}");
        }
    }

    #[test]
    fn a_ring_grows_by_one() {
        let mut ring = KeyRing::new(Epoch::FIRST, SecretKey([1; 32]));
        assert_eq!(ring.add(Epoch(1), SecretKey([2; 32])), Err(KeyError::Epoch));
        assert_eq!(ring.add(Epoch(3), SecretKey([2; 32])), Err(KeyError::Epoch));
        assert_eq!(ring.add(Epoch(2), SecretKey([2; 32])), Ok(()));
        assert_eq!((ring.first(), ring.current()), (Epoch(1), Epoch(2)));
        assert!(ring.key(Epoch(3)).is_err());
    }

    /// Computed once with Python's `hmac` module, extract and expand written out.
    #[test]
    fn derived_keys_differ_by_purpose_and_are_frozen() {
        let key = SecretKey([7; 32]);
        assert!(key.derive(b"a").0 != key.derive(b"b").0);
        assert_eq!(
            key.derive(b"a").to_hex().as_str(),
            "0413e67d6f46f5dd0d47ddd120d2a0c0f288b7d067c59e3008a6d36b4c541e58"
        );
    }
}
