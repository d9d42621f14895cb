//! From a file to a checked configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::error::ConfigError;
use super::value::StoreUrl;

/// A configuration that knows which of its values are paths.
pub trait Config: DeserializeOwned {
    /// Every path in the configuration.
    fn paths(&mut self) -> Vec<PathKey<'_>>;

    /// The database, if there is one: the path in a SQLite URL is relative to the file too.
    fn store_url(&mut self) -> Option<&mut StoreUrl> {
        None
    }
}

/// One path of a configuration.
pub struct PathKey<'a> {
    /// Dotted name of the key.
    pub key: &'static str,
    /// The path, as written or made absolute.
    pub path: &'a mut PathBuf,
    /// What to do when it must exist and does not; `None` when Sluis makes it.
    pub must_exist: Option<&'static str>,
}

/// Reads `file`, makes its paths absolute and looks for the files that must exist.
///
/// # Errors
/// The first [`ConfigError`].
pub fn load<T: Config>(file: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
    let mut config: T = parse(file, &text)?;
    for PathKey { key, path, must_exist } in config.paths() {
        if let Some(fix) = must_exist.filter(|_| !path.exists()) {
            return Err(ConfigError::FileMissing { file: file.to_owned(), key, value: path.clone(), fix });
        }
    }
    Ok(config)
}

/// Where a configuration comes from, for whoever reads it again.
pub struct Source<C> {
    read: Arc<dyn Fn() -> Result<C, ConfigError> + Send + Sync>,
    file: Option<PathBuf>,
}

impl<C> Clone for Source<C> {
    fn clone(&self) -> Self {
        Self { read: Arc::clone(&self.read), file: self.file.clone() }
    }
}

impl<C: Config + Clone + Send + Sync + 'static> Source<C> {
    /// From a file, which may change.
    pub fn file(path: &Path) -> Self {
        let (file, path) = (Some(path.to_owned()), path.to_owned());
        Self { read: Arc::new(move || load(&path)), file }
    }

    /// From memory: only the files that it names may change.
    pub fn still(config: C) -> Self {
        Self { read: Arc::new(move || Ok(config.clone())), file: None }
    }

    /// The configuration as it is now.
    ///
    /// # Errors
    /// As [`load`].
    pub fn read(&self) -> Result<C, ConfigError> {
        (self.read)()
    }

    /// Its file, if it has one.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// Parses the text of `file` and makes its paths absolute; looks at no other file.
///
/// # Errors
/// [`ConfigError::Value`] with the line and the key.
pub fn parse<T: Config>(file: &Path, text: &str) -> Result<T, ConfigError> {
    let mut config: T = toml::from_str(text).map_err(|error| ConfigError::from_toml(file, text, &error))?;
    let base = file.parent().unwrap_or(Path::new(""));
    for PathKey { path, .. } in config.paths() {
        *path = base.join(&*path);
    }
    if let Some(url) = config.store_url()
        && let Some(path) = url.sqlite_path().map(|path| base.join(path))
    {
        url.set_sqlite_path(&path);
    }
    Ok(config)
}
