//! The first operator: somebody has to register the first partner.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::HubError;
use crate::audit::{Action, Draft};
use crate::clock::micros;
use crate::config::BootstrapConfig;
use crate::exchange::Exchange;
use crate::identity::certificate::Leaf;
use crate::method::Admitted;
use crate::party::{OrgKind, PartnerStatus};
use crate::registry::OPERATOR;
use crate::store::certificates::{self, CertificateRow};
use crate::store::registry::{PartnerRow, load, put_partner};
use crate::store::{Changes, Seen, Tx, Work, WorkError};
use crate::trust::Contents;

/// Registers the operator named in the configuration, if the registry knows no operator yet. An audit event like any
/// other: the log of a network begins with who opened it.
pub(super) async fn first_operator(exchange: &Arc<Exchange>, config: &BootstrapConfig) -> Result<(), HubError> {
    let mut reader = exchange.store.read().await?;
    let known = load(&mut reader).await?;
    drop(reader);
    if known.certificates.iter().any(|row| row.holder == OPERATOR && row.revoked_at.is_none()) {
        return Ok(());
    }
    let der = CertificateDer::from_pem_file(&config.operator).map_err(|_| HubError::Operator)?;
    let leaf = Leaf::read(&der).map_err(|_| HubError::Operator)?;
    let oin = leaf.oin().map_err(|_| HubError::Operator)?;
    let now = exchange.clock.now();
    let work = FirstOperator {
        partner: PartnerRow {
            oin: oin.to_string(),
            display_name: config.organisation_name.clone(),
            kind: OrgKind::Netwerk.code().to_owned(),
            status: PartnerStatus::Active.code().to_owned(),
            standing_roles: String::new(),
            effective_at: micros(now),
            withdrawn_at: None,
            accepted_covenant: 0,
        },
        certificate: CertificateRow {
            key_hash: leaf.key_hash.to_string(),
            oin: oin.to_string(),
            via: String::new(),
            holder: OPERATOR.to_owned(),
            person_ref: "first-operator".to_owned(),
            system: String::new(),
            issuer: Contents::read(&der).map_err(|_| HubError::Operator)?.issuer.clone(),
            starts_at: micros(leaf.not_before),
            expires_at: micros(leaf.not_after),
            registered_at: micros(now),
            used_at: None,
            anchor_set: String::new(),
            replaces: String::new(),
            renewed: false,
            retires_at: None,
            revoked_at: None,
            ceased: false,
            warned: 0,
        },
    };
    exchange.store.run_tx(Admitted::by_configuration().office(), work).await?;
    tracing::info!("first operator registered from the configuration");
    Ok(())
}

struct FirstOperator {
    partner: PartnerRow,
    certificate: CertificateRow,
}

impl Work for FirstOperator {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen { changes: Changes::Registry, ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        put_partner(tx, &self.partner).await?;
        certificates::put(tx, &self.certificate).await?;
        let draft = Draft {
            method: "sluis.v1.Registry/RegisterCertificate",
            action: Some(Action::Create),
            organisation: self.partner.oin.clone(),
            source: self.partner.oin.clone(),
            key_hash: self.certificate.key_hash.clone(),
            motivation: "first operator, named in the hub's configuration".to_owned(),
            ..Draft::default()
        };
        Ok(((), draft))
    }
}
