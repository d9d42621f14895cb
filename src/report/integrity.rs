//! Q9: whether the log is whole, and who read it.

use std::collections::BTreeMap;

use super::day::month;
use super::head::{report, stamp};
use super::line::Line;
use super::model::{Code, Level, Report, Table, row, text};
use super::setting::{Integrity, Setting};

/// Counts who read the log: by organisation, employee, method and month; done and refused.
#[derive(Default)]
pub(super) struct Readers {
    counts: BTreeMap<(String, String, &'static str, String), (u64, u64)>,
}

impl Readers {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        let method = line.method();
        if !matches!(method, "Audit/QueryEvents" | "Audit/ProveEvents" | "Audit/ReadEntries") {
            return;
        }
        let key = (line.organisation.to_owned(), line.event.user_ref.clone(), method, month(line.day));
        let (done, refused) = self.counts.entry(key).or_default();
        *done += u64::from(line.is_allowed());
        *refused += u64::from(line.is_refused());
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = report(Code::Q9, setting);
        match &setting.integrity {
            Some(integrity) => proof(&mut report, setting, integrity),
            None => {
                report.lacks(text(
                    "Het log is voor dit rapport niet nagerekend: volledigheid en onveranderlijkheid zijn niet aangetoond.",
                    "The log was not verified for this report: that it is whole and unchanged was not shown.",
                ));
                report.signal(Level::Amber, text("het log is niet nagerekend", "the log was not verified"));
            }
        }
        let refused: u64 = self.counts.values().map(|(_, refused)| refused).sum();
        if refused > 0 {
            let nl = format!("{refused} keer inzage in het log geweigerd");
            report.signal(Level::Amber, text(nl, format!("reading the log refused {refused} times")));
        }
        let columns = [
            ("Partij", "Partner"),
            ("Medewerker", "Employee"),
            ("Methode", "Method"),
            ("Maand", "Month"),
            ("Aantal", "Count"),
            ("Geweigerd", "Refused"),
        ];
        let rows = self.counts.into_iter().map(|((oin, user, method, month), (done, refused))| {
            row![setting.who(&oin), user, method, month, done, refused]
        });
        report.tables.push(Table::new(("Wie het log las", "Who read the log"), &columns).with(rows));
        report.notes.push(text(
            "Het lezen van checkpoints en hashes is geen gebeurtenis: daar staat niets persoonlijks in.",
            "Reading checkpoints and hashes is no event: nothing personal stands in them.",
        ));
        report
    }
}

fn proof(report: &mut Report, setting: &Setting, integrity: &Integrity) {
    let good = text("de keten klopt", "the chain agrees");
    report.judge(
        u64::from(!integrity.verified),
        Level::Red,
        text("de keten klopt niet", "the chain does not agree"),
        good,
    );
    let gaps = match integrity.unproven {
        Some(gaps) => {
            let bad = text(format!("{gaps} gebeurtenissen zonder bewijs"), format!("{gaps} events without proof"));
            report.judge(gaps, Level::Red, bad, text("geen gebeurtenis zonder bewijs", "no event without proof"));
            gaps.to_string()
        }
        None => {
            report.lacks(text(
                "Of elke gebeurtenis van dit rapport in de nagerekende kopie staat is niet nagegaan (sluis audit export en verify doen dat).",
                "Whether each event of this report stands in the copy that was verified was not looked at (sluis audit export and verify do that).",
            ));
            "–".to_owned()
        }
    };
    let limit = setting.terms.review.clock_drift_seconds;
    let clock = match integrity.clock_back_seconds {
        Some(back) => {
            let bad = text(
                format!("een klok ging {back} s terug (grens {limit} s)"),
                format!("a clock went back {back} s (threshold {limit} s)"),
            );
            let good = text(
                format!("geen klok ging meer dan {limit} s terug"),
                format!("no clock went back more than {limit} s"),
            );
            report.judge(u64::from(back > u64::from(limit)), Level::Red, bad, good);
            format!("{back} s")
        }
        None => {
            report.lacks(text(
                "Of een klok op een knooppunt terugging is niet nagegaan.",
                "Whether a clock went back on a node was not looked at.",
            ));
            "–".to_owned()
        }
    };
    let columns = [
        ("Kopie gemaakt op", "Copy made at"),
        ("Aantal bladeren", "Number of leaves"),
        ("Zonder bewijs", "Without proof"),
        ("Klok terug", "Clock back"),
    ];
    let made = integrity.copied_at.map_or_else(|| "–".to_owned(), stamp);
    let row = row![made, integrity.tree_size, gaps, clock];
    report.tables.push(Table::new(("Bewijs", "Proof"), &columns).with([row]));
    match integrity.copied_at {
        None => report.lacks(text(
            "Wanneer de nagerekende kopie is gemaakt is niet bekend; tot welk moment zij het log toont dus ook niet.",
            "When the copy that was verified was made is not known, and so not until when it shows the log.",
        )),
        Some(made) if made < setting.until.min(setting.as_of) => report.lacks(text(
            "De nagerekende kopie is gemaakt vóór het einde van de periode; wat daarna kwam is niet aangetoond.",
            "The copy that was verified was made before the period ended; what came after was not shown.",
        )),
        Some(_) => {}
    }
}
