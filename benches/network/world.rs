//! The network that every server of a run serves: who takes part, and what there is to ask for. Written once as
//! `world.json`, read by every helper.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sluis::api::v1;
use sluis::clock::{Clock as _, SystemClock, TlsClock};
use sluis::tls::files::servers;
use sluis::tls::{ClientTls, Identity};

use crate::Failed;

/// The host of every server.
pub(crate) const HOST: &str = "127.0.0.1";

/// Name of the certificate of the gemeente's privacy officer.
pub(crate) const OFFICER: &str = "officer";

/// A network, set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct World {
    /// Everything of this run.
    pub(crate) folder: PathBuf,
    /// `host:port` of every node of every server, by the server's name.
    pub(crate) addresses: BTreeMap<String, Vec<String>>,
    /// OINs of all partners; each has a certificate and a seed under its OIN.
    pub(crate) partners: Vec<String>,
    /// Holds the cases.
    pub(crate) gemeente: String,
    /// Has no part in any of them.
    pub(crate) outsider: String,
    /// Experts, in the order in which they sit down.
    pub(crate) experts: Vec<String>,
    /// Cases in their first phase, by the gemeente's names.
    pub(crate) cases: Vec<String>,
    /// A case at a table of five experts, by everybody's own name.
    pub(crate) table: BTreeMap<String, String>,
    /// A case at a table of all experts, by everybody's own name.
    pub(crate) hall: BTreeMap<String, String>,
    /// What the gemeente calls the youths of those cases in its log.
    pub(crate) subjects: Vec<String>,
    /// Public key of every hub's log.
    pub(crate) log_key: String,
    /// Events of the long log.
    pub(crate) history: u64,
    /// Records of 4 KiB at the table, for the first expert.
    pub(crate) records: Vec<String>,
    /// Items that wait in the experts' inboxes, all together.
    pub(crate) waiting: usize,
}

impl World {
    /// Reads `world.json` of a run.
    pub(crate) fn load(folder: &Path) -> Result<Self, Failed> {
        Ok(serde_json::from_slice(&std::fs::read(folder.join("world.json"))?)?)
    }

    /// Writes it.
    pub(crate) fn save(&self) -> Result<(), Failed> {
        Ok(std::fs::write(self.folder.join("world.json"), serde_json::to_vec(self)?)?)
    }

    /// Where the nth connection to a server goes: its nodes take turns.
    pub(crate) fn address(&self, server: &str, nth: usize) -> Result<&str, Failed> {
        let nodes = self.addresses.get(server).map(Vec::as_slice).unwrap_or_default();
        Ok(nodes.get(nth % nodes.len().max(1)).ok_or_else(|| format!("no server {server}"))?)
    }

    /// How to connect with a certificate of this name.
    pub(crate) fn tls(&self, who: &str) -> Result<ClientTls, Failed> {
        tls(&self.folder, who)
    }

    /// A reply as a hub gave it.
    pub(crate) fn sample(&self, name: &str) -> Result<Vec<u8>, Failed> {
        Ok(std::fs::read(self.folder.join("samples").join(name))?)
    }
}

/// The certificates of a run.
pub(crate) fn ca(folder: &Path) -> PathBuf {
    folder.join("ca")
}

/// How to connect with a certificate of this name.
pub(crate) fn tls(folder: &Path, who: &str) -> Result<ClientTls, Failed> {
    tls_in(&ca(folder), who)
}

/// The same, with the certificates of a folder.
pub(crate) fn tls_in(ca: &Path, who: &str) -> Result<ClientTls, Failed> {
    let chain = ca.join(format!("{who}.pem"));
    let identity = Identity::load(&chain, &ca.join(format!("{who}.key")), SystemClock.now())?;
    let trust = servers(&ca.join("anchors.pem"))?;
    Ok(ClientTls::new(&identity, &trust, HOST, Arc::new(TlsClock))?)
}

/// Why a call is made.
pub(crate) fn context(article: &str, purpose: &str, role: v1::Role) -> Option<v1::RequestContext> {
    Some(v1::RequestContext {
        article: article.to_owned(),
        purpose: purpose.to_owned(),
        acting_role: role as i32,
        user_ref: "meting.medewerker".to_owned(),
        reason: String::new(),
    })
}

/// A new request id.
pub(crate) fn id() -> String {
    uuid::Uuid::new_v4().to_string()
}
