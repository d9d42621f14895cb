//! Erasing what an event says of somebody: disclosures go, the leaf with their digests stays, and so does every proof.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use serde_json::Value;

use super::leaf::{GROUPS, digest_of, digests, mark_of, opened};

/// A part of an event that can be erased by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Employee and role.
    Actor,
    /// The youth's pseudonym.
    Subject,
    /// The case.
    Case,
    /// Categories, form, recipients, record.
    Data,
    /// Consents, emergency, motivation, reason.
    Decision,
    /// Certificate, node, trace.
    Network,
    /// Cases that stood in a list.
    Listed,
}

impl Group {
    /// Every group; the first six in the order of their digests.
    pub const ALL: [Self; GROUPS + 1] =
        [Self::Actor, Self::Subject, Self::Case, Self::Data, Self::Decision, Self::Network, Self::Listed];

    /// The name in disclosures.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Subject => "subject",
            Self::Case => "case",
            Self::Data => "data",
            Self::Decision => "decision",
            Self::Network => "network",
            Self::Listed => "listed",
        }
    }
}

/// Not the name of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("actor, subject, case, data, decision, network or listed")]
pub struct NotAGroup;

impl FromStr for Group {
    type Err = NotAGroup;
    fn from_str(text: &str) -> Result<Self, NotAGroup> {
        Self::ALL.into_iter().find(|group| group.code() == text).ok_or(NotAGroup)
    }
}

/// What erasing leaves of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// JSON array of the disclosures that stay.
    pub disclosures: Vec<u8>,
    /// Places of the digests whose disclosures go.
    pub erased: Vec<usize>,
    /// Cases that go from a list.
    pub cases: Vec<String>,
}

/// Takes groups out of an event; of listed cases all, or those that are named. `None`: it is not what was written.
pub fn erase(leaf: &[u8], disclosures: &[u8], groups: &[Group], listed: Option<&[String]>) -> Option<Left> {
    let digests = digests(leaf)?;
    let (mut stay, mut erased, mut cases) = (Vec::new(), Vec::new(), Vec::new());
    for disclosure in serde_json::from_slice::<Vec<String>>(disclosures).ok()? {
        let (group, value) = opened(&disclosure)?;
        let group: Group = group.parse().ok()?;
        let case = value.get("case").and_then(Value::as_str).filter(|_| group == Group::Listed);
        let is_meant = case.is_none_or(|case| listed.is_none_or(|named| named.iter().any(|name| name == case)));
        if is_meant && groups.contains(&group) {
            cases.extend(case.map(ToOwned::to_owned));
            erased.push(digests.iter().position(|digest| *digest == digest_of(&disclosure))?);
        } else {
            stay.push(disclosure);
        }
    }
    Some(Left { disclosures: serde_json::to_vec(&stay).ok()?, erased, cases })
}

/// Places of digests in a leaf whose disclosures are not there. `None`: a disclosure is not one of the leaf's.
pub fn missing(leaf: &[u8], disclosures: &[u8]) -> Option<Vec<usize>> {
    let digests = digests(leaf)?;
    let there: Vec<String> =
        serde_json::from_slice::<Vec<String>>(disclosures).ok()?.iter().map(|d| digest_of(d)).collect();
    let mut rest = there.iter().peekable();
    let mut missing = Vec::new();
    for (place, digest) in digests.iter().enumerate() {
        if rest.next_if(|found| *found == digest).is_none() {
            missing.push(place);
        }
    }
    // In their order, and nothing besides.
    rest.peek().is_none().then_some(missing)
}

/// What an event says that it erased: places of digests, by the marks of events.
pub fn erases(leaf: &[u8]) -> BTreeMap<String, Vec<usize>> {
    #[derive(serde::Deserialize)]
    struct Erases {
        #[serde(default)]
        erases: BTreeMap<String, Vec<usize>>,
    }
    serde_json::from_slice::<Erases>(leaf).map(|leaf| leaf.erases).unwrap_or_default()
}

/// The one method that erases.
const ERASE: &str = "sluis.v1.Audit/EraseEvents";

/// What erasures that stand in a log name: places of digests, by the marks of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erasures(HashMap<String, Vec<usize>>);

impl Erasures {
    /// Takes an entry of the log, if it is an erasure that was carried out.
    pub fn add(&mut self, leaf: &[u8]) {
        let carried_out = |clear: &super::read::Clear| clear.method == ERASE && clear.out == "allowed";
        if super::read::clear(leaf).as_ref().is_some_and(carried_out) {
            for (mark, places) in erases(leaf) {
                self.0.entry(mark).or_default().extend(places);
            }
        }
    }

    /// Whether the disclosure of the digest at this place was erased, and an event says so.
    pub fn covers(&self, event_id: &str, place: usize) -> bool {
        self.0.get(&mark_of(event_id)).is_some_and(|places| places.contains(&place))
    }

    /// Whether they name this group of an event, wherever its digests stand.
    pub fn name(&self, event_id: &str, group: Group) -> bool {
        self.0.get(&mark_of(event_id)).is_some_and(|places| groups(places).contains(&group))
    }

    /// Which of the groups that are said to be erased are not, as far as these erasures go. A reader who may open no case of a list
    /// sees that something of the list was erased, and not which.
    pub fn unsaid(&self, event_id: &str, leaf: &[u8], disclosures: &[String], said: &[Group]) -> Option<Group> {
        let missing = absent(leaf, disclosures)?;
        let of = |group: Group| missing.iter().filter(move |place| groups(&[**place]) == [group]);
        let covered = |place: &&usize| self.covers(event_id, **place);
        let is_erased = |group: Group| of(group).next().is_some() && of(group).all(|place| covered(&place));
        let sees_no_list = disclosures.iter().all(|text| opened(text).is_none_or(|(group, _)| group != "listed"));
        let some = |group: Group| group == Group::Listed && sees_no_list && of(group).any(|place| covered(&place));
        said.iter().copied().find(|group| !is_erased(*group) && !some(*group))
    }

    /// Of which group a disclosure is neither there nor erased; nothing if there is none. For whoever may open everything.
    pub fn withheld(&self, event_id: &str, leaf: &[u8], disclosures: &[String]) -> Option<Group> {
        let unsaid = absent(leaf, disclosures)?.into_iter().find(|place| !self.covers(event_id, *place));
        unsaid.and_then(|place| groups(&[place]).pop())
    }
}

/// Places of digests that none of these disclosures is of.
fn absent(leaf: &[u8], disclosures: &[String]) -> Option<Vec<usize>> {
    let there: Vec<String> = disclosures.iter().map(|disclosure| digest_of(disclosure)).collect();
    let missing = digests(leaf)?.into_iter().enumerate().filter(|(_, digest)| !there.contains(digest));
    Some(missing.map(|(place, _)| place).collect())
}

/// Cases that stood in a list.
pub fn listed(disclosures: &[u8]) -> Vec<String> {
    let all: Vec<String> = serde_json::from_slice(disclosures).unwrap_or_default();
    let case = |disclosure: &String| match opened(disclosure)? {
        (group, value) if group == Group::Listed.code() => value.get("case")?.as_str().map(ToOwned::to_owned),
        _ => None,
    };
    all.iter().filter_map(case).collect()
}

/// Names of the groups of a leaf at these places.
pub fn groups(places: &[usize]) -> Vec<Group> {
    let group = |place: &usize| Group::ALL.get(*place).copied().unwrap_or(Group::Listed);
    let mut groups: Vec<Group> = places.iter().map(group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::super::{Draft, Event, Leaf, Outcome, SALTS, Stamp, Verdict, encode, open};
    use super::*;

    fn event() -> Leaf {
        let draft = Draft {
            user_ref: "mdw-17".into(),
            case_id: Some("case-1".into()),
            listed: vec!["case-2".into(), "case-3".into()],
            motivation: "waarom".into(),
            ..Draft::default()
        };
        let verdict = Verdict { outcome: Outcome::Allowed, clauses: vec![], covenant_version: 1 };
        let stamp = Stamp { event_id: "e".into(), at: 7, node: "n1".into(), salts: [[9; 16]; SALTS] };
        encode(&Event { draft, verdict, stamp })
    }

    fn holds(left: &Left, value: &str) -> bool {
        let all: Vec<String> = serde_json::from_slice(&left.disclosures).unwrap();
        all.iter().any(|disclosure| opened(disclosure).unwrap().1.to_string().contains(value))
    }

    #[test]
    fn what_is_erased_is_gone_and_what_stays_opens_the_same_leaf() {
        let Leaf { leaf, disclosures } = event();
        let left = erase(&leaf, &disclosures, &[Group::Case, Group::Decision], None).unwrap();
        assert_eq!(left.erased, [2, 4]);
        assert!(!holds(&left, "case-1") && !holds(&left, "waarom") && holds(&left, "mdw-17") && holds(&left, "case-2"));
        assert_eq!(missing(&leaf, &left.disclosures), Some(vec![2, 4]));
        let stay: Vec<String> = serde_json::from_slice(&left.disclosures).unwrap();
        assert_eq!(open(&leaf, stay.iter().map(String::as_str)).unwrap().len(), 6);
        // Once more, and the rest.
        let rest = erase(&leaf, &left.disclosures, &Group::ALL, None).unwrap();
        assert_eq!((rest.erased, &*rest.disclosures), (vec![0, 1, 3, 5, 6, 7], &b"[]"[..]));
        assert_eq!(groups(&[0, 2, 6, 7]), [Group::Actor, Group::Case, Group::Listed]);
    }

    #[test]
    fn one_case_goes_out_of_a_list_and_the_others_stay() {
        let Leaf { leaf, disclosures } = event();
        assert_eq!(listed(&disclosures), ["case-2", "case-3"]);
        let left = erase(&leaf, &disclosures, &[Group::Listed], Some(&["case-3".to_owned()])).unwrap();
        assert_eq!((left.erased.clone(), listed(&left.disclosures)), (vec![7], vec!["case-2".to_owned()]));
        assert_eq!(
            erase(&leaf, &left.disclosures, &[Group::Listed], Some(&["case-3".to_owned()])).unwrap().erased,
            Vec::<usize>::new()
        );
        assert_eq!(erase(&leaf, &disclosures, &[Group::Actor], Some(&["case-3".to_owned()])).unwrap().erased, [0]);
    }

    #[test]
    fn what_was_not_written_is_not_taken() {
        let Leaf { leaf, disclosures } = event();
        assert_eq!(missing(&leaf, &disclosures), Some(vec![]));
        let mut all: Vec<String> = serde_json::from_slice(&disclosures).unwrap();
        all.swap(0, 1);
        assert_eq!(missing(&leaf, &serde_json::to_vec(&all).unwrap()), None, "another order");
        all.swap(0, 1);
        all[1].push('A');
        let changed = serde_json::to_vec(&all).unwrap();
        assert_eq!((missing(&leaf, &changed), erase(&leaf, &changed, &[Group::Subject], None)), (None, None));
        assert_eq!(missing(b"{}", b"[]"), None);
        assert_eq!(missing(&leaf, b"no"), None);
    }

    #[test]
    fn an_erasure_names_what_it_erased() {
        let mut erased = BTreeMap::new();
        erased.insert("0192f3a0".to_owned(), vec![1, 2]);
        let draft = Draft { erases: erased, ..Draft::default() };
        let verdict = Verdict { outcome: Outcome::Allowed, clauses: vec![], covenant_version: 0 };
        let stamp = Stamp { event_id: "e".into(), at: 7, node: "n1".into(), salts: [[9; 16]; SALTS] };
        let leaf = encode(&Event { draft, verdict, stamp }).leaf;
        assert_eq!(erases(&leaf), [(mark_of("0192f3a0"), vec![1, 2])].into());
        assert!(
            !String::from_utf8(leaf).unwrap().contains("0192f3a0"),
            "whoever does not know the event learns nothing of it"
        );
        assert!(erases(&event().leaf).is_empty());
    }

    #[test]
    fn what_is_not_there_is_erased_or_withheld() {
        let Leaf { leaf, disclosures } = event();
        let mut erases = BTreeMap::new();
        erases.insert("e".to_owned(), vec![1, 6]);
        let erasure = |method: &'static str, outcome: Outcome| {
            let draft = Draft { method, erases: erases.clone(), ..Draft::default() };
            let verdict = Verdict { outcome, clauses: vec![], covenant_version: 0 };
            let stamp = Stamp { event_id: "f".into(), at: 8, node: "n1".into(), salts: [[9; 16]; SALTS] };
            let mut erasures = Erasures::default();
            erasures.add(&encode(&Event { draft, verdict, stamp }).leaf);
            erasures
        };
        let said = erasure(ERASE, Outcome::Allowed);
        let all: Vec<String> = serde_json::from_slice(&disclosures).unwrap();
        let without = |gone: &[usize]| {
            let there = all.iter().enumerate().filter(|(place, _)| !gone.contains(place));
            there.map(|(_, disclosure)| disclosure.clone()).collect::<Vec<_>>()
        };
        for (gone, withheld) in [
            (&[][..], None),
            (&[1], None),
            (&[1, 6], None),
            (&[0], Some(Group::Actor)),
            (&[1, 4], Some(Group::Decision)),
            // Another case of the list than the one that was erased.
            (&[6, 7], Some(Group::Listed)),
        ] {
            assert_eq!(said.withheld("e", &leaf, &without(gone)), withheld, "{gone:?}");
        }
        assert_eq!(said.withheld("g", &leaf, &without(&[1])), Some(Group::Subject), "another event's erasure");
        for none in [
            erasure("sluis.v1.Cases/GetCase", Outcome::Allowed),
            erasure(ERASE, Outcome::Refused(crate::reason::Reason::RoleNotAllowed)),
        ] {
            assert_eq!(none.withheld("e", &leaf, &without(&[1])), Some(Group::Subject));
        }
    }

    #[test]
    fn groups_have_one_name() {
        for group in Group::ALL {
            assert_eq!(group.code().parse(), Ok(group));
        }
        assert_eq!("Actor".parse::<Group>(), Err(NotAGroup));
    }
}
