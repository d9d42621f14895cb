//! A case that does not exist and a case of others look the same: code, message, details, size and time (guarantee G5).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use prost::Message as _;
use sluis::api::v1;
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::calls::{Client, Outcome};
use crate::direct::{AANMELDING, Draft, FASE, Players, ROL, Why, subject, why};
use crate::network::{Network, id};

/// What a status says to its reader, without the event's name, which is new every time.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: tonic::Code,
    message: String,
    reason: String,
    other_metadata: HashMap<String, String>,
    details: usize,
    headers: Vec<(String, usize)>,
}

fn said(status: &Status) -> Said {
    let info = status.get_error_details().error_info().unwrap().clone();
    let mut headers: Vec<(String, usize)> = status
        .metadata()
        .clone()
        .into_headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.len()))
        .filter(|(name, _)| name != "date")
        .collect();
    headers.sort();
    Said {
        code: status.code(),
        message: status.message().to_owned(),
        reason: info.reason.clone(),
        other_metadata: info.metadata.into_iter().filter(|(key, _)| key != "event").collect(),
        details: status.details().len(),
        headers,
    }
}

/// One request that names something: what does not exist, or what is somebody else's.
type Ask = fn(&str) -> (&'static str, Vec<u8>);

const READER: Why = why("10", "aanmelding", v1::Role::R02);

fn asks() -> Vec<(&'static str, Ask)> {
    fn case(name: &str) -> (&'static str, Vec<u8>) {
        let request = v1::GetCaseRequest { context: READER.context(), name: name.to_owned(), ..Default::default() };
        ("Cases/GetCase", request.encode_to_vec())
    }
    fn advance(name: &str) -> (&'static str, Vec<u8>) {
        let phase = v1::Phase::F2 as i32;
        let request =
            v1::AdvancePhaseRequest { request_id: id(), context: FASE.context(), case: name.to_owned(), phase };
        ("Cases/AdvancePhase", request.encode_to_vec())
    }
    fn end(name: &str) -> (&'static str, Vec<u8>) {
        let name = format!("{name}/assignments/{}", Uuid::new_v4());
        ("Cases/EndRole", v1::EndRoleRequest { request_id: id(), context: ROL.context(), name }.encode_to_vec())
    }
    fn consents(name: &str) -> (&'static str, Vec<u8>) {
        let context = why("35", "rechten", v1::Role::R02).context();
        let request = v1::ListConsentsRequest { context, case: name.to_owned(), ..Default::default() };
        ("Consents/ListConsents", request.encode_to_vec())
    }
    fn plan(name: &str) -> (&'static str, Vec<u8>) {
        let request = v1::PlanRouteRequest {
            context: AANMELDING.context(),
            case: name.to_owned(),
            category: v1::Category::C06 as i32,
            form: v1::Form::P as i32,
            ..Default::default()
        };
        ("Records/PlanRoute", request.encode_to_vec())
    }
    fn list(name: &str) -> (&'static str, Vec<u8>) {
        let categories = vec![v1::Category::C06 as i32];
        let request = v1::ListRecordsRequest {
            context: READER.context(),
            case: name.to_owned(),
            categories,
            ..Default::default()
        };
        ("Records/ListRecords", request.encode_to_vec())
    }
    fn ask(name: &str) -> (&'static str, Vec<u8>) {
        let request = v1::RequestRecordsRequest {
            request_id: id(),
            context: READER.context(),
            case: name.to_owned(),
            categories: vec![v1::Category::C06 as i32],
            form: v1::Form::P as i32,
            sources: Vec::new(),
        };
        ("Records/RequestRecords", request.encode_to_vec())
    }
    vec![
        ("case", case),
        ("advance", advance),
        ("end role", end),
        ("consents", consents),
        ("plan", plan),
        ("list", list),
        ("request", ask),
    ]
}

async fn send(client: &Client, (method, message): (&'static str, Vec<u8>)) -> Outcome {
    client.send(&format!("/sluis.v1.{method}"), vec![message], usize::MAX).await
}

async fn refused(client: &Client, request: (&'static str, Vec<u8>)) -> Said {
    let method = request.0;
    let outcome = send(client, request).await;
    said(&outcome.status.unwrap_or_else(|| panic!("{method} must be refused")))
}

/// A network in which the gemeente has a case and a record, and the expert knows nothing of either.
struct Scene {
    network: Network,
    players: Players,
    case: String,
    record: String,
}

impl Scene {
    async fn set() -> Self {
        let network = Network::start().await;
        let players = Players::join(&network).await;
        let gemeente = &players.gemeente;
        let case = gemeente.refer(Some(network.voprf("999907141"))).await.unwrap().message.name;
        let draft = Draft {
            case: case.clone(),
            why: AANMELDING,
            category: v1::Category::C06,
            form: v1::Form::P,
            roles: vec![v1::Role::R03],
            content: b"hulpvraag".to_vec(),
        };
        let record = gemeente.publish(&draft).await.unwrap().message.record.unwrap().name;
        Self { network, players, case, record }
    }

    fn by_subject(&self, bsn: &str) -> (&'static str, Vec<u8>) {
        let context = why("13", "advies", v1::Role::R05).context();
        let subject = subject(Some(self.network.voprf(bsn)));
        ("Cases/GetCase", v1::GetCaseRequest { context, subject, ..Default::default() }.encode_to_vec())
    }

    fn fetch(&self, record: &str) -> (&'static str, Vec<u8>) {
        let context = why("10", "aanmelding", v1::Role::R03).context();
        let request = v1::FetchRecordRequest { context, name: record.to_owned(), case: self.case.clone() };
        ("Records/FetchRecord", request.encode_to_vec())
    }
}

fn unheard_of(collection: &str) -> String {
    format!("{collection}/{}", Uuid::new_v4())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_foreign_say_the_same() {
    let scene = Scene::set().await;
    let stranger = scene.players.expert.client();
    for (what, ask) in asks() {
        let unknown = refused(stranger, ask(&unheard_of("cases"))).await;
        let foreign = refused(stranger, ask(&scene.case)).await;
        assert_eq!(unknown, foreign, "{what}");
        assert_eq!((unknown.reason.as_str(), unknown.code), ("REFUSED", tonic::Code::PermissionDenied), "{what}");
    }
    let unknown = refused(stranger, scene.by_subject("999900006")).await;
    assert_eq!(unknown, refused(stranger, scene.by_subject("999907141")).await);
    let unknown = refused(stranger, scene.fetch(&unheard_of("records"))).await;
    assert_eq!(unknown, refused(stranger, scene.fetch(&scene.record)).await);
    // The log knows the difference.
    let database = scene.network.database().await;
    let reasons = "SELECT COUNT(DISTINCT reason) FROM audit_event WHERE reason IN ('CASE_UNKNOWN', 'NOT_INVOLVED')";
    assert_eq!(database.number(reasons).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_tells_an_outsider_nothing() {
    let scene = Scene::set().await;
    let ask = |case: String| v1::ExplainDecisionRequest {
        context: AANMELDING.context(),
        case,
        send: true,
        category: v1::Category::C06 as i32,
        form: v1::Form::P as i32,
        counterpart: scene.network.netwerk.name(),
        counterpart_role: v1::Role::R03 as i32,
    };
    let client = scene.players.expert.client();
    let mut answers = Vec::new();
    for case in [scene.case.clone(), unheard_of("cases")] {
        let call = client.call::<_, v1::Explanation>("Covenants/ExplainDecision", &ask(case)).await;
        answers.push(call.unwrap().message);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!((answers[0].allowed, answers[0].reason.as_str()), (false, "REFUSED"));
}

/// Samples of each kind. Taken in turn, so that whatever else the machine does weighs on both alike.
const SAMPLES: usize = 200;
/// A look-up more would show as a difference of tens of per cent; noise on a busy machine as less than this.
const FACTOR: f64 = 1.3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_foreign_take_the_same_time() {
    let scene = Scene::set().await;
    let stranger = scene.players.expert.client();
    let case = asks()[0].1;
    let unknown = unheard_of("cases");
    assert_alike(stranger, "case", || case(&unknown), || case(&scene.case)).await;
    let unknown = unheard_of("records");
    assert_alike(stranger, "record", || scene.fetch(&unknown), || scene.fetch(&scene.record)).await;
}

/// Fails only if three measurements in a row differ.
async fn assert_alike<Q: Fn() -> (&'static str, Vec<u8>)>(
    client: &Client,
    what: &str,
    unknown: Q,
    foreign: impl Fn() -> (&'static str, Vec<u8>),
) {
    let mut factors = Vec::new();
    for _ in 0..3 {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..SAMPLES {
            first.push(time(client, unknown()).await);
            second.push(time(client, foreign()).await);
        }
        let factor = median(&mut first).as_secs_f64() / median(&mut second).as_secs_f64();
        if (1.0 / FACTOR..FACTOR).contains(&factor) {
            return;
        }
        factors.push(factor);
    }
    panic!("{what}: unknown / foreign take {factors:?} times as long");
}

async fn time(client: &Client, request: (&'static str, Vec<u8>)) -> Duration {
    let start = Instant::now();
    assert!(send(client, request).await.status.is_some());
    start.elapsed()
}

fn median(samples: &mut [Duration]) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}
