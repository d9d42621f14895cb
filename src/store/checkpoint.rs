//! What the log says of its tree, what witnesses say of that, and what is published.

use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokio::sync::oneshot;

use super::session::{Session, query};
use super::tree::{Change, number, unsigned};
use super::{Reader, Store, StoreError};
use crate::tlog::Origin;

/// A published checkpoint that another has taken the place of is kept for so long, microseconds.
const KEPT: i64 = 24 * 3600 * 1_000_000;
/// One that waits to be published and has younger ones beside it, for so long.
const WAITING: i64 = 60_000_000;

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Name of the log.
    pub origin: String,
    /// Of the tree that it is about.
    pub size: u64,
    /// Microseconds.
    pub at: i64,
    /// Signed note.
    pub note: Vec<u8>,
}

/// A witness's signature under a checkpoint that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignatureRow {
    /// Name of the log.
    pub origin: String,
    /// Of the tree that the checkpoint is about.
    pub size: u64,
    /// The witness's public key.
    pub witness: String,
    /// Signature line.
    pub line: Vec<u8>,
}

/// Something said of the tree.
pub(super) enum Word {
    /// By the log.
    Signed(CheckpointRow),
    /// By a witness.
    Cosigned(CosignatureRow),
    /// To everybody.
    Published(CheckpointRow),
}

impl Store {
    /// Stores what the log signed. Another node may have signed the same tree.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign_checkpoint(&self, row: CheckpointRow) -> Result<(), StoreError> {
        self.say(Word::Signed(row)).await
    }

    /// Stores what a witness signed; once for each witness.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cosign_checkpoint(&self, row: CosignatureRow) -> Result<(), StoreError> {
        self.say(Word::Cosigned(row)).await
    }

    /// Publishes a checkpoint, with the signatures that it has. What was signed of smaller trees is superseded.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish_checkpoint(&self, row: CheckpointRow) -> Result<(), StoreError> {
        self.say(Word::Published(row)).await
    }

    async fn say(&self, word: Word) -> Result<(), StoreError> {
        let (reply, done) = oneshot::channel();
        self.change_tree(Change::Say(word, reply)).await?;
        done.await.map_err(|_| StoreError::Busy)?
    }
}

impl Word {
    pub(super) async fn write(&self, session: &mut Session) -> Result<(), StoreError> {
        match self {
            Self::Signed(row) => {
                insert(SIGNED, row, session).await?;
                // Nobody will sign them any more.
                for statement in GIVEN_UP {
                    query(statement).bind(&row.origin).bind(row.at - WAITING).execute(&mut *session).await?;
                }
                Ok(())
            }
            Self::Cosigned(row) => {
                query(
                    "INSERT INTO log_cosignature (origin, size, witness, line) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (origin, size, witness) DO NOTHING",
                )
                .bind(&row.origin)
                .bind(number(row.size))
                .bind(&row.witness)
                .bind(&row.line)
                .execute(session)
                .await?;
                Ok(())
            }
            Self::Published(row) => publish(row, session).await,
        }
    }
}

/// The signatures first: what they are under says which.
const GIVEN_UP: [&str; 2] = [
    "DELETE FROM log_cosignature WHERE origin = $1 AND size IN (SELECT size FROM log_checkpoint WHERE origin = $1 AND at < $2 \
     AND size < (SELECT MAX(size) FROM log_checkpoint WHERE origin = $1))",
    "DELETE FROM log_checkpoint WHERE origin = $1 AND at < $2 \
     AND size < (SELECT MAX(size) FROM log_checkpoint WHERE origin = $1)",
];
const SIGNED: &str = "INSERT INTO log_checkpoint (origin, size, at, note) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (origin, size) DO NOTHING";
const PUBLISHED: &str = "INSERT INTO log_published (origin, size, at, note) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (origin, size) DO NOTHING";

async fn insert(statement: &'static str, row: &CheckpointRow, session: &mut Session) -> Result<(), StoreError> {
    query(statement).bind(&row.origin).bind(number(row.size)).bind(row.at).bind(&row.note).execute(session).await?;
    Ok(())
}

async fn publish(row: &CheckpointRow, session: &mut Session) -> Result<(), StoreError> {
    query(session.engine().begin()).execute(session).await?;
    insert(PUBLISHED, row, session).await?;
    for superseded in [
        "DELETE FROM log_cosignature WHERE origin = $1 AND size <= $2",
        "DELETE FROM log_checkpoint WHERE origin = $1 AND size <= $2",
    ] {
        query(superseded).bind(&row.origin).bind(number(row.size)).execute(session).await?;
    }
    query("DELETE FROM log_published WHERE origin = $1 AND size < $2 AND at < $3")
        .bind(&row.origin)
        .bind(number(row.size))
        .bind(row.at - KEPT)
        .execute(session)
        .await?;
    query("COMMIT").execute(session).await?;
    Ok(())
}

/// The checkpoint of the largest tree that the log of this name signed.
pub async fn newest_signed(reader: &mut Reader, origin: &Origin) -> Result<Option<CheckpointRow>, StoreError> {
    let both = "SELECT size, at, note FROM (SELECT origin, size, at, note FROM log_checkpoint UNION ALL \
                SELECT origin, size, at, note FROM log_published) s WHERE origin = $1 ORDER BY size DESC LIMIT 1";
    one(reader, both, origin).await
}

/// The checkpoint of the largest tree that the log of this name shows.
pub async fn newest_published(reader: &mut Reader, origin: &Origin) -> Result<Option<CheckpointRow>, StoreError> {
    let newest = "SELECT size, at, note FROM log_published WHERE origin = $1 ORDER BY size DESC LIMIT 1";
    one(reader, newest, origin).await
}

async fn one(
    reader: &mut Reader,
    statement: &'static str,
    origin: &Origin,
) -> Result<Option<CheckpointRow>, StoreError> {
    let row = sqlx::query(statement).bind(origin.as_str()).fetch_optional(reader.conn().await?).await?;
    row.map(|row| checkpoint(&row, origin)).transpose()
}

/// A checkpoint that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The checkpoint.
    pub row: CheckpointRow,
    /// Witnesses that have signed it.
    pub signatures: i64,
}

/// Checkpoints that were signed and not published, smallest first.
pub async fn unpublished(reader: &mut Reader, origin: &Origin) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query(
        "SELECT c.size, c.at, c.note, (SELECT COUNT(*) FROM log_cosignature w WHERE w.origin = c.origin AND w.size = c.size) \
         FROM log_checkpoint c WHERE c.origin = $1 \
         AND c.size > COALESCE((SELECT MAX(size) FROM log_published WHERE origin = $1), -1) ORDER BY c.size",
    )
    .bind(origin.as_str())
    .fetch_all(reader.conn().await?)
    .await?;
    let read = |row: &AnyRow| Ok(Waiting { row: checkpoint(row, origin)?, signatures: row.try_get(3)? });
    rows.iter().map(read).collect()
}

/// When the oldest event was written that is not under a published checkpoint.
pub async fn uncovered_since(reader: &mut Reader, origin: &Origin) -> Result<Option<i64>, StoreError> {
    let conn = reader.conn().await?;
    let placed = sqlx::query(
        "SELECT e.at FROM log_leaf l JOIN audit_event e ON e.event_id = l.event_id \
         WHERE l.seq = (SELECT COALESCE(MAX(size), 0) FROM log_published WHERE origin = $1)",
    )
    .bind(origin.as_str())
    .fetch_optional(&mut *conn)
    .await?;
    let waiting =
        "SELECT e.at FROM audit_event e JOIN audit_outbox o ON o.event_id = e.event_id ORDER BY o.event_id LIMIT 1";
    let row = match placed {
        Some(row) => Some(row),
        None => sqlx::query(waiting).fetch_optional(&mut *conn).await?,
    };
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// What witnesses have signed of a tree of this size: their keys and lines.
pub async fn cosignatures(
    reader: &mut Reader,
    origin: &Origin,
    size: u64,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let rows =
        sqlx::query("SELECT witness, line FROM log_cosignature WHERE origin = $1 AND size = $2 ORDER BY witness")
            .bind(origin.as_str())
            .bind(number(size))
            .fetch_all(reader.conn().await?)
            .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn checkpoint(row: &AnyRow, origin: &Origin) -> Result<CheckpointRow, StoreError> {
    Ok(CheckpointRow {
        origin: origin.to_string(),
        size: unsigned(row.try_get(0)?, "log_checkpoint")?,
        at: row.try_get(1)?,
        note: row.try_get(2)?,
    })
}
