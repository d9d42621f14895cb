//! Sluis: the data-exchange service of a covenant between youth-care partners.

pub mod agent;
pub mod api;
pub mod ca;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod hub;
pub mod identity;
pub mod keyholder;
pub mod party;
pub mod pseudonym;
pub mod reason;
pub mod redact;
pub mod scenario;
pub mod seal;
mod serve;
pub mod telemetry;
pub mod tls;
