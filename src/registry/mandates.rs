//! Which mandates are in force, and by which of them a supplier's key may be used.

use crate::clock::from_micros;
use crate::identity::{Given, Holder, KeyHash, KeyState, Registration, Via};
use crate::party::Oin;
use crate::store::StoreError;
use crate::store::mandate::MandateRow;
use std::collections::HashMap;

/// The mandate between two that was not cut, if there is one.
pub(super) fn between<'r>(rows: &'r [MandateRow], principal: &str, delegate: &str) -> Option<&'r MandateRow> {
    rows.iter().find(|row| row.cut_at.is_none() && row.principal == principal && row.delegate == delegate)
}

/// The supplier of a row of `certificate`, and what the partner gave it.
pub(super) fn via(rows: &[MandateRow], principal: &str, delegate: &str) -> Result<Option<Via>, StoreError> {
    if delegate.is_empty() {
        return Ok(None);
    }
    let oin: Oin = delegate.parse().map_err(|_| StoreError::Inconsistent("certificate"))?;
    Ok(Some(Via { oin, given: between(rows, principal, delegate).map(term) }))
}

/// From when until when.
pub(super) fn term(row: &MandateRow) -> Given {
    Given { starts: from_micros(row.starts_at), ends: from_micros(row.ends_at) }
}

/// Whether the key that signed is registered for the partner's own systems, and not revoked.
pub(super) fn is_own<'k>(row: &MandateRow, key: impl Fn(&KeyHash) -> Option<&'k Registration>) -> bool {
    let hash = row.key_hash.parse().ok();
    hash.and_then(|hash| key(&hash)).is_some_and(|signer| {
        signer.oin.as_str() == row.principal
            && signer.via.is_none()
            && signer.holder == Holder::Organisation
            && signer.state != KeyState::Revoked
    })
}

/// Takes away what rests on a mandate whose signer was revoked since, or was never the partner's own: what a stolen key
/// gave is nobody's.
pub(super) fn withhold(rows: &[MandateRow], keys: &mut HashMap<KeyHash, Registration>) {
    let is_bad = |row: &&MandateRow| row.cut_at.is_none() && !is_own(row, |hash| keys.get(hash));
    let bad: Vec<&MandateRow> = rows.iter().filter(is_bad).collect();
    for registration in keys.values_mut() {
        let oin = registration.oin.as_str();
        if let Some(via) = &mut registration.via
            && bad.iter().any(|row| row.principal == oin && row.delegate == via.oin.as_str())
        {
            via.given = None;
        }
    }
}
