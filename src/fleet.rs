//! The registered certificates of all organisations as operators see them: which there are, which end, who has moved to another
//! root, what falls in which month. Pure.

mod forecast;
mod migration;
mod plot;

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use crate::api::v1;
use crate::party::vocabulary;
use crate::wire::{holder_word, moment};

pub use forecast::{Forecast, MONTHS, Month};
pub use migration::{Counts, Inventory, Organisation, Place, Progress};
pub use plot::svg;

vocabulary! {
    /// Where a registered key is in its life.
    State, "state (announced, active, retiring, retired, revoked)":
    /// No call has been made with it yet.
    Announced = "announced",
    Active = "active",
    /// Its successor is in use.
    Retiring = "retiring",
    Retired = "retired",
    Revoked = "revoked",
}

impl State {
    /// As the API says it; None: a state that this version does not know.
    fn of(known: &v1::RegisteredCertificate) -> Option<Self> {
        match known.state() {
            v1::CertificateState::Unspecified => None,
            v1::CertificateState::Announced => Some(Self::Announced),
            v1::CertificateState::Active => Some(Self::Active),
            v1::CertificateState::Retiring => Some(Self::Retiring),
            v1::CertificateState::Retired => Some(Self::Retired),
            v1::CertificateState::Revoked => Some(Self::Revoked),
        }
    }

    /// Whether whoever shows it is let in.
    pub const fn is_in_force(self) -> bool {
        matches!(self, Self::Announced | Self::Active | Self::Retiring)
    }

    /// Whether somebody will miss it: what is retiring has a successor that is in use.
    pub const fn is_needed(self) -> bool {
        matches!(self, Self::Announced | Self::Active)
    }
}

/// A registered certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its public key, hex.
    pub key_hash: String,
    /// 20 digits.
    pub oin: String,
    /// Name of the organisation; empty: not in the directory.
    pub name: String,
    /// organisation, officer, network_officer, operator.
    pub holder: String,
    /// 20 digits: the supplier whose certificate it is; empty: the organisation's own.
    pub via: String,
    /// Opaque; empty for an organisation.
    pub person: String,
    /// The owner's name for what uses it.
    pub system: String,
    /// Where it is in its life.
    pub state: State,
    /// Set of anchors under which it was first seen; empty: not used yet, or before this was kept.
    pub set: String,
    /// Distinguished name; empty: registered before this was kept.
    pub issuer: String,
    /// The end of its validity.
    pub end: OffsetDateTime,
    /// First call with it.
    pub used: Option<OffsetDateTime>,
    /// Refused from then on.
    pub retires: Option<OffsetDateTime>,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// By organisation, and by their ends.
    pub certificates: Vec<Certificate>,
    /// How many say what this version does not understand: they are in nothing that follows.
    pub unread: usize,
}

impl Fleet {
    /// The register, with the names that the directory gives, without those who have left the covenant: they have nothing to renew or
    /// to move.
    pub fn of(registered: &[v1::RegisteredCertificate], partners: &[v1::Partner]) -> Self {
        let left = |partner: &&v1::Partner| partner.status() == v1::PartnerStatus::Withdrawn;
        let gone: BTreeSet<String> = partners.iter().filter(left).map(oin_of).collect();
        let members = registered.iter().filter(|known| !gone.contains(&known.oin));
        Self::with_all(&members.cloned().collect::<Vec<_>>(), partners)
    }

    /// And with those: what they had is revoked one day.
    pub fn with_all(registered: &[v1::RegisteredCertificate], partners: &[v1::Partner]) -> Self {
        let names: BTreeMap<String, &str> =
            partners.iter().map(|partner| (oin_of(partner), partner.display_name.as_str())).collect();
        let name = |known: &v1::RegisteredCertificate| names.get(&known.oin).copied().unwrap_or_default();
        let read: Vec<Option<Certificate>> =
            registered.iter().map(|known| Certificate::read(known, name(known))).collect();
        let unread = read.iter().filter(|one| one.is_none()).count();
        let mut certificates: Vec<Certificate> = read.into_iter().flatten().collect();
        certificates.sort_by(|a, b| (&a.oin, a.end, &a.key_hash).cmp(&(&b.oin, b.end, &b.key_hash)));
        Self { certificates, unread }
    }

    /// Those that somebody will miss and that have so many days left at most, or have ended; the first to end first.
    pub fn ending(&self, now: OffsetDateTime, days: u16) -> Vec<&Certificate> {
        let needed = self.certificates.iter().filter(|one| one.state.is_needed());
        let mut found: Vec<&Certificate> = needed.filter(|one| one.days_left(now) <= i64::from(days)).collect();
        found.sort_by(|a, b| (a.end, &a.key_hash).cmp(&(b.end, &b.key_hash)));
        found
    }

    /// What is to be renewed, month by month.
    pub fn forecast(&self, now: OffsetDateTime) -> Forecast {
        Forecast::of(self.certificates.iter().filter(|one| one.state.is_needed()), now)
    }

    /// Which organisation is under which root.
    pub fn inventory(&self) -> Inventory {
        Inventory::of(&self.certificates)
    }
}

fn oin_of(partner: &v1::Partner) -> String {
    partner.name.trim_start_matches("partners/").to_owned()
}

impl Certificate {
    fn read(known: &v1::RegisteredCertificate, name: &str) -> Option<Self> {
        let at = |stamp: &Option<prost_types::Timestamp>| stamp.as_ref().and_then(moment);
        Some(Self {
            key_hash: known.key_hash.clone(),
            oin: known.oin.clone(),
            name: name.to_owned(),
            holder: holder_word(known.holder()),
            person: known.person_ref.clone(),
            via: known.via.clone(),
            system: known.system.clone(),
            state: State::of(known)?,
            set: known.set.clone(),
            issuer: known.issuer.clone(),
            end: at(&known.expire_time)?,
            used: at(&known.use_time),
            retires: at(&known.retire_time),
        })
    }

    /// Whole days left; negative when it has ended.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.end - now).whole_days()
    }
}

#[cfg(test)]
mod tests;
