//! What content may look like: a closed list of schemas, as data. A form is checked before it is sealed, because
//! nobody can check it afterwards.

use serde_json::{Map, Value};

use crate::party::{Category, Form};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Longest text in a form that is meant to identify nobody, in characters.
const SHORT_TEXT: usize = 200;

/// One schema.
pub(super) struct Schema {
    /// Name in the API, with its version.
    pub(super) name: &'static str,
    /// Categories that it may carry; empty: every one but those with a form of their own ([`OWN_FORM_ONLY`]).
    categories: &'static [Category],
    /// Forms that it may have; empty: every one.
    forms: &'static [Form],
    /// Largest content in bytes.
    pub(super) max: u64,
    /// What the content is.
    pub(super) kind: Kind,
}

/// What content is.
pub(super) enum Kind {
    /// Anything.
    Bytes,
    /// UTF-8.
    Text,
    /// One JSON object.
    Json(&'static Json),
}

/// What a JSON form holds.
pub(super) struct Json {
    required: &'static [&'static str],
    /// Allowed beside the required ones; `None`: whatever the sender adds.
    optional: Option<&'static [&'static str]>,
    /// Text that could point at a person is refused: longer than 200 characters, or with a date or a postcode in it.
    unidentifying: bool,
}

/// Categories that identify nobody only because their form has no room for it: nothing else carries them.
const OWN_FORM_ONLY: &[Category] = &[Category::C18];

/// Every schema.
pub(super) const SCHEMAS: &[Schema] = &[
    // The request for help and the voice of youth and parents (article 10).
    Schema {
        name: "sluis/aanmelding-hulpvraag/v1",
        categories: &[Category::C06],
        forms: &[],
        max: 256 * KIB,
        kind: Kind::Json(&Json { required: &["hulpvraag", "stem_jeugdige"], optional: None, unidentifying: false }),
    },
    // A placement profile (article 19): closed fields only.
    Schema {
        name: "sluis/plaatsingsprofiel/v1",
        categories: &[Category::C18],
        forms: &[],
        max: 16 * KIB,
        kind: Kind::Json(&Json {
            required: &["leeftijdsklasse", "zorgvorm", "regio"],
            optional: Some(&["zekerheden"]),
            unidentifying: true,
        }),
    },
    // An anonymous question to the expert team (article 9).
    Schema {
        name: "sluis/consultatie/v1",
        categories: &[Category::C03, Category::C06, Category::C08],
        forms: &[Form::P, Form::L, Form::A, Form::Open],
        max: 64 * KIB,
        kind: Kind::Json(&Json {
            required: &["leeftijdsklasse", "vraag"],
            optional: Some(&["voorgeschiedenis"]),
            unidentifying: true,
        }),
    },
    Schema { name: "sluis/tekst/v1", categories: &[], forms: &[], max: MIB, kind: Kind::Text },
    // Any bytes: nobody can look into them, so only where the person may be known anyway.
    Schema { name: "sluis/bestand/v1", categories: &[], forms: &[Form::I], max: 25 * MIB, kind: Kind::Bytes },
];

/// The schema of this name.
pub(super) fn find(name: &str) -> Option<&'static Schema> {
    SCHEMAS.iter().find(|schema| schema.name == name)
}

impl Schema {
    /// Whether a record of this category and form may carry it.
    pub(super) fn carries(&self, category: Category, form: Form) -> bool {
        let own = self.categories.contains(&category);
        let any = self.categories.is_empty() && !OWN_FORM_ONLY.contains(&category);
        (own || any) && (self.forms.is_empty() || self.forms.contains(&form))
    }
}

impl Json {
    /// What is wrong with a form. Never says what stands in it.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn check(&self, form: &Value) -> Result<(), &'static str> {
        let Value::Object(form) = form else {
            return Err("one JSON object in UTF-8");
        };
        if !self.required.iter().all(|name| form.get(*name).is_some_and(is_filled)) {
            return Err("every required field of the schema, filled in");
        }
        let known = |name: &str| self.required.contains(&name) || self.optional.is_none_or(|more| more.contains(&name));
        if !form.keys().all(|name| known(name)) {
            return Err("no other fields than those of the schema");
        }
        if self.unidentifying { without_identity(form) } else { Ok(()) }
    }
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

fn without_identity(form: &Map<String, Value>) -> Result<(), &'static str> {
    form.values().try_for_each(|value| unidentifying(value, true))
}

/// Texts, numbers, and lists of them: nothing deeper.
fn unidentifying(value: &Value, may_nest: bool) -> Result<(), &'static str> {
    match value {
        Value::String(text) if text.chars().count() > SHORT_TEXT => Err("texts of at most 200 characters"),
        Value::String(text) if has_date(text) => Err("texts without dates: an age class or a year is enough"),
        Value::String(text) if has_postcode(text) => Err("texts without postcodes: the region is enough"),
        Value::Array(list) if may_nest => list.iter().try_for_each(|value| unidentifying(value, false)),
        Value::Array(_) | Value::Object(_) => Err("texts, or lists of texts"),
        _ => Ok(()),
    }
}

/// Day, month and year in figures, in either order, joined by one of `- / .` or a space.
fn has_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(|c: char| !(c.is_ascii_digit() || "-/. ".contains(c))).collect();
    parts.iter().any(|run| {
        let numbers: Vec<&str> = run.split(['-', '/', '.', ' ']).collect();
        numbers.windows(3).any(|three| match three {
            [a, b, c] => {
                let within = |text: &str, low, high| text.parse::<u32>().is_ok_and(|n| (low..=high).contains(&n));
                let year = |text: &str| (text.len() == 4 && within(text, 1900, 2199)) || text.len() == 2;
                (within(a, 1, 31) && within(b, 1, 12) && year(c))
                    || (a.len() == 4 && year(a) && within(b, 1, 12) && within(c, 1, 31))
            }
            _ => false,
        })
    })
}

/// Four digits, not starting with 0, and two letters, with or without a space: `7511 AB`. No digit or letter around it.
fn has_postcode(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|start| {
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        let rest = bytes.get(start..).unwrap_or_default();
        let Some((figures, rest)) = rest.split_at_checked(4) else { return false };
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let Some((letters, after)) = rest.split_at_checked(2) else { return false };
        figures.iter().all(u8::is_ascii_digit)
            && !figures.starts_with(b"0")
            && letters.iter().all(u8::is_ascii_uppercase)
            && !before.is_some_and(u8::is_ascii_digit)
            && !after.first().is_some_and(u8::is_ascii_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, content: &str) -> bool {
        match &find(name).unwrap().kind {
            Kind::Json(json) => serde_json::from_str(content).is_ok_and(|form| json.check(&form).is_ok()),
            Kind::Text | Kind::Bytes => true,
        }
    }

    #[test]
    fn names_are_those_of_headers_and_different() {
        for (index, schema) in SCHEMAS.iter().enumerate() {
            assert!(schema.name.parse::<crate::seal::SchemaName>().is_ok());
            assert!(SCHEMAS[..index].iter().all(|other| other.name != schema.name));
            assert!(schema.max <= crate::seal::MAX_CONTENT_LEN);
        }
        assert!(find("sluis/anders/v1").is_none());
    }

    #[test]
    fn a_schema_carries_its_own_categories() {
        let profile = find("sluis/plaatsingsprofiel/v1").unwrap();
        assert!(profile.carries(Category::C18, Form::P));
        assert!(!profile.carries(Category::C09, Form::P));
        let question = find("sluis/consultatie/v1").unwrap();
        assert!(question.carries(Category::C06, Form::P) && !question.carries(Category::C06, Form::I));
        assert!(find("sluis/tekst/v1").unwrap().carries(Category::C09, Form::I));
        for form in Form::ALL {
            let carriers = SCHEMAS.iter().filter(|schema| schema.carries(Category::C18, *form));
            assert!(carriers.map(|schema| schema.name).eq(["sluis/plaatsingsprofiel/v1"]), "{form}");
            let file = find("sluis/bestand/v1").unwrap();
            assert_eq!(file.carries(Category::C06, *form), *form == Form::I, "{form}");
        }
    }

    #[test]
    fn a_placement_profile_points_at_nobody() {
        let name = "sluis/plaatsingsprofiel/v1";
        let good =
            r#"{"leeftijdsklasse":"12-15","zorgvorm":"gezinshuis","regio":"Twente","zekerheden":["school dichtbij"]}"#;
        assert!(check(name, good));
        for bad in [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            good.replace("\"Twente\"", "\" \""),
            good.replace("\"Twente\"", "null"),
            good.replace("\"regio\"", "\"plaats\""),
            good.replace("\"zekerheden\"", "\"naam\""),
            good.replace("Twente", &"x".repeat(201)),
            good.replace("Twente", "7511 AB"),
            good.replace("school dichtbij", "geboren 03-04-2012"),
            good.replace("school dichtbij", "geboren 2012-04-03"),
            good.replace("[\"school dichtbij\"]", "[[\"x\"]]"),
            good.replace("[\"school dichtbij\"]", "{\"naam\":\"x\"}"),
            format!("{good}{good}"),
        ] {
            assert!(!check(name, &bad), "{bad}");
        }
    }

    #[test]
    fn other_forms_need_their_fields() {
        assert!(check("sluis/aanmelding-hulpvraag/v1", r#"{"hulpvraag":"x","stem_jeugdige":"y","toelichting":"z"}"#));
        assert!(!check("sluis/aanmelding-hulpvraag/v1", r#"{"hulpvraag":"x"}"#));
        assert!(check("sluis/consultatie/v1", r#"{"leeftijdsklasse":"16-17","vraag":"Wat helpt?"}"#));
        assert!(!check("sluis/consultatie/v1", r#"{"leeftijdsklasse":"16-17","vraag":"Woont op 7511AB 3"}"#));
    }

    #[test]
    fn dates_and_postcodes_are_seen_and_other_numbers_are_not() {
        for text in ["3-4-2012", "op 03/04/2012", "2012-04-03", "3.4.12", "31 12 2026"] {
            assert!(has_date(text), "{text}");
        }
        for text in ["", "12-15", "2026", "art. 3.4", "40-50-2012", "1 op 2"] {
            assert!(!has_date(text), "{text}");
        }
        for text in ["7511 AB", "7511AB", "te 7511AB."] {
            assert!(has_postcode(text), "{text}");
        }
        for text in ["", "7511", "0511 AB", "17511AB", "2026 en", "C18 2026 AVG"] {
            assert!(!has_postcode(text), "{text}");
        }
    }
}
