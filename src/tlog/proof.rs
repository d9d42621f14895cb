//! Proofs that an entry is in the log, as files that stand for themselves (C2SP tlog-proof).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog_tiles::{Hash, check_record, prove_record};

use super::checkpoint::{Checkpoint, CheckpointError, Tree};
use super::note::PublicKey;
use super::tiles::{Missing, Tiles};

/// First line of every file of proof.
pub(super) const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// An entry's place, the hashes beside its way to the root, and the checkpoint with that root.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// Place of the entry, from 0.
    pub index: u64,
    hashes: Vec<Hash>,
    /// The note.
    checkpoint: Vec<u8>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not a proof.
    #[error("not a proof of inclusion")]
    Malformed,
    /// Its checkpoint is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Of something else than this entry in this tree.
    #[error("the proof is of another entry or another tree")]
    Inclusion,
}

impl Proof {
    /// Proves that the entry at `index` is in the checkpoint's tree.
    ///
    /// # Errors
    /// [`Missing`] names the tiles that it takes.
    pub fn make(index: u64, checkpoint: &Checkpoint, tiles: &Tiles) -> Result<Self, Missing> {
        if index >= checkpoint.tree().size {
            return Err(Missing::Impossible);
        }
        let hashes = tiles.work_out(|tiles| prove_record(checkpoint.tree().size, index, tiles))?;
        Ok(Self { index, hashes, checkpoint: checkpoint.to_bytes() })
    }

    /// Verifies that the entry with this hash is in a tree that the log signed; gives the checkpoint.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, entry: Hash, log: &PublicKey) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, log)?;
        if self.leads_to(entry, checkpoint.tree()) { Ok(checkpoint) } else { Err(ProofError::Inclusion) }
    }

    /// The note under which it proves, not verified.
    pub fn note(&self) -> &[u8] {
        &self.checkpoint
    }

    /// Whether the entry with this hash is in the tree. Whether the log signed that tree is another question.
    pub fn leads_to(&self, entry: Hash, tree: &Tree) -> bool {
        check_record(&self.hashes, tree.size, tree.root, self.index, entry).is_ok()
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        [head(None, self.index, &self.hashes).as_bytes(), &self.checkpoint].concat()
    }

    /// Reads a file. Extra data, which an entry of Sluis never needs, is not taken.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        Self::read(bytes).ok_or(ProofError::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix(HEADER)?.strip_prefix("index ")?;
        let (head, checkpoint) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let index: u64 = lines.next()?.parse().ok()?;
        let hashes = lines.map(|line| Hash::parse_hash(line).ok()).collect::<Option<Vec<_>>>()?;
        let proof = Self { index, hashes, checkpoint: checkpoint.as_bytes().to_vec() };
        // One way to write each: no leading zeros, no signs, no unused bits.
        (proof.hashes.len() <= 64 && proof.to_bytes() == bytes).then_some(proof)
    }
}

/// What stands in a file of proof before its note; `extra` where the format has a place for data of one's own.
pub(super) fn head(extra: Option<&[u8]>, index: u64, hashes: &[Hash]) -> String {
    let mut head = HEADER.to_owned();
    // Writing to a String does not fail.
    if let Some(extra) = extra {
        let _ = writeln!(head, "extra {}", STANDARD.encode(extra));
    }
    let _ = writeln!(head, "index {index}");
    for hash in hashes {
        let _ = writeln!(head, "{}", STANDARD.encode(hash.0));
    }
    head.push('\n');
    head
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tlog_tiles::record_hash;

    use super::super::edge::Edge;
    use super::super::note::{Kind, Origin, PrivateKey};
    use super::*;

    fn key(kind: Kind, name: &str, seed: u8) -> PrivateKey {
        let name: Origin = name.parse().unwrap();
        PrivateKey::from_seed(name, kind, &[seed; 32]).unwrap()
    }

    struct Log {
        key: PrivateKey,
        tiles: BTreeMap<super::super::Place, Vec<u8>>,
        edge: Edge,
    }

    impl Log {
        fn of(entries: u64) -> Self {
            let mut edge = Edge::default();
            let grown = edge.grow((0..entries).map(|n| record_hash(&n.to_be_bytes())));
            Self { key: key(Kind::Log, "sluis.example/log", 1), tiles: grown.into_iter().collect(), edge }
        }

        fn checkpoint(&self) -> Checkpoint {
            Checkpoint::sign(&self.key, Tree { size: self.edge.size(), root: self.edge.root() }).unwrap()
        }

        /// As whoever reads tiles one by one: only what is asked for, and how often it was asked.
        fn with_tiles<T>(&self, work: impl Fn(&Tiles) -> Result<T, Missing>) -> (Result<T, Missing>, usize) {
            let turns = std::cell::Cell::new(0);
            let counted = |tiles: &Tiles| {
                turns.set(turns.get() + 1);
                work(tiles)
            };
            let tile = |place| self.tiles.get(&place).cloned().unwrap_or_default();
            (Tiles::default().gather(counted, tile).ok_or(Missing::Impossible), turns.get())
        }
    }

    #[test]
    fn an_entry_is_proven_and_no_other() {
        let log = Log::of(70_000);
        let checkpoint = log.checkpoint();
        for index in [0, 1, 255, 256, 65_535, 65_536, 69_999] {
            let (proof, turns) = log.with_tiles(|tiles| Proof::make(index, &checkpoint, tiles));
            let proof = proof.unwrap();
            assert!(turns <= 3, "{turns} turns");
            let read = Proof::from_bytes(&proof.to_bytes()).unwrap();
            assert_eq!(read, proof);
            let entry = record_hash(&index.to_be_bytes());
            assert_eq!(read.verify(entry, log.key.public()).unwrap().tree(), checkpoint.tree());
            assert_eq!(
                read.verify(record_hash(b"other"), log.key.public()).unwrap_err(),
                ProofError::Inclusion,
                "{index}"
            );
            let other = key(Kind::Log, "sluis.example/log", 2);
            assert_eq!(
                read.verify(entry, other.public()).unwrap_err(),
                ProofError::Checkpoint(CheckpointError::Signature)
            );
        }
        let (beyond, _) = log.with_tiles(|tiles| Proof::make(70_000, &checkpoint, tiles));
        assert_eq!(beyond.unwrap_err(), Missing::Impossible);
    }

    #[test]
    fn a_tree_follows_every_smaller_one_of_its_own_and_no_other() {
        let log = Log::of(1000);
        let tree = *log.checkpoint().tree();
        for size in [0, 1, 2, 255, 256, 257, 512, 999, 1000] {
            let older = *Log::of(size).checkpoint().tree();
            let (proof, _) = log.with_tiles(|tiles| tree.follows(&older, tiles));
            let proof = proof.unwrap().unwrap_or_else(|| panic!("{size}"));
            assert!(tree.has_grown_from(&older, &proof));
            if size > 0 {
                let forged = Tree { root: record_hash(b"forged"), ..older };
                assert_eq!(log.with_tiles(|tiles| tree.follows(&forged, tiles)).0, Ok(None), "{size}");
                assert!(!tree.has_grown_from(&forged, &proof));
            }
        }
        let larger = Tree { size: 1001, ..tree };
        assert_eq!(log.with_tiles(|tiles| tree.follows(&larger, tiles)).0, Ok(None));
    }

    #[test]
    fn keys_are_written_one_way_and_notes_are_verified() {
        // From the documentation of the specification's reference implementation.
        let known = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let read: PublicKey = known.parse().unwrap();
        assert_eq!((read.to_string().as_str(), read.kind()), (known, Kind::Log));
        for wrong in ["", "a", "a+b", "a+00000000+AAAA", &known.replace("c74f20a3", "c74f20a4"), &format!("{known}=")] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
        let (log, witness) = (Log::of(3), key(Kind::Witness, "witness.example/w", 3));
        let checkpoint = log.checkpoint();
        let mut note = checkpoint.to_bytes();
        note.extend(witness.sign(checkpoint.text(), 1_700_000_000).unwrap().to_bytes());
        let cosigned = Checkpoint::open(&note, log.key.public()).unwrap();
        let signature = cosigned.signature(witness.public()).unwrap();
        assert_eq!(witness.public().time(&signature), Some(1_700_000_000));
        assert!(checkpoint.signature(witness.public()).is_none());
        assert_eq!(
            Checkpoint::open(&note, key(Kind::Log, "sluis.example/other", 1).public()).unwrap_err(),
            CheckpointError::Origin
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        /// Whatever one byte of a cosigned proof is turned into, it proves nothing any more, or the same.
        #[test]
        fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), by in 1u8..=255) {
            let log = Log::of(300);
            let witness = key(Kind::Witness, "witness.example/w", 3);
            let checkpoint = log.checkpoint();
            let mut bytes = log.with_tiles(|tiles| Proof::make(77, &checkpoint, tiles)).0.unwrap().to_bytes();
            bytes.extend(witness.sign(checkpoint.text(), 1_700_000_000).unwrap().to_bytes());
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            let entry = record_hash(&77u64.to_be_bytes());
            let proven = Proof::from_bytes(&bytes).ok().and_then(|proof| proof.verify(entry, log.key.public()).ok());
            let cosigned = proven.and_then(|checkpoint| checkpoint.signature(witness.public()));
            prop_assert!(cosigned.is_none());
        }

        #[test]
        fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Proof::from_bytes(&bytes).is_err());
            let mut with_header = HEADER.as_bytes().to_vec();
            with_header.extend(&bytes);
            if let Ok(proof) = Proof::from_bytes(&with_header) {
                prop_assert_eq!(proof.to_bytes(), with_header);
            }
        }
    }
}
