//! Finding a citizen service number in text that must not hold one (G3, reason `BSN_IN_TEXT`).
//!
//! Meant for free text. Typed fields (identifiers, hashes, times) are kept clean by their types, not by this scan:
//! one in eleven of all nine-digit numbers passes the elfproef.

use super::bsn::passes_elfproef;

/// Whether the text holds what reads as a citizen service number:
///
/// - exactly nine digits in a row that pass the elfproef;
/// - exactly eight digits in a row that pass with the leading zero that a spreadsheet dropped;
/// - groups of digits, parted by one to three characters that are neither letter nor digit, that make nine digits and pass.
///
/// Decimal digits of every script count, raised and lowered ones too, and invisible characters are skipped. A number that is part of a longer one (an OIN
/// of twenty digits, an amount with thousands separators) does not count, nor does one that leans on a calendar date.
pub fn contains_bsn(text: &str) -> bool {
    let groups = digit_groups(text);
    (0..groups.len()).any(|start| groups.get(start..).is_some_and(|rest| starts_with_bsn(before(&groups, start), rest)))
}

/// Digits in a row.
struct Group {
    /// The number they make; meaningless past nine digits.
    value: u32,
    digits: u32,
    /// The character that joins this group to the one before it.
    joined_by: Option<Joint>,
}

/// What parts two groups.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Space,
    Dot,
    Hyphen,
    Other(char),
    /// Two or three characters.
    Run,
}

/// Characters that may stand between two groups of one number.
const LONGEST_GAP: u8 = 3;

fn digit_groups(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut gap = Gap::Wall;
    for c in text.chars().filter(|c| !is_invisible(*c)) {
        if let Some(digit) = digit_value(c) {
            match (gap, groups.last_mut()) {
                (Gap::Nothing, Some(group)) => group.append(digit),
                (Gap::Joint(joint, _), Some(_)) => {
                    groups.push(Group { value: digit, digits: 1, joined_by: Some(joint) })
                }
                _ => groups.push(Group { value: digit, digits: 1, joined_by: None }),
            }
            gap = Gap::Nothing;
        } else {
            gap = match (gap, joint(c)) {
                (Gap::Nothing, Some(joint)) => Gap::Joint(joint, 1),
                (Gap::Joint(_, length), Some(_)) if length < LONGEST_GAP => Gap::Joint(Joint::Run, length + 1),
                _ => Gap::Wall,
            };
        }
    }
    groups
}

/// What stands between the last digit and here.
#[derive(Clone, Copy)]
enum Gap {
    Nothing,
    /// What, and how many characters.
    Joint(Joint, u8),
    Wall,
}

impl Group {
    fn append(&mut self, digit: u32) {
        self.digits = self.digits.saturating_add(1);
        if self.digits <= 9 {
            self.value = self.value * 10 + digit;
        }
    }
}

/// The joint on the left of the group at `start`.
fn before(groups: &[Group], start: usize) -> Option<Joint> {
    groups.get(start).and_then(|group| group.joined_by)
}

fn starts_with_bsn(left: Option<Joint>, groups: &[Group]) -> bool {
    let Some(first) = groups.first() else { return false };
    if matches!(first.digits, 8 | 9) && number_passes(first.value) {
        return true;
    }
    if first.digits >= 9 {
        return false;
    }
    let (mut value, mut digits, mut inner) = (0, 0, Vec::new());
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            let Some(joint) = group.joined_by else { return false };
            inner.push(joint);
        }
        digits += group.digits;
        if digits > 9 {
            return false;
        }
        value = value * 10_u32.pow(group.digits) + group.value;
        if digits == 9 {
            let right = groups.get(index + 1).and_then(|next| next.joined_by);
            let window = groups.get(..=index).unwrap_or_default();
            // Joined outside in the same way as inside: a slice of a longer number.
            let longer = [left, right].into_iter().flatten().any(|joint| inner.contains(&joint));
            return !longer && !has_calendar_date(window) && number_passes(value);
        }
    }
    false
}

/// Whether three of the groups are a date `yyyy-mm-dd` (RFC 3339 §5.6).
fn has_calendar_date(groups: &[Group]) -> bool {
    groups.windows(3).any(|window| match window {
        [year, month, day] => {
            (year.digits, month.digits, day.digits) == (4, 2, 2)
                && month.joined_by == Some(Joint::Hyphen)
                && day.joined_by == Some(Joint::Hyphen)
                && (1900..2200).contains(&year.value)
                && (1..=12).contains(&month.value)
                && (1..=31).contains(&day.value)
        }
        _ => false,
    })
}

fn number_passes(value: u32) -> bool {
    let digits = (0..9).rev().map(|power| value / 10_u32.pow(power) % 10);
    value != 0 && passes_elfproef(digits)
}

/// The zeros of Unicode's decimal digits (general category Nd); nine digits follow each.
const ZEROS: [u32; 44] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e950,
    0x1fbf0,
];

fn digit_value(c: char) -> Option<u32> {
    let code = u32::from(c);
    match code {
        // Raised: 1, 2 and 3 stand apart from the others.
        0xb9 => Some(1),
        0xb2 | 0xb3 => Some(code - 0xb0),
        0x2070 | 0x2074..=0x2079 => Some(code - 0x2070),
        0x2080..=0x2089 => Some(code - 0x2080),
        _ => ZEROS.iter().find_map(|zero| code.checked_sub(*zero).filter(|value| *value < 10)),
    }
}

fn joint(c: char) -> Option<Joint> {
    match c {
        ' ' | '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' => Some(Joint::Space),
        '.' | '·' | '．' => Some(Joint::Dot),
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '－' => Some(Joint::Hyphen),
        _ if c.is_alphanumeric() => None,
        _ => Some(Joint::Other(c)),
    }
}

/// Zero-width characters, directional marks and the soft hyphen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_found() {
        for text in [
            "999900006",
            "bsn:999900006.",
            "BSN999900006is van hem",
            "999.900.006",
            "999 900 006",
            "999-900-006",
            "9999.00.006",
            "9-9-9-9-0-0-0-0-6",
            "9999 00006",
            "999 900-006",
            "tel 06 999.900.006",
            "op 2026-11-21 999900006",
            "2 999900006",
            "999900006 2",
            "９９９９００００６",
            "9999\u{200b}00006",
            "99\u{ad}9900006",
            "999\u{a0}900\u{a0}006",
            "999–900–006",
            "10000008",
            "nr. 10000008;",
            "010000008",
            "{\"x\":\"999900006\"}",
            "999900006999.999900006",
            "99990000 6",
            "999  900  006",
            "999, 900, 006",
            "999/900/006",
            "999_900_006",
            "999:900:006",
            "999 . 900 . 006",
            "999\n900\n006",
            "٩٩٩٩٠٠٠٠٦",
            "𝟗𝟗𝟗𝟗𝟎𝟎𝟎𝟎𝟔",
            "⁹⁹⁹⁹⁰⁰⁰⁰⁶",
        ] {
            assert!(contains_bsn(text), "{text:?}");
        }
    }

    #[test]
    fn other_numbers_are_let_through() {
        for text in [
            "",
            "geen nummer",
            "999900007",
            "999.900.007",
            "00000099100001410000",
            "9999000060",
            "0999900006",
            "1.999.900.006",
            "999.900.006.000",
            "999    900    006",
            "999 en 900 en 006",
            "1000-00-08",
            "1000 0008",
            "2026-11-21T20:53:01Z",
            "2026-11-21T20:53:01.999900+01:00",
            "2026-11-21 20:53:01.123456789Z",
            "2026-11-21 3 kinderen",
            "000000000",
            "00000000",
            "0570-612345",
            "7411 AB",
        ] {
            assert!(!contains_bsn(text), "{text:?}");
        }
    }

    fn numbers_of_nine_digits() -> impl Strategy<Value = String> {
        (10_000_000_u32..999_999_999).prop_filter("elfproef", |n| number_passes(*n)).prop_map(|n| format!("{n:09}"))
    }

    proptest! {
        #[test]
        fn any_number_in_any_dress_is_found(
            bsn in numbers_of_nine_digits(),
            joints in proptest::collection::vec(prop::sample::select(vec!["", " ", ".", "-", "\u{200b}"]), 8),
            left in "[a-z ]{0,8}[a-z:]", right in "[a-z,;][a-z ]{0,8}",
        ) {
            let mut dressed = String::new();
            for (index, digit) in bsn.chars().enumerate() {
                dressed.push(digit);
                dressed.push_str(joints.get(index).copied().unwrap_or_default());
            }
            let text = format!("{left}{dressed}{right}");
            // Groups of four, two and two that look like a date are the one dress let through.
            let groups = digit_groups(&text);
            prop_assume!(!has_calendar_date(&groups));
            prop_assert!(contains_bsn(&text));
        }

        #[test]
        fn times_are_never_flagged(
            year in 1900..2200, month in 1..=12, day in 1..=31, hour in 0..24, minute in 0..60, second in 0..60,
            offset in prop::sample::select(vec!["Z", "+01:00", "-02:00"]),
        ) {
            for between in ["T", " "] {
                let time = format!("{year}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{offset}");
                prop_assert!(!contains_bsn(&time));
            }
        }

        #[test]
        fn longer_numbers_are_never_flagged(number in "[0-9]{10,40}") {
            prop_assert!(!contains_bsn(&number));
        }

        #[test]
        fn any_text_is_scanned_without_a_panic(text in any::<String>()) {
            let _ = contains_bsn(&text);
        }
    }
}
