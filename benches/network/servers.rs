//! Every server that a run calls, all up at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use sqlx::{AnyConnection, Connection as _, Row as _};

use crate::case;
use crate::postgres::{Postgres, connect};
use crate::process::{Helper, Process};
use crate::stage::Step;
use crate::witnesses::{WITNESSES, policy_file};
use crate::world::World;
use crate::{Failed, Options, etcd, history, hub, queried, say, witnesses};

/// The servers of a run.
#[derive(Default)]
pub(crate) struct Servers {
    helpers: BTreeMap<&'static str, Helper>,
    hubs: BTreeMap<&'static str, Hub>,
    etcd: Option<Process>,
    postgres: Option<Postgres>,
    /// In memory; removed with the run.
    tmpfs: Option<tempfile::TempDir>,
}

/// A hub that runs, on one or more nodes.
struct Hub {
    nodes: Vec<(Process, hub::Config)>,
    witnesses: Vec<Process>,
    /// A connection of our own beside the hub's, for counting.
    database: AnyConnection,
    on_postgres: bool,
}

impl Servers {
    /// Starts servers by name, and tells the world where they are.
    pub(crate) async fn start(
        world: &mut World,
        names: &BTreeSet<&'static str>,
        options: &Options,
    ) -> Result<Self, Failed> {
        // The helpers read it.
        world.save()?;
        let folder = world.folder.clone();
        let mut servers = Self::default();
        for name in names {
            let nodes = if Step::of(name).is_some() {
                let (helper, address) = Helper::start(name, &folder).await?;
                servers.helpers.insert(name, helper);
                vec![serde_json::from_str(&address)?]
            } else if *name == case::ETCD {
                let (process, address) = etcd::start(&folder).await?;
                servers.etcd = Some(process);
                vec![address]
            } else if *name == case::COMMITS {
                let (helper, _) = Helper::start(name, &folder).await?;
                servers.helpers.insert(name, helper);
                Vec::new()
            } else {
                let hub = match *name {
                    case::HUB_POSTGRES => servers.on_postgres(&folder, name, 1).await?,
                    case::HUB_TWO_NODES => servers.on_postgres(&folder, name, 2).await?,
                    case::HUB_QUERIES_POSTGRES => servers.queries_on_postgres(&folder, name, options).await?,
                    _ => servers.on_sqlite(world, name, options).await?,
                };
                let nodes = hub.nodes.iter().map(|(_, config)| config.address.clone()).collect();
                servers.hubs.insert(name, hub);
                nodes
            };
            world.addresses.insert((*name).to_owned(), nodes);
        }
        world.save()?;
        Ok(servers)
    }

    /// Starts a hub over a copy of the network's store.
    async fn on_sqlite(&mut self, world: &mut World, name: &'static str, options: &Options) -> Result<Hub, Failed> {
        let folder = &world.folder.clone();
        let mut home = hub::home(folder, name);
        if name == case::HUB_TMPFS {
            let memory = tempfile::Builder::new().prefix("sluis-bench-").tempdir_in("/dev/shm")?;
            home = memory.path().to_owned();
            self.tmpfs = Some(memory);
        }
        hub::copy(&hub::home(folder, hub::FIRST), &home)?;
        let file = hub::database(&home);
        let mut conn = AnyConnection::connect(&format!("sqlite:{}", file.display())).await?;
        if name == case::HUB_HISTORY {
            world.history = options.events();
            say(&format!("writing a log of {} events", world.history))?;
            history::fill(&mut conn, world.history).await?;
        } else if name == case::HUB_QUERIES {
            let started = Instant::now();
            say(&format!("writing a log of {} events to look things up in", options.queried()))?;
            for pragma in ["PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -262144"] {
                sqlx::query(pragma).execute(&mut conn).await?;
            }
            queried::fill(&mut conn, options.queried(), false).await?;
            let size = std::fs::metadata(&file)?.len() >> 20;
            say(&format!("it took {} s and {size} MiB", started.elapsed().as_secs()))?;
        }
        conn.close().await?;
        let quorum = match name {
            case::HUB_WITNESSED => 2,
            case::HUB_UNANIMOUS => WITNESSES,
            _ => 0,
        };
        let witnesses = if quorum > 0 { witnesses::start(world, name, quorum).await? } else { Vec::new() };
        let policy = (quorum > 0).then(|| policy_file(folder, name));
        let node = start(folder, name, &hub::Store::sqlite(&home), policy.as_deref()).await?;
        let mut database = AnyConnection::connect(&format!("sqlite:{}?mode=ro", file.display())).await?;
        if name == case::HUB_HISTORY {
            say("the tree grows over it")?;
            history::until_sealed(&mut database).await?;
        }
        Ok(Hub { nodes: vec![node], witnesses, database, on_postgres: false })
    }

    /// Starts a hub on PostgreSQL over a log to look things up in.
    async fn queries_on_postgres(&mut self, folder: &Path, name: &str, options: &Options) -> Result<Hub, Failed> {
        let access = self.postgres()?.database(folder).await?;
        let mut database = connect(&access).await?;
        let started = Instant::now();
        say(&format!("writing a log of {} events on PostgreSQL to look things up in", options.queried()))?;
        queried::fill(&mut database, options.queried(), true).await?;
        let size: i64 =
            sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut database).await?;
        say(&format!("it took {} s and {} MiB", started.elapsed().as_secs(), size >> 20))?;
        let node = start(folder, name, &hub::Store::postgres(&access), None).await?;
        Ok(Hub { nodes: vec![node], witnesses: Vec::new(), database, on_postgres: true })
    }

    fn postgres(&mut self) -> Result<&Postgres, Failed> {
        let postgres = match self.postgres.take() {
            Some(postgres) => postgres,
            None => tokio::task::block_in_place(Postgres::start)?,
        };
        Ok(self.postgres.insert(postgres))
    }

    /// Starts nodes over a database of their own.
    async fn on_postgres(&mut self, folder: &Path, name: &str, nodes: usize) -> Result<Hub, Failed> {
        let access = self.postgres()?.database(folder).await?;
        let mut running = Vec::new();
        for nth in 1..=nodes {
            running.push(start(folder, &format!("{name}-{nth}"), &hub::Store::postgres(&access), None).await?);
        }
        Ok(Hub { nodes: running, witnesses: Vec::new(), database: connect(&access).await?, on_postgres: true })
    }

    /// CPU time of a server so far, its database's included, nanoseconds.
    pub(crate) fn cpu(&self, name: &str) -> Result<u64, Failed> {
        let Some(hub) = self.hubs.get(name) else { return self.process(name)?.cpu() };
        let mut sum = 0;
        for (process, _) in &hub.nodes {
            sum += process.cpu()?;
        }
        if let Some(postgres) = self.postgres.as_ref().filter(|_| hub.on_postgres) {
            sum += postgres.cpu()?;
        }
        Ok(sum)
    }

    /// The process of a server.
    pub(crate) fn process(&self, name: &str) -> Result<&Process, Failed> {
        let helper = self.helpers.get(name).map(|helper| &helper.process);
        let hub = self.hubs.get(name).and_then(|hub| hub.nodes.first()).map(|(process, _)| process);
        let etcd = self.etcd.as_ref().filter(|_| name == case::ETCD);
        Ok(helper.or(hub).or(etcd).ok_or_else(|| format!("no server {name}"))?)
    }

    /// The helper that commits in its own process.
    pub(crate) fn commits(&mut self) -> Result<&mut Helper, Failed> {
        Ok(self.helpers.get_mut(case::COMMITS).ok_or("nobody commits")?)
    }

    /// Events in every hub's store.
    pub(crate) async fn events(&mut self) -> Result<BTreeMap<&'static str, u64>, Failed> {
        let mut events = BTreeMap::new();
        for (name, hub) in &mut self.hubs {
            let row = sqlx::query("SELECT COUNT(*) FROM audit_event").fetch_one(&mut hub.database).await?;
            events.insert(*name, u64::try_from(row.try_get::<i64, _>(0)?)?);
        }
        Ok(events)
    }

    /// Stops a hub, for good.
    pub(crate) async fn end(&mut self, name: &str) -> Result<Option<hub::Config>, Failed> {
        let Some(hub) = self.hubs.remove(name) else { return Ok(None) };
        hub.database.close().await?;
        let mut first = None;
        for (process, config) in hub.nodes {
            process.stop().await?;
            first.get_or_insert(config);
        }
        for witness in hub.witnesses {
            witness.stop().await?;
        }
        Ok(first)
    }

    /// Stops all.
    pub(crate) async fn stop(mut self) -> Result<(), Failed> {
        let names: Vec<&str> = self.hubs.keys().copied().collect();
        for name in names {
            self.end(name).await?;
        }
        for helper in self.helpers.into_values() {
            helper.stop().await?;
        }
        match self.etcd {
            Some(etcd) => etcd.stop().await,
            None => Ok(()),
        }
    }
}

/// Starts a node and waits until it serves.
async fn start(
    folder: &Path,
    name: &str,
    store: &hub::Store,
    witnesses: Option<&Path>,
) -> Result<(Process, hub::Config), Failed> {
    let config = hub::prepare(folder, name, store, witnesses)?;
    let process = Process::hub(&config.file)?;
    let serving = hub::until_serving(folder, &config.address).await;
    serving.map_err(|error| format!("{name} does not serve ({error}); its log is {}", config.log().display()))?;
    Ok((process, config))
}
