//! What the agent itself answers when it refuses: the same shapes as the hub's, never with a value in them.

use std::error::Error;

use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::{Code, Response, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::reason::Reason;
use crate::status::early::{self, Effect};

/// Domain of every `ErrorInfo` in this API.
pub(super) const DOMAIN: &str = "sluis";
/// Metadata key that names the audit event of a call.
pub(super) const EVENT: &str = "sluis-event";

/// One field that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// Path of the field, for example `context.reason`.
    pub(super) field: String,
    /// What was expected. A constant, so that no value can slip in.
    pub(super) expected: &'static str,
}

impl Violation {
    pub(super) fn new(field: &str, expected: &'static str) -> Self {
        Self { field: field.to_owned(), expected }
    }
}

/// The refusal of a malformed request; `event` names its line on the log.
pub(super) fn invalid(reason: Reason, violations: &[Violation], event: &str) -> Status {
    let fields: Vec<FieldViolation> =
        violations.iter().map(|v| FieldViolation::new(v.field.as_str(), format!("expected: {}", v.expected))).collect();
    let message = match violations {
        [only] => format!("{} is not as expected: {}", only.field, only.expected),
        _ => "several fields are not as expected".to_owned(),
    };
    let mut details = ErrorDetails::with_bad_request(fields);
    let metadata = [("event".to_owned(), event.to_owned())];
    details.set_error_info(reason.code(), DOMAIN, metadata);
    let mut status = Status::with_error_details(Code::InvalidArgument, message, details);
    if let Ok(event) = event.parse() {
        status.metadata_mut().insert(EVENT, event);
    }
    status
}

/// An answer of hub or keyholder, with what is meant for the caller in its metadata and nothing else.
pub(super) fn passed_on<T>(answer: Response<T>) -> Response<T> {
    let metadata = ours(answer.metadata());
    let mut passed = Response::new(answer.into_inner());
    *passed.metadata_mut() = metadata;
    passed
}

/// A refusal of `party` as it was made; or, when there was no answer at all, that the party can't be reached.
pub(super) fn upstream(status: &Status, party: &'static str) -> Status {
    if is_too_late(status) {
        return early::too_late(Effect::Unknown);
    }
    if is_unanswered(status) {
        return Status::unavailable(format!(
            "{party} can't be reached; whether the call had effect is not known: repeat it with the same request_id"
        ));
    }
    let metadata = ours(status.metadata());
    let details = status.details().to_vec().into();
    Status::with_details_and_metadata(status.code(), status.message(), details, metadata)
}

/// Whether the hub takes nothing more from a version as old as this one.
pub(super) fn is_outdated(status: &Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == Reason::VersionOutdated.code())
}

/// Whether the call's own time was up before an answer came.
pub(super) fn is_too_late(status: &Status) -> bool {
    is_caused_by::<TimeoutExpired>(status)
}

/// Whether an error of this type is among the causes.
pub(super) fn is_caused_by<E: Error + 'static>(status: &Status) -> bool {
    std::iter::successors(status.source(), |&error| error.source()).any(|error| error.is::<E>())
}

/// Whether the transport failed before a peer's own status came.
pub(super) fn is_unanswered(status: &Status) -> bool {
    status.source().is_some() && !is_too_late(status)
}

/// The event that an answer names, if it names one.
pub(super) fn event_of(metadata: &MetadataMap) -> Option<String> {
    metadata.get(EVENT)?.to_str().ok().map(str::to_owned)
}

fn ours(metadata: &MetadataMap) -> MetadataMap {
    let mut kept = MetadataMap::new();
    for entry in metadata.iter() {
        match entry {
            KeyAndValueRef::Ascii(key, value) if key.as_str().starts_with("sluis-") => {
                kept.append(key.clone(), value.clone());
            }
            KeyAndValueRef::Binary(key, value) if key.as_str().starts_with("sluis-") => {
                kept.append_bin(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_fields_reason_and_event() {
        let violations = [Violation::new("subject.bsn", "a number that passes the elfproef")];
        let status = invalid(Reason::RequestIncomplete, &violations, "events/1");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(event_of(status.metadata()).as_deref(), Some("events/1"));
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "subject.bsn");
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("REQUEST_INCOMPLETE", "sluis"));
        assert_eq!(info.metadata["event"], "events/1");
    }

    #[test]
    fn what_the_hub_said_is_passed_on_and_nothing_more() {
        let details = ErrorDetails::with_error_info("CONSENT_MISSING", DOMAIN, []);
        let mut status = Status::with_error_details(Code::PermissionDenied, "no", details);
        status.metadata_mut().insert(EVENT, "events/7".parse().unwrap());
        status.metadata_mut().insert("server", "x".parse().unwrap());
        let passed = upstream(&status, "the hub");
        assert_eq!((passed.code(), passed.message()), (Code::PermissionDenied, "no"));
        assert_eq!(passed.get_details_error_info().unwrap().reason, "CONSENT_MISSING");
        assert_eq!(passed.metadata().len(), 1);

        let mut broken = Status::unknown("transport error: 10.0.0.1");
        broken.set_source(std::sync::Arc::new(std::io::Error::other("gone")));
        let passed = upstream(&broken, "the hub");
        assert_eq!(passed.code(), Code::Unavailable);
        assert!(!passed.message().contains("10.0.0.1"));
    }
}
