//! Q1: what was handed over and looked at, under which article, of which category, by whom.

use std::collections::BTreeMap;

use super::access;
use super::day::month;
use super::head;
use super::line::Line;
use super::model::{Code, Level, Report, Table, Text, row, text};
use super::setting::{Setting, Terms};
use super::trail::{Found, Judged};

/// What a row is counted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    month: String,
    way: Way,
    article: u8,
    category: &'static str,
    organisation: String,
    basis: String,
}

/// How data moved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Sent,
    Fetched,
    Looked,
}

impl Way {
    fn of(method: &str) -> Option<Self> {
        match method {
            "Records/PublishRecord" | "Records/AddRecipient" => Some(Self::Sent),
            "Records/FetchRecord" => Some(Self::Fetched),
            "Cases/GetCase" | "Cases/ListCases" | "Consents/ListConsents" | "Records/ListRecords" => Some(Self::Looked),
            _ => None,
        }
    }

    fn words(self) -> Text {
        match self {
            Self::Sent => text("verstrekt", "sent"),
            Self::Fetched => text("opgehaald", "fetched"),
            Self::Looked => text("ingezien", "looked at"),
        }
    }
}

/// Counts events, and parties that got something.
#[derive(Default)]
pub(super) struct Disclosures {
    counts: BTreeMap<Key, (u64, u64)>,
}

impl Disclosures {
    pub(super) fn add(&mut self, line: &Line<'_>, terms: &Terms) {
        let Some(way) = Way::of(line.method()).filter(|_| line.is_allowed()) else { return };
        let basis = basis(line, terms);
        let mut categories: Vec<&'static str> = line.categories().map(|category| category.code()).collect();
        if categories.is_empty() {
            categories.push("–");
        }
        let recipients = u64::try_from(line.event.recipients.len()).unwrap_or(u64::MAX);
        for category in categories {
            let key = Key {
                month: month(line.day),
                way,
                article: line.article(),
                category,
                organisation: line.organisation.to_owned(),
                basis: basis.clone(),
            };
            let (events, parties) = self.counts.entry(key).or_default();
            *events += 1;
            *parties += recipients;
        }
    }

    pub(super) fn finish(self, setting: &Setting, found: &Found) -> Report {
        let mut report = head::report(Code::Q1, setting);
        let columns = [
            ("Maand", "Month"),
            ("Wijze", "Way"),
            ("Artikel", "Article"),
            ("Categorie", "Category"),
            ("Partij", "Partner"),
            ("Grondslag", "Basis"),
            ("Aantal", "Count"),
            ("Ontvangers", "Recipients"),
        ];
        let rows = self.counts.into_iter().map(|(key, (events, parties))| {
            let article = if key.article == 0 { "–".to_owned() } else { key.article.to_string() };
            let who = setting.who(&key.organisation);
            row![key.month, key.way.words(), article, key.category, who, key.basis, events, parties]
        });
        report.tables.push(Table::new(("Verstrekkingen", "Disclosures"), &columns).with(rows));
        phases(&mut report, setting, found);
        report.notes.push(text(
            "Een gebeurtenis met meer categorieën telt in elke categorie. Toegevoegd aan de grondslag: T waar de beslissing op \
             toestemming rustte.",
            "An event with several categories counts in each. Added to the basis: T where the decision rested on consent.",
        ));
        report
    }
}

/// Sensitive data outside F3–F6, as far as the phase shows.
fn phases(report: &mut Report, setting: &Setting, found: &Found) {
    let Judged { known, unknown, .. } = found.phases;
    if unknown > 0 {
        report.lacks(text(
            format!(
                "Het log noemt de fase alleen bij aanmelden, kiezen en sluiten. Van {unknown} verstrekkingen of verzoeken met \
                 C09–C13 is de fase niet bekend; van {known} wel."
            ),
            format!(
                "The log tells the phase only at referral, choice and closing. The phase of {unknown} disclosures or requests \
                 of C09–C13 is not known; of {known} it is."
            ),
        ));
    }
    // Articles that the covenant itself opens in other phases: forced care, safety, adulthood.
    let (open, strict): (Vec<_>, Vec<_>) = found.early.iter().partition(|f| matches!(f.article, 23 | 24 | 27 | 30));
    if !strict.is_empty() {
        report.signal(Level::Red, outside(strict.len()));
    }
    if !open.is_empty() {
        let mut words = outside(open.len());
        words.nl.push_str(", onder een artikel dat andere fasen toestaat");
        words.en.push_str(", under an article that allows other phases");
        report.signal(Level::Amber, words);
    }
    if found.early.is_empty() && known > 0 {
        let none = text(
            "geen C09–C13 buiten F3–F6 waar de fase bekend is",
            "no C09–C13 outside F3–F6 where the phase is known",
        );
        report.signal(Level::Green, none);
    }
    access::list(report, ("C09–C13 buiten F3–F6", "C09–C13 outside F3–F6"), setting, &found.early);
}

fn outside(count: usize) -> Text {
    text(format!("C09–C13 buiten F3–F6: {count} keer"), format!("C09–C13 outside F3–F6: {count} times"))
}

/// The codes of the clauses' legal bases, and T for consent.
fn basis(line: &Line<'_>, terms: &Terms) -> String {
    let mut codes: Vec<&str> = Vec::new();
    for clause in &line.event.clauses {
        for code in terms.bases.get(clause).into_iter().flatten() {
            if !codes.contains(code) {
                codes.push(code);
            }
        }
    }
    codes.sort_unstable_by_key(|code| (code.len(), *code));
    if !line.event.consents.is_empty() {
        codes.push("T");
    }
    if codes.is_empty() { "–".to_owned() } else { codes.join(" ") }
}
