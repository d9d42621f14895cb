//! Reports and overviews as files: Markdown, JSON (RFC 8259) and CSV (RFC 4180). The same report gives the same bytes.

use super::model::{Availability, Language, Level, Report, Table};
use crate::sheet;

/// A file by its name and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Such as `Q1-1.csv`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Words of the frame around a report.
struct Frame {
    period: &'static str,
    as_of: &'static str,
    scope: &'static str,
    network: &'static str,
    basis: &'static str,
    missing: &'static str,
    lacks: &'static str,
    signals: &'static str,
    none: &'static str,
    empty: &'static str,
    notes: &'static str,
}

const fn frame(language: Language) -> Frame {
    match language {
        Language::Nl => Frame {
            period: "Periode",
            as_of: "Stand van",
            scope: "Bereik",
            network: "het hele netwerk",
            basis: "Gemaakt van",
            missing: "Niet beschikbaar",
            lacks: "Niet in dit rapport",
            signals: "Signalen",
            none: "Niets beoordeeld.",
            empty: "Geen.",
            notes: "Toelichting",
        },
        Language::En => Frame {
            period: "Period",
            as_of: "As of",
            scope: "Scope",
            network: "the whole network",
            basis: "Made of",
            missing: "Not available",
            lacks: "Not in this report",
            signals: "Signals",
            none: "Nothing was judged.",
            empty: "None.",
            notes: "Notes",
        },
    }
}

const fn level(level: Level, language: Language) -> &'static str {
    match (level, language) {
        (Level::Green, Language::Nl) => "groen",
        (Level::Amber, Language::Nl) => "oranje",
        (Level::Red, Language::Nl) => "rood",
        (Level::Green, Language::En) => "green",
        (Level::Amber, Language::En) => "amber",
        (Level::Red, Language::En) => "red",
    }
}

/// A report as Markdown.
pub fn markdown(report: &Report, language: Language) -> String {
    let words = frame(language);
    let scope = if report.scope == "network" { words.network } else { &report.scope };
    let mut out = format!("# {} – {}\n\n", report.code, escaped(report.title.get(language)));
    out.push_str(&format!("- {}: {} – {}\n", words.period, report.from, report.until));
    out.push_str(&format!("- {}: {}\n- {}: {scope}\n", words.as_of, report.as_of, words.scope));
    out.push_str(&format!("- {}: {}\n", words.basis, escaped(report.basis.get(language))));
    match &report.availability {
        Availability::Missing(reason) => {
            out.push_str(&format!("\n**{}.** {}\n", words.missing, escaped(reason.get(language))));
        }
        Availability::Partial(lacks) => {
            section(&mut out, words.lacks, lacks.iter().map(|text| escaped(text.get(language))));
            signals(&mut out, report, &words, language);
        }
        Availability::Complete => signals(&mut out, report, &words, language),
    }
    for table in &report.tables {
        out.push_str(&format!("\n## {}\n\n", escaped(table.title.get(language))));
        out.push_str(&rows(table, language, words.empty));
    }
    section(&mut out, words.notes, report.notes.iter().map(|text| escaped(text.get(language))));
    out
}

fn signals(out: &mut String, report: &Report, words: &Frame, language: Language) {
    if report.signals.is_empty() {
        section(out, words.signals, [words.none.to_owned()].into_iter());
        return;
    }
    let line = |signal: &super::model::Signal| {
        format!("**{}**: {}", level(signal.level, language), escaped(signal.text.get(language)))
    };
    section(out, words.signals, report.signals.iter().map(line));
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    out.push_str(&format!("\n## {title}\n\n"));
    for line in lines {
        out.push_str(&format!("- {line}\n"));
    }
}

/// A table as Markdown, or a word when it has no rows.
pub(super) fn rows(table: &Table, language: Language, empty: &str) -> String {
    if table.rows.is_empty() {
        return format!("{empty}\n");
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(table.columns.iter().map(|column| escaped(column.get(language))).collect());
    out.push_str(&line(vec!["---".to_owned(); table.columns.len()]));
    for row in &table.rows {
        out.push_str(&line(row.iter().map(|cell| escaped(cell.get(language))).collect()));
    }
    out
}

/// A report as JSON, both languages in it.
///
/// # Errors
/// Never for a report of this module: there is nothing in it that JSON can't hold.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}

/// A report as CSV: `Qn.csv` with what stands around the tables, and one file for each table.
pub fn csv(report: &Report, language: Language) -> Vec<File> {
    let mut head = vec![
        ("report", report.code.to_string()),
        ("title", report.title.get(language).to_owned()),
        ("from", report.from.clone()),
        ("until", report.until.clone()),
        ("as_of", report.as_of.clone()),
        ("scope", report.scope.clone()),
        ("basis", report.basis.get(language).to_owned()),
    ];
    match &report.availability {
        Availability::Complete => head.push(("availability", "complete".to_owned())),
        Availability::Missing(reason) => {
            head.push(("availability", "missing".to_owned()));
            head.push(("missing", reason.get(language).to_owned()));
        }
        Availability::Partial(lacks) => {
            head.push(("availability", "partial".to_owned()));
            head.extend(lacks.iter().map(|text| ("lacks", text.get(language).to_owned())));
        }
    }
    let signal = |signal: &super::model::Signal| {
        let key = match signal.level {
            Level::Green => "signal_green",
            Level::Amber => "signal_amber",
            Level::Red => "signal_red",
        };
        (key, signal.text.get(language).to_owned())
    };
    head.extend(report.signals.iter().map(signal));
    head.extend(report.notes.iter().map(|note| ("note", note.get(language).to_owned())));
    let mut text = record(["key", "value"].into_iter());
    for (key, value) in &head {
        text.push_str(&record([*key, value.as_str()].into_iter()));
    }
    let mut files = vec![File { name: format!("{}.csv", report.code), text }];
    for (nth, table) in report.tables.iter().enumerate() {
        files.push(File { name: format!("{}-{}.csv", report.code, nth + 1), text: table_csv(table, language) });
    }
    files
}

/// A table as CSV, its columns first.
pub(super) fn table_csv(table: &Table, language: Language) -> String {
    let mut text = record(table.columns.iter().map(|column| column.get(language)));
    for row in &table.rows {
        text.push_str(&record(row.iter().map(|cell| cell.get(language))));
    }
    text
}

/// One line of CSV.
fn record<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = sheet::row(&mut out, cells);
    String::from_utf8(out).unwrap_or_default()
}

/// Text that Markdown shows as it is: no tables, links, marks or HTML of somebody else's making.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' | '[' | ']' | '`' | '*' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_shows_text_as_it_is() {
        for (text, expected) in [
            ("NOT_INVOLVED", "NOT_INVOLVED"),
            ("a|b", "a\\|b"),
            ("[x](http://y)", "\\[x\\](http://y)"),
            ("<script>", "&lt;script&gt;"),
            ("a\nb\r", "a b "),
            ("**x**", "\\*\\*x\\*\\*"),
        ] {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }
}
