//! Who calls, and whether it may call this method at all.

use super::ops::certificates::FirstUse;
use super::{Call, Exchange, Stop};
use crate::identity::{Caller, Function};
use crate::method::Admitted;
use crate::reason::Reason;
use crate::store::{CommitError, StoreError};

impl Exchange {
    /// Steps 1–3 of the decision order: certificate, partner, covenant.
    pub(super) async fn admit(&self, call: &Call) -> Result<(Caller, Admitted), Stop> {
        let seen = self.registry.borrow().rev;
        let (caller, admitted) = match self.admit_now(call) {
            Err(_) if self.is_stale(seen).await? => {
                self.refresh().await?;
                self.admit_now(call)
            }
            admitted => admitted,
        }?;
        if caller.is_new() {
            self.note_first_use(&caller, call.certificate.set(), admitted).await?;
        }
        Ok((caller, admitted))
    }

    /// The first call with a key makes it active: an event of its own, before that of the call.
    async fn note_first_use(&self, caller: &Caller, set: &str, admitted: Admitted) -> Result<(), Stop> {
        let work = FirstUse::of(&self.registry.borrow(), &caller.key_hash(), set, self.clock.now());
        let Some(work) = work else { return Ok(()) };
        match self.store.run_tx(admitted.office(), work).await {
            // Another call with it was first.
            Ok(_) | Err(CommitError::Stale) => Ok(self.refresh().await?),
            Err(CommitError::Store(error)) => Err(error.into()),
            Err(_) => Err(StoreError::Inconsistent("certificate").into()),
        }
    }

    fn admit_now(&self, call: &Call) -> Result<(Caller, Admitted), Stop> {
        let registry = self.registry.borrow();
        let caller = registry.registrations.caller(&call.certificate, self.clock.now()).map_err(Stop::standing)?;
        let is_succeeded = registry.get(caller.oin()).is_some_and(|entry| entry.is_succeeded(self.clock.now()));
        // Its officers go on reading; its operators act for the network no more.
        let reads = matches!(caller.function(), Some(Function::Officer | Function::NetworkOfficer));
        if is_succeeded && !reads && !call.method.serves_succeeded() {
            return Err(Stop::standing(Reason::PartnerWithdrawn));
        }
        let admitted = call.method.admit(&caller, self.covenant.version().number).map_err(Stop::own)?;
        Ok((caller, admitted))
    }
}
