//! The configuration files: one TOML file per mode (hub, agent, keyholder).
//!
//! A file holds names of secret files, never a secret, so that an error may repeat the value it is about. Unknown keys
//! are refused, relative paths are relative to the file, and every file that must exist is looked for at the start.
//! `config/*.toml` in the repository are complete samples with every key explained.

mod agent;
mod error;
mod hub;
mod keyholder;
mod load;
mod value;

pub use agent::{
    AgentConfig, AgentStore, HubLink, KeyholderLink, LocalListener, Nodes, OrganisationConfig, SealingConfig,
};
pub use error::ConfigError;
pub use hub::{BootstrapConfig, HubConfig, HubKeys, HubStore, KnownAnswer, Limits, NodeName, Simulation};
pub use keyholder::{KeyholderConfig, KeyholderKey, KeyholderStore, Roster, RosterFile, RosterPartner};
pub use load::{Config, PathKey, load, parse};
pub use value::{Address, CovenantConfig, Hex32, ListenConfig, ServerName, StoreUrl, TlsConfig, TrustConfig};

#[cfg(test)]
mod tests;
