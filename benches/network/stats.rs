//! Medians with intervals, and what they say about a target. Pure; tested in `tests/it/statistics.rs`.

use serde::{Deserialize, Serialize};

/// Resamples behind an interval: enough for two stable digits.
const RESAMPLES: usize = 2_000;

/// A median with the range in which nine of ten resamples have theirs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Estimate {
    /// 5 %.
    pub(crate) low: f64,
    /// The median.
    pub(crate) mid: f64,
    /// 95 %.
    pub(crate) high: f64,
}

impl Estimate {
    /// Whether both may be the same number.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reach {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// From the first to the second.
    Between(f64, f64),
}

/// Whether it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// The median is on the right side.
    Reached,
    /// The median is on the wrong side, and part of its interval on the right one.
    Unclear,
    /// The whole interval is on the wrong side.
    Missed,
}

impl Reach {
    /// Judges an estimate.
    pub(crate) fn judge(self, estimate: &Estimate) -> Verdict {
        let (least, most) = match self {
            Self::AtLeast(least) => (least, f64::INFINITY),
            Self::AtMost(most) => (f64::NEG_INFINITY, most),
            Self::Between(least, most) => (least, most),
        };
        if (least..=most).contains(&estimate.mid) {
            Verdict::Reached
        } else if estimate.high < least || estimate.low > most || !estimate.mid.is_finite() {
            Verdict::Missed
        } else {
            Verdict::Unclear
        }
    }
}

/// The value below which a share `q` of the values lies, between neighbours in proportion. `None` of nothing.
pub(crate) fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    of_sorted(&sorted, q)
}

/// The median.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

fn of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q.clamp(0.0, 1.0) * (sorted.len().checked_sub(1)? as f64);
    let below = sorted.get(place.floor() as usize)?;
    let above = sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

/// The median of the values with its 5–95 % interval by bootstrap. The same values give the same interval.
pub(crate) fn estimate(values: &[f64]) -> Option<Estimate> {
    let mid = median(values)?;
    let mut random = SplitMix(0x5eed);
    let mut medians = Vec::with_capacity(RESAMPLES);
    let mut drawn = Vec::with_capacity(values.len());
    for _ in 0..RESAMPLES {
        drawn.clear();
        drawn.extend((0..values.len()).filter_map(|_| values.get(random.below(values.len()))));
        drawn.sort_by(f64::total_cmp);
        medians.extend(of_sorted(&drawn, 0.5));
    }
    medians.sort_by(f64::total_cmp);
    Some(Estimate { low: of_sorted(&medians, 0.05)?, mid, high: of_sorted(&medians, 0.95)? })
}

/// Quotients of the values with the same place; a divisor of nothing leaves its place out.
pub(crate) fn ratios(over: &[f64], under: &[f64]) -> Vec<f64> {
    over.iter().zip(under).filter(|(_, under)| **under > 0.0).map(|(over, under)| over / under).collect()
}

/// The order of `count` things in a round: started elsewhere and walked the other way every time, so that none always
/// follows the same one.
pub(crate) fn order(count: usize, round: usize) -> Vec<usize> {
    let turned = (0..count).map(|place| (place + round / 2) % count.max(1));
    if round.is_multiple_of(2) { turned.collect() } else { turned.rev().collect() }
}

/// A small generator (Steele, Lea, Flood 2014): an interval needs no better one, and the same one every time.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z % (bound.max(1) as u64)).unwrap_or(0)
    }
}
