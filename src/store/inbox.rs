//! SQL of the inboxes: one ordered list per organisation.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row as _;

use super::rows::Many;
use super::session::Session;
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
#[derive(Debug, Clone)]
pub struct NewItem {
    /// OIN of the organisation.
    pub oin: String,
    /// The hub's own id of the case.
    pub case_id: Option<String>,
    /// Set for a record.
    pub record_id: Option<String>,
    /// The recipient's role that the item belongs to; empty: none.
    pub role: String,
    /// Encoded `sluis.v1.InboxItem`.
    pub message: Vec<u8>,
    /// Microseconds.
    pub at: i64,
}

/// Puts an item at the end of an inbox.
pub fn push(tx: &mut Tx<'_>, item: NewItem) {
    tx.wake(Wake::Inbox(item.oin.clone()));
    tx.push(item);
}

/// Says that everything up to `seq` has arrived. Never goes back, nor ahead of what was given out.
pub fn acknowledge(tx: &mut Tx<'_>, oin: &str, seq: i64) {
    tx.acknowledge(oin, seq);
}

static HEADS: Many = Many::new(
    "INSERT INTO inbox_head (oin, seq, acked) VALUES ",
    3,
    " ON CONFLICT (oin) DO UPDATE SET seq = inbox_head.seq + excluded.seq, \
     acked = CASE WHEN excluded.acked > inbox_head.acked AND excluded.acked <= inbox_head.seq THEN excluded.acked \
     ELSE inbox_head.acked END RETURNING oin, seq",
    50,
);
static ITEMS: Many =
    Many::new("INSERT INTO inbox_item (oin, seq, case_id, record_id, role, message, created_at) VALUES ", 7, "", 400);

/// Gives new items their places and moves what was acknowledged. A head row gives places without gaps, and holds off other
/// nodes until the commit; everybody takes the rows in the same order, so nobody waits in a circle.
pub(super) async fn write(
    session: &mut Session,
    items: Vec<NewItem>,
    acks: &[(String, i64)],
) -> Result<(), StoreError> {
    let mut heads: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for item in &items {
        heads.entry(&item.oin).or_default().0 += 1;
    }
    for (oin, seq) in acks {
        let acked = &mut heads.entry(oin).or_default().1;
        *acked = (*acked).max(*seq);
    }
    let counts: Vec<(&str, i64, i64)> = heads.into_iter().map(|(oin, (new, acked))| (oin, new, acked)).collect();
    let rows =
        HEADS.fetch(session, &counts, |query, (oin, new, acked)| query.bind(*oin).bind(*new).bind(*acked)).await?;
    let mut last: HashMap<String, i64> = HashMap::new();
    for row in rows {
        last.insert(row.text(0)?, row.number(1)?);
    }
    let mut next: HashMap<&str, i64> = HashMap::new();
    for (oin, new, _) in counts {
        let last = last.get(oin).ok_or(StoreError::Inconsistent("inbox_head"))?;
        next.insert(oin, last - new);
    }
    let mut placed = Vec::with_capacity(items.len());
    for item in &items {
        let seq = next.get_mut(item.oin.as_str()).ok_or(StoreError::Inconsistent("inbox_head"))?;
        *seq += 1;
        placed.push((*seq, item));
    }
    ITEMS
        .execute(session, &placed, |query, (seq, item)| {
            query
                .bind(&item.oin)
                .bind(*seq)
                .bind(item.case_id.as_deref())
                .bind(item.record_id.as_deref())
                .bind(&item.role)
                .bind(&item.message)
                .bind(item.at)
        })
        .await?;
    Ok(())
}

/// The last place given out and the last one acknowledged.
pub async fn head(reader: &mut Reader, oin: &str) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query("SELECT seq, acked FROM inbox_head WHERE oin = $1")
        .bind(oin)
        .fetch_optional(reader.conn().await?)
        .await?;
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
    .fetch_all(reader.conn().await?)
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

/// The cases of items after a place up to another, with their revisions now.
pub async fn cases(reader: &mut Reader, oin: &str, after: i64, last: i64) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT c.case_id, c.rev FROM inbox_item i JOIN case_file c ON c.case_id = i.case_id \
         WHERE i.oin = $1 AND i.seq > $2 AND i.seq <= $3",
    )
    .bind(oin)
    .bind(after)
    .bind(last)
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
