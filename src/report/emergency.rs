//! Q3: every use of break-glass (article 30).

use std::collections::BTreeMap;

use super::day::month;
use super::head;
use super::line::{Line, event_name};
use super::model::{Code, Level, Report, Table, Text, row, text};
use super::setting::Setting;
use crate::api::v1;

/// One use, or attempt.
struct Use {
    day: time::Date,
    organisation: String,
    user_ref: String,
    case: String,
    outcome: v1::Outcome,
    reason: String,
    motivation: String,
}

/// Keeps every emergency: they are few.
#[derive(Default)]
pub(super) struct Emergencies {
    uses: BTreeMap<(i64, u128), Use>,
}

impl Emergencies {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        if !line.event.emergency {
            return;
        }
        let event = line.event;
        let kept = Use {
            day: line.day,
            organisation: line.organisation.to_owned(),
            user_ref: event.user_ref.clone(),
            case: event.case.clone(),
            outcome: event.outcome(),
            reason: event.reason.clone(),
            motivation: event.motivation.clone(),
        };
        self.uses.insert((line.micros, line.id), kept);
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q3, setting);
        report.lacks(text(
            "Toetsingen van spoedtoegang worden nog niet in de voorziening vastgelegd: wie toetste en wanneer is niet bekend.",
            "Reviews of break-glass are not recorded in the service yet: who reviewed it, and when, is not known.",
        ));
        let allowed = self.uses.values().filter(|used| used.outcome == v1::Outcome::Allowed).count();
        self.frequent(setting, &mut report);
        if allowed > 0 {
            let nl = format!("{allowed} keer spoedtoegang: ga na of elke keer is getoetst");
            let en = format!("break-glass {allowed} times: find out whether each was reviewed");
            report.signal(Level::Amber, text(nl, en));
        } else {
            report.notes.push(text("Geen spoedtoegang in deze periode.", "No break-glass in this period."));
        }
        report.tables.push(self.table(setting));
        report
    }

    /// Partners that used it more often in a month than the covenant expects.
    fn frequent(&self, setting: &Setting, report: &mut Report) {
        let most = u64::from(setting.terms.review.break_glass_per_month);
        let mut counts: BTreeMap<(&str, String), u64> = BTreeMap::new();
        for used in self.uses.values().filter(|used| used.outcome == v1::Outcome::Allowed) {
            *counts.entry((&used.organisation, month(used.day))).or_default() += 1;
        }
        for ((oin, month), count) in counts.into_iter().filter(|(_, count)| *count > most) {
            let who = setting.who(oin);
            let nl = format!("{who}: {count} keer spoedtoegang in {month} (grens {most})");
            let en = format!("{who}: break-glass {count} times in {month} (threshold {most})");
            report.signal(Level::Red, text(nl, en));
        }
    }

    fn table(self, setting: &Setting) -> Table {
        let columns = [
            ("Dag", "Day"),
            ("Gebeurtenis", "Event"),
            ("Partij", "Partner"),
            ("Medewerker", "Employee"),
            ("Casus", "Case"),
            ("Uitkomst", "Outcome"),
            ("Motivering", "Motivation"),
            ("Toetsing", "Review"),
        ];
        let rows = self.uses.into_iter().map(|((_, id), used)| {
            let (who, outcome) = (setting.who(&used.organisation), outcome(used.outcome, &used.reason));
            let review = text("niet vastgelegd", "not recorded");
            row![used.day, event_name(id), who, used.user_ref, used.case, outcome, used.motivation, review]
        });
        Table::new(("Spoedtoegang", "Break-glass"), &columns).with(rows)
    }
}

/// An outcome in words, with the code of a refusal.
pub(super) fn outcome(outcome: v1::Outcome, reason: &str) -> Text {
    let (nl, en) = match outcome {
        v1::Outcome::Allowed => ("toegestaan", "allowed"),
        v1::Outcome::Refused => ("geweigerd", "refused"),
        v1::Outcome::Failed => ("mislukt", "failed"),
        v1::Outcome::Unspecified => ("–", "–"),
    };
    if reason.is_empty() { text(nl, en) } else { text(format!("{nl}: {reason}"), format!("{en}: {reason}")) }
}
