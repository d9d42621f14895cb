//! What a certificate says, by the kind of its holder. Pure: time, serial number and keys come from outside.

use std::net::IpAddr;
use std::str::FromStr;

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::{CaError, ISSUING_DAYS, ROOT_DAYS};
use crate::identity::PersonRef;
use crate::identity::certificate::{Environment, ORGANISATION, PERSON, POLICY_UUID, PolicyOid};
use crate::party::Oin;

/// Certificates start this long before they are made, for clocks that are behind.
const BACKDATE: Duration = Duration::minutes(5);

/// Object identifiers, RFC 5280 and X.520.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];
const CERTIFICATE_POLICIES: [u64; 4] = [2, 5, 29, 32];

/// `SEQUENCE { SEQUENCE { OBJECT IDENTIFIER 2.5.29.32.0 } }`: anyPolicy.
const ANY_POLICY_ONLY: [u8; 10] = [0x30, 8, 0x30, 6, 0x06, 4, 0x55, 0x1d, 0x20, 0];

/// Kinds of holders.
#[derive(Clone)]
pub enum Profile {
    /// The systems of a partner: calls, and serves if it has alternative names.
    Organisation { name: Name, oin: Oin, alternatives: Vec<SanType> },
    /// A hub, keyholder or witness: serves, and calls its peers. With the OIN of whoever runs it, if it has one.
    Server { name: Name, oin: Option<Oin>, alternatives: Vec<SanType> },
    /// A privacy officer or operator.
    Person { person: PersonRef, oin: Oin },
    /// A system that calls its own organisation's agent.
    Local { system: Name },
}

impl Profile {
    /// Policy of the profile in dotted form, as configuration names it.
    pub fn policy(&self) -> String {
        PolicyOid::of_own(self.arc())
    }

    /// Its word on the command line and in the register.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Organisation { .. } => "organisation",
            Self::Server { .. } => "server",
            Self::Person { .. } => "person",
            Self::Local { .. } => "local",
        }
    }

    /// What people know the holder by.
    pub fn common_name(&self) -> &str {
        match self {
            Self::Organisation { name, .. } | Self::Server { name, .. } | Self::Local { system: name } => &name.0,
            Self::Person { person, .. } => person.as_str(),
        }
    }

    const fn arc(&self) -> u8 {
        match self {
            Self::Organisation { .. } => ORGANISATION,
            Self::Server { .. } => 2,
            Self::Person { .. } => PERSON,
            Self::Local { .. } => 4,
        }
    }

    /// The OIN that will stand in the subject.
    pub const fn oin(&self) -> Option<&Oin> {
        match self {
            Self::Organisation { oin, .. } | Self::Person { oin, .. } => Some(oin),
            Self::Server { oin, .. } => oin.as_ref(),
            Self::Local { .. } => None,
        }
    }

    fn subject(&self) -> DistinguishedName {
        let mut subject = DistinguishedName::new();
        if let Self::Organisation { name, .. } = self {
            subject.push(DnType::OrganizationName, name.0.as_str());
        }
        subject.push(DnType::CommonName, self.common_name());
        if let Some(oin) = self.oin() {
            subject.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), oin.as_str());
        }
        subject
    }

    fn purposes(&self) -> Vec<ExtendedKeyUsagePurpose> {
        // Nobody can be a server without a name to be called by. Servers call others too: a hub its witnesses, for one.
        if self.alternatives().is_empty() {
            vec![ExtendedKeyUsagePurpose::ClientAuth]
        } else {
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth]
        }
    }

    fn alternatives(&self) -> Vec<SanType> {
        match self {
            Self::Organisation { alternatives, .. } | Self::Server { alternatives, .. } => alternatives.clone(),
            Self::Person { .. } | Self::Local { .. } => Vec::new(),
        }
    }

    /// The certificate to sign.
    pub(super) fn certificate(&self, now: OffsetDateTime, days: u16, made: Made<'_>) -> CertificateParams {
        let mut params = dated(now, i64::from(days), made);
        params.distinguished_name = self.subject();
        params.subject_alt_names = self.alternatives();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.purposes();
        params.custom_extensions = vec![policy_extension(self.arc())];
        params
    }
}

/// What differs from one certificate of a kind to the next.
#[derive(Clone)]
pub(super) struct Made<'u> {
    pub(super) serial: SerialNumber,
    /// Where its issuer publishes what it revoked.
    pub(super) crl_url: Option<&'u CrlUrl>,
}

/// Where a revocation list is published. Without TLS: a list is signed, and TLS would need one to be believed.
#[derive(Clone, PartialEq, Eq)]
pub struct CrlUrl(String);

impl CrlUrl {
    /// As it stands in certificates.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CrlUrl {
    type Err = CaError;
    fn from_str(text: &str) -> Result<Self, CaError> {
        let host = text.strip_prefix("http://").filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
        match host.filter(|_| text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic())) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(CaError::BadUrl),
        }
    }
}

/// The two levels of the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Needed once in some years, to make or revoke an issuing CA; belongs offline.
    Root,
    /// For daily work.
    Issuing,
}

impl Level {
    /// What its files are called.
    pub const fn stem(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
        }
    }

    /// The CA certificate to sign. `network` and the environment stand in its name for people to see; a second and later
    /// issuing CA says which it is, since revocation lists are told apart by their issuer's name.
    pub(super) fn certificate(
        self,
        network: &Name,
        environment: Environment,
        nth: usize,
        now: OffsetDateTime,
        made: Made<'_>,
    ) -> CertificateParams {
        let (what, days, below) = match self {
            Self::Root => ("root CA".to_owned(), ROOT_DAYS, 1),
            Self::Issuing if nth > 1 => (format!("issuing CA {nth}"), ISSUING_DAYS, 0),
            Self::Issuing => ("issuing CA".to_owned(), ISSUING_DAYS, 0),
        };
        let mut params = dated(now, days, made);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, network.0.as_str());
        params.distinguished_name.push(DnType::OrganizationalUnitName, environment.to_string());
        params.distinguished_name.push(DnType::CommonName, format!("Sluis {what}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        if matches!(self, Self::Issuing) {
            // A policy counts only if every CA below the anchor allows it (RFC 5280 §6.1.3 d).
            params.custom_extensions =
                vec![CustomExtension::from_oid_content(&CERTIFICATE_POLICIES, ANY_POLICY_ONLY.to_vec())];
        }
        params
    }
}

fn dated(now: OffsetDateTime, days: i64, made: Made<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::days(days);
    params.serial_number = Some(made.serial);
    let uri = |url: &CrlUrl| CrlDistributionPoint { uris: vec![url.0.clone()] };
    params.crl_distribution_points = made.crl_url.map(uri).into_iter().collect();
    params.use_authority_key_identifier_extension = true;
    params
}

/// `SEQUENCE { SEQUENCE { OBJECT IDENTIFIER 2.25.uuid.arc } }` (RFC 5280 §4.2.1.4). Written here because the
/// certificate library has no policies and its object identifiers end at 64 bits per number.
fn policy_extension(arc: u8) -> CustomExtension {
    /// First byte of an identifier that starts with 2.25 (X.690 §8.19.4).
    const ARC_2_25: u8 = 2 * 40 + 25;
    // A UUID takes 19 groups of seven bits, the highest first, all but the last marked.
    let groups = (0..19_u32).rev().map(|group| {
        let bits = (POLICY_UUID >> (7 * group)) & 0x7f;
        let mark = if group == 0 { 0 } else { 0x80 };
        u8::try_from(bits).unwrap_or_default() | mark
    });
    let mut content = vec![0x30, 25, 0x30, 23, 0x06, 21, ARC_2_25];
    content.extend(groups);
    content.push(arc);
    CustomExtension::from_oid_content(&CERTIFICATE_POLICIES, content)
}

/// Name of an organisation or a system: 1–64 characters (RFC 5280 ub-common-name), none of them control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String);

impl FromStr for Name {
    type Err = CaError;
    fn from_str(text: &str) -> Result<Self, CaError> {
        let plain = text.trim() == text && !text.chars().any(char::is_control);
        if plain && (1..=64).contains(&text.chars().count()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CaError::BadName)
        }
    }
}

/// Reads an alternative name: an IP address, or a DNS name of letters, digits and hyphens.
///
/// # Errors
/// [`CaError::BadAlternative`].
pub fn alternative(text: &str) -> Result<SanType, CaError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    rustls::pki_types::DnsName::try_from(text).map_err(|_| CaError::BadAlternative)?;
    Ok(SanType::DnsName(text.try_into().map_err(|_| CaError::BadAlternative)?))
}
