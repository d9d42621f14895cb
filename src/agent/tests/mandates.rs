//! A supplier's agent in its customer's name, and a hub that lies about who gave whom a mandate.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::Duration;
use tonic::Code;

use super::network::*;
use super::records::{TEXT, fetch, open, publish, published};
use crate::agent::certified::Certified;
use crate::api::v1;
use crate::api::v1::covenants_client::CovenantsClient;
use crate::clock::{Clock as _, SystemClock};
use crate::mandate::Moment;
use crate::seal::Mandate;

/// A mandate in Almelo's name to the supplier, signed under the certificate with this file name.
fn mandate(running: &Running, signer: &str, days: i64) -> v1::Mandate {
    let ca = running.home.parent().unwrap().join("ca");
    given(&ca, signer, ALMELO, LEVERANCIER, days)
}

pub(in crate::agent) fn given(ca: &std::path::Path, signer: &str, principal: &str, to: &str, days: i64) -> v1::Mandate {
    let file = |extension: &str| ca.join(format!("{signer}.{extension}"));
    let chain = CertificateDer::pem_file_iter(file("pem")).unwrap().map(|der| der.unwrap().to_vec()).collect();
    let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
    let (starts, ends) = (SystemClock.now() - Duration::days(2), SystemClock.now() + Duration::days(days));
    let id = uuid::Uuid::new_v4();
    let mandate = Mandate::new(id, "proef", (principal.parse().unwrap(), to.parse().unwrap()), (starts, ends)).unwrap();
    crate::mandate::message(mandate.sign(&key).unwrap(), chain)
}

/// Raalte's own agent, and Almelo's, which a supplier runs.
async fn pair() -> (Network, Running, Running) {
    let network = Network::start().await;
    network.supply();
    let (almelo, raalte) = (network.agent(ALMELO, true).await, network.agent(RAALTE, true).await);
    almelo.publish_keys().await;
    raalte.publish_keys().await;
    network.hub.state().to = vec![RAALTE.into()];
    (network, almelo, raalte)
}

#[tokio::test]
async fn records_go_to_and_fro_through_a_suppliers_agent() {
    let (network, almelo, raalte) = pair().await;
    let shown = network.hub.state().keys[ALMELO].clone();
    assert!(shown.mandate.is_some());
    let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    assert_eq!(fetch(&raalte, RAALTE, &name).await.unwrap(), TEXT.as_bytes());
    network.hub.state().to = vec![ALMELO.into()];
    let back = v1::OpenRecord { recipients: vec![], ..open(RAALTE, "sluis/tekst/v1") };
    let back = publish(&raalte, back, vec!["terug".into()]).await.unwrap().into_inner().record.unwrap().name;
    let request = v1::FetchRecordRequest {
        context: Some(v1::RequestContext { acting_role: v1::Role::R05.into(), ..context().unwrap() }),
        name: back,
        case: case_name(ALMELO),
    };
    let mut records = v1::records_client::RecordsClient::new(almelo.channel.clone());
    assert!(records.fetch_record(request).await.is_ok());
    // What binds the customer itself, the supplier does not sign.
    let copy = crate::agent::covenant::OwnCopy::of([]);
    let sign = v1::SignCovenantRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        name: copy.name.clone(),
        content_hash: copy.content_hash.to_vec(),
        ..Default::default()
    };
    let refusal = CovenantsClient::new(almelo.channel.clone()).sign_covenant(sign).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains("the partner itself signs"), "{refusal}");
}

/// A hub, or its operator, that lets somebody publish in Almelo's name: no agent seals to that.
#[tokio::test]
async fn no_agent_believes_a_mandate_that_the_partner_did_not_give() {
    let (network, almelo, raalte) = pair().await;
    network.hub.state().to = vec![ALMELO.into()];
    let right = network.hub.state().keys[ALMELO].clone();
    publish(&raalte, open(RAALTE, "sluis/tekst/v1"), vec![TEXT.into()]).await.unwrap();
    let before = network.hub.state().records.len();
    network.reissue(ALMELO, "almelo-2");
    let (of_raalte, to_zwolle) = {
        let ca = almelo.home.parent().unwrap().join("ca");
        (given(&ca, RAALTE, RAALTE, LEVERANCIER, 10), given(&ca, ALMELO, ALMELO, ZWOLLE, 10))
    };
    let mut altered = right.mandate.clone().unwrap();
    altered.document = mandate(&almelo, ALMELO, 20).document;
    for (what, wrong) in [
        ("none", None),
        ("made up by the supplier", Some(mandate(&almelo, SUPPLIER_FILE, 10))),
        ("signed by the hub's server", Some(mandate(&almelo, "hub", 10))),
        ("signed by another partner", Some(mandate(&almelo, ZWOLLE, 10))),
        ("another partner's", Some(of_raalte)),
        ("to somebody else", Some(to_zwolle)),
        ("over", Some(mandate(&almelo, ALMELO, -1))),
        ("for longer than the certificate", Some(mandate(&almelo, ALMELO, 60))),
        ("altered", Some(altered)),
        ("empty", Some(v1::Mandate::default())),
    ] {
        let keys = v1::KeySet { mandate: wrong, ..right.clone() };
        network.hub.state().keys.insert(ALMELO.into(), keys);
        let refusal = publish(&raalte, open(RAALTE, "sluis/tekst/v1"), vec![TEXT.into()]).await.unwrap_err();
        assert_eq!(refusal.code(), Code::FailedPrecondition, "{what}");
        assert!(refusal.message().contains(ALMELO), "{what}: {refusal}");
    }
    assert_eq!(network.hub.state().records.len(), before);
    // Signed by another certificate of the partner itself it counts.
    let keys = v1::KeySet { mandate: Some(mandate(&almelo, "almelo-2", 10)), ..right };
    network.hub.state().keys.insert(ALMELO.into(), keys);
    publish(&raalte, open(RAALTE, "sluis/tekst/v1"), vec![TEXT.into()]).await.unwrap();
}

/// An agent says so at its start, rather than publish what nobody believes.
#[tokio::test]
async fn an_agent_starts_with_the_mandate_of_its_own_certificate_only() {
    let network = Network::start().await;
    network.supply();
    let almelo = network.agent(ALMELO, true).await;
    let (config, trust) = (network.config(ALMELO), network.trust());
    let now = SystemClock.now();
    let loaded =
        |config: &crate::config::AgentConfig, now| Certified::load(config, &trust, Moment::of("proef", now)).err();
    assert!(loaded(&config, now).is_none());
    assert!(loaded(&config, now + Duration::days(11)).is_some(), "over");
    let file = config.mandate.clone().unwrap().file;
    for wrong in [mandate(&almelo, SUPPLIER_FILE, 10), given(&network.ca(), ALMELO, ALMELO, ZWOLLE, 10)] {
        std::fs::write(&file, crate::mandate::file::write(&wrong).unwrap()).unwrap();
        assert!(loaded(&config, now).is_some());
    }
    // Of another network.
    std::fs::write(&file, crate::mandate::file::write(&given(&network.ca(), ALMELO, ALMELO, LEVERANCIER, 10)).unwrap())
        .unwrap();
    assert!(loaded(&config, now).is_none());
    assert!(Certified::load(&config, &trust, Moment::of("echt", now)).is_err());
    std::fs::write(&file, "{}").unwrap();
    assert!(loaded(&config, now).is_some());
    let without = crate::config::AgentConfig { mandate: None, ..config };
    assert!(loaded(&without, now).is_some(), "a supplier's certificate alone");
}

/// Between a new mandate or certificate and the publication under it an agent may stop: it makes up for that when it starts.
#[tokio::test]
async fn an_agent_publishes_anew_what_the_hub_shows_under_an_older_mandate_or_not_at_all() {
    let (network, almelo, _raalte) = pair().await;
    let right = network.hub.state().keys[ALMELO].clone();
    let older = v1::KeySet { mandate: Some(mandate(&almelo, ALMELO, 5)), ..right.clone() };
    let foreign = v1::KeySet { document: b"{}".to_vec(), ..older.clone() };
    let mut running = almelo;
    for (what, shown, anew) in
        [("older", Some(older), true), ("gone", None, true), ("other keys", Some(foreign.clone()), false)]
    {
        running.stop().await;
        match shown {
            Some(shown) => network.hub.state().keys.insert(ALMELO.into(), shown),
            None => network.hub.state().keys.remove(ALMELO),
        };
        running = network.agent(ALMELO, true).await;
        let mut is_right = false;
        for _ in 0..if anew { 300 } else { 20 } {
            let shown = network.hub.state().keys.get(ALMELO).cloned();
            is_right = shown.is_some_and(|shown| shown.mandate == right.mandate && shown.document == right.document);
            if is_right {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(is_right, anew, "{what}");
    }
    // One that never published does not begin to.
    running.stop().await;
    network.hub.state().keys.remove(ALMELO);
    std::fs::remove_file(network.ca().parent().unwrap().join(ALMELO).join("store/agent.published")).unwrap();
    let running = network.agent(ALMELO, true).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(!network.hub.state().keys.contains_key(ALMELO));
    running.stop().await;
}
