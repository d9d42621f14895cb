//! The end of retention: events older than the covenant keeps their kind are erased, under an event of their own; and what a
//! database keeps of erased values in files of its own goes too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::audit::{Action, Draft, Group, Kind};
use crate::clock::{from_micros, micros};
use crate::covenant::parameters::Log;
use crate::exchange::Exchange;
use crate::exchange::ops::erase::{Batch, MOST};
use crate::method::Admitted;
use crate::redact::log;
use crate::store::erasure::{Which, erasable, retained, settled_time};
use crate::store::scrub::{Waiting, waiting};
use crate::store::{CommitError, Seen, StoreError, Tx, Work, WorkError};
use crate::telemetry::Chain;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(3600);
/// From one time that a file is written anew to the next: commits wait meanwhile.
const ANEW: Duration = Duration::from_secs(24 * 3600);
/// From the word that something is erased until it is committed.
const SOON: Duration = Duration::from_secs(1);
const SURELY: Duration = Duration::from_secs(30);
/// How often a database that is in use is asked again.
const TIMES: usize = 60;

/// The method under which erasures stand in the log.
const METHOD: &str = "sluis.v1.Audit/EraseEvents";

/// Batches of a kind in one look: whoever reads the log has hours to notice that a clock is wrong.
const BATCHES: usize = 10;
/// How long a log may be silent before the clock is doubted.
const SILENCE: Duration = Duration::from_secs(31 * 24 * 3600);

/// How long what was erased may stand in the database's files: whoever asks for an erasure is answered within a month (GDPR article
/// 12(3)), and between two runs of a monthly timer there is no more.
const STANDS: time::Duration = time::Duration::days(31);

/// Looks for ever.
pub(super) async fn follow(exchange: Arc<Exchange>) {
    let (started, base) = (Instant::now(), base(&exchange).await);
    let mut tried: Option<Instant> = None;
    loop {
        let now = exchange.clock.now();
        let believed = base.map_or(now, |base| now.min(base + SILENCE + started.elapsed()));
        if believed < now {
            tracing::error!(
                "ALARM: the clock is far ahead of the log: nothing is erased for its age before the log has gone on for a month"
            );
        }
        for kind in Kind::ALL {
            if let Err(error) = end(&exchange, kind, believed).await {
                tracing::warn!(error = %Chain(&error), kind = kind.code(), "events past their retention are not erased yet");
            }
        }
        if tried.is_none_or(|tried| tried.elapsed() >= ANEW) && rewrite(&exchange).await {
            tried = Some(Instant::now());
        }
        // What a process that ended left in the write-ahead log, or what could not go since.
        scrub(&exchange).await;
        if let Err(error) = tell(&exchange).await {
            tracing::warn!(error = %Chain(&error), "whether erased values still stand in the database's files is not known");
        }
        // Whatever is erased meanwhile, the next look is an hour away.
        let next = tokio::time::Instant::now() + LOOK;
        while tokio::time::timeout_at(next, exchange.erased.notified()).await.is_ok() {
            // What is told of is committed soon; and certainly by the second time.
            for after in [SOON, SURELY] {
                tokio::time::sleep(after).await;
                scrub(&exchange).await;
            }
        }
    }
}

/// The time of the log that this process found: of its newest event, or of the last one before a month without any. A clock that
/// was set years ahead is not believed because a process has written a few events by it.
async fn base(exchange: &Exchange) -> Option<OffsetDateTime> {
    let newest = exchange.store.found()?;
    let found = async { settled_time(&mut exchange.store.read().await?, micros(newest), SILENCE).await };
    match found.await {
        Ok(at) => Some(from_micros(at)),
        // Then nothing is erased that would not have been at the beginning of time.
        Err(_) => Some(OffsetDateTime::UNIX_EPOCH),
    }
}

/// Where its pages were split a SQLite file has what was erased until it is written anew. Says whether that was tried.
async fn rewrite(exchange: &Exchange) -> bool {
    let started = Instant::now();
    let done = match exchange.store.is_to_be_rewritten(ANEW).await {
        Ok(false) => return false,
        Ok(true) => exchange.store.rewrite().await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => {
            tracing::info!(took = ?started.elapsed(), "the database's file is written anew, without what was erased")
        }
        Err(error) => tracing::warn!(
            error = %Chain(&error),
            "the database's file can't be written anew, and still has what was erased: it takes as much room again, twice"
        ),
    }
    true
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

/// Says for how long erased values have stood in the database's files. A SQLite file is scrubbed by the hub that has it open, a
/// server by `sluis hub scrub`.
async fn tell(exchange: &Exchange) -> Result<(), StoreError> {
    let waiting = waiting(&mut exchange.store.read().await?).await?;
    let age = age(&waiting, exchange.clock.now());
    let days = age.whole_days();
    tracing::info!(
        sluis.erasures.waiting = waiting.erasures,
        sluis.erasures.waiting_days = days,
        "erased values in the database's files"
    );
    if age > STANDS {
        tracing::error!(
            sluis.erasures.waiting = waiting.erasures,
            sluis.erasures.waiting_days = days,
            "ALARM: what was erased has stood in the database's files for more than a month: run sluis hub scrub"
        );
    }
    Ok(())
}

/// How long the oldest of them has waited.
fn age(waiting: &Waiting, now: OffsetDateTime) -> time::Duration {
    waiting.oldest.map_or(time::Duration::ZERO, |oldest| now - from_micros(oldest))
}

/// Erases what is older than its kind is kept, by a time that is believed: nothing can be brought back.
async fn end(exchange: &Exchange, kind: Kind, believed: OffsetDateTime) -> Result<(), CommitError> {
    let terms = &exchange.terms().log;
    let years = terms.years(kind);
    let until = micros(Log::years_before(believed, years));
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
    use super::*;

    #[test]
    fn erased_values_may_stand_for_as_long_as_between_two_monthly_scrubs() {
        let erased = from_micros(1_800_000_000_000_000);
        let waiting = Waiting { erasures: 1, oldest: Some(micros(erased)) };
        let month = time::Duration::days(31);
        let is_late = |waiting: &Waiting, after| age(waiting, erased + after) > STANDS;
        assert!(!is_late(&waiting, month) && is_late(&waiting, month + time::Duration::SECOND));
        assert!(!is_late(&Waiting::default(), time::Duration::days(400)), "nothing waits");
    }
}
