//! Who may sign for an organisation: its own certificate, or its supplier's with the organisation's mandate. One answer for
//! the hub and for every agent. Pure.

pub mod file;

use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::api::v1;
use crate::identity::PeerCertificate;
use crate::identity::certificate::Leaf;
use crate::party::Oin;
use crate::seal::certificate_signature::CertSignature;
use crate::seal::{Mandate, MandateError, SignedMandate};
use crate::trust::{Contents, Fault, Trust};

/// Certificates in a chain that is published, at most.
const LONGEST_CHAIN: usize = 4;
/// Bytes of one of them, at most.
const LARGEST_CERTIFICATE: usize = 8 * 1024;

/// Where and when: in one covenant's network. Certificates follow the machine's clock, rights that of the network, which a
/// demonstration may move.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'c> {
    /// Name of the covenant.
    pub covenant: &'c str,
    /// For certificates.
    pub machine: OffsetDateTime,
    /// For mandates.
    pub network: OffsetDateTime,
}

impl<'c> Moment<'c> {
    /// One clock for both.
    pub const fn of(covenant: &'c str, now: OffsetDateTime) -> Self {
        Self { covenant, machine: now, network: now }
    }
}

/// Why a certificate does not speak for an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSpeaking {
    /// It is not believed.
    #[error("a certificate that is not accepted: {}", .0.code())]
    Certificate(Fault),
    /// Too many certificates, too large ones, or none.
    #[error("certificates that can't be read")]
    Chain,
    /// The mandate that came with it.
    #[error("a supplier's certificate without a mandate that holds")]
    Mandate(#[source] NotGiven),
    /// It is somebody else's, and nothing says that it may.
    #[error("another organisation's certificate")]
    Other,
}

/// Why a mandate gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGiven {
    /// The certificate that signed it is not believed.
    #[error("the mandate is signed under a certificate that is not accepted: {}", .0.code())]
    Certificate(Fault),
    /// Too many certificates, too large ones, or none.
    #[error("the mandate's certificates can't be read")]
    Chain,
    /// It is to another supplier.
    #[error("the mandate is to another supplier")]
    Delegate,
    /// It does not hold.
    #[error(transparent)]
    Mandate(#[from] MandateError),
    /// It is for longer than the certificate that signed it: whoever looks at it later would not believe that one.
    #[error("the mandate is for longer than the certificate that signed it")]
    Outlasts,
}

/// Whether the holder of this chain may sign for `principal`, as itself or as its supplier; and until when, as things stand.
///
/// # Errors
/// [`NotSpeaking`].
pub fn speaks_for(
    trust: &Trust,
    chain: &[Vec<u8>],
    mandate: Option<&v1::Mandate>,
    principal: &Oin,
    moment: Moment<'_>,
) -> Result<OffsetDateTime, NotSpeaking> {
    let chain = read(chain).ok_or(NotSpeaking::Chain)?;
    let certificate = trust.judge_organisation(&chain, moment.machine);
    let certificate: PeerCertificate = certificate.map_err(|refused| NotSpeaking::Certificate(refused.fault))?;
    let oin = certificate.oin().ok_or(NotSpeaking::Other)?;
    let until = certificate.not_after();
    match mandate {
        _ if oin == principal => Ok(until),
        None => Err(NotSpeaking::Other),
        Some(mandate) => {
            let given = given(trust, mandate, principal, moment).map_err(NotSpeaking::Mandate)?;
            if given.delegate() == oin {
                Ok(until.min(given.ends()))
            } else {
                Err(NotSpeaking::Mandate(NotGiven::Delegate))
            }
        }
    }
}

/// The mandate that `principal` gave, if it did, and if it is in time: signed with its own certificate, which is believed here.
///
/// # Errors
/// [`NotGiven`].
pub fn given(trust: &Trust, mandate: &v1::Mandate, principal: &Oin, moment: Moment<'_>) -> Result<Mandate, NotGiven> {
    let chain = read(&mandate.certificate_chain).ok_or(NotGiven::Chain)?;
    let leaf = chain.first().ok_or(NotGiven::Chain)?;
    let signer = trust.judge_organisation(&chain, moment.machine);
    let signer = signer.map_err(|refused| NotGiven::Certificate(refused.fault))?;
    // No supplier passes on what it was given: only the principal's own certificate signs.
    if signer.oin() != Some(principal) {
        return Err(MandateError::Owner.into());
    }
    let given = Mandate::verify(&signed(mandate).ok_or(MandateError::Format)?, leaf, principal)?;
    given.holds(moment.covenant, moment.network)?;
    let until = Contents::read(leaf).map_err(|_| NotGiven::Chain)?.not_after;
    if given.ends() > until { Err(NotGiven::Outlasts) } else { Ok(given) }
}

/// What stands in a mandate by its own word.
///
/// # Errors
/// [`MandateError`].
pub fn told(mandate: &v1::Mandate) -> Result<Mandate, MandateError> {
    Mandate::read(&mandate.document)
}

/// For the wire.
pub fn message(signed: SignedMandate, certificate_chain: Vec<Vec<u8>>) -> v1::Mandate {
    v1::Mandate {
        document: signed.bytes,
        signature_scheme: signed.signature.scheme.code().into(),
        signature: signed.signature.signature,
        certificate_chain,
    }
}

fn signed(mandate: &v1::Mandate) -> Option<SignedMandate> {
    let signature = CertSignature::from_wire(mandate.signature_scheme, &mandate.signature)?;
    Some(SignedMandate { bytes: mandate.document.clone(), signature })
}

/// Certificates that may be one chain: few, small, and each of them readable.
fn read(chain: &[Vec<u8>]) -> Option<Vec<CertificateDer<'_>>> {
    let short = (1..=LONGEST_CHAIN).contains(&chain.len()) && chain.iter().all(|der| der.len() <= LARGEST_CERTIFICATE);
    let readable = short && chain.iter().all(|der| Leaf::read(der).is_ok());
    readable.then(|| chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect())
}

#[cfg(test)]
mod tests;
