//! The shortest way through: a case, a record, and what each may do with it.

use sluis::api::v1;

use crate::calls::reason;
use crate::direct::{AANMELDING, Draft, Players, why};
use crate::network::Network;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_goes_from_its_author_to_its_recipient_and_no_further() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (gemeente, netwerk) = (&players.gemeente, &network.netwerk);
    let case = gemeente.refer(Some(network.voprf("999907141"))).await.unwrap().message.name;
    let draft = Draft {
        case: case.clone(),
        why: AANMELDING,
        category: v1::Category::C06,
        form: v1::Form::P,
        roles: vec![v1::Role::R03],
        content: b"Zij wil zelf thuis blijven wonen.".to_vec(),
    };
    let published = gemeente.publish(&draft).await.unwrap().message;
    let record = published.record.unwrap().name;
    let database = network.database().await;
    let theirs = database.case_name(&case, netwerk.oin()).await;
    assert_ne!(theirs, case);
    let fetched = netwerk.fetch(&record, &theirs, &why("10", "aanmelding", v1::Role::R03)).await.unwrap();
    assert_eq!(fetched.content, draft.content);
    assert_eq!(database.event(&fetched.event).await.0, "allowed");

    let refused = players.aanbieder.fetch(&record, &case, &why("10", "aanmelding", v1::Role::R03)).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("REFUSED"));
}
