//! Organisations that are renamed, leave, or are succeeded by another: sessions, cases and the log stay consistent.

use std::time::Duration;

use sluis::api::v1;
use sluis::api::v1::case_changed::Kind;
use sluis::api::v1::confirm_change_response::Changed;
use sluis::api::v1::inbox_item::Item;
use tonic::{Code, Status};

use crate::calls::{Client, event_of, reason};
use crate::direct::{Draft, Players, Why, why};
use crate::network::{ANDERE_GEMEENTE, GI, Network, Party, ask_status, forward, id, is_postgres};
use crate::streams::Live;
use crate::tree::until;

mod anew;
mod later;

const SECOND: Duration = Duration::from_secs(1);
const PLAN: Why = why("18", "hulp", v1::Role::R02);

/// A moment by the hub's clock, which is the machine's and so many seconds.
fn ahead(seconds: i64) -> Option<prost_types::Timestamp> {
    let now = crate::network::now();
    Some(prost_types::Timestamp { seconds: now.unix_timestamp() + seconds, nanos: 0 })
}

async fn withdraw(operator: &Client, who: &Party, at: Option<prost_types::Timestamp>) -> Result<v1::Partner, Status> {
    let request = v1::SetPartnerStatusRequest {
        request_id: id(),
        name: who.name(),
        status: v1::PartnerStatus::Withdrawn as i32,
        reason: "proef van uittreden".to_owned(),
        effective_time: at,
    };
    operator.call("Registry/SetPartnerStatus", &request).await.map(|reply| reply.message)
}

fn succession(old: &Party, new: &Party) -> v1::SucceedPartnerRequest {
    v1::SucceedPartnerRequest {
        request_id: id(),
        name: old.name(),
        successor: new.name(),
        effective_time: None,
        leave_time: None,
        reason: "proef van samenvoegen".to_owned(),
    }
}

async fn succeed(operator: &Client, request: &v1::SucceedPartnerRequest) -> Result<v1::Partner, Status> {
    operator.call("Registry/SucceedPartner", request).await.map(|reply| reply.message)
}

async fn known(network: &Network, who: &Party) -> v1::Partner {
    let request = v1::GetPartnerRequest { name: who.name() };
    network.operator.client.call("Directory/GetPartner", &request).await.unwrap().message
}

/// How many events the hub wrote of its own accord about an organisation, in cases or not.
async fn own_events(network: &Network, who: &Party, in_cases: bool) -> i64 {
    let not = if in_cases { "NOT " } else { "" };
    let database = network.database().await;
    let count = format!(
        "SELECT COUNT(*) FROM audit_event WHERE req_oin = '' AND src_oin = '{}' AND case_id IS {not}NULL \
         AND method LIKE 'sluis.v1.Registry/S%'",
        who.oin()
    );
    database.number(Box::leak(count.into_boxed_str())).await
}

/// Roles that somebody holds now.
async fn roles(network: &Network, who: &Party) -> i64 {
    let count =
        format!("SELECT COUNT(*) FROM assignment WHERE oin = '{}' AND ended_at IS NULL AND ends_at IS NULL", who.oin());
    network.database().await.number(Box::leak(count.into_boxed_str())).await
}

async fn until_roles(network: &Network, who: &Party, expected: i64) {
    until(async || (roles(network, who).await == expected).then_some(())).await;
}

/// Whether the hubs of this process have logged it.
fn says(logged: &crate::log::Lines, line: &str) -> Option<()> {
    String::from_utf8_lossy(&logged.lock().unwrap()).contains(line).then_some(())
}

/// The next notice of this kind, and about which role.
async fn notice(live: &mut Live, kind: Kind) -> v1::Role {
    loop {
        match live.next().await.item {
            Some(Item::Changed(changed)) if changed.kind() == kind => return changed.role(),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_at_a_moment_is_cut_off_then_and_its_roles_end() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (gemeente, leaver) = (&players.gemeente, &players.aanbieder);
    let operator = &network.operator.client;
    let case = gemeente.refer(None).await.unwrap().message.name;
    gemeente.assign(&case, v1::Role::R07, leaver).await.unwrap();

    let announced = withdraw(operator, leaver, ahead(3_600)).await.unwrap();
    assert_eq!((announced.status(), announced.pending.is_none()), (v1::PartnerStatus::Active, true));
    assert_eq!(announced.open_cases, Some(v1::OpenCases { takes_part: 1, holds: 0 }));
    assert_eq!(known(&network, leaver).await.withdraw_time, announced.withdraw_time, "partners learn of it");
    // Taken back before it comes: nothing happens then.
    network.set_status(leaver.oin(), v1::PartnerStatus::Active).await;
    assert_eq!(known(&network, leaver).await.withdraw_time, None);
    forward(&network, 4_000).await;
    let (live, mut other) = (Live::open(leaver, "").await, Live::open(gemeente, "").await);
    assert_eq!((roles(&network, leaver).await, own_events(&network, leaver, true).await), (1, 0));

    withdraw(operator, leaver, ahead(4_000 + 3_600)).await.unwrap();
    // Moved.
    withdraw(operator, leaver, ahead(4_000 + 7_200)).await.unwrap();
    forward(&network, 3_700).await;
    leaver.inbox("").await.unwrap();
    forward(&network, 3_600).await;
    let (status, took) = live.end().await;
    assert_eq!(reason(&status).as_deref(), Some("PARTNER_WITHDRAWN"), "{status:?}");
    assert!(took < SECOND, "{took:?}");
    assert_eq!(notice(&mut other, Kind::Participants).await, v1::Role::R07);
    until_roles(&network, leaver, 0).await;
    let status = leaver.inbox("").await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("PARTNER_WITHDRAWN"), "{status:?}");
    assert_eq!(known(&network, leaver).await.status(), v1::PartnerStatus::Withdrawn);
    // One event for its membership, one for its case; the role ended when it left, not when somebody looked.
    assert_eq!((own_events(&network, leaver, false).await, own_events(&network, leaver, true).await), (1, 1));
    let database = network.database().await;
    let same = "SELECT COUNT(*) FROM assignment a JOIN partner p ON p.oin = a.oin AND a.ended_at = p.withdrawn_at";
    assert_eq!(database.number(same).await, 1);
    let status = gemeente.assign(&case, v1::Role::R07, leaver).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    // It does not come back by a word.
    let back = ask_status(operator, leaver.oin(), v1::PartnerStatus::Active).await.unwrap_err();
    assert_eq!(back.code(), Code::FailedPrecondition, "{back:?}");
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_a_case_does_not_leave_at_once_and_its_cases_find_a_successor_later() {
    let logged = crate::log::capture();
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (old, operator) = (&players.gemeente, &network.operator.client);
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let case = old.refer(None).await.unwrap().message.name;
    old.assign(&case, v1::Role::R07, &players.aanbieder).await.unwrap();
    for at in [None, ahead(-60)] {
        let status = withdraw(operator, old, at).await.unwrap_err();
        assert!(matches!(status.code(), Code::FailedPrecondition | Code::InvalidArgument), "{status:?}");
    }
    assert_eq!(roles(&network, old).await, 2);
    let announced = withdraw(operator, old, ahead(60)).await.unwrap();
    assert_eq!(announced.open_cases, Some(v1::OpenCases { takes_part: 1, holds: 1 }));
    forward(&network, 120).await;
    until_roles(&network, old, 0).await;
    // Nobody holds the case, and those who take part go on.
    players.aanbieder.inbox("").await.unwrap();
    let said = async || says(&logged, "ALARM: a partner left, and nobody holds the cases that it held");
    until(said).await;
    let partner = succeed(operator, &succession(old, &new)).await.unwrap();
    assert_eq!((partner.status(), partner.successor), (v1::PartnerStatus::Withdrawn, new.name()));
    until_roles(&network, &new, 1).await;
    let own = network.database().await.case_name(&case, new.oin()).await;
    new.advance(&own, v1::Phase::F2).await.unwrap();
    // What was another role of the one that left is the holder's to give.
    assert_eq!(roles(&network, old).await, 0);
    // And without a case, one goes at once.
    let gone = withdraw(operator, &players.expert, None).await.unwrap();
    assert_eq!(gone.status(), v1::PartnerStatus::Withdrawn);
    network.holds_together().await;
}

/// The gemeente's plan, for the aanbieder.
fn plan(case: &str) -> Draft {
    Draft {
        case: case.to_owned(),
        why: PLAN,
        category: v1::Category::C15,
        form: v1::Form::I,
        roles: vec![v1::Role::R07],
        content: b"het plan van de oude gemeente".to_vec(),
    }
}

/// The aanbieder's part of it, for the gemeente.
fn part(case: &str) -> Draft {
    let why = why("18", "hulp", v1::Role::R07);
    Draft { case: case.to_owned(), why, roles: vec![v1::Role::R02], content: b"ons deel".to_vec(), ..plan("") }
}

/// Seals a record for who waits for it.
async fn seals(author: &Party, record: &str) {
    let asked = author.seal_request(record).await;
    let added = author.add(&asked);
    author.client().call::<_, v1::AddRecipientResponse>("Records/AddRecipient", &added).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_holds_the_cases_opens_the_records_and_stands_in_the_log() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (old, aanbieder, operator) = (&players.gemeente, &players.aanbieder, &network.operator.client);
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let officer = network.officer_of(ANDERE_GEMEENTE, "fg-nieuw").await;
    let officer_before = network.officer_of(old.oin().as_str(), "fg-oud").await;
    let case = old.refer(Some(network.voprf("999907141"))).await.unwrap().message.name;
    old.assign(&case, v1::Role::R07, aanbieder).await.unwrap();
    old.advance(&case, v1::Phase::F5).await.unwrap();
    let theirs = network.database().await.case_name(&case, aanbieder.oin()).await;
    let own = old.publish(&plan(&case)).await.unwrap().message.record.unwrap().name;
    let others = aanbieder.publish(&part(&theirs)).await.unwrap().message.record.unwrap().name;
    let (mut live, mut other) = (Live::open(old, "").await, Live::open(aanbieder, "").await);

    let partner = succeed(operator, &succession(old, &new)).await.unwrap();
    assert_eq!((partner.successor.clone(), partner.status()), (new.name(), v1::PartnerStatus::Active));
    assert!(partner.withdraw_time.unwrap().seconds - partner.succeed_time.unwrap().seconds == 30 * 24 * 3600);
    until_roles(&network, old, 0).await;
    until_roles(&network, &new, 2).await;
    assert_eq!(own_events(&network, old, true).await, 1);
    // The one that goes hears of its roles, the others of who takes part; nobody is cut off.
    notice(&mut live, Kind::RoleEnded).await;
    assert_eq!(notice(&mut other, Kind::Participants).await, v1::Role::R02);

    // What it wrote, its own agent seals; what others wrote, theirs.
    let of = v1::ListSuccessionsRequest { name: old.name() };
    let list = async || {
        let call = operator.call::<_, v1::ListSuccessionsResponse>("Registry/ListSuccessions", &of);
        let one = call.await.unwrap().message.successions.remove(0);
        (one.open_cases, one.own_records, one.other_records)
    };
    assert_eq!(list().await, (0, 1, 1));
    seals(old, &own).await;
    seals(aanbieder, &others).await;
    assert_eq!(list().await, (0, 0, 0));
    let name = network.database().await.case_name(&case, new.oin()).await;
    assert_eq!(new.fetch(&own, &name, &PLAN).await.unwrap().content, b"het plan van de oude gemeente");
    assert_eq!(new.fetch(&others, &name, &PLAN).await.unwrap().content, b"ons deel");
    new.publish(&plan(&name)).await.unwrap();
    aanbieder.fetch(&own, &theirs, &part("").why).await.unwrap();

    // The one that goes begins nothing more, and finishes what only it can.
    for status in [
        old.refer(None).await.map(drop).unwrap_err(),
        old.advance(&case, v1::Phase::F6).await.map(drop).unwrap_err(),
        old.publish(&plan(&case)).await.map(drop).unwrap_err(),
        old.fetch(&own, &case, &PLAN).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(reason(&status).as_deref(), Some("PARTNER_WITHDRAWN"), "{status:?}");
    }
    old.inbox("").await.unwrap();
    let status = assigns_back(&new, &name, old).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");

    // Officers of both find it by the case.
    for (officer, case) in [(&officer, &name), (&officer_before, &case)] {
        let request = v1::QueryEventsRequest {
            context: why("36", "verantwoording", v1::Role::R14).context(),
            case: case.clone(),
            ..v1::QueryEventsRequest::default()
        };
        let answer = officer.client.call::<_, v1::QueryEventsResponse>("Audit/QueryEvents", &request).await.unwrap();
        let events = answer.message.events;
        let passed: Vec<_> = events.iter().filter(|event| event.method.ends_with("SucceedPartner")).collect();
        assert_eq!(passed.len(), 1);
        assert_eq!((&passed[0].source, &passed[0].recipients), (&old.name(), &vec![new.name()]));
        assert!(!passed[0].subject.is_empty(), "and by the youth");
    }
    // Then it leaves.
    forward(&network, 31 * 24 * 3600).await;
    let (status, took) = live.end().await;
    assert_eq!(reason(&status).as_deref(), Some("PARTNER_WITHDRAWN"), "{status:?}");
    assert!(took < SECOND, "{took:?}");
    network.holds_together().await;
}

async fn assigns_back(holder: &Party, case: &str, to: &Party) -> Status {
    holder.assign(case, v1::Role::R10, to).await.map(drop).unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_midst_leaves_each_case_as_it_was_or_as_it_is_to_be() {
    let mut network = Network::start().await;
    let players = Players::join(&network).await;
    let old = &players.gemeente;
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let mut cases = Vec::new();
    for _ in 0..6 {
        cases.push(old.refer(None).await.unwrap().message.name);
    }
    network.stop().await;
    let mut child = network.restart_as_process().await;
    let database = network.database().await;
    // One case can't be written.
    let stuck = cases[2].trim_start_matches("cases/");
    let case_id = database.case_id(stuck).await;
    database.forbid("assignment", &format!("NEW.case_id = '{case_id}'")).await;
    succeed(&network.operator.client, &succession(old, &new)).await.unwrap();
    until_roles(&network, &new, 10).await;
    assert_eq!(roles(&network, old).await, 2, "that one is as it was");
    assert_eq!(own_events(&network, old, true).await, 5);
    child.kill().unwrap();
    child.wait().unwrap();
    database.allow("assignment").await;
    assert_eq!((roles(&network, old).await, roles(&network, &new).await), (2, 10));
    let mut child = network.restart_as_process().await;
    until_roles(&network, &new, 12).await;
    assert_eq!((roles(&network, old).await, own_events(&network, old, true).await), (0, 6));
    child.kill().unwrap();
    child.wait().unwrap();
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_no_part_takes_nobodys_place() {
    use v1::OrganisationKind::{Gemeente, Gi};
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (old, operator) = (&players.gemeente, &network.operator.client);
    let new = network.partner(ANDERE_GEMEENTE, Gemeente).await;
    let suspended = network.partner("00000099100001430000", Gemeente).await;
    network.set_status(suspended.oin(), v1::PartnerStatus::Suspended).await;
    let unsigned = network.registered("00000099100001440000", Gemeente).await;
    network.publish_keys(&unsigned).await;
    let keyless = network.registered("00000099100001450000", Gemeente).await;
    network.sign(&keyless).await;
    let leaving = network.partner("00000099100001460000", Gemeente).await;
    withdraw(operator, &leaving, ahead(60)).await.unwrap();
    let gi = network.partner(GI, Gi).await;
    let good = succession(old, &new);
    let by = |who: &Party| v1::SucceedPartnerRequest { successor: who.name(), ..succession(old, &new) };
    let nobody = "partners/00000099100001490000".to_owned();
    for (what, request, code) in [
        ("itself", by(old), Code::FailedPrecondition),
        ("suspended", by(&suspended), Code::FailedPrecondition),
        ("has not signed", by(&unsigned), Code::FailedPrecondition),
        ("has no keys", by(&keyless), Code::FailedPrecondition),
        (
            "leaves before",
            v1::SucceedPartnerRequest { effective_time: ahead(90), ..by(&leaving) },
            Code::FailedPrecondition,
        ),
        ("of another kind", by(&gi), Code::FailedPrecondition),
        ("unknown", v1::SucceedPartnerRequest { successor: nobody.clone(), ..good.clone() }, Code::NotFound),
        ("of nobody", v1::SucceedPartnerRequest { name: nobody, ..good.clone() }, Code::NotFound),
        ("past", v1::SucceedPartnerRequest { effective_time: ahead(-60), ..good.clone() }, Code::InvalidArgument),
        (
            "leaves first",
            v1::SucceedPartnerRequest { effective_time: ahead(90), leave_time: ahead(60), ..good.clone() },
            Code::InvalidArgument,
        ),
        ("without a word", v1::SucceedPartnerRequest { reason: " ".into(), ..good.clone() }, Code::InvalidArgument),
        ("of the operator's own", succession(&network.netwerk, &new), Code::FailedPrecondition),
    ] {
        let request = v1::SucceedPartnerRequest { request_id: id(), ..request };
        let status = succeed(operator, &request).await.unwrap_err();
        assert_eq!(status.code(), code, "{what}: {status:?}");
    }
    // Announced, moved, and taken back; a circle is none.
    let announced = v1::SucceedPartnerRequest { request_id: id(), effective_time: ahead(3_600), ..good.clone() };
    succeed(operator, &announced).await.unwrap();
    let circle = succeed(operator, &succession(&new, old)).await.unwrap_err();
    assert_eq!(circle.code(), Code::FailedPrecondition, "{circle:?}");
    let early = withdraw(operator, old, ahead(1_800)).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition, "{early:?}");
    old.refer(None).await.unwrap();
    network.set_status(old.oin(), v1::PartnerStatus::Active).await;
    let partner = known(&network, old).await;
    assert_eq!((partner.successor, partner.withdraw_time), (String::new(), None));
    // Taken once, it is not taken again, nor given back.
    succeed(operator, &good).await.unwrap();
    let again = succeed(operator, &v1::SucceedPartnerRequest { request_id: id(), ..good.clone() }).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "{again:?}");
    let back = ask_status(operator, old.oin(), v1::PartnerStatus::Active).await.unwrap_err();
    assert_eq!(back.code(), Code::FailedPrecondition, "{back:?}");
    // A repeat of the request is no second one.
    assert_eq!(succeed(operator, &good).await.unwrap().successor, new.name());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_takes_two_operators_and_standing_roles_go_over() {
    let network = Network::start().await;
    let old = network.partner("00000099100001430000", v1::OrganisationKind::Gemeente).await;
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    // A standing role takes two operators too, once there are two.
    network.register_partner(old.oin().as_str(), v1::OrganisationKind::Gemeente, &[v1::Role::R11]).await;
    let (first, second) = (&network.operator.client, network.second_operator().await);
    old.refer(None).await.unwrap();
    let partner = succeed(first, &succession(&old, &new)).await.unwrap();
    let change = partner.pending.unwrap();
    assert_eq!(partner.successor, "", "nothing has changed");
    for part in [new.name(), old.name(), "takes part in 1 open cases and holds 1 of them; R11 goes over".to_owned()] {
        assert!(change.summary.contains(&part), "{}", change.summary);
    }
    let confirm = v1::ConfirmChangeRequest { request_id: id(), name: change.name.clone() };
    let alone = first.call::<_, v1::ConfirmChangeResponse>("Registry/ConfirmChange", &confirm).await.unwrap_err();
    assert_eq!(alone.code(), Code::FailedPrecondition, "{alone:?}");
    let confirm = v1::ConfirmChangeRequest { request_id: id(), ..confirm };
    let done = second.client.call::<_, v1::ConfirmChangeResponse>("Registry/ConfirmChange", &confirm).await.unwrap();
    assert!(matches!(done.message.changed, Some(Changed::Partner(partner)) if partner.successor == new.name()));
    until_roles(&network, &new, 2).await;
    let standing = async |who: &Party| known(&network, who).await.standing_roles;
    let over = async || (standing(&new).await == [v1::Role::R11 as i32]).then_some(());
    until(over).await;
    assert!(standing(&old).await.is_empty());
    // An exit names its moment and its cases to the second operator too.
    let announced = withdraw(first, &new, ahead(3_600)).await.unwrap().pending.unwrap();
    for part in ["becomes withdrawn at", "holds 1", "less than the 3 months"] {
        assert!(announced.summary.contains(part), "{}", announced.summary);
    }
    let listed = v1::ListPendingChangesRequest {};
    let waiting =
        first.call::<_, v1::ListPendingChangesResponse>("Registry/ListPendingChanges", &listed).await.unwrap();
    assert_eq!(waiting.message.changes, [announced]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_name_changes_a_name() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let gemeente = &players.gemeente;
    let case = gemeente.refer(None).await.unwrap().message;
    let mut live = Live::open(gemeente, "").await;
    notice(&mut live, Kind::RoleAssigned).await;
    let before = known(&network, gemeente).await;
    let request = v1::RegisterPartnerRequest {
        request_id: id(),
        oin: gemeente.oin().to_string(),
        display_name: "Gemeente onder een nieuwe naam".to_owned(),
        kind: v1::OrganisationKind::Gemeente as i32,
        standing_roles: Vec::new(),
        effective_time: None,
    };
    network.operator.client.call::<_, v1::Partner>("Registry/RegisterPartner", &request).await.unwrap();
    let after = known(&network, gemeente).await;
    assert_eq!(after, v1::Partner { display_name: request.display_name, ..before });
    // The stream goes on over the same connection, the case is the same, and the log says who did it.
    gemeente.advance(&case.name, v1::Phase::F2).await.unwrap();
    notice(&mut live, Kind::Phase).await;
    assert_eq!(roles(&network, gemeente).await, 2);
    let database = network.database().await;
    let named = "SELECT COUNT(*) FROM audit_event WHERE method = 'sluis.v1.Registry/RegisterPartner' \
         AND src_oin = '00000099100001410000' AND outcome = 'allowed'";
    assert_eq!(database.number(named).await, 2, "joined, and renamed");
    network.holds_together().await;
}

/// A chain, and a link of it that takes no part for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_wait_for_a_successor_that_is_suspended_and_go_to_its_own() {
    use v1::OrganisationKind::Gemeente;
    let logged = crate::log::capture();
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (old, operator) = (&players.gemeente, &network.operator.client);
    let new = network.partner(ANDERE_GEMEENTE, Gemeente).await;
    let last = network.partner("00000099100001430000", Gemeente).await;
    old.refer(None).await.unwrap();
    let request = v1::SucceedPartnerRequest { effective_time: ahead(60), ..succession(old, &new) };
    succeed(operator, &request).await.unwrap();
    network.set_status(new.oin(), v1::PartnerStatus::Suspended).await;
    forward(&network, 120).await;
    let status = old.refer(None).await.map(drop).unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("PARTNER_WITHDRAWN"), "{status:?}");
    until(async || says(&logged, "ALARM: cases wait for a successor that takes no part itself")).await;
    assert_eq!((roles(&network, old).await, roles(&network, &new).await), (2, 0), "they wait");
    let of = v1::ListSuccessionsRequest::default();
    let call = operator.call::<_, v1::ListSuccessionsResponse>("Registry/ListSuccessions", &of);
    let listed = call.await.unwrap().message.successions;
    assert_eq!(listed.iter().map(|one| one.open_cases).collect::<Vec<_>>(), [1]);
    network.set_status(new.oin(), v1::PartnerStatus::Active).await;
    until_roles(&network, &new, 2).await;
    // What came to one goes on to the next.
    succeed(operator, &succession(&new, &last)).await.unwrap();
    until_roles(&network, &last, 2).await;
    assert_eq!((roles(&network, old).await, roles(&network, &new).await), (0, 0));
    assert_eq!((own_events(&network, old, true).await, own_events(&network, &new, true).await), (1, 1));
    network.holds_together().await;
}

/// On two nodes at once there is one event for each case all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_move_each_case_once() {
    if !is_postgres() {
        eprintln!("skipped: two nodes need PostgreSQL");
        return;
    }
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let node = network.second_node().await;
    let new = network.partner(ANDERE_GEMEENTE, v1::OrganisationKind::Gemeente).await;
    for _ in 0..8 {
        players.gemeente.refer(None).await.unwrap();
    }
    let there = Live::over(&node.client(&players.gemeente.holder).await, "").await;
    succeed(&network.operator.client, &succession(&players.gemeente, &new)).await.unwrap();
    until_roles(&network, &new, 16).await;
    assert_eq!(own_events(&network, &players.gemeente, true).await, 8);
    drop(there);
    node.stop().await;
    network.holds_together().await;
}
