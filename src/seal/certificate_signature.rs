//! Signatures with the key of an organisation's certificate: what ties a published key set, or a consent to the
//! covenant, to the same certificate that authenticates the organisation's connections.
//!
//! The same key signs TLS handshakes. The two can't be mistaken for each other: TLS 1.3 signs 64 spaces and its own
//! label (RFC 8446 §4.4.3), we sign a text that starts with [`Domain`]'s prefix. TLS 1.2 signs bytes that the peer
//! chooses, so this relies on the project's rule of TLS 1.3 only.

use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::Signer;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;

/// What is signed. A signature in one domain says nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Acceptance of a covenant version.
    Covenant,
    /// A published key set.
    KeySet,
    /// A request for the next certificate.
    Renewal,
    /// Leave for a supplier to act in a partner's name.
    Mandate,
}

impl Domain {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Covenant => b"sluis/v1/covenant-signature\0",
            Self::KeySet => b"sluis/v1/key-set\0",
            Self::Renewal => b"sluis/v1/renewal\0",
            Self::Mandate => b"sluis/v1/mandate\0",
        }
    }
}

/// A signature and how it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertSignature {
    /// The algorithm.
    pub scheme: Scheme,
    /// The signature, in the form that TLS uses: DER for ECDSA.
    pub signature: Vec<u8>,
}

impl CertSignature {
    /// From the number of its scheme and its bytes, as the API carries them.
    pub fn from_wire(scheme: u32, signature: &[u8]) -> Option<Self> {
        let scheme = Scheme::from_code(u16::try_from(scheme).ok()?)?;
        Some(Self { scheme, signature: signature.to_vec() })
    }
}

/// The algorithms that certificates of these networks have. RSA only as PSS: PKCS#1 v1.5 is left to old TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// ECDSA on P-256 with SHA-256, 0x0403.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384, 0x0503.
    EcdsaP384Sha384,
    /// Ed25519, 0x0807.
    Ed25519,
    /// RSASSA-PSS with SHA-256 under an `rsaEncryption` key of 2048 bits or more, 0x0804.
    RsaPssSha256,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::EcdsaP256Sha256, Self::EcdsaP384Sha384, Self::Ed25519, Self::RsaPssSha256];

    /// The number on the wire: the code point of TLS 1.3 (RFC 8446 §4.2.3).
    pub const fn code(self) -> u16 {
        match self {
            Self::EcdsaP256Sha256 => 0x0403,
            Self::EcdsaP384Sha384 => 0x0503,
            Self::Ed25519 => 0x0807,
            Self::RsaPssSha256 => 0x0804,
        }
    }

    /// The scheme with this number, if it is one of ours.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.code() == code)
    }

    fn algorithm(self) -> &'static dyn SignatureVerificationAlgorithm {
        match self {
            Self::EcdsaP256Sha256 => webpki::ring::ECDSA_P256_SHA256,
            Self::EcdsaP384Sha384 => webpki::ring::ECDSA_P384_SHA384,
            Self::Ed25519 => webpki::ring::ED25519,
            Self::RsaPssSha256 => webpki::ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        }
    }
}

/// Why a signature can't be made or doesn't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertSignatureError {
    /// Not a certificate that can be read.
    #[error("the certificate can't be read")]
    Certificate,
    /// Not a private key that any of the schemes can use.
    #[error("the private key can't be used for signatures")]
    Key,
    /// Made by another key, over another text, or in another domain.
    #[error("the signature does not hold")]
    Signature,
}

/// Signs with a certificate's private key, with the scheme that fits the key.
///
/// # Errors
/// [`CertSignatureError::Key`].
pub fn sign(
    private_key: &PrivateKeyDer<'_>,
    domain: Domain,
    message: &[u8],
) -> Result<CertSignature, CertSignatureError> {
    let (scheme, signer) = signer(private_key)?;
    let signature = signer.sign(&signed_text(domain, message)).map_err(|_| CertSignatureError::Key)?;
    Ok(CertSignature { scheme, signature })
}

/// Signs the attributes of a document ([`super::document`]) in the name of this certificate. They depend on the scheme, and begin with
/// a byte that no [`Domain`] begins with.
pub(super) fn sign_attributes<E: From<CertSignatureError>>(
    private_key: &PrivateKeyDer<'_>,
    certificate: &CertificateDer<'_>,
    attributes: impl FnOnce(Scheme) -> Result<Vec<u8>, E>,
) -> Result<CertSignature, E> {
    let (scheme, signer) = signer(private_key)?;
    let text = attributes(scheme)?;
    let signature = signer.sign(&text).map_err(|_| CertSignatureError::Key)?;
    let signature = CertSignature { scheme, signature };
    holds(certificate, &text, &signature)?;
    Ok(signature)
}

fn signer(private_key: &PrivateKeyDer<'_>) -> Result<(Scheme, Box<dyn Signer>), CertSignatureError> {
    let key = any_supported_type(private_key).map_err(|_| CertSignatureError::Key)?;
    let offered = Scheme::ALL.map(|scheme| SignatureScheme::from(scheme.code()));
    let signer = key.choose_scheme(&offered).ok_or(CertSignatureError::Key)?;
    let scheme = Scheme::from_code(signer.scheme().into()).ok_or(CertSignatureError::Key)?;
    Ok((scheme, signer))
}

/// Checks a signature against a certificate's public key. Whether the certificate is valid, whose it is and whether it
/// was valid at the time is for the caller to know.
///
/// # Errors
/// [`CertSignatureError::Certificate`] or [`CertSignatureError::Signature`].
pub fn verify(
    certificate: &CertificateDer<'_>,
    domain: Domain,
    message: &[u8],
    signature: &CertSignature,
) -> Result<(), CertSignatureError> {
    holds(certificate, &signed_text(domain, message), signature)
}

fn holds(certificate: &CertificateDer<'_>, text: &[u8], signature: &CertSignature) -> Result<(), CertSignatureError> {
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| CertSignatureError::Certificate)?;
    certificate
        .verify_signature(signature.scheme.algorithm(), text, &signature.signature)
        .map_err(|_| CertSignatureError::Signature)
}

fn signed_text(domain: Domain, message: &[u8]) -> Vec<u8> {
    [domain.prefix(), message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::testing::certificate;
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    #[test]
    fn every_kind_of_key_signs_and_only_its_certificate_verifies() {
        let kinds = [
            (&PKCS_ECDSA_P256_SHA256, Scheme::EcdsaP256Sha256),
            (&PKCS_ECDSA_P384_SHA384, Scheme::EcdsaP384Sha384),
            (&PKCS_ED25519, Scheme::Ed25519),
        ];
        for (algorithm, scheme) in kinds {
            let ((cert, key), (foreign, _)) = (certificate(algorithm), certificate(algorithm));
            let signature = sign(&key, Domain::KeySet, b"text").unwrap();
            assert_eq!(signature.scheme, scheme);
            assert_eq!(verify(&cert, Domain::KeySet, b"text", &signature), Ok(()));
            for (cert, domain, text) in [
                (&foreign, Domain::KeySet, b"text"),
                (&cert, Domain::Covenant, b"text"),
                (&cert, Domain::KeySet, b"test"),
            ] {
                assert_eq!(verify(cert, domain, text, &signature), Err(CertSignatureError::Signature));
            }
            for other in Scheme::ALL.into_iter().filter(|other| *other != scheme) {
                let relabelled = CertSignature { scheme: other, ..signature.clone() };
                assert!(verify(&cert, Domain::KeySet, b"text", &relabelled).is_err());
            }
            let empty = CertSignature { signature: vec![], ..signature };
            assert!(verify(&cert, Domain::KeySet, b"text", &empty).is_err());
        }
    }

    #[test]
    fn what_is_no_key_or_certificate_is_refused() {
        let (_, key) = certificate(&PKCS_ED25519);
        let signature = sign(&key, Domain::Covenant, b"").unwrap();
        let garbage = CertificateDer::from(vec![0x30, 0x00]);
        assert_eq!(verify(&garbage, Domain::Covenant, b"", &signature), Err(CertSignatureError::Certificate));
        let garbage = PrivateKeyDer::Pkcs8(vec![0x30, 0x00].into());
        assert_eq!(sign(&garbage, Domain::Covenant, b""), Err(CertSignatureError::Key));
    }

    #[test]
    fn only_listed_schemes_have_a_number() {
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::from_code(scheme.code()), Some(scheme));
        }
        // RSA PKCS#1 v1.5 and SHA-1 are not.
        for code in [0, 0x0401, 0x0201, 0x0203] {
            assert_eq!(Scheme::from_code(code), None);
        }
    }
}
