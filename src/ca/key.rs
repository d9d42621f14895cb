//! The private key of an authority or of an operator: in a file, plain or under a passphrase, or in a token that never gives it out.

use std::path::Path;

use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use zeroize::{Zeroize as _, Zeroizing};

use super::CaError;
use super::error::SecretError;
use super::files::{is_other_pem, read_secret};
use super::locked::{self, Locked};
use super::secret::SecretFrom;
use super::token::{Token, TokenKey};

/// How a key in a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Whoever reads the file has the key.
    Plain,
    /// Under a passphrase.
    Locked,
    /// Not in a file.
    Token,
}

/// Where a new key goes.
pub enum NewKey {
    /// A file that whoever reads it can use: for tests.
    Plain,
    /// A file under a passphrase.
    Locked(SecretFrom),
    /// A PKCS#11 token, with where its PIN comes from.
    Token(TokenKey, SecretFrom),
}

/// A key from a file. Wiped when it is dropped; has no `Debug`.
pub(super) struct FileKey(KeyPair);

impl Drop for FileKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl FileKey {
    /// A new one: P-256.
    pub(super) fn generate() -> Result<Self, CaError> {
        Ok(Self(KeyPair::generate()?))
    }

    /// Reads one, and asks for the passphrase if it has one.
    pub(super) fn open(path: &Path, passphrase: &SecretFrom) -> Result<(Self, Kept), CaError> {
        if is_other_pem(path)? {
            return Err(CaError::NoPrivateKey(path.to_owned()));
        }
        let text = read_secret(path)?;
        let damaged = || CaError::Damaged(path.to_owned());
        if !locked::is_locked(&text) {
            return Ok((Self(KeyPair::from_pem(&text).map_err(|_| damaged())?), Kept::Plain));
        }
        let der = locked::unlock(&text, &passphrase.known()?).map_err(|why| match why {
            Locked::Malformed => damaged(),
            Locked::Unsupported => SecretError::Unsupported(path.to_owned()).into(),
            Locked::Wrong => SecretError::Wrong(path.to_owned()).into(),
        })?;
        let pair = KeyPair::try_from(der.as_slice()).map_err(|_| SecretError::Wrong(path.to_owned()))?;
        Ok((Self(pair), Kept::Locked))
    }

    /// PEM without a passphrase.
    pub(super) fn plain(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// PEM of the public key.
    pub(super) fn public(&self) -> String {
        self.0.public_key_pem()
    }

    /// PEM under a new passphrase.
    pub(super) fn locked(&self, passphrase: &SecretFrom) -> Result<Zeroizing<String>, CaError> {
        locked::lock(self.0.serialized_der(), &passphrase.chosen()?).ok_or(CaError::NoRandomness)
    }
}

impl PublicKeyData for FileKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for FileKey {
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        SigningKey::sign(&self.0, bytes)
    }
}

/// The key of an authority.
pub(super) enum CaKey {
    File(FileKey),
    Token(Token),
}

impl CaKey {
    /// A new key, and the text of the file that it is to be in.
    pub(super) fn make(new: &NewKey) -> Result<(Self, Option<Zeroizing<String>>), CaError> {
        match new {
            NewKey::Plain => {
                let key = FileKey::generate()?;
                let text = key.plain();
                Ok((Self::File(key), Some(text)))
            }
            NewKey::Locked(passphrase) => {
                let key = FileKey::generate()?;
                let text = key.locked(passphrase)?;
                Ok((Self::File(key), Some(text)))
            }
            NewKey::Token(key, pin) => Ok((Self::Token(Token::open_or_make(key, pin)?), None)),
        }
    }

    /// The key in a token, or in this file.
    pub(super) fn open(file: &Path, token: Option<&TokenKey>, secret: &SecretFrom) -> Result<(Self, Kept), CaError> {
        match token {
            Some(token) => Ok((Self::Token(Token::open(token, secret)?), Kept::Token)),
            None => FileKey::open(file, secret).map(|(key, kept)| (Self::File(key), kept)),
        }
    }
}

impl PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::File(key) => key.der_bytes(),
            Self::Token(key) => key.der_bytes(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::File(key) => key.algorithm(),
            Self::Token(key) => key.algorithm(),
        }
    }
}

impl SigningKey for CaKey {
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::File(key) => key.sign(bytes),
            Self::Token(key) => key.sign(bytes),
        }
    }
}
