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

/// What was replied to this request id of this organisation, not before `since` (microseconds).
pub async fn find(
    reader: &mut Reader,
    oin: &str,
    request_id: &str,
    since: i64,
) -> Result<Option<Remembered>, StoreError> {
    let query =
        "SELECT method, body_hash, reply, event_id FROM request WHERE oin = $1 AND request_id = $2 AND at >= $3";
    let row = sqlx::query(query).bind(oin).bind(request_id).bind(since).fetch_optional(reader.conn()).await?;
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
    since: i64,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        // One that was forgotten but not yet removed gives its place up.
        "INSERT INTO request (oin, request_id, method, body_hash, reply, event_id, at) VALUES ($1,$2,$3,$4,$5,$6,$7) \
         ON CONFLICT (oin, request_id) DO UPDATE SET method = excluded.method, body_hash = excluded.body_hash, \
         reply = excluded.reply, event_id = excluded.event_id, at = excluded.at WHERE request.at < $8",
    )
    .bind(oin)
    .bind(request_id)
    .bind(&reply.method)
    .bind(&reply.body_hash)
    .bind(&reply.reply)
    .bind(&reply.event_id)
    .bind(at)
    .bind(since)
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
