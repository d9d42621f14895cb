//! Who is under which root, and how far everybody is with moving to another one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Certificate, State};
use crate::party::vocabulary;

/// A set of anchors of the hub, and who issued under it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The set; None: nobody has called with a certificate of this issuer yet, or this was not kept when they did.
    pub set: Option<String>,
    /// Distinguished name of the issuer; empty: not known.
    pub issuer: String,
}

impl Place {
    /// Whether somebody who names a set, or a piece of an issuer's name, means this.
    pub fn is_named(&self, names: &[String]) -> bool {
        let is_meant = |name: &String| self.set.as_ref() == Some(name) || self.issuer.contains(name.as_str());
        names.iter().any(is_meant)
    }
}

/// How many certificates of an organisation stand in a place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Registered, and not used yet.
    pub announced: usize,
    /// In use.
    pub active: usize,
    /// In use, and replaced by one that is in use too.
    pub retiring: usize,
}

/// An organisation, and where its certificates stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// 20 digits.
    pub oin: String,
    /// Empty: not in the directory.
    pub name: String,
    /// What it has in force, by place.
    pub at: BTreeMap<Place, Counts>,
}

vocabulary! {
    /// How far an organisation is with moving from some places to others.
    Progress, "progress":
    /// It has nothing but certificates of where it comes from.
    Only = "only",
    /// It has registered one of where it goes to, and has not called with it.
    Announced = "announced",
    /// It uses certificates of where it goes to, and still has some of where it comes from.
    Both = "both",
    /// It has none left of where it comes from.
    Moved = "moved",
    /// Neither: what it has is of elsewhere, or nobody knows of where.
    Neither = "neither",
}

/// What is in force, by organisation and place. Who has nothing in force is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Where certificates that are in force stand.
    pub places: BTreeSet<Place>,
    /// By OIN.
    pub organisations: Vec<Organisation>,
}

impl Inventory {
    pub(super) fn of(certificates: &[Certificate]) -> Self {
        let sets = sets(certificates);
        let mut organisations: BTreeMap<&str, Organisation> = BTreeMap::new();
        for one in certificates.iter().filter(|one| one.state.is_in_force()) {
            let place = place(one, &sets);
            let organisation = organisations.entry(&one.oin).or_insert_with(|| Organisation {
                oin: one.oin.clone(),
                name: one.name.clone(),
                at: BTreeMap::new(),
            });
            let counts = organisation.at.entry(place).or_default();
            match one.state {
                State::Announced => counts.announced += 1,
                State::Active => counts.active += 1,
                State::Retiring => counts.retiring += 1,
                State::Retired | State::Revoked => {}
            }
        }
        let organisations: Vec<Organisation> = organisations.into_values().collect();
        let places = organisations.iter().flat_map(|one| one.at.keys().cloned()).collect();
        Self { places, organisations }
    }

    /// How far everybody is with moving.
    pub fn progress(&self, from: &[String], to: &[String]) -> Vec<(Progress, &Organisation)> {
        self.organisations.iter().map(|one| (one.progress(from, to), one)).collect()
    }

    /// Those that have nothing in force outside a place.
    pub fn only_at<'i>(&'i self, place: &'i Place) -> impl Iterator<Item = &'i Organisation> {
        self.organisations.iter().filter(move |one| one.at.keys().all(|own| own == place))
    }
}

impl Organisation {
    fn progress(&self, from: &[String], to: &[String]) -> Progress {
        // Who names one place in both asks who is there: where somebody goes to counts.
        let goes_to = |place: &Place| place.is_named(to);
        let comes_from = self.at.keys().any(|place| place.is_named(from) && !goes_to(place));
        let there: Vec<&Counts> =
            self.at.iter().filter(|(place, _)| goes_to(place)).map(|(_, counts)| counts).collect();
        let is_used = there.iter().any(|counts| counts.active + counts.retiring > 0);
        match (comes_from, is_used, there.is_empty()) {
            (true, true, _) => Progress::Both,
            (false, true, _) => Progress::Moved,
            (_, false, false) => Progress::Announced,
            (true, false, true) => Progress::Only,
            (false, false, true) => Progress::Neither,
        }
    }
}

/// Under which sets certificates of an issuer were seen. What is no longer in force tells it too.
fn sets(certificates: &[Certificate]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut sets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in certificates.iter().filter(|one| !one.set.is_empty() && !one.issuer.is_empty()) {
        sets.entry(&one.issuer).or_default().insert(&one.set);
    }
    sets
}

/// Where a certificate stands. One that was not used yet stands where others of its issuer do, if that is one place.
fn place(one: &Certificate, sets: &BTreeMap<&str, BTreeSet<&str>>) -> Place {
    let seen = Some(one.set.clone()).filter(|set| !set.is_empty());
    let others = sets.get(one.issuer.as_str()).filter(|sets| sets.len() == 1);
    let set = seen.or_else(|| others.and_then(|sets| sets.first()).map(|set| (*set).to_owned()));
    Place { set, issuer: one.issuer.clone() }
}
