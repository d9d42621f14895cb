//! Nobody has to believe our own code: a log of 70 000 events, and programs that nobody here wrote.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::RootHash;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sluis::audit::Draft;
use sluis::clock::SystemClock;
use sluis::ground::Refusal;
use sluis::reason::Reason;
use sluis::store::{Access, Deployment, Opening, Seen, Store, tree};
use sluis::tlog::{
    Checkpoint, PrivateKey, Proof, PublicKey, Resource, Tiles, Tree, bundle, entries, path, record_hash,
};

use crate::processes::foreign;
use crate::tree::sluis;

/// A log in a directory, and what was handed out of it.
struct Copied {
    folder: tempfile::TempDir,
    key: PublicKey,
    /// Files of proof, each beside its leaf.
    proofs: Vec<PathBuf>,
}

impl Copied {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ours(&self, older: &str) -> (bool, String) {
        let (key, copy, older) = (self.key.to_string(), self.at("copy"), self.at(older));
        let (copy, older) = (copy.to_str().unwrap(), older.to_str().unwrap());
        let (code, said) = sluis(&["audit", "verify", "--log-key", &key, "--older", older, copy]);
        (code == Some(0), said)
    }

    /// The files that one proof is made of.
    fn a_proof(&self) -> [PathBuf; 2] {
        [self.proofs[2].clone(), self.proofs[2].with_extension("leaf")]
    }

    /// One file after the other, with one bit changed somewhere: no program that reads the file may take that.
    fn notices(&self, files: &[PathBuf], verified: impl Fn() -> (bool, String)) {
        for file in files {
            let honest = std::fs::read(file).unwrap();
            // The last of these stands in the signature of a note.
            for at in [honest.len() / 4, honest.len() / 2, honest.len() * 3 / 4, honest.len() - 8] {
                let mut changed = honest.clone();
                changed[at] ^= 1;
                std::fs::write(file, changed).unwrap();
                let (good, said) = verified();
                assert!(!good, "{} at {at}: {said}", file.display());
            }
            std::fs::write(file, honest).unwrap();
        }
        let (good, said) = verified();
        assert!(good, "{said}");
    }
}

fn ran(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// A log of 70 000 events, with some proofs and an older checkpoint beside it.
async fn a_large_copy() -> Copied {
    const EVENTS: usize = 70_000;
    const OLDER: u64 = 41_234;
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path();
    let access = Access::new(&format!("sqlite:{}", folder.join("store.db").display()), None).unwrap();
    let (node, clock, deployment) = ("node-1".to_owned(), Arc::new(SystemClock), Deployment::default());
    let store = Arc::new(Store::open(Opening { access, node, clock, simulated: false, deployment }).await.unwrap());
    let mut writing = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let store = Arc::clone(&store);
        writing.spawn(async move {
            let mut last = String::new();
            for _ in 0..EVENTS / 500 {
                let draft = Draft { method: "proef", user_ref: "mdw-1".into(), ..Draft::default() };
                let refusal = Refusal::denied(Reason::NotInvolved);
                last = store.refuse(&refusal, draft, Seen::default()).await.unwrap().event_id;
            }
            last
        });
    }
    let some: Vec<String> = writing.join_all().await.into_iter().step_by(100).collect();
    while store.grow().await.unwrap().more {}

    let key = PrivateKey::of_log("sluis.example/large".parse().unwrap(), &[5; 32]).unwrap();
    let mut reader = store.read().await.unwrap();
    let size = tree::size(&mut reader).await.unwrap();
    assert!(size >= 70_000);
    let checkpoint = Checkpoint::sign(&key, tree::tree(&mut reader, size).await.unwrap()).unwrap();
    let copy = folder.join("copy");
    let write = |resource: &Resource, bytes: &[u8]| {
        let file = copy.join(path(resource).trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    };
    write(&Resource::Checkpoint, &checkpoint.to_bytes());
    for resource in Resource::tiles(size) {
        let Resource::Tile { level, index, width } = resource else { panic!("{resource:?}") };
        let bytes = tree::tile(&mut reader, (level, index)).await.unwrap().unwrap();
        assert_eq!(bytes.len(), width * 32);
        write(&resource, &bytes);
    }
    for (_, resource) in Resource::leaves(size) {
        let Resource::Entries { index, width } = resource else { panic!("{resource:?}") };
        write(&resource, &bundle(&tree::entries(&mut reader, index, width).await.unwrap()).unwrap());
    }
    let mut proofs = Vec::new();
    for event in some {
        let standing = tree::standing(&mut reader, &event, None, "").await.unwrap().unwrap();
        let place = standing.place.unwrap();
        let make = |tiles: &Tiles| Proof::make(place, &checkpoint, tiles);
        let proof = tree::work_out(&mut reader, &mut Tiles::default(), make).await.unwrap().unwrap();
        let file = folder.join(event);
        std::fs::write(file.with_extension("leaf"), &standing.leaf).unwrap();
        std::fs::write(file.with_extension("tlog-proof"), proof.to_bytes()).unwrap();
        proofs.push(file.with_extension("tlog-proof"));
    }

    let older = tree::tree(&mut reader, OLDER).await.unwrap();
    let prove = |tiles: &Tiles| checkpoint.tree().follows(&older, tiles);
    let steps = tree::work_out(&mut reader, &mut Tiles::default(), prove).await.unwrap().unwrap().unwrap();
    let steps: String = steps.iter().map(|hash| format!("{hash}\n")).collect();
    std::fs::write(folder.join("consistency"), steps).unwrap();
    // What a log that lies to somebody would have signed: its signature is good.
    let forked = Tree { root: record_hash(b"forked"), ..older };
    for (name, tree) in [("older", older), ("forked", forked)] {
        std::fs::write(folder.join(name), Checkpoint::sign(&key, tree).unwrap().to_bytes()).unwrap();
    }
    Copied { folder: kept, key: key.public().clone(), proofs }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_nobody_here_wrote_verify_a_log_of_70_000_events() {
    let copied = a_large_copy().await;
    let (good, said) = copied.ours("older");
    assert!(good && said.contains("all of them in this copy"), "{said}");
    let (good, said) = copied.ours("forked");
    assert!(!good, "{said}");
    openssl_verifies(&copied.at("copy/checkpoint"), &copied.key, copied.folder.path());
    ct_merkle_verifies(&copied);
    // Each says so when it is not there, and the others go on.
    if let Some(go) = foreign("SLUIS_TEST_GO") {
        go_verifies(&go, &copied);
    }
    if let Some(python) = foreign("SLUIS_TEST_PYTHON") {
        python_verifies(&python, &copied);
    }
    if let Some(node) = foreign("SLUIS_TEST_NODE") {
        node_verifies(&node, &copied);
    }
}

/// Go's checksum database library: entries, tiles, checkpoint and proofs.
fn go_verifies(go: &OsString, copied: &Copied) {
    let program = copied.at("verify");
    let (built, said) = ran(Command::new(go)
        .args(["build", "-o"])
        .args([&program, &source("go/verify.go")])
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", copied.at("go")));
    assert!(built, "{said}");
    let verified =
        || ran(Command::new(&program).arg(copied.key.to_string()).arg(copied.at("copy")).args(&copied.proofs));
    let (good, said) = verified();
    assert!(good && said.contains("5 proofs"), "{said}");
    // It would notice.
    for file in ["tile/entries/137", "tile/0/200", "tile/1/000", "checkpoint"] {
        let file = copied.at("copy").join(file);
        let honest = std::fs::read(&file).unwrap();
        let mut changed = honest.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        std::fs::write(&file, changed).unwrap();
        let (good, said) = verified();
        let (ours, _) = copied.ours("older");
        assert!(!ours, "{}", file.display());
        // Go reads only the tiles that its proofs need.
        assert!(!good || file.ends_with("tile/0/200"), "{}: {said}", file.display());
        std::fs::write(&file, honest).unwrap();
    }
    assert!(verified().0);
}

/// PyPI's metamorphic-log: checkpoints, one after the other, and proofs.
fn python_verifies(python: &OsString, copied: &Copied) {
    let verified = |older: &str| {
        let mut command = Command::new(python);
        command.arg(source("python/log.py")).arg(copied.key.to_string()).arg(copied.at("copy"));
        ran(command.args([copied.at(older), copied.at("consistency")]).args(&copied.proofs))
    };
    let (good, said) = verified("older");
    assert!(good && said.contains("5 proofs"), "{said}");
    let (good, said) = verified("forked");
    assert!(!good && said.contains("VerifyError"), "{said}");
    let read = [copied.at("copy/checkpoint"), copied.at("older"), copied.at("consistency")];
    copied.notices(&read, || verified("older"));
    copied.notices(&copied.a_proof(), || verified("older"));
}

/// npm's @sigstore/verify: the checkpoint, and proofs.
fn node_verifies(node: &OsString, copied: &Copied) {
    let verified = || {
        let mut command = Command::new(node);
        command.arg(source("node/verify.js")).arg(copied.key.to_string()).arg(copied.at("copy"));
        ran(command.args(&copied.proofs))
    };
    let (good, said) = verified();
    assert!(good && said.contains("5 proofs"), "{said}");
    copied.notices(&[copied.at("copy/checkpoint")], verified);
    copied.notices(&copied.a_proof(), verified);
}

/// The crate ct-merkle, from the entries alone: both roots are those that were signed.
fn ct_merkle_verifies(copied: &Copied) {
    let signed = |name: &str| *Checkpoint::open(&std::fs::read(copied.at(name)).unwrap(), &copied.key).unwrap().tree();
    let (newer, older, forked) = (signed("copy/checkpoint"), signed("older"), signed("forked"));
    let mut rebuilt = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
    let mut before = None;
    for (_, resource) in Resource::leaves(newer.size) {
        let bundle = std::fs::read(copied.at("copy").join(path(&resource).trim_start_matches('/'))).unwrap();
        for entry in entries(&bundle).unwrap() {
            rebuilt.push(entry.to_vec());
            if rebuilt.len() == older.size {
                before = Some(rebuilt.root());
            }
        }
    }
    assert_eq!((rebuilt.len(), rebuilt.root().as_bytes()[..] == newer.root.0), (newer.size, true));
    let before = before.unwrap();
    assert_eq!(before.as_bytes()[..], older.root.0);

    let additions = usize::try_from(newer.size - older.size).unwrap();
    let proof = rebuilt.prove_consistency(additions);
    let steps: String = proof.as_bytes().chunks(32).map(|hash| STANDARD.encode(hash) + "\n").collect();
    assert_eq!(steps, std::fs::read_to_string(copied.at("consistency")).unwrap());
    assert!(rebuilt.root().verify_consistency(&before, &proof).is_ok());
    let forked = RootHash::new(forked.root.0.into(), forked.size);
    assert!(rebuilt.root().verify_consistency(&forked, &proof).is_err());
}

/// The log's signature with nothing but OpenSSL.
fn openssl_verifies(checkpoint: &Path, key: &PublicKey, folder: &Path) {
    let note = std::fs::read_to_string(checkpoint).unwrap();
    let (text, signature) = note.split_once("\n\n").unwrap();
    let signature = STANDARD.decode(signature.trim().rsplit(' ').next().unwrap()).unwrap();
    assert!(openssl_ed25519(key, format!("{text}\n").as_bytes(), &signature[4..], folder));
    assert!(!openssl_ed25519(key, format!("{text} \n").as_bytes(), &signature[4..], folder));
}

/// What OpenSSL says of a signature by the key of a note's signer, written as a verifier key (C2SP signed-note).
pub(crate) fn openssl_ed25519(key: &PublicKey, text: &[u8], signature: &[u8], folder: &Path) -> bool {
    // After the name and the key's hash: one byte that says what kind it is, and the key.
    let key = STANDARD.decode(key.to_string().splitn(3, '+').last().unwrap()).unwrap();
    // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410): twelve fixed bytes before the key.
    let spki = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &key[1..]].concat();
    for (name, bytes) in [("text", text), ("signature", signature), ("key.der", &spki)] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let mut openssl = Command::new("openssl");
    openssl.args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin", "-inkey", "key.der"]);
    openssl.args(["-sigfile", "signature", "-in", "text"]).current_dir(folder);
    ran(&mut openssl).0
}
