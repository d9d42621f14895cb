//! The network's benchmark: `cargo bench --bench network`, see `benches/README.md`.
//!
//! This program conducts; it starts itself again as loader and as the servers to compare with, and the service's own
//! binary as hubs.

mod bare;
mod calls;
mod case;
mod claim;
mod commits;
mod etcd;
mod histogram;
mod history;
mod hold;
mod hub;
mod load;
mod machine;
mod memory;
mod plot;
mod postgres;
mod process;
mod protocol;
mod queried;
mod quiet;
mod report;
mod rounds;
mod rows;
mod sealing;
mod servers;
mod setup;
mod stage;
mod startup;
mod stats;
mod upload;
mod watch;
mod witnessed;
mod witnesses;
mod world;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use tokio::sync::mpsc;

use protocol::{Ask, Told};
use stage::Step;
use world::World;

/// Whatever went wrong: a benchmark tells it and ends.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Measures Sluis beside the machine's own limits.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo bench --bench network --")]
struct Options {
    /// Rounds; 30 for a release.
    #[arg(long, default_value_t = 12)]
    rounds: usize,
    /// Seconds of every case in every round.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Only cases whose names contain one of these words; what they are compared with comes along.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// Three short rounds over a short log: to see whether it runs.
    #[arg(long)]
    quick: bool,
    /// Events in the long log.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Events in the log that officers look things up in; 10 million take minutes to write and 10 GB of disk.
    #[arg(long, default_value_t = 1_000_000)]
    queried: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// What this process is, when the benchmark has started it.
    #[arg(long, hide = true)]
    role: Option<String>,
    /// The folder of the run, for a role.
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

impl Options {
    /// Whether a case of this name was asked for: all are, when none is named.
    fn asks_for(&self, name: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|word| name.contains(word.as_str()))
    }

    /// Events in the log of this run that officers look things up in: enough for a whole page about each case.
    fn queried(&self) -> u64 {
        if self.quick { self.queried.min(300_000) } else { self.queried }
    }

    /// Events in the long log of this run.
    fn events(&self) -> u64 {
        if self.quick { self.events.min(100_000) } else { self.events }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = tokio::runtime::Runtime::new().map_err(Failed::from).and_then(|runtime| {
        runtime.block_on(async {
            match options.role.as_deref() {
                // `cargo test --all-targets` starts benchmarks too.
                None if !options.bench && !options.quick => {
                    say("nothing is measured without `cargo bench`; --quick looks whether it runs")?;
                    Ok(ExitCode::SUCCESS)
                }
                None => quiet::conduct().await,
                Some(quiet::CONDUCTOR) => tokio::select! {
                    done = rounds::conduct(&options) => done,
                    () = input_ends() => Err("stopped".into()),
                },
                Some(role) => {
                    play(role, options.folder.as_deref().ok_or("no folder")?).await.map(|()| ExitCode::SUCCESS)
                }
            }
        })
    });
    done.unwrap_or_else(|error| {
        let chain = std::iter::successors(error.source(), |error| error.source());
        let causes: String = chain.map(|cause| format!(": {cause}")).collect();
        let _ = writeln!(std::io::stderr(), "benchmark: {error}{causes}");
        ExitCode::from(2)
    })
}

/// A process that the conductor started: ends when its standard input does.
async fn play(role: &str, folder: &Path) -> Result<(), Failed> {
    sqlx::any::install_default_drivers();
    let world = World::load(folder)?;
    match (role, Step::of(role)) {
        (_, Some(step)) => {
            let serving = bare::serve(&world, step, |address| tell(&address));
            tokio::select! {
                served = serving => served,
                () = input_ends() => Ok(()),
            }
        }
        ("load", _) => {
            let mut loader = load::Loader::new(world)?;
            tell(&"ready")?;
            let mut asked = asked();
            while let Some(line) = asked.recv().await {
                let told = loader.answer(serde_json::from_str::<Ask>(&line)?).await;
                answer(told)?;
            }
            Ok(())
        }
        (case::COMMITS, _) => {
            let mut inner = commits::Inner::new(&world).await?;
            tell(&"ready")?;
            let mut asked = asked();
            while let Some(line) = asked.recv().await {
                let told = inner.answer(serde_json::from_str::<Ask>(&line)?).await;
                answer(told)?;
            }
            Ok(())
        }
        _ => Err(format!("no role {role}").into()),
    }
}

/// Lines of the standard input. A thread of its own reads them, which costs a server nothing while it waits.
fn asked() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.map_while(|line| sender.send(line).ok()).for_each(drop);
    });
    receiver
}

async fn input_ends() {
    let mut asked = asked();
    while asked.recv().await.is_some() {}
}

fn answer(told: Result<Told, Failed>) -> Result<(), Failed> {
    tell(&told.map_err(|error| error.to_string()))
}

/// One line to the conductor.
fn tell(what: &impl Serialize) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// What happens, as it happens.
fn say(what: &str) -> Result<(), Failed> {
    Ok(writeln!(std::io::stderr(), "{what}")?)
}
