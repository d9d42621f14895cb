//! Agents over mutual TLS with a real keyholder and a hub that does as little as it can, or what a hub must not do.

mod calls;
mod departed;
mod hub;
mod keyholder;
pub(super) mod mandates;
mod network;
mod nodes;
mod records;
mod reload;
mod renewal;
mod version;
