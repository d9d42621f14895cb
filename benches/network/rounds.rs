//! The conductor: sets up, starts every server, lets the loader call them in many short rounds, and adds up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use crate::case::{self, CASES, Call, Case};
use crate::claim::{CLAIMS, CONTROLS, Measure};
use crate::machine::Machine;
use crate::process::Helper;
use crate::protocol::{Ask, Told};
use crate::report::{self, Run};
use crate::servers::Servers;
use crate::{Failed, Options, etcd, memory, say, sealing, setup, startup, stats, witnessed};

/// Every case runs so long before anything counts, in milliseconds.
const WARM_UP: u64 = 300;

/// What a case showed in one round.
pub(crate) struct Round {
    pub(crate) told: Told,
    /// CPU of its server, nanoseconds.
    pub(crate) cpu: u64,
}

/// The whole benchmark. A run that fails leaves its folder, with the logs of all processes.
pub(crate) async fn conduct(options: &Options) -> Result<ExitCode, Failed> {
    sqlx::any::install_default_drivers();
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let done = measure(options, folder.path()).await;
    if done.is_err() {
        say(&format!("what it made and logged stands in {}", folder.keep().display()))?;
    }
    done
}

async fn measure(options: &Options, folder: &Path) -> Result<ExitCode, Failed> {
    let cases = selected(options)?;
    let machine = Machine::here(folder)?;
    say("setting up a network")?;
    let mut world = setup::network(folder).await?;
    let names: BTreeSet<&'static str> = cases.iter().map(|case| case.server).collect();
    let servers = Servers::start(&mut world, &names, options).await?;
    let (loader, _) = Helper::start("load", folder).await?;
    let mut stage = Stage { servers, loader, acknowledged: BTreeMap::new() };
    let series = stage.rounds(&cases, options).await?;
    let Stage { mut servers, loader, .. } = stage;
    loader.stop().await?;
    let (mut singles, mut figures) = (Vec::new(), Vec::new());
    if names.contains(case::HUB_HISTORY) {
        singles.extend(startup::measure(&mut servers, &world, options).await?);
    }
    servers.stop().await?;
    if options.asks_for(memory::NAME) {
        singles.extend(memory::measure(&mut world, options).await?);
    }
    if options.asks_for(witnessed::NAME) {
        let (lines, more) = witnessed::measure(&mut world, options).await?;
        singles.extend(lines);
        figures.extend(more);
    }
    let (rounds, millis) = extent(options);
    let mut run = Run { rounds, millis, series, singles, figures };
    if options.asks_for(sealing::NAME) {
        let lines = sealing::measure(&world, &run.values(sealing::CALL, Measure::Cpu), options).await?;
        run.singles.extend(lines);
    }
    report::write(options, machine, &run)
}

fn extent(options: &Options) -> (usize, u64) {
    let millis = (options.seconds.clamp(0.05, 60.0) * 1000.0) as u64;
    if options.quick { (3, millis.min(300)) } else { (options.rounds.max(1), millis) }
}

/// The cases that were asked for, and those that they are compared with.
fn selected(options: &Options) -> Result<Vec<&'static Case>, Failed> {
    let mut names: BTreeSet<&str> = CASES.iter().map(|case| case.name).filter(|name| options.asks_for(name)).collect();
    if options.asks_for(sealing::NAME) {
        names.insert(sealing::CALL);
    }
    if names.is_empty() && !options.asks_for(memory::NAME) {
        return Err("no case has such a name".into());
    }
    for claim in CLAIMS.iter().filter(|claim| options.asks_for(claim.case)) {
        names.extend(claim.against);
    }
    for control in CONTROLS {
        names.insert(control.case);
        names.extend(control.against);
    }
    let possible = |case: &&Case| case.server != case::ETCD || etcd::is_here();
    Ok(CASES.iter().filter(|case| names.contains(case.name)).filter(possible).collect())
}

/// Blocks in another order every round, and the cases within each.
fn in_order(cases: &[&'static Case], round: usize) -> Vec<&'static Case> {
    let blocks: BTreeSet<u8> = cases.iter().map(|case| case.block).collect();
    let blocks: Vec<u8> = blocks.into_iter().collect();
    let mut order = Vec::with_capacity(cases.len());
    for block in stats::order(blocks.len(), round) {
        let block: Vec<&'static Case> =
            cases.iter().filter(|case| Some(&case.block) == blocks.get(block)).copied().collect();
        order.extend(stats::order(block.len(), round).into_iter().filter_map(|place| block.get(place)));
    }
    order
}

/// What runs while the rounds do.
struct Stage {
    servers: Servers,
    loader: Helper,
    /// Events that each server's answers must have left.
    acknowledged: BTreeMap<&'static str, u64>,
}

impl Stage {
    /// All rounds of all cases, and the look whether what was answered is stored.
    async fn rounds(
        &mut self,
        cases: &[&'static Case],
        options: &Options,
    ) -> Result<BTreeMap<&'static str, Vec<Round>>, Failed> {
        let (rounds, millis) = extent(options);
        say(&format!("{} cases, {rounds} rounds of {millis} ms", cases.len()))?;
        let before = self.servers.events().await?;
        for case in cases {
            self.run(case, WARM_UP.min(millis)).await?;
        }
        let mut series: BTreeMap<&'static str, Vec<Round>> = BTreeMap::new();
        for round in 0..rounds {
            for case in in_order(cases, round) {
                let one = self.run(case, millis).await?;
                series.entry(case.name).or_default().push(one);
            }
            say(&format!("round {} of {rounds}", round + 1))?;
        }
        for (name, after) in self.servers.events().await? {
            let stored = after - before.get(name).copied().unwrap_or_default();
            let acknowledged = self.acknowledged.get(name).copied().unwrap_or_default();
            if stored != acknowledged {
                return Err(format!("{name}: {acknowledged} calls were answered, {stored} events are stored").into());
            }
            say(&format!("{name}: {acknowledged} calls answered, as many events stored"))?;
        }
        Ok(series)
    }

    /// One round of one case.
    async fn run(&mut self, case: &'static Case, millis: u64) -> Result<Round, Failed> {
        let before = self.servers.cpu(case.server)?;
        let ask = Ask::Run { case: case.name.to_owned(), millis };
        let told = match case.call {
            Call::Inside(_) => self.servers.commits()?.ask(&ask).await,
            _ => self.loader.ask(&ask).await,
        };
        let told: Told = told.map_err(|error| format!("{}: {error}", case.name))?;
        let cpu = self.servers.cpu(case.server)? - before;
        if told.errors > 0 {
            return Err(format!("{}: {} calls failed; the first: {}", case.name, told.errors, told.error).into());
        }
        *self.acknowledged.entry(case.server).or_default() += told.events;
        Ok(Round { told, cpu })
    }
}
