//! Days, months and quarters as the Netherlands count them: UTC+1, and UTC+2 between the last Sundays of March and October.

use time::{Date, Duration, Month, OffsetDateTime, Weekday};

/// The day on which somebody in the Netherlands saw it happen.
pub(super) fn local(at: OffsetDateTime) -> Date {
    let at = at.to_offset(time::UtcOffset::UTC);
    let hours = if is_summer(at) { 2 } else { 1 };
    at.checked_add(Duration::hours(hours)).unwrap_or(at).date()
}

/// The first moment of a day in the Netherlands. Clocks change at night, and never at midnight: there is exactly one.
pub fn begin(day: Date) -> OffsetDateTime {
    let midnight = day.midnight().assume_utc();
    let summer = midnight.saturating_sub(Duration::hours(2));
    if is_summer(summer) { summer } else { midnight.saturating_sub(Duration::HOUR) }
}

/// `2026-11`.
pub(super) fn month(day: Date) -> String {
    format!("{}-{:02}", day.year(), u8::from(day.month()))
}

/// `2026-K4`: kwartaal.
pub(super) fn quarter(day: Date) -> String {
    format!("{}-K{}", day.year(), (u8::from(day.month()) - 1) / 3 + 1)
}

/// Clocks change at 01:00 UTC.
fn is_summer(at: OffsetDateTime) -> bool {
    let change = |month| last_sunday(at.year(), month).map(|day| day.midnight().assume_utc() + Duration::HOUR);
    matches!((change(Month::March), change(Month::October)), (Some(start), Some(end)) if start <= at && at < end)
}

/// March and October both have 31 days.
fn last_sunday(year: i32, month: Month) -> Option<Date> {
    let last = Date::from_calendar_date(year, month, 31).ok()?;
    let back = i64::from(last.weekday().number_days_from_sunday());
    debug_assert!((last - Duration::days(back)).weekday() == Weekday::Sunday);
    last.checked_sub(Duration::days(back))
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn days_follow_the_dutch_clock() {
        for (at, day) in [
            (datetime!(2026-01-01 22:59:59 UTC), date!(2026 - 01 - 01)),
            (datetime!(2026-01-01 23:00 UTC), date!(2026 - 01 - 02)),
            (datetime!(2026-07-01 21:59:59 UTC), date!(2026 - 07 - 01)),
            (datetime!(2026-07-01 22:00 UTC), date!(2026 - 07 - 02)),
            // The days on which clocks change, 29 March and 25 October.
            (datetime!(2026-03-28 22:30 UTC), date!(2026 - 03 - 28)),
            (datetime!(2026-03-29 22:30 UTC), date!(2026 - 03 - 30)),
            (datetime!(2026-10-24 22:30 UTC), date!(2026 - 10 - 25)),
            (datetime!(2026-10-25 22:30 UTC), date!(2026 - 10 - 25)),
        ] {
            assert_eq!(local(at), day, "{at}");
        }
    }

    #[test]
    fn a_day_begins_at_dutch_midnight() {
        for (day, at) in [
            (date!(2026 - 01 - 01), datetime!(2025-12-31 23:00 UTC)),
            (date!(2026 - 07 - 01), datetime!(2026-06-30 22:00 UTC)),
            // The days on which clocks change, and those after them.
            (date!(2026 - 03 - 29), datetime!(2026-03-28 23:00 UTC)),
            (date!(2026 - 03 - 30), datetime!(2026-03-29 22:00 UTC)),
            (date!(2026 - 10 - 25), datetime!(2026-10-24 22:00 UTC)),
            (date!(2026 - 10 - 26), datetime!(2026-10-25 23:00 UTC)),
        ] {
            assert_eq!(begin(day), at, "{day}");
        }
        let mut day = date!(2026 - 01 - 01);
        while day < date!(2029 - 01 - 01) {
            let first = begin(day);
            assert_eq!((local(first), local(first - Duration::MICROSECOND)), (day, day - Duration::DAY));
            day += Duration::DAY;
        }
        // Where there is no earlier moment, as late as can be.
        assert_eq!(begin(Date::MIN), Date::MIN.midnight().assume_utc());
    }

    #[test]
    fn months_and_quarters() {
        assert_eq!(month(date!(2026 - 03 - 31)), "2026-03");
        for (day, expected) in [
            (date!(2026 - 01 - 01), "2026-K1"),
            (date!(2026 - 03 - 31), "2026-K1"),
            (date!(2026 - 04 - 01), "2026-K2"),
            (date!(2026 - 12 - 31), "2026-K4"),
        ] {
            assert_eq!(quarter(day), expected);
        }
    }
}
