//! Agents below the covenant's minimum: warned with every answer, and from the covenant's day on refused.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::Date;
use tonic::codegen::http::{HeaderMap, HeaderValue};

use crate::exchange::{Call, Exchange};
use crate::party::Oin;
use crate::redact::log;
use crate::version::{HEADER, Outdated};

/// Which partners' old agents were mentioned in the log, and on which day.
#[derive(Default)]
pub(super) struct Versions(Mutex<HashMap<Oin, Date>>);

impl Versions {
    /// What this caller must be told of its version, if anything.
    pub(super) fn judge(&self, exchange: &Exchange, call: &Call) -> Option<Outdated> {
        let now = exchange.clock.now();
        let outdated = exchange.terms().versions.as_ref()?.judge(&call.client, now)?;
        let oin = registered(exchange, call)?;
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(oin.clone(), now.date()) != Some(now.date()) {
            drop(told);
            tracing::warn!(organisation = log(&oin), says = %outdated, "a partner's agent is too old");
        }
        Some(outdated)
    }
}

/// Strangers are told nothing, and not remembered.
fn registered(exchange: &Exchange, call: &Call) -> Option<Oin> {
    exchange.registry.borrow().registrations.registered(&call.certificate).map(|known| known.oin.clone())
}

/// Tells it with an answer, whatever the answer is.
pub(super) fn tell(headers: &mut HeaderMap, outdated: &Outdated) {
    if let Ok(value) = HeaderValue::from_str(&outdated.header()) {
        headers.insert(HEADER, value);
    }
}
