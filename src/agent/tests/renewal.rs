//! What a renewal left behind, at the next start.

use std::fs;

use super::network::*;
use crate::agent::renewal::finish;
use crate::clock::{Clock, SystemClock};
use crate::tls::Identity;

#[tokio::test]
async fn what_a_crash_left_is_finished_and_nothing_newer_is_overwritten() {
    // What is in place as key and as certificate; whether the leftovers' certificate and key are there afterwards, and what is shown.
    let cases = [
        ("between the two files", "left", "old", (false, false), "left"),
        ("before the first", "old", "old", (false, true), "old"),
        ("after the second", "left", "left", (false, false), "left"),
        ("a newer pair, put there by hand", "newer", "newer", (false, true), "newer"),
    ];
    let network = Network::start().await;
    drop(network.idle(ALMELO));
    let config = network.config(ALMELO);
    for name in ["old", "left", "newer"] {
        network.reissue(ALMELO, name);
    }
    let file = |name: &str, extension: &str| fs::read(network.ca().join(format!("{name}.{extension}"))).unwrap();
    let put = |path: &std::path::Path, bytes: Vec<u8>| crate::whole_file::replace(path, &bytes).unwrap();
    let (key, chain) = (config.store.directory.join("renewal.key"), config.store.directory.join("renewal.pem"));
    for (what, key_of, chain_of, left, shown) in cases {
        put(&key, file("left", "key"));
        put(&chain, file("left", "pem"));
        put(&config.tls.key, file(key_of, "key"));
        put(&config.tls.certificate, file(chain_of, "pem"));
        finish(&config).unwrap();
        assert_eq!((chain.exists(), key.exists()), left, "{what}");
        assert_eq!(fs::read(&config.tls.certificate).unwrap(), file(shown, "pem"), "{what}");
        assert!(Identity::load(&config.tls.certificate, &config.tls.key, SystemClock.now()).is_ok(), "{what}");
    }
}
