//! Playing a scenario from the first step to the last.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use tonic::Status;

use super::connect::{ConnectError, Connections};
use super::file::{Scenario, Step};
use super::names::Names;
use super::network::Network;
use super::outcome::{Attempt, judge};
use super::perform::Stage;
use super::report;
use crate::clock::Clock;

/// How long a step may take, the waiting for other parties' agents included.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a scenario went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Steps played.
    pub steps: usize,
    /// Steps with another outcome than demanded.
    pub wrong: usize,
}

/// Why a scenario could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The network is not what the scenario needs.
    #[error("step {step} can't be made")]
    Connect {
        /// Id of the step.
        step: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The scenario needs a partner that the network file does not have.
    #[error("the network has no partner `{0}`; add it to the network file or leave its steps out")]
    Missing(String),
    /// The output is closed.
    #[error("can't write the report")]
    Output(#[from] std::io::Error),
}

/// Plays `scenario` against `network` and writes one line per step to `out`.
///
/// # Errors
/// A network that lacks what the scenario needs, or a closed output. A wrong outcome is no error: see [`Verdict`].
pub async fn play(
    scenario: &Scenario,
    network: &Network,
    clock: &dyn Clock,
    out: &mut dyn Write,
) -> Result<Verdict, PlayError> {
    let mut play = Play::begin(scenario, network, clock, out).await?;
    while play.step(out).await? {}
    play.end(out).await
}

/// A scenario that is being played, for whoever wants to do something between two steps.
pub struct Play<'a> {
    scenario: &'a Scenario,
    left: std::slice::Iter<'a, Step>,
    stage: Stage,
    verdict: Verdict,
}

impl<'a> Play<'a> {
    /// Gets ready for the first step.
    ///
    /// # Errors
    /// As [`play`].
    pub async fn begin(
        scenario: &'a Scenario,
        network: &Network,
        clock: &dyn Clock,
        out: &mut dyn Write,
    ) -> Result<Self, PlayError> {
        let oins = network.oins();
        let needed = scenario.partners.iter().map(|one| &one.id).chain(scenario.outsiders.iter().map(|one| &one.id));
        if let Some(id) = needed.into_iter().find(|id| !oins.contains_key(*id)) {
            return Err(PlayError::Missing(id.clone()));
        }
        let mut stage = Stage::new(scenario, network, clock, Names::new(oins));
        let partners: Vec<String> = scenario.partners.iter().map(|partner| partner.id.clone()).collect();
        stage.skip_old_items(&partners).await.map_err(|error| lost("-", error))?;
        writeln!(out, "{}\n{}\n", scenario.title, scenario.description.trim())?;
        Ok(Self { scenario, left: scenario.steps.iter(), stage, verdict: Verdict { steps: 0, wrong: 0 } })
    }

    /// Plays one step; false when there was none left.
    ///
    /// # Errors
    /// As [`play`].
    pub async fn step(&mut self, out: &mut dyn Write) -> Result<bool, PlayError> {
        let Some(step) = self.left.next() else { return Ok(false) };
        let attempt = make(&mut self.stage, step).await.map_err(|error| lost(&step.id, error))?;
        let wrong = judge(step.expect, &attempt);
        report::line(out, step, &attempt, &wrong)?;
        self.verdict.steps += 1;
        self.verdict.wrong += usize::from(!wrong.is_empty());
        Ok(true)
    }

    /// How it went so far.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Closes with what the privacy officer sees, and the verdict.
    ///
    /// # Errors
    /// As [`play`].
    pub async fn end(mut self, out: &mut dyn Write) -> Result<Verdict, PlayError> {
        if let Some(view) = &self.scenario.view {
            let written = report::officers_view(out, &mut self.stage, &view.partner, &view.case).await;
            written.map_err(|error| lost("view", error))??;
        }
        let Verdict { steps, wrong } = self.verdict;
        writeln!(out, "\n{steps} steps, {wrong} not as demanded")?;
        Ok(self.verdict)
    }
}

async fn make(stage: &mut Stage, step: &Step) -> Result<Attempt, ConnectError> {
    let late = || Attempt::refused(&Status::deadline_exceeded("no answer within a minute"));
    let mut attempt = match tokio::time::timeout(PATIENCE, stage.perform(step)).await {
        Ok(attempt) => attempt?,
        Err(_) => late(),
    };
    if let (Err(refusal), Some(event)) = (&mut attempt.result, &attempt.event)
        && refusal.reason().is_none()
    {
        refusal.logged = stage.reason_on_log(event).await.unwrap_or(None);
    }
    Ok(attempt)
}

fn lost(step: &str, error: ConnectError) -> PlayError {
    PlayError::Connect { step: step.to_owned(), source: Box::new(error) }
}

impl Stage {
    fn new(scenario: &Scenario, network: &Network, clock: &dyn Clock, names: Names) -> Self {
        let now = clock.now();
        let coordinators = scenario.partners.iter().filter(|partner| partner.coordinates());
        Self {
            connections: Connections::new(network.clone(), now),
            names,
            youths: scenario.youths.clone(),
            coordinators: coordinators.map(|partner| partner.id.clone()).collect(),
            inboxes: BTreeMap::new(),
            network_time: Some(prost_types::Timestamp { seconds: now.unix_timestamp(), nanos: 0 }),
        }
    }
}

#[cfg(test)]
mod tests;
