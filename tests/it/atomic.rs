//! No effect without its event, no release without its event (guarantee G1): the database refuses events, and then
//! nothing happens.

use prost::Message as _;
use sluis::api::v1;
use tonic::Code;

use crate::direct::{AANMELDING, Draft, FASE, Players, consent, regime, subject, why};
use crate::network::{Database, Network, id};

/// Everything in the database, in one number per table.
async fn contents(database: &Database) -> Vec<i64> {
    let mut counts = Vec::new();
    for query in [
        "SELECT COUNT(*) FROM partner",
        "SELECT COUNT(*) FROM certificate WHERE revoked_at IS NULL",
        "SELECT COUNT(*) FROM key_set",
        "SELECT COUNT(*) FROM covenant_signature",
        "SELECT COUNT(*) FROM case_file",
        "SELECT CAST(COALESCE(SUM(rev), 0) AS BIGINT) FROM case_file",
        "SELECT COUNT(*) FROM case_name",
        "SELECT COUNT(*) FROM assignment WHERE ended_at IS NULL",
        "SELECT COUNT(*) FROM consent WHERE withdrawn_at IS NULL",
        "SELECT COUNT(*) FROM record",
        "SELECT COUNT(*) FROM record_chunk",
        "SELECT COUNT(*) FROM record_key",
        "SELECT COUNT(*) FROM inbox_item",
        "SELECT CAST(COALESCE(SUM(acked), 0) AS BIGINT) FROM inbox_head",
        "SELECT COUNT(*) FROM request",
        "SELECT COUNT(*) FROM audit_event",
        "SELECT COUNT(*) FROM audit_event_party",
        "SELECT (SELECT COUNT(*) FROM audit_outbox) + (SELECT COUNT(*) FROM log_leaf)",
        "SELECT rev FROM registry_head",
    ] {
        counts.push(database.number(query).await);
    }
    counts
}

struct Scene {
    network: Network,
    players: Players,
    database: Database,
    /// Good requests: changes, reads, and refusals.
    calls: Vec<(&'static str, Vec<Vec<u8>>)>,
}

impl Scene {
    async fn set() -> Self {
        let network = Network::start().await;
        let players = Players::join(&network).await;
        let database = network.database().await;
        let gemeente = &players.gemeente;
        let case = gemeente.refer(None).await.unwrap().message.name;
        let assignment = gemeente.assign(&case, v1::Role::R07, &players.expert).await.unwrap().message.name;
        let draft = Draft {
            case: case.clone(),
            why: AANMELDING,
            category: v1::Category::C06,
            form: v1::Form::P,
            roles: vec![v1::Role::R03],
            content: vec![1; 300_000],
        };
        let record = gemeente.publish(&draft).await.unwrap().message.record.unwrap().name;
        let sealed = gemeente.seal(&draft).await.unwrap();
        let cursor = gemeente.inbox("").await.unwrap().pop().unwrap().cursor;
        let one = |rpc, message: Vec<u8>| (rpc, vec![message]);
        let reader = || why("10", "aanmelding", v1::Role::R02).context();
        let calls = vec![
            one(
                "Cases/ReferCase",
                v1::ReferCaseRequest {
                    request_id: id(),
                    context: AANMELDING.context(),
                    subject: subject(None),
                    regime: regime(),
                    holder: String::new(),
                }
                .encode_to_vec(),
            ),
            one(
                "Cases/AdvancePhase",
                v1::AdvancePhaseRequest {
                    request_id: id(),
                    context: FASE.context(),
                    case: case.clone(),
                    phase: v1::Phase::F2 as i32,
                }
                .encode_to_vec(),
            ),
            one(
                "Cases/EndRole",
                v1::EndRoleRequest { request_id: id(), context: crate::direct::ROL.context(), name: assignment }
                    .encode_to_vec(),
            ),
            one(
                "Consents/RecordConsent",
                consent(&case, &["13"], &[v1::Category::C06], &[v1::Role::R05]).encode_to_vec(),
            ),
            ("Records/PublishRecord", sealed.messages()),
            one(
                "Inbox/AcknowledgeInbox",
                v1::AcknowledgeInboxRequest { context: FASE.context(), cursor }.encode_to_vec(),
            ),
            one("Directory/PublishKeys", crate::network::publish_keys(gemeente).encode_to_vec()),
            one("Directory/ListPartners", Vec::new()),
            one("Covenants/GetCovenant", Vec::new()),
            one(
                "Cases/GetCase",
                v1::GetCaseRequest { context: reader(), name: case.clone(), ..Default::default() }.encode_to_vec(),
            ),
            one("Cases/ListCases", v1::ListCasesRequest { context: reader(), ..Default::default() }.encode_to_vec()),
            one(
                "Inbox/StreamInbox",
                v1::StreamInboxRequest { context: FASE.context(), cursor: String::new(), drain: true }.encode_to_vec(),
            ),
            one(
                "Records/FetchRecord",
                v1::FetchRecordRequest { context: AANMELDING.context(), name: record, case: case.clone() }
                    .encode_to_vec(),
            ),
            // Refusals: what was wrong may not be said either.
            one(
                "Cases/GetCase",
                v1::GetCaseRequest {
                    context: reader(),
                    name: format!("cases/{}", uuid::Uuid::new_v4()),
                    ..Default::default()
                }
                .encode_to_vec(),
            ),
            one("Cases/GetCase", b"\xff\xff".to_vec()),
            one("Cases/NoSuchMethod", Vec::new()),
        ];
        Self { network, players, database, calls }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_event_nothing_happens_and_nothing_is_released() {
    let scene = Scene::set().await;
    let client = scene.players.gemeente.client();
    // The log can't be written, or the last of the event's rows can't.
    for table in ["audit_event", "audit_outbox"] {
        scene.database.forbid(table, "").await;
        let before = contents(&scene.database).await;
        for (rpc, messages) in &scene.calls {
            let outcome = client.send(&format!("/sluis.v1.{rpc}"), messages.clone(), usize::MAX).await;
            assert_eq!(outcome.code(), Code::Unavailable, "{rpc}: {}", outcome.word());
            assert!(outcome.messages.is_empty() && outcome.event.is_none(), "{rpc} releases something");
            assert!(outcome.status.unwrap().details().is_empty(), "{rpc} says why");
        }
        let stranger = scene.network.certificate(crate::network::GEMEENTE).await.client;
        let outcome = stranger.send("/sluis.v1.Directory/ListPartners", vec![Vec::new()], 1).await;
        assert_eq!(outcome.code(), Code::Unavailable);
        assert_eq!(contents(&scene.database).await, before, "something was stored");
        scene.database.allow(table).await;
    }
    for (rpc, messages) in scene.calls.iter().take(13) {
        let outcome = client.send(&format!("/sluis.v1.{rpc}"), messages.clone(), usize::MAX).await;
        // The end of the role and the sealed record are as good as they were.
        assert_eq!(outcome.word(), expected_after(rpc), "{rpc}");
    }
    scene.network.holds_together().await;
}

/// After the case went to F2, article 10 lets nothing more be sent in form P.
fn expected_after(rpc: &str) -> &'static str {
    match rpc {
        "Records/PublishRecord" | "Records/FetchRecord" => "PermissionDenied PHASE_NOT_ALLOWED",
        _ => "OK",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_effect_there_is_no_event() {
    let scene = Scene::set().await;
    scene.database.forbid("inbox_item", "").await;
    let before = contents(&scene.database).await;
    let status = scene.players.gemeente.refer(None).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(contents(&scene.database).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_takes_no_neighbour_along() {
    let scene = Scene::set().await;
    scene.database.forbid("audit_event", "NEW.user_ref = 'pechvogel'").await;
    let before = scene.database.number("SELECT COUNT(*) FROM case_file").await;
    let mut calls = tokio::task::JoinSet::new();
    for nth in 0..60 {
        let client = scene.players.gemeente.client().clone();
        let unlucky = nth % 5 == 0;
        calls.spawn(async move {
            let mut context = AANMELDING.context().unwrap();
            if unlucky {
                context.user_ref = "pechvogel".to_owned();
            }
            let request = v1::ReferCaseRequest {
                request_id: id(),
                context: Some(context),
                subject: subject(None),
                regime: regime(),
                holder: String::new(),
            };
            let reply = client.call::<_, v1::Case>("Cases/ReferCase", &request).await;
            (unlucky, reply.map(|_| ()).map_err(|status| status.code()))
        });
    }
    for (unlucky, reply) in calls.join_all().await {
        assert_eq!(reply, if unlucky { Err(Code::Unavailable) } else { Ok(()) });
    }
    assert_eq!(scene.database.number("SELECT COUNT(*) FROM case_file").await, before + 48);
    let orphans = "SELECT COUNT(*) FROM case_file WHERE case_id NOT IN \
                   (SELECT case_id FROM audit_event WHERE outcome = 'allowed' AND case_id IS NOT NULL)";
    assert_eq!(scene.database.number(orphans).await, 0, "every case has its event");
    scene.network.holds_together().await;
}
