//! From a listening socket to verified connections, as tonic's `serve_with_incoming_shutdown` takes them.
//!
//! Own accept loop, because tonic's has no limit on handshakes, ignores `TCP_NODELAY` for foreign streams and can't
//! cut a connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::connections::{Connections, PeerInfo, Ticket};
use super::crowd::{Crowd, PerAddress, Turn};
use super::failure::{Failure, Failures};
use super::refusals::{Refusals, Shown};
use super::server::ServerTls;
use crate::trust::Fault;

/// How long to wait when the operating system gives no connection: file descriptors come back, a busy loop does not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Verified connections waiting for tonic to take them.
const READY: usize = 16;

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for a handshake.
    pub handshake: Duration,
    /// Handshakes at a time; more wait in the kernel.
    pub handshakes: usize,
    /// What one address may take of them; more are refused.
    pub per_address: PerAddress,
    /// Connections at a time, those in their handshake included; more are refused.
    pub connections: usize,
    /// Connections at a time with one key; more are refused.
    pub per_key: usize,
    /// A connection that takes nothing of what is sent to it for this long is cut.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            handshakes: 256,
            per_address: PerAddress::default(),
            connections: 4096,
            per_key: 256,
            stall: Duration::from_secs(60),
        }
    }
}

/// Verified connections. Dropping it closes the listening socket.
pub type Incoming = ReceiverStream<Result<TlsConnection, Infallible>>;

/// The handle on a listener: reload, cut, count.
pub struct Gate {
    tls: watch::Sender<Arc<ServerTls>>,
    limits: watch::Sender<Limits>,
    is_closed: watch::Sender<bool>,
    connections: Arc<Connections>,
    failures: Arc<Failures>,
    refusals: Arc<Refusals>,
}

impl Gate {
    /// Starts to accept on `listener`, within the current tokio runtime.
    pub fn open(listener: TcpListener, tls: ServerTls, limits: Limits) -> (Self, Incoming) {
        let (sender, receiver) = watch::channel(Arc::new(tls));
        let connections = Arc::new(Connections::default());
        let failures = Arc::new(Failures::default());
        let refusals = Arc::new(Refusals::default());
        let (ready, incoming) = mpsc::channel(READY);
        let (is_closed, closed) = watch::channel(false);
        let (limits, limited) = watch::channel(limits);
        let door = Door {
            tls: receiver,
            connections: Arc::clone(&connections),
            failures: Arc::clone(&failures),
            refusals: Arc::clone(&refusals),
            crowd: Arc::default(),
            limits: limited,
            ready,
        };
        tokio::spawn(accept(listener, door, closed));
        (Self { tls: sender, limits, is_closed, connections, failures, refusals }, ReceiverStream::new(incoming))
    }

    /// Closes the listening socket. Handshakes under way are finished; then the stream of connections ends.
    pub fn close(&self) {
        self.is_closed.send_replace(true);
    }

    /// Replaces keys, anchors, CRLs or rules. Open connections stay, unless the new ones would not let them in:
    /// those are cut, and their number returned.
    pub fn reload(&self, tls: ServerTls) -> usize {
        // First the new rules, then the sweep: a handshake in between is checked by `settle`.
        self.tls.send_replace(Arc::new(tls));
        self.sweep()
    }

    /// Sets other limits, for whoever comes from now on.
    pub fn limit(&self, limits: Limits) {
        self.limits.send_replace(limits);
    }

    /// Cuts what would not be let in now, as when a certificate or a CRL has expired since. Returns how many.
    ///
    /// Verifies every open chain, a fraction of a millisecond each: with thousands of connections call it where it may
    /// block. Once a minute is enough; what the registry knows is asked on every request.
    pub fn sweep(&self) -> usize {
        let tls = Arc::clone(&self.tls.borrow());
        self.connections.cut_where(|peer| tls.verify(&peer.chain).is_err())
    }

    /// The open connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Whose certificates were refused lately, and why.
    pub fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// What went wrong so far.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }
}

/// What every handshake needs.
#[derive(Clone)]
struct Door {
    tls: watch::Receiver<Arc<ServerTls>>,
    connections: Arc<Connections>,
    failures: Arc<Failures>,
    refusals: Arc<Refusals>,
    crowd: Arc<Crowd>,
    limits: watch::Receiver<Limits>,
    ready: mpsc::Sender<Result<TlsConnection, Infallible>>,
}

async fn accept(listener: TcpListener, door: Door, mut closed: watch::Receiver<bool>) {
    let mut limits = door.limits.clone();
    let (handshakes, places) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let turned = Arc::new(Notify::new());
    loop {
        let next = async {
            // Those who wait for their turn wait in the kernel.
            let turn = loop {
                let most = limits.borrow_and_update().handshakes;
                if let Some(turn) = Place::take(&handshakes, most) {
                    break turn;
                }
                tokio::select! {
                    () = turned.notified() => {}
                    Ok(()) = limits.changed() => {}
                }
            };
            (turn, listener.accept().await)
        };
        let (turn, accepted) = tokio::select! {
            () = door.ready.closed() => return,
            // A listener whose handle is gone goes on.
            Ok(_) = closed.wait_for(|is_closed| *is_closed) => return,
            next = next => next,
        };
        let Ok((stream, remote)) = accepted else {
            door.failures.record(Failure::Accept);
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let most = *door.limits.borrow();
        let Some(own_turn) = door.enter(remote, most.per_address) else { continue };
        let Some(place) = Place::take(&places, most.connections) else {
            door.failures.record(Failure::Full);
            continue;
        };
        let (door, turned) = (door.clone(), Arc::clone(&turned));
        tokio::spawn(async move {
            let admitted = door.admit(stream, remote, place).await;
            drop(own_turn);
            match admitted {
                // Nobody takes connections any more: the process is stopping.
                Ok(connection) => drop(door.ready.send(Ok(connection)).await),
                Err(failure) => door.failures.record(failure),
            }
            drop(turn);
            turned.notify_one();
        });
    }
}

/// One of so many; given back when it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    /// None, when `most` are taken.
    fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = (taken.fetch_add(1, Ordering::Relaxed), Self(Arc::clone(taken)));
        (place.0 < most).then_some(place.1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    /// A turn for this address. Without one the connection is closed before a byte of it is read.
    fn enter(&self, remote: SocketAddr, most: PerAddress) -> Option<Turn> {
        let turn = self.crowd.enter(remote.ip(), most, Instant::now());
        if turn.is_none() {
            self.failures.record(Failure::Crowded);
            self.refusals.add_address(Failure::Crowded, remote.ip(), self.current().now());
            if let Some(refused) = self.crowd.turned_away(Instant::now()) {
                tracing::error!(refused, "ALARM: one address opens more connections than it may; operators see which");
            }
        }
        turn
    }

    async fn admit(&self, stream: TcpStream, remote: SocketAddr, place: Place) -> Result<TlsConnection, Failure> {
        let limits = *self.limits.borrow();
        stream.set_nodelay(true).map_err(|_| Failure::Closed)?;
        let tls = self.current();
        let verifier = Arc::new(tls.verifier());
        let config = tls.config(&verifier).map_err(|_| Failure::Protocol)?;
        let handshake = TlsAcceptor::from(config).accept(stream);
        let shaken = tokio::time::timeout(limits.handshake, handshake).await.map_err(|_| Failure::Timeout)?;
        let certificate = verifier.verdict().transpose().map_err(|(refused, shown)| {
            let fault = refused.fault;
            self.refusals.add(refused, shown, remote.ip(), tls.now());
            fault
        })?;
        let stream = shaken.map_err(|error| {
            let failure = Failure::of_handshake(&error);
            if let Failure::Certificate(fault) = failure {
                self.refusals.add(fault.into(), Shown::default(), remote.ip(), tls.now());
            }
            failure
        })?;
        let session = stream.get_ref().1;
        let certificate = certificate.ok_or(Fault::NoCertificate)?;
        let added = self.connections.add(certificate, remote, session, limits.per_key);
        let (peer, ticket) = added.ok_or(Failure::Full)?;
        self.settle(&peer, tls)?;
        let stall = Stall { most: limits.stall, timer: None };
        Ok(TlsConnection { stream, peer, ticket, is_cut: false, stall, _place: place })
    }

    /// A reload during the handshake swept before this connection was on the list: verify it by the newest rules.
    fn settle(&self, peer: &PeerInfo, mut used: Arc<ServerTls>) -> Result<(), Failure> {
        loop {
            let current = self.current();
            if Arc::ptr_eq(&current, &used) {
                return Ok(());
            }
            current.verify(&peer.chain)?;
            used = current;
        }
    }

    fn current(&self) -> Arc<ServerTls> {
        Arc::clone(&self.tls.borrow())
    }
}

/// A verified connection that ends with an error once it is cut.
pub struct TlsConnection {
    stream: TlsStream<TcpStream>,
    peer: Arc<PeerInfo>,
    ticket: Ticket,
    is_cut: bool,
    stall: Stall,
    _place: Place,
}

/// How long the other end has taken nothing. HTTP/2 asks a silent peer for a sign of life, and when none comes wants to say
/// goodbye first: to a peer that is gone, or reads nothing, it would never get that out.
struct Stall {
    most: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// Passes on what came of an attempt to send, unless nothing has been taken for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, attempt: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.timer = None;
            return attempt;
        }
        let most = self.most;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl TlsConnection {
    /// Also registers the task to be woken by a cut. HTTP/2 reads and writes a connection in one task.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || Pin::new(&mut self.ticket.cut).poll(cx).is_ready();
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Connected for TlsConnection {
    type ConnectInfo = Arc<PeerInfo>;

    fn connect_info(&self) -> Arc<PeerInfo> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        let attempt = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.stall.watch(cx, attempt)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        let attempt = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.stall.watch(cx, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        let attempt = Pin::new(&mut self.stream).poll_flush(cx);
        self.stall.watch(cx, attempt)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        let attempt = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.stall.watch(cx, attempt)
    }
}
