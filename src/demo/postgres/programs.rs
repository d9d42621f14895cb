//! PostgreSQL's programs: where they are, and as whom they run.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// Oldest version that will do.
pub(super) const OLDEST: u32 = 15;
/// Where Debian puts them, in a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs of one version.
pub(super) struct Programs {
    /// `None`: on the search path.
    folder: Option<PathBuf>,
    /// As whom the server runs; `None`: as whoever runs this.
    account: Option<Account>,
}

/// A user without rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    user: u32,
    group: u32,
}

impl Programs {
    /// The newest version on this machine.
    pub(super) fn find() -> Result<Self, PostgresError> {
        let account = if is_root() { Some(account().ok_or(PostgresError::Account)?) } else { None };
        let version = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
        let mut versions: Vec<u32> =
            fs::read_dir(DEBIAN).into_iter().flatten().filter_map(|entry| version(entry.ok()?)).collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        let folders = versions.iter().map(|version| Some(Path::new(DEBIAN).join(version.to_string()).join("bin")));
        let mut candidates = folders.chain([None]).map(|folder| Self { folder, account });
        candidates.find(|programs| programs.version() >= Some(OLDEST)).ok_or(PostgresError::Absent)
    }

    /// A program that runs as whoever runs this.
    pub(super) fn of_caller(&self, name: &str) -> Command {
        let program = self.folder.as_ref().map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
        let mut command = Command::new(program);
        // Settings of somebody's own PostgreSQL say nothing here.
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(key);
        }
        command.env("LC_ALL", "C").current_dir("/");
        command
    }

    /// A program that runs as the server's account.
    pub(super) fn of_server(&self, name: &str) -> Command {
        let mut command = self.of_caller(name);
        if let Some(account) = self.account {
            // Gives up the other groups of root too.
            command.uid(account.user).gid(account.group);
        }
        command
    }

    /// Makes the server's account the owner of files.
    pub(super) fn give(&self, paths: &[&Path]) -> io::Result<()> {
        let Some(account) = self.account else { return Ok(()) };
        paths.iter().try_for_each(|path| chown(path, Some(account.user), Some(account.group)))
    }

    fn version(&self) -> Option<u32> {
        let output = self.of_caller("postgres").arg("--version").output().ok()?;
        version(std::str::from_utf8(&output.stdout).ok()?)
    }
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian …)`.
fn version(said: &str) -> Option<u32> {
    let number = said.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Somebody who has no rights: the package's own user, or nobody.
fn account() -> Option<Account> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| account_of(name, &users))
}

fn account_of(name: &str, users: &str) -> Option<Account> {
    let mut fields = users.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
    let account = Account { user: fields.nth(2)?.parse().ok()?, group: fields.next()?.parse().ok()? };
    (account.user != 0).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_versions_are_read() {
        let users = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533::/:/bin/false\nodd:x:0:1::/:\nbad\n";
        assert_eq!(account_of("nobody", users), Some(Account { user: 65534, group: 65533 }));
        for name in ["root", "odd", "bad", "postgres", ""] {
            assert_eq!(account_of(name, users), None, "{name}");
        }
        assert_eq!(version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(version("something else"), None);
    }
}
