//! `sluis registry`: operators add partners and certificates, and cut them off.

mod membership;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

use super::plain;
use super::reconcile::moment;
use super::remote::{RemoteArgs, RemoteError, done};
use crate::api::v1;
use crate::api::v1::confirm_change_response::Changed;
use crate::api::v1::directory_client::DirectoryClient;
use crate::api::v1::registry_client::RegistryClient;
use crate::identity::certificate::{KeyHash, Leaf};

/// In place of a role: takes all of them away.
const NO_ROLES: &str = "none";

/// Add partners and certificates to a hub's registry, and cut them off. Needs an operator's certificate.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
enum RegistryCommand {
    /// Add a partner, or change its name and standing roles. One that left joins anew by it, with two operators.
    Partner {
        /// OIN, 20 digits.
        #[arg(long)]
        oin: String,
        /// Name of the organisation.
        #[arg(long)]
        name: String,
        /// Kind of organisation.
        #[arg(long)]
        kind: Kind,
        /// Role held outside any case: R03, R04, R05, R11 or R13; may be repeated. Without it a partner keeps those that it has; `none`
        /// takes all of them away.
        #[arg(long = "standing")]
        standing: Vec<String>,
    },
    /// Register the key of a certificate for an organisation or one of its persons.
    Certificate {
        /// PEM file; its OIN must be that of a registered partner.
        file: PathBuf,
        /// What its holder is.
        #[arg(long, default_value = "organisation")]
        holder: Holder,
        /// Opaque reference of the person; none for an organisation.
        #[arg(long, default_value = "")]
        person: String,
        /// The owner's name for the system that uses it.
        #[arg(long, default_value = "")]
        system: String,
        /// Hash of the key whose place it takes: that one is refused 14 days after the first call with the new one.
        #[arg(long, default_value = "")]
        replaces: String,
        /// OIN of the partner in whose name the certificate's organisation acts, by a mandate that is registered; see sluis mandate.
        #[arg(long, default_value = "")]
        on_behalf_of: String,
    },
    /// Revoke a registered key: its connections are cut. If it got out, also every key that was renewed with it.
    Revoke {
        /// SHA-256 of the public key, as `sluis ca issue`, `sluis cert list --oin` and `sluis cert doctor` (key pin) print it; or the
        /// certificate's PEM file.
        #[arg(value_name = "KEY_HASH|FILE")]
        key: String,
        /// Why. What its holder signed before is opened no more when the key got out, and still when it is needed no more. A second
        /// operator confirms that one did not get out after all.
        #[arg(long, default_value = "key-compromise")]
        reason: Reason,
    },
    /// Say from when on a key is refused whose successor is in use.
    Retire {
        /// SHA-256 of the public key, or the certificate's PEM file.
        #[arg(value_name = "KEY_HASH|FILE")]
        key: String,
        /// RFC 3339, for example 2027-01-31T23:00:00Z, or the start of a day in the Netherlands; left out: now.
        #[arg(long, value_parser = moment)]
        at: Option<OffsetDateTime>,
    },
    /// Changes that wait for a second operator.
    Pending,
    /// Carry out a change that another operator asked for.
    Confirm {
        /// changes/{uuid}, as `pending` lists it.
        name: String,
    },
    /// Take back a change that waits for a second operator.
    Cancel {
        /// changes/{uuid}, as `pending` lists it.
        name: String,
    },
    /// Whose certificates the node that is called has refused lately, and why: for a partner that does not connect.
    Refusals,
    /// Make the node that is called read its certificate, key, anchors, revocation lists, rules and limits again.
    Reload,
    /// Suspend a partner, let it take part again, or end its membership, at once or at a moment to come.
    Status(membership::StatusArgs),
    /// Let another partner take a partner's place: after a merger, or under a new OIN.
    Succeed(membership::SucceedArgs),
    /// Whose place is taken by whom, and what of it is not done yet.
    Succession {
        /// Only of this partner, 20 digits; left out: of all.
        #[arg(long)]
        oin: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Gemeente,
    Gi,
    Aanbieder,
    Netwerk,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reason {
    KeyCompromise,
    CessationOfOperation,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Holder {
    Organisation,
    Officer,
    NetworkOfficer,
    Operator,
    Issuer,
}

/// Carries out one command.
pub(super) async fn run(args: RegistryArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), RemoteError> {
    let channel = args.remote.channel(now).await?;
    let mut registry = RegistryClient::new(channel.clone());
    match args.command {
        RegistryCommand::Partner { oin, name, kind, standing } => {
            let request = v1::RegisterPartnerRequest {
                request_id: Uuid::new_v4().to_string(),
                oin,
                display_name: name,
                kind: kind as i32 + 1,
                ..Default::default()
            };
            partner(&mut registry, channel, request, &standing, out).await?;
        }
        RegistryCommand::Certificate { file, holder, person, system, replaces, on_behalf_of } => {
            let leaf = certificate(&file)?;
            let request = v1::RegisterCertificateRequest {
                request_id: Uuid::new_v4().to_string(),
                certificate: leaf.to_vec(),
                holder: holder as i32 + 1,
                person_ref: person,
                system,
                replaces,
                acts_on_behalf_of: on_behalf_of,
            };
            let known = done(&format!("registering {}", file.display()), registry.register_certificate(request).await)?;
            registered(&known, out)?;
        }
        RegistryCommand::Revoke { key, reason } => {
            let key_hash = key_hash(key)?;
            let what = format!("revoking the key {key_hash}");
            let request_id = Uuid::new_v4().to_string();
            let request = v1::RevokeCertificateRequest { request_id, key_hash, reason: reason as i32 + 1 };
            revoked(&done(&what, registry.revoke_certificate(request).await)?, out)?;
        }
        RegistryCommand::Retire { key, at } => {
            let key_hash = key_hash(key)?;
            let what = format!("retiring the key {key_hash}");
            let retire_time = at.map(crate::wire::timestamp);
            let request =
                v1::RetireCertificateRequest { request_id: Uuid::new_v4().to_string(), key_hash, retire_time };
            let known = done(&what, registry.retire_certificate(request).await)?;
            let until = day(known.retire_time.as_ref());
            writeln!(out, "key {} of {} is refused from {until} on", known.key_hash, known.oin)?;
        }
        RegistryCommand::Pending => list_pending(&mut registry, out).await?,
        RegistryCommand::Confirm { name } => confirm(&mut registry, name, out).await?,
        RegistryCommand::Cancel { name } => {
            let what = format!("taking {name} back");
            let request = v1::CancelChangeRequest { request_id: Uuid::new_v4().to_string(), name };
            let change = done(&what, registry.cancel_change(request).await)?;
            writeln!(out, "{} will not be carried out", change.name)?;
        }
        RegistryCommand::Refusals => {
            let answer = registry.list_refusals(v1::ListRefusalsRequest {}).await;
            let node = done("listing refusals", answer)?;
            refusals(&node, out)?;
        }
        RegistryCommand::Reload => {
            let node = done("loading anew", registry.reload_node(v1::ReloadNodeRequest {}).await)?;
            anew(&node, out)?;
        }
        RegistryCommand::Status(args) => membership::set(&mut registry, args, out).await?,
        RegistryCommand::Succeed(args) => membership::succeed(&mut registry, args, out).await?,
        RegistryCommand::Succession { oin } => membership::list(&mut registry, oin, out).await?,
    }
    Ok(())
}

type Client = RegistryClient<Channel>;

/// The certificate in a file. What is given by mistake is told apart: a private key that was sent on is a key that got out.
fn certificate(file: &Path) -> Result<CertificateDer<'static>, RemoteError> {
    CertificateDer::from_pem_file(file).map_err(|_| match PrivateKeyDer::from_pem_file(file) {
        Ok(_) => RemoteError::PrivateKey(file.to_owned()),
        Err(_) => RemoteError::Certificate(file.to_owned()),
    })
}

/// The hash of a key, given as such or by a certificate with it.
fn key_hash(key: String) -> Result<String, RemoteError> {
    if key.parse::<KeyHash>().is_ok() {
        return Ok(key);
    }
    let file = PathBuf::from(key);
    if !file.exists() {
        return Err(RemoteError::NoKey(file));
    }
    let leaf = Leaf::read(&certificate(&file)?).map_err(|_| RemoteError::Certificate(file))?;
    Ok(leaf.key_hash.to_string())
}

async fn partner(
    registry: &mut Client,
    channel: Channel,
    request: v1::RegisterPartnerRequest,
    standing: &[String],
    out: &mut dyn Write,
) -> Result<(), RemoteError> {
    let known = known(channel, &request.oin).await?;
    let left = known.as_ref().is_some_and(|known| known.status() == v1::PartnerStatus::Withdrawn);
    let standing_roles = match standing {
        // A new name takes none of them away; who left has none.
        [] => known.filter(|_| !left).map(|known| known.standing_roles).unwrap_or_default(),
        [none] if none == NO_ROLES => Vec::new(),
        codes => codes.iter().map(|code| role(code)).collect(),
    };
    let request = v1::RegisterPartnerRequest { standing_roles, ..request };
    added(&done("registering the partner", registry.register_partner(request).await)?, left, out)?;
    Ok(())
}

async fn list_pending(registry: &mut Client, out: &mut dyn Write) -> Result<(), RemoteError> {
    let answer = registry.list_pending_changes(v1::ListPendingChangesRequest {}).await;
    let waiting = done("listing what waits", answer)?.changes;
    writeln!(out, "{} changes wait", waiting.len())?;
    waiting.iter().try_for_each(|change| pending(change, out))?;
    Ok(())
}

async fn confirm(registry: &mut Client, name: String, out: &mut dyn Write) -> Result<(), RemoteError> {
    let what = format!("confirming {name}");
    let request = v1::ConfirmChangeRequest { request_id: Uuid::new_v4().to_string(), name };
    match done(&what, registry.confirm_change(request).await)?.changed {
        Some(Changed::Partner(partner)) => membership::now_is(&partner, out)?,
        Some(Changed::Certificate(known)) if known.state() == v1::CertificateState::Revoked => revoked(&known, out)?,
        Some(Changed::Certificate(known)) => registered(&known, out)?,
        Some(Changed::Mandate(known)) => super::mandate::registered(&known, out)?,
        None => writeln!(out, "done")?,
    }
    Ok(())
}

fn added(partner: &v1::Partner, left: bool, out: &mut dyn Write) -> std::io::Result<()> {
    match &partner.pending {
        None => writeln!(out, "{}  {}", partner.name, partner.display_name)?,
        Some(change) => waits(change, out)?,
    }
    if left { writeln!(out, "{ANEW}") } else { Ok(()) }
}

/// What it means that a partner is registered that left before.
const ANEW: &str =
    "it left before, and joins anew: what was registered for it is revoked, so register its certificates (certificate);
then it publishes its keys and signs the covenant; no role of before comes back, and what it wrote stays its own";

fn registered(known: &v1::RegisteredCertificate, out: &mut dyn Write) -> std::io::Result<()> {
    match &known.pending {
        None if known.via.is_empty() => {
            let holder = crate::wire::holder_word(known.holder()).replace('_', "-");
            let who = format!("{holder} {}", plain(&known.person_ref));
            writeln!(out, "key {} registered for {}: {}", known.key_hash, known.oin, who.trim_end())
        }
        None => writeln!(out, "key {} of {} registered on behalf of {}", known.key_hash, known.via, known.oin),
        Some(change) => waits(change, out),
    }
}

fn revoked(known: &v1::RegisteredCertificate, out: &mut dyn Write) -> std::io::Result<()> {
    if let Some(change) = &known.pending {
        writeln!(out, "key {} of {} is revoked as one that got out", known.key_hash, known.oin)?;
        return waits(change, out);
    }
    writeln!(out, "key {} of {} revoked", known.key_hash, known.oin)?;
    if known.holder() == v1::HolderKind::Organisation {
        let written = match known.revocation_reason() {
            v1::RevocationReason::CessationOfOperation => "still",
            _ => "no more, until its owner publishes keys under another certificate",
        };
        writeln!(out, "what was written under keys that it vouches for is opened {written}")?;
    }
    let too = |key: &String| {
        writeln!(out, "key {} of {} revoked too: it was renewed with that one", plain(key), plain(&known.oin))
    };
    known.revoked_with_it.iter().try_for_each(too)?;
    let withheld = |mandate: &String| {
        writeln!(out, "{} gives nothing any more: a revoked key signed it; the partner signs a new one", plain(mandate))
    };
    known.withheld_mandates.iter().try_for_each(withheld)
}

pub(super) fn waits(change: &v1::PendingChange, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "nothing has changed yet: a second operator confirms with")?;
    writeln!(out, "  sluis registry … confirm {}", change.name)?;
    writeln!(out, "before {}", day(change.expire_time.as_ref()))
}

fn pending(change: &v1::PendingChange, out: &mut dyn Write) -> std::io::Result<()> {
    let (asked, until) = (day(change.create_time.as_ref()), day(change.expire_time.as_ref()));
    writeln!(out, "{}  until {until}", change.name)?;
    writeln!(out, "  {}", plain(&change.summary))?;
    writeln!(out, "  asked for by {} of {} at {asked}", plain(&change.person_ref), plain(&change.oin))?;
    if change.obstacle.is_empty() { Ok(()) } else { writeln!(out, "  {}", plain(&change.obstacle)) }
}

fn refusals(node: &v1::ListRefusalsResponse, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}: {} certificates refused", node.node, node.refusals.len())?;
    for one in &node.refusals {
        let (count, last) = (one.count, day(one.last_time.as_ref()));
        writeln!(out, "{last}  {count}x  {}  {}  {}", one.address, one.fault, plain(&one.about))?;
        for (what, text) in [("set", &one.set), ("holder", &one.subject), ("issuer", &one.issuer)] {
            if !text.is_empty() {
                writeln!(out, "  {what:<7} {}", plain(text))?;
            }
        }
    }
    Ok(())
}

fn anew(node: &v1::ReloadNodeResponse, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}: loaded anew, {} connections cut", node.node, node.connections_cut)?;
    for set in &node.sets {
        writeln!(out, "set {}", set.name)?;
        for anchor in &set.anchors {
            writeln!(out, "  anchor  until {}  {}", day(anchor.expire_time.as_ref()), plain(&anchor.subject))?;
        }
        for list in &set.lists {
            let (until, revoked) = (day(list.next_update.as_ref()), list.revoked);
            writeln!(out, "  crl     until {until}  {}  {revoked} revoked", plain(&list.issuer))?;
        }
    }
    Ok(())
}

/// A moment as text.
pub(super) fn day(moment: Option<&prost_types::Timestamp>) -> String {
    let moment = moment.and_then(crate::wire::moment);
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| "-".to_owned())
}

/// The partner as the directory shows it, if it is registered.
async fn known(channel: Channel, oin: &str) -> Result<Option<v1::Partner>, RemoteError> {
    let request = v1::GetPartnerRequest { name: format!("partners/{oin}") };
    match DirectoryClient::new(channel).get_partner(request).await {
        Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => Ok(None),
        reply => Ok(Some(done("looking the partner up", reply)?)),
    }
}

/// The number of a role; one that the API does not know is refused by the hub, by field.
fn role(code: &str) -> i32 {
    use crate::wire::Numbered as _;
    code.parse::<crate::party::Role>().map_or(-1, |role| role.number())
}
