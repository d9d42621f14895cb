//! A hub of two nodes, one of which goes away.

use std::cell::RefCell;
use std::io::Write;
use std::time::Duration;

use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::network::*;
use super::records;
use crate::agent::nodes::{Again, Node};
use crate::agent::refusal::is_unanswered;
use crate::api::v1;
use crate::api::v1::directory_client::DirectoryClient;
use crate::api::v1::inbox_client::InboxClient;
use crate::api::v1::pseudonyms_client::PseudonymsClient;
use crate::api::v1::records_client::RecordsClient;
use crate::api::v1::subject::Id;

const ID: &str = "0b0e7d38-7a5c-4a39-9d1c-0a6f3a1e9f10";

/// Reads, at whichever node the agent is with.
pub(super) async fn list(almelo: &Running) -> Result<(), Status> {
    let request = v1::ListPartnersRequest::default();
    DirectoryClient::new(almelo.channel.clone()).list_partners(request).await.map(|_| ())
}

/// Names somebody.
pub(super) async fn resolve(almelo: &Running) -> Result<(), Status> {
    let subject = Some(v1::Subject { id: Some(Id::Bsn("999900006".into())) });
    let request = v1::ResolvePseudonymRequest { context: context(), subject };
    PseudonymsClient::new(almelo.channel.clone()).resolve_pseudonym(request).await.map(|_| ())
}

/// Changes something.
async fn ask(almelo: &Running, request_id: &str) -> Result<(), Status> {
    let request = v1::RequestRecordsRequest {
        request_id: request_id.into(),
        context: context(),
        case: case_name(ALMELO),
        ..Default::default()
    };
    RecordsClient::new(almelo.channel.clone()).request_records(request).await.map(|_| ())
}

/// Starts `call`, waits until the first node has carried it out without answering, and takes that node away.
async fn lose_first_node<T>(network: &Network, call: impl Future<Output = T>) -> T {
    network.hub.state().hangs = Some(0);
    let lose = async {
        eventually(async || !network.hub.state().done.is_empty()).await;
        network.stop_node(0);
    };
    tokio::join!(call, lose).0
}

/// Waits until it is so.
pub(super) async fn eventually(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never");
}

fn done(network: &Network) -> Vec<(usize, String)> {
    std::mem::take(&mut network.hub.state().done)
}

fn at(node: usize, id: &str) -> (usize, String) {
    (node, id.to_owned())
}

#[tokio::test]
async fn calls_go_to_one_node_and_to_the_next_when_that_one_is_gone() {
    let network = Network::with_nodes(2).await;
    let almelo = network.agent(ALMELO, true).await;
    list(&almelo).await.unwrap();
    ask(&almelo, ID).await.unwrap();
    assert_eq!(done(&network), [at(0, ""), at(0, ID)]);
    network.stop_node(0);
    // Its connections end a moment later.
    eventually(async || list(&almelo).await.is_ok()).await;
    ask(&almelo, ID).await.unwrap();
    assert_eq!(done(&network), [at(1, ""), at(1, ID)]);
    // Nobody goes back without need.
    network.restart_node(0).await;
    list(&almelo).await.unwrap();
    assert_eq!(done(&network), [at(1, "")]);
    network.hub.state().unavailable = Some(1);
    ask(&almelo, ID).await.unwrap();
    list(&almelo).await.unwrap();
    assert_eq!(done(&network), [at(0, ID), at(0, "")]);
    almelo.stop().await;
}

#[tokio::test]
async fn what_may_have_been_done_is_done_again_under_its_request_id_only() {
    let network = Network::with_nodes(2).await;
    let almelo = network.agent(ALMELO, true).await;
    lose_first_node(&network, ask(&almelo, ID)).await.unwrap();
    assert_eq!(done(&network), [at(0, ID), at(1, ID)]);
    almelo.stop().await;

    for reads in [false, true] {
        let network = Network::with_nodes(2).await;
        let almelo = network.agent(ALMELO, true).await;
        let call = async { if reads { list(&almelo).await } else { ask(&almelo, "").await } };
        let lost = lose_first_node(&network, call).await;
        assert_eq!(lost.unwrap_err().code(), Code::Unavailable, "{reads}");
        assert_eq!(done(&network), [at(0, "")], "{reads}");
        list(&almelo).await.unwrap();
        assert_eq!(done(&network), [at(1, "")], "{reads}");
        almelo.stop().await;
    }
}

#[tokio::test]
async fn what_was_never_sent_is_sent_elsewhere() {
    let network = Network::with_nodes(3).await;
    network.stop_node(0);
    network.stop_node(1);
    let agent = network.idle(ALMELO);
    let read = |node: Node| async move {
        DirectoryClient::new(node.channel).list_partners(v1::ListPartnersRequest::default()).await
    };
    agent.links.hub.call(Again::No, read).await.unwrap();
    assert_eq!(done(&network), [at(2, "")]);
    network.stop_node(2);
    let gone = async || agent.links.hub.call(Again::No, read).await.map(|_| ()).unwrap_err();
    eventually(async || is_unanswered(&gone().await)).await;
    assert!(done(&network).is_empty());
}

#[tokio::test]
async fn a_record_is_published_once_though_its_node_went_away() {
    let network = Network::with_nodes(2).await;
    let almelo = network.agent(ALMELO, true).await;
    almelo.publish_keys().await;
    let open = records::open(ALMELO, "sluis/tekst/v1");
    let id = open.request_id.clone();
    let publishing = records::publish(&almelo, open, vec!["De jeugdige wil thuis blijven wonen.".into()]);
    lose_first_node(&network, publishing).await.unwrap();
    assert_eq!(done(&network), [at(0, &id), at(1, &id)]);
    assert_eq!((network.hub.state().records.len(), almelo.spooled()), (1, 0));
    almelo.stop().await;
}

#[tokio::test]
async fn an_inbox_goes_on_after_the_last_item_at_another_node() {
    let network = Network::with_nodes(2).await;
    let almelo = network.agent(ALMELO, true).await;
    let mut inbox = InboxClient::new(almelo.channel.clone());
    let request = v1::StreamInboxRequest { cursor: "7".into(), ..Default::default() };
    let mut items = inbox.stream_inbox(request).await.unwrap().into_inner();
    let mut next = async || items.message().await.map(|item| item.unwrap().cursor);
    for cursor in ["8", "9"] {
        assert_eq!(next().await.unwrap(), cursor);
    }
    network.stop_node(0);
    for cursor in ["10", "11"] {
        assert_eq!(next().await.unwrap(), cursor);
    }
    assert_eq!(done(&network), [at(0, "7"), at(1, "9")]);
    network.restart_node(0).await;
    network.stop_node(1);
    assert_eq!(next().await.unwrap(), "12");
    assert_eq!(done(&network), [at(0, "11")]);
    assert_eq!(next().await.unwrap(), "13");
    network.stop_node(0);
    assert_eq!(next().await.unwrap_err().code(), Code::Unavailable);
    almelo.stop().await;
}

#[tokio::test]
async fn a_node_that_is_not_ready_is_left_for_one_that_is() {
    let network = Network::with_nodes(2).await;
    let almelo = network.agent(ALMELO, true).await;
    list(&almelo).await.unwrap();
    for (not_ready, ready) in [(0, 1), (1, 0)] {
        network.hub.state().not_ready = Some(not_ready);
        resolve(&almelo).await.unwrap();
        list(&almelo).await.unwrap();
        assert_eq!(done(&network).pop(), Some(at(ready, "")));
    }
    almelo.stop().await;
}

#[tokio::test]
async fn no_subject_goes_to_a_node_that_finds_another_answer() {
    let network = Network::with_nodes(2).await;
    let almelo = network.agent(ALMELO, true).await;
    network.hub.state().differs = Some(1);
    resolve(&almelo).await.unwrap();
    network.stop_node(0);
    eventually(async || list(&almelo).await.is_ok()).await;
    assert_eq!(resolve(&almelo).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(network.hub.state().subjects.len(), 1);
    almelo.stop().await;

    // Nor when the first node is gone between the check and the call.
    let network = Network::with_nodes(2).await;
    let agent = network.idle(ALMELO);
    agent.links.agreed().await.unwrap();
    network.hub.state().differs = Some(1);
    network.hub.state().unavailable = Some(0);
    let method = "sluis.v1.Pseudonyms/ResolvePseudonym";
    let call = |hub, request| async move { PseudonymsClient::new(hub).resolve_pseudonym(request).await };
    let request = || Request::new(v1::ResolvePseudonymRequest::default());
    let refused = agent.send_subject(method, request(), Again::Yes, call).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(network.hub.state().subjects.is_empty());
    network.hub.state().unavailable = None;
    agent.send_subject(method, request(), Again::Yes, call).await.unwrap_err();
    agent.send(method, request(), Again::Yes, call).await.unwrap();
}

thread_local! {
    /// The log of this thread, which is that of one test.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn readiness() -> HealthCheckRequest {
    HealthCheckRequest { service: "readiness".to_owned() }
}

#[tokio::test]
async fn the_agent_is_not_ready_while_no_node_is_there_and_says_so_once() {
    // For all threads: a subscriber of one thread misses events that another thread came by first.
    tracing_subscriber::fmt().with_writer(|| Lines).with_ansi(false).init();
    let logged = |words: &str| LOG.with_borrow(|log| String::from_utf8_lossy(log).matches(words).count());
    let network = Network::with_nodes(2).await;
    let almelo = network.agent(ALMELO, true).await;
    let mut health = HealthClient::new(almelo.channel.clone());
    let mut serves = async || health.check(readiness()).await.unwrap().into_inner().status == 1;
    eventually(&mut serves).await;
    for round in 1..=2 {
        network.stop_node(0);
        eventually(async || list(&almelo).await.is_ok()).await;
        assert!(serves().await, "one node is enough");
        network.stop_node(1);
        for _ in 0..3 {
            assert_eq!(list(&almelo).await.unwrap_err().code(), Code::Unavailable);
        }
        eventually(async || !serves().await).await;
        network.restart_node(0).await;
        eventually(&mut serves).await;
        network.restart_node(1).await;
        assert_eq!(logged("no node of the hub can be reached"), round);
        assert_eq!(logged("ready again"), round);
        list(&almelo).await.unwrap();
    }
    assert_eq!(logged("hub and keyholder were reached"), 1);
    almelo.stop().await;
}
