//! Q8: what was given under the rights of data subjects (article 34).

use time::Date;

use std::collections::BTreeMap;

use super::head;
use super::line::{Line, event_name};
use super::model::{Code, Report, Table, row, text};
use super::setting::Setting;

/// One request that was carried out.
struct Given {
    day: Date,
    organisation: String,
    method: &'static str,
    case: String,
}

/// Keeps what was done under article 34: it is little.
#[derive(Default)]
pub(super) struct Rights {
    given: BTreeMap<(i64, u128), Given>,
}

impl Rights {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        if line.article() != 34 || !line.is_allowed() {
            return;
        }
        let (organisation, case) = (line.organisation.to_owned(), line.event.case.clone());
        let given = Given { day: line.day, organisation, method: line.method(), case };
        self.given.insert((line.micros, line.id), given);
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q8, setting);
        let months = setting.terms.rights_months;
        let lacks = text(
            format!(
                "Geen gebeurtenis noemt wanneer een betrokkene iets vroeg, wat, aan wie het is doorgezet en wanneer is geantwoord: of de \
                 termijn ({months} maand) is gehaald staat niet in het log."
            ),
            format!(
                "No event tells when a data subject asked for something, what, to whom it was forwarded and when it was answered: \
                 whether the term ({months} month) was met does not stand in the log."
            ),
        );
        if self.given.is_empty() {
            return report.missing(lacks);
        }
        report.lacks(lacks);
        let columns =
            [("Dag", "Day"), ("Gebeurtenis", "Event"), ("Partij", "Partner"), ("Methode", "Method"), ("Casus", "Case")];
        let rows = self.given.into_iter().map(|((_, id), given)| {
            row![given.day, event_name(id), setting.who(&given.organisation), given.method, given.case]
        });
        report.tables.push(Table::new(("Gedaan onder artikel 34", "Done under article 34"), &columns).with(rows));
        report.notes.push(text(
            "Intrekkingen, bezwaren en beperkingen (artikel 35) staan in Q6.",
            "Withdrawals, objections and restrictions (article 35) stand in Q6.",
        ));
        report
    }
}
