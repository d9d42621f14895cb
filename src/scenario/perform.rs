//! One step as one call: labels to names, the call itself, and what came out against what the step says.

mod case;
mod consent;
mod look;
mod record;

use std::collections::BTreeMap;

use tonic::transport::Channel;
use uuid::Uuid;

use super::call::Call;
use super::connect::{ConnectError, Connections, Door};
use super::file::Step;
use super::names::{Labelled, Names};
use super::outcome::Attempt;
use crate::api::v1 as api;
use crate::reason::Reason;

pub(crate) use look::{events_of_case, logged_reason};

/// Everything that changes while a scenario is played.
pub(crate) struct Stage {
    pub(crate) connections: Connections,
    pub(crate) names: Names,
    pub(crate) youths: BTreeMap<String, String>,
    /// Labels of the partners that get role R03 in every case.
    pub(crate) coordinators: Vec<String>,
    /// The network's time, as far as it is known.
    pub(crate) network_time: Option<prost_types::Timestamp>,
    pub(crate) inboxes: BTreeMap<String, look::Seen>,
}

impl Stage {
    /// Makes the call of `step`.
    ///
    /// # Errors
    /// No channel: the network is not what the scenario needs. A refusal is an outcome, not an error.
    pub(crate) async fn perform(&mut self, step: &Step) -> Result<Attempt, ConnectError> {
        match &step.call {
            Call::Refer(call) => self.refer(step, call).await,
            Call::Case(call) => self.case(step, call).await,
            Call::Cases(call) => self.cases(step, call).await,
            Call::Assign(call) => self.assign(step, call).await,
            Call::End(call) => self.end(step, call).await,
            Call::Advance(call) => self.advance(step, call).await,
            Call::Handover(call) => self.handover(step, call).await,
            Call::Choose(call) => self.choose(step, call).await,
            Call::Measure(call) => self.measure(step, call).await,
            Call::Regime(call) => self.regime(step, call).await,
            Call::Restrict(call) => self.restrict(step, call).await,
            Call::Escalate(call) => self.escalate(step, call).await,
            Call::Deescalate(call) => self.deescalate(step, call).await,
            Call::Close(call) => self.close(step, call).await,
            Call::Consent(call) => self.consent(step, call).await,
            Call::Withdraw(call) => self.withdraw(step, call).await,
            Call::Plan(call) => self.plan(step, call).await,
            Call::Publish(call) => self.publish(step, call).await,
            Call::Request(call) => self.request(step, call).await,
            Call::Fetch(call) => self.fetch(step, call).await,
            Call::List(call) => self.list(step, call).await,
            Call::Resolve(call) => self.resolve(step, call).await,
            Call::Inbox(call) => self.inbox(step, call).await,
            Call::Query(call) => self.query(step, call).await,
            Call::Wait(call) => self.wait(call).await,
        }
    }

    /// The true reason of a refusal, from the log, as the network's privacy officer.
    pub(crate) async fn reason_on_log(&mut self, event: &str) -> Result<Option<Reason>, ConnectError> {
        let channel = self.connections.channel(&Door::NetworkOfficer).await?;
        Ok(logged_reason(channel, event).await)
    }

    async fn channel(&mut self, step: &Step) -> Result<Channel, ConnectError> {
        self.connections.channel(&Door::Organisation(step.who.clone())).await
    }

    /// `who`'s own name of the case, read from its inbox if it must be; the name of no case if it has none.
    async fn case_name(&mut self, label: &str, who: &str) -> Result<String, ConnectError> {
        if self.names.case(label, who).is_none() && self.names.awaits(who) {
            self.await_name(label, who).await?;
        }
        Ok(self.names.case_or_stranger(label, who))
    }

    /// As [`Self::case_name`]; empty without a label.
    async fn optional_case(&mut self, label: Option<&String>, who: &str) -> Result<String, ConnectError> {
        match label {
            Some(label) => self.case_name(label, who).await,
            None => Ok(String::new()),
        }
    }

    /// Something in a case as `who` names it: `cases/{who's name}/…/{uuid}`.
    async fn nested(&mut self, thing: &Labelled, who: &str) -> Result<String, ConnectError> {
        let case = self.optional_case(thing.case.as_ref(), who).await?;
        let own = thing.name.splitn(3, '/').nth(2).map(|rest| format!("{case}/{rest}"));
        Ok(own.unwrap_or_default())
    }

    fn now(&self) -> prost_types::Timestamp {
        self.network_time.unwrap_or_default()
    }

    fn subject(&self, youth: &str) -> api::Subject {
        let bsn = self.youths.get(youth).cloned().unwrap_or_default();
        api::Subject { id: Some(api::subject::Id::Bsn(bsn)) }
    }
}

fn context(step: &Step) -> Option<api::RequestContext> {
    Some(api::RequestContext {
        article: step.article.clone(),
        purpose: step.purpose.clone(),
        acting_role: step.role.map_or(0, |role| role.number()),
        user_ref: step.user.clone(),
        reason: step.reason.clone(),
    })
}

fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// What to say when a step names the partners that must come out and others did.
fn same_partners(names: &Names, wanted: Option<&Vec<String>>, got: &[String]) -> Vec<String> {
    let got = names.ids(got);
    let Some(wanted) = wanted else { return Vec::new() };
    let mut wanted = wanted.clone();
    wanted.sort();
    if wanted == got { Vec::new() } else { vec![format!("reached [{}], not [{}]", got.join(", "), wanted.join(", "))] }
}
