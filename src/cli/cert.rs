//! `sluis cert`: what is wrong with a certificate, before anybody refuses it; and the certificates of all organisations.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::remote::RemoteError;
use crate::config::{Config, ConfigError, PathKey, TlsConfig, TrustConfig, load};
use crate::identity::certificate::Environment;
use crate::tls::files::{SetFiles, trust};
use crate::tls::probe::{Probe, probe};
use crate::tls::{FileError, Identity, TlsError};
use crate::trust::doctor::{self, Both, Grade};
use crate::trust::{Contents, Refused, Trust};

mod convert;
mod fleet;
mod holdings;
mod seen;

use convert::{Form, convert};
use holdings::{Holdings, Part};
use seen::Seen;

/// Look at certificates: what they say, whether they would be accepted, what to order or send instead; and which the hub knows.
#[derive(Debug, Args)]
pub struct CertArgs {
    /// One JSON object instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Debug, Subcommand)]
enum CertCommand {
    /// Explain certificates, and say by each set of anchors whether they would be accepted.
    Doctor(Box<DoctorArgs>),
    /// Write certificates in the form that is asked for, as PEM in the right order: from PEM, DER (.cer, .crt) or .p7b.
    Convert {
        /// Files with certificates.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The file to write; it must not be there yet.
        #[arg(long)]
        out: PathBuf,
        /// pem and p7b hold the whole chain; der holds the own certificate alone. A .p12 also holds a private key, which nobody here
        /// needs: make it where the key is (openssl pkcs12 -export -inkey KEY -in PEM -out P12).
        #[arg(long, default_value = "pem")]
        to: Form,
    },
    #[command(flatten)]
    Fleet(Box<fleet::FleetCommand>),
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// PEM, DER (.cer, .crt), .p7b: the certificate and its issuers, in any order. Never a private key.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Configuration of a hub, agent, keyholder or witness: its sets of anchors are asked.
    #[arg(long, conflicts_with = "anchors")]
    config: Option<PathBuf>,
    /// Or these roots (PEM).
    #[arg(long)]
    anchors: Option<PathBuf>,
    /// With --anchors: the rules, for example pkioverheid-g1.
    #[arg(long, default_value = "sluis-ca")]
    profile: String,
    /// With --anchors: test or production.
    #[arg(long, default_value = "production")]
    environment: String,
    /// Look at what this server (host:port) shows, too.
    #[arg(long)]
    connect: Option<String>,
    /// The server's name, where it is not the host of --connect.
    #[arg(long)]
    server_name: Option<String>,
    /// With --connect: show the first file's certificate to the server with this private key, and hear what it says.
    #[arg(long, requires = "connect")]
    key: Option<PathBuf>,
    /// nl or en.
    #[arg(long, default_value = "nl")]
    language: Language,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Nl,
    En,
}

impl Language {
    const fn of(self, (english, dutch): Both) -> &'static str {
        match self {
            Self::Nl => dutch,
            Self::En => english,
        }
    }
}

/// Why nothing could be said, or that what was looked at is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A file.
    #[error("{}: can't be read", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// A file that holds nothing of the kind.
    #[error("{}: no certificate in it; export it as PEM, DER (.cer) or .p7b", .0.display())]
    Nothing(PathBuf),
    /// Certificates that the other form does not take.
    #[error("{}: these certificates can't be written in that form; take pem", .0.display())]
    NotWritten(PathBuf),
    /// PKCS#12.
    #[error(
        "{file}: a PKCS#12 file holds a private key, which nobody here needs; take the certificates out of it: \
         openssl pkcs12 -in {file} -nokeys -out certificates.pem",
        file = .0.display()
    )]
    Pkcs12(PathBuf),
    /// A configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Anchors, profiles, lists, keys.
    #[error(transparent)]
    File(#[from] FileError),
    /// An option.
    #[error("--{0}: {1}")]
    Option(&'static str, &'static str),
    /// A call to a server.
    #[error("the server can't be called")]
    Call(#[from] TlsError),
    /// No server.
    #[error("{0}: no connection")]
    Connect(String, #[source] std::io::Error),
    /// The output.
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
    /// A file that is there.
    #[error("{}: exists already and is never overwritten", .0.display())]
    Exists(PathBuf),
    /// A picture.
    #[error("{}: can't be written", .0.display())]
    Unwritable(PathBuf, #[source] std::io::Error),
    /// The register could not be read.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Some end soon.
    #[error("{0} certificates end within {1} days")]
    Ending(usize, u16),
    /// The verdict.
    #[error("not accepted by any set of anchors")]
    Refused,
    /// The server's verdict, or the verdict on the server.
    #[error("{0}: the connection would not come about")]
    NoConnection(String),
}

impl CertError {
    /// Whether something was found, rather than that something went wrong.
    pub const fn is_finding(&self) -> bool {
        matches!(self, Self::Refused | Self::NoConnection(_) | Self::Ending(..))
    }
}

/// The sections of a configuration that say whom it trusts.
#[derive(Clone, Deserialize)]
struct Trusting {
    tls: TlsConfig,
    #[serde(default)]
    trust: TrustConfig,
}

impl Config for Trusting {
    fn paths(&mut self) -> Vec<PathKey<'_>> {
        let mut paths = self.tls.paths();
        paths.extend(self.trust.paths());
        paths
    }
}

/// Carries out one command.
pub(super) async fn run(args: CertArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CertError> {
    match args.command {
        CertCommand::Doctor(doctor) => examine(*doctor, args.json, now, out).await,
        CertCommand::Convert { files, out: file, to } => convert(&files, &file, to, out),
        CertCommand::Fleet(command) => fleet::run(*command, args.json, now, out).await,
    }
}

async fn examine(args: DoctorArgs, json: bool, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CertError> {
    let trust = trusted(&args)?;
    let holdings = Holdings::read(&args.files)?;
    let order = doctor::order(&holdings.contents);
    let chain: Vec<CertificateDer<'static>> =
        order.chain.iter().filter_map(|at| holdings.certificates.get(*at).cloned()).collect();
    let leaf = order.chain.first().and_then(|at| holdings.contents.get(*at));
    let fields = leaf.map(|leaf| doctor::fields(leaf, now)).unwrap_or_default();
    let verdicts = trust.as_ref().map(|trust| doctor::verdicts(trust, &chain, now)).unwrap_or_default();
    let seen = match &args.connect {
        Some(address) => Some(look(address, &args, now).await?),
        None => None,
    };
    let server = seen.as_ref().map(|(seen, name)| Server::of(seen, name, trust.as_deref(), now));
    let saw = match (&seen, &trust, &args.connect, identity(&args, now)?) {
        (Some((_, name)), Some(trust), Some(address), Some(identity))
            if server.as_ref().is_some_and(Server::would_do) =>
        {
            Some(Seen::ask(address, name, &identity, trust, now).await?)
        }
        _ => None,
    };
    let mut said = Said { language: args.language, out, json: json!({}), is_json: json };
    said.parts(&holdings.parts)?;
    let is_accepted = verdicts.iter().any(|(_, verdict)| verdict.is_ok());
    said.order(&holdings, &order, is_accepted)?;
    said.fields(&fields)?;
    said.verdicts(&verdicts)?;
    if let Some(server) = &server {
        said.server(server)?;
    }
    if let Some(saw) = &saw {
        said.seen(saw)?;
    }
    said.end()?;
    let is_bad = fields.iter().any(|field| field.grade == Grade::Bad);
    let is_refused = !verdicts.is_empty() && verdicts.iter().all(|(_, verdict)| verdict.is_err());
    if is_bad || is_refused {
        return Err(CertError::Refused);
    }
    if server.is_some_and(|server| !server.would_do()) || saw.is_some_and(|saw| saw.is_refused()) {
        return Err(CertError::NoConnection(args.connect.unwrap_or_default()));
    }
    Ok(())
}

/// Whose sets are asked: a configuration's, those of roots that are named, or nobody's.
fn trusted(args: &DoctorArgs) -> Result<Option<Arc<Trust>>, CertError> {
    if let Some(file) = &args.config {
        let config: Trusting = load(file)?;
        return Ok(Some(crate::serve::trust(&config.tls, &config.trust)?));
    }
    let Some(anchors) = &args.anchors else { return Ok(None) };
    let environment: Environment =
        args.environment.parse().map_err(|_| CertError::Option("environment", "test or production"))?;
    let mut set = SetFiles::built_in(&args.profile, &args.profile, anchors)?;
    // Without a list there is nothing to say about revocation; all the rest can be said.
    set.profile.revocation = crate::trust::Revocation::Registry;
    set.profile.needs_policies = false;
    Ok(Some(trust(environment, vec![set])?))
}

async fn look(
    address: &str,
    args: &DoctorArgs,
    now: OffsetDateTime,
) -> Result<(Probe, ServerName<'static>), CertError> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let name = args.server_name.as_deref().unwrap_or(host).to_owned();
    let name =
        ServerName::try_from(name).map_err(|_| CertError::Option("server-name", "a DNS name or an IP address"))?;
    let seen = probe(address, name.clone(), identity(args, now)?.as_ref()).await;
    Ok((seen.map_err(|error| CertError::Connect(address.to_owned(), error))?, name))
}

/// Whom the server is shown, if a key was named.
fn identity(args: &DoctorArgs, now: OffsetDateTime) -> Result<Option<Identity>, CertError> {
    match (&args.key, args.files.first()) {
        (Some(key), Some(chain)) => Ok(Some(Identity::load(chain, key, now)?)),
        _ => Ok(None),
    }
}

/// What a server showed, and what is to be said of it.
struct Server {
    contents: Vec<Contents>,
    verdict: Option<Result<(), Refused>>,
    alert: Option<String>,
    shaken: bool,
    speaks_h2: bool,
}

impl Server {
    fn of(seen: &Probe, name: &ServerName<'_>, trust: Option<&Trust>, now: OffsetDateTime) -> Self {
        Self {
            contents: seen.chain.iter().filter_map(|der| Contents::read(der).ok()).collect(),
            verdict: trust.map(|trust| trust.judge_server(&seen.chain, name, now)),
            alert: seen.alert.map(|alert| format!("{alert:?}")),
            shaken: seen.shaken,
            speaks_h2: seen.speaks_h2,
        }
    }

    /// Whether a call would get through, as far as can be seen.
    fn would_do(&self) -> bool {
        self.shaken && self.speaks_h2 && self.alert.is_none() && !matches!(self.verdict, Some(Err(_)))
    }
}

/// What is said, to people or programs.
struct Said<'o> {
    language: Language,
    out: &'o mut dyn Write,
    json: Value,
    is_json: bool,
}

impl Said<'_> {
    fn line(&mut self, text: &str) -> std::io::Result<()> {
        if self.is_json { Ok(()) } else { writeln!(self.out, "{}", super::plain(text)) }
    }

    fn put(&mut self, key: &str, value: Value) {
        if let Some(object) = self.json.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
    }

    fn parts(&mut self, parts: &[(PathBuf, Vec<Part>)]) -> std::io::Result<()> {
        for (file, held) in parts {
            let words = |same: &[Part]| {
                let word = self.language.of(same.first()?.words());
                Some(if same.len() == 1 { word.to_owned() } else { format!("{} × {word}", same.len()) })
            };
            let words: Vec<String> = held.chunk_by(PartialEq::eq).filter_map(words).collect();
            self.line(&format!("{}: {}", file.display(), words.join(", ")))?;
            if held.contains(&Part::PrivateKey) {
                let warning = (
                    "  ! holds a private key: it stays where it was made. Never send it to anybody; it was not read.",
                    "  ! bevat een privésleutel: die blijft waar hij gemaakt is. Stuur hem nooit op; hij is niet gelezen.",
                );
                self.line(self.language.of(warning))?;
            }
        }
        let files = parts.iter().map(
            |(file, held)| json!({ "file": file, "holds": held.iter().map(|part| part.code()).collect::<Vec<_>>() }),
        );
        self.put("files", files.collect());
        Ok(())
    }

    fn order(&mut self, holdings: &Holdings, order: &doctor::Order, is_accepted: bool) -> std::io::Result<()> {
        let named = |at: &usize| holdings.contents.get(*at).map(|one| one.known_as().to_owned()).unwrap_or_default();
        let chain: Vec<String> = order.chain.iter().map(named).collect();
        let extra: Vec<String> = order.extra.iter().map(named).collect();
        self.line("")?;
        self.line(self.language.of(("Chain", "Keten")))?;
        for (depth, name) in chain.iter().enumerate() {
            self.line(&format!("  {depth}  {name}"))?;
        }
        if let Some(next) = &order.next {
            let words = if is_accepted {
                ("a trusted root", "een vertrouwde root")
            } else {
                (
                    "a root that is not sent along, or an issuer that is missing",
                    "een root die niet meegestuurd wordt, of een uitgever die ontbreekt",
                )
            };
            self.line(&format!("  …  {next}: {}", self.language.of(words)))?;
        }
        if !extra.is_empty() {
            let words = ("does not belong to it", "hoort er niet bij");
            self.line(&format!("  -  {}: {}", extra.join(", "), self.language.of(words)))?;
        }
        let in_order = order.chain.iter().copied().eq(0..order.chain.len());
        if !in_order {
            let words = (
                "  ! not in this order in the files: `sluis cert convert FILES --out chain.pem` writes it so",
                "  ! staat niet in deze volgorde in de bestanden: `sluis cert convert BESTANDEN --out keten.pem` schrijft het zo",
            );
            self.line(self.language.of(words))?;
        }
        self.put("chain", json!({ "order": chain, "extra": extra, "next_issuer": order.next, "in_order": in_order }));
        Ok(())
    }

    fn fields(&mut self, fields: &[doctor::Field]) -> std::io::Result<()> {
        self.line("")?;
        self.line(self.language.of(("Certificate", "Certificaat")))?;
        for field in fields {
            let mark = match field.grade {
                Grade::Good => ' ',
                Grade::Attention => '!',
                Grade::Bad => '✗',
            };
            let value = if field.value.is_empty() { "–" } else { &field.value };
            self.line(&format!("{mark} {:<28} {value}", self.language.of(field.name)))?;
            if let Some(advice) = field.advice {
                self.line(&format!("    {}", self.language.of(advice)))?;
            }
        }
        let grade = |grade| match grade {
            Grade::Good => "good",
            Grade::Attention => "attention",
            Grade::Bad => "bad",
        };
        let language = self.language;
        let all = fields.iter().map(|field| {
            let advice = field.advice.map(|advice| language.of(advice));
            json!({ "field": field.code, "value": field.value, "grade": grade(field.grade), "advice": advice })
        });
        self.put("fields", all.collect());
        Ok(())
    }

    fn verdicts(&mut self, verdicts: &[(&crate::trust::Set, Result<(), Refused>)]) -> std::io::Result<()> {
        if verdicts.is_empty() {
            let words = (
                "No anchors were named (--config or --anchors): whether it would be accepted can't be said.",
                "Er zijn geen ankers genoemd (--config of --anchors): of het geaccepteerd wordt, is niet te zeggen.",
            );
            self.line("")?;
            return self.line(self.language.of(words));
        }
        self.line("")?;
        self.line(self.language.of(("Sets of anchors", "Ankersets")))?;
        for (set, verdict) in verdicts {
            match verdict {
                Ok(()) => {
                    self.line(&format!("  {:<20} {}", set.name, self.language.of(("accepted", "geaccepteerd"))))?
                }
                Err(refused) => {
                    let why = self.why(refused);
                    self.line(&format!("✗ {:<20} {why}", set.name))?;
                }
            }
        }
        let all = verdicts.iter().map(|(set, verdict)| {
            let refused = verdict.as_ref().err();
            let fault = refused.map(|refused| refused.fault.code());
            json!({ "set": set.name.to_string(), "accepted": verdict.is_ok(), "fault": fault,
                "about": refused.map(|refused| refused.about.clone()) })
        });
        let all: Value = all.collect();
        self.put("sets", all);
        Ok(())
    }

    fn why(&self, refused: &Refused) -> String {
        let words = self.language.of((refused.fault.english(), refused.fault.dutch()));
        if refused.about.is_empty() { words.to_owned() } else { format!("{words} ({})", refused.about) }
    }

    fn server(&mut self, server: &Server) -> std::io::Result<()> {
        self.line("")?;
        self.line(self.language.of(("Server", "Server")))?;
        for (depth, one) in server.contents.iter().enumerate() {
            self.line(&format!("  {depth}  {}, {} – {}", one.known_as(), one.not_before.date(), one.not_after.date()))?;
        }
        if !server.speaks_h2 {
            let words = ("no TLS 1.3 with HTTP/2 came about", "er kwam geen TLS 1.3 met HTTP/2 tot stand");
            self.line(&format!("✗ {}", self.language.of(words)))?;
        }
        match &server.verdict {
            None => {}
            Some(Ok(())) => self.line(&format!("  {}", self.language.of(("is believed", "wordt geloofd"))))?,
            Some(Err(refused)) => {
                let why = self.why(refused);
                self.line(&format!("✗ {why}"))?;
            }
        }
        if let Some(alert) = &server.alert {
            let words = ("the server ends it with the alert", "de server breekt af met de melding");
            self.line(&format!("✗ {} {alert}", self.language.of(words)))?;
        }
        let fault =
            server.verdict.as_ref().and_then(|verdict| verdict.as_ref().err()).map(|refused| refused.fault.code());
        self.put(
            "server",
            json!({ "chain": server.contents.iter().map(|one| one.subject.clone()).collect::<Vec<_>>(),
                "http2": server.speaks_h2, "alert": server.alert, "fault": fault }),
        );
        Ok(())
    }

    fn end(self) -> std::io::Result<()> {
        if self.is_json { writeln!(self.out, "{}", self.json) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
