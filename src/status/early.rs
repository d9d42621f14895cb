//! What is answered before an operation looked at a call, or in its place: too much at a time, too late, or the process
//! is going away. None of these has an event of its own unless it says so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::DOMAIN;
use crate::reason::Reason;

/// What is known of a call that ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing of it was handed to the log: it had no effect, and there is no event of it.
    None,
    /// It was handed on and may be committed all the same: a repeat with the same request id tells.
    Unknown,
    /// It was allowed, under the event that the headers name, and was being answered.
    Partial,
}

impl Effect {
    const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unknown => "unknown",
            Self::Partial => "partial",
        }
    }

    /// As the metadata `effect` of an `ErrorInfo`.
    fn metadata(self) -> HashMap<String, String> {
        HashMap::from([("effect".to_owned(), self.word().to_owned())])
    }
}

/// The deadline of the caller or the method has passed.
pub fn too_late(effect: Effect) -> Status {
    let text = match effect {
        Effect::None => "the deadline has passed; nothing was done, and there is no event",
        Effect::Unknown => {
            "the deadline has passed, and what comes of this is not known yet: repeat it with the same request_id to learn \
             its outcome and its event"
        }
        Effect::Partial => "the deadline has passed; what came before counts",
    };
    let mut details = ErrorDetails::new();
    details.set_error_info("DEADLINE", DOMAIN, effect.metadata());
    Status::with_error_details(Code::DeadlineExceeded, text, details)
}

/// The process is going away; another may be reached under the same address.
pub fn draining(effect: Effect) -> Status {
    let text = match effect {
        Effect::None => "this node stops; nothing was done: connect again",
        Effect::Unknown => {
            "this node stops, and what comes of this is not known yet: connect again and repeat it with the same request_id"
        }
        Effect::Partial => "this node stops; what came before counts: connect again and go on from there",
    };
    let mut details = ErrorDetails::new();
    details.set_error_info("DRAINING", DOMAIN, effect.metadata());
    details.set_retry_info(Some(Duration::from_millis(spread(1000))));
    Status::with_error_details(Code::Unavailable, text, details)
}

/// The store was lost while this was being committed.
pub fn lost() -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(Reason::LogUnavailable.code(), DOMAIN, Effect::Unknown.metadata());
    let text = "the store was lost, and what comes of this is not known yet: repeat it with the same request_id";
    Status::with_error_details(Code::Unavailable, text, details)
}

/// Nothing of a stream was taken for too long.
pub fn stalled() -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("READER_STALLED", DOMAIN, HashMap::new());
    let text = "nothing of this stream was taken for too long: open it again, from the last cursor";
    Status::with_error_details(Code::Aborted, text, details)
}

/// What is expected of `grpc-timeout`.
pub const TIMEOUT: &str = "one to eight digits and one of H M S m u n, once";

/// A deadline that can't be read.
pub fn bad_timeout() -> Status {
    let mut details = ErrorDetails::with_bad_request_violation("grpc-timeout", TIMEOUT);
    details.set_error_info(Reason::RequestIncomplete.code(), DOMAIN, HashMap::new());
    Status::with_error_details(Code::InvalidArgument, "the deadline can't be read; nothing was done", details)
}

/// Over a bound. Nothing was done.
pub fn too_many() -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(Reason::RateLimited.code(), DOMAIN, HashMap::new());
    details.set_retry_info(Some(wait()));
    Status::with_error_details(
        Code::ResourceExhausted,
        "too much at a time; nothing was done: try again later",
        details,
    )
}

/// When to try again after too much at a time: 1–5 s.
pub(super) fn wait() -> Duration {
    Duration::from_millis(1000 + spread(4000))
}

/// Differs from one caller to the next, so that they don't all come back at the same moment: multiples of the golden ratio
/// fall evenly over the range, whatever their number. Chance would do no better.
fn spread(range: u64) -> u64 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(0x9E37_79B9, Ordering::Relaxed);
    (u64::from(turn) * range) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_turned_away_come_back_at_different_moments() {
        let waits: Vec<u64> = (0..100)
            .map(|_| too_many().get_details_retry_info().unwrap().retry_delay.unwrap())
            .map(|wait| u64::try_from(wait.as_millis()).unwrap())
            .collect();
        assert!(waits.iter().all(|wait| (1000..5000).contains(wait)));
        for second in 1..5 {
            let back = waits.iter().filter(|wait| **wait / 1000 == second).count();
            assert!((15..35).contains(&back), "{back} of 100 come back in second {second}");
        }
    }

    #[test]
    fn whoever_is_sent_away_knows_whether_anything_happened() {
        for (status, code, reason) in [
            (too_late(Effect::None), Code::DeadlineExceeded, "DEADLINE"),
            (draining(Effect::None), Code::Unavailable, "DRAINING"),
        ] {
            let details = status.get_error_details();
            assert_eq!((status.code(), details.error_info().unwrap().reason.as_str()), (code, reason));
            assert_eq!(details.error_info().unwrap().metadata["effect"], "none");
        }
        assert_eq!(too_late(Effect::Unknown).get_details_error_info().unwrap().metadata["effect"], "unknown");
        let soon = draining(Effect::None).get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!(soon < Duration::from_secs(1));
    }

    #[test]
    fn too_many_has_a_reason_and_no_event() {
        let status = too_many();
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
        assert!(info.metadata.is_empty() && status.metadata().is_empty());
    }
}
