//! The network's own certificate authority (DESIGN §5).
//!
//! Two levels: a root that is needed once in some years and belongs offline, and issuing CAs for daily work, each in a directory
//! of its own. An [`Office`] is such a directory as anybody may see it; an [`Authority`] is one whose key was opened. With
//! PKIoverheid certificates none of this is used.

mod authority;
mod error;
mod files;
mod journal;
mod key;
mod locked;
mod make;
mod office;
mod operator;
mod paper;
pub mod profile;
mod proposal;
mod register;
mod renewal;
mod revocation;
mod secret;
mod settings;
mod token;
mod wish;

pub use authority::{Authority, Issued};
pub use error::{CaError, EyesError, JournalError, RenewalError, SecretError, TokenError};
pub use key::{Kept, NewKey};
pub use make::{Plan, operator_key};
pub use office::Office;
pub use operator::{Hand, Operator, Roster};
pub use paper::{Matter, Paper};
pub use profile::{CrlUrl, Level, Name, Profile};
pub use proposal::{AnyPaper, Proposal, Replacement};
pub use register::{Entry, Serial, Stamp};
pub use renewal::Asking;
pub use revocation::{Published, Reason, Revocation, Which};
pub use secret::SecretFrom;
pub use settings::{Change, Signing};
pub use token::TokenKey;
pub use wish::Wish;

/// Validity of the root, in days: ten years.
const ROOT_DAYS: i64 = 3653;
/// Validity of the issuing CA, in days: five years.
const ISSUING_DAYS: i64 = 1826;
/// Validity of a leaf where nothing else is asked, in days: as PKIoverheid's and the public web's.
pub const DEFAULT_DAYS: u16 = 397;

#[cfg(test)]
mod tests;
