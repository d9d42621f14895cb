//! SQL of what all nodes on one database have in common: the covenant in force and the hub's keys.

use std::collections::BTreeSet;

use sqlx::{AnyConnection, Row as _};

use super::session::{Session, query};
use super::tx::{Changes, Seen, Tx, Work, WorkError};
use super::{StoreError, Unfit};
use crate::audit::{Action, Draft};

/// Covenant and keys of a node, or of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployment {
    /// Number of the version in force.
    pub covenant_version: u32,
    /// SHA-256 of that version, hex.
    pub covenant_hash: String,
    /// One word per key: it tells keys apart and tells nothing of them.
    pub keys: BTreeSet<String>,
}

impl Deployment {
    /// What this node must write to serve beside those that wrote `stored`; `None` if nothing.
    ///
    /// # Errors
    /// [`Unfit`] if it can't serve beside them.
    pub fn beside(&self, stored: &Self) -> Result<Option<Self>, Unfit> {
        if !self.keys.is_superset(&stored.keys) {
            let older = self.keys.is_subset(&stored.keys);
            return Err(if older { Unfit::OlderKeys } else { Unfit::OtherKeys });
        }
        if self.covenant_version < stored.covenant_version {
            return Err(Unfit::OlderCovenant(stored.covenant_version));
        }
        if self.covenant_version == stored.covenant_version && self.covenant_hash != stored.covenant_hash {
            return Err(Unfit::OtherCovenant);
        }
        Ok((self != stored).then(|| self.clone()))
    }
}

/// What is in force in this database; `None` in a new one.
pub(super) async fn load(conn: &mut AnyConnection) -> Result<Option<Deployment>, StoreError> {
    let Some(row) = sqlx::query(IN_FORCE).fetch_optional(conn).await? else { return Ok(None) };
    stored(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?).map(Some)
}

/// The same, inside a commit.
async fn load_now(session: &mut Session) -> Result<Option<Deployment>, StoreError> {
    let Some(row) = query(IN_FORCE).fetch_optional(session).await? else { return Ok(None) };
    stored(row.number(0)?, row.text(1)?, row.text(2)?).map(Some)
}

const IN_FORCE: &str = "SELECT covenant_version, covenant_hash, keys_hash FROM deployment WHERE id = 1";

fn stored(version: i64, covenant_hash: String, keys: String) -> Result<Deployment, StoreError> {
    Ok(Deployment {
        covenant_version: u32::try_from(version).map_err(|_| StoreError::Inconsistent("deployment"))?,
        covenant_hash,
        keys: keys.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Puts a covenant version or a new key in force. Nodes with older ones find the registry changed, and stop serving.
pub(super) struct Deploy(pub(super) Deployment);

impl Work for Deploy {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen { changes: Changes::Registry, ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        // Another node may have been first.
        if let Some(stored) = load_now(tx.conn().await?).await?
            && self.0.beside(&stored).map_err(StoreError::from)?.is_none()
        {
            return Err(WorkError::Stale);
        }
        let keys: Vec<&str> = self.0.keys.iter().map(String::as_str).collect();
        query(
            "INSERT INTO deployment (id, covenant_version, covenant_hash, keys_hash) VALUES (1, $1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET covenant_version = excluded.covenant_version, \
             covenant_hash = excluded.covenant_hash, keys_hash = excluded.keys_hash",
        )
        .bind(i64::from(self.0.covenant_version))
        .bind(self.0.covenant_hash.clone())
        .bind(keys.join(" "))
        .execute(tx.conn().await?)
        .await?;
        super::registry::touch(tx).await?;
        let draft = Draft {
            method: "hub/Start",
            action: Some(Action::Execute),
            motivation: format!("covenant version {} in force", self.0.covenant_version),
            ..Draft::default()
        };
        Ok(((), draft))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(covenant_version: u32, hash: &str, keys: &[&str]) -> Deployment {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Deployment { covenant_version, covenant_hash: hash.to_owned(), keys }
    }

    #[test]
    fn nodes_serve_together_only_if_they_decide_alike() {
        let stored = node(2, "b", &["p1", "t1"]);
        assert_eq!(node(2, "b", &["p1", "t1"]).beside(&stored), Ok(None));
        for newer in [node(3, "c", &["p1", "t1"]), node(2, "b", &["p1", "p2", "t1"])] {
            assert_eq!(newer.beside(&stored), Ok(Some(newer.clone())));
        }
        assert_eq!(node(1, "a", &["p1", "t1"]).beside(&stored), Err(Unfit::OlderCovenant(2)));
        assert_eq!(node(2, "c", &["p1", "t1"]).beside(&stored), Err(Unfit::OtherCovenant));
        assert_eq!(node(3, "c", &["p1"]).beside(&stored), Err(Unfit::OlderKeys));
        assert_eq!(node(2, "b", &["p1", "t9"]).beside(&stored), Err(Unfit::OtherKeys));
    }
}
