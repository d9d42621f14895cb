//! Reports for privacy officers and the overview for families, from events of the log. Pure: the same events, in whatever
//! order, give the same bytes, and no report knows what time it is (REFERENCE §8.2, §8.3).
//!
//! ```text
//! events ─► Reports::add ─► one gatherer for each question ─► Reports::finish ─► Report ─► Markdown, JSON, CSV
//!        └► overview ─► Overview, in words that a family reads ─► the same
//! ```
//!
//! A report says only what events and directory tell. What they do not tell is named in it, and a report of which nothing
//! is known says so and nothing else: an empty table never passes for a good result.
//!
//! Memory: counts, plus some sixty bytes for an event that may be drawn for review and as much for one that a case's
//! story needs. A million events take one to two hundred megabytes.

mod model;

mod setting;
mod suppliers;

mod day;
mod line;
mod trail;

mod access;
mod certificates;
mod consent;
mod denials;
mod disclosures;
mod emergency;
mod head;
mod integrity;
mod monitor;
mod retention;
mod rights;
mod sample;
mod usage;

mod render;

mod family;

pub use day::begin as day_begins;
pub use family::{Ask, Entry, Overview, overview};
pub use model::{Availability, Cell, Code, Language, Level, Report, Signal, Table, Text};
pub use render::{File, csv, json, markdown};
pub use setting::{Integrity, Scope, Setting, Terms};

use crate::api::v1;
use line::Line;

/// Gathers events for all reports at once.
pub struct Reports {
    setting: Setting,
    unread: u64,
    erased: u64,
    disclosures: disclosures::Disclosures,
    denials: denials::Denials,
    emergency: emergency::Emergencies,
    trail: trail::Trail,
    consent: consent::Consents,
    readers: integrity::Readers,
    retention: retention::Retention,
    rights: rights::Rights,
    monitor: monitor::Monitor,
    sample: sample::Sample,
    usage: usage::Usage,
    suppliers: suppliers::Suppliers,
    certificates: certificates::Certificates,
}

impl Reports {
    /// Starts without events.
    pub fn new(setting: Setting) -> Self {
        let sample = sample::Sample::new(&setting);
        Self {
            setting,
            unread: 0,
            erased: 0,
            disclosures: disclosures::Disclosures::default(),
            denials: denials::Denials::default(),
            emergency: emergency::Emergencies::default(),
            trail: trail::Trail::default(),
            consent: consent::Consents::default(),
            readers: integrity::Readers::default(),
            retention: retention::Retention::default(),
            rights: rights::Rights::default(),
            monitor: monitor::Monitor::default(),
            sample,
            usage: usage::Usage::default(),
            suppliers: suppliers::Suppliers::default(),
            certificates: certificates::Certificates::default(),
        }
    }

    /// What was found when these events were held against the log.
    pub fn held(&mut self, unproven: u64, clock_back_seconds: u64) {
        if let Some(integrity) = &mut self.setting.integrity {
            integrity.unproven = Some(unproven);
            integrity.clock_back_seconds = Some(clock_back_seconds);
        }
    }

    /// Takes an event that the reader may see: each once, in any order. One from before the period is history; one from
    /// after it, or after the moment as of which the reports speak, is left out.
    pub fn add(&mut self, event: &v1::Event) {
        let Some(line) = Line::read(event) else {
            self.unread += 1;
            return;
        };
        if line.at >= self.setting.until || line.at > self.setting.as_of {
            return;
        }
        let counted = line.at >= self.setting.from;
        self.trail.add(&line, counted);
        self.consent.add(&line, counted);
        self.retention.add(&line, counted, &self.setting);
        if counted {
            self.erased += u64::from(!event.erased.is_empty());
            self.disclosures.add(&line, &self.setting.terms);
            self.denials.add(&line);
            self.emergency.add(&line);
            self.readers.add(&line);
            self.rights.add(&line);
            self.monitor.add(&line);
            self.sample.add(&line);
            self.usage.add(&line);
            self.suppliers.add(&line);
            self.certificates.add(&line);
        }
    }

    /// All reports, Q1 to Q15.
    pub fn finish(self) -> Vec<Report> {
        let setting = &self.setting;
        let found = self.trail.finish(setting);
        let mut disclosures = self.disclosures.finish(setting, &found);
        disclosures.tables.extend(self.suppliers.table(setting));
        let mut reports = vec![
            disclosures,
            self.denials.finish(setting),
            self.emergency.finish(setting),
            access::without_role(setting, &found),
            self.consent.health(setting),
            self.consent.withdrawals(setting),
            self.retention.finish(setting, self.erased),
            self.rights.finish(setting),
            self.readers.finish(setting),
            access::misrouting(setting, &found),
            self.sample.finish(setting),
            self.usage.finish(setting),
            self.monitor.finish(setting),
            self.certificates.finish(setting),
            head::breaches(setting),
        ];
        for report in &mut reports {
            head::remark(report, self.unread, self.erased);
        }
        reports
    }
}

#[cfg(test)]
mod tests;
