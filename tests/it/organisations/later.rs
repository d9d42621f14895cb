//! A second succession, and what is bound by the end of a record's retention or of an organisation's place.

use super::*;

/// What the first one wrote, its agent seals for the last one too while it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_successor_opens_what_the_first_predecessor_wrote_until_its_retention_ends() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (old, operator) = (&players.gemeente, &network.operator.client);
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let last = network.partner("00000099100001430000", v1::OrganisationKind::Gemeente).await;
    let case = old.refer(Some(network.voprf("999907141"))).await.unwrap().message.name;
    old.assign(&case, v1::Role::R07, &players.aanbieder).await.unwrap();
    old.advance(&case, v1::Phase::F5).await.unwrap();
    let own = old.publish(&plan(&case)).await.unwrap().message.record.unwrap().name;
    let early = v1::SucceedPartnerRequest { effective_time: ahead(3_600), ..succession(old, &new) };
    withdraw(operator, old, ahead(60)).await.unwrap();
    let status = succeed(operator, &early).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "an exit that was announced is not moved: {status:?}");
    let motivation = "SELECT COUNT(*) FROM audit_event WHERE motivation LIKE '%; takes back its exit at 20%'";
    network.set_status(old.oin(), v1::PartnerStatus::Active).await;
    assert_eq!(network.database().await.number(motivation).await, 1);

    succeed(operator, &succession(old, &new)).await.unwrap();
    until_roles(&network, &new, 2).await;
    succeed(operator, &succession(&new, &last)).await.unwrap();
    until_roles(&network, &last, 2).await;
    let asked = old.seal_request(&own).await;
    assert_eq!(asked.route.as_ref().unwrap().partner, last.name());
    seals(old, &own).await;
    let name = network.database().await.case_name(&case, last.oin()).await;
    assert_eq!(last.fetch(&own, &name, &PLAN).await.unwrap().content, b"het plan van de oude gemeente");

    network.database().await.any("UPDATE record SET expires_at = 1".to_owned()).await;
    let status = last.fetch(&own, &name, &PLAN).await.map(drop).unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("RETENTION_ELAPSED"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_binds_an_author() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let gemeente = &players.gemeente;
    let case = gemeente.refer(Some(network.voprf("999907141"))).await.unwrap().message.name;
    gemeente.assign(&case, v1::Role::R07, &players.aanbieder).await.unwrap();
    gemeente.advance(&case, v1::Phase::F5).await.unwrap();
    let own = gemeente.publish(&plan(&case)).await.unwrap().message.record.unwrap().name;
    gemeente.fetch(&own, &case, &PLAN).await.unwrap();
    network.database().await.any("UPDATE record SET expires_at = 1".to_owned()).await;
    let status = gemeente.fetch(&own, &case, &PLAN).await.map(drop).unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("RETENTION_ELAPSED"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_place_is_taken_operates_no_more() {
    let network = Network::start().await;
    let old = network.partner("00000099100001430000", v1::OrganisationKind::Gemeente).await;
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let later = v1::SucceedPartnerRequest { effective_time: ahead(3_600), ..succession(&old, &new) };
    succeed(&network.operator.client, &later).await.unwrap();
    let theirs = network.operator_of(old.oin().as_str(), "beheer-oud").await;
    let list = v1::ListPendingChangesRequest {};
    let listed = async || {
        let call = theirs.client.call::<_, v1::ListPendingChangesResponse>("Registry/ListPendingChanges", &list);
        call.await.map(drop)
    };
    listed().await.unwrap();
    forward(&network, 3_700).await;
    let status = listed().await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("PARTNER_WITHDRAWN"), "{status:?}");
}

/// `sluis registry partner` without a word about standing roles takes none away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_name_keeps_standing_roles() {
    let network = Network::start().await;
    let who = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    network.register_partner(who.oin().as_str(), v1::OrganisationKind::Gemeente, &[v1::Role::R11]).await;
    for (more, roles) in [(&[][..], vec![v1::Role::R11 as i32]), (&["--standing", "none"], vec![])] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluis"));
        command.arg("registry").args(network.remote("operator")).args(["partner", "--oin", who.oin().as_str()]);
        let output = command.args(["--name", "Anders", "--kind", "gemeente"]).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let partner = known(&network, &who).await;
        assert_eq!((partner.display_name.as_str(), partner.standing_roles), ("Anders", roles));
    }
}
