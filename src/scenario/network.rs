//! `network.toml`: where a running network is, and with which certificates to call it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A running network. Paths are relative to the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The hub, or its first node.
    pub hub: Endpoint,
    /// The hub's other nodes.
    #[serde(default, rename = "hub_node", skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Endpoint>,
    /// Operator: may move the clock of a demo network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Person>,
    /// Privacy officer of the network: looks up the true reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_officer: Option<Person>,
    /// The partners.
    #[serde(rename = "partner")]
    pub partners: Vec<Member>,
    /// Organisations with a certificate that are not registered; they call the hub.
    #[serde(default, rename = "outsider", skip_serializing_if = "Vec::is_empty")]
    pub outsiders: Vec<Stranger>,
}

/// Where somebody listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// `host:port`
    pub address: String,
    /// Name in its certificate.
    pub server_name: String,
    /// PEM: roots under which its certificate must be.
    pub anchors: PathBuf,
}

/// A personal certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// A partner and its agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Label, as scenarios use it.
    pub id: String,
    /// 20 digits.
    pub oin: String,
    /// The agent's local listener.
    pub agent: Endpoint,
    /// PEM chain of a certificate under the agent's local CA.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
    /// The partner's privacy officer, towards the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub officer: Option<Person>,
}

/// Somebody who is not registered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stranger {
    /// Label, as scenarios use it.
    pub id: String,
    /// 20 digits.
    pub oin: String,
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// Why a network file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Not TOML, or an unknown or missing key.
    #[error("{file}: {problem}")]
    Parse {
        /// The network file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file can't be read.
    #[error("can't read {file}; give the network.toml that `sluis demo --keep` writes, or one like it")]
    Read {
        /// The network file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Network {
    /// Reads a network file and makes its paths absolute.
    ///
    /// # Errors
    /// A file that can't be read or has another shape.
    pub fn load(file: &Path) -> Result<Self, NetworkError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| NetworkError::Read { file: file.to_owned(), source })?;
        let mut network: Self = toml::from_str(&text).map_err(|error| NetworkError::Parse {
            file: file.to_owned(),
            problem: error.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; "),
        })?;
        network.resolve(file.parent().unwrap_or(Path::new("")));
        Ok(network)
    }

    /// Every node of the hub.
    pub fn hub_nodes(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.hub).chain(&self.nodes)
    }

    /// The partners by label.
    pub fn oins(&self) -> BTreeMap<String, String> {
        let partners = self.partners.iter().map(|member| (member.id.clone(), member.oin.clone()));
        partners.chain(self.outsiders.iter().map(|stranger| (stranger.id.clone(), stranger.oin.clone()))).collect()
    }

    fn resolve(&mut self, base: &Path) {
        let people = [&mut self.operator, &mut self.network_officer].into_iter().flatten();
        let mut paths: Vec<&mut PathBuf> = vec![&mut self.hub.anchors];
        paths.extend(self.nodes.iter_mut().map(|node| &mut node.anchors));
        paths.extend(people.flat_map(|person| [&mut person.certificate, &mut person.key]));
        for member in &mut self.partners {
            paths.extend([&mut member.agent.anchors, &mut member.certificate, &mut member.key]);
            paths.extend(member.officer.iter_mut().flat_map(|person| [&mut person.certificate, &mut person.key]));
        }
        paths.extend(self.outsiders.iter_mut().flat_map(|one| [&mut one.certificate, &mut one.key]));
        for path in paths {
            *path = base.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_network_reads_back_with_absolute_paths() {
        let person = || Some(Person { certificate: "o.pem".into(), key: "o.key".into() });
        let endpoint =
            || Endpoint { address: "127.0.0.1:1".into(), server_name: "hub.example".into(), anchors: "a.pem".into() };
        let network = Network {
            hub: endpoint(),
            nodes: vec![endpoint()],
            operator: person(),
            network_officer: person(),
            partners: vec![Member {
                id: "G-A".into(),
                oin: "00000099100001410000".into(),
                agent: endpoint(),
                certificate: "c.pem".into(),
                key: "c.key".into(),
                officer: person(),
            }],
            outsiders: Vec::new(),
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("network.toml");
        std::fs::write(&file, toml::to_string(&network).unwrap()).unwrap();
        let read = Network::load(&file).unwrap();
        assert_eq!(read.partners[0].officer.as_ref().unwrap().key, directory.path().join("o.key"));
        assert_eq!(read.nodes[0].anchors, directory.path().join("a.pem"));
        assert_eq!(read.oins()["G-A"], "00000099100001410000");
        std::fs::write(&file, "hub = 1").unwrap();
        assert!(Network::load(&file).is_err());
    }
}
