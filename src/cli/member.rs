//! `sluis covenant` and `sluis agent join`: what a partner does once at its own agent.

use std::io::Write;

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use uuid::Uuid;

use super::remote::{RemoteArgs, RemoteError, done};
use crate::api::v1;
use crate::api::v1::covenants_client::CovenantsClient;
use crate::api::v1::directory_client::DirectoryClient;

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
    },
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
        CovenantCommand::Sign { content_hash } => {
            if content_hash != hash {
                return Err(RemoteError::OtherCovenant(hash));
            }
            let keys = v1::PublishKeysRequest { request_id: Uuid::new_v4().to_string(), keys: None };
            done("publishing the keys", DirectoryClient::new(channel).publish_keys(keys).await)?;
            let request = v1::SignCovenantRequest {
                request_id: Uuid::new_v4().to_string(),
                name: covenant.name,
                content_hash: covenant.content_hash,
                ..v1::SignCovenantRequest::default()
            };
            let signature = done("signing the covenant", covenants.sign_covenant(request).await)?;
            writeln!(out, "{} signed {}", signature.partner, signature.covenant)?;
        }
    }
    Ok(())
}
