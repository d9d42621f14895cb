//! Certificates, anchors and limits change while the hub goes on.

use std::time::Duration;

use prost::Message as _;
use sluis::api::v1;
use tonic::Code;

use crate::direct::Players;
use crate::network::{NETWERK, Network};
use crate::streams::Live;

type Answer = Result<v1::ReloadNodeResponse, tonic::Status>;

async fn reload(network: &Network) -> Answer {
    let asked = network.operator.client.call("Registry/ReloadNode", &v1::ReloadNodeRequest {}).await;
    asked.map(|reply| reply.message)
}

/// Until a change of a file has been seen: it must have come to rest.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_while_streams_go_on() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let mut live = Live::open(&players.gemeente, "").await;
    let before = network.shown().await.unwrap();
    network.renew_hub();
    let answer = reload(&network).await.unwrap();
    assert_eq!((answer.node.as_str(), answer.connections_cut), ("hub-1", 0));
    let own = &answer.sets[0];
    assert_eq!((own.name.as_str(), own.anchors.len(), own.lists.len()), ("own-ca", 1, 0));
    assert!(own.anchors[0].subject.contains("Sluis root CA"), "{own:?}");
    let after = network.shown().await.unwrap();
    assert_ne!(before, after);
    assert!(live.maybe().await.is_none(), "nothing new, and not ended");
    // By itself too.
    network.renew_hub();
    until("the changed file was not seen", async || network.shown().await.unwrap() != after).await;
    assert!(live.maybe().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_changes_nothing_and_says_so() {
    let network = Network::start().await;
    let before = network.shown().await.unwrap();
    let good = std::fs::read(network.path("ca/hub.pem")).unwrap();
    let anchors = std::fs::read(network.path("ca/anchors.pem")).unwrap();
    let other = std::fs::read(network.path("ca/operator.pem")).unwrap();
    for (file, text, hint) in [
        ("ca/hub.pem", &b"-----BEGIN CERTIFICATE-----\n!!"[..], "hub.pem"),
        ("ca/hub.pem", &other[..], "is not the private key of the first certificate"),
        ("ca/anchors.pem", b"", "anchors.pem: holds no certificate"),
    ] {
        std::fs::write(network.path(file), text).unwrap();
        let refused = reload(&network).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        assert!(refused.message().contains(hint), "{refused:?}");
        assert!(refused.metadata().contains_key("sluis-event"), "{refused:?}");
        std::fs::write(network.path("ca/hub.pem"), &good).unwrap();
        std::fs::write(network.path("ca/anchors.pem"), &anchors).unwrap();
        assert_eq!(network.shown().await.unwrap(), before, "the old one stays in force");
    }
    assert!(reload(&network).await.is_ok());
}

/// `sluis cert doctor --connect`, as a partner runs it that can't get through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_tells_what_a_server_shows_and_says() {
    let network = Network::start().await;
    network.shown().await.unwrap();
    std::fs::write(network.path("other.pem"), network.other_root()).unwrap();
    let doctor = |certificate: &str, anchors: &str, more: &[&str]| {
        let path = |name: &str| network.path(name).display().to_string();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluis"));
        command.args(["cert", "--json", "doctor", "--environment", "test", "--connect", &network.address]);
        command.args(["--anchors", &path(anchors), &path(&format!("{certificate}.pem"))]).args(more);
        if !more.is_empty() {
            command.args(["--key", &path(&format!("{certificate}.key"))]);
        }
        let done = command.output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        let seen = said["seen"].clone();
        (done.status.code(), said["server"].clone(), String::from_utf8_lossy(&done.stderr).into_owned(), seen)
    };
    let (code, server, error, seen) = doctor("ca/operator", "ca/anchors.pem", &["--language", "en"]);
    assert_eq!((seen["oin"].as_str(), seen["holder"].as_str()), (Some(NETWERK), Some("HOLDER_KIND_OPERATOR")));
    assert!(seen["issuer"].as_str().unwrap().contains("Sluis issuing CA") && seen["apis"] == "sluis.v1", "{seen}");
    assert_eq!(
        (code, &server["alert"], &server["fault"]),
        (Some(0), &serde_json::Value::Null, &serde_json::Value::Null),
        "{error}"
    );
    // The hub does not know this one's authority, nor does it know the hub's.
    let stranger = network.other_certificate();
    let (code, server, _, seen) = doctor(&stranger, "other.pem", &["--language", "en"]);
    assert_eq!(seen, serde_json::Value::Null);
    assert_eq!((code, server["alert"].as_str()), (Some(1), Some("UnknownCA")), "{server}");
    assert_eq!(server["fault"].as_str(), Some("unknown_issuer"));
    // Its operator sees who it was, and nobody else does.
    let refused = network
        .operator
        .client
        .call::<_, v1::ListRefusalsResponse>("Registry/ListRefusals", &v1::ListRefusalsRequest {});
    let refused = refused.await.unwrap().message.refusals;
    assert_eq!(
        (refused.len(), refused[0].fault.as_str(), refused[0].reason.as_str()),
        (1, "unknown_issuer", "CERT_UNTRUSTED")
    );
    assert!(refused[0].subject.contains("vreemde") && refused[0].issuer.contains("Ander netwerk"), "{refused:?}");
    assert_eq!((refused[0].address.as_str(), refused[0].count), ("127.0.0.1", 1));
    // One that nobody registered gets in, and no further.
    let unregistered = network.officer_of_nobody();
    let (code, server, _, seen) = doctor(&unregistered, "ca/anchors.pem", &["--language", "en"]);
    assert_eq!((code, &server["alert"]), (Some(1), &serde_json::Value::Null), "{server}");
    assert!(seen["refused"].as_str().unwrap().starts_with("Unauthenticated"), "{seen}");
    // Without a key it is only looked at.
    let (code, server, _, _) = doctor("ca/operator", "ca/anchors.pem", &[]);
    assert_eq!((code, server["alert"].as_str()), (Some(1), Some("CertificateRequired")), "{server}");
    let (code, server, _, _) = doctor("ca/operator", "ca/anchors.pem", &["--server-name", "hub.example"]);
    assert_eq!((code, server["fault"].as_str()), (Some(1), Some("server_name")), "{server}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anchor_that_is_taken_away_cuts_those_under_it() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let live = Live::open(&players.gemeente, "").await;
    let anchors = network.path("ca/anchors.pem");
    let good = std::fs::read(&anchors).unwrap();
    std::fs::write(&anchors, network.other_root()).unwrap();
    let (status, took) = live.end().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    // The connection is cut: what a client calls that is its own affair.
    assert!(matches!(status.code(), Code::Unavailable | Code::Unknown), "{status:?}");
    let list = v1::ListPartnersRequest::default().encode_to_vec();
    let client = players.gemeente.client();
    let refused = client.send("/sluis.v1.Directory/ListPartners", vec![list.clone()], 1).await;
    assert!(refused.status.is_some());
    std::fs::write(&anchors, good).unwrap();
    until("the anchor did not come back", async || {
        client.send("/sluis.v1.Directory/ListPartners", vec![list.clone()], 1).await.status.is_none()
    })
    .await;
}
