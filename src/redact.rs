//! What may stand in a log line, and what hides in one.

use std::fmt;

use tracing::field::DisplayValue;

/// A value that may stand in logs, traces and metrics: it identifies no youth and no employee (guarantee G11).
///
/// Implement it for closed vocabularies, organisations and random identifiers; never for text that a caller wrote.
pub trait LogSafe: fmt::Display {}

/// The value as a field of a log line: `tracing::info!(role = log(&role), "…")`.
pub fn log<T: LogSafe + ?Sized>(value: &T) -> DisplayValue<&T> {
    tracing::field::display(value)
}

macro_rules! log_safe {
    ($($kind:ty),+ $(,)?) => { $(impl LogSafe for $kind {})+ };
}

log_safe!(
    crate::party::Article,
    crate::party::Basis,
    crate::party::Category,
    crate::party::ExternalKind,
    crate::party::Form,
    crate::party::Measure,
    crate::party::Oin,
    crate::party::OrgKind,
    crate::party::PartnerStatus,
    crate::party::Phase,
    crate::party::Role,
    crate::party::UnknownCode,
    crate::reason::Reason,
    std::net::SocketAddr,
    u32,
    u64,
    usize,
    uuid::Uuid,
);

/// A value that must not be printed. `Debug` says only that something is there; there is no `Display`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The hidden value, for use and never for printing.
    pub const fn reveal(&self) -> &T {
        &self.0
    }

    /// The hidden value, owned.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redacted_value_prints_nothing_of_itself() {
        let hidden = Redacted::new("999900006");
        assert_eq!(format!("{hidden:?}"), "[redacted]");
        assert_eq!(format!("{:?}", Some(&hidden)), "Some([redacted])");
        assert_eq!(*hidden.reveal(), "999900006");
    }
}
