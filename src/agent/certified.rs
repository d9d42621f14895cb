//! Under what the agent's keys are published: the partner's certificate, or its supplier's with the partner's mandate.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::own::OwnError;
use crate::api::v1;
use crate::config::AgentConfig;
use crate::identity::certificate::Leaf;
use crate::mandate::{self, Moment, file};
use crate::party::Oin;
use crate::trust::Trust;

/// A certificate with its key, and by what it speaks for the partner.
pub(super) struct Certified {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// The OIN in the certificate.
    pub(super) shown: Oin,
    /// Where the certificate is a supplier's.
    pub(super) mandate: Option<v1::Mandate>,
}

impl Certified {
    /// Reads them. A mandate is looked at as every peer will: by one that they refuse nobody could be reached.
    pub(super) fn load(config: &AgentConfig, trust: &Trust, moment: Moment<'_>) -> Result<Self, OwnError> {
        let (tls, oin) = (&config.tls, &config.organisation.oin);
        let chain: Vec<_> = CertificateDer::pem_file_iter(&tls.certificate)
            .and_then(Iterator::collect)
            .map_err(|_| OwnError::Certificate)?;
        let leaf = chain.first().and_then(|der| Leaf::read(der).ok()).ok_or(OwnError::Certificate)?;
        let shown = leaf.oin().map_err(|_| OwnError::Certificate)?;
        let mandate = match &config.mandate {
            None if shown == *oin => None,
            None => return Err(OwnError::OtherOin),
            Some(section) => {
                let failed = |source| OwnError::File { path: section.file.clone(), source };
                let text = std::fs::read_to_string(&section.file).map_err(failed)?;
                let read = file::read(&text).map_err(mandate::NotGiven::from)?;
                let given = mandate::given(trust, &read, oin, moment)?;
                if *given.delegate() != shown {
                    return Err(mandate::NotGiven::Delegate.into());
                }
                Some(read)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|_| OwnError::Certificate)?;
        Ok(Self { chain, key, shown, mandate })
    }

    /// Whether both are the same to peers.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.chain == other.chain && self.mandate == other.mandate
    }

    pub(super) fn chain_der(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|der| der.to_vec()).collect()
    }
}
