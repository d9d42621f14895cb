//! What a reader brings along besides events: period, scope, thresholds, directory, and what a proof of the log found.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::api::v1;
use crate::covenant::Covenant;
use crate::covenant::parameters::{Log, Review};
use crate::party::{Article, Oin};

/// Whose events the reader may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those in which this organisation asked, sent or received.
    Own(Oin),
    /// All of the network's.
    Network,
}

impl Scope {
    /// As the log's service says it of an answer: `network` or `partners/{oin}`.
    pub fn of_answer(text: &str) -> Option<Self> {
        match text.strip_prefix("partners/") {
            Some(oin) => oin.parse().ok().map(Self::Own),
            None => (text == "network").then_some(Self::Network),
        }
    }

    /// `network` or the OIN.
    pub fn code(&self) -> &str {
        match self {
            Self::Own(oin) => oin.as_str(),
            Self::Network => "network",
        }
    }
}

/// What proving the log found. It comes from whoever walked the tree, not from events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// The tree, its checkpoints and its leaves agree.
    pub verified: bool,
    /// Number of leaves.
    pub tree_size: u64,
    /// When the copy was made in which that was found; what came later it can't show. Nothing: nobody knows.
    pub copied_at: Option<OffsetDateTime>,
    /// Events that should have been in the tree and were not, if anybody looked.
    pub unproven: Option<u64>,
    /// The largest step back in time between leaves of one node, in seconds, if anybody looked.
    pub clock_back_seconds: Option<u64>,
}

/// What a report takes from the covenant.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Thresholds of signals.
    pub review: Review,
    /// How long consent holds at most.
    pub consent_months: u8,
    /// How long a request of a data subject may wait for its answer.
    pub rights_months: u8,
    /// No figure is published of fewer than so many.
    pub small_cell: u32,
    /// How long events are kept.
    pub log: Log,
    /// Version in force.
    pub version: u32,
    /// Articles under which something is exchanged or managed.
    pub articles: Vec<Article>,
    /// Legal bases by clause, as codes.
    pub bases: BTreeMap<String, Vec<&'static str>>,
}

impl Terms {
    /// The terms of one version.
    pub fn of(covenant: &Covenant) -> Self {
        let parameters = covenant.parameters();
        let all = (1..=u8::MAX).map_while(Article::new);
        let codes = |bases: &[crate::party::Basis]| bases.iter().map(|basis| basis.code()).collect();
        Self {
            review: parameters.review.clone(),
            consent_months: parameters.terms.consent_months,
            rights_months: parameters.terms.rights_answer_months,
            small_cell: parameters.limits.small_cell,
            log: parameters.log.clone(),
            version: covenant.version().number,
            articles: all.filter(|article| covenant.purpose(*article).is_some()).collect(),
            bases: covenant.clause_bases().into_iter().map(|(id, bases)| (id.to_owned(), codes(bases))).collect(),
        }
    }
}

/// Everything but the events.
#[derive(Debug, Clone)]
pub struct Setting {
    /// First moment of the period. Earlier events are history: they tell who held which role, and are not counted.
    pub from: OffsetDateTime,
    /// First moment after the period.
    pub until: OffsetDateTime,
    /// The moment as of which the reports speak: what came later is left out.
    pub as_of: OffsetDateTime,
    /// The events reach back to the first of the log: whoever was never given a role has none. Otherwise only cases whose
    /// referral is among the events are judged in full.
    pub since_start: bool,
    /// Whose events these are.
    pub scope: Scope,
    /// From the covenant.
    pub terms: Terms,
    /// From the directory, in any order.
    pub partners: Vec<v1::Partner>,
    /// From a proof, if there was one.
    pub integrity: Option<Integrity>,
}

impl Setting {
    /// A partner as people know it: name and number.
    pub(super) fn who(&self, oin: &str) -> String {
        match self.partner(oin) {
            _ if oin.is_empty() => "–".to_owned(),
            Some(partner) if !partner.display_name.is_empty() => format!("{} ({oin})", partner.display_name),
            _ => oin.to_owned(),
        }
    }

    /// The directory's entry.
    pub(super) fn partner(&self, oin: &str) -> Option<&v1::Partner> {
        self.partners.iter().find(|partner| oin_of(&partner.name) == oin)
    }

    /// Whether the period is at least so many months long.
    pub(super) fn spans(&self, months: u8) -> bool {
        let place = |at: OffsetDateTime| {
            let day = super::day::local(at);
            (day.year() * 12 + i32::from(u8::from(day.month())), day.day())
        };
        let ((first, from_day), (last, until_day)) = (place(self.from), place(self.until.min(self.as_of)));
        let whole = last - first - i32::from(until_day < from_day);
        whole >= i32::from(months)
    }
}

/// The number in `partners/{oin}`.
pub(super) fn oin_of(name: &str) -> &str {
    name.strip_prefix("partners/").unwrap_or(name)
}
