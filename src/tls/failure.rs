//! Why a connection did not come about: a closed list, counted, and never the peer's own words.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{CertificateError as TlsCertificateError, Error};

use crate::identity::CertificateError;
use crate::reason::Reason;

macro_rules! failures {
    ($($(#[$doc:meta])* $variant:ident = $code:literal),+ $(,)?) => {
        /// Why a connection did not come about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Failure { $($(#[$doc])* $variant),+ }

        impl Failure {
            /// Every failure, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in logs and metrics.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }

        /// How often each failure happened since the start.
        #[derive(Default)]
        pub struct Failures([AtomicU64; [$(Failure::$variant),+].len()]);
    };
}

failures! {
    /// The operating system gave no connection, as when file descriptors run out.
    Accept = "accept",
    /// As many connections as are allowed, in all or for this partner.
    Full = "full",
    /// The handshake took too long.
    Timeout = "timeout",
    /// The peer went away.
    Closed = "closed",
    /// No common version, cipher or protocol: TLS 1.2, or not HTTP/2.
    Incompatible = "incompatible",
    /// The peer showed no certificate.
    NoCertificate = "no_certificate",
    /// The chain does not lead to an anchor.
    Untrusted = "untrusted",
    /// Not valid now.
    Expired = "expired",
    /// On a CRL.
    Revoked = "revoked",
    /// No CRL, or one that is past its next update.
    CrlStale = "crl_stale",
    /// Wrong purpose, policy or environment.
    Policy = "policy",
    /// No OIN.
    OinMissing = "oin_missing",
    /// The peer refused our certificate.
    PeerRefused = "peer_refused",
    /// Anything else that is not TLS as it should be.
    Protocol = "protocol",
    /// Our own clock gives no time.
    Clock = "clock",
}

impl Failure {
    /// The reason code, where the certificate was at fault.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::NoCertificate | Self::Untrusted => Some(Reason::CertUntrusted),
            Self::Expired => Some(Reason::CertExpired),
            Self::Revoked => Some(Reason::CertRevoked),
            Self::CrlStale => Some(Reason::CrlStale),
            Self::Policy => Some(Reason::CertPolicy),
            Self::OinMissing => Some(Reason::OinMissing),
            Self::Accept | Self::Full | Self::Timeout | Self::Closed | Self::Incompatible => None,
            Self::PeerRefused | Self::Protocol | Self::Clock => None,
        }
    }

    /// From a failed handshake.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error),
            None => Self::Closed,
        }
    }

    /// From the TLS library's verdict.
    pub(super) fn of_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::InvalidCertRevocationList(_) => Self::CrlStale,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::AlertReceived(_) => Self::PeerRefused,
            Error::FailedToGetCurrentTime => Self::Clock,
            _ => Self::Protocol,
        }
    }

    fn of_certificate(error: &TlsCertificateError) -> Self {
        use TlsCertificateError as E;
        match error {
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => Self::Expired,
            E::Revoked => Self::Revoked,
            E::UnknownRevocationStatus | E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
                Self::CrlStale
            }
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::Policy,
            _ => Self::Untrusted,
        }
    }
}

impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::Malformed => Self::Untrusted,
            E::NotYetValid | E::Expired => Self::Expired,
            E::NoClientAuth | E::PolicyNotAllowed | E::TestOin => Self::Policy,
            E::NoOin | E::SeveralOins | E::WrongOin => Self::OinMissing,
        }
    }
}

impl Failures {
    /// How often this failure happened.
    pub fn get(&self, failure: Failure) -> u64 {
        self.0.get(failure as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Counts and logs one failure. Nothing that the peer sent is logged, and not its address either.
    pub(super) fn record(&self, failure: Failure) {
        let Some(count) = self.0.get(failure as usize) else { return };
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
        for failure in Failure::ALL {
            assert_eq!(failures.get(*failure), 0, "{}", failure.code());
            failures.record(*failure);
            assert_eq!(failures.get(*failure), 1);
            assert_eq!(Failure::ALL.iter().filter(|other| other.code() == failure.code()).count(), 1);
        }
    }

    #[test]
    fn verdicts_of_the_library_keep_their_meaning() {
        use TlsCertificateError as E;
        let of = |error| Failure::of_tls(&Error::InvalidCertificate(error));
        let cases = [
            (of(E::Revoked), Some(Reason::CertRevoked)),
            (of(E::ExpiredRevocationList), Some(Reason::CrlStale)),
            (of(E::UnknownRevocationStatus), Some(Reason::CrlStale)),
            (of(E::NotValidYet), Some(Reason::CertExpired)),
            (of(E::UnknownIssuer), Some(Reason::CertUntrusted)),
            (of(E::InvalidPurpose), Some(Reason::CertPolicy)),
            (Failure::of_tls(&Error::DecryptError), None),
        ];
        for (failure, reason) in cases {
            assert_eq!(failure.reason(), reason, "{}", failure.code());
        }
    }
}
