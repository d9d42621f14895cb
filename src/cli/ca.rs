//! `sluis ca`: makes the private certificate authority and its certificates.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::ca::profile::alternative;
use crate::ca::{Authority, CaError, DEFAULT_DAYS, Issued, Profile};
use crate::identity::certificate::Environment;
use crate::party::Oin;

/// Make certificates for a network that has no PKIoverheid certificates (yet).
#[derive(Debug, Args)]
pub struct CaArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a root and an issuing CA.
    Init(InitArgs),
    /// Make a certificate.
    Issue(IssueArgs),
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Directory of the authority; made if it is not there.
    #[arg(long, default_value = "ca")]
    dir: PathBuf,
    /// Name of the network, as it will stand in the CA certificates.
    #[arg(long)]
    network: String,
    /// A test authority accepts OINs that start with 00000099, a production authority does not.
    #[arg(long, value_enum)]
    environment: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Test,
    Production,
}

#[derive(Debug, Args)]
struct IssueArgs {
    /// Kind of holder.
    #[arg(value_enum)]
    profile: ProfileName,
    /// Name of the files: NAME.pem and NAME.key.
    file: String,
    /// Directory of the authority.
    #[arg(long, default_value = "ca")]
    dir: PathBuf,
    /// Name of the organisation, the server or the local system.
    #[arg(long)]
    name: Option<String>,
    /// OIN, 20 digits.
    #[arg(long)]
    oin: Option<String>,
    /// Opaque reference of the person, never a name.
    #[arg(long)]
    person: Option<String>,
    /// DNS name or IP address at which the holder serves; may be given several times.
    #[arg(long = "san")]
    alternatives: Vec<String>,
    /// Validity in days.
    #[arg(long, default_value_t = DEFAULT_DAYS)]
    days: u16,
    /// Sign the public key of this PKCS#10 request (PEM) instead of making a key pair.
    #[arg(long)]
    csr: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProfileName {
    /// The systems of a partner.
    Organisation,
    /// A hub, keyholder or witness.
    Server,
    /// A privacy officer or operator.
    Person,
    /// A system that calls its own organisation's agent.
    Local,
}

/// Does what the arguments say at `now`, and tells `out` about it.
///
/// # Errors
/// Wrong arguments, files that exist or can't be written. Their texts say what to do.
pub fn run(args: CaArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    match args.command {
        Command::Init(args) => init(&args, now, out),
        Command::Issue(args) => issue(args, now, out),
    }
}

fn init(args: &InitArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let environment = match args.environment {
        Kind::Test => Environment::Test,
        Kind::Production => Environment::Production,
    };
    Authority::init(&args.dir, &args.network.parse()?, environment, now)?;
    let folder = args.dir.display();
    writeln!(out, "authority    {folder} ({environment})")?;
    writeln!(out, "anchors      {folder}/anchors.pem   give this to every participant")?;
    writeln!(out, "root key     {folder}/root.key      move this to an offline medium, and a copy to a safe")?;
    writeln!(out, "issuing key  {folder}/issuing.key   stays here, readable by you alone")?;
    Ok(())
}

fn issue(args: IssueArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let authority = Authority::open(&args.dir)?;
    let (file, days, csr) = (args.file.clone(), args.days, args.csr.clone());
    let profile = profile(args)?;
    let issued = match csr {
        Some(request) => authority.sign(&file, &request, &profile, days, now)?,
        None => authority.issue(&file, &profile, days, now)?,
    };
    show(&issued, out)
}

fn profile(args: IssueArgs) -> Result<Profile, CaError> {
    let refuse = |given: bool, option| if given { Err(CaError::Superfluous(option)) } else { Ok(()) };
    let oin = args.oin.map(|oin| oin.parse::<Oin>().map_err(|_| CaError::BadOin)).transpose()?;
    let name = args.name.map(|name| name.parse()).transpose()?;
    let person = args.person.map(|person| person.parse().map_err(|_| CaError::BadPerson)).transpose()?;
    let alternatives = args.alternatives.iter().map(|text| alternative(text)).collect::<Result<Vec<_>, _>>()?;
    let missing = CaError::Missing;
    match args.profile {
        ProfileName::Organisation => {
            refuse(person.is_some(), "person")?;
            let (name, oin) = (name.ok_or(missing("name"))?, oin.ok_or(missing("oin"))?);
            Ok(Profile::Organisation { name, oin, alternatives })
        }
        ProfileName::Server => {
            refuse(person.is_some(), "person")?;
            if alternatives.is_empty() {
                return Err(missing("san"));
            }
            Ok(Profile::Server { name: name.ok_or(missing("name"))?, oin, alternatives })
        }
        ProfileName::Person => {
            refuse(name.is_some(), "name")?;
            refuse(!alternatives.is_empty(), "san")?;
            Ok(Profile::Person { person: person.ok_or(missing("person"))?, oin: oin.ok_or(missing("oin"))? })
        }
        ProfileName::Local => {
            refuse(person.is_some(), "person")?;
            refuse(oin.is_some(), "oin")?;
            refuse(!alternatives.is_empty(), "san")?;
            Ok(Profile::Local { system: name.ok_or(missing("name"))? })
        }
    }
}

fn show(issued: &Issued, out: &mut dyn Write) -> Result<(), CaError> {
    let leaf = &issued.leaf;
    let date = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    writeln!(out, "certificate  {}", issued.chain.display())?;
    if let Some(key) = &issued.key {
        writeln!(out, "private key  {}", key.display())?;
    }
    writeln!(out, "subject      {}", leaf.common_name.as_deref().unwrap_or("-"))?;
    if let Ok(oin) = leaf.oin() {
        writeln!(out, "OIN          {oin}")?;
    }
    writeln!(out, "key hash     {}", leaf.key_hash)?;
    writeln!(out, "fingerprint  {}", leaf.fingerprint)?;
    writeln!(out, "policy       {}", issued.policy)?;
    writeln!(out, "valid        {} to {}", date(leaf.not_before), date(leaf.not_after))?;
    Ok(())
}

#[cfg(test)]
mod tests;
