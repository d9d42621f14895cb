//! What the hub told of through the inbox: each record once, and when anybody listened.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use super::Receipts;
use crate::agent::{Agent, words};
use crate::api::v1;
use crate::api::v1::inbox_item::Item;
use crate::clock::micros;
use crate::reconcile::journal::{Inbox, Told};
use crate::wire::moment;

/// The file, without its month.
const NAME: &str = "received";
/// Between two words that a stream is still open, microseconds.
const AGAIN: i64 = 600_000_000;

/// What is written down already.
pub(super) struct Received {
    records: HashSet<uuid::Uuid>,
    /// Streams that are open.
    streams: u32,
    /// When something was last said of them.
    said: i64,
}

impl Received {
    /// Reads what was written before, and that nobody listens yet.
    pub(super) fn open(directory: &Path, now: i64) -> io::Result<Self> {
        let mut known = HashSet::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(NAME) {
                let text = std::fs::read_to_string(entry.path())?;
                known.extend(text.lines().filter_map(|line| match Inbox::read(line)? {
                    Inbox::Record(name, ..) => words::id(name, "records"),
                    _ => None,
                }));
            }
        }
        let mut file = super::append(&directory.join(super::month(NAME, now)))?;
        io::Write::write_all(&mut file, format!("{}\n", Inbox::Started(now)).as_bytes())?;
        Ok(Self { records: known, streams: 0, said: now })
    }
}

impl Receipts {
    /// Writes down a record that the hub tells of, when it does so for the first time.
    pub(super) fn told(&self, item: &v1::InboxItem) {
        let Some(Item::Record(record)) = &item.item else { return };
        let Some(id) = words::id(&record.name, "records") else { return };
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        if received.records.insert(id) {
            let now = micros(self.clock.now());
            let made = item.create_time.as_ref().and_then(moment).map_or(now, micros);
            // One word of a line.
            let event = words::id(&item.event, "events").map_or("", |_| item.event.as_str());
            self.write(NAME, now, &Inbox::Record(&record.name, Told { at: now, made, event }).to_string());
        }
    }

    pub(super) fn mark(&self, mark: fn(i64) -> Inbox<'static>, count: impl FnOnce(u32) -> u32) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let now = micros(self.clock.now());
        (received.streams, received.said) = (count(received.streams), now);
        self.write(NAME, now, &mark(now).to_string());
    }

    /// Says now and then that somebody listens still: should the agent be killed, it has listened until then.
    pub(super) fn still_listens(&self) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let now = micros(self.clock.now());
        if received.streams > 0 && now.saturating_sub(received.said) >= AGAIN {
            received.said = now;
            self.write(NAME, now, &Inbox::Open(now).to_string());
        }
    }
}

/// As long as a stream of the inbox is open.
pub(in crate::agent) struct Listening(Agent);

impl Listening {
    pub(in crate::agent) fn begin(agent: &Agent) -> Self {
        if let Some(receipts) = &agent.receipts {
            receipts.mark(Inbox::Opened, |streams| streams.saturating_add(1));
        }
        Self(agent.clone())
    }

    /// The hub told of something.
    pub(in crate::agent) fn told(&self, item: &v1::InboxItem) {
        if let Some(receipts) = &self.0.receipts {
            receipts.told(item);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(receipts) = &self.0.receipts {
            receipts.mark(Inbox::Closed, |streams| streams.saturating_sub(1));
        }
    }
}
