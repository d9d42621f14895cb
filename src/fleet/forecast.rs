//! How many certificates end in each of the coming months. Months are those of UTC, in which certificates say when they end.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::Certificate;

/// Months that are looked ahead, the present one included.
pub const MONTHS: usize = 24;

/// What is to be renewed, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Have ended already, and nobody said that they are not needed.
    pub ended: usize,
    /// One after the other, those without any too.
    pub months: Vec<Month>,
    /// End after the last of these months.
    pub later: usize,
}

/// One month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month {
    /// `2027-01`
    pub name: String,
    /// Certificates that end in it.
    pub renewals: usize,
    /// Of how many organisations.
    pub organisations: usize,
}

impl Forecast {
    pub(super) fn of<'c>(certificates: impl Iterator<Item = &'c Certificate>, now: OffsetDateTime) -> Self {
        let first = nth(now);
        let mut months = vec![(0, BTreeSet::new()); MONTHS];
        let (mut ended, mut later) = (0, 0);
        for one in certificates {
            let month = usize::try_from(nth(one.end) - first).ok().and_then(|place| months.get_mut(place));
            match month {
                _ if one.end <= now => ended += 1,
                Some((renewals, organisations)) => {
                    *renewals += 1;
                    organisations.insert(one.oin.as_str());
                }
                None => later += 1,
            }
        }
        let months = (first..).zip(months).map(|(nth, (renewals, organisations))| Month {
            name: format!("{:04}-{:02}", nth.div_euclid(12), nth.rem_euclid(12) + 1),
            renewals,
            organisations: organisations.len(),
        });
        Self { ended, months: months.collect(), later }
    }
}

/// Months since the year 0.
fn nth(at: OffsetDateTime) -> i32 {
    let day = at.to_offset(time::UtcOffset::UTC).date();
    day.year() * 12 + i32::from(u8::from(day.month())) - 1
}
