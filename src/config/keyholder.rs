//! `keyholder.toml` and the roster beside it.

use std::path::PathBuf;

use serde::Deserialize;
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime};

use super::load::{Config, PathKey};
use super::value::{Hex32, ListenConfig, StoreUrl, TlsConfig, TrustConfig};
use crate::party::Oin;
use crate::telemetry::LogConfig;

/// Configuration of `sluis keyholder`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyholderConfig {
    /// `[listen]`
    pub listen: ListenConfig,
    /// `[tls]`
    pub tls: TlsConfig,
    /// `[trust]`
    #[serde(default)]
    pub trust: TrustConfig,
    /// `[store]`
    pub store: KeyholderStore,
    /// `[key]`
    pub key: KeyholderKey,
    /// `[roster]`
    pub roster: RosterFile,
    /// `[log]`
    #[serde(default)]
    pub log: LogConfig,
}

/// Section `[store]` of the keyholder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyholderStore {
    /// Database of used quota; made if it does not exist.
    pub url: StoreUrl,
}

/// Section `[key]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyholderKey {
    /// File that `sluis keyholder init` made.
    pub file: PathBuf,
    /// Key epoch, from 1.
    pub epoch: u32,
}

/// Section `[roster]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterFile {
    /// TOML file with `[[partner]]` entries.
    pub file: PathBuf,
}

/// The keyholder's own list of partners: it does not take the hub's word for who takes part.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// `[[partner]]`
    #[serde(default, rename = "partner")]
    pub partners: Vec<RosterPartner>,
}

/// One partner on the roster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterPartner {
    /// 20 digits.
    #[serde(deserialize_with = "oin")]
    pub oin: Oin,
    /// 20 digits: the supplier in whose certificate the keys stand, when it acts in the partner's name; the quota is the partner's.
    #[serde(default, deserialize_with = "oin_or_none")]
    pub supplier: Option<Oin>,
    /// SHA-256 of the public key (SubjectPublicKeyInfo) of each certificate that may call.
    pub key_hashes: Vec<Hex32>,
    /// Identifiers that the partner may have evaluated in 24 hours.
    pub elements_per_day: u32,
    /// From this moment on these keys are refused: RFC 3339, or a date, whose first moment in UTC counts. Left out: never.
    #[serde(default, deserialize_with = "until")]
    pub until: Option<OffsetDateTime>,
}

impl Config for KeyholderConfig {
    fn paths(&mut self) -> Vec<PathKey<'_>> {
        let mut paths = self.tls.paths();
        paths.extend(self.trust.paths());
        paths.push(PathKey {
            key: "key.file",
            path: &mut self.key.file,
            must_exist: Some("make it with `sluis keyholder init --dir`"),
        });
        paths.push(PathKey {
            key: "roster.file",
            path: &mut self.roster.file,
            must_exist: Some("write one [[partner]] entry per partner that may call"),
        });
        paths
    }

    fn store_url(&mut self) -> Option<&mut StoreUrl> {
        Some(&mut self.store.url)
    }
}

impl Config for Roster {
    fn paths(&mut self) -> Vec<PathKey<'_>> {
        Vec::new()
    }
}

pub(super) fn oin<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Oin, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format_args!("`{text}` is not an OIN; write its 20 digits between quotes"))
    })
}

fn until<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<OffsetDateTime>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let date = || Date::parse(&text, &Iso8601::DATE).map(|date| date.midnight().assume_utc());
    OffsetDateTime::parse(&text, &Rfc3339).or_else(|_| date()).map(Some).map_err(|_| {
        serde::de::Error::custom(
            "until: write a date or a moment between quotes, like \"2027-11-01\" or \"2027-11-01T12:00:00Z\"",
        )
    })
}

fn oin_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Oin>, D::Error> {
    oin(deserializer).map(Some)
}
