//! What the conductor asks of its helpers, a line of JSON each way.

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// A request to a helper.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Run a case for so long.
    Run {
        /// Its name.
        case: String,
        /// Milliseconds.
        millis: u64,
    },
    /// Open connections to a server and keep them, with an open stream on each if asked.
    Hold {
        /// Name of the server.
        server: String,
        /// How many.
        connections: usize,
        /// Whether each has a stream.
        streams: bool,
    },
    /// Close what is held.
    Release,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Calls that ended well within the time.
    pub(crate) calls: u64,
    /// Calls that ended well, those included that were under way when the time was over.
    pub(crate) acknowledged: u64,
    /// Events that this must have left in the log.
    pub(crate) events: u64,
    /// Calls that ended otherwise.
    pub(crate) errors: u64,
    /// What the first of those said.
    pub(crate) error: String,
    /// The time, in nanoseconds.
    pub(crate) nanos: u64,
    /// How long each call took.
    pub(crate) took: Histogram,
}

impl Told {
    /// Takes in what another task of the same run has counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.calls += other.calls;
        self.acknowledged += other.acknowledged;
        self.events += other.events;
        self.errors += other.errors;
        if self.error.is_empty() {
            self.error = other.error;
        }
        self.took.merge(&other.took);
    }
}
