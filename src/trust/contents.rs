//! Everything that somebody here asks of a certificate, read and judged by nobody yet.

use std::fmt;
use std::net::IpAddr;

use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::{AlgorithmIdentifier, X509Name};

use crate::identity::certificate::{CertificateError, Leaf, parse};

/// `organizationIdentifier` (ETSI EN 319 412-1), with a KvK number in PKIoverheid G4.
const ORGANIZATION_IDENTIFIER: &str = "2.5.4.97";

/// What a certificate says.
pub struct Contents {
    /// Identity, validity, policies, hashes.
    pub leaf: Leaf,
    /// Holder, as text.
    pub subject: String,
    /// Who signed it, as text.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// `O` of the holder.
    pub organisation: Option<String>,
    /// Every `OU` of the holder.
    pub units: Vec<String>,
    /// `organizationIdentifier` of the holder.
    pub organisation_identifier: Option<String>,
    /// The public key.
    pub key: Key,
    /// How it is signed.
    pub signature: Signature,
    /// Key usages by name; `None` when it does not say.
    pub usages: Option<Vec<&'static str>>,
    /// Extended key usages by name or object identifier; `None` when it does not say.
    pub purposes: Option<Vec<String>>,
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
    /// Alternative names of other kinds.
    pub other_names: usize,
    /// An authority's.
    pub is_authority: bool,
    /// Levels of authorities allowed below it.
    pub path_length: Option<u32>,
    /// Where its revocation list is published.
    pub list_urls: Vec<String>,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
}

impl std::ops::Deref for Contents {
    type Target = Leaf;
    fn deref(&self) -> &Leaf {
        &self.leaf
    }
}

/// Kind and size of a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Modulus in bits.
    Rsa(usize),
    /// P-256, P-384 or P-521.
    Ec(&'static str),
    /// RFC 8410.
    Ed25519,
    /// Object identifier.
    Other(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ec(curve) => f.write_str(curve),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => f.write_str(oid),
        }
    }
}

/// How a certificate is signed, by a name such as `rsa-pss-sha512`, or an object identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(String);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Contents {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] for anything that is not exactly one well-formed certificate.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = parse(der)?;
        let leaf = Leaf::of(der, &parsed)?;
        let malformed = |_| CertificateError::Malformed;
        let basic = parsed.basic_constraints().map_err(malformed)?.map(|found| found.value.clone());
        let usages = parsed.key_usage().map_err(malformed)?.map(|found| usages(found.value));
        let purposes = parsed.extended_key_usage().map_err(malformed)?.map(|found| purposes(found.value));
        let names = parsed.subject_alternative_name().map_err(malformed)?;
        let names: &[GeneralName<'_>] = names.as_ref().map_or(&[], |found| &found.value.general_names);
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        let address = |name: &GeneralName<'_>| match name {
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        };
        let (dns, addresses): (Vec<_>, Vec<_>) =
            (names.iter().filter_map(text).collect(), names.iter().filter_map(address).collect());
        Ok(Self {
            other_names: names.len().saturating_sub(dns.len() + addresses.len()),
            dns,
            addresses,
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial: hex::encode(parsed.raw_serial()),
            organisation: attribute(parsed.subject(), &OID_X509_ORGANIZATION_NAME.to_id_string()),
            units: parsed
                .subject()
                .iter_by_oid(&OID_X509_ORGANIZATIONAL_UNIT)
                .filter_map(|unit| unit.as_str().ok().map(ToOwned::to_owned))
                .collect(),
            organisation_identifier: attribute(parsed.subject(), ORGANIZATION_IDENTIFIER),
            key: key(&parsed),
            signature: signature(&parsed.signature_algorithm),
            usages,
            purposes,
            is_authority: basic.as_ref().is_some_and(|basic| basic.ca),
            path_length: basic.and_then(|basic| basic.path_len_constraint),
            list_urls: list_urls(&parsed),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            leaf,
        })
    }

    /// Whether it names itself as its issuer.
    pub fn is_root(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Whether `other` is of the name that signed this one.
    pub fn is_issued_by(&self, other: &Self) -> bool {
        self.issuer_der == other.subject_der
    }

    /// The issuer's name as DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// The holder's name as DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// The name that people know its holder by.
    pub fn known_as(&self) -> &str {
        self.leaf.common_name.as_deref().unwrap_or(&self.subject)
    }

    /// The common name of its issuer, or all of the name.
    pub fn issuer_known_as(&self) -> String {
        let of_issuer = X509Name::from_der(&self.issuer_der).ok();
        let common = of_issuer.and_then(|(_, name)| attribute(&name, &OID_X509_COMMON_NAME.to_id_string()));
        common.unwrap_or_else(|| self.issuer.clone())
    }

    /// Whole days from the first moment of its validity to the last.
    pub fn days(&self) -> i64 {
        (self.leaf.not_after - self.leaf.not_before).whole_days()
    }

    /// Days left at `now`; negative when it has expired.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.leaf.not_after - now).whole_days()
    }
}

fn attribute(name: &X509Name<'_>, oid: &str) -> Option<String> {
    name.iter_attributes()
        .filter(|attribute| attribute.attr_type().to_id_string() == oid)
        .find_map(|attribute| attribute.as_str().ok().map(ToOwned::to_owned))
}

fn usages(usage: &x509_parser::extensions::KeyUsage) -> Vec<&'static str> {
    [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "contentCommitment"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
    ]
    .into_iter()
    .filter_map(|(is_set, name)| is_set.then_some(name))
    .collect()
}

fn purposes(extended: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Vec<String> {
    [
        (extended.any, "anyExtendedKeyUsage"),
        (extended.client_auth, "clientAuth"),
        (extended.server_auth, "serverAuth"),
        (extended.code_signing, "codeSigning"),
        (extended.email_protection, "emailProtection"),
        (extended.time_stamping, "timeStamping"),
        (extended.ocsp_signing, "OCSPSigning"),
    ]
    .into_iter()
    .filter(|(is_set, _)| *is_set)
    .map(|(_, name)| name.to_owned())
    .chain(extended.other.iter().map(|oid| oid.to_id_string()))
    .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn key(parsed: &X509Certificate<'_>) -> Key {
    let info = parsed.public_key();
    let algorithm = info.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        "1.2.840.113549.1.1.1" => match info.parsed() {
            Ok(PublicKey::RSA(rsa)) => Key::Rsa(rsa.key_size()),
            _ => Key::Other(algorithm),
        },
        "1.2.840.10045.2.1" => {
            let curve =
                info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
            match curve.as_deref() {
                Some("1.2.840.10045.3.1.7") => Key::Ec("P-256"),
                Some("1.3.132.0.34") => Key::Ec("P-384"),
                Some("1.3.132.0.35") => Key::Ec("P-521"),
                _ => Key::Other(curve.unwrap_or(algorithm)),
            }
        }
        "1.3.101.112" => Key::Ed25519,
        _ => Key::Other(algorithm),
    }
}

fn signature(algorithm: &AlgorithmIdentifier<'_>) -> Signature {
    let oid = algorithm.algorithm.to_id_string();
    let name = match oid.as_str() {
        "1.2.840.113549.1.1.4" => "rsa-pkcs1-md5",
        "1.2.840.113549.1.1.5" => "rsa-pkcs1-sha1",
        "1.2.840.113549.1.1.11" => "rsa-pkcs1-sha256",
        "1.2.840.113549.1.1.12" => "rsa-pkcs1-sha384",
        "1.2.840.113549.1.1.13" => "rsa-pkcs1-sha512",
        "1.2.840.10045.4.1" => "ecdsa-sha1",
        "1.2.840.10045.4.3.2" => "ecdsa-sha256",
        "1.2.840.10045.4.3.3" => "ecdsa-sha384",
        "1.2.840.10045.4.3.4" => "ecdsa-sha512",
        "1.3.101.112" => "ed25519",
        "1.2.840.113549.1.1.10" => {
            let hash = algorithm.parameters.as_ref().and_then(|any| RsaSsaPssParams::try_from(any).ok());
            match hash.map(|hash| hash.hash_algorithm_oid().to_id_string()).as_deref() {
                Some("2.16.840.1.101.3.4.2.1") => "rsa-pss-sha256",
                Some("2.16.840.1.101.3.4.2.2") => "rsa-pss-sha384",
                Some("2.16.840.1.101.3.4.2.3") => "rsa-pss-sha512",
                _ => "rsa-pss-sha1",
            }
        }
        other => other,
    };
    Signature(name.to_owned())
}

fn list_urls(parsed: &X509Certificate<'_>) -> Vec<String> {
    let points = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLDistributionPoints(points) => Some(points),
        _ => None,
    });
    let names = points.into_iter().flat_map(|points| points.points.iter()).filter_map(|point| {
        match point.distribution_point.as_ref()? {
            DistributionPointName::FullName(names) => Some(names),
            DistributionPointName::NameRelativeToCRLIssuer(_) => None,
        }
    });
    names
        .flatten()
        .filter_map(|name| match name {
            GeneralName::URI(url) => Some((*url).to_owned()),
            _ => None,
        })
        .collect()
}
