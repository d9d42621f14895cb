//! The log's files over HTTP/2, under the paths and in the formats of C2SP tlog-tiles. The checkpoint and tiles of hashes are
//! for whoever is registered; entries go the way of every call.

use std::sync::Arc;

use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Response, StatusCode, header};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::api::v1::ReadEntriesRequest;
use crate::exchange::ops::evidence::ReadEntries;
use crate::exchange::{Call, Exchange, Heard};
use crate::plain_http;
use crate::status::{name, status};
use crate::telemetry::Chain;
use crate::tlog::Resource;

const NO_FILE: &str = "the log has no such file";
/// Of a log that is seconds old, or whose witnesses have not come yet: nothing is wrong, and asking later helps.
const NO_CHECKPOINT: &str = "the log has shown no checkpoint yet: its first events are being signed";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// A full tile never changes; everything else may be longer a moment later.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
const NOT_AT_ALL: &str = "no-store";

/// What a plain HTTP call is about.
pub(super) enum Ask {
    /// A file, if it has a name.
    File(Option<Resource>),
    /// Signatures of a witness, under the checkpoint of a tree of this size.
    Sign(Option<u64>, Body),
}

/// Where a witness hands in its signatures: this and the size of the tree.
pub(super) const SIGN: &str = "/add-cosignature/";
/// Bytes of them.
const MOST: usize = 32 << 10;

/// An answer, for a caller that is registered.
pub(super) async fn answer(hub: &Arc<Exchange>, call: &Call, ask: Ask) -> Response<Body> {
    match ask {
        Ask::File(Some(some)) => file(hub, call, some).await,
        Ask::Sign(Some(size), body) => hear(hub, size, body).await,
        Ask::File(None) | Ask::Sign(None, _) => refused(&Status::not_found(NO_FILE)),
    }
}

/// The signature itself says whose it is; who brings it says nothing.
async fn hear(hub: &Arc<Exchange>, size: u64, body: Body) -> Response<Body> {
    let Ok(lines) = plain_http::body(body, MOST).await else {
        return refused(&Status::invalid_argument("signature lines, at most 32 KiB of them"));
    };
    let (code, word) = match hub.hear(size, &lines).await {
        Ok(Heard::Yes) => (StatusCode::OK, "written down\n"),
        Ok(Heard::TooLate) => (StatusCode::CONFLICT, "no checkpoint of this size waits to be signed\n"),
        Ok(Heard::NotAWitness) => (StatusCode::FORBIDDEN, "no valid signature of a witness of this log's policy\n"),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "a witness's signature can't be written down");
            (StatusCode::SERVICE_UNAVAILABLE, "try again\n")
        }
    };
    whole(code, TEXT, NOT_AT_ALL, word.as_bytes().to_vec())
}

async fn file(hub: &Arc<Exchange>, call: &Call, file: Resource) -> Response<Body> {
    match file {
        Resource::Entries { index, width } => entries(hub, call, index, width).await,
        Resource::Checkpoint | Resource::Pending | Resource::Tile { .. } => match hub.log_file(&file).await {
            Ok(Some(bytes)) => {
                let kind = if matches!(file, Resource::Tile { .. }) { BYTES } else { TEXT };
                whole(StatusCode::OK, kind, if file.is_full() { FOR_EVER } else { NOT_AT_ALL }, bytes)
            }
            Ok(None) if file == Resource::Checkpoint => refused(&Status::not_found(NO_CHECKPOINT)),
            Ok(None) => refused(&Status::not_found(NO_FILE)),
            Err(refusal) => refused(&status(&refusal)),
        },
    }
}

/// Who reads what the log says of everybody is written down.
async fn entries(hub: &Arc<Exchange>, call: &Call, tile: u64, width: usize) -> Response<Body> {
    let request = ReadEntriesRequest { tile, width: u32::try_from(width).unwrap_or_default() };
    match hub.handle::<ReadEntries>(call, request).await {
        Ok(answer) => {
            let mut response = whole(StatusCode::OK, BYTES, NOT_AT_ALL, answer.reply.bundle);
            let mut words = MetadataMap::new();
            name(&mut words, &answer.event);
            response.headers_mut().extend(words.into_headers());
            response
        }
        Err(refusal) => refused(&status(&refusal)),
    }
}

/// A status as HTTP says it.
pub(super) fn refused(status: &Status) -> Response<Body> {
    let code = match status.code() {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::PermissionDenied | Code::Unauthenticated => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = whole(code, TEXT, NOT_AT_ALL, format!("{}\n", status.message()).into_bytes());
    response.headers_mut().extend(status.metadata().clone().into_headers());
    response
}

fn whole(code: StatusCode, kind: &'static str, cache: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = plain_http::response(code.as_u16(), kind, bytes);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
