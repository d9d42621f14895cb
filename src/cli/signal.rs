//! When to stop.

use tokio::sync::watch;

/// Ready when the process is asked to stop: SIGINT (Ctrl-C), SIGTERM, or a closed terminal, after which nothing that was
/// started is left behind.
pub(super) async fn shutdown() {
    Requests::listen().asked(1).await;
}

/// How often the process has been asked to stop since this was made.
#[derive(Clone)]
pub(super) struct Requests(watch::Receiver<u32>);

impl Requests {
    /// Listens from now on, to a closed terminal too.
    pub(super) fn listen() -> Self {
        Self::hear(true)
    }

    /// Listens for a service: to it, SIGHUP means to load its files anew.
    pub(super) fn to_a_service() -> Self {
        Self::hear(false)
    }

    fn hear(hangup: bool) -> Self {
        let (asked, told) = watch::channel(0);
        tokio::spawn(count(asked, hangup));
        Self(told)
    }

    /// Ready when it has been asked so often.
    pub(super) async fn asked(mut self, times: u32) {
        if self.0.wait_for(|asked| *asked >= times).await.is_err() {
            // Nobody can ask any more; the process ends when it is killed.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
async fn count(asked: watch::Sender<u32>, ends_by_hangup: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    if let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv(), if ends_by_hangup => {}
            }
            asked.send_modify(|asked| *asked += 1);
        }
    }
}

#[cfg(not(unix))]
async fn count(asked: watch::Sender<u32>, _: bool) {
    while tokio::signal::ctrl_c().await.is_ok() {
        asked.send_modify(|asked| *asked += 1);
    }
}
