//! Grouped commits: what arrived while the last commit ran goes into the next one. No timer, a bounded group.
//!
//! Every unit runs in a savepoint of its own, so a unit that fails takes nothing of its neighbours with it. When the
//! group as a whole fails (disk full, connection lost), each unit is tried once more alone; what fails then is told so,
//! and nothing of it is stored.

use std::future::Future;
use std::pin::Pin;

use sqlx::AnyConnection;
use sqlx::AnyPool;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::tx::{Tx, Wake, Work, WorkError};
use super::{CommitError, Committed, StoreError, event};
use crate::audit::{Event, Outcome, Stamp, Verdict};

/// Units in one commit, at most.
const GROUP: usize = 128;

pub(super) type Running<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A unit of work whose type is forgotten.
pub(super) trait Unit: Send {
    /// Runs it inside a savepoint and writes its event.
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Running<'a, Result<(), WorkError>>;
    /// UUID of its event.
    fn event_id(&self) -> &str;
    /// Tells the caller, after the commit.
    fn tell(self: Box<Self>, outcome: Result<(), CommitError>);
}

/// A unit of work, its verdict and stamp, and the caller that waits.
pub(super) struct Pending<W: Work> {
    work: W,
    verdict: Verdict,
    stamp: Stamp,
    output: Option<W::Output>,
    reply: oneshot::Sender<Result<Committed<W::Output>, CommitError>>,
}

/// Where the caller waits.
pub(super) type Reply<T> = oneshot::Receiver<Result<Committed<T>, CommitError>>;

impl<W: Work> Pending<W> {
    pub(super) fn new(work: W, verdict: Verdict, stamp: Stamp) -> (Self, Reply<W::Output>) {
        let (reply, receiver) = oneshot::channel();
        (Self { work, verdict, stamp, output: None, reply }, receiver)
    }
}

impl<W: Work> Unit for Pending<W> {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Running<'a, Result<(), WorkError>> {
        Box::pin(async move {
            let (output, draft) = self.work.run(tx).await?;
            let mut verdict = self.verdict.clone();
            if let Some(reason) = draft.reported {
                verdict.outcome = Outcome::Refused(reason);
            }
            let event = Event { draft, verdict, stamp: self.stamp.clone() };
            event::insert(tx, &event).await?;
            self.output = Some(output);
            Ok(())
        })
    }

    fn event_id(&self) -> &str {
        &self.stamp.event_id
    }

    fn tell(self: Box<Self>, outcome: Result<(), CommitError>) {
        let Self { output, stamp, reply, .. } = *self;
        let answer = outcome.and_then(|()| match output {
            Some(output) => Ok(Committed { output, event_id: stamp.event_id }),
            None => Err(StoreError::Busy.into()),
        });
        // A caller that has gone away learns the outcome by repeating its request id.
        drop(reply.send(answer));
    }
}

/// The writer's loop. Ends when the store is dropped.
pub(super) async fn run(pool: AnyPool, mut queue: mpsc::Receiver<Box<dyn Unit>>, wakes: broadcast::Sender<Wake>) {
    let mut group = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut group, GROUP).await > 0 {
        let mut units = std::mem::take(&mut group);
        let outcomes = match commit(&pool, &mut units).await {
            Ok((outcomes, woken)) => {
                announce(&wakes, woken);
                outcomes
            }
            Err(error) if units.len() == 1 => vec![Err(error.into())],
            Err(error) => {
                tracing::warn!(
                    error = crate::telemetry::chain(&error),
                    units = units.len(),
                    "group failed; one by one"
                );
                one_by_one(&pool, &mut units, &wakes).await
            }
        };
        for (unit, outcome) in units.into_iter().zip(outcomes) {
            unit.tell(outcome);
        }
    }
}

type Outcomes = Vec<Result<(), CommitError>>;

async fn one_by_one(pool: &AnyPool, units: &mut [Box<dyn Unit>], wakes: &broadcast::Sender<Wake>) -> Outcomes {
    let mut outcomes = Vec::with_capacity(units.len());
    for unit in units.chunks_mut(1) {
        outcomes.push(match commit(pool, unit).await {
            Ok((mut one, woken)) => {
                announce(wakes, woken);
                one.pop().unwrap_or(Ok(()))
            }
            Err(error) => Err(error.into()),
        });
    }
    outcomes
}

fn announce(wakes: &broadcast::Sender<Wake>, woken: Vec<Wake>) {
    for wake in woken {
        // Nobody listening is fine.
        drop(wakes.send(wake));
    }
}

/// One transaction for the whole group. On an error nothing of it is stored.
async fn commit(pool: &AnyPool, units: &mut [Box<dyn Unit>]) -> Result<(Outcomes, Vec<Wake>), StoreError> {
    let mut conn = pool.acquire().await?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
    match in_transaction(&mut conn, units).await {
        Ok(done) => match sqlx::query("COMMIT").execute(&mut *conn).await {
            Ok(_) => Ok(done),
            Err(error) => {
                abandon(conn.detach()).await;
                Err(error.into())
            }
        },
        Err(error) => {
            abandon(conn.detach()).await;
            Err(error)
        }
    }
}

/// After a failed statement the state of the transaction is unknown: close the connection, which rolls back.
async fn abandon(conn: AnyConnection) {
    drop(sqlx::Connection::close(conn).await);
}

async fn in_transaction(
    conn: &mut AnyConnection,
    units: &mut [Box<dyn Unit>],
) -> Result<(Outcomes, Vec<Wake>), StoreError> {
    let mut outcomes = Vec::with_capacity(units.len());
    let mut woken = Vec::new();
    for unit in units {
        sqlx::query("SAVEPOINT unit").execute(&mut *conn).await?;
        let mut tx = Tx { conn: &mut *conn, wakes: Vec::new(), event_id: unit.event_id().to_owned() };
        let outcome = unit.run(&mut tx).await;
        let wakes = tx.wakes;
        match outcome {
            Ok(()) => {
                woken.extend(wakes);
                outcomes.push(Ok(()));
            }
            Err(WorkError::Store(error @ StoreError::Unavailable(_))) => return Err(error),
            Err(error) => {
                sqlx::query("ROLLBACK TO unit").execute(&mut *conn).await?;
                outcomes.push(Err(match error {
                    WorkError::Stale => CommitError::Stale,
                    WorkError::Refused(refusal) => CommitError::Refused(refusal),
                    WorkError::Store(error) => error.into(),
                }));
            }
        }
        sqlx::query("RELEASE unit").execute(&mut *conn).await?;
    }
    Ok((outcomes, woken))
}
