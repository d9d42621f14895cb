//! From a citizen service number to a pseudonym that belongs to one organisation and one scope (DESIGN §6, G4).
//!
//! ```text
//! agent      Bsn::parse → canonical_input → Blinding::start          (blinded point)
//! keyholder  Keyholder::evaluate                                     (evaluated point, proof)
//! agent      Blinding::finish with the pinned public key → y         (64 secret bytes)
//! hub        SubjectTag::derive(k_hub, y) → Pseudonym::derive(tag, organisation, scope)
//! ```
//!
//! The hub without the keyholder can't compute `y`, the keyholder sees only blinded points, and what the hub stores is
//! useless without its keys. Everything here is pure: keys and random sources come as arguments.

pub mod bsn;
pub mod derive;
pub mod key;
pub mod known_answer;
pub mod oprf;
pub mod scan;
pub mod tag;

pub use bsn::{Bsn, BsnError};
pub use derive::{Pseudonym, Scope};
pub use key::{Epoch, KeyError, KeyRing, SecretKey};
pub use known_answer::KnownAnswer;
pub use oprf::{Blinding, Keyholder, OprfError, OprfOutput};
pub use scan::contains_bsn;
pub use tag::{SubjectTag, TagError};

#[cfg(test)]
mod dictionary_test;
