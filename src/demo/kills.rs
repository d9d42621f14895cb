//! The kill test under load: partners' systems work through their agents while processes of the network are killed
//! (SIGKILL) and started again; afterwards the store must hold exactly what callers were told.
//!
//! The seed gives the same order of kills and choices of the workers again; when exactly each falls is up to the machine.

mod caller;
mod inbox;
mod judge;
mod killer;
mod load;
mod random;
mod tally;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::files::hub_name;
use super::{Demo, DemoError, DemoOptions};
use crate::config::{self, HubConfig};
use crate::scenario::Scenario;
use crate::scenario::network::Member;
use crate::telemetry::Chain;
use caller::Caller;
use inbox::Inbox;
use judge::{Arrived, Verdict};
use killer::Kind;
use load::{Part, Scene, Worker};
use random::Random;
use tally::{Seen, Tally};

/// Workers of each partner.
const WORKERS: u64 = 2;
/// Of the network's start to the load's end: this, and as much again for every kill.
const BOUND: Duration = Duration::from_secs(120);
const BOUND_PER_KILL: Duration = Duration::from_secs(8);
/// How long what is in an inbox may take to its reader once everything runs.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Enough for any load; the quota is no part of this test.
const ELEMENTS_PER_DAY: u32 = 1_000_000;
/// Complaints that are written out.
const SHOWN: usize = 20;

/// How the kill test runs.
#[derive(Debug, Clone)]
pub struct KillOptions {
    /// The network.
    pub demo: DemoOptions,
    /// How often something is killed.
    pub kills: u32,
    /// Of the random numbers; `None`: any.
    pub seed: Option<u64>,
}

/// Runs the test and writes what happens to `out`. Stops when `shutdown` is ready.
///
/// # Errors
/// A network that does not come up. That something does not hold is no error but counted in what is returned.
pub async fn run(
    scenario: &Scenario,
    options: KillOptions,
    shutdown: impl Future<Output = ()>,
    out: &mut dyn Write,
) -> Result<usize, DemoError> {
    let mut shutdown = std::pin::pin!(shutdown);
    let seed = options.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
    writeln!(out, "Seed {seed}: the same order of kills again with --seed {seed}")?;
    let mut demo = Demo::new(options.demo)?;
    demo.elements_per_day = ELEMENTS_PER_DAY;
    let tally = Arc::new(Tally::default());
    let work = async {
        demo.start(scenario, out).await?;
        let bound = BOUND + BOUND_PER_KILL * options.kills;
        let story = story(&mut demo, &tally, options.kills, seed, out);
        match tokio::time::timeout(bound, story).await {
            Ok(done) => done,
            Err(_) => Ok(vec![format!("not over within {} s, the bound for {} kills", bound.as_secs(), options.kills)]),
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = &mut shutdown => return Err(DemoError::Stopped),
    };
    let broken = match done {
        Ok(broken) => broken,
        // The network came up once: that it does not again is what the test is about.
        Err(error) if demo.enrolled => vec![Chain(&error).to_string()],
        Err(error) => return Err(error),
    };
    for what in broken.iter().take(SHOWN) {
        writeln!(out, "BROKEN  {what}")?;
    }
    if broken.is_empty() {
        writeln!(out, "Everything that was acknowledged is stored, once, with its event; nothing else is.")?;
    } else {
        writeln!(out, "{} promises were broken; seed {seed}", broken.len())?;
        for name in (0..demo.nodes).map(hub_name) {
            writeln!(out, "\nThe end of the log of {name}:\n{}", demo.processes.log_tail(&name))?;
        }
    }
    demo.stop().await;
    Ok(broken.len())
}

/// Load, kills, and the verdict: what was broken.
async fn story(
    demo: &mut Demo,
    tally: &Arc<Tally>,
    kills: u32,
    seed: u64,
    out: &mut dyn Write,
) -> Result<Vec<String>, DemoError> {
    let members = demo.network()?.partners.clone();
    let crew = Crew::start(&members, tally, seed);
    let began = Instant::now();
    let killed = killer::kill(demo, kills, Random::new(seed, 0), tally, out).await?;
    let took = began.elapsed();
    let (arrived, workers) = crew.finish(&members, tally).await;
    let mut broken = demo.end_gracefully().await;
    let seen = tally.seen();
    let verdict = verdict(demo, &seen, &workers, &arrived).await;
    report(out, &killed, &seen, &verdict, took)?;
    broken.extend(seen.broken);
    broken.extend(verdict.broken);
    Ok(broken)
}

/// Everybody who calls.
struct Crew {
    scene: Arc<Scene>,
    inboxes: Vec<Arc<Inbox>>,
    /// OIN and reference of each worker.
    names: Vec<(String, String)>,
    workers: JoinSet<()>,
    listeners: JoinSet<()>,
}

impl Crew {
    fn start(members: &[Member], tally: &Arc<Tally>, seed: u64) -> Self {
        let part = |member: &Member| match member.id.as_str() {
            id if id.starts_with('G') => Part::Refers,
            id if id.starts_with('Z') => Part::Consults,
            _ => Part::Coordinates,
        };
        let treating = members.iter().filter(|member| part(member) == Part::Consults);
        let treating = treating.map(|member| format!("partners/{}", member.oin)).collect();
        let scene = Arc::new(Scene { stop: AtomicBool::new(false), youths: AtomicU64::new(0), treating });
        let (inboxes, names) = (Vec::new(), Vec::new());
        let mut crew = Self { scene, inboxes, names, workers: JoinSet::new(), listeners: JoinSet::new() };
        tally.start();
        for (member, index) in members.iter().zip(0_u64..) {
            let inbox = Arc::new(Inbox::default());
            let listener = Caller::new(member, format!("{}.inbox", member.id), tally);
            let follows = Arc::clone(&inbox);
            crew.listeners.spawn(async move { follows.follow(listener).await });
            for nth in 1..=WORKERS {
                let user_ref = format!("{}.{nth}", member.id);
                crew.names.push((member.oin.clone(), user_ref.clone()));
                let caller = Caller::new(member, user_ref, tally);
                let random = Random::new(seed, index * WORKERS + nth);
                let worker = Worker::new(caller, part(member), random, &crew.scene, &inbox);
                crew.workers.spawn(worker.work());
            }
            crew.inboxes.push(inbox);
        }
        crew
    }

    /// Settles what is under way, and reads every inbox once more.
    async fn finish(mut self, members: &[Member], tally: &Arc<Tally>) -> (Vec<Arrived>, Vec<(String, String)>) {
        self.scene.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.workers.join_next().await {
            if ended.is_err() {
                tally.broken("a worker of the load itself failed".to_owned());
            }
        }
        let mut arrived = Vec::new();
        for (member, inbox) in members.iter().zip(&self.inboxes) {
            let mut caller = Caller::new(member, format!("{}.again", member.id), tally);
            let reread = inbox::reread(&mut caller, &inbox.came()).await.unwrap_or_else(|broken| {
                tally.broken(broken.to_string());
                Vec::new()
            });
            let since = Instant::now();
            while inbox.came().items.len() < reread.len() && since.elapsed() < ARRIVAL {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            inbox.stop.store(true, Ordering::SeqCst);
            let (id, oin, live) = (member.id.clone(), member.oin.clone(), inbox.came());
            arrived.push(Arrived { id, oin, live, reread });
        }
        while self.listeners.join_next().await.is_some() {}
        (arrived, self.names)
    }
}

/// A store that can't be judged is broken.
async fn verdict(demo: &Demo, seen: &Seen, workers: &[(String, String)], arrived: &[Arrived]) -> Verdict {
    let judged = async {
        let file = demo.layout.as_ref().ok_or_else(|| "nothing was started".to_owned())?.hub_config(0);
        let config: HubConfig = config::load(&file).map_err(|error| Chain(&error).to_string())?;
        let access = crate::hub::access(&config).map_err(|error| Chain(&error).to_string())?;
        judge::judge(&access, seen, workers, arrived).await.map_err(|error| Chain(&error).to_string())
    };
    judged.await.unwrap_or_else(|why| Verdict { broken: vec![format!("can't judge: {why}")], ..Verdict::default() })
}

fn report(
    out: &mut dyn Write,
    killed: &BTreeMap<Kind, u32>,
    seen: &Seen,
    verdict: &Verdict,
    took: Duration,
) -> std::io::Result<()> {
    let kinds: Vec<String> = killed.iter().map(|(kind, count)| format!("{} {count}", kind.name())).collect();
    writeln!(out, "\nkills    {} in {:.1} s: {}", killed.values().sum::<u32>(), took.as_secs_f64(), kinds.join(", "))?;
    let Seen { calls, answered, repeated, longest, events, .. } = seen;
    writeln!(out, "calls    {calls} made, {repeated} of them again; {answered} answered OK")?;
    let silent: Vec<String> = longest.iter().map(|(kind, time)| format!("{kind} {} ms", time.as_millis())).collect();
    writeln!(out, "silence  longest without any answer, by what had been killed: {}", silent.join(", "))?;
    let Verdict { events: stored, changes, items, .. } = verdict;
    writeln!(out, "store    {stored} events, {} of them acknowledged; {changes} changes asked for", events.len())?;
    writeln!(out, "inboxes  {items} items")
}
