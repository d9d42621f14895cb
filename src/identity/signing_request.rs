//! Requests for a certificate (PKCS#10, RFC 2986): nothing is taken from them but the key, and the proof that it is held.

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AlgorithmIdentifier;
use zeroize::Zeroizing;

use super::KeyHash;

/// Bytes of a request, at most.
pub const LARGEST: usize = 8 << 10;

/// Why no key is taken from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRequest {
    /// Not one request, or not signed with the key in it.
    #[error("no PKCS#10 request, DER, up to 8 KiB, that is signed with its own key")]
    Unsigned,
    /// RSA, for example.
    #[error("a key of another kind than P-256, P-384 or Ed25519")]
    Kind,
}

/// The public key (SubjectPublicKeyInfo, DER) of a request that is signed with it.
///
/// # Errors
/// [`NoRequest`].
pub fn requested_key(der: &[u8]) -> Result<Vec<u8>, NoRequest> {
    if der.len() > LARGEST {
        return Err(NoRequest::Unsigned);
    }
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| NoRequest::Unsigned)?;
    let key = &request.certification_request_info.subject_pki;
    if !rest.is_empty() {
        return Err(NoRequest::Unsigned);
    }
    if !is_taken(&key.algorithm) {
        return Err(NoRequest::Kind);
    }
    request.verify_signature().map_err(|_| NoRequest::Unsigned)?;
    Ok(key.raw.to_vec())
}

/// P-256, P-384 or Ed25519: what agents make, and what every part of the network verifies.
fn is_taken(key: &AlgorithmIdentifier<'_>) -> bool {
    let curve = key.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    key.algorithm == OID_SIG_ED25519
        || key.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
            && curve.is_some_and(|curve| curve == OID_EC_P256 || curve == OID_NIST_EC_P384)
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
///
/// # Errors
/// [`NoRequest`].
pub fn requested_key_hash(der: &[u8]) -> Result<KeyHash, NoRequest> {
    requested_key(der).map(|key| KeyHash::of(&key))
}

/// A request for an RSA key, as OpenSSL makes it: the library here makes none.
#[cfg(test)]
pub(crate) fn rsa_request() -> Vec<u8> {
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=rsa"]);
    let done = openssl.args(["-outform", "DER"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_that_its_key_signed_has_a_key() {
        let pair = KeyPair::generate().unwrap();
        let request = NextKey::from_pem(&pair.serialize_pem()).unwrap().request().unwrap();
        assert_eq!(requested_key(&request), Ok(pair.subject_public_key_info()));
        for place in [request.len() - 1, request.len() / 2] {
            let mut forged = request.clone();
            forged[place] ^= 1;
            assert!(requested_key(&forged).is_err(), "{place}");
        }
        let mut longer = request.clone();
        longer.push(0);
        let large = vec![0x30; LARGEST + 1];
        for wrong in [&longer[..], &[], b"text", &large] {
            assert_eq!(requested_key(wrong), Err(NoRequest::Unsigned));
        }
    }

    #[test]
    fn keys_of_the_documented_kinds_are_taken_and_no_others() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let request = NextKey(KeyPair::generate_for(algorithm).unwrap()).request().unwrap();
            assert!(requested_key(&request).is_ok(), "{algorithm:?}");
        }
        assert_eq!(requested_key(&rsa_request()), Err(NoRequest::Kind));
    }
}
