//! The ground on which an act rests, and the refusal when there is none.
//!
//! Only two things let anything happen: a [`Permit`] of the covenant, or an [`Office`]: a call that the covenant does
//! not govern because it concerns no case, admitted by the method table for this kind of caller.

use std::borrow::Cow;

use crate::audit::{Outcome, Verdict};
use crate::covenant::{Denial, Permit};
use crate::reason::Reason;
use crate::version::Outdated;

/// Why an act may happen. Nobody outside the crate can make one, whatever it holds in its hands:
///
/// ```compile_fail,E0423
/// fn open(permit: sluis::covenant::Permit) -> sluis::ground::Ground {
///     sluis::ground::Ground(permit)
/// }
/// ```
#[derive(Debug)]
pub struct Ground(Why);

#[derive(Debug)]
enum Why {
    /// An article of the covenant says so.
    Permit(Box<Permit>),
    /// The caller holds an office for which the method table admits it.
    Office(Office),
}

/// Proof that the method table admitted a caller to a method that touches no case.
#[derive(Debug)]
pub struct Office {
    /// Private: only the method table can write this.
    #[expect(dead_code, reason = "exists to be private")]
    admitted: (),
}

impl Office {
    /// For the method table alone.
    pub(crate) const fn admitted() -> Self {
        Self { admitted: () }
    }
}

impl Ground {
    /// An article says so. Within the crate only: elsewhere a permit, however honest, opens nothing.
    ///
    /// ```compile_fail,E0624
    /// fn open(permit: sluis::covenant::Permit) -> sluis::ground::Ground {
    ///     sluis::ground::Ground::permit(permit)
    /// }
    /// ```
    pub(crate) fn permit(permit: Permit) -> Self {
        Self(Why::Permit(Box::new(permit)))
    }

    /// The method table admitted the caller to a method that touches no case.
    pub(crate) const fn office(office: Office) -> Self {
        Self(Why::Office(office))
    }

    /// The consents that it rests on, for the event.
    pub(crate) fn consents(&self) -> Vec<String> {
        match &self.0 {
            Why::Permit(permit) => permit.consents().map(ToOwned::to_owned).collect(),
            Why::Office(_) => Vec::new(),
        }
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        match self.0 {
            Why::Permit(permit) => Verdict {
                outcome: Outcome::Allowed,
                clauses: permit.clauses().map(ToOwned::to_owned).collect(),
                covenant_version: permit.version().number,
            },
            Why::Office(_) => Verdict { outcome: Outcome::Allowed, clauses: Vec::new(), covenant_version: 0 },
        }
    }
}

/// What is wrong with one field of a request. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field, for example `context.user_ref`.
    pub field: String,
    /// What was expected.
    pub expected: Cow<'static, str>,
}

/// Why a request was not carried out, before it becomes a gRPC status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code for the log, and for whoever may know it.
    pub reason: Reason,
    /// How the caller hears of it.
    pub kind: RefusalKind,
    /// Clauses that refused.
    pub clauses: Vec<String>,
    /// 0: the covenant was not asked.
    pub covenant_version: u32,
    /// True when we ourselves are at fault.
    pub fault: bool,
}

/// The family of a refusal; it decides the gRPC code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalKind {
    /// The covenant or the registry does not allow it.
    Denied,
    /// Fields that are missing or malformed.
    Malformed(Vec<FieldViolation>),
    /// Well-formed, not possible in this state.
    Precondition(&'static str),
    /// The recipients are not the ones that the record was sealed for.
    RouteChanged,
    /// A named thing that everybody may know of does not exist (a partner, a covenant version).
    NotFound,
    /// The caller's agent is older than the covenant allows.
    Outdated(Box<Outdated>),
    /// Too much at a time. Later it may work.
    Exhausted,
    /// More than a bound that does not pass in seconds: which, and after how many seconds it is worth another try.
    Limited(&'static str, u64),
    /// The store was lost on the way: what came of it is not known here.
    Lost,
}

impl Refusal {
    /// Not allowed, for a reason outside the covenant's policies.
    pub const fn denied(reason: Reason) -> Self {
        Self { reason, kind: RefusalKind::Denied, clauses: Vec::new(), covenant_version: 0, fault: false }
    }

    /// One malformed field.
    pub fn malformed(field: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::fields(
            Reason::RequestIncomplete,
            vec![FieldViolation { field: field.to_owned(), expected: expected.into() }],
        )
    }

    /// Malformed fields, or a BSN in one of them.
    pub const fn fields(reason: Reason, fields: Vec<FieldViolation>) -> Self {
        Self { reason, kind: RefusalKind::Malformed(fields), clauses: Vec::new(), covenant_version: 0, fault: false }
    }

    /// Not possible now.
    pub const fn precondition(why: &'static str) -> Self {
        Self {
            reason: Reason::RequestIncomplete,
            kind: RefusalKind::Precondition(why),
            clauses: Vec::new(),
            covenant_version: 0,
            fault: false,
        }
    }

    /// The caller's agent is older than the covenant allows.
    pub fn outdated(outdated: Outdated) -> Self {
        Self { kind: RefusalKind::Outdated(Box::new(outdated)), ..Self::denied(Reason::VersionOutdated) }
    }

    /// Too much at a time.
    pub fn exhausted() -> Self {
        Self { kind: RefusalKind::Exhausted, ..Self::denied(Reason::RateLimited) }
    }

    /// More than a bound: which, and after how many `seconds` it is worth another try.
    pub fn limited(what: &'static str, seconds: u64) -> Self {
        Self { kind: RefusalKind::Limited(what, seconds), ..Self::denied(Reason::RateLimited) }
    }

    /// What came of it is not known.
    pub fn lost() -> Self {
        Self { kind: RefusalKind::Lost, fault: true, ..Self::denied(Reason::LogUnavailable) }
    }

    /// No such public thing.
    pub const fn not_found() -> Self {
        Self {
            reason: Reason::RequestIncomplete,
            kind: RefusalKind::NotFound,
            clauses: Vec::new(),
            covenant_version: 0,
            fault: false,
        }
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self {
            reason: denial.reason,
            kind: RefusalKind::Denied,
            clauses: denial.clauses,
            covenant_version: 0,
            fault: denial.fault,
        }
    }
}
