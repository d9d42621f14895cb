//! What needs no network: commits by the store's own writer beside a bare loop over the same rows, and the parts of a
//! call that can be run alone.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluis::api::v1;
use sluis::audit::{Draft, Event, encode};
use sluis::clock::{Clock as _, SystemClock};
use sluis::identity::Caller;
use sluis::identity::certificate::Environment;
use sluis::method::{Admitted, find as method};
use sluis::store::{Access, Store, Tx, Work, WorkError};
use sluis::tls::files::own_authority;
use sqlx::{AnyConnection, Connection as _, Row as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Failed;
use crate::calls::Requests;
use crate::case::{Call, Inside, find};
use crate::postgres::opening;
use crate::protocol::{Ask, Told};
use crate::rows::{Template, templates};
use crate::stage::Stage;
use crate::world::{World, ca};

/// Units in one commit at most, as in the store's writer.
const GROUP: usize = 128;

/// Calls between two looks at the clock.
const STRETCH: u64 = 16;

/// Writers and parts.
pub(crate) struct Inner {
    stage: Arc<Stage>,
    caller: Caller,
    admitted: Admitted,
    draft: Draft,
    event: Arc<Event>,
    store: Arc<Store>,
    /// A connection beside the store's, for counting.
    beside: AnyConnection,
    grouped: Raw,
    single: Raw,
}

impl Inner {
    /// For a network, with stores of its own.
    pub(crate) async fn new(world: &World) -> Result<Self, Failed> {
        let stage = Arc::new(Stage::new(world)?);
        let caller = caller(world, &stage)?;
        let row = method("/sluis.v1.Directory/ListPartners").ok_or("no row")?;
        let admitted = row.admit(&caller, stage.covenant.version().number).map_err(|_| "not admitted")?;
        let request = Requests::new(world)?.get_case(0);
        let event = event(&stage, &caller, &request)?;
        let home = world.folder.join("commits");
        std::fs::create_dir_all(&home)?;
        let store = open(&home.join("store.db")).await?;
        let draft = event.draft.clone();
        store.run_tx(admitted.office(), Line(draft.clone())).await?;
        let mut beside = connect(&home.join("store.db")).await?;
        let templates = Arc::new(templates(&mut beside).await?);
        Ok(Self {
            grouped: Raw::start(&home.join("grouped.db"), &templates, GROUP).await?,
            single: Raw::start(&home.join("single.db"), &templates, 1).await?,
            stage,
            caller,
            admitted,
            draft,
            event: Arc::new(event),
            store: Arc::new(store),
            beside,
        })
    }

    /// Does what it is asked.
    pub(crate) async fn answer(&mut self, ask: Ask) -> Result<Told, Failed> {
        let Ask::Run { case, millis } = ask else { return Err("only runs".into()) };
        let case = find(&case).ok_or("no such case")?;
        let Call::Inside(inside) = case.call else { return Err("needs a network".into()) };
        let time = Duration::from_millis(millis);
        let before = self.events().await?;
        let deadline = Instant::now() + time;
        let mut running = JoinSet::new();
        for _ in 0..case.concurrency {
            self.spawn(inside, deadline, &mut running)?;
        }
        let mut told = Told::default();
        while let Some(done) = running.join_next().await {
            told.merge(done??);
        }
        told.nanos = u64::try_from(time.as_nanos())?;
        let stored = self.events().await? - before;
        if inside == Inside::Store && stored != told.acknowledged {
            return Err(format!("{} commits were answered, {stored} events are stored", told.acknowledged).into());
        }
        Ok(told)
    }

    /// Events in the store.
    async fn events(&mut self) -> Result<u64, Failed> {
        let row = sqlx::query("SELECT COUNT(*) FROM audit_event").fetch_one(&mut self.beside).await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?)?)
    }

    fn spawn(&self, inside: Inside, until: Instant, tasks: &mut JoinSet<Result<Told, Failed>>) -> Result<(), Failed> {
        let stage = Arc::clone(&self.stage);
        match inside {
            Inside::Store => {
                let (store, admitted, draft) = (Arc::clone(&self.store), self.admitted, self.draft.clone());
                tasks.spawn(repeat(until, move || {
                    let (store, line) = (Arc::clone(&store), Line(draft.clone()));
                    async move { Ok(store.run_tx(admitted.office(), line).await.map(|_| ())?) }
                }));
            }
            Inside::Raw | Inside::Single => {
                let queue = if inside == Inside::Raw { self.grouped.queue.clone() } else { self.single.queue.clone() };
                tasks.spawn(repeat(until, move || {
                    let queue = queue.clone();
                    async move {
                        let (reply, done) = oneshot::channel();
                        queue.send(reply).await.map_err(|_| "the loop ended")?;
                        Ok(done.await.map_err(|_| "the loop ended")?)
                    }
                }));
            }
            Inside::Decide => {
                tasks.spawn_blocking(move || stretch(until, || stage.decide().map(drop)));
            }
            Inside::Pseudonym => {
                let caller = self.caller.clone();
                tasks.spawn_blocking(move || stretch(until, || stage.derive(&caller).map(drop)));
            }
            Inside::Encode => {
                let event = Arc::clone(&self.event);
                let encode = move || {
                    std::hint::black_box(encode(std::hint::black_box(&event)));
                    Ok(())
                };
                tasks.spawn_blocking(move || stretch(until, encode));
            }
        }
        Ok(())
    }
}

async fn repeat<F: Future<Output = Result<(), Failed>>>(until: Instant, call: impl Fn() -> F) -> Result<Told, Failed> {
    let mut told = Told::default();
    loop {
        let start = Instant::now();
        if start >= until {
            return Ok(told);
        }
        call().await?;
        told.count(start, Instant::now(), until);
    }
}

/// What is much shorter than a look at the clock.
fn stretch(until: Instant, call: impl Fn() -> Result<(), Failed>) -> Result<Told, Failed> {
    let mut told = Told::default();
    loop {
        let start = Instant::now();
        if start >= until {
            return Ok(told);
        }
        for _ in 0..STRETCH {
            call()?;
        }
        let each = u64::try_from(start.elapsed().as_nanos())? / STRETCH;
        told.acknowledged += STRETCH;
        told.calls += STRETCH as f64;
        told.took.add(each);
    }
}

/// An event without an effect.
struct Line(Draft);

impl Work for Line {
    type Output = ();
    async fn run(&self, _: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        Ok(((), self.0.clone()))
    }
}

async fn open(file: &Path) -> Result<Store, Failed> {
    Ok(Store::open(opening(Access::new(&format!("sqlite:{}", file.display()), None)?)).await?)
}

/// A connection with the store's own settings.
async fn connect(file: &Path) -> Result<AnyConnection, Failed> {
    let mut conn = AnyConnection::connect(&format!("sqlite:{}", file.display())).await?;
    for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON"] {
        sqlx::query(pragma).execute(&mut conn).await?;
    }
    Ok(conn)
}

/// A loop that writes the rows of events and nothing else.
struct Raw {
    queue: mpsc::Sender<oneshot::Sender<()>>,
}

impl Raw {
    async fn start(file: &Path, templates: &Arc<Vec<Template>>, group: usize) -> Result<Self, Failed> {
        // The store makes its tables.
        drop(open(file).await?);
        let (queue, waiting) = mpsc::channel(1024);
        tokio::spawn(write(connect(file).await?, Arc::clone(templates), waiting, group));
        Ok(Self { queue })
    }
}

/// Ends at the first error: who waits then hears of it.
async fn write(
    mut conn: AnyConnection,
    templates: Arc<Vec<Template>>,
    mut queue: mpsc::Receiver<oneshot::Sender<()>>,
    most: usize,
) -> Result<(), sqlx::Error> {
    let mut group = Vec::new();
    while queue.recv_many(&mut group, most).await > 0 {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut conn).await?;
        let events: Vec<String> = group.iter().map(|_| Uuid::now_v7().to_string()).collect();
        for template in templates.iter() {
            template.write(&mut conn, &events).await?;
        }
        sqlx::query("COMMIT").execute(&mut conn).await?;
        for waiting in group.drain(..) {
            let _ = waiting.send(());
        }
    }
    Ok(())
}

fn caller(world: &World, stage: &Stage) -> Result<Caller, Failed> {
    use rustls_pki_types::pem::PemObject as _;
    let ca = ca(&world.folder);
    let file = ca.join(format!("{}.pem", world.gemeente));
    let chain = rustls_pki_types::CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?;
    let trust = own_authority(Environment::Test, &ca.join("anchors.pem"))?;
    stage.identify(&trust.judge(&chain, SystemClock.now())?.certificate)
}

fn event(stage: &Stage, caller: &Caller, request: &v1::GetCaseRequest) -> Result<Event, Failed> {
    stage.event(caller, stage.decide()?, stage.derive(caller)?, request)
}
