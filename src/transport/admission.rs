//! Who gets in when many want to: bounds on calls and on streams, over all and per organisation. Asked at the edge, before
//! a byte of a request's body is read.
//!
//! Whoever is turned away has one audit event per organisation and minute, the first; the others are counted and said in
//! one line of the log. An event for each would be a durable write for each, so that pressing in would bring the hub down
//! after all. Nothing is done for them and nothing is said about any case, so there is nothing to hide behind the crowd.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tonic::Status;

use crate::exchange::{Call, Exchange};
use crate::ground::Refusal;
use crate::identity::Registration;
use crate::method::Method;
use crate::party::Oin;
use crate::redact::log;
use crate::serve::room::{Place, Room};
use crate::status::{early, status};
use crate::tls::{Load, PeerInfo};

/// Between two audit events of one organisation's turned-away calls.
const PAUSE: Duration = Duration::from_secs(60);
/// What all certificates get together that nobody registered, or that are no longer good: each of their calls ends in a refusal that is written down.
const STRANGERS: usize = 16;

/// How much may be under way at one time.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Calls.
    pub calls: usize,
    /// Calls of one organisation.
    pub calls_per_partner: usize,
    /// Streams that wait for something to happen.
    pub streams: usize,
    /// Such streams of one organisation.
    pub streams_per_partner: usize,
}

/// The rooms of the hub.
pub(super) struct Admission {
    calls: Arc<Room>,
    streams: Arc<Room>,
    bounds: RwLock<Bounds>,
    strangers: Arc<Load>,
    /// By partner, and whether it is what suppliers have under way in its name.
    partners: Mutex<HashMap<(Oin, bool), Arc<Load>>>,
}

/// Who is turned away.
pub(super) struct Crowd {
    load: Arc<Load>,
    /// `None`: certificates that are not registered, or no longer good.
    organisation: Option<Oin>,
}

impl Admission {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            calls: Room::for_calls(bounds.calls),
            streams: Room::for_streams(bounds.streams),
            bounds: RwLock::new(bounds),
            strangers: Arc::default(),
            partners: Mutex::default(),
        }
    }

    /// Other bounds from now on.
    pub(super) fn resize(&self, bounds: Bounds) {
        self.calls.resize(bounds.calls);
        self.streams.resize(bounds.streams);
        *self.bounds.write().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// A place for this call.
    pub(super) fn enter(&self, exchange: &Exchange, peer: &PeerInfo, method: &Method) -> Result<Place, Crowd> {
        let known = registered(exchange, peer);
        let is_known = known.is_some();
        let load = match &known {
            None => Arc::clone(&self.strangers),
            Some(Registration { via, oin, .. }) => self.partner(oin, via.is_some()),
        };
        let bounds = *self.bounds.read().unwrap_or_else(PoisonError::into_inner);
        let (room, most) = match method.deadline {
            Some(_) => (&self.calls, bounds.calls_per_partner),
            None => (&self.streams, bounds.streams_per_partner),
        };
        let most = if is_known { most } else { most.min(STRANGERS) };
        let place = room.enter(&load, most, method.places);
        place.ok_or_else(|| Crowd { load, organisation: known.map(|known| known.oin) })
    }

    /// What a partner has under way with all of its own keys, or what suppliers have under way in its name: neither takes the
    /// places of the other, nor one of a supplier's customers those of another. As many as there are partners.
    fn partner(&self, oin: &Oin, delegated: bool) -> Arc<Load> {
        let mut all = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry((oin.clone(), delegated)).or_default())
    }
}

/// How the caller's key is registered for the organisation that it shows, if it is good still: a key that was revoked, or whose
/// mandate is gone, is in nobody's places. Not whether it may call: a suspended one keeps its places, apart from the strangers'.
fn registered(exchange: &Exchange, peer: &PeerInfo) -> Option<Registration> {
    let registry = exchange.registry.borrow();
    let known = registry.registrations.registered(&peer.certificate);
    known.filter(|known| known.holds(exchange.clock.now())).cloned()
}

impl Crowd {
    /// Answers one of them.
    pub(super) async fn turn_away(self, exchange: &Exchange, call: &Call) -> Status {
        if self.load.turned_away.fetch_add(1, Ordering::Relaxed) > 0 {
            return early::too_many();
        }
        tokio::spawn(self.count());
        call.progress.begin();
        let refused = exchange.refuse(Refusal::exhausted(), true, exchange.draft(call)).await;
        if refused.event.is_some() { status(&refused) } else { early::too_many() }
    }

    /// Says after a while how many there were; whoever is turned away then has an event again.
    async fn count(self) {
        tokio::time::sleep(PAUSE).await;
        let calls = self.load.turned_away.swap(0, Ordering::Relaxed);
        match &self.organisation {
            Some(oin) => {
                tracing::warn!(organisation = log(oin), calls = log(&calls), "calls over the bound turned away")
            }
            None => tracing::warn!(
                calls = log(&calls),
                "calls of certificates that are not registered or no longer good turned away"
            ),
        }
    }
}
