//! A witness: signs a log's checkpoint when the log has signed it and it holds all that the witness signed before (C2SP
//! tlog-witness). One that a partner runs is why a hub can't show two partners two histories.
//!
//! It keeps one checkpoint of each log. What it signs is on its disk before anybody sees the signature: a witness that forgot
//! could be led to sign a fork.

pub mod desk;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use crate::keys::{KeyFileError, secret};
use crate::redact::log;
use crate::tlog::{AddCheckpoint, Checkpoint, Declined, Kind, Origin, PrivateKey, PublicKey, Tree, cosign};
use crate::whole_file::{private_directory, replace};

/// The key's file in a witness's directory.
pub const KEY: &str = "witness.key";

/// A witness.
pub struct Witness {
    key: PrivateKey,
    logs: Vec<PublicKey>,
    directory: PathBuf,
    /// The largest tree of each log that it has signed.
    signed: Mutex<BTreeMap<Origin, Tree>>,
    /// Held while it lives: two witnesses with one memory would each forget what the other signed.
    _lock: File,
}

/// Why a witness can't work.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// Its key.
    #[error("the witness's key can't be read; make it with `sluis witness init --dir`")]
    Key(#[from] KeyFileError),
    /// A defect: every 32 bytes are a key.
    #[error("the witness's key can't be used")]
    Unusable,
    /// Its directory.
    #[error("{}: can't be used", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// Another process.
    #[error("{}: another witness works with it", .0.display())]
    Taken(PathBuf),
    /// What it remembers.
    #[error("{}: not the checkpoint that was signed last, or gone; a witness that goes on without could be led to sign a fork", .0.display())]
    Memory(PathBuf),
}

/// Why it did not sign.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// It may not.
    #[error(transparent)]
    Declined(#[from] Declined),
    /// It can't remember: then it says nothing.
    #[error("what the witness signs can't be written down")]
    Memory(#[source] io::Error),
    /// A defect.
    #[error("the witness's key can't be used")]
    Unusable,
}

impl Witness {
    /// With the key and the memory in a directory that `sluis witness init` made.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn open(directory: &Path, name: Origin, logs: Vec<PublicKey>) -> Result<Self, WitnessError> {
        let key = private_key(directory, name)?;
        let failed = |error| WitnessError::Directory(directory.to_owned(), error);
        private_directory(directory).map_err(failed)?;
        let lock = File::create(directory.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(WitnessError::Taken(directory.to_owned())),
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut signed = BTreeMap::new();
        for log in &logs {
            let file = memory(directory, log.name());
            match std::fs::read(&file) {
                Ok(note) => {
                    // A log may have had another key when this was signed.
                    let of_log = |log: &&PublicKey| Checkpoint::open(&note, log).ok();
                    let known = logs.iter().find_map(|log| of_log(&log)).ok_or(WitnessError::Memory(file))?;
                    signed.insert(log.name().clone(), *known.tree());
                    // It may have ended between the two.
                    if !has_signed(directory, log.name()).map_err(failed)? {
                        note_signed(directory, log.name()).map_err(failed)?;
                    }
                }
                // What it has signed once it must not forget.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if has_signed(directory, log.name()).map_err(failed)? {
                        return Err(WitnessError::Memory(file));
                    }
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Self { key, logs, directory: directory.to_owned(), signed: Mutex::new(signed), _lock: lock })
    }

    /// What others verify its signatures with.
    pub const fn public(&self) -> &PublicKey {
        self.key.public()
    }

    /// The largest tree of a log that it has signed.
    pub fn signed(&self, log: &Origin) -> Option<Tree> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner).get(log).copied()
    }

    /// Signs, or says why not. Waits for the disk; `time` is in seconds since the epoch.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign(&self, request: &AddCheckpoint, time: u64) -> Result<Vec<u8>, NotSigned> {
        let origin = request.origin().ok_or(Declined::Malformed)?;
        // One at a time: what is signed next must hold what is signed now.
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoint = request.consider(&self.logs, signed.get(&origin)).inspect_err(|why| {
            if self.is_fork(request, signed.get(&origin)) {
                tracing::error!(log = origin.as_str(), why = %why, "ALARM: a log that was forked or rolled back");
                self.keep_evidence(&origin, &request.note);
            } else if matches!(why, Declined::Unproven) {
                // Whoever hands it in may have made up the proof: no evidence yet.
                tracing::warn!(log = origin.as_str(), why = %why, "a checkpoint without a proof that holds");
            }
        })?;
        let line = cosign(&self.key, &checkpoint, time).ok_or(NotSigned::Unusable)?;
        let tree = *checkpoint.tree();
        if signed.get(&origin) != Some(&tree) {
            replace(&memory(&self.directory, &origin), &checkpoint.to_bytes()).map_err(NotSigned::Memory)?;
            // After it: a note that something was signed, and nothing there, is what no witness starts with.
            if !signed.contains_key(&origin) {
                note_signed(&self.directory, &origin).map_err(NotSigned::Memory)?;
            }
            tracing::debug!(log = origin.as_str(), size = log(&tree.size), "a checkpoint is signed");
            signed.insert(origin, tree);
        }
        Ok(line)
    }

    /// Keeps what the log signed and can't have signed, with what it signed before: together they are the proof against it.
    pub fn keep_evidence(&self, log: &Origin, note: &[u8]) {
        let hash = short(note, 4);
        let own = memory(&self.directory, log);
        let file = own.with_extension(format!("{hash}.conflict"));
        let kept = || {
            let count = std::fs::read_dir(&self.directory)?.flatten().filter(is_evidence).count();
            if file.exists() || count >= EVIDENCE {
                return Ok(());
            }
            std::fs::copy(&own, own.with_extension(format!("{hash}.signed")))?;
            replace(&file, note)
        };
        if let Err(error) = kept() {
            let error: io::Error = error;
            tracing::error!(error = %error, "the notes that prove it can't be kept");
        }
    }

    /// Whether the log has signed another tree of a size that this witness signed.
    fn is_fork(&self, request: &AddCheckpoint, known: Option<&Tree>) -> bool {
        let of_log = |log: &PublicKey| Checkpoint::open(&request.note, log).ok();
        let said = self.logs.iter().find_map(of_log);
        said.zip(known).is_some_and(|(said, known)| said.tree().size == known.size && said.tree() != known)
    }
}

/// The key in a witness's directory, under the witness's name.
///
/// # Errors
/// [`WitnessError`].
pub fn private_key(directory: &Path, name: Origin) -> Result<PrivateKey, WitnessError> {
    let key = secret(&directory.join(KEY))?;
    let seed = key.derive(b"witness/ed25519");
    PrivateKey::from_seed(name, Kind::Witness, seed.as_bytes()).ok_or(WitnessError::Unusable)
}

/// Conflicting notes that are kept: one is enough, and a log that goes on forking must not fill a disk.
const EVIDENCE: usize = 16;

fn is_evidence(entry: &std::fs::DirEntry) -> bool {
    entry.path().extension().is_some_and(|extension| extension == "conflict")
}

/// Logs of which something was signed, one in a line.
const LOGS: &str = "logs";

fn has_signed(directory: &Path, log: &Origin) -> io::Result<bool> {
    match std::fs::read_to_string(directory.join(LOGS)) {
        Ok(names) => Ok(names.lines().any(|name| name == log.as_str())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn note_signed(directory: &Path, log: &Origin) -> io::Result<()> {
    if has_signed(directory, log)? {
        return Ok(());
    }
    let file = directory.join(LOGS);
    let names = std::fs::read_to_string(&file).unwrap_or_default();
    replace(&file, format!("{names}{log}\n").as_bytes())
}

/// Where it remembers a log. A log's name may hold what a file's name can't.
fn memory(directory: &Path, log: &Origin) -> PathBuf {
    directory.join(format!("{}.checkpoint", short(log.as_str().as_bytes(), 8)))
}

/// So many bytes of the hash, in hexadecimal digits.
fn short(bytes: &[u8], length: usize) -> String {
    hex::encode(digest(&SHA256, bytes).as_ref().get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::{Edge, Tiles, record_hash};

    const LOG: &str = "sluis.example/log";

    fn log_key(seed: u8) -> PrivateKey {
        PrivateKey::of_log(LOG.parse().unwrap(), &[seed; 32]).unwrap()
    }

    fn with_key() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        crate::cli::init::witness(directory.path(), &"gi.example/w".parse().unwrap(), &mut io::sink()).unwrap();
        directory
    }

    fn open(directory: &Path) -> Result<Witness, WitnessError> {
        Witness::open(directory, "gi.example/w".parse().unwrap(), vec![log_key(1).public().clone()])
    }

    fn request(old: u64, size: u64, forked: bool) -> AddCheckpoint {
        let mut tiles = Tiles::default();
        let mut tree_of = |size: u64| {
            let mut edge = Edge::default();
            let first = u8::from(forked);
            for (place, bytes) in edge.grow((0..size).map(|n| record_hash(&[first, u8::try_from(n).unwrap()]))) {
                tiles.add(place, bytes);
            }
            Tree { size, root: edge.root() }
        };
        let (known, new) = (tree_of(old), tree_of(size));
        let proof = new.follows(&known, &tiles).unwrap().unwrap();
        AddCheckpoint { old, proof, note: Checkpoint::sign(&log_key(1), new).unwrap().to_bytes() }
    }

    #[test]
    fn what_was_signed_is_remembered_by_the_next_process() {
        let directory = with_key();
        let witness = open(directory.path()).unwrap();
        assert!(witness.sign(&request(0, 5, false), 7).is_ok());
        assert!(matches!(open(directory.path()), Err(WitnessError::Taken(_))), "one at a time");
        drop(witness);
        let witness = open(directory.path()).unwrap();
        assert_eq!(witness.signed(&LOG.parse().unwrap()).unwrap().size, 5);
        let declined = |request: &AddCheckpoint| match witness.sign(request, 8) {
            Err(NotSigned::Declined(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(declined(&request(0, 6, false)), Declined::Conflict(5));
        assert_eq!(declined(&request(5, 6, true)), Declined::Unproven);
        assert_eq!(declined(&request(5, 5, true)), Declined::Conflict(5));
        assert!(witness.sign(&request(5, 6, false), 8).is_ok(), "it goes on with the history that it knows");
    }

    #[test]
    fn a_witness_that_can_not_write_signs_nothing() {
        let directory = with_key();
        let witness = open(directory.path()).unwrap();
        // A directory stands where the new file would.
        let name = memory(directory.path(), &LOG.parse().unwrap());
        std::fs::create_dir_all(name.join("in the way")).unwrap();
        assert!(matches!(witness.sign(&request(0, 5, false), 7), Err(NotSigned::Memory(_))));
        assert_eq!(witness.signed(&LOG.parse().unwrap()), None);
        std::fs::remove_dir_all(&name).unwrap();
        assert!(witness.sign(&request(0, 5, false), 7).is_ok());
    }

    /// Ended between what it remembers and the note that it has signed something.
    #[test]
    fn a_witness_that_broke_off_at_its_first_signature_starts_and_forgets_nothing() {
        let directory = with_key();
        drop(open(directory.path()).unwrap());
        let note = request(0, 5, false).note;
        std::fs::write(memory(directory.path(), &LOG.parse().unwrap()), note).unwrap();
        let witness = open(directory.path()).unwrap();
        assert_eq!(witness.signed(&LOG.parse().unwrap()).unwrap().size, 5);
        drop(witness);
        std::fs::remove_file(memory(directory.path(), &LOG.parse().unwrap())).unwrap();
        assert!(matches!(open(directory.path()), Err(WitnessError::Memory(_))), "it has signed, and forgot what");
    }

    #[test]
    fn a_memory_that_is_none_is_not_taken() {
        let directory = with_key();
        drop(open(directory.path()).unwrap());
        std::fs::write(memory(directory.path(), &LOG.parse().unwrap()), "nothing").unwrap();
        assert!(matches!(open(directory.path()), Err(WitnessError::Memory(_))));
        std::fs::remove_file(memory(directory.path(), &LOG.parse().unwrap())).unwrap();
        let witness = open(directory.path()).unwrap();
        witness.sign(&request(0, 5, false), 7).unwrap();
        assert!(witness.sign(&request(5, 6, true), 8).is_err());
        let kept = || std::fs::read_dir(directory.path()).unwrap().flatten().filter(is_evidence).collect::<Vec<_>>();
        assert!(kept().is_empty(), "anybody can make up a proof that does not hold");
        assert!(witness.sign(&request(5, 5, true), 8).is_err());
        let [evidence] = &kept()[..] else { panic!("{:?}", kept()) };
        assert_eq!(std::fs::read(evidence.path()).unwrap(), request(5, 5, true).note, "what proves the fork is kept");
        let own = evidence.path().with_extension("signed");
        assert_eq!(std::fs::read(own).unwrap(), request(0, 5, false).note, "and what it was held against");
        drop(witness);
        std::fs::remove_file(memory(directory.path(), &LOG.parse().unwrap())).unwrap();
        assert!(matches!(open(directory.path()), Err(WitnessError::Memory(_))), "it has signed, and forgot what");
        assert!(matches!(open(&directory.path().join("elsewhere")), Err(WitnessError::Key(_))));
    }
}
