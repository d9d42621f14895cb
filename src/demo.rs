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
use crate::scenario::{self, FileError, Network, PlayError, Scenario, Verdict};
use files::Layout;
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
    let directory = Directory::new(options.directory)?;
    let mut processes = Processes::new(directory.path.join("logs"))?;
    let story = async {
        let network = start(scenario, &directory.path, &mut processes, out).await?;
        let verdict = scenario::play(scenario, &network, &SystemClock, out).await?;
        Ok::<_, DemoError>((network, verdict))
    };
    let done = tokio::select! {
        done = story => done,
        () = &mut shutdown => return Err(DemoError::Stopped),
    };
    for name in suspects(&done) {
        writeln!(out, "\nThe end of the log of {name}:\n{}", processes.log_tail(name))?;
    }
    let (network, verdict) = done?;
    if options.keep {
        hints::write(out, &directory.path, &network)?;
        shutdown.await;
    }
    processes.stop().await;
    Ok(verdict)
}

/// Whose logs are worth a look. A process that did not come up has its log in the error.
fn suspects(done: &Result<(Network, Verdict), DemoError>) -> Vec<&str> {
    match done {
        Ok((_, verdict)) if verdict.wrong == 0 => Vec::new(),
        Ok(_) | Err(DemoError::Play(_)) => vec!["hub"],
        Err(DemoError::Enrol { process, .. } | DemoError::Reach { name: process, .. }) if process != "hub" => {
            vec![process, "hub"]
        }
        Err(DemoError::Enrol { .. } | DemoError::Reach { .. }) => vec!["hub"],
        Err(_) => Vec::new(),
    }
}

async fn start(
    scenario: &Scenario,
    directory: &Path,
    processes: &mut Processes,
    out: &mut dyn Write,
) -> Result<Network, DemoError> {
    let now = SystemClock.now();
    let layout = Layout::make(directory, scenario, now)?;
    writeln!(out, "Certificates, keys and configuration in {}", directory.display())?;
    processes.start("keyholder", &["keyholder", "--config"], &layout.keyholder_config())?;
    processes.start("hub", &["hub", "--config"], &layout.hub_config())?;
    // The keyholder knows partners only; the hub knows nobody yet but its first operator.
    if let Some(partner) = scenario.partners.first() {
        processes.ready("keyholder", &layout.keyholder, &layout.organisation_person(&partner.id), now).await?;
    }
    processes.ready("hub", &layout.network.hub, &layout.operator_person(), now).await?;
    writeln!(out, "Keyholder and hub answer")?;
    enrol::register(&layout, scenario, now).await?;
    for partner in &scenario.partners {
        processes.start(&files::slug(&partner.id), &["agent", "--config"], &layout.agent_config(&partner.id))?;
    }
    for member in &layout.network.partners {
        let person = scenario::network::Person { certificate: member.certificate.clone(), key: member.key.clone() };
        processes.ready(&files::slug(&member.id), &member.agent, &person, now).await?;
        enrol::join(member, now).await?;
    }
    writeln!(out, "{} partners registered, agents running, covenant signed\n", layout.network.partners.len())?;
    Ok(layout.network)
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
