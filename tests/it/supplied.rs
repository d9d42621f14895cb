//! A supplier's agent from the command line: the customer signs, two processes exchange a record in the customer's name, and one
//! command ends it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use sluis::api::v1;
use sluis::api::v1::OrganisationKind::Gemeente;
use sluis::api::v1::cases_client::CasesClient;
use sluis::api::v1::directory_client::DirectoryClient;
use sluis::api::v1::inbox_client::InboxClient;
use sluis::api::v1::records_client::RecordsClient;
use sluis::cli::init::AgentInitArgs;
use sluis::tls::files::{pem_of, servers};
use sluis::tls::{ClientTls, Identity};
use tonic::transport::Channel;

use crate::direct::{AANMELDING, FASE, regime, why};
use crate::mandates::SUPPLIER;
use crate::network::{Holder, NETWERK, Network, id, now};

const TEXT: &[u8] = b"De jeugdige wil thuis blijven wonen.";
const CUSTOMER: &str = "00000099100001460000";

/// Runs the command; what it printed.
fn sluis(args: &[String]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_sluis")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

/// Writes a certificate and its key under `ca/`, for commands.
pub(crate) fn keep(network: &Network, name: &str, holder: &Holder) {
    std::fs::write(network.path(&format!("ca/{name}.pem")), pem_of(&holder.chain)).unwrap();
    let key = pem::encode(&pem::Pem::new("PRIVATE KEY", holder.key.secret_der()));
    sluis::whole_file::replace(&network.path(&format!("ca/{name}.key")), key.as_bytes()).unwrap();
}

fn free_address() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("127.0.0.1:{port}")
}

/// A keyholder's own process, which counts a supplier's key as its customer.
struct Keyholder {
    child: Child,
    address: String,
}

impl Drop for Keyholder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Keyholder {
    fn start(network: &Network, supplier: &Holder) -> Self {
        network.issue("keyholder", "nobody");
        let (address, office) = (free_address(), &network.netwerk.holder.key_hash);
        let roster = format!(
            "[[partner]]\noin = \"{CUSTOMER}\"\nsupplier = \"{SUPPLIER}\"\nkey_hashes = [\"{}\"]\nelements_per_day = 100\n\
             [[partner]]\noin = \"{NETWERK}\"\nkey_hashes = [\"{office}\"]\nelements_per_day = 100\n",
            supplier.key_hash
        );
        std::fs::write(network.path("roster.toml"), roster).unwrap();
        let text = format!(
            r#"
listen = {{ address = "{address}" }}
tls = {{ certificate = "ca/keyholder.pem", key = "ca/keyholder.key", anchors = "ca/anchors.pem" }}
trust = {{ environment = "test" }}
store = {{ url = "sqlite:keyholder/quota.db" }}
key = {{ file = "keyholder/keyholder.1.key", epoch = 1 }}
roster = {{ file = "roster.toml" }}
"#
        );
        std::fs::write(network.path("keyholder.toml"), text).unwrap();
        let log = std::fs::File::create(network.path("keyholder.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
        let command = command.args(["keyholder", "--config"]).arg(network.path("keyholder.toml")).stderr(log);
        Self { child: command.spawn().unwrap(), address }
    }
}

/// The process of the agent in this directory.
fn run(home: &Path) -> Child {
    let log = std::fs::File::create(home.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
    command.args(["agent", "--config"]).arg(home.join("agent.toml")).stderr(log).spawn().unwrap()
}

/// An agent's own process.
pub(crate) struct Agent {
    child: Child,
    pub(crate) home: PathBuf,
    address: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    pub(crate) fn start(
        network: &Network,
        keyholder: &str,
        oin: &str,
        certificate: &str,
        mandate: Option<&Path>,
    ) -> Self {
        let home = network.path(&format!("agent-{certificate}"));
        let args = AgentInitArgs {
            dir: home.clone(),
            oin: oin.to_owned(),
            name: "Proef".to_owned(),
            alternatives: vec!["127.0.0.1".to_owned()],
            passphrase_file: None,
        };
        sluis::cli::init::agent(&args, now(), &mut Vec::new()).unwrap();
        // The hub knows keys of the first epoch already, where the test published some.
        std::fs::rename(home.join("store/agent.1.seed"), home.join("store/agent.2.seed")).unwrap();
        let address = free_address();
        let mandate = mandate.map(|file| format!("mandate = {{ file = {file:?} }}")).unwrap_or_default();
        let (hub, key) = (network.address(), network.keyholder_key());
        let text = format!(
            r#"
organisation = {{ oin = "{oin}" }}
{mandate}
hub = {{ address = "{hub}", server_name = "127.0.0.1" }}
keyholder = {{ address = "{keyholder}", server_name = "127.0.0.1", public_key = "{key}" }}
tls = {{ certificate = "../ca/{certificate}.pem", key = "../ca/{certificate}.key", anchors = "../ca/anchors.pem" }}
local = {{ address = "{address}", certificate = "local/server.pem", key = "local/server.key", anchors = "local/anchors.pem" }}
trust = {{ environment = "test" }}
store = {{ directory = "store" }}
"#
        );
        std::fs::write(home.join("agent.toml"), text).unwrap();
        let child = run(&home);
        Self { child, home, address }
    }

    /// Ends it at once, does something to its store, and starts it again.
    pub(crate) fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        meanwhile(&self.home.join("store"));
        self.child = run(&self.home);
    }

    /// Arguments of a command that calls it as one of the partner's own systems.
    fn remote(&self) -> String {
        let local = |name: &str| self.home.join("local").join(name).display().to_string();
        let [anchors, certificate, key] = ["anchors.pem", "system.pem", "system.key"].map(local);
        let address = &self.address;
        format!(
            "--address {address} --server-name 127.0.0.1 --anchors {anchors} --certificate {certificate} --key {key}"
        )
    }

    pub(crate) fn channel(&self) -> Channel {
        let local = |name: &str| self.home.join("local").join(name);
        let identity = Identity::load(&local("system.pem"), &local("system.key"), now()).unwrap();
        let trust = servers(&local("anchors.pem")).unwrap();
        let tls = ClientTls::new(&identity, &trust, "127.0.0.1", std::sync::Arc::new(sluis::clock::TlsClock)).unwrap();
        tls.connect_lazy(&self.address).unwrap()
    }

    /// Publishes its keys as soon as it listens.
    pub(crate) fn publish_keys(&self) -> String {
        let args = words(&format!("covenant {} publish-keys", self.remote()));
        for _ in 0..100 {
            match sluis(&args) {
                Ok(said) => return said,
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        panic!("{:?}\n{}", sluis(&args), std::fs::read_to_string(self.home.join("log")).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suppliers_agent_works_for_its_customer_from_the_first_command_to_the_last() {
    let network = Network::start().await;
    let own = network.registered(CUSTOMER, Gemeente).await.holder;
    let supplier = network.certificate(SUPPLIER).await;
    for (name, holder) in [("klant", &own), ("leverancier", &supplier), ("netwerk-agent", &network.netwerk.holder)] {
        keep(&network, name, holder);
    }
    let path = |name: &str| network.path(name).display().to_string();
    let operator = network.remote("operator").join(" ");

    // The customer: no agent, its own certificate and key.
    let show = sluis(&words(&format!("covenant {} show", network.remote("klant").join(" ")))).unwrap();
    let hash = show.lines().find_map(|line| line.strip_prefix("content hash: ")).unwrap();
    let sign = format!("covenant {} sign --own-key --content-hash {hash}", network.remote("klant").join(" "));
    assert!(sluis(&words(&sign)).unwrap().contains("signed covenants/"));
    let until = (now() + time::Duration::days(30)).date();
    let sign = format!(
        "mandate sign --covenant ret-overijssel --certificate {} --key {} --to {SUPPLIER} --until {until}",
        path("ca/klant.pem"),
        path("ca/klant.key")
    );
    let file = network.path("mandaat.json");
    std::fs::write(&file, sluis(&words(&sign)).unwrap()).unwrap();
    let shown = sluis(&words(&format!("mandate show {}", file.display()))).unwrap();
    assert!(shown.contains(CUSTOMER) && shown.contains(SUPPLIER), "{shown}");
    // Another key than the certificate's, too long, too late.
    for (from, to) in [
        ("ca/klant.key", "ca/leverancier.key".to_owned()),
        (&*until.to_string(), "2040-01-01".to_owned()),
        (&*until.to_string(), "2020-01-01".to_owned()),
    ] {
        assert!(sluis(&words(&sign.replace(from, &to))).is_err(), "{to}");
    }

    // The operator.
    let register = |on_behalf_of: &str| {
        let file = path("ca/leverancier.pem");
        sluis(&words(&format!("registry {operator} certificate {file} --on-behalf-of {on_behalf_of} --system pakket")))
    };
    assert!(register(CUSTOMER).unwrap_err().contains("no mandate"));
    let said = sluis(&words(&format!("mandate register {} {operator}", file.display()))).unwrap();
    let name = said.split(':').next().unwrap().to_owned();
    assert!(said.contains(&format!("{SUPPLIER} may act for {CUSTOMER} until ")), "{said}");
    assert!(register(CUSTOMER).unwrap().contains(&format!("of {SUPPLIER} registered on behalf of {CUSTOMER}")));
    let listed = sluis(&words(&format!("cert list {operator} --oin {CUSTOMER}"))).unwrap();
    assert!(listed.contains(&format!("supplier {SUPPLIER} on behalf of it")), "{listed}");

    // The supplier's agent, and the office's.
    let keyholder = Keyholder::start(&network, &supplier);
    let theirs = Agent::start(&network, &keyholder.address, CUSTOMER, "leverancier", Some(&file));
    let office = Agent::start(&network, &keyholder.address, NETWERK, "netwerk-agent", None);
    assert!(theirs.publish_keys().contains(CUSTOMER));
    office.publish_keys();
    let (record, case) = publish(theirs.channel()).await;
    let database = network.database().await;
    let fetched = fetch(office.channel(), &record, &database.case_name(&case, network.netwerk.oin()).await).await;
    assert_eq!(fetched, TEXT);
    let inbox = v1::StreamInboxRequest { context: FASE.context(), cursor: String::new(), drain: false };
    let mut live = InboxClient::new(theirs.channel()).stream_inbox(inbox).await.unwrap().into_inner();
    assert!(live.message().await.unwrap().is_some(), "what is sent to the customer comes to its supplier");
    let by_key = format!("SELECT COUNT(*) FROM audit_event WHERE key_hash = '{}' AND", supplier.key_hash);
    let rest = format!("(via <> '{SUPPLIER}' OR req_oin <> '{CUSTOMER}') AND req_oin <> ''");
    assert_eq!(database.any_number(format!("{by_key} {rest}")).await, 0, "every call names both");
    assert!(database.any_number(format!("{by_key} via = '{SUPPLIER}'")).await > 3);
    let doctor = format!(
        "cert doctor {} --anchors {} --environment test --connect {} --key {} --language en",
        path("ca/leverancier.pem"),
        path("ca/anchors.pem"),
        network.address(),
        path("ca/leverancier.key")
    );
    let seen = sluis(&words(&doctor)).unwrap();
    assert!(seen.lines().any(|line| line.contains("acts on behalf of") && line.contains(CUSTOMER)), "{seen}");

    // One command ends it.
    let ended = sluis(&words(&format!("mandate end {name} --reason contract {operator}"))).unwrap();
    assert!(ended.contains("no longer acts"), "{ended}");
    let list = v1::ListPartnersRequest::default();
    let again = DirectoryClient::new(theirs.channel()).list_partners(list).await;
    assert!(again.is_err());
    assert!(sluis(&words(&format!("mandate list {operator}"))).unwrap().contains("ended "));
    network.holds_together().await;
}

/// A case of the customer's, and what it asks, as its own system says it to the agent: record and case.
async fn publish(system: Channel) -> (String, String) {
    let refer = v1::ReferCaseRequest {
        request_id: id(),
        context: AANMELDING.context(),
        subject: Some(v1::Subject { id: Some(v1::subject::Id::Bsn("999907141".to_owned())) }),
        regime: regime(),
        holder: String::new(),
    };
    let mut cases = CasesClient::new(system.clone());
    // The agent looks at both, hub and keyholder, before a youth is named.
    let mut said = cases.refer_case(refer.clone()).await;
    for _ in 0..100 {
        if said.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        said = cases.refer_case(refer.clone()).await;
    }
    let case = said.unwrap().into_inner().name;
    let open = v1::OpenRecord {
        request_id: id(),
        context: AANMELDING.context(),
        case: case.clone(),
        category: v1::Category::C06.into(),
        form: v1::Form::P.into(),
        recipient_roles: vec![v1::Role::R03.into()],
        schema: "sluis/tekst/v1".to_owned(),
        ..Default::default()
    };
    let chunk = v1::publish_record_request::Chunk::Plain(TEXT.to_vec().into());
    let messages = vec![
        v1::PublishRecordRequest { open: Some(open), chunk: None },
        v1::PublishRecordRequest { open: None, chunk: Some(chunk) },
    ];
    let reply = RecordsClient::new(system).publish_record(tokio_stream::iter(messages)).await.unwrap().into_inner();
    (reply.record.unwrap().name, case)
}

async fn fetch(system: Channel, record: &str, case: &str) -> Vec<u8> {
    let context = why("10", "aanmelding", v1::Role::R03).context();
    let request = v1::FetchRecordRequest { context, name: record.to_owned(), case: case.to_owned() };
    let mut pieces = RecordsClient::new(system).fetch_record(request).await.unwrap().into_inner();
    let mut content = Vec::new();
    while let Some(piece) = pieces.message().await.unwrap() {
        if let Some(v1::fetch_record_response::Chunk::Plain(bytes)) = piece.chunk {
            content.extend_from_slice(&bytes);
        }
    }
    content
}
