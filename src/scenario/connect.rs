//! Channels to the agents and the hub, one per certificate, opened at first use. A hub of several nodes may lose one, so
//! its door is looked for at every use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::time_provider::DefaultTimeProvider;
use time::OffsetDateTime;
use tonic::transport::Channel;

use super::network::{Endpoint, Network, Person};
use crate::tls::files::servers;
use crate::tls::{ClientTls, FileError, Identity, TlsError};

/// As whom, and through which door.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    /// A partner's own system at its agent; a stranger at the hub.
    Organisation(String),
    /// A partner's privacy officer at the hub.
    Officer(String),
    /// The network's privacy officer at the hub.
    NetworkOfficer,
    /// The operator at the hub.
    Operator,
}

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The network file says nothing about this caller.
    #[error("the network file has no certificate for {0:?}; add it, or leave steps that need it out")]
    Absent(Door),
    /// A certificate, key or anchor file.
    #[error("can't use a certificate file")]
    File(#[from] FileError),
    /// TLS or the connection itself.
    #[error("can't reach {address}")]
    Reach {
        /// `host:port`
        address: String,
        /// Why.
        #[source]
        source: TlsError,
    },
}

/// The open channels.
pub(crate) struct Connections {
    network: Network,
    now: OffsetDateTime,
    open: HashMap<Door, Channel>,
}

impl Connections {
    /// No channel yet.
    pub(crate) fn new(network: Network, now: OffsetDateTime) -> Self {
        Self { network, now, open: HashMap::new() }
    }

    /// The channel of this caller.
    pub(crate) async fn channel(&mut self, door: &Door) -> Result<Channel, ConnectError> {
        if let Some(channel) = self.open.get(door) {
            return Ok(channel.clone());
        }
        let (endpoints, person) = self.find(door).ok_or_else(|| ConnectError::Absent(door.clone()))?;
        let mut failed = ConnectError::Absent(door.clone());
        for endpoint in &endpoints {
            match connect(endpoint, &person, self.now).await {
                Ok(channel) if endpoints.len() > 1 => return Ok(channel),
                Ok(channel) => {
                    self.open.insert(door.clone(), channel.clone());
                    return Ok(channel);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// A channel to every process behind the door that can be reached; one at least.
    pub(crate) async fn channels(&self, door: &Door) -> Result<Vec<Channel>, ConnectError> {
        let (endpoints, person) = self.find(door).ok_or_else(|| ConnectError::Absent(door.clone()))?;
        let (mut channels, mut failed) = (Vec::new(), ConnectError::Absent(door.clone()));
        for endpoint in &endpoints {
            match connect(endpoint, &person, self.now).await {
                Ok(channel) => channels.push(channel),
                Err(error) => failed = error,
            }
        }
        if channels.is_empty() { Err(failed) } else { Ok(channels) }
    }

    /// What is behind the door, and as whom.
    fn find(&self, door: &Door) -> Option<(Vec<Endpoint>, Person)> {
        let network = &self.network;
        let hub = || network.hub_nodes().cloned().collect();
        let at_hub = |person: &Person| (hub(), person.clone());
        let member = |id: &str| network.partners.iter().find(|member| member.id == id);
        let person =
            |certificate: &PathBuf, key: &PathBuf| Person { certificate: certificate.clone(), key: key.clone() };
        match door {
            Door::NetworkOfficer => network.network_officer.as_ref().map(at_hub),
            Door::Operator => network.operator.as_ref().map(at_hub),
            Door::Officer(id) => member(id)?.officer.as_ref().map(at_hub),
            Door::Organisation(id) => member(id)
                .map(|member| (vec![member.agent.clone()], person(&member.certificate, &member.key)))
                .or_else(|| {
                    let stranger = network.outsiders.iter().find(|one| one.id == *id)?;
                    Some((hub(), person(&stranger.certificate, &stranger.key)))
                }),
        }
    }
}

/// Connects to one endpoint as one holder of a certificate.
pub(crate) async fn connect(endpoint: &Endpoint, who: &Person, now: OffsetDateTime) -> Result<Channel, ConnectError> {
    let identity = Identity::load(&who.certificate, &who.key, now)?;
    let trust = servers(&endpoint.anchors)?;
    let reach = |source| ConnectError::Reach { address: endpoint.address.clone(), source };
    let clock = Arc::new(DefaultTimeProvider);
    let tls = ClientTls::new(&identity, &trust, &endpoint.server_name, clock).map_err(reach)?;
    tls.connect(&endpoint.address).await.map_err(reach)
}
