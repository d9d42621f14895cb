//! The next certificate of a holder who has one: another key under the same names, for the same purposes.
//!
//! It takes no four eyes: who holds the current certificate gets nothing that it does not have, and only while that one is good.

use std::path::PathBuf;

use rcgen::SubjectPublicKeyInfo;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::authority::{Authority, Issued, Order};
use super::error::{CaError, RenewalError};
use super::office::Office;
use super::register::Entry;
use super::wish::Wish;
use crate::identity::KeyHash;
use crate::identity::signing_request::requested_key;
use crate::tls::files::certificates;
use crate::trust::Contents;

impl Authority {
    /// The chain of the next certificate: the one that was made for this request before, or a new one for so many `days`, or
    /// fewer where the authority itself ends sooner.
    ///
    /// # Errors
    /// [`RenewalError`]; otherwise as [`Self::issue`].
    pub fn renew(
        &self,
        current: &[u8],
        request: &[u8],
        days: u16,
        now: OffsetDateTime,
    ) -> Result<Vec<Vec<u8>>, CaError> {
        let key = requested_key(request).ok_or(RenewalError::Request)?;
        let hash = KeyHash::of(&key).to_string();
        let name = format!("renewed-{}", hash.get(..32).unwrap_or_default());
        let issued = self.office.issued()?;
        let made = self.office.file(&name, "pem");
        let is_known = issued.iter().any(|entry| entry.key_hash == hash);
        let known = self.office.good(issued, current, now)?;
        let chain = match (is_known, made.exists()) {
            // The answer was lost.
            (true, true) => made,
            // A key that this authority knows as somebody else's, or that was made elsewhere.
            (false, true) => return Err(CaError::Exists(made)),
            // The register has its line, and the power went before the certificate had its name: it is made again.
            (_, false) => self.make_next(&name, current, known, &key, days, now)?.chain,
        };
        let read = certificates(&chain).map_err(|_| CaError::Damaged(chain))?;
        Ok(read.iter().map(|der| der.to_vec()).collect())
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

impl Office {
    /// What the register says of a certificate that this authority signed, and that is good now.
    fn good(&self, issued: Vec<Entry>, current: &[u8], now: OffsetDateTime) -> Result<Entry, CaError> {
        let damaged = || CaError::Damaged(PathBuf::from("issuing.pem"));
        let (_, own) = X509Certificate::from_der(&self.der).map_err(|_| damaged())?;
        let (_, parsed) = X509Certificate::from_der(current).map_err(|_| RenewalError::NotOurs)?;
        parsed.verify_signature(Some(own.public_key())).map_err(|_| RenewalError::NotOurs)?;
        let hash = KeyHash::of(parsed.public_key().raw).to_string();
        let serial = super::register::Serial::of(parsed.raw_serial());
        let known = issued.into_iter().find(|entry| entry.serial == serial && entry.key_hash == hash);
        let known = known.ok_or(RenewalError::NotOurs)?;
        if self.revoked()?.iter().any(|one| one.serial == serial) {
            return Err(RenewalError::Revoked.into());
        }
        if known.until.0 <= now {
            return Err(RenewalError::Expired.into());
        }
        Ok(known)
    }
}
