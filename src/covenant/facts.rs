//! The question that the covenant answers, in recorded facts and nothing else.

use crate::party::{Article, Category, ExternalKind, Form, Measure, OrgKind, PartnerStatus, Phase, Role, vocabulary};

/// One question: may this actor do this, under this article, for this purpose?
///
/// An exchange is two questions: [`Action::Send`] with the sender as actor and the recipient as `other`, and
/// [`Action::Receive`] the other way round. It passes only if both are allowed. Where the facility itself is the source
/// (the case index, the consent register, the log) only `Receive` is asked, with `other: None`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    pub action: Action,
    pub article: Article,
    pub purpose: Purpose,
    /// Who asks: the sender of a `Send`, the recipient of a `Receive`.
    pub actor: Actor,
    /// The other side. For `AssignRole` and the like: nobody. `None` stands for the facility.
    pub other: Option<Actor>,
    /// `None`: there is no such case, or none is needed (articles 9, 20, 32, 36).
    pub case: Option<CaseFacts>,
    /// What is exchanged; `None` for management actions.
    pub item: Option<Item>,
    /// To how many recipients this same item goes, counting those it went to before (articles 19, 21).
    pub recipients: u32,
    /// A reason was stated, long enough for the article (articles 3, 24, 30).
    pub reason_given: bool,
}

/// An organisation acting in one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Actor {
    pub kind: Kind,
    /// Standing in the partner register; ignored for an external third party and for the facility.
    pub status: PartnerStatus,
    /// The covenant version in force was signed.
    pub accepted: bool,
    /// `None`: acts as a partner, without a role (articles 20, 38, 39).
    pub role: Option<Role>,
    pub standing: Standing,
    /// Registered in this case as directly involved.
    pub involved: bool,
    /// Invited to the table of this case.
    pub invited: bool,
    /// The provider that the youth chose.
    pub chosen: bool,
    /// Carries out an active measure for this youth.
    pub executes_measure: bool,
}

impl Actor {
    /// An active partner that accepted the covenant and takes part in the case in this role.
    pub const fn participant(kind: OrgKind, role: Role) -> Self {
        Self { role: Some(role), standing: Standing::Participant, ..Self::partner(kind) }
    }

    /// An active partner that accepted the covenant, acting without a role.
    pub const fn partner(kind: OrgKind) -> Self {
        Self {
            kind: Kind::Partner(kind),
            status: PartnerStatus::Active,
            accepted: true,
            role: None,
            standing: Standing::None,
            involved: false,
            invited: false,
            chosen: false,
            executes_measure: false,
        }
    }

    /// A third party, addressed through the casusregisseur.
    pub const fn external(kind: ExternalKind) -> Self {
        Self {
            kind: Kind::External(kind),
            role: Some(Role::R16),
            standing: Standing::Third,
            accepted: false,
            ..Self::partner(OrgKind::Netwerk)
        }
    }

    /// Legal basis L4 (REFERENCE §2.4): registered as directly involved, or the chosen provider, or the casusregisseur of
    /// the GI or gemeente that leads the case. The phases in which a provider counts stand in the clauses.
    pub(crate) fn direct(&self) -> bool {
        let leads = matches!(self.kind, Kind::Partner(OrgKind::Gemeente | OrgKind::Gi)) && self.role == Some(Role::R02);
        let chosen = self.chosen && self.role == Some(Role::R09);
        self.standing == Standing::Participant && (self.involved || chosen || leads)
    }
}

/// What the covenant knows of a case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CaseFacts {
    /// F0–F8. `FE` is not a phase that a case rests in: a question with it is malformed. F8 is a closed case.
    pub phase: Phase,
    pub escalated: bool,
    /// Active on the day of the question.
    pub measures: Vec<Measure>,
    pub restricted: bool,
    pub objection: bool,
    /// The choice of a provider was recorded.
    pub choice_made: bool,
    /// The youth is at least 16½ (article 27).
    pub near_adulthood: bool,
    /// Kind of the organisation of the casusregisseur: stands in for the source where the facility is the source.
    pub holder: OrgKind,
}

impl CaseFacts {
    /// A quiet case in a phase.
    pub const fn in_phase(phase: Phase, holder: OrgKind) -> Self {
        Self {
            phase,
            holder,
            escalated: false,
            measures: Vec::new(),
            restricted: false,
            objection: false,
            choice_made: false,
            near_adulthood: false,
        }
    }
}

/// A category of data in a form, from a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Item {
    pub category: Category,
    pub form: Form,
    /// Where it comes from: not always the sender (articles 23, 25).
    pub source: Kind,
    /// Consent for exactly this article, category, recipient and source.
    pub consent: ConsentState,
    /// The same, explicit and naming the source (articles 15, 21, 27).
    pub explicit_consent: ConsentState,
    /// Retention or validity has elapsed.
    pub expired: bool,
}

/// Kind of a party, a third party, or the facility itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Partner(OrgKind),
    External(ExternalKind),
    /// The exchange facility (voorziening): source of the case index, the consent register and the log.
    Facility,
}

impl Kind {
    /// The word as policies write it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Partner(kind) => kind.code(),
            Self::External(kind) => kind.code(),
            Self::Facility => "voorziening",
        }
    }
}

vocabulary! {
    /// What is asked. `Send` and `Receive` are the exchange; the others manage a case or a partner's membership.
    Action, "action":
    Send = "send",
    Receive = "receive",
    AssignRole = "assignRole",
    EndRole = "endRole",
    HandOver = "handOver",
    AdvancePhase = "advancePhase",
    ChooseProvider = "chooseProvider",
    CloseCase = "closeCase",
    RecordMeasure = "recordMeasure",
    UpdateRegime = "updateRegime",
    RecordConsent = "recordConsent",
    WithdrawConsent = "withdrawConsent",
    Restrict = "restrict",
    Escalate = "escalate",
    Deescalate = "deescalate",
    ResolvePseudonym = "resolvePseudonym",
    Refer = "refer",
    QueryLog = "queryLog",
    SignCovenant = "signCovenant",
    PublishKeys = "publishKeys",
}

impl Action {
    /// Whether data changes hands.
    pub const fn is_exchange(self) -> bool {
        matches!(self, Self::Send | Self::Receive)
    }

    /// Whether it concerns the facility rather than one case.
    pub const fn is_facility(self) -> bool {
        matches!(self, Self::Refer | Self::QueryLog | Self::SignCovenant | Self::PublishKeys | Self::ResolvePseudonym)
    }
}

vocabulary! {
    /// Purpose code (article 2). Every article has exactly one.
    Purpose, "purpose":
    Consultatie = "consultatie",
    Aanmelding = "aanmelding",
    Triage = "triage",
    Advies = "advies",
    Analyse = "analyse",
    Hulp = "hulp",
    Plaatsing = "plaatsing",
    Bekostiging = "bekostiging",
    Bescherming = "bescherming",
    Veiligheid = "veiligheid",
    Escalatie = "escalatie",
    Leren = "leren",
    Rechten = "rechten",
    Verantwoording = "verantwoording",
    Beheer = "beheer",
}

vocabulary! {
    /// How an actor holds its role.
    Standing, "standing":
    /// Holds it in this case, now.
    Participant = "participant",
    /// Holds it outside any case: R11, R13–R15, and R03–R05 for an anonymous consultation.
    Office = "office",
    /// A third party addressed by the casusregisseur.
    Third = "third",
    /// Held it in this case: role ended, read window or break-glass window over, escalation ended.
    Expired = "expired",
    /// Does not hold it.
    None = "none",
}

vocabulary! {
    /// State of the consent that a question needs.
    ConsentState, "state of consent":
    Complete = "complete",
    Missing = "missing",
    Incomplete = "incomplete",
    Expired = "expired",
    Withdrawn = "withdrawn",
    RegimeChanged = "regime_changed",
}

impl ConsentState {
    /// Of what was found: consents that are complete, or the state of what there is.
    pub fn of<T>(found: &Result<T, Self>) -> Self {
        found.as_ref().err().copied().unwrap_or(Self::Complete)
    }
}
