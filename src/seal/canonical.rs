//! The one way to write what is signed here: RFC 8785 JSON with byte strings in base64url and times in RFC 3339, UTC.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Not the canonical text of the expected shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in canonical form")]
pub struct NotCanonical;

/// Writes a value of fixed shape.
pub(super) fn write(value: &impl Serialize) -> Result<Vec<u8>, NotCanonical> {
    serde_json_canonicalizer::to_vec(value).map_err(|_| NotCanonical)
}

/// Reads a value and demands that writing it gives the same bytes again: no spaces, no other order, nothing left out,
/// nothing doubled. The shape itself must deny unknown fields.
pub(super) fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, NotCanonical> {
    let value: T = serde_json::from_slice(bytes).map_err(|_| NotCanonical)?;
    if write(&value)? == bytes { Ok(value) } else { Err(NotCanonical) }
}

pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The engine refuses stray bits and padding, so there is one text for each byte string.
pub(super) fn decode<const N: usize>(text: &str) -> Result<[u8; N], NotCanonical> {
    decode_vec(text)?.try_into().map_err(|_| NotCanonical)
}

pub(super) fn decode_vec(text: &str) -> Result<Vec<u8>, NotCanonical> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotCanonical)
}

/// Whole seconds in UTC: `2026-11-21T20:53:01Z`.
pub(super) fn write_time(time: OffsetDateTime) -> Result<String, NotCanonical> {
    let time = time.to_offset(UtcOffset::UTC).replace_nanosecond(0).map_err(|_| NotCanonical)?;
    time.format(&Rfc3339).map_err(|_| NotCanonical)
}

pub(super) fn read_time(text: &str) -> Result<OffsetDateTime, NotCanonical> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotCanonical)?;
    if write_time(time)? == text { Ok(time) } else { Err(NotCanonical) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_form() {
        assert!(read_time("2026-11-21T20:53:01Z").is_ok());
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T20:53:01+00:00",
            "2026-11-21T21:53:01+01:00",
            "2026-11-21T20:53:01.5Z",
            "2026-11-21t20:53:01z",
            "2026-02-30T20:53:01Z",
            "2026-11-21T20:53Z",
        ] {
            assert!(read_time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn byte_strings_have_one_form() {
        assert_eq!(decode::<2>("AAE"), Ok([0, 1]));
        for text in ["AAE=", "AAF", "AA", "AAEA", "AA+", " AAE"] {
            assert!(decode::<2>(text).is_err(), "{text:?}");
        }
    }
}
