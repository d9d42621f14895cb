//! The manifest of a bundle: what is in it, and how it came about.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

use super::Format;

/// Events, one in a line.
pub(super) const EVENTS: &str = Format::Ndjson.file();
/// Their proofs, in the same order.
pub(super) const PROOFS: &str = "proofs.ndjson";
/// Proofs of the erasures that the events name; only if there are any.
pub(super) const ERASURES: &str = "erasures.ndjson";
/// The newest checkpoint that a proof leads to.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The manifest itself.
pub(super) const MANIFEST: &str = "manifest.json";

/// What only whoever exports can tell.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// Program and version.
    pub tool: String,
    /// When, RFC 3339.
    pub created: String,
    /// What was asked for: names of fields or options, and their values.
    pub query: BTreeMap<String, String>,
}

/// `manifest.json`. It is there when the export is whole: it is written last, and appears at once.
///
/// Nobody signs it: hashes guard against a file that was cut off or damaged. Against somebody who makes a new manifest stand the
/// proofs; against somebody who leaves events out, nothing in a bundle does: ask again, or read the whole log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form: 1.
    pub version: u32,
    /// Program and version. Another version may render events otherwise.
    pub tool: String,
    /// When it was made.
    pub created: String,
    /// What was asked for.
    pub query: BTreeMap<String, String>,
    /// Name of the log, as in its key.
    pub log: String,
    /// Code of the format.
    pub format: String,
    /// Number of events.
    pub events: u64,
    /// Those of them that were not yet under a checkpoint.
    pub waiting: u64,
    /// Every other file.
    pub files: BTreeMap<String, File>,
    /// Always true: a bundle that is not complete has no manifest.
    pub complete: bool,
    /// SHA-256 of this file with nothing in this place, hex.
    pub sha256: String,
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Bytes.
    pub length: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

impl Manifest {
    /// The file, with its own hash.
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let text = Self { sha256: String::new(), ..self.clone() }.text()?;
        Self { sha256: hex::encode(digest(&SHA256, &text)), ..self.clone() }.text()
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads a file; nothing for one of which any byte is not as it was written.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        (manifest.to_bytes().ok()? == bytes).then_some(manifest)
    }
}

/// Passes bytes on and keeps count and hash of them.
pub(super) struct Measured<W> {
    inner: W,
    length: u64,
    hash: Context,
}

impl<W> Measured<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, length: 0, hash: Context::new(&SHA256) }
    }

    pub(super) fn done(self) -> (W, File) {
        (self.inner, File { length: self.length, sha256: hex::encode(self.hash.finish()) })
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..taken).unwrap_or(bytes));
        self.length += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Count and hash of all that there is to read.
pub(super) fn measure(mut reader: impl Read) -> io::Result<File> {
    let mut measured = Measured::new(io::sink());
    io::copy(&mut reader, &mut measured)?;
    Ok(measured.done().1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            version: 1,
            tool: "sluis 0.1.0".into(),
            created: "2027-01-15T08:00:00Z".into(),
            query: [("organisation".to_owned(), "partners/é\"".to_owned())].into(),
            log: "sluis.example/log".into(),
            format: "csv".into(),
            events: 2,
            waiting: 0,
            files: [("events.csv".to_owned(), measure(&b"abc"[..]).unwrap())].into(),
            complete: true,
            sha256: String::new(),
        }
    }

    #[test]
    fn it_reads_back_with_its_own_hash() {
        let bytes = manifest().to_bytes().unwrap();
        let read = Manifest::from_bytes(&bytes).unwrap();
        assert_eq!(Manifest { sha256: String::new(), ..read.clone() }, manifest());
        assert_eq!(read.sha256.len(), 64);
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(read.files["events.csv"], File { length: 3, sha256: known.into() });
        let spaced = String::from_utf8(bytes).unwrap().replace("\"version\": 1", "\"version\":1");
        assert_eq!(Manifest::from_bytes(spaced.as_bytes()), None, "another way to write the same");
    }

    proptest! {
        #[test]
        fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), by in 1u8..=255) {
            let mut bytes = manifest().to_bytes().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert_eq!(Manifest::from_bytes(&bytes), None);
        }
    }
}
