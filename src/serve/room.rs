//! Bounds on what is under way at one time, over all and per holder of a certificate. No lock and no queue: two counters,
//! and whoever finds no place is told so at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::tls::Load;

/// Room for so many at a time.
pub(crate) struct Room {
    most: AtomicUsize,
    taken: AtomicUsize,
    counter: fn(&Load) -> &AtomicUsize,
}

/// A place in a [`Room`]; dropping it gives it back.
pub(crate) struct Place {
    room: Arc<Room>,
    load: Arc<Load>,
    size: usize,
}

impl Room {
    /// For calls.
    pub(crate) fn for_calls(most: usize) -> Arc<Self> {
        Arc::new(Self { most: AtomicUsize::new(most), taken: AtomicUsize::new(0), counter: |load| &load.calls })
    }

    /// For streams that wait.
    pub(crate) fn for_streams(most: usize) -> Arc<Self> {
        Arc::new(Self { most: AtomicUsize::new(most), taken: AtomicUsize::new(0), counter: |load| &load.streams })
    }

    /// Room for another number from now on. Whoever is in stays in.
    pub(crate) fn resize(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// A place of this size for a holder who may have `per_holder` at a time, and never more than are still free: the
    /// fuller the room, the less one holder gets, so that those who press in share it and a newcomer still finds a place.
    pub(crate) fn enter(self: &Arc<Self>, load: &Arc<Load>, per_holder: usize, size: usize) -> Option<Place> {
        let size = size.min(per_holder);
        let taken = self.taken.fetch_add(size, Ordering::Relaxed);
        let own = (self.counter)(load).fetch_add(size, Ordering::Relaxed);
        // From here on whatever was counted is given back, also when there is no place.
        let place = Place { room: Arc::clone(self), load: Arc::clone(load), size };
        let free = self.most.load(Ordering::Relaxed).saturating_sub(taken);
        (own + size <= per_holder.min(free)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.room.counter)(&self.load).fetch_sub(self.size, Ordering::Relaxed);
        self.room.taken.fetch_sub(self.size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(room: &Arc<Room>, load: &Arc<Load>, per_holder: usize) -> Vec<Place> {
        std::iter::from_fn(|| room.enter(load, per_holder, 1)).collect()
    }

    #[test]
    fn a_holder_has_its_own_bound_and_gets_its_places_back() {
        let room = Room::for_calls(100);
        let (one, other) = (Arc::default(), Arc::default());
        let places = fill(&room, &one, 10);
        assert_eq!(places.len(), 10);
        assert!(room.enter(&other, 10, 1).is_some(), "another is not concerned");
        drop(places);
        assert_eq!(fill(&room, &one, 10).len(), 10);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
        assert_eq!(one.calls.load(Ordering::Relaxed), 0);
        assert_eq!(one.streams.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn those_who_press_in_share_and_leave_a_share_free() {
        let room = Room::for_streams(100);
        let mut holders: Vec<(Arc<Load>, Vec<Place>)> = (0..9).map(|_| Default::default()).collect();
        for _ in 0..200 {
            for (load, places) in &mut holders {
                // One call ends, and the holder has more waiting than it can get in.
                places.pop();
                places.extend(fill(&room, load, 60));
            }
        }
        let shares: Vec<usize> = holders.iter().map(|(_, places)| places.len()).collect();
        assert!(shares.iter().all(|share| (8..=12).contains(share)), "{shares:?}");
        assert!(fill(&room, &Arc::default(), 60).len() >= 3, "and a newcomer is let in at once");
    }

    #[test]
    fn what_is_large_takes_more_and_is_never_shut_out() {
        let room = Room::for_calls(100);
        let load = Arc::default();
        let held: Vec<_> = std::iter::from_fn(|| room.enter(&load, 10, 4)).collect();
        assert_eq!(held.len(), 2);
        drop(held);
        assert!(room.enter(&load, 2, 4).is_some(), "a bound smaller than one such call lets one in");
    }

    #[test]
    fn many_threads_never_pass_the_bound() {
        let room = Room::for_calls(64);
        let load = Arc::new(Load::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let place = room.enter(&load, 3, 1);
                        // Those that found no place are counted for a moment: four threads, one each at most.
                        assert!(place.is_none() || load.calls.load(Ordering::Relaxed) <= 3 + 3);
                    }
                });
            }
        });
        assert_eq!(load.calls.load(Ordering::Relaxed), 0);
    }
}
