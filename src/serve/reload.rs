//! Keys, anchors, lists, rules and limits anew, without ending what goes on.
//!
//! All or nothing: everything is read and put together first, and only then takes the place of the old. What can't be used
//! keeps the old in force and is an alarm. Asked for by SIGHUP, by a call, or by a change of one of the files.
//!
//! What could not be used is tried again every hour, with the same alarm: a certificate may begin tomorrow.
//!
//! A changed file acts within a second: who is on a new revocation list, or under an anchor that was taken away, is cut by then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, ConfigError, Source};
use crate::redact::log;
use crate::telemetry::Chain;
use crate::tls::{FileError, TlsError};

mod watch;

use watch::{Try, Watch, stamps};

/// Between two looks at the files: what a look costs is what the system says of ten files or so, and none is read.
const LOOK: Duration = Duration::from_millis(100);
/// Between two tries of what can't be used, and two alarms.
const AGAIN: Duration = Duration::from_secs(3600);

/// Why nothing was loaded anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Of an agent.
    #[error(transparent)]
    Own(Box<dyn std::error::Error + Send + Sync>),
    /// Of an agent, whose two sides do not wait for each other: the other side was loaded.
    #[error(transparent)]
    Part(Box<ReloadError>),
}

/// What came of it: how many connections were cut that the new rules would not let in; or why the old is still in force.
pub(crate) type Outcome = Result<usize, String>;

/// Asks for a reload, and waits for what comes of it.
#[derive(Clone)]
pub(crate) struct Asker(mpsc::Sender<oneshot::Sender<Outcome>>);

impl Asker {
    /// One to ask, and what it asks.
    pub(crate) fn new() -> (Self, Asked) {
        let (ask, asked) = mpsc::channel(8);
        (Self(ask), Asked(asked))
    }

    /// Loads anew.
    pub(crate) async fn ask(&self) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let ended = |_| "the process is stopping".to_owned();
        self.0.send(answer).await.map_err(|_| "the process is stopping".to_owned())?;
        answered.await.map_err(ended)?
    }
}

/// What is asked for.
pub(crate) struct Asked(mpsc::Receiver<oneshot::Sender<Outcome>>);

/// The files that a configuration names, as they were before they were read: what changes while a process starts counts too.
pub(crate) struct Watched<C> {
    source: Source<C>,
    names: fn(&C) -> Vec<PathBuf>,
    paths: Vec<PathBuf>,
    watch: Watch,
    /// Between two tries of what can't be used.
    again: Duration,
}

impl<C: Config + Clone + Send + Sync + 'static> Watched<C> {
    /// To be asked before the files are read for the first time.
    pub(crate) fn of(source: &Source<C>, names: fn(&C) -> Vec<PathBuf>) -> Self {
        let paths = named(source, names).unwrap_or_default();
        Self { source: source.clone(), names, watch: Watch::new(stamps(&paths), Instant::now()), paths, again: AGAIN }
    }
}

fn named<C: Config + Clone + Send + Sync + 'static>(
    source: &Source<C>,
    names: fn(&C) -> Vec<PathBuf>,
) -> Option<Vec<PathBuf>> {
    let named = source.read().map(|config| names(&config)).ok()?;
    Some(named.into_iter().chain(source.path().map(ToOwned::to_owned)).collect())
}

/// Loads anew whenever that is asked for, until the task is dropped. `apply` builds everything from a configuration and
/// puts it in place, or changes nothing.
pub(crate) async fn follow<C: Config + Clone + Send + Sync + 'static>(
    watched: Watched<C>,
    Asked(mut asked): Asked,
    apply: impl Fn(C) -> Result<usize, ReloadError> + Send + Sync + 'static,
) {
    let apply = Arc::new(apply);
    let Watched { source, names, mut paths, mut watch, again } = watched;
    let mut hangup = Hangup::listen();
    loop {
        let (cause, answer) = tokio::select! {
            () = hangup.heard() => ("signal", None),
            Some(answer) = asked.recv() => ("call", Some(answer)),
            () = tokio::time::sleep(LOOK) => match watch.look(stamps(&paths), Instant::now()) {
                None => continue,
                Some(Try::Early) => ("change", None),
                Some(Try::Last) => ("file", None),
            },
        };
        let seen = stamps(&paths);
        let (source_now, apply_now) = (source.clone(), Arc::clone(&apply));
        // Reading files and verifying every open chain may block.
        let done = tokio::task::spawn_blocking(move || apply_now(source_now.read()?)).await;
        let outcome = match done {
            Ok(Ok(cut)) => {
                tracing::info!(cause, cut = log(&cut), "certificates, anchors, lists and limits were loaded anew");
                watch.is_loaded(seen);
                Ok(cut)
            }
            Ok(Err(error)) if cause == "change" => {
                // Of two files that belong together the other one is still to come, perhaps.
                tracing::info!(error = %Chain(&error), "changed files can't be used yet");
                continue;
            }
            Ok(Err(error)) => {
                let why = Chain(&error).to_string();
                if matches!(error, ReloadError::Part(_)) {
                    tracing::error!(cause, error = %why, "ALARM: not everything was loaded anew, of the rest what was loaded before stays in force");
                } else {
                    tracing::error!(cause, error = %why, "ALARM: nothing was loaded anew, what was loaded before stays in force");
                }
                watch.is_refused(seen, Instant::now() + again);
                Err(why)
            }
            Err(_) => {
                watch.is_refused(seen, Instant::now() + again);
                tracing::error!(
                    cause,
                    "ALARM: a defect: nothing was loaded anew, what was loaded before stays in force"
                );
                Err("a defect; what was loaded before stays in force".to_owned())
            }
        };
        // Another configuration names other files; one that can't be read names none, and the old ones are still looked at.
        // What changed while it was read is looked at next.
        if let Some(named) = named(&source, names).filter(|named| *named != paths) {
            paths = named;
            watch = Watch::new(stamps(&paths), Instant::now());
            if outcome.is_err() {
                watch.is_refused(stamps(&paths), Instant::now() + again);
            }
        }
        if let Some(answer) = answer {
            // Whoever asked may have gone.
            let _ = answer.send(outcome);
        }
    }
}

/// SIGHUP.
struct Hangup(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Hangup {
    #[cfg(unix)]
    fn listen() -> Self {
        Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok())
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Self()
    }

    async fn heard(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
