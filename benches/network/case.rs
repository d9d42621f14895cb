//! What is measured. Cases of one block run close to one another in time, because their quotients are what counts.

/// One case.
pub(crate) struct Case {
    /// Its name, in options and results.
    pub(crate) name: &'static str,
    /// What it is, in the report.
    pub(crate) title: &'static str,
    /// The server that is called; [`COMMITS`] for what needs no network.
    pub(crate) server: &'static str,
    /// What is called.
    pub(crate) call: Call,
    /// Calls at the same time.
    pub(crate) concurrency: usize,
    /// Cases that run close together.
    pub(crate) block: u8,
}

/// Servers. The names of stages are those in [`crate::stage`].
pub(crate) const BARE: &str = "bare";
pub(crate) const TWIN: &str = "twin";
pub(crate) const HUB: &str = "hub";
pub(crate) const HUB_WRITES: &str = "hub-writes";
pub(crate) const HUB_TMPFS: &str = "hub-tmpfs";
pub(crate) const HUB_HISTORY: &str = "hub-history";
/// Hubs with witnesses: two of three have to sign, or all of them.
pub(crate) const HUB_WITNESSED: &str = "hub-witnessed";
pub(crate) const HUB_UNANIMOUS: &str = "hub-unanimous";
/// Hubs over a log that officers look things up in.
pub(crate) const HUB_QUERIES: &str = "hub-queries";
pub(crate) const HUB_QUERIES_POSTGRES: &str = "hub-queries-postgres";
pub(crate) const HUB_POSTGRES: &str = "hub-postgres";
pub(crate) const HUB_TWO_NODES: &str = "hub-two-nodes";
pub(crate) const COMMITS: &str = "commits";
pub(crate) const ETCD: &str = "etcd";

/// What one call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `Cases.GetCase` by the casusregisseur: identity, decision, pseudonym, durable event.
    GetCase,
    /// The same on a connection of its own.
    Connect,
    /// `Cases.GetCase` by a partner that has no part in the case.
    Outsider,
    /// `Cases.GetCase` by a participant for a purpose that its role does not have.
    Denied,
    /// `Pseudonyms.ResolvePseudonym`.
    Resolve,
    /// `Records.FetchRecord` of 4 KiB.
    Fetch,
    /// `Records.PublishRecord`.
    Publish(Parcel),
    /// `Inbox.StreamInbox` of all partners at once until it is empty; a call is an item.
    Deliver,
    /// `Audit.ProveEvents` of so many events.
    Prove(usize),
    /// `Audit.QueryEvents` by an officer, a page of 100 events.
    Query(By),
    /// `KV.Put` of etcd.
    Put,
    /// In-process, see [`crate::commits`].
    Inside(Inside),
}

impl Call {
    /// Proofs that one call brings.
    pub(crate) const fn proofs(self) -> usize {
        if let Self::Prove(events) = self { events } else { 0 }
    }
}

/// What an officer looks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Everything about a case.
    Case,
    /// Everything about a youth.
    Subject,
    /// Everything that one of the own employees did.
    User,
}

/// What is published, to how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Parcel {
    /// 4 KiB about a case to one expert.
    Small,
    /// 64 KiB about a case to five experts.
    Large,
    /// 1 KiB about a case at a large table to one expert.
    One,
    /// The same to 41.
    Many,
    /// The same to all.
    All,
}

/// What runs without a network. Parts run on two threads: a core beside a busy one is slower than beside an idle one,
/// and in a call both are busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// The store's own writer.
    Store,
    /// The same rows by the same driver in groups, with nothing around.
    Raw,
    /// The same, a transaction for each.
    Single,
    /// One decision of the covenant.
    Decide,
    /// One pseudonym.
    Pseudonym,
    /// One event as the bytes of its leaf.
    Encode,
}

const fn case(
    name: &'static str,
    title: &'static str,
    server: &'static str,
    call: Call,
    concurrency: usize,
    block: u8,
) -> Case {
    Case { name, title, server, call, concurrency, block }
}

use Call::{Connect, Deliver, Denied, Fetch, GetCase, Inside as In, Outsider, Prove, Publish, Query, Resolve};
use Parcel::{Large, Many, One, Small};

/// Every case.
pub(crate) static CASES: &[Case] = &[
    case("bare-64", "bare mTLS echo, c=64", BARE, GetCase, 64, 0),
    case("twin-64", "a second bare echo, c=64 (A/A)", TWIN, GetCase, 64, 0),
    case("identity-64", "+ identity", "identity", GetCase, 64, 0),
    case("covenant-64", "+ covenant", "covenant", GetCase, 64, 0),
    case("pseudonym-64", "+ pseudonym", "pseudonym", GetCase, 64, 0),
    case("audit-64", "+ audit in memory", "audit", GetCase, 64, 0),
    case("full-64", "full call, SQLite, c=64", HUB, GetCase, 64, 0),
    case("tmpfs-64", "full call, SQLite on tmpfs, c=64", HUB_TMPFS, GetCase, 64, 0),
    case("history-64", "full call over a long log, c=64", HUB_HISTORY, GetCase, 64, 0),
    case("postgres-64", "full call, PostgreSQL, c=64", HUB_POSTGRES, GetCase, 64, 0),
    case("two-nodes-64", "full call, PostgreSQL, 2 nodes, c=64", HUB_TWO_NODES, GetCase, 64, 0),
    case("witnessed-64", "full call, 3 witnesses, c=64", HUB_WITNESSED, GetCase, 64, 0),
    case("outsider-64", "refusal of an outsider, c=64", HUB, Outsider, 64, 0),
    case("denied-64", "refusal of a participant, c=64", HUB, Denied, 64, 0),
    case("etcd-64", "etcd Put of 1 KiB, c=64", ETCD, Call::Put, 64, 0),
    case("bare-16", "bare mTLS echo, c=16", BARE, GetCase, 16, 1),
    case("full-16", "full call, SQLite, c=16", HUB, GetCase, 16, 1),
    case("bare-256", "bare mTLS echo, c=256", BARE, GetCase, 256, 2),
    case("full-256", "full call, SQLite, c=256", HUB, GetCase, 256, 2),
    case("postgres-256", "full call, PostgreSQL, c=256", HUB_POSTGRES, GetCase, 256, 2),
    case("bare-fetch-64", "bare read of 4 KiB", BARE, Fetch, 64, 3),
    case("fetch-64", "read of 4 KiB", HUB, Fetch, 64, 3),
    case("bare-publish-4k-64", "bare upload of 4 KiB", BARE, Publish(Small), 64, 4),
    case("publish-4k-64", "publication of 4 KiB", HUB_WRITES, Publish(Small), 64, 4),
    case("bare-publish-64k-16", "bare upload of 64 KiB", BARE, Publish(Large), 16, 5),
    case("publish-64k-16", "publication of 64 KiB to 5", HUB_WRITES, Publish(Large), 16, 5),
    case("publish-to-1", "publication to 1 recipient, c=16", HUB_WRITES, Publish(One), 16, 6),
    case("publish-to-41", "publication to 41 recipients, c=16", HUB_WRITES, Publish(Many), 16, 6),
    case("bare-deliver-42", "bare fan-out to 42 streams", BARE, Deliver, 42, 7),
    case("deliver-42", "inbox delivery to 42 streams", HUB, Deliver, 42, 7),
    case("bare-resolve-64", "bare echo of a pseudonym", BARE, Resolve, 64, 8),
    case("resolve-64", "pseudonym resolution", HUB, Resolve, 64, 8),
    case("bare-connect-4", "bare: new connection and first call", BARE, Connect, 4, 9),
    case("connect-4", "new connection and first full call", HUB, Connect, 4, 9),
    case("commit-store-64", "commits by the store's writer, c=64", COMMITS, In(Inside::Store), 64, 10),
    case("commit-raw-64", "raw grouped commits, c=64", COMMITS, In(Inside::Raw), 64, 10),
    case("commit-single-64", "raw commits one by one, c=64", COMMITS, In(Inside::Single), 64, 10),
    case("decide", "one decision", COMMITS, In(Inside::Decide), 2, 10),
    case("derive", "one pseudonym", COMMITS, In(Inside::Pseudonym), 2, 10),
    case("encode", "one event encoded", COMMITS, In(Inside::Encode), 2, 10),
    case("prove-1", "proof of 1 event, c=16", HUB_HISTORY, Prove(1), 16, 11),
    case("prove-100", "proofs of 100 events, c=16", HUB_HISTORY, Prove(100), 16, 11),
    case("query-case", "officer's query by case, c=4", HUB_QUERIES, Query(By::Case), 4, 12),
    case("query-subject", "officer's query by subject, c=4", HUB_QUERIES, Query(By::Subject), 4, 12),
    case("query-user", "officer's query by employee, c=4", HUB_QUERIES, Query(By::User), 4, 12),
    case("query-case-postgres", "query by case, PostgreSQL, c=4", HUB_QUERIES_POSTGRES, Query(By::Case), 4, 13),
    case(
        "query-subject-postgres",
        "query by subject, PostgreSQL, c=4",
        HUB_QUERIES_POSTGRES,
        Query(By::Subject),
        4,
        13,
    ),
    case("query-user-postgres", "query by employee, PostgreSQL, c=4", HUB_QUERIES_POSTGRES, Query(By::User), 4, 13),
];

/// The case of this name.
pub(crate) fn find(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}
