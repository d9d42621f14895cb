//! An authority's directory without its key: its certificate, what it was made to be, and its registers.

use std::path::{Path, PathBuf};

use rcgen::SubjectPublicKeyInfo;
use time::{Duration, OffsetDateTime};
use x509_parser::oid_registry::{OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, Oid};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::CaError;
use super::error::EyesError;
use super::files::{read, read_if_there};
use super::journal::Journal;
use super::operator::Roster;
use super::profile::{Level, Name, Profile};
use super::register::Entry;
use super::settings::{Change, Settings, Signing};
use crate::identity::certificate::{Environment, KeyHash, is_test};
use crate::identity::signing_request;

/// Longest validity of a leaf, in days: a bit over PKIoverheid's three years.
const MAX_DAYS: u16 = 1200;

/// File names that belong to the authority itself.
const OWN_NAMES: [&str; 4] = ["root", "issuing", "anchors", "issued"];

/// An authority's directory, as anybody sees it who may read it.
pub struct Office {
    pub(super) folder: PathBuf,
    pub(super) level: Level,
    pub(super) pem: String,
    pub(super) der: Vec<u8>,
    pub(super) settings: Settings,
    /// It was made before there were settings.
    pub(super) is_old: bool,
    environment: Environment,
    network: Name,
    until: OffsetDateTime,
    key: Vec<u8>,
}

impl Office {
    /// Reads the authority of this level in `folder`.
    ///
    /// # Errors
    /// Files that are missing or damaged; one of production that lets one person sign.
    pub fn read(folder: &Path, level: Level) -> Result<Self, CaError> {
        let file = folder.join(format!("{}.pem", level.stem()));
        let pem = match read_if_there(&file)? {
            Some(pem) => pem,
            None => return Err(CaError::NoAuthority { folder: folder.to_owned(), stem: level.stem() }),
        };
        let damaged = || CaError::Damaged(file.clone());
        let der = parse_x509_pem(pem.as_bytes()).map_err(|_| damaged())?.1.contents;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| damaged())?;
        let environment = text(&parsed, &OID_X509_ORGANIZATIONAL_UNIT).and_then(|unit| unit.parse().ok());
        let network = text(&parsed, &OID_X509_ORGANIZATION_NAME).and_then(|name| name.parse().ok());
        let until = parsed.validity().not_after.to_datetime();
        let key = parsed.public_key().raw.to_vec();
        let file = folder.join(format!("{}.toml", level.stem()));
        let stored = read_if_there(&file)?;
        let is_old = stored.is_none();
        let settings = stored.map_or(Some(Settings::before()), |text| Settings::parse(&text, &key));
        let office = Self {
            folder: folder.to_owned(),
            level,
            environment: environment.ok_or_else(damaged)?,
            network: network.ok_or_else(damaged)?,
            settings: settings.ok_or(EyesError::Settings(file))?,
            is_old,
            until,
            key,
            pem,
            der,
        };
        if !is_old {
            check_signing(&office.settings.signing, level, office.environment)?;
        }
        Ok(office)
    }

    /// Its directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Root or issuing CA.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// What the authority was made for.
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// The network's name.
    pub(super) const fn network(&self) -> &Name {
        &self.network
    }

    /// Its last second.
    pub(super) const fn until(&self) -> OffsetDateTime {
        self.until
    }

    /// Its public key: SubjectPublicKeyInfo.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The name of its key pair.
    pub fn key_hash(&self) -> KeyHash {
        KeyHash::of(&self.key)
    }

    /// Who proposes and approves.
    ///
    /// # Errors
    /// Nobody does.
    pub fn roster(&self) -> Result<&Roster, CaError> {
        match &self.settings.signing {
            Signing::FourEyes(roster) => Ok(roster),
            Signing::Alone | Signing::OwnSystems => Err(EyesError::NotNeeded.into()),
        }
    }

    /// How its operators have changed, oldest first.
    pub fn changes(&self) -> &[Change] {
        &self.settings.changes
    }

    /// Every certificate that it made, oldest first.
    ///
    /// # Errors
    /// A register that does not hold together.
    pub fn issued(&self) -> Result<Vec<Entry>, CaError> {
        self.register().entries()
    }

    /// The key in this request, or nothing where a key pair is to be made, if such a certificate may be made by one person.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_alone(
        &self,
        name: &str,
        profile: &Profile,
        days: u16,
        request: Option<&Path>,
        now: OffsetDateTime,
    ) -> Result<Option<SubjectPublicKeyInfo>, CaError> {
        self.check(name, profile, days, now)?;
        let key = |path: &Path| requested_key(&read(path)?).ok_or_else(|| CaError::BadRequest(path.to_owned()));
        let key = request.map(key).transpose()?;
        match self.settings.signing {
            Signing::FourEyes(_) => Err(EyesError::Needed.into()),
            Signing::Alone | Signing::OwnSystems => Ok(key),
        }
    }

    pub(super) fn register(&self) -> Journal {
        self.journal("issued")
    }

    pub(super) fn journal(&self, what: &str) -> Journal {
        Journal::new(match self.level {
            Level::Issuing => self.folder.join(format!("{what}.jsonl")),
            Level::Root => self.folder.join(format!("root-{what}.jsonl")),
        })
    }

    pub(super) fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{name}.{extension}"))
    }

    /// A file of its own.
    pub(super) fn own(&self, extension: &str) -> PathBuf {
        self.file(self.level.stem(), extension)
    }

    /// Whether such a certificate may be made here at all.
    pub(super) fn check(&self, name: &str, profile: &Profile, days: u16, now: OffsetDateTime) -> Result<(), CaError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) || OWN_NAMES.contains(&name) {
            return Err(CaError::BadFileName);
        }
        if self.environment == Environment::Production && profile.oin().is_some_and(is_test) {
            return Err(CaError::TestOin);
        }
        if matches!(self.settings.signing, Signing::OwnSystems) {
            match profile {
                Profile::Local { .. } | Profile::Server { oin: None, .. } => {}
                _ => return Err(EyesError::OwnSystems.into()),
            }
        }
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(CaError::BadDays);
        }
        if now + Duration::days(i64::from(days)) > self.until {
            return Err(CaError::OutlivesCa);
        }
        Ok(())
    }
}

/// Nobody signs alone for production, but for the own systems of one organisation. A root is opened with people around.
pub(super) fn check_signing(signing: &Signing, level: Level, environment: Environment) -> Result<(), EyesError> {
    match (signing, level, environment) {
        (Signing::Alone, Level::Issuing, Environment::Production) => Err(EyesError::TooFew),
        _ => Ok(()),
    }
}

fn text(parsed: &X509Certificate<'_>, what: &Oid<'_>) -> Option<String> {
    parsed.subject().iter_by_oid(what).next().and_then(|value| value.as_str().ok()).map(str::to_owned)
}

/// The public key of a PEM request (RFC 2986), if the request is signed with it.
pub(super) fn requested_key(text: &str) -> Option<SubjectPublicKeyInfo> {
    let (_, pem) = parse_x509_pem(text.as_bytes()).ok()?;
    SubjectPublicKeyInfo::from_der(&signing_request::requested_key(&pem.contents).ok()?).ok()
}
