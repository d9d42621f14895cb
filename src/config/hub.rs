//! `hub.toml`.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::load::{Config, PathKey};
use super::value::{
    CovenantConfig, DatabaseUrl, Hex32, ListenConfig, NoteName, PostgresUrl, StoreUrl, TlsConfig, TrustConfig,
};
use crate::telemetry::LogConfig;

/// Configuration of `sluis hub`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubConfig {
    /// Name of this node in the audit log, 1–64 of `[A-Za-z0-9._-]`.
    pub node: NodeName,
    /// `[listen]`
    pub listen: ListenConfig,
    /// `[tls]`
    pub tls: TlsConfig,
    /// `[trust]`
    #[serde(default)]
    pub trust: TrustConfig,
    /// `[store]`
    pub store: HubStore,
    /// `[keys]`
    pub keys: HubKeys,
    /// `[audit]`
    pub audit: AuditConfig,
    /// `[keyholder]`
    pub keyholder: KnownAnswer,
    /// `[bootstrap]`
    pub bootstrap: BootstrapConfig,
    /// `[covenant]`
    #[serde(default)]
    pub covenant: CovenantConfig,
    /// `[simulation]`
    #[serde(default)]
    pub simulation: Simulation,
    /// `[limits]`
    #[serde(default)]
    pub limits: Limits,
    /// `[log]`
    #[serde(default)]
    pub log: LogConfig,
}

/// Name of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name, for the audit event.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{text}` is not 1 to 64 letters, digits, dots, dashes or underscores; write for example \"hub-1\""
            ))
        }
    }
}

/// Section `[store]` of the hub.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubStore {
    /// Database; a SQLite file is made if it does not exist.
    pub url: DatabaseUrl,
    /// File with the password of the role in `url`, readable by the hub alone.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The same database as the role that may change the schema; without it the hub starts only on a schema that is up to
    /// date.
    #[serde(default)]
    pub owner_url: Option<PostgresUrl>,
    /// File with the password of the role in `owner_url`.
    #[serde(default)]
    pub owner_password_file: Option<PathBuf>,
    /// Directory for sealed records; made if it does not exist.
    pub spool: PathBuf,
}

/// Section `[keys]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubKeys {
    /// Directory that `sluis hub init` made: `subject-tag.N.key`, `pseudonym.N.key`, `log.N.key`.
    pub directory: PathBuf,
}

/// Section `[audit]`: the provable log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// Name of the log in its checkpoints: a URL without its scheme. The same on every node, and for ever.
    pub origin: NoteName,
    /// File in which this node keeps the last checkpoint that it signed or saw: outside the database, and not put back with it.
    pub checkpoint: PathBuf,
    /// Who else signs the log's checkpoints before they are published.
    #[serde(default)]
    pub witnesses: Option<WitnessesConfig>,
}

/// Section `[audit.witnesses]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessesConfig {
    /// Policy file (C2SP tlog-policy): the witnesses and the quorum. Witnesses with a URL, `https://host:port/prefix`, are
    /// called; those without are agents, which come by themselves.
    pub policy: PathBuf,
    /// PEM: the hub's client certificate for the witnesses that are called, and the chain.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// PEM: its private key.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// PEM: the roots under which the certificates of witnesses must be. Left out: `tls.anchors`.
    #[serde(default)]
    pub anchors: Option<PathBuf>,
}

/// Section `[keyholder]` of the hub.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownAnswer {
    /// SHA-256 of the keyholder's answer for the fixed synthetic identifier (`sluis keyholder init` prints it).
    pub known_answer: Hex32,
}

/// Section `[bootstrap]`: who may register the first partner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapConfig {
    /// PEM certificate of the first operator; its OIN is the operator's organisation. Used while no operator exists.
    pub operator: PathBuf,
    /// Display name of the operator's organisation.
    pub organisation_name: String,
}

/// Section `[simulation]`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// Serve `Simulation.AdvanceClock`. Never in a network with real cases.
    pub clock: bool,
}

/// Section `[limits]`. What is left out has the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections.
    #[serde(deserialize_with = "positive")]
    pub connections: usize,
    /// Open connections with one key.
    #[serde(deserialize_with = "positive")]
    pub connections_per_partner: usize,
    /// TLS handshakes at the same time.
    #[serde(deserialize_with = "positive")]
    pub handshakes: usize,
    /// TLS handshakes at the same time from one address.
    #[serde(deserialize_with = "positive")]
    pub handshakes_per_address: usize,
    /// New connections in one second from one address.
    #[serde(deserialize_with = "positive")]
    pub connections_per_address_second: u32,
    /// Seconds that a handshake may take.
    #[serde(deserialize_with = "positive")]
    pub handshake_seconds: u64,
    /// Calls at the same time on one connection.
    #[serde(deserialize_with = "positive")]
    pub streams_per_connection: u32,
    /// Calls at the same time. A call that carries a record counts as four.
    #[serde(deserialize_with = "positive")]
    pub calls: usize,
    /// Calls at the same time of one partner, and never more than are still free of all.
    #[serde(deserialize_with = "positive")]
    pub calls_per_partner: usize,
    /// Streams that wait (inboxes, seal requests) at the same time.
    #[serde(deserialize_with = "positive")]
    pub streams: usize,
    /// Such streams of one partner, and never more than are still free of all.
    #[serde(deserialize_with = "positive")]
    pub streams_per_partner: usize,
    /// Seconds after which a stream is ended whose reader takes nothing.
    #[serde(deserialize_with = "positive")]
    pub reader_seconds: u64,
    /// Seconds after which a silent connection is asked for a sign of life, and that it may take to answer, or to take
    /// what is sent to it.
    #[serde(deserialize_with = "positive")]
    pub keepalive_seconds: u64,
    /// Bytes of one message.
    #[serde(deserialize_with = "positive")]
    pub message_bytes: usize,
    /// Bytes of one sealed record.
    #[serde(deserialize_with = "positive")]
    pub record_bytes: u64,
    /// Seconds for which a hub that stops says so and still takes everything.
    pub grace_seconds: u64,
    /// Seconds that running calls get to finish when the hub stops.
    pub drain_seconds: u64,
}

/// With a limit of nothing the hub would start, and answer nobody.
fn positive<'de, D: Deserializer<'de>, T: Deserialize<'de> + PartialEq + From<u8>>(value: D) -> Result<T, D::Error> {
    let number = T::deserialize(value)?;
    if number == T::from(0) { Err(D::Error::custom("is 0; leave the key out for the default")) } else { Ok(number) }
}

impl Limits {
    /// How long a handshake may take.
    pub const fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds)
    }

    /// How long a stream may stand still.
    pub const fn reader(&self) -> Duration {
        Duration::from_secs(self.reader_seconds)
    }

    /// How long a connection may be silent.
    pub const fn keepalive(&self) -> Duration {
        Duration::from_secs(self.keepalive_seconds)
    }

    /// How long a hub that stops still takes everything.
    pub const fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }

    /// How long running calls get to finish.
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_partner: 256,
            handshakes: 256,
            // A quarter of all, and whatever a data centre's partners need at once when they all come back.
            handshakes_per_address: 64,
            connections_per_address_second: 128,
            handshake_seconds: 10,
            // Below a hundred, calls that a client sends before it knows the limit are refused (RFC 9113 §6.5.2).
            streams_per_connection: 128,
            calls: 1024,
            calls_per_partner: 128,
            streams: 4096,
            streams_per_partner: 64,
            reader_seconds: 300,
            keepalive_seconds: 30,
            // One chunk of a record (1 MiB) and room around it.
            message_bytes: 2 << 20,
            // 25 MiB of content, padded to its bucket and sealed in chunks.
            record_bytes: 33 << 20,
            grace_seconds: 1,
            drain_seconds: 10,
        }
    }
}

impl Config for HubConfig {
    fn paths(&mut self) -> Vec<PathKey<'_>> {
        let mut paths = self.tls.paths();
        paths.extend(self.trust.paths());
        paths.extend(self.covenant.paths());
        paths.push(PathKey { key: "audit.checkpoint", path: &mut self.audit.checkpoint, must_exist: None });
        if let Some(witnesses) = &mut self.audit.witnesses {
            let policy = Some("write the policy: log, witnesses, quorum (C2SP tlog-policy)");
            paths.push(PathKey { key: "audit.witnesses.policy", path: &mut witnesses.policy, must_exist: policy });
            for (key, path) in [
                ("audit.witnesses.certificate", &mut witnesses.certificate),
                ("audit.witnesses.key", &mut witnesses.key),
                ("audit.witnesses.anchors", &mut witnesses.anchors),
            ] {
                let must_exist = Some("make it with `sluis ca issue system`");
                paths.extend(path.as_mut().map(|path| PathKey { key, path, must_exist }));
            }
        }
        paths.push(PathKey { key: "store.spool", path: &mut self.store.spool, must_exist: None });
        for (key, path) in [
            ("store.password_file", &mut self.store.password_file),
            ("store.owner_password_file", &mut self.store.owner_password_file),
        ] {
            let must_exist = Some("write the password in it, and make it readable by the hub alone (chmod 600)");
            paths.extend(path.as_mut().map(|path| PathKey { key, path, must_exist }));
        }
        paths.push(PathKey {
            key: "keys.directory",
            path: &mut self.keys.directory,
            must_exist: Some("make it with `sluis hub init --dir`"),
        });
        paths.push(PathKey {
            key: "bootstrap.operator",
            path: &mut self.bootstrap.operator,
            must_exist: Some("make it with `sluis ca issue` for the first operator"),
        });
        paths
    }

    fn store_url(&mut self) -> Option<&mut StoreUrl> {
        match &mut self.store.url {
            DatabaseUrl::Sqlite(url) => Some(url),
            DatabaseUrl::Postgres(_) => None,
        }
    }
}
