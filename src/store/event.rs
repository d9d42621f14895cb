//! How events are written. No statement here changes or removes one: see [`super::erasure`].

use super::StoreError;
use super::engine::Engine;
use super::rows::Many;
use super::session::{Query, Session, query};
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
             consents, emergency, motivation, key_hash, node, trace_id, leaf, disclosures, via) VALUES "
        )
    };
}

static EVENTS: Many = Many::new(insert_events!(""), 29, "", 3_000);
/// The same with the outbox in one statement, as only PostgreSQL can.
static EVENTS_AND_OUTBOX: Many = Many::new(
    insert_events!("WITH added AS ("),
    29,
    " RETURNING event_id) INSERT INTO audit_outbox (event_id) SELECT event_id FROM added",
    3_000,
);
static PARTIES: Many = Many::new("INSERT INTO audit_event_party (oin, at, event_id) VALUES ", 3, "", 100);
static LISTED: Many = Many::new("INSERT INTO audit_event_listed (case_id, at, event_id) VALUES ", 3, "", 120);
static OUTBOX: Many = Many::new("INSERT INTO audit_outbox (event_id) VALUES ", 1, "", 50);

/// Writes events, for whom each is to be read, and that they wait for the tree. Called at the end of every group.
pub(super) async fn write(session: &mut Session, rows: &[EventRow]) -> Result<(), StoreError> {
    // Nobody could read a bundle with a longer one (C2SP tlog-tiles).
    if rows.iter().any(|row| row.encoded.leaf.len() > usize::from(u16::MAX)) {
        return Err(StoreError::Inconsistent("audit_event"));
    }
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
    let listed: Vec<(&String, &EventRow)> =
        rows.iter().flat_map(|row| row.event.draft.listed.iter().map(move |case| (case, row))).collect();
    LISTED
        .execute(session, &listed, |query, (case, row)| {
            let stamp = &row.event.stamp;
            query.bind(*case).bind(stamp.at).bind(&stamp.event_id)
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
        .bind(&draft.via)
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
