//! Logboek Dataverwerkingen (Logius): one record in a line for each youth whom an event concerns.
//!
//! The standard keeps users out of it, so the core form says nothing of who the employee was, in which role, why, or by which clause
//! it was decided. The form with the extension for NEN 7513 (concept 0.0.1) does.
//!
//! Where the standard asks for what an event does not have:
//! - An event without a trace of its caller is a trace of its own: the trace id is the event's UUID.
//! - The span id is the second half of the event's UUID: 62 of its bits are random.
//! - A listed case is another youth: its record's span is the first half of SHA-256(event name, 0x00, case name), below the event's.
//! - An event is a moment: it ends when it starts.
//! - Who is no client of the reader's organisation has no pseudonym: the youth is then named by the case.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::fhir::{is_special, prune};
use super::line::{LOOKED_AT, bare, word};
use super::{Line, uri};

/// A reader's own pseudonym of a youth, for logs.
const PSEUDONYM: &str = "urn:sluis:pseudonym:log";
/// A reader's own name of a case.
const CASE: &str = "urn:sluis:case";

/// Records without anything of the user.
pub(super) fn core(line: &Line) -> Vec<Value> {
    finished(spans(line).iter().map(|span| record(line, span)).collect())
}

/// Records with the extension for NEN 7513.
pub(super) fn nen7513(line: &Line) -> Vec<Value> {
    let extended = |span: &Span| {
        let mut record = record(line, span);
        for (place, more) in [("/resource/attributes", resource(line)), ("/attributes", attributes(line, span))] {
            if let (Some(Value::Object(fields)), Value::Object(more)) = (record.pointer_mut(place), more) {
                fields.extend(more);
            }
        }
        record
    };
    finished(spans(line).iter().map(extended).collect())
}

fn finished(mut records: Vec<Value>) -> Vec<Value> {
    records.iter_mut().for_each(prune);
    records
}

/// A youth whom the event concerns.
struct Span {
    id: String,
    /// Of a listed case: the event's own.
    parent: String,
    subject: String,
    kind: &'static str,
}

fn spans(line: &Line) -> Vec<Span> {
    let own = second_half(line);
    let (subject, kind) = match (line.subject.as_str(), line.case.as_str()) {
        ("", "") => ("", ""),
        ("", case) => (bare(case), CASE),
        (subject, _) => (subject, PSEUDONYM),
    };
    let main = Span { id: own.clone(), parent: String::new(), subject: subject.to_owned(), kind };
    let listed = line.listed.iter().map(|case| Span {
        id: hashed(&format!("{}\0{case}", line.name), 8),
        parent: own.clone(),
        subject: bare(case).to_owned(),
        kind: CASE,
    });
    std::iter::once(main).chain(listed).collect()
}

/// The event's UUID as 32 hex digits; of a name that is none, its hash.
fn whole(line: &Line) -> String {
    let digits = line.id().replace('-', "");
    if is_hex(&digits) { digits } else { hashed(&line.name, 16) }
}

fn second_half(line: &Line) -> String {
    whole(line).chars().skip(16).collect()
}

fn is_hex(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hashed(text: &str, bytes: usize) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()).as_ref().get(..bytes).unwrap_or_default())
}

fn record(line: &Line, span: &Span) -> Value {
    let milliseconds = line.micros().map(|micros| micros.div_euclid(1000));
    // A refusal is no error: the processing did not take place.
    let (code, status) = match line.outcome.as_str() {
        "OUTCOME_ALLOWED" => (1, "Ok"),
        "OUTCOME_FAILED" => (2, "Error"),
        _ => (0, "Unset"),
    };
    json!({
        "trace_id": if is_hex(&line.trace_id) { line.trace_id.clone() } else { whole(line) },
        "span_id": span.id,
        "parent_span_id": span.parent,
        "status_code": code,
        "status": status,
        "name": format!("{} {}", line.action, line.method),
        "start_time": milliseconds,
        "end_time": milliseconds,
        "foreign_operation": { "processor": partner(&line.organisation) },
        "resource": { "attributes": {
            "service.name": "sluis",
            "service.instance.id": line.node,
            "sluis.source": partner(&line.source),
        } },
        "attributes": {
            "dpl.core.processing_activity_id": uri::activity(line),
            "dpl.core.data_subject_id": span.subject,
            "dpl.core.data_subject_id_type": span.kind,
            "dpl.sluis.event_id": line.name,
            "dpl.sluis.via": supplier(&line.via),
            "dpl.sluis.erased": line.erased,
        },
    })
}

/// Nothing for nobody. A supplier need not be a partner.
fn supplier(oin: &str) -> String {
    if oin.is_empty() { String::new() } else { uri::oin(oin) }
}

/// Nothing for nobody.
fn partner(name: &str) -> String {
    if bare(name).is_empty() { String::new() } else { uri::partner(name) }
}

fn resource(line: &Line) -> Value {
    json!({
        "nen7513.extension": "concept 0.0.1",
        "nen7513.AuditEnterpriseSiteID": partner(&line.source),
        "nen7513.AuditSourceId": line.node,
        // DICOM: an application server.
        "nen7513.AuditSourceTypeCode": "4",
    })
}

fn attributes(line: &Line, span: &Span) -> Value {
    let clauses: Vec<String> = line.clauses.iter().map(|clause| uri::clause(line, clause)).collect();
    json!({
        "dpl.nen7513.eventTypeCode": line.method,
        "dpl.nen7513.users": [user(line)],
        "dpl.nen7513.participants": if span.parent.is_empty() { participants(line) } else { listed(span) },
        "dpl.nen7513.autorisatieProtocol": {
            "article": line.article,
            "covenantVersion": if line.covenant_version == 0 { Value::Null } else { json!(line.covenant_version) },
            "clauses": clauses,
        },
        "dpl.nen7513.behandelrelatieProtocol": word(&line.role),
        "dpl.nen7513.toestemmingsProfiel": line.consents,
        "dpl.nen7513.controles": {
            "emergency": if line.emergency { json!(true) } else { Value::Null },
            "motivation": line.motivation,
            "reason": line.reason,
        },
    })
}

/// Nothing when nothing is known of who it was but the organisation.
fn user(line: &Line) -> Value {
    if [&line.user_ref, &line.role, &line.key_hash].iter().all(|field| field.is_empty()) {
        return Value::Null;
    }
    let has_key = !line.key_hash.is_empty();
    json!({
        "userID": line.user_ref,
        "userIsRequestor": true,
        "userOrganisation": partner(&line.organisation),
        "userVia": supplier(&line.via),
        "roleIDCode": word(&line.role),
        "purposeOfUse": line.purpose,
        // DICOM: a URI.
        "networkAccessPointTypeCode": if has_key { "5" } else { "" },
        "networkAccessPointID": if has_key { uri::key(&line.key_hash) } else { String::new() },
    })
}

fn participants(line: &Line) -> Value {
    let special = line.categories.iter().filter(|category| is_special(category)).map(|name| word(name));
    let special: Vec<&str> = special.collect();
    let mut details: Vec<String> = line.categories.iter().map(|name| format!("category {}", word(name))).collect();
    details.extend((!line.form.is_empty()).then(|| format!("form {}", word(&line.form))));
    let mut participants = vec![
        participant(("1", "1"), PSEUDONYM, &line.subject, Value::Null),
        participant(
            ("2", "4"),
            CASE,
            bare(&line.case),
            json!({ "sensitivity": special, "detail": details, "lifeCycle": line.life_cycle() }),
        ),
        participant(("2", "3"), "urn:sluis:record", bare(&line.record), Value::Null),
    ];
    let got = line.recipients.iter().map(|name| participant(("3", ""), "urn:sluis:oin", bare(name), Value::Null));
    participants.extend(got);
    Value::Array(participants)
}

fn listed(span: &Span) -> Value {
    json!([participant(
        ("2", "4"),
        CASE,
        &span.subject,
        json!({ "detail": ["appearance listed"], "lifeCycle": LOOKED_AT })
    )])
}

/// What was touched, by type and role as in DICOM. Without a name it counts only if something is known of it.
fn participant((kind, role): (&str, &str), system: &str, id: &str, mut more: Value) -> Value {
    prune(&mut more);
    if id.is_empty() && more.get("detail").is_none() {
        return Value::Null;
    }
    json!({
        "participantObjectTypeCode": kind,
        "participantObjectTypeCodeRole": role,
        "participantObjectIDTypeCode": if id.is_empty() { "" } else { system },
        "participantObjectID": id,
        "participantObjectSensitivity": more.get("sensitivity"),
        "participantObjectDetail": more.get("detail"),
        "participantObjectDataLifeCycle": more.get("lifeCycle"),
    })
}
