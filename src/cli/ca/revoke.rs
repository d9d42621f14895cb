//! `sluis ca revoke`, `crl`, `list`: certificates are taken back.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use time::OffsetDateTime;

use super::{Opening, Place, level, open};
use crate::ca::{CaError, Level, Office, Revocation, SecretFrom, Which};

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// The certificate: its serial number, or its file.
    #[arg(value_name = "SERIAL|FILE")]
    which: String,
    /// Why: unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation or
    /// privilege-withdrawn (RFC 5280 §5.3.1).
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
    /// An issuing CA, by the root whose directory this is.
    #[arg(long)]
    root: bool,
}

#[derive(Debug, Args)]
pub(super) struct CrlArgs {
    #[command(flatten)]
    place: Place,
    /// The root's list instead of the issuing CA's.
    #[arg(long)]
    root: bool,
    /// For how many days the list counts; 31 at most, 400 for a root's.
    #[arg(long, default_value_t = 7)]
    days: u16,
    #[command(flatten)]
    opening: Opening,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// The issuing CAs that the root made.
    #[arg(long)]
    root: bool,
}

pub(super) fn revoke(args: &RevokeArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.place.dir, level(args.root))?;
    let reason = args.reason.parse()?;
    let which = match args.which.parse() {
        Ok(serial) => Which::Serial(serial),
        Err(_) => Which::File(PathBuf::from(&args.which)),
    };
    let revocation = office.revoke(&which, reason, now)?;
    let (folder, root) = (args.place.dir.display(), if args.root { " --root" } else { "" });
    writeln!(out, "revoked      {}, {}", revocation.serial, revocation.reason.word())?;
    writeln!(
        out,
        "next         sluis ca crl --dir {folder}{root}, and publish the list; a hub's registry cuts off at once"
    )?;
    Ok(())
}

pub(super) fn crl(args: CrlArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.place.dir, level(args.root))?;
    let secret = match office.level() {
        Level::Root => SecretFrom { option: "passphrase-file", ..SecretFrom::root(args.opening.passphrase_file) },
        Level::Issuing => SecretFrom::issuing(args.opening.passphrase_file),
    };
    let list = open(office, &secret, out)?.publish(args.days, now)?;
    writeln!(out, "list         {}", list.file.display())?;
    writeln!(out, "number       {}, {} revoked", list.number, list.revoked)?;
    writeln!(out, "next update  {}: publish the next list before", list.next_update)?;
    Ok(())
}

pub(super) fn list(args: &ListArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.place.dir, level(args.root))?;
    let revoked = office.revoked()?;
    for entry in office.issued()? {
        let state = match revoked.iter().find(|one| one.serial == entry.serial) {
            Some(Revocation { reason, at, .. }) => format!("revoked {at}, {}", reason.word()),
            None if entry.until.0 < now => "expired".to_owned(),
            None => format!("until {}", entry.until),
        };
        let oin = entry.oin.as_deref().unwrap_or("-");
        let by = entry.eyes.as_ref().map(|eyes| format!("  {}, {}", eyes.proposed_by, eyes.approved_by));
        let by = by.unwrap_or_default();
        writeln!(out, "{}  {}  {oin}  {}  {state}{by}", entry.serial, entry.profile, entry.subject)?;
    }
    Ok(())
}
