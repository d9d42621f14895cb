//! The agent's journal on disk, and certificates.

use std::io;
use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::ReconcileError;
use crate::clock::from_micros;
use crate::identity::certificate::{KeyHash, Leaf};
use crate::party::Oin;
use crate::reconcile::journal::Journal;

/// A day on either side of the period, microseconds: files go by the month in which a call began.
const MARGIN: i64 = 24 * 3600 * 1_000_000;

/// Reads the journal of a period, as far as it is written. An agent that runs moves promises from `waiting` to `kept`: read in this
/// order, each stands in one of them; and so does a call that is under way and then lost.
pub(super) fn read(store: &Path, from: i64, until: i64) -> Result<Journal, ReconcileError> {
    let directory = store.join("receipts");
    let failed = |error| ReconcileError::File(directory.clone(), error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let mut journal = Journal::default();
    journal.add_under_way(&text(&directory.join("under_way"))?);
    journal.add_open(&text(&directory.join("waiting"))?);
    // What waited under another key of the log: a policy may name that one too.
    journal.add_open(&text(&directory.join("other"))?);
    // A month may have begun since the directory was read.
    let mut months: Vec<String> =
        names.iter().filter_map(|name| name.split_once('.')).map(|(_, month)| month.to_owned()).collect();
    let (first, last) = (month(from.saturating_sub(MARGIN)), month(until.saturating_add(MARGIN)));
    months.push(last.clone());
    months.sort();
    months.dedup();
    for month in months.iter().filter(|month| first <= **month && **month <= last) {
        let file = |name: &str| text(&directory.join(format!("{name}.{month}")));
        journal.add_kept(&file("kept")?);
        journal.add_open(&file("asked")?);
        journal.add_lost(&file("lost")?);
    }
    journal.add_broken(&text(&directory.join("broken"))?);
    // All months: a record is written down once, and may have been told of long before.
    for name in names.iter().filter(|name| name.starts_with("received.")) {
        journal.add_received(&text(&directory.join(name))?);
    }
    Ok(journal)
}

/// YYYY-MM
fn month(at: i64) -> String {
    let at = from_micros(at);
    format!("{}-{:02}", at.year(), u8::from(at.month()))
}

/// A file; nothing where there is none. A last character that is cut off is nobody's line yet.
fn text(path: &Path) -> Result<String, ReconcileError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(ReconcileError::File(path.to_owned(), error)),
    }
}

/// Of whom a certificate is, and the hash of its key.
pub(super) fn certificate(path: &Path) -> Result<(Oin, KeyHash), ReconcileError> {
    let wrong = || ReconcileError::Certificate(path.to_owned());
    let der = CertificateDer::from_pem_file(path).map_err(|_| wrong())?;
    let leaf = Leaf::read(&der).map_err(|_| wrong())?;
    Ok((leaf.oin().map_err(|_| wrong())?, leaf.key_hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_period_are_read_as_far_as_they_are_written() {
        let store = tempfile::tempdir().unwrap();
        let receipts = store.path().join("receipts");
        std::fs::create_dir(&receipts).unwrap();
        let write = |name: &str, text: &str| std::fs::write(receipts.join(name), text).unwrap();
        let line = |event: &str, rest: &str| format!("{event} 7 cmVjZWlwdA== a/b ok 8{rest}\n");
        write("kept.1970-01", &(line("kept", " 3") + "cut 7 cm"));
        write("kept.1970-03", &line("later", " 3"));
        write("asked.1970-01", &line("asked", ""));
        write("waiting", &(line("waiting", "") + &line("kept", "")));
        write("broken", &line("broken", " why"));
        write("lost.1970-01", "a/b 1 2\n");
        write("under_way", "+ 3 a/b\n+ 4 a/b\n- 3\n+ 5 a/");
        write("received.1970-01", "records/r 1 2\n");
        write("received.1970-03", "records/r 3 2\nrecords/s 3 2\n");
        write("other", &("whatever\n".to_owned() + &line("other", "")));
        let journal = read(store.path(), 0, 10).unwrap();
        let events: Vec<&str> = journal.promises.keys().map(String::as_str).collect();
        assert_eq!(events, ["asked", "broken", "kept", "other", "waiting"]);
        assert_eq!((journal.lost.len(), journal.told["records/r"], journal.told.len()), (2, (1, 2), 2));
        assert!(read(&store.path().join("nowhere"), 0, 10).is_err());
    }
}
