//! Fetching: who sealed it, for whom, in which case, and whether it is what the hub says it is; only then the content.
//!
//! The ciphertext is checked as a whole before its first byte of content leaves: once while it comes in, and again
//! while it is opened. On disk there is only ciphertext.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::Agent;
use super::forward::{copy, leash, onward};
use super::links::HUB;
use super::nodes::{Again, Node};
use super::publish::{PIECE, SILENCE, no_disk};
use super::refusal::{EVENT, event_of, upstream};
use super::sealing::read_sealed_key;
use super::services::{Messages, held};
use super::spool::Spooled;
use super::words;
use crate::api::v1;
use crate::api::v1::fetch_record_response::Chunk;
use crate::api::v1::records_client::RecordsClient;
use crate::party::{Category, Form, Oin, Role};
use crate::redact::log;
use crate::seal::{
    AddressedHeader, BodyError, Expectation, Header, HeaderError, KeySet, RecordKey, SealError, SignedAddition,
    SignedHeader, open_body,
};
use crate::wire::{Numbered as _, timestamp};

const METHOD: &str = "sluis.v1.Records/FetchRecord";

/// Why what the hub gave is not opened. Only the role can be the caller's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unopened {
    /// A part is not there.
    #[error("the hub's answer is not complete")]
    Incomplete,
    /// The author's keys.
    #[error("the author's keys are not believed: the author {0}")]
    Keys(super::partners::PartnerKeysError),
    /// The header, or who it is for.
    #[error("the record is not what it seems: {0}")]
    Header(#[from] HeaderError),
    /// The hub says something else of the record than its author.
    #[error("the hub names another {0} than the record's author signed")]
    Relabelled(&'static str),
    /// The caller acts in another role than the record was sealed for.
    #[error("the record is sealed to this organisation in another role than the one that the request names")]
    OtherRole,
    /// The sealed key.
    #[error("the record's key does not open: {0}")]
    Key(#[from] SealError),
    /// The body.
    #[error("the record's content does not open: {0}")]
    Body(#[from] BodyError),
}

/// A record that may be opened.
struct Opened {
    header: AddressedHeader,
    key: RecordKey,
}

impl Agent {
    /// `Records.FetchRecord`, plain.
    pub(super) async fn fetch(
        &self,
        request: Request<v1::FetchRecordRequest>,
    ) -> Result<Response<Messages<v1::FetchRecordResponse>>, Status> {
        let turn =
            self.bodies.clone().acquire_owned().await.map_err(|_| Status::unavailable("the agent is stopping"))?;
        self.inspect(METHOD, request.get_ref()).await?;
        let (asked, leash) = (request.get_ref().clone(), leash(&request));
        let request = onward(request);
        let ask = |node: Node| {
            let request = copy(&request);
            async move { RecordsClient::new(node.channel).fetch_record(request).await }
        };
        let answer = self.at_hub(METHOD, Again::No, ask).await;
        let answer = answer.map_err(|status| upstream(&status, HUB))?;
        let event = event_of(answer.metadata());
        let mut messages = answer.into_inner();
        let first = self.next_piece(&mut messages).await?.unwrap_or_default();
        let refuse = |why: Unopened| unopened(&asked.name, &why, event.as_deref());
        let opened = self.open(&asked, &first).map_err(refuse)?;
        let body = self.take_body(&opened, first.chunk, &mut messages).await?.map_err(refuse)?;

        let (sender, receiver) = mpsc::channel(1);
        // When it was made is for its author to say.
        let create_time = Some(timestamp(opened.header.header().created));
        let record = first.record.map(|record| v1::Record { create_time, ..record });
        let record = v1::FetchRecordResponse { record, ..Default::default() };
        tokio::spawn(async move {
            let _turn = turn;
            if sender.send(Ok(record)).await.is_ok() {
                release(&opened, &body, &asked.name, &sender).await;
            }
        });
        let mut reply = Response::new(held(ReceiverStream::new(receiver), leash));
        if let Some(event) = event.and_then(|event| event.parse().ok()) {
            reply.metadata_mut().insert(EVENT, event);
        }
        Ok(reply)
    }

    async fn next_piece(
        &self,
        messages: &mut Streaming<v1::FetchRecordResponse>,
    ) -> Result<Option<v1::FetchRecordResponse>, Status> {
        messages.message().await.map_err(|status| {
            self.stream_ended(METHOD, &status);
            upstream(&status, HUB)
        })
    }

    /// Checks everything that comes before the body, in the order in which it may be believed.
    fn open(&self, asked: &v1::FetchRecordRequest, first: &v1::FetchRecordResponse) -> Result<Opened, Unopened> {
        let record = words::id(&asked.name, "records").ok_or(Unopened::Incomplete)?;
        let (Some(said), Some(header), Some(key)) = (&first.record, &first.header, &first.key) else {
            return Err(Unopened::Incomplete);
        };
        let header = SignedHeader::read(header.header.clone(), &header.signature)?;
        let case_ref = asked.case.strip_prefix("cases/").unwrap_or_default();
        let expectation = Expectation { record, case_ref, me: self.own.oin() };
        let header = self.addressed(header, key, first.author_keys.as_ref(), &expectation)?;
        same_label(asked, said, header.header())?;
        same_role(asked, &header, self.own.oin())?;
        let sealed = read_sealed_key(key).ok_or(Unopened::Incomplete)?;
        let key = self.own.open(&header, &sealed)?;
        Ok(Opened { header, key })
    }

    /// The header, once its author signed it, for this organisation, in this case; or the author's later addition.
    fn addressed(
        &self,
        header: SignedHeader,
        key: &v1::SealedKey,
        keys: Option<&v1::KeySet>,
        expectation: &Expectation<'_>,
    ) -> Result<AddressedHeader, Unopened> {
        let author = header.header().author.clone();
        if author == *self.own.oin() {
            return Ok(header.verify(&self.own.current().set, expectation)?);
        }
        let author = self.partners.recall(keys, &author, self.clock.now()).map_err(Unopened::Keys)?;
        verify(header, key, &author, expectation)
    }

    /// Spools the ciphertext and opens it along the way, throwing the content away: whether it is whole shows at its end.
    async fn take_body(
        &self,
        opened: &Opened,
        first: Option<Chunk>,
        messages: &mut Streaming<v1::FetchRecordResponse>,
    ) -> Result<Result<Spooled, Unopened>, Status> {
        let mut opener = match open_body(&opened.key, &opened.header) {
            Ok(opener) => opener,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut spool = self.spool.create().await.map_err(|_| no_disk())?;
        let mut content = Zeroizing::new(Vec::new());
        let mut chunk = first;
        loop {
            match chunk.take() {
                Some(Chunk::Sealed(piece)) => {
                    if let Err(error) = opener.push(&piece, &mut content) {
                        return Ok(Err(error.into()));
                    }
                    content.zeroize();
                    spool.write(&piece).await.map_err(|_| no_disk())?;
                }
                Some(Chunk::Plain(_)) => return Ok(Err(Unopened::Incomplete)),
                None => {}
            }
            match self.next_piece(messages).await? {
                Some(message) => chunk = message.chunk,
                None => break,
            }
        }
        if let Err(error) = opener.finish(&mut content) {
            return Ok(Err(error.into()));
        }
        Ok(Ok(spool.finish().await.map_err(|_| no_disk())?))
    }
}

fn verify(
    header: SignedHeader,
    key: &v1::SealedKey,
    author: &KeySet,
    expectation: &Expectation<'_>,
) -> Result<AddressedHeader, Unopened> {
    if key.addition.is_empty() {
        return Ok(header.verify(author, expectation)?);
    }
    let addition = SignedAddition::read(key.addition.clone(), &key.addition_signature)?;
    Ok(addition.verify(header.authenticate(author)?, author, expectation)?)
}

/// What the hub says of the record must be what its author signed.
fn same_label(asked: &v1::FetchRecordRequest, said: &v1::Record, header: &Header) -> Result<(), Unopened> {
    let checks = [
        ("record", said.name == asked.name),
        ("case", said.case == asked.case),
        ("category", Category::from_number(said.category) == Some(header.category)),
        ("form", Form::from_number(said.form) == Some(header.form)),
        ("article", said.article.parse().ok() == Some(header.article)),
        ("author", words::partner(&said.author).as_ref() == Some(&header.author)),
        ("schema", said.schema == header.schema.as_str()),
    ];
    match checks.into_iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(Unopened::Relabelled(what)),
        None => Ok(()),
    }
}

/// A record opens only to the role to which its author sealed it. Its author, and whoever was given it without a role, may
/// act in any.
fn same_role(asked: &v1::FetchRecordRequest, header: &AddressedHeader, me: &Oin) -> Result<(), Unopened> {
    let acting = asked.context.as_ref().and_then(|context| Role::from_number(context.acting_role));
    let sealed_to = header.recipient().role;
    let same = header.header().author == *me || sealed_to.is_none() || sealed_to == acting;
    if same { Ok(()) } else { Err(Unopened::OtherRole) }
}

/// Opens the spooled ciphertext again and hands the content over, as fast as it is taken.
async fn release(
    opened: &Opened,
    body: &Spooled,
    name: &str,
    sender: &mpsc::Sender<Result<v1::FetchRecordResponse, Status>>,
) {
    if let Err(status) = pour(opened, body, name, sender).await {
        drop(tokio::time::timeout(SILENCE, sender.send(Err(status))).await);
    }
}

async fn pour(
    opened: &Opened,
    body: &Spooled,
    name: &str,
    sender: &mpsc::Sender<Result<v1::FetchRecordResponse, Status>>,
) -> Result<(), Status> {
    let refuse = |error: BodyError| unopened(name, &error.into(), None);
    let mut opener = open_body(&opened.key, &opened.header).map_err(refuse)?;
    let mut reader = body.reader().await.map_err(|_| no_disk())?;
    let mut content = Zeroizing::new(Vec::new());
    loop {
        // A bit less than a piece, so that what was kept back from the last one fits in the message too.
        let piece = reader.next(PIECE - PIECE / 8).await.map_err(|_| no_disk())?;
        if piece.is_empty() {
            break;
        }
        opener.push(&piece, &mut content).map_err(refuse)?;
        if !hand_over(&mut content, sender).await {
            return Err(too_slow());
        }
    }
    opener.finish(&mut content).map_err(refuse)?;
    if hand_over(&mut content, sender).await { Ok(()) } else { Err(too_slow()) }
}

/// Content must never seem to end where it was cut off.
fn too_slow() -> Status {
    Status::deadline_exceeded("the content was not taken for a minute; fetch the record again")
}

/// Sends what has been opened; false when nobody takes it any more, or not within a minute.
async fn hand_over(content: &mut Vec<u8>, sender: &mpsc::Sender<Result<v1::FetchRecordResponse, Status>>) -> bool {
    if content.is_empty() {
        return true;
    }
    let chunk = Chunk::Plain(std::mem::take(content).into());
    let message = v1::FetchRecordResponse { chunk: Some(chunk), ..Default::default() };
    matches!(tokio::time::timeout(SILENCE, sender.send(Ok(message))).await, Ok(Ok(())))
}

fn unopened(name: &str, why: &Unopened, event: Option<&str>) -> Status {
    let record = words::id(name, "records").unwrap_or(Uuid::nil());
    tracing::error!(record = log(&record), why = %why, "a fetched record was not opened");
    let code = if *why == Unopened::OtherRole { Code::FailedPrecondition } else { Code::DataLoss };
    let mut status = Status::new(code, format!("{why}; nothing of it was released"));
    if let Some(event) = event.and_then(|event| event.parse().ok()) {
        status.metadata_mut().insert(EVENT, event);
    }
    status
}
