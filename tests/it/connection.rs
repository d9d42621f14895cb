//! `Connection.TestConnection`: what the hub sees of a connection, for every kind of caller, and nothing of any case.

use prost::Message as _;
use ring::digest::{SHA256, digest};
use sluis::api::v1;
use sluis::wire::timestamp;
use tonic::Code;

use crate::calls::{Client, fields};
use crate::direct::Players;
use crate::network::{ANDERE_GEMEENTE, GEMEENTE, Holder, NETWERK, Network, now};
use v1::Comparison::{Different, Equal, NotAsked};

async fn test(client: &Client, request: v1::TestConnectionRequest) -> v1::TestConnectionResponse {
    client.call("Connection/TestConnection", &request).await.unwrap().message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_registered_caller_is_told_what_the_hub_sees() {
    let network = Network::start().await;
    let partner = network.partner(GEMEENTE, v1::OrganisationKind::Gemeente).await;
    // Neither keys nor a signature under the covenant.
    let newcomer = network.registered(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let officer = network.officer_of(GEMEENTE, "fg-gemeente").await;
    let before = now();
    let table: [(&Holder, &str, v1::HolderKind); 5] = [
        (&partner.holder, GEMEENTE, v1::HolderKind::Organisation),
        (&newcomer.holder, ANDERE_GEMEENTE, v1::HolderKind::Organisation),
        (&officer, GEMEENTE, v1::HolderKind::Officer),
        (&network.officer, NETWERK, v1::HolderKind::NetworkOfficer),
        (&network.operator, NETWERK, v1::HolderKind::Operator),
    ];
    for (holder, oin, kind) in table {
        let told = test(&holder.client, v1::TestConnectionRequest::default()).await;
        let certificate = told.certificate.as_ref().unwrap();
        assert_eq!((certificate.oin.as_str(), told.holder()), (oin, kind));
        assert_eq!(certificate.key_hash, holder.key_hash);
        assert!(certificate.subject.contains(oin) && certificate.issuer.contains("Sluis issuing CA"), "{told:?}");
        assert_eq!((certificate.policies.len(), certificate.anchor_set.as_str()), (1, "own-ca"));
        assert!(certificate.expire_time.unwrap().seconds > before.unix_timestamp());
        let tls = told.tls.as_ref().unwrap();
        assert_eq!((tls.protocol_version.as_str(), tls.application_protocol.as_str()), ("TLSv1.3", "h2"));
        assert!(tls.cipher_suite.starts_with("TLS_") && !tls.group.is_empty(), "{tls:?}");
        let versions = told.versions.as_ref().unwrap();
        assert_eq!((versions.apis.as_slice(), versions.covenant), (&["sluis.v1".to_owned()][..], 1));
        assert_eq!((versions.hub.as_str(), versions.agent.as_str()), (sluis::version::OWN, ""));
        assert_eq!((told.node.as_str(), told.clock_difference), ("hub-1", None));
        assert_eq!((told.known_answer(), told.canonical_input()), (NotAsked, NotAsked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_and_known_answers_are_compared() {
    let network = Network::start().await;
    let client = &network.operator.client;
    for behind in [300, 0, -300] {
        let client_time = Some(timestamp(now() - time::Duration::seconds(behind)));
        let told = test(client, v1::TestConnectionRequest { client_time, ..Default::default() }).await;
        // The way of the request is in it, on a machine that has other things to do.
        let difference = told.clock_difference.unwrap();
        let ahead = difference.seconds - behind;
        assert!((0..30).contains(&ahead) || (ahead == -1 && difference.nanos != 0), "{behind}: {difference:?}");
    }
    let input = digest(&SHA256, br#"{"landCode":"NL","type":"BSN","value":"999990019"}"#).as_ref().to_vec();
    for (known_answer, canonical_input, expected) in [
        (network.known_answer(), input.clone(), (Equal, Equal)),
        (vec![7; 32], input, (Different, Equal)),
        (network.known_answer(), vec![7; 32], (Equal, Different)),
        (vec![], vec![], (NotAsked, NotAsked)),
    ] {
        let request = v1::TestConnectionRequest { client_time: None, known_answer, canonical_input };
        let told = test(client, request).await;
        assert_eq!((told.known_answer(), told.canonical_input()), expected);
    }
    let wrong = v1::TestConnectionRequest {
        client_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        known_answer: vec![0; 31],
        canonical_input: vec![0; 33],
    };
    let refused = client.call::<_, v1::TestConnectionResponse>("Connection/TestConnection", &wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(fields(&refused), ["client_time", "known_answer", "canonical_input"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_case_is_told() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let request = v1::TestConnectionRequest::default();
    let before = test(players.gemeente.client(), request.clone()).await;
    players.gemeente.refer(None).await.unwrap();
    let after = test(players.gemeente.client(), request).await;
    let without_time = |told| v1::TestConnectionResponse { hub_time: None, ..told }.encode_to_vec();
    assert_eq!(without_time(before), without_time(after), "the same with a case as without one");
}
