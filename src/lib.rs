//! Sluis: the data-exchange service of a covenant between youth-care partners.

pub mod party;
pub mod pseudonym;
pub mod reason;
pub mod seal;
