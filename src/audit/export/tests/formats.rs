//! Where each field of an event stands in each format.

use serde_json::{Value, json};

use super::super::{Format, Line, write};
use super::{OIN, OTHER, SUPPLIER, full, uuid};

#[test]
fn formats_have_codes_files_and_types() {
    for format in Format::ALL {
        assert_eq!(format.code().parse(), Ok(*format));
        assert!(format.file().starts_with("events.") && format.media_type().contains('/'));
    }
    assert!("xml".parse::<Format>().is_err());
    let mut out = Vec::new();
    write(Format::Ndjson, [full(), full()], &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), format!("{0}\n{0}\n", serde_json::to_string(&full()).unwrap()));
}

fn rendered(format: Format, line: &Line) -> Vec<Value> {
    let mut out = Vec::new();
    write(format, [line], &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Which field stands where: field, value, place in FHIR, in LDV core, in LDV with NEN 7513. No place: the
/// format may not have it.
fn mapping() -> Vec<(&'static str, Value, &'static str, &'static str, &'static str)> {
    let (own, other) = (format!("urn:sluis:partner:{OIN}"), format!("urn:sluis:partner:{OTHER}"));
    let key = format!("urn:sluis:key:sha256:{}", "ab".repeat(32));
    vec![
        ("name", json!(uuid(1)), "/entity/0/what/identifier/value", "", ""),
        (
            "name",
            json!(format!("events/{}", uuid(1))),
            "",
            "/attributes/dpl.sluis.event_id",
            "/attributes/dpl.sluis.event_id",
        ),
        ("time", json!("2027-01-15T08:00:00.000001Z"), "/recorded", "", ""),
        ("time", json!(1_800_000_000_000_u64), "", "/start_time", "/end_time"),
        (
            "method",
            json!("sluis.v1.Records/FetchRecord"),
            "/subtype/1/code",
            "",
            "/attributes/dpl.nen7513.eventTypeCode",
        ),
        ("method", json!("R sluis.v1.Records/FetchRecord"), "", "/name", "/name"),
        ("action", json!("R"), "/entity/0/detail/0/valueString", "", ""),
        ("outcome", json!("4"), "/outcome", "", ""),
        ("outcome", json!("Unset"), "", "/status", "/status"),
        ("outcome", json!(0), "", "/status_code", "/status_code"),
        ("reason", json!("CONSENT_MISSING"), "/outcomeDesc", "", "/attributes/dpl.nen7513.controles/reason"),
        ("organisation", json!(OIN), "/agent/1/who/identifier/value", "", ""),
        ("organisation", json!(OIN), "/agent/2/who/identifier/value", "", ""),
        (
            "organisation",
            json!(own),
            "",
            "/foreign_operation/processor",
            "/attributes/dpl.nen7513.users/0/userOrganisation",
        ),
        ("userRef", json!("mdw-1"), "/agent/0/who/identifier/value", "", "/attributes/dpl.nen7513.users/0/userID"),
        ("role", json!("R05"), "/agent/0/role/0/coding/0/code", "", "/attributes/dpl.nen7513.users/0/roleIDCode"),
        ("role", json!("R05"), "/entity/2/detail/0/valueString", "", "/attributes/dpl.nen7513.behandelrelatieProtocol"),
        (
            "purpose",
            json!("advies"),
            "/agent/0/purposeOfUse/0/coding/0/code",
            "",
            "/attributes/dpl.nen7513.users/0/purposeOfUse",
        ),
        ("purpose", json!("advies"), "/purposeOfEvent/1/coding/0/code", "", ""),
        (
            "article",
            json!("13"),
            "/entity/0/detail/1/valueString",
            "",
            "/attributes/dpl.nen7513.autorisatieProtocol/article",
        ),
        (
            "article",
            json!("urn:sluis:covenant:2:article:13"),
            "",
            "/attributes/dpl.core.processing_activity_id",
            "/attributes/dpl.core.processing_activity_id",
        ),
        ("covenantVersion", json!("2"), "/entity/0/detail/2/valueString", "", ""),
        ("covenantVersion", json!(2), "", "", "/attributes/dpl.nen7513.autorisatieProtocol/covenantVersion"),
        (
            "clauses",
            json!("urn:sluis:covenant:2:clause:30.b"),
            "/agent/0/policy/1",
            "",
            "/attributes/dpl.nen7513.autorisatieProtocol/clauses/1",
        ),
        (
            "case",
            json!("own-1"),
            "/entity/2/what/identifier/value",
            "",
            "/attributes/dpl.nen7513.participants/1/participantObjectID",
        ),
        (
            "subject",
            json!("pseudonym-of-youth"),
            "/entity/1/what/identifier/value",
            "/attributes/dpl.core.data_subject_id",
            "/attributes/dpl.core.data_subject_id",
        ),
        ("subject", json!("pseudonym-of-youth"), "", "", "/attributes/dpl.nen7513.participants/0/participantObjectID"),
        ("categories", json!("C06"), "/entity/2/detail/2/valueString", "", ""),
        ("categories", json!("C09"), "/entity/2/securityLabel/1/code", "", ""),
        ("categories", json!(["C09"]), "", "", "/attributes/dpl.nen7513.participants/1/participantObjectSensitivity"),
        (
            "categories",
            json!(["category C06", "category C09", "form P"]),
            "",
            "",
            "/attributes/dpl.nen7513.participants/1/participantObjectDetail",
        ),
        ("form", json!("P"), "/entity/2/detail/1/valueString", "", ""),
        ("form", json!("form P"), "", "", "/attributes/dpl.nen7513.participants/1/participantObjectDetail/2"),
        (
            "recipients",
            json!(OTHER),
            "/agent/7/who/identifier/value",
            "",
            "/attributes/dpl.nen7513.participants/4/participantObjectID",
        ),
        (
            "record",
            json!("0199a0b0-c0d0-7000-8000-00000000aaaa"),
            "/entity/3/what/identifier/value",
            "",
            "/attributes/dpl.nen7513.participants/2/participantObjectID",
        ),
        (
            "consents",
            json!("consent-7"),
            "/entity/4/what/identifier/value",
            "",
            "/attributes/dpl.nen7513.toestemmingsProfiel/0",
        ),
        ("emergency", json!("BTG"), "/purposeOfEvent/0/coding/0/code", "", ""),
        ("emergency", json!(true), "", "", "/attributes/dpl.nen7513.controles/emergency"),
        (
            "motivation",
            json!("=gevaar, \"acuut\""),
            "/entity/0/detail/3/valueString",
            "",
            "/attributes/dpl.nen7513.controles/motivation",
        ),
        ("keyHash", json!(key), "/agent/1/network/address", "", "/attributes/dpl.nen7513.users/0/networkAccessPointID"),
        (
            "node",
            json!("node-1"),
            "/source/site",
            "/resource/attributes/service.instance.id",
            "/resource/attributes/nen7513.AuditSourceId",
        ),
        ("node", json!("node-1"), "/source/observer/identifier/value", "", ""),
        (
            "traceId",
            json!("0af7651916cd43dd8448eb211c80319c"),
            "/entity/5/what/identifier/value",
            "/trace_id",
            "/trace_id",
        ),
        ("source", json!(OTHER), "/agent/5/who/identifier/value", "", ""),
        (
            "source",
            json!(other),
            "",
            "/resource/attributes/sluis.source",
            "/resource/attributes/nen7513.AuditEnterpriseSiteID",
        ),
        (
            "erased",
            json!("listed"),
            "/entity/0/detail/4/valueString",
            "/attributes/dpl.sluis.erased/0",
            "/attributes/dpl.sluis.erased/0",
        ),
        ("listed", json!("listed-2"), "/entity/7/what/identifier/value", "", ""),
        ("listed", json!("6"), "/entity/7/lifecycle/code", "", ""),
        ("listed", json!("listed"), "/entity/7/detail/0/valueString", "", ""),
        ("via", json!(SUPPLIER), "/agent/3/who/identifier/value", "", ""),
        ("via", json!("AGNT"), "/agent/3/type/coding/0/code", "", ""),
        (
            "via",
            json!(format!("urn:sluis:oin:{SUPPLIER}")),
            "",
            "/attributes/dpl.sluis.via",
            "/attributes/dpl.nen7513.users/0/userVia",
        ),
    ]
}

#[test]
fn every_field_stands_where_the_table_says() {
    let line = full();
    let formats = [Format::Fhir, Format::LdvCore, Format::LdvNen7513].map(|format| rendered(format, &line)[0].clone());
    let Value::Object(fields) = serde_json::to_value(&line).unwrap() else { panic!() };
    for field in fields.keys() {
        assert!(mapping().iter().any(|row| row.0 == field), "{field} has no row");
    }
    for (field, value, fhir, core, nen) in mapping() {
        for (place, document) in [fhir, core, nen].into_iter().zip(&formats) {
            assert!(place.is_empty() || document.pointer(place) == Some(&value), "{field} at {place} in {document:#}");
        }
    }
    let ldv = rendered(Format::LdvCore, &line);
    assert_eq!(ldv.len(), 3, "one record for each youth");
    for (record, case) in ldv[1..].iter().zip(["listed-1", "listed-2"]) {
        assert_eq!(record["attributes"]["dpl.core.data_subject_id"], case);
        assert_eq!(record["parent_span_id"], ldv[0]["span_id"]);
        assert_eq!(record["trace_id"], ldv[0]["trace_id"]);
    }
    assert_eq!(ldv[0]["span_id"], "8000000000000001");
}

#[test]
fn what_became_of_the_data_stands_in_both() {
    for (action, outcome, code) in [
        ("C", "OUTCOME_ALLOWED", json!("1")),
        ("R", "OUTCOME_ALLOWED", json!("6")),
        ("U", "OUTCOME_ALLOWED", json!("3")),
        ("D", "OUTCOME_ALLOWED", json!("14")),
        ("E", "OUTCOME_ALLOWED", Value::Null),
        ("R", "OUTCOME_REFUSED", Value::Null),
        ("D", "OUTCOME_FAILED", Value::Null),
    ] {
        let line = Line { action: action.into(), outcome: outcome.into(), ..full() };
        assert_eq!(rendered(Format::Fhir, &line)[0]["entity"][2]["lifecycle"]["code"], code, "{action} {outcome}");
        let records = rendered(Format::LdvNen7513, &line);
        let of = |record: &Value, nth: usize| {
            record["attributes"]["dpl.nen7513.participants"][nth]["participantObjectDataLifeCycle"].clone()
        };
        assert_eq!(of(&records[0], 1), code, "{action} {outcome}");
        assert_eq!(of(&records[1], 0), json!("6"), "a case in a list was looked at");
    }
}

/// What NEN 7513 and the profiles have a place for and the log does not keep. Whoever keeps it gives it a row in [`mapping`].
#[test]
fn what_the_log_does_not_keep_stands_nowhere() {
    let line = full();
    let [fhir, nen] = [Format::Fhir, Format::LdvNen7513].map(|format| rendered(format, &line)[0].clone());
    for (what, fhir_place, nen_place) in [
        // Who asks is one employee; whoever answers for that is known to the partner.
        ("a second user, in whose name another asks", "", "/attributes/dpl.nen7513.users/1"),
        // Names of people stay with the partner whose people they are.
        ("the user's name", "/agent/0/name", "/attributes/dpl.nen7513.users/0/userName"),
        ("the user's other number", "/agent/0/altId", "/attributes/dpl.nen7513.users/0/alternateUserID"),
        // What a query was, beyond the fields of an event, is content.
        ("the words of a query", "/entity/0/query", "/attributes/dpl.nen7513.participants/1/participantObjectQuery"),
    ] {
        assert!(fhir_place.is_empty() || fhir.pointer(fhir_place).is_none(), "{what} in {fhir:#}");
        assert!(nen.pointer(nen_place).is_none(), "{what} in {nen:#}");
    }
    let asked = fhir["agent"].as_array().unwrap().iter().filter(|agent| agent["requestor"] == true).count();
    assert_eq!(asked, 1, "a second user in {fhir:#}");
    // The address of a machine stands in no event: what the connection is known by is the key.
    let kinds: Vec<&Value> = fhir["agent"].as_array().unwrap().iter().map(|agent| &agent["network"]["type"]).collect();
    assert!(kinds.iter().all(|kind| kind.is_null() || *kind == "5"), "{fhir:#}");
    assert_eq!(nen["attributes"]["dpl.nen7513.users"][0]["networkAccessPointTypeCode"], "5");
}

#[test]
fn nothing_of_the_user_is_in_the_core_of_ldv() {
    let line = full();
    let text = rendered(Format::LdvCore, &line).iter().map(Value::to_string).collect::<String>();
    let personal = [
        line.user_ref.as_str(),
        "R05",
        "gevaar",
        "CONSENT_MISSING",
        "30.b",
        "13.a",
        "consent-7",
        &line.key_hash,
        "advies",
        "emergency",
        "C09",
        "nen7513",
    ];
    for value in personal {
        assert!(!text.contains(value), "{value} in {text}");
    }
    let nen = rendered(Format::LdvNen7513, &line)[0].to_string();
    assert!(nen.contains("mdw-1") && nen.contains("concept 0.0.1"));
}

#[test]
fn a_denial_is_no_error_and_a_failure_is() {
    for (outcome, kind, action, code, status) in [
        ("OUTCOME_ALLOWED", "rest", "R", "0", "Ok"),
        ("OUTCOME_REFUSED", "110113", "E", "4", "Unset"),
        ("OUTCOME_FAILED", "rest", "R", "8", "Error"),
    ] {
        let line = Line { outcome: outcome.into(), ..full() };
        let fhir = &rendered(Format::Fhir, &line)[0];
        assert_eq!(
            (&fhir["type"]["code"], &fhir["action"], &fhir["outcome"]),
            (&json!(kind), &json!(action), &json!(code))
        );
        assert_eq!(rendered(Format::LdvCore, &line)[0]["status"], status);
        assert_eq!(rendered(Format::LdvNen7513, &line)[0]["status"], status);
    }
}

#[test]
fn what_an_event_does_not_have_is_not_made_up() {
    let bare = Line {
        name: format!("events/{}", uuid(1)),
        time: "2027-01-15T08:00:00.000001Z".into(),
        method: "m".into(),
        action: "R".into(),
        outcome: "OUTCOME_ALLOWED".into(),
        organisation: format!("partners/{OIN}"),
        erased: ["actor", "subject", "case", "network"].map(ToOwned::to_owned).into(),
        ..Line::default()
    };
    let fhir = &rendered(Format::Fhir, &bare)[0];
    assert_eq!(fhir["agent"].as_array().unwrap().len(), 3, "no employee: {fhir:#}");
    assert_eq!(fhir["agent"][1]["requestor"], true, "the organisation asked");
    assert_eq!(fhir["entity"].as_array().unwrap().len(), 1);
    let said: Vec<&Value> = fhir["entity"][0]["detail"].as_array().unwrap().iter().map(|d| &d["valueString"]).collect();
    assert_eq!(said, ["R", "actor", "subject", "case", "network"]);
    let core = &rendered(Format::LdvCore, &bare)[0];
    assert_eq!(core["trace_id"], uuid(1).replace('-', ""), "a trace of its own");
    assert_eq!(core["attributes"].get("dpl.core.data_subject_id"), None);
    assert_eq!(core["attributes"]["dpl.core.processing_activity_id"], "urn:sluis:method:m");
    let pseudonymous = Line { case: "cases/own".into(), ..bare };
    let core = &rendered(Format::LdvCore, &pseudonymous)[0];
    assert_eq!(core["attributes"]["dpl.core.data_subject_id_type"], "urn:sluis:case");
}

/// Whoever meets what is missing here may claim the profile, and takes its row out of ARCHITECTURE's table.
#[test]
fn no_profile_is_claimed_that_an_event_does_not_satisfy() {
    let agent = |event: &Value, code: &str| {
        let agents = event["agent"].as_array().unwrap();
        agents.iter().find(|agent| agent["type"]["coding"][0]["code"] == code).cloned().unwrap_or_default()
    };
    for (action, outcome, server) in [
        ("R", "OUTCOME_ALLOWED", "110153"),
        ("C", "OUTCOME_ALLOWED", "110152"),
        ("U", "OUTCOME_ALLOWED", "110152"),
        ("D", "OUTCOME_ALLOWED", "custodian"),
        ("E", "OUTCOME_ALLOWED", "110152"),
        ("R", "OUTCOME_FAILED", "110153"),
        ("R", "OUTCOME_REFUSED", "authserver"),
    ] {
        let event = &rendered(Format::Fhir, &Line { action: action.into(), outcome: outcome.into(), ..full() })[0];
        assert_eq!(event.get("meta"), None, "{action} {outcome}");
        // Read, Create, Update, Delete: the address of the server.
        let server = agent(event, server);
        assert!(server.is_object() && server.get("network").is_none(), "{action} {outcome}: {server:#}");
        // And one object; AuthZconsent: none but patient, consent and token.
        let objects = event["entity"].as_array().unwrap().iter().filter(|entity| entity["type"]["code"] == "2");
        assert!(objects.count() > 1, "{action} {outcome}");
    }
}
