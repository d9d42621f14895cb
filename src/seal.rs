//! Sealing.

pub mod body;
pub mod hpke;
pub mod record_key;
