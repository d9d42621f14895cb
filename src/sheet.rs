//! Rows that a spreadsheet reads: comma-separated values (RFC 4180), and no formulas of somebody else's making.

use std::borrow::Cow;
use std::io::{self, Write};

use csv::{Terminator, WriterBuilder};

/// Writes one row.
///
/// # Errors
/// What `out` says.
pub(crate) fn row<T: AsRef<str>>(out: &mut impl Write, cells: impl IntoIterator<Item = T>) -> io::Result<()> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).buffer_capacity(1024).from_writer(out);
    cells.into_iter().try_for_each(|text| writer.write_field(cell(text.as_ref()).as_bytes()))?;
    writer.write_record(None::<&[u8]>)?;
    writer.flush()
}

/// A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@`, some after spaces, for a formula; such a cell gets an
/// apostrophe in front. Whoever reads the file by program takes it off again: a text with an apostrophe of its own in front
/// gets one too. So does what follows a semicolon or the end of a line inside a cell, where other spreadsheets begin a new one.
fn cell(text: &str) -> Cow<'_, str> {
    let is_formula =
        |text: &str| text.trim_start_matches(' ').starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '|', '%']);
    let mut out = String::new();
    if is_formula(text) || text.starts_with('\'') {
        out.push('\'');
    }
    for (at, c) in text.char_indices() {
        out.push(c);
        // Where a spreadsheet that separates by semicolons, or by lines inside quotes, begins a cell of its own.
        let rest = text.get(at + c.len_utf8()..).unwrap_or_default();
        if matches!(c, ';' | '\t' | '\r' | '\n') && is_formula(rest) {
            out.push('\'');
        }
    }
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(cells: &[&str]) -> String {
        let mut out = Vec::new();
        row(&mut out, cells).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a;b", "a;b"),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("twee\nregels", "\"twee\nregels\""),
            ("=1+1", "'=1+1"),
            ("=\"x\",1", "\"'=\"\"x\"\",1\""),
            ("+31", "'+31"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("\tx", "'\tx"),
            ("\r=1", "\"'\r'=1\""),
            ("'=1", "''=1"),
            ("a=1", "a=1"),
            ("x;=1+1", "x;'=1+1"),
            ("x; =1", "x;' =1"),
            ("x\n=1", "\"x\n'=1\""),
            ("x;y", "x;y"),
            ("–", "–"),
            ("", ""),
        ] {
            assert_eq!(written(&[text, "."]), format!("{expected},.\r\n"), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in prop::collection::vec("(=|\\+|-|@|\t|\r|')?[a-z,\"\r\n '=]{0,12}", 1..5)) {
            let line = written(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            prop_assert_eq!(rows.len(), 1);
            prop_assert_eq!(rows[0].len(), texts.len());
            for (cell, text) in rows[0].iter().zip(&texts) {
                prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
                prop_assert!(!cell.contains(";=") && !cell.contains("\n=") && !cell.contains("\r="));
                if !text.contains([';', '\r', '\n', '\t']) {
                    prop_assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), text);
                }
            }
        }
    }
}
