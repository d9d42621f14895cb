//! Says of registered certificates that they end, at 90, 60, 30 and 7 days: an event for the organisation, a line for the operator.
//!
//! Every node looks. The commit notes the step in the row of the certificate and is refused where it is noted already, so there
//! is one event for each certificate and step, whatever the number of nodes.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, timeout_at};

use crate::audit::{Action, Draft};
use crate::clock::{from_micros, micros};
use crate::ending::{METHOD, Step, Warning};
use crate::exchange::Exchange;
use crate::identity::KeyState;
use crate::method::Admitted;
use crate::party::{Oin, PartnerStatus};
use crate::redact::log;
use crate::registry::{Registry, state};
use crate::store::certificates::{self, CertificateRow};
use crate::store::{Changes, CommitError, Seen, Tx, Work, WorkError};
use crate::telemetry::Chain;

/// Between two looks; sooner when the registry changes. Looking costs nothing: all that it takes is in memory.
const LOOK: Duration = Duration::from_secs(3600);
/// Steps that are said in one look. A guard against a defect that loops: there are a few hundred certificates.
const MOST: usize = 10_000;

/// Looks for ever.
pub(super) async fn follow(exchange: Arc<Exchange>) {
    let mut registry = exchange.registry.subscribe();
    loop {
        count(&registry.borrow(), exchange.clock.now());
        let next = Instant::now() + LOOK;
        loop {
            registry.mark_unchanged();
            if let Err(error) = say_all(&exchange).await {
                tracing::warn!(error = %Chain(&error), "it is not in the log yet that certificates end");
            }
            match timeout_at(next, registry.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => break,
            }
        }
    }
}

/// Says what is to be said, one by one: each moves the registry on, and the next is decided on what it is then.
async fn say_all(exchange: &Exchange) -> Result<(), CommitError> {
    for _ in 0..MOST {
        let Some(ending) = next(&exchange.registry.borrow(), exchange.clock.now()) else { return Ok(()) };
        let (oin, warning) = (ending.oin.clone(), ending.warning);
        match exchange.store.run_tx(Admitted::by_configuration().office(), ending).await {
            Ok(committed) => tell(&oin, &warning, &committed.event_id),
            // Another node said it, or something changed.
            Err(CommitError::Stale) => {}
            Err(error) => return Err(error),
        }
        exchange.refresh().await?;
    }
    Ok(())
}

/// For whoever reads the hub's log. Neither key nor person stands there: the certificate may be an employee's (guarantee G11).
fn tell(oin: &Oin, warning: &Warning, event_id: &str) {
    let (organisation, event, within) = (log(oin), event_id, warning.step.days());
    let end = warning.end.format(&Rfc3339).unwrap_or_default();
    match warning.step {
        Step::Days7 => tracing::error!(
            sluis.organisation = organisation,
            tls.client.not_after = end,
            sluis.certificate.days = within,
            sluis.event = event,
            "ALARM: a registered certificate ends: renew it now"
        ),
        Step::Days30 | Step::Days60 | Step::Days90 => tracing::warn!(
            sluis.organisation = organisation,
            tls.client.not_after = end,
            sluis.certificate.days = within,
            sluis.event = event,
            "a registered certificate ends: order the next one"
        ),
    }
}

/// How many certificates are how near their end, as figures for whoever draws them from the log.
fn count(registry: &Registry, now: OffsetDateTime) {
    let needed: Vec<CertificateRow> = needed(registry).map(|row| as_used(registry, row)).collect();
    let near = |step| needed.iter().filter(|row| Step::passed(days_left(row, now)) == Some(step)).count();
    tracing::info!(
        sluis.certificates.needed = needed.len(),
        sluis.certificates.ending.within_90 = near(Step::Days90),
        sluis.certificates.ending.within_60 = near(Step::Days60),
        sluis.certificates.ending.within_30 = near(Step::Days30),
        sluis.certificates.ending.within_7 = near(Step::Days7),
        "registered certificates"
    );
}

/// Certificates that somebody will miss: neither revoked nor retired nor replaced by one that is in use, and of an organisation
/// that has not left.
fn needed(registry: &Registry) -> impl Iterator<Item = &CertificateRow> {
    let stays = |row: &&CertificateRow| {
        let entry = row.oin.parse().ok().and_then(|oin: Oin| registry.get(&oin));
        entry.is_some_and(|entry| entry.partner.status != PartnerStatus::Withdrawn)
    };
    registry
        .certificates
        .values()
        .filter(|row| matches!(state(row), KeyState::Announced | KeyState::Active))
        .filter(stays)
}

/// A certificate as long as it can be used: a supplier's no longer than the mandate.
fn as_used(registry: &Registry, row: &CertificateRow) -> CertificateRow {
    let both = row.oin.parse().ok().zip(row.via.parse().ok());
    let given = both.and_then(|(oin, via): (Oin, Oin)| registry.mandate(&oin, &via));
    let expires_at = given.map_or(row.expires_at, |mandate| mandate.ends_at.min(row.expires_at));
    CertificateRow { expires_at, ..row.clone() }
}

fn days_left(row: &CertificateRow, now: OffsetDateTime) -> i64 {
    (from_micros(row.expires_at) - now).whole_days()
}

/// The step that is to be said of a certificate. One that has ended needs no warning.
fn due(row: &CertificateRow, now: OffsetDateTime) -> Option<Step> {
    let is_news = |step: &Step| row.warned == 0 || i64::from(step.days()) < row.warned;
    Step::passed(days_left(row, now)).filter(|_| micros(now) < row.expires_at).filter(is_news)
}

/// The next one of which something is to be said.
fn next(registry: &Registry, now: OffsetDateTime) -> Option<Ending> {
    needed(registry).find_map(|row| {
        let used = as_used(registry, row);
        let warning = Warning { step: due(&used, now)?, end: from_micros(used.expires_at) };
        Some(Ending { oin: row.oin.parse().ok()?, row: row.clone(), warning, rev: registry.rev })
    })
}

struct Ending {
    oin: Oin,
    row: CertificateRow,
    warning: Warning,
    rev: i64,
}

impl Work for Ending {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen { registry: Some(self.rev), changes: Changes::Registry, ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        let CertificateRow { key_hash, expires_at, .. } = &self.row;
        if !certificates::warn(tx, key_hash, *expires_at, self.warning.step.days().into()).await? {
            return Err(WorkError::Stale);
        }
        // Nobody asked: the organisation is the one that it concerns.
        let draft = Draft {
            method: METHOD,
            action: Some(Action::Execute),
            source: self.row.oin.clone(),
            via: self.row.via.clone(),
            key_hash: key_hash.clone(),
            motivation: self.warning.to_string(),
            ..Draft::default()
        };
        Ok(((), draft))
    }
}

#[cfg(test)]
mod tests;
