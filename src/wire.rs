//! Between the API's numbers and the covenant's words. Pure, both ways, no text of a caller kept.

use prost_types::Timestamp;
use time::OffsetDateTime;

use crate::api::v1;
use crate::covenant::consent::{AgeBand, Giver};
use crate::party::{Category, ExternalKind, Form, Measure, OrgKind, PartnerStatus, Phase, Role};

/// What the holder of a certificate is, as the API says it, in lower case.
pub fn holder_word(kind: v1::HolderKind) -> String {
    kind.as_str_name().trim_start_matches("HOLDER_KIND_").to_lowercase()
}

macro_rules! numbered {
    ($($type:ident),+) => {
        $(impl Numbered for $type { const WORDS: &'static [Self] = Self::ALL; })+
    };
}

/// A vocabulary whose words stand in the API in the same order, from 1; 0 is "unspecified".
pub trait Numbered: Copy + PartialEq + 'static {
    /// The words in order.
    const WORDS: &'static [Self];

    /// The word with this number.
    fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::WORDS.get(index).copied()
    }

    /// The number of this word; 0 if the API has none for it.
    fn number(self) -> i32 {
        let index = Self::WORDS.iter().position(|word| *word == self);
        index.and_then(|index| i32::try_from(index + 1).ok()).unwrap_or(0)
    }
}

numbered!(Category, ExternalKind, Form, Measure, OrgKind, PartnerStatus, Role);

impl Numbered for AgeBand {
    const WORDS: &'static [Self] = &[Self::Under12, Self::From12, Self::From16, Self::From18];
}

impl Numbered for Giver {
    const WORDS: &'static [Self] = &[Self::Youth, Self::Parent1, Self::Parent2, Self::Guardian, Self::Representative];
}

impl Numbered for Phase {
    // FE is an overlay, not a phase that the API sends.
    const WORDS: &'static [Self] =
        &[Self::F0, Self::F1, Self::F2, Self::F3, Self::F4, Self::F5, Self::F6, Self::F7, Self::F8];
}

/// A moment for the wire.
pub fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: at.unix_timestamp(), nanos: i32::try_from(at.nanosecond()).unwrap_or(0) }
}

/// A moment from the wire, if it is one.
pub fn moment(at: &Timestamp) -> Option<OffsetDateTime> {
    let nanos = u32::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    OffsetDateTime::from_unix_timestamp(at.seconds).ok()?.replace_nanosecond(nanos).ok()
}

/// `partners/{oin}`.
pub fn partner_name(oin: &str) -> String {
    format!("partners/{oin}")
}

/// The same, and nothing for nobody: what the hub does of its own accord, no organisation asked for.
pub fn partner_or_nobody(oin: &str) -> String {
    if oin.is_empty() { String::new() } else { partner_name(oin) }
}

/// The number of an outcome code of the store.
pub fn outcome_number(code: &str) -> i32 {
    match code {
        "allowed" => v1::Outcome::Allowed as i32,
        "refused" => v1::Outcome::Refused as i32,
        "failed" => v1::Outcome::Failed as i32,
        _ => v1::Outcome::Unspecified as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_the_api() {
        for (word, number) in [(Role::R01, v1::Role::R01 as i32), (Role::R18, v1::Role::R18 as i32)] {
            assert_eq!((word.number(), Role::from_number(number)), (number, Some(word)));
        }
        assert_eq!(Category::C24.number(), v1::Category::C24 as i32);
        assert_eq!(Phase::F8.number(), v1::Phase::F8 as i32);
        assert_eq!(Phase::FE.number(), 0);
        assert_eq!(Form::Open.number(), v1::Form::Open as i32);
        assert_eq!(OrgKind::Netwerk.number(), v1::OrganisationKind::Netwerk as i32);
        assert_eq!(ExternalKind::Volwassenzorg.number(), v1::ExternalKind::Volwassenzorg as i32);
        assert_eq!(Measure::Jeugdreclassering.number(), v1::MeasureKind::Jeugdreclassering as i32);
        assert_eq!(PartnerStatus::Withdrawn.number(), v1::PartnerStatus::Withdrawn as i32);
        for stranger in [-1, 0, 19, i32::MAX] {
            assert_eq!(Role::from_number(stranger), None);
        }
    }

    #[test]
    fn moments_read_back() {
        for (seconds, nanos, good) in
            [(0, 0, true), (1_800_000_000, 999_999_999, true), (0, -1, false), (i64::MAX, 0, false)]
        {
            let at = moment(&Timestamp { seconds, nanos });
            assert_eq!(at.is_some(), good, "{seconds}.{nanos}");
            if let Some(at) = at {
                assert_eq!(timestamp(at), Timestamp { seconds, nanos });
            }
        }
    }
}
