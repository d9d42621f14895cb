//! The entries of a copy of the log, once it is verified: whether an event stands there, what was erased and said so, and whether
//! a clock went back.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use uuid::Uuid;

use super::{AuditError, Say};
use crate::api::v1;
use crate::audit::Erasures;
use crate::audit::read::clear;
use crate::tlog::{Resource, entries};

/// An event that was written so long before the newest entry stands in the log, or never will: microseconds.
const MERGED: i64 = 60_000_000;

/// What a copy's entries say.
#[derive(Default)]
pub(super) struct Entries {
    places: HashMap<u128, u64>,
    newest: i64,
    pub(super) erasures: Erasures,
}

impl Entries {
    /// Reads the entries of a copy that was verified; nothing if they are not all there.
    pub(super) fn read(dir: &Path, size: u64, out: &mut Say<'_>) -> Result<Option<Self>, AuditError> {
        let mut read = Self::default();
        let mut place = 0;
        for (_, bundle) in Resource::leaves(size) {
            let file = super::files::at(dir, &bundle);
            let bytes = match std::fs::read(&file) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(AuditError::File(file, error)),
            };
            for leaf in entries(&bytes).unwrap_or_default() {
                read.entry(place, leaf);
                place += 1;
            }
            out.progress(place, "entries read");
        }
        Ok((place == size).then_some(read))
    }

    fn entry(&mut self, place: u64, leaf: &[u8]) {
        // What this version can't read is an entry, and of no event that it could be asked about.
        let Some(clear) = clear(leaf) else { return };
        if let Ok(id) = Uuid::try_parse(&clear.id) {
            self.places.entry(id.as_u128()).or_insert(place);
        }
        self.newest = self.newest.max(clear.at);
        self.erasures.add(leaf);
    }
}

/// Events, held against a copy.
pub(super) struct Held {
    entries: Entries,
    missing: u64,
    /// By node: place in the log and time.
    clocks: BTreeMap<String, Vec<(u64, i64)>>,
}

impl Held {
    pub(super) const fn new(entries: Entries) -> Self {
        Self { entries, missing: 0, clocks: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, event: &v1::Event) {
        let at = event.time.as_ref().and_then(crate::wire::moment).map_or(i64::MIN, crate::clock::micros);
        let id = event.name.strip_prefix("events/").and_then(|id| Uuid::try_parse(id).ok());
        match id.and_then(|id| self.entries.places.get(&id.as_u128())) {
            Some(place) if !event.node.is_empty() => {
                // A name that is there already is not made again for each of a million events.
                match self.clocks.get_mut(&event.node) {
                    Some(clocks) => clocks.push((*place, at)),
                    None => drop(self.clocks.insert(event.node.clone(), vec![(*place, at)])),
                }
            }
            Some(_) => {}
            None => self.missing += u64::from(at < self.entries.newest.saturating_sub(MERGED)),
        }
    }

    /// Events that should stand in the copy and do not.
    pub(super) const fn missing(&self) -> u64 {
        self.missing
    }

    /// The largest step back in time between two entries of one node, in whole seconds.
    pub(super) fn back_seconds(&mut self) -> u64 {
        let mut back = 0;
        for clocks in self.clocks.values_mut() {
            clocks.sort_unstable();
            let mut latest = i64::MIN;
            for (_, at) in clocks {
                latest = latest.max(*at);
                back = back.max(latest.saturating_sub(*at));
            }
        }
        u64::try_from(back / 1_000_000).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::mark_of;
    use crate::wire::timestamp;

    /// An entry, as it is read: version 1.
    fn leaf(id: u128, at: i64, erases: &str) -> Vec<u8> {
        let id = Uuid::from_u128(id);
        let method = if erases.is_empty() { "sluis.v1.Cases/GetCase" } else { "sluis.v1.Audit/EraseEvents" };
        format!(
            r#"{{"_sd":[],"act":"R","article":0,"at":{at},"clauses":[],"covenant":1{erases},"id":"{id}","method":"{method}","out":"allowed","purpose":"","req":"","src":"","v":1}}"#
        )
        .into_bytes()
    }

    fn event(id: u128, at: i64, node: &str) -> v1::Event {
        v1::Event {
            name: format!("events/{}", Uuid::from_u128(id)),
            time: Some(timestamp(crate::clock::from_micros(at))),
            node: node.to_owned(),
            ..v1::Event::default()
        }
    }

    fn entries(leaves: &[Vec<u8>]) -> Entries {
        let mut read = Entries::default();
        (0..).zip(leaves).for_each(|(place, leaf)| read.entry(place, leaf));
        read
    }

    const SECOND: i64 = 1_000_000;

    #[test]
    fn an_event_that_is_older_than_the_newest_entry_stands_in_the_log() {
        let leaves = [leaf(1, 100 * SECOND, ""), leaf(2, 200 * SECOND, "")];
        for (id, at, missing) in [
            (1, 100, 0),
            (2, 200, 0),
            // Dropped; and what may not be merged yet.
            (3, 100, 1),
            (3, 139, 1),
            (3, 141, 0),
            (3, 300, 0),
        ] {
            let mut held = Held::new(entries(&leaves));
            held.add(&event(id, at * SECOND, "n1"));
            assert_eq!(held.missing(), missing, "{id} at {at}");
        }
    }

    #[test]
    fn a_clock_goes_back_on_one_node_in_the_order_of_the_log() {
        let leaves: Vec<_> = (1..=4).map(|id| leaf(id, 0, "")).collect();
        let back = |events: &[v1::Event]| {
            let mut held = Held::new(entries(&leaves));
            events.iter().for_each(|event| held.add(event));
            held.back_seconds()
        };
        let at = |id: u128, seconds: i64, node: &str| event(id, seconds * SECOND, node);
        assert_eq!(back(&[]), 0);
        assert_eq!(back(&[at(3, 30, "n1"), at(1, 10, "n1"), at(2, 20, "n1")]), 0, "in whatever order they come");
        assert_eq!(back(&[at(1, 10, "n1"), at(2, 30, "n1"), at(3, 29, "n1"), at(4, 23, "n1")]), 7, "from the latest");
        assert_eq!(back(&[at(1, 30, "n1"), at(2, 10, "n2")]), 0, "another node's clock is another clock");
        assert_eq!(back(&[at(1, 30, ""), at(2, 10, "")]), 0, "erased: nobody knows which node it was");
    }

    #[test]
    fn erasures_are_read_from_entries() {
        let erased = Uuid::from_u128(1);
        let read = entries(&[
            leaf(1, 1, ""),
            leaf(2, 2, &format!(r#","erases":{{"{}":[1,6]}}"#, mark_of(&erased.to_string()))),
        ]);
        for (place, covered) in [(1, true), (6, true), (0, false), (2, false)] {
            assert_eq!(read.erasures.covers(&erased.to_string(), place), covered, "{place}");
        }
        assert!(!read.erasures.covers(&Uuid::from_u128(2).to_string(), 1));
    }
}
