//! Who called in whose name: beside Q1, for whoever asks on whose behalf it was (NEN 7513).

use std::collections::BTreeMap;

use super::day::month;
use super::line::Line;
use super::model::{Table, row};
use super::setting::Setting;

/// Counts calls of suppliers by partner, supplier and month; done and not done.
#[derive(Default)]
pub(super) struct Suppliers {
    counts: BTreeMap<(String, String, String), (u64, u64)>,
}

impl Suppliers {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        if line.event.via.is_empty() {
            return;
        }
        let key = (line.organisation.to_owned(), line.event.via.clone(), month(line.day));
        let (done, not) = self.counts.entry(key).or_default();
        if line.is_allowed() {
            *done += 1;
        } else {
            *not += 1;
        }
    }

    /// Nothing where no supplier called.
    pub(super) fn table(self, setting: &Setting) -> Option<Table> {
        let columns = [
            ("Partij", "Partner"),
            ("Leverancier", "Supplier"),
            ("Maand", "Month"),
            ("Gedaan", "Done"),
            ("Niet gedaan", "Not done"),
        ];
        if self.counts.is_empty() {
            return None;
        }
        let rows = self.counts.into_iter().map(|((partner, supplier, month), (done, not))| {
            row![setting.who(&partner), setting.who(&supplier), month, done.to_string(), not.to_string()]
        });
        Some(
            Table::new(("Door een leverancier, namens een partij", "By a supplier, in a partner's name"), &columns)
                .with(rows),
        )
    }
}
