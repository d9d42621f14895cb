//! Plain HTTP over the connection that carries gRPC: the log's files, and the calls of witnesses (C2SP).

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use tonic::body::Body;
use tonic::codegen::{Bytes, Service as _, StdError, http};
use tonic::transport::Channel;

pub use http::StatusCode;

/// Largest answer in bytes: 256 entries of 64 KiB; and any other.
const ENTRIES: usize = 17 << 20;
const MOST: usize = 1 << 20;
/// Largest file that is published: PKIoverheid's revocation lists have some megabytes.
const PUBLISHED: usize = 32 << 20;
/// For a call.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL.
    #[error("not a URL that begins with http://")]
    Url,
    /// The path.
    #[error("not a path")]
    Path(#[from] http::Error),
    /// No connection, or it ended.
    #[error("no answer")]
    Connection(#[source] StdError),
    /// Nothing came.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    Late,
    /// More than anybody has to say.
    #[error("an answer that is longer than any")]
    TooLong,
}

/// An answer, whatever it is.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub code: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// Asks for a file.
///
/// # Errors
/// [`HttpError`].
pub async fn get(channel: &Channel, path: &str) -> Result<Answer, HttpError> {
    let most = if path.starts_with("/tile/entries/") { ENTRIES } else { MOST };
    answer(channel, http::Request::get(path).body(Body::empty())?, most).await
}

/// Fetches a file from where it is published, `http://host[:port]/path`. Whoever asks verifies what came: nothing on the way
/// is protected.
///
/// # Errors
/// [`HttpError`].
pub async fn fetch(url: &str) -> Result<Answer, HttpError> {
    let url: http::Uri = url.parse().map_err(|_| HttpError::Url)?;
    let host = url.host().filter(|_| url.scheme_str() == Some("http")).ok_or(HttpError::Url)?;
    let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
    let path = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = http::Request::get(path).header(http::header::HOST, host).body(Body::empty())?;
    let fetched = async {
        let stream =
            tokio::net::TcpStream::connect(&address).await.map_err(|error| HttpError::Connection(error.into()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| HttpError::Connection(e.into()))?;
        let driven = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| HttpError::Connection(error.into()))?;
        let code = response.status();
        let body = body(Body::new(response.into_body()), PUBLISHED).await;
        driven.abort();
        Ok(Answer { code, body: body? })
    };
    tokio::time::timeout(PATIENCE, fetched).await.unwrap_or(Err(HttpError::Late))
}

/// Hands something in.
///
/// # Errors
/// [`HttpError`].
pub async fn post(channel: &Channel, path: &str, body: Vec<u8>) -> Result<Answer, HttpError> {
    answer(channel, http::Request::post(path).body(Body::new(Full::from(body)))?, MOST).await
}

async fn answer(channel: &Channel, request: http::Request<Body>, most: usize) -> Result<Answer, HttpError> {
    let mut channel = channel.clone();
    let answered = async {
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(broken)?;
        let response = channel.call(request).await.map_err(broken)?;
        let code = response.status();
        Ok(Answer { code, body: body(response.into_body(), most).await? })
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap_or(Err(HttpError::Late))
}

/// A body of at most so many bytes.
///
/// # Errors
/// [`HttpError`].
pub async fn body(body: Body, most: usize) -> Result<Bytes, HttpError> {
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(HttpError::TooLong),
        Err(error) => Err(HttpError::Connection(error)),
    }
}

/// An answer in the making.
pub fn response(code: u16, kind: &'static str, bytes: Vec<u8>) -> http::Response<Body> {
    let mut response = http::Response::new(Body::new(Full::from(bytes)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

fn broken(error: tonic::transport::Error) -> HttpError {
    HttpError::Connection(error.into())
}
