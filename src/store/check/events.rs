//! Whether an event's row says what its leaf and its disclosures say, and nothing was erased without a word.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::super::StoreError;
use crate::audit::read::{Clear, Opened, clear, opened};
use crate::audit::{Group, erases, groups, mark_of, missing};

/// Events read at once.
const PAGE: i64 = 500;
/// The one method that erases.
const ERASE: &str = "sluis.v1.Audit/EraseEvents";

/// What was counted.
#[derive(Default)]
pub(super) struct Counted {
    /// Events.
    pub(super) events: i64,
    /// Rows that say something else than what enters the tree.
    pub(super) broken: i64,
    /// Disclosures that were erased without an event that says so, or the other way round.
    pub(super) unsaid: i64,
}

/// Looks at every event.
pub(super) async fn look(conn: &mut AnyConnection) -> Result<Counted, StoreError> {
    let (mut counted, mut last, mut said) = (Counted::default(), String::new(), 0);
    loop {
        let query = "SELECT * FROM audit_event WHERE event_id > $1 ORDER BY event_id LIMIT $2";
        let rows = sqlx::query(query).bind(last.clone()).bind(PAGE).fetch_all(&mut *conn).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            last = row.try_get("event_id")?;
            counted.events += 1;
            let event = Event::read(row)?;
            if !event.holds() || !event.is_found(conn).await? {
                counted.broken += 1;
            }
            counted.unsaid += event.unsaid(conn).await?;
            if event.method == ERASE && event.outcome == "allowed" {
                let (found, unsaid) = event.erased(conn).await?;
                said += found;
                counted.unsaid += unsaid;
            }
        }
    }
    let all: i64 = sqlx::query("SELECT COUNT(*) FROM audit_erasure").fetch_one(&mut *conn).await?.try_get(0)?;
    let intact =
        "SELECT COUNT(*) FROM audit_erasure a JOIN audit_event e ON e.event_id = a.event_id WHERE e.erased = ''";
    let intact: i64 = sqlx::query(intact).fetch_one(&mut *conn).await?.try_get(0)?;
    counted.unsaid += (all - said) + intact;
    Ok(counted)
}

/// A row, with what it says and what it should say.
struct Event<'r> {
    row: &'r AnyRow,
    id: String,
    at: i64,
    method: String,
    outcome: String,
    leaf: Vec<u8>,
    /// `None`: the leaf or a disclosure can't be read, or is not the leaf's.
    read: Option<(Clear, Opened, Vec<usize>)>,
}

impl<'r> Event<'r> {
    fn read(row: &'r AnyRow) -> Result<Self, StoreError> {
        let (leaf, disclosures): (Vec<u8>, Vec<u8>) = (row.try_get("leaf")?, row.try_get("disclosures")?);
        let all = serde_json::from_slice::<Vec<String>>(&disclosures).ok();
        let read = all.and_then(|all| {
            let opened = opened(&leaf, all.iter().map(String::as_str))?;
            Some((clear(&leaf)?, opened, missing(&leaf, &disclosures)?))
        });
        Ok(Self {
            row,
            id: row.try_get("event_id")?,
            at: row.try_get("at")?,
            method: row.try_get("method")?,
            outcome: row.try_get("outcome")?,
            leaf,
            read,
        })
    }

    fn text(&self, column: &str) -> Option<String> {
        self.row.try_get::<Option<String>, _>(column).ok().map(Option::unwrap_or_default)
    }

    fn is(&self, column: &str, value: &str) -> bool {
        self.text(column).as_deref() == Some(value)
    }

    fn number(&self, column: &str, value: i64) -> bool {
        self.row.try_get::<i64, _>(column).is_ok_and(|found| found == value)
    }

    fn holds(&self) -> bool {
        let Some((clear, opened, missing)) = &self.read else { return false };
        let gone = groups(missing);
        let words = gone.iter().map(|group| group.code()).collect::<Vec<_>>().join(" ");
        self.in_clear(clear) && self.is("erased", &words) && self.in_groups(opened)
    }

    fn in_clear(&self, clear: &Clear) -> bool {
        clear.id == self.id
            && clear.at == self.at
            && clear.method == self.method
            && clear.out == self.outcome
            && self.is("action", &clear.act)
            && self.is("req_oin", &clear.req)
            && self.is("src_oin", &clear.src)
            && self.is("via", &clear.via)
            && self.is("purpose", &clear.purpose)
            && self.number("article", clear.article.into())
            && self.number("covenant_version", clear.covenant.into())
            && self.is("clauses", &clear.clauses.join(" "))
    }

    /// A group that is not there leaves its columns empty.
    fn in_groups(&self, opened: &Opened) -> bool {
        let actor = opened.actor.as_ref().map(|actor| (actor.user_ref.clone(), actor.role.clone().unwrap_or_default()));
        let (user_ref, role) = actor.unwrap_or_default();
        let subject = opened.subject.as_ref().map_or("", |subject| &subject.pseudonym);
        let case = opened.case.as_ref().and_then(|case| case.case.as_deref()).unwrap_or_default();
        let data = opened.data.as_ref().map(|data| {
            (
                data.categories.join(" "),
                data.form.clone().unwrap_or_default(),
                data.recipients.join(" "),
                data.record.clone(),
            )
        });
        let (categories, form, recipients, record) = data.unwrap_or_default();
        let decision = opened.decision.as_ref().map(|decision| {
            (decision.consents.join(" "), decision.emergency, decision.motivation.clone(), decision.reason.clone())
        });
        let (consents, emergency, motivation, reason) = decision.unwrap_or_default();
        let network = opened.network.as_ref();
        let network = network.map(|network| (network.key_hash.clone(), network.node.clone(), network.trace.clone()));
        let (key_hash, node, trace) = network.unwrap_or_default();
        [
            ("user_ref", user_ref.as_str()),
            ("role", &role),
            ("subject", subject),
            ("case_id", case),
            ("categories", &categories),
            ("form", &form),
            ("recipients", &recipients),
            ("record_id", &record),
            ("consents", &consents),
            ("motivation", &motivation),
            ("reason", &reason),
            ("key_hash", &key_hash),
            ("node", &node),
            ("trace_id", &trace),
        ]
        .iter()
        .all(|(column, value)| self.is(column, value))
            && self.number("emergency", emergency.into())
    }

    /// Whether everybody whom it concerns finds it, and by every case that stood in its list.
    async fn is_found(&self, conn: &mut AnyConnection) -> Result<bool, StoreError> {
        let Some((clear, opened, _)) = &self.read else { return Ok(true) };
        let mut parties = vec![clear.req.as_str(), &clear.src];
        if clear.out == "allowed" {
            parties.extend(opened.data.iter().flat_map(|data| &data.recipients).map(String::as_str));
        }
        for oin in parties.into_iter().filter(|oin| !oin.is_empty()) {
            let row = "SELECT COUNT(*) FROM audit_event_party WHERE oin = $1 AND at = $2 AND event_id = $3";
            if !self.is_in(conn, row, oin).await? {
                return Ok(false);
            }
        }
        for case in opened.listed.iter().filter_map(|listed| listed.case.as_deref()) {
            let row = "SELECT COUNT(*) FROM audit_event_listed WHERE case_id = $1 AND at = $2 AND event_id = $3";
            if !self.is_in(conn, row, case).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_in(&self, conn: &mut AnyConnection, row: &'static str, key: &str) -> Result<bool, StoreError> {
        let found = sqlx::query(row).bind(key.to_owned()).bind(self.at).bind(self.id.clone()).fetch_one(conn).await?;
        Ok(found.try_get::<i64, _>(0)? == 1)
    }

    /// Disclosures that are gone and not written down as erased, or there and written down.
    async fn unsaid(&self, conn: &mut AnyConnection) -> Result<i64, StoreError> {
        let Some((_, _, missing)) = &self.read else { return Ok(0) };
        let row = self.text("erased").unwrap_or_default();
        // Most events have lost nothing: what is written down of others is counted in the end.
        if missing.is_empty() && row.is_empty() {
            return Ok(0);
        }
        let rows = sqlx::query("SELECT place FROM audit_erasure WHERE event_id = $1")
            .bind(self.id.clone())
            .fetch_all(conn)
            .await?;
        let mut places = Vec::new();
        for row in rows {
            places.extend(usize::try_from(row.try_get::<i64, _>(0)?).ok());
        }
        let unsaid = missing.iter().filter(|place| !places.contains(place)).count();
        let there = places.iter().filter(|place| !missing.contains(place)).count();
        Ok(i64::try_from(unsaid + there).unwrap_or(i64::MAX))
    }

    /// How many erasures stand under this event as its leaf says, and how many do not.
    async fn erased(&self, conn: &mut AnyConnection) -> Result<(i64, i64), StoreError> {
        let named = erases(&self.leaf);
        if named.is_empty() {
            return Ok((0, 0));
        }
        let rows = sqlx::query("SELECT event_id, place FROM audit_erasure WHERE erased_by = $1 ORDER BY event_id")
            .bind(self.id.clone())
            .fetch_all(conn)
            .await?;
        let mut found = 0;
        for row in rows {
            let (event, place): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            let places = named.get(&mark_of(&event));
            found +=
                i64::from(places.is_some_and(|all| usize::try_from(place).is_ok_and(|place| all.contains(&place))));
        }
        let named: usize = named.values().map(Vec::len).sum();
        Ok((found, i64::try_from(named).unwrap_or(i64::MAX) - found))
    }
}

/// The groups that the check knows of are all there are.
const _: () = assert!(Group::ALL.len() == crate::audit::GROUPS + 1);
