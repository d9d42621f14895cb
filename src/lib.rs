//! Sluis: the data-exchange service of a covenant between youth-care partners.

pub mod ca;
pub mod cli;
pub mod api;
pub mod clock;
pub mod config;
pub mod identity;
pub mod keyholder;
pub mod party;
pub mod pseudonym;
pub mod reason;
pub mod redact;
pub mod scenario;
mod serve;
pub mod telemetry;
pub mod tls;
pub mod seal;
