//! Who may call, by organisation and key.

use std::collections::HashMap;

use crate::config::{Roster, RosterPartner};
use crate::identity::{KeyHash, PeerCertificate};
use crate::party::Oin;

/// Most elements in one call.
pub(super) const MAX_ELEMENTS: usize = 50;

/// The roster, ready to be asked on every call.
pub(super) struct Members(HashMap<(Oin, KeyHash), Allowance>);

/// How much an organisation may have evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// In one day, UTC.
    pub(super) per_day: u32,
    /// In one minute: a tenth of the day, but never less than one full call, so that a stolen key shows before the day's
    /// quota is gone.
    pub(super) per_minute: u32,
}

impl Allowance {
    pub(super) fn of_day(per_day: u32) -> Self {
        let full_call = u32::try_from(MAX_ELEMENTS).unwrap_or(u32::MAX);
        Self { per_day, per_minute: (per_day / 10).max(full_call).min(per_day) }
    }
}

impl From<Roster> for Members {
    fn from(roster: Roster) -> Self {
        let keys = |partner: RosterPartner| {
            let allowance = Allowance::of_day(partner.elements_per_day);
            let oin = partner.oin;
            partner.key_hashes.into_iter().map(move |hash| ((oin.clone(), KeyHash::from_bytes(hash.0)), allowance))
        };
        Self(roster.partners.into_iter().flat_map(keys).collect())
    }
}

impl Members {
    /// The organisation of this certificate and its allowance, if both OIN and key stand on the roster together.
    pub(super) fn find(&self, certificate: &PeerCertificate) -> Option<(Oin, Allowance)> {
        let oin = certificate.oin()?.clone();
        let allowance = self.0.get(&(oin.clone(), certificate.key_hash()))?;
        Some((oin, *allowance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_never_holds_more_than_a_day_nor_less_than_a_call() {
        for (per_day, per_minute) in [(0, 0), (10, 10), (50, 50), (200, 50), (500, 50), (5000, 500)] {
            assert_eq!(Allowance::of_day(per_day), Allowance { per_day, per_minute });
        }
    }
}
