//! A disk that is full. Each test runs in a process of its own, whose temporary folder is a small file system of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sluis::api::v1;
use sluis::clock::SystemClock;
use sluis::demo::postgres::Cluster;
use tokio::task::block_in_place;
use tonic::Code;

use crate::calls::{Client, Reply};
use crate::direct::{AANMELDING, Draft, Players, why};
use crate::health::{until_not_ready, until_ready};
use crate::load::Load;
use crate::network::{LIMITS, Network, Party, Place};

/// Set in the process that has a small disk.
const INSIDE: &str = "SLUIS_TEST_SMALL_DISK";

const MOUNT: &str = r#"mount -t tmpfs -o "size=$1,mode=1777" sluis-test "$2" || exit; shift 2; ulimit -c 0; exec "$@""#;

/// Where one may mount something for oneself alone: as anybody, and nobody again once that is done (PostgreSQL does not run
/// as root); or as root.
const SPACES: [(&[&str], &[&str]); 2] = [
    (&["--user", "--map-root-user", "--mount"], &["unshare", "--user", "--map-user=1000", "--map-group=1000"]),
    (&["--mount"], &[]),
];

/// A command that runs on a disk of this size; it is gone with the process, however that ends.
fn on_a_disk(space: (&[&str], &[&str]), size: &str, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(space.0).args(["sh", "-c", MOUNT, "sh", size]).arg(folder).args(space.1);
    command
}

/// Whether this is the process with the small disk; otherwise runs the test there.
fn is_inside(test: &str, size: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    let may =
        |space| on_a_disk(space, size, folder.path()).arg("true").output().is_ok_and(|said| said.status.success());
    let Some(space) = SPACES.into_iter().find(|space| may(*space)) else {
        // Past the test harness, which keeps what passing tests print to itself.
        let said = format!("SKIPPED disk::{test}: this machine lets us mount no file system (man unshare)\n");
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        return false;
    };
    let mut command = on_a_disk(space, size, folder.path());
    command.arg(std::env::current_exe().unwrap()).args(["--exact", &format!("disk::{test}"), "--nocapture"]);
    command.env("TMPDIR", folder.path()).env(INSIDE, "yes").env_remove("SLUIS_TEST_STORE");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    eprintln!("{said}");
    false
}

/// What takes the rest of the disk.
struct Filler(PathBuf);

impl Filler {
    fn new() -> Self {
        Self(std::env::temp_dir().join("filler"))
    }

    fn fill(&self) {
        let mut file = std::fs::File::options().append(true).create(true).open(&self.0).unwrap();
        for piece in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    /// Takes whatever comes free, for ever.
    async fn keep(&self) -> std::convert::Infallible {
        loop {
            self.fill();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn remove(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// A network at work, and what it does on a disk that is full.
struct Scene {
    network: Network,
    gemeente: Party,
    case: String,
    record: String,
    load: Load,
    filler: Filler,
}

impl Scene {
    async fn set(network: Network) -> Self {
        let gemeente = Players::join(&network).await.gemeente;
        let case = gemeente.refer(None).await.unwrap().message.name;
        let record = gemeente.publish(&draft(&case)).await.unwrap().message.record.unwrap().name;
        until_ready(&network.operator.client).await;
        // The next sign of life is written over this one, for which PostgreSQL finds room on a full disk.
        let database = network.database().await;
        while database.number("SELECT COUNT(*) FROM node_sign").await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let load = Load::start(&network, gemeente.client()).await;
        load.until_done(10).await;
        Self { network, gemeente, case, record, load, filler: Filler::new() }
    }

    fn client(&self) -> &Client {
        &self.network.operator.client
    }

    /// Fills the disk, and stays until nothing is to be had any more: no change, no record, no look at a case or a record,
    /// because the event of it can't be written.
    async fn until_nothing_goes(&self) {
        let refused = async {
            self.load.until_refused(4).await;
            until_not_ready(self.client()).await;
            let read = async || {
                let name = self.case.clone();
                let context = why("10", "aanmelding", v1::Role::R02).context();
                let request = v1::GetCaseRequest { context, name, ..Default::default() };
                self.gemeente.client().call("Cases/GetCase", &request).await.map(|reply: Reply<v1::Case>| reply.event)
            };
            let fetch = async || self.gemeente.fetch(&self.record, &self.case, &AANMELDING).await.map(|got| got.event);
            let publish = async || self.gemeente.publish(&draft(&self.case)).await.map(|reply| reply.event);
            self.is_refused(read).await;
            self.is_refused(fetch).await;
            self.is_refused(publish).await;
        };
        tokio::select! {
            () = refused => {}
            never = self.filler.keep() => match never {},
        }
    }

    /// A small event may still find a place: then it is there. In the end there is none.
    async fn is_refused(&self, call: impl AsyncFn() -> Result<String, tonic::Status>) {
        let status = loop {
            match call().await {
                Ok(event) => assert_eq!(self.network.database().await.event(&event).await.0, "allowed"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }

    /// There is room again, and nobody did anything else.
    async fn goes_on(&self) {
        until_ready(self.client()).await;
        self.load.until_done(10).await;
        self.gemeente.publish(&draft(&self.case)).await.unwrap();
        self.gemeente.fetch(&self.record, &self.case, &AANMELDING).await.unwrap();
    }
}

fn draft(case: &str) -> Draft {
    let (category, form) = (v1::Category::C06, v1::Form::P);
    let (case, roles, content) = (case.to_owned(), vec![v1::Role::R03], vec![1; 100_000]);
    Draft { case, why: AANMELDING, category, form, roles, content }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_room_takes_nothing_and_loses_nothing() {
    if !is_inside("a_file_without_room_takes_nothing_and_loses_nothing", "24m") {
        return;
    }
    let scene = Scene::set(Network::start().await).await;
    scene.until_nothing_goes().await;
    scene.filler.remove();
    scene.goes_on().await;
    scene.load.judge(&scene.network).await;
}

/// A file that there is no room to write anew is as it was, and what was erased waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_room_is_not_written_anew_by_half() {
    if !is_inside("a_file_without_room_is_not_written_anew_by_half", "24m") {
        return;
    }
    let mut network = Network::start().await;
    let gemeente = Players::join(&network).await.gemeente;
    let event = gemeente.refer(None).await.unwrap().event;
    crate::scrub::erase_one(&network, event).await;
    network.stop().await;
    let config = network.config_file();
    let scrub = || {
        let said = Command::new(env!("CARGO_BIN_EXE_sluis")).args(["hub", "scrub", "--config"]).arg(&config).output();
        let said = said.unwrap();
        (said.status.code(), String::from_utf8([said.stdout, said.stderr].concat()).unwrap())
    };
    let filler = Filler::new();
    filler.fill();
    // Enough to begin with.
    let file = std::fs::File::options().write(true).open(&filler.0).unwrap();
    file.set_len(file.metadata().unwrap().len() - (128 << 10)).unwrap();
    drop(file);
    let (code, said) = block_in_place(scrub);
    assert!(code == Some(3) && said.contains("full"), "{code:?} {said}");
    filler.remove();
    network.restart().await;
    network.holds_together().await;
    network.stop().await;
    let (code, said) = block_in_place(scrub);
    assert_eq!(code, Some(0), "{said}");
    network.restart().await;
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_takes_nothing_and_loses_nothing() {
    if !is_inside("a_server_without_room_takes_nothing_and_loses_nothing", "160m") {
        return;
    }
    let mut cluster = block_in_place(Cluster::start).unwrap();
    let scene = Scene::set(Network::start_at(LIMITS, |_| Place::on(&cluster), Arc::new(SystemClock)).await).await;
    scene.until_nothing_goes().await;
    scene.filler.remove();
    scene.goes_on().await;
    // No room for its write-ahead log: the server gives up.
    let more_log = "SELECT pg_logical_emit_message(false, 'proef', 'x'), pg_switch_wal()";
    scene.filler.fill();
    let given_up = async {
        while block_in_place(|| cluster.sql("postgres", more_log)).is_ok() {}
        scene.load.until_refused(4).await;
        until_not_ready(scene.client()).await;
    };
    tokio::select! {
        () = given_up => {}
        never = scene.filler.keep() => match never {},
    }
    scene.filler.remove();
    // As whoever watches over services would; where the server came back by itself, it is only started anew.
    block_in_place(|| cluster.restart()).unwrap();
    scene.goes_on().await;
    scene.load.judge(&scene.network).await;
}

/// A certificate authority on a full disk: every file is what it was, or whole.
#[test]
fn an_authority_writes_nothing_by_half() {
    use sluis::ca::{Authority, CaError, JournalError, Name, Profile, Reason, Which};
    use sluis::clock::Clock as _;
    if !is_inside("an_authority_writes_nothing_by_half", "4m") {
        return;
    }
    let (now, folder) = (SystemClock.now(), std::env::temp_dir().join("ca"));
    let name: Name = "Proef".parse().unwrap();
    let environment = sluis::identity::certificate::Environment::Test;
    let ca = Authority::init(&folder, &name, environment, now).unwrap();
    let holder = Profile::Local { system: name.clone() };
    let issued = ca.issue("before", &holder, 30, now).unwrap();
    let all = || {
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = files.map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        all.sort();
        all
    };
    // Registers take what is left of their last block: fill that too, so that the next line needs a new one.
    while std::fs::metadata(folder.join("issued.jsonl")).unwrap().len() < 3600 {
        let nth = ca.office().issued().unwrap().len();
        ca.issue(&format!("n{nth}"), &holder, 30, now).unwrap();
    }
    let (filler, before) = (Filler::new(), all());
    filler.fill();
    let full = |result: Result<(), CaError>| matches!(result, Err(CaError::Unwritable { .. }));
    for _ in 0..3 {
        assert!(full(ca.issue("after", &holder, 30, now).map(drop)));
        assert!(full(ca.office().revoke(&Which::Serial(issued.serial.clone()), Reason::Superseded, now).map(drop)));
        assert!(full(ca.publish(7, now).map(drop)));
        let other = Authority::init(&folder.join("../other"), &name, environment, now);
        assert!(full(other.map(drop)));
    }
    let left: Vec<_> = all().into_iter().filter(|(bytes, _)| !bytes.is_empty()).collect();
    assert!(left == before, "files have changed on a full disk");
    filler.remove();
    ca.issue("after", &holder, 30, now).unwrap();
    ca.office().revoke(&Which::Serial(issued.serial.clone()), Reason::Superseded, now).unwrap();
    let twice = ca.office().revoke(&Which::Serial(issued.serial), Reason::Superseded, now);
    assert!(matches!(twice, Err(CaError::Journal(JournalError::RevokedTwice { .. }))));
    assert_eq!(ca.publish(7, now).unwrap().revoked, 1);
}
