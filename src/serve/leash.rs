//! What can end a call before it is answered: its caller's patience, its method's own deadline, the end of the process.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::Status;

use crate::status::early::{self, Effect};

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Everything is taken.
    Serving,
    /// Streams that wait are sent elsewhere; calls are still answered.
    Draining,
    /// What is not answered by now is not answered any more.
    Over,
}

/// Why a call ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its time is up.
    Deadline,
    /// The process is going away.
    Draining,
}

impl Ended {
    /// What the caller hears.
    pub(crate) fn status(self, effect: Effect) -> Status {
        match self {
            Self::Deadline => early::too_late(effect),
            Self::Draining => early::draining(effect),
        }
    }
}

/// What holds one call. Cheap to clone: the call's handler takes one along for the stream that it answers with.
#[derive(Clone)]
pub(crate) struct Leash {
    until: Option<Instant>,
    /// From here on the call ends.
    last: Phase,
    phase: watch::Receiver<Phase>,
    place: Option<Arc<dyn Send + Sync>>,
}

impl Leash {
    /// For a call that arrives now. A call that `waits` (a stream of what is yet to come) goes elsewhere when the process
    /// drains; any other is finished.
    pub(crate) fn new(limit: Option<Duration>, waits: bool, phase: watch::Receiver<Phase>) -> Self {
        let last = if waits { Phase::Draining } else { Phase::Over };
        // A deadline too far away to be counted is none.
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        Self { until, last, phase, place: None }
    }

    /// Keeps this place for as long as the call lasts, and the stream that it is answered with.
    pub(crate) fn keep(&mut self, place: impl Send + Sync + 'static) {
        self.place = Some(Arc::new(place));
    }

    /// What is left of the deadline.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Does `work` as long as the leash allows; then drops it.
    pub(crate) async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T, Ended> {
        if let Some(ended) = self.ended() {
            return Err(ended);
        }
        let (mut work, mut end) = (pin!(work), pin!(self.end()));
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.poll_end(end.as_mut(), cx).map(Err)
        })
        .await
    }

    /// Lets a stream flow as long as the leash allows; then ends it with a status.
    pub(crate) fn stream<S>(self, inner: S) -> Leashed<S> {
        let watched = self.clone();
        let end = Box::pin(async move { watched.end().await });
        Leashed { inner: Some(inner), end, leash: self }
    }

    /// By the clock and not only by the timer: tonic has a timer of its own for the same header and says CANCELLED when
    /// that one is noticed first. It asks us before it looks at its timer, and set it later than we did.
    fn poll_end(&self, end: Pin<&mut (impl Future<Output = Ended> + ?Sized)>, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.is_too_late() { Poll::Ready(Ended::Deadline) } else { end.poll(cx) }
    }

    fn is_too_late(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    fn ended(&self) -> Option<Ended> {
        if *self.phase.borrow() >= self.last {
            return Some(Ended::Draining);
        }
        self.is_too_late().then_some(Ended::Deadline)
    }

    async fn end(&self) -> Ended {
        let mut phase = self.phase.clone();
        let too_late = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = too_late => Ended::Deadline,
            // Without anybody to tell the phase, the process is gone.
            _ = phase.wait_for(|phase| *phase >= self.last) => Ended::Draining,
        }
    }
}

/// A stream on a leash.
pub(crate) struct Leashed<S> {
    /// `None`: it has ended, and what still waited in it is gone.
    inner: Option<S>,
    end: Pin<Box<dyn Future<Output = Ended> + Send>>,
    leash: Leash,
}

impl<T, S: Stream<Item = Result<T, Status>> + Unpin> Stream for Leashed<S> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { inner, end, leash } = &mut *self;
        let Some(stream) = inner else { return Poll::Ready(None) };
        if let Poll::Ready(ended) = leash.poll_end(end.as_mut(), cx) {
            *inner = None;
            return Poll::Ready(Some(Err(ended.status(Effect::Partial))));
        }
        Pin::new(stream).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(3600));

    const SHORT: Option<Duration> = Some(Duration::from_millis(20));

    #[tokio::test]
    async fn work_ends_at_the_deadline_and_what_comes_too_late_is_not_begun() {
        let (_process, phase) = watch::channel(Phase::Serving);
        let leash = |limit| Leash::new(limit, false, phase.clone());
        assert_eq!(leash(LONG).hold(tokio::task::yield_now()).await, Ok(()));
        assert_eq!(leash(SHORT).hold(std::future::pending::<()>()).await, Err(Ended::Deadline));
        assert_eq!(leash(Some(Duration::MAX)).hold(tokio::task::yield_now()).await, Ok(()));
        let mut begun = false;
        assert_eq!(leash(Some(Duration::ZERO)).hold(async { begun = true }).await, Err(Ended::Deadline));
        assert!(!begun);
        let left = leash(LONG).remaining().unwrap();
        assert!(left <= LONG.unwrap() && left > Duration::from_secs(3000));
        assert_eq!(leash(None).remaining(), None);
    }

    #[tokio::test]
    async fn the_clock_counts_before_its_timer_is_noticed() {
        let (_process, phase) = watch::channel(Phase::Serving);
        let leash = Leash::new(SHORT, false, phase);
        let mut held = pin!(leash.hold(std::future::pending::<()>()));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(held.as_mut().poll(&mut cx).is_pending());
        // The runtime's only thread sleeps too, so no timer goes off.
        std::thread::sleep(SHORT.unwrap() * 2);
        assert_eq!(held.as_mut().poll(&mut cx), Poll::Ready(Err(Ended::Deadline)));
    }

    #[tokio::test]
    async fn a_process_that_drains_sends_streams_away_and_finishes_calls() {
        let (process, phase) = watch::channel(Phase::Serving);
        let leash = |waits| Leash::new(LONG, waits, phase.clone());
        let mut waiting = leash(true).stream(tokio_stream::pending::<Result<(), Status>>());
        let mut fetching = leash(false).stream(tokio_stream::iter([Ok(1), Ok(2)]));
        let call = leash(false);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let call = tokio::spawn(async move { call.hold(stopped).await });
        let stuck = leash(false);
        let stuck = tokio::spawn(async move { stuck.hold(std::future::pending::<()>()).await });
        tokio::task::yield_now().await;

        process.send_replace(Phase::Draining);
        let status = waiting.next().await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(waiting.next().await.is_none());
        assert_eq!(leash(true).hold(async {}).await, Err(Ended::Draining), "no new stream");
        assert_eq!(leash(false).hold(async {}).await, Ok(()));
        assert_eq!((fetching.next().await.unwrap().unwrap(), fetching.next().await.unwrap().unwrap()), (1, 2));
        stop.send(()).unwrap();
        assert!(call.await.unwrap().is_ok());

        process.send_replace(Phase::Over);
        assert_eq!(stuck.await.unwrap(), Err(Ended::Draining));
        assert_eq!(leash(false).hold(async {}).await, Err(Ended::Draining), "and no new call");
    }

    #[tokio::test]
    async fn a_stream_ends_at_the_deadline_and_lets_go_of_what_waited() {
        let (_process, phase) = watch::channel(Phase::Serving);
        let held = Arc::new(());
        let kept = Arc::clone(&held);
        let endless = tokio_stream::iter(std::iter::repeat_with(move || Ok(Arc::clone(&kept))));
        let mut stream = Leash::new(SHORT, true, phase).stream(endless);
        while stream.leash.remaining().is_some_and(|left| !left.is_zero()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(stream.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
