//! The conductor: sets up, starts every server, lets the loader call them in many short rounds, and adds up.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use sqlx::{AnyConnection, Connection as _, Row as _};

use crate::case::{self, CASES, Call, Case};
use crate::claim::{CLAIMS, CONTROLS};
use crate::process::{Helper, Process};
use crate::protocol::{Ask, Told};
use crate::report::Run;
use crate::world::World;
use crate::{Failed, Options, history, hub, report, setup, stats};

/// Every case runs so long before anything counts.
const WARM_UP: u64 = 300;

/// What a case showed in one round.
pub(crate) struct Round {
    pub(crate) told: Told,
    /// CPU of its server, nanoseconds.
    pub(crate) cpu: u64,
}

/// The whole benchmark.
pub(crate) async fn conduct(options: &Options) -> Result<ExitCode, Failed> {
    sqlx::any::install_default_drivers();
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let cases = selected(options)?;
    say("setting up a network")?;
    let mut world = setup::network(folder.path()).await?;
    let mut stage = Stage::start(&mut world, &cases, options).await?;
    let (rounds, millis) = extent(options);
    say(&format!("{} cases, {rounds} rounds of {millis} ms", cases.len()))?;
    for case in &cases {
        stage.run(case, WARM_UP.min(millis)).await?;
    }
    let before = stage.events().await?;
    stage.acknowledged.clear();
    let mut done: BTreeMap<&'static str, Vec<Round>> = BTreeMap::new();
    for round in 0..rounds {
        for case in in_order(&cases, round) {
            let one = stage.run(case, millis).await?;
            done.entry(case.name).or_default().push(one);
        }
        say(&format!("round {} of {rounds}", round + 1))?;
    }
    stage.compare(&before).await?;
    stage.stop().await?;
    let run = Run { rounds, millis, series: done };
    report::write(options, folder.path(), &run)
}

fn extent(options: &Options) -> (usize, u64) {
    let millis = (options.seconds.clamp(0.05, 60.0) * 1000.0) as u64;
    if options.quick { (3, millis.min(300)) } else { (options.rounds.max(1), millis) }
}

/// The cases that were asked for, and those that they are compared with.
fn selected(options: &Options) -> Result<Vec<&'static Case>, Failed> {
    let asked = |name: &str| options.cases.is_empty() || options.cases.iter().any(|word| name.contains(word.as_str()));
    let mut names: BTreeSet<&str> = CASES.iter().map(|case| case.name).filter(|name| asked(name)).collect();
    if names.is_empty() {
        return Err("no case has such a name".into());
    }
    for claim in CLAIMS.iter().filter(|claim| asked(claim.case)) {
        names.extend(claim.against);
    }
    for control in CONTROLS {
        names.insert(control.case);
        names.extend(control.against);
    }
    Ok(CASES.iter().filter(|case| names.contains(case.name)).collect())
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

/// Everything that runs.
struct Stage {
    servers: BTreeMap<&'static str, Process>,
    helpers: Vec<Helper>,
    loader: Helper,
    commits: Option<Helper>,
    databases: BTreeMap<&'static str, AnyConnection>,
    /// Calls that each hub has answered.
    acknowledged: BTreeMap<&'static str, u64>,
    /// In memory; removed with the run.
    _tmpfs: Option<tempfile::TempDir>,
}

impl Stage {
    /// Starts all servers that the cases call, and the loader.
    async fn start(world: &mut World, cases: &[&'static Case], options: &Options) -> Result<Self, Failed> {
        let folder = world.folder.clone();
        let names: BTreeSet<&'static str> = cases.iter().map(|case| case.server).collect();
        // The helpers read it; the addresses come when they have told them.
        world.save()?;
        let (mut servers, mut helpers, mut databases) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let mut tmpfs = None;
        for name in names.iter().filter(|name| **name != case::COMMITS) {
            let address = if crate::stage::Step::of(name).is_some() {
                let (helper, address) = Helper::start(name, &folder).await?;
                helpers.push(helper);
                serde_json::from_str(&address)?
            } else {
                let mut home = hub::home(&folder, name);
                if *name == case::HUB_TMPFS {
                    let memory = tempfile::Builder::new().prefix("sluis-bench-").tempdir_in("/dev/shm")?;
                    home = memory.path().to_owned();
                    tmpfs = Some(memory);
                }
                hub::copy(&hub::home(&folder, "first"), &home)?;
                if *name == case::HUB_HISTORY {
                    say(&format!("writing a log of {} events", options.events()))?;
                    let url = format!("sqlite:{}", hub::database(&home).display());
                    let mut conn = AnyConnection::connect(&url).await?;
                    history::fill(&mut conn, options.events()).await?;
                    conn.close().await?;
                }
                let config = hub::prepare(&folder, name, &hub::Store::sqlite(&home))?;
                servers.insert(*name, Process::hub(&config.file)?);
                hub::until_serving(&folder, &config.address).await?;
                databases.insert(*name, database(&hub::database(&home)).await?);
                config.address
            };
            world.addresses.insert((*name).to_owned(), address);
        }
        world.save()?;
        let (loader, _) = Helper::start("load", &folder).await?;
        let commits = match names.contains(case::COMMITS) {
            true => Some(Helper::start(case::COMMITS, &folder).await?.0),
            false => None,
        };
        let acknowledged = BTreeMap::new();
        Ok(Self { servers, helpers, loader, commits, databases, acknowledged, _tmpfs: tmpfs })
    }

    /// One round of one case.
    async fn run(&mut self, case: &'static Case, millis: u64) -> Result<Round, Failed> {
        let pid = self.pid(case.server)?;
        let before = crate::process::cpu(pid)?;
        let ask = Ask::Run { case: case.name.to_owned(), millis };
        let helper = match (case.call, &mut self.commits) {
            (Call::Inside(_), Some(commits)) => commits,
            _ => &mut self.loader,
        };
        let told: Told = helper.ask(&ask).await.map_err(|error| format!("{}: {error}", case.name))?;
        let cpu = crate::process::cpu(pid)? - before;
        if told.errors > 0 {
            return Err(format!("{}: {} calls failed; the first: {}", case.name, told.errors, told.error).into());
        }
        *self.acknowledged.entry(case.server).or_default() += told.events;
        Ok(Round { told, cpu })
    }
}

impl Stage {
    fn pid(&self, server: &str) -> Result<u32, Failed> {
        if server == case::COMMITS {
            return Ok(self.commits.as_ref().ok_or("no commits")?.process.pid);
        }
        let helper = self.helpers.iter().find(|helper| helper.name == server).map(|helper| helper.process.pid);
        Ok(helper.or_else(|| self.servers.get(server).map(|server| server.pid)).ok_or("no such server")?)
    }

    /// Events in every hub's store.
    async fn events(&mut self) -> Result<BTreeMap<&'static str, i64>, Failed> {
        let mut events = BTreeMap::new();
        for (name, conn) in &mut self.databases {
            let row = sqlx::query("SELECT COUNT(*) FROM audit_event").fetch_one(&mut *conn).await?;
            events.insert(*name, row.try_get(0)?);
        }
        Ok(events)
    }

    /// Acknowledged = stored: one event for every call that was answered.
    async fn compare(&mut self, before: &BTreeMap<&'static str, i64>) -> Result<(), Failed> {
        for (name, after) in self.events().await? {
            let stored = u64::try_from(after - before.get(name).copied().unwrap_or_default())?;
            let acknowledged = self.acknowledged.get(name).copied().unwrap_or_default();
            if stored != acknowledged {
                return Err(format!("{name}: {acknowledged} calls were answered, {stored} events are stored").into());
            }
            say(&format!("{name}: {acknowledged} calls answered, as many events stored"))?;
        }
        Ok(())
    }

    async fn stop(self) -> Result<(), Failed> {
        let Self { servers, helpers, loader, commits, databases, .. } = self;
        loader.stop().await?;
        for conn in databases.into_values() {
            conn.close().await?;
        }
        for helper in helpers.into_iter().chain(commits) {
            helper.stop().await?;
        }
        for server in servers.into_values() {
            server.stop().await?;
        }
        Ok(())
    }
}

/// A connection of our own beside a hub's, for counting.
async fn database(file: &Path) -> Result<AnyConnection, Failed> {
    Ok(AnyConnection::connect(&format!("sqlite:{}?mode=ro", file.display())).await?)
}

/// What happens, as it happens.
fn say(what: &str) -> Result<(), Failed> {
    Ok(writeln!(std::io::stderr(), "{what}")?)
}
