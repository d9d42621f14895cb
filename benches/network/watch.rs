//! The loader's part of [`crate::witnessed`]: calls at some pace, and beside them a reader of the log's checkpoints who
//! believes only those that the quorum has signed. Which event stands where is read from the hub's own rows afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluis::api::v1::cases_client::CasesClient;
use sluis::plain_http::{self, StatusCode};
use sluis::tlog::Policy;
use sqlx::{AnyConnection, Connection as _, Row as _};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::calls::Requests;
use crate::protocol::Told;
use crate::witnessed::Watched;
use crate::witnesses::policy;
use crate::world::World;
use crate::{Failed, hub};

/// Between two looks at the checkpoint: what a latency is read to.
const LOOK: Duration = Duration::from_millis(20);
/// How long the last event may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What tasks of a window share.
struct Window {
    began: Instant,
    requests: Arc<Requests>,
    watched: Mutex<Watched>,
}

/// How calls are made.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) time: Duration,
    /// Calls a second, from one task; `None`: as many as go.
    pub(crate) pace: Option<u64>,
}

/// A window of calls over these connections, until the last of them is witnessed.
pub(crate) async fn witness(
    world: &World,
    server: &str,
    requests: Arc<Requests>,
    channels: Vec<Channel>,
    load: Load,
) -> Result<Told, Failed> {
    let reader = world.tls(&world.gemeente)?.connect(world.address(server, 0)?).await?;
    let policy = policy(&world.folder, server)?;
    let window = Arc::new(Window { began: Instant::now(), requests, watched: Mutex::default() });
    let watching = tokio::spawn(watch(Arc::clone(&window), reader, policy));
    let mut calling = JoinSet::new();
    for (nth, channel) in channels.into_iter().enumerate() {
        calling.spawn(call(Arc::clone(&window), channel, load, nth));
    }
    while let Some(done) = calling.join_next().await {
        done??;
    }
    let ended = Instant::now();
    let file = hub::database(&hub::home(&world.folder, server));
    let mut database = AnyConnection::connect(&format!("sqlite:{}?mode=ro", file.display())).await?;
    let told = loop {
        if let Some(told) = window.told(&places(&mut database).await?)? {
            break told;
        }
        if watching.is_finished() || ended.elapsed() > PATIENCE {
            watching.abort();
            return match watching.await {
                Ok(Err(error)) => Err(error),
                _ => Err("what was acknowledged is not witnessed".into()),
            };
        }
        tokio::time::sleep(LOOK * 10).await;
    };
    watching.abort();
    database.close().await?;
    Ok(Told { nanos: u64::try_from(load.time.as_nanos())?, ..told })
}

/// Place of every event.
async fn places(database: &mut AnyConnection) -> Result<HashMap<String, u64>, Failed> {
    let rows = sqlx::query("SELECT event_id, seq FROM log_leaf").fetch_all(database).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, u64::try_from(row.try_get::<i64, _>(1)?)?))).collect()
}

async fn watch(window: Arc<Window>, reader: Channel, policy: Policy) -> Result<(), Failed> {
    let mut last = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let answer = plain_http::get(&reader, "/checkpoint").await?;
        // Nothing is published before the witnesses have signed for the first time.
        if answer.code == StatusCode::NOT_FOUND {
            continue;
        }
        let checkpoint = policy.open(&answer.body);
        let at = window.now();
        match checkpoint {
            Ok(checkpoint) if checkpoint.tree().size > last => {
                last = checkpoint.tree().size;
                window.watched.lock().map_err(|_| "a task failed")?.seen.push((last, at));
            }
            Ok(_) => {}
            // What was published before there were witnesses is not theirs: it counts for nothing.
            Err(_) if last == 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn call(window: Arc<Window>, channel: Channel, load: Load, nth: usize) -> Result<(), Failed> {
    let mut client = CasesClient::new(channel);
    let mut beat =
        load.pace.map(|pace| tokio::time::interval(Duration::from_secs(1) / u32::try_from(pace).unwrap_or(1)));
    let mut turn = nth;
    while window.began.elapsed() < load.time {
        if let Some(beat) = &mut beat {
            beat.tick().await;
        }
        let reply = client.get_case(window.requests.get_case(turn)).await?;
        let at = window.now();
        let event = reply.metadata().get("sluis-event").ok_or("a reply that names no event")?.to_str()?;
        let event = event.trim_start_matches("events/").to_owned();
        window.watched.lock().map_err(|_| "a task failed")?.acknowledged.insert(event, at);
        turn += 1;
    }
    Ok(())
}

impl Window {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long every event took; `None` while one of them is not witnessed.
    fn told(&self, places: &HashMap<String, u64>) -> Result<Option<Told>, Failed> {
        let watched = self.watched.lock().map_err(|_| "a task failed")?;
        let mut told = Told::default();
        for (event, acknowledged) in &watched.acknowledged {
            let Some(held) = places.get(event).and_then(|place| watched.held(*place)) else { return Ok(None) };
            told.took.add(held.saturating_sub(*acknowledged));
            told.acknowledged += 1;
            told.events += 1;
            told.calls += 1.0;
        }
        Ok(Some(told))
    }
}
