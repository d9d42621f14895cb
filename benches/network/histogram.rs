//! Latencies in buckets that are at most 1.6 % wide, so that a million calls fit in a line of text and the runs of many
//! rounds add up. Pure; tested in `tests/it/statistics.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Buckets for each power of two, as a power of two.
const FINE: u32 = 6;

/// Counts by bucket of nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Histogram {
    counts: BTreeMap<u32, u64>,
}

impl Histogram {
    /// Counts one.
    pub(crate) fn add(&mut self, nanos: u64) {
        *self.counts.entry(bucket(nanos)).or_default() += 1;
    }

    /// Counts all that another one has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            *self.counts.entry(*bucket).or_default() += count;
        }
    }

    /// How many were counted.
    pub(crate) fn len(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Nanoseconds within which a share `q` of the calls ended; 0 of none.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let rank = (q.clamp(0.0, 1.0) * self.len() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return middle(*bucket);
            }
        }
        0.0
    }
}

/// Values below 2^FINE have a bucket each; above, the leading FINE + 1 bits tell the bucket.
fn bucket(nanos: u64) -> u32 {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(FINE + 1);
    let leading = u32::try_from(nanos >> shift).unwrap_or(u32::MAX);
    (shift << FINE) + leading
}

/// The middle of a bucket, in nanoseconds.
fn middle(bucket: u32) -> f64 {
    // Within an octave `leading` runs from 2^FINE to 2^(FINE+1) - 1: one more than its shift says.
    let shift = (bucket >> FINE).saturating_sub(1);
    let leading = bucket - (shift << FINE);
    let width = 2_f64.powi(i32::try_from(shift).unwrap_or(0));
    f64::from(leading) * width + (width - 1.0) / 2.0
}
