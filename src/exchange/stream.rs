//! What an organisation is told as it comes: its inbox, newcomers that wait for its agent, and a record's pieces.
//!
//! Every item is decided at the moment it is delivered. The stream ends the moment the caller's own standing ends: a
//! change of the registry wakes it (guarantee G7).

mod outlet;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::facts::{Facts, Found, Target};
use super::ops::inbox::cursor;
use super::ops::notice::concerns;
use super::ops::{newcomer, records};
use super::{Call, Exchange, Operation as _, Stop};
use crate::api::v1;
use crate::case::CaseFile;
use crate::clock::from_micros;
use crate::ground::Refusal;
use crate::party::Oin;
use crate::reason::Reason;
use crate::registry::Registry;
use crate::store::inbox::Item;
use crate::store::record::{RecordRow, SealRequestRow};
use crate::store::{Reader, StoreError, Wake, inbox, record};
use crate::wire::timestamp;
use outlet::{NotTaken, Outlet, outlet};

pub use outlet::{Ended, Outgoing};

/// Items that may wait for a slow reader; then the stream waits, at nobody else's cost: no connection to the store is held
/// meanwhile, and wake-ups that are missed mean one more look.
const WAITING: usize = 32;
/// Pieces of a record that may wait, of a mebibyte each.
const PIECES: usize = 1;
/// Rows read at once.
const BATCH: i64 = 64;
/// Newcomers read at once.
const NEWCOMERS: i64 = 1_000;

/// What items of an inbox are about, by the hub's ids.
#[derive(Default)]
struct Known {
    records: HashMap<String, RecordRow>,
    cases: HashMap<String, Arc<CaseFile>>,
}

/// Why a stream ends early: the reader is gone or takes nothing, or its right is gone.
enum End {
    Gone,
    Stalled,
    Stop(Stop),
}

impl From<NotTaken> for End {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::Gone => Self::Gone,
            NotTaken::Stalled => Self::Stalled,
        }
    }
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Stop(error.into())
    }
}

impl Exchange {
    /// Items after `seq`, then new ones as they come; with `drain`, until nothing is left.
    pub fn stream_inbox(
        self: &Arc<Self>,
        call: Call,
        seq: i64,
        drain: bool,
        patience: Duration,
    ) -> Outgoing<v1::InboxItem> {
        let (outlet, outgoing) = outlet(WAITING, patience);
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            let ended = hub.pump_inbox(&call, seq, drain, &outlet).await;
            Box::pin(hub.end(&call, ended, outlet)).await;
        });
        outgoing
    }

    /// Newcomers that wait for the caller's agent, now and as they come.
    pub fn stream_seal_requests(self: &Arc<Self>, call: Call, patience: Duration) -> Outgoing<v1::SealRequest> {
        let (outlet, outgoing) = outlet(WAITING, patience);
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            let ended = hub.pump_seal_requests(&call, &outlet).await;
            Box::pin(hub.end(&call, ended, outlet)).await;
        });
        outgoing
    }

    /// The pieces of a record, after the event of its release has been committed.
    pub fn stream_pieces(
        self: &Arc<Self>,
        first: v1::FetchRecordResponse,
        call: Call,
        fetch: records::FetchRecord,
        patience: Duration,
    ) -> Outgoing<v1::FetchRecordResponse> {
        let (outlet, outgoing) = outlet(PIECES, patience);
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            let ended = hub.pump_pieces(first, &call, &fetch, &outlet).await;
            Box::pin(hub.end(&call, ended, outlet)).await;
        });
        outgoing
    }

    async fn pump_pieces(
        &self,
        mut first: v1::FetchRecordResponse,
        call: &Call,
        fetch: &records::FetchRecord,
        outlet: &Outlet<v1::FetchRecordResponse>,
    ) -> Result<(), End> {
        use v1::fetch_record_response::Chunk;
        let (mut wakes, registry) = (self.store.wakes(), self.registry.subscribe());
        let mut looked = tokio::time::Instant::now();
        for seq in 0.. {
            // Anything that changed a case or the registry meanwhile may have ended the right, on another node without a word.
            let is_long_ago = looked.elapsed() >= self.store.look_again();
            if seq > 0 && (is_long_ago || has_woken(&mut wakes, |_| true) || registry.has_changed().unwrap_or(true)) {
                looked = tokio::time::Instant::now();
                let facts = self.facts(call, fetch.target()).await?;
                let told = facts.may_know(self);
                let _still = fetch.permit(self, &facts).map_err(|refusal| Stop::Refused { refusal, told })?;
            }
            let mut reader = self.store.read().await?;
            let piece = record::chunk(&mut reader, fetch.record(), seq).await?;
            drop(reader);
            let last = piece.is_none();
            first.chunk = piece.map(|piece| Chunk::Sealed(piece.into()));
            if !last || seq == 0 {
                outlet.give(std::mem::take(&mut first)).await?;
            }
            if last {
                break;
            }
        }
        Ok(())
    }

    async fn pump_inbox(
        &self,
        call: &Call,
        mut seq: i64,
        drain: bool,
        outlet: &Outlet<v1::InboxItem>,
    ) -> Result<(), End> {
        let (mut wakes, mut registry) = (self.store.wakes(), self.registry.subscribe());
        loop {
            // In a box, as everything that only working takes: most streams wait most of the time.
            let (oin, more) = Box::pin(self.pass_items(call, &mut seq, &mut wakes, &mut registry, outlet)).await?;
            if more {
                continue;
            }
            if drain && self.unwitnessed.load(Ordering::Relaxed) {
                // What is held back is no end.
                return Err(Stop::own(Refusal::denied(Reason::LogUnavailable)).into());
            }
            if drain {
                return Ok(());
            }
            let mine = |wake: &Wake| matches!(wake, Wake::Inbox(of) if of == oin.as_str()) || *wake == Wake::Anything;
            wait(&mut wakes, &mut registry, outlet, self.store.look_again(), mine).await?;
        }
    }

    /// Gives out some of the items after `seq`, and says whose they are and whether there were any.
    async fn pass_items(
        &self,
        call: &Call,
        seq: &mut i64,
        wakes: &mut broadcast::Receiver<Wake>,
        registry: &mut watch::Receiver<Arc<Registry>>,
        outlet: &Outlet<v1::InboxItem>,
    ) -> Result<(Oin, bool), End> {
        registry.mark_unchanged();
        let mut facts = self.facts(call, Target::Nothing).await?;
        let oin = facts.caller.oin().clone();
        if self.unwitnessed.load(Ordering::Relaxed) {
            return Ok((oin, false));
        }
        let mut reader = self.store.read().await?;
        let items = inbox::after(&mut reader, oin.as_str(), *seq, BATCH).await?;
        let known = self.known(&mut reader, &oin, *seq, &items).await?;
        drop(reader);
        let looked = tokio::time::Instant::now();
        let mut more = false;
        for item in items {
            // What was read is good for one item; and for those after it unless something of it changed meanwhile.
            let is_long_ago = looked.elapsed() >= self.store.look_again();
            let has_changed = |case: &str| known.cases.contains_key(case);
            if more && (is_long_ago || has_woken(wakes, has_changed) || registry.has_changed().unwrap_or(true)) {
                break;
            }
            more = true;
            *seq = item.seq;
            if let Some(shown) = self.show(&mut facts, &item, &known)? {
                let message = v1::InboxItem { cursor: cursor(&oin, *seq), ..shown };
                outlet.give(message).await?;
            }
        }
        Ok((oin, more))
    }

    /// What items are about, as it is now.
    async fn known(&self, reader: &mut Reader, oin: &Oin, after: i64, items: &[Item]) -> Result<Known, StoreError> {
        let Some(last) = items.last().map(|item| item.seq) else { return Ok(Known::default()) };
        let records = record::announced(reader, oin.as_str(), after, last).await?;
        let mut cases = HashMap::new();
        for (case_id, rev) in inbox::cases(reader, oin.as_str(), after, last).await? {
            let found = match self.store.cases().get(&case_id).filter(|case| case.rev == rev) {
                Some(case) => Found::Case(case),
                None => self.load(reader, &case_id).await?,
            };
            if let Found::Case(case) = found {
                cases.insert(case_id, case);
            }
        }
        Ok(Known { records: records.into_iter().map(|row| (row.record_id.clone(), row)).collect(), cases })
    }

    /// The item as the caller may see it now, or nothing when its right has ended since.
    fn show(&self, facts: &mut Facts, item: &Item, known: &Known) -> Result<Option<v1::InboxItem>, End> {
        let mut shown = v1::InboxItem::decode(&*item.message).map_err(|_| StoreError::Inconsistent("inbox_item"))?;
        shown.create_time = Some(timestamp(from_micros(item.created_at)));
        // The item may be younger than this node's clock, if another one wrote it: what it tells of has begun.
        facts.now = self.clock.now().max(from_micros(item.created_at));
        let case = item.case_id.as_ref().and_then(|case_id| known.cases.get(case_id));
        facts.found = case.map_or(Found::NotAsked, |case| Found::Case(Arc::clone(case)));
        let name = facts.case().and_then(|case| case.name_for(facts.caller.oin())).unwrap_or_default().to_owned();
        shown.case = if name.is_empty() { String::new() } else { format!("cases/{name}") };
        if let Some(record_id) = &item.record_id {
            let record =
                known.records.get(record_id).and_then(|row| records::show(self, facts, row, &item.role, &name));
            return Ok(record.map(|record| v1::InboxItem { item: Some(v1::inbox_item::Item::Record(record)), ..shown }));
        }
        Ok(self.may_hear(facts, &shown).then_some(shown))
    }

    /// Whoever takes part hears of changes; whoever took part hears that this ended, and nothing more.
    fn may_hear(&self, facts: &Facts, item: &v1::InboxItem) -> bool {
        use v1::case_changed::Kind;
        let Some(case) = facts.case() else { return false };
        let oin = facts.caller.oin();
        match &item.item {
            Some(v1::inbox_item::Item::Changed(changed)) if changed.kind() == Kind::RoleEnded => true,
            Some(v1::inbox_item::Item::Changed(changed)) => {
                let chosen = case.chosen.as_ref() == Some(oin);
                let mut mine = case.active(facts.now, self.terms()).filter(|a| a.partner() == Some(oin));
                mine.any(|a| concerns(changed.kind(), a.role, chosen))
            }
            _ => case.is_participant(oin, facts.now, self.terms()),
        }
    }

    async fn pump_seal_requests(&self, call: &Call, outlet: &Outlet<v1::SealRequest>) -> Result<(), End> {
        let (mut wakes, mut registry) = (self.store.wakes(), self.registry.subscribe());
        let mut told = HashSet::new();
        loop {
            registry.mark_unchanged();
            let oin = Box::pin(self.pass_seal_requests(call, &mut told, outlet)).await?;
            let mine = |wake: &Wake| matches!(wake, Wake::Seal(of) if of == oin.as_str()) || *wake == Wake::Anything;
            wait(&mut wakes, &mut registry, outlet, self.store.look_again(), mine).await?;
        }
    }

    /// Gives out who waits and was not told of yet, and says whose they are.
    async fn pass_seal_requests(
        &self,
        call: &Call,
        told: &mut HashSet<SealRequestRow>,
        outlet: &Outlet<v1::SealRequest>,
    ) -> Result<Oin, End> {
        let facts = self.facts(call, Target::Nothing).await?;
        let oin = facts.caller.oin().clone();
        if self.unwitnessed.load(Ordering::Relaxed) {
            return Ok(oin);
        }
        // No connection is held while another is waited for: streams enough would wait for one another.
        // Past those too that nobody answers: whoever waits behind them is told of as well.
        let (mut waiting, mut last) = (HashSet::new(), None);
        loop {
            let page =
                record::seal_requests(&mut self.store.read().await?, oin.as_str(), last.as_ref(), NEWCOMERS).await?;
            let Some(end) = page.last() else { break };
            last = Some(end.clone());
            for request in page {
                if !told.contains(&request) {
                    self.tell_waiting(call, &oin, &request, outlet).await?;
                }
                waiting.insert(request);
            }
        }
        *told = waiting;
        Ok(oin)
    }

    /// Gives out one who waits, if its record may go there still.
    async fn tell_waiting(
        &self,
        call: &Call,
        oin: &Oin,
        request: &SealRequestRow,
        outlet: &Outlet<v1::SealRequest>,
    ) -> Result<(), End> {
        let of_record = self.facts(call, Target::Record(&request.record_id)).await?;
        let key = record::key(&mut self.store.read().await?, &request.record_id, oin.as_str()).await?;
        let key = key.unwrap_or_default();
        // Who asked for it may have left since, and so may the author.
        let open = |row: &RecordRow| newcomer::still_open(self, &of_record, row, request);
        let message = of_record
            .record
            .as_ref()
            .filter(|(row, _)| open(row))
            .and_then(|(row, _)| newcomer::seal_request(&of_record, row, &key, request));
        if let Some(message) = message {
            outlet.give(message).await?;
        }
        Ok(())
    }

    /// Says why a stream ends. The end of a right is a refusal, and logged as one.
    async fn end<T>(&self, call: &Call, ended: Result<(), End>, outlet: Outlet<T>) {
        outlet.end(match ended {
            Ok(()) | Err(End::Gone) => None,
            Err(End::Stalled) => Some(Ended::Stalled),
            Err(End::Stop(Stop::Store(error))) => Some(Ended::Refused(super::unavailable(&error))),
            Err(End::Stop(Stop::Logged(refused))) => Some(Ended::Refused(refused)),
            Err(End::Stop(Stop::Refused { refusal, told })) => {
                Some(Ended::Refused(self.refuse(refusal, told, self.draft(call)).await))
            }
        });
    }
}

/// Whether one of these cases or the registry changed since this was asked last.
fn has_woken(wakes: &mut broadcast::Receiver<Wake>, mine: impl Fn(&str) -> bool) -> bool {
    use broadcast::error::TryRecvError;
    let mut woken = false;
    loop {
        match wakes.try_recv() {
            Ok(Wake::Case(case)) => woken |= mine(&case),
            Ok(Wake::Registry | Wake::Anything) | Err(TryRecvError::Lagged(_)) => woken = true,
            Ok(Wake::Inbox(_) | Wake::Seal(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return woken,
        }
    }
}

/// Waits until something of interest happened, the reader is gone, or it is time to look again. A change of the registry
/// is waited for in its picture: the word that it changed may come before the picture does.
async fn wait<T>(
    wakes: &mut broadcast::Receiver<Wake>,
    registry: &mut watch::Receiver<Arc<Registry>>,
    outlet: &Outlet<T>,
    patience: Duration,
    mine: impl Fn(&Wake) -> bool,
) -> Result<(), End> {
    let wait = async {
        loop {
            match wakes.recv().await {
                Ok(wake) if mine(&wake) => return Ok(()),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Ok(()),
                Err(RecvError::Closed) => return Err(End::Stop(Stop::Store(StoreError::Busy))),
            }
        }
    };
    tokio::select! {
        woken = wait => woken,
        changed = registry.changed() => changed.map_err(|_| End::Stop(Stop::Store(StoreError::Busy))),
        () = outlet.closed() => Err(End::Gone),
        () = tokio::time::sleep(patience) => Ok(()),
    }
}
