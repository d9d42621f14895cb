//! What stands in a message: walks its wire form by its own description in the API, so that a text field that somebody
//! adds later is looked at too. The agent looks before a message leaves, the hub before it is believed.

use std::collections::HashMap;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message as _};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

use crate::api::v1;
use crate::pseudonym::contains_bsn;

/// Messages within messages; the API has four levels. Deeper ones are not read at all.
const MAX_DEPTH: usize = 16;
/// An opaque token is looked at only when it is this short: a long random one may well hold nine digits in a row.
const SHORT: usize = 12;

/// The messages of the API: which fields hold text.
pub(crate) struct Shapes {
    fields: HashMap<String, HashMap<u32, Field>>,
    inputs: HashMap<String, String>,
}

struct Field {
    name: String,
    kind: Kind,
}

enum Kind {
    Text,
    Message(String),
    Other,
}

/// What a field named `bsn` may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BsnField {
    /// Anything: it becomes something else before the message leaves, and has its own check (the agent).
    CheckedElsewhere,
    /// Nothing: a number never comes this far (the hub).
    Refused,
}

/// The message is not one of that method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message can't be read")]
pub(crate) struct Unreadable;

impl From<DecodeError> for Unreadable {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

/// What was found in a request.
#[derive(Default)]
pub(crate) struct Look {
    /// Paths of the fields that hold a citizen service number.
    pub(crate) dirty: Vec<String>,
    /// Why the call is made, if it says so.
    pub(crate) context: Option<v1::RequestContext>,
    /// `cases/{uuid}`, or empty.
    pub(crate) case: String,
    /// Categories as the caller numbered them.
    pub(crate) categories: Vec<i32>,
    /// Whether the request has an id of its own, by which the hub knows a repeat.
    pub(crate) identified: bool,
}

impl Shapes {
    /// Reads the API's own description.
    ///
    /// # Errors
    /// Never for the description that was compiled in.
    pub(crate) fn of_api() -> Result<Self, DecodeError> {
        let set = FileDescriptorSet::decode(crate::api::DESCRIPTORS)?;
        let mut shapes = Self { fields: HashMap::new(), inputs: HashMap::new() };
        for file in &set.file {
            for message in &file.message_type {
                shapes.add(&format!(".{}", file.package()), message);
            }
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                    shapes.inputs.insert(name, method.input_type().to_owned());
                }
            }
        }
        Ok(shapes)
    }

    fn add(&mut self, parent: &str, message: &DescriptorProto) {
        let name = format!("{parent}.{}", message.name());
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        let field = |field: &prost_types::FieldDescriptorProto| {
            let kind = match field.r#type() {
                Type::String => Kind::Text,
                Type::Message => Kind::Message(field.type_name().to_owned()),
                _ => Kind::Other,
            };
            Some((u32::try_from(field.number()).ok()?, Field { name: field.name().to_owned(), kind }))
        };
        self.fields.insert(name, message.field.iter().filter_map(field).collect());
    }

    /// Looks through the encoded request of `package.Service/Method`.
    ///
    /// # Errors
    /// [`Unreadable`] for a method that the API does not have, and for bytes that are no message of it: what was not
    /// read was not looked at.
    pub(crate) fn look(&self, method: &str, request: &[u8], bsn: BsnField) -> Result<Look, Unreadable> {
        self.look_into(self.inputs.get(method).ok_or(Unreadable)?, request, bsn)
    }

    /// Looks through an encoded message of the named type, `.sluis.v1.Type`.
    ///
    /// # Errors
    /// As [`Shapes::look`].
    pub(crate) fn look_into(&self, message: &str, bytes: &[u8], bsn: BsnField) -> Result<Look, Unreadable> {
        let mut look = Look::default();
        self.walk(message, bytes, &Place { path: "", depth: MAX_DEPTH, bsn }, &mut look)?;
        Ok(look)
    }

    fn walk(&self, message: &str, bytes: &[u8], place: &Place<'_>, look: &mut Look) -> Result<(), Unreadable> {
        let fields = self.fields.get(message).ok_or(Unreadable)?;
        let path = place.path;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (tag, wire) = decode_key(&mut rest)?;
            let field = fields.get(&tag);
            if wire != WireType::LengthDelimited {
                let start = rest;
                skip_field(wire, tag, &mut rest, DecodeContext::default())?;
                if let Some(field) = field.filter(|field| path.is_empty() && field.name == "category") {
                    look.categories.extend(varints(start, 1, &field.name));
                }
                continue;
            }
            let len = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
            let (value, after) = rest.split_at_checked(len).ok_or(Unreadable)?;
            rest = after;
            let Some(field) = field else { continue };
            let here = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
            look.note(&here, value);
            match &field.kind {
                Kind::Text => {
                    let text = std::str::from_utf8(value).map_err(|_| Unreadable)?;
                    if holds_bsn(&field.name, text, place.bsn) {
                        look.dirty.push(here);
                    }
                }
                Kind::Message(name) => {
                    let depth = place.depth.checked_sub(1).ok_or(Unreadable)?;
                    self.walk(name, value, &Place { path: &here, depth, bsn: place.bsn }, look)?;
                }
                Kind::Other => {}
            }
        }
        Ok(())
    }
}

/// Where in a message a walk is.
struct Place<'a> {
    path: &'a str,
    depth: usize,
    bsn: BsnField,
}

impl Look {
    /// Keeps what a report of a refusal says.
    fn note(&mut self, path: &str, value: &[u8]) {
        match path {
            "context" => self.context = v1::RequestContext::decode(value).ok(),
            "case" | "name" => {
                let text = std::str::from_utf8(value).unwrap_or_default();
                if is_case(text) {
                    text.clone_into(&mut self.case);
                }
            }
            "request_id" => self.identified = !value.is_empty(),
            "categories" => self.categories.extend(varints(value, usize::MAX, path)),
            _ => {}
        }
    }
}

fn varints(mut bytes: &[u8], most: usize, _of: &str) -> Vec<i32> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() && numbers.len() < most {
        let Ok(number) = decode_varint(&mut bytes) else { break };
        numbers.extend(i32::try_from(number));
    }
    numbers
}

/// Whether this is `cases/{uuid}` in its one spelling.
fn is_case(name: &str) -> bool {
    let id = name.strip_prefix("cases/").unwrap_or_default();
    uuid::Uuid::try_parse(id).is_ok_and(|uuid| uuid.hyphenated().to_string() == id)
}

/// Whether this is so many hexadecimal digits, and nothing else.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text field holds a number that must not leave. Free text is read as a whole; in names the parts that are
/// UUIDs are left out, because their digits are random; tokens that the hub gave out are looked at only when short.
fn holds_bsn(field: &str, text: &str, bsn: BsnField) -> bool {
    match field {
        "bsn" => bsn == BsnField::Refused && !text.is_empty(),
        // Digits of a hash are random too: an operator must be able to revoke every key, and an officer to find every trace.
        "key_hash" | "replaces" if is_hex(text, 64) => false,
        "trace_id" if is_hex(text, 32) => false,
        "page_token" | "cursor" | "pseudonym" | "etag" => text.len() <= SHORT && contains_bsn(text),
        "reason" | "user_ref" | "purpose" | "text_version" | "display_name" => contains_bsn(text),
        _ => {
            let known = |part| if uuid::Uuid::try_parse(part).is_ok() { "uuid" } else { part };
            contains_bsn(&text.split('/').map(known).collect::<Vec<_>>().join("/"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b0e7d38-7a5c-4a39-9d1c-0a6f3a1e9f10";

    fn context(reason: &str) -> Option<v1::RequestContext> {
        Some(v1::RequestContext { article: "14".into(), reason: reason.into(), ..Default::default() })
    }

    fn look(method: &str, request: &impl prost::Message) -> Look {
        Shapes::of_api().unwrap().look(method, &request.encode_to_vec(), BsnField::CheckedElsewhere).unwrap()
    }

    fn dirty(method: &str, request: &impl prost::Message) -> Vec<String> {
        look(method, request).dirty
    }

    #[test]
    fn a_number_is_found_wherever_it_hides() {
        let case = format!("cases/{UUID}");
        let get = |name: &str, reason: &str| v1::GetCaseRequest {
            context: context(reason),
            name: name.into(),
            ..Default::default()
        };
        assert!(dirty("sluis.v1.Cases/GetCase", &get(&case, "overleg op 2026-11-21")).is_empty());
        assert_eq!(dirty("sluis.v1.Cases/GetCase", &get(&case, "over 999 900 006")), ["context.reason"]);
        assert_eq!(dirty("sluis.v1.Cases/GetCase", &get("cases/999900006", "")), ["name"]);
        assert_eq!(dirty("sluis.v1.Cases/GetCase", &get("999/900/006", "")), ["name"]);
        let consent = v1::RecordConsentRequest {
            scope: Some(v1::ConsentScope { recipients: vec!["partners/999900006".into()], ..Default::default() }),
            text_version: "v1.999900006".into(),
            ..Default::default()
        };
        assert_eq!(dirty("sluis.v1.Consents/RecordConsent", &consent), ["scope.recipients", "text_version"]);
        let stream = v1::StreamInboxRequest { cursor: "999900006".into(), ..Default::default() };
        assert_eq!(dirty("sluis.v1.Inbox/StreamInbox", &stream), ["cursor"]);
    }

    #[test]
    fn digits_of_a_hash_are_random() {
        let revoke = |key_hash: &str| {
            let request = v1::RevokeCertificateRequest { key_hash: key_hash.to_owned(), ..Default::default() };
            dirty("sluis.v1.Registry/RevokeCertificate", &request)
        };
        let find = |trace_id: &str| {
            let request = v1::QueryEventsRequest { trace_id: trace_id.to_owned(), ..Default::default() };
            dirty("sluis.v1.Audit/QueryEvents", &request)
        };
        let hash = format!("a999907141b{}", "c".repeat(53));
        assert_eq!((revoke(&hash), find(hash.get(..32).unwrap())), (vec![], vec![]));
        for wrong in ["999907141", hash.get(..63).unwrap(), &hash.replace('b', " ")] {
            assert_eq!(
                (revoke(wrong), find(wrong)),
                (vec!["key_hash".to_owned()], vec!["trace_id".to_owned()]),
                "{wrong}"
            );
        }
    }

    #[test]
    fn names_and_the_subject_itself_are_no_free_text() {
        // 12345672 passes with a zero in front; here it is the beginning of a random UUID.
        let name = "cases/12345672-7a5c-4a39-9d1c-0a6f3a1e9f10";
        let subject = v1::Subject { id: Some(v1::subject::Id::Bsn("999900006".into())) };
        let get = v1::GetCaseRequest { name: name.into(), subject: Some(subject), ..Default::default() };
        assert!(dirty("sluis.v1.Cases/GetCase", &get).is_empty());
        let partner = v1::GetPartnerRequest { name: "partners/00000099100001410000".into() };
        assert!(dirty("sluis.v1.Directory/GetPartner", &partner).is_empty());
    }

    #[test]
    fn what_a_report_needs_is_read_along() {
        let request = v1::RequestRecordsRequest {
            context: context("x"),
            case: format!("cases/{UUID}"),
            categories: vec![9, 10],
            ..Default::default()
        };
        let found = look("sluis.v1.Records/RequestRecords", &request);
        assert_eq!((found.case, found.categories), (format!("cases/{UUID}"), vec![9, 10]));
        assert_eq!(found.context.unwrap().article, "14");
        assert!(!found.identified);
        let identified = v1::RequestRecordsRequest { request_id: UUID.into(), ..request };
        assert!(look("sluis.v1.Records/RequestRecords", &identified).identified);
        let plan = v1::PlanRouteRequest { category: 9, form: 1, ..Default::default() };
        assert_eq!(look("sluis.v1.Records/PlanRoute", &plan).categories, [9]);
    }

    #[test]
    fn every_method_has_a_shape() {
        let shapes = Shapes::of_api().unwrap();
        assert!(shapes.inputs.len() > 30);
        for input in shapes.inputs.values() {
            assert!(shapes.fields.contains_key(input), "{input}");
        }
        for field in shapes.fields.values().flat_map(HashMap::values) {
            if let Kind::Message(name) = &field.kind {
                assert!(shapes.fields.contains_key(name), "{name}");
            }
        }
    }

    #[test]
    fn the_hub_takes_nothing_in_a_field_for_numbers() {
        let shapes = Shapes::of_api().unwrap();
        let dirty = |bsn: &str| {
            let subject = v1::Subject { id: Some(v1::subject::Id::Bsn(bsn.into())) };
            let request = v1::ResolvePseudonymRequest { subject: Some(subject), ..Default::default() };
            let method = "sluis.v1.Pseudonyms/ResolvePseudonym";
            shapes.look(method, &request.encode_to_vec(), BsnField::Refused).unwrap().dirty
        };
        for bsn in ["999900006", "not a number", "1"] {
            assert_eq!(dirty(bsn), ["subject.bsn"], "{bsn}");
        }
        assert!(dirty("").is_empty());
    }

    #[test]
    fn what_was_not_read_is_not_clean() {
        let shapes = Shapes::of_api().unwrap();
        let get = "sluis.v1.Cases/GetCase";
        let whole = v1::GetCaseRequest { name: "over 999900006".into(), ..Default::default() }.encode_to_vec();
        let cut = &whole[..whole.len() - 1];
        let mut torn = whole.clone();
        *torn.last_mut().unwrap() = 0xff;
        for (method, bytes) in [("sluis.v1.Cases/Nothing", &whole[..]), ("", &whole), (get, cut), (get, &torn)] {
            assert_eq!(shapes.look(method, bytes, BsnField::Refused).map(|look| look.dirty), Err(Unreadable));
        }
    }
}
