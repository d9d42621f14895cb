//! `agent.toml`.

use std::path::PathBuf;

use serde::Deserialize;

use super::load::{Config, PathKey};
use super::value::{Address, CovenantConfig, Hex32, LogKey, NoteName, ServerName, TlsConfig, TrustConfig};
use crate::party::Oin;
use crate::telemetry::LogConfig;

/// Configuration of `sluis agent`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// `[organisation]`
    pub organisation: OrganisationConfig,
    /// `[hub]`
    pub hub: HubLink,
    /// `[keyholder]`
    pub keyholder: KeyholderLink,
    /// `[tls]`: towards hub and keyholder.
    pub tls: TlsConfig,
    /// `[local]`: towards the partner's own systems.
    pub local: LocalListener,
    /// `[trust]`
    #[serde(default)]
    pub trust: TrustConfig,
    /// `[mandate]`
    #[serde(default)]
    pub mandate: Option<MandateConfig>,
    /// `[store]`
    pub store: AgentStore,
    /// `[covenant]`
    #[serde(default)]
    pub covenant: CovenantConfig,
    /// `[sealing]`
    #[serde(default)]
    pub sealing: SealingConfig,
    /// `[renewal]`
    #[serde(default)]
    pub renewal: Option<RenewalConfig>,
    /// `[witness]`
    #[serde(default)]
    pub witness: Option<AgentWitness>,
    /// `[log]`
    #[serde(default)]
    pub log: LogConfig,
}

/// Section `[sealing]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SealingConfig {
    /// Seal own records for organisations that join a case later, where the covenant lets them receive.
    pub late_joiners: bool,
    /// OIN of the organisation that takes this one's place, or of the own one under its new number: it gets all that was written
    /// here, in the cases that it takes over. The hub's word for it is not enough.
    #[serde(deserialize_with = "successor")]
    pub successor: Option<Oin>,
}

fn successor<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Option<Oin>, D::Error> {
    super::keyholder::oin(text).map(Some)
}

impl Default for SealingConfig {
    fn default() -> Self {
        Self { late_joiners: true, successor: None }
    }
}

/// Section `[renewal]`: the agent asks for its next certificate by itself, under a CA that answers (`sluis ca serve`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenewalConfig {
    /// Days before the end of the current one; never in the first third of its life.
    pub days: u16,
    /// Seconds between two looks, on average: each pause is half as long again at most, and half as long at least, so that agents
    /// do not come all at once.
    pub pause_seconds: u32,
}

impl Default for RenewalConfig {
    fn default() -> Self {
        Self { days: 30, pause_seconds: 3600 }
    }
}

/// Section `[organisation]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganisationConfig {
    /// 20 digits; must be the OIN in the certificate, or that of the partner that gave the mandate of `[mandate]`.
    #[serde(deserialize_with = "super::keyholder::oin")]
    pub oin: Oin,
}

/// Section `[mandate]`: the agent is run by a supplier, in the name of the partner of `[organisation]`, with a certificate of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MandateConfig {
    /// As the partner made it with `sluis mandate sign`. Another one in its place is taken within a second.
    pub file: PathBuf,
}

/// Section `[hub]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubLink {
    /// Where the hub listens: one address, or one for each of its nodes.
    pub address: Nodes,
    /// Name in the hub's certificate; all nodes have the same.
    pub server_name: ServerName,
    /// The log's public key. Without it receipts are not held against the log.
    #[serde(default)]
    pub log_key: Option<LogKey>,
    /// Policy file (C2SP tlog-policy): the log, its witnesses and the quorum. Then a proof counts only if the quorum has signed
    /// what it leads to.
    #[serde(default)]
    pub log_policy: Option<PathBuf>,
}

/// Section `[witness]` of the agent: it signs the log's checkpoints too. Its key stands where `sluis witness init --dir` made it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentWitness {
    /// Its name in its signatures: a URL without its scheme.
    pub name: NoteName,
    /// Directory with the key and the last checkpoint that was signed.
    pub directory: PathBuf,
}

/// Where the nodes of the hub listen: at least one, each once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrMore")]
pub struct Nodes {
    /// The node that is talked to first.
    pub first: Address,
    /// Those that are tried after it, in this order.
    pub others: Vec<Address>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "is neither an IP address with a port nor a list of them")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl TryFrom<OneOrMore> for Nodes {
    type Error = String;
    fn try_from(given: OneOrMore) -> Result<Self, String> {
        let texts = match given {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(texts) => texts,
        };
        let mut addresses: Vec<Address> = Vec::new();
        for text in texts {
            let address = Address::try_from(text.clone())?;
            if addresses.contains(&address) {
                return Err(format!("`{text}` stands there twice; name every node once"));
            }
            addresses.push(address);
        }
        let mut addresses = addresses.into_iter();
        let first = addresses.next().ok_or("the list is empty; name at least one node of the hub")?;
        Ok(Self { first, others: addresses.collect() })
    }
}

/// Section `[keyholder]` of the agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyholderLink {
    /// Where the keyholder listens.
    pub address: Address,
    /// Name in the keyholder's certificate.
    pub server_name: ServerName,
    /// The keyholder's public key, pinned (compressed ristretto255, RFC 9496 §4.3.2).
    pub public_key: Hex32,
}

/// Section `[local]`: the listener for the partner's own systems, mutual TLS under the partner's own CA.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalListener {
    /// Where to listen.
    pub address: Address,
    /// PEM: server certificate under the local CA.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: the local CA; whoever shows a certificate under it is one of the partner's own systems.
    pub anchors: PathBuf,
}

/// Section `[store]` of the agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentStore {
    /// The agent's own keys, the records it may have to seal again, and its cursor; readable by the agent only.
    pub directory: PathBuf,
}

impl Config for AgentConfig {
    fn paths(&mut self) -> Vec<PathKey<'_>> {
        const INIT: Option<&str> = Some("make it with `sluis agent init --dir`");
        let mut paths = self.tls.paths();
        paths.extend(self.trust.paths());
        paths.extend(self.covenant.paths());
        paths.push(PathKey { key: "local.certificate", path: &mut self.local.certificate, must_exist: INIT });
        paths.push(PathKey { key: "local.key", path: &mut self.local.key, must_exist: INIT });
        paths.push(PathKey { key: "local.anchors", path: &mut self.local.anchors, must_exist: INIT });
        paths.push(PathKey { key: "store.directory", path: &mut self.store.directory, must_exist: INIT });
        if let Some(policy) = &mut self.hub.log_policy {
            let must_exist =
                Some("ask the operator of the hub for the policy of its log, and compare it with what witnesses say");
            paths.push(PathKey { key: "hub.log_policy", path: policy, must_exist });
        }
        if let Some(section) = &mut self.mandate {
            let must_exist = Some("ask the partner for it: `sluis mandate sign` makes it");
            paths.push(PathKey { key: "mandate.file", path: &mut section.file, must_exist });
        }
        paths.extend(self.witness.as_mut().map(|witness| super::witness::directory(&mut witness.directory)));
        paths
    }
}
