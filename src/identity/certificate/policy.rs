//! Object identifiers of certificate policies.
//!
//! Own decoding, because the certificate parser shows identifiers past 64 bits per number, as those under 2.25 are,
//! in another form.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::party::UnknownCode;

/// Policies of our own CA: a UUID of our own under 2.25, the arc that needs no registration (ITU-T X.667 §6), and one
/// number per profile below it.
pub const POLICY_UUID: u128 = 0x5b1f_6d52_0c3e_4f0a_9d47_6a2e_81c7_f3b9;

/// The number below [`POLICY_UUID`] of an organisation as a whole.
pub const ORGANISATION: u8 = 1;

/// And of a person.
pub const PERSON: u8 = 3;

/// Object identifier of a certificate policy in dotted form (RFC 5280 §4.2.1.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyOid(String);

impl PolicyOid {
    /// That of one of our own CA's profiles, in dotted form.
    pub fn of_own(profile: u8) -> String {
        format!("2.25.{POLICY_UUID}.{profile}")
    }

    /// The profile of our own CA, if it is a policy of ours.
    pub fn own(&self) -> Option<&str> {
        self.0.strip_prefix("2.25.")?.strip_prefix(&POLICY_UUID.to_string())?.strip_prefix('.')
    }

    /// From the content octets of its DER form (X.690 §8.19). `None` where that is malformed or a number exceeds 128
    /// bits.
    pub(super) fn from_der_content(content: &[u8]) -> Option<Self> {
        let mut numbers = Vec::new();
        let mut number = Some(0_u128);
        let mut whole = false;
        for byte in content {
            number = number.filter(|n| *n <= u128::MAX >> 7).map(|n| n << 7 | u128::from(byte & 0x7f));
            whole = byte & 0x80 == 0;
            if whole {
                numbers.push(number?);
                number = Some(0);
            }
        }
        let (first, rest) = numbers.split_first().filter(|_| whole)?;
        // The first two numbers share one: 40 for each step of the first, which is 0, 1 or 2.
        let top = (first / 40).min(2);
        let text = rest.iter().fold(format!("{top}.{}", first - top * 40), |text, number| format!("{text}.{number}"));
        Some(Self(text))
    }
}

impl FromStr for PolicyOid {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let number = |arc: &str| {
            arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0')) && !arc.is_empty()
        };
        if text.len() <= 128 && text.contains('.') && text.split('.').all(number) {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnknownCode("object identifier"))
        }
    }
}

impl<'de> Deserialize<'de> for PolicyOid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format_args!("`{text}` is not an object identifier such as \"2.16.528.1\""));
        text.parse().map_err(|_| wrong())
    }
}

impl fmt::Display for PolicyOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_are_dotted_numbers() {
        assert!("2.16.528.1.1003.1.2.8.6".parse::<PolicyOid>().is_ok());
        for text in ["", "2", "2.", ".2", "2..16", "2.016", "2.a", &"2.".repeat(80)] {
            assert!(text.parse::<PolicyOid>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn encodings_are_those_of_x690() {
        let cases: [(&[u8], Option<&str>); 8] = [
            // Example of X.690 §8.19.5: 2.999.3.
            (&[0x88, 0x37, 0x03], Some("2.999.3")),
            (&[0x60, 0x84, 0x10, 0x01, 0x87, 0x6b, 0x01, 0x02, 0x08, 0x06], Some("2.16.528.1.1003.1.2.8.6")),
            (&[0x55, 0x1d, 0x20, 0x00], Some("2.5.29.32.0")),
            (&[0x2a], Some("1.2")),
            (&[0x00], Some("0.0")),
            (&[], None),
            (&[0x55, 0x9d], None),
            (
                &[
                    0x69, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                    0xff, 0xff, 0xff, 0x7f,
                ],
                None,
            ),
        ];
        for (content, text) in cases {
            let decoded = PolicyOid::from_der_content(content).map(|oid| oid.to_string());
            assert_eq!(decoded.as_deref(), text, "{content:?}");
        }
    }
}
