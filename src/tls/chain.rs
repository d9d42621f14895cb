//! Certificates that arrive in messages rather than in a handshake, such as the one that vouches for a key set.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use time::OffsetDateTime;

use super::failure::Failure;
use super::files::Anchors;
use super::{Revocation, TlsError, provider};
use crate::identity::certificate::{self, CertificateError, ORGANISATION, POLICY_UUID, PeerCertificate, TrustRules};

/// Verifies chains by the same anchors, lists and rules as a listener.
pub struct ChainVerifier {
    verifier: Arc<dyn ClientCertVerifier>,
    rules: TrustRules,
}

impl ChainVerifier {
    /// A verifier by these anchors and rules.
    ///
    /// # Errors
    /// No anchor, an unreadable or missing CRL.
    pub fn new(anchors: &Anchors, revocation: Revocation, rules: TrustRules) -> Result<Self, TlsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(anchors.store(), provider())
            .with_crls(revocation.lists()?)
            .enforce_revocation_expiration()
            .build()?;
        Ok(Self { verifier, rules })
    }

    /// The certificate at the head of `chain`, if the chain leads to an anchor at `now`.
    ///
    /// # Errors
    /// The first rule that fails.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: OffsetDateTime) -> Result<PeerCertificate, Failure> {
        let (leaf, issuers) = chain.split_first().ok_or(Failure::NoCertificate)?;
        let seconds = u64::try_from(now.unix_timestamp()).map_err(|_| Failure::Clock)?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        self.verifier.verify_client_cert(leaf, issuers, at).map_err(|error| Failure::of_tls(&error))?;
        Ok(certificate::check(leaf, now, &self.rules)?)
    }

    /// As [`ChainVerifier::verify`], for what only the organisation as a whole may vouch for, such as its keys. Our own
    /// CA puts the same OIN into the certificates of an organisation's people and servers; those are refused.
    ///
    /// # Errors
    /// The first rule that fails.
    pub fn verify_organisation(
        &self,
        chain: &[CertificateDer<'_>],
        now: OffsetDateTime,
    ) -> Result<PeerCertificate, Failure> {
        let certificate = self.verify(chain, now)?;
        let profile = format!("2.25.{POLICY_UUID}.");
        let organisation = format!("{profile}{ORGANISATION}");
        let policies = certificate.policies().iter().map(ToString::to_string);
        if policies.into_iter().any(|policy| policy.starts_with(&profile) && policy != organisation) {
            return Err(CertificateError::PolicyNotAllowed.into());
        }
        Ok(certificate)
    }
}
