//! `sluis covenant` and `sluis agent join`: what a partner does once at its own agent.

use std::io::Write;

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use tonic::transport::Channel;
use uuid::Uuid;

use super::remote::{RemoteArgs, RemoteError, done};
use crate::api::v1;
use crate::api::v1::covenants_client::CovenantsClient;
use crate::api::v1::directory_client::DirectoryClient;
use crate::seal::certificate_signature::{self, Domain};

/// Read and sign the covenant in force, and publish the agent's keys. Called at the partner's own agent.
#[derive(Debug, Args)]
pub struct CovenantArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    command: CovenantCommand,
}

#[derive(Debug, Subcommand)]
enum CovenantCommand {
    /// Print the articles, who has signed, and the hash to sign.
    Show,
    /// Publish the agent's keys and sign: puts the covenant in force for the partner.
    Sign {
        /// The hash that `sluis covenant show` printed, hex: the signer has read that text and no other.
        #[arg(long)]
        content_hash: String,
        /// Sign with the certificate and key of this command, at the hub: for a partner without an agent of its own, whose
        /// supplier runs one by mandate. Publishes no keys.
        #[arg(long)]
        own_key: bool,
    },
    /// Publish the agent's keys alone: by a supplier whose customer has signed itself.
    PublishKeys,
}

/// Carries out one command.
pub(super) async fn run(args: CovenantArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), RemoteError> {
    let channel = args.remote.channel(now).await?;
    let mut covenants = CovenantsClient::new(channel.clone());
    let asked = covenants.get_covenant(v1::GetCovenantRequest { name: String::new() }).await;
    let covenant = done("reading the covenant", asked)?;
    let hash = hex::encode(&covenant.content_hash);
    match args.command {
        CovenantCommand::Show => {
            writeln!(out, "{}\n{}\n", covenant.title, covenant.name)?;
            for article in &covenant.articles {
                writeln!(out, "{}", article.text.trim_end())?;
                match article.purposes.first() {
                    Some(purpose) => writeln!(out, "(doelcode: {purpose})\n")?,
                    None => writeln!(out)?,
                }
            }
            for signature in &covenant.signatures {
                writeln!(out, "ondertekend: {}", signature.partner)?;
            }
            writeln!(out, "content hash: {hash}")?;
        }
        CovenantCommand::Sign { content_hash, own_key } => {
            if content_hash != hash {
                return Err(RemoteError::OtherCovenant(hash));
            }
            let mut request = v1::SignCovenantRequest {
                request_id: Uuid::new_v4().to_string(),
                name: covenant.name,
                content_hash: covenant.content_hash,
                ..v1::SignCovenantRequest::default()
            };
            if own_key {
                sign(&mut request, &args.remote)?;
            } else {
                publish_keys(channel).await?;
            }
            let signature = done("signing the covenant", covenants.sign_covenant(request).await)?;
            writeln!(out, "{} signed {}", signature.partner, signature.covenant)?;
        }
        CovenantCommand::PublishKeys => {
            let published = publish_keys(channel).await?.partner.unwrap_or_default();
            writeln!(out, "{} has published its keys", published.name)?;
        }
    }
    Ok(())
}

async fn publish_keys(agent: Channel) -> Result<v1::PublishKeysResponse, RemoteError> {
    let keys = v1::PublishKeysRequest { request_id: Uuid::new_v4().to_string(), keys: None };
    done(
        "publishing the keys of an agent (at the hub itself, sign with --own-key)",
        DirectoryClient::new(agent).publish_keys(keys).await,
    )
}

/// What an agent would add.
fn sign(request: &mut v1::SignCovenantRequest, own: &RemoteArgs) -> Result<(), RemoteError> {
    let (chain, key) = own.identity()?;
    let signature = certificate_signature::sign(&key, Domain::Covenant, &request.content_hash);
    let signature = signature.map_err(|_| RemoteError::Key(own.key().to_owned()))?;
    request.signature_scheme = signature.scheme.code().into();
    request.signature = signature.signature;
    request.certificate_chain = chain.iter().map(|der| der.to_vec()).collect();
    Ok(())
}
