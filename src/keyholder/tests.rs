//! The keyholder over mutual TLS on loopback, with the project's own authority.

use rand_core::OsRng;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use rustls::time_provider::DefaultTimeProvider;

use super::*;
use crate::api::v1;
use crate::api::v1::keyholder_client::KeyholderClient;
use crate::ca::{Authority, Profile, profile};
use crate::cli::init;
use crate::config::Source;
use crate::identity::certificate::Environment;
use crate::pseudonym::oprf::PublicKey;
use crate::pseudonym::{Blinding, Bsn, KnownAnswer};
use crate::tls::files::own_authority;
use crate::tls::{ClientTls, Identity};

const ALMELO: &str = "00000099100001410000";
const RAALTE: &str = "00000099100001770000";

struct Network {
    dir: tempfile::TempDir,
    almelo: String,
}

impl Network {
    fn new(per_day: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemClock.now();
        let ca = Authority::init(&dir.path().join("ca"), &"Proef".parse().unwrap(), Environment::Test, now).unwrap();
        let server = Profile::Server {
            name: "keyholder".parse().unwrap(),
            oin: None,
            alternatives: vec![profile::alternative("localhost").unwrap()],
        };
        ca.issue("server", &server, 30, now).unwrap();
        let organisation = |oin: &str| Profile::Organisation {
            name: "Partner".parse().unwrap(),
            oin: oin.parse().unwrap(),
            alternatives: vec![],
        };
        let almelo = ca.issue("almelo", &organisation(ALMELO), 30, now).unwrap().leaf.key_hash.to_string();
        ca.issue("raalte", &organisation(RAALTE), 30, now).unwrap();
        // The right number, a key that nobody put on the roster.
        for name in ["minted", "next", "after-next"] {
            ca.issue(name, &organisation(ALMELO), 30, now).unwrap();
        }
        init::keyholder(&dir.path().join("keys"), &mut Vec::new()).unwrap();
        let roster =
            format!("[[partner]]\noin = \"{ALMELO}\"\nkey_hashes = [\"{almelo}\"]\nelements_per_day = {per_day}\n");
        std::fs::write(dir.path().join("roster.toml"), roster).unwrap();
        Self { dir, almelo }
    }

    fn config(&self) -> KeyholderConfig {
        let text = r#"
            listen.address = "127.0.0.1:0"
            tls = { certificate = "ca/server.pem", key = "ca/server.key", anchors = "ca/anchors.pem" }
            store.url = "sqlite:data/keyholder.db"
            key = { file = "keys/keyholder.1.key", epoch = 1 }
            roster.file = "roster.toml"
            trust.environment = "test"
        "#;
        crate::config::parse(&self.dir.path().join("keyholder.toml"), text).unwrap()
    }

    /// Starts a keyholder; it stops when the sender is dropped.
    async fn start(&self) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let config = self.config();
        let task = tokio::spawn(async move {
            serve_on(listener, Source::still(config), Arc::new(SystemClock), shutdown).await.unwrap();
        });
        Running { address, stop, task }
    }

    fn key_of(&self, who: &str) -> crate::identity::KeyHash {
        let chain = self.dir.path().join("ca").join(format!("{who}.pem"));
        let leaf = crate::tls::files::certificates(&chain).unwrap().remove(0);
        crate::identity::certificate::Leaf::read(&leaf).unwrap().key_hash
    }

    fn client(&self, running: &Running, who: &str) -> KeyholderClient<Channel> {
        let file = |name: String| self.dir.path().join("ca").join(name);
        let (chain, key) = (file(format!("{who}.pem")), file(format!("{who}.key")));
        let identity = Identity::load(&chain, &key, SystemClock.now()).unwrap();
        let trust = own_authority(Environment::Test, &file("anchors.pem".into())).unwrap();
        let tls = ClientTls::new(&identity, &trust, "localhost", Arc::new(DefaultTimeProvider)).unwrap();
        KeyholderClient::new(tls.connect_lazy(&running.address).unwrap())
    }
}

struct Running {
    address: String,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

fn question(elements: Vec<Vec<u8>>) -> v1::EvaluateRequest {
    v1::EvaluateRequest { blinded_elements: elements, epoch: 0 }
}

fn blinded() -> Vec<u8> {
    Blinding::start(b"whoever", &mut OsRng).unwrap().1.to_vec()
}

#[tokio::test]
async fn an_agent_on_the_roster_gets_a_proven_answer() {
    let network = Network::new(100);
    let running = network.start().await;
    let mut client = network.client(&running, "almelo");
    let key = client.get_key(v1::GetKeyRequest {}).await.unwrap().into_inner();
    assert_eq!((key.epoch, key.quota_remaining), (1, 100));
    assert!(key.quota_reset_time.unwrap().seconds > SystemClock.now().unix_timestamp());

    let input = Bsn::parse(crate::pseudonym::known_answer::IDENTIFIER).unwrap().canonical_input();
    let (blinding, element) = Blinding::start(&input, &mut OsRng).unwrap();
    let answer = client.evaluate(question(vec![element.to_vec(), blinded()])).await.unwrap().into_inner();
    assert_eq!((answer.epoch, answer.evaluations.len(), answer.quota_remaining), (1, 2, 98));
    let pinned = PublicKey::from_bytes(&key.public_key).unwrap();
    let first = &answer.evaluations[0];
    let y = blinding.finish(&first.evaluated_element, &first.proof, &pinned).unwrap();
    assert_eq!(KnownAnswer::of(&y).as_bytes().as_slice(), key.known_answer);
    running.stop().await;
}

#[tokio::test]
async fn who_is_not_on_the_roster_learns_nothing() {
    let network = Network::new(100);
    let running = network.start().await;
    for stranger in ["raalte", "minted"] {
        let mut client = network.client(&running, stranger);
        let refusals = [
            client.get_key(v1::GetKeyRequest {}).await.map(|_| ()).unwrap_err(),
            client.evaluate(question(vec![blinded()])).await.map(|_| ()).unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.code(), Code::PermissionDenied);
            let said = format!("{refusal:?}");
            assert!(!said.contains(RAALTE) && !said.contains(&network.almelo), "{said}");
        }
    }
    let mut client = network.client(&running, "almelo");
    assert_eq!(client.get_key(v1::GetKeyRequest {}).await.unwrap().into_inner().quota_remaining, 100);
    running.stop().await;
}

#[tokio::test]
async fn who_is_taken_off_the_roster_is_refused_within_seconds() {
    let network = Network::new(100);
    let running = network.start().await;
    let mut client = network.client(&running, "almelo");
    assert!(client.get_key(v1::GetKeyRequest {}).await.is_ok());
    let file = network.dir.path().join("roster.toml");
    let roster = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "[[partner]]\noin = \"half").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(client.get_key(v1::GetKeyRequest {}).await.is_ok(), "a damaged roster changes nothing");
    std::fs::write(&file, roster.replace(&network.almelo, &"0".repeat(64))).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(client.get_key(v1::GetKeyRequest {}).await.unwrap_err().code(), Code::PermissionDenied);
    running.stop().await;
}

/// Names the key of somebody's certificate as the caller's next one.
async fn succeed(network: &Network, client: &mut KeyholderClient<Channel>, who: &str) -> Result<(), tonic::Status> {
    let request = v1::SucceedKeyRequest { key_hash: network.key_of(who).as_bytes().to_vec() };
    client.succeed_key(request).await.map(drop)
}

#[tokio::test]
async fn a_key_that_its_predecessor_named_may_call_until_that_one_is_taken_off() {
    let network = Network::new(100);
    let running = network.start().await;
    let calls = async |running: &Running, who: &str| {
        let answer = network.client(running, who).get_key(v1::GetKeyRequest {}).await;
        answer.map(drop).map_err(|status| status.code())
    };
    let refused = Err(Code::PermissionDenied);
    let mut almelo = network.client(&running, "almelo");
    let mut minted = network.client(&running, "minted");
    assert_eq!(
        succeed(&network, &mut minted, "minted").await.unwrap_err().code(),
        Code::PermissionDenied,
        "not itself"
    );
    succeed(&network, &mut almelo, "next").await.unwrap();
    succeed(&network, &mut almelo, "next").await.unwrap();
    // The hash of another organisation's key lets that organisation in no further.
    succeed(&network, &mut almelo, "raalte").await.unwrap();
    assert_eq!(calls(&running, "raalte").await, refused);
    let mut next = network.client(&running, "next");
    succeed(&network, &mut next, "after-next").await.unwrap();
    let taken = succeed(&network, &mut almelo, "after-next").await.unwrap_err();
    assert_eq!(taken.code(), Code::FailedPrecondition, "it takes another's place");
    // Until the roster itself names it.
    let file = network.dir.path().join("roster.toml");
    let roster = std::fs::read_to_string(&file).unwrap();
    let keys = format!("\"{}\", \"{}\"", network.almelo, network.key_of("after-next"));
    std::fs::write(&file, roster.replace(&format!("\"{}\"", network.almelo), &keys)).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    succeed(&network, &mut almelo, "after-next").await.unwrap();
    std::fs::write(&file, roster).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(succeed(&network, &mut almelo, "after-next").await.is_err());
    let short = v1::SucceedKeyRequest { key_hash: vec![0; 31] };
    assert_eq!(almelo.succeed_key(short).await.unwrap_err().code(), Code::InvalidArgument);
    let unknown = |n: u8| v1::SucceedKeyRequest { key_hash: vec![n; 32] };
    for (n, code) in [(1, None), (2, None), (3, Some(Code::FailedPrecondition)), (2, None)] {
        assert_eq!(almelo.succeed_key(unknown(n)).await.err().map(|status| status.code()), code, "{n}");
    }
    running.stop().await;
    let running = network.start().await;
    for who in ["almelo", "next", "after-next"] {
        assert_eq!(calls(&running, who).await, Ok(()), "{who}, after a restart");
    }
    assert_eq!(calls(&running, "minted").await, refused);
    // One count for all of them.
    let evaluated = network.client(&running, "after-next").evaluate(question(vec![blinded()])).await.unwrap();
    assert_eq!(evaluated.into_inner().quota_remaining, 99);
    let file = network.dir.path().join("roster.toml");
    let roster = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, roster.replace(&network.almelo, &"0".repeat(64))).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    for who in ["almelo", "next", "after-next"] {
        assert_eq!(calls(&running, who).await, refused, "{who} goes with it");
    }
    running.stop().await;
}

#[tokio::test]
async fn used_quota_survives_a_restart() {
    let network = Network::new(3);
    let running = network.start().await;
    let three = || question((0..3).map(|_| blinded()).collect());
    assert!(network.client(&running, "almelo").evaluate(three()).await.is_ok());
    running.stop().await;
    let running = network.start().await;
    let mut client = network.client(&running, "almelo");
    assert_eq!(client.get_key(v1::GetKeyRequest {}).await.unwrap().into_inner().quota_remaining, 0);
    let refusal = client.evaluate(question(vec![blinded()])).await.unwrap_err();
    assert_eq!(refusal.code(), Code::ResourceExhausted);
    let wait = refusal.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait.as_secs() <= 86_400 && !wait.is_zero());
    running.stop().await;
}

#[tokio::test]
async fn malformed_questions_name_the_field() {
    let network = Network::new(1000);
    let running = network.start().await;
    let mut client = network.client(&running, "almelo");
    for (elements, field) in [
        (vec![], "blinded_elements"),
        (vec![blinded(); 51], "blinded_elements"),
        (vec![blinded(), vec![0; 31]], "blinded_elements[1]"),
        (vec![blinded(), vec![0; 33]], "blinded_elements[1]"),
        // The identity, and not a canonical encoding.
        (vec![vec![0; 32]], "blinded_elements[0]"),
        (vec![blinded(), blinded(), vec![0xff; 32]], "blinded_elements[2]"),
    ] {
        let refusal = client.evaluate(question(elements)).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument, "{field}");
        assert_eq!(refusal.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    let other_epoch = v1::EvaluateRequest { blinded_elements: vec![blinded()], epoch: 2 };
    assert_eq!(client.evaluate(other_epoch).await.unwrap_err().code(), Code::FailedPrecondition);
    assert!(client.evaluate(question(vec![blinded(); 50])).await.is_ok());
    running.stop().await;
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = init::keyholder(dir.path(), &mut Vec::new()).unwrap().file;
    assert!(read_key(&path).is_ok());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_key(&path), Err(KeyholderError::OpenKey(_))));
    }
}

/// A supplier has a key for each customer: each counts as its customer, and from the customer's own quota.
#[tokio::test]
async fn a_suppliers_key_uses_up_its_customers_quota_and_no_other() {
    let network = Network::new(10);
    let supplier = "00000099900000010000";
    let ca = Authority::open(&network.dir.path().join("ca")).unwrap();
    let profile = Profile::Organisation {
        name: "Leverancier".parse().unwrap(),
        oin: supplier.parse().unwrap(),
        alternatives: vec![],
    };
    let issue = |name: &str| ca.issue(name, &profile, 30, SystemClock.now()).unwrap().leaf.key_hash.to_string();
    let (for_almelo, for_raalte) = (issue("for-almelo"), issue("for-raalte"));
    issue("for-nobody");
    let file = network.dir.path().join("roster.toml");
    let mut roster = std::fs::read_to_string(&file).unwrap();
    for (oin, key) in [(ALMELO, for_almelo), (RAALTE, for_raalte)] {
        roster += &format!(
            "[[partner]]\noin = \"{oin}\"\nsupplier = \"{supplier}\"\nkey_hashes = [\"{key}\"]\nelements_per_day = 10\n"
        );
    }
    std::fs::write(&file, roster).unwrap();
    let running = network.start().await;
    let remaining = async |who: &str| {
        let answer = network.client(&running, who).evaluate(question(vec![blinded()])).await;
        answer.map(|answer| answer.into_inner().quota_remaining).map_err(|status| status.code())
    };
    assert_eq!(remaining("for-almelo").await, Ok(9));
    assert_eq!(remaining("almelo").await, Ok(8), "the same quota");
    assert_eq!(remaining("for-raalte").await, Ok(9));
    assert_eq!(remaining("for-nobody").await, Err(Code::PermissionDenied));
    running.stop().await;
}
