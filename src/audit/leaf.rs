//! The leaf: UTF-8 JSON, stored and hashed as written here and never serialised again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::Event;

/// Number of disclosure groups: actor, subject, case, data, decision, network.
pub(super) const GROUPS: usize = 6;

/// Exact bytes of an event's leaf and of its disclosures.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// What enters the tree.
    pub leaf: Vec<u8>,
    /// JSON array of disclosures, each base64url of `[salt, group, value]`.
    pub disclosures: Vec<u8>,
}

/// Encodes an event. The digest of disclosure *d* is base64url(SHA-256(d)), with *d* in its encoded form.
pub fn encode(event: &Event) -> Leaf {
    let disclosures: Vec<String> = groups(event)
        .into_iter()
        .zip(event.stamp.salts)
        .map(|((name, value), salt)| {
            let disclosure = json!([URL_SAFE_NO_PAD.encode(salt), name, value]);
            URL_SAFE_NO_PAD.encode(disclosure.to_string())
        })
        .collect();
    let digests: Vec<String> =
        disclosures.iter().map(|d| URL_SAFE_NO_PAD.encode(digest(&SHA256, d.as_bytes()))).collect();
    let (draft, verdict, stamp) = (&event.draft, &event.verdict, &event.stamp);
    let leaf = json!({
        "v": 1,
        "id": stamp.event_id,
        "at": stamp.at,
        "method": draft.method,
        "act": draft.action.map_or("E", super::Action::code),
        "out": verdict.outcome.code(),
        "req": draft.organisation,
        "src": draft.source,
        "purpose": draft.purpose,
        "article": draft.article.map_or(0, crate::party::Article::number),
        "covenant": verdict.covenant_version,
        "clauses": verdict.clauses,
        "_sd": digests,
    });
    Leaf { leaf: leaf.to_string().into_bytes(), disclosures: json!(disclosures).to_string().into_bytes() }
}

fn groups(event: &Event) -> [(&'static str, Value); GROUPS] {
    let (draft, verdict, stamp) = (&event.draft, &event.verdict, &event.stamp);
    [
        ("actor", json!({ "user_ref": draft.user_ref, "role": draft.role.map(crate::party::Role::code) })),
        ("subject", json!({ "pseudonym": draft.subject })),
        ("case", json!({ "case": draft.case_id })),
        (
            "data",
            json!({
                "categories": draft.categories.iter().map(|c| c.code()).collect::<Vec<_>>(),
                "form": draft.form.map(crate::party::Form::code),
                "record": draft.record,
                "recipients": draft.recipients,
            }),
        ),
        (
            "decision",
            json!({
                "reason": verdict.outcome.reason(),
                "consents": draft.consents,
                "emergency": draft.emergency,
                "motivation": draft.motivation,
            }),
        ),
        ("network", json!({ "key_hash": draft.key_hash, "node": stamp.node, "trace": draft.trace_id })),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Draft, Outcome, Stamp, Verdict};
    use super::*;
    use crate::party::{Category, Role};
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
            stamp: Stamp { event_id: "e".into(), at: 7, node: "n1".into(), salts: [[9; 16]; GROUPS] },
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
