//! Revocation lists at a hub's door: the profile `sluis-ca-lists`, beside the registry.

use std::process::Command;
use std::time::{Duration, Instant};

use sluis::api::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::direct::Players;
use crate::network::{Network, Party};
use crate::streams::{Live, deliver, on_both};
use crate::tree::until;

/// The lists as the hub's nodes read them, and the file of their anchors.
pub(crate) const ISSUING: &str = "lists/issuing.crl";
const ROOT: &str = "lists/root.crl";
pub(crate) const ANCHORS: &str = "lists/anchors.pem";

fn ca(network: &Network, line: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
    command.arg("ca").args(line.split_whitespace()).arg("--dir").arg(network.path("ca"));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Puts a file of the authority in its place at the hub, whole or not at all.
fn put(network: &Network, file: &str, at: &str) {
    let new = network.path(&format!("{at}.new"));
    std::fs::copy(network.path(file), &new).unwrap();
    std::fs::rename(new, network.path(at)).unwrap();
}

/// From its next start on the hub goes by the authority's lists too.
pub(crate) fn go_by_lists(network: &mut Network) {
    ca(network, "crl --root --days 90");
    ca(network, "crl");
    std::fs::create_dir(network.path("lists")).unwrap();
    put(network, "ca/root.crl", ROOT);
    put(network, "ca/issuing.crl", ISSUING);
    put(network, "ca/anchors.pem", ANCHORS);
    network.reconfigure(", anchors = \"ca/anchors.pem\" }", " }");
    let set = format!(
        r#"{{ name = "own", profile = "sluis-ca-lists", anchors = "{ANCHORS}", crls = ["{ROOT}", "{ISSUING}"] }}"#
    );
    network.reconfigure(
        r#"trust = { environment = "test" }"#,
        &format!(r#"trust = {{ environment = "test", sets = [{set}] }}"#),
    );
}

/// A file with a party's certificate.
fn certificate(network: &Network, party: &Party) -> String {
    let file = network.path("revoked.pem");
    let leaf = pem::encode(&pem::Pem::new("CERTIFICATE", party.holder.chain[0].to_vec()));
    std::fs::write(&file, leaf).unwrap();
    file.display().to_string()
}

async fn may_call(party: &Party) -> bool {
    let request = v1::ListPartnersRequest::default();
    party.client().call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.is_ok()
}

/// The time counts from before the list takes its place, so it holds the nodes' look at the file, its rest and the cut; what a
/// node sees of the file comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_list_ends_the_streams_of_a_key_on_both_nodes_within_a_second() {
    if !crate::network::is_postgres() {
        eprintln!("skipped: two nodes need PostgreSQL");
        return;
    }
    let mut network = Network::start().await;
    let players = Players::join(&network).await;
    network.stop().await;
    go_by_lists(&mut network);
    network.restart().await;
    let node = network.second_node().await;
    let mut healthy = on_both(&node, &players.gemeente).await;
    let away = node.client(&players.aanbieder.holder).await;
    let (here, there) = (Live::open(&players.aanbieder, "").await, Live::over(&away, "").await);
    deliver(&players.gemeente, &mut healthy).await;

    ca(&network, &format!("revoke --reason key-compromise {}", certificate(&network, &players.aanbieder)));
    ca(&network, "crl");
    assert!(may_call(&players.aanbieder).await, "the registry knows of nothing, and the nodes have no new list yet");
    let start = Instant::now();
    put(&network, "ca/issuing.crl", ISSUING);
    let (here, there) = tokio::join!(here.end_after(start), there.end_after(start));
    eprintln!("the list is in place; ended after {:?} and {:?}", here.1, there.1);
    for (status, took) in [here, there] {
        // The connection is cut: what a client calls that is its own affair.
        assert!(matches!(status.code(), Code::Unavailable | Code::Unknown), "{status:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let request = v1::ListPartnersRequest::default();
    assert!(away.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.is_err());
    assert!(!may_call(&players.aanbieder).await, "nor does it get in anew");
    deliver(&players.gemeente, &mut healthy).await;
    drop(healthy);
    node.stop().await;
}

/// A web server that publishes the authority's list, until the task is aborted.
async fn publish(network: &Network, port: u16) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let file = network.path("ca/issuing.crl");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let list = std::fs::read(&file).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", list.len());
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&[head.into_bytes(), list].concat()).await;
        }
    })
}

/// A hub that fetches its issuer's list: there before the first caller is, kept when the server is away, and in force when it is newer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_fetches_lists_and_goes_by_the_last_good_one() {
    let mut network = Network::start().await;
    let players = Players::join(&network).await;
    network.stop().await;
    go_by_lists(&mut network);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    network.reconfigure(
        &format!(r#"crls = ["{ROOT}", "{ISSUING}"]"#),
        &format!(
            r#"crls = ["{ROOT}"], crl_urls = ["http://127.0.0.1:{port}/issuing.crl"], crl_directory = "lists/kept", issuers = "ca/issuing.pem""#
        ),
    );
    let both = async || (may_call(&players.gemeente).await, may_call(&players.aanbieder).await);
    for (is_published, is_good) in [(true, true), (false, true), (true, false)] {
        let server = if is_published { Some(publish(&network, port).await) } else { None };
        let mut hub = network.restart_as_process().await;
        // The first round of fetching begins with the process.
        until(|| async { (both().await == (true, is_good)).then_some(()) }).await;
        hub.kill().unwrap();
        hub.wait().unwrap();
        if let Some(server) = server {
            server.abort();
            let _ = server.await;
        } else {
            ca(&network, &format!("revoke --reason key-compromise {}", certificate(&network, &players.aanbieder)));
            ca(&network, "crl");
        }
    }
    let said = std::fs::read_to_string(network.path("hub.log")).unwrap();
    assert!(said.contains("a revocation list was fetched"), "{said}");
}
