//! Making authorities: a root, an issuing CA under it, both at once; and keys of operators.

use std::path::{Path, PathBuf};

use rcgen::{Issuer, PublicKeyData as _};
use time::{Duration, OffsetDateTime};

use super::authority::{Authority, random_serial};
use super::error::{EyesError, SecretError, TokenError};
use super::files::{Staged, alone, check_free, directory, read_if_there};
use super::key::{CaKey, FileKey, Kept, NewKey};
use super::office::{Office, check_signing};
use super::profile::{CrlUrl, Level, Made, Name};
use super::register::{Entry, Stamp};
use super::settings::{Settings, Signing};
use super::{CaError, ISSUING_DAYS};
use crate::identity::certificate::{Environment, KeyHash};

/// How an authority is to be made.
pub struct Plan {
    /// Where its key goes.
    pub key: NewKey,
    /// Who signs.
    pub signing: Signing,
    /// Where it publishes what it revoked; stands in the certificates that it signs.
    pub crl_url: Option<CrlUrl>,
}

impl Plan {
    /// For tests: a plain key, and whoever has it signs.
    pub const fn throwaway() -> Self {
        Self { key: NewKey::Plain, signing: Signing::Alone, crl_url: None }
    }

    fn check(&self, level: Level, environment: Environment) -> Result<(), CaError> {
        if environment == Environment::Production && matches!(self.key, NewKey::Plain) {
            return Err(SecretError::PlainInProduction.into());
        }
        Ok(check_signing(&self.signing, level, environment)?)
    }

    fn settings(&self) -> Settings {
        let token = match &self.key {
            NewKey::Token(token, _) => Some(token.clone()),
            NewKey::Plain | NewKey::Locked(_) => None,
        };
        Settings { signing: self.signing.clone(), crl_url: self.crl_url.clone(), token, changes: Vec::new() }
    }

    const fn kept(&self) -> Kept {
        match self.key {
            NewKey::Plain => Kept::Plain,
            NewKey::Locked(_) => Kept::Locked,
            NewKey::Token(..) => Kept::Token,
        }
    }
}

impl Authority {
    /// Makes a throwaway authority for tests in `folder`, root and issuing CA, with plain keys (P-256).
    ///
    /// # Errors
    /// [`CaError::Exists`] if any of the files is there already, and nothing is changed then; an authority for production.
    pub fn init(folder: &Path, network: &Name, environment: Environment, now: OffsetDateTime) -> Result<Self, CaError> {
        Self::init_with(folder, network, environment, (Plan::throwaway(), Plan::throwaway()), now)
    }

    /// Makes root and issuing CA in one directory: `root.*`, `issuing.*`, and `anchors.pem` for everybody's configuration.
    ///
    /// # Errors
    /// As [`Self::root`] and [`Self::issuing`].
    pub fn init_with(
        folder: &Path,
        network: &Name,
        environment: Environment,
        (root, issuing): (Plan, Plan),
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        root.check(Level::Root, environment)?;
        issuing.check(Level::Issuing, environment)?;
        check_new(folder, Level::Root)?;
        check_new(folder, Level::Issuing)?;
        Self::root(folder, network, environment, root, now)?.issuing(folder, issuing, now)
    }

    /// Makes a root: `root.pem`, `root.key`, `root.toml` and `anchors.pem`.
    ///
    /// # Errors
    /// A file that exists or can't be written; nothing is changed then.
    pub fn root(
        folder: &Path,
        network: &Name,
        environment: Environment,
        plan: Plan,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        plan.check(Level::Root, environment)?;
        directory(folder)?;
        check_new(folder, Level::Root)?;
        let (number, _) = random_serial()?;
        // A root's own certificate is revoked by taking it out of the anchors: a list of its own would prove nothing.
        let made = Made { serial: number, crl_url: None };
        let params = Level::Root.certificate(network, environment, 1, now, made);
        let (key, text) = CaKey::make(&plan.key)?;
        let pem = params.self_signed(&key)?.pem();
        write(folder, Level::Root, &pem, &pem, (&key, text.as_ref().map(|text| text.as_str())), &plan)?;
        Self::with_key(Office::read(folder, Level::Root)?, key, plan.kept())
    }

    /// Makes an issuing CA under this root: `issuing.pem`, `issuing.key`, `issuing.toml` and `anchors.pem`. Several may stand side
    /// by side, each in a directory of its own, while one takes over from the other.
    ///
    /// # Errors
    /// A file that exists or can't be written; a root that ends before.
    pub fn issuing(&self, folder: &Path, plan: Plan, now: OffsetDateTime) -> Result<Self, CaError> {
        let root = &self.office;
        plan.check(Level::Issuing, root.environment())?;
        directory(folder)?;
        check_new(folder, Level::Issuing)?;
        if now + Duration::days(ISSUING_DAYS) > root.until() {
            return Err(CaError::OutlivesCa);
        }
        let (number, serial) = random_serial()?;
        let made = Made { serial: number, crl_url: root.settings.crl_url.as_ref() };
        let nth = next_issuing(root)?;
        let params = Level::Issuing.certificate(root.network(), root.environment(), nth, now, made);
        let (key, text) = CaKey::make(&plan.key)?;
        let public = key.subject_public_key_info();
        if let (CaKey::Token(token), true) = (&key, public == root.key()) {
            return Err(TokenError::Taken(token.name().key.clone()).into());
        }
        let issuer: &Issuer<'_, CaKey> = &self.issuer;
        let pem = params.signed_by(&key, issuer)?.pem();
        let entry = Entry {
            serial,
            key_hash: KeyHash::of(&public).to_string(),
            subject: format!("issuing CA {nth}"),
            oin: None,
            profile: "issuing".to_owned(),
            days: u16::try_from(ISSUING_DAYS).unwrap_or(u16::MAX),
            at: Stamp::new(now),
            until: Stamp::new(now + Duration::days(ISSUING_DAYS)),
            eyes: None,
        };
        root.register().add(entry, &alone(&root.folder)?)?;
        write(folder, Level::Issuing, &pem, &root.pem, (&key, text.as_ref().map(|text| text.as_str())), &plan)?;
        Self::with_key(Office::read(folder, Level::Issuing)?, key, plan.kept())
    }
}

/// Issuing CAs are counted, those included that were made before there was a register.
fn next_issuing(root: &Office) -> Result<usize, CaError> {
    let known = root.issued()?.len();
    let older = usize::from(known == 0 && check_free(&[&root.folder.join("issuing.pem")]).is_err());
    Ok(known + older + 1)
}

fn check_new(folder: &Path, level: Level) -> Result<(), CaError> {
    let own = |extension: &str| folder.join(format!("{}.{extension}", level.stem()));
    let (pem, key, toml) = (own("pem"), own("key"), own("toml"));
    check_free(&[&pem, &key, &toml])?;
    if level == Level::Root { check_free(&[&folder.join("anchors.pem")]) } else { Ok(()) }
}

fn write(
    folder: &Path,
    level: Level,
    pem: &str,
    root: &str,
    (key, private): (&CaKey, Option<&str>),
    plan: &Plan,
) -> Result<(), CaError> {
    let own = |extension: &str| folder.join(format!("{}.{extension}", level.stem()));
    let alone = alone(folder)?;
    let mut staged = Staged::default();
    if let Some(text) = private {
        staged.secret(&own("key"), text)?;
    }
    staged.public(&own("pem"), pem.as_bytes())?;
    staged.public(&own("toml"), plan.settings().text(key)?.as_bytes())?;
    let anchors = folder.join("anchors.pem");
    if read_if_there(&anchors)?.is_none_or(|there| there != root) {
        staged.public(&anchors, root.as_bytes())?;
    }
    staged.commit(&alone)
}

/// Makes the key of an operator, under a passphrase, and the public key to name it by: `NAME.key` and `NAME.pub`.
///
/// # Errors
/// Files that exist or can't be written.
pub fn operator_key(folder: &Path, name: &str, key: &NewKey) -> Result<(PathBuf, PathBuf), CaError> {
    let (private, public) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.pub")));
    check_free(&[&private, &public])?;
    let made = FileKey::generate()?;
    let text = match key {
        NewKey::Plain => made.plain(),
        NewKey::Locked(passphrase) => made.locked(passphrase)?,
        NewKey::Token(..) => return Err(EyesError::BadOperator.into()),
    };
    let mut staged = Staged::default();
    staged.secret(&private, &text)?;
    staged.public(&public, made.public().as_bytes())?;
    staged.commit(&alone(folder)?)?;
    Ok((private, public))
}
