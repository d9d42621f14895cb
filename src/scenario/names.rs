//! The labels of a scenario and what they stand for in the network. No I/O.
//!
//! Every organisation has its own name of a case, so a label of a case stands for one name per partner. A partner
//! learns its name from its inbox, when a role is given to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

use crate::api::v1 as api;

/// What labels stand for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    oins: BTreeMap<String, String>,
    cases: BTreeMap<(String, String), String>,
    awaited: BTreeMap<String, VecDeque<String>>,
    foreign: BTreeSet<String>,
    records: BTreeMap<String, Labelled>,
    consents: BTreeMap<String, Labelled>,
    assignments: BTreeMap<String, Labelled>,
    pseudonyms: BTreeMap<(String, String), String>,
}

/// Something in a case, with the label of its case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labelled {
    /// `records/{uuid}`; of consents and assignments `cases/{case}/…/{uuid}` as one of the partners names it.
    pub(crate) name: String,
    /// Label of the case, if it has one.
    pub(crate) case: Option<String>,
}

impl Names {
    /// Knows the partners' OINs.
    pub(crate) fn new(oins: BTreeMap<String, String>) -> Self {
        Self { oins, ..Self::default() }
    }

    /// `partners/{oin}` of a label. An unknown label stands for a partner that does not exist.
    pub(crate) fn partner(&self, id: &str) -> String {
        format!("partners/{}", self.oins.get(id).map_or("00000099999999990000", String::as_str))
    }

    /// `partners/{oin}` of several labels.
    pub(crate) fn partners(&self, ids: &[String]) -> Vec<String> {
        ids.iter().map(|id| self.partner(id)).collect()
    }

    /// The label of `partners/{oin}`, or the name itself.
    pub(crate) fn id(&self, partner: &str) -> String {
        let oin = partner.strip_prefix("partners/").unwrap_or(partner);
        self.oins.iter().find(|(_, own)| *own == oin).map_or_else(|| partner.to_owned(), |(id, _)| id.clone())
    }

    /// The labels of several `partners/{oin}`, sorted, each once.
    pub(crate) fn ids<'a>(&self, partners: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        partners.into_iter().map(|partner| self.id(partner)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// `who`'s own name of a case.
    pub(crate) fn case(&self, label: &str, who: &str) -> Option<String> {
        self.cases.get(&(label.to_owned(), who.to_owned())).cloned()
    }

    /// `who`'s own name of a case, or the name of a case that does not exist.
    pub(crate) fn case_or_stranger(&self, label: &str, who: &str) -> String {
        self.case(label, who).unwrap_or_else(|| format!("cases/{}", Uuid::new_v4()))
    }

    /// `who` calls the case so.
    pub(crate) fn learn_case(&mut self, label: &str, who: &str, name: &str) {
        self.cases.insert((label.to_owned(), who.to_owned()), name.to_owned());
    }

    /// A role was given to `who`, so its name of the case is on its way.
    pub(crate) fn await_case(&mut self, label: &str, who: &str) {
        if self.case(label, who).is_none() {
            self.awaited.entry(who.to_owned()).or_default().push_back(label.to_owned());
        }
    }

    /// Whether a name is on its way to `who`.
    pub(crate) fn awaits(&self, who: &str) -> bool {
        self.awaited.get(who).is_some_and(|labels| !labels.is_empty())
    }

    /// Reads an inbox item of `who` for a name that is awaited. Items from before the scenario are `old`: their cases
    /// belong to somebody else's story.
    pub(crate) fn learn_from(&mut self, who: &str, item: &api::InboxItem, old: bool) {
        let assigned = matches!(&item.item, Some(api::inbox_item::Item::Changed(changed))
            if changed.kind() == api::case_changed::Kind::RoleAssigned);
        if item.case.is_empty() {
            return;
        }
        if old {
            self.foreign.insert(item.case.clone());
            return;
        }
        let known = self.foreign.contains(&item.case)
            || self.cases.iter().any(|((_, owner), name)| owner == who && *name == item.case);
        if assigned
            && !known
            && let Some(label) = self.awaited.get_mut(who).and_then(VecDeque::pop_front)
        {
            self.awaited.entry(who.to_owned()).or_default().retain(|other| *other != label);
            self.learn_case(&label, who, &item.case);
        }
    }

    /// Remembers a record.
    pub(crate) fn learn_record(&mut self, label: &str, name: &str, case: Option<&String>) {
        self.records.insert(label.to_owned(), Labelled { name: name.to_owned(), case: case.cloned() });
    }

    /// A record, or the name of one that does not exist.
    pub(crate) fn record(&self, label: &str) -> Labelled {
        let stranger = || Labelled { name: format!("records/{}", Uuid::new_v4()), case: None };
        self.records.get(label).cloned().unwrap_or_else(stranger)
    }

    /// The label of a record's name.
    pub(crate) fn record_label(&self, name: &str) -> Option<&str> {
        self.records.iter().find(|(_, record)| record.name == name).map(|(label, _)| label.as_str())
    }

    /// Remembers a consent.
    pub(crate) fn learn_consent(&mut self, label: &str, name: &str, case: &str) {
        let consent = Labelled { name: name.to_owned(), case: Some(case.to_owned()) };
        self.consents.insert(label.to_owned(), consent);
    }

    /// A consent; empty if there is none.
    pub(crate) fn consent(&self, label: &str) -> Labelled {
        self.consents.get(label).cloned().unwrap_or_default()
    }

    /// Remembers an assignment.
    pub(crate) fn learn_assignment(&mut self, label: &str, name: &str, case: &str) {
        let assignment = Labelled { name: name.to_owned(), case: Some(case.to_owned()) };
        self.assignments.insert(label.to_owned(), assignment);
    }

    /// An assignment; empty if there is none.
    pub(crate) fn assignment(&self, label: &str) -> Labelled {
        self.assignments.get(label).cloned().unwrap_or_default()
    }

    /// Remembers `who`'s pseudonym of a youth; false if it was another one before.
    pub(crate) fn learn_pseudonym(&mut self, youth: &str, who: &str, pseudonym: &str) -> bool {
        let key = (youth.to_owned(), who.to_owned());
        self.pseudonyms.insert(key, pseudonym.to_owned()).is_none_or(|before| before == pseudonym)
    }

    /// `who`'s pseudonym of a youth, if it asked.
    pub(crate) fn pseudonym(&self, youth: &str, who: &str) -> Option<&String> {
        self.pseudonyms.get(&(youth.to_owned(), who.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1::{CaseChanged, InboxItem, case_changed::Kind, inbox_item::Item};

    fn changed(case: &str, kind: Kind) -> InboxItem {
        let item = Item::Changed(CaseChanged { kind: kind.into(), ..CaseChanged::default() });
        InboxItem { case: case.to_owned(), item: Some(item), ..InboxItem::default() }
    }

    #[test]
    fn a_partner_learns_its_name_from_its_inbox() {
        let mut names = Names::new(BTreeMap::from([("Z-1".into(), "00000099300000010000".into())]));
        names.learn_from("Z-1", &changed("cases/old", Kind::RoleAssigned), true);
        names.await_case("casus", "Z-1");
        for item in [
            changed("cases/old", Kind::RoleAssigned),
            changed("cases/new", Kind::Phase),
            changed("cases/new", Kind::RoleAssigned),
            changed("cases/later", Kind::RoleAssigned),
        ] {
            names.learn_from("Z-1", &item, false);
        }
        assert_eq!(names.case("casus", "Z-1").as_deref(), Some("cases/new"));
        assert!(!names.awaits("Z-1"));
        assert_eq!(names.case("casus", "Z-2"), None);
        assert_ne!(names.case_or_stranger("casus", "Z-2"), names.case_or_stranger("casus", "Z-2"));
    }

    #[test]
    fn labels_and_names_of_partners_match() {
        let names = Names::new(BTreeMap::from([("Z-1".into(), "00000099300000010000".into())]));
        assert_eq!(names.partner("Z-1"), "partners/00000099300000010000");
        assert_eq!(names.id("partners/00000099300000010000"), "Z-1");
        assert_eq!(names.id("partners/1"), "partners/1");
    }

    #[test]
    fn a_pseudonym_may_not_change() {
        let mut names = Names::default();
        assert!(names.learn_pseudonym("kind", "Z-1", "a"));
        assert!(names.learn_pseudonym("kind", "Z-1", "a"));
        assert!(!names.learn_pseudonym("kind", "Z-1", "b"));
    }
}
