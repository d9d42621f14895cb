//! Grouped commits: what arrived while the last commit ran goes into the next one. No timer, a bounded group.
//!
//! ```text
//! locks (PostgreSQL) → revisions read once → each unit: checked, run → what was only added, written together → COMMIT
//! ```
//!
//! A unit that changes its mind takes nothing of its neighbours with it. When a statement fails the group as a whole, each
//! unit is tried once more alone. When the connection is lost, the group is tried once more on a new one; and when it was
//! lost at COMMIT, the log is asked first whether the commit happened, so that nothing is done twice and nobody is told
//! of a failure that was none.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::engine::{Access, Engine};
use super::event::EventRow;
use super::notify::Announcer;
use super::picture::{Picture, group_lock};
use super::session::{Session, query};
use super::tree::{self, Change};
use super::tx::{Added, Seen, Tx, Wake, Work, WorkError};
use super::{CommitError, Committed, StoreError, event, request};
use crate::audit::{Event, Outcome, Stamp, Verdict};
use crate::tlog::{Hash, Together};

/// Units in one commit, at most.
const GROUP: usize = 128;
/// A group that takes longer has lost its database.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often replies that nobody may ask for any more are removed.
const FORGET: Duration = Duration::from_secs(60);

pub(super) type Running<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A unit of work whose type is forgotten.
pub(super) trait Unit: Send + Sync {
    /// What its decision rested on.
    fn seen(&self) -> Seen;
    /// Runs it and adds its event to the batch.
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Running<'a, Result<(), WorkError>>;
    /// UUID of its event.
    fn event_id(&self) -> &str;
    /// Nobody waits for it any more, and nobody was refused by it.
    fn is_given_up(&self) -> bool;
    /// When it is, microseconds, and what of it will stand in the tree, once it has run.
    fn entry(&self) -> Option<(i64, Hash)>;
    /// Tells the caller, after the commit: what was committed together, and its place in that.
    fn tell(self: Box<Self>, outcome: Result<(Arc<Together>, u64), CommitError>);
}

/// A unit of work, its verdict and stamp, and the caller that waits.
pub(super) struct Pending<W: Work> {
    work: W,
    verdict: Verdict,
    stamp: Stamp,
    /// What it returned, and what will stand in the tree.
    output: Option<(W::Output, Hash)>,
    /// What it adds, where that was found out before its turn.
    rehearsed: Option<Added>,
    reply: oneshot::Sender<Result<Committed<W::Output>, CommitError>>,
}

/// Where the caller waits.
pub(super) type Reply<T> = oneshot::Receiver<Result<Committed<T>, CommitError>>;

impl<W: Work> Pending<W> {
    pub(super) fn new(work: W, verdict: Verdict, stamp: Stamp) -> (Self, Reply<W::Output>) {
        let (reply, receiver) = oneshot::channel();
        (Self { work, verdict, stamp, output: None, rehearsed: None, reply }, receiver)
    }

    /// Carries the work out before its turn, if it needs no look at the database: what callers do side by side, the one
    /// writer need not do in a row. Whether its facts still hold is found out at its turn all the same.
    pub(super) async fn rehearse(&mut self) {
        let mut tx = Tx::new(None, &self.stamp.event_id, self.work.seen().changes);
        if self.perform(&mut tx).await.is_ok() {
            self.rehearsed = Some(tx.added);
        }
    }

    async fn perform(&mut self, tx: &mut Tx<'_>) -> Result<(), WorkError> {
        let (output, draft) = self.work.run(tx).await?;
        let mut verdict = self.verdict.clone();
        if let Some(reason) = draft.reported {
            verdict.outcome = Outcome::Refused(reason);
        }
        let row = EventRow::new(Event { draft, verdict, stamp: self.stamp.clone() });
        self.output = Some((output, row.entry()));
        tx.added.batch.events.push(row);
        Ok(())
    }
}

impl<W: Work> Unit for Pending<W> {
    fn seen(&self) -> Seen {
        self.work.seen()
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Running<'a, Result<(), WorkError>> {
        Box::pin(async move {
            // A second attempt carries it out again.
            let Some(added) = self.rehearsed.take() else { return self.perform(tx).await };
            tx.added = added;
            Ok(())
        })
    }

    fn event_id(&self) -> &str {
        &self.stamp.event_id
    }

    fn is_given_up(&self) -> bool {
        // Who was refused has been refused, whether it listens or not.
        self.reply.is_closed() && self.verdict.outcome == Outcome::Allowed
    }

    fn entry(&self) -> Option<(i64, Hash)> {
        self.output.as_ref().map(|(_, entry)| (self.stamp.at, *entry))
    }

    fn tell(self: Box<Self>, outcome: Result<(Arc<Together>, u64), CommitError>) {
        let Self { output, stamp, reply, .. } = *self;
        let answer = outcome.and_then(|(together, place)| match output {
            Some((output, _)) => Ok(Committed { output, event_id: stamp.event_id, together, place }),
            None => Err(StoreError::Busy.into()),
        });
        // A caller that has gone away learns the outcome by repeating its request id.
        drop(reply.send(answer));
    }
}

type Outcomes = Vec<Result<(), CommitError>>;

/// How a group went, one outcome per unit, and whom to wake.
#[derive(Default)]
struct Done {
    outcomes: Outcomes,
    woken: Vec<Wake>,
}

/// Why a group did not get through.
struct Failed {
    error: StoreError,
    /// Set when COMMIT was sent: it may have happened all the same.
    at_commit: Option<Done>,
}

impl<E: Into<StoreError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), at_commit: None }
    }
}

/// Resolves when nothing more is to be taken.
pub(super) type LastOrders = oneshot::Receiver<()>;

/// Something that is nobody's act and is done between two groups: a change of the tree, in a store that has one writer.
pub(super) struct Chore(pub(super) Change);

/// Where chores are handed in.
pub(super) type Chores = mpsc::Sender<Chore>;

/// The one that commits.
pub(super) struct Writer {
    access: Access,
    session: Option<Session>,
    announcer: Announcer,
    forgot: Instant,
}

impl Writer {
    pub(super) fn new(access: Access, announcer: Announcer) -> Self {
        Self { access, session: None, announcer, forgot: Instant::now() }
    }

    /// Starts it, on a thread of its own: what comes back from the database is taken up at once, and not after whatever
    /// calls the runtime has to see to first, with all callers of the group waiting. It ends when the store is dropped.
    pub(super) fn start(
        self,
        queue: mpsc::Receiver<Box<dyn Unit>>,
        chores: mpsc::Receiver<Chore>,
        end: LastOrders,
    ) -> Result<(), StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StoreError::disk)?;
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        thread.spawn(move || runtime.block_on(self.run(queue, chores, end))).map(drop).map_err(StoreError::disk)
    }

    /// Commits what comes, and what has come when the end is called.
    async fn run(
        mut self,
        mut queue: mpsc::Receiver<Box<dyn Unit>>,
        mut chores: mpsc::Receiver<Chore>,
        mut end: LastOrders,
    ) {
        let mut group = Vec::with_capacity(GROUP);
        let mut has_ended = false;
        loop {
            tokio::select! {
                taken = queue.recv_many(&mut group, GROUP) => if taken == 0 { break },
                Some(chore) = chores.recv(), if !has_ended => {
                    self.see_to(chore).await;
                    continue;
                }
                _ = &mut end, if !has_ended => {
                    has_ended = true;
                    queue.close();
                    continue;
                }
            }
            group.retain(|unit| !unit.is_given_up());
            let mut units = std::mem::take(&mut group);
            if units.is_empty() {
                continue;
            }
            let done = self.group(&mut units).await;
            self.announcer.announce(done.woken);
            tell(units, done.outcomes);
        }
        // The file is whole by itself once its last session is closed. Whoever waits for the end waits for the queue.
        self.session = None;
        drop(queue);
    }

    async fn see_to(&mut self, Chore(change): Chore) {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => match Session::open(&self.access).await {
                Ok(session) => session,
                // Whoever asked hears that nothing came of it.
                Err(_) => return,
            },
        };
        if tree::perform(&mut session, change).await {
            self.session = Some(session);
        } else {
            session.close_hard().await;
        }
    }

    /// Gets a group through as far as it can be got.
    async fn group(&mut self, units: &mut [Box<dyn Unit>]) -> Done {
        let failed = match self.attempt(units).await {
            Ok(done) => return done,
            Err(failed) => failed,
        };
        tracing::warn!(error = crate::telemetry::chain(&failed.error), units = units.len(), "group failed");
        let again = match self.settle(units, failed).await {
            Settled::Happened(done) => return done,
            Settled::Unknown(error) => return self.all(units, &error),
            // The statement was refused: by itself each unit may fare better.
            Settled::Not(error) if !is_passing(&error) => {
                if units.len() == 1 {
                    return Done { outcomes: vec![Err(error.into())], woken: Vec::new() };
                }
                return self.one_by_one(units).await;
            }
            Settled::Not(_) => self.attempt(units).await,
        };
        match again {
            Ok(done) => done,
            Err(failed) => match self.settle(units, failed).await {
                Settled::Happened(done) => done,
                Settled::Not(error) | Settled::Unknown(error) => self.all(units, &error),
            },
        }
    }

    async fn one_by_one(&mut self, units: &mut [Box<dyn Unit>]) -> Done {
        let mut all = Done::default();
        for unit in units.chunks_mut(1) {
            let one = match self.attempt(unit).await {
                Ok(done) => done,
                Err(failed) => match self.settle(unit, failed).await {
                    Settled::Happened(done) => done,
                    Settled::Not(error) if !is_passing(&error) => {
                        Done { outcomes: vec![Err(error.into())], woken: Vec::new() }
                    }
                    Settled::Not(error) | Settled::Unknown(error) => self.all(unit, &error),
                },
            };
            all.outcomes.extend(one.outcomes);
            all.woken.extend(one.woken);
        }
        all
    }

    fn all(&self, units: &[Box<dyn Unit>], error: &StoreError) -> Done {
        tracing::error!(error = crate::telemetry::chain(error), units = units.len(), "nothing committed");
        let outcomes = units.iter().map(|_| Err(StoreError::Lost.into())).collect();
        Done { outcomes, woken: Vec::new() }
    }

    /// After a failure the state of the transaction is unknown: its connection is closed. Where COMMIT was under way, the log
    /// says whether it happened, once nobody holds the group's lock any more.
    async fn settle(&mut self, units: &[Box<dyn Unit>], failed: Failed) -> Settled {
        if let Some(session) = self.session.take() {
            drop(tokio::time::timeout(Duration::from_secs(1), session.close_hard()).await);
        }
        let Failed { error, at_commit } = failed;
        let Some(done) = at_commit else { return Settled::Not(error) };
        let written = units.iter().zip(&done.outcomes).find(|(_, outcome)| outcome.is_ok());
        let Some((witness, _)) = written else { return Settled::Happened(done) };
        let group = units.first().map_or("", |unit| unit.event_id());
        let look = async {
            let session = self.session().await?;
            if session.engine() == Engine::Postgres {
                wait_for(session, group).await?;
            }
            event::exists(session, witness.event_id()).await
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(Ok(true)) => Settled::Happened(done),
            Ok(Ok(false)) => Settled::Not(error),
            Ok(Err(error)) => Settled::Unknown(error),
            Err(_) => Settled::Unknown(StoreError::Lost),
        }
    }

    async fn session(&mut self) -> Result<&mut Session, StoreError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.access).await?,
        };
        Ok(self.session.insert(session))
    }

    /// One transaction for the whole group. On an error nothing of it is stored, unless COMMIT was sent.
    async fn attempt(&mut self, units: &mut [Box<dyn Unit>]) -> Result<Done, Failed> {
        let forget = self.forgot.elapsed() > FORGET;
        let session = self.session().await?;
        let prepared = tokio::time::timeout(PATIENCE, prepare(session, units, forget));
        let done = prepared.await.map_err(|_| StoreError::Lost)??;
        match tokio::time::timeout(PATIENCE, query("COMMIT").execute(session)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Failed { error, at_commit: Some(done) }),
            Err(_) => return Err(Failed { error: StoreError::Lost, at_commit: Some(done) }),
        }
        if forget {
            self.forgot = Instant::now();
        }
        Ok(done)
    }
}

/// Tells everybody of a group what became of theirs. What was committed together gets one receipt from the log.
fn tell(units: Vec<Box<dyn Unit>>, outcomes: Outcomes) {
    let (mut entries, mut at, mut places) = (Vec::new(), 0, Vec::with_capacity(units.len()));
    for (unit, outcome) in units.iter().zip(outcomes) {
        places.push(outcome.and_then(|()| {
            let (moment, entry) = unit.entry().ok_or(StoreError::Busy)?;
            at = moment.max(at);
            entries.push(entry);
            Ok(entries.len() as u64 - 1)
        }));
    }
    let together = Arc::new(Together::new(&entries, at));
    for (unit, place) in units.into_iter().zip(places) {
        unit.tell(place.map(|place| (Arc::clone(&together), place)));
    }
}

/// What became of a group that failed.
enum Settled {
    /// It was committed; only the word of it was lost.
    Happened(Done),
    /// Nothing of it is stored.
    Not(StoreError),
    /// Nobody can tell now. Callers repeat their request ids.
    Unknown(StoreError),
}

/// Waits until the transaction of a group that was lost sight of has ended.
async fn wait_for(session: &mut Session, group: &str) -> Result<(), StoreError> {
    for statement in ["SELECT COUNT(pg_advisory_lock($1))", "SELECT COUNT(pg_advisory_unlock($1))"] {
        query(statement).bind(group_lock(group)).fetch_number(&mut *session).await?;
    }
    Ok(())
}

/// Everything of a group but its COMMIT.
async fn prepare(session: &mut Session, units: &mut [Box<dyn Unit>], forget: bool) -> Result<Done, Failed> {
    query(session.engine().begin()).execute(&mut *session).await?;
    let seen: Vec<Seen> = units.iter().map(|unit| unit.seen()).collect();
    let group = units.first().map_or("", |unit| unit.event_id()).to_owned();
    let mut picture = Picture::take(session, &group, &seen).await?;
    let oldest = seen.iter().filter_map(|seen| seen.request.as_ref()).map(|key| key.since).min();
    let mut batch = Batch::default();
    let mut done = Done::default();
    for (unit, seen) in units.iter_mut().zip(seen) {
        let mut tx = Tx::new(Some(&mut *session), unit.event_id(), seen.changes.clone());
        let outcome = match picture.check(&seen) {
            Ok(()) => unit.run(&mut tx).await,
            Err(error) => Err(error),
        };
        // After a failure of the store the transaction can't be trusted.
        let outcome = match outcome {
            Err(WorkError::Store(error)) if !matches!(error, StoreError::Conflict) => return Err(error.into()),
            outcome => outcome,
        };
        tx.leave(outcome.is_ok()).await?;
        done.outcomes.push(match outcome {
            Ok(()) => {
                batch.append(tx.added.batch);
                done.woken.extend(tx.added.wakes);
                picture.follow(seen, tx.added.moved);
                Ok(())
            }
            Err(error) => Err(CommitError::from(error)),
        });
    }
    if let Some(oldest) = oldest.filter(|_| forget) {
        request::forget(session, oldest).await?;
    }
    batch.write(session).await?;
    Ok(done)
}

/// Whether the same may succeed on a new connection or a moment later: the connection was lost, the server is starting or
/// stopping, or two transactions got in each other's way.
fn is_passing(error: &StoreError) -> bool {
    match error {
        StoreError::Lost => true,
        StoreError::Unavailable(error) => match error.as_database_error() {
            Some(database) => {
                database.code().is_some_and(|code| ["08", "40", "57P"].iter().any(|class| code.starts_with(class)))
            }
            None => true,
        },
        _ => false,
    }
}
