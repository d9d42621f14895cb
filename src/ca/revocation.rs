//! Taking certificates back: a register of what was revoked, and the list (RFC 5280 §5) that is made of it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::CaError;
use super::authority::Authority;
use super::error::JournalError;
use super::files::{Alone, alone, read, read_bytes, replace};
use super::office::Office;
use super::profile::Level;
use super::register::{Serial, Stamp};

/// A revoked certificate stays on the list for this long after its end (RFC 5280 §3.3: on one list more than it needs).
const STAYS: Duration = Duration::days(400);

macro_rules! reasons {
    ($($variant:ident = $word:literal, $library:ident;)+) => {
        /// Why a certificate is taken back (RFC 5280 §5.3.1). Without those for holding one for a time, which needs lists that take it
        /// off again, and for attribute certificates, which there are none of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the words of the standard")]
        pub enum Reason { $(#[serde(rename = $word)] $variant),+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Whether somebody else may have the key.
            const fn is_compromise(self) -> bool {
                matches!(self, Self::KeyCompromise | Self::CaCompromise)
            }

            const fn code(self) -> RevocationReason {
                match self { $(Self::$variant => RevocationReason::$library),+ }
            }
        }
    };
}

reasons! {
    Unspecified = "unspecified", Unspecified;
    KeyCompromise = "key-compromise", KeyCompromise;
    CaCompromise = "ca-compromise", CaCompromise;
    AffiliationChanged = "affiliation-changed", AffiliationChanged;
    Superseded = "superseded", Superseded;
    CessationOfOperation = "cessation-of-operation", CessationOfOperation;
    PrivilegeWithdrawn = "privilege-withdrawn", PrivilegeWithdrawn;
}

impl FromStr for Reason {
    type Err = JournalError;
    fn from_str(text: &str) -> Result<Self, JournalError> {
        let words = || Self::ALL.iter().map(|reason| reason.word()).collect::<Vec<_>>().join(", ");
        Self::ALL.iter().find(|reason| reason.word() == text).copied().ok_or_else(|| JournalError::BadReason(words()))
    }
}

/// A certificate that was taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revocation {
    /// Which.
    pub serial: Serial,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Stamp,
    /// The certificate's last second.
    pub until: Stamp,
}

/// A line of the register of revocations.
#[derive(Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum Event {
    Revoked(Revocation),
    /// A list was made.
    List {
        number: u64,
        at: Stamp,
        until: Stamp,
    },
}

/// A list is made anew when it is so old, or a quarter of its time is over: whoever fetches lists sees that somebody is there, and
/// there is time to mend what fails.
const FRESH: Duration = Duration::days(1);

/// Which certificate.
pub enum Which {
    /// One in the register.
    Serial(Serial),
    /// The one in this file, also if it was made before there was a register.
    File(PathBuf),
}

/// A list that was made.
pub struct Published {
    /// The file, DER.
    pub file: PathBuf,
    /// Its number.
    pub number: u64,
    /// When the next one must be there.
    pub next_update: Stamp,
    /// How many are on it.
    pub revoked: usize,
}

impl Office {
    /// Every certificate that was taken back, oldest first, each once.
    ///
    /// # Errors
    /// A register that does not hold together.
    pub fn revoked(&self) -> Result<Vec<Revocation>, CaError> {
        Ok(taken_back(&self.journal("revoked").entries::<Event>()?))
    }

    /// Takes a certificate back, or says of one that was taken back that its key got out. It counts for others once the list is
    /// published.
    ///
    /// # Errors
    /// A certificate that this authority did not make, or that was taken back before.
    pub fn revoke(&self, which: &Which, reason: Reason, now: OffsetDateTime) -> Result<Revocation, CaError> {
        let (serial, until) = match which {
            Which::Serial(serial) => {
                let known = self.issued()?.into_iter().find(|entry| entry.serial == *serial);
                (serial.clone(), known.ok_or_else(|| JournalError::UnknownSerial(serial.to_string()))?.until)
            }
            Which::File(file) => self.ours(file).ok_or_else(|| CaError::NotOurs(file.clone()))?,
        };
        let alone = alone(&self.folder)?;
        let before = self.revoked()?.into_iter().find(|one| one.serial == serial);
        if let Some(before) = before.filter(|before| before.reason.is_compromise() || !reason.is_compromise()) {
            let (serial, at) = (serial.to_string(), before.at.to_string());
            return Err(JournalError::RevokedTwice { serial, at }.into());
        }
        let revocation = Revocation { serial, reason, at: Stamp::new(now), until };
        self.journal("revoked").add(Event::Revoked(revocation.clone()), &alone)?;
        Ok(revocation)
    }

    /// Serial number and end of the first certificate in a file, if this authority signed it.
    fn ours(&self, file: &Path) -> Option<(Serial, Stamp)> {
        let text = read(file).ok()?;
        let (_, pem) = parse_x509_pem(text.as_bytes()).ok()?;
        let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
        let (_, own) = X509Certificate::from_der(&self.der).ok()?;
        let is_ours = certificate.issuer().as_raw() == own.subject().as_raw()
            && certificate.verify_signature(Some(own.public_key())).is_ok();
        let until = Stamp::new(certificate.validity().not_after.to_datetime());
        is_ours.then(|| (Serial::of(certificate.raw_serial()), until))
    }
}

impl Authority {
    /// Makes the next list: `issuing.crl` or `root.crl`, in place of the one before.
    ///
    /// # Errors
    /// A number of days beyond what such a list may count for; a disk that is full, and then the list is as it was.
    pub fn publish(&self, days: u16, now: OffsetDateTime) -> Result<Published, CaError> {
        self.publish_alone(days, now, &alone(&self.office.folder)?)
    }

    fn publish_alone(&self, days: u16, now: OffsetDateTime, alone: &Alone) -> Result<Published, CaError> {
        let most = match self.office.level {
            Level::Issuing => 31,
            // Nobody goes to the safe every week.
            Level::Root => 400,
        };
        if !(1..=most).contains(&days) {
            return Err(CaError::BadListDays(most));
        }
        let journal = self.office.journal("revoked");
        let events: Vec<Event> = journal.entries()?;
        let numbers =
            events.iter().filter_map(|event| if let Event::List { number, .. } = event { Some(*number) } else { None });
        let number = numbers.max().unwrap_or(0) + 1;
        let (at, until) = (Stamp::new(now), Stamp::new(now + Duration::days(i64::from(days))));
        let listed = taken_back(&events).into_iter().filter(|one| one.until.0 + STAYS >= now);
        let listed = listed.map(|one| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&one.serial.bytes()),
            revocation_time: one.at.0,
            reason_code: Some(one.reason.code()),
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: at.0,
            next_update: until.0,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: listed.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer)?;
        journal.add(Event::List { number, at, until }, alone)?;
        let file = self.office.own("crl");
        replace(&file, list.der(), 0o644, alone)?;
        Ok(Published { file, number, next_update: until, revoked: params.revoked_certs.len() })
    }

    /// Makes the next list if it is time, or something was revoked since the last one; and sees to it that `to`, from where it is
    /// published, holds the newest, whole or not at all. `None`: there was nothing to do.
    ///
    /// # Errors
    /// As [`Self::publish`]; a place that can't be written, and then it holds what it held before.
    pub fn keep_list(&self, days: u16, to: &Path, now: OffsetDateTime) -> Result<Option<Published>, CaError> {
        // Others may do the same here: from the first look to the last write there is nobody else, or an older list would replace a newer.
        let alone = alone(&self.office.folder)?;
        let own = self.office.own("crl");
        let events: Vec<Event> = self.office.journal("revoked").entries()?;
        let there = read_bytes(&own).ok().and_then(|list| number(&list));
        let made = if is_due(&events, there, now) { Some(self.publish_alone(days, now, &alone)?) } else { None };
        let list = read_bytes(&own)?;
        if read_bytes(to).is_ok_and(|there| there == list) {
            return Ok(made);
        }
        replace(to, &list, 0o644, &alone)?;
        Ok(made)
    }
}

/// What was taken back: when that was first said, and why by the last word.
fn taken_back(events: &[Event]) -> Vec<Revocation> {
    let mut all: Vec<Revocation> = Vec::new();
    for event in events {
        let Event::Revoked(one) = event else { continue };
        match all.iter_mut().find(|known| known.serial == one.serial) {
            Some(known) => known.reason = one.reason,
            None => all.push(one.clone()),
        }
    }
    all
}

/// The number of the list in these bytes.
fn number(list: &[u8]) -> Option<u64> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    u64::try_from(list.crl_number()?).ok()
}

/// `there`: the number of the list that is there, which may be an older one than the register's last, where that could not be written.
fn is_due(events: &[Event], there: Option<u64>, now: OffsetDateTime) -> bool {
    match events.last() {
        // Nothing was published yet, or not with this one on it.
        None | Some(Event::Revoked(_)) => true,
        Some(Event::List { number, .. }) if there != Some(*number) => true,
        Some(Event::List { at, until, .. }) => now - at.0 >= FRESH.min((until.0 - at.0) / 4),
    }
}
