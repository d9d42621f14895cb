//! The one way in which an event changes: groups of it are emptied, and an event of its own says so.

use sqlx::{AssertSqlSafe, Row as _};

use super::engine::Engine;
use super::session::{Session, query};
use super::tx::{Tx, WorkError};
use super::{Reader, StoreError};
use crate::audit::{Group, Kind, groups};

/// What is to become of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasing {
    /// UUID.
    pub event_id: String,
    /// Microseconds.
    at: i64,
    /// JSON array of the disclosures that were there, and of those that stay.
    old: Vec<u8>,
    rest: Vec<u8>,
    /// Places of the digests whose disclosures go now.
    pub places: Vec<usize>,
    /// Groups of which something goes now; and of which something was erased, now or before.
    now: Vec<Group>,
    ever: Vec<Group>,
    /// Cases that go from a list.
    cases: Vec<String>,
    /// OINs that find the event by its data alone.
    parties: Vec<String>,
}

/// An event as it can be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasable {
    /// UUID.
    pub event_id: String,
    /// Microseconds.
    pub at: i64,
    /// What stands in the tree.
    pub leaf: Vec<u8>,
    /// JSON array of disclosures.
    pub disclosures: Vec<u8>,
    /// Names of groups separated by spaces.
    pub erased: String,
    /// Full name of the RPC.
    pub method: String,
    /// OINs that got something, and are neither who asked nor whose data it was.
    parties: Vec<String>,
}

/// Which events.
#[derive(Debug, Clone)]
pub enum Which {
    /// These.
    Named(Vec<String>),
    /// In which a case stands, or stood in a list; or a subject by an organisation's pseudonym.
    About {
        /// The hub's own ids.
        cases: Vec<String>,
        /// Organisations and their pseudonyms.
        subjects: Vec<(String, String)>,
    },
    /// Of a kind or of all, written after one moment and event, and before another moment.
    Between {
        /// The kind; `None` for all.
        kind: Option<Kind>,
        /// Seen to already: microseconds and UUID.
        after: (i64, String),
        /// Microseconds.
        until: i64,
    },
}

/// What is seen to for events of all kinds together.
const ALL: &str = "alle";

/// Which methods are of this kind.
fn condition(kind: Kind) -> String {
    let any = |kind: Kind| kind.prefixes().iter().map(|prefix| format!("method LIKE '{prefix}%'")).collect::<Vec<_>>();
    match kind {
        Kind::Casus | Kind::Log => format!("({})", any(kind).join(" OR ")),
        Kind::Beheer => format!("NOT ({})", [any(Kind::Casus), any(Kind::Log)].concat().join(" OR ")),
    }
}

impl Tx<'_> {
    /// Empties groups of events, under the event of this transaction.
    ///
    /// # Errors
    /// [`WorkError::Stale`] if an event is not as it was read.
    pub async fn erase(&mut self, events: &[Erasing]) -> Result<(), WorkError> {
        let by = self.event_id().to_owned();
        let session = self.conn().await?;
        if !events.is_empty() {
            // Until this is gone from the database's files too.
            let waits = query("INSERT INTO audit_scrub (erased_by) VALUES ($1) ON CONFLICT DO NOTHING");
            waits.bind(&by).execute(&mut *session).await?;
        }
        for event in events {
            for place in &event.places {
                query("INSERT INTO audit_erasure (event_id, place, erased_by) VALUES ($1, $2, $3)")
                    .bind(&event.event_id)
                    .bind(i64::try_from(*place).unwrap_or(i64::MAX))
                    .bind(&by)
                    .execute(&mut *session)
                    .await
                    .map_err(
                        |error| if matches!(error, StoreError::Conflict) { WorkError::Stale } else { error.into() },
                    )?;
            }
            if !empty(session, event, &by).await? {
                return Err(WorkError::Stale);
            }
        }
        Ok(())
    }

    /// Remembers how far the end of retention has been seen to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn retained(&mut self, kind: Option<Kind>, until: i64, event_id: &str) -> Result<(), StoreError> {
        let session = self.conn().await?;
        query(
            "INSERT INTO log_retention (kind, until, event_id) VALUES ($1, $2, $3) \
             ON CONFLICT (kind) DO UPDATE SET until = excluded.until, event_id = excluded.event_id",
        )
        .bind(kind.map_or(ALL, Kind::code))
        .bind(until)
        .bind(event_id)
        .execute(session)
        .await?;
        Ok(())
    }
}

/// Empties an event, if it is as it was read.
async fn empty(session: &mut Session, event: &Erasing, by: &str) -> Result<bool, StoreError> {
    let words = |groups: &[Group]| groups.iter().map(|group| group.code()).collect::<Vec<_>>().join(" ");
    let (now, ever, cases) = (words(&event.now), words(&event.ever), event.cases.join(" "));
    let bound = |text: &'static str| {
        query(text)
            .bind(&now)
            .bind(&event.event_id)
            .bind(&event.rest)
            .bind(&cases)
            .bind(by)
            .bind(&event.old)
            .bind(&ever)
    };
    if session.engine() == Engine::Postgres {
        return Ok(bound("SELECT erase_event($1, $2, $3, $4, $5, $6, $7)").fetch_number(session).await? == 1);
    }
    if bound(EMPTY).execute(session).await? != 1 {
        return Ok(false);
    }
    let (at, event_id) = (event.at, &event.event_id);
    for oin in event.parties.iter().filter(|_| event.now.contains(&Group::Data)) {
        let gone = query("DELETE FROM audit_event_party WHERE oin = $1 AND at = $2 AND event_id = $3");
        gone.bind(oin).bind(at).bind(event_id).execute(session).await?;
    }
    for case in &event.cases {
        let gone = query("DELETE FROM audit_event_listed WHERE case_id = $1 AND at = $2 AND event_id = $3");
        gone.bind(case).bind(at).bind(event_id).execute(session).await?;
    }
    Ok(true)
}

/// The same as the function of the other engine.
const EMPTY: &str = "UPDATE audit_event SET disclosures = $3, erased = $7, \
     user_ref = CASE WHEN ' ' || $1 || ' ' LIKE '% actor %' THEN '' ELSE user_ref END, \
     role = CASE WHEN ' ' || $1 || ' ' LIKE '% actor %' THEN '' ELSE role END, \
     subject = CASE WHEN ' ' || $1 || ' ' LIKE '% subject %' THEN '' ELSE subject END, \
     case_id = CASE WHEN ' ' || $1 || ' ' LIKE '% case %' THEN NULL ELSE case_id END, \
     categories = CASE WHEN ' ' || $1 || ' ' LIKE '% data %' THEN '' ELSE categories END, \
     form = CASE WHEN ' ' || $1 || ' ' LIKE '% data %' THEN '' ELSE form END, \
     recipients = CASE WHEN ' ' || $1 || ' ' LIKE '% data %' THEN '' ELSE recipients END, \
     record_id = CASE WHEN ' ' || $1 || ' ' LIKE '% data %' THEN '' ELSE record_id END, \
     consents = CASE WHEN ' ' || $1 || ' ' LIKE '% decision %' THEN '' ELSE consents END, \
     emergency = CASE WHEN ' ' || $1 || ' ' LIKE '% decision %' THEN 0 ELSE emergency END, \
     motivation = CASE WHEN ' ' || $1 || ' ' LIKE '% decision %' THEN '' ELSE motivation END, \
     reason = CASE WHEN ' ' || $1 || ' ' LIKE '% decision %' THEN '' ELSE reason END, \
     key_hash = CASE WHEN ' ' || $1 || ' ' LIKE '% network %' THEN '' ELSE key_hash END, \
     node = CASE WHEN ' ' || $1 || ' ' LIKE '% network %' THEN '' ELSE node END, \
     trace_id = CASE WHEN ' ' || $1 || ' ' LIKE '% network %' THEN '' ELSE trace_id END \
     WHERE event_id = $2 AND disclosures = $6 AND $4 = $4 \
     AND EXISTS (SELECT 1 FROM audit_erasure WHERE event_id = $2 AND erased_by = $5)";

/// Events of a selection, oldest first, that are not wholly erased as far as the groups say.
pub async fn erasable(reader: &mut Reader, which: &Which, limit: i64) -> Result<Vec<Erasable>, StoreError> {
    let mut found = Vec::new();
    match which {
        Which::Named(events) => {
            for event in events {
                found.extend(rows(reader, "event_id = $1", std::slice::from_ref(event), limit, None).await?);
            }
        }
        Which::About { cases, subjects } => {
            for case in cases {
                found.extend(rows(reader, "case_id = $1", std::slice::from_ref(case), limit, None).await?);
                let listed = "event_id IN (SELECT event_id FROM audit_event_listed WHERE case_id = $1)";
                found.extend(rows(reader, listed, std::slice::from_ref(case), limit, None).await?);
            }
            for (oin, subject) in subjects {
                let own = "req_oin = $1 AND subject = $2 AND subject <> ''";
                found.extend(rows(reader, own, &[oin.clone(), subject.clone()], limit, None).await?);
            }
        }
        Which::Between { kind, after: (at, event_id), until } => {
            let texts = [event_id.clone()];
            found.extend(
                rows(reader, &kind.map_or_else(|| "1 = 1".to_owned(), condition), &texts, limit, Some((*at, *until)))
                    .await?,
            );
        }
    }
    found.sort_by(|a, b| (a.at, &a.event_id).cmp(&(b.at, &b.event_id)));
    found.dedup();
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

async fn rows(
    reader: &mut Reader,
    condition: &str,
    texts: &[String],
    limit: i64,
    between: Option<(i64, i64)>,
) -> Result<Vec<Erasable>, StoreError> {
    let columns =
        "SELECT event_id, at, leaf, disclosures, erased, method, req_oin, src_oin, recipients FROM audit_event WHERE";
    let text = match between {
        Some(_) => {
            format!("{columns} (at, event_id) > ($3, $1) AND at < $4 AND {condition} ORDER BY at, event_id LIMIT $2")
        }
        None => {
            let limit = format!("${}", texts.len() + 1);
            format!("{columns} {condition} ORDER BY at, event_id LIMIT {limit}")
        }
    };
    let mut query = sqlx::query(AssertSqlSafe(text));
    for text in texts {
        query = query.bind(text.clone());
    }
    query = query.bind(limit);
    if let Some((after, until)) = between {
        query = query.bind(after).bind(until);
    }
    let rows = query.fetch_all(reader.conn().await?).await?;
    let read = |row: &sqlx::any::AnyRow| {
        let (asked, source, recipients): (String, String, String) = (row.try_get(6)?, row.try_get(7)?, row.try_get(8)?);
        let others = recipients.split_whitespace().filter(|oin| *oin != asked && *oin != source);
        Ok(Erasable {
            method: row.try_get(5)?,
            parties: others.map(ToOwned::to_owned).collect(),
            event_id: row.try_get(0)?,
            at: row.try_get(1)?,
            leaf: row.try_get(2)?,
            disclosures: row.try_get(3)?,
            erased: row.try_get(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// The time of the newest event, unless nothing was written in the span before the last one like it: then that of the newest
/// event before the gap.
///
/// # Errors
/// [`StoreError`].
pub async fn settled_time(reader: &mut Reader, newest: i64, span: std::time::Duration) -> Result<i64, StoreError> {
    let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let row = sqlx::query("SELECT MAX(at) FROM audit_event WHERE at < $1")
        .bind(newest.saturating_sub(span))
        .fetch_one(reader.conn().await?)
        .await?;
    let before: Option<i64> = row.try_get(0)?;
    Ok(before.filter(|before| *before < newest.saturating_sub(span).saturating_sub(span)).unwrap_or(newest))
}

/// Of which event something was erased, by which event, and where in its leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// UUID.
    pub event_id: String,
    /// UUID.
    pub by: String,
    /// Place of a digest.
    pub place: usize,
}

/// What was erased of these events, by which event; in order of both.
///
/// # Errors
/// [`StoreError`].
pub async fn erasures(reader: &mut Reader, events: &[&str]) -> Result<Vec<Erased>, StoreError> {
    let mut found = Vec::new();
    // One statement's values are limited.
    for some in events.chunks(500) {
        let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
        let text = format!(
            "SELECT event_id, erased_by, place FROM audit_erasure WHERE event_id IN ({}) ORDER BY event_id, erased_by, place",
            places.join(",")
        );
        let query = some.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, event| query.bind(*event));
        for row in query.fetch_all(reader.conn().await?).await? {
            let place: i64 = row.try_get(2)?;
            let place = usize::try_from(place).map_err(|_| StoreError::Inconsistent("audit_erasure"))?;
            found.push(Erased { event_id: row.try_get(0)?, by: row.try_get(1)?, place });
        }
    }
    Ok(found)
}

/// How far the end of retention has been seen to.
pub async fn retained(reader: &mut Reader, kind: Option<Kind>) -> Result<(i64, String), StoreError> {
    let row = sqlx::query("SELECT until, event_id FROM log_retention WHERE kind = $1")
        .bind(kind.map_or(ALL, Kind::code))
        .fetch_optional(reader.conn().await?)
        .await?;
    Ok(match row {
        Some(row) => (row.try_get(0)?, row.try_get(1)?),
        None => (i64::MIN, String::new()),
    })
}

impl Erasable {
    /// Takes groups out of it; nothing if nothing of them is there any more.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`]: it is not what was written.
    pub fn without(&self, wanted: &[Group], listed: Option<&[String]>) -> Result<Option<Erasing>, StoreError> {
        let left = crate::audit::erase(&self.leaf, &self.disclosures, wanted, listed)
            .ok_or(StoreError::Inconsistent("audit_event"))?;
        if left.erased.is_empty() {
            return Ok(None);
        }
        let now = groups(&left.erased);
        let mut ever: Vec<Group> = self.erased.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        ever.extend(&now);
        ever.sort_unstable();
        ever.dedup();
        Ok(Some(Erasing {
            event_id: self.event_id.clone(),
            at: self.at,
            old: self.disclosures.clone(),
            rest: left.disclosures,
            places: left.erased,
            now,
            ever,
            cases: left.cases,
            parties: self.parties.clone(),
        }))
    }
}
