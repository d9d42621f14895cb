//! The citizen service number (burgerservicenummer) and its one canonical form.

use serde::Serialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A citizen service number: nine digits that pass the elfproef (REFERENCE §3.6).
///
/// It exists at the agent only. It can't be printed, cloned or serialised; its one way out is [`Bsn::canonical_input`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Bsn([u8; 9]);

/// Why a text is not a citizen service number. Never says anything of the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BsnError {
    /// The elfproef does not come out.
    #[error("the number does not pass the elfproef")]
    Checksum,
    /// Not eight or nine characters long.
    #[error("the number does not have eight or nine digits")]
    Length,
    /// A character that is not an ASCII digit; separators count as such.
    #[error("the number has characters that are not digits")]
    NotDigits,
    /// A code for "unknown" or "unborn", not a person.
    #[error("the number is a placeholder, not a person's")]
    Placeholder,
}

impl Bsn {
    /// Reads nine ASCII digits, or eight where a spreadsheet dropped the leading zero.
    ///
    /// Spaces, dots and hyphens are refused: two spellings of one number must not become two subjects by way of a lax
    /// parser somewhere along the road.
    ///
    /// # Errors
    /// [`BsnError`], by the first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BsnError> {
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BsnError::NotDigits);
        }
        let padding = match text.len() {
            9 => 0,
            8 => 1,
            _ => return Err(BsnError::Length),
        };
        let mut bsn = Self([b'0'; 9]);
        for (slot, byte) in bsn.0.iter_mut().skip(padding).zip(text.bytes()) {
            *slot = byte;
        }
        if PLACEHOLDERS.contains(&&bsn.0) {
            return Err(BsnError::Placeholder);
        }
        if passes_elfproef(bsn.0.iter().map(|byte| u32::from(byte - b'0'))) { Ok(bsn) } else { Err(BsnError::Checksum) }
    }

    /// The input of the pseudonym function: RFC 8785 JSON, as in the national pattern (REFERENCE §3.5).
    pub fn canonical_input(&self) -> Zeroizing<Vec<u8>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Input<'a> {
            land_code: &'static str,
            r#type: &'static str,
            value: &'a str,
        }
        let value = std::str::from_utf8(&self.0).unwrap_or_default();
        let input = Input { land_code: "NL", r#type: "BSN", value };
        // Writing a fixed struct of strings into memory has no failing path.
        Zeroizing::new(serde_json_canonicalizer::to_vec(&input).unwrap_or_default())
    }
}

/// Codes of Beleidsinformatie Jeugd for "unknown" and "unborn" (REFERENCE §3.6).
const PLACEHOLDERS: [&[u8; 9]; 2] = [b"000000000", b"999999999"];

/// 9a+8b+7c+6d+5e+4f+3g+2h−1i ≡ 0 (mod 11), for nine digits.
pub(super) fn passes_elfproef(digits: impl Iterator<Item = u32>) -> bool {
    // 10 ≡ −1 (mod 11), which keeps the sum unsigned.
    let weights = [9, 8, 7, 6, 5, 4, 3, 2, 10];
    let sum: u32 = weights.iter().zip(digits).map(|(weight, digit)| weight * digit).sum();
    sum.is_multiple_of(11)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST_NUMBERS: [&str; 14] = [
        "999900006",
        "999907141",
        "999914297",
        "999921423",
        "999928569",
        "999935707",
        "999942840",
        "999949986",
        "999957119",
        "999964264",
        "999971396",
        "999978536",
        "999985656",
        "999992818",
    ];

    #[test]
    fn test_numbers_are_accepted() {
        for text in TEST_NUMBERS {
            assert!(Bsn::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let cases = [
            ("", BsnError::Length),
            ("9999000", BsnError::Length),
            ("9999000060", BsnError::Length),
            ("999940003", BsnError::Checksum),
            ("999900007", BsnError::Checksum),
            ("99990000", BsnError::Checksum),
            ("999.900.006", BsnError::NotDigits),
            ("9999 0000 6", BsnError::NotDigits),
            ("999-900-006", BsnError::NotDigits),
            (" 999900006", BsnError::NotDigits),
            ("+99900006", BsnError::NotDigits),
            ("９９９９００００６", BsnError::NotDigits),
            ("000000000", BsnError::Placeholder),
            ("00000000", BsnError::Placeholder),
            ("999999999", BsnError::Placeholder),
        ];
        for (text, error) in cases {
            assert!(Bsn::parse(text).err() == Some(error), "{text:?}");
        }
    }

    #[test]
    fn the_canonical_input_is_pinned() {
        let bsn = Bsn::parse("999900006").unwrap();
        assert_eq!(bsn.canonical_input().as_slice(), br#"{"landCode":"NL","type":"BSN","value":"999900006"}"#);
    }

    #[test]
    fn a_dropped_zero_is_put_back() {
        // 10000008: 8·1 + 10·8 = 88 = 8·11.
        let (short, long) = (Bsn::parse("10000008").unwrap(), Bsn::parse("010000008").unwrap());
        assert!(short.canonical_input() == long.canonical_input());
    }

    #[test]
    fn one_wrong_digit_never_passes() {
        for place in 0..9 {
            for digit in b'0'..=b'9' {
                let mut text = *b"999900006";
                if text[place] != digit {
                    text[place] = digit;
                    assert!(Bsn::parse(std::str::from_utf8(&text).unwrap()).is_err());
                }
            }
        }
    }
}
