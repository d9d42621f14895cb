//! The log's files over HTTP/2, under the paths and in the formats of C2SP tlog-tiles. The checkpoint and tiles of hashes are
//! for whoever is registered; entries go the way of every call.

use std::sync::Arc;

use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Response, StatusCode, header};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::api::v1::ReadEntriesRequest;
use crate::exchange::ops::evidence::ReadEntries;
use crate::exchange::{Call, Exchange};
use crate::status::{name, status};
use crate::tlog::Resource;

const NO_FILE: &str = "the log has no such file";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// A full tile never changes; everything else may be longer a moment later.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
const NOT_AT_ALL: &str = "no-store";

/// A file, for a caller that is registered.
pub(super) async fn file(hub: &Arc<Exchange>, call: &Call, file: Option<Resource>) -> Response<Body> {
    let Some(file) = file else { return refused(&Status::not_found(NO_FILE)) };
    match file {
        Resource::Entries { index, width } => entries(hub, call, index, width).await,
        Resource::Checkpoint | Resource::Tile { .. } => match hub.log_file(&file).await {
            Ok(Some(bytes)) => {
                let kind = if file == Resource::Checkpoint { TEXT } else { BYTES };
                whole(StatusCode::OK, kind, if file.is_full() { FOR_EVER } else { NOT_AT_ALL }, bytes)
            }
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
    let mut response = Response::new(Body::new(http_body_util::Full::from(bytes)));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
