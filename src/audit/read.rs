//! Reading leaves and disclosures back. What a later version adds is passed over.

use serde::Deserialize;
use serde_json::Value;

/// What stands in a leaf in clear.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Clear {
    /// CRUDE code.
    pub act: String,
    /// Article number; 0: none.
    pub article: u32,
    /// Microseconds since the epoch.
    pub at: i64,
    /// Clauses that decided.
    pub clauses: Vec<String>,
    /// Version of the covenant; 0: none was asked.
    pub covenant: u32,
    /// The event's id.
    pub id: String,
    /// Full name of the RPC.
    pub method: String,
    /// allowed, refused or failed.
    pub out: String,
    /// Purpose code.
    pub purpose: String,
    /// OIN of the organisation that asked.
    pub req: String,
    /// OIN of the organisation whose data it concerns.
    pub src: String,
    /// Version of the form: 1.
    v: u32,
    /// OIN of the supplier that called in the name of `req`.
    #[serde(default)]
    pub via: String,
}

/// What disclosures open of a leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Who.
    pub actor: Option<Actor>,
    /// Which youth.
    pub subject: Option<Subject>,
    /// Which case.
    pub case: Option<Case>,
    /// Which data.
    pub data: Option<Data>,
    /// Why, and why not.
    pub decision: Option<Decision>,
    /// From where.
    pub network: Option<Network>,
    /// Cases that stood in the list that the caller was given.
    pub listed: Vec<Case>,
    /// Digests of the leaf that nothing was opened of.
    pub closed: usize,
}

/// Group `actor`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Actor {
    /// Code of the role.
    pub role: Option<String>,
    /// Opaque employee.
    pub user_ref: String,
}

/// Group `subject`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subject {
    /// Log-scope pseudonym for the organisation that asked.
    pub pseudonym: String,
}

/// Groups `case` and `listed`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Case {
    /// The hub's own id of the case.
    pub case: Option<String>,
}

/// Group `data`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Data {
    /// Codes of the categories.
    pub categories: Vec<String>,
    /// Code of the form.
    pub form: Option<String>,
    /// OINs that got something, or would have.
    pub recipients: Vec<String>,
    /// Record's id.
    pub record: String,
}

/// Group `decision`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Decision {
    /// Consents that it rested on.
    pub consents: Vec<String>,
    /// Article 30.
    pub emergency: bool,
    /// The caller's motivation.
    pub motivation: String,
    /// Reason code; empty: allowed.
    pub reason: String,
}

/// Group `network`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Network {
    /// SHA-256 of the caller's certificate key, hex.
    pub key_hash: String,
    /// Hub node.
    pub node: String,
    /// W3C trace-id.
    pub trace: String,
}

/// What a leaf says in clear; nothing if it is no leaf of a version that is known.
pub fn clear(leaf: &[u8]) -> Option<Clear> {
    serde_json::from_slice::<Clear>(leaf).ok().filter(|clear| clear.v == 1)
}

/// What disclosures open of a leaf. Nothing if one of them is not what a digest of the leaf is of, does not hold what its group
/// does, or if a group that stands in a leaf once is there twice.
pub fn opened<'d>(leaf: &[u8], disclosures: impl Iterator<Item = &'d str> + Clone) -> Option<Opened> {
    super::open(leaf, disclosures.clone())?;
    let closed = super::leaf::digests(leaf)?.len().saturating_sub(disclosures.clone().count());
    let mut opened = Opened { closed, ..Opened::default() };
    for disclosure in disclosures {
        let (group, value) = super::leaf::opened(disclosure)?;
        match group.as_str() {
            "actor" => once(&mut opened.actor, value)?,
            "subject" => once(&mut opened.subject, value)?,
            "case" => once(&mut opened.case, value)?,
            "data" => once(&mut opened.data, value)?,
            "decision" => once(&mut opened.decision, value)?,
            "network" => once(&mut opened.network, value)?,
            "listed" => opened.listed.push(serde_json::from_value(value).ok()?),
            _ => {}
        }
    }
    Some(opened)
}

fn once<T: serde::de::DeserializeOwned>(place: &mut Option<T>, value: Value) -> Option<()> {
    let read = serde_json::from_value(value).ok()?;
    place.replace(read).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::digest::{SHA256, digest};
    use serde_json::json;

    use super::*;

    fn disclosure(group: &str, value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(json!(["c2FsdA", group, value]).to_string())
    }

    fn leaf(disclosures: &[String], v: u32) -> Vec<u8> {
        let digests: Vec<String> =
            disclosures.iter().map(|text| URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))).collect();
        let leaf = json!({
            "_sd": digests, "act": "R", "article": 36, "at": 7, "clauses": ["36.a"], "covenant": 1, "id": "e", "method": "m",
            "out": "allowed", "purpose": "p", "req": "r", "src": "", "v": v, "later": true,
        });
        leaf.to_string().into_bytes()
    }

    fn read(disclosures: &[String]) -> Option<Opened> {
        opened(&leaf(disclosures, 1), disclosures.iter().map(String::as_str))
    }

    #[test]
    fn what_is_not_personal_is_read_of_version_1_only() {
        let clear = clear(&leaf(&[], 1)).unwrap();
        assert_eq!((clear.at, clear.article, clear.clauses), (7, 36, vec!["36.a".to_owned()]));
        assert_eq!(super::clear(&leaf(&[], 2)), None);
        assert_eq!(super::clear(b"{}"), None);
    }

    #[test]
    fn groups_are_opened_once_and_listed_cases_often() {
        let actor = disclosure("actor", &json!({"role": "R05", "user_ref": "mdw-1", "later": 1}));
        let listed = ["a", "b"].map(|case| disclosure("listed", &json!({ "case": case })));
        let stranger = disclosure("stranger", &json!(3));
        let all = [vec![actor.clone(), stranger], listed.to_vec()].concat();
        let opened = read(&all).unwrap();
        assert_eq!(opened.actor, Some(Actor { role: Some("R05".into()), user_ref: "mdw-1".into() }));
        assert_eq!(opened.listed.len(), 2);
        assert_eq!((opened.case, opened.subject), (None, None));
        let second = disclosure("actor", &json!({"role": null, "user_ref": "mdw-2"}));
        assert_eq!(read(&[actor.clone(), second]), None, "twice");
        assert_eq!(read(&[disclosure("actor", &json!({"role": "R05"}))]), None, "not an actor");
        assert_eq!(super::opened(&leaf(&[], 1), std::iter::once(actor.as_str())), None, "of another leaf");
        assert_eq!(read(&[]), Some(Opened::default()));
    }
}
