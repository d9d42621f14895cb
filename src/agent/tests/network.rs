//! A network on loopback: authority, keyholder, the stand-in hub, agents.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::hub::FakeHub;
use crate::agent::covenant::OwnCopy;
use crate::agent::{Agent, Parts, serve_on};
use crate::api::v1;
use crate::ca::{Authority, Profile, profile};
use crate::cli::init::{self, AgentInitArgs, KeyholderFacts};
use crate::clock::{Clock, SystemClock, TlsClock};
use crate::config::Source;
use crate::config::{AgentConfig, KeyholderConfig, parse};
use crate::identity::certificate::Environment;
use crate::party::{Article, Category, Form, Role};
use crate::pseudonym::Blinding;
use crate::tls::files::{own_authority, servers};
use crate::tls::{ClientTls, Gate, Identity};
use crate::trust::Trust;

pub(super) const ALMELO: &str = "00000099100001410000";
pub(super) const RAALTE: &str = "00000099100001770000";
pub(super) const ZWOLLE: &str = "00000099100001930000";
/// Runs Almelo's agent, where it does.
pub(super) const LEVERANCIER: &str = "00000099900000010000";
/// The names of its certificate's files.
pub(super) const SUPPLIER_FILE: &str = "leverancier";

/// An organisation's own reference of the one case there is.
pub(super) fn case_ref(oin: &str) -> String {
    let number = oin.parse::<u128>().unwrap();
    uuid::Builder::from_custom_bytes(number.to_be_bytes()).into_uuid().to_string()
}

/// `cases/{uuid}`.
pub(super) fn case_name(oin: &str) -> String {
    format!("cases/{}", case_ref(oin))
}

pub(super) fn context() -> Option<v1::RequestContext> {
    Some(v1::RequestContext {
        article: "14".into(),
        purpose: "expertteam".into(),
        acting_role: v1::Role::R02.into(),
        user_ref: "mdw-17".into(),
        reason: "overleg".into(),
    })
}

pub(super) struct Network {
    dir: tempfile::TempDir,
    ca: Authority,
    facts: KeyholderFacts,
    keyholder: String,
    nodes: Vec<String>,
    pub(super) hub: FakeHub,
    serving: std::sync::Mutex<Vec<(JoinHandle<()>, Gate)>>,
    /// The keyholder's own: it ends with everything in it, as a process that is killed.
    held: std::sync::Mutex<Option<tokio::runtime::Runtime>>,
}

impl Drop for Network {
    fn drop(&mut self) {
        self.kill_keyholder();
    }
}

impl Network {
    pub(super) async fn start() -> Self {
        Self::with_nodes(1).await
    }

    /// A network whose hub has so many nodes.
    pub(super) async fn with_nodes(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemClock.now();
        let ca = Authority::init(&dir.path().join("ca"), &"Proef".parse().unwrap(), Environment::Test, now).unwrap();
        let mut roster = String::new();
        for oin in [ALMELO, RAALTE, ZWOLLE] {
            let partner = Profile::Organisation {
                name: "Partner".parse().unwrap(),
                oin: oin.parse().unwrap(),
                alternatives: vec![],
            };
            let key = ca.issue(oin, &partner, 30, now).unwrap().leaf.key_hash;
            roster += &format!("[[partner]]\noin = \"{oin}\"\nkey_hashes = [\"{key}\"]\nelements_per_day = 200\n");
        }
        let supplier = Profile::Organisation {
            name: "Leverancier".parse().unwrap(),
            oin: LEVERANCIER.parse().unwrap(),
            alternatives: vec![],
        };
        let key = ca.issue(SUPPLIER_FILE, &supplier, 30, now).unwrap().leaf.key_hash;
        roster += &format!("[[partner]]\noin = \"{ALMELO}\"\nsupplier = \"{LEVERANCIER}\"\n");
        roster += &format!("key_hashes = [\"{key}\"]\nelements_per_day = 200\n");
        for name in ["hub", "keyholder"] {
            let server = Profile::Server {
                name: name.parse().unwrap(),
                oin: None,
                alternatives: vec![profile::alternative("localhost").unwrap()],
            };
            ca.issue(name, &server, 30, now).unwrap();
        }
        std::fs::write(dir.path().join("roster.toml"), roster).unwrap();
        let facts = init::keyholder(&dir.path().join("keys"), &mut Vec::new()).unwrap();
        let (keyholder, held) = start_keyholder(&dir, "127.0.0.1:0".to_owned()).await;
        let hub = FakeHub::default();
        hub.state().known_answer = unhex(&facts.known_answer);
        let (mut nodes, mut serving) = (Vec::new(), Vec::new());
        for node in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            nodes.push(listener.local_addr().unwrap().to_string());
            serving.push(hub.node(node).serve(listener, &identity(&dir, "hub"), &trust(&dir)));
        }
        Self {
            dir,
            ca,
            facts,
            keyholder,
            nodes,
            hub,
            serving: std::sync::Mutex::new(serving),
            held: std::sync::Mutex::new(Some(held)),
        }
    }

    /// Starts an agent whose own copy of the covenant lets R05 and R08 receive the hulpvraag under article 14 (and R05
    /// C10), or nobody anything.
    pub(super) async fn agent(&self, oin: &'static str, grants: bool) -> Running {
        let home = self.dir.path().join(oin);
        let args = AgentInitArgs {
            passphrase_file: None,
            dir: home.clone(),
            oin: oin.into(),
            name: "Partner".into(),
            alternatives: vec!["localhost".into()],
        };
        if !home.exists() {
            init::agent(&args, SystemClock.now(), &mut Vec::new()).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cells = [(Role::R05, Category::C06), (Role::R05, Category::C10), (Role::R08, Category::C06)];
        let forms = |(role, category)| [Form::P, Form::I].map(|f| (Article::new(14).unwrap(), Some(role), category, f));
        let copy = OwnCopy::of(cells.into_iter().filter(|_| grants).flat_map(forms));
        let config = self.config(oin);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            serve_on(listener, Source::still(config), copy, async move { drop(stopped.await) }).await.unwrap();
        });
        let local = Identity::load(&home.join("local/system.pem"), &home.join("local/system.key"), SystemClock.now());
        let anchors = servers(&home.join("local/anchors.pem")).unwrap();
        let channel = channel(&local.unwrap(), &anchors, &address);
        Running { channel, address, anchors, home, stop, task }
    }

    /// An agent that does nothing by itself and serves nobody.
    pub(super) fn idle(&self, oin: &str) -> Agent {
        let home = self.dir.path().join(oin);
        let args = AgentInitArgs {
            passphrase_file: None,
            dir: home,
            oin: oin.into(),
            name: "Partner".into(),
            alternatives: vec!["localhost".into()],
        };
        init::agent(&args, SystemClock.now(), &mut Vec::new()).unwrap();
        Agent(Arc::new(Parts::new(&self.config(oin), OwnCopy::of([]), Arc::new(SystemClock)).unwrap()))
    }

    /// From now on a supplier runs Almelo's agent, by Almelo's mandate.
    pub(super) fn supply(&self) {
        let given = super::mandates::given(&self.ca(), ALMELO, ALMELO, LEVERANCIER, 10);
        std::fs::write(self.mandate(ALMELO), crate::mandate::file::write(&given).unwrap()).unwrap();
    }

    fn mandate(&self, oin: &str) -> std::path::PathBuf {
        self.dir.path().join(format!("{oin}.mandate.json"))
    }

    /// Where certificates are.
    pub(super) fn ca(&self) -> std::path::PathBuf {
        self.dir.path().join("ca")
    }

    pub(super) fn trust(&self) -> Arc<Trust> {
        trust(&self.dir)
    }

    pub(super) fn config(&self, oin: &str) -> AgentConfig {
        let mandate = self.mandate(oin);
        let (own, mandate) = match mandate.exists() {
            true => (SUPPLIER_FILE, format!("mandate.file = {:?}", mandate.display().to_string())),
            false => (oin, String::new()),
        };
        let text = format!(
            r#"
            organisation.oin = "{oin}"
            hub = {{ address = {}, server_name = "localhost" }}
            keyholder = {{ address = "{}", server_name = "localhost", public_key = "{}" }}
            {mandate}
            tls = {{ certificate = "../ca/{own}.pem", key = "../ca/{own}.key", anchors = "../ca/anchors.pem" }}
            local = {{ address = "127.0.0.1:0", certificate = "local/server.pem", key = "local/server.key", anchors = "local/anchors.pem" }}
            trust.environment = "test"
            store.directory = "store"
            "#,
            match &*self.nodes {
                [one] => format!("{one:?}"),
                nodes => format!("{nodes:?}"),
            },
            self.keyholder,
            self.facts.public_key
        );
        parse(&self.dir.path().join(oin).join("agent.toml"), &text).unwrap()
    }

    /// A channel to the agent with a certificate of the network, not of the partner.
    pub(super) fn outsider(&self, running: &Running) -> Channel {
        channel(&identity(&self.dir, ZWOLLE), &running.anchors, &running.address)
    }

    /// A second certificate of the same organisation: its files begin with `name`.
    pub(super) fn reissue(&self, oin: &str, name: &str) {
        let partner =
            Profile::Organisation { name: "Partner".parse().unwrap(), oin: oin.parse().unwrap(), alternatives: vec![] };
        self.ca.issue(name, &partner, 30, SystemClock.now()).unwrap();
    }

    /// In the place of an organisation's certificate, one that is good for so many seconds still.
    pub(super) fn ending(&self, oin: &str, seconds: i64) {
        let partner =
            Profile::Organisation { name: "Partner".parse().unwrap(), oin: oin.parse().unwrap(), alternatives: vec![] };
        let made = SystemClock.now() - time::Duration::days(2) + time::Duration::seconds(seconds);
        self.ca.issue("ending", &partner, 2, made).unwrap();
        for extension in ["pem", "key"] {
            let file = |name: &str| self.ca().join(format!("{name}.{extension}"));
            std::fs::rename(file("ending"), file(oin)).unwrap();
        }
    }

    /// Evaluations that the organisation may still ask for today, after this one.
    pub(super) async fn remaining(&self, oin: &str) -> u32 {
        let channel = channel(&identity(&self.dir, oin), &trust(&self.dir), &self.keyholder);
        let (_, element) = Blinding::start(b"proef", &mut rand_core::OsRng).unwrap();
        let question = v1::EvaluateRequest { blinded_elements: vec![element.to_vec()], epoch: 1 };
        let answer = v1::keyholder_client::KeyholderClient::new(channel).evaluate(question).await.unwrap();
        answer.into_inner().quota_remaining
    }

    pub(super) fn kill_keyholder(&self) {
        if let Some(running) = self.held.lock().unwrap().take() {
            running.shutdown_background();
        }
    }

    /// Where it was, with what it has on disk.
    pub(super) async fn start_keyholder(&self) {
        let (_, running) = start_keyholder(&self.dir, self.keyholder.clone()).await;
        *self.held.lock().unwrap() = Some(running);
    }

    /// In the keyholder's place: somebody who takes connections and says nothing.
    pub(super) async fn silent_keyholder(&self) -> TcpListener {
        listen(&self.keyholder).await
    }

    pub(super) fn stop_hub(&self) {
        self.stop_node(0);
    }

    pub(super) async fn restart_hub(&self) {
        self.restart_node(0).await;
    }

    pub(super) fn stop_node(&self, node: usize) {
        let serving = &self.serving.lock().unwrap()[node];
        serving.0.abort();
        serving.1.connections().cut_where(|_| true);
    }

    pub(super) async fn restart_node(&self, node: usize) {
        self.stop_node(node);
        let listener = listen(&self.nodes[node]).await;
        let hub = self.hub.node(node);
        let serving = hub.serve(listener, &identity(&self.dir, "hub"), &trust(&self.dir));
        self.serving.lock().unwrap()[node] = serving;
    }
}

/// One agent and a channel of the partner's own system to it.
pub(super) struct Running {
    pub(super) channel: Channel,
    address: String,
    anchors: Arc<Trust>,
    pub(super) home: std::path::PathBuf,
    stop: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) async fn publish_keys(&self) {
        let mut directory = v1::directory_client::DirectoryClient::new(self.channel.clone());
        directory.publish_keys(v1::PublishKeysRequest::default()).await.unwrap();
    }

    pub(super) async fn stop(self) {
        drop(self.channel);
        drop(self.stop);
        self.task.await.unwrap();
    }

    pub(super) fn spooled(&self) -> usize {
        std::fs::read_dir(self.home.join("store/spool")).unwrap().count()
    }
}

/// Listens where somebody listened just now.
async fn listen(address: &str) -> TcpListener {
    for _ in 0..500 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the port stays taken");
}

async fn start_keyholder(dir: &tempfile::TempDir, address: String) -> (String, tokio::runtime::Runtime) {
    let text = r#"
        listen.address = "127.0.0.1:0"
        tls = { certificate = "ca/keyholder.pem", key = "ca/keyholder.key", anchors = "ca/anchors.pem" }
        store.url = "sqlite:data/keyholder.db"
        key = { file = "keys/keyholder.1.key", epoch = 1 }
        roster.file = "roster.toml"
        trust.environment = "test"
    "#;
    let config: KeyholderConfig = parse(&dir.path().join("keyholder.toml"), text).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listens = async move {
        let listener = listen(&address).await;
        let address = listener.local_addr().unwrap().to_string();
        let clock = Arc::new(SystemClock);
        tokio::spawn(crate::keyholder::serve_on(listener, Source::still(config), clock, std::future::pending()));
        address
    };
    let address = runtime.spawn(listens).await.unwrap();
    (address, runtime)
}

fn identity(dir: &tempfile::TempDir, name: &str) -> Identity {
    let file = |extension: &str| dir.path().join("ca").join(format!("{name}.{extension}"));
    Identity::load(&file("pem"), &file("key"), SystemClock.now()).unwrap()
}

fn trust(dir: &tempfile::TempDir) -> Arc<Trust> {
    own_authority(Environment::Test, &dir.path().join("ca/anchors.pem")).unwrap()
}

fn channel(identity: &Identity, trust: &Arc<Trust>, address: &str) -> Channel {
    let tls = ClientTls::new(identity, trust, "localhost", Arc::new(TlsClock)).unwrap();
    tls.connect_lazy(address).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    text.parse::<crate::identity::Fingerprint>().unwrap().as_bytes().to_vec()
}
