//! `kill -HUP`, as an operator sends it to a hub that runs as a process: what it loads anew, and what it leaves as it was.

use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use tonic::Status;

use crate::calls::reason;
use crate::direct::Players;
use crate::health::PATIENCE;
use crate::lists::{ANCHORS, ISSUING, go_by_lists};
use crate::network::{LIMITS, Network, Party};
use crate::streams::{Live, deliver};

const LOADED: &str = "certificates, anchors, lists and limits were loaded anew";
const ALARM: &str = "ALARM: nothing was loaded anew, what was loaded before stays in force";

/// A hub that ends with the test.
struct Hub<'n> {
    network: &'n Network,
    config: String,
    process: Child,
}

impl Drop for Hub<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Hub<'_> {
    /// With further limits in the file that it reads.
    fn limit(&self, more: &str) {
        let text = self.config.replace(&format!("{{ {LIMITS} }}"), &format!("{{ {LIMITS}{more} }}"));
        assert!(text.contains(more));
        std::fs::write(self.network.path("hub.toml"), text).unwrap();
    }

    /// The lines of its log that say this because of a signal.
    fn said(&self, message: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(self.network.path("hub.log")).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message && line["cause"] == "signal").collect()
    }

    /// Sends the signal, and waits for the line that says what came of it.
    async fn hang_up(&self, message: &str) -> Value {
        let before = self.said(message).len();
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        let line = async {
            loop {
                match self.said(message).into_iter().nth(before) {
                    Some(line) => return line,
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let line = tokio::time::timeout(PATIENCE, line).await;
        line.unwrap_or_else(|_| panic!("`{message}` is not said: {:?}", self.said(LOADED)))
    }

    async fn loads(&self) {
        let line = self.hang_up(LOADED).await;
        assert_eq!(line["cut"], "0", "{line}");
    }

    async fn refuses(&self, why: &str) {
        let line = self.hang_up(ALARM).await;
        assert_eq!(line["level"], "ERROR", "{line}");
        assert!(line["error"].as_str().unwrap().contains(why), "{why}: {line}");
    }
}

/// Whether a second inbox of a partner is let in beside the one that it has.
async fn second_inbox(party: &Party) -> Result<(), Status> {
    let request = sluis::api::v1::StreamInboxRequest { context: crate::direct::FASE.context(), ..Default::default() };
    let messages = tokio_stream::once(prost::Message::encode_to_vec(&request));
    let (_, mut inbox) = party.client().open("/sluis.v1.Inbox/StreamInbox", messages).await?;
    // It is let in when it waits, or has something.
    match tokio::time::timeout(Duration::from_millis(300), inbox.message()).await {
        Ok(Err(status)) => Err(status),
        _ => Ok(()),
    }
}

/// The places of inboxes that were given up come back a moment later.
async fn until_let_in(party: &Party) {
    for _ in 0..100 {
        if second_inbox(party).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no second inbox");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_loads_everything_or_nothing_and_ends_no_stream() {
    let mut network = Network::start().await;
    let players = Players::join(&network).await;
    network.stop().await;
    go_by_lists(&mut network);
    let process = network.restart_as_process().await;
    let gemeente = &players.gemeente;
    let config = std::fs::read_to_string(network.path("hub.toml")).unwrap();
    let hub = Hub { network: &network, config, process };
    let mut live = [Live::open(gemeente, "").await];
    until_let_in(gemeente).await;

    // Another limit acts, on whoever comes.
    hub.limit(", streams_per_partner = 1");
    hub.loads().await;
    let refused = second_inbox(gemeente).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("RATE_LIMITED"), "{refused:?}");
    deliver(gemeente, &mut live).await;
    hub.limit("");
    hub.loads().await;
    until_let_in(gemeente).await;

    // A configuration that can't be read, with a limit in it that could.
    hub.limit(", streams_per_partner = 1, nonsense = 1");
    hub.refuses("hub.toml").await;
    until_let_in(gemeente).await;
    deliver(gemeente, &mut live).await;
    hub.limit("");

    // A list that is none, with a limit that is good.
    let list = std::fs::read(network.path(ISSUING)).unwrap();
    std::fs::write(network.path(ISSUING), &list[..list.len() / 2]).unwrap();
    hub.limit(", streams_per_partner = 1");
    hub.refuses("issuing.crl").await;
    until_let_in(gemeente).await;
    deliver(gemeente, &mut live).await;

    // A new certificate, the list and another limit, all good, and anchors that are not. The anchors first: what is good is loaded
    // without a signal too.
    let before = network.shown().await.unwrap();
    let anchors = std::fs::read(network.path(ANCHORS)).unwrap();
    std::fs::write(network.path(ANCHORS), b"-----BEGIN CERTIFICATE-----\n!!").unwrap();
    std::fs::write(network.path(ISSUING), list).unwrap();
    network.renew_hub();
    hub.refuses("anchors.pem").await;
    assert_eq!(network.shown().await.unwrap(), before, "the old one is shown still");
    until_let_in(gemeente).await;
    deliver(gemeente, &mut live).await;

    // With the anchors as they were, all of it counts.
    std::fs::write(network.path(ANCHORS), anchors).unwrap();
    hub.loads().await;
    assert_ne!(network.shown().await.unwrap(), before);
    let refused = second_inbox(gemeente).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("RATE_LIMITED"), "{refused:?}");
    deliver(gemeente, &mut live).await;
}
