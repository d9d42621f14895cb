//! The closed vocabularies of the covenant (REFERENCE §1.3, §1.4, §5.1) and the identity of an organisation.
//!
//! Everything here is a value: no I/O, no clock, no randomness. Each vocabulary has one `code()` (what policies, logs
//! and people use) and one `FromStr` that accepts exactly that code.

use std::fmt;
use std::str::FromStr;

/// A word that is not in the vocabulary. Carries the vocabulary's name, never the word itself: it came from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known {0}")]
pub struct UnknownCode(pub &'static str);

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident, $what:literal: $($(#[$vdoc:meta])* $variant:ident = $code:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every word of the vocabulary, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as policies, logs and people write it.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::party::UnknownCode;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($code => Ok(Self::$variant),)+ _ => Err($crate::party::UnknownCode($what)) }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result { f.write_str(self.code()) }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// Kind of a signatory (REFERENCE §0-1).
    OrgKind, "kind of organisation":
    Gemeente = "gemeente",
    /// Gecertificeerde instelling.
    Gi = "gi",
    Aanbieder = "aanbieder",
    /// The network office that seats the expert team.
    Netwerk = "netwerk",
}

vocabulary! {
    /// Kind of a third party (role R16) that is not connected; it is reached through the casusregisseur (R02).
    ExternalKind, "kind of third party":
    School = "school",
    /// Huisarts, jeugdarts or medisch specialist (article 26).
    Arts = "arts",
    /// Wmo, Wlz or Zvw after the 18th birthday (article 27), or a parent's own care (article 18).
    Volwassenzorg = "volwassenzorg",
}

vocabulary! {
    /// Role of a party in one case (REFERENCE §1.4). R11 and R13–R15 also stand outside any case.
    Role, "role":
    R01 = "R01", R02 = "R02", R03 = "R03", R04 = "R04", R05 = "R05", R06 = "R06", R07 = "R07", R08 = "R08", R09 = "R09",
    R10 = "R10", R11 = "R11", R12 = "R12", R13 = "R13", R14 = "R14", R15 = "R15", R16 = "R16", R17 = "R17", R18 = "R18",
}

vocabulary! {
    /// Data category (REFERENCE §5.1).
    Category, "category":
    C01 = "C01", C02 = "C02", C03 = "C03", C04 = "C04", C05 = "C05", C06 = "C06", C07 = "C07", C08 = "C08",
    C09 = "C09", C10 = "C10", C11 = "C11", C12 = "C12", C13 = "C13", C14 = "C14", C15 = "C15", C16 = "C16",
    C17 = "C17", C18 = "C18", C19 = "C19", C20 = "C20", C21 = "C21", C22 = "C22", C23 = "C23", C24 = "C24",
}

vocabulary! {
    /// Phase of a case (REFERENCE §1.3). FE is an overlay on F2–F6, not a phase that a case rests in.
    Phase, "phase":
    F0 = "F0", F1 = "F1", F2 = "F2", F3 = "F3", F4 = "F4", F5 = "F5", F6 = "F6", F7 = "F7", F8 = "F8", FE = "FE",
}

vocabulary! {
    /// How much of the person the recipient sees (REFERENCE §5.4).
    Form, "form":
    /// Linkable to a person whom the recipient already knows.
    I = "I",
    /// Pseudonymous or de-identified.
    P = "P",
    /// A label, flag, status, summary or single line.
    L = "L",
    /// Aggregate.
    A = "A",
    /// No personal data at all (open places, article 20).
    Open = "-",
}

vocabulary! {
    /// Legal basis (REFERENCE §2.4).
    Basis, "legal basis":
    L1 = "L1", L2 = "L2", L3 = "L3", L4 = "L4", L5 = "L5", L6 = "L6", L7 = "L7", L8 = "L8", L9 = "L9",
    L10 = "L10", L11 = "L11", L12 = "L12", L13 = "L13", L14 = "L14",
}

vocabulary! {
    /// A child-protection or youth-probation measure that a GI carries out (articles 23, 24).
    Measure, "measure":
    Ots = "ots",
    Voogdij = "voogdij",
    Jeugdreclassering = "jeugdreclassering",
}

vocabulary! {
    /// Standing of a partner in the registry (article 39).
    PartnerStatus, "partner status":
    Active = "active",
    Suspended = "suspended",
    Withdrawn = "withdrawn",
}

/// Organisatie-identificatienummer: 20 digits, held as text because register numbers may become alphanumeric (§3.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oin(String);

impl Oin {
    /// The number as it stands in `subject.serialNumber`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Oin {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        if text.len() == 20 && text.starts_with("000000") && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnknownCode("OIN: it has 20 digits and begins with 000000"))
        }
    }
}

impl fmt::Display for Oin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of a covenant article, 1–40.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Article(u8);

impl Article {
    /// The article with this number, if the covenant has it.
    pub const fn new(number: u8) -> Option<Self> {
        if number >= 1 && number <= 40 { Some(Self(number)) } else { None }
    }

    /// 1–40.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Article {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let plain = !text.starts_with(['0', '+']) && text.len() <= 2;
        text.parse().ok().filter(|_| plain).and_then(Self::new).ok_or(UnknownCode("article"))
    }
}

impl fmt::Display for Article {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_strangers_do_not() {
        for role in Role::ALL {
            assert_eq!(role.code().parse(), Ok(*role));
        }
        for category in Category::ALL {
            assert_eq!(category.code().parse(), Ok(*category));
        }
        for text in ["", "r01", "R19", "R1", " R01"] {
            assert!(text.parse::<Role>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn oin_is_twenty_digits() {
        assert!("00000099100001410000".parse::<Oin>().is_ok());
        for text in ["", "0000009910000141000", "000000991000014100000", "0000009910000141000a", "10000099100001410000"]
        {
            assert!(text.parse::<Oin>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn articles_run_from_1_to_40() {
        assert_eq!("22".parse::<Article>().map(Article::number), Ok(22));
        for text in ["", "0", "01", "41", "+1", "1.1", "-1"] {
            assert!(text.parse::<Article>().is_err(), "{text:?}");
        }
    }
}
