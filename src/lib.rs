//! Sluis: the data-exchange service of a covenant between youth-care partners.
//!
//! Modules in the order in which a request meets them; `ARCHITECTURE.md` has the map.

// Processes and their shell.
pub mod cli;
pub mod config;
pub mod hub;

pub mod agent;
pub mod keyholder;
pub mod witness;

pub mod demo;
pub mod scenario;

// The edge: connections, callers, methods, messages, statuses.
pub mod tls;
pub mod trust;

pub mod identity;

pub mod mandate;
pub mod method;

pub mod transport;

pub mod api;
pub mod form;
pub mod status;
pub mod wire;

// The request path and what it rests on.
pub mod exchange;

pub mod covenant;

pub mod ground;

pub mod case;
pub mod registry;

pub mod keys;

pub mod pseudonym;

pub mod seal;

pub mod audit;
pub mod fleet;
pub mod folder;
pub mod reconcile;
pub mod report;
pub mod tlog;

pub mod store;

// Words and tools.
pub mod ca;
pub mod clock;
pub mod ending;
mod inspect;
pub mod party;
pub mod plain_http;
pub mod reason;
pub mod redact;
mod serve;
mod sheet;
pub mod telemetry;
pub mod version;
pub mod whole_file;
