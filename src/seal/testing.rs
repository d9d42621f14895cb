//! Made-up parties for the tests of this module.

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::party::Oin;

/// A test organisation's number.
pub(super) fn oin(n: u64) -> Oin {
    format!("00000099{n:08}0000").parse().unwrap()
}

/// A fixed moment.
pub(super) fn time() -> OffsetDateTime {
    datetime!(2026-11-21 20:53:01 UTC)
}

/// A self-signed certificate and its private key.
pub(super) fn certificate(algorithm: &'static SignatureAlgorithm) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    (certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
}
