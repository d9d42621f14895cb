//! Partners that are suspended, leave, or are succeeded by another.

use std::io::Write;

use clap::{Args, ValueEnum};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::remote::{RemoteError, done};
use super::{Client, day, moment, waits};
use crate::api::v1;
use crate::wire::timestamp;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// OIN, 20 digits.
    #[arg(long)]
    oin: String,
    /// The new status. Active takes back an exit that was announced.
    #[arg(long)]
    set: Status,
    /// With withdrawn: the first moment after its membership, RFC 3339, for example 2027-03-01T00:00:00+01:00; left out: now.
    #[arg(long, value_parser = moment)]
    at: Option<OffsetDateTime>,
    /// Motivation; stands in the audit log.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Active,
    Suspended,
    Withdrawn,
}

#[derive(Debug, Args)]
pub(super) struct SucceedArgs {
    /// Whose place is taken: OIN, 20 digits.
    #[arg(long)]
    oin: String,
    /// Who takes it: OIN of a partner of the same kind, with keys, that has signed the covenant.
    #[arg(long)]
    by: String,
    /// From when on, RFC 3339; left out: now.
    #[arg(long, value_parser = moment)]
    at: Option<OffsetDateTime>,
    /// When the one that is succeeded leaves, RFC 3339; left out: 30 days later. Its agent seals what it wrote until then.
    #[arg(long, value_parser = moment)]
    leaves: Option<OffsetDateTime>,
    /// Motivation; stands in the audit log.
    #[arg(long)]
    reason: String,
}

pub(super) async fn set(registry: &mut Client, args: StatusArgs, out: &mut dyn Write) -> Result<(), RemoteError> {
    let what = format!("setting the status of {}", args.oin);
    let request = v1::SetPartnerStatusRequest {
        request_id: Uuid::new_v4().to_string(),
        name: format!("partners/{}", args.oin),
        status: args.set as i32 + 1,
        reason: args.reason,
        effective_time: args.at.map(timestamp),
    };
    let partner = done(&what, registry.set_partner_status(request).await)?;
    now_is(&partner, out)?;
    Ok(())
}

pub(super) async fn succeed(registry: &mut Client, args: SucceedArgs, out: &mut dyn Write) -> Result<(), RemoteError> {
    let what = format!("naming {} as the successor of {}", args.by, args.oin);
    let request = v1::SucceedPartnerRequest {
        request_id: Uuid::new_v4().to_string(),
        name: format!("partners/{}", args.oin),
        successor: format!("partners/{}", args.by),
        effective_time: args.at.map(timestamp),
        leave_time: args.leaves.map(timestamp),
        reason: args.reason,
    };
    let partner = done(&what, registry.succeed_partner(request).await)?;
    now_is(&partner, out)?;
    Ok(())
}

pub(super) async fn list(registry: &mut Client, oin: Option<String>, out: &mut dyn Write) -> Result<(), RemoteError> {
    let name = oin.map(|oin| format!("partners/{oin}")).unwrap_or_default();
    let answer = registry.list_successions(v1::ListSuccessionsRequest { name }).await;
    let all = done("listing successions", answer)?.successions;
    writeln!(out, "{} partners are succeeded", all.len())?;
    for one in &all {
        let (from, leaves) = (day(one.effective_time.as_ref()), day(one.leave_time.as_ref()));
        writeln!(out, "{} by {} from {from}, leaves {leaves}", one.name, one.successor)?;
        writeln!(out, "  open cases to give over           {}", one.open_cases)?;
        writeln!(out, "  own records for its agent to seal {}", one.own_records)?;
        writeln!(out, "  records of others, for theirs     {}", one.other_records)?;
    }
    Ok(())
}

/// How a partner stands, or that it waits for somebody.
pub(super) fn now_is(partner: &v1::Partner, out: &mut dyn Write) -> std::io::Result<()> {
    match &partner.pending {
        None => {
            let status = partner.status().as_str_name();
            let status = status.strip_prefix("PARTNER_STATUS_").unwrap_or(status).to_lowercase();
            writeln!(out, "{} is now {status}", partner.name)?;
        }
        Some(change) => waits(change, out)?,
    }
    if let Some(open) = &partner.open_cases {
        writeln!(out, "  takes part in {} open cases and holds {} of them", open.takes_part, open.holds)?;
    }
    if partner.pending.is_some() {
        return Ok(());
    }
    if partner.status() == v1::PartnerStatus::Active && partner.accepted_covenant == 0 {
        writeln!(out, "  has not signed the covenant")?;
    }
    if !partner.successor.is_empty() {
        writeln!(out, "  its place is taken by {} from {}", partner.successor, day(partner.succeed_time.as_ref()))?;
    }
    match &partner.withdraw_time {
        Some(_) => writeln!(out, "  leaves at {}", day(partner.withdraw_time.as_ref())),
        None => Ok(()),
    }
}
