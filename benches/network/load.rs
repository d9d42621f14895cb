//! The loader: a process of its own that calls the servers, so that none of them sees another's memory or tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluis::api::v1;
use sluis::api::v1::audit_client::AuditClient;
use sluis::api::v1::cases_client::CasesClient;
use sluis::api::v1::inbox_client::InboxClient;
use sluis::api::v1::pseudonyms_client::PseudonymsClient;
use sluis::api::v1::records_client::RecordsClient;
use sluis::tls::ClientTls;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::Failed;
use crate::calls::{Requests, proven};
use crate::case::{Call, Case, Parcel, find};
use crate::protocol::{Ask, Told};
use crate::upload::Press;
use crate::watch::{self, Load};
use crate::world::{OFFICER, World};

/// Connections that a busy client keeps to one server.
const CHANNELS: usize = 16;

/// What is prepared for a run of publications; beyond that the loader makes them while it runs.
type Uploads = std::sync::Mutex<Vec<Vec<v1::PublishRecordRequest>>>;

/// The loader.
pub(crate) struct Loader {
    world: World,
    requests: Arc<Requests>,
    channels: HashMap<(String, String), Vec<Channel>>,
    presses: HashMap<Parcel, Arc<Press>>,
    /// Publications of a kind that the last run made.
    made: HashMap<&'static str, usize>,
    held: Vec<crate::hold::Held>,
}

/// One run's share of a task.
struct Task {
    call: Call,
    nth: usize,
    channel: Channel,
    requests: Arc<Requests>,
    fresh: Option<(ClientTls, Arc<str>)>,
    uploads: Arc<Uploads>,
    press: Option<Arc<Press>>,
}

impl Loader {
    /// For a network.
    pub(crate) fn new(world: World) -> Result<Self, Failed> {
        let requests = Arc::new(Requests::new(&world)?);
        Ok(Self {
            world,
            requests,
            channels: HashMap::new(),
            presses: HashMap::new(),
            made: HashMap::new(),
            held: Vec::new(),
        })
    }

    /// Does what it is asked.
    pub(crate) async fn answer(&mut self, ask: Ask) -> Result<Told, Failed> {
        match ask {
            Ask::Run { case, millis } => {
                let case = find(&case).ok_or("no such case")?;
                self.run(case, Duration::from_millis(millis)).await
            }
            Ask::Hold { server, connections, calls, streams } => {
                self.held.extend(crate::hold::open(&self.world, &server, connections, calls, streams).await?);
                Ok(Told::default())
            }
            Ask::Witness { server, millis, pace, tasks } => {
                let who = self.world.gemeente.clone();
                let mut channels = Vec::new();
                for nth in 0..tasks {
                    channels.push(self.channel(&server, &who, nth).await?);
                }
                let load = Load { time: Duration::from_millis(millis), pace };
                watch::witness(&self.world, &server, Arc::clone(&self.requests), channels, load).await
            }
            Ask::Release => {
                self.held.clear();
                Ok(Told::default())
            }
        }
    }

    async fn run(&mut self, case: &'static Case, time: Duration) -> Result<Told, Failed> {
        let mut tasks = Vec::new();
        let uploads = Arc::new(self.prepare(case)?);
        for nth in 0..case.concurrency {
            tasks.push(self.task(case, nth, &uploads).await?);
        }
        let start = Instant::now();
        let deadline = start + time;
        let mut running = JoinSet::new();
        for task in tasks {
            running.spawn(task.run(deadline));
        }
        let mut told = Told::default();
        while let Some(done) = running.join_next().await {
            told.merge(done?);
        }
        told.nanos = u64::try_from(time.as_nanos())?;
        self.made.insert(case.name, usize::try_from(told.acknowledged)?);
        Ok(told)
    }

    /// Publications enough for a run as good as the last one, made before the clock runs.
    fn prepare(&mut self, case: &Case) -> Result<Uploads, Failed> {
        let Call::Publish(parcel) = case.call else { return Ok(Uploads::default()) };
        let press = match self.presses.get(&parcel) {
            Some(press) => Arc::clone(press),
            None => {
                let press = Arc::new(Press::new(&self.world, parcel)?);
                self.presses.insert(parcel, Arc::clone(&press));
                press
            }
        };
        let last = self.made.get(case.name).copied().unwrap_or_default();
        let enough = last + last / 2 + 2 * case.concurrency;
        let made: Result<Vec<_>, Failed> = (0..enough).map(|_| press.make()).collect();
        Ok(Uploads::new(made?))
    }

    async fn task(&mut self, case: &Case, nth: usize, uploads: &Arc<Uploads>) -> Result<Task, Failed> {
        let who = match case.call {
            Call::Outsider => self.world.outsider.clone(),
            Call::Fetch => self.world.experts.first().cloned().unwrap_or_default(),
            Call::Deliver => self.world.experts.get(nth).cloned().ok_or("more streams than experts")?,
            Call::Query(_) => OFFICER.to_owned(),
            _ => self.world.gemeente.clone(),
        };
        let channel = self.channel(case.server, &who, nth).await?;
        let fresh = match case.call {
            Call::Connect => Some((self.world.tls(&who)?, self.world.address(case.server, nth)?.into())),
            _ => None,
        };
        let press = match case.call {
            Call::Publish(parcel) => self.presses.get(&parcel).cloned(),
            _ => None,
        };
        let (requests, uploads) = (Arc::clone(&self.requests), Arc::clone(uploads));
        Ok(Task { call: case.call, nth, channel, requests, fresh, uploads, press })
    }

    /// The nth task's connection: tasks share sixteen.
    async fn channel(&mut self, server: &str, who: &str, nth: usize) -> Result<Channel, Failed> {
        let open = self.channels.entry((server.to_owned(), who.to_owned())).or_default();
        let place = nth % CHANNELS;
        while open.len() <= place {
            let tls = if server == crate::case::ETCD {
                crate::etcd::tls(&self.world.folder)?
            } else {
                self.world.tls(who)?
            };
            open.push(tls.connect(self.world.address(server, open.len())?).await?);
        }
        Ok(open.get(place).ok_or("no connection")?.clone())
    }
}

/// Tells requests apart over all runs.
static TURN: AtomicUsize = AtomicUsize::new(0);

impl Task {
    async fn run(mut self, deadline: Instant) -> Told {
        let mut told = Told::default();
        loop {
            let start = Instant::now();
            if start >= deadline {
                return told;
            }
            match self.once(deadline).await {
                Ok(items) if self.call == Call::Deliver => told.stream(items),
                Ok(_) => told.count(start, Instant::now(), deadline),
                Err(error) => {
                    told.errors += 1;
                    if told.error.is_empty() {
                        told.error = error.to_string();
                    }
                }
            }
        }
    }

    /// One call, or one stream of items: how many came.
    async fn once(&mut self, deadline: Instant) -> Result<u64, Failed> {
        let turn = TURN.fetch_add(1, Ordering::Relaxed) + self.nth;
        match self.call {
            Call::GetCase => {
                CasesClient::new(self.channel.clone()).get_case(self.requests.get_case(turn)).await?;
            }
            Call::Connect => {
                let (tls, address) = self.fresh.as_ref().ok_or("no address")?;
                let channel = tls.connect(address).await?;
                CasesClient::new(channel).get_case(self.requests.get_case(turn)).await?;
            }
            Call::Outsider => {
                let answer = CasesClient::new(self.channel.clone()).get_case(self.requests.get_case(turn)).await;
                refused(answer.err())?;
            }
            Call::Denied => {
                let answer = CasesClient::new(self.channel.clone()).get_case(self.requests.denied(turn)).await;
                refused(answer.err())?;
            }
            Call::Resolve => {
                PseudonymsClient::new(self.channel.clone()).resolve_pseudonym(self.requests.resolve()).await?;
            }
            Call::Prove(events) => {
                let request = self.requests.prove(turn, events);
                let asked = request.events.clone();
                let reply = AuditClient::new(self.channel.clone()).prove_events(request).await?.into_inner();
                // All are looked at, and one in a while is verified: the loader is not to be busier than the hub.
                proven(&asked, &reply, self.requests.log_key().filter(|_| turn.is_multiple_of(64)))?;
            }
            Call::Query(by) => {
                let request = self.requests.query(by, turn);
                let size = usize::try_from(request.page_size)?;
                let reply = AuditClient::new(self.channel.clone()).query_events(request).await?.into_inner();
                if reply.events.len() != size || reply.next_page_token.is_empty() {
                    return Err(format!("a page of {} events", reply.events.len()).into());
                }
            }
            Call::Fetch => self.fetch(turn).await?,
            Call::Publish(_) => self.publish().await?,
            Call::Deliver => return self.deliver(deadline).await,
            Call::Put => crate::etcd::put(self.channel.clone(), turn).await?,
            Call::Inside(_) => return Err("runs without a network".into()),
        }
        Ok(1)
    }

    async fn fetch(&self, turn: usize) -> Result<(), Failed> {
        let mut client = RecordsClient::new(self.channel.clone());
        let mut pieces = client.fetch_record(self.requests.fetch(turn)).await?.into_inner();
        let mut came = 0;
        while let Some(piece) = pieces.message().await? {
            if let Some(v1::fetch_record_response::Chunk::Sealed(bytes)) = piece.chunk {
                came += bytes.len();
            }
        }
        if came < 4096 { Err("a record came without its body".into()) } else { Ok(()) }
    }

    async fn publish(&self) -> Result<(), Failed> {
        let ready = self.uploads.lock().map_err(|_| "a task failed")?.pop();
        let messages = match (ready, &self.press) {
            (Some(messages), _) => messages,
            (None, Some(press)) => press.make()?,
            (None, None) => return Err("nothing to publish".into()),
        };
        let mut client = RecordsClient::new(self.channel.clone());
        client.publish_record(tokio_stream::iter(messages)).await?;
        Ok(())
    }

    /// Reads an inbox until it is empty or the time is over.
    async fn deliver(&self, deadline: Instant) -> Result<u64, Failed> {
        let mut client = InboxClient::new(self.channel.clone());
        let mut items = client.stream_inbox(self.requests.inbox()).await?.into_inner();
        let mut came = 0;
        while items.message().await?.is_some() {
            came += 1;
            if Instant::now() >= deadline {
                break;
            }
        }
        if came == 0 { Err("an empty inbox".into()) } else { Ok(came) }
    }
}

/// A refusal is what was asked for here.
fn refused(answer: Option<Status>) -> Result<(), Failed> {
    match answer {
        Some(status) if matches!(status.code(), Code::PermissionDenied | Code::NotFound) => Ok(()),
        Some(status) => Err(status.into()),
        None => Err("allowed what had to be refused".into()),
    }
}
