//! What came of a call, and whether that is what the scenario demands. No I/O.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::file::Expect;
use crate::reason::Reason;

/// Name of the metadata that carries the audit event.
const EVENT: &str = "sluis-event";
/// What an outsider gets instead of a reason.
const OPAQUE: &str = "REFUSED";

/// One call that was made.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// `events/{uuid}`
    pub(crate) event: Option<String>,
    /// What came out.
    pub(crate) result: Result<Got, Refusal>,
}

/// What an allowed call gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Got {
    /// Article that allowed it, where the reply says so.
    pub(crate) article: Option<String>,
    /// What is not as the step says.
    pub(crate) complaints: Vec<String>,
}

/// A call that was not allowed, or not possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// gRPC status.
    pub(crate) code: Code,
    /// The reason as the caller saw it.
    pub(crate) shown: Shown,
    /// The reason on the log, if it was looked up.
    pub(crate) logged: Option<Reason>,
    /// The service's own words.
    pub(crate) message: String,
}

/// What a refused caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// No reason at all.
    Nothing,
    /// The fixed word for who takes no part in the case.
    Opaque,
    /// The reason.
    Reason(Reason),
}

impl Attempt {
    /// What a unary call or the opening of a stream gave; the body goes to `read`.
    pub(crate) fn of<T>(answer: Result<tonic::Response<T>, Status>, read: impl FnOnce(T) -> Got) -> Self {
        match answer {
            Ok(response) => {
                let event = event(response.metadata());
                Self { event, result: Ok(read(response.into_inner())) }
            }
            Err(status) => Self::refused(&status),
        }
    }

    /// A call that ended in this status.
    pub(crate) fn refused(status: &Status) -> Self {
        Self { event: event(status.metadata()), result: Err(Refusal::of(status)) }
    }

    /// A step that is no call.
    pub(crate) fn quiet(got: Got) -> Self {
        Self { event: None, result: Ok(got) }
    }
}

/// The audit event that metadata names.
pub(crate) fn event(metadata: &tonic::metadata::MetadataMap) -> Option<String> {
    metadata.get(EVENT).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl Refusal {
    fn of(status: &Status) -> Self {
        let shown = status.get_details_error_info().map_or(Shown::Nothing, |info| match info.reason.as_str() {
            OPAQUE => Shown::Opaque,
            code => code.parse().map_or(Shown::Nothing, Shown::Reason),
        });
        Self { code: status.code(), shown, logged: None, message: status.message().to_owned() }
    }

    /// The reason, as far as it is known: the log's word before the wire's.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.logged.or(match self.shown {
            Shown::Reason(reason) => Some(reason),
            Shown::Nothing | Shown::Opaque => None,
        })
    }
}

/// What is wrong with an attempt; empty when it is what the step demands.
pub(crate) fn judge(expect: Expect, attempt: &Attempt) -> Vec<String> {
    match (expect, &attempt.result) {
        (Expect::Allow, Ok(got)) => got.complaints.clone(),
        (Expect::Allow, Err(refusal)) => vec![format!("refused: {} {}", code_name(refusal.code), refusal.message)],
        (Expect::Refuse(_), Ok(_)) => vec!["allowed, and should have been refused".to_owned()],
        (Expect::Refuse(wanted), Err(refusal)) => wrong_refusal(wanted, refusal),
    }
}

fn wrong_refusal(wanted: Reason, refusal: &Refusal) -> Vec<String> {
    let mut wrong = Vec::new();
    match refusal.reason() {
        Some(reason) if reason == wanted => {}
        // A stranger is told nothing, and is not on the log as a caller: the status is all there is.
        None if refusal.code == Code::Unauthenticated && is_stranger(wanted) => {}
        _ => wrong.push(format!("status {}: {}", code_name(refusal.code), refusal.message)),
    }
    let hidden = matches!(wanted, Reason::CaseUnknown | Reason::NotInvolved);
    if hidden && refusal.shown != Shown::Opaque {
        wrong.push("the caller was shown more than REFUSED".to_owned());
    }
    wrong
}

/// Reasons of the first two steps of the decision: nobody has been recognised yet.
fn is_stranger(reason: Reason) -> bool {
    use Reason::*;
    matches!(
        reason,
        CertUntrusted | CertExpired | CertRevoked | CrlStale | CertPolicy | OinMissing | OinMismatch | PartnerUnknown
    )
}

/// A status as the gRPC documentation writes it.
pub(crate) fn code_name(code: Code) -> String {
    let name = format!("{code:?}");
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code, shown: Shown, logged: Option<Reason>) -> Attempt {
        Attempt { event: None, result: Err(Refusal { code, shown, logged, message: String::new() }) }
    }

    #[test]
    fn only_the_demanded_outcome_is_right() {
        let denied = Code::PermissionDenied;
        let missing = Reason::ConsentMissing;
        for (expect, attempt, right) in [
            (Expect::Allow, Attempt::quiet(Got::default()), true),
            (Expect::Allow, Attempt::quiet(Got { article: None, complaints: vec!["x".into()] }), false),
            (Expect::Allow, refused(denied, Shown::Reason(missing), None), false),
            (Expect::Refuse(missing), Attempt::quiet(Got::default()), false),
            (Expect::Refuse(missing), refused(denied, Shown::Reason(missing), None), true),
            (Expect::Refuse(missing), refused(denied, Shown::Reason(Reason::ConsentExpired), None), false),
            (Expect::Refuse(missing), refused(denied, Shown::Nothing, None), false),
            (Expect::Refuse(Reason::NotInvolved), refused(denied, Shown::Opaque, Some(Reason::NotInvolved)), true),
            (Expect::Refuse(Reason::NotInvolved), refused(denied, Shown::Opaque, None), false),
            // The log is right, but the wire told an outsider.
            (Expect::Refuse(Reason::NotInvolved), refused(denied, Shown::Reason(Reason::NotInvolved), None), false),
            (Expect::Refuse(Reason::PartnerUnknown), refused(Code::Unauthenticated, Shown::Nothing, None), true),
            (Expect::Refuse(Reason::PartnerUnknown), refused(denied, Shown::Nothing, None), false),
            (Expect::Refuse(missing), refused(Code::Unauthenticated, Shown::Nothing, None), false),
        ] {
            assert_eq!(judge(expect, &attempt).is_empty(), right, "{expect:?} {attempt:?}");
        }
    }

    #[test]
    fn codes_are_written_as_in_grpc() {
        assert_eq!(code_name(Code::PermissionDenied), "PERMISSION_DENIED");
        assert_eq!(code_name(Code::Ok), "OK");
    }
}
