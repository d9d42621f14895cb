//! The time of day, asked in one place, so that tests and the demo network can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use time::{Duration, OffsetDateTime};

/// Tells what time it is, in UTC.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> OffsetDateTime;
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
mod tests {
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

    #[test]
    fn moves_forward_only() {
        let clock = ShiftedClock::new(Arc::new(Fixed));
        assert_eq!(clock.now(), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(clock.forward(Duration::hours(2)), OffsetDateTime::UNIX_EPOCH + Duration::hours(2));
        assert_eq!(clock.forward(Duration::hours(-1)), OffsetDateTime::UNIX_EPOCH + Duration::hours(2));
        assert_eq!(clock.forward(Duration::days(1)), OffsetDateTime::UNIX_EPOCH + Duration::hours(26));
    }
}
