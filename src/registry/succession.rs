//! Who leaves, and who takes somebody's place: a merger and a new OIN are the same thing.

use time::OffsetDateTime;

use super::{Entry, Registry};
use crate::clock::from_micros;
use crate::party::{Oin, PartnerStatus};
use crate::store::StoreError;
use crate::store::succession::SuccessionRow;

/// Who takes a partner's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succession {
    /// The other partner.
    pub successor: Oin,
    /// From when on.
    pub effective: OffsetDateTime,
    /// Its roles outside any case were given over.
    pub settled: bool,
}

impl Succession {
    pub(super) fn read(row: &SuccessionRow) -> Result<(Oin, Self), StoreError> {
        let bad = |_| StoreError::Inconsistent("succession");
        let (oin, successor) = (row.oin.parse().map_err(bad)?, row.successor.parse().map_err(bad)?);
        Ok((oin, Self { successor, effective: from_micros(row.effective_at), settled: row.settled_at.is_some() }))
    }
}

impl Succession {
    /// Whether the place was taken no later than the one that goes left, if it has: one that is named afterwards gets cases that nobody
    /// holds, and nothing else.
    pub fn in_time(&self, left: Option<OffsetDateTime>) -> bool {
        left.is_none_or(|left| self.effective <= left)
    }
}

impl Entry {
    /// Active, within its time, and its place not taken by another: may begin something, and be given something.
    pub fn takes_part(&self, now: OffsetDateTime) -> bool {
        self.is_member(now) && !self.is_succeeded(now)
    }

    /// Active, and within its time. Somebody who is succeeded stays one for a while, to finish what only it can do.
    pub fn is_member(&self, now: OffsetDateTime) -> bool {
        self.partner.status == PartnerStatus::Active && self.partner.effective_from <= now && self.left(now).is_none()
    }

    /// Whether its place is taken by now.
    pub fn is_succeeded(&self, now: OffsetDateTime) -> bool {
        self.succession.as_ref().is_some_and(|succession| succession.effective <= now)
    }

    /// When its membership ended, if it has.
    pub fn left(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let gone = |at: &OffsetDateTime| *at <= now || self.partner.status == PartnerStatus::Withdrawn;
        self.partner.withdrawn_at.filter(gone)
    }
}

impl Registry {
    /// Who sits in an organisation's place now: itself, or the last of those who took it one after another.
    pub fn heir<'r>(&'r self, oin: &'r Oin, now: OffsetDateTime) -> &'r Oin {
        let mut heir = oin;
        // A guard against a circle, which no operator can make.
        for _ in 0..self.partners.len() {
            let entry = self.partners.get(heir).filter(|entry| entry.is_succeeded(now));
            match entry.and_then(|entry| entry.succession.as_ref()) {
                Some(succession) => heir = &succession.successor,
                None => break,
            }
        }
        heir
    }

    /// Who took an organisation's place by now, one after another; the last is its heir.
    pub fn line<'r>(&'r self, oin: &'r Oin, now: OffsetDateTime) -> Vec<&'r Oin> {
        let (heir, mut at, mut line) = (self.heir(oin, now), oin, Vec::new());
        while at != heir && line.len() < self.partners.len() {
            let Some(by) = self.partners.get(at).and_then(|entry| entry.succession.as_ref()) else { break };
            at = &by.successor;
            line.push(at);
        }
        line
    }

    /// In whose place an organisation sits now, as far as they have not left.
    pub fn predecessors<'r>(&'r self, heir: &'r Oin, now: OffsetDateTime) -> impl Iterator<Item = &'r Oin> {
        let theirs = move |oin: &Oin, entry: &Entry| oin != heir && entry.left(now).is_none();
        self.partners
            .iter()
            .filter(move |(oin, entry)| theirs(oin, entry) && self.heir(oin, now) == heir)
            .map(|(oin, _)| oin)
    }

    /// Whether one organisation's place comes to another, now or later, over however many.
    pub fn leads_to(&self, from: &Oin, to: &Oin) -> bool {
        let mut at = from;
        for _ in 0..=self.partners.len() {
            if at == to {
                return true;
            }
            match self.partners.get(at).and_then(|entry| entry.succession.as_ref()) {
                Some(succession) => at = &succession.successor,
                None => return false,
            }
        }
        true
    }

    /// The next moment after `now` at which somebody leaves or is succeeded.
    pub fn next_change(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let moments = self.partners.values().flat_map(|entry| {
            let effective = entry.succession.as_ref().map(|succession| succession.effective);
            [effective, entry.partner.withdrawn_at]
        });
        moments.flatten().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::clock::micros;
    use crate::store::registry::{PartnerRow, Rows};

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const OINS: [&str; 4] =
        ["00000099100001410000", "00000099100001420000", "00000099100001430000", "00000099100001440000"];

    /// Status, hours from now at which it leaves, and the place of who succeeds it and in how many hours.
    type Stands = (&'static str, Option<i64>, Option<(usize, i64)>);

    fn registry(partners: [Stands; 4]) -> Registry {
        let at = |hours: i64| micros(NOW + Duration::hours(hours));
        let mut rows = Rows::default();
        for (oin, (status, leaves, succeeded)) in OINS.into_iter().zip(partners) {
            rows.partners.push(PartnerRow {
                oin: oin.to_owned(),
                display_name: String::new(),
                kind: "gemeente".to_owned(),
                status: status.to_owned(),
                standing_roles: String::new(),
                effective_at: 0,
                withdrawn_at: leaves.map(at),
                accepted_covenant: 1,
            });
            rows.successions.extend(succeeded.map(|(by, hours)| SuccessionRow {
                oin: oin.to_owned(),
                successor: OINS[by].to_owned(),
                effective_at: at(hours),
                settled_at: None,
            }));
        }
        Registry::from_rows(rows).unwrap()
    }

    #[test]
    fn who_is_succeeded_is_a_member_without_a_part_until_it_leaves() {
        for (status, leaves, succeeded, member, part, left) in [
            ("active", None, None, true, true, false),
            ("active", Some(1), None, true, true, false),
            ("active", Some(0), None, false, false, true),
            ("active", Some(9), Some((1, 1)), true, true, false),
            ("active", Some(9), Some((1, 0)), true, false, false),
            ("active", Some(-1), Some((1, -2)), false, false, true),
            ("suspended", None, None, false, false, false),
            ("suspended", Some(-1), None, false, false, true),
            ("withdrawn", Some(-1), None, false, false, true),
        ] {
            let none = ("active", None, None);
            let registry = registry([(status, leaves, succeeded), none, none, none]);
            let entry = registry.get(&OINS[0].parse().unwrap()).unwrap();
            let found = (entry.is_member(NOW), entry.takes_part(NOW), entry.left(NOW).is_some());
            assert_eq!(found, (member, part, left), "{status} {leaves:?} {succeeded:?}");
        }
    }

    #[test]
    fn a_place_is_handed_on_as_far_as_it_is_taken_by_now() {
        let registry = registry([
            ("active", Some(3), Some((1, -2))),
            ("active", None, Some((2, 0))),
            ("active", None, Some((3, 1))),
            ("active", None, None),
        ]);
        let [a, b, c, d] = OINS.map(|oin| oin.parse::<Oin>().unwrap());
        for (from, hours, to) in [(&a, -3, &a), (&a, -1, &b), (&a, 0, &c), (&a, 1, &d), (&b, 0, &c), (&c, 0, &c)] {
            assert_eq!(registry.heir(from, NOW + Duration::hours(hours)), to, "{from} {hours}");
            let line = registry.line(from, NOW + Duration::hours(hours));
            assert_eq!(line.last().copied().unwrap_or(from), to, "{from} {hours}");
        }
        assert_eq!(registry.line(&a, NOW), [&b, &c]);
        let sits = |oin, hours| {
            let mut of: Vec<_> = registry.predecessors(oin, NOW + Duration::hours(hours)).collect();
            of.sort();
            of
        };
        for (heir, hours, of) in [
            (&b, -1, vec![&a]),
            (&b, 0, vec![]),
            (&c, 0, vec![&a, &b]),
            (&d, 1, vec![&a, &b, &c]),
            (&d, 3, vec![&b, &c]),
        ] {
            assert_eq!(sits(heir, hours), of, "{heir} {hours}");
        }
        for (from, to, leads) in [(&a, &d, true), (&a, &a, true), (&b, &a, false), (&d, &a, false)] {
            assert_eq!(registry.leads_to(from, to), leads, "{from} {to}");
        }
        assert_eq!(registry.next_change(NOW), Some(NOW + Duration::hours(1)));
        assert_eq!(registry.next_change(NOW + Duration::hours(1)), Some(NOW + Duration::hours(3)));
        assert_eq!(registry.next_change(NOW + Duration::hours(3)), None);
    }
}
