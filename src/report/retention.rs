//! Q7: which events are past their term and still say what they said, and what was erased under which ground.

use std::collections::BTreeMap;

use time::{Date, Duration};

use super::head;
use super::line::{Line, event_name};
use super::model::{Cell, Code, Level, Report, Table, Text, row, text};
use super::setting::Setting;
use crate::audit::Kind;
use crate::covenant::parameters::Log;

/// The hub looks every hour and erases some thousands at a time.
const GRACE: Duration = Duration::DAY;
/// Groups that every event has.
const GROUPS: [&str; 6] = ["actor", "subject", "case", "data", "decision", "network"];

fn words(kind: Kind) -> Text {
    match kind {
        Kind::Casus => text("werk aan casussen", "work on cases"),
        Kind::Beheer => text("beheer", "administration"),
        Kind::Log => text("lezen van het log", "reading the log"),
    }
}

/// An erasure that was carried out.
struct Erasure {
    day: Date,
    organisation: String,
    ground: String,
}

/// Counts events past their term, and keeps erasures.
#[derive(Default)]
pub(super) struct Retention {
    /// Past their term; of those, with something left.
    past: BTreeMap<Kind, (u64, u64)>,
    erasures: BTreeMap<(i64, u128), Erasure>,
}

impl Retention {
    /// History counts as well: what is past its term is old.
    pub(super) fn add(&mut self, line: &Line<'_>, counted: bool, setting: &Setting) {
        let kind = Kind::of(&line.event.method);
        let log = &setting.terms.log;
        if line.at < Log::years_before(setting.as_of.saturating_sub(GRACE), log.years(kind)) {
            let (past, left) = self.past.entry(kind).or_default();
            *past += 1;
            *left += u64::from(GROUPS.iter().any(|group| !line.has_lost(group)));
        }
        if counted && line.is_allowed() && line.method() == "Audit/EraseEvents" {
            let (organisation, ground) = (line.organisation.to_owned(), line.event.motivation.clone());
            self.erasures.insert((line.micros, line.id), Erasure { day: line.day, organisation, ground });
        }
    }

    /// `erased`: events of the period of which something was erased.
    pub(super) fn finish(self, setting: &Setting, erased: u64) -> Report {
        let mut report = head::report(Code::Q7, setting);
        let lacks = text(
            "Geen gebeurtenis noemt tot wanneer een stuk, toestemming of casus wordt bewaard, en vernietiging daarvan (B0–B3, B5) geeft geen \
             gebeurtenis: of daarvan iets over zijn termijn is, en wat is vernietigd, staat niet in het log.",
            "No event tells until when a record, consent or case is kept, and destroying it (B0–B3, B5) leaves no event: whether any of \
             it is past its term, and what was destroyed, does not stand in the log.",
        );
        if erased == 0 && self.past.is_empty() && self.erasures.is_empty() {
            return report.missing(lacks);
        }
        report.lacks(lacks);
        let columns = [("Soort", "Kind"), ("Aantal", "Count")];
        let kind = text("gebeurtenissen waarvan gegevens zijn gewist", "events of which data was erased");
        report.tables.push(Table::new(("Gewist", "Erased"), &columns).with([row![kind, erased]]));
        self.overdue(setting, &mut report);
        let columns = [("Dag", "Day"), ("Gebeurtenis", "Event"), ("Door", "By"), ("Grond", "Ground")];
        let rows = self.erasures.into_iter().map(|((_, id), erasure)| {
            let by = match erasure.organisation.as_str() {
                "" => Cell::from(text("de voorziening zelf", "the service itself")),
                oin => Cell::from(setting.who(oin)),
            };
            row![erasure.day, event_name(id), by, erasure.ground]
        });
        report.tables.push(Table::new(("Bewijs van wissen", "Proof of erasing"), &columns).with(rows));
        report.notes.push(text(
            "Welke gebeurtenissen een wissing leegde, en welke groepen, staat in haar blad in de boom (sluis audit prove).",
            "Which events an erasure emptied, and which groups of them, stands in its leaf in the tree (sluis audit prove).",
        ));
        report
    }

    /// Events that should be empty by now, as far as they were read.
    fn overdue(&self, setting: &Setting, report: &mut Report) {
        if !setting.since_start {
            report.lacks(text(
                "Alleen gelezen gebeurtenissen zijn op ouderdom beoordeeld; oudere niet (geef met --since het begin van het log).",
                "Only events that were read were judged by their age; older ones not (name the beginning of the log with --since).",
            ));
        }
        let (past, left) = self.past.values().fold((0, 0), |(past, left), one| (past + one.0, left + one.1));
        if past > 0 {
            let bad = text(
                format!("{left} gebeurtenissen zijn over hun bewaartermijn en niet leeg"),
                format!("{left} events are past their term and not empty"),
            );
            let good =
                text("wat gelezen is en over zijn termijn is, is leeg", "what was read and is past its term is empty");
            report.judge(left, Level::Red, bad, good);
        }
        let columns =
            [("Soort", "Kind"), ("Jaren", "Years"), ("Over de termijn", "Past the term"), ("Niet leeg", "Not empty")];
        let rows = self
            .past
            .iter()
            .map(|(&kind, (past, left))| row![words(kind), u64::from(setting.terms.log.years(kind)), *past, *left]);
        report.tables.push(Table::new(("Logregels (B4)", "Log events (B4)"), &columns).with(rows));
    }
}
