//! What an agent called, and as what that stands in the log.

use std::fmt;

use crate::api::v1;

/// By it an agent reports what it refused itself.
const REPORT: &str = "sluis.v1.Audit/ReportRefusal";

/// A call of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// An RPC, by its full name: it stands in the log as itself.
    Rpc(String),
    /// A report that the agent refused a call of this RPC, under this request id. The hub's line is that refusal; where the same
    /// report came once more, or was refused itself, it is a line of its own.
    Report {
        /// Full name of the RPC that was refused.
        of: String,
        /// Tells one report that was sent twice from two reports.
        request_id: String,
    },
}

impl Called {
    /// Reads the one word of a journal.
    pub(super) fn read(word: &str) -> Option<Self> {
        let is_rpc = |name: &str| name.contains('/');
        match word.split_once(':') {
            None => Some(Self::Rpc(word.to_owned())).filter(|_| is_rpc(word)),
            Some((REPORT, rest)) => {
                let (of, request_id) = rest.split_once(':').filter(|(of, id)| is_rpc(of) && !id.is_empty())?;
                Some(Self::Report { of: of.to_owned(), request_id: request_id.to_owned() })
            }
            Some(_) => None,
        }
    }

    /// The RPC as which an answered call stands in the log, and whether it was allowed there. `sent_before`: an earlier attempt at
    /// the same report got no answer.
    pub(super) fn stands(&self, done: bool, sent_before: bool, event: &v1::Event) -> (&str, bool) {
        match self {
            Self::Rpc(name) => (name, done),
            Self::Report { .. } if !done => (REPORT, false),
            Self::Report { .. } if sent_before && event.method == REPORT => (REPORT, true),
            Self::Report { of, .. } => (of, false),
        }
    }

    /// Whether an event may be this call, of which nobody knows how it ended.
    pub(super) fn may_be(&self, event: &v1::Event) -> bool {
        match self {
            Self::Rpc(name) => event.method == *name,
            Self::Report { of, .. } => {
                event.method == REPORT || (event.method == *of && event.outcome() == v1::Outcome::Refused)
            }
        }
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Rpc(name) => name.clone(),
            Self::Report { of, .. } => format!("{of} refused by the agent"),
        }
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rpc(name) => f.write_str(name),
            Self::Report { of, request_id } => write!(f, "{REPORT}:{of}:{request_id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_and_others_are_not() {
        let report = Called::Report { of: "a/b".into(), request_id: "r".into() };
        for called in [Called::Rpc("a/b".into()), report] {
            assert_eq!(Called::read(&called.to_string()), Some(called));
        }
        for word in ["", "ab", "a/b:c/d:r", "sluis.v1.Audit/ReportRefusal:a/b", "sluis.v1.Audit/ReportRefusal:ab:r"] {
            assert_eq!(Called::read(word), None, "{word}");
        }
    }
}
