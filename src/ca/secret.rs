//! Passphrases and PINs: from a terminal, without echo, or from a file that only its owner may read. Never from an argument,
//! which everybody on the machine may see.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::CaError;
use super::error::SecretError;
use super::files::read_secret;

/// Fewest characters of a new passphrase.
const FEWEST: usize = 12;

/// A passphrase or a PIN. Has no `Debug`.
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a passphrase or PIN comes from.
#[derive(Clone)]
pub struct SecretFrom {
    /// The file; without one, somebody is asked.
    pub file: Option<PathBuf>,
    /// What it is asked for by.
    pub what: &'static str,
    /// The option that names the file.
    pub option: &'static str,
}

impl SecretFrom {
    /// Of the issuing CA's key.
    pub const fn issuing(file: Option<PathBuf>) -> Self {
        Self { file, what: "passphrase or PIN of the issuing CA's key", option: "passphrase-file" }
    }

    /// Of the root's key.
    pub const fn root(file: Option<PathBuf>) -> Self {
        Self { file, what: "passphrase or PIN of the root's key", option: "root-passphrase-file" }
    }

    /// Of an operator's own key.
    pub const fn operator(file: Option<PathBuf>) -> Self {
        Self { file, what: "passphrase of your own key", option: "passphrase-file" }
    }

    /// One that is known already.
    pub(super) fn known(&self) -> Result<Secret, CaError> {
        match &self.file {
            Some(file) => {
                let text = read_secret(file)?;
                match text.lines().next().filter(|line| !line.is_empty()) {
                    Some(line) => Ok(Secret(Zeroizing::new(line.to_owned()))),
                    None => Err(SecretError::Empty(file.clone()).into()),
                }
            }
            None => self.asked(""),
        }
    }

    /// A new passphrase.
    pub(super) fn chosen(&self) -> Result<Secret, CaError> {
        let secret = self.known()?;
        if secret.as_str().chars().count() < FEWEST {
            return Err(SecretError::Short.into());
        }
        if self.file.is_none() && self.asked(", once more")?.as_bytes() != secret.as_bytes() {
            return Err(SecretError::Differs(self.what).into());
        }
        Ok(secret)
    }

    fn asked(&self, again: &str) -> Result<Secret, CaError> {
        let answer = rpassword::prompt_password(format!("{}{again}: ", self.what));
        answer
            .map(|text| Secret(Zeroizing::new(text)))
            .map_err(|_| SecretError::NoTerminal(self.what, self.option).into())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// A file with this passphrase, as its owner keeps it.
    pub(crate) fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    /// The passphrase of most tests.
    pub(crate) fn from(folder: &Path) -> SecretFrom {
        SecretFrom::issuing(Some(file(folder, "passphrase", "vier woorden of meer\n")))
    }

    #[test]
    fn passphrases_come_from_files_that_only_their_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let from = |name: &str, text: &str| SecretFrom::issuing(Some(file(folder.path(), name, text)));
        assert_eq!(
            from("good", "vier woorden of meer\nsecond line\n").chosen().unwrap().as_str(),
            "vier woorden of meer"
        );
        assert!(matches!(from("empty", "\nx").known(), Err(CaError::Secret(SecretError::Empty(_)))));
        assert!(matches!(from("short", "elf letters\n").chosen(), Err(CaError::Secret(SecretError::Short))));
        assert_eq!(from("pin", "1234\n").known().unwrap().as_str(), "1234");
        let absent = SecretFrom::issuing(Some(folder.path().join("absent")));
        assert!(matches!(absent.known(), Err(CaError::Unreadable { .. })));
        #[cfg(unix)]
        {
            let open = from("open", "vier woorden of meer");
            let path = folder.path().join("open");
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
            let error = open.known().err().unwrap();
            assert!(matches!(error, CaError::OpenKey(_)) && error.to_string().contains("chmod 600"), "{error}");
        }
    }
}
