//! What happens to a case as a whole: phase, choice, measure, regime, restriction, escalation, closing.

use time::OffsetDateTime;

use super::super::{Decided, Exchange, Facts, Operation};
use super::case_read::{case_reply, check_regime, read_regime};
use super::notice::{Kind, tell, tell_all, tell_end};
use super::{Change, change_of_case};
use crate::api::v1;
use crate::audit::Draft;
use crate::case::{Assignment, CaseFile, MeasureInForce, Party, may_advance};
use crate::clock::micros;
use crate::covenant::consent::Regime;
use crate::covenant::facts::{Action, Actor};
use crate::covenant::parameters::Parameters;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Category, Measure, Oin, OrgKind, Phase, Role};
use crate::store::{Changes, Tx, WorkError};

/// One change of a case's state: each of the RPCs of this module is one of these.
enum Step {
    Phase(Phase),
    Choose(Oin),
    Measure(MeasureInForce),
    Regime(Regime, Option<OffsetDateTime>),
    Restrict { objection: bool, on: bool },
    Escalate(Oin),
    Deescalate,
    Close(String),
}

impl Step {
    const fn action(&self) -> Action {
        match self {
            Self::Phase(_) => Action::AdvancePhase,
            Self::Choose(_) => Action::ChooseProvider,
            Self::Measure(_) => Action::RecordMeasure,
            Self::Regime(..) => Action::UpdateRegime,
            Self::Restrict { .. } => Action::Restrict,
            Self::Escalate(_) => Action::Escalate,
            Self::Deescalate => Action::Deescalate,
            Self::Close(_) => Action::CloseCase,
        }
    }

    const fn categories(&self) -> &'static [Category] {
        match self {
            Self::Measure(_) => &[Category::C01, Category::C12],
            Self::Regime(..) => &[Category::C04, Category::C23],
            Self::Restrict { .. } => &[Category::C23],
            Self::Phase(_) | Self::Choose(_) | Self::Escalate(_) | Self::Deescalate | Self::Close(_) => {
                &[Category::C01]
            }
        }
    }

    const fn notice(&self) -> Option<Kind> {
        match self {
            Self::Phase(_) | Self::Choose(_) => Some(Kind::Phase),
            Self::Restrict { .. } => Some(Kind::Restricted),
            Self::Escalate(_) => Some(Kind::EscalationStarted),
            Self::Deescalate => Some(Kind::EscalationEnded),
            Self::Close(_) => Some(Kind::Closed),
            Self::Measure(_) | Self::Regime(..) => None,
        }
    }

    /// The partner that the step concerns, as the covenant sees it.
    fn other(&self, facts: &Facts, hub: &Exchange) -> Option<Actor> {
        let (oin, role) = match self {
            Self::Choose(oin) => (oin, Role::R09),
            Self::Measure(measure) => (&measure.executor, Role::R08),
            Self::Escalate(oin) => (oin, Role::R11),
            Self::Phase(_) | Self::Regime(..) | Self::Restrict { .. } | Self::Deescalate | Self::Close(_) => {
                return None;
            }
        };
        let kind = facts.kind(oin)?;
        let seat = facts.seat(hub, oin, role);
        Some(Actor { role: Some(role), standing: seat.standing, involved: seat.involved, ..Actor::partner(kind) })
    }

    /// The case after the step, and the roles that it begins and ends.
    fn take(&self, hub: &Exchange, facts: &Facts, before: &CaseFile) -> Result<After, Refusal> {
        let mut after = After { case: before.clone(), begun: Vec::new(), ended: Vec::new(), bounded: Vec::new() };
        match self {
            Self::Phase(phase) => {
                if !may_advance(before.phase, *phase) {
                    return Err(Refusal::precondition("a case goes forward within F1-F7, or one step back"));
                }
                after.enter(*phase, facts.now, hub.terms());
            }
            Self::Choose(oin) => choose(hub, facts, &mut after, oin)?,
            Self::Measure(measure) => record_measure(facts, &mut after, measure)?,
            Self::Regime(regime, until) => {
                after.case.regime = regime.clone();
                after.case.regime_until = *until;
            }
            Self::Restrict { objection: true, on } => after.case.objection = *on,
            Self::Restrict { objection: false, on } => after.case.restricted = *on,
            Self::Escalate(oin) => escalate(facts, &mut after, oin)?,
            Self::Deescalate => {
                if !before.escalated {
                    return Err(Refusal::precondition("no escalation is running"));
                }
                after.case.escalated = false;
                after.end(facts.now, |a| a.role == Role::R11);
            }
            Self::Close(_) => {
                after.enter(Phase::F8, facts.now, hub.terms());
                after.case.closed_at = Some(facts.now);
            }
        }
        Ok(after)
    }
}

fn choose(hub: &Exchange, facts: &Facts, after: &mut After, oin: &Oin) -> Result<(), Refusal> {
    let asked = |a: &Assignment| a.role == Role::R09 && a.partner() == Some(oin);
    if !after.case.active(facts.now, hub.terms()).any(asked) {
        return Err(Refusal::precondition("the provider chosen must hold role R09 in this case"));
    }
    after.case.chosen = Some(oin.clone());
    after.enter(Phase::F6, facts.now, hub.terms());
    after.end(facts.now, |a| a.role == Role::R09 && a.partner() != Some(oin));
    Ok(())
}

fn record_measure(facts: &Facts, after: &mut After, measure: &MeasureInForce) -> Result<(), Refusal> {
    if facts.kind(&measure.executor) != Some(OrgKind::Gi) {
        return Err(Refusal::malformed("executing_partner", "a GI that takes part"));
    }
    after.case.measures.retain(|known| known.kind != measure.kind);
    after.case.measures.push(measure.clone());
    Ok(())
}

fn escalate(facts: &Facts, after: &mut After, oin: &Oin) -> Result<(), Refusal> {
    if after.case.escalated {
        return Err(Refusal::precondition("an escalation is running already"));
    }
    if !facts.registry.get(oin).is_some_and(|entry| entry.takes_part(facts.now)) {
        return Err(Refusal::malformed("partner", "a partner that takes part now"));
    }
    // A person may not be board member and casusregisseur in one case (REFERENCE §1.4); an organisation may hold both.
    after.case.escalated = true;
    after.begin(facts.now, Role::R11, oin);
    Ok(())
}

/// A case after a step.
pub struct After {
    case: CaseFile,
    begun: Vec<Assignment>,
    ended: Vec<Assignment>,
    /// Those whose end was put down.
    bounded: Vec<Assignment>,
}

impl After {
    fn enter(&mut self, phase: Phase, now: OffsetDateTime, terms: &Parameters) {
        self.case.phase = phase;
        self.case.phase_at = now;
        if phase == Phase::F3 {
            self.bounded = self.case.begin_table(now, terms);
        }
    }

    fn begin(&mut self, now: OffsetDateTime, role: Role, oin: &Oin) {
        let assignment = Assignment {
            id: uuid::Uuid::new_v4().to_string(),
            role,
            party: Party::Partner(oin.clone()),
            involved: false,
            starts_at: now,
            ends_at: None,
            ended_at: None,
        };
        self.case.names.entry(oin.clone()).or_insert_with(|| uuid::Uuid::new_v4().to_string());
        self.case.assignments.push(assignment.clone());
        self.begun.push(assignment);
    }

    fn end(&mut self, now: OffsetDateTime, which: impl Fn(&Assignment) -> bool) {
        for assignment in self.case.assignments.iter_mut().filter(|a| which(a) && a.holds(now)) {
            assignment.ended_at = Some(now);
            self.ended.push(assignment.clone());
        }
    }

    async fn write(&self, tx: &mut Tx<'_>, facts: &Facts) -> Result<(), WorkError> {
        for assignment in &self.ended {
            crate::store::case::end_assignment(tx, &assignment.id, micros(facts.now)).await?;
            tell_end(tx, facts, &self.case, assignment).await?;
        }
        for assignment in &self.bounded {
            if let Some(end) = assignment.ends_at {
                crate::store::case::set_assignment_end(tx, &assignment.id, micros(end)).await?;
            }
        }
        for assignment in &self.begun {
            if let Some(oin) = assignment.partner() {
                let name = self.case.name_for(oin).unwrap_or_default();
                crate::store::case::insert_name(tx, &self.case.id, oin, name).await?;
                crate::store::case::insert_assignment(tx, &self.case.id, assignment).await?;
                tell(tx, facts, &self.case, oin, Kind::RoleAssigned, Some(assignment.role));
            }
        }
        crate::store::case::save(tx, &self.case).await?;
        Ok(())
    }
}

/// Declares one RPC of this module: its message and how its step is read.
macro_rules! step {
    ($(#[$doc:meta])* $name:ident, $message:ident, $read:expr) => {
        $(#[$doc])*
        pub struct $name {
            change: Change,
            step: Step,
        }

        impl Operation for $name {
            type Message = v1::$message;
            type Reply = v1::Case;
            type Rows = ();
            type Plan = After;

            change_of_case!();

            fn parse(message: Self::Message) -> Result<Self, Refusal> {
                let mut fields = Fields::default();
                let change = Change::read(&mut fields, &message.request_id, message.context.as_ref(), &message.case);
                let read: fn(&mut Fields, &v1::$message) -> Option<Step> = $read;
                let step = read(&mut fields, &message);
                fields.done((|| Some(Self { change: change?, step: step? }))())
            }

            fn describe(&self, _: &Facts, draft: &mut Draft) {
                draft.categories = self.step.categories().to_vec();
            }

            fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, After), Refusal> {
                decide(hub, facts, &self.change, &self.step)
            }

            fn changes(&self, _: &Decided<Self>) -> Changes {
                Changes::Case
            }

            async fn apply(
                &self,
                hub: &Exchange,
                tx: &mut Tx<'_>,
                done: &Decided<Self>,
                draft: &mut Draft,
            ) -> Result<v1::Case, WorkError> {
                apply(hub, tx, &done.facts, &done.plan, &self.step, &self.change, draft).await
            }
        }
    };
}

fn decide(hub: &Exchange, facts: &Facts, change: &Change, step: &Step) -> Result<(Ground, After), Refusal> {
    let permit = facts.manage(hub, step.action(), &change.context, step.other(facts, hub), 1)?;
    let case = facts.known_case()?;
    if let Step::Regime(regime, _) = step {
        check_regime(hub, regime, &change.context)?;
    }
    Ok((Ground::permit(permit), step.take(hub, facts, case)?))
}

async fn apply(
    hub: &Exchange,
    tx: &mut Tx<'_>,
    facts: &Facts,
    after: &After,
    step: &Step,
    change: &Change,
    draft: &mut Draft,
) -> Result<v1::Case, WorkError> {
    after.write(tx, facts).await?;
    match step {
        Step::Measure(measure) => crate::store::case::put_measure(tx, &after.case.id, measure).await?,
        Step::Close(reason) => crate::store::case::set_end_reason(tx, &after.case.id, reason).await?,
        _ => {}
    }
    if let Some(kind) = step.notice() {
        tell_all(tx, hub, facts, &after.case, kind);
    }
    draft.recipients = super::roles::active_partners(hub, facts, &after.case);
    Ok(case_reply(hub, facts, &after.case, change.context.role, false))
}

step!(
    /// `Cases.AdvancePhase`.
    AdvancePhase,
    AdvancePhaseRequest,
    |fields, message| fields.word::<Phase>("phase", message.phase).map(Step::Phase)
);
step!(
    /// `Cases.ChooseProvider`.
    ChooseProvider,
    ChooseProviderRequest,
    |fields, message| fields.partner("partner", &message.partner).map(Step::Choose)
);
step!(
    /// `Cases.RecordMeasure`.
    RecordMeasure,
    RecordMeasureRequest,
    read_measure
);
step!(
    /// `Cases.UpdateConsentRegime`.
    UpdateConsentRegime,
    UpdateConsentRegimeRequest,
    |fields, message| read_regime(fields, message.regime.as_ref()).map(|(regime, until)| Step::Regime(regime, until))
);
step!(
    /// `Cases.RestrictCase`.
    RestrictCase,
    RestrictCaseRequest,
    read_restriction
);
step!(
    /// `Cases.StartEscalation`.
    StartEscalation,
    StartEscalationRequest,
    |fields, message| fields.partner("partner", &message.partner).map(Step::Escalate)
);
step!(
    /// `Cases.EndEscalation`.
    EndEscalation,
    EndEscalationRequest,
    |_, _| Some(Step::Deescalate)
);
step!(
    /// `Cases.CloseCase`.
    CloseCase,
    CloseCaseRequest,
    read_close
);

fn read_measure(fields: &mut Fields, message: &v1::RecordMeasureRequest) -> Option<Step> {
    let kind = fields.word::<Measure>("kind", message.kind);
    let executor = fields.partner("executing_partner", &message.executing_partner);
    let starts_at = fields.moment_or_none("start_time", message.start_time.as_ref());
    let ends_at = fields.moment_or_none("end_time", message.end_time.as_ref());
    let Some(starts_at) = starts_at? else {
        fields.wrong("start_time", "the day on which the measure began");
        return None;
    };
    Some(Step::Measure(MeasureInForce { kind: kind?, executor: executor?, starts_at, ends_at: ends_at? }))
}

fn read_restriction(fields: &mut Fields, message: &v1::RestrictCaseRequest) -> Option<Step> {
    use v1::restrict_case_request::Kind as Restriction;
    match message.kind() {
        Restriction::Unspecified => {
            fields.wrong("kind", "a restriction or an objection");
            None
        }
        Restriction::Restriction => Some(Step::Restrict { objection: false, on: !message.lift }),
        Restriction::Objection => Some(Step::Restrict { objection: true, on: !message.lift }),
    }
}

/// iJw JZ588 reden beëindiging (REFERENCE §3.7).
fn read_close(fields: &mut Fields, message: &v1::CloseCaseRequest) -> Option<Step> {
    const REASONS: [&str; 11] = ["02", "20", "31", "32", "33", "34", "35", "36", "37", "38", "39"];
    if REASONS.contains(&message.end_reason.as_str()) {
        Some(Step::Close(message.end_reason.clone()))
    } else {
        fields.wrong("end_reason", "a code of iJw list JZ588, two digits");
        None
    }
}
