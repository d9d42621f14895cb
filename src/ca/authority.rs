//! The authority: made once, opened for every certificate.

use std::path::{Path, PathBuf};

use rcgen::{Issuer, KeyPair, PublicKeyData, SerialNumber, SubjectPublicKeyInfo};
use ring::rand::{SecureRandom, SystemRandom};
use time::{Duration, OffsetDateTime};
use x509_parser::oid_registry::OID_X509_ORGANIZATIONAL_UNIT;
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use super::CaError;
use super::files::{check_free, directory, read, read_secret, write, write_secret};
use super::profile::{Level, Name, Profile};
use crate::identity::certificate::{Environment, Leaf, is_test};
use crate::identity::signing_request::requested_key;

/// Longest validity of a leaf, in days: a bit over PKIoverheid's three years.
const MAX_DAYS: u16 = 1200;

/// File names that belong to the authority itself.
const OWN_NAMES: [&str; 3] = ["root", "issuing", "anchors"];

/// An opened authority: its directory, its issuing certificate and key. Has no `Debug`: it holds the key.
pub struct Authority {
    folder: PathBuf,
    environment: Environment,
    issuing_pem: String,
    issuing_until: OffsetDateTime,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that was made.
pub struct Issued {
    /// Leaf, then issuing CA.
    pub chain: PathBuf,
    /// Private key; `None` when a signing request was given.
    pub key: Option<PathBuf>,
    /// What the certificate says.
    pub leaf: Leaf,
    /// Its policy in dotted form.
    pub policy: String,
}

impl Authority {
    /// Makes root and issuing CA in `folder`: `root.pem`, `root.key`, `issuing.pem`, `issuing.key`, and `anchors.pem`
    /// for everybody's configuration. Keys are P-256.
    ///
    /// # Errors
    /// [`CaError::Exists`] if any of the files is there already; nothing is changed then.
    pub fn init(folder: &Path, network: &Name, environment: Environment, now: OffsetDateTime) -> Result<Self, CaError> {
        directory(folder)?;
        let file = |name: &str| folder.join(name);
        let (root, root_key) = (file("root.pem"), file("root.key"));
        let (issuing, issuing_key) = (file("issuing.pem"), file("issuing.key"));
        let anchors = file("anchors.pem");
        check_free(&[&root, &root_key, &issuing, &issuing_key, &anchors])?;

        let root_pair = KeyPair::generate()?;
        let root_params = Level::Root.certificate(network, environment, now, random_serial()?);
        let root_pem = root_params.self_signed(&root_pair)?.pem();
        let issuing_pair = KeyPair::generate()?;
        let issuing_params = Level::Issuing.certificate(network, environment, now, random_serial()?);
        let root_issuer = Issuer::from_params(&root_params, &root_pair);
        let issuing_pem = issuing_params.signed_by(&issuing_pair, &root_issuer)?.pem();

        write_secret(&root_key, &Zeroizing::new(root_pair.serialize_pem()))?;
        write_secret(&issuing_key, &Zeroizing::new(issuing_pair.serialize_pem()))?;
        write(&root, &root_pem)?;
        write(&issuing, &issuing_pem)?;
        write(&anchors, &root_pem)?;
        Self::open(folder)
    }

    /// Opens the authority in `folder`. The root's key is not needed and may be elsewhere.
    ///
    /// # Errors
    /// Files that are missing, damaged or open to others; a key of another certificate.
    pub fn open(folder: &Path) -> Result<Self, CaError> {
        let (certificate, key) = (folder.join("issuing.pem"), folder.join("issuing.key"));
        let issuing_pem = read(&certificate)?;
        let pair = KeyPair::from_pem(&read_secret(&key)?).map_err(|_| CaError::Damaged(key.clone()))?;
        let damaged = || CaError::Damaged(certificate.clone());
        let (_, pem) = parse_x509_pem(issuing_pem.as_bytes()).map_err(|_| damaged())?;
        let parsed = pem.parse_x509().map_err(|_| damaged())?;
        if parsed.public_key().raw != pair.subject_public_key_info() {
            return Err(CaError::KeyMismatch(key));
        }
        let environment = parsed
            .subject()
            .iter_by_oid(&OID_X509_ORGANIZATIONAL_UNIT)
            .next()
            .and_then(|unit| unit.as_str().ok()?.parse().ok())
            .ok_or_else(damaged)?;
        let issuing_until = parsed.validity().not_after.to_datetime();
        let issuer = Issuer::from_ca_cert_pem(&issuing_pem, pair).map_err(|_| damaged())?;
        Ok(Self { folder: folder.to_owned(), environment, issuing_pem, issuing_until, issuer })
    }

    /// What the authority was made for.
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// Makes a key pair (P-256) and its certificate: `NAME.pem` and `NAME.key` beside the authority's own files.
    ///
    /// # Errors
    /// A file that exists, an OIN of the wrong environment, too many days.
    pub fn issue(&self, name: &str, profile: &Profile, days: u16, now: OffsetDateTime) -> Result<Issued, CaError> {
        self.check(name, profile, days, now)?;
        let (chain, key) = (self.file(name, "pem"), self.file(name, "key"));
        check_free(&[&chain, &key])?;
        let pair = KeyPair::generate()?;
        let certificate = profile.certificate(now, days, random_serial()?).signed_by(&pair, &self.issuer)?;
        write_secret(&key, &Zeroizing::new(pair.serialize_pem()))?;
        self.finish(chain, Some(key), &certificate, profile)
    }

    /// Signs the public key of a PKCS#10 request: `NAME.pem`. Only the key is taken from the request, and the proof
    /// that its sender holds it; the profile says everything else.
    ///
    /// # Errors
    /// As [`Self::issue`], and a request that is unreadable or not signed with its own key.
    pub fn sign(
        &self,
        name: &str,
        request: &Path,
        profile: &Profile,
        days: u16,
        now: OffsetDateTime,
    ) -> Result<Issued, CaError> {
        self.check(name, profile, days, now)?;
        let chain = self.file(name, "pem");
        check_free(&[&chain])?;
        let asked = key_in(&read(request)?).ok_or_else(|| CaError::BadRequest(request.to_owned()))?;
        let certificate = profile.certificate(now, days, random_serial()?).signed_by(&asked, &self.issuer)?;
        self.finish(chain, None, &certificate, profile)
    }

    fn check(&self, name: &str, profile: &Profile, days: u16, now: OffsetDateTime) -> Result<(), CaError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) || OWN_NAMES.contains(&name) {
            return Err(CaError::BadFileName);
        }
        if self.environment == Environment::Production && profile.oin().is_some_and(is_test) {
            return Err(CaError::TestOin);
        }
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(CaError::BadDays);
        }
        if now + Duration::days(i64::from(days)) > self.issuing_until {
            return Err(CaError::OutlivesCa);
        }
        Ok(())
    }

    fn finish(
        &self,
        chain: PathBuf,
        key: Option<PathBuf>,
        certificate: &rcgen::Certificate,
        profile: &Profile,
    ) -> Result<Issued, CaError> {
        write(&chain, &format!("{}{}", certificate.pem(), self.issuing_pem))?;
        let leaf = Leaf::read(certificate.der()).map_err(|_| CaError::Damaged(chain.clone()))?;
        Ok(Issued { chain, key, leaf, policy: profile.policy() })
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{name}.{extension}"))
    }
}

/// The public key of a PEM request (RFC 2986), if the request is signed with it.
fn key_in(text: &str) -> Option<SubjectPublicKeyInfo> {
    let (_, pem) = parse_x509_pem(text.as_bytes()).ok()?;
    SubjectPublicKeyInfo::from_der(&requested_key(&pem.contents)?).ok()
}

/// 128 random bits (RFC 5280 §4.1.2.2 asks for uniqueness and at most 20 bytes).
fn random_serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| CaError::NoRandomness)?;
    Ok(SerialNumber::from_slice(&bytes))
}
