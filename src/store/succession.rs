//! SQL of organisations that leave or are succeeded: who takes whose place, and what of a partner is open still.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::record::RecordRow;
use super::registry::touch;
use super::session::query;
use super::{Reader, StoreError, Tx, WorkError};
use crate::party::{Oin, Role};

/// A row of `succession`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessionRow {
    /// Whose place is taken.
    pub oin: String,
    /// Who takes it.
    pub successor: String,
    /// Microseconds.
    pub effective_at: i64,
    /// Microseconds.
    pub settled_at: Option<i64>,
}

/// Open cases in which a partner has a role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenCases {
    /// All of them.
    pub any: u32,
    /// Those that it holds (R02).
    pub held: u32,
    /// Closed ones that it holds: somebody answers for what is kept of them.
    pub closed: u32,
    /// Those that it held when it left and that nobody holds.
    pub nobodys: u32,
}

/// All of them.
pub(super) async fn load(conn: &mut AnyConnection) -> Result<Vec<SuccessionRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM succession").fetch_all(conn).await?;
    let read = |row: &AnyRow| {
        Ok(SuccessionRow {
            oin: row.try_get("oin")?,
            successor: row.try_get("successor")?,
            effective_at: row.try_get("effective_at")?,
            settled_at: row.try_get("settled_at")?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
}

/// Puts down who takes whose place, and until when that one stays a partner.
pub async fn put(tx: &mut Tx<'_>, row: &SuccessionRow, leaves_at: Option<i64>) -> Result<(), StoreError> {
    query(
        "INSERT INTO succession (oin, successor, effective_at, settled_at) VALUES ($1,$2,$3,NULL) \
         ON CONFLICT (oin) DO UPDATE SET successor = excluded.successor, effective_at = excluded.effective_at",
    )
    .bind(&row.oin)
    .bind(&row.successor)
    .bind(row.effective_at)
    .execute(tx.conn().await?)
    .await?;
    query("UPDATE partner SET withdrawn_at = $2 WHERE oin = $1")
        .bind(&row.oin)
        .bind(leaves_at)
        .execute(tx.conn().await?)
        .await?;
    touch(tx).await
}

/// Takes back what was announced.
pub async fn take_back(tx: &mut Tx<'_>, oin: &str) -> Result<(), StoreError> {
    query("DELETE FROM succession WHERE oin = $1").bind(oin).execute(tx.conn().await?).await?;
    touch(tx).await
}

/// Gives over the roles that are held outside any case. False if that was done before.
pub async fn settle(tx: &mut Tx<'_>, oin: &str, heir: &str, roles: &str, at: i64) -> Result<bool, StoreError> {
    let done = query("UPDATE succession SET settled_at = $2 WHERE oin = $1 AND settled_at IS NULL")
        .bind(oin)
        .bind(at)
        .execute(tx.conn().await?)
        .await?;
    if done == 1 {
        for (oin, roles) in [(oin, ""), (heir, roles)] {
            query("UPDATE partner SET standing_roles = $2 WHERE oin = $1")
                .bind(oin)
                .bind(roles)
                .execute(tx.conn().await?)
                .await?;
        }
        touch(tx).await?;
    }
    Ok(done == 1)
}

/// Ends a membership whose announced moment has come. False if it has ended already, or ends at another moment by now.
pub async fn depart(tx: &mut Tx<'_>, oin: &str, at: i64) -> Result<bool, StoreError> {
    let done =
        query("UPDATE partner SET status = 'withdrawn' WHERE oin = $1 AND withdrawn_at = $2 AND status <> 'withdrawn'")
            .bind(oin)
            .bind(at)
            .execute(tx.conn().await?)
            .await?;
    if done == 1 {
        touch(tx).await?;
    }
    Ok(done == 1)
}

/// Roles in open cases that begin by now and are not over.
macro_rules! open_roles {
    ($what:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM case_name n JOIN case_file c ON c.case_id = n.case_id AND c.closed_at IS NULL \
             JOIN assignment a ON a.case_id = n.case_id AND a.oin = n.oin WHERE n.oin = $1 \
             AND a.ended_at IS NULL AND (a.ends_at IS NULL OR a.ends_at > $2)"
        )
    };
}

/// The same of cases that are closed, held by R02.
macro_rules! closed_roles {
    ($what:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM case_name n JOIN case_file c ON c.case_id = n.case_id AND c.closed_at IS NOT NULL \
             JOIN assignment a ON a.case_id = n.case_id AND a.oin = n.oin AND a.role = 'R02' WHERE n.oin = $1 \
             AND a.ended_at IS NULL AND (a.ends_at IS NULL OR a.ends_at > $2)"
        )
    };
}

const OPEN_CASES: &str = open_roles!("COUNT(DISTINCT a.case_id)");
const HELD_CASES: &str = concat!(open_roles!("COUNT(DISTINCT a.case_id)"), " AND a.role = 'R02'");

const CLOSED_CASES: &str = closed_roles!("COUNT(DISTINCT a.case_id)");
const NOBODYS_CASES: &str = "SELECT COUNT(DISTINCT a.case_id) FROM partner p JOIN case_name n ON n.oin = p.oin \
     JOIN case_file c ON c.case_id = n.case_id AND c.closed_at IS NULL \
     JOIN assignment a ON a.case_id = n.case_id AND a.oin = n.oin AND a.ended_at = p.withdrawn_at AND a.role = 'R02' WHERE p.oin = $1 \
     AND NOT EXISTS (SELECT 1 FROM assignment h WHERE h.case_id = a.case_id AND h.role = 'R02' \
     AND h.ended_at IS NULL AND (h.ends_at IS NULL OR h.ends_at > $2))";

/// How many open cases a partner has a role in. Of one that left: had when it did, and nobody has put down the end.
pub async fn open_cases(reader: &mut Reader, oin: &str, left: Option<i64>, now: i64) -> Result<OpenCases, StoreError> {
    let mut counts = [0; 3];
    for (count, text) in counts.iter_mut().zip([OPEN_CASES, HELD_CASES, CLOSED_CASES]) {
        let row = sqlx::query(text).bind(oin).bind(left.unwrap_or(now)).fetch_one(reader.conn().await?).await?;
        *count = u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u32::MAX);
    }
    let [any, held, closed] = counts;
    Ok(OpenCases { any, held, closed, nobodys: nobodys_cases(reader, oin, now).await? })
}

/// Refuses a commit that lets somebody go who holds a case by now.
pub async fn check_holds_none(tx: &mut Tx<'_>, oin: &str, now: i64) -> Result<(), WorkError> {
    let held = query(HELD_CASES).bind(oin).bind(now).fetch_number(tx.conn().await?).await?;
    if held == 0 { Ok(()) } else { Err(WorkError::Stale) }
}

/// Refuses a commit that lets somebody in again of whom nobody has put down that a role ended when it left.
pub async fn check_has_none(tx: &mut Tx<'_>, oin: &str, left: i64) -> Result<(), WorkError> {
    let any = query(OPEN_CASES).bind(oin).bind(left).fetch_number(tx.conn().await?).await?;
    if any == 0 { Ok(()) } else { Err(WorkError::Stale) }
}

/// Open cases in which the partner has a role.
pub async fn in_cases(reader: &mut Reader, oin: &str, now: i64) -> Result<BTreeSet<String>, StoreError> {
    let text = open_roles!("DISTINCT a.case_id");
    let rows = sqlx::query(text).bind(oin).bind(now).fetch_all(reader.conn().await?).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Closed cases that the partner holds.
pub async fn closed_cases(reader: &mut Reader, oin: &str, now: i64) -> Result<BTreeSet<String>, StoreError> {
    let text = closed_roles!("DISTINCT a.case_id");
    let rows = sqlx::query(text).bind(oin).bind(now).fetch_all(reader.conn().await?).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Open cases in which a role of the partner ended with its membership that nobody in its `line` has had since; and of the case itself
/// (R02), nobody at all. Not `all`: of the case itself only.
pub async fn left_cases(
    reader: &mut Reader,
    oin: &str,
    left: i64,
    line: &[&Oin],
    all: bool,
) -> Result<BTreeSet<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT a.case_id FROM case_name n JOIN case_file c ON c.case_id = n.case_id AND c.closed_at IS NULL \
         JOIN assignment a ON a.case_id = n.case_id AND a.oin = n.oin AND a.ended_at = $2 WHERE n.oin = $1 \
         AND (a.role = 'R02' OR $4 = 1) AND NOT EXISTS (SELECT 1 FROM assignment h WHERE h.case_id = a.case_id AND h.role = a.role \
         AND ($3 LIKE '%' || h.oin || '%' OR h.role = 'R02') AND h.assignment_id <> a.assignment_id \
         AND (h.ended_at IS NULL OR h.ended_at > $2))",
    )
    .bind(oin)
    .bind(left)
    .bind(line.iter().map(|oin| oin.as_str()).collect::<Vec<_>>().join(" "))
    .bind(i64::from(all))
    .fetch_all(reader.conn().await?)
    .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// How many open cases a partner held (R02) when it left that nobody holds now.
pub async fn nobodys_cases(reader: &mut Reader, oin: &str, now: i64) -> Result<u32, StoreError> {
    let row = sqlx::query(NOBODYS_CASES).bind(oin).bind(now).fetch_one(reader.conn().await?).await?;
    Ok(u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u32::MAX))
}

/// Open cases in which the partner carries out a measure.
pub async fn measured_cases(reader: &mut Reader, oin: &str, now: i64) -> Result<BTreeSet<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT m.case_id FROM measure m JOIN case_file c ON c.case_id = m.case_id AND c.closed_at IS NULL \
         WHERE m.oin = $1 AND (m.ends_at IS NULL OR m.ends_at > $2)",
    )
    .bind(oin)
    .bind(now)
    .fetch_all(reader.conn().await?)
    .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Records of a case that an organisation wrote and that are kept.
pub async fn written_by(reader: &mut Reader, case_id: &str, oin: &str, now: i64) -> Result<Vec<RecordRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM record WHERE case_id = $1 AND author_oin = $2 AND (expires_at IS NULL OR expires_at > $3) \
         ORDER BY created_at",
    )
    .bind(case_id)
    .bind(oin)
    .bind(now)
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter().map(|row| super::record::record(row).map_err(StoreError::from)).collect()
}

/// How many records wait for an author's agent to seal them for somebody; and how many of everybody else's wait for theirs.
pub async fn sealing(reader: &mut Reader, author: &str, newcomer: &str) -> Result<(u32, u32), StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(DISTINCT CASE WHEN author_oin = $1 THEN record_id END), \
         COUNT(DISTINCT CASE WHEN author_oin <> $1 THEN record_id END) FROM seal_request WHERE oin = $2",
    )
    .bind(author)
    .bind(newcomer)
    .fetch_one(reader.conn().await?)
    .await?;
    let count = |column| Ok::<_, sqlx::Error>(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX));
    Ok((count(0)?, count(1)?))
}

/// Puts down who carries out the measures of a case that somebody else carries out now.
pub async fn pass_measures(tx: &mut Tx<'_>, case_id: &str, from: &str, to: &str, now: i64) -> Result<(), StoreError> {
    query("UPDATE measure SET oin = $3 WHERE case_id = $1 AND oin = $2 AND (ends_at IS NULL OR ends_at > $4)")
        .bind(case_id)
        .bind(from)
        .bind(to)
        .bind(now)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Codes separated by spaces, as the store keeps them.
pub fn codes(roles: &BTreeSet<Role>) -> String {
    roles.iter().map(|role| role.code()).collect::<Vec<_>>().join(" ")
}
