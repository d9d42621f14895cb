//! An agent that the hub calls too old.

use std::time::Duration;

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::network::*;
use super::nodes::{list, resolve};
use crate::version;

#[tokio::test]
async fn it_says_what_it_is_and_shows_what_it_is_told() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    let answers = async |service: &str| {
        let question = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(almelo.channel.clone()).check(question).await.unwrap().into_inner().status
    };
    let eventually = async |service: &str, status: i32| {
        for _ in 0..200 {
            if answers(service).await == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{service} does not become {status}");
    };
    eventually("readiness", 1).await;
    assert_eq!(answers("version").await, 1);
    list(&almelo).await.unwrap();
    let agents = network.hub.state().agents.clone();
    assert!(!agents.is_empty() && agents.iter().all(|said| said.starts_with(version::AGENT)), "{agents:?}");

    // A warning: everything goes on, and its health says so.
    network.hub.state().outdated = Some("warned; agent 0.1.0 is below the covenant's minimum 9.0.0; a newer one: x");
    list(&almelo).await.unwrap();
    eventually("version", 2).await;
    assert_eq!((answers("").await, answers("readiness").await), (1, 1));
    // A refusal: its callers hear the hub's own words, and it is not ready.
    network.hub.state().outdated = Some("refused; agent 0.1.0 is below the covenant's minimum 9.0.0; a newer one: x");
    let refused = list(&almelo).await.unwrap_err();
    let reason = refused.get_details_error_info().unwrap().reason;
    assert_eq!((refused.code(), reason.as_str()), (Code::FailedPrecondition, "VERSION_OUTDATED"));
    eventually("readiness", 2).await;
    assert_eq!((answers("").await, answers("version").await), (1, 2));
    // The check of the known answer, on the next connection, is refused for the same reason and no other.
    network.stop_hub();
    network.restart_hub().await;
    let mut refused = resolve(&almelo).await.unwrap_err();
    for _ in 0..100 {
        if refused.code() != Code::Unavailable {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        refused = resolve(&almelo).await.unwrap_err();
    }
    assert_eq!(refused.get_details_error_info().unwrap().reason, "VERSION_OUTDATED", "{refused:?}");
    // The covenant's minimum is another one: it recovers by itself.
    network.hub.state().outdated = None;
    list(&almelo).await.unwrap();
    eventually("readiness", 1).await;
    eventually("version", 1).await;
    almelo.stop().await;
}
