//! Kills processes of the network, one after the other, and starts each again from the same configuration.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use super::super::files::{hub_name, slug};
use super::super::postgres::{Cluster, PostgresError};
use super::super::{Demo, DemoError, KEYHOLDER};
use super::random::Random;
use super::tally::Tally;
use crate::telemetry::Chain;

/// After a restart, and before one.
const RUNS: std::ops::Range<u64> = 20..300;
const LIES: std::ops::Range<u64> = 0..200;

/// A kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Hub,
    Agent,
    Keyholder,
    Database,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Agent => "agent",
            Self::Keyholder => "keyholder",
            Self::Database => "PostgreSQL",
        }
    }
}

/// One process.
#[derive(Debug, Clone)]
enum Victim {
    Hub(usize),
    Agent(String),
    Keyholder,
    Database,
}

/// Kills `count` times, and says how often of each kind. Every kind has its turn before one has another, in random order:
/// there are more agents than anything else.
///
/// # Errors
/// A process that does not come up again.
pub(super) async fn kill(
    demo: &mut Demo,
    count: u32,
    mut random: Random,
    tally: &Tally,
    out: &mut dyn Write,
) -> Result<BTreeMap<Kind, u32>, DemoError> {
    let (mut kinds, mut killed) = (Vec::new(), BTreeMap::new());
    for nth in 1..=count {
        tokio::time::sleep(Duration::from_millis(random.within(RUNS))).await;
        if kinds.is_empty() {
            kinds = vec![Kind::Hub, Kind::Agent, Kind::Keyholder];
            kinds.extend(demo.cluster().map(|_| Kind::Database));
        }
        let Some(kind) = random.take(&mut kinds) else { break };
        let victim = choose(demo, kind, &mut random)?;
        let lies = Duration::from_millis(random.within(LIES));
        let since = Instant::now();
        tally.killed(kind.name());
        again(demo, &victim, lies).await?;
        *killed.entry(kind).or_default() += 1;
        let name = match &victim {
            Victim::Hub(node) => hub_name(*node),
            Victim::Agent(id) => format!("agent of {id}"),
            Victim::Keyholder | Victim::Database => kind.name().to_owned(),
        };
        writeln!(out, "kill {nth:>3}  {name:<14} serves again after {:>4} ms", since.elapsed().as_millis())?;
    }
    Ok(killed)
}

fn choose(demo: &Demo, kind: Kind, random: &mut Random) -> Result<Victim, DemoError> {
    let victim = match kind {
        Kind::Hub => random.take(&mut (0..demo.nodes).collect()).map(Victim::Hub),
        Kind::Agent => {
            let mut agents = demo.network()?.partners.iter().map(|member| member.id.clone()).collect();
            random.take(&mut agents).map(Victim::Agent)
        }
        Kind::Keyholder => Some(Victim::Keyholder),
        Kind::Database => Some(Victim::Database),
    };
    victim.ok_or(DemoError::Stopped)
}

/// Kills it, leaves it lying, and waits until it serves again.
async fn again(demo: &mut Demo, victim: &Victim, lies: Duration) -> Result<(), DemoError> {
    match victim {
        Victim::Hub(node) => {
            demo.kill_node(*node).await?;
            tokio::time::sleep(lies).await;
            demo.start_node(*node).await
        }
        Victim::Agent(id) => {
            demo.kill_agent(id).await?;
            tokio::time::sleep(lies).await;
            demo.start_agent(id).await
        }
        Victim::Keyholder => {
            demo.kill_keyholder().await?;
            tokio::time::sleep(lies).await;
            demo.start_keyholder().await
        }
        Victim::Database => {
            demo.with_cluster(Cluster::kill).await?;
            tokio::time::sleep(lies).await;
            demo.with_cluster(Cluster::restart).await
        }
    }
}

impl Demo {
    async fn kill_agent(&mut self, id: &str) -> Result<(), DemoError> {
        self.processes.kill(&slug(id)).await
    }

    async fn start_agent(&mut self, id: &str) -> Result<(), DemoError> {
        self.launch_agent(id)?;
        self.await_agent(id).await
    }

    async fn kill_keyholder(&mut self) -> Result<(), DemoError> {
        self.processes.kill(KEYHOLDER).await
    }

    /// Does something with the database that blocks.
    async fn with_cluster(
        &mut self,
        work: impl FnOnce(&mut Cluster) -> Result<(), PostgresError> + Send + 'static,
    ) -> Result<(), DemoError> {
        let Some(mut cluster) = self.cluster.take() else { return Ok(()) };
        let worked = tokio::task::spawn_blocking(move || work(&mut cluster).map(|()| cluster)).await;
        self.cluster = Some(worked.map_err(|_| DemoError::Stopped)??);
        Ok(())
    }

    /// Asks every process of the network to stop, and waits until it has; the database stays.
    pub(super) async fn end_gracefully(&mut self) -> Vec<String> {
        let mut names: Vec<String> = self
            .network()
            .map(|network| network.partners.iter().map(|member| slug(&member.id)).collect())
            .unwrap_or_default();
        names.extend((0..self.nodes).map(hub_name));
        names.push(KEYHOLDER.to_owned());
        let mut unwilling = Vec::new();
        for name in names {
            if let Err(error) = self.processes.end(&name).await {
                unwilling.push(Chain(&error).to_string());
            }
        }
        unwilling
    }
}
