//! A keyholder that is away: a number becomes a pseudonym at the keyholder only, everything else goes on without.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::network::*;
use super::nodes::{eventually, list, resolve};

fn subjects(network: &Network) -> usize {
    network.hub.state().subjects.len()
}

async fn ready(almelo: &Running) -> bool {
    let question = HealthCheckRequest { service: "readiness".to_owned() };
    HealthClient::new(almelo.channel.clone()).check(question).await.unwrap().into_inner().status == 1
}

fn says_that_nothing_was_done(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("nothing was done"), "{status:?}");
}

#[tokio::test]
async fn an_agent_that_starts_before_the_keyholder_is_ready_when_that_is_there() {
    let network = Network::start().await;
    network.kill_keyholder();
    let almelo = network.agent(ALMELO, true).await;
    says_that_nothing_was_done(&resolve(&almelo).await.unwrap_err());
    list(&almelo).await.unwrap();
    assert!(!ready(&almelo).await && subjects(&network) == 0);
    network.start_keyholder().await;
    eventually(async || ready(&almelo).await).await;
    resolve(&almelo).await.unwrap();
    assert_eq!(subjects(&network), 1);
    almelo.stop().await;
}

#[tokio::test]
async fn what_needs_no_keyholder_goes_on_without_and_the_rest_as_soon_as_it_is_back() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    eventually(async || ready(&almelo).await).await;
    resolve(&almelo).await.unwrap();
    for round in 1..=2 {
        let before = subjects(&network);
        // In the midst of many, and its connections end a moment later.
        let many = async || {
            while resolve(&almelo).await.inspect_err(says_that_nothing_was_done).is_ok() {
                // The quota is for a minute.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let kill = async {
            eventually(async || subjects(&network) > before + 1).await;
            network.kill_keyholder();
        };
        tokio::join!(many(), many(), many(), kill);
        let sent = subjects(&network);
        says_that_nothing_was_done(&resolve(&almelo).await.unwrap_err());
        list(&almelo).await.unwrap();
        assert!(ready(&almelo).await, "there is much that it can do");
        assert_eq!(subjects(&network), sent, "{round}");
        network.start_keyholder().await;
        resolve(&almelo).await.unwrap();
        assert_eq!(subjects(&network), sent + 1, "{round}");
        assert!(network.remaining(ALMELO).await > 100);
    }
    almelo.stop().await;
}

#[tokio::test]
async fn a_keyholder_that_says_nothing_holds_up_nobody_else() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    eventually(async || ready(&almelo).await).await;
    network.kill_keyholder();
    eventually(async || resolve(&almelo).await.is_err()).await;
    let sent = subjects(&network);
    let silent = network.silent_keyholder().await;
    let goes_away = async {
        let connection = silent.accept().await.unwrap();
        list(&almelo).await.unwrap();
        drop((connection, silent));
    };
    let (one, two, ()) = tokio::join!(resolve(&almelo), resolve(&almelo), goes_away);
    for refused in [one, two] {
        says_that_nothing_was_done(&refused.unwrap_err());
    }
    assert_eq!(subjects(&network), sent);
    network.start_keyholder().await;
    resolve(&almelo).await.unwrap();
    almelo.stop().await;
}
