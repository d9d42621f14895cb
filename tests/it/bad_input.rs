//! Input that no honest client sends: a clear error that names the field, nothing echoed, nothing stored but the event.

use prost::Message as _;
use sluis::api::v1;
use sluis::seal::CaseBinding;
use tonic::{Code, Status};

use crate::calls::{Outcome, fields, reason};
use crate::direct::{AANMELDING, Draft, FASE, Players, ROL, Sealed, Why, consent, regime, why};
use crate::network::{Database, Network, Party, id};

/// A synthetic BSN that passes the elfproef, and one with the leading zero dropped (REFERENCE §3.6).
const BSNS: [&str; 2] = ["999907141", "10000008"];

struct Scene {
    network: Network,
    players: Players,
    database: Database,
    case: String,
}

impl Scene {
    async fn set() -> Self {
        let network = Network::start().await;
        let players = Players::join(&network).await;
        let case = players.gemeente.refer(None).await.unwrap().message.name;
        let database = network.database().await;
        Self { network, players, database, case }
    }

    fn gemeente(&self) -> &Party {
        &self.players.gemeente
    }

    fn draft(&self) -> Draft {
        Draft {
            case: self.case.clone(),
            why: AANMELDING,
            category: v1::Category::C06,
            form: v1::Form::P,
            roles: vec![v1::Role::R03],
            content: b"hulpvraag".to_vec(),
        }
    }

    /// What the database holds beside events, registry and remembered requests.
    async fn contents(&self) -> i64 {
        self.database
            .number(
                "SELECT CAST((SELECT COUNT(*) FROM case_file) + (SELECT COUNT(*) FROM assignment) + \
                 (SELECT COUNT(*) FROM consent) + (SELECT COUNT(*) FROM record) + (SELECT COUNT(*) FROM record_chunk) + \
                 (SELECT COUNT(*) FROM record_key) + (SELECT COUNT(*) FROM inbox_item) + (SELECT COUNT(*) FROM request) \
                 + (SELECT SUM(rev) FROM case_file) AS BIGINT)",
            )
            .await
    }

    async fn send(&self, rpc: &str, message: Vec<u8>) -> Outcome {
        self.gemeente().client().send(&format!("/sluis.v1.{rpc}"), vec![message], usize::MAX).await
    }
}

fn assert_silent_about(status: &Status, secrets: &[&str]) {
    let mut bytes = status.message().as_bytes().to_vec();
    bytes.extend_from_slice(status.details());
    bytes.extend_from_slice(format!("{:?}", status.metadata()).as_bytes());
    for secret in secrets {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is echoed");
    }
}

type WithText = fn(&Scene, &str) -> (&'static str, Vec<u8>, &'static str);

/// Every free text that the hub can read: where it goes, and the field that must be named.
fn texts() -> Vec<WithText> {
    fn leaked(why: &Why, text: &str) -> Option<v1::RequestContext> {
        why.context().map(|context| v1::RequestContext { reason: format!("over {text} gesproken"), ..context })
    }
    vec![
        |scene, text| {
            let request = v1::AdvancePhaseRequest {
                request_id: id(),
                context: leaked(&FASE, text),
                case: scene.case.clone(),
                phase: v1::Phase::F2 as i32,
            };
            ("Cases/AdvancePhase", request.encode_to_vec(), "context.reason")
        },
        |scene, text| {
            let context = FASE.context().map(|context| v1::RequestContext { user_ref: text.to_owned(), ..context });
            let case = scene.case.clone();
            let request = v1::AdvancePhaseRequest { request_id: id(), context, case, phase: v1::Phase::F2 as i32 };
            ("Cases/AdvancePhase", request.encode_to_vec(), "context.user_ref")
        },
        |_, text| {
            let request = v1::ReferCaseRequest {
                request_id: id(),
                context: leaked(&AANMELDING, text),
                subject: crate::direct::subject(None),
                regime: regime(),
                holder: String::new(),
            };
            ("Cases/ReferCase", request.encode_to_vec(), "context.reason")
        },
        |scene, text| {
            let request = v1::RecordConsentRequest {
                text_version: text.to_owned(),
                ..consent(&scene.case, &["13"], &[v1::Category::C06], &[v1::Role::R05])
            };
            ("Consents/RecordConsent", request.encode_to_vec(), "text_version")
        },
        |_, text| {
            let context = FASE.context().map(|context| v1::RequestContext { user_ref: text.to_owned(), ..context });
            let request = v1::StreamInboxRequest { context, cursor: String::new(), drain: true };
            ("Inbox/StreamInbox", request.encode_to_vec(), "context.user_ref")
        },
        |_, text| {
            let context = FASE.context().map(|context| v1::RequestContext { user_ref: text.to_owned(), ..context });
            (
                "Cases/ListCases",
                v1::ListCasesRequest { context, ..Default::default() }.encode_to_vec(),
                "context.user_ref",
            )
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bsn_in_any_text_is_refused_and_not_repeated() {
    let scene = Scene::set().await;
    let before = scene.contents().await;
    for bsn in BSNS {
        for text in texts() {
            let (rpc, message, field) = text(&scene, bsn);
            let outcome = scene.send(rpc, message).await;
            let status = outcome.status.unwrap_or_else(|| panic!("{rpc} takes a BSN in {field}"));
            assert_eq!(
                (status.code(), reason(&status).as_deref()),
                (Code::InvalidArgument, Some("BSN_IN_TEXT")),
                "{rpc}"
            );
            assert_eq!(fields(&status), [field], "{rpc}");
            assert_silent_about(&status, &[bsn]);
        }
    }
    let operator = &scene.network.operator.client;
    for bsn in BSNS {
        let request = v1::RegisterPartnerRequest {
            request_id: id(),
            oin: "00000099100009990000".to_owned(),
            display_name: format!("Gemeente {bsn}"),
            kind: v1::OrganisationKind::Gemeente as i32,
            ..Default::default()
        };
        let status = operator.call::<_, v1::Partner>("Registry/RegisterPartner", &request).await.unwrap_err();
        assert_eq!(fields(&status), ["display_name"]);
        assert_silent_about(&status, &[bsn]);
    }
    assert_eq!(scene.contents().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_subjects_and_plain_content_do_not_belong_at_the_hub() {
    let scene = Scene::set().await;
    let before = scene.contents().await;
    let plain = Some(v1::Subject { id: Some(v1::subject::Id::Bsn(BSNS[0].to_owned())) });
    let context = why("5", "beheer", v1::Role::R01).context();
    let asks = [
        (
            "Pseudonyms/ResolvePseudonym",
            v1::ResolvePseudonymRequest { context, subject: plain.clone() }.encode_to_vec(),
        ),
        (
            "Cases/GetCase",
            v1::GetCaseRequest { context: AANMELDING.context(), subject: plain.clone(), ..Default::default() }
                .encode_to_vec(),
        ),
        (
            "Cases/ReferCase",
            v1::ReferCaseRequest {
                request_id: id(),
                context: AANMELDING.context(),
                subject: plain,
                regime: regime(),
                holder: String::new(),
            }
            .encode_to_vec(),
        ),
    ];
    for (rpc, message) in asks {
        let status = scene.send(rpc, message).await.status.unwrap();
        assert_eq!((status.code(), reason(&status).as_deref()), (Code::InvalidArgument, Some("BSN_IN_TEXT")), "{rpc}");
        assert_eq!(fields(&status), ["subject.bsn"], "{rpc}");
        assert_silent_about(&status, &[BSNS[0]]);
    }
    let sealed = scene.gemeente().seal(&scene.draft()).await.unwrap();
    let content = "Zij wil thuis blijven.";
    let chunk = Some(v1::publish_record_request::Chunk::Plain(content.as_bytes().to_vec().into()));
    let first = v1::PublishRecordRequest { open: Some(sealed.open), chunk };
    let status = scene.send("Records/PublishRecord", first.encode_to_vec()).await.status.unwrap();
    assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["plain".to_owned()]));
    assert_silent_about(&status, &[content]);
    assert_eq!(scene.contents().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_means_one_request() {
    let scene = Scene::set().await;
    let (gemeente, case) = (scene.gemeente(), &scene.case);
    let mut request = v1::AssignRoleRequest {
        request_id: id(),
        context: ROL.because("proef van herhalen").context(),
        case: case.clone(),
        role: v1::Role::R07 as i32,
        partner: scene.players.aanbieder.name(),
        external_kind: 0,
        directly_involved: false,
        end_time: None,
    };
    let assign = async |request: &v1::AssignRoleRequest| {
        gemeente.client().call::<_, v1::Assignment>("Cases/AssignRole", request).await
    };
    let first = assign(&request).await.unwrap();
    let contents = scene.contents().await;
    let events = scene.database.events().await;
    let again = assign(&request).await.unwrap();
    assert_eq!(first.message, again.message);
    assert_ne!(first.event, again.event, "a repeat is an event of its own");
    assert_eq!(scene.database.events().await, events + 1);
    assert_eq!(scene.contents().await, contents, "a repeat has no effect");

    request.directly_involved = true;
    let status = assign(&request).await.unwrap_err();
    assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["request_id".to_owned()]));

    // Another method, and another organisation: its ids are its own.
    let advance = v1::AdvancePhaseRequest {
        request_id: request.request_id.clone(),
        context: FASE.context(),
        case: case.clone(),
        phase: v1::Phase::F2 as i32,
    };
    let status = gemeente.client().call::<_, v1::Case>("Cases/AdvancePhase", &advance).await.unwrap_err();
    assert_eq!(fields(&status), ["request_id"]);
    let own = crate::network::publish_keys(&scene.players.aanbieder);
    let own = v1::PublishKeysRequest { request_id: request.request_id, ..own };
    let other = &scene.players.aanbieder;
    other.client().call::<_, v1::PublishKeysResponse>("Directory/PublishKeys", &own).await.unwrap_or_else(|status| {
        assert_ne!(fields(&status), ["request_id"], "ids of one organisation do not block another");
        panic!("{status:?}")
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_renewed_and_never_rolled_back() {
    let scene = Scene::set().await;
    let party = &scene.players.aanbieder;
    let fresh = || sluis::seal::AgentKeys::generate(&mut rand_core::OsRng).unwrap();
    let set = |keys: &sluis::seal::AgentKeys, epoch| {
        keys.key_set(party.oin().clone(), sluis::pseudonym::Epoch::new(epoch).unwrap(), crate::network::now()).unwrap()
    };
    let (swapped, renewed) = (set(&fresh(), 1), set(&fresh(), 2));
    let renewed = renewed.following([&set(&party.keys, 1)]).unwrap();
    let steps = [
        (crate::network::publish_keys(party), None),
        (crate::network::publish_set(party, &swapped), Some("keys.document")),
        (crate::network::publish_set(party, &renewed), None),
        (crate::network::publish_set(party, &renewed), None),
        (crate::network::publish_keys(party), Some("keys.document")),
    ];
    for (step, (request, wrong)) in steps.iter().enumerate() {
        let reply = party.client().call::<_, v1::PublishKeysResponse>("Directory/PublishKeys", request).await;
        match (reply, wrong) {
            (Ok(reply), None) => assert_eq!(reply.message.partner.unwrap().keys, request.keys, "step {step}"),
            (Err(status), Some(field)) => assert_eq!(fields(&status), [*field], "step {step}"),
            (reply, _) => panic!("step {step}: {:?}", reply.map(|reply| reply.event)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_at_the_same_time_has_one_effect() {
    let scene = Scene::set().await;
    let request = v1::AssignRoleRequest {
        request_id: id(),
        context: ROL.because("proef van herhalen").context(),
        case: scene.case.clone(),
        role: v1::Role::R07 as i32,
        partner: scene.players.aanbieder.name(),
        external_kind: 0,
        directly_involved: false,
        end_time: None,
    };
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (client, request) = (scene.gemeente().client().clone(), request.clone());
        calls.spawn(async move { client.call::<_, v1::Assignment>("Cases/AssignRole", &request).await });
    }
    let names: std::collections::BTreeSet<String> =
        calls.join_all().await.into_iter().map(|reply| reply.unwrap().message.name).collect();
    assert_eq!(names.len(), 1);
    let held = scene.database.number("SELECT COUNT(*) FROM assignment WHERE role = 'R07'").await;
    assert_eq!(held, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_mean_nothing_are_named() {
    let scene = Scene::set().await;
    let before = scene.contents().await;
    for (change, field) in [
        ((|c| c.article = "41".into()) as fn(&mut v1::RequestContext), "context.article"),
        (|c| c.article = "x' OR 1=1".into(), "context.article"),
        (|c| c.purpose = "nieuwsgierigheid".into(), "context.purpose"),
        (|c| c.acting_role = 99, "context.acting_role"),
        (|c| c.user_ref = "Jan de Vries".into(), "context.user_ref"),
        (|c| c.reason = "a".repeat(501), "context.reason"),
    ] {
        let mut context = FASE.context().unwrap();
        change(&mut context);
        let request = v1::AdvancePhaseRequest {
            request_id: id(),
            context: Some(context),
            case: scene.case.clone(),
            phase: v1::Phase::F2 as i32,
        };
        let status = scene.send("Cases/AdvancePhase", request.encode_to_vec()).await.status.unwrap();
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec![field.to_owned()]));
    }
    for cursor in ["1-000000000000", "garbage", "99999-abc", "-1-abc"] {
        let status = scene.gemeente().inbox(cursor).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{cursor}");
    }
    let foreign = scene.network.netwerk.inbox("").await.unwrap().pop().unwrap().cursor;
    assert_eq!(scene.gemeente().inbox(&foreign).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(scene.contents().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_refused_with_an_event() {
    let scene = Scene::set().await;
    let before = (scene.contents().await, scene.database.events().await);
    let huge = vec![0; 5 << 20];
    let cases = [
        ("/sluis.v1.Cases/GetCase", vec![vec![0xff; 40]], Code::InvalidArgument),
        ("/sluis.v1.Records/PublishRecord", vec![vec![0xff; 40]], Code::InvalidArgument),
        ("/sluis.v1.Inbox/StreamInbox", vec![b"\x0a\xff\xff\xff\xff\x7f".to_vec()], Code::InvalidArgument),
        ("/sluis.v1.Cases/GetCase", vec![huge.clone()], Code::InvalidArgument),
        ("/sluis.v1.Records/PublishRecord", vec![huge], Code::InvalidArgument),
        ("/sluis.v1.Cases/GetCase", vec![Vec::new()], Code::InvalidArgument),
        ("/sluis.v1.Records/PublishRecord", Vec::new(), Code::InvalidArgument),
        ("/sluis.v1.Cases/GetCase", Vec::new(), Code::InvalidArgument),
        ("/sluis.v1.Cases/DeleteCase", vec![Vec::new()], Code::Unimplemented),
        ("/sluis.v2.Cases/GetCase", vec![Vec::new()], Code::Unimplemented),
        ("/", vec![Vec::new()], Code::Unimplemented),
    ];
    let mut wrong = Vec::new();
    for (nth, (path, messages, code)) in cases.into_iter().enumerate() {
        let events = scene.database.events().await;
        let outcome = scene.gemeente().client().send(path, messages, usize::MAX).await;
        let left = scene.database.events().await - events;
        if (outcome.code(), left, outcome.event.is_some()) != (code, 1, true) {
            wrong.push(format!("{nth} {path}: {}, {left} events, named {:?}", outcome.word(), outcome.event));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(scene.contents().await, before.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_stops_halfway_leaves_nothing() {
    let scene = Scene::set().await;
    let content = vec![7; 3 << 20];
    let sealed = scene.gemeente().seal(&Draft { content, ..scene.draft() }).await.unwrap();
    let before = scene.contents().await;
    // Ends as if it were complete.
    let mut messages = sealed.messages();
    messages.truncate(3);
    let path = "/sluis.v1.Records/PublishRecord";
    let outcome = scene.gemeente().client().send(path, messages.clone(), usize::MAX).await;
    assert_eq!(
        (outcome.code(), fields(&outcome.status.unwrap())),
        (Code::InvalidArgument, vec!["open.header".to_owned()])
    );
    // Breaks off.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let client = scene.gemeente().client().clone();
    let opening = tokio::spawn(async move {
        drop(client.open(path, tokio_stream::wrappers::ReceiverStream::new(receiver)).await);
    });
    for message in messages {
        sender.send(message).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    opening.abort();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(scene.contents().await, before);
    let left = std::fs::read_dir(scene.network.path("hub/spool")).unwrap().count();
    assert_eq!(left, 0, "the spool is empty");
    // The whole of it is still welcome.
    assert_eq!(scene.gemeente().send(&sealed).await.word(), "OK");
}

type Spoil = fn(&Scene, &mut Sealed);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sealed_must_be_what_is_sent_to_whom_it_may_go() {
    let scene = Scene::set().await;
    let spoils: [(&str, Spoil, &str); 12] = [
        ("another body", |_, s| s.body[0] ^= 1, "open.header"),
        ("a longer body", |_, s| s.body.push(0), "open.header"),
        (
            "another category in the header",
            |s, x| x.resign(&s.gemeente().keys, |h| h.category = "C03".parse().unwrap()),
            "open.header",
        ),
        (
            "another article in the header",
            |s, x| x.resign(&s.gemeente().keys, |h| h.article = "12".parse().unwrap()),
            "open.header",
        ),
        (
            "another author in the header",
            |s, x| x.resign(&s.gemeente().keys, |h| h.author = s.players.expert.oin().clone()),
            "open.header",
        ),
        ("signed by another", |s, x| x.resign(&s.players.expert.keys, |_| ()), "open.header"),
        (
            "another record in the header",
            |s, x| x.resign(&s.gemeente().keys, |h| h.record = uuid::Uuid::new_v4()),
            "open.header",
        ),
        ("no header", |_, x| x.open.header = None, "open.header"),
        ("a header that is no JSON", |_, x| x.open.header.as_mut().unwrap().header = b"{}".to_vec(), "open.header"),
        (
            "a truncated key",
            |_, x| {
                x.open.keys[0].ciphertext.pop();
            },
            "open.keys",
        ),
        (
            "the same key twice",
            |_, x| {
                let key = x.open.keys[0].clone();
                x.open.keys.push(key);
            },
            "open.keys",
        ),
        ("no request id", |_, x| x.open.request_id.clear(), "open.request_id"),
    ];
    let before = scene.contents().await;
    for (what, spoil, field) in spoils {
        let mut sealed = scene.gemeente().seal(&scene.draft()).await.unwrap();
        spoil(&scene, &mut sealed);
        let outcome = scene.gemeente().send(&sealed).await;
        assert_eq!(outcome.code(), Code::InvalidArgument, "{what}: {}", outcome.word());
        assert_eq!(fields(&outcome.status.unwrap()), [field], "{what}");
    }
    let routes: [(&str, Spoil); 5] = [
        ("a recipient less", |s, x| {
            let me = s.gemeente().oin().clone();
            x.resign(&s.gemeente().keys, |h| h.recipients.retain(|r| r.oin == me));
        }),
        ("a recipient more", |s, x| {
            x.resign(&s.gemeente().keys, |h| {
                let extra = sluis::seal::Recipient { oin: s.players.expert.oin().clone(), ..h.recipients[0].clone() };
                h.recipients.push(extra);
                h.recipients.sort_by(|a, b| a.oin.cmp(&b.oin));
            });
        }),
        ("another case of the recipient", |s, x| {
            x.resign(&s.gemeente().keys, |h| h.recipients[0].case = CaseBinding::from_bytes([9; 32]))
        }),
        ("a key less", |_, x| {
            x.open.keys.pop();
        }),
        ("a key for a stranger", |s, x| {
            let mut key = x.open.keys[0].clone();
            key.recipient = s.players.expert.oin().to_string();
            x.open.keys.push(key);
        }),
    ];
    for (what, spoil) in routes {
        let mut sealed = scene.gemeente().seal(&scene.draft()).await.unwrap();
        spoil(&scene, &mut sealed);
        assert_eq!(scene.gemeente().send(&sealed).await.word(), "FailedPrecondition ROUTE_CHANGED", "{what}");
    }
    assert_eq!(scene.contents().await, before);
    // A record's name is used once.
    let sealed = scene.gemeente().seal(&scene.draft()).await.unwrap();
    assert_eq!(scene.gemeente().send(&sealed).await.word(), "OK");
    let mut again = Sealed { open: sealed.open, body: sealed.body, header: sealed.header };
    again.open.request_id = id();
    let outcome = scene.gemeente().send(&again).await;
    assert_eq!(
        (outcome.code(), fields(&outcome.status.unwrap())),
        (Code::InvalidArgument, vec!["open.record".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_comes_after_the_plan_changes_the_route() {
    let scene = Scene::set().await;
    let gemeente = scene.gemeente();
    gemeente.advance(&scene.case, v1::Phase::F2).await.unwrap();
    gemeente.assign(&scene.case, v1::Role::R07, &scene.players.aanbieder).await.unwrap();
    let draft = Draft {
        why: why("12", "triage", v1::Role::R02),
        category: v1::Category::C05,
        form: v1::Form::I,
        roles: vec![v1::Role::R07],
        ..scene.draft()
    };
    let sealed = gemeente.seal(&draft).await.unwrap();
    gemeente.assign(&scene.case, v1::Role::R07, &scene.players.expert).await.unwrap();
    assert_eq!(gemeente.send(&sealed).await.word(), "FailedPrecondition ROUTE_CHANGED");
    gemeente.publish(&draft).await.unwrap();
}
