//! Requests for a certificate (PKCS#10, RFC 2986): nothing is taken from them but the key, and the proof that it is held.

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::KeyHash;

/// Bytes of a request, at most.
pub const LARGEST: usize = 8 << 10;

/// The public key (SubjectPublicKeyInfo, DER) of a request that is signed with it.
pub fn requested_key(der: &[u8]) -> Option<Vec<u8>> {
    if der.len() > LARGEST {
        return None;
    }
    let (rest, request) = X509CertificationRequest::from_der(der).ok()?;
    request.verify_signature().ok()?;
    rest.is_empty().then(|| request.certification_request_info.subject_pki.raw.to_vec())
}

/// A key pair (P-256) for which a certificate is asked.
pub struct NextKey(KeyPair);

/// No key could be made or read.
#[derive(Debug, thiserror::Error)]
#[error("no private key (PKCS#8, PEM) that can be used")]
pub struct NoKey(#[from] rcgen::Error);

impl NextKey {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> Result<Self, NoKey> {
        Ok(Self(KeyPair::generate()?))
    }

    /// The one that was made before.
    ///
    /// # Errors
    /// Not a key.
    pub fn from_pem(text: &str) -> Result<Self, NoKey> {
        Ok(Self(KeyPair::from_pem(text)?))
    }

    /// PKCS#8, for its file.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// By which the registry will know it.
    pub fn key_hash(&self) -> KeyHash {
        KeyHash::of(&self.0.subject_public_key_info())
    }

    /// PKCS#10, DER, signed with it. It names nobody: names are taken from the certificate that is renewed.
    ///
    /// # Errors
    /// It can't sign.
    pub fn request(&self) -> Result<Vec<u8>, NoKey> {
        Ok(CertificateParams::default().serialize_request(&self.0)?.der().to_vec())
    }
}

/// By which the registry will know it.
pub fn requested_key_hash(der: &[u8]) -> Option<KeyHash> {
    requested_key(der).map(|key| KeyHash::of(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_that_its_key_signed_has_a_key() {
        let pair = KeyPair::generate().unwrap();
        let request = NextKey::from_pem(&pair.serialize_pem()).unwrap().request().unwrap();
        assert_eq!(requested_key(&request), Some(pair.subject_public_key_info()));
        for place in [request.len() - 1, request.len() / 2] {
            let mut forged = request.clone();
            forged[place] ^= 1;
            assert_eq!(requested_key(&forged), None, "{place}");
        }
        let mut longer = request.clone();
        longer.push(0);
        let large = vec![0x30; LARGEST + 1];
        for wrong in [&longer[..], &[], b"text", &large] {
            assert_eq!(requested_key(wrong), None);
        }
    }
}
