//! A scenario against a stand-in for agent and hub: real mutual TLS, real statuses, canned answers.

use std::path::Path;
use std::sync::Arc;

use rustls::time_provider::DefaultTimeProvider;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::api::v1 as api;
use crate::ca::profile::alternative;
use crate::ca::{Authority, Profile};
use crate::clock::SystemClock;
use crate::identity::certificate::Environment;
use crate::scenario::network::{Endpoint, Member, Person};
use crate::tls::files::{SetFiles, trust};
use crate::tls::{Gate, Identity, Limits, ServerTls};

const EVENT: &str = "events/01890000-0000-7000-8000-000000000001";
const HIDDEN: &str = "999900006";

const STORY: &str = r#"
title = "Proef"
description = "Drie stappen"
[[partner]]
id = "G-A"
name = "Gemeente A"
kind = "gemeente"
oin = "00000099100001410000"
[[youth]]
id = "open"
bsn = "999907141"
[[youth]]
id = "verborgen"
bsn = "999900006"
[[step]]
id = "1"
who = "G-A"
role = "R01"
user = "ga.1"
what = "Eigen pseudoniem"
call = "resolve"
article = "5"
purpose = "beheer"
youth = "open"
[[step]]
id = "2"
who = "G-A"
role = "R01"
user = "ga.1"
what = "Onbekend"
call = "resolve"
article = "5"
purpose = "beheer"
youth = "verborgen"
expect = "NOT_INVOLVED"
[[step]]
id = "3"
who = "G-A"
user = "ga.1"
what = "Postvak"
call = "inbox"
arrived = ["role R05"]
"#;

struct StandIn;

#[tonic::async_trait]
impl api::pseudonyms_server::Pseudonyms for StandIn {
    async fn resolve_pseudonym(
        &self,
        request: Request<api::ResolvePseudonymRequest>,
    ) -> Result<Response<api::ResolvePseudonymResponse>, Status> {
        let subject = request.into_inner().subject.and_then(|subject| subject.id);
        if subject == Some(api::subject::Id::Bsn(HIDDEN.to_owned())) {
            let details = ErrorDetails::with_error_info("REFUSED", "sluis", [("event".to_owned(), EVENT.to_owned())]);
            let mut status = Status::with_error_details(Code::PermissionDenied, "refused", details);
            status.metadata_mut().insert("sluis-event", EVENT.parse().unwrap());
            return Err(status);
        }
        let mut reply =
            Response::new(api::ResolvePseudonymResponse { pseudonym: "p".into(), epoch: 1, ..Default::default() });
        reply.metadata_mut().insert("sluis-event", "events/seen".parse().unwrap());
        Ok(reply)
    }

    async fn check_known_answer(
        &self,
        _: Request<api::CheckKnownAnswerRequest>,
    ) -> Result<Response<api::CheckKnownAnswerResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl api::audit_server::Audit for StandIn {
    async fn query_events(
        &self,
        request: Request<api::QueryEventsRequest>,
    ) -> Result<Response<api::QueryEventsResponse>, Status> {
        assert_eq!(request.into_inner().event, EVENT);
        let event = api::Event { reason: "NOT_INVOLVED".into(), ..Default::default() };
        Ok(Response::new(api::QueryEventsResponse { events: vec![event], ..Default::default() }))
    }

    async fn prove_events(
        &self,
        _: Request<api::ProveEventsRequest>,
    ) -> Result<Response<api::ProveEventsResponse>, Status> {
        Err(Status::unimplemented("not in this stand-in"))
    }

    async fn read_entries(
        &self,
        _: Request<api::ReadEntriesRequest>,
    ) -> Result<Response<api::ReadEntriesResponse>, Status> {
        Err(Status::unimplemented("not in this stand-in"))
    }

    async fn erase_events(
        &self,
        _: Request<api::EraseEventsRequest>,
    ) -> Result<Response<api::EraseEventsResponse>, Status> {
        Err(Status::unimplemented("not in this stand-in"))
    }

    async fn report_refusal(
        &self,
        _: Request<api::ReportRefusalRequest>,
    ) -> Result<Response<api::ReportRefusalResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl api::inbox_server::Inbox for StandIn {
    type StreamInboxStream = std::pin::Pin<Box<dyn Stream<Item = Result<api::InboxItem, Status>> + Send>>;

    async fn stream_inbox(
        &self,
        request: Request<api::StreamInboxRequest>,
    ) -> Result<Response<Self::StreamInboxStream>, Status> {
        let request = request.into_inner();
        assert!(request.drain);
        let changed = api::CaseChanged {
            kind: api::case_changed::Kind::RoleAssigned.into(),
            role: api::Role::R05.into(),
            ..Default::default()
        };
        // The first look finds nothing, the second an item, the third nothing more.
        let next = match request.cursor.as_str() {
            "" => Some(("1", None)),
            "1" => Some(("2", Some(api::inbox_item::Item::Changed(changed)))),
            _ => None,
        };
        let items = next.map(|(cursor, item)| Ok(api::InboxItem { cursor: cursor.into(), item, ..Default::default() }));
        Ok(Response::new(Box::pin(tokio_stream::iter(items))))
    }

    async fn acknowledge_inbox(
        &self,
        _: Request<api::AcknowledgeInboxRequest>,
    ) -> Result<Response<api::AcknowledgeInboxResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn stand_in(directory: &Path) -> Network {
    let now = SystemClock.now();
    let authority = Authority::init(directory, &"proef".parse().unwrap(), Environment::Test, now).unwrap();
    let alternatives = vec![alternative("localhost").unwrap()];
    let server = Profile::Server { name: "agent".parse().unwrap(), oin: None, alternatives };
    authority.issue("server", &server, 7, now).unwrap();
    authority.issue("system", &Profile::Local { system: "system".parse().unwrap() }, 7, now).unwrap();
    let file = |name: &str| directory.join(name);
    let identity = Identity::load(&file("server.pem"), &file("server.key"), now).unwrap();
    let set = SetFiles::built_in("local", "sluis-ca-local", &file("anchors.pem")).unwrap();
    let trust = trust(Environment::Test, vec![set]).unwrap();
    let tls = ServerTls::new(&identity, trust, Arc::new(DefaultTimeProvider)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (gate, incoming) = Gate::open(listener, tls, Limits::default());
    tokio::spawn(async move {
        let _open = gate;
        let server = tonic::transport::Server::builder()
            .add_service(api::pseudonyms_server::PseudonymsServer::new(StandIn))
            .add_service(api::audit_server::AuditServer::new(StandIn))
            .add_service(api::inbox_server::InboxServer::new(StandIn));
        server.serve_with_incoming(incoming).await
    });
    let endpoint =
        || Endpoint { address: address.clone(), server_name: "localhost".to_owned(), anchors: file("anchors.pem") };
    let person = || Person { certificate: file("system.pem"), key: file("system.key") };
    let member = Member {
        id: "G-A".to_owned(),
        oin: "00000099100001410000".to_owned(),
        agent: endpoint(),
        certificate: person().certificate,
        key: person().key,
        officer: None,
    };
    Network {
        nodes: Vec::new(),
        hub: endpoint(),
        operator: None,
        network_officer: Some(person()),
        partners: vec![member],
        outsiders: Vec::new(),
    }
}

#[tokio::test]
async fn outcomes_are_compared_and_the_log_gives_the_true_reason() {
    let directory = tempfile::tempdir().unwrap();
    let network = stand_in(directory.path()).await;
    let scenario = Scenario::parse(Path::new("proef.toml"), STORY).unwrap();
    let mut out = Vec::new();
    let verdict = play(&scenario, &network, &SystemClock, &mut out).await.unwrap();
    let report = String::from_utf8(out).unwrap();
    assert_eq!(verdict, Verdict { steps: 3, wrong: 0 }, "{report}");
    for wanted in ["ok  1", "got NOT_INVOLVED", "art. 5", "01890000-0000-7000-8000-000000000001", "3 steps, 0 not as"] {
        assert!(report.contains(wanted), "{wanted}: {report}");
    }
    assert!(!report.contains(HIDDEN), "{report}");
}

#[tokio::test]
async fn another_outcome_is_counted_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let network = stand_in(directory.path()).await;
    let story = STORY.replace("NOT_INVOLVED", "CONSENT_MISSING").replace("role R05", "record C09");
    let scenario = Scenario::parse(Path::new("proef.toml"), &story).unwrap();
    let mut out = Vec::new();
    let verdict = play(&scenario, &network, &SystemClock, &mut out).await.unwrap();
    let report = String::from_utf8(out).unwrap();
    assert_eq!(verdict, Verdict { steps: 3, wrong: 2 }, "{report}");
    assert!(report.contains("NOK 2") && report.contains("`record C09` has not arrived"), "{report}");
}

#[tokio::test]
async fn a_network_without_the_partner_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut network = stand_in(directory.path()).await;
    network.partners.clear();
    let scenario = Scenario::parse(Path::new("proef.toml"), STORY).unwrap();
    let error = play(&scenario, &network, &SystemClock, &mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("G-A"), "{error}");
}
