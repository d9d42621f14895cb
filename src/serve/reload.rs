//! Keys, anchors, lists, rules and limits anew, without ending what goes on.
//!
//! All or nothing: everything is read and put together first, and only then takes the place of the old. What can't be used
//! keeps the old in force and is an alarm. Asked for by SIGHUP, by a call, or by a change of one of the files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, ConfigError, Source};
use crate::redact::log;
use crate::telemetry::Chain;
use crate::tls::{FileError, TlsError};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

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

/// A file as it was: what changes when somebody puts another in its place, or writes into it.
#[derive(Clone, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of(path: &PathBuf) -> Self {
        let stamp = std::fs::metadata(path).and_then(|data| Ok((data.modified()?, data.len(), inode(&data))));
        Self(stamp.ok())
    }
}

#[cfg(unix)]
fn inode(data: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

/// Loads anew whenever that is asked for, until the task is dropped. `apply` builds everything from a configuration and
/// puts it in place, or changes nothing.
pub(crate) async fn follow<C: Config + Clone + Send + Sync + 'static>(
    source: Source<C>,
    watched: fn(&C) -> Vec<PathBuf>,
    Asked(mut asked): Asked,
    apply: impl Fn(C) -> Result<usize, ReloadError> + Send + Sync + 'static,
) {
    let apply = Arc::new(apply);
    let files = |source: &Source<C>| {
        let named = source.read().map(|config| watched(&config)).ok()?;
        Some(named.into_iter().chain(source.path().map(ToOwned::to_owned)).collect::<Vec<_>>())
    };
    let mut paths = files(&source).unwrap_or_default();
    let stamps = |paths: &[PathBuf]| paths.iter().map(Stamp::of).collect::<Vec<_>>();
    let mut loaded = stamps(&paths);
    let mut before = loaded.clone();
    let mut hangup = Hangup::listen();
    loop {
        let (cause, answer) = tokio::select! {
            () = hangup.heard() => ("signal", None),
            Some(answer) = asked.recv() => ("call", Some(answer)),
            () = tokio::time::sleep(LOOK) => {
                let now = stamps(&paths);
                // A certificate and its key are two files: what still changes is looked at when it has come to rest.
                let is_new = now != loaded && now == before;
                before = now;
                if !is_new {
                    continue;
                }
                ("file", None)
            }
        };
        loaded = stamps(&paths);
        let (source_now, apply_now) = (source.clone(), Arc::clone(&apply));
        // Reading files and verifying every open chain may block.
        let done = tokio::task::spawn_blocking(move || apply_now(source_now.read()?)).await;
        let outcome = match done {
            Ok(Ok(cut)) => {
                tracing::info!(cause, cut = log(&cut), "certificates, anchors, lists and limits were loaded anew");
                Ok(cut)
            }
            Ok(Err(error)) => {
                let why = Chain(&error).to_string();
                tracing::error!(cause, error = %why, "ALARM: nothing was loaded anew, what was loaded before stays in force");
                Err(why)
            }
            Err(_) => {
                tracing::error!(
                    cause,
                    "ALARM: a defect: nothing was loaded anew, what was loaded before stays in force"
                );
                Err("a defect; what was loaded before stays in force".to_owned())
            }
        };
        // Another configuration names other files; one that can't be read names none, and the old ones are still looked at.
        // What changed while it was read is looked at next.
        if let Some(named) = files(&source).filter(|named| *named != paths) {
            paths = named;
            loaded = stamps(&paths);
            before.clone_from(&loaded);
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
