//! How events are found: by what an officer may see of them, newest first, page by page.

use std::fmt::Write as _;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Reader, StoreError};
use crate::reason::Reason;

/// Whom or what events are to be about.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The hub's own ids of cases.
    pub cases: Vec<String>,
    /// An organisation and its pseudonym of a youth: events of before there was a case are found by it.
    pub subject: Option<(String, String)>,
    /// Whether events count in which the case stood in a list.
    pub listed: bool,
    /// Whether events count that were about the case itself.
    pub consulted: bool,
}

/// What an officer looks for. `scope` limits it to one organisation's events; the rest narrows further.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only events that concern this organisation, as far as it may see them; `None` for the network's officer.
    pub scope: Option<String>,
    /// Only events that concern this organisation too.
    pub organisation: Option<String>,
    /// Only what this organisation asked.
    pub requester: Option<String>,
    /// Only what concerns this organisation's data.
    pub source: Option<String>,
    /// Only this event.
    pub event_id: Option<String>,
    /// Only what is about somebody or something.
    pub about: Option<About>,
    /// Opaque employee.
    pub user_ref: Option<String>,
    /// Role code.
    pub role: Option<&'static str>,
    /// Purpose code.
    pub purpose: Option<String>,
    /// Number of an article.
    pub article: Option<i64>,
    /// allowed, refused, failed.
    pub outcome: Option<&'static str>,
    /// Reason code.
    pub reason: Option<&'static str>,
    /// Only article 30.
    pub emergency: bool,
    /// W3C trace-id.
    pub trace_id: Option<String>,
    /// Only what this supplier called.
    pub via: Option<String>,
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
    /// Whether a condition has an index of its own.
    const fn is_narrow(&self) -> bool {
        let refused = matches!(self.outcome, Some(outcome) if !matches!(outcome.as_bytes(), b"allowed"));
        self.user_ref.is_some() || self.event_id.is_some() || self.trace_id.is_some() || self.emergency || refused
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
    /// Names of groups separated by spaces.
    pub erased: String,
    /// OIN of the supplier that called, or empty.
    pub via: String,
    /// The hub's own ids of cases that stood in a list.
    pub listed: Vec<String>,
}

/// The one method whose events name listed cases.
const LIST: &str = "sluis.v1.Cases/ListCases";

/// What a line shows.
const COLUMNS: &str = "x.event_id, x.at, x.method, x.action, x.outcome, x.reason, x.req_oin, x.src_oin, x.user_ref, x.role, \
     x.purpose, x.article, x.covenant_version, x.clauses, x.case_id, x.subject, x.categories, x.form, x.recipients, \
     x.record_id, x.consents, x.emergency, x.motivation, x.key_hash, x.node, x.trace_id, x.erased, x.via";

/// All events; and those that concern somebody.
const EVENTS: &str = "audit_event e";
const PARTIES: &str = "audit_event_party t JOIN audit_event e ON e.event_id = t.event_id AND e.at = t.at";

/// Reads events, newest first.
pub async fn select(reader: &mut Reader, filter: &Filter) -> Result<Vec<Line>, StoreError> {
    let statement = Statement::of(filter);
    let mut query = sqlx::query(AssertSqlSafe(statement.text));
    for value in &statement.values {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Number(number) => query.bind(*number),
        };
    }
    let rows = query.fetch_all(reader.conn().await?).await?;
    rows.iter().map(|row| line(row).map_err(StoreError::from)).collect()
}

/// How an engine would read events: what it says of its plan.
#[cfg(test)]
pub(super) async fn plan(reader: &mut Reader, filter: &Filter) -> Result<String, StoreError> {
    let conn = reader.conn().await?;
    let (explain, column) = match conn.backend_name() {
        "SQLite" => ("EXPLAIN QUERY PLAN", 3),
        _ => ("EXPLAIN", 0),
    };
    let Statement { text, values } = Statement::of(filter);
    let query = sqlx::query(AssertSqlSafe(format!("{explain} {text}")));
    let query = values.into_iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
    });
    let rows = query.fetch_all(conn).await?;
    let lines: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(column)).collect();
    Ok(lines?.join("\n"))
}

enum Value {
    Text(String),
    Number(i64),
}

/// A statement of exactly the conditions that are asked for: one that has every condition and passes over most of them can't
/// be planned well.
struct Statement {
    text: String,
    values: Vec<Value>,
}

impl Statement {
    fn of(filter: &Filter) -> Self {
        let mut all = Self { text: String::new(), values: Vec::new() };
        let limit = all.number(filter.limit);
        let branches = match (&filter.about, &filter.scope) {
            (Some(about), _) => all.branches(filter, about, &limit),
            // Few events are of one employee, one trace, refused or an emergency: what concerns whom is asked of those.
            (None, Some(_)) if filter.is_narrow() => vec![all.branch(EVENTS, String::new(), filter, &limit)],
            (None, Some(oin)) => {
                let own = format!("t.oin = {}", all.value(oin));
                vec![all.branch(
                    "audit_event_party t JOIN audit_event e ON e.event_id = t.event_id",
                    own,
                    filter,
                    &limit,
                )]
            }
            // Whoever asked, whose data it was, and who got it all find the event: by them it is found at once.
            (None, None) => {
                match [&filter.requester, &filter.source, &filter.organisation].into_iter().flatten().next() {
                    Some(oin) => {
                        let own = format!("t.oin = {}", all.value(oin));
                        vec![all.branch(PARTIES, own, filter, &limit)]
                    }
                    None => vec![all.branch(EVENTS, String::new(), filter, &limit)],
                }
            }
        };
        // Leaves and disclosures are most of a row, and few lines need one.
        let columns = format!(
            "{COLUMNS}, CASE WHEN x.method = '{LIST}' AND x.outcome = 'allowed' THEN x.disclosures ELSE NULL END AS list"
        );
        // Each branch has its index, its order and its end: what is read does not grow with the log. Whole rows are read of the
        // page alone.
        all.text = format!(
            "SELECT {columns} FROM (SELECT event_id FROM ({}) u ORDER BY at DESC, event_id DESC LIMIT {limit}) n \
             CROSS JOIN audit_event x WHERE x.event_id = n.event_id ORDER BY x.at DESC, x.event_id DESC",
            branches.join(" UNION ")
        );
        all
    }

    fn branches(&mut self, filter: &Filter, about: &About, limit: &str) -> Vec<String> {
        let mut branches = Vec::new();
        for case in &about.cases {
            if about.consulted {
                let own = format!("e.case_id = {}", self.value(case));
                branches.push(self.branch(EVENTS, own, filter, limit));
            }
            if about.listed {
                let own = format!("t.case_id = {}", self.value(case));
                let tables = "audit_event_listed t JOIN audit_event e ON e.event_id = t.event_id AND e.at = t.at";
                branches.push(self.branch(tables, own, filter, limit));
            }
        }
        if let Some((oin, subject)) = about.subject.as_ref().filter(|_| about.consulted) {
            let (oin, subject) = (self.value(oin), self.value(subject));
            let own = format!("e.req_oin = {oin} AND e.subject = {subject} AND e.subject <> ''");
            branches.push(self.branch(EVENTS, own, filter, limit));
        }
        if branches.is_empty() {
            branches.push("SELECT event_id, at FROM audit_event WHERE 1 = 0".to_owned());
        }
        branches
    }

    /// The newest of what some tables hold; the first of them, with the alias `t` or else `e`, has time and name of events.
    fn branch(&mut self, tables: &str, own: String, filter: &Filter, limit: &str) -> String {
        let first = if tables.contains(" t ") { "t" } else { "e" };
        let mut conditions = vec![own];
        self.common(filter, first, &mut conditions);
        conditions.retain(|condition| !condition.is_empty());
        let conditions = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
        format!(
            "SELECT event_id, at FROM (SELECT {first}.event_id, {first}.at FROM {tables} WHERE {conditions} \
             ORDER BY {first}.at DESC, {first}.event_id DESC LIMIT {limit}) b"
        )
    }

    /// Conditions of every branch.
    fn common(&mut self, filter: &Filter, first: &str, all: &mut Vec<String>) {
        self.seen(filter, all);
        for (column, value) in [
            ("req_oin", filter.requester.as_deref()),
            ("src_oin", filter.source.as_deref()),
            ("event_id", filter.event_id.as_deref()),
            ("user_ref", filter.user_ref.as_deref()),
            ("role", filter.role),
            ("purpose", filter.purpose.as_deref()),
            ("trace_id", filter.trace_id.as_deref()),
            ("via", filter.via.as_deref()),
            ("outcome", filter.outcome),
        ] {
            if let Some(value) = value {
                let value = self.value(value);
                all.push(format!("e.{column} = {value}"));
            }
        }
        // As the partial indexes say it.
        all.extend(filter.trace_id.as_ref().map(|_| "e.trace_id <> ''".to_owned()));
        all.extend(filter.via.as_ref().map(|_| "e.via <> ''".to_owned()));
        all.extend(filter.outcome.filter(|outcome| *outcome != "allowed").map(|_| "e.outcome <> 'allowed'".to_owned()));
        all.extend(filter.emergency.then(|| "e.emergency = 1".to_owned()));
        if let Some(article) = filter.article {
            let article = self.number(article);
            all.push(format!("e.article = {article}"));
        }
        if let Some(reasons) = filter.reason.map(|reason| as_seen(reason, filter.scope.is_some())) {
            let reasons: Vec<String> = reasons.iter().map(|reason| self.value(reason)).collect();
            all.push(if reasons.is_empty() {
                "1 = 0".to_owned()
            } else {
                format!("e.reason IN ({})", reasons.join(", "))
            });
        }
        for (compare, moment) in [(">=", filter.from), ("<", filter.until)] {
            if let Some(moment) = moment {
                let moment = self.number(moment);
                all.push(format!("{first}.at {compare} {moment}"));
            }
        }
        if let Some((at, event_id)) = &filter.before {
            let (at, event_id) = (self.number(*at), self.value(event_id));
            all.push(format!("({first}.at, {first}.event_id) < ({at}, {event_id})"));
        }
    }

    /// Only what the scope's officer may see, and may find out by asking.
    fn seen(&mut self, filter: &Filter, all: &mut Vec<String>) {
        // One look for each event. Without its end, PostgreSQL turns it into a join, and from the sixth time on, when it plans for
        // any organisation, reads whatever concerns this one: 40 ms instead of 2, with a million events.
        let party = |oin: &str| {
            format!(
                "EXISTS (SELECT 1 FROM audit_event_party p WHERE p.oin = {oin} AND p.at = e.at AND p.event_id = e.event_id \
                 LIMIT 1 OFFSET 0)"
            )
        };
        let Some(own) = &filter.scope else {
            all.extend(filter.organisation.as_ref().map(|oin| party(&self.value(oin))));
            return;
        };
        let own = self.value(own);
        all.push(party(&own));
        if let Some(other) = &filter.organisation {
            let other = self.value(other);
            // Whom else others gave something is not for this organisation to know.
            all.push(format!(
                "({other} = {own} OR e.req_oin = {other} OR e.src_oin = {other} \
                 OR ((e.req_oin = {own} OR e.src_oin = {own}) AND {}))",
                party(&other)
            ));
        }
        // Nor who somebody else's employees are.
        if filter.user_ref.is_some() {
            all.push(format!("e.req_oin = {own}"));
        }
    }

    fn value(&mut self, text: &str) -> String {
        self.values.push(Value::Text(text.to_owned()));
        self.place("TEXT")
    }

    fn number(&mut self, number: i64) -> String {
        self.values.push(Value::Number(number));
        self.place("BIGINT")
    }

    /// The last value's place. Its type is said, since a value may be compared with another one only.
    fn place(&self, kind: &str) -> String {
        let mut place = String::new();
        // Writing to a String does not fail.
        let _ = write!(place, "CAST(${} AS {kind})", self.values.len());
        place
    }
}

/// Reasons that are shown as this one: an unknown case and somebody else's are one to whoever may not tell them apart.
fn as_seen(reason: &'static str, covered: bool) -> Vec<&'static str> {
    let (unknown, not_involved) = (Reason::CaseUnknown.code(), Reason::NotInvolved.code());
    match reason {
        reason if !covered => vec![reason],
        reason if reason == not_involved => vec![not_involved, unknown],
        // It is never shown, so it is never found.
        reason if reason == unknown => Vec::new(),
        reason => vec![reason],
    }
}

fn line(row: &AnyRow) -> Result<Line, sqlx::Error> {
    let list: Option<Vec<u8>> = row.try_get("list")?;
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
        erased: row.try_get("erased")?,
        via: row.try_get("via")?,
        listed: list.map(|disclosures| crate::audit::listed(&disclosures)).unwrap_or_default(),
    })
}
