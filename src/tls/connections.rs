//! The connections that are open right now, so that they can be cut (G7).

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// The chain as shown, to be verified again when anchors or CRLs change.
    pub(super) chain: Vec<CertificateDer<'static>>,
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
    pub(super) fn add(self: &Arc<Self>, peer: Arc<PeerInfo>, most: usize) -> Option<Ticket> {
        let (alive, cut) = oneshot::channel();
        let mut open = self.open();
        if open.live.values().filter(|live| same_holder(&live.peer, &peer)).count() >= most {
            return None;
        }
        let id = open.next;
        open.next += 1;
        open.live.insert(id, Live { peer, _alive: alive });
        drop(open);
        Some(Ticket { id, cut, connections: Arc::clone(self) })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // A panic elsewhere leaves the map whole: each change is a single insert or remove.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the open ones; dropping it gives the place back.
pub(super) struct Ticket {
    id: u64,
    connections: Arc<Connections>,
    /// Resolves, with an error, when the connection is cut.
    pub(super) cut: oneshot::Receiver<()>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let removed = self.connections.open().live.remove(&self.id);
        drop(removed);
    }
}

/// The same organisation; for local systems, which have none, the same key.
fn same_holder(one: &PeerInfo, other: &PeerInfo) -> bool {
    match (one.certificate.oin(), other.certificate.oin()) {
        (None, None) => one.certificate.key_hash() == other.certificate.key_hash(),
        (one, other) => one == other,
    }
}
