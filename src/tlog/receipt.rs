//! Receipts: a log's word, given with every reply, that an entry will be in its tree before long. A signed note (C2SP) whose text
//! can't be taken for a checkpoint's: where that has a number, this has the log's name.
//!
//! ```text
//! sluis-receipt/v1
//! <name of the log>
//! <uuid of the event>
//! <base64 of the entry's hash in the tree, SHA-256(0x00 || leaf)>
//! <moment of the event, microseconds since the epoch>
//! <seconds within which a checkpoint will hold it>
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, VerifierList};
use tlog_tiles::Hash;

use super::note::{PrivateKey, PublicKey};

const HEADER: &str = "sluis-receipt/v1";
/// Longest name of an event.
const UUID: usize = 36;

/// What a log promises.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// UUID of the event.
    pub event_id: String,
    /// What will stand in the tree.
    pub entry: Hash,
    /// Microseconds.
    pub at: i64,
    /// Maximum merge delay, seconds.
    pub within: u32,
}

/// Not a receipt of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a receipt of this log under this key")]
pub struct NotAReceipt;

impl Receipt {
    /// Promises it.
    pub fn sign(&self, key: &PrivateKey) -> Vec<u8> {
        let text = self.text(key.public());
        let signature = key.sign(&text, 0);
        // Name and text are fit for a note by their types.
        signature
            .and_then(|signature| Note::new(&text, &[signature]).ok())
            .map(|note| note.to_bytes())
            .unwrap_or_default()
    }

    /// Reads a receipt and verifies the log's signature.
    ///
    /// # Errors
    /// [`NotAReceipt`].
    pub fn open(bytes: &[u8], log: &PublicKey) -> Result<Self, NotAReceipt> {
        Self::read(bytes, log).ok_or(NotAReceipt)
    }

    fn read(bytes: &[u8], log: &PublicKey) -> Option<Self> {
        let note = Note::from_bytes(bytes).ok()?;
        note.verify(&VerifierList::new(vec![Box::new(log.clone())])).ok()?;
        let text = std::str::from_utf8(note.text()).ok()?;
        let lines: [&str; 7] = text.split('\n').collect::<Vec<_>>().try_into().ok()?;
        let [header, origin, event_id, entry, at, within, ""] = lines else { return None };
        if header != HEADER || origin != log.name().as_str() || event_id.len() > UUID {
            return None;
        }
        let entry = Hash::parse_hash(entry).ok()?;
        let receipt = Self { event_id: event_id.to_owned(), entry, at: at.parse().ok()?, within: within.parse().ok()? };
        // One way to write each.
        (receipt.text(log) == note.text()).then_some(receipt)
    }

    fn text(&self, log: &PublicKey) -> Vec<u8> {
        let Self { event_id, entry, at, within } = self;
        let entry = STANDARD.encode(entry.0);
        format!("{HEADER}\n{}\n{event_id}\n{entry}\n{at}\n{within}\n", log.name()).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tlog_tiles::record_hash;

    use super::super::checkpoint::{Checkpoint, Tree};
    use super::*;

    fn key(name: &str, seed: u8) -> PrivateKey {
        PrivateKey::of_log(name.parse().unwrap(), &[seed; 32]).unwrap()
    }

    fn receipt() -> Receipt {
        let event_id = "0192f3a0-0000-7000-8000-000000000000".to_owned();
        Receipt { event_id, entry: record_hash(b"leaf"), at: 1_700_000_000_000_000, within: 86_400 }
    }

    #[test]
    fn a_receipt_is_its_logs_and_nothing_else() {
        let log = key("sluis.example/log", 1);
        let bytes = receipt().sign(&log);
        assert_eq!(Receipt::open(&bytes, log.public()), Ok(receipt()));
        for other in [key("sluis.example/log", 2), key("sluis.example/other", 1)] {
            assert_eq!(Receipt::open(&bytes, other.public()), Err(NotAReceipt));
        }
        assert!(Checkpoint::open(&bytes, log.public()).is_err(), "no receipt is a checkpoint");
        let checkpoint = Checkpoint::sign(&log, Tree { size: 1, root: record_hash(b"leaf") }).unwrap();
        assert_eq!(Receipt::open(&checkpoint.to_bytes(), log.public()), Err(NotAReceipt), "nor the other way round");
    }

    proptest! {
        #[test]
        fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), by in 1u8..=255) {
            let log = key("sluis.example/log", 1);
            let mut bytes = receipt().sign(&log);
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert_eq!(Receipt::open(&bytes, log.public()), Err(NotAReceipt));
        }
    }
}
