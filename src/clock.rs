//! The time of day, asked in one place, so that tests and the demo network can move it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use time::{Duration, OffsetDateTime};

/// Tells what time it is, in UTC.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> OffsetDateTime;

    /// What the clock of the machine shows, where this one was moved or does not believe it.
    fn machine(&self) -> OffsetDateTime {
        self.now()
    }

    /// By how many seconds the clock of the machine jumped; `None` while it can be believed.
    fn jumped(&self) -> Option<i64> {
        None
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// A jump that is believed at once, in microseconds: what time servers correct, and no more than that.
const BELIEVED: i64 = 60_000_000;
/// Two readings that are no further apart than this show the same jump, in microseconds.
const SAME: i64 = 1_000_000;
/// A clock that stands elsewhere for this long is believed: a machine that was suspended wakes up to another time.
const SETTLES: std::time::Duration = std::time::Duration::from_secs(60);

/// The machine's clock, held against the time that has passed. Who sets it an hour ahead has not made an hour pass: nothing
/// expires, nothing is forgotten, and time goes on from where it was until the clock is back, or has settled. Small steps
/// back make it stand still for a moment: it never runs backwards unless a jump back has settled.
pub struct SteadyClock {
    base: Arc<dyn Clock>,
    start: Instant,
    /// Where the clock stood at `start`, by what is believed now. Microseconds, as all that follow.
    origin: AtomicI64,
    /// The last time that was told.
    told: AtomicI64,
    /// Another origin that the clock shows, and since when.
    doubt: Mutex<Option<(i64, Instant)>>,
    /// Whether there is one: who believes the clock takes no lock.
    doubts: AtomicBool,
    settles: std::time::Duration,
}

impl SteadyClock {
    /// Believes what `base` shows now.
    pub fn new(base: Arc<dyn Clock>) -> Self {
        let origin = AtomicI64::new(micros(base.now()));
        let (start, told, doubt) = (Instant::now(), AtomicI64::new(i64::MIN), Mutex::default());
        Self { base, start, origin, told, doubt, doubts: AtomicBool::new(false), settles: SETTLES }
    }

    /// What the base shows, where it would have stood at the start by that, and how far that is from what is believed.
    fn look(&self) -> (i64, i64, i64) {
        let passed = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        let shown = micros(self.base.now());
        let origin = shown.saturating_sub(passed);
        (shown, origin, origin.saturating_sub(self.origin.load(Ordering::SeqCst)))
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> OffsetDateTime {
        let (shown, _, apart) = self.look();
        let now = if within(apart, BELIEVED) { shown } else { shown.saturating_sub(apart) };
        from_micros(self.told.fetch_max(now, Ordering::SeqCst).max(now))
    }

    fn machine(&self) -> OffsetDateTime {
        self.base.now()
    }

    fn jumped(&self) -> Option<i64> {
        let (_, origin, apart) = self.look();
        if within(apart, BELIEVED) && !self.doubts.load(Ordering::SeqCst) {
            self.origin.store(origin, Ordering::SeqCst);
            return None;
        }
        let mut doubt = self.doubt.lock().unwrap_or_else(PoisonError::into_inner);
        let (shown, origin, apart) = self.look();
        let has_settled = match *doubt {
            Some((other, since)) if within(other.saturating_sub(origin), SAME) => since.elapsed() >= self.settles,
            _ => {
                *doubt = Some((origin, Instant::now()));
                false
            }
        };
        let is_believed = within(apart, BELIEVED) || has_settled;
        if is_believed {
            *doubt = None;
            self.origin.store(origin, Ordering::SeqCst);
        }
        if has_settled {
            self.told.store(shown, Ordering::SeqCst);
        }
        self.doubts.store(!is_believed, Ordering::SeqCst);
        (!is_believed).then_some(apart / 1_000_000)
    }
}

fn within(apart: i64, bound: i64) -> bool {
    apart.unsigned_abs() <= bound.unsigned_abs()
}

/// A clock that runs ahead of another one by an amount that only grows (demo networks, `Simulation.AdvanceClock`).
pub struct ShiftedClock {
    base: Arc<dyn Clock>,
    ahead_seconds: AtomicU64,
}

impl ShiftedClock {
    /// A clock that still shows what `base` shows.
    pub fn new(base: Arc<dyn Clock>) -> Self {
        Self { base, ahead_seconds: AtomicU64::new(0) }
    }

    /// Moves the clock forward by whole seconds and returns the new time. A negative or zero `by` changes nothing: what
    /// has expired must not come back.
    pub fn forward(&self, by: Duration) -> OffsetDateTime {
        let seconds = u64::try_from(by.whole_seconds()).unwrap_or(0);
        self.ahead_seconds.fetch_add(seconds, Ordering::SeqCst);
        self.now()
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> OffsetDateTime {
        let ahead = i64::try_from(self.ahead_seconds.load(Ordering::SeqCst)).unwrap_or(i64::MAX);
        self.base.now().saturating_add(Duration::seconds(ahead))
    }

    fn machine(&self) -> OffsetDateTime {
        self.base.machine()
    }

    fn jumped(&self) -> Option<i64> {
        self.base.jumped()
    }
}

/// A moment as the store keeps it: microseconds since 1970, UTC. The store's range ends long after time does.
pub fn micros(at: OffsetDateTime) -> i64 {
    let bound = if at < OffsetDateTime::UNIX_EPOCH { i64::MIN } else { i64::MAX };
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(bound)
}

/// The moment that the store kept. Out of range becomes 1970: long ago, so whatever hangs on it has expired.
pub fn from_micros(micros: i64) -> OffsetDateTime {
    let nanos = i128::from(micros) * 1000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The machine's clock for the TLS library.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsClock;

impl rustls::time_provider::TimeProvider for TlsClock {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        let seconds = u64::try_from(SystemClock.now().unix_timestamp()).ok()?;
        Some(rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> OffsetDateTime {
            OffsetDateTime::UNIX_EPOCH
        }
    }

    #[test]
    fn stored_moments_read_back() {
        let at = OffsetDateTime::UNIX_EPOCH + Duration::microseconds(1_700_000_000_123_456);
        assert_eq!(from_micros(micros(at)), at);
        assert_eq!(micros(OffsetDateTime::UNIX_EPOCH - Duration::SECOND), -1_000_000);
    }

    /// The clock of a machine that somebody sets.
    #[derive(Default)]
    pub(crate) struct Set(AtomicI64);

    impl Set {
        /// So many seconds from the true time.
        pub(crate) fn to(&self, seconds: i64) {
            self.0.store(seconds, Ordering::SeqCst);
        }
    }

    impl Clock for Set {
        fn now(&self) -> OffsetDateTime {
            SystemClock.now() + Duration::seconds(self.0.load(Ordering::SeqCst))
        }
    }

    fn steady(settles: std::time::Duration) -> (Arc<Set>, SteadyClock) {
        let set = Arc::new(Set::default());
        let base = Arc::clone(&set) as Arc<dyn Clock>;
        (set, SteadyClock { settles, ..SteadyClock::new(base) })
    }

    /// Seconds from the true time to this one, a moment later.
    fn ahead(at: OffsetDateTime) -> i64 {
        i64::try_from(((at - SystemClock.now()).whole_milliseconds() + 500).div_euclid(1000)).unwrap()
    }

    #[test]
    fn a_jump_is_not_believed_and_time_goes_on() {
        let (set, clock) = steady(SETTLES);
        for jump in [3600, -3600, 86_400 * 400, 61, -61] {
            set.to(jump);
            assert!(clock.jumped().is_some_and(|by| (by - jump).abs() <= 1), "{jump}");
            assert_eq!(ahead(clock.now()), 0, "{jump}");
            assert!((ahead(clock.machine()) - jump).abs() <= 1);
            set.to(0);
            assert_eq!((clock.jumped(), ahead(clock.now())), (None, 0), "{jump}");
        }
    }

    #[test]
    fn small_steps_are_followed_and_never_backwards() {
        let (set, clock) = steady(SETTLES);
        let mut last = clock.now();
        for step in [5, 55, 20, -30, 25] {
            set.to(step);
            assert_eq!(clock.jumped(), None, "{step}");
            assert!(clock.now() >= last, "{step}");
            last = clock.now();
        }
        assert_eq!(ahead(clock.now()), 55);
    }

    #[test]
    fn a_jump_that_stays_is_believed_in_the_end() {
        let (set, clock) = steady(std::time::Duration::ZERO);
        for jump in [7200, -7200] {
            set.to(jump);
            assert!(clock.jumped().is_some());
            assert_eq!((clock.jumped(), ahead(clock.now())), (None, jump));
        }
        // One that goes on jumping is not.
        for jump in 1..5 {
            set.to(jump * 3600);
            assert!(clock.jumped().is_some());
        }
    }

    #[test]
    fn moves_forward_only() {
        let clock = ShiftedClock::new(Arc::new(Fixed));
        assert_eq!(clock.now(), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(clock.forward(Duration::hours(2)), OffsetDateTime::UNIX_EPOCH + Duration::hours(2));
        assert_eq!(clock.forward(Duration::hours(-1)), OffsetDateTime::UNIX_EPOCH + Duration::hours(2));
        assert_eq!(clock.forward(Duration::days(1)), OffsetDateTime::UNIX_EPOCH + Duration::hours(26));
    }
}
