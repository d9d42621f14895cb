//! The requests of the cases.

use sluis::api::v1;

use crate::Failed;
use crate::setup::voprf_output;
use crate::world::{World, context};

/// Requests in this network.
pub(crate) struct Requests {
    cases: Vec<String>,
    records: Vec<String>,
    table: String,
}

impl Requests {
    /// For this network.
    pub(crate) fn new(world: &World) -> Result<Self, Failed> {
        let expert = world.experts.first().ok_or("no expert")?;
        let table = world.table.get(expert).ok_or("no case at a table")?.clone();
        Ok(Self { cases: world.cases.clone(), records: world.records.clone(), table })
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
