//! `sluis mandate`: a partner lets a supplier act in its name; operators register that, and end it.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::reconcile::moment;
use super::registry::{day, waits};
use super::remote::{RemoteArgs, RemoteError, done};
use crate::api::v1;
use crate::api::v1::registry_client::RegistryClient;
use crate::identity::certificate::Leaf;
use crate::mandate::{self, file};
use crate::party::Oin;
use crate::seal::{Mandate, MandateError};

/// Let a supplier act in a partner's name: the partner signs, an operator registers and ends.
#[derive(Debug, Args)]
pub struct MandateArgs {
    #[command(subcommand)]
    command: MandateCommand,
}

#[derive(Debug, Subcommand)]
enum MandateCommand {
    /// Sign a mandate with the partner's own certificate, and print it. Needs no network.
    Sign {
        /// PEM: the partner's certificate and chain, registered with the hub.
        #[arg(long)]
        certificate: PathBuf,
        /// PEM: its private key.
        #[arg(long)]
        key: PathBuf,
        /// Name of the covenant in whose network it counts, as `sluis covenant show` has it: covenants/{name}/versions/1.
        #[arg(long)]
        covenant: String,
        /// OIN of the supplier, 20 digits, as it stands in the supplier's certificate.
        #[arg(long)]
        to: Oin,
        /// Until this moment: RFC 3339, or the start of a day in the Netherlands. At most three years, and no longer than the
        /// certificate.
        #[arg(long, value_parser = moment)]
        until: OffsetDateTime,
    },
    /// Print what stands in a mandate, by its own word.
    Show {
        /// As `sign` printed it.
        file: PathBuf,
    },
    /// Register a mandate. Needs an operator's certificate, as the two that follow do.
    Register {
        /// As the partner signed it.
        file: PathBuf,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// End a mandate and revoke every certificate under it: connections are cut.
    End {
        /// mandates/{uuid}, as `list` prints it.
        name: String,
        /// Motivation; stands in the audit log.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Every mandate that was registered.
    List {
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// Why there is no mandate.
#[derive(Debug, thiserror::Error)]
pub enum MandateCliError {
    /// A call failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A file.
    #[error("{}: can't be read", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// The partner's certificate.
    #[error("{}: not a PEM certificate of an organisation", .0.display())]
    Certificate(PathBuf),
    /// Its private key.
    #[error("{}: not a PEM private key", .0.display())]
    Key(PathBuf),
    /// It would be over already.
    #[error("--until has passed")]
    Past,
    /// Longer than the certificate.
    #[error("--until: the certificate is good until {0}, and a mandate no longer than the certificate that signs it")]
    Outlasts(String),
    /// The mandate itself.
    #[error(transparent)]
    Mandate(#[from] MandateError),
    /// The output is closed.
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
}

impl MandateCliError {
    /// Whether the arguments, or the files that they name, are wrong.
    pub const fn is_usage(&self) -> bool {
        !matches!(self, Self::Remote(_) | Self::Output(_))
    }
}

/// Carries out one command.
pub(super) async fn run(args: MandateArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), MandateCliError> {
    match args.command {
        MandateCommand::Sign { certificate, key, covenant, to, until } => {
            sign((certificate, key), &covenant, to, (now, until), out)
        }
        MandateCommand::Show { file } => show(&read(file)?, out),
        MandateCommand::Register { file, remote } => {
            let mandate = Some(read(file)?);
            let mut registry = RegistryClient::new(remote.channel(now).await?);
            let request = v1::RegisterMandateRequest { request_id: Uuid::new_v4().to_string(), mandate };
            let known = done("registering the mandate", registry.register_mandate(request).await)?;
            Ok(registered(&known, out)?)
        }
        MandateCommand::End { name, reason, remote } => {
            let mut registry = RegistryClient::new(remote.channel(now).await?);
            let what = format!("ending {name}");
            let request = v1::EndMandateRequest { request_id: Uuid::new_v4().to_string(), name, reason };
            let ended = done(&what, registry.end_mandate(request).await)?;
            writeln!(out, "{} ended: {} no longer acts for {}", ended.name, ended.delegate, ended.principal)?;
            Ok(writeln!(
                out,
                "its keys for that are revoked as needed no more; of one that got out, say so with `sluis registry … revoke`
the keyholder does not ask the hub: its people take the supplier's entry off the roster"
            )?)
        }
        MandateCommand::List { remote } => {
            let mut registry = RegistryClient::new(remote.channel(now).await?);
            let all = done("listing mandates", registry.list_mandates(v1::ListMandatesRequest {}).await)?.mandates;
            writeln!(out, "{} mandates", all.len())?;
            all.iter().try_for_each(|one| line(one, out))?;
            Ok(())
        }
    }
}

fn sign(
    (certificate, key): (PathBuf, PathBuf),
    covenant: &str,
    to: Oin,
    (now, until): (OffsetDateTime, OffsetDateTime),
    out: &mut dyn Write,
) -> Result<(), MandateCliError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|_| MandateCliError::Certificate(certificate.clone()))?;
    let leaf = chain.first().and_then(|der| Some((der, Leaf::read(der).ok()?)));
    let (der, leaf) = leaf.ok_or_else(|| MandateCliError::Certificate(certificate.clone()))?;
    let principal = leaf.oin().map_err(|_| MandateCliError::Certificate(certificate.clone()))?;
    if until <= now {
        return Err(MandateCliError::Past);
    }
    if until > leaf.not_after {
        return Err(MandateCliError::Outlasts(leaf.not_after.format(&Rfc3339).unwrap_or_default()));
    }
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|_| MandateCliError::Key(key))?;
    let mandate = Mandate::new(Uuid::new_v4(), covenant, (principal.clone(), to), (now, until))?;
    let signed = mandate.sign(&private)?;
    // A key that is not the certificate's is noticed here, and not by the operator.
    Mandate::verify(&signed, der, &principal)?;
    let message = mandate::message(signed, chain.iter().map(|der| der.to_vec()).collect());
    Ok(write!(out, "{}", file::write(&message)?)?)
}

fn read(path: PathBuf) -> Result<v1::Mandate, MandateCliError> {
    let text = std::fs::read_to_string(&path).map_err(|error| MandateCliError::File(path, error))?;
    Ok(file::read(&text)?)
}

fn show(message: &v1::Mandate, out: &mut dyn Write) -> Result<(), MandateCliError> {
    let told = mandate::told(message)?;
    let leaf = message.certificate_chain.first().and_then(|leaf| Leaf::read(leaf).ok());
    let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    writeln!(out, "mandate    {}", told.id())?;
    writeln!(out, "covenant   {}", told.covenant())?;
    writeln!(out, "partner    {}", told.principal())?;
    writeln!(out, "supplier   {}", told.delegate())?;
    writeln!(out, "from       {}", time(told.starts()))?;
    writeln!(out, "until      {}", time(told.ends()))?;
    if let Some(leaf) = leaf {
        writeln!(out, "signed by  key {}", leaf.key_hash)?;
    }
    Ok(writeln!(out, "by its own word: the hub and every agent check the signature")?)
}

/// What became of a mandate that was registered.
pub(super) fn registered(known: &v1::RegisteredMandate, out: &mut dyn Write) -> std::io::Result<()> {
    match &known.pending {
        Some(change) => waits(change, out),
        None => {
            let until = day(known.end_time.as_ref());
            writeln!(out, "{}: {} may act for {} until {until}", known.name, known.delegate, known.principal)
        }
    }
}

fn line(one: &v1::RegisteredMandate, out: &mut dyn Write) -> std::io::Result<()> {
    let (from, until) = (day(one.start_time.as_ref()), day(one.end_time.as_ref()));
    let state = match &one.cut_time {
        Some(cut) => format!("ended {}", day(Some(cut))),
        None if one.in_force => "in force".to_owned(),
        None => "not in force".to_owned(),
    };
    writeln!(out, "{}  {} for {}", one.name, one.delegate, one.principal)?;
    writeln!(out, "  {state}, {from} until {until}")?;
    one.key_hashes.iter().try_for_each(|hash| writeln!(out, "  key {hash}"))
}
