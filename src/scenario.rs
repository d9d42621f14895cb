//! Scenarios: stories of a case, written down step by step with the outcome that the covenant demands, and played
//! against real agents and a real hub.
//!
//! A scenario file is TOML that a privacy officer can read. The demo plays one against a network that it starts
//! itself; a partner plays one against its own agent as its chain test (ketentest).

pub mod file;
pub mod network;
pub mod outcome;

mod call;
mod connect;
mod names;
mod perform;
mod play;
mod report;
mod word;

pub(crate) use connect::connect;
pub use file::{FileError, Scenario};
pub use network::Network;
pub use play::{Play, PlayError, Verdict, play};
