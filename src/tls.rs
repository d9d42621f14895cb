//! Mutual TLS 1.3 between processes of one network (DESIGN §5): rustls underneath, tonic above.
//!
//! The identity of a peer comes from here and from nowhere else. Sessions are never resumed: a resumed session skips
//! the verification of the client's certificate, and a revoked one would live on in it.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use time::OffsetDateTime;

pub mod acceptor;
pub mod client;
pub mod connections;
pub mod crowd;
pub mod failure;
pub mod files;
pub mod probe;
pub mod refusals;
pub mod server;
mod verifier;

pub use acceptor::{Gate, Incoming, Limits, TlsConnection};
pub use client::ClientTls;
pub use connections::{Connections, Load, PeerInfo, UnderWay};
pub use crowd::PerAddress;
pub use failure::{Failure, Failures};
pub use files::{FileError, Identity};
pub use refusals::{Refusal, Refusals};
pub use server::ServerTls;

/// HTTP/2 in ALPN (RFC 9113 §3.2).
const H2: &[u8] = b"h2";

/// Why a TLS configuration can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the TLS library refuses the configuration")]
    Library(#[from] rustls::Error),
    #[error("the server name is not a DNS name or an IP address")]
    ServerName,
    #[error("the address is not host:port")]
    Address,
    #[error("no connection")]
    Connect(#[from] tonic::transport::Error),
}

/// Made once: every handshake asks for it.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The clock of the TLS library as the rest of the code knows time. `None` when it is out of order.
fn now(clock: &dyn TimeProvider) -> Option<OffsetDateTime> {
    moment(clock.current_time()?)
}

fn moment(time: UnixTime) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(time.as_secs()).ok()?).ok()
}

#[cfg(test)]
mod tests;
