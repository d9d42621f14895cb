//! An event, read once for all reports.

use time::{Date, OffsetDateTime};

use super::setting::oin_of;
use crate::api::v1;
use crate::clock::micros;
use crate::method::METHODS;
use crate::party::Category;
use crate::wire::{Numbered as _, moment};

/// What reports ask of an event.
pub(super) struct Line<'a> {
    pub(super) event: &'a v1::Event,
    pub(super) at: OffsetDateTime,
    /// Microseconds since the epoch.
    pub(super) micros: i64,
    /// In the Netherlands.
    pub(super) day: Date,
    /// The event's UUID.
    pub(super) id: u128,
    /// Number of the method's row; a number without a row for what is no method, such as a call that the edge refused.
    pub(super) method: usize,
    /// Who asked; empty: nobody that is known.
    pub(super) organisation: &'a str,
}

impl<'a> Line<'a> {
    /// Reads an event. None: it has no name or no time.
    pub(super) fn read(event: &'a v1::Event) -> Option<Self> {
        let at = moment(event.time.as_ref()?)?;
        let id = event.name.strip_prefix("events/")?.parse::<uuid::Uuid>().ok()?.as_u128();
        let method = METHODS.iter().position(|method| method.name == event.method);
        let (micros, day) = (micros(at), super::day::local(at));
        let method = method.unwrap_or(usize::MAX);
        Some(Self { event, at, micros, day, id, method, organisation: oin_of(&event.organisation) })
    }

    /// `Service/Method`.
    pub(super) fn method(&self) -> &'static str {
        method_name(self.method)
    }

    /// Whether it was done.
    pub(super) fn is_allowed(&self) -> bool {
        self.event.outcome() == v1::Outcome::Allowed
    }

    /// Whether it was not allowed.
    pub(super) fn is_refused(&self) -> bool {
        self.event.outcome() == v1::Outcome::Refused
    }

    /// The article; 0: none.
    pub(super) fn article(&self) -> u8 {
        self.event.article.parse().unwrap_or(0)
    }

    /// Categories asked or moved.
    pub(super) fn categories(&self) -> impl Iterator<Item = Category> {
        self.event.categories.iter().filter_map(|number| Category::from_number(*number))
    }

    /// Whether a group of it was erased.
    pub(super) fn has_lost(&self, group: &str) -> bool {
        self.event.erased.iter().any(|lost| lost == group)
    }

    /// Whether something was done in a case that does not show: it was erased, or the reader's organisation has no name for it.
    pub(super) fn hides_case(&self) -> bool {
        let method = self.method();
        let in_cases = ["Cases/", "Consents/", "Records/"].iter().any(|service| method.starts_with(service))
            && !matches!(method, "Cases/ListCases" | "Records/StreamSealRequests");
        // Under these articles there may be no case to show (covenant, clause A8).
        let needs_case = !matches!(self.article(), 9 | 20 | 31 | 32 | 36);
        in_cases && self.is_allowed() && self.event.case.is_empty() && (needs_case || self.has_lost("case"))
    }

    /// OINs that got something.
    pub(super) fn recipients(&self) -> impl Iterator<Item = &'a str> {
        self.event.recipients.iter().map(|name| oin_of(name))
    }
}

/// `Service/Method` of a row of the method table; a dash for what has none.
pub(super) fn method_name(row: usize) -> &'static str {
    METHODS.get(row).map_or("–", |method| method.name.strip_prefix("sluis.v1.").unwrap_or(method.name))
}

/// The name of an event with this UUID.
pub(super) fn event_name(id: u128) -> String {
    format!("events/{}", uuid::Uuid::from_u128(id))
}
