//! The end of retention: events older than the covenant keeps their kind are erased, under an event of their own; and what a
//! database keeps of erased values in files of its own goes too.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Action, Draft, Group};
use crate::clock::micros;
use crate::covenant::parameters::Log;
use crate::exchange::Exchange;
use crate::exchange::ops::erase::{MOST, erasing};
use crate::method::Admitted;
use crate::redact::log;
use crate::store::erasure::{Erasable, Erasing, Kind, Which, erasable, retained};
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

/// Looks for ever.
pub(super) async fn follow(exchange: Arc<Exchange>) {
    loop {
        for kind in Kind::ALL {
            if let Err(error) = end(&exchange, kind).await {
                tracing::warn!(error = %Chain(&error), kind = kind.code(), "events past their retention are not erased yet");
            }
        }
        if tokio::time::timeout(LOOK, exchange.erased.notified()).await.is_ok() {
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

async fn end(exchange: &Exchange, kind: Kind) -> Result<(), CommitError> {
    let terms = &exchange.terms().log;
    let years = match kind {
        Kind::Casus => terms.casus_years,
        Kind::Beheer => terms.beheer_years,
        Kind::Log => terms.log_years,
    };
    let until = micros(Log::years_before(exchange.clock.now(), years));
    loop {
        let mut reader = exchange.store.read().await?;
        let after = retained(&mut reader, Some(kind)).await?;
        let which = Which::Between { kind: Some(kind), after, until };
        let events = erasable(&mut reader, &which, MOST).await?;
        drop(reader);
        let Some(last) = events.last().cloned() else { return Ok(()) };
        let erasing = erasing(&events, &Group::ALL, &[])?;
        let count = erasing.len();
        let work = Ended { kind, years, last, erasing };
        exchange.store.run_tx(Admitted::by_configuration().office(), work).await?;
        exchange.erased.notify_one();
        tracing::info!(events = log(&count), kind = kind.code(), "events past their retention are erased");
    }
}

struct Ended {
    kind: Kind,
    years: u8,
    last: Erasable,
    erasing: Vec<Erasing>,
}

impl Work for Ended {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen::default()
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        tx.erase(&self.erasing).await?;
        tx.retained(Some(self.kind), self.last.at, &self.last.event_id).await?;
        let draft = Draft {
            method: METHOD,
            action: Some(Action::Delete),
            motivation: format!("bewaartermijn van {} jaar verstreken ({})", self.years, self.kind.code()),
            erases: self.erasing.iter().map(|event| (event.event_id.clone(), event.places.clone())).collect(),
            ..Draft::default()
        };
        Ok(((), draft))
    }
}
