//! When to stop.

/// Ready when the process is asked to stop: SIGINT (Ctrl-C) or SIGTERM.
pub(super) async fn shutdown() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                // A closed terminal: nothing that was started is left behind.
                _ = hangup.recv() => {}
            }
            return;
        }
    }
    // Without signals there is nothing to wait for; the process ends when it is killed.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
