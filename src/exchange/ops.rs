//! One module for each service: how its requests are read, what they ask of the covenant, what they change.

pub mod audit;
pub mod case_read;
pub mod case_state;
pub mod certificates;
pub mod changes;
pub mod connection;
pub mod consents;
pub mod covenants;
pub mod directory;
pub mod erase;
pub mod evidence;
pub mod inbox;
pub mod mandates;
pub mod membership;
pub mod newcomer;
pub mod passing;
pub mod pseudonyms;
pub mod publish;
pub mod query;
pub mod records;
pub mod refer;
pub mod registry;
mod rejoining;
pub mod renewal;
pub mod revocation;
pub mod roles;
pub mod route;
pub mod simulation;
pub mod succession;

pub(super) mod notice;

use crate::api::v1;
use crate::form::{Context, Fields};

/// What every change of a case names.
pub struct Change {
    /// UUID.
    pub request_id: String,
    /// Why.
    pub context: Context,
    /// The caller's own name of the case.
    pub case: String,
}

impl Change {
    fn read(fields: &mut Fields, request_id: &str, context: Option<&v1::RequestContext>, case: &str) -> Option<Self> {
        let request_id = fields.uuid("request_id", request_id);
        let context = fields.context(context);
        let case = fields.named("case", "cases", case);
        Some(Self { request_id: request_id?, context: context?, case: case? })
    }
}

/// The parts of [`super::Operation`] that are the same for every change of a case.
macro_rules! change_of_case {
    () => {
        fn context(&self) -> Option<&$crate::form::Context> {
            Some(&self.change.context)
        }

        fn request_id(&self) -> Option<&str> {
            Some(&self.change.request_id)
        }

        fn target(&self) -> $crate::exchange::Target<'_> {
            $crate::exchange::Target::Case(&self.change.case)
        }
    };
}
pub(crate) use change_of_case;
