//! SQL of remembered replies: a request id that comes again has no second effect (AIP-155).

use sqlx::Row as _;

use super::rows::Many;
use super::session::{Session, query};
use super::{Reader, StoreError};

/// A request id of an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Who asked.
    pub oin: String,
    /// UUID, chosen by the caller.
    pub request_id: String,
    /// A reply before this moment, in microseconds, is forgotten.
    pub since: i64,
}

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

/// What was replied to this request id.
pub async fn find(reader: &mut Reader, key: &Key) -> Result<Option<Remembered>, StoreError> {
    let query =
        "SELECT method, body_hash, reply, event_id FROM request WHERE oin = $1 AND request_id = $2 AND at >= $3";
    let row = sqlx::query(query)
        .bind(&key.oin)
        .bind(&key.request_id)
        .bind(key.since)
        .fetch_optional(reader.conn().await?)
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

static REMEMBER: Many = Many::new(
    "INSERT INTO request (oin, request_id, method, body_hash, reply, event_id, at) VALUES ",
    7,
    " ON CONFLICT (oin, request_id) DO UPDATE SET method = excluded.method, body_hash = excluded.body_hash, \
     reply = excluded.reply, event_id = excluded.event_id, at = excluded.at",
    3_000,
);

/// Remembers replies. That each id is new, or so old that it counts as forgotten, this transaction has seen under a lock.
pub(super) async fn write(session: &mut Session, rows: &[(Key, Remembered, i64)]) -> Result<(), StoreError> {
    REMEMBER
        .execute(session, rows, |query, (key, reply, at)| {
            query
                .bind(&key.oin)
                .bind(&key.request_id)
                .bind(&reply.method)
                .bind(&reply.body_hash)
                .bind(&reply.reply)
                .bind(&reply.event_id)
                .bind(*at)
        })
        .await?;
    Ok(())
}

/// Forgets replies older than `before`, a thousand at most.
pub(super) async fn forget(session: &mut Session, before: i64) -> Result<(), StoreError> {
    query("DELETE FROM request WHERE at < $1 AND (oin, request_id) IN (SELECT oin, request_id FROM request WHERE at < $1 LIMIT 1000)")
        .bind(before)
        .execute(session)
        .await?;
    Ok(())
}
