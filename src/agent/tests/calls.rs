//! Calls that are passed on, subjects, refusals, and who may call at all.

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::network::*;
use crate::api::v1;
use crate::api::v1::directory_client::DirectoryClient;
use crate::api::v1::inbox_client::InboxClient;
use crate::api::v1::pseudonyms_client::PseudonymsClient;
use crate::api::v1::records_client::RecordsClient;
use crate::api::v1::subject::Id;

fn about(id: Id) -> v1::ResolvePseudonymRequest {
    v1::ResolvePseudonymRequest { context: context(), subject: Some(v1::Subject { id: Some(id) }) }
}

async fn resolve(running: &Running, id: Id) -> Result<tonic::Response<v1::ResolvePseudonymResponse>, tonic::Status> {
    PseudonymsClient::new(running.channel.clone()).resolve_pseudonym(about(id)).await
}

#[tokio::test]
async fn answers_and_refusals_come_back_as_the_hub_gave_them() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    let mut directory = DirectoryClient::new(almelo.channel.clone());
    let answer = directory.list_partners(v1::ListPartnersRequest::default()).await.unwrap();
    assert!(answer.metadata().get("sluis-event").is_some() && answer.metadata().get("x-internal").is_none());
    assert_eq!(answer.into_inner().next_page_token, "next");
    let request = v1::GetPartnerRequest { name: format!("partners/{RAALTE}") };
    let refusal = directory.get_partner(request).await.unwrap_err();
    assert_eq!((refusal.code(), refusal.message()), (Code::NotFound, "no such partner"));
    assert!(refusal.get_error_details().help().is_some());
    assert_eq!(refusal.metadata().get("sluis-event").unwrap(), "events/1");

    let mut inbox = InboxClient::new(almelo.channel.clone());
    let mut items = inbox.stream_inbox(v1::StreamInboxRequest::default()).await.unwrap().into_inner();
    assert_eq!(items.message().await.unwrap().unwrap().cursor, "1");
    assert_eq!(items.message().await.unwrap().unwrap().cursor, "2");
    network.stop_hub();
    assert_eq!(items.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
    let gone = directory.list_partners(v1::ListPartnersRequest::default()).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable);
    assert!(gone.message().contains("the hub can't be reached"), "{gone}");
    almelo.stop().await;
}

#[tokio::test]
async fn what_is_left_of_the_callers_time_goes_along() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    let mut directory = DirectoryClient::new(almelo.channel.clone());
    let mut request = tonic::Request::new(v1::ListPartnersRequest::default());
    request.set_timeout(Duration::from_secs(20));
    directory.list_partners(request).await.unwrap();
    let said = network.hub.state().timeouts.pop().unwrap().unwrap();
    let left = Duration::from_micros(said.strip_suffix('u').unwrap().parse().unwrap());
    assert!(left < Duration::from_secs(20) && left > Duration::from_secs(5), "{said}");

    let mut inbox = InboxClient::new(almelo.channel.clone());
    let mut items = inbox.stream_inbox(v1::StreamInboxRequest::default()).await.unwrap().into_inner();
    assert_eq!(network.hub.state().timeouts.pop().unwrap(), None, "a stream waits as long as its reader does");
    assert!(items.message().await.unwrap().is_some());
    let mut request = tonic::Request::new(v1::StreamInboxRequest::default());
    request.set_timeout(Duration::from_millis(800));
    let mut items = inbox.stream_inbox(request).await.unwrap().into_inner();
    assert!(items.message().await.unwrap().is_some() && items.message().await.unwrap().is_some());
    let ended = items.message().await.unwrap_err();
    assert_eq!(
        (ended.code(), ended.get_details_error_info().unwrap().reason.as_str()),
        (Code::DeadlineExceeded, "DEADLINE")
    );

    let mut request = tonic::Request::new(v1::ListPartnersRequest::default());
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    let before = network.hub.state().timeouts.len();
    let refusal = directory.list_partners(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(network.hub.state().timeouts.len(), before, "nothing was passed on");
    almelo.stop().await;
}

#[tokio::test]
async fn a_number_goes_no_further_than_the_agent() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    for _ in 0..2 {
        resolve(&almelo, Id::Bsn("999900006".into())).await.unwrap();
    }
    resolve(&almelo, Id::Bsn("999907141".into())).await.unwrap();
    let outputs: Vec<Vec<u8>> = {
        let state = network.hub.state();
        let id = |subject: &Option<v1::Subject>| subject.clone().unwrap().id.unwrap();
        state.subjects.iter().map(|s| if let Id::VoprfOutput(y) = id(s) { y } else { vec![] }).collect()
    };
    assert!(outputs.iter().all(|y| y.len() == 64));
    assert!(outputs[0] == outputs[1] && outputs[0] != outputs[2]);
    resolve(&almelo, Id::Unidentified(v1::Unidentified {})).await.unwrap();
    resolve(&almelo, Id::Pseudonym("x".repeat(32))).await.unwrap();
    for (id, field) in [
        (Id::Bsn("999900007".into()), "subject.bsn"),
        (Id::Bsn("999.900.006".into()), "subject.bsn"),
        (Id::Pseudonym("999900006".into()), "subject.pseudonym"),
        (Id::VoprfOutput(vec![1; 64]), "subject.voprf_output"),
    ] {
        let refusal = resolve(&almelo, id).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument, "{field}");
        assert_eq!(refusal.get_details_bad_request().unwrap().field_violations[0].field, field);
        assert_eq!(refusal.get_details_error_info().unwrap().reason, "REQUEST_INCOMPLETE");
        assert!(refusal.metadata().get("sluis-event").is_some());
    }
    assert_eq!(network.hub.state().reports.len(), 4);
    for number in ["99990000", "999907141", "999.900"] {
        assert!(!network.hub.saw(number.as_bytes()), "{number}");
    }
    almelo.stop().await;
}

#[tokio::test]
async fn a_number_in_a_text_is_refused_on_the_log_or_not_at_all() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    let dirty =
        v1::RequestContext { user_ref: "999900006".into(), reason: "over 999 900 006".into(), ..context().unwrap() };
    let request = v1::ListRecordsRequest {
        context: Some(dirty),
        case: case_name(ALMELO),
        categories: vec![6],
        ..Default::default()
    };
    let mut records = RecordsClient::new(almelo.channel.clone());
    let refusal = records.list_records(request.clone()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "BSN_IN_TEXT");
    let fields: Vec<String> =
        refusal.get_details_bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect();
    assert_eq!(fields, ["context.user_ref", "context.reason"]);
    assert!(!format!("{refusal:?}").contains("99990") && !network.hub.saw(b"99990") && !network.hub.saw(b"900 006"));
    let report = network.hub.state().reports.pop().unwrap();
    assert_eq!((report.method.as_str(), report.reason.as_str()), ("sluis.v1.Records/ListRecords", "BSN_IN_TEXT"));
    assert_eq!((report.case, report.categories), (case_name(ALMELO), vec![6]));
    assert_eq!(report.context.unwrap().user_ref, "withheld");
    network.stop_hub();
    assert_eq!(records.list_records(request).await.unwrap_err().code(), Code::Unavailable);
    almelo.stop().await;
}

#[tokio::test]
async fn another_known_answer_stops_subjects_and_nothing_else() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    resolve(&almelo, Id::Bsn("999900006".into())).await.unwrap();
    // Another hub, or the same with other keys, behind the same name.
    let right = std::mem::replace(&mut network.hub.state().known_answer, vec![0; 32]);
    network.restart_hub().await;
    let refusal = resolve(&almelo, Id::Bsn("999900006".into())).await;
    assert_eq!(refusal.unwrap_err().code(), Code::FailedPrecondition);
    let mut directory = DirectoryClient::new(almelo.channel.clone());
    directory.list_partners(v1::ListPartnersRequest::default()).await.unwrap();
    network.hub.state().known_answer = right;
    network.restart_hub().await;
    resolve(&almelo, Id::Bsn("999900006".into())).await.unwrap();
    almelo.stop().await;
}

#[tokio::test]
async fn a_hub_that_hangs_up_uses_up_no_quota() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    let unidentified = || Id::Unidentified(v1::Unidentified {});
    resolve(&almelo, unidentified()).await.unwrap();
    let before = network.remaining(ALMELO).await;
    for _ in 0..5 {
        network.restart_hub().await;
        resolve(&almelo, unidentified()).await.unwrap();
    }
    // A difference costs nothing either, however often the hub comes back with another one.
    for other in 0..3 {
        network.hub.state().known_answer = vec![other; 32];
        network.restart_hub().await;
        assert_eq!(resolve(&almelo, unidentified()).await.unwrap_err().code(), Code::FailedPrecondition);
    }
    // The measurement itself costs one.
    assert_eq!(before - network.remaining(ALMELO).await, 1);
    almelo.stop().await;
}

#[tokio::test]
async fn only_the_partners_own_systems_are_served() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    let mut stranger = DirectoryClient::new(network.outsider(&almelo));
    let refusal = stranger.list_partners(v1::ListPartnersRequest::default()).await.unwrap_err();
    assert!(std::error::Error::source(&refusal).is_some(), "no answer at all: {refusal}");
    let mut records = RecordsClient::new(almelo.channel.clone());
    let denied = [
        records.stream_seal_requests(v1::StreamSealRequestsRequest {}).await.map(|_| ()).unwrap_err(),
        records.add_recipient(v1::AddRecipientRequest::default()).await.map(|_| ()).unwrap_err(),
    ];
    for refusal in denied {
        assert_eq!(refusal.code(), Code::PermissionDenied);
    }
    almelo.stop().await;
}

#[tokio::test]
async fn the_agent_is_ready_once_hub_and_keyholder_were_reached() {
    let network = Network::start().await;
    network.stop_hub();
    let almelo = network.agent(ALMELO, true).await;
    let mut health = HealthClient::new(almelo.channel.clone());
    let mut status = async |service: &str| {
        let question = HealthCheckRequest { service: service.to_owned() };
        health.check(question).await.unwrap().into_inner().status
    };
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!((status("").await, status("readiness").await), (1, 2), "alive, not ready");
    network.restart_hub().await;
    for _ in 0..100 {
        if status("readiness").await == 1 {
            return almelo.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never ready");
}

#[tokio::test]
async fn an_agent_that_stops_sends_streams_away_and_ends() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    let mut inbox = InboxClient::new(almelo.channel.clone());
    let mut items = inbox.stream_inbox(v1::StreamInboxRequest::default()).await.unwrap().into_inner();
    assert!(items.message().await.unwrap().is_some() && items.message().await.unwrap().is_some());
    let stopped = tokio::spawn(almelo.stop());
    let ended = items.message().await.unwrap_err();
    assert_eq!(
        (ended.code(), ended.get_details_error_info().unwrap().reason.as_str()),
        (Code::Unavailable, "DRAINING")
    );
    drop((items, inbox));
    let ended = tokio::time::timeout(Duration::from_secs(8), stopped).await;
    ended.expect("long before what is left would be cut").unwrap();
}

#[tokio::test]
async fn the_covenant_is_signed_only_as_the_agent_knows_it() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, true).await;
    let mut covenants = v1::covenants_client::CovenantsClient::new(almelo.channel.clone());
    let request = |name: &str, hash: u8| v1::SignCovenantRequest {
        name: name.into(),
        content_hash: vec![hash; 32],
        ..Default::default()
    };
    for other in [request("covenants/proef/versions/1", 8), request("covenants/proef/versions/2", 7)] {
        assert_eq!(covenants.sign_covenant(other).await.unwrap_err().code(), Code::FailedPrecondition);
    }
    // This one goes on to the hub, which has no such service here.
    let passed = covenants.sign_covenant(request("covenants/proef/versions/1", 7)).await.unwrap_err();
    assert_eq!(passed.code(), Code::Unimplemented);
    almelo.stop().await;
}
