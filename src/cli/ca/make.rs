//! `sluis ca init`, `root`, `issuing`, `protect`, `operator`: authorities and keys are made.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use time::OffsetDateTime;

use super::{Opening, level, open, warn};
use crate::ca::{
    Authority, CaError, EyesError, Kept, Level, NewKey, Office, Operator, Plan, Roster, SecretFrom, Signing, TokenKey,
    operator_key,
};
use crate::identity::certificate::Environment;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Test,
    Production,
}

impl Kind {
    const fn environment(self) -> Environment {
        match self {
            Self::Test => Environment::Test,
            Self::Production => Environment::Production,
        }
    }
}

/// For whom an authority is made.
#[derive(Debug, Args)]
struct Whose {
    /// Name of the network, as it will stand in the CA certificates.
    #[arg(long)]
    network: String,
    /// A test authority accepts OINs that start with 00000099, a production authority does not.
    #[arg(long, value_enum)]
    environment: Kind,
}

/// Where a key goes that is no token's.
#[derive(Debug, Args)]
struct FileArgs {
    /// Leave the key in a file that whoever reads it can use: for tests, refused for production.
    #[arg(long)]
    insecure_plain_key: bool,
    /// File that only you may read, with the key's new passphrase, or the token's PIN, on its first line; without it you are asked.
    #[arg(long, conflicts_with = "insecure_plain_key")]
    passphrase_file: Option<PathBuf>,
}

/// Where a key goes.
#[derive(Debug, Args)]
struct KeyArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Library of a PKCS#11 token, in which the key is and stays.
    #[arg(long, requires = "token", requires = "token_key", conflicts_with = "insecure_plain_key")]
    token_module: Option<PathBuf>,
    /// Label of the token.
    #[arg(long, requires = "token_module")]
    token: Option<String>,
    /// Label of the key pair in the token; it is made if it is not there.
    #[arg(long, requires = "token_module")]
    token_key: Option<String>,
}

/// Who signs.
#[derive(Debug, Args)]
struct WhoArgs {
    /// Somebody who may propose and approve, NAME=FILE: a reference, and a certificate, request or public key of that person (PEM).
    /// Two or more.
    #[arg(long = "operator", value_name = "NAME=FILE")]
    operators: Vec<String>,
    /// Whoever can open the key signs alone: for tests, refused for production.
    #[arg(long, conflicts_with = "operators")]
    without_four_eyes: bool,
    /// For one organisation's own systems and servers, no others: whoever can open the key signs alone.
    #[arg(long, conflicts_with_all = ["operators", "without_four_eyes"])]
    own_systems: bool,
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Directory of the authority; made if it is not there.
    #[arg(long, default_value = "ca")]
    dir: PathBuf,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    key: FileArgs,
    /// The same for the root's key.
    #[arg(long)]
    root_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    who: WhoArgs,
    /// Where the issuing CA's revocation list is published (http://…); stands in every certificate.
    #[arg(long)]
    crl_url: Option<String>,
    /// Where the root's revocation list is published (http://…); stands in the issuing CA's certificate.
    #[arg(long)]
    root_crl_url: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RootArgs {
    /// Directory for the root, on the medium that is kept apart; made if it is not there.
    #[arg(long, default_value = "root")]
    dir: PathBuf,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    key: KeyArgs,
    /// Where the root's revocation list is published (http://…); stands in the issuing CAs' certificates.
    #[arg(long)]
    crl_url: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct IssuingArgs {
    /// Directory of the root.
    #[arg(long)]
    root: PathBuf,
    /// File with the root's passphrase or PIN; without it you are asked.
    #[arg(long)]
    root_passphrase_file: Option<PathBuf>,
    /// Directory for the issuing CA; made if it is not there.
    #[arg(long, default_value = "ca")]
    dir: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    who: WhoArgs,
    /// Where its revocation list is published (http://…); stands in every certificate.
    #[arg(long)]
    crl_url: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ProtectArgs {
    /// Directory of the authority.
    #[arg(long, default_value = "ca")]
    dir: PathBuf,
    /// The root's key instead of the issuing CA's.
    #[arg(long)]
    root: bool,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    who: WhoArgs,
}

#[derive(Debug, Args)]
pub(super) struct OperatorArgs {
    /// Reference of the operator: NAME.key and NAME.pub.
    name: String,
    /// Directory for the two files, at the operator's own machine.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    key: FileArgs,
}

impl FileArgs {
    fn new_key(self, from: impl FnOnce(Option<PathBuf>) -> SecretFrom) -> NewKey {
        if self.insecure_plain_key { NewKey::Plain } else { NewKey::Locked(from(self.passphrase_file)) }
    }
}

impl KeyArgs {
    fn new_key(self, level: Level) -> NewKey {
        let from = move |file| SecretFrom { option: "passphrase-file", ..of(level, file) };
        match (self.token_module, self.token, self.token_key) {
            (Some(module), Some(label), Some(key)) => {
                NewKey::Token(TokenKey { module, label, key }, from(self.file.passphrase_file))
            }
            _ => self.file.new_key(from),
        }
    }
}

impl WhoArgs {
    fn signing(&self, environment: Environment) -> Result<Signing, CaError> {
        let named = self.operators.iter().map(|text| Operator::from_argument(text)).collect::<Result<Vec<_>, _>>()?;
        match (self.without_four_eyes, self.own_systems) {
            (true, _) => Ok(Signing::Alone),
            (_, true) => Ok(Signing::OwnSystems),
            _ if named.is_empty() && environment == Environment::Test => Err(EyesError::TooFewForTest.into()),
            _ => Ok(Signing::FourEyes(Roster::new(named)?)),
        }
    }
}

const fn of(level: Level, file: Option<PathBuf>) -> SecretFrom {
    match level {
        Level::Root => SecretFrom::root(file),
        Level::Issuing => SecretFrom::issuing(file),
    }
}

fn url(text: Option<&String>) -> Result<Option<crate::ca::CrlUrl>, CaError> {
    text.map(|text| text.parse()).transpose()
}

pub(super) fn init(args: InitArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let environment = args.whose.environment.environment();
    let (crl_url, root_crl_url) = (url(args.crl_url.as_ref())?, url(args.root_crl_url.as_ref())?);
    let root_key = FileArgs { passphrase_file: args.root_passphrase_file, ..args.key };
    let root = Plan { key: root_key.new_key(SecretFrom::root), signing: Signing::Alone, crl_url: root_crl_url };
    let signing = args.who.signing(environment)?;
    let issuing = Plan { key: args.key.new_key(SecretFrom::issuing), signing, crl_url };
    let authority = Authority::init_with(&args.dir, &args.whose.network.parse()?, environment, (root, issuing), now)?;
    let folder = args.dir.display();
    writeln!(out, "authority    {folder} ({environment})")?;
    writeln!(out, "anchors      {folder}/anchors.pem   give this to every participant")?;
    writeln!(out, "root key     {folder}/root.key      move this to an offline medium, and a copy to a safe")?;
    writeln!(out, "issuing key  {folder}/issuing.key   stays here, readable by you alone")?;
    who(authority.office(), out)?;
    if authority.kept() == Kept::Plain { warn(&args.dir, "issuing", out) } else { Ok(()) }
}

pub(super) fn root(args: RootArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let environment = args.whose.environment.environment();
    let plan =
        Plan { crl_url: url(args.crl_url.as_ref())?, key: args.key.new_key(Level::Root), signing: Signing::Alone };
    let root = Authority::root(&args.dir, &args.whose.network.parse()?, environment, plan, now)?;
    let folder = args.dir.display();
    writeln!(out, "root         {folder} ({environment})")?;
    writeln!(out, "anchors      {folder}/anchors.pem   give this to every participant")?;
    writeln!(out, "key hash     {}", root.office().key_hash())?;
    match root.kept() {
        Kept::Plain => warn(&args.dir, "root", out),
        Kept::Locked => Ok(writeln!(out, "root key     {folder}/root.key      keep it offline, and a copy in a safe")?),
        Kept::Token => {
            Ok(writeln!(out, "root key     in the token        lock it away; its maker says how to copy it")?)
        }
    }
}

pub(super) fn issuing(args: IssuingArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.root, Level::Root)?;
    let plan = Plan {
        signing: args.who.signing(office.environment())?,
        crl_url: url(args.crl_url.as_ref())?,
        key: args.key.new_key(Level::Issuing),
    };
    let root = open(office, &SecretFrom::root(args.root_passphrase_file), out)?;
    let authority = root.issuing(&args.dir, plan, now)?;
    let folder = args.dir.display();
    writeln!(out, "authority    {folder} ({})", authority.environment())?;
    writeln!(out, "certificate  {folder}/issuing.pem   part of every chain that it signs")?;
    writeln!(out, "key hash     {}", authority.office().key_hash())?;
    who(authority.office(), out)?;
    if authority.kept() == Kept::Plain { warn(&args.dir, "issuing", out) } else { Ok(()) }
}

pub(super) fn protect(args: ProtectArgs, out: &mut dyn Write) -> Result<(), CaError> {
    let level = level(args.root);
    let office = Office::read(&args.dir, level)?;
    let is_said = !args.who.operators.is_empty() || args.who.without_four_eyes || args.who.own_systems;
    let signing = is_said.then(|| args.who.signing(office.environment())).transpose()?;
    let secret = SecretFrom { option: "passphrase-file", ..of(level, args.opening.passphrase_file) };
    Authority::open_with(office, &secret)?.protect(signing, &secret)?;
    let (folder, stem) = (args.dir.display(), level.stem());
    writeln!(out, "protected    {folder}/{stem}.key")?;
    writeln!(out, "             copies from before are as open as they were, and a disk may hold one: destroy them")?;
    Ok(())
}

pub(super) fn operator(args: OperatorArgs, out: &mut dyn Write) -> Result<(), CaError> {
    let key = args.key.new_key(SecretFrom::operator);
    let name: crate::identity::PersonRef = args.name.parse().map_err(|_| CaError::BadPerson)?;
    let (private, public) = operator_key(&args.dir, name.as_str(), &key)?;
    writeln!(out, "private key  {}   yours alone", private.display())?;
    writeln!(
        out,
        "public key   {}   for --operator {}=FILE, where the authority is made",
        public.display(),
        name.as_str()
    )?;
    Ok(())
}

fn who(office: &Office, out: &mut dyn Write) -> Result<(), CaError> {
    match office.roster() {
        Ok(roster) => {
            for operator in roster.all() {
                writeln!(out, "operator     {}  {}", operator.name(), operator.key_hash())?;
            }
        }
        Err(_) => writeln!(out, "signing      by whoever opens the key")?,
    }
    Ok(())
}
