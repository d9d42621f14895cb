//! Other partners' keys. The hub only passes them on, so they are believed for what stands in them: signed by a
//! certificate of that organisation under the agent's own anchors, and never older or other than what was seen before.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ring::digest;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::api::v1;
use crate::party::Oin;
use crate::seal::certificate_signature::{CertSignature, Scheme};
use crate::seal::{KeySet, KeySetError, SignedKeySet};
use crate::tls::{ChainVerifier, Failure};

/// Why a partner's keys are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartnerKeysError {
    /// None were given.
    #[error("has not published its keys")]
    Missing,
    /// The certificate does not lead to an anchor, or has expired.
    #[error("has keys under a certificate that is not accepted")]
    Certificate(Failure),
    /// The certificate is another organisation's.
    #[error("has keys under another organisation's certificate")]
    OtherOrganisation,
    /// The set itself.
    #[error("has keys that are not in order")]
    Set(#[from] KeySetError),
    /// An epoch before the one that was seen.
    #[error("has older keys than before")]
    Rollback,
    /// Another set under the same epoch.
    #[error("has other keys than before without a new epoch")]
    Swapped,
    /// What was seen can't be written down.
    #[error("has keys that can't be remembered: the store can't be written")]
    Store,
}

/// Partners' keys as they were seen, on disk.
pub(super) struct Partners {
    verifier: ChainVerifier,
    directory: PathBuf,
    pins: Mutex<HashMap<Oin, Pin>>,
}

/// The newest key set that was seen: its epoch and the SHA-256 of its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pin {
    epoch: u32,
    sha256: [u8; 32],
}

impl Partners {
    /// Opens the pins in `store`.
    pub(super) fn open(store: &Path, verifier: ChainVerifier) -> io::Result<Self> {
        let directory = store.join("pins");
        std::fs::create_dir_all(&directory)?;
        let mut pins = HashMap::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let Some(oin) = path.file_name().and_then(|name| name.to_str()?.parse::<Oin>().ok()) else { continue };
            // A pin that can't be read must not turn into "never seen before".
            let pin = Pin::read(&std::fs::read_to_string(&path)?)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a pinned key set is damaged"))?;
            pins.insert(oin, pin);
        }
        Ok(Self { verifier, directory, pins: Mutex::new(pins) })
    }

    /// The keys of `oin`, checked and remembered.
    pub(super) fn verify(
        &self,
        keys: Option<&v1::KeySet>,
        oin: &Oin,
        now: OffsetDateTime,
    ) -> Result<KeySet, PartnerKeysError> {
        let keys = keys.ok_or(PartnerKeysError::Missing)?;
        let chain: Vec<_> = keys.certificate_chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let certificate = self.verifier.verify(&chain, now).map_err(PartnerKeysError::Certificate)?;
        if certificate.oin() != Some(oin) {
            return Err(PartnerKeysError::OtherOrganisation);
        }
        let scheme = u16::try_from(keys.signature_scheme).ok().and_then(Scheme::from_code);
        let signed = SignedKeySet {
            bytes: keys.document.clone(),
            signature: CertSignature { scheme: scheme.ok_or(KeySetError::Format)?, signature: keys.signature.clone() },
        };
        let leaf = chain.first().ok_or(PartnerKeysError::Missing)?;
        let set = KeySet::verify(&signed, leaf, oin)?;
        self.pin(oin, Pin::of(&set, &signed.bytes))?;
        Ok(set)
    }

    fn pin(&self, oin: &Oin, new: Pin) -> Result<(), PartnerKeysError> {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        match pins.get(oin) {
            Some(seen) if *seen == new => return Ok(()),
            Some(seen) if seen.epoch == new.epoch => return Err(PartnerKeysError::Swapped),
            Some(seen) if seen.epoch > new.epoch => return Err(PartnerKeysError::Rollback),
            _ => {}
        }
        write(&self.directory.join(oin.as_str()), &new.text()).map_err(|_| PartnerKeysError::Store)?;
        pins.insert(oin.clone(), new);
        Ok(())
    }
}

impl Pin {
    fn of(set: &KeySet, document: &[u8]) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, document).as_ref());
        Self { epoch: set.epoch().number(), sha256 }
    }

    fn text(self) -> String {
        let hex: String = self.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {hex}\n", self.epoch)
    }

    fn read(text: &str) -> Option<Self> {
        let (epoch, hex) = text.trim_ascii().split_once(' ')?;
        let hash: crate::identity::certificate::Fingerprint = hex.parse().ok()?;
        Some(Self { epoch: epoch.parse().ok()?, sha256: *hash.as_bytes() })
    }
}

/// Replaces the file as a whole, and only once its new content is on the disk.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_read_back() {
        let pin = Pin { epoch: 3, sha256: [0xab; 32] };
        assert_eq!(Pin::read(&pin.text()), Some(pin));
        for text in ["", "3", "x ab", "3 ab", "-1 abababababababababababababababababababababababababababababababab"] {
            assert_eq!(Pin::read(text), None, "{text}");
        }
    }
}
