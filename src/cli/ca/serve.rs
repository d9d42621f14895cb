//! `sluis ca serve`: answers requests for the next certificate, one after the other, as an issuer that the hub knows.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use time::OffsetDateTime;
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{Opening, Place, open};
use crate::api::v1;
use crate::api::v1::answer_certificate_request_request::Answer;
use crate::api::v1::certificates_client::CertificatesClient;
use crate::ca::{Authority, CaError, DEFAULT_DAYS, Level, Office, SecretFrom};
use crate::cli::remote::{RemoteArgs, RemoteError, done, explain};
use crate::clock::{Clock as _, SystemClock};
use crate::telemetry::Chain;

/// Arguments of `sluis ca serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Days that a renewed certificate is valid.
    #[arg(long, default_value_t = DEFAULT_DAYS)]
    days: u16,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 60)]
    pause: u64,
    /// Answer what waits now, and end.
    #[arg(long)]
    once: bool,
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The hub.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The output.
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
}

/// Answers until `shutdown` is ready. A hub that is away is asked again.
///
/// # Errors
/// [`ServeError`].
pub async fn run(
    args: ServeArgs,
    now: OffsetDateTime,
    shutdown: impl Future<Output = ()>,
    out: &mut dyn Write,
) -> Result<(), ServeError> {
    let secret = SecretFrom::issuing(args.opening.passphrase_file.clone());
    let authority = open(Office::read(&args.place.dir, Level::Issuing)?, &secret, out)?;
    let hub = CertificatesClient::new(args.remote.channel(now).await?);
    tokio::pin!(shutdown);
    loop {
        match answer_all(&authority, hub.clone(), args.days, out).await {
            Err(ServeError::Remote(error)) if !args.once => writeln!(out, "the hub does not take it: {error}")?,
            answered => answered?,
        }
        if args.once {
            return Ok(());
        }
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(args.pause)) => {}
        }
    }
}

async fn answer_all(
    authority: &Authority,
    mut hub: CertificatesClient<Channel>,
    days: u16,
    out: &mut dyn Write,
) -> Result<(), ServeError> {
    let list = hub.list_certificate_requests(v1::ListCertificateRequestsRequest {}).await;
    for request in done("listing requests", list)?.requests {
        let made = authority.renew(&request.certificate, &request.signing_request, days, SystemClock.now());
        let (word, answer) = match made {
            Ok(certificates) => ("issued".to_owned(), Answer::Issued(v1::CertificateChain { certificates })),
            // The holder's fault, and it is told.
            Err(CaError::Renewal(why)) => (format!("refused: {why}"), Answer::Refused(why.to_string())),
            // This authority's own trouble, perhaps with this one alone: it waits, and the others do not wait for it.
            Err(error) => {
                writeln!(out, "{}  {}  not issued: {}", request.name, request.oin, Chain(&error))?;
                continue;
            }
        };
        let (request_id, name) = (Uuid::new_v4().to_string(), request.name.clone());
        let answer = v1::AnswerCertificateRequestRequest { request_id, name: name.clone(), answer: Some(answer) };
        let word = match hub.answer_certificate_request(answer).await {
            Ok(_) => word,
            // The hub will not take it another time either: the holder is told, and its place is free for others.
            Err(status) if matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition) => {
                let answer = Some(Answer::Refused("the hub does not take what was issued".to_owned()));
                let answer =
                    v1::AnswerCertificateRequestRequest { request_id: Uuid::new_v4().to_string(), name, answer };
                done("the refusal", hub.answer_certificate_request(answer).await)?;
                format!("refused, as the hub does not take it: {}", explain(&status))
            }
            Err(status) => explain(&status),
        };
        writeln!(out, "{}  {}  {word}", request.name, request.oin)?;
    }
    Ok(())
}
