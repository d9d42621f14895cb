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

/// A record whose retention ended while it waited is sealed for nobody, in whoever's place it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_binds_the_author_that_seals_for_its_successor() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (old, operator) = (&players.gemeente, &network.operator.client);
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let case = old.refer(Some(network.voprf("999907141"))).await.unwrap().message.name;
    old.assign(&case, v1::Role::R07, &players.aanbieder).await.unwrap();
    old.advance(&case, v1::Phase::F5).await.unwrap();
    let own = old.publish(&plan(&case)).await.unwrap().message.record.unwrap().name;
    succeed(operator, &succession(old, &new)).await.unwrap();
    let asked = old.seal_request(&own).await;
    network.database().await.any("UPDATE record SET expires_at = 1".to_owned()).await;
    let (client, added) = (old.client(), old.add(&asked));
    let status = client.call::<_, v1::AddRecipientResponse>("Records/AddRecipient", &added).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert!(!crate::seats::is_asked(old, &own).await);
    let keys = format!("SELECT COUNT(*) FROM record_key WHERE oin = '{}'", new.oin());
    assert_eq!(network.database().await.any_number(keys).await, 0);
}

/// Whose case can't be written holds up nobody else, and whose row can't neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_is_stuck_holds_up_no_other() {
    use v1::OrganisationKind::Gemeente;
    let network = Network::start().await;
    let (operator, database) = (&network.operator.client, network.database().await);
    // The stuck one comes first.
    let stuck = network.partner(crate::network::GEMEENTE, Gemeente).await;
    let other = network.partner("00000099100001430000", Gemeente).await;
    let heir = network.partner(ANDERE_GEMEENTE, Gemeente).await;
    let next = network.partner("00000099100001440000", Gemeente).await;
    let case = stuck.refer(None).await.unwrap().message.name;
    other.refer(None).await.unwrap();
    let case_id = database.case_id(&case).await;
    database.forbid("assignment", &format!("NEW.case_id = '{case_id}'")).await;
    succeed(operator, &succession(&stuck, &heir)).await.unwrap();
    succeed(operator, &succession(&other, &next)).await.unwrap();
    until_roles(&network, &next, 2).await;
    assert_eq!((roles(&network, &stuck).await, roles(&network, &heir).await), (2, 0));
    database.allow("assignment").await;
    until_roles(&network, &heir, 2).await;

    let (stuck, other) = (&heir, &next);
    for oin in [stuck, other] {
        withdraw(operator, oin, ahead(60)).await.unwrap();
    }
    let of = format!("NEW.req_oin = '' AND NEW.case_id IS NULL AND NEW.src_oin = '{}'", stuck.oin());
    database.forbid("audit_event", &of).await;
    forward(&network, 120).await;
    let left = async |who: &Party| {
        let one = format!("SELECT COUNT(*) FROM partner WHERE status = 'withdrawn' AND oin = '{}'", who.oin());
        (database.any_number(one).await == 1).then_some(())
    };
    until(async || left(other).await).await;
    assert_eq!(left(stuck).await, None);
    database.allow("audit_event").await;
    until(async || left(stuck).await).await;
    network.holds_together().await;
}

/// Whoever is named after somebody left gets what the exit leaves, though the hub comes to the exit later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_that_is_carried_out_late_leaves_the_same() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (old, operator) = (&players.gemeente, &network.operator.client);
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let database = network.database().await;
    let count = async |of: &Party, more: &str| {
        database.any_number(format!("SELECT COUNT(*) FROM assignment a WHERE oin = '{}' {more}", of.oin())).await
    };
    let case = old.refer(None).await.unwrap().message.name;
    old.assign(&case, v1::Role::R07, old).await.unwrap();
    // One role was to end between the exit and the moment in which the hub comes to it.
    withdraw(operator, old, ahead(60)).await.unwrap();
    database.run("UPDATE assignment SET ends_at = starts_at + 90000000 WHERE role = 'R01'").await;
    let of = format!("NEW.req_oin = '' AND NEW.case_id IS NOT NULL AND NEW.src_oin = '{}'", old.oin());
    database.forbid("audit_event", &of).await;
    forward(&network, 120).await;
    let status = async || known(&network, old).await.status();
    until(async || (status().await == v1::PartnerStatus::Withdrawn).then_some(())).await;
    succeed(operator, &succession(old, &new)).await.unwrap();
    assert_eq!(count(old, "AND ended_at IS NULL").await, 3, "not yet");
    database.allow("audit_event").await;
    until_roles(&network, &new, 1).await;
    assert_eq!(count(old, "AND ended_at = (SELECT withdrawn_at FROM partner p WHERE p.oin = a.oin)").await, 3);
    let case = count(&new, "AND role = 'R02'").await;
    assert_eq!((case, count(&new, "").await), (1, 1), "the case, and nothing else");
    // The exit, and the case that passes.
    assert_eq!(own_events(&network, old, true).await, 2);
    network.holds_together().await;
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
