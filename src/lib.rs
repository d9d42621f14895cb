//! Sluis: the data-exchange service of a covenant between youth-care partners.

pub mod covenant;
pub mod party;
pub mod reason;
