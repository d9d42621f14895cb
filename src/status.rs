//! From a refusal to a gRPC status: the only place that decides what a caller hears.

pub mod early;

use std::collections::HashMap;
use std::time::Duration;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetails, FieldViolation, StatusExt as _};

use crate::exchange::{Evidence, Refused};
use crate::ground::{Refusal, RefusalKind};
use crate::reason::Reason;

/// What somebody hears who may not know why.
pub const OPAQUE: &str = "REFUSED";
/// Response metadata that names the audit event.
pub const EVENT: &str = "sluis-event";
const DOMAIN: &str = "sluis";

/// Response metadata with the log's receipt for that event, a signed note.
pub const RECEIPT: &str = "sluis-receipt-bin";

/// Names an event in response metadata, with the log's word for it.
pub fn name(metadata: &mut MetadataMap, event: &Evidence) {
    if let Ok(value) = format!("events/{}", event.event_id).parse() {
        metadata.insert(EVENT, value);
    }
    metadata.insert_bin(RECEIPT, MetadataValue::from_bytes(&event.receipt));
}

/// The status of a refusal that has been logged. Whoever may not know the reason gets the same body for every reason.
pub fn status(refused: &Refused) -> Status {
    let Some(event) = &refused.event else {
        return match refused.refusal.kind {
            RefusalKind::Exhausted => early::too_many(),
            RefusalKind::Lost => early::lost(),
            _ => Status::unavailable("the audit log can't be written: nothing was done"),
        };
    };
    let reason = refused.refusal.reason;
    let event_id = &event.event_id;
    let mut status = if refused.told { told(&refused.refusal, event_id) } else { opaque(reason, event_id) };
    name(status.metadata_mut(), event);
    status
}

/// Whether the caller is known is its own to hear; which of the reasons it was, is not.
fn opaque(reason: Reason, event_id: &str) -> Status {
    let details = with_info(ErrorDetails::new(), OPAQUE, event_id);
    let (code, text) = if is_about_certificate(reason) { STRANGER } else { NOT_ALLOWED };
    Status::with_error_details(code, text, details)
}

const STRANGER: (Code, &str) = (Code::Unauthenticated, "the certificate does not identify a registered party");
const NOT_ALLOWED: (Code, &str) = (Code::PermissionDenied, "the covenant does not allow this");

/// Step 1 of the decision order (REFERENCE §5.5), and an organisation that is in no registry.
const fn is_about_certificate(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::CertUntrusted
            | Reason::CertExpired
            | Reason::CertRevoked
            | Reason::CertPolicy
            | Reason::OinMissing
            | Reason::OinMismatch
            | Reason::CrlStale
            | Reason::PartnerUnknown
    )
}

fn told(refusal: &Refusal, event_id: &str) -> Status {
    let reason = refusal.reason.code();
    match &refusal.kind {
        RefusalKind::Denied | RefusalKind::Lost => {
            let (code, text) = denied(refusal.reason);
            Status::with_error_details(code, text, with_info(ErrorDetails::new(), reason, event_id))
        }
        RefusalKind::Malformed(fields) => {
            let violations = fields.iter().map(|field| FieldViolation::new(&*field.field, &*field.expected));
            let mut details = with_info(ErrorDetails::new(), reason, event_id);
            let bad = BadRequest::new(violations.collect::<Vec<_>>());
            details.set_bad_request(bad.field_violations);
            Status::with_error_details(Code::InvalidArgument, malformed(refusal.reason), details)
        }
        RefusalKind::Precondition(why) => {
            let details = with_info(ErrorDetails::new(), "PRECONDITION", event_id);
            Status::with_error_details(Code::FailedPrecondition, *why, details)
        }
        RefusalKind::Outdated(outdated) => {
            let minimum = &outdated.minimum;
            let from = minimum.refused_from.map(|from| from.date().to_string()).unwrap_or_default();
            let metadata = HashMap::from([
                ("event".to_owned(), format!("events/{event_id}")),
                ("agent".to_owned(), outdated.agent.clone()),
                ("minimum".to_owned(), minimum.agent.to_string()),
                ("refused_from".to_owned(), from),
                ("source".to_owned(), minimum.source.clone()),
            ]);
            let mut details = ErrorDetails::new();
            details.set_error_info(reason, DOMAIN, metadata);
            Status::with_error_details(Code::FailedPrecondition, outdated.to_string(), details)
        }
        RefusalKind::RouteChanged => {
            let details = with_info(ErrorDetails::new(), "ROUTE_CHANGED", event_id);
            let text = "the recipients are no longer those that the record was sealed for: plan and seal again";
            Status::with_error_details(Code::FailedPrecondition, text, details)
        }
        RefusalKind::NotFound => {
            let details = with_info(ErrorDetails::new(), "NOT_FOUND", event_id);
            Status::with_error_details(Code::NotFound, "there is no such resource", details)
        }
        RefusalKind::Exhausted => {
            let mut details = with_info(ErrorDetails::new(), reason, event_id);
            details.set_retry_info(Some(early::wait()));
            let text = "too much at a time; nothing was done: try again later";
            Status::with_error_details(Code::ResourceExhausted, text, details)
        }
        RefusalKind::Limited(what, seconds) => {
            let mut details = with_info(ErrorDetails::new(), reason, event_id);
            details.set_retry_info(Some(Duration::from_secs(*seconds)));
            Status::with_error_details(Code::ResourceExhausted, *what, details)
        }
    }
}

fn with_info(mut details: ErrorDetails, reason: &str, event_id: &str) -> ErrorDetails {
    let metadata = HashMap::from([("event".to_owned(), format!("events/{event_id}"))]);
    details.set_error_info(reason, DOMAIN, metadata);
    details
}

/// The code and a sentence that helps whoever may know the reason. It names no case, no person and no value.
const fn denied(reason: Reason) -> (Code, &'static str) {
    use Reason as R;
    match reason {
        R::CertExpired => (Code::Unauthenticated, "the certificate has expired: renew it"),
        R::LogUnavailable => (Code::Unavailable, "nothing was done; try again later"),
        _ if is_about_certificate(reason) => STRANGER,
        _ => (Code::PermissionDenied, sentence(reason)),
    }
}

const fn sentence(reason: Reason) -> &'static str {
    use Reason as R;
    match reason {
        R::PartnerSuspended => "your organisation is suspended",
        R::PartnerWithdrawn => "your organisation has left the covenant",
        R::CovenantNotAccepted => "your organisation has not signed the covenant in force: Covenants.SignCovenant",
        R::RoleNotAllowed => "the article does not allow this role, or this kind of caller, to do this",
        R::RoleExpired => "the role has ended",
        R::PhaseNotAllowed => "the article does not apply in this phase of the case",
        R::CaseClosed => "the case is closed",
        R::CategoryNotAllowed => "the article does not give this category, in this form, to this role",
        R::PurposeMismatch => "the purpose is not that of the article",
        R::ConsentMissing => "the consent that this rests on was not given",
        R::ConsentIncomplete => "not everybody who must consent has done so",
        R::ConsentExpired => "the consent that this rests on has expired",
        R::ConsentWithdrawn => "the consent that this rests on was withdrawn",
        R::RegimeChanged => "the consent was given under another age regime: ask again",
        R::MeasureAbsent => "the measure that this rests on is not in force",
        R::Restricted => "processing of this case is restricted",
        R::Objection => "the data subject has objected to this use",
        R::RetentionElapsed => "the retention period has elapsed",
        R::RecipientLimit => "more recipients than the article allows",
        R::RequestIncomplete => "the article asks for a stated reason (context.reason)",
        _ => NOT_ALLOWED.1,
    }
}

const fn malformed(reason: Reason) -> &'static str {
    match reason {
        Reason::BsnInText => "a field holds a number that passes the elfproef of a BSN",
        _ => "the request has fields that are missing or malformed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: Reason, told: bool) -> Refused {
        let event_id = "0192f3a0-0000-7000-8000-000000000000".to_owned();
        let event = Evidence { event_id, receipt: b"receipt".to_vec() };
        Refused { refusal: Refusal::denied(reason), told, event: Some(event) }
    }

    #[test]
    fn an_outsider_hears_the_same_for_every_reason() {
        for reason in Reason::ALL {
            let like = if is_about_certificate(*reason) { Reason::CertUntrusted } else { Reason::CaseUnknown };
            let first = status(&refused(like, false));
            let other = status(&refused(*reason, false));
            assert_eq!((first.code(), first.message()), (other.code(), other.message()));
            assert_eq!(first.details(), other.details(), "{reason}");
            assert_eq!(other.get_error_details().error_info().unwrap().reason, OPAQUE);
        }
    }

    #[test]
    fn an_insider_hears_the_reason() {
        let told = status(&refused(Reason::ConsentIncomplete, true));
        assert_eq!(told.code(), Code::PermissionDenied);
        assert_eq!(told.get_error_details().error_info().unwrap().reason, "CONSENT_INCOMPLETE");
    }

    #[test]
    fn without_a_log_nothing_is_said() {
        let silent = status(&Refused { event: None, ..refused(Reason::NotInvolved, true) });
        assert_eq!(silent.code(), Code::Unavailable);
        assert!(silent.details().is_empty());
    }

    #[test]
    fn too_much_at_a_time_is_no_fault_of_the_log() {
        for event in [None, refused(Reason::RateLimited, true).event] {
            let status = status(&Refused { refusal: Refusal::exhausted(), told: true, event });
            let details = status.get_error_details();
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
            assert!(details.retry_info().unwrap().retry_delay.is_some());
        }
    }

    #[test]
    fn a_lost_store_does_not_say_that_nothing_was_done() {
        let status = status(&Refused { refusal: Refusal::lost(), told: true, event: None });
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["effect"], "unknown");
        assert!(!status.message().contains("nothing was done"));
    }

    #[test]
    fn fields_are_named_without_values() {
        let refusal = Refusal::malformed("context.user_ref", "1-64 of letters");
        let status = status(&Refused { refusal, ..refused(Reason::RequestIncomplete, true) });
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!((status.code(), violations[0].field.as_str()), (Code::InvalidArgument, "context.user_ref"));
    }
}
