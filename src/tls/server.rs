//! The server's side of TLS: who we are, and whom we trust.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{DistinguishedName, ServerConfig};
use time::OffsetDateTime;

use super::failure::Failure;
use super::files::Identity;
use super::verifier::{ClientVerifier, hints};
use super::{H2, TlsError, provider};
use crate::trust::{Refused, Trust};

/// Everything that decides whether a connection is let in. Immutable: a reload makes a new one.
pub struct ServerTls {
    trust: Arc<Trust>,
    hints: Arc<[DistinguishedName]>,
    resolver: Arc<SingleCertAndKey>,
    clock: Arc<dyn TimeProvider>,
}

impl ServerTls {
    /// TLS 1.3 only, HTTP/2 only, a client certificate from everybody, nothing resumed, no early data.
    ///
    /// # Errors
    /// A configuration that the library refuses.
    pub fn new(identity: &Identity, trust: Arc<Trust>, clock: Arc<dyn TimeProvider>) -> Result<Self, TlsError> {
        let resolver = Arc::new(SingleCertAndKey::from(identity.certified()));
        let made = Self { hints: hints(&trust), trust, resolver, clock };
        made.config(&Arc::new(made.verifier()))?;
        Ok(made)
    }

    /// Whom it believes.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// For one handshake: it remembers the verdict, which the library's error is too poor to carry.
    pub(super) fn verifier(&self) -> ClientVerifier {
        ClientVerifier::new(&self.trust, &self.hints)
    }

    /// For one handshake.
    pub(super) fn config(&self, verifier: &Arc<ClientVerifier>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_details(provider(), Arc::clone(&self.clock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(verifier) as _)
            .with_cert_resolver(Arc::clone(&self.resolver) as _);
        config.alpn_protocols = vec![H2.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }

    /// The time by which certificates are judged; the epoch where the clock is out of order, as nobody is let in then.
    pub(super) fn now(&self) -> OffsetDateTime {
        super::now(self.clock.as_ref()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Judges a chain anew: for connections that were let in under older anchors, lists or rules.
    pub(super) fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), Failure> {
        let now = super::now(self.clock.as_ref()).ok_or_else(Refused::of_clock);
        now.and_then(|now| self.trust.judge(chain, now)).map(drop).map_err(|refused| refused.fault.into())
    }
}
