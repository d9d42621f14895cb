//! SQL of registered certificates.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::registry::touch;
use super::session::query;
use super::{StoreError, Tx};

/// A row of `certificate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Hex.
    pub key_hash: String,
    /// 20 digits.
    pub oin: String,
    /// 20 digits: the supplier that acts for `oin`; empty: it is `oin`'s own.
    pub via: String,
    /// organisation, officer, network_officer, operator.
    pub holder: String,
    /// Opaque; empty for an organisation.
    pub person_ref: String,
    /// The owner's name for what uses it.
    pub system: String,
    /// Distinguished name as text.
    pub issuer: String,
    /// Microseconds; 0: not known.
    pub starts_at: i64,
    /// Microseconds.
    pub expires_at: i64,
    /// Microseconds; 0: not known.
    pub registered_at: i64,
    /// First call with it, microseconds; 0: before this was kept.
    pub used_at: Option<i64>,
    /// Set of anchors under which it was first seen.
    pub anchor_set: String,
    /// Key hash; empty: none.
    pub replaces: String,
    /// Obtained by renewal, with the key in `replaces`: it falls with that one. Otherwise an operator entered it.
    pub renewed: bool,
    /// Microseconds.
    pub retires_at: Option<i64>,
    /// Microseconds.
    pub revoked_at: Option<i64>,
    /// Revoked because its holder needs it no more: what it signed before stands.
    pub ceased: bool,
    /// How near its end was when that was last said, in days; 0: not said yet.
    pub warned: i64,
}

pub(super) async fn load(conn: &mut AnyConnection) -> Result<Vec<CertificateRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM certificate").fetch_all(conn).await?;
    Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
}

fn read(row: &AnyRow) -> Result<CertificateRow, sqlx::Error> {
    Ok(CertificateRow {
        key_hash: row.try_get("key_hash")?,
        oin: row.try_get("oin")?,
        via: row.try_get("via")?,
        holder: row.try_get("holder")?,
        person_ref: row.try_get("person_ref")?,
        system: row.try_get("system")?,
        issuer: row.try_get("issuer")?,
        starts_at: row.try_get("starts_at")?,
        expires_at: row.try_get("expires_at")?,
        registered_at: row.try_get("registered_at")?,
        used_at: row.try_get("used_at")?,
        anchor_set: row.try_get("anchor_set")?,
        replaces: row.try_get("replaces")?,
        renewed: row.try_get::<i64, _>("renewed")? != 0,
        retires_at: row.try_get("retires_at")?,
        revoked_at: row.try_get("revoked_at")?,
        ceased: row.try_get::<i64, _>("ceased")? != 0,
        warned: row.try_get("warned")?,
    })
}

/// Registers a key, or the new certificate of one that is registered.
pub async fn put(tx: &mut Tx<'_>, row: &CertificateRow) -> Result<(), StoreError> {
    query(
        "INSERT INTO certificate (key_hash, oin, holder, person_ref, system, issuer, starts_at, expires_at, registered_at, \
         used_at, anchor_set, replaces, renewed, retires_at, revoked_at, via) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,NULL,'',$10,$11,NULL,NULL,$12) \
         ON CONFLICT (key_hash) DO UPDATE SET system = excluded.system, issuer = excluded.issuer, \
         starts_at = excluded.starts_at, expires_at = excluded.expires_at, \
         warned = CASE WHEN certificate.expires_at = excluded.expires_at THEN certificate.warned ELSE 0 END",
    )
    .bind(&row.key_hash)
    .bind(&row.oin)
    .bind(&row.holder)
    .bind(&row.person_ref)
    .bind(&row.system)
    .bind(&row.issuer)
    .bind(row.starts_at)
    .bind(row.expires_at)
    .bind(row.registered_at)
    .bind(&row.replaces)
    .bind(i64::from(row.renewed))
    .bind(&row.via)
    .execute(tx.conn().await?)
    .await?;
    touch(tx).await
}

/// Notes the first call with a key.
pub async fn first_use(tx: &mut Tx<'_>, key_hash: &str, anchor_set: &str, at: i64) -> Result<(), StoreError> {
    query("UPDATE certificate SET used_at = $2, anchor_set = $3 WHERE key_hash = $1 AND used_at IS NULL")
        .bind(key_hash)
        .bind(at)
        .bind(anchor_set)
        .execute(tx.conn().await?)
        .await?;
    touch(tx).await
}

/// Notes that it is said how near the end of a certificate is. False if that was said before, of a nearer end perhaps; if it is
/// needed no more, or ends at another time by now.
pub async fn warn(tx: &mut Tx<'_>, key_hash: &str, expires_at: i64, days: i64) -> Result<bool, StoreError> {
    let done = query(
        "UPDATE certificate SET warned = $3 WHERE key_hash = $1 AND expires_at = $2 AND (warned = 0 OR warned > $3) \
         AND revoked_at IS NULL AND retires_at IS NULL",
    )
    .bind(key_hash)
    .bind(expires_at)
    .bind(days)
    .execute(tx.conn().await?)
    .await?;
    if done == 1 {
        touch(tx).await?;
    }
    Ok(done == 1)
}

/// Says from when on a key is refused.
pub async fn retire(tx: &mut Tx<'_>, key_hash: &str, at: i64) -> Result<(), StoreError> {
    query("UPDATE certificate SET retires_at = $2 WHERE key_hash = $1 AND revoked_at IS NULL")
        .bind(key_hash)
        .bind(at)
        .execute(tx.conn().await?)
        .await?;
    touch(tx).await
}

/// Revokes a key for good, or says anew why it was. False if it is not
/// registered.
pub async fn revoke(tx: &mut Tx<'_>, key_hash: &str, ceased: bool, at: i64) -> Result<bool, StoreError> {
    let done = query("UPDATE certificate SET revoked_at = COALESCE(revoked_at, $2), ceased = $3 WHERE key_hash = $1")
        .bind(key_hash)
        .bind(at)
        .bind(i64::from(ceased))
        .execute(tx.conn().await?)
        .await?;
    touch(tx).await?;
    Ok(done == 1)
}
