//! A partner that left joins anew: with its name and what it wrote, and with nothing else of before.

use super::*;

async fn register(operator: &Client, who: &Party) -> Result<v1::Partner, Status> {
    let request = v1::RegisterPartnerRequest {
        request_id: id(),
        oin: who.oin().to_string(),
        display_name: "Opnieuw toegetreden".to_owned(),
        kind: known_kind(who) as i32,
        standing_roles: Vec::new(),
        effective_time: None,
    };
    operator.call("Registry/RegisterPartner", &request).await.map(|reply| reply.message)
}

fn known_kind(who: &Party) -> v1::OrganisationKind {
    let is_gemeente = who.oin().as_str().starts_with("000000991");
    if is_gemeente { v1::OrganisationKind::Gemeente } else { v1::OrganisationKind::Aanbieder }
}

async fn leaves(network: &Network, who: &Party, after: i64) {
    withdraw(&network.operator.client, who, ahead(after + 60)).await.unwrap();
    forward(network, 120).await;
    until_roles(network, who, 0).await;
    let left = async || (known(network, who).await.status() == v1::PartnerStatus::Withdrawn).then_some(());
    until(left).await;
}

fn refused_because(done: Result<v1::Partner, Status>, word: &str) {
    let status = done.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    assert!(status.message().contains(word), "{status:?}");
}

/// Why somebody was refused who is told no more than that.
async fn logged(network: &Network, status: &Status) -> String {
    let event = event_of(status).unwrap_or_else(|| panic!("{status:?}"));
    network.database().await.event(&event).await.1
}

/// A connection that nobody speaks on is cut a second after its key is no good any more; that is no answer.
async fn answered<T>(asked: impl AsyncFn() -> Result<T, Status>) -> Status {
    until(async || asked().await.err().filter(|status| event_of(status).is_some())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_joins_anew_by_two_operators_and_signs_again() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (gemeente, mut leaver) = (&players.gemeente, players.aanbieder);
    let case = gemeente.refer(None).await.unwrap().message.name;
    gemeente.assign(&case, v1::Role::R07, &leaver).await.unwrap();
    gemeente.advance(&case, v1::Phase::F5).await.unwrap();
    let theirs = network.database().await.case_name(&case, leaver.oin()).await;
    let record = leaver.publish(&part(&theirs)).await.unwrap().message.record.unwrap().name;
    network.register_partner(leaver.oin().as_str(), v1::OrganisationKind::Aanbieder, &[v1::Role::R13]).await;
    leaves(&network, &leaver, 0).await;

    // From the command line, with a second operator by now.
    let second = network.second_operator().await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluis"));
    command.arg("registry").args(network.remote("operator")).args(["partner", "--oin", leaver.oin().as_str()]);
    let output = command.args(["--name", "Opnieuw toegetreden", "--kind", "aanbieder"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("a second operator confirms") && said.contains("joins anew"), "{said}");
    let listed = v1::ListPendingChangesRequest {};
    let waiting = second.client.call::<_, v1::ListPendingChangesResponse>("Registry/ListPendingChanges", &listed);
    let change = waiting.await.unwrap().message.changes.remove(0);
    for part in ["joins anew after it left at 20", "signs the covenant again", &leaver.holder.key_hash] {
        assert!(change.summary.contains(part), "{}", change.summary);
    }
    assert_eq!(known(&network, &leaver).await.status(), v1::PartnerStatus::Withdrawn, "nothing has changed");
    let confirm = v1::ConfirmChangeRequest { request_id: id(), name: change.name };
    let done = second.client.call::<_, v1::ConfirmChangeResponse>("Registry/ConfirmChange", &confirm).await.unwrap();
    let Some(Changed::Partner(partner)) = done.message.changed else { panic!("{done:?}") };
    assert_eq!(partner, known(&network, &leaver).await);
    assert_eq!((partner.status(), partner.accepted_covenant), (v1::PartnerStatus::Active, 0));
    assert_eq!((partner.withdraw_time, partner.keys), (None, None));
    assert!(partner.standing_roles.is_empty(), "{:?}", partner.standing_roles);
    let written = "SELECT COUNT(*) FROM audit_event WHERE method = 'sluis.v1.Registry/ConfirmChange' \
         AND motivation LIKE 'joins anew after it left at 20%; ended with that: key %' AND outcome = 'allowed'";
    assert_eq!(network.database().await.number(written).await, 1);

    // What it had gives nothing any more: not its key, its signature, or its role.
    let status = answered(async || leaver.inbox("").await).await;
    assert_eq!(logged(&network, &status).await, "CERT_REVOKED");
    leaver.holder = network.succeeded(leaver.oin().as_str()).await;
    let status = leaver.publish(&part(&theirs)).await.map(drop).unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("COVENANT_NOT_ACCEPTED"), "{status:?}");
    let covenant = async || {
        let request = v1::GetCovenantRequest::default();
        gemeente.client().call::<_, v1::Covenant>("Covenants/GetCovenant", &request).await.unwrap().message
    };
    let is_signed = async || covenant().await.signatures.iter().any(|signed| signed.partner == leaver.name());
    assert!(!is_signed().await);
    // The same keys as before, under another certificate.
    network.join(&leaver).await;
    assert!(is_signed().await);
    let status = leaver.publish(&part(&theirs)).await.map(drop).unwrap_err();
    assert_eq!(logged(&network, &status).await, "ROLE_EXPIRED");
    assert_eq!(roles(&network, &leaver).await, 0);

    // What it wrote before is its own: as soon as it takes part in the case again both read it.
    gemeente.assign(&case, v1::Role::R07, &leaver).await.unwrap();
    assert_eq!(gemeente.fetch(&record, &case, &PLAN).await.unwrap().content, b"ons deel");
    assert_eq!(leaver.fetch(&record, &theirs, &part("").why).await.unwrap().content, b"ons deel");
    leaver.publish(&part(&theirs)).await.unwrap();
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_place_was_taken_does_not_join_anew_and_whose_cases_are_nobodys_not_yet() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (old, operator) = (&players.gemeente, &network.operator.client);
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let merged = network.partner("00000099100001430000", v1::OrganisationKind::Gemeente).await;
    let leave_time = ahead(60);
    let request = v1::SucceedPartnerRequest { leave_time, effective_time: ahead(30), ..succession(&merged, &new) };
    succeed(operator, &request).await.unwrap();
    old.refer(None).await.unwrap();
    leaves(&network, old, 0).await;
    refused_because(register(operator, &merged).await, "took its place");
    refused_because(register(operator, old).await, "nobody holds");
    let early = v1::RegisterPartnerRequest {
        request_id: id(),
        oin: players.expert.oin().to_string(),
        display_name: "Te vroeg".to_owned(),
        kind: v1::OrganisationKind::Aanbieder as i32,
        effective_time: ahead(0),
        ..Default::default()
    };
    withdraw(operator, &players.expert, None).await.unwrap();
    let status = operator.call::<_, v1::Partner>("Registry/RegisterPartner", &early).await.map(drop).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "the hub's clock is ahead of that moment: {status:?}");

    // Somebody takes the case, and no more than that: then it may come back.
    succeed(operator, &succession(old, &new)).await.unwrap();
    until_roles(&network, &new, 1).await;
    let joined = async || register(operator, old).await.ok();
    let partner = until(joined).await;
    assert_eq!((partner.status(), partner.successor.as_str()), (v1::PartnerStatus::Active, ""));
    assert_eq!((roles(&network, old).await, roles(&network, &new).await), (0, 1));
    let of = v1::ListSuccessionsRequest { name: old.name() };
    let call = operator.call::<_, v1::ListSuccessionsResponse>("Registry/ListSuccessions", &of);
    assert!(call.await.unwrap().message.successions.is_empty());
    // And leaves again, as any other.
    withdraw(operator, old, None).await.unwrap();
    network.holds_together().await;
}
