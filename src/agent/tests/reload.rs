//! Files that changed, of an agent that goes on: one side does not wait for the other.

use std::fs;
use std::path::Path;

use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;

use super::network::*;
use crate::agent::{Agent, at_the_door, ending, local_tls};
use crate::ca::{Authority, Profile, profile};
use crate::clock::{Clock, SystemClock};
use crate::config::AgentConfig;
use crate::identity::certificate::Leaf;
use crate::pseudonym::Bsn;
use crate::serve::reload::ReloadError;
use crate::tls::{FileError, Gate};

/// Both files of a pair, as an operator puts them in place.
fn put(from: &Path, config: &AgentConfig) {
    let to = &config.local.certificate;
    for extension in ["pem", "key"] {
        fs::rename(from.with_extension(extension), to.with_extension(extension)).unwrap();
    }
}

/// Another certificate of Almelo's in the place of the one it has.
fn put_next(network: &Network) {
    network.reissue(ALMELO, "next");
    for extension in ["pem", "key"] {
        fs::rename(network.ca().join(format!("next.{extension}")), network.ca().join(format!("{ALMELO}.{extension}")))
            .unwrap();
    }
}

/// A certificate for the agent's listener, made with the agent's own local CA.
fn issue(config: &AgentConfig, name: &str, now: OffsetDateTime) {
    let folder = config.local.anchors.parent().unwrap();
    let alternatives = vec![profile::alternative("localhost").unwrap()];
    let server = Profile::Server { name: "agent".parse().unwrap(), oin: None, alternatives };
    Authority::open(folder).unwrap().issue(name, &server, 2, now).unwrap();
    put(&folder.join(name).with_extension("pem"), config);
}

fn leaf(agent: &Agent) -> Vec<u8> {
    agent.own.published().unwrap().certificate_chain[0].clone()
}

#[tokio::test]
async fn a_local_certificate_that_ended_holds_nothing_else_back() {
    let network = Network::start().await;
    let agent = network.idle(ALMELO);
    let config = network.config(ALMELO);
    assert!(ending(&config).contains(&config.local.certificate) && ending(&config).contains(&config.local.anchors));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = local_tls::<crate::agent::AgentError>(&config).unwrap();
    let (gate, _incoming) = Gate::open(listener, tls, at_the_door());
    assert!(agent.renew(&config, &gate).is_ok());

    let (before, now) = (leaf(&agent), SystemClock.now());
    issue(&config, "ended", now - Duration::days(3));
    put_next(&network);
    let part = agent.renew(&config, &gate);
    let Err(ReloadError::Part(why)) = &part else { panic!("{part:?}") };
    assert!(
        matches!(&**why, ReloadError::File(FileError::Expired(file)) if *file == config.local.certificate),
        "{why}"
    );
    assert_ne!(leaf(&agent), before, "the hub is shown the new one");

    issue(&config, "good", now);
    assert!(agent.renew(&config, &gate).is_ok());
    // The other way round; and both.
    fs::write(&config.tls.certificate, "nothing").unwrap();
    let part = agent.renew(&config, &gate);
    assert!(matches!(&part, Err(ReloadError::Part(why)) if why.to_string().contains(ALMELO)), "{part:?}");
    issue(&config, "ended-too", now - Duration::days(3));
    assert!(matches!(agent.renew(&config, &gate), Err(ReloadError::File(FileError::Empty(_)))));
}

/// A certificate that was put in place by hand while the keyholder was away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyholder_is_shown_the_old_certificate_until_it_knows_the_new_one() {
    let network = Network::start().await;
    let agent = network.idle(ALMELO);
    let config = network.config(ALMELO);
    let key = || Leaf::read(agent.links.shown_to_keyholder().leaf().unwrap()).unwrap().key_hash;
    let number = Bsn::parse(crate::pseudonym::known_answer::IDENTIFIER).unwrap();
    let evaluates = async || agent.links.evaluate(&number, 1, None).await.is_ok();
    let old = key();
    assert!(evaluates().await);
    network.kill_keyholder();
    put_next(&network);
    agent.renew_outward(&config).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    network.start_keyholder().await;
    super::nodes::eventually(async || evaluates().await).await;
    assert_eq!(key(), old);
    for _ in 0..300 {
        if key() != old {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(key() != old && evaluates().await, "the keyholder was told meanwhile");
}
