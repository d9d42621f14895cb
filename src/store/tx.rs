//! What may happen inside a commit.

use std::future::Future;

use sqlx::AnyConnection;

use super::StoreError;
use crate::audit::Draft;
use crate::ground::Refusal;

/// An open transaction. Only the writer makes one.
pub struct Tx<'c> {
    pub(super) conn: &'c mut AnyConnection,
    pub(super) wakes: Vec<Wake>,
    pub(super) event_id: String,
}

impl Tx<'_> {
    /// Tells others, once this is committed.
    pub fn wake(&mut self, wake: Wake) {
        self.wakes.push(wake);
    }

    /// UUID of the event under which this happens.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }
}

/// Something that a commit changed and that others wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// The registry: partners, certificates, signatures.
    Registry,
    /// A case: roles, phase, consent.
    Case(String),
    /// The inbox of an organisation.
    Inbox(String),
    /// A newcomer waits for an author's agent.
    Seal(String),
}

/// One unit of work. It may run again when its neighbours in a group fail, so it takes `&self`.
pub trait Work: Send + Sync + 'static {
    /// What it returns to the caller.
    type Output: Send + 'static;

    /// Does it, and says what the audit event is about.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<(Self::Output, Draft), WorkError>> + Send;
}

/// Why a unit of work changed its mind.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The facts have changed since the decision.
    #[error("stale")]
    Stale,
    /// Not possible, for a reason that only the transaction could see.
    #[error("refused")]
    Refused(Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for WorkError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A refusal has an event and no effect.
pub(super) struct Nothing(pub(super) Draft);

impl Work for Nothing {
    type Output = ();

    async fn run(&self, _: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        Ok(((), self.0.clone()))
    }
}
