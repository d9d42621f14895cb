//! Processes of a run: started, asked, measured and ended. They die with the conductor.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Failed;
use crate::protocol::Ask;

/// How long a process may take to come up or to go.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary of the service itself.
const SLUIS: &str = env!("CARGO_BIN_EXE_sluis");

/// A child process.
pub(crate) struct Process {
    child: Child,
    pid: u32,
}

impl Process {
    /// Starts `sluis hub` on a configuration.
    pub(crate) fn hub(config: &Path) -> Result<Self, Failed> {
        Self::sluis("hub", config)
    }

    /// Starts `sluis witness` on a configuration.
    pub(crate) fn witness(config: &Path) -> Result<Self, Failed> {
        Self::sluis("witness", config)
    }

    fn sluis(part: &str, config: &Path) -> Result<Self, Failed> {
        let mut command = Command::new(SLUIS);
        command.arg(part).arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
        Self::start(command, &config.with_extension("log"))
    }

    /// Starts a command; what it has to say on its standard error goes to a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self, Failed> {
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let child = command.stderr(log).kill_on_drop(true).spawn()?;
        let pid = child.id().ok_or("a process that is gone at once")?;
        Ok(Self { child, pid })
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<(), Failed> {
        // A helper goes when nobody asks it anything more, a server when it is told to.
        drop(self.child.stdin.take());
        if self.child.try_wait()?.is_none() {
            Command::new("kill").arg("-TERM").arg(self.pid.to_string()).status().await?;
        }
        tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        Ok(())
    }

    /// CPU time so far, in nanoseconds.
    pub(crate) fn cpu(&self) -> Result<u64, Failed> {
        cpu(self.pid)
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident(&self) -> Result<f64, Failed> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

/// The sum over the threads of a process. Its runtimes keep their threads, so that none is missed that has ended.
pub(crate) fn cpu(pid: u32) -> Result<u64, Failed> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the look.
        let Ok(line) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        sum += line.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}

/// A child that plays a role of this very program and answers questions.
pub(crate) struct Helper {
    /// The process.
    pub(crate) process: Process,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts a role over a run's folder, and reads the line with which it says that it is ready.
    pub(crate) async fn start(role: &str, folder: &Path) -> Result<(Self, String), Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([OsStr::new("--role"), OsStr::new(role), OsStr::new("--folder"), folder.as_os_str()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(command, &folder.join(format!("{role}.log")))?;
        let stdin = process.child.stdin.take().ok_or("no input")?;
        let stdout = process.child.stdout.take().ok_or("no output")?;
        let mut helper = Self { process, stdin, lines: BufReader::new(stdout).lines() };
        let ready = helper.line().await.map_err(|error| format!("{role} does not start: {error}"))?;
        Ok((helper, ready))
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&mut self, ask: &Ask) -> Result<T, Failed> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        self.stdin.write_all(&line).await?;
        self.stdin.flush().await?;
        let answer: Result<T, String> = serde_json::from_str(&self.line().await?)?;
        Ok(answer?)
    }

    /// Lets it go.
    pub(crate) async fn stop(self) -> Result<(), Failed> {
        let Self { process, stdin, .. } = self;
        drop(stdin);
        process.stop().await
    }

    async fn line(&mut self) -> Result<String, Failed> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await??;
        Ok(line.ok_or("it ended; its log stands in the run's folder")?)
    }
}

/// Tries until it works, or long enough.
pub(crate) async fn until<T, F: Future<Output = Result<T, Failed>>>(
    mut attempt: impl FnMut() -> F,
    pause: Duration,
) -> Result<T, Failed> {
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if started.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(pause).await,
        }
    }
}
