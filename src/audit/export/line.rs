//! An event as a line of JSON.

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

use crate::api::v1;

/// An [`v1::Event`] with the names of ProtoJSON: what is empty is left out, a word of a vocabulary is its name in the API. A time is
/// always written with microseconds, in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the API says what each field means")]
pub struct Line {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organisation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_ref: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub article: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub covenant_version: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clauses: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub case: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub form: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub record: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub emergency: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub motivation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_hash: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub via: String,
}

/// A line that is no event, and which field of it says so. Never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not what an event has there")]
pub struct NotALine(pub &'static str);

impl Line {
    /// The moment, in microseconds since the epoch.
    pub(super) fn micros(&self) -> Option<i64> {
        let nanos = parse(&self.time)?.unix_timestamp_nanos();
        i64::try_from(nanos / 1000).ok().filter(|_| nanos % 1000 == 0)
    }

    /// The event's id: its name without the collection.
    pub(super) fn id(&self) -> &str {
        bare(&self.name)
    }

    /// What became of the data, as DICOM's audit life cycle has it. Nothing becomes of it by a refusal.
    pub(super) fn life_cycle(&self) -> &'static str {
        match self.action.as_str() {
            _ if self.outcome != "OUTCOME_ALLOWED" => "",
            "C" => "1",
            "R" => LOOKED_AT,
            "U" => "3",
            "D" => "14",
            _ => "",
        }
    }
}

/// The step of the life cycle that a list is for each case in it.
pub(super) const LOOKED_AT: &str = "6";

/// A resource name without its collection: the OIN of partners/{oin}.
pub(super) fn bare(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, id)| id)
}

/// A word of the API without the name of its vocabulary: R05 of `ROLE_R05`.
pub(super) fn word(name: &str) -> &str {
    name.split_once('_').map_or(name, |(_, word)| word)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

const MICROS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
/// For a moment that falls between two microseconds, which no hub writes.
const NANOS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z");

/// Nothing for what is no moment of the years 1 to 9999.
fn print(at: Timestamp) -> Option<String> {
    let nanos = u32::try_from(at.nanos).ok()?;
    let at = OffsetDateTime::from_unix_timestamp(at.seconds).ok()?.replace_nanosecond(nanos).ok()?;
    let format = if nanos % 1000 == 0 { MICROS } else { NANOS };
    (at.year() >= 1).then(|| at.format(format).ok()).flatten()
}

/// Exactly what [`print`] writes.
fn parse(text: &str) -> Option<OffsetDateTime> {
    let (moment, fraction) = text.strip_suffix('Z')?.split_once('.')?;
    let nanos = match fraction.len() {
        6 => fraction.parse::<u32>().ok()?.checked_mul(1000)?,
        9 => fraction.parse().ok()?,
        _ => return None,
    };
    let mut numbers = moment.split(['-', 'T', ':']).map(|number| number.parse::<u16>().ok());
    let mut number = || numbers.next().flatten();
    let year = number()?;
    let mut short = || number().and_then(|number| u8::try_from(number).ok());
    let (month, day) = (short()?.try_into().ok()?, short()?);
    let date = Date::from_calendar_date(year.into(), month, day).ok()?;
    let at = date.with_time(Time::from_hms_nano(short()?, short()?, short()?, nanos).ok()?).assume_utc();
    // There is one way to write it.
    let stamp = Timestamp { seconds: at.unix_timestamp(), nanos: i32::try_from(nanos).ok()? };
    (print(stamp)? == text).then_some(at)
}

/// The name of a number; of one that this version does not know, the number.
fn name<E: TryFrom<i32>>(number: i32, name: impl Fn(&E) -> &'static str) -> String {
    E::try_from(number).map_or_else(|_| number.to_string(), |word| name(&word).to_owned())
}

fn name_unless_zero<E: TryFrom<i32>>(number: i32, as_name: impl Fn(&E) -> &'static str) -> String {
    if number == 0 { String::new() } else { name(number, as_name) }
}

/// The number of a name, as [`name`] writes it.
fn number<E: TryFrom<i32> + Into<i32>>(
    text: &str,
    field: &'static str,
    from_name: impl Fn(&str) -> Option<E>,
) -> Result<i32, NotALine> {
    let strange =
        || text.parse().ok().filter(|number: &i32| number.to_string() == text && E::try_from(*number).is_err());
    from_name(text).map(Into::into).or_else(strange).ok_or(NotALine(field))
}

fn number_or_zero<E: TryFrom<i32> + Into<i32>>(
    text: &str,
    field: &'static str,
    from_name: impl Fn(&str) -> Option<E>,
) -> Result<i32, NotALine> {
    if text.is_empty() {
        return Ok(0);
    }
    number(text, field, from_name).and_then(|number| if number == 0 { Err(NotALine(field)) } else { Ok(number) })
}

impl From<&v1::Event> for Line {
    /// A time that is no moment is left out; nothing else is lost.
    fn from(event: &v1::Event) -> Self {
        let v1::Event {
            name: event_name,
            time,
            method,
            action,
            outcome,
            reason,
            organisation,
            user_ref,
            role,
            purpose,
            article,
            covenant_version,
            clauses,
            case,
            subject,
            categories,
            form,
            recipients,
            record,
            consents,
            emergency,
            motivation,
            key_hash,
            node,
            trace_id,
            source,
            erased,
            listed,
            via,
        } = event.clone();
        Self {
            name: event_name,
            time: time.and_then(print).unwrap_or_default(),
            method,
            action,
            outcome: name_unless_zero(outcome, v1::Outcome::as_str_name),
            reason,
            organisation,
            user_ref,
            role: name_unless_zero(role, v1::Role::as_str_name),
            purpose,
            article,
            covenant_version,
            clauses,
            case,
            subject,
            categories: categories.into_iter().map(|number| name(number, v1::Category::as_str_name)).collect(),
            form: name_unless_zero(form, v1::Form::as_str_name),
            recipients,
            record,
            consents,
            emergency,
            motivation,
            key_hash,
            node,
            trace_id,
            source,
            erased,
            listed,
            via,
        }
    }
}

impl TryFrom<Line> for v1::Event {
    type Error = NotALine;

    fn try_from(line: Line) -> Result<Self, NotALine> {
        let time = match line.time.as_str() {
            "" => None,
            text => {
                let at = parse(text).ok_or(NotALine("time"))?;
                let nanos = i32::try_from(at.nanosecond()).map_err(|_| NotALine("time"))?;
                Some(Timestamp { seconds: at.unix_timestamp(), nanos })
            }
        };
        let category = |text: &String| number(text, "categories", v1::Category::from_str_name);
        Ok(Self {
            time,
            outcome: number_or_zero(&line.outcome, "outcome", v1::Outcome::from_str_name)?,
            role: number_or_zero(&line.role, "role", v1::Role::from_str_name)?,
            categories: line.categories.iter().map(category).collect::<Result<_, _>>()?,
            form: number_or_zero(&line.form, "form", v1::Form::from_str_name)?,
            name: line.name,
            method: line.method,
            action: line.action,
            reason: line.reason,
            organisation: line.organisation,
            user_ref: line.user_ref,
            purpose: line.purpose,
            article: line.article,
            covenant_version: line.covenant_version,
            clauses: line.clauses,
            case: line.case,
            subject: line.subject,
            recipients: line.recipients,
            record: line.record,
            consents: line.consents,
            emergency: line.emergency,
            motivation: line.motivation,
            key_hash: line.key_hash,
            node: line.node,
            trace_id: line.trace_id,
            source: line.source,
            erased: line.erased,
            listed: line.listed,
            via: line.via,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(line: &Line) -> Result<v1::Event, NotALine> {
        let text = serde_json::to_string(line).unwrap();
        let read: Line = serde_json::from_str(&text).unwrap();
        assert_eq!(read, *line);
        read.try_into()
    }

    #[test]
    fn a_line_reads_as_the_api_does() {
        let event = v1::Event {
            name: "events/e".into(),
            time: Some(Timestamp { seconds: 1_800_000_000, nanos: 7_000 }),
            outcome: v1::Outcome::Allowed.into(),
            user_ref: "mdw-1".into(),
            role: v1::Role::R05.into(),
            covenant_version: 1,
            categories: vec![v1::Category::C01.into(), 99],
            form: v1::Form::Open.into(),
            emergency: true,
            key_hash: "ab".into(),
            ..v1::Event::default()
        };
        let line = Line::from(&event);
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"name":"events/e","time":"2027-01-15T08:00:00.000007Z","outcome":"OUTCOME_ALLOWED","userRef":"mdw-1","role":"ROLE_R05","covenantVersion":1,"categories":["CATEGORY_C01","99"],"form":"FORM_OPEN","emergency":true,"keyHash":"ab"}"#
        );
        assert_eq!(line.micros(), Some(1_800_000_000_000_007));
        assert_eq!(back(&line), Ok(event));
        assert_eq!(serde_json::to_string(&Line::default()).unwrap(), "{}");
    }

    #[test]
    fn what_is_no_event_is_refused_by_its_field() {
        for (text, field) in [
            (r#"{"time":"2027-01-15T08:00:00Z"}"#, "time"),
            (r#"{"time":"2027-01-15T08:00:00.000007+01:00"}"#, "time"),
            (r#"{"time":"2027-01-15T08:00:00.000007000Z"}"#, "time"),
            (r#"{"outcome":"OUTCOME_UNSPECIFIED"}"#, "outcome"),
            (r#"{"outcome":"allowed"}"#, "outcome"),
            (r#"{"role":"5"}"#, "role"),
            (r#"{"role":"+99"}"#, "role"),
            (r#"{"form":"FORM_X"}"#, "form"),
            (r#"{"categories":["C01"]}"#, "categories"),
        ] {
            let line: Line = serde_json::from_str(text).unwrap();
            assert_eq!(v1::Event::try_from(line), Err(NotALine(field)), "{text}");
        }
        for text in [r#"{"stranger":1}"#, r#"{"name":"a","name":"b"}"#, r#"{"user_ref":"a"}"#] {
            assert!(serde_json::from_str::<Line>(text).is_err(), "{text}");
        }
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(any::<String>(), 0..4)
    }

    prop_compose! {
        fn event()(
            text in prop::collection::vec(any::<String>(), 16),
            lists in prop::collection::vec(texts(), 5),
            time in prop::option::of((-62_135_596_800_i64..=253_402_300_799, 0..1_000_000)),
            outcome in any::<i32>(), known in any::<bool>(), role in 0..20, form in 0..7,
            categories in prop::collection::vec(prop_oneof![0..26, any::<i32>()], 0..5),
            covenant_version in any::<u32>(), emergency in any::<bool>(),
        ) -> v1::Event {
            let mut text = text.into_iter();
            let mut text = || text.next().unwrap();
            let mut lists = lists.into_iter();
            let mut list = || lists.next().unwrap();
            v1::Event {
                name: text(), method: text(), action: text(), reason: text(), organisation: text(), user_ref: text(),
                purpose: text(), article: text(), case: text(), subject: text(), record: text(), motivation: text(),
                key_hash: text(), node: text(), trace_id: text(), source: String::new(),
                clauses: list(), recipients: list(), consents: list(), erased: list(), listed: list(), via: text(),
                time: time.map(|(seconds, micros)| Timestamp { seconds, nanos: micros * 1000 }),
                outcome: if known { outcome.rem_euclid(4) } else { outcome },
                role, form, categories, covenant_version, emergency,
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_on_the_way_there_and_back(event in event()) {
            prop_assert_eq!(back(&Line::from(&event)), Ok(event));
        }

        #[test]
        fn any_text_for_a_time_is_read_or_refused(text in "([0-9TZ:.+-]{0,31}|[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9][.][0-9+]{5,10}Z)") {
            if let Some(at) = parse(&text) {
                let nanos = i32::try_from(at.nanosecond()).unwrap();
                prop_assert_eq!(print(Timestamp { seconds: at.unix_timestamp(), nanos }), Some(text));
            }
        }
    }
}
