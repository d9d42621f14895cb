//! One row for every RPC: who may call it, whether the covenant must be signed, how large and how long.
//!
//! A call to a method without a row is refused. A test lists every method of the server's own descriptors and fails on
//! a method without a row and on a row without a method.

use std::time::Duration;

use crate::audit::Action;
use crate::ground::{Ground, Office, Refusal};
use crate::identity::{Caller, Function};
use crate::reason::Reason;

/// What a method asks of its caller.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// `package.Service/Method`.
    pub name: &'static str,
    /// Kinds of caller that may call it at all.
    pub callers: Callers,
    /// True when the caller's organisation must have signed the covenant.
    pub covenant: bool,
    /// CRUDE code of its event.
    pub action: Action,
    /// How long a call may take; `None` for streams that wait.
    pub deadline: Option<Duration>,
    /// How many places a call takes of the bound on calls: more for those that carry a record.
    pub places: usize,
}

/// Kinds of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Systems of a partner.
    Organisations,
    /// Privacy officers, of a partner or the network.
    Officers,
    /// Operators.
    Operators,
    /// The network's CA, and operators.
    Issuers,
    /// Whoever is registered.
    Registered,
}

const fn row(name: &'static str, callers: Callers, covenant: bool, action: Action) -> Method {
    Method { name, callers, covenant, action, deadline: Some(Duration::from_secs(30)), places: 1 }
}

const fn stream(name: &'static str, action: Action) -> Method {
    Method { name, callers: Callers::Organisations, covenant: true, action, deadline: None, places: 1 }
}

/// A call that carries a record of up to 25 MiB: a few pieces of it in memory, all of it on disk.
const fn carries_record(name: &'static str, action: Action) -> Method {
    let deadline = Some(Duration::from_secs(300));
    Method { name, callers: Callers::Organisations, covenant: true, action, deadline, places: 4 }
}

use Action::{Create, Delete, Execute, Read, Update};
use Callers::{Issuers, Officers, Operators, Organisations, Registered};

/// Every RPC of the hub.
pub static METHODS: &[Method] = &[
    row("sluis.v1.Directory/ListPartners", Registered, false, Read),
    row("sluis.v1.Directory/GetPartner", Registered, false, Read),
    row("sluis.v1.Directory/PublishKeys", Organisations, false, Update),
    row("sluis.v1.Covenants/GetCovenant", Registered, false, Read),
    row("sluis.v1.Covenants/SignCovenant", Organisations, false, Create),
    row("sluis.v1.Covenants/ExplainDecision", Organisations, true, Execute),
    row("sluis.v1.Pseudonyms/ResolvePseudonym", Organisations, true, Execute),
    row("sluis.v1.Pseudonyms/CheckKnownAnswer", Organisations, false, Execute),
    row("sluis.v1.Cases/ReferCase", Organisations, true, Create),
    row("sluis.v1.Cases/GetCase", Organisations, true, Read),
    row("sluis.v1.Cases/ListCases", Organisations, true, Read),
    row("sluis.v1.Cases/AssignRole", Organisations, true, Create),
    row("sluis.v1.Cases/EndRole", Organisations, true, Delete),
    row("sluis.v1.Cases/HandOverCase", Organisations, true, Update),
    row("sluis.v1.Cases/AdvancePhase", Organisations, true, Update),
    row("sluis.v1.Cases/ChooseProvider", Organisations, true, Update),
    row("sluis.v1.Cases/RecordMeasure", Organisations, true, Create),
    row("sluis.v1.Cases/UpdateConsentRegime", Organisations, true, Update),
    row("sluis.v1.Cases/RestrictCase", Organisations, true, Update),
    row("sluis.v1.Cases/StartEscalation", Organisations, true, Update),
    row("sluis.v1.Cases/EndEscalation", Organisations, true, Update),
    row("sluis.v1.Cases/CloseCase", Organisations, true, Update),
    row("sluis.v1.Consents/RecordConsent", Organisations, true, Create),
    row("sluis.v1.Consents/WithdrawConsent", Organisations, true, Delete),
    row("sluis.v1.Consents/ListConsents", Organisations, true, Read),
    row("sluis.v1.Records/PlanRoute", Organisations, true, Execute),
    carries_record("sluis.v1.Records/PublishRecord", Create),
    carries_record("sluis.v1.Records/FetchRecord", Read),
    row("sluis.v1.Records/ListRecords", Organisations, true, Read),
    row("sluis.v1.Records/RequestRecords", Organisations, true, Execute),
    // Agents ask from their first minute on; what they then do for a newcomer asks for the signature.
    Method { covenant: false, ..stream("sluis.v1.Records/StreamSealRequests", Read) },
    row("sluis.v1.Records/AddRecipient", Organisations, true, Update),
    stream("sluis.v1.Inbox/StreamInbox", Read),
    row("sluis.v1.Inbox/AcknowledgeInbox", Organisations, true, Update),
    row("sluis.v1.Audit/QueryEvents", Officers, false, Read),
    row("sluis.v1.Audit/ReportRefusal", Organisations, false, Create),
    row("sluis.v1.Audit/ProveEvents", Registered, false, Read),
    row("sluis.v1.Audit/ReadEntries", Officers, false, Read),
    row("sluis.v1.Audit/EraseEvents", Officers, false, Delete),
    row("sluis.v1.Registry/RegisterPartner", Operators, false, Create),
    row("sluis.v1.Registry/RegisterCertificate", Operators, false, Create),
    row("sluis.v1.Registry/RevokeCertificate", Operators, false, Delete),
    row("sluis.v1.Registry/RetireCertificate", Operators, false, Update),
    row("sluis.v1.Registry/ListCertificates", Operators, false, Read),
    row("sluis.v1.Registry/SetPartnerStatus", Operators, false, Update),
    row("sluis.v1.Registry/SucceedPartner", Operators, false, Update),
    row("sluis.v1.Registry/ListSuccessions", Operators, false, Read),
    row("sluis.v1.Registry/RegisterMandate", Operators, false, Create),
    row("sluis.v1.Registry/EndMandate", Operators, false, Delete),
    row("sluis.v1.Registry/ListMandates", Operators, false, Read),
    row("sluis.v1.Registry/ListPendingChanges", Operators, false, Read),
    row("sluis.v1.Registry/ConfirmChange", Operators, false, Update),
    row("sluis.v1.Registry/CancelChange", Operators, false, Delete),
    row("sluis.v1.Registry/ReloadNode", Operators, false, Execute),
    row("sluis.v1.Registry/ListRefusals", Operators, false, Read),
    row("sluis.v1.Certificates/RenewCertificate", Registered, false, Create),
    row("sluis.v1.Certificates/ListCertificateRequests", Issuers, false, Read),
    row("sluis.v1.Certificates/AnswerCertificateRequest", Issuers, false, Update),
    row(TEST_CONNECTION, Registered, false, Execute),
    row("sluis.v1.Simulation/AdvanceClock", Operators, false, Execute),
];

/// A partner's own hand: a mandate is leave to carry its exchange, not to bind it.
const OWN_HAND: [&str; 1] = ["sluis.v1.Covenants/SignCovenant"];

/// Answers also those whose agent is refused elsewhere: it says why.
const TEST_CONNECTION: &str = "sluis.v1.Connection/TestConnection";

/// The row of a path as it stands in an HTTP/2 request, `/package.Service/Method`.
pub fn find(path: &str) -> Option<&'static Method> {
    let name = path.strip_prefix('/')?;
    METHODS.iter().find(|method| method.name == name)
}

/// Acts by which less is shown to fewer: they go on when nothing may be disclosed.
const PROTECTS: [&str; 8] = [
    "sluis.v1.Consents/WithdrawConsent",
    "sluis.v1.Cases/RestrictCase",
    "sluis.v1.Cases/EndRole",
    "sluis.v1.Cases/CloseCase",
    "sluis.v1.Cases/EndEscalation",
    "sluis.v1.Cases/UpdateConsentRegime",
    "sluis.v1.Cases/RecordMeasure",
    "sluis.v1.Inbox/AcknowledgeInbox",
];

/// What the systems of an organisation whose place is taken go on with until it leaves: finishing what only they can do.
const WINDS_UP: [&str; 14] = [
    TEST_CONNECTION,
    "sluis.v1.Directory/ListPartners",
    "sluis.v1.Directory/GetPartner",
    "sluis.v1.Directory/PublishKeys",
    "sluis.v1.Covenants/GetCovenant",
    "sluis.v1.Covenants/SignCovenant",
    "sluis.v1.Pseudonyms/CheckKnownAnswer",
    "sluis.v1.Records/StreamSealRequests",
    "sluis.v1.Records/AddRecipient",
    "sluis.v1.Inbox/StreamInbox",
    "sluis.v1.Inbox/AcknowledgeInbox",
    "sluis.v1.Audit/ReportRefusal",
    "sluis.v1.Audit/ProveEvents",
    "sluis.v1.Certificates/RenewCertificate",
];

impl Method {
    /// Whether an organisation whose place is taken may go on with it: sealing, hearing what came, holding the log to its word.
    pub fn serves_succeeded(&self) -> bool {
        WINDS_UP.contains(&self.name)
    }

    /// Whether an agent below the covenant's minimum may go on with it: a withdrawal is nobody's software's to hold up.
    pub fn serves_outdated(&self) -> bool {
        self.name == TEST_CONNECTION || PROTECTS.contains(&self.name)
    }

    /// Whether something is shown to somebody by it, or will be because of it.
    pub fn discloses(&self) -> bool {
        self.covenant && !PROTECTS.contains(&self.name)
    }

    /// Whether this caller may call this method at all. Case and covenant are asked afterwards.
    ///
    /// # Errors
    /// `ROLE_NOT_ALLOWED` for a kind of caller that the row does not name and for suppliers where the partner itself must act, `COVENANT_NOT_ACCEPTED` before signing.
    pub fn admit(&self, caller: &Caller, covenant_version: u32) -> Result<Admitted, Refusal> {
        let named = match self.callers {
            Callers::Registered => true,
            Callers::Organisations => caller.function().is_none(),
            Callers::Officers => matches!(caller.function(), Some(Function::Officer | Function::NetworkOfficer)),
            Callers::Operators => matches!(caller.function(), Some(Function::Operator)),
            Callers::Issuers => matches!(caller.function(), Some(Function::Issuer | Function::Operator)),
        };
        if !named || (caller.via().is_some() && OWN_HAND.contains(&self.name)) {
            return Err(Refusal::denied(Reason::RoleNotAllowed));
        }
        if self.covenant && !caller.accepted(covenant_version) {
            return Err(Refusal::denied(Reason::CovenantNotAccepted));
        }
        Ok(Admitted(()))
    }
}

/// A caller that passed [`Method::admit`].
#[derive(Debug, Clone, Copy)]
pub struct Admitted(());

impl Admitted {
    /// The word of whoever may write the hub's configuration file.
    pub(crate) const fn by_configuration() -> Self {
        Self(())
    }

    /// The ground of a call that touches no case.
    pub fn office(self) -> Ground {
        Ground::office(Office::admitted())
    }
}
