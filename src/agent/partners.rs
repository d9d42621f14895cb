//! Other partners' keys. The hub only passes them on, so they are believed for what stands in them: signed by a
//! certificate of that organisation under the agent's own anchors, and the same as before or the very next.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ring::digest;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::spool::private_directory;
use crate::api::v1;
use crate::mandate::{Moment, NotSpeaking, speaks_for};
use crate::party::Oin;
use crate::redact::log;
use crate::seal::certificate_signature::CertSignature;
use crate::seal::{KeySet, KeySetError, SignedKeySet};
use crate::trust::Trust;
use crate::whole_file::replace;

/// Why a partner's keys are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartnerKeysError {
    /// None were given.
    #[error("has not published its keys")]
    Missing,
    /// The certificate does not lead to an anchor, has expired, or is somebody's who may not speak for the partner.
    #[error("has keys under {0}")]
    Certificate(#[from] NotSpeaking),
    /// The set itself.
    #[error("has keys that are not in order")]
    Set(#[from] KeySetError),
    /// An epoch before the one that was seen.
    #[error("has older keys than before")]
    Rollback,
    /// Another set under the same epoch.
    #[error("has other keys than before without a new epoch")]
    Swapped,
    /// An epoch further than the next.
    #[error(
        "has keys that are more than one epoch newer than before; ask it whether they are its own, then remove its pin"
    )]
    Skipped,
    /// What was seen can't be written down.
    #[error("has keys that can't be remembered: the store can't be written")]
    Store,
}

/// Partners' keys as they were seen, on disk.
pub(super) struct Partners {
    trust: RwLock<Arc<Trust>>,
    /// Name of the covenant.
    covenant: String,
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
    pub(super) fn open(store: &Path, trust: Arc<Trust>, covenant: String) -> io::Result<Self> {
        let directory = store.join("pins");
        private_directory(&directory)?;
        let mut pins = HashMap::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let Some(oin) = path.file_name().and_then(|name| name.to_str()?.parse::<Oin>().ok()) else { continue };
            // A pin that can't be read must not turn into "never seen before".
            let pin = Pin::read(&std::fs::read_to_string(&path)?)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a pinned key set is damaged"))?;
            pins.insert(oin, pin);
        }
        Ok(Self { trust: RwLock::new(trust), covenant, directory, pins: Mutex::new(pins) })
    }

    /// Believes other certificates from now on.
    pub(super) fn believe(&self, trust: Arc<Trust>) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust;
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys of `oin`, checked and remembered.
    pub(super) fn verify(
        &self,
        keys: Option<&v1::KeySet>,
        oin: &Oin,
        now: OffsetDateTime,
    ) -> Result<KeySet, PartnerKeysError> {
        let keys = keys.ok_or(PartnerKeysError::Missing)?;
        let moment = Moment::of(&self.covenant, now);
        speaks_for(&self.trust(), &keys.certificate_chain, keys.mandate.as_ref(), oin, moment)?;
        let signature = CertSignature::from_wire(keys.signature_scheme, &keys.signature);
        let signed = SignedKeySet { bytes: keys.document.clone(), signature: signature.ok_or(KeySetError::Format)? };
        let leaf = keys.certificate_chain.first().ok_or(PartnerKeysError::Missing)?;
        let set = KeySet::verify(&signed, &CertificateDer::from(leaf.as_slice()), oin)?;
        self.pin(oin, Pin::of(&set, &signed.bytes))?;
        Ok(set)
    }

    fn pin(&self, oin: &Oin, new: Pin) -> Result<(), PartnerKeysError> {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        match pins.get(oin) {
            Some(seen) if *seen == new => return Ok(()),
            Some(seen) if seen.epoch == new.epoch => return Err(PartnerKeysError::Swapped),
            Some(seen) if seen.epoch > new.epoch => return Err(PartnerKeysError::Rollback),
            Some(seen) if seen.epoch.checked_add(1) != Some(new.epoch) => return Err(PartnerKeysError::Skipped),
            Some(_) => tracing::warn!(
                partner = log(oin),
                epoch = new.epoch,
                "a partner's keys are new; if it knows of no new keys, somebody else made them"
            ),
            None => {}
        }
        replace(&self.directory.join(oin.as_str()), new.text().as_bytes()).map_err(|_| PartnerKeysError::Store)?;
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
        format!("{} {}\n", self.epoch, hex::encode(self.sha256))
    }

    fn read(text: &str) -> Option<Self> {
        let (epoch, hex) = text.trim_ascii().split_once(' ')?;
        let hash: crate::identity::certificate::Fingerprint = hex.parse().ok()?;
        Some(Self { epoch: epoch.parse().ok()?, sha256: *hash.as_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::{Authority, Profile};
    use crate::clock::{Clock, SystemClock};
    use crate::identity::certificate::Environment;
    use crate::pseudonym::Epoch;
    use crate::seal::AgentKeys;
    use crate::tls::files::own_authority;
    use rustls_pki_types::PrivateKeyDer;
    use rustls_pki_types::pem::PemObject;

    const ALMELO: &str = "00000099100001410000";

    fn profiles() -> [(&'static str, Profile); 4] {
        let oin = || ALMELO.parse().unwrap();
        [
            ("organisation", Profile::Organisation { name: name(), oin: oin(), alternatives: vec![] }),
            ("server", Profile::Server { name: name(), oin: Some(oin()), alternatives: vec![] }),
            ("person", Profile::Person { person: "fg-01".parse().unwrap(), oin: oin() }),
            ("local", Profile::Local { system: name() }),
        ]
    }

    fn name() -> crate::ca::Name {
        "Proef".parse().unwrap()
    }

    /// An authority in `dir/ca`, and partners' keys as an agent with its store in `dir` sees them.
    fn network(dir: &Path) -> Partners {
        let now = SystemClock.now();
        let ca = Authority::init(&dir.join("ca"), &name(), Environment::Test, now).unwrap();
        for (file, profile) in profiles() {
            ca.issue(file, &profile, 30, now).unwrap();
        }
        reopened(dir)
    }

    fn reopened(dir: &Path) -> Partners {
        let anchors = dir.join("ca/anchors.pem");
        Partners::open(dir, own_authority(Environment::Test, &anchors).unwrap(), "proef".to_owned()).unwrap()
    }

    /// A new set of keys, signed under one of the certificates.
    fn keys(dir: &Path, signer: &str, epoch: u32) -> v1::KeySet {
        let file = |extension: &str| dir.join("ca").join(format!("{signer}.{extension}"));
        let chain = CertificateDer::pem_file_iter(file("pem")).unwrap().map(|der| der.unwrap().to_vec()).collect();
        let keys = AgentKeys::generate(&mut rand_core::OsRng).unwrap();
        let set = keys.key_set(ALMELO.parse().unwrap(), Epoch::new(epoch).unwrap(), SystemClock.now()).unwrap();
        let signed = set.sign(&PrivateKeyDer::from_pem_file(file("key")).unwrap()).unwrap();
        v1::KeySet {
            document: signed.bytes,
            signature_scheme: signed.signature.scheme.code().into(),
            signature: signed.signature.signature,
            certificate_chain: chain,
            mandate: None,
        }
    }

    fn verdict(partners: &Partners, keys: &v1::KeySet) -> Result<(), PartnerKeysError> {
        partners.verify(Some(keys), &ALMELO.parse().unwrap(), SystemClock.now()).map(|_| ())
    }

    #[test]
    fn only_the_organisations_own_certificate_vouches_for_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let partners = network(dir.path());
        for signer in ["server", "person", "local"] {
            let refusal = verdict(&partners, &keys(dir.path(), signer, 1));
            assert!(matches!(refusal, Err(PartnerKeysError::Certificate(_))), "{signer}: {refusal:?}");
        }
        assert_eq!(verdict(&partners, &keys(dir.path(), "organisation", 1)), Ok(()));
    }

    #[test]
    fn keys_are_the_same_or_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let partners = network(dir.path());
        let [first, swapped, next, skipped] = [(5), (5), (6), (8)].map(|epoch| keys(dir.path(), "organisation", epoch));
        for (keys, expected) in [
            (&first, Ok(())),
            (&first, Ok(())),
            (&swapped, Err(PartnerKeysError::Swapped)),
            (&skipped, Err(PartnerKeysError::Skipped)),
            (&next, Ok(())),
            (&first, Err(PartnerKeysError::Rollback)),
            (&skipped, Err(PartnerKeysError::Skipped)),
            (&next, Ok(())),
        ] {
            assert_eq!(verdict(&partners, keys), expected);
        }
        let partners = reopened(dir.path());
        assert_eq!(verdict(&partners, &first), Err(PartnerKeysError::Rollback));
        assert_eq!(verdict(&partners, &next), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn pins_are_the_agents_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        // Left behind by somebody with other habits.
        let pins = dir.path().join("pins");
        std::fs::create_dir(&pins).unwrap();
        std::fs::set_permissions(&pins, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(pins.join(ALMELO).with_extension("new"), "").unwrap();
        let partners = network(dir.path());
        verdict(&partners, &keys(dir.path(), "organisation", 1)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&pins), mode(&pins.join(ALMELO))), (0o700, 0o600));
    }

    #[test]
    fn pins_read_back() {
        let pin = Pin { epoch: 3, sha256: [0xab; 32] };
        assert_eq!(Pin::read(&pin.text()), Some(pin));
        for text in ["", "3", "x ab", "3 ab", "-1 abababababababababababababababababababababababababababababababab"] {
            assert_eq!(Pin::read(text), None, "{text}");
        }
    }
}
