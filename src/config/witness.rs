//! `witness.toml`.

use std::path::PathBuf;

use serde::Deserialize;

use super::load::{Config, PathKey};
use super::value::{ListenConfig, LogKey, NoteName, TlsConfig, TrustConfig};
use crate::telemetry::LogConfig;

/// Configuration of `sluis witness`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// `[listen]`
    pub listen: ListenConfig,
    /// `[tls]`
    pub tls: TlsConfig,
    /// `[trust]`
    #[serde(default)]
    pub trust: TrustConfig,
    /// `[witness]`
    pub witness: WitnessSection,
    /// `[log]`
    #[serde(default)]
    pub log: LogConfig,
}

/// Section `[witness]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessSection {
    /// Its name in its signatures: a URL without its scheme.
    pub name: NoteName,
    /// Directory that `sluis witness init` made: the key, and the last checkpoint of each log.
    pub directory: PathBuf,
    /// Public keys of the logs for which it signs.
    pub logs: Vec<LogKey>,
}

impl Config for WitnessConfig {
    fn paths(&mut self) -> Vec<PathKey<'_>> {
        let mut paths = self.tls.paths();
        paths.extend(self.trust.paths());
        paths.push(directory(&mut self.witness.directory));
        paths
    }
}

/// A witness's directory.
pub(super) fn directory(path: &mut PathBuf) -> PathKey<'_> {
    PathKey { key: "witness.directory", path, must_exist: Some("make it with `sluis witness init --dir`") }
}
