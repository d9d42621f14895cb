//! `sluis ca serve`: answers requests for the next certificate, one after the other, as an issuer that the hub knows; and keeps the
//! revocation list fresh where it is published.

use std::io::Write;
use std::path::PathBuf;
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
use crate::ca::{Asking, Authority, CaError, DEFAULT_DAYS, Level, Office, SecretFrom};
use crate::cli::remote::{RemoteArgs, RemoteError, done, explain};
use crate::clock::{Clock as _, SystemClock};
use crate::seal::certificate_signature::CertSignature;
use crate::telemetry::Chain;

/// Arguments of `sluis ca serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    opening: Opening,
    /// Directory of an issuing CA whose place this one takes: its holders are renewed too, and its key is not needed. May be said
    /// more than once.
    #[arg(long, value_name = "DIR")]
    predecessor: Vec<PathBuf>,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Days that a renewed certificate is valid.
    #[arg(long, default_value_t = DEFAULT_DAYS)]
    days: u16,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 60)]
    pause: u64,
    /// Where the revocation list is published (DER): kept fresh there, made anew once a day and after each `sluis ca revoke`.
    /// Without it, somebody runs `sluis ca crl`.
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    /// For how many days a list counts; 31 at most.
    #[arg(long, default_value_t = 7, requires = "crl")]
    crl_days: u16,
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
    let before = args.predecessor.iter().map(|dir| Office::read(dir, Level::Issuing)).collect::<Result<_, _>>()?;
    let authority = open(Office::read(&args.place.dir, Level::Issuing)?, &secret, out)?.following(before)?;
    let hub = CertificatesClient::new(args.remote.channel(now).await?);
    tokio::pin!(shutdown);
    loop {
        if let Some(file) = &args.crl {
            // Whether the hub is there or not.
            match authority.keep_list(args.crl_days, file, SystemClock.now()) {
                Ok(None) => {}
                Ok(Some(list)) => {
                    let (file, number, revoked, until) = (file.display(), list.number, list.revoked, list.next_update);
                    writeln!(out, "{file}  list {number}  {revoked} revoked  next update {until}")?;
                }
                Err(error) if !args.once => writeln!(out, "the revocation list is not kept fresh: {}", Chain(&error))?,
                Err(error) => return Err(error.into()),
            }
        }
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
        let asking = Asking {
            current: &request.certificate,
            request: &request.signing_request,
            proof: CertSignature::from_wire(request.signature_scheme, &request.signature),
        };
        let made = authority.renew(&asking, days, SystemClock.now());
        // One that can't be answered holds up no other.
        let word = match made {
            Ok(certificates) => issued(&mut hub, &request.name, certificates).await,
            Err(error) => match error.refusal() {
                // It will not be otherwise another time: it is told, and its place is free for others.
                Some(why) => match answer(&mut hub, &request.name, Answer::Refused(why.to_string())).await {
                    Ok(()) => format!("refused: {}", Chain(&error)),
                    Err(status) => format!("to be refused: {}; {}", Chain(&error), explain(&status)),
                },
                // This authority's own trouble, perhaps with this one alone: it waits.
                None => format!("not issued: {}", Chain(&error)),
            },
        };
        writeln!(out, "{}  {}  {word}", request.name, request.oin)?;
    }
    Ok(())
}

/// Hands in what was issued. What the hub will not take another time either is refused to the holder.
async fn issued(hub: &mut CertificatesClient<Channel>, name: &str, certificates: Vec<Vec<u8>>) -> String {
    let chain = Answer::Issued(v1::CertificateChain { certificates });
    let not_taken = match answer(hub, name, chain).await {
        Ok(()) => return "issued".to_owned(),
        Err(status) if matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition) => status,
        Err(status) => return explain(&status),
    };
    let refused = Answer::Refused("the hub does not take what was issued".to_owned());
    match answer(hub, name, refused).await {
        Ok(()) => format!("refused, as the hub does not take it: {}", explain(&not_taken)),
        Err(status) => format!("not taken: {}; {}", explain(&not_taken), explain(&status)),
    }
}

async fn answer(hub: &mut CertificatesClient<Channel>, name: &str, answer: Answer) -> Result<(), tonic::Status> {
    let (request_id, name) = (Uuid::new_v4().to_string(), name.to_owned());
    let request = v1::AnswerCertificateRequestRequest { request_id, name, answer: Some(answer) };
    hub.answer_certificate_request(request).await.map(drop)
}
