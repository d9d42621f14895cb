//! Witnesses of a hub: three processes of their own, as partners would run them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sluis::tlog::Policy;
use tokio::net::TcpStream;

use crate::Failed;
use crate::hub::free_port;
use crate::process::{Process, until};
use crate::world::{HOST, World, ca};

/// How many there are.
pub(crate) const WITNESSES: usize = 3;

/// Between two looks whether a witness listens.
const LOOK: Duration = Duration::from_millis(10);

/// The policy of a hub's log, as a file and as whoever reads the log knows it.
pub(crate) fn policy_file(folder: &Path, hub: &str) -> PathBuf {
    folder.join("witnesses").join(hub).join("policy")
}

/// The same, read.
pub(crate) fn policy(folder: &Path, hub: &str) -> Result<Policy, Failed> {
    Ok(Policy::from_bytes(&std::fs::read(policy_file(folder, hub))?)?)
}

/// Starts witnesses that have never seen the log, so many of whom have to sign, and writes the policy that says so.
pub(crate) async fn start(world: &World, hub: &str, quorum: usize) -> Result<Vec<Process>, Failed> {
    let file = policy_file(&world.folder, hub);
    let home = file.parent().ok_or("a policy without a folder")?;
    if home.exists() {
        std::fs::remove_dir_all(home)?;
    }
    std::fs::create_dir_all(home)?;
    let mut text = format!("log {}\n", world.log_key);
    let mut running = Vec::new();
    for nth in 1..=WITNESSES {
        let name = format!("w{nth}.example/witness");
        let directory = home.join(format!("w{nth}"));
        let key = sluis::cli::init::witness(&directory, &name.parse()?, &mut std::io::sink())?;
        let port = free_port()?;
        text.push_str(&format!("witness w{nth} {key} https://{HOST}:{port}\n"));
        let config = home.join(format!("w{nth}.toml"));
        std::fs::write(&config, configuration(world, &name, &directory, port))?;
        running.push(Process::witness(&config)?);
        let listening = || async { Ok(TcpStream::connect((HOST, port)).await.map(drop)?) };
        until(listening, LOOK).await?;
    }
    text.push_str(&format!("group partners {quorum} w1 w2 w3\nquorum partners\n"));
    std::fs::write(&file, text)?;
    Ok(running)
}

fn configuration(world: &World, name: &str, directory: &Path, port: u16) -> String {
    let (ca, directory, log) = (ca(&world.folder), directory.display(), &world.log_key);
    let ca = ca.display();
    format!(
        r#"[listen]
address = "{HOST}:{port}"
[tls]
certificate = "{ca}/hub.pem"
key = "{ca}/hub.key"
anchors = "{ca}/anchors.pem"
[trust]
environment = "test"
[witness]
name = "{name}"
directory = "{directory}"
logs = ["{log}"]
"#
    )
}
