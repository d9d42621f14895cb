//! SQL of requests for the next certificate of a holder.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::session::query;
use super::{Reader, StoreError, Tx};

/// Requests in one answer, at most.
const PAGE: i64 = 100;

/// A row of `certificate_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// UUID.
    pub request_name: String,
    /// 20 digits.
    pub oin: String,
    /// Hex: of the certificate with which it was asked for.
    pub key_hash: String,
    /// Hex.
    pub new_key_hash: String,
    /// PKCS#10, DER.
    pub signing_request: Vec<u8>,
    /// DER.
    pub certificate: Vec<u8>,
    /// RFC 8446 §4.2.3.
    pub signature_scheme: i64,
    /// With the key of the certificate, over the request.
    pub signature: Vec<u8>,
    /// Microseconds.
    pub asked_at: i64,
    /// Microseconds; `None`: it waits.
    pub answered_at: Option<i64>,
    /// Encoded `sluis.v1.CertificateChain`; empty: not issued.
    pub chain: Vec<u8>,
    /// Empty: not refused.
    pub refusal: String,
}

fn read(row: &AnyRow) -> Result<RequestRow, sqlx::Error> {
    Ok(RequestRow {
        request_name: row.try_get("request_name")?,
        oin: row.try_get("oin")?,
        key_hash: row.try_get("key_hash")?,
        new_key_hash: row.try_get("new_key_hash")?,
        signing_request: row.try_get("signing_request")?,
        certificate: row.try_get("certificate")?,
        signature_scheme: row.try_get("signature_scheme")?,
        signature: row.try_get("signature")?,
        asked_at: row.try_get("asked_at")?,
        answered_at: row.try_get("answered_at")?,
        chain: row.try_get("chain")?,
        refusal: row.try_get("refusal")?,
    })
}

/// What was asked for with this new key.
pub async fn with_key(reader: &mut Reader, new_key_hash: &str) -> Result<Option<RequestRow>, StoreError> {
    let found = sqlx::query("SELECT * FROM certificate_request WHERE new_key_hash = $1").bind(new_key_hash);
    Ok(found.fetch_optional(reader.conn().await?).await?.as_ref().map(read).transpose()?)
}

/// The request of this name.
pub async fn named(reader: &mut Reader, name: &str) -> Result<Option<RequestRow>, StoreError> {
    let found = sqlx::query("SELECT * FROM certificate_request WHERE request_name = $1").bind(name);
    Ok(found.fetch_optional(reader.conn().await?).await?.as_ref().map(read).transpose()?)
}

/// Those that wait, the oldest first.
pub async fn waiting(reader: &mut Reader) -> Result<Vec<RequestRow>, StoreError> {
    let text = "SELECT * FROM certificate_request WHERE answered_at IS NULL ORDER BY asked_at, request_name LIMIT $1";
    let rows = sqlx::query(text).bind(PAGE).fetch_all(reader.conn().await?).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// How often it was asked, as the transaction sees it.
pub struct Asked {
    /// Requests with the same certificate since a moment, whatever came of them.
    pub of_key: i64,
    /// Requests of the organisation that wait, with its other certificates.
    pub waiting: i64,
}

/// How often it was asked with the certificate of `row` since a moment, and how many of its organisation wait.
pub async fn asked(tx: &mut Tx<'_>, row: &RequestRow, since: i64) -> Result<Asked, StoreError> {
    let of_key = query("SELECT COUNT(*) FROM certificate_request WHERE oin = $1 AND key_hash = $2 AND asked_at > $3")
        .bind(&row.oin)
        .bind(&row.key_hash)
        .bind(since)
        .fetch_number(tx.conn().await?)
        .await?;
    let waiting =
        query("SELECT COUNT(*) FROM certificate_request WHERE oin = $1 AND key_hash <> $2 AND answered_at IS NULL")
            .bind(&row.oin)
            .bind(&row.key_hash)
            .fetch_number(tx.conn().await?)
            .await?;
    Ok(Asked { of_key, waiting })
}

/// Refuses what waits of a key.
pub async fn refuse_of_key(tx: &mut Tx<'_>, key_hash: &str, why: &str, at: i64) -> Result<(), StoreError> {
    query("UPDATE certificate_request SET answered_at = $2, refusal = $3 WHERE key_hash = $1 AND answered_at IS NULL")
        .bind(key_hash)
        .bind(at)
        .bind(why)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Refuses what waits of an organisation.
pub async fn refuse_of_partner(tx: &mut Tx<'_>, oin: &str, why: &str, at: i64) -> Result<(), StoreError> {
    query("UPDATE certificate_request SET answered_at = $2, refusal = $3 WHERE oin = $1 AND answered_at IS NULL")
        .bind(oin)
        .bind(at)
        .bind(why)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Writes down what is asked for. An earlier request of the same certificate that waits still is refused, and what was
/// answered before `forgotten` is dropped.
pub async fn add(tx: &mut Tx<'_>, row: &RequestRow, forgotten: i64) -> Result<(), StoreError> {
    query("DELETE FROM certificate_request WHERE answered_at < $1").bind(forgotten).execute(tx.conn().await?).await?;
    refuse_of_key(tx, &row.key_hash, "another one was asked for later, with the same certificate", row.asked_at)
        .await?;
    query(
        "INSERT INTO certificate_request (request_name, oin, key_hash, new_key_hash, signing_request, certificate, asked_at, \
         answered_at, chain, refusal, signature_scheme, signature) VALUES ($1,$2,$3,$4,$5,$6,$7,NULL,$8,'',$9,$10)",
    )
    .bind(&row.request_name)
    .bind(&row.oin)
    .bind(&row.key_hash)
    .bind(&row.new_key_hash)
    .bind(&row.signing_request)
    .bind(&row.certificate)
    .bind(row.asked_at)
    .bind(&row.chain)
    .bind(row.signature_scheme)
    .bind(&row.signature)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// Writes down the answer. False if there was one already.
pub async fn answer(tx: &mut Tx<'_>, row: &RequestRow) -> Result<bool, StoreError> {
    let done = query(
        "UPDATE certificate_request SET answered_at = $2, chain = $3, refusal = $4 \
         WHERE request_name = $1 AND answered_at IS NULL",
    )
    .bind(&row.request_name)
    .bind(row.answered_at)
    .bind(&row.chain)
    .bind(&row.refusal)
    .execute(tx.conn().await?)
    .await?;
    Ok(done == 1)
}
