//! What the figures have to show. Every claim is a quotient within one round, so that a machine that is busy for a while
//! slows both sides.

use crate::stats::Reach;

/// One line of the table.
pub(crate) struct Claim {
    /// What is claimed.
    pub(crate) title: &'static str,
    /// The case that it is about.
    pub(crate) case: &'static str,
    /// What it is divided by: the sum over these cases; by nothing when there is none.
    pub(crate) against: &'static [&'static str],
    /// Of what.
    pub(crate) measure: Measure,
    /// What is to be reached; `None` is for information.
    pub(crate) reach: Option<Reach>,
}

/// A figure of a case in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Calls per second.
    Rate,
    /// CPU time of the server for a call.
    Cpu,
    /// Time in which 99 of 100 calls ended.
    P99,
    /// The same, told in milliseconds.
    Millis,
    /// Proofs per second.
    Proofs,
    /// The time of 999 of 1000 calls over that of 99 of 100.
    Tail,
}

impl Measure {
    /// Its name in the table.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Rate => "calls/s",
            Self::Cpu => "CPU per call",
            Self::P99 => "p99",
            Self::Millis => "p99, ms",
            Self::Proofs => "proofs/s",
            Self::Tail => "p99.9 / p99",
        }
    }
}

const fn claim(
    title: &'static str,
    case: &'static str,
    against: &'static [&'static str],
    measure: Measure,
    reach: Option<Reach>,
) -> Claim {
    Claim { title, case, against, measure, reach }
}

use Measure::{Cpu, Millis, P99, Proofs, Rate, Tail};
use Reach::{AtLeast, AtMost, Between};

/// The control: the same server twice. Outside these bounds the machine is too restless to judge anything.
pub(crate) const CONTROL: (f64, f64) = (0.9, 1.1);

/// The control's lines.
pub(crate) static CONTROLS: &[Claim] = &[
    claim("A/A: second bare echo / bare echo", "twin-64", &["bare-64"], Rate, None),
    claim("A/A: second bare echo / bare echo", "twin-64", &["bare-64"], Cpu, None),
];

/// Every claim.
pub(crate) static CLAIMS: &[Claim] = &[
    claim("identity / bare echo, c=64", "identity-64", &["bare-64"], Rate, Some(AtLeast(0.95))),
    claim("+ covenant / bare echo, c=64", "covenant-64", &["bare-64"], Rate, Some(AtLeast(0.70))),
    claim("+ pseudonym / bare echo, c=64", "pseudonym-64", &["bare-64"], Rate, None),
    claim("+ audit in memory / bare echo, c=64", "audit-64", &["bare-64"], Rate, None),
    claim("full call / bare echo, c=16", "full-16", &["bare-16"], Rate, None),
    claim("full call / bare echo, c=64", "full-64", &["bare-64"], Rate, Some(AtLeast(0.35))),
    claim("full call / bare echo, c=256", "full-256", &["bare-256"], Rate, Some(AtLeast(0.45))),
    claim("full call on tmpfs / bare echo, c=64", "tmpfs-64", &["bare-64"], Rate, None),
    claim(
        "full call / bare + decision + pseudonym + grouped commit",
        "full-64",
        &["bare-64", "decide", "derive", "commit-store-64"],
        Cpu,
        Some(AtMost(1.15)),
    ),
    claim("full call / bare echo, c=64", "full-64", &["bare-64"], P99, Some(AtMost(3.5))),
    claim("full call, c=64", "full-64", &[], Tail, Some(AtMost(2.0))),
    claim("full call / full call on tmpfs, c=64", "full-64", &["tmpfs-64"], P99, None),
    claim("PostgreSQL / SQLite, full call, c=64", "postgres-64", &["full-64"], Rate, Some(Between(0.8, 1.25))),
    claim("PostgreSQL / SQLite, full call, c=256", "postgres-256", &["full-256"], Rate, None),
    claim("2 nodes / 1 node, PostgreSQL, c=64", "two-nodes-64", &["postgres-64"], Rate, Some(AtLeast(1.0))),
    claim("store's writer / commits one by one", "commit-store-64", &["commit-single-64"], Rate, Some(AtLeast(2.0))),
    claim("store's writer / raw grouped loop", "commit-store-64", &["commit-raw-64"], Rate, Some(AtLeast(0.7))),
    claim("full call / etcd Put, c=64", "full-64", &["etcd-64"], Rate, Some(AtLeast(1.5))),
    claim("refusal of an outsider / bare echo", "outsider-64", &["bare-64"], Rate, None),
    claim("refusal of a participant / bare echo", "denied-64", &["bare-64"], Rate, None),
    claim("read of 4 KiB / bare", "fetch-64", &["bare-fetch-64"], Rate, None),
    claim("publication of 4 KiB / bare upload", "publish-4k-64", &["bare-publish-4k-64"], Rate, None),
    claim("publication of 64 KiB to 5 / bare upload", "publish-64k-16", &["bare-publish-64k-16"], Rate, None),
    claim("41 recipients / 1 recipient", "publish-to-41", &["publish-to-1"], Rate, Some(AtLeast(0.80))),
    claim("delivery to 42 streams / bare fan-out", "deliver-42", &["bare-deliver-42"], Rate, Some(AtLeast(0.60))),
    claim("pseudonym resolution / bare echo", "resolve-64", &["bare-resolve-64"], Rate, None),
    claim("new connection and first call / bare", "connect-4", &["bare-connect-4"], Rate, Some(AtLeast(0.8))),
    claim("full call over a long log / over a short one", "history-64", &["full-64"], Rate, Some(AtLeast(0.9))),
    claim("full call with 3 witnesses / without", "witnessed-64", &["full-64"], Rate, Some(AtLeast(0.95))),
    claim("full call with 3 witnesses / without", "witnessed-64", &["full-64"], Cpu, None),
    claim("proofs of 1 event, c=16", "prove-1", &[], Proofs, None),
    claim("proofs of 100 events, c=16", "prove-100", &[], Proofs, None),
    claim("100 events a call / 1 event a call", "prove-100", &["prove-1"], Proofs, None),
    claim("officer's query by case", "query-case", &[], Millis, Some(AtMost(50.0))),
    claim("officer's query by subject", "query-subject", &[], Millis, Some(AtMost(50.0))),
    claim("officer's query by employee", "query-user", &[], Millis, Some(AtMost(50.0))),
    claim("query by case, PostgreSQL", "query-case-postgres", &[], Millis, Some(AtMost(50.0))),
    claim("query by subject, PostgreSQL", "query-subject-postgres", &[], Millis, Some(AtMost(50.0))),
    claim("query by employee, PostgreSQL", "query-user-postgres", &[], Millis, Some(AtMost(50.0))),
];
