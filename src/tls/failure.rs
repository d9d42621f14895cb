//! Why a connection did not come about: a closed list, counted, and never the peer's own words.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::Error;

use crate::reason::Reason;
use crate::trust::Fault;

/// Why a connection did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The operating system gave no connection, as when file descriptors run out.
    Accept,
    /// As many connections as are allowed, in all or for this partner.
    Full,
    /// More connections from one address than it may open at a time or in a second.
    Crowded,
    /// The handshake took too long.
    Timeout,
    /// The peer went away.
    Closed,
    /// No common version, cipher or protocol: TLS 1.2, or not HTTP/2.
    Incompatible,
    /// The peer refused our certificate.
    PeerRefused,
    /// Anything else that is not TLS as it should be.
    Protocol,
    /// The peer's certificate.
    Certificate(Fault),
}

/// Those that are not the certificate's.
const OTHERS: [Failure; 8] = [
    Failure::Accept,
    Failure::Full,
    Failure::Crowded,
    Failure::Timeout,
    Failure::Closed,
    Failure::Incompatible,
    Failure::PeerRefused,
    Failure::Protocol,
];

impl Failure {
    /// Every failure.
    pub fn all() -> impl Iterator<Item = Self> {
        OTHERS.into_iter().chain(Fault::ALL.iter().copied().map(Self::Certificate))
    }

    /// The word in logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Full => "full",
            Self::Crowded => "crowded",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Incompatible => "incompatible",
            Self::PeerRefused => "peer_refused",
            Self::Protocol => "protocol",
            Self::Certificate(fault) => fault.code(),
        }
    }

    /// The reason code, where a certificate or an address was at fault.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Certificate(fault) => Some(fault.reason()),
            Self::Crowded => Some(Reason::RateLimited),
            _ => None,
        }
    }

    /// From a failed handshake of which the certificate, if one was shown, was believed.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error),
            None => Self::Closed,
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::Certificate(Fault::NoCertificate),
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::AlertReceived(_) => Self::PeerRefused,
            Error::FailedToGetCurrentTime => Self::Certificate(Fault::Clock),
            // The certificate was believed, and whoever showed it does not hold its key.
            Error::InvalidCertificate(rustls::CertificateError::BadSignature) => Self::Certificate(Fault::BadSignature),
            // A chain in which not even a length is right does not come to be judged.
            Error::InvalidCertificate(_) => Self::Certificate(Fault::Malformed),
            _ => Self::Protocol,
        }
    }

    fn index(self) -> usize {
        Self::all().position(|one| one == self).unwrap_or_default()
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Certificate(fault)
    }
}

/// How often each failure happened since the start.
pub struct Failures(Vec<AtomicU64>);

impl Default for Failures {
    fn default() -> Self {
        Self(Failure::all().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Failures {
    /// How often this failure happened.
    pub fn get(&self, failure: Failure) -> u64 {
        self.0.get(failure.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Counts and logs one failure. Nothing that the peer sent is logged, and not its address either.
    pub(super) fn record(&self, failure: Failure) {
        let Some(count) = self.0.get(failure.index()) else { return };
        let so_far = count.fetch_add(1, Ordering::Relaxed) + 1;
        // The first of its kind, the second, the fourth, the eighth: an operator sees it, a flood does not fill the log.
        if so_far.is_power_of_two() {
            tracing::warn!(failure = failure.code(), so_far, "connection refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_own_counter_and_code() {
        let failures = Failures::default();
        for failure in Failure::all() {
            assert_eq!(failures.get(failure), 0, "{}", failure.code());
            failures.record(failure);
            assert_eq!(failures.get(failure), 1);
            assert_eq!(Failure::all().filter(|other| other.code() == failure.code()).count(), 1);
        }
    }
}
