//! What happened in each case, in order: who held a role, in which phase the case was, and who got something then.
//!
//! The log says who was given a role and who lost one, not which; so a partner is held to have a role for as long as one
//! may be left. Rights that end by themselves (an expert's, ten working days after the table) leave no event: whoever
//! had such a right counts as a participant until an event says otherwise. What is found is therefore certain; what is
//! not found may still have been late.

use std::collections::{BTreeMap, BTreeSet};

use super::line::Line;
use super::setting::{Scope, Setting};
use crate::party::{Category, Phase};

/// What an event does to a case, as far as reports go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Referred,
    Assigned,
    Ended,
    HandedOver,
    /// By the hub: one partner's roles end, and whoever is named gets them.
    Passed,
    /// Names everybody who holds a role then.
    Roster(Turn),
    /// Hands something over.
    Delivered,
    Looked,
}

impl What {
    /// Whether somebody gets or loses a role by it.
    const fn changes_roles(self) -> bool {
        !matches!(self, Self::Delivered | Self::Looked)
    }
}

/// What a change does to the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    None,
    Moved,
    Chosen,
    Closed,
    Escalated,
    Deescalated,
}

fn what(method: &str) -> Option<What> {
    Some(match method {
        "Cases/ReferCase" => What::Referred,
        "Cases/AssignRole" => What::Assigned,
        "Cases/EndRole" => What::Ended,
        "Cases/HandOverCase" => What::HandedOver,
        "Registry/SetPartnerStatus" | "Registry/SucceedPartner" => What::Passed,
        "Cases/AdvancePhase" => What::Roster(Turn::Moved),
        "Cases/ChooseProvider" => What::Roster(Turn::Chosen),
        "Cases/CloseCase" => What::Roster(Turn::Closed),
        "Cases/RecordMeasure" | "Cases/UpdateConsentRegime" | "Cases/RestrictCase" | "Consents/WithdrawConsent" => {
            What::Roster(Turn::None)
        }
        "Cases/StartEscalation" => What::Roster(Turn::Escalated),
        "Cases/EndEscalation" => What::Roster(Turn::Deescalated),
        "Records/PublishRecord" | "Records/FetchRecord" | "Records/RequestRecords" | "Records/AddRecipient" => {
            What::Delivered
        }
        "Cases/GetCase"
        | "Consents/ListConsents"
        | "Consents/RecordConsent"
        | "Records/ListRecords"
        | "Records/PlanRoute" => What::Looked,
        _ => return None,
    })
}

/// One event of a case, kept small: there may be a million.
struct Step {
    micros: i64,
    id: u128,
    actor: u32,
    recipients: Box<[u32]>,
    method: u8,
    what: What,
    article: u8,
    /// It held health, analysis, safety, measure or criminal data (C09–C13).
    sensitive: bool,
    emergency: bool,
    /// The case, or who got something, was erased.
    erased: bool,
    counted: bool,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) micros: i64,
    pub(super) id: u128,
    pub(super) method: usize,
    pub(super) case: String,
    /// Whom it is about.
    pub(super) partner: String,
    pub(super) article: u8,
    /// Earlier events of the case are missing, so it may be otherwise.
    pub(super) unsure: bool,
}

/// How much could be judged.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judged {
    /// It was.
    pub(super) known: u64,
    /// It was not: earlier events of the case are missing.
    pub(super) unknown: u64,
    /// It was not: the event does not show its case, or who got something.
    pub(super) hidden: u64,
}

impl Judged {
    /// Nothing was there to judge.
    pub(super) const fn is_empty(self) -> bool {
        self.known + self.unknown + self.hidden == 0
    }
}

/// What all cases show together.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Who acted in a case without a role.
    pub(super) strangers: Vec<Finding>,
    /// What was done after a case was closed.
    pub(super) late: Vec<Finding>,
    /// Who got something without a role.
    pub(super) misrouted: Vec<Finding>,
    /// Sensitive data handed over in a phase outside F3–F6, where the phase is known.
    pub(super) early: Vec<Finding>,
    /// Calls: whether their caller had a role, and their case was open.
    pub(super) calls: Judged,
    /// Recipients: whether they had a role.
    pub(super) deliveries: Judged,
    /// Sensitive deliveries: whether their phase is known.
    pub(super) phases: Judged,
}

impl Found {
    /// Counts what an event that shows no case keeps from being judged.
    fn pass_over(&mut self, step: &Step, visible: impl Fn(u32) -> bool) {
        let judges_caller = !is_by_anybody(step) && visible(step.actor);
        self.calls.hidden += u64::from(judges_caller || !is_afterwards(step));
        if step.what != What::Delivered {
            return;
        }
        self.phases.unknown += u64::from(step.sensitive);
        let judges_recipient = step.erased || step.recipients.iter().any(|recipient| visible(*recipient));
        self.deliveries.hidden += u64::from(judges_recipient && !needs_no_role(step));
    }
}

/// Gathers the events of every case.
#[derive(Default)]
pub(super) struct Trail {
    names: BTreeMap<String, u32>,
    cases: BTreeMap<String, Vec<Step>>,
    /// Events of cases that do not show.
    hidden: Vec<Step>,
}

impl Trail {
    /// Takes an event; `counted` is false for history.
    pub(super) fn add(&mut self, line: &Line<'_>, counted: bool) {
        let is_placed = line.is_allowed() && !line.event.case.is_empty();
        let Some(what) = what(line.method()).filter(|_| is_placed || line.hides_case()) else { return };
        let sensitive = |category: Category| (Category::C09..=Category::C13).contains(&category);
        // Nobody asks for what the hub does of its own accord: it concerns the one that goes.
        let goes = if what == What::Passed { super::setting::oin_of(&line.event.source) } else { line.organisation };
        let actor = self.number(goes);
        let recipients = line.recipients().map(|oin| self.number(oin)).collect();
        let step = Step {
            micros: line.micros,
            id: line.id,
            actor,
            recipients,
            method: u8::try_from(line.method).unwrap_or(u8::MAX),
            what,
            article: line.article(),
            sensitive: line.categories().any(sensitive),
            emergency: line.event.emergency,
            erased: line.has_lost("case") || line.has_lost("data"),
            counted,
        };
        if is_placed {
            self.cases.entry(line.event.case.clone()).or_default().push(step);
        } else {
            self.hidden.push(step);
        }
    }

    fn number(&mut self, oin: &str) -> u32 {
        if let Some(number) = self.names.get(oin) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.insert(oin.to_owned(), number);
        number
    }

    /// Walks every case from its first event to its last.
    pub(super) fn finish(mut self, setting: &Setting) -> Found {
        let own = match &setting.scope {
            Scope::Own(oin) => Some(self.number(oin.as_str())),
            Scope::Network => None,
        };
        let names: BTreeMap<u32, String> = self.names.into_iter().map(|(name, number)| (number, name)).collect();
        let mut found = Found::default();
        for step in self.hidden.iter().filter(|step| step.counted) {
            found.pass_over(step, |partner| own.is_none_or(|own| own == partner));
        }
        let gone = |step: &&Step| step.erased && step.what.changes_roles();
        let mut gaps: Vec<i64> = self.hidden.iter().filter(gone).map(|step| step.micros).collect();
        gaps.sort_unstable();
        for (case, mut steps) in self.cases {
            steps.sort_unstable_by_key(|step| (step.micros, step.id));
            let mut walk = Walk::new(case, own, &names, setting.since_start, &gaps);
            for step in &steps {
                walk.judge(step, &mut found);
                walk.take(step);
            }
        }
        for findings in [&mut found.strangers, &mut found.late, &mut found.misrouted, &mut found.early] {
            findings.sort_unstable();
        }
        found
    }
}

/// Roles of a partner of whom nothing else is known: no event takes them all.
const MANY: u32 = u32::MAX / 2;

/// How a partner stands in a case.
#[derive(Clone, Copy)]
enum Standing {
    Holds,
    Gone,
    Unknown,
}

/// A case on its way.
struct Walk<'a> {
    case: String,
    own: Option<u32>,
    names: &'a BTreeMap<u32, String>,
    /// By partner: the most roles it can have.
    roles: BTreeMap<u32, u32>,
    /// Everybody who has a role is in `roles`.
    whole: bool,
    /// When roles changed in cases that were erased from the event. One of them may be this case.
    gaps: &'a [i64],
    /// Partners that may have a role from before the first event.
    unsure: BTreeSet<u32>,
    /// Who may have got a role by the escalation that is running: the log names everybody.
    escalation: Vec<u32>,
    /// When.
    referred: Option<i64>,
    phase: Option<Phase>,
    closed: bool,
    /// Who handed the case over last, and to whom.
    handed: Option<(u32, u32)>,
}

impl<'a> Walk<'a> {
    fn new(case: String, own: Option<u32>, names: &'a BTreeMap<u32, String>, whole: bool, gaps: &'a [i64]) -> Self {
        let (roles, unsure, escalation) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self {
            case,
            own,
            names,
            roles,
            whole,
            gaps,
            unsure,
            escalation,
            referred: None,
            phase: None,
            closed: false,
            handed: None,
        }
    }

    fn standing(&self, partner: u32, at: i64) -> Standing {
        match self.roles.get(&partner) {
            Some(0) => Standing::Gone,
            Some(_) => Standing::Holds,
            None if self.whole && !self.has_gap(at) => Standing::Gone,
            None => Standing::Unknown,
        }
    }

    /// Whether somebody may have got a role before this moment by an event that shows its case no more.
    fn has_gap(&self, at: i64) -> bool {
        let since = self.referred.map_or(0, |referred| self.gaps.partition_point(|gap| *gap <= referred));
        self.gaps.get(since).is_some_and(|gap| *gap < at)
    }

    /// Whether the reader's events tell what this partner's roles are.
    fn visible(&self, partner: u32) -> bool {
        self.own.is_none_or(|own| own == partner)
    }

    fn finding(&self, step: &Step, partner: u32) -> Finding {
        Finding {
            micros: step.micros,
            id: step.id,
            method: usize::from(step.method),
            case: self.case.clone(),
            partner: self.names.get(&partner).cloned().unwrap_or_default(),
            article: step.article,
            unsure: self.unsure.contains(&partner) || self.has_gap(step.micros),
        }
    }

    /// Holds a step against what was so before it.
    fn judge(&mut self, step: &Step, found: &mut Found) {
        if step.counted && step.what == What::Delivered && step.sensitive {
            self.judge_phase(step, found);
        }
        if !is_by_anybody(step) && self.visible(step.actor) {
            match self.standing(step.actor, step.micros) {
                Standing::Unknown => {
                    self.unsure.insert(step.actor);
                    found.calls.unknown += u64::from(step.counted);
                }
                standing => {
                    found.calls.known += u64::from(step.counted);
                    if step.counted && matches!(standing, Standing::Gone) {
                        found.strangers.push(self.finding(step, step.actor));
                    }
                }
            }
        }
        if step.counted && self.closed && !is_afterwards(step) {
            found.late.push(self.finding(step, step.actor));
        }
        if step.counted && step.what == What::Delivered && !needs_no_role(step) {
            self.judge_recipients(step, found);
        }
    }

    fn judge_recipients(&self, step: &Step, found: &mut Found) {
        found.deliveries.hidden += u64::from(step.erased && step.recipients.is_empty());
        for recipient in step.recipients.iter().filter(|recipient| self.visible(**recipient)) {
            match self.standing(*recipient, step.micros) {
                Standing::Holds => found.deliveries.known += 1,
                Standing::Unknown => found.deliveries.unknown += 1,
                Standing::Gone => {
                    found.deliveries.known += 1;
                    found.misrouted.push(self.finding(step, *recipient));
                }
            }
        }
    }

    fn judge_phase(&self, step: &Step, found: &mut Found) {
        match self.phase {
            None => found.phases.unknown += 1,
            Some(phase) => {
                found.phases.known += 1;
                if !(Phase::F3..=Phase::F6).contains(&phase) {
                    found.early.push(self.finding(step, step.actor));
                }
            }
        }
    }

    /// What is so after a step.
    fn take(&mut self, step: &Step) {
        match step.what {
            What::Referred if self.referred.is_none() => self.refer(step),
            What::Assigned => step.recipients.iter().for_each(|recipient| self.gain(*recipient)),
            What::Ended => step.recipients.iter().for_each(|recipient| self.lose(*recipient)),
            What::Passed => {
                let roles = self.roles.insert(step.actor, 0).unwrap_or(MANY).max(1);
                for recipient in &step.recipients {
                    self.gain(*recipient);
                    self.roles.entry(*recipient).and_modify(|held| *held = held.saturating_add(roles - 1));
                }
            }
            What::HandedOver => {
                let to = step.recipients.first().copied();
                // The same again is a repeat of the request, which changes nothing.
                if let Some(to) = to.filter(|to| self.handed != Some((step.actor, *to))) {
                    self.handed = Some((step.actor, to));
                    self.gain(to);
                    self.lose(step.actor);
                }
            }
            // A repeat of a request names nobody, and changes nothing.
            What::Roster(turn) if !step.recipients.is_empty() => {
                self.call(step);
                self.turn(turn, &step.recipients);
            }
            What::Referred | What::Roster(_) | What::Delivered | What::Looked => {}
        }
    }

    fn refer(&mut self, step: &Step) {
        (self.whole, self.referred) = (true, Some(step.micros));
        for recipient in &step.recipients {
            self.gain(*recipient);
        }
        // Whoever refers may hold the case as well, and is named once.
        if let Some(roles) = self.roles.get_mut(&step.actor) {
            *roles = 2;
        }
        self.phase = Some(Phase::F1);
    }

    /// Everybody who has a role now is named, if the reader may see them all.
    fn call(&mut self, step: &Step) {
        let all = self.own.is_none_or(|own| own == step.actor);
        if all {
            self.roles.iter_mut().filter(|(p, _)| !step.recipients.contains(p)).for_each(|(_, roles)| *roles = 0);
            self.whole = true;
        }
        for recipient in &step.recipients {
            self.roles.entry(*recipient).or_insert(MANY);
            self.keep(*recipient);
        }
    }

    /// Has a role, whatever else is known.
    fn keep(&mut self, partner: u32) {
        if let Some(roles) = self.roles.get_mut(&partner) {
            *roles = (*roles).max(1);
        }
    }

    fn turn(&mut self, turn: Turn, named: &[u32]) {
        match turn {
            Turn::None => {}
            // One of those named has a role more, until the escalation ends.
            Turn::Escalated => {
                self.escalation = named.to_vec();
                named.iter().for_each(|partner| self.gain(*partner));
            }
            Turn::Deescalated => {
                for partner in std::mem::take(&mut self.escalation) {
                    self.lose(partner);
                }
                named.iter().for_each(|partner| self.keep(*partner));
            }
            Turn::Moved => self.phase = None,
            Turn::Chosen => self.phase = Some(Phase::F6),
            Turn::Closed => {
                self.phase = Some(Phase::F8);
                self.closed = true;
            }
        }
    }

    fn gain(&mut self, partner: u32) {
        if !self.whole && !self.roles.contains_key(&partner) {
            self.unsure.insert(partner);
        }
        let roles = self.roles.entry(partner).or_insert(0);
        *roles = roles.saturating_add(1);
    }

    fn lose(&mut self, partner: u32) {
        if let Some(roles) = self.roles.get_mut(&partner) {
            *roles = roles.saturating_sub(1);
        }
    }
}

/// Article 30 opens to whoever has no role; articles 9, 31, 32, 33 and 36 to offices outside the case, 20 to all.
const fn needs_no_role(step: &Step) -> bool {
    step.emergency || matches!(step.article, 9 | 20 | 31 | 32 | 33 | 36)
}

/// A newcomer's key is sealed by the author's agent, also after the author has left; whoever refers has no role yet.
fn is_by_anybody(step: &Step) -> bool {
    let is_added = super::line::method_name(usize::from(step.method)) == "Records/AddRecipient";
    matches!(step.what, What::Referred | What::Passed) || is_added || needs_no_role(step)
}

/// What may be done in a closed case, and closing it.
fn is_afterwards(step: &Step) -> bool {
    matches!(step.article, 33..=37) || matches!(step.what, What::Passed | What::Roster(Turn::Closed))
}
