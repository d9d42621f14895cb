//! Checkpoints: what a log says its tree is (C2SP tlog-checkpoint), signed once for ever.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, Signature, VerifierList};
use tlog_tiles::{EMPTY_HASH, Hash, check_tree, prove_tree};

use super::note::{Origin, PrivateKey, PublicKey};
use super::tiles::{Missing, Tiles};

/// A tree: how many leaves, and the hash over all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tree {
    /// Number of leaves.
    pub size: u64,
    /// Root hash.
    pub root: Hash,
}

/// A checkpoint whose log's signature was verified.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    tree: Tree,
    note: Arc<Note>,
}

/// Why something is no checkpoint of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note, or not one that says what a checkpoint says.
    #[error("not a checkpoint")]
    Malformed,
    /// Of another log.
    #[error("a checkpoint of another log")]
    Origin,
    /// Not signed by the log, or not by this key of it.
    #[error("a checkpoint without a valid signature of the log")]
    Signature,
}

/// Leaves of a tree at the very most: twice as many places count its hashes, and no arithmetic on them overflows.
const MOST: u64 = 1 << 62;

impl Checkpoint {
    /// Signs a tree. Whether it continues what was signed before is [`Tree::follows`]: a log signs nothing else.
    pub fn sign(key: &PrivateKey, tree: Tree) -> Option<Self> {
        let text = tree.text(key.public().name());
        let signature = key.sign(&text, 0)?;
        Some(Self { tree, note: Arc::new(Note::new(&text, &[signature]).ok()?) })
    }

    /// Reads a note and verifies the log's signature under it. Signatures of keys that are not known are kept and say nothing.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(note: &[u8], log: &PublicKey) -> Result<Self, CheckpointError> {
        let note = Note::from_bytes(note).map_err(|_| CheckpointError::Malformed)?;
        let (tree, origin) = Tree::read(note.text()).ok_or(CheckpointError::Malformed)?;
        if origin != log.name().as_str() {
            return Err(CheckpointError::Origin);
        }
        if signed_by(&note, log).is_none() {
            return Err(CheckpointError::Signature);
        }
        Ok(Self { tree, note: Arc::new(note) })
    }

    /// What it says.
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What is signed.
    pub fn text(&self) -> &[u8] {
        self.note.text()
    }

    /// The note, with every signature under it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_bytes()
    }

    /// With more signatures under it.
    pub fn with(&self, more: &[Signature]) -> Option<Self> {
        let mut bytes = self.note.to_bytes();
        more.iter().for_each(|signature| bytes.extend(signature.to_bytes()));
        Some(Self { tree: self.tree, note: Arc::new(Note::from_bytes(&bytes).ok()?) })
    }

    /// The signature of this key under it, if it is there and valid.
    pub fn signature(&self, key: &PublicKey) -> Option<Signature> {
        signed_by(&self.note, key)
    }
}

fn signed_by(note: &Note, key: &PublicKey) -> Option<Signature> {
    let (mut valid, _) = note.verify(&VerifierList::new(vec![Box::new(key.clone())])).ok()?;
    valid.pop()
}

/// Of which log a note says to be.
pub(super) fn origin_of(note: &[u8]) -> Option<Origin> {
    let note = Note::from_bytes(note).ok()?;
    Tree::read(note.text())?.1.parse().ok()
}

impl Tree {
    /// The text of its checkpoint.
    fn text(&self, origin: &Origin) -> Vec<u8> {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root.0)).into_bytes()
    }

    /// What a text says, and of which log.
    fn read(text: &[u8]) -> Option<(Self, String)> {
        let read = tlog_tiles::Checkpoint::from_bytes(text).ok().filter(|read| read.size() <= MOST)?;
        if read.size() == 0 && *read.hash() != EMPTY_HASH {
            return None;
        }
        Some((Self { size: read.size(), root: *read.hash() }, read.origin().to_owned()))
    }

    /// Proves from these tiles that this tree holds all of an older one in its place, and gives the proof (RFC 6962
    /// section 2.1.2). `None`: it does not.
    ///
    /// # Errors
    /// [`Missing`] names the tiles that it takes.
    pub fn follows(&self, older: &Self, tiles: &Tiles) -> Result<Option<Vec<Hash>>, Missing> {
        // The library proves nothing of an empty tree, nor of a tree against itself: the proof is empty.
        let proof = match older.size {
            0 => Vec::new(),
            size if size >= self.size => Vec::new(),
            size => tiles.work_out(|tiles| prove_tree(self.size, size, tiles))?,
        };
        Ok(self.has_grown_from(older, &proof).then_some(proof))
    }

    /// Whether the proof shows that this tree holds all of the older one in its place.
    pub fn has_grown_from(&self, older: &Self, proof: &Vec<Hash>) -> bool {
        match older.size {
            size if size == self.size => proof.is_empty() && older.root == self.root,
            0 => proof.is_empty(),
            size if size > self.size => false,
            size => check_tree(proof, self.size, self.root, size, older.root).is_ok(),
        }
    }
}
