//! Kinds of event, each kept for its own time.

/// What an event is about, by the service that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Work on cases.
    Casus,
    /// Partners, certificates, covenant; and what the hub does of its own accord.
    Beheer,
    /// Reading and erasing the log.
    Log,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Casus, Self::Beheer, Self::Log];

    /// The name in the covenant's parameters.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Casus => "casus",
            Self::Beheer => "beheer",
            Self::Log => "log",
        }
    }

    /// Beginnings of the names of its methods; of Beheer none, which is all the others.
    pub const fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Casus => &[
                "sluis.v1.Cases/",
                "sluis.v1.Consents/",
                "sluis.v1.Records/",
                "sluis.v1.Inbox/",
                "sluis.v1.Pseudonyms/",
            ],
            Self::Beheer => &[],
            Self::Log => &["sluis.v1.Audit/"],
        }
    }

    /// Of this method's events.
    pub fn of(method: &str) -> Self {
        let is = |kind: &Self| kind.prefixes().iter().any(|prefix| method.starts_with(prefix));
        Self::ALL.into_iter().find(is).unwrap_or(Self::Beheer)
    }
}
