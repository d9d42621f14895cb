//! What each RPC answers to each kind of caller.

/// A column: a kind of caller, or a case in which the right caller may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// Shows no certificate: TLS ends it.
    NoCertificate,
    /// A certificate of another authority: TLS ends it.
    WrongCa,
    /// A good certificate of a partner, whose key nobody registered.
    Unregistered,
    /// A partner that is suspended.
    Suspended,
    /// A partner that has not signed the covenant.
    Unsigned,
    /// A partner that takes no part in the case.
    NoRole,
    /// Acts in a role that it does not hold or that may not do this, or holds another function.
    WrongRole,
    /// The case is not in a phase in which the article applies.
    WrongPhase,
    /// The right caller.
    Right,
    /// Its supplier, in its name; of what a person does, the supplier of some partner.
    Supplier,
}

impl Cell {
    pub(super) const ALL: [Self; 10] = [
        Self::NoCertificate,
        Self::WrongCa,
        Self::Unregistered,
        Self::Suspended,
        Self::Unsigned,
        Self::NoRole,
        Self::WrongRole,
        Self::WrongPhase,
        Self::Right,
        Self::Supplier,
    ];
}

/// A row: an RPC and its answers, in the order of [`Cell::ALL`]; `n/a: why` where a column does not apply.
pub(super) struct Row {
    pub(super) rpc: &'static str,
    pub(super) cells: [&'static str; 10],
}

const CLOSED_DOOR: &str = "no connection";
const STRANGER: &str = "Unauthenticated REFUSED";
const SUSPENDED: &str = "PermissionDenied PARTNER_SUSPENDED";
const UNSIGNED: &str = "PermissionDenied COVENANT_NOT_ACCEPTED";
const OPAQUE: &str = "PermissionDenied REFUSED";
const ROLE: &str = "PermissionDenied ROLE_NOT_ALLOWED";
const PHASE: &str = "PermissionDenied PHASE_NOT_ALLOWED";
const CLOSED: &str = "PermissionDenied CASE_CLOSED";
const OK: &str = "OK";
const NO_CASE: &str = "n/a: touches no case";
const OWN_CERTIFICATE: &str = "n/a: about the caller's own certificate: see mandates.rs";
const ANYBODY: &str = "n/a: any registered caller may";

pub(super) const TABLE: &[Row] = &[
    Row {
        rpc: "Directory/ListPartners",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ANYBODY, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Directory/GetPartner",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ANYBODY, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Directory/PublishKeys",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ROLE, NO_CASE, OK, OWN_CERTIFICATE],
    },
    Row {
        rpc: "Connection/TestConnection",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ANYBODY, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Covenants/GetCovenant",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ANYBODY, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Covenants/SignCovenant",
        cells: [
            CLOSED_DOOR,
            CLOSED_DOOR,
            STRANGER,
            SUSPENDED,
            "n/a: this is the signing",
            NO_CASE,
            ROLE,
            NO_CASE,
            OK,
            ROLE,
        ],
    },
    Row {
        rpc: "Covenants/ExplainDecision",
        cells: [
            CLOSED_DOOR,
            CLOSED_DOOR,
            STRANGER,
            SUSPENDED,
            UNSIGNED,
            OK,
            "n/a: an answer about a wrong role is an answer",
            "n/a: an answer about a wrong phase is an answer",
            OK,
            OK,
        ],
    },
    Row {
        rpc: "Pseudonyms/ResolvePseudonym",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, NO_CASE, ROLE, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Pseudonyms/CheckKnownAnswer",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ROLE, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Cases/ReferCase",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, NO_CASE, ROLE, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Cases/GetCase",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Cases/ListCases",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, NO_CASE, ROLE, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Cases/AssignRole",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Cases/EndRole",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Cases/HandOverCase",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Cases/AdvancePhase",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Cases/ChooseProvider",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, PHASE, OK, OK],
    },
    Row {
        rpc: "Cases/RecordMeasure",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Cases/UpdateConsentRegime",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Cases/RestrictCase",
        cells: [
            CLOSED_DOOR,
            CLOSED_DOOR,
            STRANGER,
            SUSPENDED,
            UNSIGNED,
            OPAQUE,
            ROLE,
            "n/a: article 35 holds in every phase, also after closing",
            OK,
            OK,
        ],
    },
    Row {
        rpc: "Cases/StartEscalation",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, PHASE, OK, OK],
    },
    Row {
        rpc: "Cases/EndEscalation",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Cases/CloseCase",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, PHASE, OK, OK],
    },
    Row {
        rpc: "Consents/RecordConsent",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Consents/WithdrawConsent",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Consents/ListConsents",
        cells: [
            CLOSED_DOOR,
            CLOSED_DOOR,
            STRANGER,
            SUSPENDED,
            UNSIGNED,
            OPAQUE,
            ROLE,
            "n/a: article 35 holds in every phase, also after closing",
            OK,
            OK,
        ],
    },
    Row {
        rpc: "Records/PlanRoute",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, PHASE, OK, OK],
    },
    Row {
        rpc: "Records/PublishRecord",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, PHASE, OK, OK],
    },
    Row {
        rpc: "Records/FetchRecord",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, PHASE, OK, OK],
    },
    Row {
        rpc: "Records/ListRecords",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, PHASE, OK, OK],
    },
    Row {
        rpc: "Records/RequestRecords",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, PHASE, OK, OK],
    },
    Row {
        rpc: "Records/StreamSealRequests",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ROLE, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Records/AddRecipient",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, OPAQUE, ROLE, CLOSED, OK, OK],
    },
    Row {
        rpc: "Inbox/StreamInbox",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, NO_CASE, ROLE, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Inbox/AcknowledgeInbox",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, UNSIGNED, NO_CASE, ROLE, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Audit/QueryEvents",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Audit/ReportRefusal",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ROLE, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Audit/ProveEvents",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ANYBODY, NO_CASE, OK, OK],
    },
    Row {
        rpc: "Audit/ReadEntries",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Audit/EraseEvents",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/RegisterPartner",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/RegisterCertificate",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/RevokeCertificate",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/SetPartnerStatus",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/SucceedPartner",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/ListSuccessions",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/ReloadNode",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/RegisterMandate",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/EndMandate",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/ListMandates",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/RetireCertificate",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/ListCertificates",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/ListPendingChanges",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/ConfirmChange",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/CancelChange",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Registry/ListRefusals",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Certificates/RenewCertificate",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, OK, NO_CASE, ANYBODY, NO_CASE, OK, OWN_CERTIFICATE],
    },
    Row {
        rpc: "Certificates/ListCertificateRequests",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Certificates/AnswerCertificateRequest",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
    Row {
        rpc: "Simulation/AdvanceClock",
        cells: [CLOSED_DOOR, CLOSED_DOOR, STRANGER, SUSPENDED, ROLE, NO_CASE, ROLE, NO_CASE, OK, ROLE],
    },
];
