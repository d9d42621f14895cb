//! How a witness comes to sign: what a log hands in (C2SP tlog-witness, add-checkpoint), and whether it may be signed.
//!
//! A witness keeps one fact of each log: the largest tree that it has signed. It signs a checkpoint only if the log did, and if
//! the tree is proven to hold all of that one. Whoever sees the signatures of some witnesses under a checkpoint knows that
//! nobody was shown another history.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::Signature;
use tlog_tiles::Hash;

use super::checkpoint::{Checkpoint, CheckpointError, Tree, origin_of};
use super::note::{Origin, PrivateKey, PublicKey};

/// Most lines of a proof: a tree has no more levels.
const MOST: usize = 63;

/// The body of an add-checkpoint call.
#[derive(Debug, Clone, PartialEq)]
pub struct AddCheckpoint {
    /// Size of the tree that the witness signed last; 0 for none.
    pub old: u64,
    /// That the new tree holds all of that one (RFC 6962 section 2.1.2).
    pub proof: Vec<Hash>,
    /// The checkpoint.
    pub note: Vec<u8>,
}

/// Why a witness does not sign. Each has its HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Not such a body, not a checkpoint, or an old size beyond the new one.
    #[error("not an old size, a proof and a checkpoint")]
    Malformed,
    /// Not a log of this witness.
    #[error("the witness does not know this log")]
    UnknownLog,
    /// Not signed by the log.
    #[error("the log's signature is not under it")]
    Unsigned,
    /// The witness signed a tree of this size last, or another tree of this size.
    #[error("the witness has signed a tree of {0} entries")]
    Conflict(u64),
    /// The new tree is not proven to hold the old one.
    #[error("the proof does not show that the tree holds the one before")]
    Unproven,
}

impl Declined {
    /// Status of the answer (C2SP tlog-witness).
    pub const fn code(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::UnknownLog => 404,
            Self::Unsigned => 403,
            Self::Conflict(_) => 409,
            Self::Unproven => 422,
        }
    }
}

impl AddCheckpoint {
    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing to a String does not fail.
        let mut head = format!("old {}\n", self.old);
        for hash in &self.proof {
            let _ = writeln!(head, "{}", STANDARD.encode(hash.0));
        }
        head.push('\n');
        [head.as_bytes(), &self.note].concat()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Declined::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Declined> {
        Self::read(bytes).ok_or(Declined::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, note) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = lines.next()?.strip_prefix("old ")?.parse().ok()?;
        let proof = lines.map(|line| Hash::parse_hash(line).ok()).collect::<Option<Vec<_>>>()?;
        let read = Self { old, proof, note: note.as_bytes().to_vec() };
        // One way to write each: no leading zeros, no signs, no unused bits.
        (read.proof.len() <= MOST && read.to_bytes() == bytes).then_some(read)
    }

    /// Of which log it says to be.
    pub fn origin(&self) -> Option<Origin> {
        origin_of(&self.note)
    }

    /// Whether a witness that knows these keys of logs, and has signed `known` of this one last, may sign it.
    ///
    /// # Errors
    /// [`Declined`].
    pub fn consider(&self, logs: &[PublicKey], known: Option<&Tree>) -> Result<Checkpoint, Declined> {
        let origin = self.origin().ok_or(Declined::Malformed)?;
        let mut declined = Declined::UnknownLog;
        for log in logs.iter().filter(|log| *log.name() == origin) {
            match Checkpoint::open(&self.note, log) {
                Ok(checkpoint) => return self.follows(checkpoint, known),
                Err(CheckpointError::Malformed) => return Err(Declined::Malformed),
                Err(_) => declined = Declined::Unsigned,
            }
        }
        Err(declined)
    }

    fn follows(&self, checkpoint: Checkpoint, known: Option<&Tree>) -> Result<Checkpoint, Declined> {
        let tree = checkpoint.tree();
        if self.old > tree.size {
            return Err(Declined::Malformed);
        }
        let signed = known.map_or(0, |known| known.size);
        if self.old != signed {
            return Err(Declined::Conflict(signed));
        }
        // Before anything was signed there is nothing to hold; a proof of nothing must be empty all the same.
        let holds = known.map_or(self.proof.is_empty(), |known| tree.has_grown_from(known, &self.proof));
        match holds {
            true => Ok(checkpoint),
            false if tree.size == signed && self.proof.is_empty() => Err(Declined::Conflict(signed)),
            false => Err(Declined::Unproven),
        }
    }
}

/// A witness's signature under a checkpoint, as a line; `time` is in seconds since the epoch.
pub fn cosign(key: &PrivateKey, checkpoint: &Checkpoint, time: u64) -> Option<Vec<u8>> {
    Some(key.sign(checkpoint.text(), time)?.to_bytes())
}

/// The signature of this witness among the lines of an answer, if it is there and valid for the checkpoint.
pub fn cosignature(lines: &[u8], checkpoint: &Checkpoint, witness: &PublicKey) -> Option<Signature> {
    let text = std::str::from_utf8(lines).ok()?;
    let signatures = text.lines().filter_map(|line| Signature::from_bytes(line.as_bytes()).ok());
    // Signatures of keys that are not known are passed over.
    let own = signatures.filter(|signature| witness.is_named(signature)).take(1).collect::<Vec<_>>();
    checkpoint.with(&own)?.signature(witness)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tlog_tiles::record_hash;

    use super::super::edge::Edge;
    use super::super::note::Kind;
    use super::super::tiles::Tiles;
    use super::*;

    fn key(kind: Kind, name: &str, seed: u8) -> PrivateKey {
        PrivateKey::from_seed(name.parse().unwrap(), kind, &[seed; 32]).unwrap()
    }

    fn log() -> PrivateKey {
        key(Kind::Log, "sluis.example/log", 1)
    }

    /// A tree of this many leaves, of which the one at `other` is another than usual.
    fn tree(size: u64, other: Option<u64>) -> (Tree, Tiles) {
        let (mut edge, mut tiles) = (Edge::default(), Tiles::default());
        let leaf = |n: u64| record_hash(&if other == Some(n) { [9; 8] } else { n.to_be_bytes() });
        for (place, bytes) in edge.grow((0..size).map(leaf)) {
            tiles.add(place, bytes);
        }
        (Tree { size, root: edge.root() }, tiles)
    }

    fn request(old: u64, size: u64, other: Option<u64>) -> AddCheckpoint {
        let (new, tiles) = tree(size, other);
        let known = tree(old, other).0;
        let proof = new.follows(&known, &tiles).unwrap().unwrap_or_default();
        AddCheckpoint { old, proof, note: Checkpoint::sign(&log(), new).unwrap().to_bytes() }
    }

    #[test]
    fn a_witness_signs_what_holds_all_that_it_signed_before() {
        let logs = [log().public().clone()];
        let known = |size| tree(size, None).0;
        let judge = |request: &AddCheckpoint, known: Option<u64>| {
            let known = known.map(|size| tree(size, None).0);
            request.consider(&logs, known.as_ref()).map(|checkpoint| checkpoint.tree().size)
        };
        assert_eq!(judge(&request(0, 7, None), None), Ok(7), "the first that it sees");
        assert_eq!(judge(&request(7, 300, None), Some(7)), Ok(300));
        assert_eq!(judge(&request(7, 7, None), Some(7)), Ok(7), "again");
        assert_eq!(judge(&request(3, 9, None), Some(7)), Err(Declined::Conflict(7)), "from another size");
        assert_eq!(judge(&request(0, 9, None), Some(7)), Err(Declined::Conflict(7)));
        assert_eq!(judge(&request(7, 9, None), None), Err(Declined::Conflict(0)));
        assert_eq!(judge(&request(7, 9, Some(2)), Some(7)), Err(Declined::Unproven), "another history");
        assert_eq!(judge(&request(7, 7, Some(2)), Some(7)), Err(Declined::Conflict(7)), "another tree of that size");
        let back = AddCheckpoint { old: 7, ..request(0, 5, None) };
        assert_eq!(judge(&back, Some(7)), Err(Declined::Malformed), "a smaller tree");
        let padded = AddCheckpoint { proof: vec![known(1).root], ..request(0, 7, None) };
        assert_eq!(judge(&padded, None), Err(Declined::Unproven));
    }

    #[test]
    fn a_witness_knows_its_logs_by_name_and_key() {
        let request = request(0, 7, None);
        let other_name = key(Kind::Log, "sluis.example/other", 1).public().clone();
        let other_key = key(Kind::Log, "sluis.example/log", 2).public().clone();
        assert_eq!(request.consider(std::slice::from_ref(&other_name), None).unwrap_err(), Declined::UnknownLog);
        assert_eq!(request.consider(&[other_name, other_key.clone()], None).unwrap_err(), Declined::Unsigned);
        assert!(request.consider(&[other_key, log().public().clone()], None).is_ok(), "one of its keys");
    }

    #[test]
    fn a_signature_is_that_of_the_witness_under_the_checkpoint() {
        let (w1, w2) = (key(Kind::Witness, "gi.example/w", 3), key(Kind::Witness, "gi.example/w", 4));
        let checkpoint = Checkpoint::sign(&log(), tree(7, None).0).unwrap();
        let other = Checkpoint::sign(&log(), tree(8, None).0).unwrap();
        let lines = [cosign(&w2, &checkpoint, 5).unwrap(), cosign(&w1, &checkpoint, 6).unwrap()].concat();
        let found = cosignature(&lines, &checkpoint, w1.public()).unwrap();
        assert_eq!(w1.public().time(&found), Some(6));
        assert!(cosignature(&lines, &other, w1.public()).is_none());
        assert!(cosignature(&cosign(&w2, &checkpoint, 5).unwrap(), &checkpoint, w1.public()).is_none());
        assert!(cosignature(b"\xff", &checkpoint, w1.public()).is_none());
        assert!(cosignature(b"", &checkpoint, w1.public()).is_none());
        let both = checkpoint.with(&[found]).unwrap();
        assert_eq!(both.tree(), checkpoint.tree());
        assert!(both.signature(w1.public()).is_some() && both.signature(log().public()).is_some());
    }

    #[test]
    fn bodies_are_read_in_one_way() {
        let good = request(7, 300, None).to_bytes();
        assert_eq!(AddCheckpoint::from_bytes(&good).unwrap().to_bytes(), good);
        let text = String::from_utf8(good).unwrap();
        for (from, to) in
            [("old 7", "old 07"), ("old 7", "old +7"), ("old 7", "old  7"), ("old 7\n", ""), ("\n\n", "\n")]
        {
            assert_eq!(
                AddCheckpoint::from_bytes(text.replacen(from, to, 1).as_bytes()),
                Err(Declined::Malformed),
                "{to}"
            );
        }
        let many = AddCheckpoint { proof: vec![tree(1, None).0.root; 64], ..request(0, 7, None) };
        assert_eq!(AddCheckpoint::from_bytes(&many.to_bytes()), Err(Declined::Malformed));
        assert_eq!(AddCheckpoint::from_bytes(b""), Err(Declined::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_declined(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(read) = AddCheckpoint::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }

        /// Whatever is changed of what is handed in: nothing is signed that the log did not sign.
        #[test]
        fn a_changed_byte_is_never_signed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = request(7, 300, None).to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let known = tree(7, None).0;
            let judged = AddCheckpoint::from_bytes(&bytes).and_then(|r| r.consider(&[log().public().clone()], Some(&known)));
            prop_assert!(judged.is_err());
        }
    }
}
