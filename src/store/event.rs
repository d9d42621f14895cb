//! SQL of the audit log. There is an insert and there are selects: no statement here changes or removes an event.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::engine::Engine;
use super::rows::Many;
use super::session::{Query, Session, query};
use super::{Reader, StoreError};
use crate::audit::{Event, Leaf, encode};
use crate::tlog::{Hash, record_hash};

/// An event with the bytes that will enter the tree.
pub(super) struct EventRow {
    event: Event,
    encoded: Leaf,
}

impl EventRow {
    pub(super) fn new(event: Event) -> Self {
        let encoded = encode(&event);
        Self { event, encoded }
    }

    /// What will stand in the tree.
    pub(super) fn entry(&self) -> Hash {
        record_hash(&self.encoded.leaf)
    }
}

/// The insert of events, after whatever a statement begins with.
macro_rules! insert_events {
    ($before:literal) => {
        concat!(
            $before,
            "INSERT INTO audit_event (event_id, at, method, action, outcome, reason, req_oin, src_oin, user_ref, role, \
             purpose, article, covenant_version, clauses, case_id, subject, categories, form, recipients, record_id, \
             consents, emergency, motivation, key_hash, node, trace_id, leaf, disclosures) VALUES "
        )
    };
}

static EVENTS: Many = Many::new(insert_events!(""), 28, "", 3_000);
/// The same with the outbox in one statement, as only PostgreSQL can.
static EVENTS_AND_OUTBOX: Many = Many::new(
    insert_events!("WITH added AS ("),
    28,
    " RETURNING event_id) INSERT INTO audit_outbox (event_id) SELECT event_id FROM added",
    3_000,
);
static PARTIES: Many = Many::new("INSERT INTO audit_event_party (oin, at, event_id) VALUES ", 3, "", 100);
static OUTBOX: Many = Many::new("INSERT INTO audit_outbox (event_id) VALUES ", 1, "", 50);

/// Writes events, for whom each is to be read, and that they wait for the tree. Called at the end of every group.
pub(super) async fn write(session: &mut Session, rows: &[EventRow]) -> Result<(), StoreError> {
    if session.engine() == Engine::Postgres {
        EVENTS_AND_OUTBOX.execute(session, rows, bind).await?;
    } else {
        EVENTS.execute(session, rows, bind).await?;
        OUTBOX.execute(session, rows, |query, row| query.bind(&row.event.stamp.event_id)).await?;
    }
    let parties: Vec<(&str, &EventRow)> =
        rows.iter().flat_map(|row| parties(&row.event).into_iter().map(move |party| (party, row))).collect();
    PARTIES
        .execute(session, &parties, |query, (party, row)| {
            let stamp = &row.event.stamp;
            query.bind(*party).bind(stamp.at).bind(&stamp.event_id)
        })
        .await?;
    Ok(())
}

fn bind<'v>(query: Query<'v>, row: &'v EventRow) -> Query<'v> {
    let (draft, verdict, stamp) = (&row.event.draft, &row.event.verdict, &row.event.stamp);
    query
        .bind(&stamp.event_id)
        .bind(stamp.at)
        .bind(draft.method)
        .bind(draft.action.map_or("E", crate::audit::Action::code))
        .bind(verdict.outcome.code())
        .bind(verdict.outcome.reason())
        .bind(&draft.organisation)
        .bind(&draft.source)
        .bind(&draft.user_ref)
        .bind(draft.role.map_or("", crate::party::Role::code))
        .bind(&draft.purpose)
        .bind(draft.article.map_or(0, |article| i64::from(article.number())))
        .bind(i64::from(verdict.covenant_version))
        .bind(verdict.clauses.join(" "))
        .bind(draft.case_id.as_deref())
        .bind(&draft.subject)
        .bind(draft.categories.iter().map(|c| c.code()).collect::<Vec<_>>().join(" "))
        .bind(draft.form.map_or("", crate::party::Form::code))
        .bind(draft.recipients.join(" "))
        .bind(&draft.record)
        .bind(draft.consents.join(" "))
        .bind(i64::from(draft.emergency))
        .bind(&draft.motivation)
        .bind(&draft.key_hash)
        .bind(&stamp.node)
        .bind(&draft.trace_id)
        .bind(&row.encoded.leaf)
        .bind(&row.encoded.disclosures)
}

/// Whether an event is there: what tells a commit that happened from one that did not.
pub(super) async fn exists(session: &mut Session, event_id: &str) -> Result<bool, StoreError> {
    let count = query("SELECT COUNT(*) FROM audit_event WHERE event_id = $1").bind(event_id);
    Ok(count.fetch_number(session).await? > 0)
}

/// Organisations whose officers may read the event: who asked, whose data it is, who got it.
fn parties(event: &Event) -> Vec<&str> {
    let draft = &event.draft;
    let mut parties: Vec<&str> = [draft.organisation.as_str(), draft.source.as_str()].into();
    // Someone who was not to receive is no party to the refusal: its officer would learn of a case that is not theirs.
    if event.verdict.outcome == crate::audit::Outcome::Allowed {
        parties.extend(draft.recipients.iter().map(String::as_str));
    }
    parties.retain(|party| !party.is_empty());
    parties.sort_unstable();
    parties.dedup();
    parties
}

/// What an officer looks for. `scope` limits it to one organisation's events; the rest narrows further.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only events that concern this organisation; `None` for the network's officer.
    pub scope: Option<String>,
    /// Only events that concern this organisation too.
    pub organisation: Option<String>,
    /// Only this event.
    pub event_id: Option<String>,
    /// The hub's own id of a case.
    pub case_id: Option<String>,
    /// Opaque employee.
    pub user_ref: Option<String>,
    /// Number of an article.
    pub article: Option<i64>,
    /// allowed, refused, failed.
    pub outcome: Option<&'static str>,
    /// Reason code.
    pub reason: Option<&'static str>,
    /// A second reason code that counts as the first.
    pub reason_too: Option<&'static str>,
    /// Not before, microseconds.
    pub from: Option<i64>,
    /// Before, microseconds.
    pub until: Option<i64>,
    /// Continue before this (time, event id).
    pub before: Option<(i64, String)>,
    /// Rows at most.
    pub limit: i64,
}

impl Filter {
    /// An unknown case and somebody else's are one reason to whoever may not tell them apart.
    pub fn cover_unknown_cases(&mut self) {
        use crate::reason::Reason::{CaseUnknown, NotInvolved};
        if self.reason == Some(NotInvolved.code()) {
            self.reason_too = Some(CaseUnknown.code());
        } else if self.reason == Some(CaseUnknown.code()) {
            // It is never shown, so it is never found.
            self.reason = Some("");
        }
    }
}

/// An event as it is read back.
#[derive(Debug, Clone)]
pub struct Line {
    /// UUID.
    pub event_id: String,
    /// Microseconds.
    pub at: i64,
    /// Full name of the RPC.
    pub method: String,
    /// CRUDE code.
    pub action: String,
    /// allowed, refused, failed.
    pub outcome: String,
    /// Reason code.
    pub reason: String,
    /// Who asked.
    pub organisation: String,
    /// Whose data.
    pub source: String,
    /// Opaque employee.
    pub user_ref: String,
    /// Role code.
    pub role: String,
    /// Purpose code.
    pub purpose: String,
    /// 0: none.
    pub article: i64,
    /// 0: none.
    pub covenant_version: i64,
    /// Separated by spaces.
    pub clauses: String,
    /// The hub's own id of the case.
    pub case_id: Option<String>,
    /// Pseudonym for the organisation that asked.
    pub subject: String,
    /// Codes separated by spaces.
    pub categories: String,
    /// Form code.
    pub form: String,
    /// OINs separated by spaces.
    pub recipients: String,
    /// UUID or empty.
    pub record: String,
    /// UUIDs separated by spaces.
    pub consents: String,
    /// Article 30.
    pub emergency: bool,
    /// The caller's motivation.
    pub motivation: String,
    /// Hex.
    pub key_hash: String,
    /// Hub node.
    pub node: String,
    /// Hex or empty.
    pub trace_id: String,
}

/// Reads events, newest first.
pub async fn select(reader: &mut Reader, filter: &Filter) -> Result<Vec<Line>, StoreError> {
    let (before_at, before_id) = filter.before.clone().unwrap_or((i64::MAX, String::new()));
    let rows = sqlx::query(
        "SELECT e.* FROM audit_event e WHERE \
         (CAST($1 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM audit_event_party p WHERE p.oin = $1 AND p.at = e.at AND p.event_id = e.event_id)) \
         AND (CAST($2 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM audit_event_party q WHERE q.oin = $2 AND q.at = e.at AND q.event_id = e.event_id)) \
         AND (CAST($3 AS TEXT) IS NULL OR e.event_id = $3) \
         AND (CAST($4 AS TEXT) IS NULL OR e.case_id = $4) \
         AND (CAST($5 AS TEXT) IS NULL OR e.user_ref = $5) \
         AND (CAST($6 AS BIGINT) IS NULL OR e.article = $6) \
         AND (CAST($7 AS TEXT) IS NULL OR e.outcome = $7) \
         AND (CAST($8 AS TEXT) IS NULL OR e.reason = $8 OR e.reason = $14) \
         AND e.at >= $9 AND e.at < $10 \
         AND (e.at < $11 OR (e.at = $11 AND e.event_id < $12)) \
         ORDER BY e.at DESC, e.event_id DESC LIMIT $13",
    )
    .bind(filter.scope.as_deref())
    .bind(filter.organisation.as_deref())
    .bind(filter.event_id.as_deref())
    .bind(filter.case_id.as_deref())
    .bind(filter.user_ref.as_deref())
    .bind(filter.article)
    .bind(filter.outcome)
    .bind(filter.reason)
    .bind(filter.from.unwrap_or(i64::MIN))
    .bind(filter.until.unwrap_or(i64::MAX))
    .bind(before_at)
    .bind(before_id)
    .bind(filter.limit)
    .bind(filter.reason_too.unwrap_or("-"))
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter().map(|row| line(row).map_err(StoreError::from)).collect()
}

fn line(row: &AnyRow) -> Result<Line, sqlx::Error> {
    Ok(Line {
        event_id: row.try_get("event_id")?,
        at: row.try_get("at")?,
        method: row.try_get("method")?,
        action: row.try_get("action")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        organisation: row.try_get("req_oin")?,
        source: row.try_get("src_oin")?,
        user_ref: row.try_get("user_ref")?,
        role: row.try_get("role")?,
        purpose: row.try_get("purpose")?,
        article: row.try_get("article")?,
        covenant_version: row.try_get("covenant_version")?,
        clauses: row.try_get("clauses")?,
        case_id: row.try_get("case_id")?,
        subject: row.try_get("subject")?,
        categories: row.try_get("categories")?,
        form: row.try_get("form")?,
        recipients: row.try_get("recipients")?,
        record: row.try_get("record_id")?,
        consents: row.try_get("consents")?,
        emergency: row.try_get::<i64, _>("emergency")? != 0,
        motivation: row.try_get("motivation")?,
        key_hash: row.try_get("key_hash")?,
        node: row.try_get("node")?,
        trace_id: row.try_get("trace_id")?,
    })
}
