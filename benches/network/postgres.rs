//! PostgreSQL for a run: a throwaway cluster, and databases in it that hold what the network's first hub stored.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use sluis::clock::SystemClock;
use sluis::demo::postgres::{Access, Cluster};
use sluis::store::{Access as StoreAccess, Deployment, Opening, Store};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection as _};

use crate::process::cpu;
use crate::{Failed, hub, rows};

/// A cluster that runs.
pub(crate) struct Postgres {
    cluster: Cluster,
}

impl Postgres {
    /// Starts it. Blocks for seconds.
    pub(crate) fn start() -> Result<Self, Failed> {
        Ok(Self { cluster: Cluster::start()? })
    }

    /// A database with all that the first hub stored.
    pub(crate) async fn database(&self, folder: &Path) -> Result<Access, Failed> {
        let access = tokio::task::block_in_place(|| self.cluster.new_database())?;
        let [password, owner] = [&access.password_file, &access.owner_password_file].map(std::fs::read_to_string);
        let store = StoreAccess::new(&access.url, Some(password?.trim()))?;
        let store = store.with_owner(&access.owner_url, Some(owner?.trim()))?;
        // Opening a store makes its tables.
        drop(Store::open(opening(store)).await?);
        let first = hub::database(&hub::home(folder, hub::FIRST));
        let mut from = AnyConnection::connect(&format!("sqlite:{}?mode=ro", first.display())).await?;
        let mut to = connect(&access).await?;
        rows::copy(&mut from, &mut to).await?;
        from.close().await?;
        to.close().await?;
        Ok(access)
    }

    /// CPU time of the server with all its sessions, nanoseconds.
    pub(crate) fn cpu(&self) -> Result<u64, Failed> {
        let pgpass = self.cluster.pgpass();
        let folder = pgpass.parent().ok_or("a cluster without a folder")?;
        let file = std::fs::read_to_string(folder.join("server/data/postmaster.pid"))?;
        let postmaster = file.lines().next().unwrap_or_default().to_owned();
        let mut sum = cpu(postmaster.parse()?)?;
        for process in std::fs::read_dir("/proc")? {
            let name = process?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // A session may end while it is looked at.
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            // After the name in brackets: state, then the parent.
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            if parent == Some(postmaster.as_str()) {
                sum += cpu(pid).unwrap_or_default();
            }
        }
        Ok(sum)
    }
}

/// A store that nobody serves from.
pub(crate) fn opening(access: StoreAccess) -> Opening {
    let (clock, deployment) = (Arc::new(SystemClock), Deployment::default());
    Opening { access, node: "bench".to_owned(), clock, simulated: false, deployment }
}

/// A connection as the owner.
pub(crate) async fn connect(access: &Access) -> Result<AnyConnection, Failed> {
    let mut url = AnyConnectOptions::from_str(&access.owner_url)?.database_url;
    let password = std::fs::read_to_string(&access.owner_password_file)?;
    url.set_password(Some(password.trim())).map_err(|()| "a URL that takes no password")?;
    Ok(AnyConnection::connect(url.as_str()).await?)
}
