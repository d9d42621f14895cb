//! The tree over the audit log: C2SP tlog-tiles (RFC 6962 hashes, tiles of 256), checkpoints as signed notes. Pure.
//!
//! The formats are the C2SP's, and so are most of the lines: `tlog_tiles` knows trees and tiles, `signed_note` notes. What
//! stands here is how a tree grows, what its resources are called, and what a log's key promises.

mod checkpoint;
mod cosign;
mod edge;
mod note;
mod policy;
mod proof;
mod receipt;
mod resource;
mod tiles;
mod whole;

#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, CheckpointError, Tree};
pub use cosign::{AddCheckpoint, Declined, cosign, cosignature};
pub use edge::Edge;
pub use note::{Kind, NotAKey, NotAName, Origin, PrivateKey, PublicKey};
pub use policy::{Disbelief, NotAPolicy, NotProven, Policy, Witness};
pub use proof::{Proof, ProofError};
pub use receipt::{NotAReceipt, Receipt, Together};
pub use resource::{Resource, path};
pub use signed_note::Signature;
pub use tiles::{Missing, Tiles};
pub use tlog_tiles::{Hash, record_hash};
pub use whole::{Fault, Whole, bundle, entries, verify};

/// Height of a tile: 256 hashes.
const HEIGHT: u8 = 8;
/// Hashes in a full tile.
pub const FULL: usize = 1 << HEIGHT;

/// Where a tile stands: its level, and its place within the level.
pub type Place = (u8, u64);
