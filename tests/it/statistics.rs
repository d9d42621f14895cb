//! The arithmetic behind the benchmark's tables (`benches/network`).

#[path = "../../benches/network/histogram.rs"]
mod histogram;
#[path = "../../benches/network/stats.rs"]
mod stats;

use std::collections::BTreeSet;

use histogram::Histogram;
use stats::{Estimate, Reach, Verdict, estimate, median, order, quantile, ratios};

#[test]
fn medians_and_quantiles() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(quantile(&[10.0, 20.0, 30.0], 0.0), Some(10.0));
    assert_eq!(quantile(&[10.0, 20.0, 30.0], 1.0), Some(30.0));
    assert_eq!(quantile(&[10.0, 20.0, 30.0], 0.75), Some(25.0));
}

#[test]
fn an_interval_holds_the_median_and_narrows_with_more_rounds() {
    let values: Vec<f64> = (0..200).map(|n| 1.0 + f64::from(n * 37 % 101) / 100.0).collect();
    let few = estimate(&values[..8]).unwrap();
    let many = estimate(&values).unwrap();
    for one in [few, many] {
        assert!(one.low <= one.mid && one.mid <= one.high, "{one:?}");
    }
    assert!(many.high - many.low < few.high - few.low, "{few:?} {many:?}");
    assert_eq!(estimate(&values), Some(many), "the same values, the same interval");
    assert_eq!(estimate(&[2.0; 12]), Some(Estimate { low: 2.0, mid: 2.0, high: 2.0 }));
    assert_eq!(estimate(&[]), None);
    // One wild round of twelve moves neither median nor interval far.
    let mut wild = vec![1.0; 11];
    wild.push(50.0);
    assert!(estimate(&wild).unwrap().high < 2.0);
}

#[test]
fn a_target_is_missed_only_by_the_whole_interval() {
    let at = |low, mid, high| Estimate { low, mid, high };
    let cases = [
        (Reach::AtLeast(0.9), at(0.85, 0.95, 1.0), Verdict::Reached),
        (Reach::AtLeast(0.9), at(0.8, 0.88, 0.91), Verdict::Unclear),
        (Reach::AtLeast(0.9), at(0.7, 0.8, 0.89), Verdict::Missed),
        (Reach::AtMost(3.5), at(3.0, 3.4, 3.9), Verdict::Reached),
        (Reach::AtMost(3.5), at(3.4, 3.6, 3.9), Verdict::Unclear),
        (Reach::AtMost(3.5), at(3.6, 3.7, 3.9), Verdict::Missed),
        (Reach::Between(0.8, 1.25), at(0.7, 1.0, 1.3), Verdict::Reached),
        (Reach::Between(0.8, 1.25), at(1.3, 1.4, 1.5), Verdict::Missed),
        (Reach::Between(0.8, 1.25), at(0.75, 0.79, 0.85), Verdict::Unclear),
        (Reach::AtLeast(0.9), at(f64::NAN, f64::NAN, f64::NAN), Verdict::Missed),
    ];
    for (reach, estimate, verdict) in cases {
        assert_eq!(reach.judge(&estimate), verdict, "{reach:?} {estimate:?}");
    }
}

#[test]
fn intervals_overlap_or_do_not() {
    let at = |low, high| Estimate { low, mid: f64::midpoint(low, high), high };
    assert!(at(1.0, 2.0).overlaps(&at(1.9, 3.0)));
    assert!(!at(1.0, 2.0).overlaps(&at(2.1, 3.0)));
    assert!(!at(2.1, 3.0).overlaps(&at(1.0, 2.0)));
}

#[test]
fn ratios_are_of_one_round_and_never_of_nothing() {
    assert_eq!(ratios(&[1.0, 4.0, 9.0], &[2.0, 2.0, 0.0]), [0.5, 2.0]);
}

#[test]
fn every_round_has_all_in_another_order() {
    for count in [0, 1, 2, 5, 12] {
        for round in 0..6 {
            let all: BTreeSet<usize> = order(count, round).into_iter().collect();
            assert_eq!(all, (0..count).collect(), "{count} in round {round}");
        }
    }
    let orders: BTreeSet<Vec<usize>> = (0..10).map(|round| order(5, round)).collect();
    assert!(orders.len() >= 5, "{orders:?}");
    // Nobody always follows the same one.
    for one in 0..5 {
        let before: BTreeSet<Option<usize>> = (0..10)
            .map(|round| {
                let order = order(5, round);
                let place = order.iter().position(|nth| *nth == one).unwrap();
                place.checked_sub(1).map(|before| order[before])
            })
            .collect();
        assert!(before.len() > 1, "{one} always follows {before:?}");
    }
}

#[test]
fn a_histogram_is_right_within_its_buckets_and_adds_up() {
    let mut all = Histogram::default();
    let mut parts = [Histogram::default(), Histogram::default()];
    let values: Vec<u64> = (1..=10_000).map(|n: u64| n * n * 37).collect();
    for (nth, value) in values.iter().enumerate() {
        all.add(*value);
        parts[nth % 2].add(*value);
    }
    let mut sum = Histogram::default();
    parts.iter().for_each(|part| sum.merge(part));
    assert_eq!(sum, all);
    assert_eq!(all.len(), 10_000);
    for q in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
        let exact = values[(q * 10_000.0) as usize - 1] as f64;
        let found = all.quantile(q);
        assert!((found / exact - 1.0).abs() < 0.016, "{q}: {found} for {exact}");
    }
    assert!(Histogram::default().quantile(0.5).abs() < f64::EPSILON);
    // The ends of the range and the seams between buckets.
    for value in [0, 1, 63, 64, 65, 127, 128, 129, 255, 256, 1 << 40, u64::MAX] {
        let mut one = Histogram::default();
        one.add(value);
        let found = one.quantile(0.5);
        assert!((found - value as f64).abs() <= value as f64 * 0.016 + 0.5, "{found} for {value}");
    }
}
