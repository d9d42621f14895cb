//! `sluis ca operators`: who proposes and approves.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use time::OffsetDateTime;

use super::Place;
use super::sign::{OperatorKey, proposed};
use crate::ca::{CaError, Change, Level, Office, Operator, Paper, Replacement};

#[derive(Debug, Args)]
pub(super) struct OperatorsArgs {
    #[command(flatten)]
    place: Place,
    /// Somebody who is an operator from now on: NAME=FILE, with the certificate, request or public key; may be given several times.
    /// With --remove of the same name: another key.
    #[arg(long, requires = "key")]
    add: Vec<String>,
    /// Name of somebody who is no operator any more; may be given several times.
    #[arg(long, requires = "key")]
    remove: Vec<String>,
    /// Your own private key, as `sluis ca operator` made it, to propose with.
    #[arg(long)]
    key: Option<PathBuf>,
    /// File that only you may read, with the passphrase of your own key; without it you are asked.
    #[arg(long, requires = "key")]
    passphrase_file: Option<PathBuf>,
    /// File for the proposal; operators-N.proposal in the authority's directory when not given, N counting the changes.
    #[arg(long, requires = "key")]
    proposal: Option<PathBuf>,
}

pub(super) fn operators(args: OperatorsArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.place.dir, Level::Issuing)?;
    let Some(key) = args.key else { return list(&office, out) };
    let hand = OperatorKey { key, passphrase_file: args.passphrase_file }.hand(&office)?;
    let add = args.add.iter().map(|text| Operator::from_argument(text)).collect::<Result<Vec<_>, _>>()?;
    let path = args.proposal.unwrap_or_else(|| {
        let nth = office.changes().len() + 1;
        args.place.dir.join(format!("operators-{nth}.proposal"))
    });
    let paper = Paper::replace(&office, (add, &args.remove), &hand, now)?;
    paper.write(&path)?;
    describe(&paper, &office, &path, now, out)?;
    proposed(&path, out)
}

fn list(office: &Office, out: &mut dyn Write) -> Result<(), CaError> {
    for operator in office.roster()?.all() {
        writeln!(out, "operator     {}, key {}", operator.name(), operator.key_hash())?;
    }
    for change in office.changes() {
        show(change, out)?;
        let eyes = &change.eyes;
        writeln!(out, "operators    {} proposed, {} approved", eyes.proposed_by, eyes.approved_by)?;
    }
    Ok(())
}

/// What would be changed.
pub(super) fn describe(
    paper: &Paper<Replacement>,
    office: &Office,
    file: &Path,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> Result<(), CaError> {
    let (proposal, roster) = paper.check(office, now)?;
    let before = office.roster()?;
    writeln!(out, "proposal     {}, until {}", file.display(), proposal.until)?;
    writeln!(out, "proposed by  {}", paper.signers().0)?;
    for (word, these, those) in [("no more", before, &roster), ("operator", &roster, before)] {
        let names = these.without(those);
        for operator in these.all().iter().filter(|one| names.iter().any(|name| name == one.name())) {
            writeln!(out, "{word:<13}{}, key {}", operator.name(), operator.key_hash())?;
        }
    }
    let stay = |one: &&Operator| before.all().iter().any(|other| other.key_hash() == one.key_hash());
    for operator in roster.all().iter().filter(stay) {
        writeln!(out, "as before    {}, key {}", operator.name(), operator.key_hash())?;
    }
    Ok(())
}

/// What was changed.
pub(super) fn show(change: &Change, out: &mut dyn Write) -> Result<(), CaError> {
    let names = |names: &[String]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    writeln!(out, "changed      {}: {} joined, {} left", change.at, names(&change.joined), names(&change.left))?;
    Ok(())
}
