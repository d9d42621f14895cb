//! SQL of sealed records, their recipients and keys, and of newcomers that wait for a key.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use time::OffsetDateTime;

use super::rows::Many;
use super::session::{Session, query};
use super::{Reader, StoreError, Tx, Wake};
use crate::clock::micros;

/// A row of `record`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// UUID.
    pub record_id: String,
    /// The hub's own id of the case; `None` for articles 9 and 20.
    pub case_id: Option<String>,
    /// Code.
    pub category: String,
    /// Code.
    pub form: String,
    /// 1–40.
    pub article: i64,
    /// Purpose code.
    pub purpose: String,
    /// Who wrote it.
    pub author_oin: String,
    /// In which role.
    pub author_role: String,
    /// Third party from which the author had it.
    pub source_external: Option<String>,
    /// Schema of the content.
    pub schema: String,
    /// Recipient roles that the author asked for.
    pub roles: String,
    /// True when recipients were named one by one.
    pub named: bool,
    /// Canonical JSON.
    pub header: Vec<u8>,
    /// Ed25519.
    pub signature: Vec<u8>,
    /// Ciphertext, bytes.
    pub size: i64,
    /// Microseconds.
    pub created_at: i64,
    /// Microseconds.
    pub expires_at: Option<i64>,
}

impl RecordRow {
    /// Whether its retention is over; for its author too, and for who takes the author's place.
    pub fn has_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|end| end <= micros(now))
    }
}

/// A row of `record_recipient`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientRow {
    /// OIN.
    pub oin: String,
    /// Role code.
    pub role: String,
    /// Kind of third party, or empty.
    pub external_kind: String,
    /// Clauses under which it receives.
    pub clauses: String,
}

/// A newcomer that waits for the author's agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SealRequestRow {
    /// UUID.
    pub record_id: String,
    /// OIN of the newcomer.
    pub oin: String,
    /// Its role.
    pub role: String,
    /// Microseconds.
    pub created_at: i64,
}

pub(super) fn record(row: &AnyRow) -> Result<RecordRow, sqlx::Error> {
    Ok(RecordRow {
        record_id: row.try_get("record_id")?,
        case_id: row.try_get("case_id")?,
        category: row.try_get("category")?,
        form: row.try_get("form")?,
        article: row.try_get("article")?,
        purpose: row.try_get("purpose")?,
        author_oin: row.try_get("author_oin")?,
        author_role: row.try_get("author_role")?,
        source_external: row.try_get("source_external")?,
        schema: row.try_get("schema")?,
        roles: row.try_get("roles")?,
        named: row.try_get::<i64, _>("named")? != 0,
        header: row.try_get("header")?,
        signature: row.try_get("signature")?,
        size: row.try_get("size")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}

/// Adds a record. False if its id is taken.
pub async fn insert(tx: &mut Tx<'_>, row: &RecordRow) -> Result<bool, StoreError> {
    let done = query(
        "INSERT INTO record (record_id, case_id, category, form, article, purpose, author_oin, author_role, \
         source_external, schema, roles, named, header, signature, size, created_at, expires_at) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17) ON CONFLICT (record_id) DO NOTHING",
    )
    .bind(&row.record_id)
    .bind(row.case_id.as_deref())
    .bind(&row.category)
    .bind(&row.form)
    .bind(row.article)
    .bind(&row.purpose)
    .bind(&row.author_oin)
    .bind(&row.author_role)
    .bind(row.source_external.as_deref())
    .bind(&row.schema)
    .bind(&row.roles)
    .bind(i64::from(row.named))
    .bind(&row.header)
    .bind(&row.signature)
    .bind(row.size)
    .bind(row.created_at)
    .bind(row.expires_at)
    .execute(tx.conn().await?)
    .await?;
    Ok(done == 1)
}

/// Adds a piece of ciphertext.
pub async fn insert_chunk(tx: &mut Tx<'_>, record_id: &str, seq: i64, bytes: &[u8]) -> Result<(), StoreError> {
    query("INSERT INTO record_chunk (record_id, seq, bytes) VALUES ($1,$2,$3)")
        .bind(record_id)
        .bind(seq)
        .bind(bytes)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Adds a recipient. Nothing happens if it is one in that role already.
pub fn insert_recipient(tx: &mut Tx<'_>, record_id: &str, row: &RecipientRow, at: i64) {
    tx.recipient(record_id, row, at);
}

static RECIPIENTS: Many = Many::new(
    "INSERT INTO record_recipient (record_id, oin, role, external_kind, clauses, added_at) VALUES ",
    6,
    " ON CONFLICT (record_id, oin, role, external_kind) DO NOTHING",
    150,
);

/// Writes recipients: record, row, since when.
pub(super) async fn write_recipients(
    session: &mut Session,
    rows: &[(String, RecipientRow, i64)],
) -> Result<(), StoreError> {
    RECIPIENTS
        .execute(session, rows, |query, (record_id, row, at)| {
            query.bind(record_id).bind(&row.oin).bind(&row.role).bind(&row.external_kind).bind(&row.clauses).bind(*at)
        })
        .await?;
    Ok(())
}

/// Adds the key sealed to an organisation. The first one stays: a later one can't replace it.
pub fn insert_key(tx: &mut Tx<'_>, record_id: &str, oin: &str, message: &[u8]) {
    tx.key(record_id, oin, message);
}

static KEYS: Many = Many::new(
    "INSERT INTO record_key (record_id, oin, message) VALUES ",
    3,
    " ON CONFLICT (record_id, oin) DO NOTHING",
    1_400,
);

/// Writes sealed keys: record, organisation, message.
pub(super) async fn write_keys(session: &mut Session, rows: &[(String, String, Vec<u8>)]) -> Result<(), StoreError> {
    KEYS.execute(session, rows, |query, (record_id, oin, message)| query.bind(record_id).bind(oin).bind(message))
        .await?;
    Ok(())
}

/// A record by id.
pub async fn find(reader: &mut Reader, record_id: &str) -> Result<Option<RecordRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM record WHERE record_id = $1")
        .bind(record_id)
        .fetch_optional(reader.conn().await?)
        .await?;
    Ok(row.as_ref().map(record).transpose()?)
}

/// The records that an inbox tells of after a place up to another, as far as the organisation wrote them or is a recipient.
pub async fn announced(reader: &mut Reader, oin: &str, after: i64, last: i64) -> Result<Vec<RecordRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT r.* FROM inbox_item i JOIN record r ON r.record_id = i.record_id \
         WHERE i.oin = $1 AND i.seq > $2 AND i.seq <= $3 AND (r.author_oin = $1 OR EXISTS \
         (SELECT 1 FROM record_recipient p WHERE p.record_id = r.record_id AND p.oin = $1))",
    )
    .bind(oin)
    .bind(after)
    .bind(last)
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter().map(|row| record(row).map_err(StoreError::from)).collect()
}

/// In which roles an organisation is a recipient.
pub async fn recipients(reader: &mut Reader, record_id: &str) -> Result<Vec<RecipientRow>, StoreError> {
    let rows = sqlx::query("SELECT oin, role, external_kind, clauses FROM record_recipient WHERE record_id = $1")
        .bind(record_id)
        .fetch_all(reader.conn().await?)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(RecipientRow {
                oin: row.try_get("oin")?,
                role: row.try_get("role")?,
                external_kind: row.try_get("external_kind")?,
                clauses: row.try_get("clauses")?,
            })
        })
        .collect()
}

/// The key sealed to an organisation.
pub async fn key(reader: &mut Reader, record_id: &str, oin: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row = sqlx::query("SELECT message FROM record_key WHERE record_id = $1 AND oin = $2")
        .bind(record_id)
        .bind(oin)
        .fetch_optional(reader.conn().await?)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// One piece of ciphertext.
pub async fn chunk(reader: &mut Reader, record_id: &str, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let row = sqlx::query("SELECT bytes FROM record_chunk WHERE record_id = $1 AND seq = $2")
        .bind(record_id)
        .bind(seq)
        .fetch_optional(reader.conn().await?)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Records of a case that the organisation is a recipient of in this role, or wrote, oldest first.
pub async fn list(
    reader: &mut Reader,
    case_id: &str,
    oin: &str,
    role: &str,
    after: (i64, &str),
    limit: i64,
) -> Result<Vec<RecordRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT r.* FROM record r WHERE r.case_id = $1 AND (r.author_oin = $2 OR EXISTS (SELECT 1 FROM record_recipient p \
         WHERE p.record_id = r.record_id AND p.oin = $2 AND p.role = $3)) \
         AND (r.created_at > $4 OR (r.created_at = $4 AND r.record_id > $5)) \
         ORDER BY r.created_at, r.record_id LIMIT $6",
    )
    .bind(case_id)
    .bind(oin)
    .bind(role)
    .bind(after.0)
    .bind(after.1)
    .bind(limit)
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter().map(|row| record(row).map_err(StoreError::from)).collect()
}

/// Records of a case that may be opened to newcomers: not addressed by name, not expired. Newest first, at most 500.
pub async fn open_to_newcomers(reader: &mut Reader, case_id: &str, now: i64) -> Result<Vec<RecordRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM record WHERE case_id = $1 AND named = 0 AND (expires_at IS NULL OR expires_at > $2) \
         ORDER BY created_at DESC LIMIT 500",
    )
    .bind(case_id)
    .bind(now)
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter().map(|row| record(row).map_err(StoreError::from)).collect()
}

/// Puts a newcomer on the author's list.
pub async fn request_seal(
    tx: &mut Tx<'_>,
    author: &str,
    record_id: &str,
    oin: &str,
    role: &str,
    at: i64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO seal_request (record_id, oin, role, author_oin, created_at) VALUES ($1,$2,$3,$4,$5) \
         ON CONFLICT (record_id, oin, role) DO NOTHING",
    )
    .bind(record_id)
    .bind(oin)
    .bind(role)
    .bind(author)
    .bind(at)
    .execute(tx.conn().await?)
    .await?;
    tx.wake(Wake::Seal(author.to_owned()));
    Ok(())
}

/// Takes a newcomer off the list, in the role in which it was added.
pub async fn seal_done(tx: &mut Tx<'_>, record_id: &str, oin: &str, role: &str) -> Result<(), StoreError> {
    query("DELETE FROM seal_request WHERE record_id = $1 AND oin = $2 AND role = $3")
        .bind(record_id)
        .bind(oin)
        .bind(role)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Takes an organisation whose role in a case ended off every author's list, in that role.
pub async fn drop_requests(tx: &mut Tx<'_>, case_id: &str, oin: &str, role: &str) -> Result<(), StoreError> {
    query(
        "DELETE FROM seal_request WHERE oin = $2 AND role = $3 \
         AND record_id IN (SELECT record_id FROM record WHERE case_id = $1)",
    )
    .bind(case_id)
    .bind(oin)
    .bind(role)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// Whether an organisation waits for a record in this role.
pub async fn waits(reader: &mut Reader, record_id: &str, oin: &str, role: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT 1 FROM seal_request WHERE record_id = $1 AND oin = $2 AND role = $3")
        .bind(record_id)
        .bind(oin)
        .bind(role)
        .fetch_optional(reader.conn().await?)
        .await?;
    Ok(row.is_some())
}

/// Newcomers that wait for this author, oldest first: `limit` of them after one of them.
pub async fn seal_requests(
    reader: &mut Reader,
    author: &str,
    after: Option<&SealRequestRow>,
    limit: i64,
) -> Result<Vec<SealRequestRow>, StoreError> {
    let (at, record, oin, role) =
        after.map_or((i64::MIN, "", "", ""), |row| (row.created_at, &*row.record_id, &*row.oin, &*row.role));
    let rows = sqlx::query(
        "SELECT record_id, oin, role, created_at FROM seal_request WHERE author_oin = $1 \
         AND (created_at, record_id, oin, role) > ($2, $3, $4, $5) ORDER BY created_at, record_id, oin, role LIMIT $6",
    )
    .bind(author)
    .bind(at)
    .bind(record)
    .bind(oin)
    .bind(role)
    .bind(limit)
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(SealRequestRow {
                record_id: row.try_get("record_id")?,
                oin: row.try_get("oin")?,
                role: row.try_get("role")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}
