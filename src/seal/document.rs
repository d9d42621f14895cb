//! Signatures under documents that leave the network, such as reports: detached CMS `SignedData` (RFC 5652 §5), which `openssl cms`
//! verifies without Sluis.
//!
//! What is signed are the signed attributes (§5.4), a DER SET, which begins with 0x31: neither what TLS 1.3 signs nor one of the texts
//! of [`super::certificate_signature`] can be taken for it.

use cms::cert::x509::Certificate;
use cms::cert::x509::attr::Attribute;
use cms::cert::x509::der::asn1::{ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use cms::cert::x509::der::{self, Any, Decode as _, Encode as _};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::cert::x509::time::Time;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use ring::digest::{SHA256, SHA384, SHA512, digest};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use super::certificate_signature::{CertSignatureError, Scheme, sign_attributes};

const ID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
/// `RSASSA-PSS-params`: SHA-256, MGF1 with SHA-256, 32 bytes of salt (RFC 4055 §3.1).
const PSS_SHA256: &[u8] = &[
    0x30, 0x34, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x20,
];

/// Why a document can't be signed.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// The key, or the certificate beside it.
    #[error(transparent)]
    Key(#[from] CertSignatureError),
    /// Something that has no place in a CMS message.
    #[error("the certificate does not fit into a CMS message: {0}")]
    Form(der::Error),
}

impl From<der::Error> for NotSigned {
    fn from(error: der::Error) -> Self {
        Self::Form(error)
    }
}

/// A detached signature under a document: the DER of a `.p7s`. The chain begins with the certificate of the key.
///
/// # Errors
/// [`NotSigned`].
pub fn sign(
    key: &PrivateKeyDer<'_>,
    chain: &[CertificateDer<'_>],
    document: &[u8],
    at: OffsetDateTime,
) -> Result<Vec<u8>, NotSigned> {
    let own = chain.first().ok_or(CertSignatureError::Certificate)?;
    let certificates = chain.iter().map(|one| Certificate::from_der(one)).collect::<Result<Vec<_>, _>>()?;
    let mut attributes = SetOfVec::new();
    let signed = sign_attributes(key, own, |scheme| {
        attributes = self::attributes(scheme, document, at)?;
        Ok::<_, NotSigned>(attributes.to_der()?)
    })?;
    let (digest_algorithm, signature_algorithm) = algorithms(signed.scheme)?;
    let holder = &certificates.first().ok_or(CertSignatureError::Certificate)?.tbs_certificate;
    let sid = IssuerAndSerialNumber { issuer: holder.issuer.clone(), serial_number: holder.serial_number.clone() };
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(sid),
        digest_alg: digest_algorithm.clone(),
        signed_attrs: Some(attributes),
        signature_algorithm,
        signature: OctetString::new(signed.signature)?,
        unsigned_attrs: None,
    };
    let choices: Vec<_> = certificates.into_iter().map(CertificateChoices::Certificate).collect();
    let signed = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![digest_algorithm])?,
        encap_content_info: EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None },
        certificates: Some(CertificateSet(SetOfVec::try_from(choices)?)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
    };
    Ok(ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&signed)? }.to_der()?)
}

/// What is signed: of what kind the document is, its digest, and when.
fn attributes(scheme: Scheme, document: &[u8], at: OffsetDateTime) -> Result<SetOfVec<Attribute>, der::Error> {
    let algorithm = match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::RsaPssSha256 => &SHA256,
        Scheme::EcdsaP384Sha384 => &SHA384,
        Scheme::Ed25519 => &SHA512,
    };
    let digest = OctetString::new(digest(algorithm, document).as_ref())?;
    // UTCTime until 2049 (RFC 5652 §11.3).
    let since = std::time::Duration::from_secs(at.unix_timestamp().max(0).unsigned_abs());
    let time = Time::UtcTime(UtcTime::from_unix_duration(since)?);
    let all = [
        (CONTENT_TYPE, Any::encode_from(&ID_DATA)?),
        (MESSAGE_DIGEST, Any::encode_from(&digest)?),
        (SIGNING_TIME, Any::encode_from(&time)?),
    ];
    let mut attributes = SetOfVec::new();
    for (oid, value) in all {
        attributes.insert(Attribute { oid, values: SetOfVec::try_from(vec![value])? })?;
    }
    Ok(attributes)
}

/// Of the document's digest, and of the signature: RFC 5754, RFC 8419 (Ed25519), RFC 4056 (PSS).
fn algorithms(scheme: Scheme) -> Result<(AlgorithmIdentifierOwned, AlgorithmIdentifierOwned), der::Error> {
    let (digest, signature, parameters) = match scheme {
        Scheme::EcdsaP256Sha256 => ("2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2", None),
        Scheme::EcdsaP384Sha384 => ("2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.3", None),
        Scheme::Ed25519 => ("2.16.840.1.101.3.4.2.3", "1.3.101.112", None),
        Scheme::RsaPssSha256 => ("2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.10", Some(Any::from_der(PSS_SHA256)?)),
    };
    let of = |oid, parameters| AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap(oid), parameters };
    Ok((of(digest, None), of(signature, parameters)))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
        PKCS_ED25519,
    };
    use std::process::Command;
    use time::macros::datetime;

    use super::*;
    use crate::seal::testing::certificate;

    /// What OpenSSL says of this signature under this document.
    fn openssl(folder: &std::path::Path, signature: &[u8], document: &[u8]) -> (bool, String) {
        std::fs::write(folder.join("report.p7s"), signature).unwrap();
        std::fs::write(folder.join("report"), document).unwrap();
        let output = Command::new("openssl")
            .args(["cms", "-verify", "-binary", "-inform", "DER", "-in", "report.p7s", "-content", "report"])
            .args(["-CAfile", "root.pem", "-purpose", "any", "-out", "read"])
            .current_dir(folder)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    #[test]
    fn openssl_verifies_signatures_under_documents() {
        let at = datetime!(2027-01-15 08:00 UTC);
        let folder = tempfile::tempdir().unwrap();
        let issuer = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(rcgen::DnType::CommonName, "root");
        let anchor = root.self_signed(&issuer).unwrap();
        std::fs::write(folder.path().join("root.pem"), anchor.pem()).unwrap();
        let issuer = rcgen::Issuer::new(root, issuer);
        let rsa = Command::new("openssl").args(["genpkey", "-algorithm", "RSA"]).output().unwrap();
        let rsa = KeyPair::from_pem(std::str::from_utf8(&rsa.stdout).unwrap()).unwrap();
        let of = |algorithm| KeyPair::generate_for(algorithm).unwrap();
        for pair in [of(&PKCS_ECDSA_P256_SHA256), of(&PKCS_ECDSA_P384_SHA384), rsa] {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, "officer");
            let own = params.signed_by(&pair, &issuer).unwrap();
            let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
            let chain = [own.der().clone(), anchor.der().clone()];
            let signature = sign(&key, &chain, b"# Q1\n", at).unwrap();
            let (good, said) = openssl(folder.path(), &signature, b"# Q1\n");
            assert!(good, "{:?}: {said}", pair.algorithm());
            // A document with one byte changed, and a signature with one changed in its last part, which is the signature itself.
            let (good, said) = openssl(folder.path(), &signature, b"# Q2\n");
            assert!(!good, "{:?}: {said}", pair.algorithm());
            let mut changed = signature.clone();
            *changed.last_mut().unwrap() ^= 1;
            let (good, said) = openssl(folder.path(), &changed, b"# Q1\n");
            assert!(!good, "{:?}: {said}", pair.algorithm());
        }
    }

    /// OpenSSL 3.0 verifies no Ed25519 in CMS.
    #[test]
    fn a_signature_with_ed25519_has_the_form_of_rfc_8419() {
        let (own, key) = certificate(&PKCS_ED25519);
        let signature = sign(&key, &[own], b"# Q1\n", datetime!(2027-01-15 08:00 UTC)).unwrap();
        let signed: SignedData = ContentInfo::from_der(&signature).unwrap().content.decode_as().unwrap();
        let signer = signed.signer_infos.0.get(0).unwrap();
        assert_eq!((signer.signature.as_bytes().len(), signer.signature_algorithm.parameters.as_ref()), (64, None));
        let of = |wanted| signer.signed_attrs.as_ref().unwrap().iter().find(|one| one.oid == wanted).unwrap();
        assert_eq!(of(MESSAGE_DIGEST).values.get(0).unwrap().value(), digest(&SHA512, b"# Q1\n").as_ref());
    }

    #[test]
    fn nothing_is_signed_with_another_key_than_the_certificates() {
        let ((own, _), (_, other)) = (certificate(&PKCS_ED25519), certificate(&PKCS_ED25519));
        let wrong = sign(&other, &[own], b"text", OffsetDateTime::UNIX_EPOCH);
        assert!(matches!(wrong, Err(NotSigned::Key(CertSignatureError::Signature))), "{wrong:?}");
        let wrong = sign(&other, &[], b"text", OffsetDateTime::UNIX_EPOCH);
        assert!(matches!(wrong, Err(NotSigned::Key(CertSignatureError::Certificate))), "{wrong:?}");
    }
}
