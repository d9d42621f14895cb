//! The leaf: UTF-8 JSON, stored and hashed as written here and never serialised again.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde::Serialize;

use super::{Action, Event};
use crate::party::{Article, Form, Role};

/// Number of disclosure groups that every event has: actor, subject, case, data, decision, network, in this order.
pub(super) const GROUPS: usize = 6;
/// Salts of an event: one for each of those groups, and one from which those of listed cases are made.
pub(super) const SALTS: usize = GROUPS + 1;

/// Exact bytes of an event's leaf and of its disclosures.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// What enters the tree.
    pub leaf: Vec<u8>,
    /// JSON array of disclosures, each base64url of `[salt, group, value]`.
    pub disclosures: Vec<u8>,
}

/// Encodes an event. The digest of disclosure *d* is base64url(SHA-256(d)), with *d* in its encoded form.
///
/// Names in an object stand in alphabetical order. That is no rule of the format, whose bytes nobody writes twice, but it
/// keeps the form of the events that are there already.
pub fn encode(event: &Event) -> Leaf {
    let (draft, verdict, stamp) = (&event.draft, &event.verdict, &event.stamp);
    let [actor, subject, case, data, decision, network, list] = &stamp.salts;
    let mut disclosures = vec![
        disclose(actor, "actor", Actor { role: draft.role.map(Role::code), user_ref: &draft.user_ref }),
        disclose(subject, "subject", Subject { pseudonym: &draft.subject }),
        disclose(case, "case", Case { case: draft.case_id.as_deref() }),
        disclose(
            data,
            "data",
            Data {
                categories: draft.categories.iter().map(|category| category.code()).collect(),
                form: draft.form.map(Form::code),
                recipients: &draft.recipients,
                record: &draft.record,
            },
        ),
        disclose(
            decision,
            "decision",
            Decision {
                consents: &draft.consents,
                emergency: draft.emergency,
                motivation: &draft.motivation,
                reason: verdict.outcome.reason(),
            },
        ),
        disclose(network, "network", Network { key_hash: &draft.key_hash, node: &stamp.node, trace: &draft.trace_id }),
    ];
    // Each by itself: one can be erased without the others.
    disclosures.extend(
        (0..).zip(&draft.listed).map(|(nth, case)| disclose(&salt_of(list, nth), "listed", Case { case: Some(case) })),
    );
    let leaf = Clear {
        _sd: disclosures.iter().map(|text| digest_of(text)).collect(),
        act: draft.action.map_or("E", Action::code),
        article: draft.article.map_or(0, Article::number),
        at: stamp.at,
        clauses: &verdict.clauses,
        covenant: verdict.covenant_version,
        erases: erases(&draft.erases),
        id: &stamp.event_id,
        method: draft.method,
        out: verdict.outcome.code(),
        purpose: &draft.purpose,
        req: &draft.organisation,
        src: &draft.source,
        v: 1,
        via: &draft.via,
    };
    Leaf { leaf: bytes(&leaf), disclosures: bytes(&disclosures) }
}

/// The disclosures one by one, as they are stored, without those of some groups.
pub fn disclosed(disclosures: &[u8], hidden: &[&str]) -> Option<Vec<String>> {
    let mut all: Vec<String> = serde_json::from_slice(disclosures).ok()?;
    // One that can't be read is not given.
    all.retain(|disclosure| group(disclosure).is_some_and(|group| !hidden.contains(&group.as_str())));
    Some(all)
}

/// Of which group a disclosure is.
fn group(disclosure: &str) -> Option<String> {
    opened(disclosure).map(|(group, _)| group)
}

/// What a disclosure holds: the name of its group, and the value.
pub(super) fn opened(disclosure: &str) -> Option<(String, serde_json::Value)> {
    let bytes = URL_SAFE_NO_PAD.decode(disclosure).ok()?;
    let (_, group, value): (String, String, serde_json::Value) = serde_json::from_slice(&bytes).ok()?;
    Some((group, value))
}

/// Whether a leaf is that of the event with this id.
pub fn is_of(leaf: &[u8], event_id: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Id<'a> {
        id: &'a str,
    }
    serde_json::from_slice::<Id<'_>>(leaf).is_ok_and(|leaf| leaf.id == event_id)
}

/// What disclosures open of a leaf: the names of their groups. Nothing if one of them is not what a digest of the leaf is of.
pub fn open<'d>(leaf: &[u8], disclosures: impl Iterator<Item = &'d str>) -> Option<Vec<String>> {
    let mut digests = digests(leaf)?;
    let mut groups = Vec::new();
    for disclosure in disclosures {
        let found = digest_of(disclosure);
        // Each digest once: no disclosure twice.
        digests.swap_remove(digests.iter().position(|digest| *digest == found)?);
        groups.push(group(disclosure)?);
    }
    Some(groups)
}

/// The digests in a leaf, in their order.
pub(super) fn digests(leaf: &[u8]) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Digests {
        _sd: Vec<String>,
    }
    Some(serde_json::from_slice::<Digests>(leaf).ok()?._sd)
}

/// By what an erasure names an event: whoever knows the event finds it there, and nobody else learns of it. 74 bits of an event's
/// id are random (RFC 9562 section 5.7).
pub fn mark_of(event_id: &str) -> String {
    digest_of(event_id)
}

fn erases(events: &BTreeMap<String, Vec<usize>>) -> Option<BTreeMap<String, &[usize]>> {
    let marked = || events.iter().map(|(event_id, places)| (mark_of(event_id), places.as_slice())).collect();
    (!events.is_empty()).then(marked)
}

/// The digest of a disclosure, as it stands in the leaf.
pub(super) fn digest_of(disclosure: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, disclosure.as_bytes()))
}

/// 128 bits that nobody can work out once the first salt is forgotten, which is at once.
fn salt_of(list: &[u8], nth: u32) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, list);
    hmac::sign(&key, &nth.to_be_bytes()).as_ref().iter().take(16).copied().collect()
}

fn disclose(salt: &[u8], name: &str, value: impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(bytes(&(URL_SAFE_NO_PAD.encode(salt), name, value)))
}

/// Text, numbers and flags in structs: nothing that JSON has no form for.
fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// What is not personal.
#[derive(Serialize)]
struct Clear<'a> {
    _sd: Vec<String>,
    act: &'a str,
    article: u8,
    at: i64,
    clauses: &'a [String],
    covenant: u32,
    /// Whose disclosures this event erased, by the places of their digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    erases: Option<BTreeMap<String, &'a [usize]>>,
    id: &'a str,
    method: &'a str,
    out: &'a str,
    purpose: &'a str,
    req: &'a str,
    src: &'a str,
    v: u8,
    /// Who called in the name of `req`.
    #[serde(skip_serializing_if = "str::is_empty")]
    via: &'a str,
}

#[derive(Serialize)]
struct Actor<'a> {
    role: Option<&'a str>,
    user_ref: &'a str,
}

#[derive(Serialize)]
struct Subject<'a> {
    pseudonym: &'a str,
}

#[derive(Serialize)]
struct Case<'a> {
    case: Option<&'a str>,
}

#[derive(Serialize)]
struct Data<'a> {
    categories: Vec<&'a str>,
    form: Option<&'a str>,
    recipients: &'a [String],
    record: &'a str,
}

#[derive(Serialize)]
struct Decision<'a> {
    consents: &'a [String],
    emergency: bool,
    motivation: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Network<'a> {
    key_hash: &'a str,
    node: &'a str,
    trace: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{Draft, Outcome, Stamp, Verdict};
    use super::*;
    use crate::party::Category;
    use crate::reason::Reason;

    fn event() -> Event {
        Event {
            draft: Draft {
                method: "sluis.v1.Cases/GetCase",
                action: Some(Action::Read),
                organisation: "00000099300000020000".into(),
                user_ref: "mdw-17".into(),
                role: Some(Role::R05),
                case_id: Some("case-1".into()),
                categories: vec![Category::C01],
                motivation: "waarom".into(),
                ..Draft::default()
            },
            verdict: Verdict {
                outcome: Outcome::Refused(Reason::NotInvolved),
                clauses: vec!["1.rol".into()],
                covenant_version: 1,
            },
            stamp: Stamp { event_id: "e".into(), at: 7, node: "n1".into(), salts: [[9; 16]; SALTS] },
        }
    }

    #[test]
    fn nothing_personal_stands_in_clear() {
        let leaf = String::from_utf8(encode(&event()).leaf).unwrap();
        for personal in ["mdw-17", "R05", "case-1", "waarom", "NOT_INVOLVED", "C01"] {
            assert!(!leaf.contains(personal), "{personal} in {leaf}");
        }
        assert!(leaf.contains("refused") && leaf.contains("00000099300000020000"));
    }

    /// Written down when the first events were: whoever reads old events reads these names.
    #[test]
    fn the_form_is_frozen() {
        let Leaf { leaf, disclosures } = encode(&event());
        let leaf: serde_json::Map<String, Value> = serde_json::from_slice(&leaf).unwrap();
        assert_eq!(
            Value::Object(leaf.into_iter().filter(|(name, _)| name != "_sd").collect()).to_string(),
            r#"{"act":"R","article":0,"at":7,"clauses":["1.rol"],"covenant":1,"id":"e","method":"sluis.v1.Cases/GetCase","out":"refused","purpose":"","req":"00000099300000020000","src":"","v":1}"#
        );
        let disclosures: Vec<String> = serde_json::from_slice(&disclosures).unwrap();
        let opened: Vec<String> = disclosures
            .iter()
            .map(|text| String::from_utf8(URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap())
            .map(|text| text.replacen("[\"CQkJCQkJCQkJCQkJCQkJCQ\",", "[", 1))
            .collect();
        assert_eq!(
            opened,
            [
                r#"["actor",{"role":"R05","user_ref":"mdw-17"}]"#,
                r#"["subject",{"pseudonym":""}]"#,
                r#"["case",{"case":"case-1"}]"#,
                r#"["data",{"categories":["C01"],"form":null,"recipients":[],"record":""}]"#,
                r#"["decision",{"consents":[],"emergency":false,"motivation":"waarom","reason":"NOT_INVOLVED"}]"#,
                r#"["network",{"key_hash":"","node":"n1","trace":""}]"#,
            ]
        );
    }

    #[test]
    fn a_supplier_stands_in_clear_and_in_no_event_without_one() {
        let with = |via: &str| {
            let event = event();
            let draft = Draft { via: via.into(), ..event.draft };
            String::from_utf8(encode(&Event { draft, ..event }).leaf).unwrap()
        };
        assert!(with("00000099900000010000").ends_with(r#","src":"","v":1,"via":"00000099900000010000"}"#));
        assert!(!with("").contains("via"), "the form of the events that are there already");
    }

    #[test]
    fn disclosures_open_their_leaf_and_no_other() {
        let Leaf { leaf, disclosures } = encode(&event());
        assert_eq!(disclosed(&disclosures, &["case", "subject"]).unwrap().len(), 4);
        let disclosures = disclosed(&disclosures, &[]).unwrap();
        let some = |range: std::ops::Range<usize>| open(&leaf, disclosures[range].iter().map(String::as_str));
        assert_eq!(some(0..6).unwrap(), ["actor", "subject", "case", "data", "decision", "network"]);
        assert_eq!(
            (some(2..3).unwrap(), some(0..0).unwrap()),
            (vec!["case".to_owned()], vec![]),
            "as few as one likes"
        );
        let other = encode(&Event { stamp: Stamp { salts: [[8; 16]; SALTS], ..event().stamp }, ..event() });
        assert_eq!(open(&other.leaf, disclosures.iter().map(String::as_str)), None);
        assert_eq!(open(&leaf, [&*disclosures[0], &*disclosures[0]].into_iter()), None, "twice");
        assert_eq!(open(b"{}", std::iter::empty()), None);
    }

    #[test]
    fn every_digest_belongs_to_a_disclosure() {
        let Leaf { leaf, disclosures } = encode(&event());
        let leaf: Value = serde_json::from_slice(&leaf).unwrap();
        let disclosures: Vec<String> = serde_json::from_slice(&disclosures).unwrap();
        let digests: Vec<String> =
            leaf["_sd"].as_array().unwrap().iter().map(|d| d.as_str().unwrap().to_owned()).collect();
        assert_eq!(digests.len(), GROUPS);
        for (disclosure, expected) in disclosures.iter().zip(digests) {
            assert_eq!(URL_SAFE_NO_PAD.encode(digest(&SHA256, disclosure.as_bytes())), expected);
            let opened: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(disclosure).unwrap()).unwrap();
            assert_eq!(opened.as_array().unwrap().len(), 3);
        }
    }
}
