//! Why a command failed, and the exit code that says so.

use std::error::Error;

use super::cert::CertError;
use super::init::InitError;
use crate::ca::CaError;
use crate::config::ConfigError;
use crate::demo::DemoError;
use crate::scenario::network::NetworkError;
use crate::scenario::{FileError, PlayError};
use crate::store::StoreError;
use crate::telemetry::TelemetryError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// `sluis demo --kills`.
    #[error("{0} promises were broken under kills")]
    Broken(usize),
    /// `sluis audit`.
    #[error(transparent)]
    Audit(#[from] super::audit::AuditError),
    /// `sluis cert`.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// `sluis ca`.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// `sluis ca serve`.
    #[error(transparent)]
    CaService(#[from] super::ca::serve::ServeError),
    /// `sluis mandate`.
    #[error(transparent)]
    Mandate(#[from] super::mandate::MandateCliError),
    /// `sluis hub check`.
    #[error("{0} rules do not hold: keep this database as it is, and compare it with the last backup")]
    Findings(usize),
    /// `sluis hub check` or `sluis hub copy` came to nothing.
    #[error("the database can't be looked at")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// `sluis hub scrub`, and what was erased may still be there.
    #[error("{0} of these things are left: what was erased may still stand in the database's files")]
    Left(usize),
    /// `sluis hub scrub` could not be done.
    #[error("the database can't be scrubbed")]
    Scrub(#[source] StoreError),
    /// A configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The demo network.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// `init`.
    #[error(transparent)]
    Init(#[from] InitError),
    /// A network file.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A call to a hub or agent.
    #[error(transparent)]
    Remote(#[from] super::remote::RemoteError),
    /// A scenario was played and was not as demanded.
    #[error("{0} steps had another outcome than demanded")]
    OtherOutcome(usize),
    /// A scenario could not be played to its end.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// The asynchronous runtime.
    #[error("can't start")]
    Runtime(#[source] std::io::Error),
    /// A scenario file.
    #[error(transparent)]
    Scenario(#[from] FileError),
    /// A service could not start, or stopped.
    #[error("the service stopped")]
    Service(#[source] Box<dyn Error + Send + Sync>),
    /// Logging.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Standard output.
    #[error("what was found can't be written")]
    Write(#[source] std::io::Error),
}

impl CliError {
    /// 1: another outcome. 2: arguments or configuration. 3: the rest.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Broken(_) | Self::OtherOutcome(_) | Self::Findings(_) | Self::Left(_) => 1,
            Self::Audit(error) if error.is_finding() => 1,
            Self::Cert(error) if error.is_finding() => 1,
            Self::Audit(error) if error.is_usage() => 2,
            Self::Remote(error) if error.is_usage() => 2,
            Self::Demo(DemoError::Nodes(_) | DemoError::NotEmpty(_)) => 2,
            Self::Cert(CertError::Remote(_) | CertError::Output(_)) => 3,
            Self::Mandate(error) if error.is_usage() => 2,
            Self::Ca(_) | Self::Cert(_) | Self::Config(_) | Self::Init(_) | Self::Network(_) | Self::Scenario(_) => 2,
            Self::Audit(_)
            | Self::CaService(_)
            | Self::Database(_)
            | Self::Mandate(_)
            | Self::Demo(_)
            | Self::Play(_)
            | Self::Remote(_)
            | Self::Runtime(_)
            | Self::Scrub(_)
            | Self::Service(_)
            | Self::Telemetry(_)
            | Self::Write(_) => 3,
        }
    }
}
