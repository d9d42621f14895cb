//! The tree over the audit log: events that wait get their places, in the order in which that happens.
//!
//! A commit never waits for it. One node at a time lets the tree grow, by the lock of the row that says how large it is; it
//! may end at any point, and the next one goes on from there.

use sqlx::Row as _;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::checkpoint::Word;
use super::engine::{Access, Engine};
use super::rows::Many;
use super::session::{Session, query};
use super::writer::{Chore, Chores};
use super::{Reader, Store, StoreError, scrub};
use crate::clock::micros;
use crate::tlog::{Edge, FULL, Missing, Place, Tiles, Tree, record_hash};

/// Leaves in one transaction.
const ROUND: i64 = 1024;

/// How far the tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Leaves that got a place now.
    pub placed: usize,
    /// Whether more are likely to wait.
    pub more: bool,
}

/// Whoever changes the tree on this node: the writer's own thread for a file, which has one writer; a session of its own on a
/// server.
pub(super) enum Keeper {
    Writer(Chores),
    Own(Box<Mutex<Option<Session>>>, Access),
}

impl Keeper {
    /// With what the writer is to do for it.
    pub(super) fn new(access: &Access) -> (Self, mpsc::Receiver<Chore>) {
        let (chores, to_do) = mpsc::channel(1);
        let keeper = match access.engine() {
            Engine::Sqlite => Self::Writer(chores),
            Engine::Postgres => Self::Own(Box::default(), access.clone()),
        };
        (keeper, to_do)
    }
}

/// A change of the tree's tables.
pub(super) enum Change {
    /// Events that wait get their places.
    Grow(oneshot::Sender<Result<Progress, StoreError>>),
    /// What the log or a witness says of it is stored.
    Say(Word, oneshot::Sender<Result<(), StoreError>>),
    /// What was overwritten goes from the write-ahead log, at this moment.
    Scrub(i64, oneshot::Sender<Result<bool, StoreError>>),
    /// A file is written anew without what was erased, at this moment.
    Rewrite(i64, oneshot::Sender<Result<(), StoreError>>),
}

impl Store {
    /// Gives events that wait their places, at most a bounded number of them.
    ///
    /// # Errors
    /// [`StoreError`]. Nothing changed, or all of it did: the next call finds out.
    pub async fn grow(&self) -> Result<Progress, StoreError> {
        let (reply, done) = oneshot::channel();
        self.change_tree(Change::Grow(reply)).await?;
        done.await.map_err(|_| StoreError::Busy)?
    }

    /// Empties the write-ahead log of a file, and says whether that could be done now. A server's is seen to by
    /// `sluis hub scrub`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn scrub(&self) -> Result<bool, StoreError> {
        let (reply, done) = oneshot::channel();
        self.change_tree(Change::Scrub(micros(self.clock.now()), reply)).await?;
        done.await.map_err(|_| StoreError::Busy)?
    }

    /// Writes a file anew without what was erased; commits wait meanwhile. A server's is seen to by `sluis hub scrub`.
    ///
    /// # Errors
    /// [`StoreError`], a disk without room for it above all. Then the file is as it was.
    pub async fn rewrite(&self) -> Result<(), StoreError> {
        let (reply, done) = oneshot::channel();
        self.change_tree(Change::Rewrite(micros(self.clock.now()), reply)).await?;
        done.await.map_err(|_| StoreError::Busy)?
    }

    pub(super) async fn change_tree(&self, change: Change) -> Result<(), StoreError> {
        match &self.keeper {
            Keeper::Writer(chores) => chores.send(Chore(change)).await.map_err(|_| StoreError::Busy),
            Keeper::Own(own, access) => {
                let mut own = own.lock().await;
                let mut session = match own.take() {
                    Some(session) => session,
                    None => Session::open(access).await?,
                };
                if perform(&mut session, change).await {
                    *own = Some(session);
                } else {
                    session.close_hard().await;
                }
                Ok(())
            }
        }
    }
}

/// Carries out a change and says whether the session can still be used.
pub(super) async fn perform(session: &mut Session, change: Change) -> bool {
    // Whoever asked may have gone; the change is made all the same.
    match change {
        Change::Grow(reply) => {
            let grown = grow(session).await;
            let usable = grown.is_ok();
            drop(reply.send(grown));
            usable
        }
        Change::Scrub(now, reply) => {
            let scrubbed = scrub::empty(session, now).await;
            let usable = scrubbed.is_ok();
            drop(reply.send(scrubbed));
            usable
        }
        Change::Rewrite(now, reply) => {
            let rewritten = scrub::rewrite(session, now).await;
            let usable = rewritten.is_ok();
            drop(reply.send(rewritten));
            usable
        }
        Change::Say(word, reply) => {
            let said = word.write(session).await;
            let usable = said.is_ok();
            drop(reply.send(said));
            usable
        }
    }
}

async fn grow(session: &mut Session) -> Result<Progress, StoreError> {
    // A look without a lock first: most of the time nothing waits.
    if query("SELECT 1 FROM audit_outbox LIMIT 1").fetch_optional(session).await?.is_none() {
        return Ok(Progress { placed: 0, more: false });
    }
    query(session.engine().begin()).execute(session).await?;
    let Some(head) = query(head(session.engine())).fetch_optional(session).await? else {
        // Another node is at it.
        query("ROLLBACK").execute(session).await?;
        return Ok(Progress { placed: 0, more: false });
    };
    let next = head.number(0)?;
    let mut edge = edge_of(session, unsigned(next, "log_head")?).await?;
    let waiting = place_waiting(session, next).await?;
    let grown = edge.grow(waiting.iter().map(|leaf| record_hash(leaf)));
    TILES
        .execute(session, &grown, |query, ((level, place), hashes)| {
            query.bind(i64::from(*level)).bind(number(*place)).bind(hashes)
        })
        .await?;
    query("UPDATE log_head SET size = $1 WHERE id = 1").bind(number(edge.size())).execute(session).await?;
    query("COMMIT").execute(session).await?;
    let placed = waiting.len();
    Ok(Progress { placed, more: i64::try_from(placed).unwrap_or(ROUND) >= ROUND })
}

static TILES: Many = Many::new(
    "INSERT INTO log_tile (level, place, hashes) VALUES ",
    3,
    " ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes",
    8_300,
);

/// A file has one writer; on a server whoever comes second passes by.
const fn head(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "SELECT size FROM log_head WHERE id = 1",
        Engine::Postgres => "SELECT size FROM log_head WHERE id = 1 FOR UPDATE SKIP LOCKED",
    }
}

/// Gives events that wait the places from `next` on, by their names, which begin with their time; and gives their leaves in
/// that order.
async fn place_waiting(session: &mut Session, next: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows = match session.engine() {
        // An event of a smaller name may be committed at any moment: exactly what was taken is placed.
        Engine::Postgres => {
            query(
                "WITH taken AS (DELETE FROM audit_outbox WHERE event_id IN (SELECT event_id FROM audit_outbox \
                 ORDER BY event_id LIMIT $1) RETURNING event_id), \
                 placed AS (INSERT INTO log_leaf (seq, event_id) SELECT $2 + ROW_NUMBER() OVER (ORDER BY event_id) - 1, \
                 event_id FROM taken RETURNING seq, event_id) \
                 SELECT e.leaf FROM placed p LEFT JOIN audit_event e ON e.event_id = p.event_id ORDER BY p.seq",
            )
            .bind(ROUND)
            .bind(next)
            .fetch_all(session)
            .await?
        }
        Engine::Sqlite => {
            query(
                "INSERT INTO log_leaf (seq, event_id) SELECT $2 + ROW_NUMBER() OVER (ORDER BY event_id) - 1, event_id \
                 FROM audit_outbox ORDER BY event_id LIMIT $1",
            )
            .bind(ROUND)
            .bind(next)
            .execute(session)
            .await?;
            query(
                "DELETE FROM audit_outbox WHERE event_id <= (SELECT event_id FROM log_leaf ORDER BY seq DESC LIMIT 1)",
            )
            .execute(session)
            .await?;
            query(
                "SELECT e.leaf FROM log_leaf l LEFT JOIN audit_event e ON e.event_id = l.event_id WHERE l.seq >= $1 \
                 ORDER BY l.seq",
            )
            .bind(next)
            .fetch_all(session)
            .await?
        }
    };
    rows.iter().map(|row| row.bytes(0)).collect()
}

async fn edge_of(session: &mut Session, size: u64) -> Result<Edge, StoreError> {
    let mut tiles = std::collections::HashMap::new();
    for (level, place) in Edge::places(size) {
        let row = query(TILE).bind(i64::from(level)).bind(number(place)).fetch_optional(session).await?;
        if let Some(row) = row {
            tiles.insert((level, place), row.bytes(0)?);
        }
    }
    Edge::from_tiles(size, |place| tiles.remove(&place)).ok_or(StoreError::Inconsistent("log_tile"))
}

const TILE: &str = "SELECT hashes FROM log_tile WHERE level = $1 AND place = $2";

/// As a column holds it. No log comes near the end of it.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64, table: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Inconsistent(table))
}

/// Number of leaves in the tree.
pub async fn size(reader: &mut Reader) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT size FROM log_head WHERE id = 1").fetch_one(reader.conn().await?).await?;
    unsigned(row.try_get(0)?, "log_head")
}

/// A tile, or as much as there is of it.
pub async fn tile(reader: &mut Reader, (level, place): Place) -> Result<Option<Vec<u8>>, StoreError> {
    let row = sqlx::query(TILE).bind(i64::from(level)).bind(number(place)).fetch_optional(reader.conn().await?).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Works something out with the tiles that it takes. `None`: there is no such tree.
pub async fn work_out<T: Send>(
    reader: &mut Reader,
    tiles: &mut Tiles,
    work: impl Fn(&Tiles) -> Result<T, Missing> + Send,
) -> Result<Option<T>, StoreError> {
    loop {
        let places = match work(tiles) {
            Ok(found) => return Ok(Some(found)),
            Err(Missing::Tiles(places)) => places,
            Err(Missing::Impossible) => return Ok(None),
        };
        for place in places {
            // One that is not stored is added as empty: it is not asked for twice.
            let hashes = tile(reader, place).await?.unwrap_or_default();
            tiles.add(place, hashes);
        }
    }
}

/// The tree as it was at this size.
pub async fn tree(reader: &mut Reader, size: u64) -> Result<Tree, StoreError> {
    Ok(Tree { size, root: edge(reader, size).await?.root() })
}

/// The edge of the tree as it was at this size. A tile that has grown since begins as it was.
async fn edge(reader: &mut Reader, size: u64) -> Result<Edge, StoreError> {
    let mut tiles = std::collections::HashMap::new();
    for place in Edge::places(size) {
        if let Some(hashes) = tile(reader, place).await? {
            tiles.insert(place, hashes);
        }
    }
    Edge::from_tiles(size, |place| tiles.remove(&place)).ok_or(StoreError::Inconsistent("log_tile"))
}

/// Place of an event in the tree; `None` while it waits for one.
pub async fn place(reader: &mut Reader, event_id: &str) -> Result<Option<u64>, StoreError> {
    let row = sqlx::query("SELECT seq FROM log_leaf WHERE event_id = $1")
        .bind(event_id)
        .fetch_optional(reader.conn().await?)
        .await?;
    row.map(|row| unsigned(row.try_get(0)?, "log_leaf")).transpose()
}

/// An event and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Place in the tree; `None` while it waits for one.
    pub place: Option<u64>,
    /// What stands there.
    pub leaf: Vec<u8>,
    /// JSON array of disclosures.
    pub disclosures: Vec<u8>,
    /// OIN of the organisation that asked.
    pub organisation: String,
    /// OIN of the organisation whose data it concerns.
    pub source: String,
    /// Reason code.
    pub reason: String,
}

/// An event, if it is one that concerns the organisation `scope`, or an answer to this very key: who called as a stranger may be
/// registered since. An erasure concerns everybody who was told its name: it says of which events to those alone who know theirs,
/// and whom those concerned nobody may know any more.
pub async fn standing(
    reader: &mut Reader,
    event_id: &str,
    scope: Option<&str>,
    key_hash: &str,
) -> Result<Option<Standing>, StoreError> {
    let row = sqlx::query(
        "SELECT l.seq, e.leaf, e.disclosures, e.req_oin, e.src_oin, e.reason FROM audit_event e LEFT JOIN log_leaf l ON l.event_id = e.event_id \
         WHERE e.event_id = $1 AND ($2 = '' OR e.key_hash = $3 OR EXISTS (SELECT 1 FROM audit_event_party p \
         WHERE p.oin = $2 AND p.at = e.at AND p.event_id = e.event_id) \
         OR EXISTS (SELECT 1 FROM audit_erasure a WHERE a.erased_by = e.event_id))",
    )
    .bind(event_id)
    .bind(scope.unwrap_or_default())
    .bind(key_hash)
    .fetch_optional(reader.conn().await?)
    .await?;
    row.map(|row| {
        let place: Option<i64> = row.try_get(0)?;
        Ok(Standing {
            place: place.map(|place| unsigned(place, "log_leaf")).transpose()?,
            leaf: row.try_get(1)?,
            disclosures: row.try_get(2)?,
            organisation: row.try_get(3)?,
            source: row.try_get(4)?,
            reason: row.try_get(5)?,
        })
    })
    .transpose()
}

/// Leaves under a tile of level 0, from its start; fewer where there are not so many.
pub async fn entries(reader: &mut Reader, tile: u64, count: usize) -> Result<Vec<Vec<u8>>, StoreError> {
    let from = number(tile.saturating_mul(FULL as u64));
    let rows = sqlx::query(
        "SELECT e.leaf FROM log_leaf l JOIN audit_event e ON e.event_id = l.event_id \
         WHERE l.seq >= $1 AND l.seq < $2 ORDER BY l.seq",
    )
    .bind(from)
    .bind(from.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)))
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
