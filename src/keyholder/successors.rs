//! Keys that take the place of those on the roster, so that a yearly renewal needs nobody at the keyholder's.
//!
//! Only the holder of a key that may call names its successor, and only for its own organisation: neither the hub nor a
//! certificate authority can put a key there. What follows a key goes with it when it is taken off the roster.

use sqlx::AnyPool;
use time::OffsetDateTime;

use super::QuotaError;
use crate::identity::KeyHash;
use crate::party::Oin;

/// Successors of one key: a few tries, not a crowd.
const MOST: i64 = 4;
/// Renewals in a row. A roster that was not looked at for so long is to be.
const LONGEST: usize = 64;

/// Whether a key was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// It may call from now on, or might before.
    Yes,
    /// It takes another key's place, or the caller's has enough successors.
    Refused,
}

/// The table of them.
#[derive(Clone)]
pub(super) struct Successors(AnyPool);

impl Successors {
    pub(super) const fn new(pool: AnyPool) -> Self {
        Self(pool)
    }

    /// Names the key that takes the place of `follows`.
    pub(super) async fn name(
        &self,
        oin: &Oin,
        key: &KeyHash,
        follows: &KeyHash,
        now: OffsetDateTime,
    ) -> Result<Named, QuotaError> {
        let (key, follows) = (key.to_string(), follows.to_string());
        // One statement that counts and adds, so that calls at the same time can't go past the bound.
        sqlx::query(
            "INSERT INTO successor (oin, key_hash, follows, named_at) SELECT $1, $2, $3, $4 \
             WHERE (SELECT COUNT(*) FROM successor WHERE oin = $5 AND follows = $6) < $7 \
             ON CONFLICT (oin, key_hash) DO NOTHING",
        )
        .bind(oin.as_str())
        .bind(&key)
        .bind(&follows)
        .bind(now.unix_timestamp())
        .bind(oin.as_str())
        .bind(&follows)
        .bind(MOST)
        .execute(&self.0)
        .await?;
        let before = self.before(oin, &key).await?;
        Ok(if before.as_ref() == Some(&follows) { Named::Yes } else { Named::Refused })
    }

    /// The keys whose place this one took, the latest first.
    pub(super) async fn line(&self, oin: &Oin, key: &KeyHash) -> Result<Vec<KeyHash>, QuotaError> {
        let (mut line, mut key) = (Vec::new(), key.to_string());
        while let Some(before) = self.before(oin, &key).await?.filter(|_| line.len() < LONGEST) {
            line.extend(before.parse::<KeyHash>());
            key = before;
        }
        Ok(line)
    }

    async fn before(&self, oin: &Oin, key: &str) -> Result<Option<String>, QuotaError> {
        let row = sqlx::query_scalar("SELECT follows FROM successor WHERE oin = $1 AND key_hash = $2");
        Ok(row.bind(oin.as_str()).bind(key).fetch_optional(&self.0).await?)
    }
}
