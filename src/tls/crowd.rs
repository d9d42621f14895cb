//! Who stands at the door, by address: one that opens connections faster than it shakes hands is turned away at once, so
//! that it takes nobody else's turn. Pure: the time comes as an argument.
//!
//! An address is not a partner: several may share one (NAT of a shared data centre), and none is known before its
//! certificate is. So the bounds are far above what partners need together, and whoever is past the door is not counted.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What one address may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerAddress {
    /// Handshakes at a time.
    pub handshakes: usize,
    /// New connections in a second; as many at once after a second without.
    pub per_second: u32,
}

impl Default for PerAddress {
    fn default() -> Self {
        Self { handshakes: 64, per_second: 128 }
    }
}

/// Between two alarms.
const PAUSE: Duration = Duration::from_secs(60);
/// The window of [`PerAddress::per_second`].
const SECOND: Duration = Duration::from_secs(1);

/// Everybody at the door of one listener.
#[derive(Default)]
pub(super) struct Crowd(Mutex<Addresses>);

/// A turn of one address; dropping it gives it back.
pub(super) struct Turn {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Crowd {
    /// A turn for this address, unless it has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, most: PerAddress, now: Instant) -> Option<Turn> {
        let address = group(address);
        let has_room = self.addresses().enter(address, most, now);
        has_room.then(|| Turn { crowd: Arc::clone(self), address })
    }

    /// Counts one that was turned away. How many there were since the last alarm, when another is due.
    pub(super) fn turned_away(&self, now: Instant) -> Option<u64> {
        self.addresses().alarm.count(now)
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        // A panic elsewhere leaves the map whole: each change is a single insert or a number.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.crowd.addresses().leave(self.address);
    }
}

/// What is counted as one: an IPv4 address, also in its IPv6 form; of IPv6 the /64, which is what one network is given.
pub(super) fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[derive(Default)]
struct Addresses {
    known: HashMap<IpAddr, Standing>,
    swept: Option<Instant>,
    alarm: Alarm,
}

struct Standing {
    /// Handshakes under way.
    shaking: usize,
    /// When all that it did would have been done at the pace that it may keep.
    paid_until: Instant,
}

impl Addresses {
    fn enter(&mut self, address: IpAddr, most: PerAddress, now: Instant) -> bool {
        self.sweep(now);
        let standing = self.known.entry(address).or_insert(Standing { shaking: 0, paid_until: now });
        // A bucket that holds a second's worth, told by one moment. Whoever is turned away does not pay for it.
        let paid_until = standing.paid_until.max(now) + SECOND / most.per_second.max(1);
        let has_room = standing.shaking < most.handshakes && paid_until <= now + SECOND;
        if has_room {
            standing.shaking += 1;
            standing.paid_until = paid_until;
        }
        has_room
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some(standing) = self.known.get_mut(&address) {
            standing.shaking = standing.shaking.saturating_sub(1);
        }
    }

    /// Forgets, once a second, those of whom there is nothing to remember: the map holds no more than came within two.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + SECOND) {
            return;
        }
        self.swept = Some(now);
        self.known.retain(|_, standing| standing.shaking > 0 || standing.paid_until > now);
    }
}

/// Says at once that it has begun, and once in a while that it goes on.
#[derive(Default)]
struct Alarm {
    last: Option<Instant>,
    since: u64,
}

impl Alarm {
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.last.is_some_and(|last| now < last + PAUSE) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: PerAddress = PerAddress { handshakes: 4, per_second: 10 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_counts_as_one_address() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("::1", "127.0.0.1", false),
        ] {
            assert_eq!(group(address(one)) == group(address(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn one_that_stalls_gets_its_own_turns_and_no_more() {
        let (crowd, now) = (Arc::new(Crowd::default()), Instant::now());
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let enter = |address, after| crowd.enter(address, MOST, now + Duration::from_millis(after));
        let mut stalled: Vec<Turn> = (0..2_000).filter_map(|_| enter(one, 0)).collect();
        assert_eq!(stalled.len(), MOST.handshakes);
        assert!(enter(one, 60_000).is_none(), "time alone gives nothing back");
        assert!(enter(other, 0).is_some());
        stalled.pop();
        let again = enter(one, 100);
        assert!(again.is_some() && enter(one, 100).is_none(), "one place came back");
    }

    #[test]
    fn one_that_hurries_is_held_to_its_pace() {
        let (crowd, now) = (Arc::new(Crowd::default()), Instant::now());
        let one = address("2001:db8::1");
        // Each is done at once: only the pace counts.
        let admitted = |from: u64, until: u64| {
            let tries = (from..until).filter_map(|ms| crowd.enter(one, MOST, now + Duration::from_millis(ms)));
            tries.map(drop).count()
        };
        assert_eq!(admitted(0, 1), 1);
        assert_eq!(admitted(1, 900), 17, "the rest of a second's worth at once, and then ten a second");
        assert_eq!(admitted(900, 1_900), 10);
        assert_eq!(admitted(10_000, 10_010), 10, "after a pause as many at once again");
    }

    #[test]
    fn whoever_has_gone_is_forgotten() {
        let (crowd, now) = (Arc::new(Crowd::default()), Instant::now());
        let held = crowd.enter(address("192.0.2.1"), MOST, now).unwrap();
        for last in 0..=255 {
            drop(crowd.enter(IpAddr::from([198, 51, 100, last]), MOST, now));
        }
        assert_eq!(crowd.addresses().known.len(), 257);
        drop(crowd.enter(address("192.0.2.9"), MOST, now + SECOND));
        assert_eq!(crowd.addresses().known.len(), 2, "who still shakes hands, and who came last");
        drop(held);
    }

    #[test]
    fn the_alarm_is_given_once_in_a_period() {
        let (crowd, now) = (Crowd::default(), Instant::now());
        let at = |seconds| crowd.turned_away(now + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(1));
        assert!((0..60).all(|second| at(second).is_none()));
        assert_eq!(at(60), Some(61));
        assert_eq!(at(61), None);
    }
}
