//! Calls that have no answer yet, written down before they are made: an agent that is killed meanwhile knows of them afterwards.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::{append, month};
use crate::reconcile::journal::{Called, Journal};
use crate::whole_file::replace;

/// The file.
const NAME: &str = "under_way";

/// What has begun and not ended, by the moment at which it began.
pub(super) struct UnderWay {
    file: File,
    open: BTreeMap<i64, String>,
    /// When the last one began, microseconds.
    last: i64,
}

impl UnderWay {
    /// What an agent before this one had under way got no answer.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let mut before = Journal::default();
        if path.exists() {
            before.add_under_way(&String::from_utf8_lossy(&std::fs::read(&path)?));
        }
        for lost in &before.lost {
            writeln!(append(&directory.join(month("lost", lost.since)))?, "{lost}")?;
        }
        let last = before.lost.iter().map(|lost| lost.since).max().unwrap_or(i64::MIN);
        Ok(Self { file: rewrite(directory, &BTreeMap::new())?, open: BTreeMap::new(), last })
    }

    /// A call is about to be made. Gives the moment by which it is known from now on.
    pub(super) fn begin(&mut self, called: &Called, now: i64) -> i64 {
        let since = now.max(self.last.saturating_add(1));
        let called = called.to_string();
        self.write(&format!("+ {since} {called}\n"));
        self.last = since;
        self.open.insert(since, called);
        since
    }

    /// How it ended stands elsewhere.
    pub(super) fn end(&mut self, since: i64) {
        self.open.remove(&since);
        self.write(&format!("- {since}\n"));
    }

    /// Puts the file in order: it only grows otherwise.
    pub(super) fn tidy(&mut self, directory: &Path) -> io::Result<()> {
        self.file = rewrite(directory, &self.open)?;
        Ok(())
    }

    /// A whole line at once, so that it is there when this process is not.
    fn write(&mut self, line: &str) {
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            tracing::error!(error = %error, file = NAME, "the journal of calls can't be written");
        }
    }
}

fn rewrite(directory: &Path, open: &BTreeMap<i64, String>) -> io::Result<File> {
    let path = directory.join(NAME);
    let lines: String = open.iter().map(|(since, called)| format!("+ {since} {called}\n")).collect();
    replace(&path, lines.as_bytes())?;
    append(&path)
}
