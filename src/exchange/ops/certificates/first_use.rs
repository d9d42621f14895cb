//! The first call with a key.

use time::{Duration, OffsetDateTime};

use super::super::changes::Proposal as _;
use super::RegisterCertificate;
use crate::audit::{Action, Draft};
use crate::clock::micros;
use crate::identity::KeyHash;
use crate::registry::Registry;
use crate::store::certificates::{self, CertificateRow};
use crate::store::{Changes, Seen, Tx, Work, WorkError};

/// From the first call with a new key on, the one that it replaces is good for so long: time for every system to follow.
const OVERLAP: Duration = Duration::days(14);

/// The first call with a key: from now on it is active, and what it replaces has so much time left.
pub(in crate::exchange) struct FirstUse {
    row: CertificateRow,
    /// The key that it replaces, and until when that one is good.
    retires: Option<(String, i64)>,
    anchor_set: String,
    rev: i64,
    at: i64,
}

impl FirstUse {
    /// Of a key that the registry knows as announced.
    pub(in crate::exchange) fn of(registry: &Registry, key: &KeyHash, set: &str, now: OffsetDateTime) -> Option<Self> {
        let row = registry.certificates.get(key)?;
        let old = row.replaces.parse().ok().and_then(|hash: KeyHash| registry.certificates.get(&hash));
        let old = old.filter(|old| old.revoked_at.is_none() && old.retires_at.is_none());
        let retires = old.map(|old| (old.key_hash.clone(), micros(now + OVERLAP).min(old.expires_at)));
        Some(Self { row: row.clone(), retires, anchor_set: set.to_owned(), rev: registry.rev, at: micros(now) })
    }
}

impl Work for FirstUse {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen { registry: Some(self.rev), changes: Changes::Registry, ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        certificates::first_use(tx, &self.row.key_hash, &self.anchor_set, self.at).await?;
        if let Some((old, at)) = &self.retires {
            certificates::retire(tx, old, *at).await?;
        }
        let motivation = match &self.retires {
            None => "first call with this key",
            Some(_) => "first call with this key; the one that it replaces retires",
        };
        // Nobody asked for it: whoever holds its own calls against the log would miss this one.
        let draft = Draft {
            method: RegisterCertificate::METHOD,
            action: Some(Action::Update),
            source: self.row.oin.clone(),
            via: self.row.via.clone(),
            user_ref: self.row.person_ref.clone(),
            key_hash: self.row.key_hash.clone(),
            motivation: motivation.to_owned(),
            ..Draft::default()
        };
        Ok(((), draft))
    }
}
