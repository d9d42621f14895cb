//! Days, months and quarters as the Netherlands count them: UTC+1, and UTC+2 between the last Sundays of March and October.

use time::{Date, Duration, Month, OffsetDateTime, Weekday};

/// The day on which somebody in the Netherlands saw it happen.
pub(super) fn local(at: OffsetDateTime) -> Date {
    let at = at.to_offset(time::UtcOffset::UTC);
    let hours = if is_summer(at) { 2 } else { 1 };
    at.checked_add(Duration::hours(hours)).unwrap_or(at).date()
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
