//! The connections that are open right now, so that they can be cut (G7).

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use crate::identity::{KeyHash, PeerCertificate};
use crate::party::Oin;

/// Who is at the other end of a connection: the `ConnectInfo` of every request, as `Arc<PeerInfo>`.
pub struct PeerInfo {
    /// The certificate, verified and read.
    pub certificate: PeerCertificate,
    /// Where the connection comes from.
    pub remote: SocketAddr,
    /// What its key has under way, over all of its connections.
    pub load: Arc<Load>,
    since: Instant,
    under_way: AtomicUsize,
    /// Milliseconds after `since`: when the last call ended.
    last: AtomicU64,
    /// What was agreed on in the handshake.
    pub agreed: Agreed,
    /// The chain as shown, to be verified again when anchors or CRLs change.
    pub(super) chain: Vec<CertificateDer<'static>>,
}

impl PeerInfo {
    /// A call begins on this connection.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// For how long nothing is under way on this connection; zero: something is.
    pub fn idle(&self) -> Duration {
        if self.under_way.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.since.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    /// The certificate as shown.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }
}

/// A call on a connection, until its answer is complete; whoever cuts the connection asks for it.
pub struct UnderWay(Arc<PeerInfo>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let peer = &self.0;
        peer.last.store(u64::try_from(peer.since.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        peer.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was agreed on in a handshake, by the names of IANA's registries; empty where the library does not say.
#[derive(Debug, Clone, Default)]
pub struct Agreed {
    /// Of TLS.
    pub version: String,
    /// Cipher suite.
    pub suite: String,
    /// Key exchange.
    pub group: String,
    /// ALPN.
    pub protocol: String,
}

impl Agreed {
    pub(super) fn of(session: &ServerConnection) -> Self {
        let version = session.protocol_version().map(|version| format!("{version:?}").replace('_', "."));
        let suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let group = session.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        let protocol = session.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
        Self {
            version: version.unwrap_or_default(),
            suite: suite.unwrap_or_default().replace("TLS13_", "TLS_"),
            group: group.unwrap_or_default().to_ascii_lowercase(),
            protocol: protocol.unwrap_or_default(),
        }
    }
}

/// What one holder of a key, or one organisation, has under way. Counted by whoever serves the calls; kept here, because here is known which connections
/// are one holder's, and a call finds its counters without looking them up.
#[derive(Debug, Default)]
pub struct Load {
    /// Places that its calls take.
    pub calls: AtomicUsize,
    /// Streams that wait for it.
    pub streams: AtomicUsize,
    /// Calls turned away since that was last said.
    pub turned_away: AtomicU64,
}

/// Leaves out the address.
impl fmt::Debug for PeerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerInfo").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// The open connections of one listener.
#[derive(Default)]
pub struct Connections(Mutex<Open>);

#[derive(Default)]
struct Open {
    next: u64,
    live: HashMap<u64, Live>,
    holders: HashMap<Holder, Held>,
}

/// The same key of the same organisation. Not the organisation alone: a supplier has a key for each of its customers, and
/// whoever stole one of them takes no place of the others.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Holder {
    oin: Option<Oin>,
    key: KeyHash,
}

impl Holder {
    fn of(certificate: &PeerCertificate) -> Self {
        Self { oin: certificate.oin().cloned(), key: certificate.key_hash() }
    }
}

/// What one holder has. The load outlives the connections for as long as somebody counts in it, so that connecting anew
/// does not start at nothing.
#[derive(Default)]
struct Held {
    connections: usize,
    load: Weak<Load>,
}

struct Live {
    peer: Arc<PeerInfo>,
    /// Never sent on: dropping it is the cut.
    _alive: oneshot::Sender<()>,
}

impl Connections {
    /// How many are open.
    pub fn len(&self) -> usize {
        self.open().live.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts all connections of an organisation and of its people. Returns how many.
    pub fn cut(&self, oin: &Oin) -> usize {
        self.cut_where(|peer| peer.certificate.oin() == Some(oin))
    }

    /// Cuts all connections of one key. Returns how many.
    pub fn cut_key(&self, key: KeyHash) -> usize {
        self.cut_where(|peer| peer.certificate.key_hash() == key)
    }

    /// Cuts every connection that `doomed` points out, as after a change in the registry. Returns how many.
    ///
    /// The lock is not held while `doomed` runs or connections end.
    pub fn cut_where(&self, mut doomed: impl FnMut(&PeerInfo) -> bool) -> usize {
        let peers: Vec<(u64, Arc<PeerInfo>)> =
            self.open().live.iter().map(|(id, live)| (*id, Arc::clone(&live.peer))).collect();
        let mut cut = 0;
        for (id, _) in peers.into_iter().filter(|(_, peer)| doomed(peer)) {
            let removed = self.open().live.remove(&id);
            cut += usize::from(removed.is_some());
        }
        cut
    }

    /// Adds a connection, unless its holder already has `most`.
    pub(super) fn add(
        self: &Arc<Self>,
        certificate: PeerCertificate,
        remote: SocketAddr,
        session: &ServerConnection,
        most: usize,
    ) -> Option<(Arc<PeerInfo>, Ticket)> {
        let (alive, cut) = oneshot::channel();
        let holder = Holder::of(&certificate);
        let shown = session.peer_certificates().unwrap_or_default();
        let chain = shown.iter().map(|der| der.clone().into_owned()).collect();
        let agreed = Agreed::of(session);
        let mut open = self.open();
        let held = open.holders.entry(holder.clone()).or_default();
        if held.connections >= most {
            return None;
        }
        held.connections += 1;
        let load = held.load.upgrade().unwrap_or_default();
        held.load = Arc::downgrade(&load);
        let (since, under_way, last) = (Instant::now(), AtomicUsize::new(0), AtomicU64::new(0));
        let peer = Arc::new(PeerInfo { certificate, remote, load, since, under_way, last, agreed, chain });
        let id = open.next;
        open.next += 1;
        open.live.insert(id, Live { peer: Arc::clone(&peer), _alive: alive });
        drop(open);
        Some((peer, Ticket { id, holder, cut, connections: Arc::clone(self) }))
    }

    /// Takes a connection off the list.
    fn remove(&self, id: u64, holder: &Holder) {
        let mut open = self.open();
        let removed = open.live.remove(&id);
        if let Some(held) = open.holders.get_mut(holder) {
            held.connections -= 1;
            if held.connections == 0 && held.load.strong_count() <= removed.iter().count() {
                open.holders.remove(holder);
            }
        }
        // The peer's own memory is freed without the lock.
        drop(open);
        drop(removed);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // A panic elsewhere leaves the map whole: each change is a single insert or remove.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the open ones; dropping it gives the place back.
pub(super) struct Ticket {
    id: u64,
    holder: Holder,
    connections: Arc<Connections>,
    /// Resolves, with an error, when the connection is cut.
    pub(super) cut: oneshot::Receiver<()>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.remove(self.id, &self.holder);
    }
}
