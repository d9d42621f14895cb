//! Who must have signed a log's checkpoints: by its key, a policy file (C2SP tlog-policy), or both.

use std::io;
use std::path::{Path, PathBuf};

use crate::tlog::{NotAPolicy, Policy, PublicKey};

/// Why a policy can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Neither a key nor a file.
    #[error("neither the log's key nor its policy is named")]
    Nothing,
    /// The file can't be read.
    #[error("{}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is none.
    #[error("{}: not a policy", .0.display())]
    NotAPolicy(PathBuf, #[source] NotAPolicy),
    /// It names other logs.
    #[error("{}: names logs, and not this one: {}", .0.display(), .1)]
    OtherLog(PathBuf, PublicKey),
}

impl PolicyError {
    /// Whether what was written is wrong, rather than that it can't be read.
    pub const fn is_usage(&self) -> bool {
        !matches!(self, Self::Unreadable(..))
    }
}

/// Reads the policy in `file`, for `log` alone if that is named; without a file, the policy of a log that nobody else signs.
///
/// # Errors
/// [`PolicyError`].
pub fn policy(file: Option<&Path>, log: Option<PublicKey>) -> Result<Policy, PolicyError> {
    let Some(file) = file else { return log.map(Policy::of_log).ok_or(PolicyError::Nothing) };
    let bytes = std::fs::read(file).map_err(|error| PolicyError::Unreadable(file.to_owned(), error))?;
    let policy = Policy::from_bytes(&bytes).map_err(|error| PolicyError::NotAPolicy(file.to_owned(), error))?;
    match log {
        Some(log) => policy.with_log(log.clone()).ok_or_else(|| PolicyError::OtherLog(file.to_owned(), log)),
        None => Ok(policy),
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    fn log(seed: u8) -> PublicKey {
        crate::tlog::PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[seed; 32]).unwrap().public().clone()
    }

    #[test]
    fn a_key_a_file_or_both() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let log = log(1);
        let (open, named) = (file("open", "quorum none\n"), file("named", &format!("log {log}\nquorum none\n")));
        for path in [None, Some(&open), Some(&named)] {
            assert_eq!(policy(path.map(PathBuf::as_path), Some(log.clone())).unwrap().logs(), slice::from_ref(&log));
        }
        assert_eq!(policy(Some(&named), None).unwrap().logs(), slice::from_ref(&log));
        let damaged = file("damaged", "quorum two\n");
        let absent = folder.path().join("absent");
        assert!(matches!(policy(Some(&named), Some(self::log(2))), Err(PolicyError::OtherLog(..))));
        assert!(matches!(policy(None, None), Err(PolicyError::Nothing)));
        assert!(matches!(policy(Some(&damaged), None), Err(PolicyError::NotAPolicy(..))));
        assert!(matches!(policy(Some(&absent), None), Err(PolicyError::Unreadable(..))));
    }
}
