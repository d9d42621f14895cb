//! `sluis hub scrub`: what was erased goes from the database's files too; or who has to do what for that.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::CliError;
use crate::clock::{SystemClock, from_micros};
use crate::store::scrub::{Order, Right, Step, scrub};

/// How long transactions that may still read what was erased are waited for: all of the hub's have ended by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `sluis hub scrub`.
#[derive(Debug, Args)]
pub(super) struct ScrubArgs {
    /// Configuration file; on PostgreSQL with an `owner_url`.
    #[arg(long)]
    config: PathBuf,
    /// Write the tables anew also when nothing was erased since the last time.
    #[arg(long)]
    force: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Does what can be done, and says line by line what was and what was not.
///
/// # Errors
/// [`CliError::Left`] if what was erased may still stand in the database's files.
pub(super) async fn run(args: &ScrubArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let access = super::check::access(&args.config)?;
    let order = Order { force: args.force, patience: PATIENCE, clock: &SystemClock };
    // Said as it is done: it may take long, and whoever ends it wants to know how far it came.
    let mut said = Ok(());
    let mut hear = |step: Step| {
        if said.is_ok() {
            said = say(&step, args.json, out);
        }
    };
    let left = scrub(&access, &order, &mut hear).await.map_err(CliError::Scrub)?;
    said.map_err(CliError::Write)?;
    match left {
        0 => Ok(()),
        left => Err(CliError::Left(left)),
    }
}

fn say(step: &Step, is_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let (what, text) = words(step);
    let (text, remedy) = (super::plain(&text), remedy(step));
    let state = if step.is_left() { "left" } else { "done" };
    if is_json {
        writeln!(out, "{}", json!({ "state": state, "what": what, "text": text, "remedy": remedy }))?;
        return out.flush();
    }
    writeln!(out, "{state}  {what}: {text}")?;
    if let Some(remedy) = remedy {
        writeln!(out, "      {remedy}")?;
    }
    out.flush()
}

/// What a step was about, and what came of it.
fn words(step: &Step) -> (&str, String) {
    match step {
        Step::Unneeded(None) => ("tables", "nothing was ever erased".to_owned()),
        Step::Unneeded(Some(at)) => {
            let at = from_micros(*at).format(&Rfc3339).unwrap_or_default();
            ("tables", format!("nothing was erased since they were written anew, {at}; --force does it all the same"))
        }
        Step::Rewritten { table, bytes, took } => {
            (table, format!("written anew, {} kB, in {:.1} s", bytes.div_ceil(1024), took.as_secs_f64()))
        }
        Step::Anew { bytes, took } => {
            ("file", format!("written anew, {} kB, in {:.1} s", bytes.div_ceil(1024), took.as_secs_f64()))
        }
        Step::Switched(files) => ("write-ahead log", format!("goes on in another file, {files} further")),
        Step::Checkpointed => ("checkpoint", "made: files that are not needed any more are gone".to_owned()),
        Step::Emptied => ("write-ahead log", "emptied".to_owned()),
        Step::SeenTo => {
            ("file", "the hub that has it open writes it anew by itself, and has since the last erasure".to_owned())
        }
        Step::Archived => {
            ("archive_mode", "archives and backups hold what was erased until they end themselves".to_owned())
        }
        Step::Held(by) => {
            ("transaction", format!("{by} may still read what was erased: nothing is written anew while it lasts"))
        }
        Step::InUse(table) => (table, "in use by others for 5 s, so that the hub waited too: given up".to_owned()),
        Step::Unchanged(table) => (table, "the server did not write it anew, and gave no reason".to_owned()),
        Step::Forbidden { right, role, .. } => (subject(*right), format!("the role {role} may not")),
        Step::Waits => ("file", "a hub or somebody else has it open, and what was erased is not gone yet".to_owned()),
        Step::Older(files) => ("write-ahead log", format!("{files} of its files from before are still there")),
        Step::Kept(size) => ("wal_keep_size", format!("{size}: so much of the write-ahead log stays")),
        Step::Slot(name) => {
            ("replication slot", format!("{name}: what it has yet to fetch of the write-ahead log stays"))
        }
    }
}

const fn subject(right: Right) -> &'static str {
    match right {
        Right::Tables => "tables",
        Right::Statistics => "pg_statistic",
        Right::Switch | Right::Files => "write-ahead log",
        Right::Checkpoint => "checkpoint",
    }
}

/// What somebody has to do about it.
fn remedy(step: &Step) -> Option<String> {
    Some(match step {
        Step::Forbidden { right, role, database } => {
            let (role, database) = (quoted(role), quoted(database));
            match right {
                Right::Tables => "name the role that owns the tables in [store] owner_url".to_owned(),
                Right::Statistics => format!("a superuser runs: ALTER DATABASE {database} OWNER TO {role};"),
                Right::Switch => {
                    format!("a superuser runs, in {database}: GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {role};")
                }
                Right::Files => {
                    format!("a superuser runs, in {database}: GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO {role};")
                }
                Right::Checkpoint => format!("a superuser runs: GRANT pg_checkpoint TO {role};"),
            }
        }
        Step::Held(_) => "run this again when it has ended; a slot that nobody uses: SELECT pg_drop_replication_slot(…)".to_owned(),
        Step::InUse(_) => "run this again at a quiet moment, and not beside a backup, an export or `sluis hub check`".to_owned(),
        Step::Unchanged(table) => format!("a superuser runs: VACUUM FULL {table}; and this again"),
        Step::Waits => "the hub does it by itself, within the hour, once a day; if this stays, read its warnings, and find out who else has the file open".to_owned(),
        Step::Older(_) => "run this again when whatever keeps them has let go: a slot, wal_keep_size, an archive that is behind".to_owned(),
        Step::Kept(_) => "a superuser runs: ALTER SYSTEM SET wal_keep_size = 0; SELECT pg_reload_conf(); slots keep what standbys need".to_owned(),
        Step::Slot(_) => "look whether its standby runs; if nobody uses it: SELECT pg_drop_replication_slot(…)".to_owned(),
        _ => return None,
    })
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", super::plain(name).replace('"', "\"\"")) }
}
