//! A hub that decides nothing and can be told to cheat.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::{ErrorDetails, StatusExt};

use super::network::{ALMELO, LEVERANCIER, case_ref};
use crate::agent::services::Messages;
use crate::api::v1;
use crate::api::v1::fetch_record_response::Chunk as Fetched;
use crate::api::v1::publish_record_request::Chunk as Published;
use crate::clock::TlsClock;
use crate::party::Oin;
use crate::seal::CaseBinding;
use crate::tls::{Gate, Identity, Limits, PeerInfo, ServerTls};
use crate::trust::Trust;

/// Cloned into every service. Its nodes have the same state.
#[derive(Clone, Default)]
pub(super) struct FakeHub {
    state: Arc<Mutex<State>>,
    node: usize,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) keys: HashMap<String, v1::KeySet>,
    pub(super) known_answer: Vec<u8>,
    /// Recipients of every plan, beside the author.
    pub(super) to: Vec<String>,
    /// In another role than R05.
    pub(super) to_role: Option<i32>,
    pub(super) records: HashMap<String, Stored>,
    pub(super) reports: Vec<v1::ReportRefusalRequest>,
    pub(super) subjects: Vec<Option<v1::Subject>>,
    pub(super) seal_requests: Vec<(String, v1::SealRequest)>,
    pub(super) additions: Vec<v1::AddRecipientRequest>,
    /// Seal requests that were given out.
    pub(super) asked: usize,
    /// Answers to publications to refuse first because the route changed.
    pub(super) route_changes: usize,
    pub(super) plans: usize,
    /// Applied to everything that is fetched.
    pub(super) cheat: Option<fn(&mut v1::FetchRecordResponse)>,
    /// Every byte that came in.
    pub(super) seen: Vec<u8>,
    /// How long the agent waits for the answers to the last calls, as it said.
    pub(super) timeouts: Vec<Option<String>>,
    /// What was carried out: at which node, and with which request id or cursor.
    pub(super) done: Vec<(usize, String)>,
    /// A node that carries out, and never answers.
    pub(super) hangs: Option<usize>,
    /// A node that says UNAVAILABLE.
    pub(super) unavailable: Option<usize>,
    /// A node that says that it is not ready.
    pub(super) not_ready: Option<usize>,
    /// A node that finds another known answer.
    pub(super) differs: Option<usize>,
    /// What it says of the agent's version.
    pub(super) outdated: Option<&'static str>,
    /// What callers say that they are.
    pub(super) agents: Vec<String>,
}

pub(super) struct Stored {
    pub(super) author: String,
    pub(super) open: v1::OpenRecord,
    pub(super) body: Vec<u8>,
}

impl FakeHub {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn saw(&self, bytes: &[u8]) -> bool {
        self.state().seen.windows(bytes.len()).any(|window| window == bytes)
    }

    /// The same hub as another node.
    pub(super) fn node(&self, node: usize) -> Self {
        Self { node, ..self.clone() }
    }

    /// Warns an agent that it calls too old, or refuses it.
    fn judged<T>(&self, request: &Request<impl Sized>, message: T) -> Result<Response<T>, Status> {
        let mut state = self.state();
        let agent = request.metadata().get("user-agent").map(|agent| agent.to_str().unwrap().to_owned());
        state.agents.extend(agent);
        let mut answer = answered(message);
        let Some(said) = state.outdated else { return Ok(answer) };
        let header = said.parse().unwrap();
        if said.starts_with("warned") {
            answer.metadata_mut().insert(crate::version::HEADER, header);
            return Ok(answer);
        }
        let details = ErrorDetails::with_error_info("VERSION_OUTDATED", "sluis", []);
        let mut status = Status::with_error_details(Code::FailedPrecondition, said, details);
        status.metadata_mut().insert(crate::version::HEADER, header);
        Err(status)
    }

    /// Carries out a call in its way.
    async fn carry_out(&self, id: &str) -> Result<(), Status> {
        let hangs = {
            let mut state = self.state();
            if state.unavailable == Some(self.node) {
                return Err(Status::unavailable("the hub drains"));
            }
            state.done.push((self.node, id.to_owned()));
            state.hangs == Some(self.node)
        };
        if hangs { std::future::pending().await } else { Ok(()) }
    }

    /// Serves until the task is aborted and the gate's connections are cut.
    pub(super) fn serve(
        &self,
        listener: TcpListener,
        identity: &Identity,
        trust: &Arc<Trust>,
    ) -> (tokio::task::JoinHandle<()>, Gate) {
        let tls = ServerTls::new(identity, Arc::clone(trust), Arc::new(TlsClock)).unwrap();
        let (gate, incoming) = Gate::open(listener, tls, Limits::default());
        let hub = self.clone();
        let task = tokio::spawn(async move {
            let server = Server::builder()
                .add_service(v1::directory_server::DirectoryServer::new(hub.clone()))
                .add_service(v1::pseudonyms_server::PseudonymsServer::new(hub.clone()))
                .add_service(v1::records_server::RecordsServer::new(hub.clone()))
                .add_service(v1::inbox_server::InboxServer::new(hub.clone()))
                .add_service(v1::audit_server::AuditServer::new(hub.clone()))
                .add_service(HealthServer::new(hub));
            server.serve_with_incoming(incoming).await.unwrap();
        });
        (task, gate)
    }

    fn note<T: Message>(&self, request: &Request<T>) -> Oin {
        let timeout = request.metadata().get("grpc-timeout").map(|value| value.to_str().unwrap().to_owned());
        let mut state = self.state();
        state.seen.extend(request.get_ref().encode_to_vec());
        state.timeouts.push(timeout);
        caller(request)
    }

    /// One partner on each page.
    fn directory(&self, after: &str) -> v1::ListPartnersResponse {
        let mut all: Vec<_> = self.state().keys.clone().into_iter().filter(|(oin, _)| oin.as_str() > after).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        let next_page_token = if all.len() > 1 { all[0].0.clone() } else { String::new() };
        let partner =
            |(oin, keys)| v1::Partner { name: format!("partners/{oin}"), keys: Some(keys), ..Default::default() };
        v1::ListPartnersResponse { partners: all.into_iter().take(1).map(partner).collect(), next_page_token }
    }

    /// What the record's recipient gets, before any cheating.
    fn stored(&self, me: &Oin, request: &v1::FetchRecordRequest) -> Option<(v1::FetchRecordResponse, Vec<u8>)> {
        let state = self.state();
        let stored = state.records.get(&request.name)?;
        let added = state.additions.iter().filter(|added| added.record == request.name).filter_map(|a| a.key.as_ref());
        let key = stored.open.keys.iter().chain(added).find(|key| key.recipient == me.as_str())?.clone();
        let record = v1::Record {
            name: request.name.clone(),
            case: request.case.clone(),
            category: stored.open.category,
            form: stored.open.form,
            article: stored.open.context.as_ref()?.article.clone(),
            author: format!("partners/{}", stored.author),
            schema: stored.open.schema.clone(),
            ..Default::default()
        };
        let first = v1::FetchRecordResponse {
            record: Some(record),
            header: stored.open.header.clone(),
            key: Some(key),
            author_keys: state.keys.get(&stored.author).cloned(),
            chunk: None,
        };
        Some((first, stored.body.clone()))
    }
}

pub(super) fn route(state: &State, oin: &str, role: v1::Role, record: &str) -> v1::Route {
    let record = record.strip_prefix("records/").and_then(|id| id.parse().ok()).unwrap_or_default();
    v1::Route {
        partner: format!("partners/{oin}"),
        role: role.into(),
        keys: state.keys.get(oin).cloned(),
        case_binding: CaseBinding::new(record, &case_ref(oin)).as_bytes().to_vec(),
        ..Default::default()
    }
}

/// In whose name: the one supplier there is calls in Almelo's.
fn caller<T>(request: &Request<T>) -> Oin {
    let shown = request.extensions().get::<Arc<PeerInfo>>().unwrap().certificate.oin().unwrap().clone();
    if shown.as_str() == LEVERANCIER { ALMELO.parse().unwrap() } else { shown }
}

fn answered<T>(message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.metadata_mut().insert("sluis-event", "events/0b0e7d38-7a5c-4a39-9d1c-0a6f3a1e9f10".parse().unwrap());
    response.metadata_mut().insert("x-internal", "1".parse().unwrap());
    response
}

#[tonic::async_trait]
impl v1::directory_server::Directory for FakeHub {
    async fn list_partners(
        &self,
        request: Request<v1::ListPartnersRequest>,
    ) -> Result<Response<v1::ListPartnersResponse>, Status> {
        if request.get_ref().page_size == crate::agent::directory::AT_ONCE {
            // The agent itself looks whom there is: no call of a test's.
            return Ok(answered(self.directory(&request.get_ref().page_token)));
        }
        self.note(&request);
        self.carry_out("").await?;
        self.judged(&request, v1::ListPartnersResponse { next_page_token: "next".into(), ..Default::default() })
    }

    async fn get_partner(&self, request: Request<v1::GetPartnerRequest>) -> Result<Response<v1::Partner>, Status> {
        let (me, name) = (caller(&request), request.get_ref().name.clone());
        if name == format!("partners/{me}") {
            // The agent itself looks at what it has published: no call of a test's.
            let keys = self.state().keys.get(me.as_str()).cloned();
            return Ok(answered(v1::Partner { name, keys, ..Default::default() }));
        }
        self.note(&request);
        let mut status =
            Status::with_error_details(Code::NotFound, "no such partner", ErrorDetails::with_help_link("a", "b"));
        status.metadata_mut().insert("sluis-event", "events/1".parse().unwrap());
        Err(status)
    }

    async fn publish_keys(
        &self,
        request: Request<v1::PublishKeysRequest>,
    ) -> Result<Response<v1::PublishKeysResponse>, Status> {
        let me = self.note(&request);
        self.state().keys.insert(me.to_string(), request.into_inner().keys.unwrap());
        Ok(answered(v1::PublishKeysResponse::default()))
    }
}

#[tonic::async_trait]
impl v1::pseudonyms_server::Pseudonyms for FakeHub {
    async fn resolve_pseudonym(
        &self,
        request: Request<v1::ResolvePseudonymRequest>,
    ) -> Result<Response<v1::ResolvePseudonymResponse>, Status> {
        self.note(&request);
        self.carry_out("").await?;
        self.state().subjects.push(request.into_inner().subject);
        Ok(answered(v1::ResolvePseudonymResponse { pseudonym: "p".repeat(32), epoch: 1, ..Default::default() }))
    }

    async fn check_known_answer(
        &self,
        request: Request<v1::CheckKnownAnswerRequest>,
    ) -> Result<Response<v1::CheckKnownAnswerResponse>, Status> {
        let is_same = {
            let state = self.state();
            request.get_ref().digest == state.known_answer && state.differs != Some(self.node)
        };
        if is_same {
            self.judged(&request, v1::CheckKnownAnswerResponse {})
        } else {
            Err(Status::failed_precondition("another known answer"))
        }
    }
}

#[tonic::async_trait]
impl v1::audit_server::Audit for FakeHub {
    async fn query_events(
        &self,
        _: Request<v1::QueryEventsRequest>,
    ) -> Result<Response<v1::QueryEventsResponse>, Status> {
        Err(Status::permission_denied("officers only"))
    }

    async fn prove_events(
        &self,
        _: Request<v1::ProveEventsRequest>,
    ) -> Result<Response<v1::ProveEventsResponse>, Status> {
        Err(Status::unimplemented("not in this stand-in"))
    }

    async fn read_entries(
        &self,
        _: Request<v1::ReadEntriesRequest>,
    ) -> Result<Response<v1::ReadEntriesResponse>, Status> {
        Err(Status::unimplemented("not in this stand-in"))
    }

    async fn erase_events(
        &self,
        _: Request<v1::EraseEventsRequest>,
    ) -> Result<Response<v1::EraseEventsResponse>, Status> {
        Err(Status::unimplemented("not in this stand-in"))
    }

    async fn report_refusal(
        &self,
        request: Request<v1::ReportRefusalRequest>,
    ) -> Result<Response<v1::ReportRefusalResponse>, Status> {
        self.note(&request);
        self.state().reports.push(request.into_inner());
        Ok(answered(v1::ReportRefusalResponse {}))
    }
}

#[tonic::async_trait]
impl v1::inbox_server::Inbox for FakeHub {
    type StreamInboxStream = Messages<v1::InboxItem>;

    async fn stream_inbox(
        &self,
        request: Request<v1::StreamInboxRequest>,
    ) -> Result<Response<Self::StreamInboxStream>, Status> {
        self.note(&request);
        let cursor = request.into_inner().cursor;
        self.carry_out(&cursor).await?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let after: u32 = cursor.parse().unwrap_or_default();
            for cursor in [after + 1, after + 2] {
                drop(sender.send(Ok(v1::InboxItem { cursor: cursor.to_string(), ..Default::default() })).await);
            }
            sender.closed().await;
        });
        Ok(answered(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn acknowledge_inbox(
        &self,
        _: Request<v1::AcknowledgeInboxRequest>,
    ) -> Result<Response<v1::AcknowledgeInboxResponse>, Status> {
        Ok(answered(v1::AcknowledgeInboxResponse {}))
    }
}

/// For nobody to know, unless a node says that it is not ready.
#[tonic::async_trait]
impl Health for FakeHub {
    type WatchStream = Messages<HealthCheckResponse>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let not_ready = self.state().not_ready.ok_or_else(|| Status::permission_denied("no"))?;
        let status = if not_ready == self.node { ServingStatus::NotServing } else { ServingStatus::Serving };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::permission_denied("no"))
    }
}

#[tonic::async_trait]
impl v1::records_server::Records for FakeHub {
    type FetchRecordStream = Messages<v1::FetchRecordResponse>;
    type StreamSealRequestsStream = Messages<v1::SealRequest>;

    async fn plan_route(&self, request: Request<v1::PlanRouteRequest>) -> Result<Response<v1::RoutePlan>, Status> {
        let me = self.note(&request);
        let record = request.into_inner().record;
        let mut state = self.state();
        state.plans += 1;
        let mut routes: Vec<_> = state.to.iter().map(|oin| route(&state, oin, v1::Role::R05, &record)).collect();
        if let Some(role) = state.to_role {
            routes.iter_mut().for_each(|route| route.role = role);
        }
        routes.push(route(&state, me.as_str(), v1::Role::Unspecified, &record));
        Ok(answered(v1::RoutePlan { routes, clauses: vec![] }))
    }

    async fn publish_record(
        &self,
        request: Request<Streaming<v1::PublishRecordRequest>>,
    ) -> Result<Response<v1::PublishRecordResponse>, Status> {
        let author = caller(&request).to_string();
        let mut messages = request.into_inner();
        let (mut open, mut body) = (None, Vec::new());
        while let Some(message) = messages.message().await? {
            self.state().seen.extend(message.encode_to_vec());
            open = open.or(message.open);
            match message.chunk {
                Some(Published::Sealed(piece)) => body.extend_from_slice(&piece),
                Some(Published::Plain(_)) => return Err(Status::invalid_argument("plain")),
                None => {}
            }
        }
        let open = open.unwrap();
        self.carry_out(&open.request_id).await?;
        let mut state = self.state();
        if state.route_changes > 0 {
            state.route_changes -= 1;
            let details = ErrorDetails::with_error_info("ROUTE_CHANGED", "sluis", []);
            return Err(Status::with_error_details(Code::FailedPrecondition, "the route changed", details));
        }
        let name = open.record.clone();
        state.records.insert(name.clone(), Stored { author, open, body });
        let record = Some(v1::Record { name, ..Default::default() });
        Ok(answered(v1::PublishRecordResponse { record, routes: vec![] }))
    }

    async fn fetch_record(
        &self,
        request: Request<v1::FetchRecordRequest>,
    ) -> Result<Response<Self::FetchRecordStream>, Status> {
        let me = self.note(&request);
        let (first, body) = self.stored(&me, request.get_ref()).ok_or_else(|| Status::not_found("no"))?;
        let pieces = body.chunks(300_000).map(|piece| v1::FetchRecordResponse {
            chunk: Some(Fetched::Sealed(piece.to_vec().into())),
            ..Default::default()
        });
        let mut messages: Vec<_> = std::iter::once(first).chain(pieces).collect();
        if let Some(cheat) = self.state().cheat {
            messages.iter_mut().for_each(cheat);
        }
        Ok(answered(Box::pin(tokio_stream::iter(messages.into_iter().map(Ok)))))
    }

    async fn list_records(
        &self,
        _: Request<v1::ListRecordsRequest>,
    ) -> Result<Response<v1::ListRecordsResponse>, Status> {
        Ok(answered(v1::ListRecordsResponse::default()))
    }

    async fn request_records(
        &self,
        request: Request<v1::RequestRecordsRequest>,
    ) -> Result<Response<v1::RequestRecordsResponse>, Status> {
        self.carry_out(&request.get_ref().request_id).await?;
        Ok(answered(v1::RequestRecordsResponse::default()))
    }

    async fn stream_seal_requests(
        &self,
        request: Request<v1::StreamSealRequestsRequest>,
    ) -> Result<Response<Self::StreamSealRequestsStream>, Status> {
        let me = caller(&request).to_string();
        let mut state = self.state();
        let waiting = state.seal_requests.iter().filter(|(author, _)| *author == me);
        let mine: Vec<_> = waiting.map(|(_, request)| Ok(request.clone())).collect();
        state.asked += mine.len();
        Ok(answered(Box::pin(tokio_stream::iter(mine))))
    }

    async fn add_recipient(
        &self,
        request: Request<v1::AddRecipientRequest>,
    ) -> Result<Response<v1::AddRecipientResponse>, Status> {
        self.note(&request);
        let mut state = self.state();
        let request = request.into_inner();
        state.seal_requests.retain(|(_, waiting)| waiting.record != request.record);
        state.additions.push(request);
        Ok(answered(v1::AddRecipientResponse {}))
    }
}
