//! What may happen inside a commit.

use std::future::Future;

use super::StoreError;
use super::batch::Batch;
use super::inbox::NewItem;
use super::record::RecipientRow;
use super::request::{Key, Remembered};
use super::session::{Session, query};
use crate::audit::Draft;
use crate::ground::Refusal;

/// An open transaction; or a rehearsal of one, in which a unit of work that looks at nothing can be carried out before its
/// turn. Only the writer's module makes them.
///
/// What is only added (events, inbox items, remembered replies, recipients) waits in a batch and is written with that of
/// the neighbours in the group, many rows in one statement. Anything else is written at once, in a savepoint.
pub struct Tx<'c> {
    /// None in a rehearsal.
    pub(super) conn: Option<&'c mut Session>,
    pub(super) saved: bool,
    pub(super) added: Added,
    pub(super) changes: Changes,
    pub(super) event_id: String,
}

/// What a unit adds, the revisions that it moves, and whom to wake.
#[derive(Default)]
pub(super) struct Added {
    pub(super) batch: Batch,
    pub(super) moved: Vec<Moved>,
    pub(super) wakes: Vec<Wake>,
}

/// A revision that a unit moved, for the neighbours that come after it in the same group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moved {
    Registry,
    Case(String),
}

impl<'c> Tx<'c> {
    pub(super) fn new(conn: Option<&'c mut Session>, event_id: &str, changes: Changes) -> Self {
        Self { conn, saved: false, added: Added::default(), changes, event_id: event_id.to_owned() }
    }

    /// The connection, for a statement that takes effect at once.
    pub(super) async fn conn(&mut self) -> Result<&mut Session, StoreError> {
        // A rehearsal ends here, whatever the work makes of this.
        let conn = self.conn.as_deref_mut().ok_or(StoreError::Busy)?;
        if !self.saved {
            query("SAVEPOINT unit").execute(&mut *conn).await?;
            self.saved = true;
        }
        Ok(conn)
    }

    /// Keeps or drops what was written at once.
    pub(super) async fn leave(&mut self, keep: bool) -> Result<(), StoreError> {
        let Some(conn) = self.conn.as_deref_mut().filter(|_| self.saved) else { return Ok(()) };
        if !keep {
            query("ROLLBACK TO unit").execute(&mut *conn).await?;
        }
        query("RELEASE unit").execute(&mut *conn).await?;
        Ok(())
    }

    /// Tells others, once this is committed.
    pub fn wake(&mut self, wake: Wake) {
        self.added.wakes.push(wake);
    }

    /// UUID of the event under which this happens.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    pub(super) fn push(&mut self, item: NewItem) {
        self.added.batch.items.push(item);
    }

    pub(super) fn acknowledge(&mut self, oin: &str, seq: i64) {
        self.added.batch.acks.push((oin.to_owned(), seq));
    }

    pub(super) fn recipient(&mut self, record_id: &str, row: &RecipientRow, at: i64) {
        self.added.batch.recipients.push((record_id.to_owned(), row.clone(), at));
    }

    pub(super) fn key(&mut self, record_id: &str, oin: &str, message: &[u8]) {
        self.added.batch.keys.push((record_id.to_owned(), oin.to_owned(), message.to_owned()));
    }

    /// Remembers the reply to a request id.
    pub fn remember(&mut self, key: Key, reply: Remembered, at: i64) {
        self.added.batch.requests.push((key, reply, at));
    }

    /// Notes that a case moves on. Whoever did not say so beforehand holds no lock for it: a defect.
    pub(super) fn moves_case(&mut self, case_id: &str) -> Result<(), StoreError> {
        if self.changes == Changes::Nothing {
            return Err(StoreError::Inconsistent("case_file"));
        }
        self.added.moved.push(Moved::Case(case_id.to_owned()));
        Ok(())
    }

    /// Notes that the registry moves on.
    pub(super) fn moves_registry(&mut self) -> Result<(), StoreError> {
        if self.changes != Changes::Registry {
            return Err(StoreError::Inconsistent("registry_head"));
        }
        self.added.moved.push(Moved::Registry);
        Ok(())
    }
}

/// Something that a commit changed and that others wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// The registry: partners, certificates, signatures.
    Registry,
    /// A case: roles, phase, consent.
    Case(String),
    /// The inbox of an organisation.
    Inbox(String),
    /// A newcomer waits for an author's agent.
    Seal(String),
    /// Word from other nodes was lost: anything may have changed.
    Anything,
}

/// What a unit of work changes beyond rows that it adds. The commit locks accordingly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nothing that a decision rests on.
    #[default]
    Nothing,
    /// Its case.
    Case,
    /// Which cases there are about a subject, by its tag.
    Subject(Vec<u8>),
    /// Partners, certificates, keys, signatures.
    Registry,
}

/// What a decision rested on. The commit holds it against the rows, and asks for a new decision where they moved on.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Revision of the registry.
    pub registry: Option<i64>,
    /// A case and its revision.
    pub case: Option<(String, i64)>,
    /// What will change.
    pub changes: Changes,
    /// A request id that must be new.
    pub request: Option<Key>,
}

/// One unit of work. It may run again when its neighbours in a group fail, so it takes `&self`.
pub trait Work: Send + Sync + 'static {
    /// What it returns to the caller.
    type Output: Send + Sync + 'static;

    /// What its decision rested on.
    fn seen(&self) -> Seen {
        Seen::default()
    }

    /// Does it, and says what the audit event is about.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<(Self::Output, Draft), WorkError>> + Send;
}

/// Why a unit of work changed its mind.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The facts have changed since the decision.
    #[error("stale")]
    Stale,
    /// The request id has a reply already.
    #[error("repeated")]
    Repeated,
    /// Not possible, for a reason that only the transaction could see.
    #[error("refused")]
    Refused(Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A refusal has an event and no effect.
pub(super) struct Nothing {
    pub(super) draft: Draft,
    pub(super) seen: Seen,
}

impl Work for Nothing {
    type Output = ();

    fn seen(&self) -> Seen {
        self.seen.clone()
    }

    async fn run(&self, _: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        Ok(((), self.draft.clone()))
    }
}
