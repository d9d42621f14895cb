//! SQL of changes that wait for a second operator.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::session::query;
use super::{Reader, StoreError, Tx};

/// A row of `pending_change`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// UUID.
    pub change_id: String,
    /// Full name of the RPC.
    pub method: String,
    /// Its request, encoded.
    pub request: Vec<u8>,
    /// Organisation of the operator that asked.
    pub oin: String,
    /// The operator.
    pub person_ref: String,
    /// What it is about, as [`about`] writes it.
    pub about: String,
    /// Microseconds; when another change of that was carried out.
    pub superseded_at: Option<i64>,
    /// Microseconds.
    pub asked_at: i64,
    /// Microseconds.
    pub ends_at: i64,
}

/// All that wait, the oldest first; those that have lapsed by now too.
pub async fn all(reader: &mut Reader) -> Result<Vec<PendingRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM pending_change ORDER BY asked_at, change_id").fetch_all(reader.conn().await?);
    Ok(rows.await?.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
}

fn read(row: &AnyRow) -> Result<PendingRow, sqlx::Error> {
    Ok(PendingRow {
        change_id: row.try_get("change_id")?,
        method: row.try_get("method")?,
        request: row.try_get("request")?,
        oin: row.try_get("oin")?,
        person_ref: row.try_get("person_ref")?,
        about: row.try_get("about")?,
        superseded_at: row.try_get("superseded_at")?,
        asked_at: row.try_get("asked_at")?,
        ends_at: row.try_get("ends_at")?,
    })
}

/// Writes down what was asked for, and forgets what has lapsed.
pub async fn add(tx: &mut Tx<'_>, row: &PendingRow) -> Result<(), StoreError> {
    let conn = tx.conn().await?;
    query("DELETE FROM pending_change WHERE ends_at <= $1").bind(row.asked_at).execute(conn).await?;
    query(
        "INSERT INTO pending_change (change_id, method, request, oin, person_ref, about, asked_at, ends_at) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8)",
    )
    .bind(&row.change_id)
    .bind(&row.method)
    .bind(&row.request)
    .bind(&row.oin)
    .bind(&row.person_ref)
    .bind(&row.about)
    .bind(row.asked_at)
    .bind(row.ends_at)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// How what a change is about is written down.
pub fn about(these: &[String]) -> String {
    these.iter().map(|this| format!("|{this}|")).collect()
}

/// Marks all that wait about this as overtaken by a change that is carried out.
pub async fn supersede(tx: &mut Tx<'_>, about: &str, at: i64) -> Result<(), StoreError> {
    query("UPDATE pending_change SET superseded_at = $1 WHERE about LIKE $2 AND superseded_at IS NULL")
        .bind(at)
        .bind(format!("%|{about}|%"))
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Takes one away. False if it was not there: somebody else was first.
pub async fn take(tx: &mut Tx<'_>, change_id: &str) -> Result<bool, StoreError> {
    let done =
        query("DELETE FROM pending_change WHERE change_id = $1").bind(change_id).execute(tx.conn().await?).await?;
    Ok(done == 1)
}
