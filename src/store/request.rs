//! SQL of remembered replies: a request id that comes again has no second effect (AIP-155).

use sqlx::Row as _;

use super::{Reader, StoreError, Tx};

/// A reply given before.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Full name of the RPC.
    pub method: String,
    /// SHA-256 of the request.
    pub body_hash: Vec<u8>,
    /// Encoded reply.
    pub reply: Vec<u8>,
    /// Event of the first time.
    pub event_id: String,
}

/// What was replied to this request id of this organisation.
pub async fn find(reader: &mut Reader, oin: &str, request_id: &str) -> Result<Option<Remembered>, StoreError> {
    let row = sqlx::query("SELECT method, body_hash, reply, event_id FROM request WHERE oin = $1 AND request_id = $2")
        .bind(oin)
        .bind(request_id)
        .fetch_optional(reader.conn())
        .await?;
    row.map(|row| {
        Ok(Remembered {
            method: row.try_get("method")?,
            body_hash: row.try_get("body_hash")?,
            reply: row.try_get("reply")?,
            event_id: row.try_get("event_id")?,
        })
    })
    .transpose()
}

/// Remembers a reply. False if the id was taken meanwhile: another call with the same id is ahead.
pub async fn remember(
    tx: &mut Tx<'_>,
    oin: &str,
    request_id: &str,
    reply: &Remembered,
    at: i64,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO request (oin, request_id, method, body_hash, reply, event_id, at) VALUES ($1,$2,$3,$4,$5,$6,$7) \
         ON CONFLICT (oin, request_id) DO NOTHING",
    )
    .bind(oin)
    .bind(request_id)
    .bind(&reply.method)
    .bind(&reply.body_hash)
    .bind(&reply.reply)
    .bind(&reply.event_id)
    .bind(at)
    .execute(&mut *tx.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a few replies older than `before`. Called along with new ones, so that the table does not grow.
pub async fn forget(tx: &mut Tx<'_>, before: i64) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM request WHERE request_id IN (SELECT request_id FROM request WHERE at < $1 LIMIT 16) AND at < $1",
    )
    .bind(before)
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}
