//! Other partners' keys. The hub only passes them on, so they are believed for what stands in them: signed by a
//! certificate of that organisation under the agent's own anchors, and the same as before or the very next.
//!
//! Nobody renews the certificate of a partner that left. What it wrote is opened by the very keys that this agent itself saw while
//! somebody vouched for them; nothing is sealed to those.

mod pin;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use pin::{Pin, Vouched, certificates};

use super::spool::private_directory;
use crate::api::v1;
use crate::mandate::{Moment, NotGiven, NotSpeaking, speaks_for};
use crate::party::Oin;
use crate::redact::log;
use crate::seal::certificate_signature::CertSignature;
use crate::seal::{KeySet, KeySetError, SignedKeySet};
use crate::trust::{Contents, Fault, TakenBack, Trust};
use crate::whole_file::replace;

/// How often it is written down that keys are good still.
const AGAIN: Duration = Duration::HOUR;

/// Why a partner's keys are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartnerKeysError {
    /// None were given.
    #[error("has published no keys, or a key that vouched for them got out")]
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
    /// Nobody vouches for them now, and the agent has not seen them while somebody did.
    #[error(
        "has keys under {0}, which this agent did not see while it was good: compare them with what another partner's agent saw"
    )]
    Unseen(NotSpeaking),
    /// A certificate that vouched for them was revoked, and not because it was needed no more.
    #[error("has keys under a certificate that was revoked as one whose key got out")]
    Exposed,
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
        let partners = Self { trust: RwLock::new(trust), covenant, directory, pins: Mutex::new(pins) };
        partners.mark_exposed();
        Ok(partners)
    }

    /// Believes other certificates from now on.
    pub(super) fn believe(&self, trust: Arc<Trust>) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust;
        self.mark_exposed();
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
        let until = speaks_for(&self.trust(), &keys.certificate_chain, keys.mandate.as_ref(), oin, moment)?;
        let (set, pin) = read(keys, oin)?;
        let vouched = Vouched { seen: now, until, certificates: certificates(keys) };
        self.pin(oin, Pin { vouched: Some(vouched), ..pin })?;
        Ok(set)
    }

    /// The keys of `oin` for opening what it wrote, never for sealing: also those for which nobody vouches any more, if they are
    /// the very ones that this agent saw last while somebody did.
    pub(super) fn recall(
        &self,
        keys: Option<&v1::KeySet>,
        oin: &Oin,
        now: OffsetDateTime,
    ) -> Result<KeySet, PartnerKeysError> {
        let why = match self.verify(keys, oin, now) {
            Err(PartnerKeysError::Certificate(why)) => why,
            verified => return verified,
        };
        let keys = keys.ok_or(PartnerKeysError::Missing)?;
        let (set, shown) = read(keys, oin)?;
        let pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = pins.get(oin).ok_or(PartnerKeysError::Unseen(why))?;
        if !seen.is_of(&shown) {
            return Err(match seen.epoch.cmp(&shown.epoch) {
                std::cmp::Ordering::Less => PartnerKeysError::Unseen(why),
                std::cmp::Ordering::Equal => PartnerKeysError::Swapped,
                std::cmp::Ordering::Greater => PartnerKeysError::Rollback,
            });
        }
        // What was seen counts: what the hub shows now may be an older certificate over the same keys. Or a newer one, that got out.
        let seen_then = seen.vouched.iter().flat_map(|seen| seen.certificates.clone());
        let certificates: Vec<_> = seen_then.chain(certificates(keys)).collect();
        let taken_back = self.trust().taken_back(&certificates);
        if seen.exposed || taken_back == Some(TakenBack::Exposed) {
            return Err(PartnerKeysError::Exposed);
        }
        let until = seen.vouched.as_ref().map_or_else(|| end(keys), |seen| Some(seen.until));
        let is_over = until.is_some_and(|until| until < now);
        let is_ceased = is_revoked(&why) && taken_back == Some(TakenBack::Ceased);
        if !is_over && !is_ceased {
            // It may be good still, or revoked: that can't be told now.
            return Err(why.into());
        }
        tracing::info!(partner = log(oin), "a partner's keys for which nobody vouches any more open what it wrote");
        Ok(set)
    }

    fn pin(&self, oin: &Oin, new: Pin) -> Result<(), PartnerKeysError> {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        match pins.get(oin) {
            Some(seen) if seen.is_of(&new) && !is_news(seen, &new) => return Ok(()),
            Some(seen) if seen.is_of(&new) => {}
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
        self.write(oin, &new).map_err(|_| PartnerKeysError::Store)?;
        pins.insert(oin.clone(), new);
        Ok(())
    }

    /// Writes down what lists say now of the certificates that were seen: they leave out who has ended, sooner or later.
    fn mark_exposed(&self) {
        let trust = self.trust();
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        for (oin, pin) in pins.iter_mut().filter(|(_, pin)| !pin.exposed) {
            let certificates = pin.vouched.as_ref().map_or(&[][..], |seen| &seen.certificates);
            if trust.taken_back(certificates) != Some(TakenBack::Exposed) {
                continue;
            }
            pin.exposed = true;
            tracing::warn!(
                partner = log(oin),
                "a key that vouched for a partner's keys got out, says a revocation list"
            );
            if let Err(error) = self.write(oin, pin) {
                tracing::error!(%error, "the store can't be written: that will have to be learned again");
            }
        }
    }

    fn write(&self, oin: &Oin, pin: &Pin) -> io::Result<()> {
        replace(&self.directory.join(oin.as_str()), pin.text().as_bytes())
    }
}

/// The last second of the certificate that signed.
fn end(keys: &v1::KeySet) -> Option<OffsetDateTime> {
    Some(Contents::read(keys.certificate_chain.first()?).ok()?.not_after)
}

const fn is_revoked(why: &NotSpeaking) -> bool {
    matches!(
        why,
        NotSpeaking::Certificate(Fault::Revoked) | NotSpeaking::Mandate(NotGiven::Certificate(Fault::Revoked))
    )
}

/// A set as the certificate that came with it signed it, whoever that certificate is.
fn read(keys: &v1::KeySet, oin: &Oin) -> Result<(KeySet, Pin), PartnerKeysError> {
    let signature = CertSignature::from_wire(keys.signature_scheme, &keys.signature);
    let signed = SignedKeySet { bytes: keys.document.clone(), signature: signature.ok_or(KeySetError::Format)? };
    let leaf = keys.certificate_chain.first().ok_or(PartnerKeysError::Missing)?;
    let set = KeySet::verify(&signed, &CertificateDer::from(leaf.as_slice()), oin)?;
    let pin = Pin::of(&set, &signed.bytes);
    Ok((set, pin))
}

/// Whether the same keys, found good once more, are to be written down: under another certificate, or some time later.
fn is_news(seen: &Pin, new: &Pin) -> bool {
    let (Some(old), Some(vouched)) = (&seen.vouched, &new.vouched) else { return true };
    let same = (old.until, &old.certificates) == (vouched.until, &vouched.certificates);
    seen.exposed || !same || vouched.seen - old.seen >= AGAIN
}

#[cfg(test)]
mod tests;
