//! Registers that only grow: a line of JSON for each entry, which names the hash of the line before. A line that was changed,
//! taken out or put in between shows; the end of a register is held against its backup.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CaError;
use super::error::JournalError;
use super::files::{self, Alone};

/// A line.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    #[serde(flatten)]
    entry: T,
    /// SHA-256 of the line before, in hexadecimal; empty on the first.
    previous: String,
}

/// A register in a file, which need not be there yet.
pub(super) struct Journal(PathBuf);

impl Journal {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Every entry, oldest first.
    ///
    /// # Errors
    /// A line that does not follow from the one before.
    pub(super) fn entries<T: DeserializeOwned>(&self) -> Result<Vec<T>, CaError> {
        let text = files::read_if_there(&self.0)?.unwrap_or_default();
        Ok(entries(&self.0, &text)?.0)
    }

    /// Adds an entry, on the disk when this has succeeded.
    ///
    /// # Errors
    /// A register that does not hold together; a disk that is full, and then the register is as it was.
    pub(super) fn add<T: Serialize + DeserializeOwned>(&self, entry: T, alone: &Alone) -> Result<(), CaError> {
        let text = files::read_if_there(&self.0)?.unwrap_or_default();
        let (_, previous) = entries::<T>(&self.0, &text)?;
        let line = serde_json::to_string(&Line { entry, previous }).map_err(|_| CaError::Damaged(self.0.clone()))?;
        files::append(&self.0, &format!("{line}\n"), alone)
    }
}

/// The entries in a text, and the hash that the next line names.
fn entries<T: DeserializeOwned>(path: &Path, text: &str) -> Result<(Vec<T>, String), JournalError> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(JournalError::Torn(path.to_owned()));
    }
    let mut before = String::new();
    let mut all = Vec::new();
    for (nth, text) in text.lines().enumerate() {
        let broken = || JournalError::Broken { path: path.to_owned(), line: nth + 1 };
        let line: Line<T> = serde_json::from_str(text).map_err(|_| broken())?;
        if line.previous != before {
            return Err(broken());
        }
        before = hex::encode(digest(&SHA256, text.as_bytes()));
        all.push(line.entry);
    }
    Ok((all, before))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Entry {
        n: u8,
    }

    #[derive(Serialize, Deserialize)]
    struct Long {
        text: String,
    }

    fn filled(folder: &Path) -> Journal {
        let journal = Journal::new(folder.join("j.jsonl"));
        for n in 1..=3 {
            journal.add(Entry { n }, &files::alone(folder).unwrap()).unwrap();
        }
        journal
    }

    #[test]
    fn a_register_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Journal::new(folder.path().join("none")).entries::<Entry>().unwrap(), []);
        assert_eq!(filled(folder.path()).entries::<Entry>().unwrap(), [Entry { n: 1 }, Entry { n: 2 }, Entry { n: 3 }]);
    }

    /// Half a thousand bytes for each certificate make a megabyte in a few years.
    #[test]
    fn a_register_may_be_long() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path().join("j.jsonl"));
        for _ in 0..3 {
            journal.add(Long { text: "x".repeat(1 << 20) }, &files::alone(folder.path()).unwrap()).unwrap();
        }
        assert_eq!(journal.entries::<Long>().unwrap().len(), 3);
    }

    #[test]
    fn a_line_that_was_touched_shows() {
        let folder = tempfile::tempdir().unwrap();
        let journal = filled(folder.path());
        let text = fs::read_to_string(&journal.0).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let cases = [
            ("changed", text.replace("\"n\":1", "\"n\":7"), Some(2)),
            ("taken out", format!("{}\n{}\n", lines[0], lines[2]), Some(2)),
            ("first taken out", format!("{}\n{}\n", lines[1], lines[2]), Some(1)),
            ("order", format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2]), Some(1)),
            ("nonsense", format!("{text}nonsense\n"), Some(4)),
            ("torn", text.trim_end().to_owned(), None),
        ];
        for (name, text, line) in cases {
            fs::write(&journal.0, &text).unwrap();
            let read = journal.entries::<Entry>();
            let found = match read {
                Err(CaError::Journal(JournalError::Broken { line, .. })) => Some(line),
                Err(CaError::Journal(JournalError::Torn(_))) => None,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(found, line, "{name}");
            assert!(journal.add(Entry { n: 4 }, &files::alone(folder.path()).unwrap()).is_err(), "{name}");
            assert_eq!(fs::read_to_string(&journal.0).unwrap(), text, "{name}: nothing is added");
        }
    }
}
