//! Rows that a group only adds: written together at its end.

use super::event::EventRow;
use super::inbox::NewItem;
use super::record::RecipientRow;
use super::request::{Key, Remembered};
use super::session::Session;
use super::{StoreError, event, inbox, record, request};

/// What waits for the end of the group.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<EventRow>,
    pub(super) items: Vec<NewItem>,
    /// Inbox and place.
    pub(super) acks: Vec<(String, i64)>,
    /// Record, recipient, since when.
    pub(super) recipients: Vec<(String, RecipientRow, i64)>,
    /// Record, recipient, encoded sealed key.
    pub(super) keys: Vec<(String, String, Vec<u8>)>,
    pub(super) requests: Vec<(Key, Remembered, i64)>,
}

impl Batch {
    /// Takes over what a unit added.
    pub(super) fn append(&mut self, mut unit: Self) {
        self.events.append(&mut unit.events);
        self.items.append(&mut unit.items);
        self.acks.append(&mut unit.acks);
        self.recipients.append(&mut unit.recipients);
        self.keys.append(&mut unit.keys);
        self.requests.append(&mut unit.requests);
    }

    /// Writes everything. An error fails the group.
    pub(super) async fn write(self, session: &mut Session) -> Result<(), StoreError> {
        record::write_recipients(session, &self.recipients).await?;
        record::write_keys(session, &self.keys).await?;
        inbox::write(session, self.items, &self.acks).await?;
        request::write(session, &self.requests).await?;
        event::write(session, &self.events).await
    }
}
