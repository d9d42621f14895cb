//! A wire that breaks where it is told to, between a store and its PostgreSQL.
//!
//! A statement is one flight of bytes towards the server. TLS passes through unseen, so flights are counted, not read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where the wire breaks, counted in flights from now on, of the connection that sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The flight does not arrive.
    Before(usize),
    /// It arrives, and its answer does not.
    After(usize),
}

/// A wire over which nothing went for so long is quiet.
const QUIET: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Plan {
    cut: Option<Cut>,
    /// Which connection the cut is for, and how many flights it has sent since.
    counted: Option<(usize, usize)>,
    /// No connection is let through after the cut.
    stays_cut: bool,
    is_down: bool,
    /// Flights so far.
    flown: usize,
}

/// What to do with a flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    Lost,
    Unanswered,
}

impl Plan {
    fn fate(&mut self, connection: usize) -> Fate {
        self.flown += 1;
        let Some(cut) = self.cut else { return Fate::Passes };
        let (whose, flights) = self.counted.unwrap_or((connection, 0));
        if whose != connection {
            return Fate::Passes;
        }
        self.counted = Some((whose, flights + 1));
        let (at, fate) = match cut {
            Cut::Before(at) => (at, Fate::Lost),
            Cut::After(at) => (at, Fate::Unanswered),
        };
        if at != flights + 1 {
            return Fate::Passes;
        }
        self.cut = None;
        self.is_down = self.stays_cut;
        fate
    }
}

/// The wire.
pub(super) struct Proxy {
    pub(super) port: u16,
    plan: Arc<Mutex<Plan>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let shared = Arc::clone(&plan);
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                if shared.lock().unwrap().is_down {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(carry(client, server, connection, Arc::clone(&shared)));
            }
        });
        Self { port, plan, task }
    }

    /// Breaks the wire once; with `stays_cut` for good, until [`Self::mend`]. Waits first until nothing is said any more:
    /// word of the commit before is sent beside it, and would be counted instead of the next commit.
    pub(super) async fn arm(&self, cut: Cut, stays_cut: bool) {
        let mut before = None;
        loop {
            let flown = self.plan.lock().unwrap().flown;
            if before.replace(flown) == Some(flown) {
                break;
            }
            tokio::time::sleep(QUIET).await;
        }
        *self.plan.lock().unwrap() = Plan { cut: Some(cut), stays_cut, ..Plan::default() };
    }

    /// Lets everything through again; says whether the wire had been cut.
    pub(super) fn mend(&self) -> bool {
        std::mem::take(&mut *self.plan.lock().unwrap()).cut.is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, server: TcpStream, connection: usize, plan: Arc<Mutex<Plan>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mute, muted) = watch::channel(false);
    let up = async {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let read = from_client.read(&mut bytes).await.unwrap_or(0);
            let fate = if read == 0 { Fate::Lost } else { plan.lock().unwrap().fate(connection) };
            if fate == Fate::Lost {
                return;
            }
            mute.send_replace(fate == Fate::Unanswered);
            if to_server.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let read = from_server.read(&mut bytes).await.unwrap_or(0);
            if read == 0 || *muted.borrow() || to_client.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
