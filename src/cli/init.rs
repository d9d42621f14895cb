//! `init`: makes the secrets of hub, keyholder and agent. Nothing is ever overwritten, no secret is readable by others.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use rand_core::OsRng;
use time::OffsetDateTime;

use crate::ca::profile::alternative;
use crate::ca::{Authority, CaError, DEFAULT_DAYS, NewKey, Plan, Profile, SecretFrom, Signing};
use crate::identity::certificate::{Environment, is_test};
use crate::party::Oin;
use crate::pseudonym::{Epoch, Keyholder, OprfError, SecretKey};
use crate::tlog::{Origin, PublicKey};
use crate::witness::{KEY, WitnessError, private_key};

/// Why `init` failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The local CA.
    #[error("can't make the local certificates")]
    Ca(#[from] CaError),
    /// A key that is there already.
    #[error("{}: exists already and is never overwritten; choose another directory", .0.display())]
    Exists(PathBuf),
    /// The drawn key can't be used.
    #[error("can't make the key")]
    Key(#[from] OprfError),
    /// The witness's key.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// `--oin`.
    #[error("--oin: an OIN has 20 digits and starts with 000000")]
    Oin,
    /// The output is closed.
    #[error("the output can't be written")]
    Output(#[from] io::Error),
    /// The directory or a file.
    #[error("{}: can't be written; check the directory and who owns it", path.display())]
    Unwritable {
        /// Directory or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the others need to know of a keyholder's key. None of it is secret.
#[derive(Debug, Clone)]
pub struct KeyholderFacts {
    /// The key itself stands here.
    pub file: PathBuf,
    /// For agents: compressed ristretto255 element, hex.
    pub public_key: String,
    /// For the hub: SHA-256 of the answer for the fixed identifier, hex.
    pub known_answer: String,
}

/// Arguments of `sluis agent init`.
#[derive(Debug, Clone, Args)]
pub struct AgentInitArgs {
    /// Directory for everything; made if it is not there.
    #[arg(long)]
    pub dir: PathBuf,
    /// The partner's OIN, 20 digits.
    #[arg(long)]
    pub oin: String,
    /// The partner's name, for the local CA.
    #[arg(long)]
    pub name: String,
    /// Name or IP address under which the partner's systems reach the agent; may be given several times.
    #[arg(long = "san", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
    pub alternatives: Vec<String>,
    /// File that only you may read, with the new passphrase of the local CA's key; without it you are asked. For test OINs the key
    /// has none.
    #[arg(long)]
    pub passphrase_file: Option<PathBuf>,
}

/// Makes the hub's keys of the first epoch in `directory`.
///
/// # Errors
/// A key that exists, a directory that can't be written.
pub fn hub(directory: &Path, out: &mut dyn Write) -> Result<(), InitError> {
    make_directory(directory)?;
    for name in ["subject-tag", "pseudonym", "log"] {
        let file = directory.join(format!("{name}.{}.key", Epoch::FIRST.number()));
        write_secret(&file, &SecretKey::generate(&mut OsRng))?;
        writeln!(out, "key  {}  keep it out of the database's backups, and a copy in a safe", file.display())?;
    }
    Ok(())
}

/// Makes the keyholder's key of the first epoch in `directory`.
///
/// # Errors
/// A key that exists, a directory that can't be written.
pub fn keyholder(directory: &Path, out: &mut dyn Write) -> Result<KeyholderFacts, InitError> {
    make_directory(directory)?;
    let seed = SecretKey::generate(&mut OsRng);
    let keyholder = Keyholder::from_seed(&seed)?;
    let facts = KeyholderFacts {
        file: directory.join(format!("keyholder.{}.key", Epoch::FIRST.number())),
        public_key: hex::encode(keyholder.public_key().to_bytes()),
        known_answer: hex::encode(keyholder.evaluate_known_answer()?.as_bytes()),
    };
    write_secret(&facts.file, &seed)?;
    writeln!(out, "key            {}  readable by the keyholder alone, and a copy in a safe", facts.file.display())?;
    writeln!(out, "public_key   = \"{}\"  for every agent.toml, [keyholder]", facts.public_key)?;
    writeln!(out, "known_answer = \"{}\"  for hub.toml, [keyholder]", facts.known_answer)?;
    Ok(facts)
}

/// Makes a witness's key in `directory`.
///
/// # Errors
/// A key that exists, a directory that can't be written.
pub fn witness(directory: &Path, name: &Origin, out: &mut dyn Write) -> Result<PublicKey, InitError> {
    make_directory(directory)?;
    let file = directory.join(KEY);
    write_secret(&file, &SecretKey::generate(&mut OsRng))?;
    let key = private_key(directory, name.clone())?;
    writeln!(out, "key         {}  readable by the witness alone", file.display())?;
    writeln!(out, "public key  {}  for the policy of the log: witness NAME KEY [URL]", key.public())?;
    Ok(key.public().clone())
}

/// Makes the agent's keys, its local CA, and certificates for its listener and one of the partner's systems.
///
/// # Errors
/// A file that exists, a directory that can't be written, an OIN or name that is none.
pub fn agent(args: &AgentInitArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), InitError> {
    let oin: Oin = args.oin.parse().map_err(|_| InitError::Oin)?;
    let environment = if is_test(&oin) { Environment::Test } else { Environment::Production };
    let (local, store) = (args.dir.join("local"), args.dir.join("store"));
    make_directory(&args.dir)?;
    make_directory(&store)?;
    let plan = |from: fn(Option<PathBuf>) -> SecretFrom| Plan {
        key: match environment {
            Environment::Test => NewKey::Plain,
            Environment::Production => NewKey::Locked(from(args.passphrase_file.clone())),
        },
        signing: Signing::OwnSystems,
        crl_url: None,
    };
    let plans = (plan(SecretFrom::root), plan(SecretFrom::issuing));
    let authority = Authority::init_with(&local, &args.name.parse()?, environment, plans, now)?;
    let seed = store.join(format!("agent.{}.seed", Epoch::FIRST.number()));
    write_secret(&seed, &SecretKey::generate(&mut OsRng))?;
    let alternatives = args.alternatives.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
    let server = Profile::Server { name: "agent".parse()?, oin: None, alternatives };
    authority.issue("server", &server, DEFAULT_DAYS, now)?;
    authority.issue("system", &Profile::Local { system: "system".parse()? }, DEFAULT_DAYS, now)?;
    let (local, seed) = (local.display(), seed.display());
    writeln!(out, "agent's keys   {seed}  readable by the agent alone, and a copy in a safe")?;
    writeln!(out, "local CA       {local}  make more certificates with `sluis ca issue local NAME --dir {local}`")?;
    writeln!(
        out,
        "listener       {local}/server.pem, {local}/server.key, {local}/anchors.pem  for agent.toml, [local]"
    )?;
    writeln!(out, "own system     {local}/system.pem, {local}/system.key  for the first system that calls the agent")?;
    Ok(())
}

fn make_directory(path: &Path) -> Result<(), InitError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| InitError::Unwritable { path: path.to_owned(), source })
}

fn write_secret(path: &Path, key: &SecretKey) -> Result<(), InitError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(key.to_hex().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => InitError::Unwritable { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::ca::{EyesError, Kept, Level, Office};

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

    /// For a real organisation the local CA has a passphrase, and makes nobody but the organisation's own systems.
    #[test]
    fn an_agent_s_local_authority_is_as_its_organisation() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passphrase");
        std::fs::write(&file, "vier woorden of meer\n").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        for (oin, kept) in [("00000003123456780000", Kept::Locked), ("00000099100001410000", Kept::Plain)] {
            let dir = folder.path().join(oin);
            let args = AgentInitArgs {
                dir: dir.clone(),
                oin: oin.to_owned(),
                name: "Partner".to_owned(),
                alternatives: vec!["localhost".to_owned()],
                passphrase_file: Some(file.clone()),
            };
            agent(&args, NOW, &mut io::sink()).unwrap();
            let office = Office::read(&dir.join("local"), Level::Issuing).unwrap();
            let authority = Authority::open_with(office, &SecretFrom::issuing(Some(file.clone()))).unwrap();
            assert_eq!(authority.kept(), kept, "{oin}");
            let person = Profile::Person { person: "fg".parse().unwrap(), oin: oin.parse().unwrap() };
            let refused = authority.issue("fg", &person, 30, NOW);
            assert!(matches!(refused, Err(CaError::Eyes(EyesError::OwnSystems))), "{oin}");
        }
    }
}
