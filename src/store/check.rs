//! Looking at a whole store from the outside: whether it holds together, judged by its rows alone.
//!
//! Each question counts the rows that should not be. It changes nothing and may run beside a hub: all of it is read as it was
//! at one moment.

mod events;
pub mod promises;

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row as _};

use super::engine::{Access, Engine, connect};
use super::{StoreError, open};
use crate::tlog::{Edge, record_hash};

/// One kind of row that should not be, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What should hold.
    pub rule: &'static str,
    /// Rows that break it.
    pub rows: i64,
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What does not hold; nothing when all is well.
    pub findings: Vec<Finding>,
    /// Audit events read.
    pub events: i64,
}

/// Looks at everything.
///
/// # Errors
/// The database can't be reached, or is no hub's.
pub async fn check(access: &Access) -> Result<Report, StoreError> {
    sqlx::any::install_default_drivers();
    open::is_there(access)?;
    let mut conn = connect(&access.options()?).await.map_err(open::not_a_database)?;
    open::verify(&mut conn, access.engine()).await?;
    let begin = match access.engine() {
        Engine::Sqlite => "BEGIN",
        Engine::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    sqlx::query(begin).execute(&mut conn).await?;
    let mut report = Report::default();
    for (rule, query) in RULES {
        let rows = sqlx::query(query).fetch_one(&mut conn).await?.try_get(0)?;
        if rows > 0 {
            report.findings.push(Finding { rule, rows });
        }
    }
    let counted = events::look(&mut conn).await?;
    report.events = counted.events;
    for (rule, rows) in [
        ("what enters the tree is what was written", counted.broken),
        ("what was erased is what an event says", counted.unsaid),
    ] {
        if rows > 0 {
            report.findings.push(Finding { rule, rows });
        }
    }
    let broken = tree(&mut conn).await?;
    if broken > 0 {
        report.findings.push(Finding { rule: "the tree is that of its entries", rows: broken });
    }
    Ok(report)
}

/// A count of rows that lack an event, less the events of that kind that were erased.
macro_rules! less_erased {
    ($rows:literal, $group:literal, $events:literal) => {
        concat!(
            "SELECT CASE WHEN n.broken > e.erased THEN n.broken - e.erased ELSE 0 END FROM (SELECT COUNT(*) AS broken FROM ",
            $rows,
            ") n, (SELECT COUNT(*) AS erased FROM audit_event WHERE erased LIKE '%",
            $group,
            "%' AND outcome = 'allowed' AND ",
            $events,
            ") e"
        )
    };
}

/// Rule, and a query that counts the rows that break it.
const RULES: [(&str, &str); 17] = [
    (
        "a case was opened by an event",
        less_erased!(
            "case_file c WHERE NOT EXISTS (SELECT 1 FROM audit_event e WHERE e.case_id = c.case_id \
         AND e.outcome = 'allowed' AND e.method = 'sluis.v1.Cases/ReferCase')",
            "case",
            "method = 'sluis.v1.Cases/ReferCase'"
        ),
    ),
    (
        "a case moves on with an event only",
        less_erased!(
            "case_file c WHERE c.rev > (SELECT COUNT(*) FROM audit_event e WHERE e.case_id = c.case_id \
         AND e.outcome = 'allowed' AND e.action IN ('C', 'U', 'D'))",
            "case",
            "action IN ('C', 'U', 'D')"
        ),
    ),
    (
        "the registry moves on with an event only",
        "SELECT COUNT(*) FROM registry_head h WHERE h.rev > 0 AND NOT EXISTS (SELECT 1 FROM audit_event)",
    ),
    (
        "a place is taken by a partner, of a partner",
        "SELECT COUNT(*) FROM succession s WHERE s.oin NOT IN (SELECT oin FROM partner) \
         OR s.successor NOT IN (SELECT oin FROM partner) OR s.oin = s.successor",
    ),
    (
        "names, roles, measures and consents are of a case",
        "SELECT (SELECT COUNT(*) FROM case_name x WHERE x.case_id NOT IN (SELECT case_id FROM case_file)) \
         + (SELECT COUNT(*) FROM assignment x WHERE x.case_id NOT IN (SELECT case_id FROM case_file)) \
         + (SELECT COUNT(*) FROM measure x WHERE x.case_id NOT IN (SELECT case_id FROM case_file)) \
         + (SELECT COUNT(*) FROM consent x WHERE x.case_id NOT IN (SELECT case_id FROM case_file))",
    ),
    (
        "a consent was recorded by an event",
        less_erased!(
            "(SELECT k.case_id, COUNT(*) AS given FROM consent k GROUP BY k.case_id) g WHERE g.given > \
         (SELECT COUNT(*) FROM audit_event e WHERE e.case_id = g.case_id AND e.outcome = 'allowed' \
         AND e.method = 'sluis.v1.Consents/RecordConsent')",
            "case",
            "method = 'sluis.v1.Consents/RecordConsent'"
        ),
    ),
    (
        "a record was published by an event",
        less_erased!(
            "record r WHERE NOT EXISTS (SELECT 1 FROM audit_event e WHERE e.record_id = r.record_id \
         AND e.outcome = 'allowed' AND e.method = 'sluis.v1.Records/PublishRecord')",
            "data",
            "method = 'sluis.v1.Records/PublishRecord'"
        ),
    ),
    (
        "a record is whole",
        "SELECT COUNT(*) FROM record r WHERE r.size <> (SELECT CAST(COALESCE(SUM(LENGTH(c.bytes)), 0) AS BIGINT) \
         FROM record_chunk c WHERE c.record_id = r.record_id) OR (SELECT COUNT(*) FROM record_chunk c \
         WHERE c.record_id = r.record_id) <> (SELECT COALESCE(MAX(c.seq) + 1, 0) FROM record_chunk c \
         WHERE c.record_id = r.record_id)",
    ),
    (
        "whoever may open a record has its key, or waits for it",
        "SELECT COUNT(*) FROM record_recipient p WHERE NOT EXISTS (SELECT 1 FROM record_key k \
         WHERE k.record_id = p.record_id AND k.oin = p.oin)",
    ),
    (
        "pieces, keys and recipients are of a record",
        "SELECT (SELECT COUNT(*) FROM record_chunk x WHERE x.record_id NOT IN (SELECT record_id FROM record)) \
         + (SELECT COUNT(*) FROM record_key x WHERE x.record_id NOT IN (SELECT record_id FROM record)) \
         + (SELECT COUNT(*) FROM record_recipient x WHERE x.record_id NOT IN (SELECT record_id FROM record)) \
         + (SELECT COUNT(*) FROM seal_request x WHERE x.record_id NOT IN (SELECT record_id FROM record))",
    ),
    (
        "an inbox has no gaps",
        "SELECT COUNT(*) FROM inbox_head h WHERE h.acked > h.seq OR h.seq <> (SELECT COUNT(*) FROM inbox_item i \
         WHERE i.oin = h.oin) OR h.seq <> (SELECT COALESCE(MAX(i.seq), 0) FROM inbox_item i WHERE i.oin = h.oin)",
    ),
    (
        "an item is in somebody's inbox, about something that is",
        "SELECT (SELECT COUNT(*) FROM inbox_item i WHERE i.oin NOT IN (SELECT oin FROM inbox_head)) \
         + (SELECT COUNT(*) FROM inbox_item i WHERE i.record_id IS NOT NULL \
         AND i.record_id NOT IN (SELECT record_id FROM record))",
    ),
    (
        "a remembered reply has its event",
        "SELECT COUNT(*) FROM request r WHERE r.event_id NOT IN (SELECT event_id FROM audit_event)",
    ),
    (
        "an event is found by whoever asked",
        "SELECT COUNT(*) FROM audit_event e WHERE e.req_oin <> '' AND NOT EXISTS (SELECT 1 FROM audit_event_party p \
         WHERE p.oin = e.req_oin AND p.at = e.at AND p.event_id = e.event_id)",
    ),
    (
        "every event waits for the tree or stands in it, once",
        "SELECT (SELECT COUNT(*) FROM audit_outbox o WHERE o.event_id NOT IN (SELECT event_id FROM audit_event)) \
         + (SELECT COUNT(*) FROM audit_outbox o WHERE o.event_id IN (SELECT event_id FROM log_leaf)) \
         + (SELECT COUNT(*) FROM audit_event e WHERE e.event_id NOT IN (SELECT event_id FROM audit_outbox) \
         AND e.event_id NOT IN (SELECT event_id FROM log_leaf)) \
         + (SELECT COUNT(*) FROM log_head h WHERE h.size <> (SELECT COUNT(*) FROM log_leaf) \
         OR h.size <> (SELECT COALESCE(MAX(seq) + 1, 0) FROM log_leaf))",
    ),
    (
        "an erasure waits to be gone from the files too, or is",
        "SELECT (SELECT COUNT(*) FROM audit_erasure a WHERE a.erased_by NOT IN (SELECT erased_by FROM audit_scrub)) \
         + (SELECT COUNT(*) FROM audit_scrub s WHERE s.erased_by NOT IN (SELECT erased_by FROM audit_erasure))",
    ),
    (
        "keys and signatures are a partner's",
        "SELECT (SELECT COUNT(*) FROM key_set k WHERE k.oin NOT IN (SELECT oin FROM partner)) \
         + (SELECT COUNT(*) FROM covenant_signature s WHERE s.oin NOT IN (SELECT oin FROM partner)) \
         + (SELECT COUNT(*) FROM certificate c WHERE c.oin NOT IN (SELECT oin FROM partner))",
    ),
];

/// Entries read at once.
const PAGE: i64 = 500;

/// Tiles that are not those of the entries in their order; and one for a tree of another size.
async fn tree(conn: &mut AnyConnection) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT size FROM log_head WHERE id = 1").fetch_one(&mut *conn).await?;
    let size: i64 = row.try_get(0)?;
    let (mut edge, mut broken, mut tiles) = (Edge::default(), 0, BTreeMap::new());
    loop {
        let from = i64::try_from(edge.size()).unwrap_or(i64::MAX);
        let query = "SELECT e.leaf FROM log_leaf l JOIN audit_event e ON e.event_id = l.event_id \
                     WHERE l.seq >= $1 AND l.seq < $2 ORDER BY l.seq";
        let until = from.saturating_add(PAGE).min(size);
        let rows = sqlx::query(query).bind(from).bind(until).fetch_all(&mut *conn).await?;
        if rows.is_empty() {
            break;
        }
        let leaves = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Vec<u8>>, _>>()?;
        // A tile that goes on growing is told of again.
        tiles.extend(edge.grow(leaves.iter().map(|leaf| record_hash(leaf))));
    }
    broken += i64::from(i64::try_from(edge.size()) != Ok(size));
    let mut stored = 0;
    for ((level, place), hashes) in &tiles {
        let query = "SELECT hashes FROM log_tile WHERE level = $1 AND place = $2";
        let place = i64::try_from(*place).unwrap_or(i64::MAX);
        let row = sqlx::query(query).bind(i64::from(*level)).bind(place).fetch_optional(&mut *conn).await?;
        let found: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?;
        stored += i64::from(found.is_some());
        broken += i64::from(found.as_ref() != Some(hashes));
    }
    let all: i64 = sqlx::query("SELECT COUNT(*) FROM log_tile").fetch_one(&mut *conn).await?.try_get(0)?;
    Ok(broken + (all - stored))
}
