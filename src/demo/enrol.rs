//! Setting up the partners: the operator registers them, each partner publishes its keys and signs the covenant.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use tonic::transport::Channel;
use uuid::Uuid;

use super::DemoError;
use super::files::{Layout, slug};
use crate::api::v1 as api;
use crate::api::v1::covenants_client::CovenantsClient;
use crate::api::v1::directory_client::DirectoryClient;
use crate::api::v1::registry_client::RegistryClient;
use crate::ca::CaError;
use crate::scenario::network::{Member, Person};
use crate::scenario::{Scenario, connect};

/// As the operator: every partner, its certificate, its privacy officer, and the network's.
pub(super) async fn register(layout: &Layout, scenario: &Scenario, now: OffsetDateTime) -> Result<(), DemoError> {
    let channel = reach("hub", connect(&layout.network.hub, &layout.operator_person(), now).await)?;
    let mut registry = RegistryClient::new(channel);
    for partner in &scenario.partners {
        let request = api::RegisterPartnerRequest {
            request_id: Uuid::new_v4().to_string(),
            oin: partner.oin.to_string(),
            display_name: partner.name.clone(),
            kind: partner.kind_number(),
            standing_roles: partner.standing_numbers(),
            effective_time: None,
        };
        done("hub", &format!("registering {}", partner.id), registry.register_partner(request).await)?;
        let chain = layout.organisation_person(&partner.id).certificate;
        let holder = api::HolderKind::Organisation;
        certificate(&mut registry, &partner.id, &chain, holder, String::new()).await?;
    }
    for member in &layout.network.partners {
        if let Some(officer) = &member.officer {
            let person = format!("fg.{}", slug(&member.id));
            let holder = api::HolderKind::Officer;
            certificate(&mut registry, &member.id, &officer.certificate, holder, person).await?;
        }
    }
    if let Some(officer) = &layout.network.network_officer {
        let holder = api::HolderKind::NetworkOfficer;
        certificate(&mut registry, "network", &officer.certificate, holder, "fg.netwerk".to_owned()).await?;
    }
    Ok(())
}

/// As a partner, at its own agent.
pub(super) async fn join(member: &Member, now: OffsetDateTime) -> Result<(), DemoError> {
    let person = Person { certificate: member.certificate.clone(), key: member.key.clone() };
    let process = slug(&member.id);
    let channel = reach(&process, connect(&member.agent, &person, now).await)?;
    let keys = api::PublishKeysRequest { request_id: Uuid::new_v4().to_string(), keys: None };
    let published = DirectoryClient::new(channel.clone()).publish_keys(keys).await;
    done(&process, &format!("publishing the keys of {}", member.id), published)?;
    let mut covenants = CovenantsClient::new(channel);
    let covenant = covenants.get_covenant(api::GetCovenantRequest { name: String::new() }).await;
    let covenant = done(&process, &format!("reading the covenant as {}", member.id), covenant)?;
    let request = api::SignCovenantRequest {
        request_id: Uuid::new_v4().to_string(),
        name: covenant.name,
        content_hash: covenant.content_hash,
        ..Default::default()
    };
    done(&process, &format!("signing the covenant as {}", member.id), covenants.sign_covenant(request).await)
        .map(|_| ())
}

async fn certificate(
    registry: &mut RegistryClient<Channel>,
    id: &str,
    chain: &std::path::Path,
    holder: api::HolderKind,
    person_ref: String,
) -> Result<(), DemoError> {
    let leaf = CertificateDer::from_pem_file(chain).map_err(|_| CaError::Damaged(chain.to_owned()))?;
    let request = api::RegisterCertificateRequest {
        request_id: Uuid::new_v4().to_string(),
        certificate: leaf.to_vec(),
        holder: holder.into(),
        person_ref,
        ..Default::default()
    };
    let what = format!("registering a certificate of {id} as {}", holder.as_str_name());
    done("hub", &what, registry.register_certificate(request).await).map(|_| ())
}

fn done<T>(process: &str, what: &str, answer: Result<tonic::Response<T>, tonic::Status>) -> Result<T, DemoError> {
    answer.map(tonic::Response::into_inner).map_err(|status| DemoError::Enrol {
        process: process.to_owned(),
        what: what.to_owned(),
        why: crate::cli::remote::explain(&status),
    })
}

fn reach<T>(name: &str, channel: Result<T, impl std::error::Error + Send + Sync + 'static>) -> Result<T, DemoError> {
    channel.map_err(|error| DemoError::Reach { name: name.to_owned(), source: Box::new(error) })
}
