//! What the rows say now, read once for a whole group, locked so that no other node changes it before the commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ring::digest::{SHA256, digest};

use super::engine::Engine;
use super::rows::Many;
use super::session::{Session, query};
use super::tx::{Changes, Moved, Seen};
use super::{StoreError, WorkError};

/// Revisions and request ids as this transaction sees them.
#[derive(Debug, Default)]
pub(super) struct Picture {
    registry: i64,
    cases: HashMap<String, i64>,
    /// Request ids that have a reply, those of earlier units of the group among them.
    requests: HashSet<(String, String)>,
}

impl Picture {
    /// Locks and reads what the units rest on. `group` names the transaction, so that whoever lost sight of it can wait for
    /// its end.
    pub(super) async fn take(session: &mut Session, group: &str, units: &[Seen]) -> Result<Self, StoreError> {
        if session.engine() == Engine::Postgres {
            lock(session, group, units).await?;
        }
        let registry = query("SELECT rev FROM registry_head WHERE id = 1").fetch_number(&mut *session).await?;
        let mut picture = Self { registry, ..Self::default() };
        let cases: BTreeSet<&str> =
            units.iter().filter_map(|seen| seen.case.as_ref()).map(|(case, _)| case.as_str()).collect();
        let cases: Vec<&str> = cases.into_iter().collect();
        for row in CASES.fetch(session, &cases, |query, case| query.bind(*case)).await? {
            picture.cases.insert(row.text(0)?, row.number(1)?);
        }
        let keys: Vec<_> = units.iter().filter_map(|seen| seen.request.as_ref()).collect();
        let known = REQUESTS
            .fetch(session, &keys, |query, key| query.bind(&key.oin).bind(&key.request_id).bind(key.since))
            .await?;
        for row in known {
            picture.requests.insert((row.text(0)?, row.text(1)?));
        }
        Ok(picture)
    }

    /// Whether what a unit saw still holds.
    pub(super) fn check(&self, seen: &Seen) -> Result<(), WorkError> {
        let moved_registry = seen.registry.is_some_and(|rev| rev != self.registry);
        let moved_case = seen.case.as_ref().is_some_and(|(case, rev)| self.cases.get(case) != Some(rev));
        if moved_registry || moved_case {
            return Err(WorkError::Stale);
        }
        let repeated = |key: &super::request::Key| self.requests.contains(&(key.oin.clone(), key.request_id.clone()));
        if seen.request.as_ref().is_some_and(repeated) { Err(WorkError::Repeated) } else { Ok(()) }
    }

    /// Follows a unit that has been carried out.
    pub(super) fn follow(&mut self, seen: Seen, moved: Vec<Moved>) {
        for moved in moved {
            match moved {
                Moved::Registry => self.registry += 1,
                Moved::Case(case) => *self.cases.entry(case).or_default() += 1,
            }
        }
        if let Some(key) = seen.request {
            self.requests.insert((key.oin, key.request_id));
        }
    }
}

static CASES: Many = Many::new("SELECT case_id, rev FROM case_file WHERE case_id IN (VALUES ", 1, ")", 50);
static REQUESTS: Many = Many::new(
    "SELECT r.oin, r.request_id FROM request r JOIN (SELECT column1 AS oin, column2 AS request_id, column3 AS since \
     FROM (VALUES ",
    3,
    ") AS v) AS k ON r.oin = k.oin AND r.request_id = k.request_id AND r.at >= k.since",
    100,
);
static LOCKS: Many = Many::new(
    "SELECT COUNT(held) FROM (SELECT CASE WHEN column2 = 1 THEN pg_advisory_xact_lock(column1) \
     ELSE pg_advisory_xact_lock_shared(column1) END AS held FROM (VALUES ",
    2,
    ") AS v ORDER BY column1 OFFSET 0) AS l",
    20,
);

/// Shared for what a decision rests on, alone for what changes, in one order for everybody. Locks of the lock manager, not
/// of rows: they queue fairly, so that a change of the registry gets its turn among a thousand reads, and they write
/// nothing.
async fn lock(session: &mut Session, group: &str, units: &[Seen]) -> Result<(), StoreError> {
    let mut locks = BTreeMap::from([(group_lock(group), true)]);
    let mut add = |lock, alone| *locks.entry(lock).or_insert(alone) |= alone;
    for seen in units {
        add(key("registry", b""), seen.changes == Changes::Registry);
        if let Some((case, _)) = &seen.case {
            add(key("case", case.as_bytes()), seen.changes == Changes::Case);
        }
        if let Changes::Subject(tag) = &seen.changes {
            add(key("subject", tag), true);
        }
        if let Some(request) = &seen.request {
            add(key("request", format!("{} {}", request.oin, request.request_id).as_bytes()), true);
        }
    }
    let locks: Vec<(i64, bool)> = locks.into_iter().collect();
    LOCKS.fetch(session, &locks, |query, (lock, alone)| query.bind(*lock).bind(i64::from(*alone))).await?;
    Ok(())
}

/// The lock that a group's transaction holds until its end.
pub(super) fn group_lock(group: &str) -> i64 {
    key("group", group.as_bytes())
}

/// Two things with one key wait for each other now and then, and nothing worse.
fn key(kind: &str, name: &[u8]) -> i64 {
    let hash = digest(&SHA256, &[kind.as_bytes(), &[0], name].concat());
    hash.as_ref().first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}
