//! What a caller gets of its event: it can hold the log to it.

use super::Exchange;
use crate::store::Committed;

/// Within this many seconds a checkpoint holds what was acknowledged. It is a second or two; a hub that was killed and stands
/// still for a night has broken no word.
const MERGE_DELAY: u32 = 24 * 3600;

/// The event of a call, and the log's word that it will be in the tree.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// UUID of the event.
    pub event_id: String,
    /// A [`Receipt`](crate::tlog::Receipt).
    pub receipt: Vec<u8>,
}

impl Exchange {
    pub(super) fn evidence<T>(&self, committed: &Committed<T>) -> Evidence {
        let receipt = committed.together.receipt(committed.place, MERGE_DELAY, &self.log).unwrap_or_default();
        Evidence { event_id: committed.event_id.clone(), receipt }
    }
}
