//! Comma-separated values (RFC 4180): a row for each event, after a row with the names of the columns.
//!
//! A list stands in one cell, its members separated by a space: none of them holds one. A spreadsheet takes a cell that begins with
//! `=`, `+`, `-`, `@`, a tab or a carriage return for a formula; such a cell gets an apostrophe in front, which whoever reads the file
//! by program takes off again: a value that begins with an apostrophe of its own gets one too.

use std::io::{self, Write};

use super::Line;

/// Names of the columns, in their order. They are what programs rely on: one may be added at the end, none may change.
pub(super) const COLUMNS: [&str; 28] = [
    "name",
    "time",
    "method",
    "action",
    "outcome",
    "reason",
    "organisation",
    "userRef",
    "role",
    "purpose",
    "article",
    "covenantVersion",
    "clauses",
    "case",
    "subject",
    "categories",
    "form",
    "recipients",
    "record",
    "consents",
    "emergency",
    "motivation",
    "keyHash",
    "node",
    "traceId",
    "source",
    "erased",
    "listed",
];

/// The first row.
pub(super) fn header(out: &mut impl Write) -> io::Result<()> {
    cells(out, COLUMNS.map(ToOwned::to_owned))
}

/// The row of an event.
pub(super) fn row(out: &mut impl Write, line: &Line) -> io::Result<()> {
    let text = |text: &str| text.to_owned();
    let list = |list: &[String]| list.join(" ");
    let covenant = line.covenant_version;
    let row: [String; COLUMNS.len()] = [
        text(&line.name),
        text(&line.time),
        text(&line.method),
        text(&line.action),
        text(&line.outcome),
        text(&line.reason),
        text(&line.organisation),
        text(&line.user_ref),
        text(&line.role),
        text(&line.purpose),
        text(&line.article),
        if covenant == 0 { String::new() } else { covenant.to_string() },
        list(&line.clauses),
        text(&line.case),
        text(&line.subject),
        list(&line.categories),
        text(&line.form),
        list(&line.recipients),
        text(&line.record),
        list(&line.consents),
        line.emergency.to_string(),
        text(&line.motivation),
        text(&line.key_hash),
        text(&line.node),
        text(&line.trace_id),
        text(&line.source),
        list(&line.erased),
        list(&line.listed),
    ];
    cells(out, row)
}

fn cells(out: &mut impl Write, row: [String; COLUMNS.len()]) -> io::Result<()> {
    out.write_all(row.map(cell).join(",").as_bytes())?;
    out.write_all(b"\r\n")
}

fn cell(text: String) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(line: &Line) -> String {
        let mut out = Vec::new();
        row(&mut out, line).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// As RFC 4180 says, for one row.
    fn read(row: &str) -> Vec<String> {
        let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = row.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '"' if quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(std::mem::take(&mut cell)),
                '\r' | '\n' => assert!(quoted),
                _ => cell.push(char),
            }
            if quoted && matches!(char, '\r' | '\n') {
                cell.push(char);
            }
        }
        cells.push(cell);
        cells
    }

    #[test]
    fn the_columns_are_the_names_of_the_fields() {
        let full = super::super::tests::full();
        let serde_json::Value::Object(fields) = serde_json::to_value(&full).unwrap() else { panic!() };
        assert_eq!(fields.keys().collect::<Vec<_>>(), COLUMNS);
        let row = read(&written(&full));
        for (value, cell) in fields.values().zip(&row) {
            let expected = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Array(list) => {
                    list.iter().map(|member| member.as_str().unwrap()).collect::<Vec<_>>().join(" ")
                }
                other => other.to_string(),
            };
            assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), expected);
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (value, expected) in [
            ("=1+1", "'=1+1"),
            ("+31", "'+31"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=\"x\",1", "\"'=\"\"x\"\",1\""),
            ("'=1", "''=1"),
            ("a=1", "a=1"),
            ("", ""),
            ("twee\nregels", "\"twee\nregels\""),
        ] {
            assert_eq!(cell(value.to_owned()), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(motivation in "(=|\\+|-|@|\t|\r|')?[a-z,\"\r\n '=]{0,12}") {
            let cells = read(&written(&Line { motivation: motivation.clone(), ..Line::default() }));
            prop_assert_eq!(cells.len(), COLUMNS.len());
            let cell = &cells[21];
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
            prop_assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), motivation);
        }
    }
}
