//! Hubs of a run: their configuration, their stores, copies of them, and when they answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sluis::demo::postgres::Access;
use sluis::pseudonym::{Keyholder, SecretKey};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::Failed;
use crate::process::until;
use crate::world::{HOST, ca, tls};

/// The hub with which a network is set up.
pub(crate) const FIRST: &str = "first";

/// The name of every hub's log.
pub(crate) const ORIGIN: &str = "sluis.example/bench";

/// Whose certificate hubs show to witnesses.
const CALLER: &str = crate::setup::NETWERK;

/// Between two looks whether a hub answers.
const LOOK: Duration = Duration::from_millis(10);

/// A hub that can be started.
pub(crate) struct Config {
    /// `hub.toml`
    pub(crate) file: PathBuf,
    /// Where it will listen.
    pub(crate) address: String,
}

impl Config {
    /// Where the process writes what it has to say.
    pub(crate) fn log(&self) -> PathBuf {
        self.file.with_extension("log")
    }
}

/// Where a hub keeps what it knows.
pub(crate) struct Store {
    /// Lines of `[store]`, without the spool.
    lines: String,
}

impl Store {
    /// SQLite in a hub's own folder.
    pub(crate) fn sqlite(home: &Path) -> Self {
        Self { lines: format!("url = \"sqlite:{}\"", database(home).display()) }
    }

    /// A PostgreSQL database.
    pub(crate) fn postgres(access: &Access) -> Self {
        Self { lines: access.to_toml() }
    }
}

/// The folder of a hub of this name.
pub(crate) fn home(folder: &Path, name: &str) -> PathBuf {
    folder.join("hubs").join(name)
}

/// The SQLite database in a hub's folder.
pub(crate) fn database(home: &Path) -> PathBuf {
    home.join("hub.db")
}

/// Writes the configuration of a hub. All hubs of a run have the same keys and certificate.
pub(crate) fn prepare(folder: &Path, name: &str, store: &Store, witnesses: Option<&Path>) -> Result<Config, Failed> {
    let home = home(folder, name);
    std::fs::create_dir_all(&home)?;
    let keys = folder.join("keys");
    let keyholder = folder.join("keyholder");
    if !keys.exists() {
        sluis::cli::init::hub(&keys, &mut std::io::sink())?;
        sluis::cli::init::keyholder(&keyholder, &mut std::io::sink())?;
    }
    let seed = SecretKey::from_hex_file_text(&std::fs::read_to_string(keyholder.join("keyholder.1.key"))?)?;
    let known = Keyholder::from_seed(&seed)?.evaluate_known_answer()?;
    let known: String = known.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let address = format!("{HOST}:{}", free_port()?);
    let ca = ca(folder);
    let (ca, keys, home_shown) = (ca.display(), keys.display(), home.display());
    let witnesses = witnesses.map(|policy| {
        let policy = policy.display();
        let called = format!("certificate = \"{ca}/{CALLER}.pem\", key = \"{ca}/{CALLER}.key\"");
        format!("witnesses = {{ policy = \"{policy}\", {called} }}")
    });
    let witnesses = witnesses.unwrap_or_default();
    let text = format!(
        r#"node = "{name}"
[listen]
address = "{address}"
[tls]
certificate = "{ca}/hub.pem"
key = "{ca}/hub.key"
anchors = "{ca}/anchors.pem"
[trust]
environment = "test"
[store]
{}
spool = "{home_shown}/spool"
[keys]
directory = "{keys}"
[audit]
origin = "{ORIGIN}"
checkpoint = "{home_shown}/audit/checkpoint"
{witnesses}
[keyholder]
known_answer = "{known}"
[bootstrap]
operator = "{ca}/operator.pem"
organisation_name = "Meetbureau"
[limits]
connections_per_partner = 2048
handshakes_per_address = 256
connections_per_address_second = 1000000
calls_per_partner = 1024
drain_seconds = 1
"#,
        store.lines
    );
    let file = home.join("hub.toml");
    std::fs::write(&file, text)?;
    Ok(Config { file, address })
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, Failed> {
    Ok(std::net::TcpListener::bind((HOST, 0))?.local_addr()?.port())
}

/// A copy of a stopped hub's store in another hub's folder, in place of whatever was there.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("hub.db") {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Waits until the hub at an address says that it serves.
pub(crate) async fn until_serving(folder: &Path, address: &str) -> Result<(), Failed> {
    let tls = tls(folder, "operator")?;
    let healthy = || async {
        let channel = tls.connect(address).await?;
        let request = HealthCheckRequest { service: String::new() };
        match HealthClient::new(channel).check(request).await?.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            status => Err(format!("health is {}", status.as_str_name()).into()),
        }
    };
    until(healthy, LOOK).await
}
