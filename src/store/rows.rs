//! Many rows in one statement. A statement for every number of rows would fill the engine's cache of prepared statements, so
//! rows go in powers of two: 37 rows are 32 and 4 and 1.

use std::fmt::Write as _;
use std::sync::OnceLock;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection};

/// A statement with values for any number of rows.
pub(super) struct Many {
    /// Up to the values.
    head: &'static str,
    /// Values of one row.
    width: usize,
    /// After the values.
    tail: &'static str,
    numbered: [OnceLock<String>; SIZES],
    /// For SQLite: it keeps the names of parameters in a list, and its driver looks every one up from the start.
    nameless: [OnceLock<String>; SIZES],
}

/// 1, 2, 4 … 64 rows.
const SIZES: usize = 7;

pub(super) type Statement = Query<'static, Any, AnyArguments>;

impl Many {
    pub(super) const fn new(head: &'static str, width: usize, tail: &'static str) -> Self {
        Self {
            head,
            width,
            tail,
            numbered: [const { OnceLock::new() }; SIZES],
            nameless: [const { OnceLock::new() }; SIZES],
        }
    }

    /// Runs it for all rows; says how many rows were touched.
    pub(super) async fn execute<R>(
        &'static self,
        conn: &mut AnyConnection,
        rows: &[R],
        bind: impl Fn(Statement, &R) -> Statement,
    ) -> Result<u64, sqlx::Error> {
        let numbered = is_numbered(conn);
        let mut touched = 0;
        let mut rest = rows;
        while let Some((statement, some, after)) = self.take(numbered, rest) {
            let statement = some.iter().fold(statement, &bind);
            touched += statement.execute(&mut *conn).await?.rows_affected();
            rest = after;
        }
        Ok(touched)
    }

    /// Runs it for all rows and gives what it returns.
    pub(super) async fn fetch<R>(
        &'static self,
        conn: &mut AnyConnection,
        rows: &[R],
        bind: impl Fn(Statement, &R) -> Statement,
    ) -> Result<Vec<AnyRow>, sqlx::Error> {
        let numbered = is_numbered(conn);
        let mut found = Vec::new();
        let mut rest = rows;
        while let Some((statement, some, after)) = self.take(numbered, rest) {
            let statement = some.iter().fold(statement, &bind);
            found.extend(statement.fetch_all(&mut *conn).await?);
            rest = after;
        }
        Ok(found)
    }

    /// The largest statement that the rows fill.
    fn take<'r, R>(&'static self, numbered: bool, rows: &'r [R]) -> Option<(Statement, &'r [R], &'r [R])> {
        let power = rows.len().checked_ilog2()?.min(SIZES as u32 - 1);
        let texts = if numbered { &self.numbered } else { &self.nameless };
        let text = texts.get(power as usize)?.get_or_init(|| self.text(numbered, 1 << power));
        let (some, after) = rows.split_at_checked(1 << power)?;
        Some((sqlx::query(text.as_str()), some, after))
    }

    fn text(&self, numbered: bool, rows: usize) -> String {
        let mut text = self.head.to_owned();
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..self.width {
                text.push_str(if column == 0 { "" } else { "," });
                if numbered {
                    // Writing to a String does not fail.
                    let _ = write!(text, "${}", row * self.width + column + 1);
                } else {
                    text.push('?');
                }
            }
            text.push(')');
        }
        text.push_str(self.tail);
        text
    }
}

/// Whether the engine's parameters have numbers rather than just a place.
fn is_numbered(conn: &AnyConnection) -> bool {
    conn.backend_name() != "SQLite"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_powers_of_two() {
        static PAIRS: Many = Many::new("INSERT INTO t (a, b) VALUES ", 2, " RETURNING a");
        assert_eq!(PAIRS.text(true, 2), "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4) RETURNING a");
        assert_eq!(PAIRS.text(false, 2), "INSERT INTO t (a, b) VALUES (?,?),(?,?) RETURNING a");
        let rows = [(); 200];
        let mut sizes = Vec::new();
        let mut rest = &rows[..];
        while let Some((_, some, after)) = PAIRS.take(true, rest) {
            sizes.push(some.len());
            rest = after;
        }
        assert_eq!(sizes, [64, 64, 64, 8]);
    }
}
