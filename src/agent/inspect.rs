//! What stands in a message that is about to leave: walks its wire form by its own description in the API, so that a
//! text field that somebody adds later is looked at too.

use std::collections::HashMap;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

use super::words;
use crate::api::v1;
use crate::pseudonym::contains_bsn;

/// Messages within messages; the API has four levels.
const MAX_DEPTH: usize = 16;
/// An opaque token is looked at only when it is this short: a long random one may well hold nine digits in a row.
const SHORT: usize = 12;

/// The messages of the API: which fields hold text.
pub(super) struct Shapes {
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

/// What was found in a request.
#[derive(Default)]
pub(super) struct Look {
    /// Paths of the fields that hold a citizen service number.
    pub(super) dirty: Vec<String>,
    /// Why the call is made, if it says so.
    pub(super) context: Option<v1::RequestContext>,
    /// `cases/{uuid}`, or empty.
    pub(super) case: String,
    /// Categories as the caller numbered them.
    pub(super) categories: Vec<i32>,
}

impl Shapes {
    /// Reads the API's own description.
    ///
    /// # Errors
    /// Never for the description that was compiled in.
    pub(super) fn of_api() -> Result<Self, DecodeError> {
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

    /// Looks through the request of `package.Service/Method`.
    ///
    /// # Errors
    /// Never for a message of that method.
    pub(super) fn look(&self, method: &str, request: &impl Message) -> Result<Look, DecodeError> {
        let input = self.inputs.get(method).map_or("", String::as_str);
        self.look_into(input, request)
    }

    /// Looks through a message of the named type, `.sluis.v1.Type`.
    pub(super) fn look_into(&self, message: &str, request: &impl Message) -> Result<Look, DecodeError> {
        let mut look = Look::default();
        let bytes = zeroize::Zeroizing::new(request.encode_to_vec());
        self.walk(message, &bytes, "", MAX_DEPTH, &mut look)?;
        Ok(look)
    }

    fn walk(&self, message: &str, bytes: &[u8], path: &str, depth: usize, look: &mut Look) -> Result<(), DecodeError> {
        let fields = self.fields.get(message);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (tag, wire) = decode_key(&mut rest)?;
            let field = fields.and_then(|fields| fields.get(&tag));
            if wire != WireType::LengthDelimited {
                let start = rest;
                skip_field(wire, tag, &mut rest, DecodeContext::default())?;
                if let Some(field) = field.filter(|field| path.is_empty() && field.name == "category") {
                    look.categories.extend(varints(start, 1, &field.name));
                }
                continue;
            }
            let len = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
            // A message that was just encoded is never cut short.
            let Some((value, after)) = rest.split_at_checked(len) else { return Ok(()) };
            rest = after;
            let Some(field) = field else { continue };
            let here = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
            look.note(&here, value);
            match &field.kind {
                Kind::Text if holds_bsn(&field.name, std::str::from_utf8(value).unwrap_or_default()) => {
                    look.dirty.push(here);
                }
                Kind::Message(name) if depth > 0 => self.walk(name, value, &here, depth - 1, look)?,
                Kind::Text | Kind::Message(_) | Kind::Other => {}
            }
        }
        Ok(())
    }
}

impl Look {
    /// Keeps what a report of a refusal says.
    fn note(&mut self, path: &str, value: &[u8]) {
        match path {
            "context" => self.context = v1::RequestContext::decode(value).ok(),
            "case" | "name" => {
                let text = std::str::from_utf8(value).unwrap_or_default();
                if words::id(text, "cases").is_some() {
                    text.clone_into(&mut self.case);
                }
            }
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

/// Whether a text field holds a number that must not leave. Free text is read as a whole; in names the parts that are
/// UUIDs are left out, because their digits are random; tokens that the hub gave out are looked at only when short.
fn holds_bsn(field: &str, text: &str) -> bool {
    match field {
        // Turned into something else before the message leaves; has its own check.
        "bsn" => false,
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

    fn dirty(method: &str, request: &impl Message) -> Vec<String> {
        Shapes::of_api().unwrap().look(method, request).unwrap().dirty
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
        let shapes = Shapes::of_api().unwrap();
        let request = v1::RequestRecordsRequest {
            context: context("x"),
            case: format!("cases/{UUID}"),
            categories: vec![9, 10],
            ..Default::default()
        };
        let look = shapes.look("sluis.v1.Records/RequestRecords", &request).unwrap();
        assert_eq!((look.case, look.categories), (format!("cases/{UUID}"), vec![9, 10]));
        assert_eq!(look.context.unwrap().article, "14");
        let plan = v1::PlanRouteRequest { category: 9, form: 1, ..Default::default() };
        assert_eq!(shapes.look("sluis.v1.Records/PlanRoute", &plan).unwrap().categories, [9]);
    }

    #[test]
    fn every_method_has_a_shape() {
        let shapes = Shapes::of_api().unwrap();
        assert!(shapes.inputs.len() > 30);
        for input in shapes.inputs.values() {
            assert!(shapes.fields.contains_key(input), "{input}");
        }
    }
}
