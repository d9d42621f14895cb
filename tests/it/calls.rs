//! Calls as bytes: one way to call every RPC, to send what no generated client would send, and to keep all that came back.

use std::sync::{Arc, Mutex};

use prost::Message;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

/// Everything that a client has received, for the search for what must not be in it.
pub(crate) type Seen = Arc<Mutex<Vec<u8>>>;

/// Receipts, and the events that they came with.
type Receipts = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A caller's connection.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    seen: Seen,
    receipts: Receipts,
    outdated: Arc<Mutex<Option<String>>>,
}

/// A reply, and the name of its event.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    pub(crate) message: T,
    pub(crate) event: String,
}

/// What came of a call.
pub(crate) struct Outcome {
    /// `None`: OK.
    pub(crate) status: Option<Status>,
    /// `events/{uuid}`, if the hub named one.
    pub(crate) event: Option<String>,
    /// Reply messages, encoded.
    pub(crate) messages: Vec<Vec<u8>>,
}

impl Outcome {
    /// The gRPC code.
    pub(crate) fn code(&self) -> Code {
        self.status.as_ref().map_or(Code::Ok, Status::code)
    }

    /// `OK`, or code and reason: `PermissionDenied REFUSED`.
    pub(crate) fn word(&self) -> String {
        match &self.status {
            None => "OK".to_owned(),
            Some(status) => match reason(status) {
                Some(reason) => format!("{:?} {reason}", status.code()),
                // The transport ended it: the peer said nothing.
                None if std::error::Error::source(status).is_some() => "no connection".to_owned(),
                None => format!("{:?}", status.code()),
            },
        }
    }
}

/// The reason in a status.
pub(crate) fn reason(status: &Status) -> Option<String> {
    status.get_error_details().error_info().map(|info| info.reason.clone())
}

/// Fields that a status names.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let named = details.bad_request().map(|bad| bad.field_violations.iter().map(|v| v.field.clone()).collect());
    named.unwrap_or_default()
}

/// The event that a status names.
pub(crate) fn event_of(status: &Status) -> Option<String> {
    status.metadata().get("sluis-event").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}

impl Client {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, seen: Seen::default(), receipts: Arc::default(), outdated: Arc::default() }
    }

    /// One message to `service/Method` of `sluis.v1`, one reply.
    pub(crate) async fn call<Q: Message, R: Message + Default>(
        &self,
        method: &str,
        request: &Q,
    ) -> Result<Reply<R>, Status> {
        let outcome = self.send(&format!("/sluis.v1.{method}"), vec![request.encode_to_vec()], usize::MAX).await;
        if let Some(status) = outcome.status {
            return Err(status);
        }
        let bytes = outcome.messages.first().ok_or_else(|| Status::internal("no reply"))?;
        let message = R::decode(&**bytes).map_err(|_| Status::internal("no such reply"))?;
        Ok(Reply { message, event: outcome.event.unwrap_or_default() })
    }

    /// A file over HTTP: code, type and bytes.
    pub(crate) async fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        self.plain(http::Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Bytes over HTTP: code, type and bytes of the answer.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> (u16, String, Vec<u8>) {
        self.plain(http::Request::post(path).body(Body::new(http_body_util::Full::from(body))).unwrap()).await
    }

    async fn plain(&self, request: http::Request<Body>) -> (u16, String, Vec<u8>) {
        use http_body_util::BodyExt as _;
        use tonic::codegen::Service as _;
        let mut channel = self.channel.clone();
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
        let response = channel.call(request).await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        self.seen.lock().unwrap().extend(&bytes);
        (code, kind.unwrap_or_default(), bytes)
    }

    /// Encoded messages to a path; reads at most `most` replies.
    pub(crate) async fn send(&self, path: &str, messages: Vec<Vec<u8>>, most: usize) -> Outcome {
        let opened = self.open(path, tokio_stream::iter(messages)).await;
        let (event, mut replies) = match opened {
            Ok(opened) => opened,
            Err(status) => return Outcome { event: event_of(&status), status: Some(status), messages: Vec::new() },
        };
        let mut outcome = Outcome { status: None, event, messages: Vec::new() };
        while outcome.messages.len() < most {
            match replies.message().await {
                Ok(Some(message)) => {
                    self.keep(&message);
                    outcome.messages.push(message);
                }
                Ok(None) => break,
                Err(status) => {
                    self.keep_status(&status);
                    outcome.event = event_of(&status).or(outcome.event);
                    outcome.status = Some(status);
                    break;
                }
            }
        }
        outcome
    }

    /// Opens a call whose replies are read one by one.
    pub(crate) async fn open<S>(&self, path: &str, messages: S) -> Result<(Option<String>, Streaming<Vec<u8>>), Status>
    where
        S: tokio_stream::Stream<Item = Vec<u8>> + Send + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        grpc.ready().await.map_err(|error| Status::unavailable(format!("no connection: {error:?}")))?;
        let path = path.parse().map_err(|_| Status::internal("not a path"))?;
        let opened = grpc.streaming(Request::new(messages), path, Bytes).await;
        let response = opened.inspect_err(|status| self.keep_status(status))?;
        self.keep_receipt(response.metadata());
        let outdated = response.metadata().get("sluis-outdated").map(|said| said.to_str().unwrap().to_owned());
        *self.outdated.lock().unwrap() = outdated;
        let event = response.metadata().get("sluis-event").and_then(|value| value.to_str().ok());
        Ok((event.map(ToOwned::to_owned), response.into_inner()))
    }

    fn keep(&self, bytes: &[u8]) {
        self.seen.lock().unwrap().extend_from_slice(bytes);
    }

    /// Whoever hears of an event gets the log's word for it.
    fn keep_receipt(&self, metadata: &tonic::metadata::MetadataMap) {
        let event = metadata.get("sluis-event").map(|event| event.to_str().unwrap().replace("events/", ""));
        let receipt = metadata.get_bin("sluis-receipt-bin").map(|receipt| receipt.to_bytes().unwrap().to_vec());
        assert_eq!(event.is_some(), receipt.is_some(), "event and receipt come together");
        if let (Some(event), Some(receipt)) = (event, receipt) {
            self.receipts.lock().unwrap().push((event, receipt));
        }
    }

    /// What was said of the caller's version with the latest answer.
    pub(crate) fn outdated(&self) -> Option<String> {
        self.outdated.lock().unwrap().clone()
    }

    /// Every receipt so far, and the event that came with it.
    pub(crate) fn receipts(&self) -> Vec<(String, Vec<u8>)> {
        self.receipts.lock().unwrap().clone()
    }

    fn keep_status(&self, status: &Status) {
        self.keep_receipt(status.metadata());
        self.keep(status.message().as_bytes());
        self.keep(status.details());
        self.keep(format!("{:?}", status.metadata()).as_bytes());
    }

    /// All that has come back so far.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }
}

/// Messages as they are.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, item: Vec<u8>, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; src.remaining()];
        src.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}
