//! Many rows in one statement, where that saves a way to the server and back. A statement for every number of rows would
//! fill the server's cache of prepared statements, so rows go in powers of two: 37 rows are 32 and 4 and 1.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::StoreError;
use super::session::{Query, Row, Session, query};

/// A statement with values for any number of rows.
pub(super) struct Many {
    /// Up to the values.
    head: &'static str,
    /// Values of one row.
    width: usize,
    /// After the values.
    tail: &'static str,
    /// Bytes of a row, about.
    bytes: usize,
    texts: [OnceLock<String>; SIZES],
}

/// 1, 2, 4 … 64 rows.
const SIZES: usize = 7;

impl Many {
    pub(super) const fn new(head: &'static str, width: usize, tail: &'static str, bytes: usize) -> Self {
        Self { head, width, tail, bytes, texts: [const { OnceLock::new() }; SIZES] }
    }

    /// Runs it for all rows; says how many rows were touched.
    pub(super) async fn execute<'v, R>(
        &'static self,
        session: &mut Session,
        rows: &'v [R],
        bind: impl Fn(Query<'v>, &'v R) -> Query<'v>,
    ) -> Result<u64, StoreError> {
        let mut touched = 0;
        let mut rest = rows;
        while let Some((statement, some, after)) = self.take(session.bytes_at_once(), rest) {
            let statement = some.iter().fold(statement, &bind);
            touched += statement.execute(&mut *session).await?;
            rest = after;
        }
        Ok(touched)
    }

    /// Runs it for all rows and gives what it returns.
    pub(super) async fn fetch<'v, R>(
        &'static self,
        session: &mut Session,
        rows: &'v [R],
        bind: impl Fn(Query<'v>, &'v R) -> Query<'v>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        let mut rest = rows;
        while let Some((statement, some, after)) = self.take(session.bytes_at_once(), rest) {
            let statement = some.iter().fold(statement, &bind);
            found.extend(statement.fetch_all(&mut *session).await?);
            rest = after;
        }
        Ok(found)
    }

    /// The largest statement that the rows fill.
    fn take<'v, R>(&'static self, bytes: usize, rows: &'v [R]) -> Option<(Query<'v>, &'v [R], &'v [R])> {
        let most = (bytes / self.bytes.max(1)).max(1);
        let power = rows.len().min(most).checked_ilog2()?.min(SIZES as u32 - 1);
        let text = self.texts.get(power as usize)?.get_or_init(|| self.text(1 << power));
        let (some, after) = rows.split_at_checked(1 << power)?;
        Some((query(text.as_str()), some, after))
    }

    fn text(&self, rows: usize) -> String {
        let mut text = self.head.to_owned();
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..self.width {
                let comma = if column == 0 { "" } else { "," };
                // Writing to a String does not fail.
                let _ = write!(text, "{comma}${}", row * self.width + column + 1);
            }
            text.push(')');
        }
        text.push_str(self.tail);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_powers_of_two() {
        static PAIRS: Many = Many::new("INSERT INTO t (a, b) VALUES ", 2, " RETURNING a", 100);
        assert_eq!(PAIRS.text(2), "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4) RETURNING a");
        let sizes = |bytes| {
            let rows = [(); 200];
            let (mut sizes, mut rest) = (Vec::new(), &rows[..]);
            while let Some((_, some, after)) = PAIRS.take(bytes, rest) {
                sizes.push(some.len());
                rest = after;
            }
            sizes
        };
        assert_eq!(sizes(12_288), [64, 64, 64, 8]);
        assert_eq!(sizes(3_500), [32, 32, 32, 32, 32, 32, 8]);
        assert_eq!(sizes(0), [1; 200]);
    }
}
