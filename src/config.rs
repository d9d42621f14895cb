//! The configuration files: one TOML file per mode (hub, agent, keyholder, witness).
//!
//! A file holds names of secret files, never a secret, so that an error may repeat the value it is about. Unknown keys
//! are refused, relative paths are relative to the file, and every file that must exist is looked for at the start.
//! `config/*.toml` in the repository are complete samples with every key explained.

mod agent;
mod error;
mod hub;
mod keyholder;
mod load;
mod policy;
mod value;
mod witness;

pub use agent::{
    AgentConfig, AgentStore, AgentWitness, HubLink, KeyholderLink, LocalListener, Nodes, OrganisationConfig,
    RenewalConfig, SealingConfig,
};
pub use error::ConfigError;
pub use hub::{
    BootstrapConfig, HubConfig, HubKeys, HubStore, KnownAnswer, Limits, NodeName, Simulation, WitnessesConfig,
};
pub use keyholder::{KeyholderConfig, KeyholderKey, KeyholderStore, Roster, RosterFile, RosterPartner};
pub use load::{Config, PathKey, Source, load, parse};
pub use policy::{PolicyError, policy};
pub use value::{
    Address, CovenantConfig, Hex32, ListenConfig, LogKey, NoteName, ServerName, SetConfig, StoreUrl, TlsConfig,
    TrustConfig,
};
pub use witness::{WitnessConfig, WitnessSection};

#[cfg(test)]
mod tests;
