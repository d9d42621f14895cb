//! What witnesses say of the log's checkpoints. Agents that are witnesses ask for what waits to be signed, verify it, and hand
//! their signature in; when the quorum of the policy has signed, the checkpoint is published.
//!
//! None of this is an event: there is nothing in it but hashes, and a log that grew by being signed would never come to rest.

use time::OffsetDateTime;

use super::Exchange;
use crate::clock::micros;
use crate::store::StoreError;
use crate::store::checkpoint::{CheckpointRow, CosignatureRow, cosignatures, newest_published, unpublished};
use crate::store::tree;
use crate::tlog::{Checkpoint, PublicKey, Tiles, Tree, cosignature};

/// All witnesses are shown the same checkpoint for so long, microseconds: if each signed the newest that it saw, no quorum
/// would ever sign the same one.
const ROUND: i64 = 3_000_000;

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
        let Some(row) = waiting.into_iter().find(|row| row.size == size) else { return Ok(Heard::TooLate) };
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

    /// Since when checkpoints wait for witnesses.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unwitnessed_since(&self) -> Result<Option<i64>, StoreError> {
        let waiting = unpublished(&mut self.store.reader(), self.log.public().name()).await?;
        Ok(waiting.iter().map(|row| row.at).min())
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

/// The first that was signed in this round, or the newest: the same one whoever asks, until it is published or the round ends.
fn candidate(mut waiting: Vec<CheckpointRow>, now: OffsetDateTime) -> Option<CheckpointRow> {
    let round = micros(now).div_euclid(ROUND) * ROUND;
    waiting.sort_by_key(|row| row.size);
    let first = waiting.iter().position(|row| row.at >= round);
    match first {
        Some(first) => Some(waiting.swap_remove(first)),
        None => waiting.pop(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn all_witnesses_are_shown_the_same_until_the_round_ends() {
        let row = |size: u64, at: i64| CheckpointRow { origin: String::new(), size, at, note: Vec::new() };
        let shown = |rows: &[(u64, i64)], now: i64| {
            candidate(rows.iter().map(|(size, at)| row(*size, *at)).collect(), from_micros(now)).map(|row| row.size)
        };
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
    }
}
