//! FHIR R4 AuditEvent, in the shapes of IHE Basic Audit Log Patterns (BALP 1.1.4).
//!
//! What was allowed or failed is a RESTful operation (Read, Create, Update, Delete; everything else an operation); what was refused
//! is an authorization decision: a security alert, executed, outcome 4. A person is never named: a youth is a pseudonym, an
//! employee the organisation's own reference. What was erased is said to be erased and not filled in; systems `urn:sluis:…` are
//! ours. There is no profile in `meta`: no event has all that a profile of BALP asks for (ARCHITECTURE, The log's tree).

use serde_json::{Value, json};

use super::line::{LOOKED_AT, bare, word};
use super::{Line, uri};

const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const TERMINOLOGY: &str = "http://terminology.hl7.org/CodeSystem";
const RESTFUL: &str = "http://hl7.org/fhir/restful-interaction";
const BALP: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem";
/// Categories of which the law asks more (GDPR articles 9 and 10, and the safety of a child).
const SPECIAL: [&str; 5] = ["CATEGORY_C09", "CATEGORY_C10", "CATEGORY_C11", "CATEGORY_C12", "CATEGORY_C13"];

/// Whether a category is one of those.
pub(super) fn is_special(category: &str) -> bool {
    SPECIAL.contains(&category)
}

/// The AuditEvent of an event.
pub(super) fn audit_event(line: &Line) -> Value {
    let refused = line.outcome == "OUTCOME_REFUSED";
    let rest = coding(&format!("{TERMINOLOGY}/audit-event-type"), "rest");
    let mut event = json!({
        "resourceType": "AuditEvent",
        "id": line.id(),
        "type": if refused { coding(DICOM, "110113") } else { rest },
        "subtype": [subtype(line, refused), coding("urn:sluis:method", &line.method)],
        "action": if refused { "E" } else { &line.action },
        "recorded": line.time,
        "outcome": match line.outcome.as_str() {
            "OUTCOME_ALLOWED" => "0",
            "OUTCOME_REFUSED" => "4",
            "OUTCOME_FAILED" => "8",
            _ => "",
        },
        "outcomeDesc": line.reason,
        "purposeOfEvent": [
            if line.emergency { concept(&format!("{TERMINOLOGY}/v3-ActReason"), "BTG") } else { Value::Null },
            concept("urn:sluis:purpose", &line.purpose),
        ],
        "agent": agents(line, refused),
        "source": {
            "site": line.node,
            // There is an observer, also when it was erased which node it was.
            "observer": if line.node.is_empty() { json!({ "display": "hub" }) } else { who("urn:sluis:node", &line.node) },
            "type": [coding(&format!("{TERMINOLOGY}/security-source-type"), "4")],
        },
        "entity": entities(line),
    });
    prune(&mut event);
    event
}

fn subtype(line: &Line, refused: bool) -> Value {
    match line.action.as_str() {
        _ if refused && line.reason.starts_with("CONSENT_") => coding(&format!("{BALP}/AuthZsubType"), "AuthZ-Consent"),
        _ if refused => coding(&format!("{BALP}/AuthZsubType"), "AuthZ-Role"),
        "C" => coding(RESTFUL, "create"),
        "R" => coding(RESTFUL, "read"),
        "U" => coding(RESTFUL, "update"),
        "D" => coding(RESTFUL, "delete"),
        _ => coding(RESTFUL, "operation"),
    }
}

/// Who took part: the employee, the system that called, their organisation, who called in its name, whose data it concerns or who decided, who got it.
fn agents(line: &Line, refused: bool) -> Value {
    let policy: Vec<String> = line.clauses.iter().map(|clause| uri::clause(line, clause)).collect();
    let person = !line.user_ref.is_empty() || !line.role.is_empty();
    let oin = bare(&line.organisation);
    let user = json!({
        "type": concept(&format!("{TERMINOLOGY}/v3-ParticipationType"), "IRCP"),
        "role": [concept("urn:sluis:role", word(&line.role))],
        "who": who(&format!("urn:sluis:user:{oin}"), &line.user_ref),
        "requestor": true,
        "policy": policy,
        "purposeOfUse": [concept("urn:sluis:purpose", &line.purpose)],
    });
    let (client, server) = match line.action.as_str() {
        _ if refused => {
            (coding(DICOM, "110150"), coding(&format!("{TERMINOLOGY}/extra-security-role-type"), "authserver"))
        }
        "R" => (coding(DICOM, "110152"), coding(DICOM, "110153")),
        "D" => (coding(DICOM, "110150"), coding(&format!("{TERMINOLOGY}/provenance-participant-type"), "custodian")),
        _ => (coding(DICOM, "110153"), coding(DICOM, "110152")),
    };
    let key = if line.key_hash.is_empty() { String::new() } else { uri::key(&line.key_hash) };
    let network = if key.is_empty() { Value::Null } else { json!({ "address": key, "type": "5" }) };
    let client =
        json!({ "type": { "coding": [client] }, "who": organisation(oin), "requestor": false, "network": network });
    let unit = json!({
        "type": concept(&format!("{TERMINOLOGY}/v3-RoleClass"), "PROV"),
        "who": organisation(oin),
        // Somebody asked: when no person is known, the organisation.
        "requestor": !person,
        "policy": if person { Value::Null } else { json!(policy) },
    });
    // The hub answers for the organisation whose data it concerns; a decision is the hub's own.
    let answers = if refused || line.source.is_empty() {
        who("urn:sluis:node", &line.node)
    } else {
        organisation(bare(&line.source))
    };
    let server = json!({ "type": { "coding": [server] }, "who": answers, "requestor": false });
    let concerned = json!({
        "type": concept(&format!("{TERMINOLOGY}/provenance-participant-type"), "custodian"),
        "who": organisation(bare(&line.source)),
        "requestor": false,
    });
    let known = !oin.is_empty();
    let mut agents = Vec::new();
    agents.extend(person.then_some(user));
    agents.extend(known.then_some(client));
    agents.extend((known || !person).then_some(unit));
    // Whoever ran the system in the organisation's name: "acts or is authorized to act on behalf of another" (v3-RoleClass).
    let supplier = json!({
        "type": concept(&format!("{TERMINOLOGY}/v3-RoleClass"), "AGNT"),
        "who": organisation(&line.via),
        "requestor": false,
    });
    agents.extend((!line.via.is_empty()).then_some(supplier));
    agents.push(server);
    agents.extend((refused && !line.source.is_empty()).then_some(concerned));
    agents.extend(line.recipients.iter().map(|recipient| {
        json!({
            "type": concept(&format!("{TERMINOLOGY}/v3-ParticipationType"), "PRCP"),
            "who": organisation(bare(recipient)),
            "requestor": false,
        })
    }));
    Value::Array(agents)
}

/// What it was about: the call itself, the youth, the case and its data, the consents, the trace, the cases that were listed.
fn entities(line: &Line) -> Value {
    let object = |code: &str| coding(&format!("{TERMINOLOGY}/audit-entity-type"), code);
    let role = |code: &str| coding(&format!("{TERMINOLOGY}/object-role"), code);
    let lifecycle = |code: &str| coding(&format!("{TERMINOLOGY}/dicom-audit-lifecycle"), code);
    let mut said = vec![
        detail("action", &line.action),
        detail("article", &line.article),
        detail(
            "covenantVersion",
            &if line.covenant_version == 0 { String::new() } else { line.covenant_version.to_string() },
        ),
        detail("motivation", &line.motivation),
    ];
    said.extend(line.erased.iter().map(|group| detail("erased", group)));
    let mut entities = vec![json!({
        "type": coding(&format!("{BALP}/BasicAuditEntityType"), "XrequestId"),
        "what": who("urn:sluis:event", line.id()),
        "detail": said,
    })];
    if !line.subject.is_empty() {
        let patient = reference("Patient", "urn:sluis:pseudonym:log", &line.subject);
        entities.push(json!({ "type": object("1"), "role": role("1"), "what": patient }));
    }
    if !(line.case.is_empty() && line.categories.is_empty() && line.form.is_empty()) {
        let special: Vec<&String> = line.categories.iter().filter(|category| is_special(category)).collect();
        let mut labels: Vec<Value> =
            special.iter().map(|category| coding("urn:sluis:category", word(category))).collect();
        if !special.is_empty() {
            labels.insert(0, coding(&format!("{TERMINOLOGY}/v3-Confidentiality"), "R"));
        }
        let mut details = vec![detail("behandelrelatie", word(&line.role)), detail("form", word(&line.form))];
        details.extend(line.categories.iter().map(|category| detail("category", word(category))));
        entities.push(json!({
            "type": object("2"), "role": role("4"), "what": who("urn:sluis:case", bare(&line.case)),
            "lifecycle": lifecycle(line.life_cycle()), "securityLabel": labels, "detail": details,
        }));
    }
    if !line.record.is_empty() {
        entities.push(
            json!({ "type": object("2"), "role": role("3"), "what": who("urn:sluis:record", bare(&line.record)) }),
        );
    }
    for consent in &line.consents {
        let what = reference("Consent", "urn:sluis:consent", consent);
        entities.push(json!({ "type": coding("http://hl7.org/fhir/resource-types", "Consent"), "what": what }));
    }
    if !line.trace_id.is_empty() {
        let what = who("urn:sluis:trace", &line.trace_id);
        entities.push(json!({ "type": coding("urn:sluis:entity", "TraceId"), "role": role("20"), "what": what }));
    }
    for case in &line.listed {
        entities.push(json!({
            "type": object("2"), "role": role("4"), "what": who("urn:sluis:case", bare(case)),
            "lifecycle": lifecycle(LOOKED_AT), "detail": [detail("appearance", "listed")],
        }));
    }
    Value::Array(entities)
}

/// Nothing for no code.
fn coding(system: &str, code: &str) -> Value {
    if code.is_empty() { Value::Null } else { json!({ "system": system, "code": code }) }
}

fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [coding(system, code)] })
}

/// A logical reference; nothing for no value.
fn who(system: &str, value: &str) -> Value {
    reference("", system, value)
}

fn reference(kind: &str, system: &str, value: &str) -> Value {
    if value.is_empty() {
        Value::Null
    } else {
        json!({ "type": kind, "identifier": { "system": system, "value": value } })
    }
}

fn organisation(oin: &str) -> Value {
    who("urn:sluis:oin", oin)
}

fn detail(kind: &str, value: &str) -> Value {
    if value.is_empty() { Value::Null } else { json!({ "type": kind, "valueString": value }) }
}

/// Takes out what is empty: FHIR has no empty elements.
pub(super) fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, field| !is_empty(field));
        }
        Value::Array(members) => {
            members.iter_mut().for_each(prune);
            members.retain(|member| !is_empty(member));
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(members) => members.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
