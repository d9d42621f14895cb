//! Giving and ending roles, and handing a case over (articles 1, 12, 19).

use time::OffsetDateTime;

use super::super::{Decided, Exchange, Facts, Operation, facts};
use super::case_read::{assignment_reply, case_reply};
use super::notice::{Kind, tell, tell_end};
use super::{Change, change_of_case, newcomer};
use crate::api::v1;
use crate::audit::Draft;
use crate::case::{Assignment, CaseFile, Held, Party, may_hold};
use crate::clock::micros;
use crate::covenant::facts::{Action, Actor};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Category, ExternalKind, Oin, OrgKind, Role};
use crate::store::record::RecordRow;
use crate::store::{Changes, Reader, StoreError, Tx, WorkError};

/// `Cases.AssignRole`.
pub struct AssignRole {
    change: Change,
    role: Role,
    party: Party,
    involved: bool,
    ends_at: Option<OffsetDateTime>,
}

/// What a newcomer may perhaps open.
#[derive(Default)]
pub struct Waiting {
    /// Records of the case in all.
    count: i64,
    open: Vec<RecordRow>,
}

/// The case with the new role, and what its newcomer may open.
pub struct Seated {
    case: CaseFile,
    assignment: Assignment,
    open: Vec<RecordRow>,
}

impl Operation for AssignRole {
    type Message = v1::AssignRoleRequest;
    type Reply = v1::Assignment;
    type Rows = Waiting;
    type Plan = Seated;

    change_of_case!();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let change = Change::read(&mut fields, &message.request_id, message.context.as_ref(), &message.case);
        let role = fields.word::<Role>("role", message.role);
        let party = if role == Some(Role::R16) {
            fields.word::<ExternalKind>("external_kind", message.external_kind).map(Party::External)
        } else {
            fields.partner("partner", &message.partner).map(Party::Partner)
        };
        let ends_at = fields.moment_or_none("end_time", message.end_time.as_ref());
        let involved = message.directly_involved;
        fields.done((|| Some(Self { change: change?, role: role?, party: party?, involved, ends_at: ends_at? }))())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C05];
        if let Party::Partner(oin) = &self.party {
            draft.recipients = vec![oin.to_string()];
        }
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Waiting, StoreError> {
        let Some(case) = facts.case() else { return Ok(Waiting::default()) };
        // Counted first: a record that comes in between makes this picture older, never newer.
        let count = crate::store::case::record_count(reader, &case.id).await?;
        let open = crate::store::record::open_to_newcomers(reader, &case.id, micros(facts.now)).await?;
        Ok(Waiting { count, open })
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        waiting: &Waiting,
        _: Admitted,
    ) -> Result<(Ground, Seated), Refusal> {
        let already = facts.case().map_or(0, |case| {
            case.active(facts.now, hub.terms()).filter(|a| a.role == self.role && a.party != self.party).count()
        });
        let seats = u32::try_from(already + 1).unwrap_or(u32::MAX);
        let permit = facts.manage(
            hub,
            Action::AssignRole,
            &self.change.context,
            seated(facts, &self.party, self.role),
            seats,
        )?;
        let case = facts.known_case()?;
        self.check_party(hub, facts, case)?;
        let ends_at = match case.reading_end(self.role, facts.now, hub.terms()) {
            Some(end) if end <= facts.now => {
                return Err(Refusal::precondition("the covenant's calendar does not know the working days ahead"));
            }
            end => [self.ends_at, end].into_iter().flatten().min(),
        };
        let assignment = Assignment {
            id: uuid::Uuid::new_v4().to_string(),
            role: self.role,
            party: self.party.clone(),
            involved: self.involved,
            starts_at: facts.now,
            ends_at,
            ended_at: None,
        };
        let mut case = case.clone();
        if let Party::Partner(oin) = &self.party {
            case.names.entry(oin.clone()).or_insert_with(|| uuid::Uuid::new_v4().to_string());
        }
        case.assignments.push(assignment.clone());
        let open = newcomer::may_open(hub, facts, &case, &assignment, &waiting.open);
        Ok((Ground::permit(permit), Seated { case, assignment, open }))
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Case
    }

    async fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Assignment, WorkError> {
        let (facts, Seated { case, assignment, open }) = (&done.facts, &done.plan);
        // A record that was published since the decision has this newcomer neither as recipient nor as newcomer.
        crate::store::case::check_record_count(tx, &case.id, done.rows.count).await?;
        if let Party::Partner(oin) = &self.party {
            let name = case.name_for(oin).unwrap_or_default();
            crate::store::case::insert_name(tx, &case.id, oin, name).await?;
        }
        crate::store::case::insert_assignment(tx, &case.id, assignment).await?;
        crate::store::case::save(tx, case).await?;
        if let Party::Partner(oin) = &self.party {
            tell(tx, facts, case, oin, Kind::RoleAssigned, Some(self.role));
            newcomer::request(tx, facts, open, oin, self.role).await?;
        }
        Ok(assignment_reply(hub, case, case.name_for(facts.caller.oin()).unwrap_or_default(), assignment))
    }
}

impl AssignRole {
    fn check_party(&self, hub: &Exchange, facts: &Facts, case: &CaseFile) -> Result<(), Refusal> {
        if matches!(self.role, Role::R02 | Role::R11) {
            return Err(Refusal::malformed("role", "not R02 (HandOverCase) and not R11 (StartEscalation)"));
        }
        if matches!(self.role, Role::R13 | Role::R14 | Role::R15 | Role::R18) {
            return Err(Refusal::malformed("role", "a role that exists in a case"));
        }
        let registers = self.change.context.role == Role::R02 && matches!(self.role, Role::R07 | Role::R08 | Role::R09);
        if self.involved && !registers {
            return Err(Refusal::malformed("directly_involved", "only for R07, R08 and R09, and only by R02"));
        }
        if self.ends_at.is_some_and(|end| end <= facts.now) {
            return Err(Refusal::malformed("end_time", "a moment in the future"));
        }
        let Party::Partner(oin) = &self.party else { return Ok(()) };
        let entry = facts.registry.get(oin).filter(|entry| entry.takes_part(facts.now));
        let Some(kind) = entry.map(|entry| entry.partner.kind) else {
            return Err(Refusal::malformed("partner", "a partner that takes part now"));
        };
        if !may_hold(self.role, kind) {
            return Err(Refusal::malformed("partner", "an organisation of a kind that can hold this role"));
        }
        if self.change.context.role == Role::R03 && oin == facts.caller.oin() {
            return Err(Refusal::malformed("partner", "another organisation: the coordinator seats others"));
        }
        if matches!(case.held(oin, self.role, facts.now, hub.terms()), Held::Now(_)) {
            return Err(Refusal::precondition("the partner holds this role already"));
        }
        Ok(())
    }
}

/// A party in a role as the covenant sees it.
fn seated(facts: &Facts, party: &Party, role: Role) -> Option<Actor> {
    match party {
        Party::External(kind) => Some(Actor { role: Some(role), ..Actor::external(*kind) }),
        Party::Partner(oin) => {
            let kind = facts.kind(oin)?;
            Some(Actor { role: Some(role), ..Actor::partner(kind) })
        }
    }
}

/// `Cases.EndRole`.
pub struct EndRole {
    change: Change,
    assignment: String,
}

impl Operation for EndRole {
    type Message = v1::EndRoleRequest;
    type Reply = v1::Assignment;
    type Rows = ();
    type Plan = CaseFile;

    change_of_case!();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let name = fields.nested("name", "assignments", &message.name);
        let case = name.as_ref().map(|(case, _)| format!("cases/{case}")).unwrap_or_default();
        let change = Change::read(&mut fields, &message.request_id, message.context.as_ref(), &case);
        fields.done((|| Some(Self { change: change?, assignment: name?.1 }))())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C05];
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, CaseFile), Refusal> {
        let permit = facts.manage(hub, Action::EndRole, &self.change.context, self.holder(facts), 1)?;
        let mut case = facts.known_case()?.clone();
        let Some(assignment) = case.assignments.iter_mut().find(|a| a.id == self.assignment) else {
            return Err(Refusal::not_found());
        };
        if assignment.role == Role::R02 {
            return Err(Refusal::precondition("the case's holder changes by HandOverCase only"));
        }
        if !assignment.holds(facts.now) {
            return Err(Refusal::precondition("the role has ended already"));
        }
        assignment.ended_at = Some(facts.now);
        Ok((Ground::permit(permit), case))
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
    ) -> Result<v1::Assignment, WorkError> {
        let (facts, case) = (&done.facts, &done.plan);
        let ended = case.assignments.iter().find(|a| a.id == self.assignment);
        let assignment = ended.ok_or(StoreError::Inconsistent("assignment"))?;
        crate::store::case::end_assignment(tx, &self.assignment, micros(facts.now)).await?;
        crate::store::case::save(tx, case).await?;
        draft.recipients = assignment.partner().into_iter().map(ToString::to_string).collect();
        tell_end(tx, facts, case, assignment).await?;
        Ok(assignment_reply(hub, case, case.name_for(facts.caller.oin()).unwrap_or_default(), assignment))
    }
}

impl EndRole {
    /// Who holds the role that is to end, as the covenant sees it.
    fn holder(&self, facts: &Facts) -> Option<Actor> {
        let assignment = facts.case()?.assignments.iter().find(|a| a.id == self.assignment)?;
        seated(facts, &assignment.party, assignment.role)
    }
}

/// `Cases.HandOverCase`.
pub struct HandOverCase {
    change: Change,
    to: Oin,
}

impl Operation for HandOverCase {
    type Message = v1::HandOverCaseRequest;
    type Reply = v1::Case;
    type Rows = ();
    type Plan = (CaseFile, Vec<Assignment>, Assignment);

    change_of_case!();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let change = Change::read(&mut fields, &message.request_id, message.context.as_ref(), &message.case);
        let to = fields.partner("partner", &message.partner);
        fields.done((|| Some(Self { change: change?, to: to? }))())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C05];
        draft.recipients = vec![self.to.to_string()];
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, Self::Plan), Refusal> {
        let other = facts.kind(&self.to).map(|kind| Actor { role: Some(Role::R02), ..Actor::partner(kind) });
        let permit = facts.manage(hub, Action::HandOver, &self.change.context, other, 1)?;
        let takes_part = facts.registry.get(&self.to).is_some_and(|entry| {
            entry.takes_part(facts.now) && matches!(entry.partner.kind, OrgKind::Gemeente | OrgKind::Gi)
        });
        if !takes_part {
            return Err(Refusal::malformed("partner", "a gemeente or GI that takes part now"));
        }
        let mut case = facts.known_case()?.clone();
        let mut ended = Vec::new();
        for assignment in case.assignments.iter_mut().filter(|a| a.role == Role::R02 && a.holds(facts.now)) {
            if assignment.partner() == Some(&self.to) {
                return Err(Refusal::precondition("the partner holds the case already"));
            }
            assignment.ended_at = Some(facts.now);
            ended.push(assignment.clone());
        }
        let begun = Assignment {
            id: uuid::Uuid::new_v4().to_string(),
            role: Role::R02,
            party: Party::Partner(self.to.clone()),
            involved: false,
            starts_at: facts.now,
            ends_at: None,
            ended_at: None,
        };
        case.names.entry(self.to.clone()).or_insert_with(|| uuid::Uuid::new_v4().to_string());
        case.assignments.push(begun.clone());
        Ok((Ground::permit(permit), (case, ended, begun)))
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Case
    }

    async fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Case, WorkError> {
        let (facts, (case, ended, begun)) = (&done.facts, &done.plan);
        for assignment in ended {
            crate::store::case::end_assignment(tx, &assignment.id, micros(facts.now)).await?;
            tell_end(tx, facts, case, assignment).await?;
        }
        crate::store::case::insert_name(tx, &case.id, &self.to, case.name_for(&self.to).unwrap_or_default()).await?;
        crate::store::case::insert_assignment(tx, &case.id, begun).await?;
        crate::store::case::save(tx, case).await?;
        tell(tx, facts, case, &self.to, Kind::RoleAssigned, Some(Role::R02));
        Ok(case_reply(hub, facts, case, Role::R05, false))
    }
}

/// Distinct partners that hold a role now.
pub(super) fn active_partners(hub: &Exchange, facts: &Facts, case: &CaseFile) -> Vec<String> {
    let seats: Vec<facts::Seat> = case.active(facts.now, hub.terms()).map(facts::Scene::seat_of).collect();
    facts::partners(&seats).into_iter().map(ToString::to_string).collect()
}
