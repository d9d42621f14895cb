//! The end of retention: events older than the covenant keeps their kind are erased, under an event of their own; and what a
//! database keeps of erased values in files of its own goes too.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::audit::{Action, Draft, Group};
use crate::clock::micros;
use crate::covenant::parameters::Log;
use crate::exchange::Exchange;
use crate::exchange::ops::erase::{Batch, MOST};
use crate::method::Admitted;
use crate::redact::log;
use crate::store::erasure::{Kind, Which, erasable, retained};
use crate::store::{CommitError, Seen, Tx, Work, WorkError};
use crate::telemetry::Chain;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(3600);
/// From the word that something is erased until it is committed.
const SOON: Duration = Duration::from_secs(1);
/// How often a database that is in use is asked again.
const TIMES: usize = 60;

/// The method under which erasures stand in the log.
const METHOD: &str = "sluis.v1.Audit/EraseEvents";

/// Batches of a kind in one look: whoever reads the log has hours to notice that a clock is wrong.
const BATCHES: usize = 10;
/// How long a log may have been silent before the clock is doubted.
const SILENCE: Duration = Duration::from_secs(31 * 24 * 3600);

/// Looks for ever. What a process that ended left in the write-ahead log goes first.
pub(super) async fn follow(exchange: Arc<Exchange>) {
    scrub(&exchange).await;
    let newest = exchange.store.found();
    loop {
        for kind in Kind::ALL {
            if let Err(error) = end(&exchange, kind, newest).await {
                tracing::warn!(error = %Chain(&error), kind = kind.code(), "events past their retention are not erased yet");
            }
        }
        if tokio::time::timeout(LOOK, exchange.erased.notified()).await.is_ok() {
            // It is committed by then, or soon after: a later look at the file finds it empty.
            tokio::time::sleep(SOON).await;
            scrub(&exchange).await;
        }
    }
}

/// What was overwritten stands in the write-ahead log until that is emptied.
async fn scrub(exchange: &Exchange) {
    for _ in 0..TIMES {
        match exchange.store.scrub().await {
            Ok(true) => return,
            Ok(false) => tokio::time::sleep(SOON).await,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the write-ahead log can't be emptied of what was erased");
                return;
            }
        }
    }
    tracing::warn!("the write-ahead log still holds what was erased: it is in use all the time");
}

/// The moment before which events of a kind go; `newest` is the time of the newest event that the process found at its start. A
/// clock that stands years ahead must not erase years: nothing can be brought back.
fn cut_off(now: OffsetDateTime, newest: Option<OffsetDateTime>, years: u8) -> OffsetDateTime {
    let believed = newest.map_or(now, |newest| now.min(newest + SILENCE));
    Log::years_before(believed, years)
}

async fn end(exchange: &Exchange, kind: Kind, newest: Option<OffsetDateTime>) -> Result<(), CommitError> {
    let terms = &exchange.terms().log;
    let years = match kind {
        Kind::Casus => terms.casus_years,
        Kind::Beheer => terms.beheer_years,
        Kind::Log => terms.log_years,
    };
    let until = micros(cut_off(exchange.clock.now(), newest, years));
    for _ in 0..BATCHES {
        let mut reader = exchange.store.read().await?;
        let after = retained(&mut reader, Some(kind)).await?;
        let which = Which::Between { kind: Some(kind), after, until };
        let events = erasable(&mut reader, &which, MOST).await?;
        drop(reader);
        let batch = Batch::of(&events, &Group::ALL, &[])?;
        let Some(last) = batch.last.clone() else { return Ok(()) };
        let count = batch.erasing.len();
        exchange.store.run_tx(Admitted::by_configuration().office(), Ended { kind, years, last, batch }).await?;
        exchange.erased.notify_one();
        tracing::warn!(events = log(&count), kind = kind.code(), "events past their retention are erased");
    }
    Ok(())
}

struct Ended {
    kind: Kind,
    years: u8,
    last: (i64, String),
    batch: Batch,
}

impl Work for Ended {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen::default()
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        tx.erase(&self.batch.erasing).await?;
        tx.retained(Some(self.kind), self.last.0, &self.last.1).await?;
        let draft = Draft {
            method: METHOD,
            action: Some(Action::Delete),
            motivation: format!("bewaartermijn van {} jaar verstreken ({})", self.years, self.kind.code()),
            erases: self.batch.erases(),
            ..Draft::default()
        };
        Ok(((), draft))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_clock_that_stands_years_ahead_erases_nothing_that_is_young() {
        let newest = Some(datetime!(2033-06-01 12:00 UTC));
        let table = [
            (datetime!(2033-06-02 12:00 UTC), newest, datetime!(2026-06-02 12:00 UTC)),
            (datetime!(2033-07-01 12:00 UTC), newest, datetime!(2026-07-01 12:00 UTC)),
            (datetime!(2040-06-02 12:00 UTC), newest, datetime!(2026-07-02 12:00 UTC)),
            (datetime!(2032-02-29 12:00 UTC), None, datetime!(2025-02-28 12:00 UTC)),
        ];
        for (now, newest, expected) in table {
            assert_eq!(cut_off(now, newest, 7), expected, "{now}");
        }
    }
}
