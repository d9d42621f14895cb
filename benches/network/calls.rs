//! The requests of the cases.

use sluis::api::v1;
use sluis::api::v1::event_proof::State;
use sluis::tlog::{Proof, PublicKey, record_hash};

use crate::Failed;
use crate::case::By;
use crate::setup::voprf_output;
use crate::world::{World, context};
use crate::{history, queried};

/// Events that an officer is shown at once: what the API gives when nothing else is asked.
const PAGE: i32 = 100;

/// Requests in this network.
pub(crate) struct Requests {
    cases: Vec<String>,
    records: Vec<String>,
    table: String,
    subjects: Vec<String>,
    /// Events of the long log.
    history: u64,
    log_key: Option<PublicKey>,
}

impl Requests {
    /// For this network.
    pub(crate) fn new(world: &World) -> Result<Self, Failed> {
        let expert = world.experts.first().ok_or("no expert")?;
        let table = world.table.get(expert).ok_or("no case at a table")?.clone();
        Ok(Self {
            cases: world.cases.clone(),
            records: world.records.clone(),
            table,
            subjects: world.subjects.clone(),
            history: world.history,
            log_key: world.log_key.parse().ok(),
        })
    }

    /// Under which the log signs.
    pub(crate) const fn log_key(&self) -> Option<&PublicKey> {
        self.log_key.as_ref()
    }

    /// So many events of the long log, far apart.
    pub(crate) fn prove(&self, nth: usize, events: usize) -> v1::ProveEventsRequest {
        let count = self.history.max(1);
        // A step without a divisor in common with any count that is asked for: all are different.
        let place =
            |of: usize| (nth as u64 * 7_368_787 + of as u64 * (count / events.max(1) as u64).max(1)) % count + 1;
        v1::ProveEventsRequest {
            events: (0..events).map(|of| format!("events/{}", history::name(place(of)))).collect(),
        }
    }

    /// The officer of the gemeente looks something up.
    pub(crate) fn query(&self, by: By, nth: usize) -> v1::QueryEventsRequest {
        let mut request = v1::QueryEventsRequest {
            context: context("36", "verantwoording", v1::Role::R14),
            page_size: PAGE,
            ..v1::QueryEventsRequest::default()
        };
        match by {
            By::Case => request.case = turn(&self.cases, nth),
            By::Subject => request.subject = turn(&self.subjects, nth),
            By::User => request.user_ref = queried::user(nth as u64),
        }
        request
    }

    /// The casusregisseur looks at a case.
    pub(crate) fn get_case(&self, nth: usize) -> v1::GetCaseRequest {
        self.case("10", "aanmelding", nth)
    }

    /// The same, for a purpose that article 10 does not have.
    pub(crate) fn denied(&self, nth: usize) -> v1::GetCaseRequest {
        self.case("10", "hulp", nth)
    }

    fn case(&self, article: &str, purpose: &str, nth: usize) -> v1::GetCaseRequest {
        v1::GetCaseRequest {
            context: context(article, purpose, v1::Role::R02),
            name: turn(&self.cases, nth),
            ..v1::GetCaseRequest::default()
        }
    }

    /// The first expert reads a record.
    pub(crate) fn fetch(&self, nth: usize) -> v1::FetchRecordRequest {
        v1::FetchRecordRequest {
            context: context("13", "advies", v1::Role::R05),
            name: turn(&self.records, nth),
            case: self.table.clone(),
        }
    }

    /// An expert empties its inbox, without acknowledging.
    pub(crate) fn inbox(&self) -> v1::StreamInboxRequest {
        v1::StreamInboxRequest { context: context("4", "beheer", v1::Role::R05), cursor: String::new(), drain: true }
    }

    /// An expert waits for news: nothing comes before `cursor` ends.
    pub(crate) fn wait(&self, cursor: String) -> v1::StreamInboxRequest {
        v1::StreamInboxRequest { cursor, drain: false, ..self.inbox() }
    }

    /// Somebody's pseudonym.
    pub(crate) fn resolve(&self) -> v1::ResolvePseudonymRequest {
        let id = Some(v1::subject::Id::VoprfOutput(voprf_output()));
        v1::ResolvePseudonymRequest {
            context: context("5", "beheer", v1::Role::R01),
            subject: Some(v1::Subject { id }),
        }
    }
}

fn turn(names: &[String], nth: usize) -> String {
    names.get(nth % names.len().max(1)).cloned().unwrap_or_default()
}

/// Whether every event is proven, the first of them to whoever has the log's key at hand.
pub(crate) fn proven(asked: &[String], reply: &v1::ProveEventsResponse, key: Option<&PublicKey>) -> Result<(), Failed> {
    let is_proven =
        |(event, proof): (&String, &v1::EventProof)| proof.event == *event && proof.state() == State::Proven;
    if reply.proofs.len() != asked.len() || !asked.iter().zip(&reply.proofs).all(is_proven) {
        return Err("an event is not proven".into());
    }
    if let (Some(key), Some(first)) = (key, reply.proofs.first()) {
        Proof::from_bytes(&first.proof)?.verify(record_hash(&first.leaf), key)?;
    }
    Ok(())
}
