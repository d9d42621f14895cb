//! When it is said that a certificate ends, and the words of the event that says it. Pure.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The method under which the hub's own warnings stand in the log: it looks at the certificates that it knows.
pub const METHOD: &str = "sluis.v1.Registry/ListCertificates";

/// How near the end is; the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Too late to order one the ordinary way: an alarm.
    Days7,
    /// Two months are gone.
    Days30,
    /// A month is gone.
    Days60,
    /// Time to order the next one.
    Days90,
}

impl Step {
    /// Every step, the nearest to the end first.
    pub const ALL: [Self; 4] = [Self::Days7, Self::Days30, Self::Days60, Self::Days90];

    /// Whole days that are left when it begins.
    pub const fn days(self) -> u8 {
        match self {
            Self::Days7 => 7,
            Self::Days30 => 30,
            Self::Days60 => 60,
            Self::Days90 => 90,
        }
    }

    /// The step that was passed last, by the days that are left; `None` when there is time.
    pub fn passed(days_left: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|step| days_left <= i64::from(step.days()))
    }

    /// The step with so many days.
    pub fn of_days(days: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|step| days == i64::from(step.days()))
    }
}

/// What an event says of a certificate: which it is stands in it as the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// How near the end is.
    pub step: Step,
    /// The end of its validity.
    pub end: OffsetDateTime,
}

const BEFORE: &str = "the certificate ends ";
const BETWEEN: &str = ", within ";
const AFTER: &str = " days";

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.end.format(&Rfc3339).map_err(|_| fmt::Error)?;
        write!(f, "{BEFORE}{end}{BETWEEN}{}{AFTER}", self.step.days())
    }
}

/// Other words than those of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no warning")]
pub struct NoWarning;

impl FromStr for Warning {
    type Err = NoWarning;

    fn from_str(text: &str) -> Result<Self, NoWarning> {
        let inner = text.strip_prefix(BEFORE).and_then(|text| text.strip_suffix(AFTER)).ok_or(NoWarning)?;
        let (end, days) = inner.split_once(BETWEEN).ok_or(NoWarning)?;
        let end = OffsetDateTime::parse(end, &Rfc3339).map_err(|_| NoWarning)?;
        let step = days.parse().ok().and_then(Step::of_days).ok_or(NoWarning)?;
        Ok(Self { step, end })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_steps_are_days_that_are_left() {
        for (days, expected) in [
            (400, None),
            (91, None),
            (90, Some(Step::Days90)),
            (61, Some(Step::Days90)),
            (60, Some(Step::Days60)),
            (31, Some(Step::Days60)),
            (30, Some(Step::Days30)),
            (8, Some(Step::Days30)),
            (7, Some(Step::Days7)),
            (0, Some(Step::Days7)),
            (-3, Some(Step::Days7)),
        ] {
            assert_eq!(Step::passed(days), expected, "{days}");
        }
        assert!(Step::ALL.is_sorted() && Step::ALL.map(Step::days).is_sorted());
    }

    #[test]
    fn a_warning_reads_back_and_other_words_do_not() {
        for step in Step::ALL {
            for end in [datetime!(2027-01-31 12:00 UTC), datetime!(2027-01-31 12:00:00.000_001 UTC)] {
                let warning = Warning { step, end };
                assert_eq!(warning.to_string().parse(), Ok(warning));
            }
        }
        let good = "the certificate ends 2027-01-31T12:00:00Z, within 30 days";
        assert!(good.parse::<Warning>().is_ok());
        for bad in [
            "",
            "first call with this key",
            "the certificate ends 2027-01-31T12:00:00Z, within 31 days",
            "the certificate ends 2027-01-31T12:00:00Z, within -30 days",
            "the certificate ends soon, within 30 days",
            "the certificate ends 2027-01-31T12:00:00Z within 30 days",
            "the certificate ends 2027-01-31T12:00:00Z, within 30 days, or so",
        ] {
            assert_eq!(bad.parse::<Warning>(), Err(NoWarning), "{bad}");
        }
    }
}
