//! Processes die at random moments under load; what was acknowledged stays, once, with its event.

use std::process::Command;

/// Whole networks one after the other: two cores are enough for one.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn survives(kinds: &[&str], arguments: &[&str]) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output =
        Command::new(env!("CARGO_BIN_EXE_sluis")).args(["demo", "--kills", "25"]).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let line = out.lines().find(|line| line.starts_with("kills    25 ")).expect("the counts");
    for kind in kinds {
        assert!(line.contains(kind), "{kind} was killed: {out}");
    }
    eprintln!("{out}");
}

#[test]
fn twenty_five_kills_with_one_node_on_sqlite() {
    survives(&["hub", "agent", "keyholder"], &[]);
}

#[test]
fn twenty_five_kills_with_two_nodes_on_postgres() {
    survives(&["hub", "agent", "keyholder", "PostgreSQL"], &["--nodes", "2", "--store", "postgres"]);
}
