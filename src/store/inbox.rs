//! SQL of the inboxes: one ordered list per organisation.

use sqlx::Row as _;

use super::{Reader, StoreError, Tx, Wake};

/// An item as it is stored.
#[derive(Debug, Clone)]
pub struct Item {
    /// Position in the organisation's inbox, from 1.
    pub seq: i64,
    /// The hub's own id of the case.
    pub case_id: Option<String>,
    /// Set for a record.
    pub record_id: Option<String>,
    /// The recipient's role that the item belongs to; empty: none.
    pub role: String,
    /// Encoded `sluis.v1.InboxItem` without cursor, case name and record.
    pub message: Vec<u8>,
    /// Microseconds.
    pub created_at: i64,
}

/// A new item, before it has a place.
pub struct NewItem<'a> {
    /// OIN of the organisation.
    pub oin: &'a str,
    /// The hub's own id of the case.
    pub case_id: Option<&'a str>,
    /// Set for a record.
    pub record_id: Option<&'a str>,
    /// The recipient's role that the item belongs to; empty: none.
    pub role: &'a str,
    /// Encoded `sluis.v1.InboxItem`.
    pub message: Vec<u8>,
    /// Microseconds.
    pub at: i64,
}

/// Puts an item at the end of an inbox. The head row gives places without gaps.
pub async fn push(tx: &mut Tx<'_>, item: NewItem<'_>) -> Result<(), StoreError> {
    let row = sqlx::query(
        "INSERT INTO inbox_head (oin, seq, acked) VALUES ($1, 1, 0) \
         ON CONFLICT (oin) DO UPDATE SET seq = inbox_head.seq + 1 RETURNING seq",
    )
    .bind(item.oin)
    .fetch_one(&mut *tx.conn)
    .await?;
    let seq: i64 = row.try_get(0)?;
    sqlx::query(
        "INSERT INTO inbox_item (oin, seq, case_id, record_id, role, message, created_at) VALUES ($1,$2,$3,$4,$5,$6,$7)",
    )
    .bind(item.oin)
    .bind(seq)
    .bind(item.case_id)
    .bind(item.record_id)
    .bind(item.role)
    .bind(item.message)
    .bind(item.at)
    .execute(&mut *tx.conn)
    .await?;
    tx.wake(Wake::Inbox(item.oin.to_owned()));
    Ok(())
}

/// The last place given out and the last one acknowledged.
pub async fn head(reader: &mut Reader, oin: &str) -> Result<(i64, i64), StoreError> {
    let row =
        sqlx::query("SELECT seq, acked FROM inbox_head WHERE oin = $1").bind(oin).fetch_optional(reader.conn()).await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.try_get("seq")?, row.try_get("acked")?)))
}

/// Items after a place, in order.
pub async fn after(reader: &mut Reader, oin: &str, seq: i64, limit: i64) -> Result<Vec<Item>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, case_id, record_id, role, message, created_at FROM inbox_item \
         WHERE oin = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(oin)
    .bind(seq)
    .bind(limit)
    .fetch_all(reader.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Item {
                seq: row.try_get("seq")?,
                case_id: row.try_get("case_id")?,
                record_id: row.try_get("record_id")?,
                role: row.try_get("role")?,
                message: row.try_get("message")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}

/// Says that everything up to `seq` has arrived. Never goes back.
pub async fn acknowledge(tx: &mut Tx<'_>, oin: &str, seq: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE inbox_head SET acked = $2 WHERE oin = $1 AND acked < $2 AND seq >= $2")
        .bind(oin)
        .bind(seq)
        .execute(&mut *tx.conn)
        .await?;
    Ok(())
}
