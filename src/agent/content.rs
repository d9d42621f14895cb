//! Content on its way to be sealed: its size, its schema, and no citizen service number in it, however it was cut into
//! pieces. What is wrong is said without a word of the content.

use ring::digest;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use super::schema::{Kind, Schema};
use super::strict_json;
use crate::pseudonym::contains_bsn;

/// Longest run of figures and joints that is kept back to wait for its end, in bytes.
const LONGEST_RUN: usize = 8192;

/// Why content is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A citizen service number in text.
    Bsn,
    /// Not what the schema says: what was expected.
    Malformed(&'static str),
}

/// Content as it comes in, piece by piece.
pub(super) struct Content {
    schema: &'static Schema,
    scan: TextScan,
    size: u64,
    hash: digest::Context,
    /// The whole, for forms only; they are small.
    form: Zeroizing<Vec<u8>>,
}

impl Content {
    pub(super) fn new(schema: &'static Schema) -> Self {
        Self {
            schema,
            scan: TextScan::default(),
            size: 0,
            hash: digest::Context::new(&digest::SHA256),
            form: Zeroizing::default(),
        }
    }

    /// Looks at the next piece, before it is sealed.
    ///
    /// # Errors
    /// [`Wrong::Malformed`] as soon as there is more than the schema allows.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Wrong> {
        self.size = self.size.saturating_add(piece.len() as u64);
        if self.size > self.schema.max {
            return Err(Wrong::Malformed("no more than the schema allows, and never more than 25 MiB"));
        }
        if matches!(self.schema.kind, Kind::Json(_)) {
            self.form.extend_from_slice(piece);
        }
        self.hash.update(piece);
        self.scan.push(piece);
        Ok(())
    }

    /// Looks at the whole; returns its SHA-256.
    ///
    /// # Errors
    /// [`Wrong`].
    pub(super) fn finish(self) -> Result<[u8; 32], Wrong> {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.clone().finish().as_ref());
        self.judge().map(|()| sha256)
    }

    fn judge(self) -> Result<(), Wrong> {
        let found = self.scan.finish();
        if found == Found::Bsn {
            return Err(Wrong::Bsn);
        }
        match &self.schema.kind {
            Kind::Bytes => Ok(()),
            Kind::Text if found == Found::NoText => Err(Wrong::Malformed("text in UTF-8")),
            Kind::Text => Ok(()),
            Kind::Json(json) => {
                let form = strict_json::read(&self.form).filter(|_| found != Found::NoText);
                let form =
                    form.ok_or(Wrong::Malformed("one JSON object in UTF-8, without a name that stands twice"))?;
                // Escapes hide a number from a scan of the bytes.
                if hides_bsn(&form) {
                    return Err(Wrong::Bsn);
                }
                json.check(&form).map_err(Wrong::Malformed)
            }
        }
    }
}

fn hides_bsn(value: &Value) -> bool {
    match value {
        Value::String(text) => contains_bsn(text),
        Value::Number(number) => contains_bsn(&number.to_string()),
        Value::Array(list) => list.iter().any(hides_bsn),
        Value::Object(fields) => fields.iter().any(|(name, value)| contains_bsn(name) || hides_bsn(value)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// What a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Bsn,
    /// Not UTF-8 as a whole: no text, so nothing was read in it.
    NoText,
}

/// Looks for citizen service numbers in pieces of text, across their borders.
///
/// A number may end in the next piece, so what follows the last letter or mark that no number holds is kept back.
struct TextScan {
    /// The start of a character that the next piece completes.
    partial: Zeroizing<Vec<u8>>,
    kept: Zeroizing<String>,
    is_text: bool,
    found: bool,
}

impl Default for TextScan {
    fn default() -> Self {
        Self { partial: Zeroizing::default(), kept: Zeroizing::default(), is_text: true, found: false }
    }
}

impl TextScan {
    fn push(&mut self, piece: &[u8]) {
        if !self.is_text {
            return;
        }
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(piece);
        let valid = match std::str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => {
                self.is_text = false;
                return;
            }
        };
        let (text, rest) = bytes.split_at_checked(valid).unwrap_or_default();
        self.kept.push_str(std::str::from_utf8(text).unwrap_or_default());
        self.partial.extend_from_slice(rest);
        self.settle();
    }

    fn settle(&mut self) {
        let border = match self.kept.rfind(is_border) {
            Some(border) => border,
            // Nothing but figures and joints for pages: read it as it is, and keep enough for a number that goes on.
            None if self.kept.len() > LONGEST_RUN => {
                let from_end = self.kept.char_indices().rev().nth(63).map_or(0, |(at, _)| at);
                self.found |= contains_bsn(&self.kept);
                from_end
            }
            None => return,
        };
        self.found |= self.kept.get(..border).is_some_and(contains_bsn);
        let rest = Zeroizing::new(self.kept.get(border..).unwrap_or_default().to_owned());
        self.kept.zeroize();
        self.kept.push_str(&rest);
    }

    fn finish(self) -> Found {
        if !self.is_text || !self.partial.is_empty() {
            return Found::NoText;
        }
        if self.found || contains_bsn(&self.kept) { Found::Bsn } else { Found::Nothing }
    }
}

/// A character that no number holds, in any spelling; a test compares with the scan itself.
fn is_border(c: char) -> bool {
    c.is_alphabetic()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::schema;
    use proptest::prelude::*;

    fn judge(name: &str, pieces: &[&[u8]]) -> Result<(), Wrong> {
        let mut content = Content::new(schema::find(name).unwrap());
        for piece in pieces {
            content.push(piece)?;
        }
        content.finish().map(|_| ())
    }

    #[test]
    fn a_number_is_found_across_every_border() {
        let text = "Ik schrijf over 999 900 006, geboren te Almelo.".as_bytes();
        for cut in 0..text.len() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(judge("sluis/tekst/v1", &[head, tail]), Err(Wrong::Bsn), "{cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(judge("sluis/bestand/v1", &single), Err(Wrong::Bsn));
    }

    #[test]
    fn a_longer_number_is_none_wherever_it_is_cut() {
        // Eight digits that pass with a zero before them, as the start of eleven.
        let text = b"kenmerk 10000008123 en 00000099100001410000";
        for cut in 0..text.len() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(judge("sluis/tekst/v1", &[head, tail]), Ok(()), "{cut}");
        }
    }

    /// What joins figures to a number for the scan must not part them here.
    #[test]
    fn nothing_that_joins_is_a_border() {
        for c in (0..0x3000).filter_map(char::from_u32).chain(['．', '－', '\u{feff}']) {
            for text in [format!("999{c}900{c}006"), format!("99990000{c}6")] {
                let found = contains_bsn(&text);
                let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
                assert_eq!(judge("sluis/bestand/v1", &single) == Err(Wrong::Bsn), found, "{c:?}");
                assert!(!(found && is_border(c)), "{c:?}");
            }
        }
    }

    #[test]
    fn characters_may_be_cut_too() {
        let text = "één ９９９９００００６ twee".as_bytes();
        for cut in 0..text.len() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(judge("sluis/tekst/v1", &[head, tail]), Err(Wrong::Bsn), "{cut}");
        }
    }

    #[test]
    fn what_is_no_text_is_not_read_as_text() {
        let bytes: &[&[u8]] = &[b"999900006 \xff\xfe"];
        assert_eq!(judge("sluis/bestand/v1", bytes), Ok(()));
        assert_eq!(judge("sluis/tekst/v1", bytes), Err(Wrong::Malformed("text in UTF-8")));
        // Cut off in the middle of a character.
        assert_eq!(judge("sluis/tekst/v1", &[b"caf\xc3"]), Err(Wrong::Malformed("text in UTF-8")));
    }

    #[test]
    fn pages_of_figures_are_read_in_bounded_memory() {
        let mut content = Content::new(schema::find("sluis/bestand/v1").unwrap());
        for _ in 0..100 {
            content.push("1234.".repeat(1000).as_bytes()).unwrap();
            assert!(content.scan.kept.len() < 2 * LONGEST_RUN);
        }
        content.push(b" 999900006 ").unwrap();
        assert_eq!(content.finish(), Err(Wrong::Bsn));
    }

    #[test]
    fn the_limit_holds_for_the_whole() {
        let piece = vec![b'x'; 1 << 20];
        let mut content = Content::new(schema::find("sluis/bestand/v1").unwrap());
        for _ in 0..25 {
            content.push(&piece).unwrap();
        }
        assert!(content.push(b"x").is_err());
        assert!(judge("sluis/tekst/v1", &[&piece, b"x"]).is_err());
    }

    #[test]
    fn an_escape_hides_nothing() {
        let form = br#"{"hulpvraag":"over \u0039\u0039\u0039900006","stem_jeugdige":"x"}"#;
        assert_eq!(judge("sluis/aanmelding-hulpvraag/v1", &[form]), Err(Wrong::Bsn));
        let number = br#"{"hulpvraag":"x","stem_jeugdige":"x","nummer":9.99900006e8}"#;
        assert_eq!(judge("sluis/aanmelding-hulpvraag/v1", &[number]), Err(Wrong::Bsn));
        let good = br#"{"hulpvraag":"x","stem_jeugdige":"y"}"#;
        assert_eq!(judge("sluis/aanmelding-hulpvraag/v1", &[good]), Ok(()));
    }

    #[test]
    fn a_second_value_under_one_name_hides_nothing() {
        // Some readers keep the first, some the last.
        let form = |first: &str, last: &str| {
            format!(
                r#"{{"leeftijdsklasse":"12-15","zorgvorm":"gezinshuis","regio":{first},"zekerheden":["x"],"regio":{last}}}"#
            )
        };
        for form in [form("\"Jan de Vries, Kerkstraat 3\"", "\"Twente\""), form("\"Twente\"", "\"Twente\"")] {
            let refusal = judge("sluis/plaatsingsprofiel/v1", &[form.as_bytes()]);
            assert!(matches!(refusal, Err(Wrong::Malformed(_))), "{form}");
        }
        let nested = br#"{"hulpvraag":{"a":"x","a":"y"},"stem_jeugdige":"z"}"#;
        assert!(matches!(judge("sluis/aanmelding-hulpvraag/v1", &[nested]), Err(Wrong::Malformed(_))));
        let no_text = b"{\"hulpvraag\":\"\xff\",\"stem_jeugdige\":\"z\"}";
        assert!(matches!(judge("sluis/aanmelding-hulpvraag/v1", &[no_text]), Err(Wrong::Malformed(_))));
    }

    proptest! {
        #[test]
        fn cutting_never_changes_the_verdict(text in "[0-9 .,/_a:-]{0,40}", cut in 0..40_usize) {
            let whole = judge("sluis/tekst/v1", &[text.as_bytes()]);
            prop_assert_eq!(whole == Err(Wrong::Bsn), contains_bsn(&text));
            let (head, tail) = text.as_bytes().split_at(cut.min(text.len()));
            prop_assert_eq!(judge("sluis/tekst/v1", &[head, tail]), whole);
        }
    }
}
