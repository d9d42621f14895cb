//! What a report is: tables, signals, and what they rest on. Every word stands in it in Dutch and in English.

use serde::{Serialize, Serializer};

use crate::party::vocabulary;

vocabulary! {
    /// A report that privacy officers ask for (REFERENCE §8.2).
    Code, "report":
    /// Disclosures per article, category, partner and month.
    Q1 = "Q1",
    /// Denials per reason and partner.
    Q2 = "Q2",
    /// Break-glass.
    Q3 = "Q3",
    /// Access without a role, or after closing.
    Q4 = "Q4",
    /// Consent health.
    Q5 = "Q5",
    /// Withdrawals and objections.
    Q6 = "Q6",
    /// Retention.
    Q7 = "Q7",
    /// Requests of data subjects.
    Q8 = "Q8",
    /// Integrity of the log.
    Q9 = "Q9",
    /// Proof that nothing was misrouted.
    Q10 = "Q10",
    /// Sample for review.
    Q11 = "Q11",
    /// Use of articles.
    Q12 = "Q12",
    /// What the monitor published.
    Q13 = "Q13",
    /// Certificates.
    Q14 = "Q14",
    /// Breaches.
    Q15 = "Q15",
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.code())
    }
}

/// The language in which a report is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Dutch.
    Nl,
    /// English.
    En,
}

/// The same words in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text {
    /// In Dutch.
    pub nl: String,
    /// In English.
    pub en: String,
}

impl Text {
    /// The words in one language.
    pub fn get(&self, language: Language) -> &str {
        match language {
            Language::Nl => &self.nl,
            Language::En => &self.en,
        }
    }
}

/// A text from its two languages: Dutch, English.
pub(super) fn text(nl: impl Into<String>, en: impl Into<String>) -> Text {
    Text { nl: nl.into(), en: en.into() }
}

/// One place in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number, a code, a day or a name.
    Plain(String),
    /// Words of this report's own.
    Words(Text),
}

impl Cell {
    /// What stands there in one language.
    pub fn get(&self, language: Language) -> &str {
        match self {
            Self::Plain(plain) => plain,
            Self::Words(words) => words.get(language),
        }
    }
}

impl From<&str> for Cell {
    fn from(plain: &str) -> Self {
        Self::Plain(plain.to_owned())
    }
}

impl From<String> for Cell {
    fn from(plain: String) -> Self {
        Self::Plain(plain)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Plain(number.to_string())
    }
}

impl From<time::Date> for Cell {
    fn from(day: time::Date) -> Self {
        Self::Plain(day.to_string())
    }
}

impl From<Text> for Cell {
    fn from(words: Text) -> Self {
        Self::Words(words)
    }
}

/// One row of a table: `row![day, name, count]`.
macro_rules! row {
    ($($cell:expr),+ $(,)?) => { vec![$($crate::report::model::Cell::from($cell)),+] };
}
pub(super) use row;

/// Rows under a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// What the rows are.
    pub title: Text,
    /// What each place of a row is.
    pub columns: Vec<Text>,
    /// As many places in each as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows; title and columns in Dutch and English.
    pub(super) fn new(title: (&str, &str), columns: &[(&str, &str)]) -> Self {
        let columns = columns.iter().map(|(nl, en)| text(*nl, *en)).collect();
        Self { title: text(title.0, title.1), columns, rows: Vec::new() }
    }

    /// The same table with these rows.
    pub(super) fn with(mut self, rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        self.rows.extend(rows);
        self
    }
}

/// How much a signal asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Looked at, and nothing found.
    Green,
    /// Look at it.
    Amber,
    /// Act on it.
    Red,
}

/// What stands out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signal {
    /// How urgent.
    pub level: Level,
    /// What it is.
    pub text: Text,
}

/// Whether the facts for a report exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Everything that the report asks for was there.
    Complete,
    /// What it says holds, and this is not in it.
    Partial(Vec<Text>),
    /// Nothing can be said, for this reason.
    Missing(Text),
}

/// One report, ready to be written out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which one.
    pub code: Code,
    /// What it is called.
    pub title: Text,
    /// First moment, RFC 3339.
    pub from: String,
    /// First moment after it, RFC 3339.
    pub until: String,
    /// As things stood then, RFC 3339.
    pub as_of: String,
    /// `network`, or the OIN of the organisation whose events these are.
    pub scope: String,
    /// Whether its facts exist.
    pub availability: Availability,
    /// What stands out.
    pub signals: Vec<Signal>,
    /// What was found.
    pub tables: Vec<Table>,
    /// Which events and articles it rests on.
    pub basis: Text,
    /// How to read it, and what the reader can't see.
    pub notes: Vec<Text>,
}

impl Report {
    /// The most urgent signal; `None` where nothing was judged.
    pub fn level(&self) -> Option<Level> {
        self.signals.iter().map(|signal| signal.level).max()
    }

    /// The same report with nothing in it but why.
    pub(super) fn missing(mut self, reason: Text) -> Self {
        self.availability = Availability::Missing(reason);
        self.tables.clear();
        self.signals.clear();
        self
    }

    /// Says what is not in it.
    pub(super) fn lacks(&mut self, what: Text) {
        match &mut self.availability {
            Availability::Partial(lacks) => lacks.push(what),
            Availability::Complete => self.availability = Availability::Partial(vec![what]),
            Availability::Missing(_) => {}
        }
    }

    /// Adds a signal.
    pub(super) fn signal(&mut self, level: Level, text: Text) {
        self.signals.push(Signal { level, text });
    }

    /// Adds a signal if something was found, and a green one if nothing was.
    pub(super) fn judge(&mut self, found: u64, level: Level, bad: Text, good: Text) {
        if found > 0 {
            self.signal(level, bad);
        } else {
            self.signal(Level::Green, good);
        }
    }
}

/// A share in percent with one digit, rounded half up; nothing of nothing is 0.0.
pub(super) fn share(part: u64, whole: u64) -> String {
    let (part, whole) = (u128::from(part), u128::from(whole));
    let permille = (part * 2000 + whole).checked_div(whole * 2).unwrap_or(0);
    format!("{}.{}", permille / 10, permille % 10)
}

/// Whether a part is more than so many percent of the whole.
pub(super) fn exceeds(part: u64, whole: u64, percent: u8) -> bool {
    u128::from(part) * 100 > u128::from(whole) * u128::from(percent)
}
