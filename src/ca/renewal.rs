//! The next certificate of a holder who has one: another key under the same names, for the same purposes.
//!
//! It takes no four eyes: who holds the current certificate gets nothing that it does not have, and only while that one is good.

use std::path::{Path, PathBuf};

use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::authority::{Authority, Issued, Order};
use super::error::{CaError, RenewalError};
use super::office::Office;
use super::register::Entry;
use super::wish::Wish;
use crate::identity::KeyHash;
use crate::identity::signing_request::{NoRequest, requested_key};
use crate::seal::certificate_signature::{CertSignature, Domain, verify};
use crate::tls::files::certificates;
use crate::trust::Contents;

/// Who asks for what.
pub struct Asking<'a> {
    /// The current certificate, DER.
    pub current: &'a [u8],
    /// PKCS#10 with the next key, DER.
    pub request: &'a [u8],
    /// Over the request, with the key of the current certificate: whoever passes it on can't ask in a holder's name.
    pub proof: Option<CertSignature>,
}

impl Asking<'_> {
    fn check(&self) -> Result<(), RenewalError> {
        let current = CertificateDer::from(self.current);
        let holds = |proof| verify(&current, Domain::Renewal, self.request, proof).is_ok();
        if self.proof.as_ref().is_some_and(holds) { Ok(()) } else { Err(RenewalError::Proof) }
    }
}

impl Authority {
    /// Renews the holders of these issuing CAs too, whose place it takes. Nothing is signed in their names, so that their keys may
    /// be put away.
    ///
    /// # Errors
    /// One of another network or environment.
    pub fn following(mut self, predecessors: Vec<Office>) -> Result<Self, CaError> {
        let own = &self.office;
        let is_other = |one: &&Office| one.environment() != own.environment() || one.network() != own.network();
        if let Some(other) = predecessors.iter().find(is_other) {
            return Err(CaError::OtherNetwork(other.folder().to_owned()));
        }
        self.predecessors = predecessors;
        Ok(self)
    }

    /// The chain of the next certificate: the one that was made for this request before, or a new one for so many `days`, or
    /// fewer where the authority itself ends sooner.
    ///
    /// # Errors
    /// [`RenewalError`]; otherwise as [`Self::issue`].
    pub fn renew(&self, asking: &Asking<'_>, days: u16, now: OffsetDateTime) -> Result<Vec<Vec<u8>>, CaError> {
        let Asking { current, request, .. } = *asking;
        let key = requested_key(request).map_err(RenewalError::from)?;
        let hash = KeyHash::of(&key).to_string();
        let name = format!("renewed-{}", hash.get(..32).unwrap_or_default());
        let issued = self.office.issued()?;
        let known = self.good(&issued, current, now)?;
        asking.check()?;
        self.check_key(&issued, &known, &hash)?;
        let made = self.office.file(&name, "pem");
        let chain = if made.exists() {
            // The answer was lost, or another process of this authority was faster: the line is there before the file, perhaps only now.
            self.check_made(&self.office.issued()?, &made, current, &hash, now)?;
            made
        } else {
            // Also where the register has its line, and the power went before the certificate had its name.
            match self.make_next(&name, current, known, &key, days, now) {
                // Another process of this authority was faster.
                Err(CaError::Exists(_)) => {
                    self.check_made(&self.office.issued()?, &made, current, &hash, now)?;
                    made
                }
                issued => issued?.chain,
            }
        };
        let read = certificates(&chain).map_err(|_| CaError::Damaged(chain))?;
        Ok(read.iter().map(|der| der.to_vec()).collect())
    }

    /// Of this authority, or of one whose holders it has taken over.
    fn good(&self, issued: &[Entry], current: &[u8], now: OffsetDateTime) -> Result<Entry, CaError> {
        let mut found = self.office.good(issued, current, now);
        for before in &self.predecessors {
            if !matches!(found, Err(CaError::Renewal(RenewalError::NotOurs))) {
                break;
            }
            found = before.good(&before.issued()?, current, now);
        }
        found
    }

    /// What the register has of this key is of the same holder, for the same purposes, and was not taken back.
    fn check_key(&self, issued: &[Entry], known: &Entry, hash: &str) -> Result<(), CaError> {
        let revoked = self.office.revoked()?;
        let is_alike = |entry: &Entry| {
            (&entry.subject, &entry.oin, &entry.profile) == (&known.subject, &known.oin, &known.profile)
                && revoked.iter().all(|one| one.serial != entry.serial)
        };
        let mut of_key = issued.iter().filter(|entry| entry.key_hash == hash);
        if of_key.all(is_alike) { Ok(()) } else { Err(RenewalError::OtherKey.into()) }
    }

    /// A file is there that would be called so: it is the certificate that is asked for, good, and says what the current one says;
    /// or it is refused, since nothing is ever overwritten.
    fn check_made(
        &self,
        issued: &[Entry],
        made: &Path,
        current: &[u8],
        hash: &str,
        now: OffsetDateTime,
    ) -> Result<(), CaError> {
        let is_asked_for = || {
            let chain = certificates(made).ok()?;
            let leaf = chain.first()?;
            let known = self.office.good(issued, leaf, now).ok()?;
            let (new, old) = (Contents::read(leaf).ok()?, Contents::read(current).ok()?);
            let is_alike = new.subject == old.subject
                && new.policies == old.policies
                && (&new.dns, &new.addresses, new.other_names) == (&old.dns, &old.addresses, old.other_names);
            (known.key_hash == hash && is_alike).then_some(())
        };
        is_asked_for().ok_or_else(|| RenewalError::OtherKey.into())
    }

    fn make_next(
        &self,
        name: &str,
        current: &[u8],
        known: Entry,
        key: &[u8],
        days: u16,
        now: OffsetDateTime,
    ) -> Result<Issued, CaError> {
        let read = Contents::read(current).map_err(|_| RenewalError::NotOurs)?;
        let days = days.min(u16::try_from((self.office.until() - now).whole_days()).unwrap_or(0));
        let is_person = known.profile == "person";
        let wish = Wish {
            name: (!is_person).then(|| known.subject.clone()),
            person: is_person.then(|| known.subject.clone()),
            oin: known.oin.clone(),
            alternatives: read.dns.iter().cloned().chain(read.addresses.iter().map(ToString::to_string)).collect(),
            profile: known.profile,
            days,
        };
        let profile = wish.holder()?;
        self.office.check(name, &profile, days, now)?;
        let public = SubjectPublicKeyInfo::from_der(key)?;
        self.make(&Order { name, profile: &profile, days, public, private: None, eyes: None }, now)
    }
}

impl From<NoRequest> for RenewalError {
    fn from(why: NoRequest) -> Self {
        match why {
            NoRequest::Unsigned => Self::Request,
            NoRequest::Kind => Self::Kind,
        }
    }
}

impl CaError {
    /// What a holder is told whose certificate is not renewed, when asking in the same way would end in the same way. `None`: it
    /// is this authority's own trouble, which its operators mend, and the request waits meanwhile.
    pub fn refusal(&self) -> Option<RenewalError> {
        match self {
            Self::Renewal(why) => Some(*why),
            Self::Exists(_) => Some(RenewalError::OtherKey),
            Self::BadDays | Self::OutlivesCa => Some(RenewalError::Ending),
            // A token that is gone comes back.
            Self::Library(rcgen::Error::RemoteKeyError) => None,
            Self::Library(_)
            | Self::BadOin
            | Self::TestOin
            | Self::BadName
            | Self::BadPerson
            | Self::Missing(_)
            | Self::Superfluous(_)
            | Self::BadProfile
            | Self::BadAlternative
            | Self::BadFileName
            | Self::Eyes(_) => Some(RenewalError::Unlike),
            _ => None,
        }
    }
}

impl Office {
    /// What the register says of a certificate that this authority signed, and that is good now.
    fn good(&self, issued: &[Entry], current: &[u8], now: OffsetDateTime) -> Result<Entry, CaError> {
        let damaged = || CaError::Damaged(PathBuf::from("issuing.pem"));
        let (_, own) = X509Certificate::from_der(&self.der).map_err(|_| damaged())?;
        let (_, parsed) = X509Certificate::from_der(current).map_err(|_| RenewalError::NotOurs)?;
        parsed.verify_signature(Some(own.public_key())).map_err(|_| RenewalError::NotOurs)?;
        let hash = KeyHash::of(parsed.public_key().raw).to_string();
        let serial = super::register::Serial::of(parsed.raw_serial());
        let known = issued.iter().find(|entry| entry.serial == serial && entry.key_hash == hash);
        let known = known.ok_or(RenewalError::NotOurs)?.clone();
        if self.revoked()?.iter().any(|one| one.serial == serial) {
            return Err(RenewalError::Revoked.into());
        }
        if known.until.0 <= now {
            return Err(RenewalError::Expired.into());
        }
        Ok(known)
    }
}
