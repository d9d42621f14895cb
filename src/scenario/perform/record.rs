//! Calls of the service `Records`.

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::Status;

use super::super::call;
use super::super::file::Step;
use super::super::names::Names;
use super::super::outcome::{Attempt, Got, event};
use super::super::word::numbers;
use super::{ConnectError, Stage, context, request_id, same_partners};
use crate::api::v1 as api;
use crate::api::v1::records_client::RecordsClient;

/// How often and how long to look for what another party's agent must do first.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: usize = 50;

impl Stage {
    pub(super) async fn plan(&mut self, step: &Step, call: &call::Plan) -> Result<Attempt, ConnectError> {
        let request = api::PlanRouteRequest {
            context: context(step),
            case: self.optional_case(call.case.as_ref(), &step.who).await?,
            category: call.category.number(),
            form: call.form.number(),
            recipient_roles: numbers(&call.to_roles),
            recipients: self.names.partners(&call.to),
            record: String::new(),
            source_external: call.source.map_or(0, |kind| kind.number()),
        };
        let answer = RecordsClient::new(self.channel(step).await?).plan_route(request).await;
        Ok(Attempt::of(answer, |plan| routed(&self.names, call.reaches.as_ref(), &plan.routes)))
    }

    pub(super) async fn publish(&mut self, step: &Step, call: &call::Publish) -> Result<Attempt, ConnectError> {
        let open = api::OpenRecord {
            request_id: request_id(),
            context: context(step),
            case: self.optional_case(call.case.as_ref(), &step.who).await?,
            category: call.category.number(),
            form: call.form.number(),
            recipient_roles: numbers(&call.to_roles),
            recipients: self.names.partners(&call.to),
            schema: call.schema.clone(),
            record: String::new(),
            header: None,
            keys: Vec::new(),
            source_external: call.source.map_or(0, |kind| kind.number()),
        };
        let plain = api::publish_record_request::Chunk::Plain(call.text.clone().into());
        let message = api::PublishRecordRequest { open: Some(open), chunk: Some(plain) };
        let answer = RecordsClient::new(self.channel(step).await?).publish_record(tokio_stream::once(message)).await;
        if let (Ok(response), Some(label)) = (&answer, &call.label) {
            let name = response.get_ref().record.as_ref().map(|record| record.name.as_str()).unwrap_or_default();
            self.names.learn_record(label, name, call.case.as_ref());
        }
        Ok(Attempt::of(answer, |reply| routed(&self.names, call.reaches.as_ref(), &reply.routes)))
    }

    pub(super) async fn request(&mut self, step: &Step, call: &call::Request) -> Result<Attempt, ConnectError> {
        let request = api::RequestRecordsRequest {
            request_id: request_id(),
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            categories: numbers(&call.categories),
            form: call.form.number(),
            sources: self.names.partners(&call.from),
        };
        let answer = RecordsClient::new(self.channel(step).await?).request_records(request).await;
        Ok(Attempt::of(answer, |reply| Got {
            article: None,
            complaints: same_partners(&self.names, call.reaches.as_ref(), &reply.sources),
        }))
    }

    pub(super) async fn fetch(&mut self, step: &Step, call: &call::Fetch) -> Result<Attempt, ConnectError> {
        let record = self.names.record(&call.record);
        let request = api::FetchRecordRequest {
            context: context(step),
            name: record.name,
            case: self.optional_case(record.case.as_ref(), &step.who).await?,
        };
        let mut client = RecordsClient::new(self.channel(step).await?);
        let mut stream = match client.fetch_record(request).await {
            Ok(response) => response,
            Err(status) => return Ok(Attempt::refused(&status)),
        };
        let event = event(stream.metadata());
        Ok(match read(stream.get_mut()).await {
            Ok((article, content)) => Attempt { event, result: Ok(content_is(call.reads.as_ref(), article, &content)) },
            Err(status) => {
                let refused = Attempt::refused(&status);
                Attempt { event: refused.event.or(event), ..refused }
            }
        })
    }

    pub(super) async fn list(&mut self, step: &Step, call: &call::List) -> Result<Attempt, ConnectError> {
        let request = api::ListRecordsRequest {
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            categories: numbers(&call.categories),
            ..Default::default()
        };
        let mut client = RecordsClient::new(self.channel(step).await?);
        let mut looks = LOOKS;
        loop {
            let answer = client.list_records(request.clone()).await;
            let attempt = Attempt::of(answer, |list| found(&self.names, &call.finds, &list.records));
            looks = looks.saturating_sub(1);
            match &attempt.result {
                Ok(got) if !got.complaints.is_empty() && looks > 0 => tokio::time::sleep(LOOK).await,
                _ => return Ok(attempt),
            }
        }
    }
}

async fn read(stream: &mut tonic::Streaming<api::FetchRecordResponse>) -> Result<(Option<String>, Vec<u8>), Status> {
    let (mut article, mut content) = (None, Vec::new());
    while let Some(message) = stream.next().await {
        let message = message?;
        if let Some(record) = message.record {
            article = Some(record.article);
        }
        if let Some(api::fetch_record_response::Chunk::Plain(chunk)) = message.chunk {
            content.extend_from_slice(&chunk);
        }
    }
    Ok((article, content))
}

fn content_is(wanted: Option<&String>, article: Option<String>, content: &[u8]) -> Got {
    let right = wanted.is_none_or(|wanted| wanted.as_bytes() == content);
    let complaints = if right { Vec::new() } else { vec![format!("other content came out ({} bytes)", content.len())] };
    Got { article, complaints }
}

fn routed(names: &Names, reaches: Option<&Vec<String>>, routes: &[api::Route]) -> Got {
    let partners: Vec<String> = routes.iter().map(|route| route.partner.clone()).collect();
    let article = routes.first().map(|route| route.article.clone());
    Got { article, complaints: same_partners(names, reaches, &partners) }
}

fn found(names: &Names, wanted: &[String], records: &[api::Record]) -> Got {
    let labels: Vec<_> = records.iter().filter_map(|record| names.record_label(&record.name)).collect();
    let missing = wanted.iter().filter(|label| !labels.contains(&label.as_str()));
    Got { article: None, complaints: missing.map(|label| format!("`{label}` is not among the records")).collect() }
}
