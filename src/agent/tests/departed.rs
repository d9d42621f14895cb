//! A partner for whose keys nobody vouches any more, and a hub that goes on naming it.

use std::time::Duration;

use tonic::Code;

use super::network::*;
use super::records::{TEXT, fetch, open, publish, published};
use crate::clock::{Clock as _, SystemClock};

#[tokio::test]
async fn what_it_wrote_is_opened_by_who_saw_its_keys_and_nothing_is_sealed_to_it() {
    const GOOD: i64 = 20;
    let network = Network::start().await;
    network.ending(ALMELO, GOOD);
    let began = SystemClock.now();
    let (almelo, raalte) = (network.agent(ALMELO, true).await, network.agent(RAALTE, true).await);
    almelo.publish_keys().await;
    raalte.publish_keys().await;
    network.hub.state().to = vec![RAALTE.into()];
    let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    almelo.stop().await;
    // Raalte fetches nothing yet: its agent looks whom there is, page after page, when it starts.
    raalte.stop().await;
    let raalte = network.agent(RAALTE, true).await;
    let pin = raalte.home.join("store/pins").join(ALMELO);
    super::nodes::eventually(async || pin.exists()).await;
    let left = began + time::Duration::seconds(GOOD + 1) - SystemClock.now();
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;

    assert_eq!(fetch(&raalte, RAALTE, &name).await.unwrap(), TEXT.as_bytes());
    let before = network.hub.state().records.len();
    network.hub.state().to = vec![ALMELO.into()];
    let refusal = publish(&raalte, open(RAALTE, "sluis/tekst/v1"), vec![TEXT.into()]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains(ALMELO), "{refusal}");
    assert_eq!(network.hub.state().records.len(), before);

    let right = network.hub.state().keys[ALMELO].clone();
    let foreign = network.hub.state().keys[RAALTE].clone();
    for (shown, word) in [(Some(foreign), "not in order"), (None, "no keys")] {
        match shown {
            Some(keys) => network.hub.state().keys.insert(ALMELO.into(), keys),
            None => network.hub.state().keys.remove(ALMELO),
        };
        let refusal = fetch(&raalte, RAALTE, &name).await.unwrap_err();
        assert_eq!(refusal.code(), Code::DataLoss);
        assert!(refusal.message().contains(word), "{refusal}");
    }
    network.hub.state().keys.insert(ALMELO.into(), right);
    assert_eq!(fetch(&raalte, RAALTE, &name).await.unwrap(), TEXT.as_bytes());
    std::fs::remove_file(&pin).unwrap();
    raalte.stop().await;
    let raalte = network.agent(RAALTE, true).await;
    let refusal = fetch(&raalte, RAALTE, &name).await.unwrap_err();
    assert!(refusal.code() == Code::DataLoss && refusal.message().contains("did not see"), "{refusal}");
}
