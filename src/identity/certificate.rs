//! One leaf certificate: what it says of its holder. Whether that is believed, is for [`crate::trust`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_EXT_CERTIFICATE_POLICIES, OID_X509_SERIALNUMBER};
use x509_parser::prelude::FromDer;

use crate::party::{Oin, UnknownCode};
use crate::reason::Reason;

mod digest;
mod policy;

pub use digest::{Fingerprint, KeyHash};
pub use policy::{ORGANISATION, PERSON, POLICY_UUID, PolicyOid};

/// Prefix of OINs that exist only for tests (REFERENCE §3.2).
const TEST_PREFIX: &str = "00000099";

/// Whether the OIN exists only for tests.
pub fn is_test(oin: &Oin) -> bool {
    oin.as_str().starts_with(TEST_PREFIX)
}

/// Test and production never mix (REFERENCE §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Synthetic organisations are welcome.
    Test,
    /// An OIN with prefix 00000099 is refused.
    Production,
}

impl std::str::FromStr for Environment {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        match text {
            "test" => Ok(Self::Test),
            "production" => Ok(Self::Production),
            _ => Err(UnknownCode("environment")),
        }
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format_args!("`{text}` is not \"test\" or \"production\"")))
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Test => "test",
            Self::Production => "production",
        })
    }
}

/// What is wrong with a certificate by itself. Whether it is believed, [`crate::trust`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate can't be read")]
    Malformed,
    #[error("the certificate is not valid yet")]
    NotYetValid,
    #[error("the certificate has expired")]
    Expired,
    #[error("the subject has no serialNumber")]
    NoOin,
    #[error("the subject has more than one serialNumber")]
    SeveralOins,
    #[error("the subject's serialNumber is not an OIN")]
    WrongOin,
}

impl CertificateError {
    /// The reason code of the refusal.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::CertUntrusted,
            Self::NotYetValid | Self::Expired => Reason::CertExpired,
            Self::NoOin | Self::SeveralOins | Self::WrongOin => Reason::OinMissing,
        }
    }
}

/// A peer's certificate that is believed ([`crate::trust::Trust::judge`]). Cheap to clone. `Debug` shows the fingerprint only.
#[derive(Clone)]
pub struct PeerCertificate(Arc<Peer>);

struct Peer {
    oin: Option<Oin>,
    set: Arc<str>,
    leaf: Leaf,
}

impl PeerCertificate {
    /// Of a leaf that was judged, under this set of anchors.
    pub(crate) fn new(leaf: Leaf, oin: Option<Oin>, set: &Arc<str>) -> Self {
        Self(Arc::new(Peer { oin, set: Arc::clone(set), leaf }))
    }

    /// Name of the set of anchors that it is under.
    pub fn set(&self) -> &str {
        &self.0.set
    }

    /// The organisation; `None` for a local system.
    pub fn oin(&self) -> Option<&Oin> {
        self.0.oin.as_ref()
    }

    /// Hash of the public key, by which the registry knows its holder.
    pub fn key_hash(&self) -> KeyHash {
        self.0.leaf.key_hash
    }

    /// Hash of the whole certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.leaf.fingerprint
    }

    /// Common name, for display only: it identifies nobody.
    pub fn common_name(&self) -> Option<&str> {
        self.0.leaf.common_name.as_deref()
    }

    /// First second of validity.
    pub fn not_before(&self) -> OffsetDateTime {
        self.0.leaf.not_before
    }

    /// Last second of validity.
    pub fn not_after(&self) -> OffsetDateTime {
        self.0.leaf.not_after
    }

    /// Policies that the issuer declared.
    pub fn policies(&self) -> &BTreeSet<PolicyOid> {
        &self.0.leaf.policies
    }

    /// Whether `now` lies within the validity: a connection may outlive its certificate.
    pub fn check_validity(&self, now: OffsetDateTime) -> Result<(), CertificateError> {
        self.0.leaf.check_validity(now)
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({})", self.fingerprint())
    }
}

/// What a leaf certificate says, judged by nobody yet.
#[derive(Clone)]
pub struct Leaf {
    /// Last common name of the subject, as the most specific one.
    pub common_name: Option<String>,
    /// Every `subject.serialNumber`; unreadable ones are empty.
    pub serial_numbers: Vec<String>,
    /// First second of validity.
    pub not_before: OffsetDateTime,
    /// Last second of validity.
    pub not_after: OffsetDateTime,
    /// Policies that the issuer declared.
    pub policies: BTreeSet<PolicyOid>,
    /// Extended key usage holds clientAuth.
    pub client_auth: bool,
    /// Hash of the SubjectPublicKeyInfo.
    pub key_hash: KeyHash,
    /// Hash of the certificate.
    pub fingerprint: Fingerprint,
}

impl Leaf {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] for anything that is not exactly one well-formed certificate.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        Self::of(der, &parse(der)?)
    }

    /// Of a certificate that was parsed.
    pub(crate) fn of(der: &[u8], parsed: &X509Certificate<'_>) -> Result<Self, CertificateError> {
        let malformed = |_| CertificateError::Malformed;
        let extended = parsed.extended_key_usage().map_err(malformed)?;
        let subject = parsed.subject();
        let common_name =
            subject.iter_by_oid(&OID_X509_COMMON_NAME).last().and_then(|name| name.as_str().ok()).map(str::to_owned);
        let serial_numbers = subject
            .iter_by_oid(&OID_X509_SERIALNUMBER)
            .map(|number| number.as_str().unwrap_or_default().to_owned())
            .collect();
        Ok(Self {
            common_name,
            serial_numbers,
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            policies: policies(parsed)?,
            client_auth: extended.as_ref().is_some_and(|e| e.value.client_auth),
            key_hash: KeyHash::of(parsed.public_key().raw),
            fingerprint: Fingerprint::of(der),
        })
    }

    /// Whether `now` lies within the validity, both ends included (RFC 5280 §4.1.2.5).
    ///
    /// # Errors
    /// [`CertificateError::NotYetValid`] or [`CertificateError::Expired`].
    pub fn check_validity(&self, now: OffsetDateTime) -> Result<(), CertificateError> {
        if now < self.not_before {
            Err(CertificateError::NotYetValid)
        } else if now > self.not_after {
            Err(CertificateError::Expired)
        } else {
            Ok(())
        }
    }

    /// Whether it says to be of this profile of our own CA.
    pub fn is_own(&self, profile: u8) -> bool {
        let profile = profile.to_string();
        self.policies.iter().any(|policy| policy.own() == Some(&profile))
    }

    /// The one OIN of the subject.
    ///
    /// # Errors
    /// None, several, or something that is not an OIN.
    pub fn oin(&self) -> Result<Oin, CertificateError> {
        match self.serial_numbers.as_slice() {
            [] => Err(CertificateError::NoOin),
            [one] => one.parse().map_err(|_| CertificateError::WrongOin),
            _ => Err(CertificateError::SeveralOins),
        }
    }
}

/// Exactly one certificate.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(CertificateError::Malformed),
    }
}

fn policies(parsed: &X509Certificate<'_>) -> Result<BTreeSet<PolicyOid>, CertificateError> {
    let extension = parsed
        .get_extension_unique(&OID_X509_EXT_CERTIFICATE_POLICIES)
        .map_err(|_| CertificateError::Malformed)?
        .map(|extension| extension.parsed_extension());
    match extension {
        None => Ok(BTreeSet::new()),
        Some(ParsedExtension::CertificatePolicies(list)) => list
            .iter()
            .map(|policy| PolicyOid::from_der_content(policy.policy_id.as_bytes()))
            .collect::<Option<_>>()
            .ok_or(CertificateError::Malformed),
        Some(_) => Err(CertificateError::Malformed),
    }
}

#[cfg(test)]
mod tests;
