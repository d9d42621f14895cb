//! What witnesses say of the log's checkpoints. Agents that are witnesses ask for what waits to be signed, verify it, and hand
//! their signature in; when the quorum of the policy has signed, the checkpoint is published.
//!
//! None of this is an event: there is nothing in it but hashes, and a log that grew by being signed would never come to rest.

use std::sync::atomic::Ordering;

use time::OffsetDateTime;

use super::{Call, Exchange, Stop};
use crate::clock::micros;
use crate::ground::Refusal;
use crate::reason::Reason;
use crate::store::StoreError;
use crate::store::checkpoint::{
    CheckpointRow, CosignatureRow, Waiting, cosignatures, newest_published, newest_signed, uncovered_since, unpublished,
};
use crate::store::tree;
use crate::tlog::{Checkpoint, PublicKey, Tiles, Tree, cosignature};

/// All witnesses are shown the same checkpoint for so long, microseconds: if each signed the newest that it saw, no quorum
/// would ever sign the same one.
const ROUND: i64 = 3_000_000;
/// And one that a witness has signed for so long: the others may be slow.
const BEGUN: i64 = 30_000_000;

/// What became of a witness's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is written down.
    Yes,
    /// It is of a checkpoint that waits no more, or never did.
    TooLate,
    /// No valid signature of a witness of the policy is in it.
    NotAWitness,
}

impl Exchange {
    /// The checkpoint that witnesses are to sign.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn to_sign(&self) -> Result<Option<CheckpointRow>, StoreError> {
        let waiting = unpublished(&mut self.store.reader(), self.log.public().name()).await?;
        Ok(candidate(waiting, self.clock.now()))
    }

    /// Writes down what a witness signed: lines of signatures, under the checkpoint of this size. Publishes it when the quorum
    /// has signed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hear(&self, size: u64, lines: &[u8]) -> Result<Heard, StoreError> {
        let waiting = unpublished(&mut self.store.reader(), self.log.public().name()).await?;
        let row = waiting.into_iter().map(|waiting| waiting.row).find(|row| row.size == size);
        let Some(row) = row else { return Ok(Heard::TooLate) };
        let checkpoint = self.own(&row)?;
        let mut heard = Heard::NotAWitness;
        for witness in self.policy.witnesses() {
            let Some(signature) = cosignature(lines, &checkpoint, &witness.key) else { continue };
            heard = Heard::Yes;
            let cosigned = CosignatureRow {
                origin: row.origin.clone(),
                size,
                witness: witness.key.to_string(),
                line: signature.to_bytes(),
            };
            self.store.cosign_checkpoint(cosigned).await?;
        }
        if heard == Heard::Yes {
            self.publish_if_signed(&row).await?;
        }
        Ok(heard)
    }

    /// Publishes a checkpoint if the quorum has signed it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish_if_signed(&self, row: &CheckpointRow) -> Result<(), StoreError> {
        let checkpoint = self.own(row)?;
        let lines = cosignatures(&mut self.store.reader(), self.log.public().name(), row.size).await?;
        let signed = |(witness, line): &(String, Vec<u8>)| {
            let key: PublicKey = witness.parse().ok()?;
            cosignature(line, &checkpoint, &key)
        };
        let signatures: Vec<_> = lines.iter().filter_map(signed).collect();
        let cosigned = checkpoint.with(&signatures).ok_or(StoreError::Inconsistent("log_cosignature"))?;
        if !self.policy.is_met(&cosigned) {
            return Ok(());
        }
        let published = CheckpointRow { at: micros(self.clock.now()), note: cosigned.to_bytes(), ..row.clone() };
        self.store.publish_checkpoint(published).await
    }

    /// Since when events wait to be under a checkpoint that is shown, whatever they wait for: a place, a signature, witnesses.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn uncovered_since(&self) -> Result<Option<i64>, StoreError> {
        uncovered_since(&mut self.store.reader(), self.log.public().name()).await
    }

    /// Size of the largest tree that this log is known to have signed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn signed_size(&self) -> Result<u64, StoreError> {
        let newest = newest_signed(&mut self.store.reader(), self.log.public().name()).await?;
        Ok(newest.map_or(0, |row| row.size))
    }

    /// Nothing is shown while nobody can hold the log to what it says of that.
    pub(super) fn may_disclose(&self, call: &Call) -> Result<(), Stop> {
        let stopped = call.method.discloses() && self.unwitnessed.load(Ordering::Relaxed);
        if stopped { Err(Stop::own(Refusal::denied(Reason::LogUnavailable))) } else { Ok(()) }
    }

    /// Proof that the tree of a checkpoint holds all of the one of this size, for a witness that signed that one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grown_from(&self, new: &Tree, size: u64) -> Result<Option<Vec<crate::tlog::Hash>>, StoreError> {
        if size > new.size {
            return Ok(None);
        }
        let mut reader = self.store.reader();
        let old = tree::tree(&mut reader, size).await?;
        let new = *new;
        Ok(tree::work_out(&mut reader, &mut Tiles::default(), move |tiles| new.follows(&old, tiles)).await?.flatten())
    }

    /// What the log shows: a checkpoint with the quorum's signatures.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn published(&self) -> Result<Option<CheckpointRow>, StoreError> {
        newest_published(&mut self.store.reader(), self.log.public().name()).await
    }

    fn own(&self, row: &CheckpointRow) -> Result<Checkpoint, StoreError> {
        Checkpoint::open(&row.note, self.log.public()).map_err(|_| StoreError::Inconsistent("log_checkpoint"))
    }
}

/// The one that most witnesses have signed and that is not given up, else the first that was signed in this round, else the newest:
/// the same one whoever asks.
fn candidate(mut waiting: Vec<Waiting>, now: OffsetDateTime) -> Option<CheckpointRow> {
    let now = micros(now);
    let round = now.div_euclid(ROUND) * ROUND;
    waiting.sort_by_key(|waiting| waiting.row.size);
    // The one that most have signed, and of those the newest: nobody signs an older one after it.
    let begun =
        waiting.iter().enumerate().filter(|(_, waiting)| waiting.signatures > 0 && waiting.row.at > now - BEGUN);
    let begun = begun.max_by_key(|(place, waiting)| (waiting.signatures, *place)).map(|(place, _)| place);
    let first = begun.or_else(|| waiting.iter().position(|waiting| waiting.row.at >= round));
    match first {
        Some(first) => Some(waiting.swap_remove(first).row),
        None => waiting.pop().map(|waiting| waiting.row),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn all_witnesses_are_shown_the_same_until_the_round_ends() {
        let row = |size: u64, at: i64| CheckpointRow { origin: String::new(), size, at, note: Vec::new() };
        let begun = |rows: &[(u64, i64)], begun: u64, now: i64| {
            let waiting =
                rows.iter().map(|(size, at)| Waiting { row: row(*size, *at), signatures: i64::from(*size == begun) });
            candidate(waiting.collect(), from_micros(now)).map(|row| row.size)
        };
        let shown = |rows: &[(u64, i64)], now: i64| begun(rows, 0, now);
        let second = 1_000_000;
        assert_eq!(shown(&[], 0), None);
        assert_eq!(shown(&[(5, second)], 2 * second), Some(5));
        assert_eq!(shown(&[(5, second), (6, 2 * second)], 2 * second + 1), Some(5), "the first of the round");
        assert_eq!(
            shown(&[(6, 2 * second), (5, second)], 2 * second + 1),
            Some(5),
            "in whatever order they are stored"
        );
        assert_eq!(shown(&[(5, second), (6, 2 * second)], 3 * second), Some(6), "then the newest");
        assert_eq!(shown(&[(5, second), (6, 2 * second), (7, 4 * second)], 5 * second), Some(7), "of this round");
        assert_eq!(shown(&[(5, second), (7, 4 * second), (8, 5 * second)], 5 * second), Some(7));
        // A slow witness is waited for, and not for ever.
        let rows = [(5, second), (7, 4 * second), (8, 5 * second)];
        assert_eq!(begun(&rows, 5, 20 * second), Some(5));
        assert_eq!(begun(&rows, 5, 31 * second), Some(8));
    }
}
