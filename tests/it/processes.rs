//! Whole networks of real processes over real mutual TLS: the scenarios, and a foreign client.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SLUIS: &str = env!("CARGO_BIN_EXE_sluis");

fn plays(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
    let output = Command::new(SLUIS).args(["scenario", "run"]).arg(file).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.lines().count() > 5, "the report has a line per step:\n{report}");
}

#[test]
fn scenario_1_after_five_placements() {
    plays("s1.toml");
}

#[test]
fn scenario_2_the_school_wants_to_know() {
    plays("s2.toml");
}

#[test]
fn scenario_3_the_alderman_calls() {
    plays("s3.toml");
}

#[test]
fn a_scenario_with_another_outcome_fails() {
    let s1 = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/s1.toml")).unwrap();
    // 1.2 has to be refused: a scenario that demands otherwise must not pass.
    let wrong = s1.replacen("expect = \"BSN_IN_TEXT\"", "expect = \"allow\"", 1);
    assert_ne!(s1, wrong);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.toml");
    std::fs::write(&file, wrong).unwrap();
    let output = Command::new(SLUIS).args(["scenario", "run"]).arg(file).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_first_network_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/first-network.sh");
    let output = Command::new("bash").arg(script).arg(directory.path()).env("SLUIS", SLUIS).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("the network is up"), "{out}{err}");
    assert_eq!(out.matches("signed covenants/").count(), 2, "{out}{err}");
}

/// A demo network that is told to stop when the test ends.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn python_refers_at_one_agent_and_reads_at_another() {
    // One that has grpcio.
    let Some(python) = foreign("SLUIS_TEST_PYTHON") else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Kept(
        Command::new(SLUIS)
            .args(["demo", "--keep", "--dir"])
            .arg(directory.path().join("network"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap(),
    );
    let said = wait_for(&mut demo.0, "network.toml", Duration::from_secs(180));
    let network = directory.path().join("network/network.toml");
    assert!(network.exists(), "{said}");
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/client.py");
    let output = Command::new(python).arg(client).arg(network).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    every_agent_holds_the_hub_to_its_word(&directory.path().join("network/agents"));
}

/// A program that the test command names; a bare `cargo test` has none and says so.
pub(crate) fn foreign(name: &str) -> Option<std::ffi::OsString> {
    let found = std::env::var_os(name);
    if found.is_none() {
        eprintln!("skipped: {name} is not set; run tests/run");
    }
    found
}

/// Each has asked for the proofs of its receipts, and got them.
fn every_agent_holds_the_hub_to_its_word(agents: &Path) {
    let deadline = Instant::now() + Duration::from_secs(90);
    for agent in std::fs::read_dir(agents).unwrap() {
        let receipts = agent.unwrap().path().join("store/receipts");
        let kept = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().to_string_lossy().starts_with("kept.")
        };
        while !std::fs::read_dir(&receipts).is_ok_and(|mut files| files.any(kept)) {
            assert!(Instant::now() < deadline, "{}: no proof", receipts.display());
            std::thread::sleep(Duration::from_millis(200));
        }
        let broken = std::fs::read_to_string(receipts.join("broken")).unwrap_or_default();
        assert_eq!(broken, "", "{}", receipts.display());
    }
}

/// Guarantee G8, for a process that is killed; what a machine without power keeps is up to `synchronous=FULL`.
#[tokio::test]
async fn what_was_answered_survives_a_kill_of_the_hub() {
    let directory = tempfile::tempdir().unwrap();
    let network = directory.path().join("network");
    let mut command = Command::new(SLUIS);
    let command = command.args(["demo", "--dir"]).arg(&network).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = Kept(command.spawn().unwrap());
    let config = network.join("hub/hub.toml");
    let mut answered = Vec::new();
    // Thirty steps in, the scenario is in the midst of its records; the next step is under way when the hub dies.
    for line in BufReader::new(demo.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // A look into an inbox names no event of its own.
        if let Some((_, event)) =
            line.rsplit_once(" | ").filter(|(step, event)| step.starts_with("ok") && *event != "-")
        {
            answered.push(event.to_owned());
        }
        if answered.len() == 30 {
            break;
        }
    }
    assert_eq!(answered.len(), 30);
    let hub = process_with(&config).expect("a hub runs");
    assert!(Command::new("kill").args(["-KILL", &hub]).status().unwrap().success());
    drop(demo);

    let mut command = Command::new(SLUIS);
    let command = command.args(["hub", "--config"]).arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut again = Kept(command.spawn().unwrap());
    let started =
        BufReader::new(again.0.stderr.take().unwrap()).lines().any(|line| line.unwrap().contains("hub serves"));
    assert!(started, "the hub starts on what was left");
    let check = Command::new(SLUIS).args(["hub", "check", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success() && said.starts_with("the store holds together"), "{said}");
    let database =
        crate::network::Database::open(&format!("sqlite:{}", network.join("hub/data/hub.db").display())).await;
    for event in &answered {
        let (outcome, reason, _) = database.event(event).await;
        assert_eq!(outcome == "allowed", reason.is_empty(), "{event}");
    }
    assert_eq!(
        database
            .number(
                "SELECT COUNT(*) FROM audit_event WHERE event_id NOT IN (SELECT event_id FROM audit_outbox) \
                 AND event_id NOT IN (SELECT event_id FROM log_leaf)"
            )
            .await,
        0
    );
}

/// The process that was started with this file.
fn process_with(file: &Path) -> Option<String> {
    let file = file.to_str()?.as_bytes();
    std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
        arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == file)
            .then(|| entry.file_name().into_string().ok())?
    })
}

/// Reads what the demo says until a line holds `word`.
fn wait_for(demo: &mut Child, word: &str, patience: Duration) -> String {
    let deadline = Instant::now() + patience;
    let mut lines = BufReader::new(demo.stdout.take().unwrap());
    let mut said = String::new();
    loop {
        let mut line = String::new();
        let read = lines.read_line(&mut line).unwrap();
        said.push_str(&line);
        if line.contains(word) {
            // The rest is for a person; reading on keeps the pipe from filling up.
            std::thread::spawn(move || std::io::copy(&mut lines.by_ref(), &mut std::io::sink()));
            return said;
        }
        assert!(read > 0 && Instant::now() < deadline, "the demo ended or took too long:\n{said}");
    }
}

/// What S1 plants: numbers and texts that only partners may have, references that no log may have.
struct Planted {
    secrets: Vec<String>,
    employees: Vec<String>,
}

fn planted() -> Planted {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/s1.toml");
    let scenario: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let all = |list: &str, key: &str| -> Vec<String> {
        let rows = scenario[list].as_array().unwrap().iter();
        rows.filter_map(|row| row.get(key)?.as_str()).filter(|text| text.len() >= 6).map(ToOwned::to_owned).collect()
    };
    let (numbers, texts) = (all("youth", "bsn"), all("step", "text"));
    assert!(!numbers.is_empty() && texts.len() > 5);
    Planted { secrets: [numbers, texts].concat(), employees: all("step", "user") }
}

/// Every file below a directory, whole.
fn files(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// Plain, hexadecimal, and base64 at each of its three alignments.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for shift in 0..3 {
        let padded = [vec![b'x'; shift], secret.as_bytes().to_vec()].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode(&padded);
            // Only characters without bits of the neighbours; all of them, or random text holds the form by chance.
            let last = text.len() - usize::from(!padded.len().is_multiple_of(3));
            forms.push(text.as_bytes()[(shift * 8).div_ceil(6)..last].to_vec());
        }
    }
    forms
}

fn find(needles: &[Vec<u8>], hay: &[u8]) -> bool {
    needles.iter().any(|needle| hay.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn hub_and_keyholder_never_hold_what_partners_say() {
    let directory = tempfile::tempdir().unwrap();
    let network = directory.path().join("network");
    let output = Command::new(SLUIS).args(["demo", "--dir"]).arg(&network).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let Planted { secrets, employees } = planted();
    let held = [files(&network.join("hub")), files(&network.join("keyholder"))].concat();
    let logs = files(&network.join("logs"));
    assert!(held.iter().any(|(path, bytes)| path.extension().is_some_and(|e| e == "db") && bytes.len() > 100_000));
    for secret in &secrets {
        let needles = forms(secret);
        for (path, bytes) in held.iter().chain(&logs) {
            assert!(!find(&needles, bytes), "{secret:?} stands in {}", path.display());
        }
    }
    for employee in &employees {
        for (path, bytes) in &logs {
            assert!(!find(&[employee.clone().into_bytes()], bytes), "{employee:?} stands in {}", path.display());
        }
    }
    // The search would find them: employees stand in the audit log, where they belong.
    let first = employees.first().unwrap().clone().into_bytes();
    assert!(held.iter().any(|(_, bytes)| find(std::slice::from_ref(&first), bytes)));
}
