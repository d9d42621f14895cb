//! Certificates, keys, anchors and CRLs from files, with errors that name the file and what to do about it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::identity::CertificateError;
use crate::identity::certificate::Leaf;

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

/// Root certificates that peers must lead up to. Several may stand beside each other during a change of root.
#[derive(Clone)]
pub struct Anchors(Arc<RootCertStore>);

impl Anchors {
    /// Reads PEM files with one or more root certificates each.
    ///
    /// # Errors
    /// A file that can't be read or holds no certificate that can be an anchor.
    pub fn load<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Self, FileError> {
        let mut store = RootCertStore::empty();
        for path in files {
            for certificate in certificates(path)? {
                store.add(certificate).map_err(|_| FileError::BadCertificate(path.to_owned()))?;
            }
        }
        Ok(Self(Arc::new(store)))
    }

    /// From memory.
    ///
    /// # Errors
    /// A certificate that can't be read.
    pub fn new(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        roots.into_iter().try_for_each(|root| store.add(root))?;
        Ok(Self(Arc::new(store)))
    }

    /// For rustls.
    pub(super) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

/// Reads certificate revocation lists, PEM or DER, as issuers publish both.
///
/// # Errors
/// A file that can't be read or holds no CRL.
pub fn revocation_lists<'a>(
    files: impl IntoIterator<Item = &'a Path>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    let mut lists = Vec::new();
    for path in files {
        let bytes = read(open(path)?, path)?;
        let before = lists.len();
        for list in CertificateRevocationListDer::pem_slice_iter(&bytes) {
            lists.push(list.map_err(|_| FileError::BadPem(path.to_owned()))?);
        }
        if lists.len() == before {
            lists.push(CertificateRevocationListDer::from(bytes.to_vec()));
        }
        let readable =
            |list: &CertificateRevocationListDer<'_>| webpki::OwnedCertRevocationList::from_der(list.as_ref()).is_ok();
        if !lists.iter().skip(before).all(readable) {
            return Err(FileError::BadList(path.to_owned()));
        }
    }
    Ok(lists)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
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
