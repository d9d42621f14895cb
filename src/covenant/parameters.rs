//! `parameters.toml`: terms, limits, retention, thresholds of review and calendar. Unknown keys are refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use time::{Date, Duration, Month, OffsetDateTime};

use super::calendar::Calendar;
use crate::audit::Kind;
use crate::version::{Minimum, Version};

/// All parameters of one covenant version.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub(crate) covenant: Header,
    pub terms: Terms,
    pub limits: Limits,
    pub log: Log,
    pub review: Review,
    /// By class, `B0`–`B6`.
    pub retention: BTreeMap<String, Retention>,
    /// Minimum for agents; without it every version will do.
    #[serde(default, deserialize_with = "versions")]
    pub versions: Option<Minimum>,
    pub calendar: Calendar,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) number: u32,
    pub(crate) valid_from: Day,
    pub(crate) valid_until: Day,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versions {
    /// The oldest agent that is enough.
    agent_min: Version,
    /// First day on which older ones are refused; left out: they are warned.
    #[serde(default)]
    refused_from: Option<Day>,
    /// Where to get a newer one.
    agent_source: String,
}

/// The text goes into a header.
fn versions<'de, D: Deserializer<'de>>(section: D) -> Result<Option<Minimum>, D::Error> {
    let Versions { agent_min, refused_from, agent_source } = Versions::deserialize(section)?;
    if agent_source.is_empty() || agent_source.len() > 200 || !agent_source.bytes().all(|b| (32..127).contains(&b)) {
        return Err(serde::de::Error::custom("agent_source is 1 to 200 printable ASCII characters"));
    }
    let refused_from = refused_from.map(|day| day.0.midnight().assume_utc());
    Ok(Some(Minimum { agent: agent_min, refused_from, source: agent_source }))
}

/// Durations; the unit is in the name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    pub consent_months: u8,
    pub read_window_working_days: u16,
    pub break_glass_hours: u16,
    pub break_glass_review_working_days: u16,
    pub form_reuse_months: u8,
    pub placement_reply_working_days: u16,
    pub open_places_days: u16,
    pub inform_delay_weeks: u8,
    pub rights_answer_months: u8,
    pub exit_notice_months: u8,
    pub breach_report_hours: u16,
    /// For how long a request id is remembered: a repeat within it is the same request.
    pub request_id_hours: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub placement_recipients: u32,
    pub handover_recipients: u32,
    pub reason_min_chars: usize,
    /// Evaluations per partner at the keyholder.
    pub pseudonyms_per_day: u32,
    pub pseudonyms_per_year: u32,
    /// No published cell below this count.
    pub small_cell: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub min_retention_years: u8,
    /// Years that events are kept, by kind: work on cases; partners, certificates and covenant; reading the log.
    pub casus_years: u8,
    pub beheer_years: u8,
    pub log_years: u8,
    /// Hours that checkpoints of the log may wait for its witnesses before nothing is disclosed any more; 0: for ever.
    pub witness_hours: u16,
}

impl Log {
    /// How many years events of a kind are kept.
    pub const fn years(&self, kind: Kind) -> u8 {
        match kind {
            Kind::Casus => self.casus_years,
            Kind::Beheer => self.beheer_years,
            Kind::Log => self.log_years,
        }
    }
}

/// From where a report of the privacy officers gives a signal (REFERENCE §8.2); the unit is in the name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Q2: more than this share of a partner's requests refused.
    pub denial_share_percent: u8,
    /// Q2: this often "not involved" for one employee on one day.
    pub not_involved_per_day: u32,
    /// Q3: more emergencies than this, for each partner.
    pub break_glass_per_month: u32,
    /// Q5: consent that ends within this many days.
    pub consent_expiring_days: u16,
    /// Q5: more than this share of exceptions to the rules of age.
    pub consent_exception_percent: u8,
    /// Q6: a disclosure later than this after its consent was withdrawn.
    pub withdrawal_stop_seconds: u32,
    /// Q9: a clock that went back further than this on one node.
    pub clock_drift_seconds: u32,
    /// Q11: this share of the events of a quarter, for each partner and outcome.
    pub sample_percent: u8,
    /// Q11: and at least this many in a quarter.
    pub sample_minimum: u32,
    /// Q12: an article that nobody used for this long.
    pub article_unused_months: u8,
    /// Q12: more than this share of all requests on one article.
    pub article_share_percent: u8,
    /// Q14: a certificate that ends within this many days.
    pub certificate_amber_days: u16,
    /// Q14: the same, and it is urgent.
    pub certificate_red_days: u16,
}

impl Review {
    fn check(&self) -> Result<(), &'static str> {
        let percents = [
            self.denial_share_percent,
            self.consent_exception_percent,
            self.sample_percent,
            self.article_share_percent,
        ];
        if percents.iter().any(|percent| !(1..=100).contains(percent)) {
            return Err("every percentage of review is 1 to 100");
        }
        if self.not_involved_per_day == 0 || self.sample_minimum == 0 || self.article_unused_months == 0 {
            return Err("review.not_involved_per_day, sample_minimum and article_unused_months are at least 1");
        }
        if self.withdrawal_stop_seconds > 60 {
            return Err("review.withdrawal_stop_seconds is at most 60 (article 35)");
        }
        if self.certificate_red_days > self.certificate_amber_days {
            return Err("review.certificate_red_days is at most certificate_amber_days");
        }
        Ok(())
    }
}

/// How long data of a class is kept: the sum of the parts, from the named moment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// In Dutch, for people.
    pub says: String,
    pub from: RetentionStart,
    #[serde(default)]
    pub hours: u16,
    #[serde(default)]
    pub days: u16,
    #[serde(default)]
    pub months: u16,
    #[serde(default)]
    pub years: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetentionStart {
    /// When it was written.
    Written,
    /// When the case was evaluated (F7).
    Evaluated,
    /// Kept at the source, by its own law.
    Source,
}

impl Log {
    /// The moment so many years ago: what was written before it is older.
    pub fn years_before(now: OffsetDateTime, years: u8) -> OffsetDateTime {
        let year = now.year() - i32::from(years);
        // 29 February counts from the day before.
        let day = now
            .date()
            .replace_year(year)
            .or_else(|_| now.date().replace_day(28).and_then(|day| day.replace_year(year)));
        day.map_or(OffsetDateTime::UNIX_EPOCH, |day| now.replace_date(day))
    }
}

impl Retention {
    /// When data of this class goes, if that is counted from writing.
    pub fn ends_after_writing(&self, written: OffsetDateTime) -> Option<OffsetDateTime> {
        if self.from != RetentionStart::Written {
            return None;
        }
        let months = u16::from(self.years).checked_mul(12)?.checked_add(self.months)?;
        let day = super::consent::add_months(written.date(), months)?;
        let rest = Duration::days(i64::from(self.days)) + Duration::hours(i64::from(self.hours));
        written.replace_date(day).checked_add(rest)
    }
}

/// A day as TOML writes it, without a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "toml::value::Datetime")]
pub(crate) struct Day(pub(crate) Date);

impl TryFrom<toml::value::Datetime> for Day {
    type Error = &'static str;
    fn try_from(value: toml::value::Datetime) -> Result<Self, Self::Error> {
        let (Some(date), None) = (value.date, value.time) else { return Err("write a day, such as 2026-01-01") };
        let month = Month::try_from(date.month).map_err(|_| "no such month")?;
        Date::from_calendar_date(i32::from(date.year), month, date.day).map(Day).map_err(|_| "no such day")
    }
}

impl Parameters {
    /// What the numbers must satisfy beyond their types; the message names the key.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let classes: BTreeSet<&str> = self.retention.keys().map(String::as_str).collect();
        if classes != BTreeSet::from(["B0", "B1", "B2", "B3", "B4", "B5", "B6"]) {
            return Err("retention must have exactly the classes B0 to B6");
        }
        if self.covenant.valid_from >= self.covenant.valid_until {
            return Err("covenant.valid_until must lie after covenant.valid_from");
        }
        let kept = [self.log.casus_years, self.log.beheer_years, self.log.log_years];
        if self.log.min_retention_years < 5 || kept.iter().any(|years| *years < self.log.min_retention_years) {
            return Err("log.min_retention_years is at least 5 and at most casus_years, beheer_years and log_years");
        }
        if self.terms.consent_months == 0 || self.terms.consent_months > 6 {
            return Err("terms.consent_months is 1 to 6 (article 7)");
        }
        self.review.check()?;
        self.calendar.check()
    }
}
