//! Every server that a run calls, all up at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::{AnyConnection, Connection as _, Row as _};

use crate::case;
use crate::process::{Helper, Process};
use crate::stage::Step;
use crate::world::World;
use crate::{Failed, Options, etcd, history, hub, say};

/// The servers of a run.
pub(crate) struct Servers {
    helpers: BTreeMap<&'static str, Helper>,
    hubs: BTreeMap<&'static str, Hub>,
    etcd: Option<Process>,
    /// In memory; removed with the run.
    _tmpfs: Option<tempfile::TempDir>,
}

/// A hub that runs.
struct Hub {
    process: Process,
    config: hub::Config,
    /// A connection of our own beside the hub's, for counting.
    database: AnyConnection,
}

impl Servers {
    /// Starts servers by name, and tells the world where they are.
    pub(crate) async fn start(
        world: &mut World,
        names: &BTreeSet<&'static str>,
        options: &Options,
    ) -> Result<Self, Failed> {
        let folder = world.folder.clone();
        let mut servers = Self { helpers: BTreeMap::new(), hubs: BTreeMap::new(), etcd: None, _tmpfs: None };
        for name in names {
            let address = if Step::of(name).is_some() {
                let (helper, address) = Helper::start(name, &folder).await?;
                servers.helpers.insert(name, helper);
                serde_json::from_str(&address)?
            } else if *name == case::ETCD {
                let (process, address) = etcd::start(&folder).await?;
                servers.etcd = Some(process);
                address
            } else if *name == case::COMMITS {
                let (helper, _) = Helper::start(name, &folder).await?;
                servers.helpers.insert(name, helper);
                continue;
            } else {
                servers.hub(&folder, name, options).await?
            };
            world.addresses.insert((*name).to_owned(), address);
        }
        world.save()?;
        Ok(servers)
    }

    /// Starts a hub over a copy of the network's store.
    async fn hub(&mut self, folder: &Path, name: &'static str, options: &Options) -> Result<String, Failed> {
        let mut home = hub::home(folder, name);
        if name == case::HUB_TMPFS {
            let memory = tempfile::Builder::new().prefix("sluis-bench-").tempdir_in("/dev/shm")?;
            home = memory.path().to_owned();
            self._tmpfs = Some(memory);
        }
        hub::copy(&hub::home(folder, hub::FIRST), &home)?;
        let file = hub::database(&home);
        if name == case::HUB_HISTORY {
            say(&format!("writing a log of {} events", options.events()))?;
            let mut conn = AnyConnection::connect(&format!("sqlite:{}", file.display())).await?;
            history::fill(&mut conn, options.events()).await?;
            conn.close().await?;
        }
        let config = hub::prepare(folder, name, &hub::Store::sqlite(&home))?;
        let process = Process::hub(&config.file)?;
        hub::until_serving(folder, &config.address).await?;
        let address = config.address.clone();
        let database = AnyConnection::connect(&format!("sqlite:{}?mode=ro", file.display())).await?;
        self.hubs.insert(name, Hub { process, config, database });
        Ok(address)
    }

    /// CPU time of a server so far, nanoseconds.
    pub(crate) fn cpu(&self, name: &str) -> Result<u64, Failed> {
        self.process(name)?.cpu()
    }

    /// The process of a server.
    pub(crate) fn process(&self, name: &str) -> Result<&Process, Failed> {
        let helper = self.helpers.get(name).map(|helper| &helper.process);
        let hub = self.hubs.get(name).map(|hub| &hub.process);
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
        hub.process.stop().await?;
        Ok(Some(hub.config))
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
