//! Who may call, by organisation and key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::{ConfigError, Roster, RosterPartner};
use crate::identity::{KeyHash, PeerCertificate};
use crate::party::Oin;

/// Most elements in one call.
pub(super) const MAX_ELEMENTS: usize = 50;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The roster, ready to be asked on every call.
#[derive(PartialEq, Eq)]
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
    /// Reads the file.
    pub(super) fn load(file: &Path) -> Result<Self, ConfigError> {
        crate::config::load::<Roster>(file).map(Self::from)
    }

    /// How many keys may call.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The organisation of this certificate and its allowance, if both OIN and key stand on the roster together.
    pub(super) fn find(&self, certificate: &PeerCertificate) -> Option<(Oin, Allowance)> {
        let oin = certificate.oin()?.clone();
        let allowance = self.0.get(&(oin.clone(), certificate.key_hash()))?;
        Some((oin, *allowance))
    }
}

/// Puts every change of the file into force within a second, for ever. A file that can't be used changes nothing: a
/// half-written roster must not lock everybody out, and the fault is on the log until it is repaired.
pub(super) async fn follow(file: PathBuf, members: watch::Sender<Members>) {
    let mut faulty = false;
    loop {
        tokio::time::sleep(LOOK).await;
        match Members::load(&file) {
            Ok(read) => {
                faulty = false;
                let changed = members.send_if_modified(|current| {
                    let changed = *current != read;
                    *current = read;
                    changed
                });
                if changed {
                    tracing::info!("the roster has changed");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut faulty, true) {
                    tracing::error!(
                        error = crate::telemetry::chain(&error),
                        "the roster can't be read; the last one stays"
                    );
                }
            }
        }
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
