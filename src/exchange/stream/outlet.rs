//! A stream towards one caller: few items wait for a slow reader, and one that takes nothing for too long loses it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::super::Refused;

/// Where items are put.
pub(super) struct Outlet<T> {
    /// Boxed: a channel has room for all that may wait from the start, and most streams wait for nothing most of the time.
    items: mpsc::Sender<Box<T>>,
    end: oneshot::Sender<Ended>,
    patience: Duration,
}

/// Where the caller takes them from. Why it ended comes before what still waits: after the end of a right nothing more is
/// handed over, and what was not is delivered again when the stream is opened anew.
pub struct Outgoing<T> {
    items: mpsc::Receiver<Box<T>>,
    end: oneshot::Receiver<Ended>,
    has_ended: bool,
}

/// Why a stream ended, other than having come to its end.
#[derive(Debug)]
pub enum Ended {
    /// The right did, or the store.
    Refused(Refused),
    /// The reader took nothing.
    Stalled,
}

/// An item was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The reader is gone.
    Gone,
    /// It took nothing for too long.
    Stalled,
}

/// A stream of which `waiting` items may wait at a time, for as long as `patience`.
pub(super) fn outlet<T>(waiting: usize, patience: Duration) -> (Outlet<T>, Outgoing<T>) {
    let (items, taken) = mpsc::channel(waiting);
    let (end, ended) = oneshot::channel();
    (Outlet { items, end, patience }, Outgoing { items: taken, end: ended, has_ended: false })
}

impl<T> Outlet<T> {
    /// Puts an item there, and waits for a free place if there is none.
    pub(super) async fn give(&self, item: T) -> Result<(), NotTaken> {
        let item = match self.items.try_send(Box::new(item)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(NotTaken::Gone),
            Err(TrySendError::Full(item)) => item,
        };
        match tokio::time::timeout(self.patience, self.items.send(item)).await {
            Ok(sent) => sent.map_err(|_| NotTaken::Gone),
            Err(_) => Err(NotTaken::Stalled),
        }
    }

    /// Ready when the reader is gone.
    pub(super) async fn closed(&self) {
        self.items.closed().await;
    }

    /// Ends the stream. `None`: everything has been given.
    pub(super) fn end(self, why: Option<Ended>) {
        if let Some(why) = why {
            // A reader that is gone needs no reason.
            drop(self.end.send(why));
        }
    }
}

impl<T> Outgoing<T> {
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let ended = Pin::new(&mut self.end).poll(cx).map(Result::ok);
        self.has_ended = ended.is_ready();
        ended
    }
}

impl<T> tokio_stream::Stream for Outgoing<T> {
    type Item = Result<T, Ended>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(Some(why)) = self.poll_ended(cx) {
            self.items.close();
            while self.items.try_recv().is_ok() {}
            return Poll::Ready(Some(Err(why)));
        }
        match self.items.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(item)) => Poll::Ready(Some(Ok(*item))),
            // The reason may have come between the two looks.
            Poll::Ready(None) => self.poll_ended(cx).map(|why| why.map(Err)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_stream::StreamExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_reader_that_takes_nothing_holds_few_items_and_loses_the_stream() {
        let (outlet, mut outgoing) = outlet(32, SHORT);
        let counted = Arc::new(());
        let mut given = 0;
        let ended = loop {
            match outlet.give(Arc::clone(&counted)).await {
                Ok(()) => given += 1,
                Err(why) => break why,
            }
        };
        assert_eq!((ended, given), (NotTaken::Stalled, 32));
        assert_eq!(Arc::strong_count(&counted), 1 + 32, "what could not be given is not kept");
        outlet.end(Some(Ended::Stalled));
        assert!(matches!(outgoing.next().await, Some(Err(Ended::Stalled))), "at once, before what still waits");
        assert_eq!(Arc::strong_count(&counted), 1, "which is gone");
        assert!(outgoing.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_gets_everything_in_order() {
        let (outlet, mut outgoing) = outlet(2, LONG);
        let giving = tokio::spawn(async move {
            for number in 0..100 {
                outlet.give(number).await.unwrap();
            }
            outlet.end(None);
        });
        for number in 0..100 {
            tokio::task::yield_now().await;
            assert_eq!(outgoing.next().await.unwrap().unwrap(), number);
        }
        assert!(outgoing.next().await.is_none());
        giving.await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_noticed() {
        let (outlet, outgoing) = outlet(1, LONG);
        outlet.give(1).await.unwrap();
        let waits = tokio::spawn(async move {
            let full = outlet.give(2).await;
            outlet.closed().await;
            (full, outlet.give(3).await)
        });
        tokio::task::yield_now().await;
        drop(outgoing);
        assert_eq!(waits.await.unwrap(), (Err(NotTaken::Gone), Err(NotTaken::Gone)));
    }
}
