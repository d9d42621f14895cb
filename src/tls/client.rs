//! The client's side of TLS: a tonic channel to one server, by pinned anchors and under an own certificate.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::files::Identity;
use super::verifier::ServerVerifier;
use super::{H2, TlsError, provider};
use crate::trust::Trust;

/// Time for name lookup, connection and handshake together.
const CONNECT: Duration = Duration::from_secs(5);
/// A silent connection is asked for a sign of life this often.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Time for that sign.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);

/// How to reach one server. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<RwLock<Arc<ClientConfig>>>,
    name: ServerName<'static>,
    leaf: Arc<Mutex<Option<CertificateDer<'static>>>>,
    connections: Arc<AtomicU64>,
    user_agent: Option<&'static str>,
}

impl ClientTls {
    /// TLS 1.3 and HTTP/2 only. The server must show a certificate for `server_name` that is believed, whatever
    /// address is dialled.
    ///
    /// # Errors
    /// A name that is neither DNS name nor IP address.
    pub fn new(
        identity: &Identity,
        trust: &Arc<Trust>,
        server_name: &str,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsError> {
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| TlsError::ServerName)?;
        let config = Arc::new(RwLock::new(config(identity, trust, clock)?));
        Ok(Self { config, name, leaf: Arc::default(), connections: Arc::default(), user_agent: None })
    }

    /// How to reach the same server under another certificate, beside this one.
    ///
    /// # Errors
    /// A configuration that the library refuses.
    pub fn beside(
        &self,
        identity: &Identity,
        trust: &Arc<Trust>,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsError> {
        let config = Arc::new(RwLock::new(config(identity, trust, clock)?));
        let (name, user_agent) = (self.name.clone(), self.user_agent);
        Ok(Self { config, name, leaf: Arc::default(), connections: Arc::default(), user_agent })
    }

    /// Says with every request what calls, as `user-agent`.
    #[must_use]
    pub const fn calling_itself(mut self, user_agent: &'static str) -> Self {
        self.user_agent = Some(user_agent);
        self
    }

    /// Shows another certificate and believes others, from the next connection of this value and its clones on.
    ///
    /// # Errors
    /// A configuration that the library refuses.
    pub fn renew(&self, identity: &Identity, trust: &Arc<Trust>, clock: Arc<dyn TimeProvider>) -> Result<(), TlsError> {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config(identity, trust, clock)?;
        Ok(())
    }

    /// Connects to `address` (`host:port`) now. The channel connects again by itself when the connection ends.
    ///
    /// # Errors
    /// A malformed address; no connection within five seconds. That the server refuses *our* certificate shows at the
    /// first request only (RFC 8446 §4.4.2.4: the server judges after the client considers itself connected).
    pub async fn connect(&self, address: &str) -> Result<Channel, TlsError> {
        let tls = self.clone();
        let target = target(address)?;
        let connector = tower::service_fn(move |_: Uri| tls.clone().dial(target.clone()));
        Ok(self.endpoint()?.connect_with_connector(connector).await?)
    }

    /// As [`Self::connect`], at the first request.
    ///
    /// # Errors
    /// A malformed address.
    pub fn connect_lazy(&self, address: &str) -> Result<Channel, TlsError> {
        let tls = self.clone();
        let target = target(address)?;
        let connector = tower::service_fn(move |_: Uri| tls.clone().dial(target.clone()));
        Ok(self.endpoint()?.connect_with_connector_lazy(connector))
    }

    /// How many connections this value and its clones have made: who must do something at every connect compares it.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// The server's leaf certificate (DER), as of the latest connection of this value or its clones.
    pub fn server_leaf(&self) -> Option<CertificateDer<'static>> {
        self.leaf.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The address is only a name to tonic: `http`, because TLS happens in the connector.
    fn endpoint(&self) -> Result<Endpoint, TlsError> {
        let host = match &self.name {
            ServerName::DnsName(name) => name.as_ref().to_owned(),
            ServerName::IpAddress(rustls::pki_types::IpAddr::V4(ip)) => std::net::Ipv4Addr::from(*ip).to_string(),
            ServerName::IpAddress(rustls::pki_types::IpAddr::V6(ip)) => format!("[{}]", std::net::Ipv6Addr::from(*ip)),
            _ => return Err(TlsError::ServerName),
        };
        let endpoint = Endpoint::from_shared(format!("http://{host}"))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_ANSWER)
            .keep_alive_while_idle(true);
        match self.user_agent {
            Some(user_agent) => Ok(endpoint.user_agent(user_agent)?),
            None => Ok(endpoint),
        }
    }

    async fn dial(self, target: Arc<str>) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let current = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        let stream = TcpStream::connect(&*target).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(current).connect(self.name, stream).await?;
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(H2) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the server does not speak HTTP/2"));
        }
        let leaf = session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.clone().into_owned());
        *self.leaf.lock().unwrap_or_else(PoisonError::into_inner) = leaf;
        self.connections.fetch_add(1, Ordering::SeqCst);
        Ok(TokioIo::new(stream))
    }
}

/// What the next connection is made with.
fn config(
    identity: &Identity,
    trust: &Arc<Trust>,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(trust)))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// `host:port`, with the brackets of an IPv6 address.
fn target(address: &str) -> Result<Arc<str>, TlsError> {
    let (host, port) = address.rsplit_once(':').ok_or(TlsError::Address)?;
    let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || !bare || port.parse::<u16>().is_err() {
        return Err(TlsError::Address);
    }
    Ok(address.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for address in ["hub.example.nl:443", "127.0.0.1:1", "[::1]:443"] {
            assert!(target(address).is_ok(), "{address}");
        }
        for address in ["", "hub", ":443", "hub:", "hub:70000", "::1:443", "https://hub:443"] {
            assert!(target(address).is_err(), "{address}");
        }
    }
}
