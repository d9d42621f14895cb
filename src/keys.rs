//! The hub's own secrets: the keys of subject tags, of pseudonyms and of the log. They live outside the database (guarantee G4).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::party::Oin;
use crate::pseudonym::{Epoch, KeyError, KeyRing, OprfOutput, Pseudonym, Scope, SecretKey, SubjectTag, TagError};
use crate::tlog::{Origin, PrivateKey};

/// Key rings of the hub.
pub struct HubKeys {
    /// For `t = HMAC(k, y)`.
    pub tags: KeyRing,
    /// For pseudonyms per organisation and scope.
    pub pseudonyms: KeyRing,
    /// Epoch in which new pseudonyms are derived.
    pub pseudonym_epoch: Epoch,
    /// For checkpoints and receipts of the log.
    log: KeyRing,
}

/// Why the hub's keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not readable.
    #[error("{0} can't be read")]
    Read(PathBuf, #[source] std::io::Error),
    /// Readable by others.
    #[error("{0} can be read by others; make it readable by the hub alone (chmod 600)")]
    Open(PathBuf),
    /// Not a key.
    #[error("{0} does not hold a key of 64 hexadecimal digits")]
    Key(PathBuf, #[source] KeyError),
    /// There is none.
    #[error("there is no {0}.1.key")]
    None(&'static str),
}

impl HubKeys {
    /// Reads `subject-tag.N.key`, `pseudonym.N.key` and `log.N.key`, N from 1 without gaps.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(directory: &Path) -> Result<Self, KeyFileError> {
        let pseudonyms = ring(directory, "pseudonym")?;
        let pseudonym_epoch = pseudonyms.current();
        Ok(Self { tags: ring(directory, "subject-tag")?, pseudonyms, pseudonym_epoch, log: ring(directory, "log")? })
    }

    /// One word per key, which tells keys apart and tells nothing of them: nodes on one database must have the same.
    pub fn fingerprints(&self) -> BTreeSet<String> {
        [("t", &self.tags), ("p", &self.pseudonyms), ("l", &self.log)]
            .into_iter()
            .flat_map(|(kind, ring)| {
                ring.epochs().filter_map(move |epoch| {
                    let print = ring.key(epoch).ok()?.derive(b"fingerprint").to_hex();
                    Some(format!("{kind}{}:{}", epoch.number(), print.get(..16)?))
                })
            })
            .collect()
    }

    /// The log's key of the newest epoch, under the log's name.
    pub fn log(&self, origin: &Origin) -> Option<PrivateKey> {
        let key = self.log.key(self.log.current()).ok()?;
        PrivateKey::of_log(origin.clone(), key.derive(b"log/ed25519").as_bytes())
    }

    /// The tag of a VOPRF output.
    pub fn tag(&self, output: &OprfOutput) -> Result<SubjectTag, TagError> {
        SubjectTag::derive(&self.tags, output)
    }

    /// An organisation's pseudonym of a subject.
    pub fn pseudonym(&self, tag: &SubjectTag, oin: &Oin, scope: Scope) -> Result<Pseudonym, KeyError> {
        Pseudonym::derive(&self.pseudonyms, self.pseudonym_epoch, tag, oin, scope)
    }
}

fn ring(directory: &Path, name: &'static str) -> Result<KeyRing, KeyFileError> {
    // The newest file says how many there must be: a lost one in between must not silently change every pseudonym.
    let last = newest(directory, name).map_err(|error| KeyFileError::Read(directory.to_owned(), error))?;
    let mut ring: Option<KeyRing> = None;
    let mut epoch = Epoch::FIRST;
    loop {
        let path = directory.join(format!("{name}.{}.key", epoch.number()));
        if epoch.number() > last {
            return ring.ok_or(KeyFileError::None(name));
        }
        let key = secret(&path)?;
        match &mut ring {
            None => ring = Some(KeyRing::new(epoch, key)),
            Some(ring) => ring.add(epoch, key).map_err(|error| KeyFileError::Key(path, error))?,
        }
        epoch = epoch.next();
    }
}

/// The highest epoch that has a file; 0 if none has.
fn newest(directory: &Path, name: &str) -> std::io::Result<u32> {
    let mut newest = 0;
    for entry in std::fs::read_dir(directory)? {
        let file = entry?.file_name();
        let epoch = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".key"));
        newest = newest.max(epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or(0));
    }
    Ok(newest)
}

/// The first line of a file that only its owner can read: a password.
///
/// # Errors
/// [`KeyFileError::Read`], [`KeyFileError::Open`].
pub fn password(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let text = read_private(path).map_err(|error| KeyFileError::Read(path.to_owned(), error))?;
    let text = text.ok_or_else(|| KeyFileError::Open(path.to_owned()))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// The key in a file that only its owner can read.
///
/// # Errors
/// [`KeyFileError`].
pub fn secret(path: &Path) -> Result<SecretKey, KeyFileError> {
    let text = read_private(path).map_err(|error| KeyFileError::Read(path.to_owned(), error))?;
    let text = text.ok_or_else(|| KeyFileError::Open(path.to_owned()))?;
    SecretKey::from_hex_file_text(&text).map_err(|error| KeyFileError::Key(path.to_owned(), error))
}

/// The text of a file that only its owner can read; `None` if others can.
fn read_private(path: &Path) -> std::io::Result<Option<Zeroizing<String>>> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    if crate::tls::files::is_open_to_others(&file)? {
        return Ok(None);
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)?;
    Ok(Some(text))
}
