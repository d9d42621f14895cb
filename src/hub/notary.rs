//! Keeps the log's tree and signs what it has become: events that wait get their places, and at least once a second while the
//! tree grows, a checkpoint says so.
//!
//! A log signs nothing that does not hold all it signed before. What it signed last stands in a file of this node, outside the
//! database: a database that was restored from a backup, or forked, is noticed before anything is signed, and nothing more is
//! committed to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::clock::micros;
use crate::exchange::Exchange;
use crate::redact::log;
use crate::store::checkpoint::{CheckpointRow, newest_published, newest_signed};
use crate::store::tree::{size, tree, work_out};
use crate::store::{StoreError, Unfit};
use crate::telemetry::Chain;
use crate::tlog::{Checkpoint, PrivateKey, Tiles, Tree};
use crate::whole_file::{private_directory, replace};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two checkpoints of a log that grows, microseconds.
const BETWEEN: i64 = 600_000;
/// One at least every second: the look at which the last one is old enough, and the work of that look.
const _: () = assert!(BETWEEN + 2 * (PAUSE.as_micros() as i64) <= 1_000_000);

/// A log that is not signed for this long is an alarm, and so often again.
const STALE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(300);

/// Signs for a log.
pub(super) struct Notary {
    exchange: Arc<Exchange>,
    memory: Memory,
    /// What this node knows that the log signed last.
    last: Option<Checkpoint>,
}

/// Since when the log is not signed, and when that was said last.
struct Failing {
    since: Instant,
    said: Option<Instant>,
}

impl Failing {
    /// A word at first, an alarm when it lasts, and again when it goes on lasting.
    fn go_on(before: Option<Self>, error: &NotaryError) -> Self {
        let Some(mut failing) = before else {
            tracing::warn!(error = %Chain(error), "the log's tree does not grow");
            return Self { since: Instant::now(), said: None };
        };
        let due = failing.said.map_or(failing.since + STALE, |said| said + AGAIN);
        if Instant::now() >= due {
            let seconds = failing.since.elapsed().as_secs();
            tracing::error!(error = %Chain(error), seconds = log(&seconds), "ALARM: the log is not signed");
            failing.said = Some(Instant::now());
        }
        failing
    }
}

/// Why a notary can't work.
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// The file beside the database.
    #[error("{}: the last checkpoint can't be read or written", .0.display())]
    Memory(PathBuf, #[source] std::io::Error),
    /// The file is there, and not of this log.
    #[error("{}: not a checkpoint of this log under this key; if the log is a new one, remove the file", .0.display())]
    Foreign(PathBuf),
    /// Of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Notary {
    /// With what this node remembers of the log; looks at once whether the database still holds it.
    ///
    /// # Errors
    /// [`NotaryError`]; [`Unfit::Forked`] if the database does not hold what was signed.
    pub(super) async fn open(exchange: Arc<Exchange>, path: &Path) -> Result<Self, NotaryError> {
        let memory = Memory(path.to_owned());
        let last = memory.read(&exchange.log)?;
        let mut notary = Self { exchange, memory, last };
        notary.compare().await.inspect_err(|error| {
            if let NotaryError::Store(StoreError::Unfit(why @ Unfit::Forked { .. })) = error {
                tracing::error!(error = %why, "ALARM: the log is not what was signed");
            }
        })?;
        notary.sign(false).await?;
        notary.show().await?;
        Ok(notary)
    }

    /// Looks until `ended`, and then once more: what was acknowledged last has its place too. After a fork nothing more is
    /// signed, and the store takes nothing more.
    pub(super) async fn follow(mut self, mut ended: oneshot::Receiver<()>) {
        let mut failing = None;
        let mut last = false;
        while !last {
            last = tokio::time::timeout(PAUSE, &mut ended).await.is_ok();
            match self.look(last).await {
                Err(NotaryError::Store(StoreError::Unfit(why @ Unfit::Forked { .. }))) => {
                    tracing::error!(error = %why, "ALARM: the log is not what was signed");
                    self.exchange.store.distrust(why);
                    if !last {
                        drop(ended.await);
                    }
                    return;
                }
                Err(error) => failing = Some(Failing::go_on(failing, &error)),
                Ok(()) if failing.take().is_some() => tracing::info!("the log's tree grows again"),
                Ok(()) => {}
            }
        }
    }

    /// Whether the tree is the remembered one as far as that goes.
    async fn compare(&self) -> Result<(), NotaryError> {
        let Some(last) = &self.last else { return Ok(()) };
        let (signed, mut reader) = (last.tree().size, self.exchange.store.read().await?);
        let found = size(&mut reader).await?;
        if found < signed || tree(&mut reader, signed).await? != *last.tree() {
            return Err(forked(signed, found));
        }
        Ok(())
    }

    async fn look(&mut self, last: bool) -> Result<(), NotaryError> {
        while self.exchange.store.grow().await?.more {}
        self.sign(last).await
    }

    /// Signs the tree as it is, if it has grown and the last checkpoint is not too young, or is to be the last.
    async fn sign(&mut self, last: bool) -> Result<(), NotaryError> {
        let now = micros(self.exchange.clock.now());
        let mut reader = self.exchange.store.read().await?;
        let newest = newest_signed(&mut reader, self.exchange.log.public().name()).await?;
        let size = size(&mut reader).await?;
        let known = self.last.as_ref().map_or(0, |last| last.tree().size);
        let signed = newest.as_ref().map_or(0, |newest| newest.size);
        if let Some(last) = self.last.as_ref().filter(|_| size < known || signed < known) {
            // This node ended before what it signed was in the store; or the store is an older one.
            drop(reader);
            self.compare().await?;
            return self.store(last).await;
        }
        let is_young = newest.as_ref().is_some_and(|newest| (0..BETWEEN).contains(&(now - newest.at)));
        if signed > known {
            // Another node's, or this one's before it lost its file: believed when the tree says so.
            let newest = newest.as_ref().ok_or(StoreError::Inconsistent("log_checkpoint"))?;
            let checkpoint = Checkpoint::open(&newest.note, self.exchange.log.public())
                .map_err(|_| StoreError::Inconsistent("log_checkpoint"))?;
            let said = *checkpoint.tree();
            if tree(&mut reader, said.size).await? != said {
                return Err(forked(said.size, size));
            }
            self.must_follow(&mut reader, &said).await?;
            self.remember(checkpoint)?;
        }
        if size == signed || (is_young && !last) {
            return Ok(());
        }
        let tree = tree(&mut reader, size).await?;
        self.must_follow(&mut reader, &tree).await?;
        drop(reader);
        let checkpoint =
            Checkpoint::sign(&self.exchange.log, tree).ok_or(StoreError::Inconsistent("log_checkpoint"))?;
        // First the memory: what has been signed is known to this node whatever becomes of the store.
        self.remember(checkpoint.clone())?;
        self.store(&checkpoint).await
    }

    /// Stores what was signed; and shows it, unless witnesses are to sign it first.
    async fn store(&self, checkpoint: &Checkpoint) -> Result<(), NotaryError> {
        let at = micros(self.exchange.clock.now());
        let row = CheckpointRow {
            origin: self.exchange.log.public().name().to_string(),
            size: checkpoint.tree().size,
            at,
            note: checkpoint.to_bytes(),
        };
        self.exchange.store.sign_checkpoint(row.clone()).await?;
        if !self.exchange.policy.asks_witnesses() {
            self.exchange.publish_if_signed(&row).await?;
        }
        Ok(())
    }

    /// Shows what waited for witnesses that are not asked any more.
    async fn show(&self) -> Result<(), NotaryError> {
        let (mut reader, name) = (self.exchange.store.read().await?, self.exchange.log.public().name());
        let newest = newest_signed(&mut reader, name).await?;
        let published = newest_published(&mut reader, name).await?;
        drop(reader);
        match newest {
            Some(row) if published.is_none_or(|published| published.size < row.size) => {
                Ok(self.exchange.publish_if_signed(&row).await?)
            }
            _ => Ok(()),
        }
    }

    /// The tree holds all that was signed before.
    async fn must_follow(&self, reader: &mut crate::store::Reader, tree: &Tree) -> Result<(), NotaryError> {
        let Some(last) = &self.last else { return Ok(()) };
        let (signed, found) = (*last.tree(), *tree);
        let holds =
            work_out(reader, &mut Tiles::default(), move |tiles| found.follows(&signed, tiles)).await?.flatten();
        holds.map(drop).ok_or_else(|| forked(signed.size, found.size))
    }

    fn remember(&mut self, checkpoint: Checkpoint) -> Result<(), NotaryError> {
        self.memory.write(&checkpoint)?;
        self.last = Some(checkpoint);
        Ok(())
    }
}

const fn forked(signed: u64, found: u64) -> NotaryError {
    NotaryError::Store(StoreError::Unfit(Unfit::Forked { signed, found }))
}

/// The file with the last checkpoint.
struct Memory(PathBuf);

impl Memory {
    fn read(&self, key: &PrivateKey) -> Result<Option<Checkpoint>, NotaryError> {
        match std::fs::read(&self.0) {
            Ok(note) => {
                Checkpoint::open(&note, key.public()).map(Some).map_err(|_| NotaryError::Foreign(self.0.clone()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(NotaryError::Memory(self.0.clone(), error)),
        }
    }

    /// Whole and on the disk, or as it was.
    fn write(&self, checkpoint: &Checkpoint) -> Result<(), NotaryError> {
        self.try_write(&checkpoint.to_bytes()).map_err(|error| NotaryError::Memory(self.0.clone(), error))
    }

    fn try_write(&self, note: &[u8]) -> std::io::Result<()> {
        if let Some(directory) = self.0.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            private_directory(directory)?;
        }
        replace(&self.0, note)
    }
}
