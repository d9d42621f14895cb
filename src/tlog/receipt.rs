//! Receipts: a log's word, given with every reply, that an entry will be in its tree before long.
//!
//! What was committed together shares one signature: the entries of a commit are a small tree of their own, its root is signed
//! once, and a receipt is a proof (C2SP tlog-proof) that an entry is in that tree. Its note can't be taken for a checkpoint of the
//! log, because its first line is another one.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64 of the entry's hash, SHA-256(0x00 || leaf)>
//! index <place among the entries of the commit>
//! <base64 of the hashes beside its way to the root, RFC 6962 section 2.1.1>
//!
//! sluis-receipt/v1 <name of the log>
//! <entries of the commit>
//! <base64 of their root>
//! at <moment of the commit, microseconds since the epoch>
//! within <seconds within which a checkpoint of the log will hold them>
//!
//! — <name of the log> <signature>
//! ```

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, VerifierList};
use tlog_tiles::{Hash, check_record, prove_record, stored_hashes_for_record_hash, tree_hash};

use super::note::{PrivateKey, PublicKey};
use super::proof::{HEADER, head};
use super::tiles::Flat;

const KIND: &str = "sluis-receipt/v1";

/// Entries that were committed together.
#[derive(Debug)]
pub struct Together {
    /// Every hash of their tree, in the library's order.
    hashes: Vec<Hash>,
    size: u64,
    /// Microseconds.
    at: i64,
    note: OnceLock<Vec<u8>>,
}

/// What a log promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Receipt {
    /// What will stand in the tree.
    pub entry: Hash,
    /// When it was committed, microseconds.
    pub at: i64,
    /// Maximum merge delay, seconds.
    pub within: u32,
}

/// Not a receipt of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a receipt of this log under this key")]
pub struct NotAReceipt;

impl Together {
    /// These entries, committed at this moment.
    pub fn new(entries: &[Hash], at: i64) -> Self {
        let mut hashes = Vec::with_capacity(2 * entries.len());
        for (place, entry) in (0..).zip(entries) {
            // Every hash that it needs is here.
            let new = stored_hashes_for_record_hash(place, *entry, &Flat(&hashes)).unwrap_or_default();
            hashes.extend(new);
        }
        Self { hashes, size: entries.len() as u64, at, note: OnceLock::new() }
    }

    /// The receipt of the entry at this place. The first one is signed, the others share its signature.
    pub fn receipt(&self, place: u64, within: u32, key: &PrivateKey) -> Option<Vec<u8>> {
        let proof = prove_record(self.size, place, &Flat(&self.hashes)).ok()?;
        let entry = self.hashes.get(usize::try_from(tlog_tiles::stored_hash_index(0, place)).ok()?)?;
        let mut receipt = head(Some(&entry.0), place, &proof).into_bytes();
        receipt.extend(self.note.get_or_init(|| self.sign(within, key).unwrap_or_default()));
        Some(receipt)
    }

    fn sign(&self, within: u32, key: &PrivateKey) -> Option<Vec<u8>> {
        let root = tree_hash(self.size, &Flat(&self.hashes)).ok()?;
        let text = text(key.public(), self.size, root, self.at, within);
        Some(Note::new(text.as_bytes(), &[key.sign(text.as_bytes(), 0)?]).ok()?.to_bytes())
    }
}

fn text(log: &PublicKey, size: u64, root: Hash, at: i64, within: u32) -> String {
    format!("{KIND} {}\n{size}\n{}\nat {at}\nwithin {within}\n", log.name(), STANDARD.encode(root.0))
}

impl Receipt {
    /// Reads a receipt and verifies the log's signature.
    ///
    /// # Errors
    /// [`NotAReceipt`].
    pub fn open(bytes: &[u8], log: &PublicKey) -> Result<Self, NotAReceipt> {
        Self::read(bytes, log).ok_or(NotAReceipt)
    }

    fn read(bytes: &[u8], log: &PublicKey) -> Option<Self> {
        let (before, note) = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?;
        let mut lines = before.strip_prefix(HEADER)?.lines();
        let entry = Hash::parse_hash(lines.next()?.strip_prefix("extra ")?).ok()?;
        let place = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let proof = lines.map(|line| Hash::parse_hash(line).ok()).collect::<Option<Vec<_>>>()?;

        let note = Note::from_bytes(note.as_bytes()).ok()?;
        note.verify(&VerifierList::new(vec![Box::new(log.clone())])).ok()?;
        let said = std::str::from_utf8(note.text()).ok()?;
        let mut lines = said.lines().skip(1);
        let size = lines.next()?.parse().ok()?;
        let root = Hash::parse_hash(lines.next()?).ok()?;
        let at = lines.next()?.strip_prefix("at ")?.parse().ok()?;
        let within = lines.next()?.strip_prefix("within ")?.parse().ok()?;
        check_record(&proof, size, root, place, entry).ok()?;
        // One way to write each.
        let again = [head(Some(&entry.0), place, &proof).into_bytes(), note.to_bytes()].concat();
        (text(log, size, root, at, within) == said && again == bytes).then_some(Self { entry, at, within })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tlog_tiles::record_hash;

    use super::super::checkpoint::{Checkpoint, Tree};
    use super::super::proof::Proof;
    use super::*;

    const AT: i64 = 1_700_000_000_000_000;

    fn key(name: &str, seed: u8) -> PrivateKey {
        PrivateKey::of_log(name.parse().unwrap(), &[seed; 32]).unwrap()
    }

    fn entries(count: u64) -> Vec<Hash> {
        (0..count).map(|number| record_hash(&number.to_be_bytes())).collect()
    }

    #[test]
    fn every_entry_of_a_commit_gets_a_receipt_and_no_other() {
        let log = key("sluis.example/log", 1);
        for size in [1, 2, 3, 7, 8, 128] {
            let entries = entries(size);
            let together = Together::new(&entries, AT);
            for (place, entry) in (0..).zip(&entries) {
                let bytes = together.receipt(place, 60, &log).unwrap();
                assert_eq!(Receipt::open(&bytes, log.public()), Ok(Receipt { entry: *entry, at: AT, within: 60 }));
                for other in [key("sluis.example/log", 2), key("sluis.example/other", 1)] {
                    assert_eq!(Receipt::open(&bytes, other.public()), Err(NotAReceipt));
                }
                let swapped = String::from_utf8(bytes)
                    .unwrap()
                    .replace(&STANDARD.encode(entry.0), &STANDARD.encode(record_hash(b"another").0));
                assert_eq!(Receipt::open(swapped.as_bytes(), log.public()), Err(NotAReceipt));
            }
            assert_eq!(together.receipt(size, 60, &log), None);
        }
    }

    #[test]
    fn a_receipt_is_no_proof_of_the_log_nor_the_other_way_round() {
        let log = key("sluis.example/log", 1);
        let bytes = Together::new(&entries(1), AT).receipt(0, 60, &log).unwrap();
        let note = bytes.splitn(2, |byte| *byte == b'\n').last().unwrap();
        assert!(Checkpoint::open(&bytes, log.public()).is_err() && Checkpoint::open(note, log.public()).is_err());
        let (_, note) = std::str::from_utf8(&bytes).unwrap().split_once("\n\n").unwrap();
        assert!(Checkpoint::open(note.as_bytes(), log.public()).is_err(), "its note is no checkpoint");
        assert!(Proof::from_bytes(&bytes).is_err());
        let checkpoint = Checkpoint::sign(&log, Tree { size: 1, root: entries(1)[0] }).unwrap();
        let proof = Proof::make(0, &checkpoint, &super::super::tiles::Tiles::default()).unwrap();
        assert_eq!(Receipt::open(&proof.to_bytes(), log.public()), Err(NotAReceipt));
    }

    proptest! {
        #[test]
        fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), by in 1u8..=255) {
            let log = key("sluis.example/log", 1);
            let mut bytes = Together::new(&entries(5), AT).receipt(2, 60, &log).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert_eq!(Receipt::open(&bytes, log.public()), Err(NotAReceipt));
        }

        #[test]
        fn anything_is_refused_without_a_stop(bytes in "(c2sp.org/tlog-proof@v1\nextra AAAA\nindex )?[ -~\n]{0,200}") {
            prop_assert_eq!(Receipt::open(bytes.as_bytes(), key("sluis.example/log", 1).public()), Err(NotAReceipt));
        }
    }
}
