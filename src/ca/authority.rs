//! The authority whose key is open: it makes certificates.

use std::path::{Path, PathBuf};

use rcgen::{Issuer, PublicKeyData as _, SerialNumber, SubjectPublicKeyInfo};
use ring::rand::{SecureRandom, SystemRandom};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::CaError;
use super::error::EyesError;
use super::files::{Staged, alone, check_free, replace};
use super::key::{CaKey, FileKey, Kept};
use super::office::{Office, check_signing, requested_key};
use super::operator::Operator;
use super::paper::Paper;
use super::profile::{Level, Made, Profile};
use super::proposal::{Proposal, Replacement};
use super::register::{Entry, Eyes, Serial, Stamp};
use super::secret::SecretFrom;
use super::settings::{Change, Settings, Signing};
use crate::identity::certificate::{Environment, Leaf};

/// An opened authority. Has no `Debug`: it holds the key.
pub struct Authority {
    pub(super) office: Office,
    pub(super) issuer: Issuer<'static, CaKey>,
    kept: Kept,
    /// Issuing CAs whose place it takes.
    pub(super) predecessors: Vec<Office>,
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
    /// Its serial number.
    pub serial: Serial,
}

impl Authority {
    /// Opens the issuing CA in `folder`, asking for a passphrase if its key has one. The root's key is not needed and may be
    /// elsewhere.
    ///
    /// # Errors
    /// Files that are missing, damaged or open to others; a key of another certificate.
    pub fn open(folder: &Path) -> Result<Self, CaError> {
        Self::open_with(Office::read(folder, Level::Issuing)?, &SecretFrom::issuing(None))
    }

    /// Opens the key of an authority.
    ///
    /// # Errors
    /// Files that are missing, damaged or open to others; a wrong passphrase or PIN; a key of another certificate.
    pub fn open_with(office: Office, secret: &SecretFrom) -> Result<Self, CaError> {
        let file = office.own("key");
        let (key, kept) = CaKey::open(&file, office.settings.token.as_ref(), secret)?;
        if office.is_old && kept != Kept::Plain {
            // It was there when the key was protected.
            return Err(CaError::Damaged(office.own("toml")));
        }
        let authority = Self::with_key(office, key, kept)?;
        Ok(authority)
    }

    /// Of a key that was just made or opened.
    pub(super) fn with_key(office: Office, key: CaKey, kept: Kept) -> Result<Self, CaError> {
        if office.key() != key.subject_public_key_info() {
            return Err(CaError::KeyMismatch(office.own("key")));
        }
        let issuer = Issuer::from_ca_cert_der(&office.der.as_slice().into(), key);
        let issuer = issuer.map_err(|_| CaError::Damaged(office.own("pem")))?;
        Ok(Self { office, issuer, kept, predecessors: Vec::new() })
    }

    /// What the authority was made for.
    pub const fn environment(&self) -> Environment {
        self.office.environment()
    }

    /// The directory.
    pub const fn office(&self) -> &Office {
        &self.office
    }

    /// How its key is kept.
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Makes a key pair (P-256) and its certificate: `NAME.pem` and `NAME.key` beside the authority's own files.
    ///
    /// # Errors
    /// A file that exists, an OIN of the wrong environment, too many days; an authority that signs with four eyes.
    pub fn issue(&self, name: &str, profile: &Profile, days: u16, now: OffsetDateTime) -> Result<Issued, CaError> {
        self.office.check_alone(name, profile, days, None, now)?;
        let key = FileKey::generate()?;
        let public = SubjectPublicKeyInfo::from_der(&key.subject_public_key_info())?;
        self.make(&Order { name, profile, days, public, private: Some(key.plain()), eyes: None }, now)
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
        let public = self.office.check_alone(name, profile, days, Some(request), now)?;
        let public = public.ok_or_else(|| CaError::BadRequest(request.to_owned()))?;
        self.make(&Order { name, profile, days, public, private: None, eyes: None }, now)
    }

    /// Signs what two operators agreed on.
    ///
    /// # Errors
    /// As [`Self::issue`], and whatever the two did not do; see [`EyesError`].
    pub fn sign_paper(&self, paper: &Paper<Proposal>, now: OffsetDateTime) -> Result<Issued, CaError> {
        // As it stands now: while the key was asked for, its operators may have changed.
        let office = Office::read(&self.office.folder, self.office.level)?;
        let (proposal, profile) = paper.check(&office, now)?;
        let eyes = paper.eyes()?;
        let public = requested_key(&proposal.request).ok_or(EyesError::OtherKey)?;
        let (name, days) = (proposal.file.as_str(), proposal.wish.days);
        self.make(&Order { name, profile: &profile, days, public, private: None, eyes: Some(eyes) }, now)
    }

    /// Has other operators from now on, as two of them agreed. What they agreed on before is signed if both are operators still.
    ///
    /// # Errors
    /// Whatever the two did not do; see [`EyesError`].
    pub fn replace_operators(&self, paper: &Paper<Replacement>, now: OffsetDateTime) -> Result<Change, CaError> {
        let alone = alone(&self.office.folder)?;
        // As it stands now that nobody else writes.
        let office = Office::read(&self.office.folder, self.office.level)?;
        let (_, roster) = paper.check_agreed(&office, now)?;
        let before = office.roster()?.clone();
        let change = Change {
            at: Stamp::new(now),
            joined: roster.without(&before),
            left: before
                .all()
                .iter()
                .map(Operator::name)
                .filter(|name| roster.by_name(name).is_none())
                .map(str::to_owned)
                .collect(),
            eyes: paper.eyes()?,
        };
        let mut settings = Settings { signing: Signing::FourEyes(roster), ..office.settings };
        settings.changes.push(change.clone());
        let text = settings.text(self.issuer.key())?;
        replace(&self.office.own("toml"), text.as_bytes(), 0o644, &alone)?;
        Ok(change)
    }

    /// Puts the key under a passphrase, and writes down who signs from now on. The plain file is replaced as a whole.
    ///
    /// # Errors
    /// A key that is protected already; a passphrase that is too short; operators named anew where there are some.
    pub fn protect(self, signing: Option<Signing>, secret: &SecretFrom) -> Result<(), CaError> {
        let Self { office, issuer, kept, .. } = self;
        let (CaKey::File(key), Kept::Plain) = (issuer.key(), kept) else {
            return Err(super::SecretError::AlreadyLocked(office.own("key")).into());
        };
        let alone = alone(&office.folder)?;
        // As it stands now that nobody else writes.
        let Settings { signing: known, crl_url, changes, .. } = Office::read(&office.folder, office.level)?.settings;
        let signing = match (signing, known) {
            (Some(_), Signing::FourEyes(_)) => return Err(EyesError::ByTwo.into()),
            (Some(new), _) => new,
            (None, known) => known,
        };
        check_signing(&signing, office.level, office.environment())?;
        let text = key.locked(secret)?;
        let settings = Settings { signing, crl_url, token: None, changes };
        // First what a plain key can do without: between the two the directory is as it was, or stricter.
        replace(&office.own("toml"), settings.text(key)?.as_bytes(), 0o644, &alone)?;
        replace(&office.own("key"), text.as_bytes(), 0o600, &alone)
    }

    /// The register first, the certificate's name last: there is none that the register lacks.
    pub(super) fn make(&self, order: &Order<'_>, now: OffsetDateTime) -> Result<Issued, CaError> {
        let office = &self.office;
        let alone = alone(&office.folder)?;
        let (chain, key) = (office.file(order.name, "pem"), office.file(order.name, "key"));
        match order.private {
            Some(_) => check_free(&[&chain, &key])?,
            None => check_free(&[&chain])?,
        }
        if let Some(eyes) = &order.eyes {
            let entries = office.issued()?;
            let is_this = |entry: &&Entry| entry.eyes.as_ref().is_some_and(|known| known.proposal == eyes.proposal);
            if let Some(before) = entries.iter().find(is_this) {
                return Err(EyesError::SignedBefore(before.serial.to_string()).into());
            }
        }
        let (number, serial) = random_serial()?;
        let made = Made { serial: number, crl_url: office.settings.crl_url.as_ref() };
        let params = order.profile.certificate(now, order.days, made);
        let certificate = params.signed_by(&order.public, &self.issuer)?;
        let leaf = Leaf::read(certificate.der()).map_err(|_| CaError::Damaged(chain.clone()))?;
        let mut staged = Staged::default();
        if let Some(text) = &order.private {
            staged.secret(&key, text)?;
        }
        staged.public(&chain, format!("{}{}", certificate.pem(), office.pem).as_bytes())?;
        office.register().add(order.entry(&serial, &leaf, now), &alone)?;
        staged.commit(&alone)?;
        let key = order.private.as_ref().map(|_| key);
        Ok(Issued { chain, key, leaf, policy: order.profile.policy(), serial })
    }
}

/// What is to be made.
pub(super) struct Order<'o> {
    pub(super) name: &'o str,
    pub(super) profile: &'o Profile,
    pub(super) days: u16,
    pub(super) public: SubjectPublicKeyInfo,
    /// PEM, when the key pair is made here.
    pub(super) private: Option<Zeroizing<String>>,
    pub(super) eyes: Option<Eyes>,
}

impl Order<'_> {
    fn entry(&self, serial: &Serial, leaf: &Leaf, now: OffsetDateTime) -> Entry {
        Entry {
            serial: serial.clone(),
            key_hash: leaf.key_hash.to_string(),
            subject: self.profile.common_name().to_owned(),
            oin: self.profile.oin().map(ToString::to_string),
            profile: self.profile.word().to_owned(),
            days: self.days,
            at: Stamp::new(now),
            until: Stamp::new(now + Duration::days(i64::from(self.days))),
            eyes: self.eyes.clone(),
        }
    }
}

/// 128 random bits (RFC 5280 §4.1.2.2 asks for uniqueness and at most 20 bytes).
pub(super) fn random_serial() -> Result<(SerialNumber, Serial), CaError> {
    let bytes = random()?;
    Ok((SerialNumber::from_slice(&bytes), Serial::of(&bytes)))
}

pub(super) fn random() -> Result<[u8; 16], CaError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| CaError::NoRandomness)?;
    Ok(bytes)
}
