//! Who may seat whom, and what a seat brings and leaves behind.

use std::time::Duration;

use prost::Message as _;
use sluis::api::v1;
use tonic::{Code, Status};

use crate::calls::reason;
use crate::direct::{AANMELDING, Draft, FASE, Players, ROL, Why, regime, subject, why};
use crate::health::PATIENCE;
use crate::network::{GI, Network, Party, forward, id};

const COORDINATOR: Why = why("1", "beheer", v1::Role::R03).because("proef van toewijzen");

async fn seat(
    by: &Party,
    why: &Why,
    case: &str,
    role: v1::Role,
    to: &Party,
    directly_involved: bool,
) -> Result<String, Status> {
    let request = v1::AssignRoleRequest {
        request_id: id(),
        context: why.context(),
        case: case.to_owned(),
        role: role as i32,
        partner: to.name(),
        external_kind: 0,
        directly_involved,
        end_time: None,
    };
    let reply = by.client().call::<_, v1::Assignment>("Cases/AssignRole", &request).await?;
    Ok(reply.message.name)
}

async fn end(by: &Party, assignment: &str) -> Result<(), Status> {
    let request = v1::EndRoleRequest { request_id: id(), context: COORDINATOR.context(), name: assignment.to_owned() };
    by.client().call::<_, v1::Assignment>("Cases/EndRole", &request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinator_seats_the_table_and_nobody_else() {
    use v1::Role::{R04, R05, R06, R07, R08, R09, R10, R12};
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (office, gemeente) = (&network.netwerk, &players.gemeente);
    let case = gemeente.refer(None).await.unwrap().message.name;
    let theirs = network.database().await.case_name(&case, office.oin()).await;
    for role in [R07, R08, R09, R10, R12] {
        for to in [office, &players.aanbieder] {
            let status = seat(office, &COORDINATOR, &theirs, role, to, false).await.unwrap_err();
            assert_eq!(reason(&status).as_deref(), Some("ROLE_NOT_ALLOWED"), "{role:?}");
        }
    }
    for role in [R04, R05, R06] {
        let status = seat(office, &COORDINATOR, &theirs, role, office, false).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{role:?}: {status:?}");
        let name = seat(office, &COORDINATOR, &theirs, role, &players.expert, false).await.unwrap();
        end(office, &name).await.unwrap();
    }
    let hers = seat(gemeente, &ROL, &case, R07, &players.aanbieder, true).await.unwrap();
    let hers = format!("{theirs}/assignments/{}", hers.rsplit('/').next().unwrap());
    let status = end(office, &hers).await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("ROLE_NOT_ALLOWED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_for_a_kind_of_organisation() {
    use v1::Role::{R05, R07, R08, R09, R10};
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (office, gemeente, aanbieder) = (&network.netwerk, &players.gemeente, &players.aanbieder);
    let case = gemeente.refer(None).await.unwrap().message.name;
    for (role, to, involved, may) in [
        (R07, office, false, false),
        (R08, aanbieder, false, false),
        (R09, gemeente, false, false),
        (R10, aanbieder, false, false),
        (R05, aanbieder, true, false),
        (R05, aanbieder, false, true),
        (R07, aanbieder, true, true),
        (R09, aanbieder, true, true),
        (R10, gemeente, false, true),
    ] {
        let answer = seat(gemeente, &ROL, &case, role, to, involved).await;
        let code = answer.as_ref().err().map(Status::code);
        assert_eq!(code, (!may).then_some(Code::InvalidArgument), "{role:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experts_end_is_put_down_once() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (gemeente, database) = (&players.gemeente, network.database().await);
    let case = gemeente.refer(None).await.unwrap().message.name;
    seat(gemeente, &ROL, &case, v1::Role::R05, &players.expert, false).await.unwrap();
    let ends = async || database.number("SELECT COALESCE(ends_at, 0) FROM assignment WHERE role = 'R05'").await;
    assert_eq!(ends().await, 0);
    gemeente.move_to(&case, v1::Phase::F3).await;
    let first = ends().await;
    assert!(first > 0);
    // As if the days had gone by: it lapsed, and the case comes to the table again.
    database.run("UPDATE assignment SET ends_at = starts_at + 1 WHERE role = 'R05'").await;
    let lapsed = ends().await;
    gemeente.move_to(&case, v1::Phase::F2).await;
    gemeente.move_to(&case, v1::Phase::F3).await;
    assert_eq!(ends().await, lapsed);
    let again = seat(gemeente, &ROL, &case, v1::Role::R05, &players.expert, false).await;
    again.expect("who lapsed may be invited anew");
    let open = "SELECT COUNT(*) FROM assignment WHERE role = 'R05' AND ends_at IS NULL";
    assert_eq!(database.number(open).await, 0, "an expert invited at the table has an end from the start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn referrals_at_the_same_time_open_one_case() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let output = network.voprf("999907141");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = players.gemeente.client().clone();
        let request = referral(Some(output.clone()), regime(), "");
        calls.spawn(async move { client.call::<_, v1::Case>("Cases/ReferCase", &request).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for status in answers.into_iter().filter_map(Result::err) {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    }
    assert_eq!(network.database().await.number("SELECT COUNT(*) FROM case_file").await, 1);
}

fn referral(output: Option<Vec<u8>>, regime: Option<v1::ConsentRegime>, reason: &'static str) -> v1::ReferCaseRequest {
    v1::ReferCaseRequest {
        request_id: id(),
        context: AANMELDING.because(reason).context(),
        subject: subject(output),
        regime,
        holder: String::new(),
    }
}

/// A gemeente that looks along as an expert must not find out whether the youth is one of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expert_does_not_learn_of_whom_a_case_is() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let other = network.partner("00000099100001420000", v1::OrganisationKind::Gemeente).await;
    let output = network.voprf("999907141");
    let case = players.gemeente.refer(Some(output.clone())).await.unwrap().message.name;
    seat(&players.gemeente, &ROL, &case, v1::Role::R05, &other, false).await.unwrap();
    let own = other.refer(Some(output.clone())).await.expect("as if there were no other case").message.name;
    assert_ne!(own, network.database().await.case_name(&case, other.oin()).await);
    let again = other.refer(Some(output)).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "its own case it knows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_work_list_shows_own_seats_and_no_more() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let case = players.gemeente.refer(None).await.unwrap().message.name;
    seat(&players.gemeente, &ROL, &case, v1::Role::R09, &players.aanbieder, false).await.unwrap();
    let request = v1::ListCasesRequest { context: FASE.context(), ..v1::ListCasesRequest::default() };
    let list = players.aanbieder.client().call::<_, v1::ListCasesResponse>("Cases/ListCases", &request).await.unwrap();
    let [found] = list.message.cases.as_slice() else { panic!("{list:?}", list = list.message) };
    assert_eq!(found.own_assignments.len(), 1);
    let shown =
        v1::Case { name: found.name.clone(), own_assignments: found.own_assignments.clone(), ..v1::Case::default() };
    assert_eq!(*found, shown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_was_asked_hears_nothing_of_the_case() {
    use v1::case_changed::Kind;
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let gemeente = &players.gemeente;
    let case = gemeente.refer(None).await.unwrap().message.name;
    seat(gemeente, &ROL, &case, v1::Role::R09, &players.aanbieder, false).await.unwrap();
    seat(gemeente, &ROL, &case, v1::Role::R07, &players.expert, false).await.unwrap();
    gemeente.move_to(&case, v1::Phase::F2).await;
    let heard = async |party: &Party| -> Vec<Kind> {
        let items = party.inbox("").await.unwrap();
        let kind = |item: v1::InboxItem| match item.item {
            Some(v1::inbox_item::Item::Changed(changed)) => Some(changed.kind()),
            _ => None,
        };
        items.into_iter().filter_map(kind).collect()
    };
    assert_eq!(heard(&players.aanbieder).await, [Kind::RoleAssigned]);
    assert_eq!(heard(&players.expert).await, [Kind::RoleAssigned, Kind::Phase]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_seals_for_whoever_left() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (gemeente, database) = (&players.gemeente, network.database().await);
    let case = gemeente.refer(None).await.unwrap().message.name;
    gemeente.move_to(&case, v1::Phase::F2).await;
    let draft = Draft::of_participants(&case);
    seat(gemeente, &ROL, &case, v1::Role::R07, &players.aanbieder, true).await.unwrap();
    gemeente.publish(&draft).await.unwrap();
    let newcomer = seat(gemeente, &ROL, &case, v1::Role::R07, &players.expert, true).await.unwrap();
    let waiting = async || database.number("SELECT COUNT(*) FROM seal_request").await;
    assert_eq!(waiting().await, 1);
    gemeente.end_role(&newcomer).await.unwrap();
    assert_eq!(waiting().await, 0);
}

/// Whether the author's agent is asked to seal a record for somebody.
pub(crate) async fn is_asked(author: &Party, record: &str) -> bool {
    let none = tokio_stream::once(Vec::new());
    let (_, mut asked) = author.client().open("/sluis.v1.Records/StreamSealRequests", none).await.unwrap();
    match tokio::time::timeout(Duration::from_secs(1), asked.message()).await {
        Ok(next) => v1::SealRequest::decode(&*next.unwrap().unwrap()).unwrap().record == record,
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_to_seal_what_is_older_than_a_month() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let late = network.partner("00000099300000030000", v1::OrganisationKind::Aanbieder).await;
    let (gemeente, database) = (&players.gemeente, network.database().await);
    let case = gemeente.refer(None).await.unwrap().message.name;
    gemeente.move_to(&case, v1::Phase::F2).await;
    let draft = Draft::of_participants(&case);
    seat(gemeente, &ROL, &case, v1::Role::R07, &players.aanbieder, true).await.unwrap();
    let record = gemeente.publish(&draft).await.unwrap().message.record.unwrap().name;
    seat(gemeente, &ROL, &case, v1::Role::R07, &players.expert, true).await.unwrap();
    let waiting = async || database.number("SELECT COUNT(*) FROM seal_request").await;
    assert_eq!(waiting().await, 1);
    // Its agent would not do it any more a moment later.
    forward(&network, 30 * 86_400 - 60).await;
    assert!(is_asked(gemeente, &record).await);
    forward(&network, 61).await;
    assert!(!is_asked(gemeente, &record).await);
    seat(gemeente, &ROL, &case, v1::Role::R07, &late, true).await.unwrap();
    assert_eq!(waiting().await, 1, "who comes too late is not put on the list");
}

/// Who waits in two roles is added in the one that the author signed, and goes on waiting in the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_with_two_roles_is_added_in_each_by_itself() {
    use v1::Role::{R07, R08};
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let gi = network.partner(GI, v1::OrganisationKind::Gi).await;
    let (gemeente, database) = (&players.gemeente, network.database().await);
    let case = gemeente.refer(None).await.unwrap().message.name;
    gemeente.move_to(&case, v1::Phase::F5).await;
    let draft = Draft {
        case: case.clone(),
        why: why("18", "hulp", v1::Role::R02),
        category: v1::Category::C15,
        form: v1::Form::I,
        roles: vec![R07, R08],
        content: b"het plan".to_vec(),
    };
    seat(gemeente, &ROL, &case, R07, &players.aanbieder, true).await.unwrap();
    gemeente.publish(&draft).await.unwrap();
    for role in [R07, R08] {
        seat(gemeente, &ROL, &case, role, &gi, true).await.unwrap();
    }
    let none = tokio_stream::once(Vec::new());
    let (_, mut asked) = gemeente.client().open("/sluis.v1.Records/StreamSealRequests", none).await.unwrap();
    let mut asked = async || {
        let next = tokio::time::timeout(PATIENCE, asked.message()).await.expect("a newcomer waits");
        v1::SealRequest::decode(&*next.unwrap().unwrap()).unwrap()
    };
    let (first, second) = (asked().await, asked().await);
    let roles = [&first, &second].map(|asked| asked.route.as_ref().unwrap().role());
    assert_eq!(roles, [R07, R08]);
    let add = async |asked: &v1::SealRequest| {
        let request = gemeente.add(asked);
        gemeente.client().call::<_, v1::AddRecipientResponse>("Records/AddRecipient", &request).await
    };
    let count = async |table: &str, role: &str| {
        let query = format!("SELECT COUNT(*) FROM {table} WHERE oin = '{GI}' AND role = '{role}'");
        database.any_number(query).await
    };
    let stands = async || {
        let mut all = Vec::new();
        for table in ["seal_request", "record_recipient"] {
            all.push((count(table, "R07").await, count(table, "R08").await));
        }
        all
    };
    add(&second).await.unwrap();
    assert_eq!(stands().await, [(1, 0), (0, 1)]);
    let again = add(&second).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "it waits in the other role alone: {again:?}");
    // Nobody is added to what should be gone.
    database.run("UPDATE record SET expires_at = 1").await;
    let late = add(&first).await.unwrap_err();
    assert_eq!(reason(&late).as_deref(), Some("RETENTION_ELAPSED"), "{late:?}");
    database.run("UPDATE record SET expires_at = NULL").await;
    add(&first).await.unwrap();
    assert_eq!(stands().await, [(0, 0), (1, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_parents_aside_needs_a_reason() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let alone = || {
        let regime = regime().unwrap();
        Some(v1::ConsentRegime { age_band: v1::AgeBand::AgeBand1215 as i32, youth_alone: true, ..regime })
    };
    let long = "weloverwogen wens, arts Z.";
    let refer = async |reason: &'static str| {
        let request = referral(None, alone(), reason);
        players.gemeente.client().call::<_, v1::Case>("Cases/ReferCase", &request).await
    };
    assert_eq!(refer("te kort").await.unwrap_err().code(), Code::InvalidArgument);
    refer(long).await.unwrap();
    let case = players.gemeente.refer(None).await.unwrap().message.name;
    let update = async |reason: &'static str| {
        let request = v1::UpdateConsentRegimeRequest {
            request_id: id(),
            context: FASE.because(reason).context(),
            case: case.clone(),
            regime: alone(),
        };
        players.gemeente.client().call::<_, v1::Case>("Cases/UpdateConsentRegime", &request).await
    };
    assert_eq!(update("").await.unwrap_err().code(), Code::InvalidArgument);
    update(long).await.unwrap();
}
