//! A partner's inbox as its system sees it live: one stream after the other, each from the last item on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tonic::Status;

use super::caller::{Caller, event, is_unsettled};
use crate::api::v1 as api;
use crate::api::v1::inbox_client::InboxClient;

/// Before a stream that broke is opened anew.
const PAUSE: Duration = Duration::from_millis(50);

/// What came, by place.
#[derive(Debug, Clone, Default)]
pub(super) struct Came {
    pub(super) items: BTreeMap<i64, api::InboxItem>,
    /// What came where something stood already, or before what had come.
    pub(super) wrong: Vec<String>,
}

/// What a partner's workers know of its inbox.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    came: Mutex<Came>,
    /// Set when nothing more is to be waited for.
    pub(super) stop: AtomicBool,
}

impl Inbox {
    /// Follows the inbox until told to stop.
    pub(super) async fn follow(&self, mut caller: Caller) {
        while !self.stop.load(Ordering::SeqCst) {
            if let Err(status) = self.one_stream(&mut caller).await
                && !is_unsettled(&status)
            {
                let (who, code, message) = (&caller.user_ref, status.code(), status.message());
                caller.tally.broken(format!("{who}, StreamInbox: {code:?}, {message}"));
                return;
            }
            caller.leave();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn one_stream(&self, caller: &mut Caller) -> Result<(), Status> {
        let Some(channel) = caller.channel().await else { return Ok(()) };
        let request = request(&caller.user_ref, self.newest_cursor().unwrap_or_default(), false);
        let answer = InboxClient::new(channel).stream_inbox(request).await?;
        caller.tally.answered(event(answer.metadata()));
        let mut stream = answer.into_inner();
        while !self.stop.load(Ordering::SeqCst) {
            // Silence is no end; now and then it is asked whether to go on.
            if let Ok(item) = tokio::time::timeout(PAUSE, stream.message()).await {
                self.take(item?.ok_or_else(|| Status::unavailable("the stream ended"))?);
            }
        }
        Ok(())
    }

    fn take(&self, item: api::InboxItem) {
        let mut came = self.lock();
        let place = place(&item.cursor);
        if came.items.last_key_value().is_some_and(|(last, _)| *last >= place) {
            came.wrong.push(format!("item {} came after a later one, or twice", item.cursor));
        }
        came.items.insert(place, item);
    }

    /// All that came.
    pub(super) fn came(&self) -> Came {
        self.lock().clone()
    }

    pub(super) fn newest_cursor(&self) -> Option<String> {
        self.lock().items.last_key_value().map(|(_, item)| item.cursor.clone())
    }

    pub(super) fn newest_record(&self) -> Option<api::Record> {
        self.lock().items.values().rev().find_map(|item| match &item.item {
            Some(api::inbox_item::Item::Record(record)) => Some(record.clone()),
            _ => None,
        })
    }

    pub(super) fn newest_case(&self) -> Option<String> {
        self.lock().items.values().rev().map(|item| &item.case).find(|case| !case.is_empty()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an inbox once more to its end, after the first item that came live; acknowledged or not.
///
/// # Errors
/// The answer, if it is not OK.
pub(super) async fn reread(caller: &mut Caller, first: &Came) -> Result<Vec<api::InboxItem>, super::caller::Broken> {
    let first: Vec<api::InboxItem> = first.items.values().next().cloned().into_iter().collect();
    let cursor = first.first().map(|item| item.cursor.clone()).unwrap_or_default();
    let request = request(&caller.user_ref, cursor, true);
    let call = |channel| {
        let (request, mut items) = (request.clone(), first.clone());
        async move {
            let (metadata, mut stream, _) = InboxClient::new(channel).stream_inbox(request).await?.into_parts();
            while let Some(item) = stream.message().await? {
                items.push(item);
            }
            Ok((metadata, items))
        }
    };
    caller.ask("StreamInbox", call).await
}

fn request(user_ref: &str, cursor: String, drain: bool) -> api::StreamInboxRequest {
    let context = api::RequestContext { user_ref: user_ref.to_owned(), ..Default::default() };
    api::StreamInboxRequest { context: Some(context), cursor, drain }
}

/// The place that a cursor of this hub names. To a partner a cursor is opaque; this judge belongs to the hub.
pub(super) fn place(cursor: &str) -> i64 {
    cursor.split_once('-').and_then(|(place, _)| place.parse().ok()).unwrap_or_default()
}
