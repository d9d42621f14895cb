//! Channels to the agents and the hub, one per certificate, opened at first use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::time_provider::DefaultTimeProvider;
use time::OffsetDateTime;
use tonic::transport::Channel;

use super::network::{Endpoint, Network, Person};
use crate::tls::{Anchors, ClientTls, FileError, Identity, Revocation, TlsError};

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
        let (endpoint, certificate, key) = self.find(door).ok_or_else(|| ConnectError::Absent(door.clone()))?;
        let channel = connect(&endpoint, &Person { certificate, key }, self.now).await?;
        self.open.insert(door.clone(), channel.clone());
        Ok(channel)
    }

    fn find(&self, door: &Door) -> Option<(Endpoint, PathBuf, PathBuf)> {
        let network = &self.network;
        let at_hub = |person: &Person| (network.hub.clone(), person.certificate.clone(), person.key.clone());
        let member = |id: &str| network.partners.iter().find(|member| member.id == id);
        match door {
            Door::NetworkOfficer => network.network_officer.as_ref().map(at_hub),
            Door::Operator => network.operator.as_ref().map(at_hub),
            Door::Officer(id) => member(id)?.officer.as_ref().map(at_hub),
            Door::Organisation(id) => member(id)
                .map(|member| (member.agent.clone(), member.certificate.clone(), member.key.clone()))
                .or_else(|| {
                    let stranger = network.outsiders.iter().find(|one| one.id == *id)?;
                    Some((network.hub.clone(), stranger.certificate.clone(), stranger.key.clone()))
                }),
        }
    }
}

/// Connects to one endpoint as one holder of a certificate.
pub(crate) async fn connect(endpoint: &Endpoint, who: &Person, now: OffsetDateTime) -> Result<Channel, ConnectError> {
    let identity = Identity::load(&who.certificate, &who.key, now)?;
    let anchors = Anchors::load([endpoint.anchors.as_path()])?;
    let reach = |source| ConnectError::Reach { address: endpoint.address.clone(), source };
    let clock = Arc::new(DefaultTimeProvider);
    let tls =
        ClientTls::new(&identity, &anchors, Revocation::RegistryOnly, &endpoint.server_name, clock).map_err(reach)?;
    tls.connect(&endpoint.address).await.map_err(reach)
}
