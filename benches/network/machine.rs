//! Where a run was made: figures without their machine say nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sluis::clock::{Clock as _, SystemClock};

use crate::Failed;
use crate::stats::median;

/// Writes behind the disk's figure.
const WRITES: usize = 50;

/// A machine, as far as it matters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    /// Of the stores.
    pub(crate) file_system: String,
    /// Milliseconds of writing 4 KiB and waiting for the disk, median.
    pub(crate) sync_ms: f64,
    /// Of the last minute, when the run began.
    pub(crate) load: String,
    pub(crate) date: String,
    /// Of the repository.
    pub(crate) commit: String,
}

impl Machine {
    /// This one; `folder` is where the stores are.
    pub(crate) fn here(folder: &Path) -> Result<Self, Failed> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Ok(Self {
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: (kib / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/mounts"), folder),
            sync_ms: sync(folder)?,
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            date: SystemClock.now().date().to_string(),
            commit: commit(),
        })
    }

    /// In a sentence.
    pub(crate) fn describe(&self) -> String {
        let Self { cpu, cores, memory_gib, kernel, file_system, sync_ms, load, date, commit } = self;
        format!(
            "{cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}; stores on {file_system}, where 4 KiB reach the disk in \
             {sync_ms:.2} ms; load {load} when it began; {date}, commit {commit}."
        )
    }
}

/// Kind of the file system that holds a folder: the mount with the longest path that leads there.
fn file_system(mounts: &str, folder: &Path) -> String {
    let parsed = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let holding = parsed.filter(|(path, _)| folder.starts_with(path));
    holding.max_by_key(|(path, _)| path.len()).map(|(_, kind)| kind.to_owned()).unwrap_or_default()
}

fn sync(folder: &Path) -> Result<f64, Failed> {
    let path = folder.join("sync");
    let mut file = std::fs::File::create(&path)?;
    let mut took = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(path)?;
    Ok(median(&took).unwrap_or_default())
}

/// The commit, with a `+` when files differ from it.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|status| !status.is_empty());
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    if changed { format!("{commit}+") } else { commit }
}
