//! Why a request is refused: the closed list of REFERENCE §5.5, plus what a caller may learn of it.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal),+ $(,)?) => {
        /// Stable reason code: the same name in status details, metrics and the audit log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $variant),+ }

        impl Reason {
            /// Every reason, in the order of the list in REFERENCE §5.5.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as it stands in the audit log.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }

        impl std::str::FromStr for Reason {
            type Err = crate::party::UnknownCode;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($code => Ok(Self::$variant),)+ _ => Err(crate::party::UnknownCode("reason code")) }
            }
        }
    };
}

reasons! {
    CertUntrusted = "CERT_UNTRUSTED",
    CertExpired = "CERT_EXPIRED",
    CertRevoked = "CERT_REVOKED",
    CrlStale = "CRL_STALE",
    CertPolicy = "CERT_POLICY",
    OinMissing = "OIN_MISSING",
    OinMismatch = "OIN_MISMATCH",
    PartnerUnknown = "PARTNER_UNKNOWN",
    PartnerSuspended = "PARTNER_SUSPENDED",
    PartnerWithdrawn = "PARTNER_WITHDRAWN",
    CovenantNotAccepted = "COVENANT_NOT_ACCEPTED",
    RequestIncomplete = "REQUEST_INCOMPLETE",
    BsnInText = "BSN_IN_TEXT",
    ArticleInactive = "ARTICLE_INACTIVE",
    RoleNotAllowed = "ROLE_NOT_ALLOWED",
    CaseUnknown = "CASE_UNKNOWN",
    NotInvolved = "NOT_INVOLVED",
    RoleExpired = "ROLE_EXPIRED",
    PhaseNotAllowed = "PHASE_NOT_ALLOWED",
    CaseClosed = "CASE_CLOSED",
    CategoryNotAllowed = "CATEGORY_NOT_ALLOWED",
    PurposeMismatch = "PURPOSE_MISMATCH",
    ConsentMissing = "CONSENT_MISSING",
    ConsentIncomplete = "CONSENT_INCOMPLETE",
    ConsentExpired = "CONSENT_EXPIRED",
    ConsentWithdrawn = "CONSENT_WITHDRAWN",
    RegimeChanged = "REGIME_CHANGED",
    MeasureAbsent = "MEASURE_ABSENT",
    Restricted = "RESTRICTED",
    Objection = "OBJECTION",
    RetentionElapsed = "RETENTION_ELAPSED",
    RecipientLimit = "RECIPIENT_LIMIT",
    BreakglassReason = "BREAKGLASS_REASON",
    BreakglassWindow = "BREAKGLASS_WINDOW",
    RateLimited = "RATE_LIMITED",
    SmallCell = "SMALL_CELL",
    LogUnavailable = "LOG_UNAVAILABLE",
    /// Not in REFERENCE §5.5: the caller's agent is older than the covenant allows.
    VersionOutdated = "VERSION_OUTDATED",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
