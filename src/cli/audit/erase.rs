//! `sluis audit erase`, for the network's officer.

use clap::Args;
use serde_json::json;
use time::OffsetDateTime;

use super::super::officer::context;
use super::super::remote::{RemoteArgs, done};
use super::ask::{ASKER, moment, named};
use super::{AuditError, Say};
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::wire::timestamp;

/// Arguments of `sluis audit erase`.
#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Why, at least twenty characters: it stands in the log.
    #[arg(long)]
    ground: String,
    /// cases/{case}, as the network's organisation names it.
    #[arg(long)]
    case: Option<String>,
    /// An organisation's log pseudonym of a youth.
    #[arg(long, requires = "subject_of", allow_hyphen_values = true)]
    subject: Option<String>,
    /// OIN of that organisation.
    #[arg(long, requires = "subject")]
    subject_of: Option<String>,
    /// Whatever was written before this moment: RFC 3339, or the start of a day in the Netherlands.
    #[arg(long)]
    before: Option<String>,
    /// actor, subject, case, data, decision, network or listed; may be given several times. Left out: the usual ones.
    #[arg(long = "group")]
    groups: Vec<String>,
    /// Names of events, events/{uuid}: at most 500.
    events: Vec<String>,
}

/// Erases until nothing is left of what was named.
pub(super) async fn run(args: EraseArgs, now: OffsetDateTime, out: &mut Say<'_>) -> Result<(), AuditError> {
    let mut client = AuditClient::new(args.remote.channel(now).await?);
    let before = args.before.as_deref().map(|text| moment("before", text)).transpose()?;
    let reason = args.ground;
    let mut request = v1::EraseEventsRequest {
        request_id: String::new(),
        context: context(ASKER).map(|context| v1::RequestContext { reason, ..context }),
        events: args.events,
        case: named(args.case, "cases"),
        subject: args.subject.unwrap_or_default(),
        before: before.map(timestamp),
        groups: args.groups,
        subject_of: named(args.subject_of, "partners"),
    };
    let mut erased = 0;
    loop {
        request.request_id = uuid::Uuid::new_v4().to_string();
        let answer = done("erasing", client.erase_events(request.clone()).await)?;
        erased += answer.erased;
        if !answer.more {
            break;
        }
        out.progress(erased.into(), "events");
    }
    out.say(
        json!({ "erased": erased }),
        format_args!("{erased} events erased; what stands in the tree stays, and says so"),
    )
}
