//! SQL of partners, published keys and covenant signatures.
//!
//! Rows are text here; [`crate::registry`] turns them into domain types.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::certificates::{self, CertificateRow};
use super::mandate::{self, MandateRow};
use super::session::query;
use super::succession::{self, SuccessionRow};
use super::{Deployment, Reader, StoreError, Tx, Wake, WorkError, deployment};
use crate::party::Oin;

/// OINs of all partners, also of those that have left.
pub async fn oins(reader: &mut Reader) -> Result<Vec<Oin>, StoreError> {
    let rows = sqlx::query("SELECT oin FROM partner ORDER BY oin").fetch_all(reader.conn().await?).await?;
    let read = |row: &AnyRow| row.try_get::<String, _>(0)?.parse().map_err(|_| StoreError::Inconsistent("partner"));
    rows.iter().map(read).collect()
}

/// A row of `partner`.
#[derive(Debug, Clone)]
pub struct PartnerRow {
    /// 20 digits.
    pub oin: String,
    /// Name of the organisation.
    pub display_name: String,
    /// Code of `OrgKind`.
    pub kind: String,
    /// Code of `PartnerStatus`.
    pub status: String,
    /// Role codes separated by spaces.
    pub standing_roles: String,
    /// Microseconds.
    pub effective_at: i64,
    /// Microseconds.
    pub withdrawn_at: Option<i64>,
    /// 0: none.
    pub accepted_covenant: i64,
}

/// Everything that the registry's picture is made of.
#[derive(Debug, Default)]
pub struct Rows {
    /// Moves with every change.
    pub rev: i64,
    /// Covenant and keys in force in this database.
    pub deployment: Deployment,
    /// All partners.
    pub partners: Vec<PartnerRow>,
    /// All registered certificates.
    pub certificates: Vec<CertificateRow>,
    /// All mandates.
    pub mandates: Vec<MandateRow>,
    /// Encoded `sluis.v1.KeySet` by OIN.
    pub key_sets: Vec<(String, Vec<u8>)>,
    /// Encoded `sluis.v1.CovenantSignature` by OIN and version.
    pub signatures: Vec<(String, i64, Vec<u8>)>,
    /// Whose place is taken by whom.
    pub successions: Vec<SuccessionRow>,
}

/// Reads the whole registry: some fifty partners and a few hundred keys. The revision is read first, so that a change
/// in between makes the picture look older than it is, never newer.
pub async fn load(reader: &mut Reader) -> Result<Rows, StoreError> {
    let conn = reader.conn().await?;
    let rev = sqlx::query("SELECT rev FROM registry_head WHERE id = 1").fetch_one(&mut *conn).await?.try_get(0)?;
    let deployment = deployment::load(&mut *conn).await?.unwrap_or_default();
    let partners = sqlx::query("SELECT * FROM partner").fetch_all(&mut *conn).await?;
    let partners = partners
        .iter()
        .map(|row| {
            Ok(PartnerRow {
                oin: row.try_get("oin")?,
                display_name: row.try_get("display_name")?,
                kind: row.try_get("kind")?,
                status: row.try_get("status")?,
                standing_roles: row.try_get("standing_roles")?,
                effective_at: row.try_get("effective_at")?,
                withdrawn_at: row.try_get("withdrawn_at")?,
                accepted_covenant: row.try_get("accepted_covenant")?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    let certificates = certificates::load(&mut *conn).await?;
    let mandates = mandate::load(&mut *conn).await?;
    let key_sets = sqlx::query("SELECT oin, message FROM key_set").fetch_all(&mut *conn).await?;
    let key_sets = key_sets
        .iter()
        .map(|row| Ok((row.try_get("oin")?, row.try_get("message")?)))
        .collect::<Result<_, sqlx::Error>>()?;
    let signatures = sqlx::query("SELECT oin, version, message FROM covenant_signature ORDER BY version, oin")
        .fetch_all(&mut *conn)
        .await?;
    let signatures = signatures
        .iter()
        .map(|row| Ok((row.try_get("oin")?, row.try_get("version")?, row.try_get("message")?)))
        .collect::<Result<_, sqlx::Error>>()?;
    let successions = succession::load(conn).await?;
    Ok(Rows { rev, deployment, partners, certificates, mandates, key_sets, signatures, successions })
}

/// The revision now.
pub async fn rev(reader: &mut Reader) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT rev FROM registry_head WHERE id = 1").fetch_one(reader.conn().await?).await?;
    Ok(row.try_get(0)?)
}

/// Says that the registry changed.
pub(super) async fn touch(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.moves_registry()?;
    query("UPDATE registry_head SET rev = rev + 1 WHERE id = 1").execute(tx.conn().await?).await?;
    tx.wake(Wake::Registry);
    Ok(())
}

/// Adds a partner or changes its name and standing roles. Kind, status and signature stay as they are.
pub async fn put_partner(tx: &mut Tx<'_>, row: &PartnerRow) -> Result<(), StoreError> {
    query(
        "INSERT INTO partner (oin, display_name, kind, status, standing_roles, effective_at, withdrawn_at, \
         accepted_covenant) VALUES ($1,$2,$3,$4,$5,$6,NULL,0) \
         ON CONFLICT (oin) DO UPDATE SET display_name = excluded.display_name, standing_roles = excluded.standing_roles",
    )
    .bind(&row.oin)
    .bind(&row.display_name)
    .bind(&row.kind)
    .bind(&row.status)
    .bind(&row.standing_roles)
    .bind(row.effective_at)
    .execute(tx.conn().await?)
    .await?;
    touch(tx).await
}

/// A partner that left joins anew, with nothing that gave it access before: its keys are revoked as needed no more, the mandates
/// that it gave end, and it has signed no version of the covenant yet.
pub async fn join_anew(tx: &mut Tx<'_>, row: &PartnerRow, left: i64, now: i64) -> Result<(), WorkError> {
    succession::check_has_none(tx, &row.oin, left).await?;
    query(
        "UPDATE partner SET display_name = $2, status = $3, standing_roles = $4, effective_at = $5, withdrawn_at = NULL, \
         accepted_covenant = 0 WHERE oin = $1",
    )
    .bind(&row.oin)
    .bind(&row.display_name)
    .bind(&row.status)
    .bind(&row.standing_roles)
    .bind(row.effective_at)
    .execute(tx.conn().await?)
    .await?;
    for statement in [
        "UPDATE certificate SET revoked_at = $2, ceased = 1 WHERE oin = $1 AND revoked_at IS NULL",
        "UPDATE mandate SET cut_at = $2 WHERE principal = $1 AND cut_at IS NULL",
    ] {
        query(statement).bind(&row.oin).bind(now).execute(tx.conn().await?).await?;
    }
    Ok(succession::take_back(tx, &row.oin).await?)
}

/// Sets a partner's status. False if there is no such partner.
pub async fn set_status(
    tx: &mut Tx<'_>,
    oin: &str,
    status: &str,
    withdrawn_at: Option<i64>,
) -> Result<bool, StoreError> {
    let done = query("UPDATE partner SET status = $2, withdrawn_at = $3 WHERE oin = $1")
        .bind(oin)
        .bind(status)
        .bind(withdrawn_at)
        .execute(tx.conn().await?)
        .await?;
    touch(tx).await?;
    Ok(done == 1)
}

/// Replaces a partner's published keys.
pub async fn put_keys(tx: &mut Tx<'_>, oin: &str, message: &[u8], at: i64) -> Result<(), StoreError> {
    query(
        "INSERT INTO key_set (oin, message, published_at) VALUES ($1,$2,$3) \
         ON CONFLICT (oin) DO UPDATE SET message = excluded.message, published_at = excluded.published_at",
    )
    .bind(oin)
    .bind(message)
    .bind(at)
    .execute(tx.conn().await?)
    .await?;
    touch(tx).await
}

/// Puts a version of the covenant in force for a partner.
pub async fn sign(tx: &mut Tx<'_>, oin: &str, version: i64, message: &[u8], at: i64) -> Result<(), StoreError> {
    query(
        "INSERT INTO covenant_signature (oin, version, message, signed_at) VALUES ($1,$2,$3,$4) \
         ON CONFLICT (oin, version) DO UPDATE SET message = excluded.message, signed_at = excluded.signed_at",
    )
    .bind(oin)
    .bind(version)
    .bind(message)
    .bind(at)
    .execute(tx.conn().await?)
    .await?;
    query("UPDATE partner SET accepted_covenant = $2 WHERE oin = $1 AND accepted_covenant < $2")
        .bind(oin)
        .bind(version)
        .execute(tx.conn().await?)
        .await?;
    touch(tx).await
}
