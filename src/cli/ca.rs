//! `sluis ca`: the network's own certificate authority.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use time::OffsetDateTime;

use crate::ca::{Authority, CaError, Kept, Level, Office, SecretFrom};

mod make;
mod operators;
mod revoke;
pub mod serve;
mod sign;

/// Be the network's own certificate authority, until there are PKIoverheid certificates.
#[derive(Debug, Args)]
#[command(
    after_help = "A root, which belongs offline, and issuing CAs for daily work. For production, keys are under a passphrase or in \
    a PKCS#11 token, and a certificate takes two operators: one proposes it (request), another approves it (approve), then the \
    authority signs. For a test: init --insecure-plain-key --without-four-eyes, then issue."
)]
pub struct CaArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a root and an issuing CA in one directory.
    Init(make::InitArgs),
    /// Make a root alone, on a medium that is kept apart.
    Root(make::RootArgs),
    /// Make an issuing CA under a root: the first, or the next that takes over from it.
    Issuing(make::IssuingArgs),
    /// Put a key that lies in a plain file under a passphrase.
    Protect(make::ProtectArgs),
    /// Make an operator's own key, with which proposals are signed.
    Operator(make::OperatorArgs),
    /// Show who proposes and approves, or propose that somebody else does.
    Operators(operators::OperatorsArgs),
    /// Make a certificate at once, where one person may: for tests, and for one organisation's own systems.
    Issue(sign::IssueArgs),
    /// Propose a certificate for the key of a signing request, as an operator.
    Request(sign::RequestArgs),
    /// Approve what another operator proposed.
    Approve(sign::ApproveArgs),
    /// Carry out what two operators agreed on.
    Sign(sign::SignArgs),
    /// Renew certificates that holders ask the hub for, until this is stopped.
    Serve(Box<serve::ServeArgs>),
    /// Take a certificate back.
    Revoke(revoke::RevokeArgs),
    /// Make the next revocation list, for publishing.
    Crl(revoke::CrlArgs),
    /// Show every certificate that was made, and what became of it.
    List(revoke::ListArgs),
}

/// Which authority.
#[derive(Debug, Args)]
struct Place {
    /// Directory of the authority.
    #[arg(long, default_value = "ca")]
    dir: PathBuf,
}

/// How its key is opened.
#[derive(Debug, Args)]
struct Opening {
    /// File that only you may read, with the passphrase or the token's PIN on its first line; without it you are asked.
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
}

impl CaArgs {
    /// The service, if that is asked for.
    ///
    /// # Errors
    /// The arguments of anything else.
    pub fn service(self) -> Result<Box<serve::ServeArgs>, Box<Self>> {
        match self.command {
            Command::Serve(args) => Ok(args),
            command => Err(Box::new(Self { command })),
        }
    }
}

/// Does what the arguments say at `now`, and tells `out` about it.
///
/// # Errors
/// Wrong arguments, files that exist or can't be written. Their texts say what to do.
pub fn run(args: CaArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    match args.command {
        Command::Init(args) => make::init(args, now, out),
        Command::Root(args) => make::root(args, now, out),
        Command::Issuing(args) => make::issuing(args, now, out),
        Command::Protect(args) => make::protect(args, out),
        Command::Operator(args) => make::operator(args, out),
        Command::Issue(args) => sign::issue(args, now, out),
        Command::Request(args) => sign::request(args, now, out),
        Command::Operators(args) => operators::operators(args, now, out),
        Command::Approve(args) => sign::approve(&args, now, out),
        Command::Sign(args) => sign::sign(args, now, out),
        // It waits for others, and is started elsewhere.
        Command::Serve(_) => Ok(()),
        Command::Revoke(args) => revoke::revoke(&args, now, out),
        Command::Crl(args) => revoke::crl(args, now, out),
        Command::List(args) => revoke::list(&args, now, out),
    }
}

/// Opens the issuing CA, and says when its key lies open.
fn open(office: Office, secret: &SecretFrom, out: &mut dyn Write) -> Result<Authority, CaError> {
    let folder = office.folder().to_owned();
    let stem = office.level().stem();
    let authority = Authority::open_with(office, secret)?;
    if authority.kept() == Kept::Plain {
        warn(&folder, stem, out)?;
    }
    Ok(authority)
}

fn warn(folder: &Path, stem: &str, out: &mut dyn Write) -> Result<(), CaError> {
    let folder = folder.display();
    writeln!(
        out,
        "warning      {folder}/{stem}.key has no passphrase; `sluis ca protect --dir {folder}` gives it one"
    )?;
    Ok(())
}

const fn level(is_root: bool) -> Level {
    if is_root { Level::Root } else { Level::Issuing }
}

#[cfg(test)]
mod tests;
