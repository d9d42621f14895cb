//! Calling a hub or an agent from the command line: where, as whom, and what a refusal says.

use std::path::{Path, PathBuf};

use clap::Args;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::scenario::connect;
use crate::scenario::network::{Endpoint, Person};

/// Where to call and with which certificate.
#[derive(Debug, Clone, Args)]
pub struct RemoteArgs {
    /// Where the hub or the agent listens, host:port.
    #[arg(long)]
    address: String,
    /// Name in its certificate.
    #[arg(long, default_value = "localhost")]
    server_name: String,
    /// PEM: roots under which its certificate must be.
    #[arg(long)]
    anchors: PathBuf,
    /// PEM: the caller's certificate and chain.
    #[arg(long)]
    certificate: PathBuf,
    /// PEM: the caller's private key.
    #[arg(long)]
    key: PathBuf,
}

/// Why a call from the command line failed.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A certificate: the caller's, or one to register.
    #[error("{}: not a PEM certificate", .0.display())]
    Certificate(PathBuf),
    /// A private key where a certificate was asked for.
    #[error("{}: a private key, which is for nobody but its holder; name the certificate", .0.display())]
    PrivateKey(PathBuf),
    /// The private key of whoever signs.
    #[error("{}: not the PEM private key of the certificate", .0.display())]
    Key(PathBuf),
    /// What was named is no key.
    #[error("{}: neither a key hash (64 hexadecimal digits) nor a file", .0.display())]
    NoKey(PathBuf),
    /// The covenant to sign is another than the one that was read.
    #[error("the hash in force is {0}: read that text (sluis covenant show) before you sign it")]
    OtherCovenant(String),
    /// The output is closed.
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
    /// No connection, or a certificate that can't be used.
    #[error(transparent)]
    Reach(Box<dyn std::error::Error + Send + Sync>),
    /// The service refused.
    #[error("{what} was refused: {why}")]
    Refused {
        /// What was asked.
        what: String,
        /// What the service says.
        why: String,
    },
}

impl RemoteError {
    /// Whether it is the arguments' fault.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Certificate(_) | Self::PrivateKey(_) | Self::Key(_) | Self::NoKey(_))
    }
}

impl RemoteArgs {
    /// Where the caller's certificate stands.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Where the caller's private key stands.
    pub(super) fn key(&self) -> &Path {
        &self.key
    }

    /// The caller's certificate and chain, and its private key.
    pub(super) fn identity(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), RemoteError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect);
        let chain = chain.map_err(|_| RemoteError::Certificate(self.certificate.clone()))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|_| RemoteError::Key(self.key.clone()))?;
        Ok((chain, key))
    }

    pub(super) async fn channel(&self, now: OffsetDateTime) -> Result<Channel, RemoteError> {
        let endpoint = Endpoint {
            address: self.address.clone(),
            server_name: self.server_name.clone(),
            anchors: self.anchors.clone(),
        };
        let person = Person { certificate: self.certificate.clone(), key: self.key.clone() };
        connect(&endpoint, &person, now).await.map_err(|error| RemoteError::Reach(Box::new(error)))
    }
}

/// The answer, or the refusal in words.
pub(super) fn done<T>(what: &str, answer: Result<Response<T>, Status>) -> Result<T, RemoteError> {
    answer
        .map(Response::into_inner)
        .map_err(|status| RemoteError::Refused { what: what.to_owned(), why: explain(&status) })
}

/// Code, message, reason, fields and event of a status, on one line.
pub(crate) fn explain(status: &Status) -> String {
    let details = status.get_error_details();
    let mut text = format!("{:?}, {}", status.code(), status.message());
    if let Some(info) = details.error_info() {
        text.push_str(&format!(" [{}]", info.reason));
    }
    for field in details.bad_request().into_iter().flat_map(|bad| &bad.field_violations) {
        // One that is about no field in particular names none.
        let name = if field.field.is_empty() { String::new() } else { format!("{}: ", field.field) };
        text.push_str(&format!("; {name}{}", field.description));
    }
    if let Some(event) = status.metadata().get(crate::status::EVENT).and_then(|value| value.to_str().ok()) {
        text.push_str(&format!(" ({event})"));
    }
    text
}
