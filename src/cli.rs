//! The commands of the binary: arguments in, text for people out.
//!
//! Exit code 0: all well. 1: a scenario had another outcome than demanded, a store does not hold together, a proof or a log
//! does not verify, a certificate is refused or ends soon, what was erased still stands in a database's files, or a promise did
//! not survive a kill. 2: wrong arguments or configuration. 3: something else failed, for example a port that is taken. 141, and
//! not a word: whoever read the output has gone.

pub mod audit;
pub mod ca;
pub mod cert;
pub mod check;
pub mod init;
pub mod mandate;
pub mod member;
pub mod reconcile;
pub mod registry;
pub mod remote;
pub mod scrub;

mod error;
mod officer;
mod output;
mod progress;
mod signal;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use error::CliError;
use output::{Output, UNREAD};

use crate::clock::{Clock, SystemClock};
use crate::config::{self, AgentConfig, HubConfig, KeyholderConfig, Source, WitnessConfig};
use crate::demo::kills::{self, KillOptions};
use crate::demo::{self, DemoOptions, StoreKind};
use crate::scenario::{self, Network, Scenario};
use crate::telemetry::{self, Chain, LogConfig};
use crate::tlog::Origin;

/// Data exchange under a covenant between youth-care partners.
#[derive(Debug, Parser)]
#[command(name = "sluis", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check requests against the covenant, route sealed records, keep the audit log.
    Hub(HubArgs),
    /// Serve a partner's own systems: seal, open, pseudonymise.
    Agent(AgentArgs),
    /// Evaluate blinded identifiers, as a party independent of the hub.
    Keyholder(KeyholderArgs),
    /// Sign the log's checkpoints, as a party that nobody who runs the hub can command.
    Witness(WitnessArgs),
    /// Be the network's own certificate authority, until there are PKIoverheid certificates.
    Ca(ca::CaArgs),
    /// Look at certificates: what they say, whether they would be accepted, what to order or send instead; and which the hub knows.
    Cert(cert::CertArgs),
    /// Let a supplier act in a partner's name: the partner signs, an operator registers and ends.
    Mandate(mandate::MandateArgs),
    /// Add partners and certificates to a hub's registry, and cut them off.
    Registry(registry::RegistryArgs),
    /// Prove what stands in the audit log, copy it, and verify proofs and copies without any hub.
    Audit(Box<audit::AuditArgs>),
    /// Read and sign the covenant, at the partner's own agent.
    Covenant(member::CovenantArgs),
    /// Play a scenario: the chain test of a network.
    #[command(subcommand)]
    Scenario(ScenarioCommand),
    /// Start a complete network on this machine and play scenario S1.
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct HubArgs {
    /// Configuration file.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    init: Option<HubInit>,
}

#[derive(Debug, Subcommand)]
enum HubInit {
    /// Make the hub's own keys.
    Init {
        /// Directory for the keys; made if it is not there.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Copy all rows of a hub on SQLite, which must not run, to an empty PostgreSQL database.
    Copy {
        /// Configuration file of the hub on SQLite.
        #[arg(long)]
        from: PathBuf,
        /// Configuration file of the hub on PostgreSQL, with an owner_url.
        #[arg(long)]
        to: PathBuf,
    },
    /// Remove what was erased from the database's files too: for a monthly timer. The hub may serve meanwhile.
    Scrub(scrub::ScrubArgs),
    /// Look at the whole store and say what does not hold together. Changes nothing.
    Check {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct KeyholderArgs {
    /// Configuration file.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    init: Option<KeyholderInit>,
}

#[derive(Debug, Subcommand)]
enum KeyholderInit {
    /// Make the keyholder's key; print what agents and hub need to know of it.
    Init {
        /// Directory for the key; made if it is not there.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct WitnessArgs {
    /// Configuration file.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    init: Option<WitnessInit>,
}

#[derive(Debug, Subcommand)]
enum WitnessInit {
    /// Make the witness's key, for `sluis witness` or for an agent that is a witness too; print what others verify with.
    Init {
        /// Directory for the key and for what the witness signed; made if it is not there.
        #[arg(long)]
        dir: PathBuf,
        /// The witness's name: a URL without its scheme, like gi.example/witness.
        #[arg(long)]
        name: Origin,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct AgentArgs {
    /// Configuration file.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    init: Option<AgentInit>,
}

#[derive(Debug, Subcommand)]
enum AgentInit {
    /// Make the agent's keys, a local CA, and certificates for the agent's listener and one system of the partner.
    Init(init::AgentInitArgs),
}

#[derive(Debug, Subcommand)]
enum ScenarioCommand {
    /// Play a scenario file and say which steps had another outcome.
    Run {
        /// Scenario, for example tests/scenarios/s1.toml.
        file: PathBuf,
        /// Running network to play against (network.toml); left out: a fresh one on this machine.
        #[arg(long)]
        network: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Leave the network running until Ctrl-C, and say how to call it.
    #[arg(long)]
    keep: bool,
    /// Directory for everything that the demo makes; left out: a temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Nodes of the hub, 1-9. Of several, one is killed in the middle of the scenario. Needs `--store postgres`.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// Where the hub keeps its data: a file, or a PostgreSQL that the demo starts for itself.
    #[arg(long, value_enum, default_value_t = StoreArg::Sqlite)]
    store: StoreArg,
    /// Kill processes this often under load instead, and judge the store afterwards.
    #[arg(long, value_name = "N", conflicts_with = "keep", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: Option<u32>,
    /// The seed of an earlier `--kills`, for the same order.
    #[arg(long, requires = "kills")]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StoreArg {
    Sqlite,
    Postgres,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr())
}

fn run(args: impl IntoIterator<Item = OsString>, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no mistakes and go to standard output.
            let failed = error.use_stderr();
            let _ = if failed { write!(err, "{error}") } else { write!(out, "{error}") };
            return if failed { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let mut out = Output::new(out);
    match execute(cli.command, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if out.explains(&error) => ExitCode::from(UNREAD),
        Err(error) => {
            let _ = writeln!(err, "sluis: {}", Chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(command: Command, out: &mut dyn Write) -> Result<(), CliError> {
    let now = SystemClock.now();
    match command {
        Command::Hub(HubArgs { init: Some(HubInit::Init { dir }), .. }) => Ok(init::hub(&dir, out)?),
        Command::Hub(HubArgs { init: Some(HubInit::Check { config }), .. }) => block_on(check::run(&config, out))?,
        Command::Hub(HubArgs { init: Some(HubInit::Scrub(args)), .. }) => block_on(scrub::run(&args, out))?,
        Command::Hub(HubArgs { init: Some(HubInit::Copy { from, to }), .. }) => block_on(check::copy(&from, &to, out))?,
        Command::Hub(HubArgs { config, .. }) => hub(&config.unwrap_or_default()),
        Command::Keyholder(KeyholderArgs { init: Some(KeyholderInit::Init { dir }), .. }) => {
            init::keyholder(&dir, out).map(|_| ()).map_err(CliError::from)
        }
        Command::Keyholder(KeyholderArgs { config, .. }) => keyholder(&config.unwrap_or_default()),
        Command::Witness(WitnessArgs { init: Some(WitnessInit::Init { dir, name }), .. }) => {
            init::witness(&dir, &name, out).map(|_| ()).map_err(CliError::from)
        }
        Command::Witness(WitnessArgs { config, .. }) => witness(&config.unwrap_or_default()),
        Command::Agent(AgentArgs { init: Some(AgentInit::Init(args)), .. }) => Ok(init::agent(&args, now, out)?),
        Command::Agent(AgentArgs { config, .. }) => agent(&config.unwrap_or_default()),
        Command::Ca(args) => match args.service() {
            Ok(args) => Ok(block_on(ca::serve::run(*args, now, signal::shutdown(), out))??),
            Err(args) => Ok(ca::run(*args, now, out)?),
        },
        Command::Mandate(args) => Ok(block_on(mandate::run(args, now, out))??),
        Command::Cert(args) => Ok(block_on(cert::run(args, now, out))??),
        Command::Registry(args) => Ok(block_on(registry::run(args, now, out))??),
        Command::Audit(args) => Ok(block_on(audit::run(*args, now, out))??),
        Command::Covenant(args) => Ok(block_on(member::run(args, now, out))??),
        Command::Scenario(ScenarioCommand::Run { file, network }) => play(&file, network.as_deref(), out),
        Command::Demo(args) => {
            let scenario = demo::built_in_scenario()?;
            let store = match args.store {
                StoreArg::Sqlite => StoreKind::Sqlite,
                StoreArg::Postgres => StoreKind::Postgres,
            };
            let (keep, directory, nodes) = (args.keep, args.dir, args.nodes.into());
            let options = DemoOptions { keep, directory, nodes, store, ..DemoOptions::default() };
            let Some(kills) = args.kills else {
                return verdict(block_on(demo::run(&scenario, options, signal::shutdown(), out))??);
            };
            let options = KillOptions { demo: options, kills, seed: args.seed };
            match block_on(kills::run(&scenario, options, signal::shutdown(), out))?? {
                0 => Ok(()),
                broken => Err(CliError::Broken(broken)),
            }
        }
    }
}

fn hub(file: &Path) -> Result<(), CliError> {
    let config: HubConfig = config::load(file)?;
    telemetry::start(config.log)?;
    serve(|shutdown| crate::hub::run(Source::file(file), shutdown))
}

fn keyholder(file: &Path) -> Result<(), CliError> {
    let config: KeyholderConfig = config::load(file)?;
    telemetry::start(config.log)?;
    serve(|shutdown| crate::keyholder::run(Source::file(file), shutdown))
}

fn witness(file: &Path) -> Result<(), CliError> {
    let config: WitnessConfig = config::load(file)?;
    telemetry::start(config.log)?;
    serve(|shutdown| crate::witness::desk::run(Source::file(file), shutdown))
}

fn agent(file: &Path) -> Result<(), CliError> {
    let config: AgentConfig = config::load(file)?;
    telemetry::start(config.log)?;
    serve(|shutdown| crate::agent::run(Source::file(file), shutdown))
}

fn play(file: &Path, network: Option<&Path>, out: &mut dyn Write) -> Result<(), CliError> {
    let scenario = Scenario::load(file)?;
    let Some(network) = network else {
        let options = DemoOptions::default();
        return verdict(block_on(demo::run(&scenario, options, signal::shutdown(), out))??);
    };
    let network = Network::load(network)?;
    telemetry::start(LogConfig::quiet())?;
    verdict(block_on(scenario::play(&scenario, &network, &SystemClock, out))??)
}

/// Somebody else's words on a terminal: no escapes, no lines of their own making.
fn plain(text: &str) -> String {
    let is_harmless = |c: &char| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_harmless(&c) { c } else { '?' }).collect()
}

fn verdict(verdict: scenario::Verdict) -> Result<(), CliError> {
    if verdict.wrong == 0 { Ok(()) } else { Err(CliError::OtherOutcome(verdict.wrong)) }
}

/// Runs a process until it is asked to stop and has taken its leave, or is asked again: then it ends at once.
fn serve<E, F>(start: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> F) -> Result<(), CliError>
where
    E: std::error::Error + Send + Sync + 'static,
    F: Future<Output = Result<(), E>>,
{
    let served = block_on(async {
        let requests = signal::Requests::to_a_service();
        tokio::select! {
            served = start(Box::pin(requests.clone().asked(1))) => served,
            () = requests.asked(2) => {
                tracing::warn!("stopped at once: what was under way is cut");
                Ok(())
            }
        }
    });
    served?.map_err(|error| CliError::Service(Box::new(error)))
}

fn block_on<F: Future>(future: F) -> Result<F::Output, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)?;
    Ok(runtime.block_on(future))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(args: &[&str]) -> (ExitCode, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(args.iter().map(OsString::from), &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    /// One pseudonym in 64 begins with a hyphen: it is base64url.
    #[test]
    fn a_pseudonym_is_no_option() {
        use clap::CommandFactory;
        fn subjects(command: &clap::Command) -> Vec<&clap::Arg> {
            let own = command.get_arguments().filter(|arg| arg.get_long() == Some("subject"));
            own.chain(command.get_subcommands().flat_map(subjects)).collect()
        }
        let command = Cli::command();
        let subjects = subjects(&command);
        assert_eq!(subjects.len(), 4, "{subjects:?}");
        assert!(subjects.iter().all(|arg| arg.is_allow_hyphen_values_set()), "{subjects:?}");
    }

    #[test]
    fn wrong_arguments_and_files_are_code_2_and_say_what_to_do() {
        for (args, wanted) in [
            (&["sluis"][..], "Usage"),
            (&["sluis", "hub"], "--config"),
            (&["sluis", "hub", "--config", "/nowhere/hub.toml"], "--config"),
            (&["sluis", "agent", "init"], "--dir"),
            (&["sluis", "scenario", "run", "/nowhere/s.toml"], "scenario file"),
            (&["sluis", "demo", "--nodes", "2"], "--store postgres"),
            (&["sluis", "demo", "--nodes", "0"], "--nodes"),
            (&["sluis", "steal"], "steal"),
        ] {
            let (code, _, err) = outcome(args);
            assert_eq!(code, ExitCode::from(2), "{args:?}");
            assert!(err.contains(wanted), "{args:?}: {err}");
        }
    }

    /// `sluis … | head`
    #[test]
    fn who_has_read_enough_hears_no_complaint() {
        struct Gone(std::io::ErrorKind);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let directory = tempfile::tempdir().unwrap();
        for (kind, code, is_said) in
            [(std::io::ErrorKind::BrokenPipe, UNREAD, false), (std::io::ErrorKind::StorageFull, 2, true)]
        {
            let keys = directory.path().join(format!("{code}"));
            let args = ["sluis", "keyholder", "init", "--dir", keys.to_str().unwrap()].map(OsString::from);
            let mut err = Vec::new();
            assert_eq!(run(args, &mut Gone(kind), &mut err), ExitCode::from(code));
            assert_eq!(!err.is_empty(), is_said, "{kind}");
        }
        // What was not the reader's doing is said.
        let mut out = Gone(std::io::ErrorKind::BrokenPipe);
        assert!(!Output::new(&mut out).explains(&std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
    }

    #[test]
    fn help_is_no_mistake() {
        let (code, out, _) = outcome(&["sluis", "--help"]);
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(out.contains("keyholder"), "{out}");
    }

    #[test]
    fn init_makes_what_the_samples_name() {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys");
        let keys = keys.to_str().unwrap();
        let (code, out, err) = outcome(&["sluis", "keyholder", "init", "--dir", keys]);
        assert_eq!(code, ExitCode::SUCCESS, "{err}");
        assert!(out.contains("public_key") && out.contains("known_answer"), "{out}");
        assert_eq!(outcome(&["sluis", "hub", "init", "--dir", keys]).0, ExitCode::SUCCESS);
        for name in ["keyholder.1.key", "subject-tag.1.key", "pseudonym.1.key", "log.1.key"] {
            assert!(Path::new(keys).join(name).exists(), "{name}");
        }
        let again = outcome(&["sluis", "hub", "init", "--dir", keys]);
        assert_eq!(again.0, ExitCode::from(2), "a key is never overwritten");
        assert!(again.2.contains("exists"), "{}", again.2);
        let agent = directory.path().join("agent");
        let agent_dir = agent.to_str().unwrap();
        let args =
            ["sluis", "agent", "init", "--dir", agent_dir, "--oin", "00000099100001410000", "--name", "Gemeente A"];
        let (code, _, err) = outcome(&args);
        assert_eq!(code, ExitCode::SUCCESS, "{err}");
        for name in
            ["local/anchors.pem", "local/server.pem", "local/server.key", "local/system.pem", "store/agent.1.seed"]
        {
            assert!(agent.join(name).exists(), "{name}");
        }
    }
}
