//! Q11: which events a person looks at. Nobody can steer the draw, and anybody can repeat it.
//!
//! The place of an event in the draw is the SHA-256 of `sluis/report/sample/v1`, the period in seconds, the scope and the
//! event's name, each followed by a zero byte. In every quarter, of every partner and outcome, the first so many percent
//! are drawn, rounded up; then the first of what is left, up to the minimum of a quarter.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};

use super::day::{local, quarter};
use super::emergency::outcome;
use super::head;
use super::line::{Line, event_name, method_name};
use super::model::{Code, Report, Table, row, text};
use super::setting::Setting;
use crate::api::v1;
use crate::clock::from_micros;

/// An event that may be drawn. It sorts by its place in the draw.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lot {
    place: [u8; 8],
    id: u128,
    micros: i64,
    method: u8,
}

/// Quarter, partner, outcome.
type Stratum = (String, String, i32);

/// Keeps a lot for every event that may be drawn.
pub(super) struct Sample {
    seed: Context,
    lots: BTreeMap<Stratum, Vec<Lot>>,
    hidden: u64,
}

impl Sample {
    pub(super) fn new(setting: &Setting) -> Self {
        let mut seed = Context::new(&SHA256);
        let (from, until) = (setting.from.unix_timestamp(), setting.until.unix_timestamp());
        for part in ["sluis/report/sample/v1", &from.to_string(), &until.to_string(), setting.scope.code()] {
            seed.update(part.as_bytes());
            seed.update(&[0]);
        }
        Self { seed, lots: BTreeMap::new(), hidden: 0 }
    }

    pub(super) fn add(&mut self, line: &Line<'_>) {
        let event = line.event;
        if event.case.is_empty() && event.subject.is_empty() && line.is_allowed() {
            self.hidden += u64::from(line.hides_case());
            return;
        }
        let mut hash = self.seed.clone();
        hash.update(event_name(line.id).as_bytes());
        hash.update(&[0]);
        let hash = hash.finish();
        let place = hash.as_ref().first_chunk::<8>().copied().unwrap_or_default();
        let stratum = (quarter(line.day), line.organisation.to_owned(), event.outcome);
        let method = u8::try_from(line.method).unwrap_or(u8::MAX);
        self.lots.entry(stratum).or_default().push(Lot { place, id: line.id, micros: line.micros, method });
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q11, setting);
        if self.lots.is_empty() && self.hidden == 0 {
            return report.missing(text(
                "Er is in deze periode niets om een steekproef uit te nemen.",
                "There is nothing to draw a sample from in this period.",
            ));
        }
        report.lacks(text(
            "Markeringen van partijen (bekende personen, eigen medewerkers) bestaan nog niet: zij zitten alleen toevallig in de \
             steekproef.",
            "Flags of partners (well-known persons, own employees) do not exist yet: they are in the sample by chance only.",
        ));
        head::hidden_cases(&mut report, self.hidden);
        let (percent, least) = (setting.terms.review.sample_percent, setting.terms.review.sample_minimum);
        let mut totals: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut rows = Vec::new();
        for (quarter, strata) in by_quarter(self.lots) {
            let all: usize = strata.iter().map(|(_, lots)| lots.len()).sum();
            let drawn = draw(strata, percent, usize::try_from(least).unwrap_or(usize::MAX));
            let counts = (u64::try_from(all).unwrap_or(u64::MAX), u64::try_from(drawn.len()).unwrap_or(u64::MAX));
            totals.insert(quarter.clone(), counts);
            for ((oin, number), lot) in drawn {
                let outcome = outcome(v1::Outcome::try_from(number).unwrap_or_default(), "");
                let (day, method) = (local(from_micros(lot.micros)), method_name(usize::from(lot.method)));
                rows.push(row![quarter.as_str(), setting.who(&oin), outcome, day, event_name(lot.id), method]);
            }
        }
        let columns = [("Kwartaal", "Quarter"), ("Gebeurtenissen", "Events"), ("Getrokken", "Drawn")];
        let counts = totals.into_iter().map(|(quarter, (all, drawn))| row![quarter, all, drawn]);
        report.tables.push(Table::new(("Omvang", "Size"), &columns).with(counts));
        let columns = [
            ("Kwartaal", "Quarter"),
            ("Partij", "Partner"),
            ("Uitkomst", "Outcome"),
            ("Dag", "Day"),
            ("Gebeurtenis", "Event"),
            ("Methode", "Method"),
        ];
        report.tables.push(Table::new(("Steekproef", "Sample"), &columns).with(rows));
        report.notes.push(text(
            format!(
                "Per partij en uitkomst {percent} %, en ten minste {least} per kwartaal. De trekking volgt uit SHA-256 over periode, \
                 bereik en naam van de gebeurtenis: herhaalbaar en door niemand te sturen."
            ),
            format!(
                "For each partner and outcome {percent} %, and at least {least} in a quarter. The draw follows from SHA-256 over \
                 period, scope and name of the event: repeatable, and nobody can steer it."
            ),
        ));
        report
    }
}

/// Partner and outcome, with their lots.
type Drawable = ((String, i32), Vec<Lot>);

fn by_quarter(lots: BTreeMap<Stratum, Vec<Lot>>) -> BTreeMap<String, Vec<Drawable>> {
    let mut quarters: BTreeMap<String, Vec<Drawable>> = BTreeMap::new();
    for ((quarter, oin, outcome), lots) in lots {
        quarters.entry(quarter).or_default().push(((oin, outcome), lots));
    }
    quarters
}

/// The drawn lots of a quarter, by partner and outcome and then by time.
fn draw(strata: Vec<Drawable>, percent: u8, least: usize) -> Vec<((String, i32), Lot)> {
    let (mut drawn, mut rest) = (Vec::new(), Vec::new());
    for (stratum, mut lots) in strata {
        lots.sort_unstable();
        let count = (lots.len() * usize::from(percent)).div_ceil(100);
        for (nth, lot) in lots.into_iter().enumerate() {
            let list = if nth < count { &mut drawn } else { &mut rest };
            list.push((lot, stratum.clone()));
        }
    }
    rest.sort_unstable();
    let wanted = least.saturating_sub(drawn.len());
    drawn.extend(rest.into_iter().take(wanted));
    let mut drawn: Vec<_> = drawn.into_iter().map(|(lot, stratum)| (stratum, lot)).collect();
    drawn.sort_unstable_by(|(a, left), (b, right)| (a, left.micros, left.id).cmp(&(b, right.micros, right.id)));
    drawn
}
