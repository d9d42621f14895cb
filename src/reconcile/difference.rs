//! A difference, in words for a privacy officer.

use serde::Serialize;
use time::format_description::well_known::Rfc3339;

use super::journal::Promise;
use crate::api::v1;
use crate::clock::from_micros;

/// How much a difference says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody has to explain it.
    Finding,
    /// Good to know; nothing is wrong.
    Information,
}

/// What differs. The word of a code does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Promised, and the hub shows no such event.
    PromiseMissing,
    /// Another entry stands in the log than was promised.
    EntryDiffers,
    /// The proof does not hold.
    ProofFails,
    /// The promise is due, and there is no proof.
    ProofLate,
    /// The agent has seen it proven at another place.
    PlaceDiffers,
    /// Two proofs lead to different trees of one size.
    LogForked,
    /// The agent found the promise broken; now it seems kept.
    PromiseBroken,
    /// The hub shows the event otherwise than it stands in the log.
    EventDiffers,
    /// Another call than the agent made.
    MethodDiffers,
    /// Another outcome than the agent saw.
    OutcomeDiffers,
    /// At another time than the agent called.
    TimeDiffers,
    /// In the organisation's name, under the agent's key, and the agent does not know of it.
    EventUnknown,
    /// Sent to the organisation, and its agent was not told.
    RecordNotTold,
    /// The agent was told of it, and the log does not know it.
    RecordNotLogged,
    /// In the organisation's name, under another certificate.
    OtherCertificate,
    /// A call of the agent to which no answer came; the log knows it.
    AnswerLost,
    /// Sent to the organisation, and nobody has read the inbox since.
    InboxNotRead,
    /// What could be compared was erased from the event.
    EventErased,
    /// A receipt that is not under this log's key.
    ReceiptUnreadable,
}

impl Code {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PromiseMissing => "promise-missing",
            Self::EntryDiffers => "entry-differs",
            Self::ProofFails => "proof-fails",
            Self::ProofLate => "proof-late",
            Self::PlaceDiffers => "place-differs",
            Self::LogForked => "log-forked",
            Self::PromiseBroken => "promise-broken",
            Self::EventDiffers => "event-differs",
            Self::MethodDiffers => "method-differs",
            Self::OutcomeDiffers => "outcome-differs",
            Self::TimeDiffers => "time-differs",
            Self::EventUnknown => "event-unknown",
            Self::RecordNotTold => "record-not-told",
            Self::RecordNotLogged => "record-not-logged",
            Self::OtherCertificate => "other-certificate",
            Self::AnswerLost => "answer-lost",
            Self::InboxNotRead => "inbox-not-read",
            Self::EventErased => "event-erased",
            Self::ReceiptUnreadable => "receipt-unreadable",
        }
    }

    /// How much it says.
    pub const fn severity(self) -> Severity {
        match self {
            Self::OtherCertificate
            | Self::AnswerLost
            | Self::InboxNotRead
            | Self::EventErased
            | Self::ReceiptUnreadable => Severity::Information,
            _ => Severity::Finding,
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub code: Code,
    /// events/{uuid} or records/{uuid}
    pub about: String,
    /// What the agent's journal says.
    pub agent: String,
    /// What the hub says.
    pub hub: String,
}

impl Difference {
    /// How much it says.
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }
}

impl Serialize for Difference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut object = serializer.serialize_struct("Difference", 5)?;
        object.serialize_field("severity", &self.severity())?;
        object.serialize_field("code", &self.code)?;
        object.serialize_field("about", &self.about)?;
        object.serialize_field("agent", &self.agent)?;
        object.serialize_field("hub", &self.hub)?;
        object.end()
    }
}

/// Differences as they are found.
#[derive(Debug, Default)]
pub(super) struct Differences(Vec<Difference>);

impl Differences {
    pub(super) fn add(&mut self, code: Code, about: &str, agent: impl Into<String>, hub: impl Into<String>) {
        self.0.push(Difference { code, about: about.to_owned(), agent: agent.into(), hub: hub.into() });
    }

    pub(super) fn missing(&mut self, promise: &Promise) {
        let about = format!("events/{}", promise.event_id);
        self.add(Code::PromiseMissing, &about, saw(promise), "no such event");
    }

    pub(super) fn unreadable(&mut self, promise: &Promise) {
        let about = format!("events/{}", promise.event_id);
        self.add(Code::ReceiptUnreadable, &about, saw(promise), "a receipt under another key");
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Findings first, then by event or record; each once.
    pub(super) fn sorted(mut self) -> Vec<Difference> {
        self.0.sort_by(|a, b| (a.severity(), &a.about, a.code).cmp(&(b.severity(), &b.about, b.code)));
        self.0.dedup();
        self.0
    }
}

/// What the agent saw of a call.
pub(super) fn saw(promise: &Promise) -> String {
    match &promise.call {
        Some(call) => format!("{}, {}, at {}", call.called.told(), call.outcome, time(call.at)),
        None => format!("a call at {}", time(promise.since)),
    }
}

/// What was erased, and by what.
pub(super) fn erased(by: &[v1::Erasure]) -> String {
    let one = |erasure: &v1::Erasure| format!("{} by {}", erasure.groups.join(", "), erasure.by);
    format!("erased, cannot be compared: {}", by.iter().map(one).collect::<Vec<_>>().join("; "))
}

/// A moment, to the second.
pub(super) fn time(at: i64) -> String {
    let at = from_micros(at).replace_nanosecond(0).unwrap_or_else(|_| from_micros(at));
    at.format(&Rfc3339).unwrap_or_default()
}
