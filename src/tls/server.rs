//! The server's side of TLS: who we are, whom we trust, by which rules.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use time::OffsetDateTime;

use super::failure::Failure;
use super::files::{Anchors, Identity};
use super::{H2, Revocation, TlsError, provider};
use crate::identity::certificate::{self, PeerCertificate, TrustRules};

/// Everything that decides whether a connection is let in. Immutable: a reload makes a new one.
pub struct ServerTls {
    config: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    rules: TrustRules,
    clock: Arc<dyn TimeProvider>,
}

impl ServerTls {
    /// TLS 1.3 only, HTTP/2 only, a client certificate from everybody, nothing resumed, no early data.
    ///
    /// # Errors
    /// No anchor, an unreadable or missing CRL.
    pub fn new(
        identity: &Identity,
        anchors: &Anchors,
        revocation: Revocation,
        rules: TrustRules,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(anchors.store(), provider())
            .with_crls(revocation.lists()?)
            .enforce_revocation_expiration()
            .build()?;
        let mut config = ServerConfig::builder_with_details(provider(), Arc::clone(&clock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
        config.alpn_protocols = vec![H2.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), verifier, rules, clock })
    }

    /// For the handshake.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads the leaf of a chain that the handshake has verified.
    pub(super) fn read(&self, chain: &[CertificateDer<'_>]) -> Result<PeerCertificate, Failure> {
        let leaf = chain.first().ok_or(Failure::NoCertificate)?;
        Ok(certificate::check(leaf, self.now()?, &self.rules)?)
    }

    /// Verifies a chain anew: for connections that were let in under older anchors, CRLs or rules.
    pub(super) fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), Failure> {
        let (leaf, issuers) = chain.split_first().ok_or(Failure::NoCertificate)?;
        let now = self.clock.current_time().ok_or(Failure::Clock)?;
        self.verifier.verify_client_cert(leaf, issuers, now).map_err(|error| Failure::of_tls(&error))?;
        self.read(chain).map(|_| ())
    }

    fn now(&self) -> Result<OffsetDateTime, Failure> {
        super::now(self.clock.as_ref()).ok_or(Failure::Clock)
    }
}

#[cfg(test)]
impl ServerTls {
    /// The configuration, for tests that look inside.
    pub(super) fn inspect(&self) -> &ServerConfig {
        &self.config
    }
}
