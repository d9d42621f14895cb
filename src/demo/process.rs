//! The processes of the demo network: started, watched, and stopped with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::process::{Child, Command};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{DemoError, READY};
use crate::scenario::connect;
use crate::scenario::network::{Endpoint, Person};
use crate::serve::health::READINESS;
use crate::telemetry::Chain;

/// Lines of a log that are shown when something fails.
const TAIL: usize = 25;
/// Between two looks whether a process answers.
const LOOK: Duration = Duration::from_millis(100);

/// Children of this process. They die with it.
pub(super) struct Processes {
    program: PathBuf,
    logs: PathBuf,
    children: Vec<(String, Child)>,
}

impl Processes {
    /// No process yet. All of them will be `program`, and their logs go to `logs`.
    pub(super) fn new(program: PathBuf, logs: PathBuf) -> Result<Self, DemoError> {
        std::fs::create_dir_all(&logs).map_err(|source| DemoError::Io { what: logs.display().to_string(), source })?;
        Ok(Self { program, logs, children: Vec::new() })
    }

    /// Starts `sluis ARGS CONFIG` under a name.
    pub(super) fn start(&mut self, name: &str, args: &[&str], config: &Path) -> Result<(), DemoError> {
        let failed = |source| DemoError::Io { what: format!("process {name}"), source };
        let log = std::fs::File::options().create(true).append(true).open(self.log(name)).map_err(failed)?;
        let child = Command::new(&self.program)
            .args(args)
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.children.push((name.to_owned(), child));
        Ok(())
    }

    /// Waits until a process says that it is ready.
    pub(super) async fn ready(
        &mut self,
        name: &str,
        endpoint: &Endpoint,
        who: &Person,
        now: OffsetDateTime,
    ) -> Result<(), DemoError> {
        let started = Instant::now();
        loop {
            let why = match health(endpoint, who, now).await {
                Ok(ServingStatus::Serving) => return Ok(()),
                Ok(status) => format!("health is {}", status.as_str_name()),
                Err(why) => why,
            };
            let gone = self.exit_status(name);
            if gone.is_some() || started.elapsed() > READY {
                let why = gone.unwrap_or(why);
                return Err(DemoError::NotReady { name: name.to_owned(), why, log: self.log_tail(name) });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Kills a process (SIGKILL) and waits for its end. Nothing if there is none of that name.
    pub(super) async fn kill(&mut self, name: &str) -> Result<(), DemoError> {
        let Some(position) = self.children.iter().position(|(own, _)| own == name) else { return Ok(()) };
        let (_, mut child) = self.children.swap_remove(position);
        child.kill().await.map_err(|source| DemoError::Io { what: format!("an end of process {name}"), source })
    }

    /// What a process wrote.
    pub(super) fn log_text(&self, name: &str) -> String {
        std::fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    /// The last lines of a log.
    pub(super) fn log_tail(&self, name: &str) -> String {
        let text = self.log_text(name);
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(TAIL)).map(|line| format!("  {line}\n")).collect()
    }

    /// Asks a process to stop (SIGTERM) and waits for its end.
    pub(super) async fn end(&mut self, name: &str) -> Result<(), DemoError> {
        let Some(position) = self.children.iter().position(|(own, _)| own == name) else { return Ok(()) };
        let (_, mut child) = self.children.swap_remove(position);
        let failed = |source| DemoError::Io { what: format!("an end of process {name}"), source };
        let Some(id) = child.id() else { return Ok(()) };
        let asked =
            Command::new("/bin/sh").args(["-c", "kill -s TERM \"$1\"", "sh"]).arg(id.to_string()).status().await;
        asked.map_err(failed)?;
        match tokio::time::timeout(READY, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(std::io::Error::other(format!("it ended with {status}")))),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(std::io::ErrorKind::TimedOut.into())),
        }
    }

    /// Ends every process and waits for it.
    pub(super) async fn stop(&mut self) {
        for (name, child) in &mut self.children {
            if let Err(error) = child.kill().await {
                tracing::warn!(process = %name, error = %Chain(&error), "can't end a process");
            }
        }
        self.children.clear();
    }

    fn exit_status(&mut self, name: &str) -> Option<String> {
        let (_, child) = self.children.iter_mut().find(|(own, _)| own == name)?;
        child.try_wait().ok().flatten().map(|status| format!("it stopped, {status}"))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

async fn health(endpoint: &Endpoint, who: &Person, now: OffsetDateTime) -> Result<ServingStatus, String> {
    let channel = connect(endpoint, who, now).await.map_err(|error| Chain(&error).to_string())?;
    let request = HealthCheckRequest { service: READINESS.to_owned() };
    let answer = HealthClient::new(channel).check(request).await;
    answer.map(|reply| reply.into_inner().status()).map_err(|status| format!("health check: {:?}", status.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_of_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let processes = Processes::new("sluis".into(), directory.path().join("logs")).unwrap();
        let text: String = (1..=40).map(|number| format!("line {number}\n")).collect();
        std::fs::write(processes.log("hub"), text).unwrap();
        let tail = processes.log_tail("hub");
        assert!(tail.starts_with("  line 16\n") && tail.ends_with("line 40\n"), "{tail}");
        assert_eq!(processes.log_tail("nobody"), "");
    }
}
