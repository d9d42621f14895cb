//! What the conductor asks of its helpers, a line of JSON each way.

use std::time::Instant;

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
        /// Calls on each of them.
        calls: usize,
        /// Whether each has a stream.
        streams: bool,
    },
    /// Call a hub that has witnesses, and see how long it takes until they have signed what was acknowledged.
    Witness {
        /// Name of the server.
        server: String,
        /// Milliseconds.
        millis: u64,
        /// Calls a second of each task; as many as go when there is none.
        pace: Option<u64>,
        /// Calls at the same time.
        tasks: usize,
    },
    /// Close what is held.
    Release,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Calls within the time. One that was under way when the time was over counts with the share of it that was within:
    /// else slow calls would look slower than they are.
    pub(crate) calls: f64,
    /// Calls that ended well, whenever that was.
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
    /// Counts a call.
    pub(crate) fn count(&mut self, start: Instant, end: Instant, deadline: Instant) {
        let took = end - start;
        let within = deadline.saturating_duration_since(start).as_secs_f64() / took.as_secs_f64().max(1e-9);
        self.calls += within.min(1.0);
        self.acknowledged += 1;
        self.events += 1;
        self.took.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a stream that brought so many items within the time. How long it took says nothing of one item.
    pub(crate) fn stream(&mut self, items: u64) {
        self.calls += items as f64;
        self.acknowledged += items;
        self.events += 1;
    }

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
