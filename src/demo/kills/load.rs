//! The load: what the systems of the partners ask of their agents, over and over, until they are told to stop. Nothing in it
//! is forbidden and no right ends, so every answer but OK is a defect, and every inbox item stays visible.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tonic::Status;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use super::caller::{Broken, Caller, unary};
use super::inbox::Inbox;
use super::random::Random;
use super::tally::{Change, Done};
use crate::api::v1 as api;
use crate::api::v1::cases_client::CasesClient;
use crate::api::v1::consents_client::ConsentsClient;
use crate::api::v1::inbox_client::InboxClient;
use crate::api::v1::pseudonyms_client::PseudonymsClient;
use crate::api::v1::records_client::RecordsClient;

/// What the workers share.
pub(super) struct Scene {
    /// Set when no new call is to begin.
    pub(super) stop: AtomicBool,
    /// Youths so far.
    pub(super) youths: AtomicU64,
    /// `partners/{oin}` of those who treat youths.
    pub(super) treating: Vec<String>,
}

/// What a partner does in the load, by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A gemeente refers cases and manages them.
    Refers,
    /// The network's bureau coordinates every case.
    Coordinates,
    /// A provider asks the expert team, without a case.
    Consults,
}

/// One worker: a system that makes one call after the other.
pub(super) struct Worker {
    pub(super) caller: Caller,
    pub(super) part: Part,
    pub(super) random: Random,
    pub(super) scene: Arc<Scene>,
    pub(super) inbox: Arc<Inbox>,
    case: Option<String>,
}

impl Worker {
    pub(super) fn new(caller: Caller, part: Part, random: Random, scene: &Arc<Scene>, inbox: &Arc<Inbox>) -> Self {
        Self { caller, part, random, scene: Arc::clone(scene), inbox: Arc::clone(inbox), case: None }
    }

    /// Works until it is told to stop or an answer is not OK. The call that is under way is settled first.
    pub(super) async fn work(mut self) {
        while !self.scene.stop.load(Ordering::SeqCst) {
            if let Err(broken) = self.turn().await {
                self.caller.tally.broken(broken.to_string());
                return;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Broken> {
        match (self.part, self.random.within(0..8)) {
            (_, 0) => self.acknowledge().await,
            (Part::Refers, 1 | 2) => self.refer().await,
            (Part::Refers, 3) => self.consent().await,
            (Part::Refers, 4 | 5) => self.publish_in_case().await,
            (Part::Refers | Part::Consults, 6) => self.resolve().await,
            (Part::Refers | Part::Coordinates, 7) => self.list().await,
            (Part::Consults, 1..=3) => self.consult().await,
            _ => self.fetch().await,
        }
    }

    /// Opens a case, and gives a provider a role in it.
    async fn refer(&mut self) -> Result<(), Broken> {
        let request = api::ReferCaseRequest {
            request_id: Uuid::new_v4().to_string(),
            context: self.context("10", "aanmelding", api::Role::R01),
            subject: Some(self.new_youth()),
            regime: Some(api::ConsentRegime {
                age_band: api::AgeBand::AgeBand1215.into(),
                capable: true,
                authority: vec![api::Giver::Ouder1.into()],
                ..Default::default()
            }),
            holder: String::new(),
        };
        let call = |channel| {
            let request = request.clone();
            async move { unary(CasesClient::new(channel).refer_case(request).await) }
        };
        let case = self.caller.ask("ReferCase", call).await?.name;
        self.done(Change::Refer, &request.request_id);
        self.case = Some(case.clone());
        let mut treating = self.scene.treating.clone();
        let Some(partner) = self.random.take(&mut treating) else { return Ok(()) };
        let context = self.context("1", "beheer", api::Role::R02);
        let request = api::AssignRoleRequest {
            request_id: Uuid::new_v4().to_string(),
            context: context.map(|context| api::RequestContext { reason: "Behandelt".to_owned(), ..context }),
            case,
            role: api::Role::R07.into(),
            partner,
            directly_involved: true,
            ..Default::default()
        };
        let call = |channel| {
            let request = request.clone();
            async move { unary(CasesClient::new(channel).assign_role(request).await) }
        };
        self.caller.ask("AssignRole", call).await?;
        self.done(Change::Assign, &request.request_id);
        Ok(())
    }

    async fn consent(&mut self) -> Result<(), Broken> {
        let Some(case) = self.case.clone() else { return Ok(()) };
        let request = api::RecordConsentRequest {
            request_id: Uuid::new_v4().to_string(),
            context: self.context("7", "beheer", api::Role::R02),
            case,
            giver: api::Giver::Ouder1.into(),
            scope: Some(api::ConsentScope {
                articles: vec!["13".to_owned()],
                categories: vec![api::Category::C06.into()],
                recipient_roles: vec![api::Role::R05.into()],
                ..Default::default()
            }),
            text_version: "2026-1".to_owned(),
            expire_time: None,
        };
        let call = |channel| {
            let request = request.clone();
            async move { unary(ConsentsClient::new(channel).record_consent(request).await) }
        };
        self.caller.ask("RecordConsent", call).await?;
        self.done(Change::Consent, &request.request_id);
        Ok(())
    }

    /// What the youth asks for, to the coordinator.
    async fn publish_in_case(&mut self) -> Result<(), Broken> {
        let Some(case) = self.case.clone() else { return Ok(()) };
        let context = self.context("10", "aanmelding", api::Role::R01);
        let (category, roles) = (api::Category::C06.into(), vec![api::Role::R03.into()]);
        let open = api::OpenRecord { context, case, category, recipient_roles: roles, ..plain_text() };
        self.publish(open, "Zij wil een plek waar ze mag blijven, ook als het misgaat.").await
    }

    /// A question without a case, to the expert team.
    async fn consult(&mut self) -> Result<(), Broken> {
        let context = self.context("9", "consultatie", api::Role::R07);
        let open = api::OpenRecord { context, category: api::Category::C03.into(), ..plain_text() };
        self.publish(open, "Leeftijdsklasse 12-15, meisje, regio Twente.").await
    }

    async fn publish(&mut self, open: api::OpenRecord, text: &str) -> Result<(), Broken> {
        let request_id = open.request_id.clone();
        let chunk = api::publish_record_request::Chunk::Plain(text.to_owned().into());
        let message = api::PublishRecordRequest { open: Some(open), chunk: Some(chunk) };
        let call = |channel| {
            let upload = tokio_stream::once(message.clone());
            async move { unary(RecordsClient::new(channel).publish_record(upload).await) }
        };
        self.caller.ask("PublishRecord", call).await?;
        self.done(Change::Publish, &request_id);
        Ok(())
    }

    /// The records of a case that the worker knows: its own, or one that its inbox named.
    async fn list(&mut self) -> Result<(), Broken> {
        let (case, role) = match self.part {
            Part::Refers => (self.case.clone(), api::Role::R02),
            Part::Coordinates | Part::Consults => (self.inbox.newest_case(), api::Role::R03),
        };
        let Some(case) = case else { return Ok(()) };
        let request = api::ListRecordsRequest {
            context: self.context("10", "aanmelding", role),
            case,
            categories: vec![api::Category::C06.into()],
            ..Default::default()
        };
        let call = |channel| {
            let request = request.clone();
            async move { unary(RecordsClient::new(channel).list_records(request).await) }
        };
        self.caller.ask("ListRecords", call).await.map(|_| ())
    }

    /// The record that came last, opened by the agent.
    async fn fetch(&mut self) -> Result<(), Broken> {
        let Some(record) = self.inbox.newest_record() else {
            // The first ones are still to be written.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            return Ok(());
        };
        let context = match (record.case.is_empty(), self.part) {
            (true, Part::Coordinates) => self.context("9", "consultatie", api::Role::R03),
            (true, _) => self.context("9", "consultatie", api::Role::R05),
            (false, _) => self.context("10", "aanmelding", api::Role::R03),
        };
        let request = api::FetchRecordRequest { context, name: record.name, case: record.case };
        let call = |channel| {
            let request = request.clone();
            async move { read(RecordsClient::new(channel).fetch_record(request).await?).await }
        };
        self.caller.ask("FetchRecord", call).await.map(|_| ())
    }

    async fn acknowledge(&mut self) -> Result<(), Broken> {
        let Some(cursor) = self.inbox.newest_cursor() else { return Ok(()) };
        let context = self.user();
        let request = api::AcknowledgeInboxRequest { context, cursor };
        let call = |channel| {
            let request = request.clone();
            async move { unary(InboxClient::new(channel).acknowledge_inbox(request).await) }
        };
        self.caller.ask("AcknowledgeInbox", call).await.map(|_| ())
    }

    async fn resolve(&mut self) -> Result<(), Broken> {
        let role = if self.part == Part::Refers { api::Role::R01 } else { api::Role::R07 };
        let subject = Some(self.new_youth());
        let request = api::ResolvePseudonymRequest { context: self.context("5", "beheer", role), subject };
        let call = |channel| {
            let request = request.clone();
            async move { unary(PseudonymsClient::new(channel).resolve_pseudonym(request).await) }
        };
        self.caller.ask("ResolvePseudonym", call).await.map(|_| ())
    }

    fn done(&self, change: Change, request_id: &str) {
        let (oin, user_ref) = (self.caller.member.oin.clone(), self.caller.user_ref.clone());
        self.caller.tally.done(Done { oin, user_ref, change, request_id: request_id.to_owned() });
    }

    fn user(&self) -> Option<api::RequestContext> {
        Some(api::RequestContext { user_ref: self.caller.user_ref.clone(), ..Default::default() })
    }

    fn context(&self, article: &str, purpose: &str, role: api::Role) -> Option<api::RequestContext> {
        let context = self.user().unwrap_or_default();
        let (article, purpose) = (article.to_owned(), purpose.to_owned());
        Some(api::RequestContext { article, purpose, acting_role: role.into(), ..context })
    }

    /// Somebody of whom nobody has asked yet.
    fn new_youth(&self) -> api::Subject {
        let number = loop {
            if let Some(number) = synthetic(self.scene.youths.fetch_add(1, Ordering::SeqCst)) {
                break number;
            }
        };
        api::Subject { id: Some(api::subject::Id::Bsn(number)) }
    }
}

fn plain_text() -> api::OpenRecord {
    api::OpenRecord {
        request_id: Uuid::new_v4().to_string(),
        form: api::Form::P.into(),
        schema: "sluis/tekst/v1".to_owned(),
        ..Default::default()
    }
}

/// Reads a record to its end: half a record is no answer.
async fn read(
    answer: tonic::Response<tonic::Streaming<api::FetchRecordResponse>>,
) -> Result<(MetadataMap, usize), Status> {
    let (metadata, mut stream, _) = answer.into_parts();
    let mut size = 0;
    while let Some(message) = stream.message().await? {
        if let Some(api::fetch_record_response::Chunk::Plain(piece)) = message.chunk {
            size += piece.len();
        }
    }
    Ok((metadata, size))
}

/// A number that begins with 999 and passes the elfproef; there is none for one in eleven.
fn synthetic(nth: u64) -> Option<String> {
    let eight = 99_900_000 + nth % 100_000;
    let digits = eight.to_string();
    let sum: u32 =
        digits.chars().zip((2..=9).rev()).filter_map(|(digit, weight)| Some(digit.to_digit(10)? * weight)).sum();
    (sum % 11 < 10).then(|| format!("{eight}{}", sum % 11))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_numbers_pass_the_elfproef() {
        let numbers: Vec<String> = (0..500).filter_map(synthetic).collect();
        assert!(numbers.len() > 440);
        assert!(numbers.iter().all(|number| crate::pseudonym::Bsn::parse(number).is_ok()));
        assert_eq!(synthetic(7_14), synthetic(100_714), "after a hundred thousand they come again");
    }
}
