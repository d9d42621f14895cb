//! Comma-separated values: a row for each event, after a row with the names of the columns. A list stands in one cell, its
//! members separated by a space: none of them holds one. An apostrophe in front of a cell is to be taken off ([`crate::sheet`]).

use std::io::{self, Write};

use super::Line;
use crate::sheet;

/// Names of the columns, in their order. They are what programs rely on: one may be added at the end, none may change.
pub(super) const COLUMNS: [&str; 29] = [
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
    "via",
];

/// The first row.
pub(super) fn header(out: &mut impl Write) -> io::Result<()> {
    sheet::row(out, COLUMNS)
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
        text(&line.via),
    ];
    sheet::row(out, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_the_names_of_the_fields() {
        let full = super::super::tests::full();
        let serde_json::Value::Object(fields) = serde_json::to_value(&full).unwrap() else { panic!() };
        assert_eq!(fields.keys().collect::<Vec<_>>(), COLUMNS);
        let mut out = Vec::new();
        row(&mut out, &full).unwrap();
        let row = csv::ReaderBuilder::new().has_headers(false).from_reader(&*out).records().next().unwrap().unwrap();
        assert_eq!(row.len(), COLUMNS.len());
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
}
