//! The server to compare with: the hub's own acceptor, the same messages, and no more of the work than its step says.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use prost::Message;
use sluis::api::v1;
use sluis::clock::{Clock as _, SystemClock, TlsClock};
use sluis::identity::certificate::Environment;
use sluis::tls::files::own_authority;
use sluis::tls::{Gate, Identity, Limits, PeerInfo, PerAddress, ServerTls};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::Failed;
use crate::stage::{Stage, Step};
use crate::world::{HOST, World, ca};

/// Messages of a stream that wait for the transport, as in the hub.
const WAITING: usize = 32;

/// Serves one step on a free port; says `host:port` when it listens, and ends when nobody is interested any more.
pub(crate) async fn serve(
    world: &World,
    step: Step,
    ready: impl FnOnce(&str) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let ca = ca(&world.folder);
    let identity = Identity::load(&ca.join("hub.pem"), &ca.join("hub.key"), SystemClock.now())?;
    let trust = own_authority(Environment::Test, &ca.join("anchors.pem"))?;
    let tls = ServerTls::new(&identity, trust, Arc::new(TlsClock))?;
    let echo = Arc::new(Echo::new(world, step)?);
    let listener = TcpListener::bind((HOST, 0)).await?;
    let address = listener.local_addr()?.to_string();
    // Everybody is at one address.
    let per_address = PerAddress { handshakes: 256, per_second: 1_000_000 };
    let limits = Limits { per_key: 2048, per_address, ..Limits::default() };
    let (_gate, incoming) = Gate::open(listener, tls, limits);
    let routes = Routes::new(Part::<0>(Arc::clone(&echo)))
        .add_service(Part::<1>(Arc::clone(&echo)))
        .add_service(Part::<2>(Arc::clone(&echo)))
        .add_service(Part::<3>(echo));
    ready(&address)?;
    // The knobs of the hub.
    let serving = Server::builder()
        .max_concurrent_streams(Some(64))
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .max_frame_size(Some(64 * 1024))
        .add_routes(routes)
        .serve_with_incoming(incoming);
    Ok(serving.await?)
}

/// Replies as a hub gave them, and the step that is taken before one is given.
struct Echo {
    step: Step,
    stage: Stage,
    case: v1::Case,
    pseudonym: v1::ResolvePseudonymResponse,
    piece: v1::FetchRecordResponse,
    item: v1::InboxItem,
    /// Items for each stream.
    items: usize,
    small: v1::PublishRecordResponse,
    large: v1::PublishRecordResponse,
}

impl Echo {
    fn new(world: &World, step: Step) -> Result<Self, Failed> {
        fn sample<M: Message + Default>(world: &World, name: &str) -> Result<M, Failed> {
            Ok(M::decode(&*world.sample(name)?)?)
        }
        Ok(Self {
            step,
            stage: Stage::new(world)?,
            case: sample(world, "case")?,
            pseudonym: sample(world, "pseudonym")?,
            piece: sample(world, "piece")?,
            item: sample(world, "item")?,
            items: world.waiting / world.experts.len().max(1),
            small: sample(world, "small")?,
            large: sample(world, "large")?,
        })
    }

    fn get_case(&self, request: &Request<v1::GetCaseRequest>) -> Result<Response<v1::Case>, Status> {
        let peer = request.extensions().get::<Arc<PeerInfo>>().ok_or_else(|| Status::internal("no peer"))?;
        let gone = self.stage.go(self.step, &peer.certificate, request.get_ref());
        gone.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(self.case.clone()))
    }

    async fn publish(
        &self,
        request: Request<Streaming<v1::PublishRecordRequest>>,
    ) -> Result<Response<v1::PublishRecordResponse>, Status> {
        let mut messages = request.into_inner();
        let mut recipients = 0;
        while let Some(message) = messages.message().await? {
            recipients += message.open.map_or(0, |open| open.recipients.len());
        }
        Ok(Response::new(if recipients > 1 { self.large.clone() } else { self.small.clone() }))
    }

    /// As the hub hands its items on: from a task of its own, through a bounded channel.
    fn stream(self: &Arc<Self>, drain: bool) -> Items {
        let (sender, receiver) = tokio::sync::mpsc::channel(WAITING);
        let echo = Arc::clone(self);
        tokio::spawn(async move {
            if !drain {
                sender.closed().await;
            }
            for _ in 0..echo.items {
                if sender.send(Ok(echo.item.clone())).await.is_err() {
                    return;
                }
            }
        });
        Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))
    }
}

type Items = Pin<Box<dyn Stream<Item = Result<v1::InboxItem, Status>> + Send>>;
type Pieces = Pin<Box<dyn Stream<Item = Result<v1::FetchRecordResponse, Status>> + Send>>;

/// One service of the API; all of them are answered alike.
#[derive(Clone)]
struct Part<const N: usize>(Arc<Echo>);

impl<const N: usize> NamedService for Part<N> {
    const NAME: &'static str = match N {
        0 => "sluis.v1.Cases",
        1 => "sluis.v1.Records",
        2 => "sluis.v1.Inbox",
        _ => "sluis.v1.Pseudonyms",
    };
}

impl<const N: usize> Service<http::Request<Body>> for Part<N> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(answer(Arc::clone(&self.0), request))
    }
}

async fn answer(echo: Arc<Echo>, request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    Ok(match method.as_str() {
        "GetCase" => {
            let handler = service_fn(move |request| std::future::ready(echo.get_case(&request)));
            Grpc::new(ProstCodec::default()).unary(handler, request).await
        }
        "ResolvePseudonym" => {
            let handler = service_fn(move |_: Request<v1::ResolvePseudonymRequest>| {
                std::future::ready(Ok::<_, Status>(Response::new(echo.pseudonym.clone())))
            });
            Grpc::new(ProstCodec::default()).unary(handler, request).await
        }
        "PublishRecord" => {
            let handler = service_fn(move |request| {
                let echo = Arc::clone(&echo);
                async move { echo.publish(request).await }
            });
            Grpc::new(ProstCodec::default()).client_streaming(handler, request).await
        }
        "FetchRecord" => {
            let handler = service_fn(move |_: Request<v1::FetchRecordRequest>| {
                let pieces: Pieces = Box::pin(tokio_stream::once(Ok(echo.piece.clone())));
                std::future::ready(Ok::<_, Status>(Response::new(pieces)))
            });
            Grpc::new(ProstCodec::default()).server_streaming(handler, request).await
        }
        "StreamInbox" => {
            let handler = service_fn(move |request: Request<v1::StreamInboxRequest>| {
                std::future::ready(Ok::<_, Status>(Response::new(echo.stream(request.get_ref().drain))))
            });
            Grpc::new(ProstCodec::default()).server_streaming(handler, request).await
        }
        _ => Status::unimplemented("not a method of the measurement").into_http(),
    })
}
