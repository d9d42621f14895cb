//! A case as decisions see it: roles, phase, measures, consents. Pure: rows in, answers out, `now` as an argument.

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime, Time};

use crate::covenant::consent::{AgeBand, Ask, ConsentRules, Given, Regime};
use crate::covenant::facts::ConsentState;
use crate::covenant::parameters::Parameters;
use crate::party::{ExternalKind, Measure, Oin, OrgKind, Phase, Role};

/// Everything that a decision may need to know of one case.
#[derive(Debug, Clone)]
pub struct CaseFile {
    /// The hub's own id; never leaves it.
    pub id: String,
    /// Moves with everything that a decision rests on.
    pub rev: i64,
    /// HMAC of the VOPRF output, or random.
    pub subject_tag: Vec<u8>,
    /// Key epoch of the tag; 0: random.
    pub tag_epoch: u32,
    /// F1–F8.
    pub phase: Phase,
    /// When the phase began.
    pub phase_at: OffsetDateTime,
    /// When the expert table (F3) began last.
    pub table_at: Option<OffsetDateTime>,
    /// When the case was referred.
    pub created_at: OffsetDateTime,
    /// When it was closed.
    pub closed_at: Option<OffsetDateTime>,
    /// An escalation is running.
    pub escalated: bool,
    /// AVG 18.
    pub restricted: bool,
    /// AVG 21.
    pub objection: bool,
    /// Provider chosen (article 21).
    pub chosen: Option<Oin>,
    /// Who must consent now.
    pub regime: Regime,
    /// First day of the month in which the age band ends, if known.
    pub regime_until: Option<OffsetDateTime>,
    /// Each organisation's own name of the case.
    pub names: BTreeMap<Oin, String>,
    /// Roles, past ones too.
    pub assignments: Vec<Assignment>,
    /// Measures, past ones too.
    pub measures: Vec<MeasureInForce>,
    /// Consents, withdrawn ones too.
    pub consents: Vec<ConsentOnFile>,
}

/// A role of a party.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// UUID.
    pub id: String,
    /// The role.
    pub role: Role,
    /// Who holds it.
    pub party: Party,
    /// Registered as directly involved.
    pub involved: bool,
    /// First moment.
    pub starts_at: OffsetDateTime,
    /// Agreed end.
    pub ends_at: Option<OffsetDateTime>,
    /// Ended before that.
    pub ended_at: Option<OffsetDateTime>,
}

/// Who holds a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// A partner.
    Partner(Oin),
    /// A third party, reached through the casusregisseur.
    External(ExternalKind),
}

/// A measure and who carries it out.
#[derive(Debug, Clone)]
pub struct MeasureInForce {
    /// Which.
    pub kind: Measure,
    /// The GI.
    pub executor: Oin,
    /// First moment.
    pub starts_at: OffsetDateTime,
    /// First moment after it.
    pub ends_at: Option<OffsetDateTime>,
}

/// A consent with its name.
#[derive(Debug, Clone)]
pub struct ConsentOnFile {
    /// UUID.
    pub id: String,
    /// Version of the text that the giver was informed with.
    pub text_version: String,
    /// What was consented to, by whom, until when.
    pub given: Given,
}

impl AsRef<Given> for ConsentOnFile {
    fn as_ref(&self) -> &Given {
        &self.given
    }
}

/// How an organisation stands in a role of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held<'a> {
    /// Holds it now.
    Now(&'a Assignment),
    /// Held it once.
    Before,
    /// Never held it.
    Never,
}

impl PartialEq for Assignment {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Assignment {}

impl Assignment {
    /// The OIN of the partner that holds it.
    pub const fn partner(&self) -> Option<&Oin> {
        match &self.party {
            Party::Partner(oin) => Some(oin),
            Party::External(_) => None,
        }
    }

    /// Begun and not ended, leaving terms of the covenant aside.
    pub fn holds(&self, now: OffsetDateTime) -> bool {
        self.starts_at <= now && self.ends_at.is_none_or(|end| now < end) && self.ended_at.is_none_or(|end| now < end)
    }
}

impl CaseFile {
    /// Whether the assignment holds now. An expert's (R05) ends by itself some working days after the table (article 13),
    /// whatever was agreed. That end is put down when the table begins; this here is the last word should it be missing.
    pub fn in_force(&self, assignment: &Assignment, now: OffsetDateTime, terms: &Parameters) -> bool {
        assignment.holds(now) && self.table_end(assignment, terms).is_none_or(|end| now < end)
    }

    /// When an expert's right ends at the latest, because the table is over.
    pub fn table_end(&self, assignment: &Assignment, terms: &Parameters) -> Option<OffsetDateTime> {
        let table = self.table_at.filter(|_| assignment.role == Role::R05)?;
        Some(reading_window(table.max(assignment.starts_at), terms))
    }

    /// When a role that is given now ends by the covenant's own terms: an expert's, once there has been a table.
    pub fn reading_end(&self, role: Role, now: OffsetDateTime, terms: &Parameters) -> Option<OffsetDateTime> {
        (role == Role::R05 && self.table_at.is_some()).then(|| reading_window(now, terms))
    }

    /// Begins a table (F3). Experts that hold their role get its end put down, and nobody ever gets a later one: whoever
    /// lapsed after an earlier table stays away from this one. Gives the assignments whose end changed.
    pub fn begin_table(&mut self, now: OffsetDateTime, terms: &Parameters) -> Vec<Assignment> {
        let window = reading_window(now, terms);
        let ends: Vec<Option<OffsetDateTime>> = self
            .assignments
            .iter()
            .map(|a| {
                if a.role != Role::R05 || a.ended_at.is_some() {
                    return None;
                }
                let end = [a.ends_at, self.table_end(a, terms), Some(window)].into_iter().flatten().min();
                end.filter(|_| end != a.ends_at)
            })
            .collect();
        self.table_at = Some(now);
        let mut bounded = Vec::new();
        for (assignment, end) in self.assignments.iter_mut().zip(ends).filter(|(_, end)| end.is_some()) {
            assignment.ends_at = end;
            bounded.push(assignment.clone());
        }
        bounded
    }

    /// How an organisation stands in a role.
    pub fn held(&self, oin: &Oin, role: Role, now: OffsetDateTime, terms: &Parameters) -> Held<'_> {
        let mut mine = self.assignments.iter().filter(|a| a.role == role && a.partner() == Some(oin)).peekable();
        if mine.peek().is_none() {
            return Held::Never;
        }
        mine.find(|a| self.in_force(a, now, terms)).map_or(Held::Before, Held::Now)
    }

    /// Whether the organisation holds any role now: only then may it learn why it is refused.
    pub fn is_participant(&self, oin: &Oin, now: OffsetDateTime, terms: &Parameters) -> bool {
        self.assignments.iter().any(|a| a.partner() == Some(oin) && self.in_force(a, now, terms))
    }

    /// Whether the organisation holds or held a role in which it knows who the youth is. To anybody else the case does not
    /// answer by subject: an expert could otherwise try its own clients against a pseudonymous case.
    pub fn knows_youth(&self, oin: &Oin) -> bool {
        let chosen = self.chosen.as_ref() == Some(oin);
        self.assignments.iter().any(|a| a.partner() == Some(oin) && knows_youth(a.role, chosen))
    }

    /// Roles in force now.
    pub fn active(&self, now: OffsetDateTime, terms: &Parameters) -> impl Iterator<Item = &Assignment> {
        self.assignments.iter().filter(move |a| self.in_force(a, now, terms))
    }

    /// The holder of the case (R02).
    pub fn holder(&self, now: OffsetDateTime) -> Option<&Oin> {
        self.assignments.iter().find(|a| a.role == Role::R02 && a.holds(now)).and_then(Assignment::partner)
    }

    /// Measures in force now.
    pub fn measures_now(&self, now: OffsetDateTime) -> BTreeSet<Measure> {
        self.in_force_measures(now).map(|m| m.kind).collect()
    }

    /// Whether the organisation carries out a measure now.
    pub fn executes_measure(&self, oin: &Oin, now: OffsetDateTime) -> bool {
        self.in_force_measures(now).any(|m| m.executor == *oin)
    }

    fn in_force_measures(&self, now: OffsetDateTime) -> impl Iterator<Item = &MeasureInForce> {
        self.measures.iter().filter(move |m| m.starts_at <= now && m.ends_at.is_none_or(|end| now < end))
    }

    /// Whether the organisation counts as directly involved in this role (Jeugdwet 7.3.11(2)(a)): registered so, the
    /// chosen provider, or the casusregisseur of a gemeente or GI.
    pub fn directly_involved(&self, assignment: &Assignment, kind: OrgKind) -> bool {
        let chosen = assignment.role == Role::R09 && self.chosen.as_ref() == assignment.partner();
        let directs = assignment.role == Role::R02 && matches!(kind, OrgKind::Gemeente | OrgKind::Gi);
        assignment.involved || chosen || directs
    }

    /// The consents that together allow what is asked, or the state of what there is. Once the month has come in which the age
    /// band ends, nothing given before counts: the regime has to be recorded anew first.
    ///
    /// # Errors
    /// Any state but [`ConsentState::Complete`].
    pub fn complete_consent(
        &self,
        rules: &ConsentRules,
        now: OffsetDateTime,
        ask: &Ask<'_>,
        explicit: bool,
    ) -> Result<Vec<&ConsentOnFile>, ConsentState> {
        let found = rules.complete(now, &self.regime, &self.consents, ask, explicit)?;
        let over = self.regime_until.is_some_and(|month| month <= now);
        if over { Err(ConsentState::RegimeChanged) } else { Ok(found) }
    }

    /// At least 16½ (article 27), as far as the month of the 18th birthday tells: one and a half years before it.
    pub fn near_adulthood(&self, now: OffsetDateTime) -> bool {
        match self.regime.band {
            AgeBand::From18 => true,
            AgeBand::From16 => self.regime_until.is_some_and(|month| now >= month - Duration::days(548)),
            AgeBand::Under12 | AgeBand::From12 => false,
        }
    }

    /// Only rights, audit and destruction are left.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::F8
    }

    /// What the organisation calls this case.
    pub fn name_for(&self, oin: &Oin) -> Option<&str> {
        self.names.get(oin).map(String::as_str)
    }
}

/// Whether a case may go from one phase to another. Forward by any distance within F1–F7; back by one step, when the
/// table or the plan has to be done again. F8 is reached by closing only.
pub fn may_advance(from: Phase, to: Phase) -> bool {
    let order = |phase: Phase| Phase::ALL.iter().position(|p| *p == phase).unwrap_or(0);
    let casework = |phase: Phase| (Phase::F1..=Phase::F7).contains(&phase);
    casework(from) && casework(to) && (to > from || order(to) + 1 == order(from))
}

/// The last moment of the working days in which an expert may read after a table that began `from`.
fn reading_window(from: OffsetDateTime, terms: &Parameters) -> OffsetDateTime {
    let last = terms.calendar.add_working_days(from.date(), terms.terms.read_window_working_days);
    // A year whose holidays nobody entered: the right is over rather than guessed.
    last.map_or(from, |day| day.saturating_add(Duration::DAY).with_time(Time::MIDNIGHT).assume_utc())
}

/// Whether somebody in this role knows who the youth is; a provider that was asked (R09) only once it is chosen. Experts,
/// analyst and board see pseudonymous data only.
pub const fn knows_youth(role: Role, chosen: bool) -> bool {
    match role {
        Role::R01 | Role::R02 | Role::R07 | Role::R08 | Role::R10 | Role::R12 => true,
        Role::R09 => chosen,
        _ => false,
    }
}

/// Which kinds of partner a role of a case is for: whoever gives a role can't make a network office a provider of help.
pub const fn may_hold(role: Role, kind: OrgKind) -> bool {
    use OrgKind::{Aanbieder, Gemeente, Gi, Netwerk};
    match role {
        Role::R04 | Role::R05 | Role::R06 => true,
        Role::R01 | Role::R02 => matches!(kind, Gemeente | Gi),
        Role::R03 => matches!(kind, Netwerk),
        Role::R07 | Role::R17 => matches!(kind, Gemeente | Gi | Aanbieder),
        Role::R08 => matches!(kind, Gi),
        Role::R09 => matches!(kind, Aanbieder),
        Role::R10 => matches!(kind, Gemeente),
        Role::R12 => matches!(kind, Aanbieder | Gi),
        // Held outside a case, by an escalation, or by no partner at all.
        Role::R11 | Role::R13 | Role::R14 | Role::R15 | Role::R16 | Role::R18 => false,
    }
}

#[cfg(test)]
mod tests;
