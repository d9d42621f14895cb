//! A call as the edge hands it to the request path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::identity::PeerCertificate;
use crate::method::Method;
use crate::version::Client;

/// One call, as the edge saw it.
#[derive(Clone)]
pub struct Call {
    /// The verified certificate of the connection.
    pub certificate: PeerCertificate,
    /// The row of the method.
    pub method: &'static Method,
    /// What calls, as it says itself.
    pub client: Client,
    /// W3C trace-id, or empty.
    pub trace_id: String,
    /// How far it has come.
    pub progress: Progress,
}

/// Whether anything of a call has been handed to the store. Asked when a call ends early: what was handed over may be
/// committed all the same.
#[derive(Clone, Default)]
pub struct Progress(Arc<AtomicBool>);

impl Progress {
    /// From now on the call may have an event.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it may have one.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
