//! Q13: what went to the monitor and came from it (articles 31 and 32).

use std::collections::BTreeMap;

use super::day::month;
use super::head;
use super::line::Line;
use super::model::{Code, Report, Table, row, text};
use super::setting::Setting;

/// Counts records by month, article, method and partner.
#[derive(Default)]
pub(super) struct Monitor {
    counts: BTreeMap<(String, u8, &'static str, String), u64>,
}

impl Monitor {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        let (article, method) = (line.article(), line.method());
        let moves = matches!(method, "Records/PublishRecord" | "Records/FetchRecord");
        if line.is_allowed() && moves && matches!(article, 31 | 32) {
            *self.counts.entry((month(line.day), article, method, line.organisation.to_owned())).or_default() += 1;
        }
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q13, setting);
        let least = setting.terms.small_cell;
        let lacks = text(
            format!(
                "Tabellen worden buiten de voorziening gemaakt. Geen gebeurtenis noemt welke tabellen een bericht bevat, hoeveel cellen \
                 zijn onderdrukt (kleiner dan {least}) en of uitvragen elkaar overlappen."
            ),
            format!(
                "Tables are made outside the service. No event tells which tables a record holds, how many cells were suppressed (below \
                 {least}) and whether requests overlap."
            ),
        );
        if self.counts.is_empty() {
            return report.missing(lacks);
        }
        report.lacks(lacks);
        let columns = [
            ("Maand", "Month"),
            ("Artikel", "Article"),
            ("Methode", "Method"),
            ("Partij", "Partner"),
            ("Aantal", "Count"),
        ];
        let rows = self.counts.into_iter().map(|((month, article, method, oin), count)| {
            row![month, u64::from(article), method, setting.who(&oin), count]
        });
        report.tables.push(Table::new(("Leveringen en cijfers", "Deliveries and figures"), &columns).with(rows));
        report
    }
}
