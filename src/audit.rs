//! What an audit event says, and the exact bytes of it that will enter the log's tree. Pure.
//!
//! An event has typed columns to search by and a leaf to prove by. The leaf holds in clear only what is not personal;
//! everything else stands in it as a salted SHA-256 digest of a disclosure group (SD-JWT form, RFC 9901 §4.2), so that a
//! group can be erased later without touching the tree (guarantee G10).

mod erase;
pub mod export;
mod kind;
mod leaf;
pub mod read;

use std::collections::BTreeMap;

use crate::party::{Article, Category, Form, Role};
use crate::reason::Reason;

pub use erase::{Erasures, Group, Left, NotAGroup, erase, erases, groups, listed, missing};
pub use kind::Kind;
pub use leaf::{Leaf, disclosed, encode, is_of, mark_of, open};

/// Number of disclosure groups.
pub const GROUPS: usize = leaf::GROUPS;
/// Number of salts.
pub const SALTS: usize = leaf::SALTS;

/// CRUDE code of NEN 7513 EventActionCode and FHIR AuditEvent.action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Something new was recorded.
    Create,
    /// Something was looked at or handed over.
    Read,
    /// Something changed.
    Update,
    /// Something ended or was removed.
    Delete,
    /// Something was asked or carried out.
    Execute,
}

impl Action {
    /// The one-letter code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Create => "C",
            Self::Read => "R",
            Self::Update => "U",
            Self::Delete => "D",
            Self::Execute => "E",
        }
    }
}

/// How the call ended. A refusal is a normal outcome, never an error (ADL, REFERENCE §3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Allowed,
    /// Not allowed.
    Refused(Reason),
    /// Our own fault: a policy that can't be evaluated, for example. Nothing was done.
    Failed(Reason),
}

impl Outcome {
    /// allowed, refused or failed.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }

    /// The reason code, or nothing when allowed.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Allowed => "",
            Self::Refused(reason) | Self::Failed(reason) => reason.code(),
        }
    }
}

/// Everything about a call but its outcome, time and name. Text from callers has passed the form checks.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Full name of the RPC.
    pub method: &'static str,
    /// CRUDE code.
    pub action: Option<Action>,
    /// OIN of the organisation that asked.
    pub organisation: String,
    /// OIN of the supplier that called in that organisation's name; empty: the organisation called itself.
    pub via: String,
    /// OIN of the organisation whose data it concerns; empty: none.
    pub source: String,
    /// Opaque employee.
    pub user_ref: String,
    /// Role in which the caller acted.
    pub role: Option<Role>,
    /// Purpose code.
    pub purpose: String,
    /// Article that the caller relied on.
    pub article: Option<Article>,
    /// The hub's own id of the case.
    pub case_id: Option<String>,
    /// Log-scope pseudonym of the youth for the organisation that asked; empty: none.
    pub subject: String,
    /// Categories asked or moved.
    pub categories: Vec<Category>,
    /// Form of the record.
    pub form: Option<Form>,
    /// OINs that got something, or would have.
    pub recipients: Vec<String>,
    /// Record concerned; empty: none.
    pub record: String,
    /// Consents on which the decision rested.
    pub consents: Vec<String>,
    /// Break-glass (article 30).
    pub emergency: bool,
    /// The caller's motivation.
    pub motivation: String,
    /// SHA-256 of the caller's certificate key, hex.
    pub key_hash: String,
    /// W3C trace-id; empty: none.
    pub trace_id: String,
    /// Cases that stood in the list that the caller was given: the hub's own ids.
    pub listed: Vec<String>,
    /// Whose disclosures this event erases: places of their digests, by event.
    pub erases: BTreeMap<String, Vec<usize>>,
    /// Set when the line reports a refusal that happened at an agent.
    pub reported: Option<Reason>,
}

/// Whether an event is a reader's organisation's own to read: it asked, or the hub did something of its own accord that concerns it
/// first of all: its certificate ends, it leaves, its place is taken.
pub fn is_own(organisation: &str, source: &str, reader: &str) -> bool {
    organisation == reader || (organisation.is_empty() && source == reader)
}

/// What the decision adds to a draft.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Clauses that determined it.
    pub clauses: Vec<String>,
    /// Version of the covenant that was asked; 0: none was.
    pub covenant_version: u32,
}

/// What the moment adds: name, time, place and the salts of the disclosure groups.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// UUID version 7.
    pub event_id: String,
    /// Microseconds since the epoch.
    pub at: i64,
    /// Hub node.
    pub node: String,
    /// One 128-bit salt for each group, and one for lists.
    pub salts: [[u8; 16]; SALTS],
}

/// A complete event.
#[derive(Debug, Clone)]
pub struct Event {
    /// What was asked.
    pub draft: Draft,
    /// How it ended.
    pub verdict: Verdict,
    /// When, where, under which name.
    pub stamp: Stamp,
}
