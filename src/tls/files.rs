//! Certificates, keys, anchors, profiles and CRLs from files, with errors that name the file and what to do about it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::identity::CertificateError;
use crate::identity::certificate::{Environment, Leaf};
use crate::trust::{List, Lists, NotAList, NotAProfile, NotASet, Profile, Set, Trust};

/// Largest file that is read, in bytes. PKIoverheid's CRLs are the biggest, at a few megabytes.
const MAX_FILE: u64 = 32 << 20;

/// One's own certificate chain and private key, proven to belong together. Has no `Debug`: it holds the key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// Reads a PEM chain, leaf first, and its PEM private key (PKCS#8, SEC 1 or PKCS#1).
    ///
    /// # Errors
    /// A file that can't be read or holds something else, a key that others may read, a key of another certificate,
    /// a leaf that is not valid at `now`.
    pub fn load(chain: &Path, key: &Path, now: OffsetDateTime) -> Result<Self, FileError> {
        let certificates = certificates(chain)?;
        let leaf = certificates.first().map(|der| Leaf::read(der)).ok_or_else(|| FileError::Empty(chain.to_owned()))?;
        leaf.and_then(|leaf| leaf.check_validity(now)).map_err(|error| match error {
            CertificateError::Expired => FileError::Expired(chain.to_owned()),
            CertificateError::NotYetValid => FileError::NotYetValid(chain.to_owned()),
            _ => FileError::BadCertificate(chain.to_owned()),
        })?;
        Self::new(certificates, private_key(key)?).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                FileError::KeyMismatch { chain: chain.to_owned(), key: key.to_owned() }
            }
            _ => FileError::NoKey(key.to_owned()),
        })
    }

    /// From memory: a chain, leaf first, and the key of the leaf.
    ///
    /// # Errors
    /// A key that can't be used or belongs to another certificate, an empty or unreadable chain.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, Error> {
        if chain.is_empty() {
            return Err(Error::NoCertificatesPresented);
        }
        CertifiedKey::from_der(chain, key, &super::provider()).map(|certified| Self(Arc::new(certified)))
    }

    /// The leaf certificate, DER.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.0.cert.first()
    }

    /// For rustls.
    pub(super) fn certified(&self) -> CertifiedKey {
        CertifiedKey::clone(&self.0)
    }
}

/// Certificates as PEM (RFC 7468), in this order.
pub fn pem_of(certificates: &[impl AsRef<[u8]>]) -> String {
    let block = |der: &_| ::pem::Pem::new("CERTIFICATE", AsRef::<[u8]>::as_ref(der));
    let config = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
    ::pem::encode_many_config(&certificates.iter().map(block).collect::<Vec<_>>(), config)
}

/// A set of anchors as a configuration names it.
pub struct SetFiles {
    /// What operators call it.
    pub name: String,
    /// What it demands.
    pub profile: Profile,
    /// PEM: its roots.
    pub anchors: PathBuf,
    /// PEM or DER: revocation lists.
    pub lists: Vec<PathBuf>,
    /// Lists are still to come: until then those under their issuers are refused.
    pub awaits_lists: bool,
}

impl SetFiles {
    /// A set with rules that are built in.
    ///
    /// # Errors
    /// No profile of this name.
    pub fn built_in(name: &str, profile: &str, anchors: &Path) -> Result<Self, FileError> {
        let profile = Profile::built_in(profile).map_err(|error| FileError::Profile(anchors.to_owned(), error))?;
        Ok(Self { name: name.to_owned(), profile, anchors: anchors.to_owned(), lists: Vec::new(), awaits_lists: false })
    }
}

/// Trust in the network's own CA.
///
/// # Errors
/// A file that can't be read or holds something else; an authority of the other environment.
pub fn own_authority(environment: Environment, anchors: &Path) -> Result<Arc<Trust>, FileError> {
    trust(environment, vec![SetFiles::built_in("own-ca", "sluis-ca", anchors)?])
}

/// Reads everything that is needed to judge chains.
///
/// # Errors
/// A file that can't be read or holds something else; a set that can't be used.
pub fn trust(environment: Environment, sets: Vec<SetFiles>) -> Result<Arc<Trust>, FileError> {
    let read = |files: SetFiles| {
        let lists = revocation_lists(files.lists.iter().map(PathBuf::as_path))?;
        let anchors = certificates(&files.anchors)?;
        let made = if files.awaits_lists {
            Set::awaiting(&files.name, files.profile, &anchors, lists, environment)
        } else {
            Set::new(&files.name, files.profile, &anchors, lists, environment)
        };
        made.map_err(|error| FileError::Set { anchors: files.anchors, name: files.name, error })
    };
    Ok(Arc::new(Trust::new(environment, sets.into_iter().map(read).collect::<Result<_, _>>()?)))
}

/// Trust in servers under these roots: for whoever is a client only.
///
/// # Errors
/// A file that can't be read or holds something else.
pub fn servers(anchors: &Path) -> Result<Arc<Trust>, FileError> {
    trust(Environment::Test, vec![SetFiles::built_in("server", "server", anchors)?])
}

/// Reads a profile of rules.
///
/// # Errors
/// A file that can't be read or is none.
pub fn profile(path: &Path) -> Result<Profile, FileError> {
    let bytes = read(open(path)?, path)?;
    let wrong = |error| FileError::Profile(path.to_owned(), error);
    Profile::parse(&String::from_utf8_lossy(&bytes)).map_err(wrong)
}

/// Reads certificate revocation lists, PEM or DER, as issuers publish both.
///
/// # Errors
/// A file that can't be read or holds no CRL.
pub fn revocation_lists<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Lists, FileError> {
    let mut lists = Lists::default();
    for path in files {
        let bytes = read(open(path)?, path)?;
        for list in lists_in(&bytes).map_err(|_| FileError::BadPem(path.to_owned()))? {
            lists.insert(list.map_err(|_| FileError::BadList(path.to_owned()))?);
        }
    }
    Ok(lists)
}

/// The lists in bytes that are PEM or DER, as issuers publish both; at least one.
///
/// # Errors
/// PEM that is damaged; and for each list, that it is none.
pub fn lists_in(bytes: &[u8]) -> Result<Vec<Result<List, NotAList>>, pem::Error> {
    // DER begins with a SEQUENCE; what looks like PEM within it is none.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![List::read(bytes)]);
    }
    let found: Vec<_> = CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<_, _>>()?;
    Ok(if found.is_empty() {
        vec![Err(NotAList)]
    } else {
        found.iter().map(|list| List::read(list.as_ref())).collect()
    })
}

/// Reads one or more certificates, PEM.
///
/// # Errors
/// A file that can't be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let bytes = read(open(path)?, path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| FileError::BadPem(path.to_owned()))?;
    if found.is_empty() { Err(FileError::Empty(path.to_owned())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let file = open(path)?;
    if is_open_to_others(&file).map_err(|error| FileError::unreadable(path, &error))? {
        return Err(FileError::OpenKey(path.to_owned()));
    }
    let bytes = read(file, path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| FileError::NoKey(path.to_owned()))
}

fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|error| FileError::unreadable(path, &error))
}

fn read(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|error| FileError::unreadable(path, &error))?;
    Ok(bytes)
}

/// Whether anybody but the owner has access. Asks the open file, not the path, so that nobody can put another file there in between.
#[cfg(unix)]
pub(crate) fn is_open_to_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
pub(crate) fn is_open_to_others(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// What is wrong with a file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: can't be read ({kind}); check the path and who owns the file", path.display())]
    Unreadable { path: PathBuf, kind: io::ErrorKind },
    #[error("{path}: others may read this private key; run `chmod 600 {path}`", path = .0.display())]
    OpenKey(PathBuf),
    #[error("{}: no private key that can be used; expected PEM with PRIVATE KEY (PKCS#8, without a passphrase)", .0.display())]
    NoKey(PathBuf),
    #[error("{}: damaged PEM; export the file again", .0.display())]
    BadPem(PathBuf),
    #[error("{}: holds no certificate; expected PEM with CERTIFICATE", .0.display())]
    Empty(PathBuf),
    #[error("{}: holds a certificate that can't be used", .0.display())]
    BadCertificate(PathBuf),
    #[error("{}: holds no certificate revocation list that can be used; download it again", .0.display())]
    BadList(PathBuf),
    #[error(
        "{}: is not the private key of the first certificate in {}; the leaf comes first, then its issuers",
        key.display(), chain.display()
    )]
    KeyMismatch { chain: PathBuf, key: PathBuf },
    #[error("{}: set `{name}` {error}", anchors.display())]
    Set {
        anchors: PathBuf,
        name: String,
        #[source]
        error: NotASet,
    },
    #[error("{}: not a profile: {}", .0.display(), .1)]
    Profile(PathBuf, #[source] NotAProfile),
    #[error("{0}")]
    Sets(&'static str),
    #[error("{}: the certificate has expired; order a new one", .0.display())]
    Expired(PathBuf),
    #[error("{}: the certificate is not valid yet; check the clock of this machine", .0.display())]
    NotYetValid(PathBuf),
}

impl FileError {
    fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), kind: error.kind() }
    }
}
