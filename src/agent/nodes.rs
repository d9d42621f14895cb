//! The nodes of the hub. They serve the same; the agent talks to one of them, and to the next when that one can't be
//! reached or says that it is unavailable.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use super::links::{HUB, Link, asked_for_life};
use super::refusal::{is_caused_by, is_unanswered, upstream};
use crate::inspect::Look;
use crate::redact::log;

/// Pace of the watch while the hub is reached, and while it is not.
const WATCHING: Duration = Duration::from_secs(10);
const SEEKING: Duration = Duration::from_millis(300);
/// What the log says when the agent has gone over to another node.
pub(crate) const MOVED: &str = "the agent talks to another node of the hub now";
/// No node has answered yet.
const NOBODY: usize = usize::MAX;

/// Whether a call may be made again although it may have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The hub knows a repeat by its request id, or a repeat changes nothing.
    Yes,
    /// Whoever made the call decides.
    No,
}

impl Again {
    pub(super) const fn by(look: &Look) -> Self {
        if look.identified { Self::Yes } else { Self::No }
    }
}

/// The hub, by its nodes.
pub(super) struct Nodes {
    first: Link,
    others: Vec<Link>,
    /// The one that the next call goes to.
    current: AtomicUsize,
    /// The one that answered last.
    answered: AtomicUsize,
    reached: watch::Sender<bool>,
    /// Something failed: the watch should look.
    doubted: Notify,
}

/// One node.
#[derive(Clone)]
pub(super) struct Node {
    index: usize,
    pub(super) channel: Channel,
}

/// A connection to a node, so that another one is seen to be another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) node: usize,
    pub(super) number: u64,
}

impl Nodes {
    /// The links to all of them.
    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(super) fn new(first: Link, others: Vec<Link>) -> Self {
        Self {
            first,
            others,
            current: AtomicUsize::new(0),
            answered: AtomicUsize::new(NOBODY),
            reached: watch::Sender::new(false),
            doubted: Notify::new(),
        }
    }

    /// Makes a call at the current node; at the next one if the call certainly was not carried out, or may be made again.
    /// Every node is asked once at most.
    ///
    /// # Errors
    /// What the last node said, or that there was no answer.
    pub(super) async fn call<T, F>(&self, again: Again, mut call: impl FnMut(Node) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let start = self.current.load(Ordering::SeqCst);
        let mut further = 1..self.count();
        let mut node = self.node(start);
        loop {
            let status = match call(node.clone()).await {
                Err(status) if is_gone(&status) => status,
                answer => {
                    self.has_answered(&node);
                    return answer;
                }
            };
            self.leave(&node);
            match further.next() {
                Some(nth) if again == Again::Yes || was_never_sent(&status) => node = self.node(start + nth),
                _ => return Err(status),
            }
        }
    }

    /// A node that is there, after a sign of life.
    ///
    /// # Errors
    /// UNAVAILABLE when there is none.
    pub(super) async fn living(&self) -> Result<Node, Status> {
        let look = |node: Node| async move {
            match asked_for_life(&node.channel).await {
                Some(Err(status)) if is_unanswered(&status) => Err(status),
                Some(Ok(answer)) if answer.get_ref().status() == ServingStatus::NotServing => {
                    Err(Status::unavailable("this node of the hub is not ready; call again"))
                }
                // Also that health is not for the agent to know.
                Some(_) => Ok(node),
                None => Err(Status::unavailable("the hub does not answer")),
            }
        };
        self.call(Again::Yes, look).await.map_err(|status| upstream(&status, HUB))
    }

    /// The latest connection to a node.
    pub(super) fn connection(&self, node: &Node) -> Connection {
        Connection { node: node.index, number: self.link(node.index).tls.connections() }
    }

    /// Whether any node is reached, now and as it changes.
    pub(super) fn reached(&self) -> watch::Receiver<bool> {
        self.reached.subscribe()
    }

    /// How many nodes there are.
    pub(super) fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Looks for ever whether a node is reached.
    pub(super) async fn watch(&self) {
        loop {
            let alive = self.living().await.is_ok();
            self.tell(alive);
            if alive {
                drop(tokio::time::timeout(WATCHING, self.doubted.notified()).await);
            } else {
                tokio::time::sleep(SEEKING).await;
            }
        }
    }

    fn node(&self, index: usize) -> Node {
        let index = index % self.count();
        Node { index, channel: self.link(index).channel() }
    }

    fn link(&self, index: usize) -> &Link {
        index.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    /// The next call goes elsewhere, unless another call has seen to that already.
    fn leave(&self, node: &Node) {
        let next = (node.index + 1) % self.count();
        let _moved = self.current.compare_exchange(node.index, next, Ordering::SeqCst, Ordering::SeqCst);
        self.doubted.notify_one();
    }

    fn has_answered(&self, node: &Node) {
        let before = self.answered.swap(node.index, Ordering::SeqCst);
        if before != node.index && before != NOBODY {
            let address = self.link(node.index).address;
            tracing::warn!(node = log(&address), "{MOVED}");
        }
        self.tell(true);
    }

    fn tell(&self, reached: bool) {
        self.reached.send_if_modified(|before| std::mem::replace(before, reached) != reached);
    }
}

/// The node gave no answer, or says that it can't serve now.
pub(super) fn is_gone(status: &Status) -> bool {
    is_unanswered(status) || status.code() == Code::Unavailable
}

/// There was no connection that the call could have gone over.
pub(super) fn was_never_sent(status: &Status) -> bool {
    is_caused_by::<ConnectError>(status)
}
