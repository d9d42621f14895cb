//! Versions of agents, and the covenant's minimum for them. Pure.
//!
//! A version is what a client says of itself and proves nothing: this keeps a network from being held back by software that
//! somebody forgot, and keeps nobody out. What a client is allowed follows from its certificate alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;

/// Of this program.
pub const OWN: &str = env!("CARGO_PKG_VERSION");
/// How an agent says what it is, as the first product of `user-agent` (RFC 9110 §10.1.5).
pub const AGENT: &str = concat!("sluis-agent/", env!("CARGO_PKG_VERSION"));
const PRODUCT: &str = "sluis-agent/";
/// Response metadata for an agent below the minimum: what [`Outdated`] says, on one line.
pub const HEADER: &str = "sluis-outdated";

/// A version of an agent (semver.org). Said again to others as three small numbers: what somebody else wrote behind them
/// stays unread, and no number is long enough to be a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(semver::Version);

/// Largest of the three numbers.
const LARGEST: u64 = 99_999;

/// Not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a version such as \"0.2.0\"")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let version = semver::Version::parse(text).map_err(|_| NotAVersion)?;
        let is_small = [version.major, version.minor, version.patch].iter().all(|number| *number <= LARGEST);
        if is_small { Ok(Self(version)) } else { Err(NotAVersion) }
    }
}

impl Version {
    /// Whether it comes before another. What stands behind a plus sign does not count (semver.org, 10).
    fn is_before(&self, other: &Self) -> bool {
        self.0.cmp_precedence(&other.0).is_lt()
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let semver::Version { major, minor, patch, pre, .. } = &self.0;
        let mark = if pre.is_empty() { "" } else { "-pre" };
        write!(f, "{major}.{minor}.{patch}{mark}")
    }
}

/// What calls, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// No agent: an integrator's own program, an officer's command. No minimum concerns it.
    Foreign,
    /// An agent. One that does not say a version that can be read has none that is enough.
    Agent(Option<Version>),
}

impl Client {
    /// By the `user-agent` of its request.
    pub fn of(user_agent: Option<&str>) -> Self {
        let product = user_agent.and_then(|text| text.split(' ').next());
        match product.and_then(|product| product.strip_prefix(PRODUCT)) {
            None => Self::Foreign,
            Some(version) => Self::Agent(version.parse().ok()),
        }
    }

    /// The version that it says; empty when it says none.
    pub fn version(&self) -> String {
        match self {
            Self::Agent(Some(version)) => version.to_string(),
            Self::Agent(None) => "unreadable".to_owned(),
            Self::Foreign => String::new(),
        }
    }
}

/// The covenant's minimum for agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minimum {
    /// The oldest version that is enough.
    pub agent: Version,
    /// From then on older ones are refused. `None`: they are warned.
    pub refused_from: Option<OffsetDateTime>,
    /// Where to get a newer one, for people.
    pub source: String,
}

/// What an agent is told that is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outdated {
    /// What it said.
    pub agent: String,
    /// What is enough.
    pub minimum: Minimum,
    /// The day has come.
    pub is_refused: bool,
}

impl Minimum {
    /// What this client must be told now, if anything.
    pub fn judge(&self, client: &Client, now: OffsetDateTime) -> Option<Outdated> {
        let Client::Agent(version) = client else { return None };
        if version.as_ref().is_some_and(|version| !version.is_before(&self.agent)) {
            return None;
        }
        let is_refused = self.refused_from.is_some_and(|from| from <= now);
        Some(Outdated { agent: client.version(), minimum: self.clone(), is_refused })
    }
}

/// First word of the header.
const REFUSED: &str = "refused";

impl Outdated {
    /// As response metadata: whether the call was refused for it, and why.
    pub fn header(&self) -> String {
        format!("{}; {self}", if self.is_refused { REFUSED } else { "warned" })
    }
}

/// Whether such a header says that calls are refused.
pub fn says_refused(header: &str) -> bool {
    header.split(';').next() == Some(REFUSED)
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Minimum { agent: minimum, refused_from, source } = &self.minimum;
        write!(f, "agent {} is below the covenant's minimum {minimum}", self.agent)?;
        match refused_from {
            Some(from) if self.is_refused => write!(f, " and refused since {}", from.date())?,
            Some(from) => write!(f, " and will be refused from {} on", from.date())?,
            None => {}
        }
        write!(f, "; a newer one: {source}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const FROM: OffsetDateTime = datetime!(2027-01-01 0:00 UTC);

    fn minimum(agent: &str, refused_from: Option<OffsetDateTime>) -> Minimum {
        Minimum { agent: agent.parse().unwrap(), refused_from, source: "sluis.example".to_owned() }
    }

    #[test]
    fn only_an_agent_says_that_it_is_one() {
        let agent = |text: &str| Client::Agent(Some(text.parse().unwrap()));
        for (user_agent, expected) in [
            (None, Client::Foreign),
            (Some(""), Client::Foreign),
            (Some("tonic/0.14.2"), Client::Foreign),
            (Some("grpc-python/1.60 sluis-agent/0.0.1"), Client::Foreign),
            (Some("Sluis-Agent/0.1.0"), Client::Foreign),
            (Some("sluis-agent"), Client::Foreign),
            (Some("sluis-agent/0.1.0"), agent("0.1.0")),
            (Some("sluis-agent/0.1.0 tonic/0.14.2"), agent("0.1.0")),
            (Some("sluis-agent/1.0.0-rc.1+linux"), agent("1.0.0-rc.1+linux")),
            (Some("sluis-agent/"), Client::Agent(None)),
            (Some("sluis-agent/1"), Client::Agent(None)),
            (Some("sluis-agent/01.2.3"), Client::Agent(None)),
            (Some("sluis-agent/999990019.0.0"), Client::Agent(None)),
        ] {
            assert_eq!(Client::of(user_agent), expected, "{user_agent:?}");
        }
        assert_eq!(Client::of(Some(AGENT)).version(), OWN);
    }

    #[test]
    fn what_somebody_wrote_behind_the_numbers_is_not_repeated() {
        for (text, shown) in [("1.2.3", "1.2.3"), ("1.2.3-999990019", "1.2.3-pre"), ("1.2.3+999990019", "1.2.3")] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), shown);
        }
        assert_eq!(Client::of(Some("sluis-agent/x999990019")).version(), "unreadable");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (agent, least, is_enough) in [
            ("0.1.0", "0.1.0", true),
            ("0.2.0", "0.10.0", false),
            ("0.10.0", "0.2.0", true),
            ("1.0.0", "0.99.99", true),
            ("0.9.9", "1.0.0", false),
            ("1.0.0-rc.1", "1.0.0", false),
            ("1.0.1-rc.1", "1.0.0", true),
            ("1.0.0-rc.2", "1.0.0-rc.10", false),
            ("1.0.0+local", "1.0.0", true),
            ("1.0.0", "1.0.0+local", true),
        ] {
            let client = Client::of(Some(&format!("sluis-agent/{agent}")));
            let told = minimum(least, None).judge(&client, FROM);
            assert_eq!(told.is_none(), is_enough, "{agent} {least}");
        }
    }

    #[test]
    fn first_a_warning_and_from_the_day_on_a_refusal() {
        let (old, unreadable) = (Client::of(Some("sluis-agent/0.1.0")), Client::Agent(None));
        let new = Client::of(Some("sluis-agent/0.2.0"));
        let second = time::Duration::SECOND;
        for (client, from, now, expected) in [
            (&old, Some(FROM), FROM - second, Some(false)),
            (&old, Some(FROM), FROM, Some(true)),
            (&old, Some(FROM), FROM + second, Some(true)),
            (&old, None, FROM, Some(false)),
            (&unreadable, Some(FROM), FROM - second, Some(false)),
            (&unreadable, Some(FROM), FROM, Some(true)),
            (&new, Some(FROM), FROM, None),
            (&Client::Foreign, Some(FROM), FROM, None),
        ] {
            let told = minimum("0.2.0", from).judge(client, now);
            assert_eq!(told.map(|told| told.is_refused), expected, "{client:?} {from:?} {now}");
        }
    }

    #[test]
    fn both_versions_the_day_and_the_source_are_told() {
        let client = Client::of(Some("sluis-agent/0.1.0"));
        let told = |now| minimum("0.2.0", Some(FROM)).judge(&client, now).unwrap().to_string();
        let before = told(FROM - time::Duration::DAY);
        assert_eq!(
            before,
            "agent 0.1.0 is below the covenant's minimum 0.2.0 and will be refused from 2027-01-01 on; a newer one: \
             sluis.example"
        );
        assert!(told(FROM).contains("and refused since 2027-01-01"));
        assert!(before.is_ascii(), "it is a header");
        for (now, refused) in [(FROM - time::Duration::DAY, false), (FROM, true)] {
            let header = minimum("0.2.0", Some(FROM)).judge(&client, now).unwrap().header();
            assert_eq!((says_refused(&header), header.contains("0.2.0")), (refused, true), "{header}");
        }
    }
}
