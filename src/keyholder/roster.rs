//! Who may call, by organisation and key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::config::{ConfigError, Roster, RosterPartner};
use crate::identity::KeyHash;
use crate::party::Oin;

/// Most elements in one call.
pub(super) const MAX_ELEMENTS: usize = 50;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The roster, ready to be asked on every call: by the OIN and key of a certificate, who counts as calling.
#[derive(PartialEq, Eq)]
pub(super) struct Members(HashMap<(Oin, KeyHash), Member>);

/// Who calls with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    oin: Oin,
    allowance: Allowance,
    /// Not from this moment on.
    until: Option<OffsetDateTime>,
}

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
            let member = Member { oin: partner.oin.clone(), allowance, until: partner.until };
            let oin = partner.oin;
            let shown = partner.supplier.unwrap_or(oin);
            let keys = partner.key_hashes.into_iter().map(|hash| KeyHash::from_bytes(hash.0));
            keys.map(move |key| ((shown.clone(), key), member.clone()))
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

    /// In whose name somebody calls, and its allowance, if the OIN of the certificate stands on the roster together with one of
    /// these keys, and its time there is not over.
    pub(super) fn find(
        &self,
        shown: &Oin,
        mut keys: impl Iterator<Item = KeyHash>,
        now: OffsetDateTime,
    ) -> Option<(Oin, Allowance)> {
        let member = keys.find_map(|key| self.0.get(&(shown.clone(), key)))?;
        let stays = member.until.is_none_or(|until| now < until);
        stays.then(|| (member.oin.clone(), member.allowance))
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
    fn an_entry_counts_until_its_moment_also_for_the_keys_that_follow_it() {
        let (key, next) = (KeyHash::from_bytes([1; 32]), KeyHash::from_bytes([2; 32]));
        let hash = hex::encode([1; 32]);
        let oin = "00000099100001410000";
        let roster = |until: &str| {
            toml::from_str::<Roster>(&format!(
                "[[partner]]\noin = \"{oin}\"\nkey_hashes = [\"{hash}\"]\nelements_per_day = 10\n{until}"
            ))
        };
        let end = OffsetDateTime::from_unix_timestamp(1_793_491_200).unwrap();
        let second = time::Duration::SECOND;
        for (until, last) in [
            ("", None),
            ("until = \"2026-11-01\"", Some(end)),
            ("until = \"2026-11-01T13:00:00+01:00\"", Some(end + time::Duration::hours(12))),
        ] {
            let members = Members::from(roster(until).unwrap());
            let found = |now| members.find(&oin.parse().unwrap(), [next, key].into_iter(), now).is_some();
            assert!(last.is_none_or(|last| found(last - second)), "{until}");
            assert_eq!(found(last.unwrap_or(end)), last.is_none(), "{until}");
        }
        for wrong in ["until = \"tomorrow\"", "until = \"\"", "until = 7"] {
            assert!(roster(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_minute_never_holds_more_than_a_day_nor_less_than_a_call() {
        for (per_day, per_minute) in [(0, 0), (10, 10), (50, 50), (200, 50), (500, 50), (5000, 500)] {
            assert_eq!(Allowance::of_day(per_day), Allowance { per_day, per_minute });
        }
    }
}
