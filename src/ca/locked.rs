//! A private key under a passphrase: PKCS#8 EncryptedPrivateKeyInfo (RFC 5958), as OpenSSL reads and writes it too. Pure, but for
//! the salt.

use pkcs8::der::Decode as _;
use pkcs8::der::pem::PemLabel as _;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf, Parameters, Salt, ScryptParams};
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::secret::Secret;

/// scrypt at the cost that OWASP asks for (2^14, 8, 5: as much work as 2^17, 8, 1) within the 32 MiB that OpenSSL spends on it.
const COST: (u64, u16, u16) = (1 << 14, 8, 5);

/// Most memory that a file may make us spend, in bytes.
const MOST_MEMORY: u64 = 1 << 30;

/// Why a key stays locked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Locked {
    /// No encrypted key at all.
    Malformed,
    /// Encrypted in a way that is not supported, or at a cost beyond reason.
    Unsupported,
    /// The passphrase, or the bytes that it was to open.
    Wrong,
}

/// Whether this PEM says that a passphrase is needed.
pub(super) fn is_locked(pem: &str) -> bool {
    pem.contains(EncryptedPrivateKeyInfoRef::PEM_LABEL)
}

/// Encrypts a PKCS#8 key; PEM. `None` if there is no randomness, or this is no key.
pub(super) fn lock(key: &[u8], passphrase: &Secret) -> Option<Zeroizing<String>> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    let random = SystemRandom::new();
    random.fill(&mut salt).and_then(|()| random.fill(&mut iv)).ok()?;
    let (cost_parameter, block_size, parallelization) = COST;
    let salt = Salt::new(salt).ok()?;
    let kdf = Kdf::Scrypt(ScryptParams { salt, cost_parameter, block_size, parallelization, key_length: None });
    let parameters = Parameters { kdf, encryption: pbes2::EncryptionScheme::Aes256Cbc { iv } };
    let key = PrivateKeyInfoRef::from_der(key).ok()?;
    let locked = key.encrypt_with_params(parameters, passphrase.as_bytes()).ok()?;
    locked.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF).ok()
}

/// The PKCS#8 key in a PEM that was encrypted.
pub(super) fn unlock(pem: &str, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| Locked::Malformed)?;
    EncryptedPrivateKeyInfoRef::validate_pem_label(label).map_err(|_| Locked::Malformed)?;
    let key: EncryptedPrivateKeyInfoRef<'_> = document.decode_msg().map_err(|_| Locked::Malformed)?;
    let EncryptionScheme::Pbes2(Parameters { kdf, .. }) = &key.encryption_algorithm else {
        return Err(Locked::Unsupported);
    };
    if let Kdf::Scrypt(ScryptParams { cost_parameter, block_size, parallelization, .. }) = kdf {
        let memory = cost_parameter.saturating_mul(u64::from(*block_size)).saturating_mul(128);
        if memory.saturating_mul(u64::from(*parallelization)) > MOST_MEMORY {
            return Err(Locked::Unsupported);
        }
    }
    match key.decrypt(passphrase.as_bytes()) {
        Ok(opened) => Ok(opened.to_bytes()),
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. })) => {
            Err(Locked::Unsupported)
        }
        Err(_) => Err(Locked::Wrong),
    }
}
