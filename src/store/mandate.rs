//! SQL of mandates: suppliers that act in a partner's name.

use sqlx::{AnyConnection, Row as _};

use super::registry::touch;
use super::session::query;
use super::{StoreError, Tx};

/// A row of `mandate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MandateRow {
    /// UUID.
    pub mandate_id: String,
    /// 20 digits: who gave it.
    pub principal: String,
    /// 20 digits: the supplier.
    pub delegate: String,
    /// Microseconds.
    pub starts_at: i64,
    /// Microseconds.
    pub ends_at: i64,
    /// Of the principal's key that signed it, hex.
    pub key_hash: String,
    /// Encoded `sluis.v1.Mandate`.
    pub message: Vec<u8>,
    /// Microseconds.
    pub registered_at: i64,
    /// Microseconds: ended before its time, or replaced.
    pub cut_at: Option<i64>,
}

pub(super) async fn load(conn: &mut AnyConnection) -> Result<Vec<MandateRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM mandate ORDER BY principal, delegate, registered_at, mandate_id")
        .fetch_all(conn)
        .await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(MandateRow {
            mandate_id: row.try_get("mandate_id")?,
            principal: row.try_get("principal")?,
            delegate: row.try_get("delegate")?,
            starts_at: row.try_get("starts_at")?,
            ends_at: row.try_get("ends_at")?,
            key_hash: row.try_get("key_hash")?,
            message: row.try_get("message")?,
            registered_at: row.try_get("registered_at")?,
            cut_at: row.try_get("cut_at")?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
}

/// Registers a mandate in the place of the one that the same two had.
pub async fn put(tx: &mut Tx<'_>, row: &MandateRow) -> Result<(), StoreError> {
    cut(tx, &row.principal, &row.delegate, row.registered_at).await?;
    // That the one before ends has been said; of this one nothing has.
    query("UPDATE certificate SET warned = 0 WHERE oin = $1 AND via = $2")
        .bind(&row.principal)
        .bind(&row.delegate)
        .execute(tx.conn().await?)
        .await?;
    query(
        "INSERT INTO mandate (mandate_id, principal, delegate, starts_at, ends_at, key_hash, message, registered_at, cut_at) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,NULL)",
    )
    .bind(&row.mandate_id)
    .bind(&row.principal)
    .bind(&row.delegate)
    .bind(row.starts_at)
    .bind(row.ends_at)
    .bind(&row.key_hash)
    .bind(&row.message)
    .bind(row.registered_at)
    .execute(tx.conn().await?)
    .await?;
    touch(tx).await
}

/// Ends what the two had between them, and revokes every key under it for good: a later mandate brings none of them back.
pub async fn end(tx: &mut Tx<'_>, principal: &str, delegate: &str, at: i64) -> Result<(), StoreError> {
    cut(tx, principal, delegate, at).await?;
    // No key got out: what was written under the mandate stands.
    query("UPDATE certificate SET revoked_at = $3, ceased = 1 WHERE oin = $1 AND via = $2 AND revoked_at IS NULL")
        .bind(principal)
        .bind(delegate)
        .bind(at)
        .execute(tx.conn().await?)
        .await?;
    touch(tx).await
}

async fn cut(tx: &mut Tx<'_>, principal: &str, delegate: &str, at: i64) -> Result<(), StoreError> {
    query("UPDATE mandate SET cut_at = $3 WHERE principal = $1 AND delegate = $2 AND cut_at IS NULL")
        .bind(principal)
        .bind(delegate)
        .bind(at)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}
