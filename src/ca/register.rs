//! What an authority keeps of each certificate that it made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::JournalError;

/// A serial number: lower-case hexadecimal, without zeros in front.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(String);

impl Serial {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(hex::encode(bytes.get(zeros..).unwrap_or_default()))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As we print it, and as OpenSSL does: upper case, with colons.
impl FromStr for Serial {
    type Err = JournalError;
    fn from_str(text: &str) -> Result<Self, JournalError> {
        let digits = text.replace(':', "");
        let even = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
        let serial = hex::decode(even).map(|bytes| Self::of(&bytes)).map_err(|_| JournalError::BadSerial)?;
        if (1..=40).contains(&serial.0.len()) { Ok(serial) } else { Err(JournalError::BadSerial) }
    }
}

impl TryFrom<String> for Serial {
    type Error = JournalError;
    fn try_from(text: String) -> Result<Self, JournalError> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}

/// A moment, to the second, as files hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stamp(pub OffsetDateTime);

impl Stamp {
    pub(super) fn new(at: OffsetDateTime) -> Self {
        Self(at.replace_nanosecond(0).unwrap_or(at))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).unwrap_or_default())
    }
}

impl TryFrom<String> for Stamp {
    type Error = time::error::Parse;
    fn try_from(text: String) -> Result<Self, time::error::Parse> {
        OffsetDateTime::parse(&text, &Rfc3339).map(Self)
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.to_string()
    }
}

/// Who had it signed. There are two of them, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eyes {
    /// Name of the proposal, so that it is signed once.
    pub proposal: String,
    /// SHA-256 of the paper that both signed.
    pub paper: String,
    /// Who proposed.
    pub proposed_by: String,
    /// Who approved.
    pub approved_by: String,
}

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its serial number.
    pub serial: Serial,
    /// Hash of its public key, as the registry of a hub knows it.
    pub key_hash: String,
    /// Its common name.
    pub subject: String,
    /// Its organisation.
    pub oin: Option<String>,
    /// Kind of holder.
    pub profile: String,
    /// For how long.
    pub days: u16,
    /// When it was made.
    pub at: Stamp,
    /// Its last second.
    pub until: Stamp,
    /// Who had it signed, where that takes two.
    pub eyes: Option<Eyes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_as_people_copy_them() {
        for text in ["0a1b", "A:1B", "0A:1b", "00:0a:1b", "a1b"] {
            assert_eq!(text.parse::<Serial>().unwrap().to_string(), "0a1b", "{text}");
        }
        for text in ["", "00", "xyz", "0x1", &"ff".repeat(21)] {
            assert!(matches!(text.parse::<Serial>(), Err(JournalError::BadSerial)), "{text}");
        }
    }
}
