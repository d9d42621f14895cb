//! Working days. Outside the years whose holidays are known there is no answer: never a guess.

use std::collections::BTreeSet;

use serde::Deserialize;
use time::{Date, Duration, Weekday};

use super::parameters::Day;

/// The days that are no working day, besides Saturday and Sunday.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    years: BTreeSet<i32>,
    holidays: BTreeSet<Day>,
}

/// The day lies in a year whose holidays are not in `parameters.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the holidays of this year are not known: add them to parameters.toml")]
pub struct UnknownYear;

impl Calendar {
    /// Whether people work on this day.
    pub fn is_working_day(&self, day: Date) -> Result<bool, UnknownYear> {
        if !self.years.contains(&day.year()) {
            return Err(UnknownYear);
        }
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        Ok(!weekend && !self.holidays.contains(&Day(day)))
    }

    /// The `count`-th working day after `day`; `day` itself for 0. A term of ten working days that starts at `day` may
    /// still be used on the day that this returns.
    pub fn add_working_days(&self, day: Date, count: u16) -> Result<Date, UnknownYear> {
        let mut day = day;
        let mut left = count;
        while left > 0 {
            day = day.checked_add(Duration::DAY).ok_or(UnknownYear)?;
            if self.is_working_day(day)? {
                left -= 1;
            }
        }
        Ok(day)
    }

    /// How many working days lie after `from` up to and including `to`; 0 if `to` is not later.
    pub fn working_days_between(&self, from: Date, to: Date) -> Result<u32, UnknownYear> {
        let mut count = 0;
        let mut day = from;
        while day < to {
            day = day.checked_add(Duration::DAY).ok_or(UnknownYear)?;
            count += u32::from(self.is_working_day(day)?);
        }
        Ok(count)
    }

    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.holidays.iter().any(|day| !self.years.contains(&day.0.year())) {
            return Err("calendar.holidays holds a day outside calendar.years");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::covenant::Covenant;

    fn calendar() -> Calendar {
        Covenant::embedded().unwrap().parameters().calendar.clone()
    }

    #[test]
    fn working_days_skip_weekends_and_holidays() {
        let calendar = calendar();
        for (from, count, expected) in [
            (date!(2026 - 11 - 20), 0, date!(2026 - 11 - 20)),
            (date!(2026 - 11 - 20), 1, date!(2026 - 11 - 23)),
            (date!(2026 - 11 - 20), 10, date!(2026 - 12 - 04)),
            (date!(2026 - 04 - 02), 1, date!(2026 - 04 - 07)),
            (date!(2026 - 12 - 24), 1, date!(2026 - 12 - 28)),
            (date!(2027 - 05 - 04), 1, date!(2027 - 05 - 07)),
        ] {
            let day = calendar.add_working_days(from, count).unwrap();
            assert_eq!(day, expected, "{from} + {count}");
            assert_eq!(calendar.working_days_between(from, day), Ok(u32::from(count)));
        }
    }

    #[test]
    fn unknown_years_give_no_answer() {
        let calendar = calendar();
        assert_eq!(calendar.is_working_day(date!(2029 - 01 - 02)), Err(UnknownYear));
        assert_eq!(calendar.add_working_days(date!(2028 - 12 - 29), 1), Err(UnknownYear));
        assert_eq!(calendar.add_working_days(Date::MAX, 1), Err(UnknownYear));
        assert_eq!(calendar.working_days_between(date!(2026 - 01 - 05), date!(2026 - 01 - 01)), Ok(0));
    }
}
