//! The pseudonym that one organisation sees in one scope. Derived when needed, never kept in a table.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::key::{Epoch, KeyError, KeyRing};
use super::tag::SubjectTag;
use crate::party::{Oin, UnknownCode};

/// What a pseudonym is for. Values of different scopes don't match, so that a log can't be joined with a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The work on a case.
    Case,
    /// The monitor (articles 31–32).
    Monitor,
    /// The audit log.
    Log,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Case, Self::Monitor, Self::Log];

    /// The word that goes into the derivation; never changes.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Case => "case",
            Self::Monitor => "monitor",
            Self::Log => "log",
        }
    }
}

/// A youth's name for one organisation in one scope: 24 bytes, 32 characters base64url.
///
/// Has no `Debug` or `Display`: it is an identifier of a child and stays out of logs (G11).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym([u8; Self::LEN]);

impl Pseudonym {
    /// Length in bytes. A multiple of three, so that every text of 32 characters is exactly one pseudonym.
    pub const LEN: usize = 24;
    /// Length of the text form in characters.
    pub const TEXT_LEN: usize = 32;

    /// HMAC-SHA256 under the key of this epoch over scope, OIN and tag, truncated to 24 bytes.
    ///
    /// A key of its own, because the tag stands in the database: a stolen database must not link two partners' values.
    ///
    /// # Errors
    /// [`KeyError::UnknownEpoch`].
    pub fn derive(ring: &KeyRing, epoch: Epoch, tag: &SubjectTag, oin: &Oin, scope: Scope) -> Result<Self, KeyError> {
        let key = ring.key(epoch)?;
        let number = epoch.number().to_be_bytes();
        let (scope, oin) = (scope.code().as_bytes(), oin.as_str().as_bytes());
        // Scope and OIN are prefixed with their length; the rest has a fixed one. Both are far below 256 bytes.
        let lengths = [scope.len(), oin.len()].map(|len| u8::try_from(len).unwrap_or(u8::MAX));
        let mac = key.hmac(&[b"sluis/v1/pseudonym", &number, &lengths, scope, oin, tag.as_bytes()]);
        let mut pseudonym = Self([0; Self::LEN]);
        for (slot, byte) in pseudonym.0.iter_mut().zip(mac) {
            *slot = byte;
        }
        Ok(pseudonym)
    }

    /// The text that goes over the wire: 32 characters base64url without padding (RFC 4648 §5).
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The bytes, for digests.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl FromStr for Pseudonym {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| UnknownCode("pseudonym"))?;
        bytes.try_into().map(Self).map_err(|_| UnknownCode("pseudonym"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::SecretKey;
    use proptest::prelude::*;

    fn ring() -> KeyRing {
        let mut ring = KeyRing::new(Epoch::FIRST, SecretKey::from_bytes(&[1; 32]).unwrap());
        ring.add(Epoch::FIRST.next(), SecretKey::from_bytes(&[2; 32]).unwrap()).unwrap();
        ring
    }

    fn tag(fill: u8) -> SubjectTag {
        SubjectTag::from_stored(Epoch::FIRST, &[fill; 32]).unwrap()
    }

    /// Computed once with Python's `hmac` module. If it changes, every stored pseudonym is lost.
    #[test]
    fn a_frozen_answer() {
        let oin = "00000099100001410000".parse().unwrap();
        let pseudonym = Pseudonym::derive(&ring(), Epoch::FIRST, &tag(7), &oin, Scope::Case).unwrap();
        assert_eq!(pseudonym.to_text(), "eleKNvsdfDCqIjNpn0cjvHkY9CgEDbe8");
    }

    #[test]
    fn an_unknown_epoch_has_no_pseudonym() {
        let oin = "00000099100001410000".parse().unwrap();
        let epoch = Epoch::new(3).unwrap();
        assert!(Pseudonym::derive(&ring(), epoch, &tag(7), &oin, Scope::Case).is_err());
    }

    #[test]
    fn only_the_text_form_itself_is_read() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        assert!(text.parse::<Pseudonym>().is_ok_and(|read| read.to_text() == text));
        for bad in [
            "",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRY",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXA",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXAAAA",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRY=",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFR+/",
            " AECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        ] {
            assert!(bad.parse::<Pseudonym>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn only_equal_inputs_give_equal_pseudonyms(
            fills in [any::<u8>(), any::<u8>()], orgs in [0..50_u32, 0..50], scopes in [0..3_usize, 0..3], epochs in [1..3_u32, 1..3],
        ) {
            let of = |i: usize| {
                let oin: Oin = format!("00000099{:08}0000", orgs[i]).parse().unwrap();
                Pseudonym::derive(&ring(), Epoch::new(epochs[i]).unwrap(), &tag(fills[i]), &oin, Scope::ALL[scopes[i]]).unwrap()
            };
            let same = fills[0] == fills[1] && orgs[0] == orgs[1] && scopes[0] == scopes[1] && epochs[0] == epochs[1];
            prop_assert_eq!(of(0) == of(1), same);
            prop_assert!(of(0).to_text().parse::<Pseudonym>().is_ok_and(|read| read == of(0)));
            prop_assert_eq!(of(0).to_text().len(), Pseudonym::TEXT_LEN);
        }
    }
}
