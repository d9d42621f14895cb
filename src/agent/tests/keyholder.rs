//! A keyholder that is away: a number becomes a pseudonym at the keyholder only, everything else goes on without.

use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::network::*;
use super::nodes::{eventually, list};
use crate::api::v1;
use crate::api::v1::pseudonyms_client::PseudonymsClient;
use crate::api::v1::subject::Id;

/// What needs the keyholder.
async fn resolve(almelo: &Running) -> Result<(), Status> {
    let subject = Some(v1::Subject { id: Some(Id::Bsn("999900006".into())) });
    let request = v1::ResolvePseudonymRequest { context: context(), subject };
    PseudonymsClient::new(almelo.channel.clone()).resolve_pseudonym(request).await.map(|_| ())
}

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
        // In the midst of many, and its connections end a moment later.
        let many = async || {
            while resolve(&almelo).await.inspect_err(says_that_nothing_was_done).is_ok() {}
        };
        let kill = async {
            eventually(async || subjects(&network) > 10 * round).await;
            network.kill_keyholder();
        };
        tokio::join!(many(), many(), many(), many(), kill);
        let sent = subjects(&network);
        says_that_nothing_was_done(&resolve(&almelo).await.unwrap_err());
        list(&almelo).await.unwrap();
        assert!(ready(&almelo).await, "there is much that it can do");
        assert_eq!(subjects(&network), sent, "{round}");
        network.start_keyholder().await;
        resolve(&almelo).await.unwrap();
        assert_eq!(subjects(&network), sent + 1, "{round}");
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
