//! Sealing a record key to one recipient: HPKE (RFC 9180), base mode, one encapsulation per recipient and record.
//!
//! Base mode doesn't say who sealed: the author's signature over the header does, and is checked first.

use ::hpke::aead::ChaCha20Poly1305;
use ::hpke::kdf::HkdfSha256;
use ::hpke::kem::{X25519HkdfSha256, XWing};
use ::hpke::rand_core::{TryCryptoRng, TryRng};
use ::hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng};
use rand_core::CryptoRngCore;
use std::convert::Infallible;
use zeroize::Zeroizing;

use super::record_key::RecordKey;
use crate::party::UnknownCode;
use crate::pseudonym::key::SecretKey;

/// How record keys are sealed. KDF HKDF-SHA256 (0x0001) and AEAD ChaCha20-Poly1305 (0x0003) in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Suite {
    /// DHKEM(X25519, HKDF-SHA256), KEM 0x0020 (RFC 9180 §7.1).
    X25519,
    /// X-Wing (ML-KEM-768 with X25519), KEM 0x647A: the default, because stored content must stay secret for decades.
    #[default]
    XWing,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 2] = [Self::X25519, Self::XWing];

    /// The word in headers; KEM, KDF and AEAD.
    pub const fn code(self) -> &'static str {
        match self {
            Self::X25519 => "x25519-hkdf-sha256-chacha20poly1305",
            Self::XWing => "xwing-hkdf-sha256-chacha20poly1305",
        }
    }

    /// Length of a public key in bytes.
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1216,
        }
    }

    /// Length of an encapsulated key in bytes.
    pub const fn enc_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1120,
        }
    }

    fn info(self) -> Vec<u8> {
        [b"sluis/v1/record-key", self.code().as_bytes()].concat()
    }
}

impl std::str::FromStr for Suite {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.into_iter().find(|suite| suite.code() == text).ok_or(UnknownCode("suite"))
    }
}

/// A record key that one recipient can open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// How it was sealed.
    pub suite: Suite,
    /// The encapsulated key, [`Suite::enc_len`] bytes.
    pub enc: Vec<u8>,
    /// The encrypted record key, 48 bytes.
    pub ciphertext: Vec<u8>,
}

/// Why a record key can't be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HpkeError {
    /// Not sealed to this key, or not with this header, or altered.
    #[error("the sealed key does not open")]
    Open,
    /// Not a usable public key.
    #[error("not a usable public key")]
    PublicKey,
    /// Sealed with another suite than the private key's.
    #[error("the sealed key is of another suite")]
    Suite,
}

/// Seals a record key to a public key; `aad` is what it is bound to: the header's bytes.
///
/// # Errors
/// [`HpkeError::PublicKey`].
pub fn seal_key(
    suite: Suite,
    public_key: &[u8],
    aad: &[u8],
    key: &RecordKey,
    rng: &mut impl CryptoRngCore,
) -> Result<SealedKey, HpkeError> {
    let sealed = match suite {
        Suite::X25519 => seal_bytes::<X25519HkdfSha256>(public_key, &suite.info(), aad, key.as_bytes(), rng),
        Suite::XWing => seal_bytes::<XWing>(public_key, &suite.info(), aad, key.as_bytes(), rng),
    };
    sealed.map(|(enc, ciphertext)| SealedKey { suite, enc, ciphertext })
}

/// Opens a record key; the commitment in the header is still to be checked.
///
/// # Errors
/// [`HpkeError::Suite`] or [`HpkeError::Open`], the same for every cause.
pub fn open_key(private_key: &PrivateKey, aad: &[u8], sealed: &SealedKey) -> Result<RecordKey, HpkeError> {
    let (enc, ciphertext, info) = (&sealed.enc, &sealed.ciphertext, sealed.suite.info());
    let bytes = match (private_key, sealed.suite) {
        (PrivateKey::X25519(key), Suite::X25519) => open_bytes::<X25519HkdfSha256>(key, enc, &info, aad, ciphertext),
        (PrivateKey::XWing(key), Suite::XWing) => open_bytes::<XWing>(key, enc, &info, aad, ciphertext),
        _ => return Err(HpkeError::Suite),
    }?;
    RecordKey::from_bytes(&bytes).map_err(|_| HpkeError::Open)
}

/// Whether the bytes are a public key of the suite.
///
/// # Errors
/// [`HpkeError::PublicKey`].
pub fn check_public_key(suite: Suite, bytes: &[u8]) -> Result<(), HpkeError> {
    let read = match suite {
        Suite::X25519 => <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(bytes).map(drop),
        Suite::XWing => <XWing as Kem>::PublicKey::from_bytes(bytes).map(drop),
    };
    read.map_err(|_| HpkeError::PublicKey)
}

/// A private key of one suite. The crates wipe it on drop.
pub enum PrivateKey {
    /// For [`Suite::X25519`].
    X25519(<X25519HkdfSha256 as Kem>::PrivateKey),
    /// For [`Suite::XWing`].
    XWing(Box<<XWing as Kem>::PrivateKey>),
}

impl PrivateKey {
    /// The key pair of this seed (DeriveKeyPair, RFC 9180 §7.1.3): private key and public key bytes.
    pub fn from_seed(suite: Suite, seed: &SecretKey) -> (Self, Vec<u8>) {
        match suite {
            Suite::X25519 => {
                let (private, public) = X25519HkdfSha256::derive_keypair(seed.as_bytes());
                (Self::X25519(private), public.to_bytes().to_vec())
            }
            Suite::XWing => {
                let (private, public) = XWing::derive_keypair(seed.as_bytes());
                (Self::XWing(Box::new(private)), public.to_bytes().to_vec())
            }
        }
    }
}

fn seal_bytes<K: Kem>(
    public_key: &[u8],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRngCore,
) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    let public_key = K::PublicKey::from_bytes(public_key).map_err(|_| HpkeError::PublicKey)?;
    single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, K>(
        &OpModeS::Base,
        &public_key,
        info,
        plaintext,
        aad,
        &mut Bridge(rng),
    )
    .map(|(enc, ciphertext)| (enc.to_bytes().to_vec(), ciphertext))
    .map_err(|_| HpkeError::PublicKey)
}

fn open_bytes<K: Kem>(
    private_key: &K::PrivateKey,
    enc: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let enc = K::EncappedKey::from_bytes(enc).map_err(|_| HpkeError::Open)?;
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, K>(&OpModeR::Base, private_key, &enc, info, ciphertext, aad)
        .map(Zeroizing::new)
        .map_err(|_| HpkeError::Open)
}

/// One random source for the whole project: rand_core 0.6, which `voprf` needs, behind the traits of 0.10 for `hpke`.
struct Bridge<'a, R>(&'a mut R);

impl<R: CryptoRngCore> TryRng for Bridge<'_, R> {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(dst);
        Ok(())
    }
}

impl<R: CryptoRngCore> TryCryptoRng for Bridge<'_, R> {}

#[cfg(test)]
mod tests;
