//! Trust as the TLS library asks for it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use time::OffsetDateTime;

use super::refusals::Shown;
use crate::identity::PeerCertificate;
use crate::trust::{Fault, Refused, Trust};

/// Signatures of a handshake, which both kinds of verifier check alike: TLS 1.3 only.
macro_rules! tls13_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Err(rustls::PeerIncompatible::Tls12NotOffered.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let algorithms = $crate::tls::provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            $crate::tls::provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

pub(super) use tls13_signatures;

/// Judges the client of one handshake, and remembers the verdict.
pub(super) struct ClientVerifier {
    trust: Arc<Trust>,
    hints: Arc<[DistinguishedName]>,
    verdict: Mutex<Option<Result<PeerCertificate, (Refused, Shown)>>>,
}

impl ClientVerifier {
    pub(super) fn new(trust: &Arc<Trust>, hints: &Arc<[DistinguishedName]>) -> Self {
        Self { trust: Arc::clone(trust), hints: Arc::clone(hints), verdict: Mutex::default() }
    }

    /// What was said of the client, if it came to that.
    pub(super) fn verdict(&self) -> Option<Result<PeerCertificate, (Refused, Shown)>> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientVerifier")
    }
}

/// Names of the roots, which tell a client with several certificates which one to show.
pub(super) fn hints(trust: &Trust) -> Arc<[DistinguishedName]> {
    let roots = trust.sets().iter().flat_map(|set| set.roots());
    roots.map(|root| DistinguishedName::from(root.subject_der().to_vec())).collect()
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = chain(end_entity, intermediates);
        let judged = moment(now).and_then(|now| self.trust.judge(&chain, now)).map(|verdict| verdict.certificate);
        let answer = judged.as_ref().map(|_| ClientCertVerified::assertion()).map_err(error);
        let verdict = judged.map_err(|refused| (refused, Shown::of(end_entity)));
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        answer
    }

    tls13_signatures!();
}

/// Judges servers.
pub(super) struct ServerVerifier(Arc<Trust>);

impl ServerVerifier {
    pub(super) fn new(trust: &Arc<Trust>) -> Self {
        Self(Arc::clone(trust))
    }
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerVerifier")
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = chain(end_entity, intermediates);
        let judged = moment(now).and_then(|now| self.0.judge_server(&chain, server_name, now));
        judged.map(|()| ServerCertVerified::assertion()).map_err(|refused| error(&refused))
    }

    tls13_signatures!();
}

fn chain<'c>(end_entity: &'c CertificateDer<'_>, intermediates: &'c [CertificateDer<'_>]) -> Vec<CertificateDer<'c>> {
    std::iter::once(end_entity).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect()
}

fn moment(now: UnixTime) -> Result<OffsetDateTime, Refused> {
    super::moment(now).ok_or_else(Refused::of_clock)
}

/// The error whose alert tells the peer what it may know (RFC 8446 §6.2): the library chooses the alert by it.
fn error(refused: &Refused) -> Error {
    use CertificateError as E;
    Error::InvalidCertificate(match refused.fault {
        Fault::NoCertificate => return Error::NoCertificatesPresented,
        // certificate_expired
        Fault::Expired => E::Expired,
        Fault::NotYetValid => E::NotValidYet,
        // certificate_revoked
        Fault::Revoked => E::Revoked,
        // unknown_ca
        Fault::UnknownIssuer | Fault::OtherEnvironment => E::UnknownIssuer,
        Fault::ListMissing | Fault::ListStale | Fault::ListInvalid => E::UnknownRevocationStatus,
        // decrypt_error
        Fault::BadSignature => E::BadSignature,
        // bad_certificate
        Fault::Malformed | Fault::TooLarge | Fault::NotAnAuthority | Fault::AuthorityAsLeaf => E::BadEncoding,
        Fault::PathLength | Fault::NameConstraint | Fault::Unsupported => E::UnhandledCriticalExtension,
        Fault::ServerName => E::NotValidForName,
        // unsupported_certificate
        Fault::SignatureAlgorithm | Fault::Key | Fault::Purpose | Fault::Policy => E::InvalidPurpose,
        Fault::Names | Fault::Validity => E::InvalidPurpose,
        // access_denied
        Fault::TestOin | Fault::OinPattern => E::ApplicationVerificationFailure,
        // certificate_unknown
        Fault::NoOin | Fault::SeveralOins | Fault::WrongOin => E::Other(OtherError(Arc::new(refused.clone()))),
        Fault::Clock => return Error::FailedToGetCurrentTime,
    })
}
