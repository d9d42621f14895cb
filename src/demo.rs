//! A complete network on one machine, for synthetic organisations: keyholder, hub and an agent per partner, each a
//! process of its own on loopback over mutual TLS.

mod enrol;
mod files;
mod hints;
pub mod postgres;
mod process;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::ca::CaError;
use crate::cli::init::InitError;
use crate::clock::{Clock, SystemClock};
use crate::scenario::{self, FileError, Network, Play, PlayError, Scenario, Verdict};
use files::{HubPlan, Layout, hub_name};
use postgres::{Cluster, PostgresError};
use process::Processes;

/// The scenario that the demo plays.
const BUILT_IN: &str = include_str!("../tests/scenarios/s1.toml");

/// How the demo runs.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Leave the network running when the scenario is over.
    pub keep: bool,
    /// Directory for everything that is made; `None`: a temporary one that is removed again.
    pub directory: Option<PathBuf>,
    /// Nodes of the hub. Of several, the last is killed in the middle of the scenario.
    pub nodes: usize,
    /// Where the hub keeps its data.
    pub store: StoreKind,
    /// The binary whose modes are the processes of the network; `None`: this one.
    pub program: Option<PathBuf>,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self { keep: false, directory: None, nodes: 1, store: StoreKind::Sqlite, program: None }
    }
}

/// Where the hub keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A file.
    Sqlite,
    /// A PostgreSQL of the demo's own, started and removed with it.
    Postgres,
}

/// Why there is no demo network.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Certificates.
    #[error("can't make the certificates")]
    Ca(#[from] CaError),
    /// A party refused to be set up.
    #[error("{what} failed: {why}")]
    Enrol {
        /// Which process said so.
        process: String,
        /// What was asked.
        what: String,
        /// The service's own words.
        why: String,
    },
    /// Keys.
    #[error("can't make the keys")]
    Init(#[from] InitError),
    /// A file or a port.
    #[error("can't make {what}")]
    Io {
        /// What was to be made.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `--nodes` without a database that nodes can share.
    #[error("--nodes {0}: several nodes share one PostgreSQL; add --store postgres")]
    Nodes(usize),
    /// `--dir` holds something already.
    #[error("--dir {}: is not empty; name a directory of the demo's own", .0.display())]
    NotEmpty(PathBuf),
    /// A process did not come up.
    #[error("{name} does not answer ({why}); the end of its log:\n{log}")]
    NotReady {
        /// Which process.
        name: String,
        /// What was seen of it.
        why: String,
        /// Last lines of its log.
        log: String,
    },
    /// The output is closed.
    #[error("can't write the report")]
    Output(#[from] std::io::Error),
    /// The scenario.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// The database.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// A certificate can't be used to reach a process.
    #[error("can't reach {name}")]
    Reach {
        /// Which process.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Asked to stop before the end.
    #[error("stopped before the end")]
    Stopped,
}

/// Scenario S1 as it was built in.
///
/// # Errors
/// Never for a build whose tests passed.
pub fn built_in_scenario() -> Result<Scenario, FileError> {
    Scenario::parse(Path::new("tests/scenarios/s1.toml"), BUILT_IN)
}

/// Starts a network for `scenario`, plays it, and writes what happens to `out`. Stops when `shutdown` is ready.
///
/// # Errors
/// A network that does not come up, or a scenario that can't be played to its end.
pub async fn run(
    scenario: &Scenario,
    options: DemoOptions,
    shutdown: impl Future<Output = ()>,
    out: &mut dyn Write,
) -> Result<Verdict, DemoError> {
    let mut shutdown = std::pin::pin!(shutdown);
    let keep = options.keep;
    let mut demo = Demo::new(options)?;
    let done = tokio::select! {
        done = demo.story(scenario, out) => done,
        () = &mut shutdown => return Err(DemoError::Stopped),
    };
    for name in demo.suspects(&done) {
        writeln!(out, "\nThe end of the log of {name}:\n{}", demo.processes.log_tail(&name))?;
    }
    let verdict = done?;
    if keep {
        hints::write(out, &demo.directory.path, demo.network()?)?;
        shutdown.await;
    }
    demo.stop().await;
    Ok(verdict)
}

/// A network on this machine. Its processes, its database and its temporary directory end with it, in this order.
pub struct Demo {
    processes: Processes,
    cluster: Option<Cluster>,
    layout: Option<Layout>,
    nodes: usize,
    store: StoreKind,
    directory: Directory,
}

impl Demo {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// Options that don't go together, a directory that can't be used.
    pub fn new(options: DemoOptions) -> Result<Self, DemoError> {
        let nodes = options.nodes.max(1);
        if nodes > 1 && options.store == StoreKind::Sqlite {
            return Err(DemoError::Nodes(nodes));
        }
        let directory = Directory::new(options.directory)?;
        let own = || std::env::current_exe().map_err(|source| DemoError::Io { what: "a process".to_owned(), source });
        let program = options.program.map_or_else(own, Ok)?;
        let processes = Processes::new(program, directory.path.join("logs"))?;
        Ok(Self { processes, cluster: None, layout: None, nodes, store: options.store, directory })
    }

    /// Starts everything that `scenario` needs, and has its partners join.
    ///
    /// # Errors
    /// A network that does not come up.
    pub async fn start(&mut self, scenario: &Scenario, out: &mut dyn Write) -> Result<(), DemoError> {
        let now = SystemClock.now();
        self.start_store(out).await?;
        let access = self.cluster.as_ref().map(Cluster::access);
        let plan = HubPlan { nodes: self.nodes, database: access.as_ref() };
        let layout = Layout::make(&self.directory.path, scenario, &plan, now)?;
        writeln!(out, "Certificates, keys and configuration in {}", self.directory.path.display())?;
        let processes = &mut self.processes;
        processes.start("keyholder", &["keyholder", "--config"], &layout.keyholder_config())?;
        // The keyholder knows partners only; the hub knows nobody yet but its first operator.
        if let Some(partner) = scenario.partners.first() {
            processes.ready("keyholder", &layout.keyholder, &layout.organisation_person(&partner.id), now).await?;
        }
        self.layout = Some(layout);
        for node in 0..self.nodes {
            self.start_node(node).await?;
        }
        match self.nodes {
            1 => writeln!(out, "Keyholder and hub answer")?,
            nodes => writeln!(out, "Keyholder and {nodes} nodes of the hub answer")?,
        }
        let Self { processes, layout: Some(layout), .. } = self else { return Err(DemoError::Stopped) };
        enrol::register(layout, scenario, now).await?;
        for partner in &scenario.partners {
            processes.start(&files::slug(&partner.id), &["agent", "--config"], &layout.agent_config(&partner.id))?;
        }
        for member in &layout.network.partners {
            let person = scenario::network::Person { certificate: member.certificate.clone(), key: member.key.clone() };
            processes.ready(&files::slug(&member.id), &member.agent, &person, now).await?;
            enrol::join(member, now).await?;
        }
        writeln!(out, "{} partners registered, agents running, covenant signed\n", layout.network.partners.len())?;
        Ok(())
    }

    /// The network, once it was started.
    ///
    /// # Errors
    /// It was not.
    pub fn network(&self) -> Result<&Network, DemoError> {
        self.layout.as_ref().map(|layout| &layout.network).ok_or(DemoError::Stopped)
    }

    /// The database, to be killed and started again; `None` with SQLite.
    pub const fn cluster(&mut self) -> Option<&mut Cluster> {
        self.cluster.as_mut()
    }

    /// Kills a node of the hub (SIGKILL), counted from 0.
    ///
    /// # Errors
    /// A process that can't be killed.
    pub async fn kill_node(&mut self, node: usize) -> Result<(), DemoError> {
        self.processes.kill(&hub_name(node)).await
    }

    /// Starts a node of the hub, counted from 0, and waits until it answers. Its clock shows the machine's time, whatever
    /// the clocks of the others were moved to.
    ///
    /// # Errors
    /// A process that does not come up.
    pub async fn start_node(&mut self, node: usize) -> Result<(), DemoError> {
        let Self { processes, layout: Some(layout), .. } = self else { return Err(DemoError::Stopped) };
        let name = hub_name(node);
        let endpoint = layout.network.hub_nodes().nth(node).ok_or(DemoError::Stopped)?;
        processes.start(&name, &["hub", "--config"], &layout.hub_config(node))?;
        processes.ready(&name, endpoint, &layout.operator_person(), SystemClock.now()).await
    }

    /// Ends every process.
    pub async fn stop(mut self) {
        self.processes.stop().await;
    }

    async fn start_store(&mut self, out: &mut dyn Write) -> Result<(), DemoError> {
        if self.store == StoreKind::Sqlite {
            return Ok(());
        }
        let started = tokio::task::spawn_blocking(Cluster::start).await;
        let cluster = started.map_err(|_| DemoError::Stopped)??;
        writeln!(out, "A PostgreSQL of its own on 127.0.0.1:{}, over TLS only", cluster.port())?;
        self.cluster = Some(cluster);
        Ok(())
    }

    async fn story(&mut self, scenario: &Scenario, out: &mut dyn Write) -> Result<Verdict, DemoError> {
        self.start(scenario, out).await?;
        let network = self.network()?.clone();
        let mut play = Play::begin(scenario, &network, &SystemClock, out).await?;
        let middle = scenario.steps.len() / 2;
        while play.step(out).await? {
            if self.nodes > 1 && play.verdict().steps == middle {
                self.kill_node(self.nodes - 1).await?;
                writeln!(
                    out,
                    "-- node {0} of {0} of the hub was killed (SIGKILL); the scenario goes on --",
                    self.nodes
                )?;
            }
        }
        let verdict = play.end(out).await?;
        if self.nodes > 1 {
            let moved = network.partners.iter().filter(|member| self.has_moved(&member.id)).count();
            writeln!(out, "{moved} of {} agents went over to another node", network.partners.len())?;
        }
        Ok(verdict)
    }

    fn has_moved(&self, partner: &str) -> bool {
        self.processes.log_text(&files::slug(partner)).contains(crate::agent::MOVED)
    }

    /// Whose logs are worth a look. A process that did not come up has its log in the error.
    fn suspects(&self, done: &Result<Verdict, DemoError>) -> Vec<String> {
        let mut names: Vec<String> = match done {
            Ok(verdict) if verdict.wrong == 0 => return Vec::new(),
            Err(DemoError::Enrol { process, .. } | DemoError::Reach { name: process, .. }) => vec![process.clone()],
            Ok(_) | Err(DemoError::Play(_)) => Vec::new(),
            Err(_) => return Vec::new(),
        };
        names.extend((0..self.nodes).map(hub_name));
        names.dedup();
        names
    }
}

/// A directory that is removed again, unless somebody chose it.
struct Directory {
    path: PathBuf,
    temporary: bool,
}

impl Directory {
    fn new(chosen: Option<PathBuf>) -> Result<Self, DemoError> {
        let temporary = chosen.is_none();
        let path = chosen.unwrap_or_else(|| std::env::temp_dir().join(format!("sluis-demo-{}", Uuid::new_v4())));
        if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(DemoError::NotEmpty(path));
        }
        let made = std::fs::create_dir_all(&path).and_then(|()| std::path::absolute(&path));
        let path = made.map_err(|source| DemoError::Io { what: format!("directory {}", path.display()), source })?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary {
            // Nothing to do about a directory that can't be removed; it holds synthetic data only.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// How long a process may take to come up.
const READY: Duration = Duration::from_secs(20);
