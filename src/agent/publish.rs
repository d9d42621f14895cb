//! Publishing: plain content comes in, is checked and encrypted on its way to disk, and leaves sealed to exactly the
//! recipients of the hub's route plan.

use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Agent;
use super::content::{Content, Wrong};
use super::forward::Along;
use super::links::HUB;
use super::nodes::{Again, Node};
use super::refusal::{Violation, passed_on, upstream};
use super::schema::{self, Schema};
use super::sealing::{Draft, SealRecordError, addressed, seal_record};
use super::spool::Spooled;
use super::words;
use crate::api::v1;
use crate::api::v1::publish_record_request::Chunk;
use crate::api::v1::records_client::RecordsClient;
use crate::inspect::{BsnField, Look};
use crate::party::{Category, Form, Role};
use crate::reason::Reason;
use crate::redact::log;
use crate::seal::{BodySealer, FreshKey, SealedBody};
use crate::wire::Numbered as _;

const METHOD: &str = "sluis.v1.Records/PublishRecord";
const PLAN: &str = "sluis.v1.Records/PlanRoute";
/// Largest piece in one message, in either direction: 1 MiB.
pub(super) const PIECE: usize = 1 << 20;
/// How long a local system may be silent in the middle of content, in either direction.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// How often the route is planned anew when it changed while the record was being sealed.
const PLANS: usize = 3;

/// Content that is encrypted and waits for its recipients.
struct Body {
    sealed: SealedBody,
    spooled: Spooled,
    /// SHA-256 of the content; goes no further than the agent.
    content_sha256: [u8; 32],
}

impl Agent {
    /// `Records.PublishRecord`, plain.
    pub(super) async fn publish(
        &self,
        request: Request<Streaming<v1::PublishRecordRequest>>,
    ) -> Result<Response<v1::PublishRecordResponse>, Status> {
        let _turn = self.bodies.acquire().await.map_err(|_| Status::unavailable("the agent is stopping"))?;
        let along = Along::of(&request);
        let mut messages = request.into_inner();
        let first = next(&mut messages).await?.unwrap_or_default();
        let Some(open) = first.open else {
            let violation = [Violation::new("open", "the first message opens the record")];
            return Err(self.refuse(METHOD, &Look::default(), Reason::RequestIncomplete, &violation).await);
        };
        let bytes = Zeroizing::new(open.encode_to_vec());
        let look = self.shapes.look_into(".sluis.v1.OpenRecord", &bytes, BsnField::CheckedElsewhere);
        drop(bytes);
        let look = look.map_err(|_| Status::internal("the request can't be read"))?;
        if !look.dirty.is_empty() {
            let named = Look { dirty: look.dirty.iter().map(|field| format!("open.{field}")).collect(), ..look };
            return Err(self.refuse_bsn(METHOD, &named).await);
        }
        let (draft, schema) = match draft(&open) {
            Ok(read) => read,
            Err(violations) => return Err(self.refuse(METHOD, &look, Reason::RequestIncomplete, &violations).await),
        };
        let body = match self.take_in(schema, first.chunk, &mut messages).await? {
            Ok(body) => body,
            Err(wrong) => return Err(self.refuse_content(&look, wrong).await),
        };
        self.send_sealed(&draft, &open, &body, &along).await
    }

    async fn refuse_content(&self, look: &Look, wrong: Wrong) -> Status {
        let (reason, expected) = match wrong {
            Wrong::Bsn => (Reason::BsnInText, "content without a number that passes the elfproef of a BSN"),
            Wrong::Malformed(expected) => (Reason::RequestIncomplete, expected),
        };
        self.refuse(METHOD, look, reason, &[Violation::new("chunk.plain", expected)]).await
    }

    /// Takes the content in: checked and encrypted piece by piece; on disk there is only ciphertext.
    async fn take_in(
        &self,
        schema: &'static Schema,
        first: Option<Chunk>,
        messages: &mut Streaming<v1::PublishRecordRequest>,
    ) -> Result<Result<Body, Wrong>, Status> {
        let mut content = Content::new(schema);
        let mut sealer = BodySealer::new(FreshKey::generate(&mut rand_core::OsRng));
        let mut spool = self.spool.create().await.map_err(|_| no_disk())?;
        let mut ciphertext = Vec::new();
        let mut chunk = first;
        loop {
            let piece = match chunk.take() {
                Some(Chunk::Plain(piece)) => piece,
                Some(Chunk::Sealed(_)) => return Ok(Err(Wrong::Malformed("plain content: the agent seals"))),
                None => Default::default(),
            };
            if piece.len() > PIECE {
                return Ok(Err(Wrong::Malformed("at most 1 MiB in one message")));
            }
            if let Err(wrong) = content.push(&piece) {
                return Ok(Err(wrong));
            }
            if sealer.push(&piece, &mut ciphertext).is_err() {
                return Ok(Err(Wrong::Malformed("no more than 25 MiB")));
            }
            spool.write(&ciphertext).await.map_err(|_| no_disk())?;
            ciphertext.clear();
            match next(messages).await? {
                None => break,
                Some(message) if message.open.is_some() => {
                    return Ok(Err(Wrong::Malformed("one opening message, then content only")));
                }
                Some(message) => chunk = message.chunk,
            }
        }
        let content_sha256 = match content.finish() {
            Ok(sha256) => sha256,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let sealed = sealer.finish(&mut ciphertext).map_err(|_| Status::internal("the content can't be encrypted"))?;
        spool.write(&ciphertext).await.map_err(|_| no_disk())?;
        let spooled = spool.finish().await.map_err(|_| no_disk())?;
        Ok(Ok(Body { sealed, spooled, content_sha256 }))
    }

    /// Plans, seals and sends; again if the route changed in between.
    async fn send_sealed(
        &self,
        draft: &Draft,
        open: &v1::OpenRecord,
        body: &Body,
        along: &Along,
    ) -> Result<Response<v1::PublishRecordResponse>, Status> {
        let record = self.own.name_record(&open.request_id, &body.content_sha256);
        // A plan changes nothing, and a publication is known by its request id.
        let again = if open.request_id.is_empty() { Again::No } else { Again::Yes };
        let mut plans = PLANS;
        loop {
            plans = plans.saturating_sub(1);
            let ask = |node: Node| {
                let question = along.request(plan_of(open, record));
                async move { RecordsClient::new(node.channel).plan_route(question).await }
            };
            let plan = self.at_hub(PLAN, again, ask).await;
            let routes = plan.map_err(|status| upstream(&status, HUB))?.into_inner().routes;
            let now = self.clock.now();
            let sealed =
                addressed(&self.own, &self.partners, &self.covenant, draft, &routes, now).and_then(|recipients| {
                    seal_record(&self.own, &self.covenant, draft, record, &body.sealed, &recipients, now)
                });
            let (header, keys) = sealed.map_err(|error| unsealable(&error))?;
            let name = format!("records/{record}");
            let open = v1::OpenRecord { record: name, header: Some(header), keys, ..open.clone() };
            let send = |node: Node| {
                let open = open.clone();
                async move {
                    let pieces = ReceiverStream::new(self.pieces(open, &body.spooled).await?);
                    RecordsClient::new(node.channel).publish_record(along.request(pieces)).await
                }
            };
            match self.at_hub(METHOD, again, send).await {
                Err(status) if plans > 0 && route_changed(&status) => {
                    tracing::info!(
                        record = log(&record),
                        "the route changed while the record was sealed; planned anew"
                    );
                }
                answer => return answer.map(passed_on).map_err(|status| upstream(&status, HUB)),
            }
        }
    }

    /// The opening message and the ciphertext after it, as fast as the hub takes them.
    async fn pieces(
        &self,
        open: v1::OpenRecord,
        spooled: &Spooled,
    ) -> Result<mpsc::Receiver<v1::PublishRecordRequest>, Status> {
        let mut reader = spooled.reader().await.map_err(|_| no_disk())?;
        let (sender, receiver) = mpsc::channel(2);
        tokio::spawn(async move {
            let mut message = v1::PublishRecordRequest { open: Some(open), chunk: None };
            // The receiver is gone when the hub has refused or the caller left. A file that can't be read to its end
            // leaves a body that is too short, which the hub refuses by its hash.
            while sender.send(message).await.is_ok() {
                match reader.next(PIECE).await {
                    Ok(piece) if !piece.is_empty() => {
                        message = v1::PublishRecordRequest { open: None, chunk: Some(Chunk::Sealed(piece.into())) };
                    }
                    _ => return,
                }
            }
        });
        Ok(receiver)
    }
}

async fn next(messages: &mut Streaming<v1::PublishRecordRequest>) -> Result<Option<v1::PublishRecordRequest>, Status> {
    let message = tokio::time::timeout(SILENCE, messages.message()).await;
    message.map_err(|_| Status::deadline_exceeded("no more content came for a minute; nothing was sent"))?
}

/// Reads what the agent itself needs of the opening; the rest is the hub's to judge.
fn draft(open: &v1::OpenRecord) -> Result<(Draft, &'static Schema), Vec<Violation>> {
    let mut violations = Vec::new();
    let mut wrong = |field: &str, expected| violations.push(Violation::new(field, expected));
    if !open.record.is_empty() || open.header.is_some() || !open.keys.is_empty() {
        wrong("open.header", "nothing: the agent names and seals the record");
    }
    if !open.case.is_empty() && words::id(&open.case, "cases").is_none() {
        wrong("open.case", "cases/{uuid}, or nothing");
    }
    let context = open.context.as_ref();
    let article = context.and_then(|context| context.article.parse().ok());
    if article.is_none() {
        wrong("open.context.article", "the number of an article, 1-40");
    }
    let role = context.and_then(|context| Role::from_number(context.acting_role));
    if role.is_none() {
        wrong("open.context.acting_role", "the role in which you act");
    }
    let (category, form) = (Category::from_number(open.category), Form::from_number(open.form));
    if category.is_none() {
        wrong("open.category", "one category");
    }
    if form.is_none() {
        wrong("open.form", "one form");
    }
    let schema = schema::find(&open.schema);
    if schema.is_none() {
        wrong("open.schema", KNOWN_SCHEMAS);
    }
    if let (Some(schema), Some(category), Some(form)) = (schema, category, form)
        && !schema.carries(category, form)
    {
        wrong("open.schema", "a schema that may carry this category and form");
    }
    let named: Option<Vec<_>> = open.recipients.iter().map(|name| words::partner(name)).collect();
    if named.is_none() {
        wrong("open.recipients", "partners/{oin} each, or nobody");
    }
    let roles: Option<Vec<_>> = open.recipient_roles.iter().map(|role| Role::from_number(*role)).collect();
    if roles.is_none() {
        wrong("open.recipient_roles", "roles, or none");
    }
    let name = open.schema.parse().ok();
    let read = (|| {
        let draft = Draft {
            article: article?,
            category: category?,
            form: form?,
            role: role?,
            schema: name?,
            named: named?,
            roles: roles?,
        };
        Some((draft, schema?))
    })();
    match read {
        Some(read) if violations.is_empty() => Ok(read),
        _ => Err(violations),
    }
}

/// Every name in [`schema::SCHEMAS`]; a test compares.
const KNOWN_SCHEMAS: &str = "one of sluis/aanmelding-hulpvraag/v1, sluis/plaatsingsprofiel/v1, sluis/consultatie/v1, \
                             sluis/tekst/v1, sluis/bestand/v1";

fn plan_of(open: &v1::OpenRecord, record: Uuid) -> v1::PlanRouteRequest {
    v1::PlanRouteRequest {
        context: open.context.clone(),
        case: open.case.clone(),
        category: open.category,
        form: open.form,
        recipient_roles: open.recipient_roles.clone(),
        recipients: open.recipients.clone(),
        record: format!("records/{record}"),
        source_external: open.source_external,
    }
}

fn route_changed(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
        && status.get_details_error_info().is_some_and(|info| info.reason == "ROUTE_CHANGED")
}

fn unsealable(error: &SealRecordError) -> Status {
    let text = error.to_string();
    match error {
        SealRecordError::Keys(partner, why) => {
            tracing::error!(partner = log(partner), why = %why, "a partner's keys are not believed; nothing was sent");
            Status::failed_precondition(text)
        }
        SealRecordError::Widened(partner, why) => {
            tracing::error!(partner = log(partner), why = %why, "the hub's route plan goes too far; nothing was sent");
            Status::failed_precondition(text)
        }
        SealRecordError::NotPublished => Status::failed_precondition(text),
        SealRecordError::Plan(_) | SealRecordError::Header(_) | SealRecordError::Seal(_) => {
            tracing::error!(error = text, "the record can't be sealed");
            Status::internal(text)
        }
    }
}

pub(super) fn no_disk() -> Status {
    tracing::error!("the agent's spool can't be written or read");
    Status::unavailable("the agent's spool can't be written or read; nothing was sent")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::schema::SCHEMAS;

    #[test]
    fn the_list_in_the_message_is_the_list() {
        for schema in SCHEMAS {
            assert!(KNOWN_SCHEMAS.contains(schema.name));
        }
    }

    #[test]
    fn every_wrong_field_of_the_opening_is_named() {
        let violations = draft(&v1::OpenRecord::default()).map(|_| ()).unwrap_err();
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        let wanted = ["open.context.article", "open.context.acting_role", "open.category", "open.form", "open.schema"];
        assert_eq!(fields, wanted);
    }
}
