//! Opening a case (article 10).

use rand_core::OsRng;

use super::super::{Decided, Exchange, Facts, Operation};
use super::case_read::{case_reply, check_regime, read_regime};
use super::notice::{Kind, tell};
use crate::api::v1;
use crate::audit::Draft;
use crate::case::{Assignment, CaseFile, Party};
use crate::covenant::consent::Regime;
use crate::covenant::facts::Action;
use crate::exchange::facts::SubjectRef;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Category, Oin, OrgKind, Phase, Role};
use crate::pseudonym::SubjectTag;
use crate::store::{Changes, Reader, StoreError, Tx, Wake, WorkError};

/// `Cases.ReferCase`.
pub struct ReferCase {
    request_id: String,
    context: Context,
    subject: SubjectRef,
    regime: (Regime, Option<time::OffsetDateTime>),
    holder: Option<Oin>,
}

/// Who will hold what.
pub struct Seats {
    tag: SubjectTag,
    holder: Oin,
    coordinator: Oin,
}

/// The subject's tag and the caller's own cases about it.
#[derive(Default)]
pub struct Known {
    tag: Option<SubjectTag>,
    /// How many, open or closed.
    cases: i64,
    /// One of them is open, and the caller takes part in it in a role that knows the youth.
    open_case: bool,
}

impl Operation for ReferCase {
    type Message = v1::ReferCaseRequest;
    type Reply = v1::Case;
    type Rows = Known;
    type Plan = Seats;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let context = fields.context(message.context.as_ref());
        let subject = super::pseudonyms::read_subject(&mut fields, message.subject.as_ref());
        let regime = read_regime(&mut fields, message.regime.as_ref());
        let holder = fields.partner_or_none("holder", &message.holder);
        fields.done((|| {
            Some(Self {
                request_id: request_id?,
                context: context?,
                subject: subject?,
                regime: regime?,
                holder: holder?,
            })
        })())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C01];
    }

    async fn gather(&self, hub: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Known, StoreError> {
        let oin = facts.caller.oin().as_str();
        let tag = match &self.subject {
            SubjectRef::Output(output) => hub.keys.tag(output).ok(),
            SubjectRef::Unidentified => Some(SubjectTag::random(&hub.keys.tags, &mut OsRng)),
            SubjectRef::Pseudonym(_) => None,
        };
        let Some(tag) = tag else { return Ok(Known::default()) };
        let cases = crate::store::case::by_tag(reader, tag.as_bytes(), oin).await?;
        let (mut open_case, mut count) = (false, 0);
        for (case_id, _) in cases.iter().filter(|(_, mine)| *mine) {
            count += 1;
            let case = crate::store::case::load(reader, case_id).await?;
            open_case |= case.is_some_and(|case| is_taken(&case, facts, hub));
        }
        Ok(Known { tag: Some(tag), cases: count, open_case })
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, known: &Known, _: Admitted) -> Result<(Ground, Seats), Refusal> {
        let permit = facts.manage(hub, Action::Refer, &self.context, None, 1)?;
        check_regime(hub, &self.regime.0, &self.context)?;
        let holder = self.holder.clone().unwrap_or_else(|| facts.caller.oin().clone());
        let takes_part = facts.registry.get(&holder).is_some_and(|entry| {
            entry.takes_part(facts.now) && matches!(entry.partner.kind, OrgKind::Gemeente | OrgKind::Gi)
        });
        if !takes_part {
            return Err(Refusal::malformed("holder", "a gemeente or GI that takes part"));
        }
        let Some(coordinator) = facts.registry.standing(Role::R03, facts.now).next().cloned() else {
            return Err(Refusal::precondition("no partner holds the standing role R03 (netwerkcoördinator)"));
        };
        let Some(tag) = known.tag.clone() else {
            return Err(Refusal::malformed("subject", "a BSN at an agent, a VOPRF output at the hub, or unidentified"));
        };
        if known.open_case {
            return Err(Refusal::precondition("the caller takes part in an open case for this subject already"));
        }
        Ok((Ground::permit(permit), Seats { tag, holder, coordinator }))
    }

    fn changes(&self, done: &Decided<Self>) -> Changes {
        Changes::Subject(done.plan.tag.as_bytes().to_vec())
    }

    async fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::Case, WorkError> {
        let (facts, seats) = (&done.facts, &done.plan);
        // Another referral for the same youth may have come first: then this one is decided anew.
        let now = crate::store::case::count_by_tag(tx, seats.tag.as_bytes(), facts.caller.oin()).await?;
        if now != done.rows.cases {
            return Err(WorkError::Stale);
        }
        let epoch = match self.subject {
            SubjectRef::Unidentified => 0,
            SubjectRef::Output(_) | SubjectRef::Pseudonym(_) => seats.tag.epoch().number(),
        };
        let mut case = CaseFile::opened(uuid::Uuid::new_v4().to_string(), facts.now, self.regime.0.clone());
        case.regime_until = self.regime.1;
        case.subject_tag = seats.tag.as_bytes().to_vec();
        case.tag_epoch = epoch;
        let holders = [(Role::R01, facts.caller.oin()), (Role::R02, &seats.holder), (Role::R03, &seats.coordinator)];
        for (role, oin) in holders {
            case.names.entry(oin.clone()).or_insert_with(|| uuid::Uuid::new_v4().to_string());
            case.assignments.push(Assignment {
                id: uuid::Uuid::new_v4().to_string(),
                role,
                party: Party::Partner(oin.clone()),
                involved: false,
                starts_at: facts.now,
                ends_at: None,
                ended_at: None,
            });
        }
        crate::store::case::insert(tx, &case).await?;
        for (role, oin) in holders {
            tell(tx, facts, &case, oin, Kind::RoleAssigned, Some(role));
        }
        tx.wake(Wake::Case(case.id.clone()));
        draft.case_id = Some(case.id.clone());
        draft.recipients = case.names.keys().map(ToString::to_string).collect();
        Ok(case_reply(hub, facts, &case, Role::R01, false))
    }
}

/// Whether the caller has this case in hand. A case that it sees pseudonymously only stays unmentioned: a refusal would
/// tell an expert which of its own clients the case is about.
fn is_taken(case: &CaseFile, facts: &Facts, hub: &Exchange) -> bool {
    let oin = facts.caller.oin();
    // The rows are newer than the facts: a case that somebody opened in between counts.
    let now = facts.now.max(case.created_at);
    !case.is_closed() && case.is_participant(oin, now, hub.terms()) && case.knows_youth(oin)
}

impl CaseFile {
    /// A case in F1 that nobody takes part in yet.
    fn opened(id: String, now: time::OffsetDateTime, regime: Regime) -> Self {
        Self {
            id,
            rev: 1,
            subject_tag: Vec::new(),
            tag_epoch: 0,
            phase: Phase::F1,
            phase_at: now,
            table_at: None,
            created_at: now,
            closed_at: None,
            escalated: false,
            restricted: false,
            objection: false,
            chosen: None,
            regime,
            regime_until: None,
            names: std::collections::BTreeMap::new(),
            assignments: Vec::new(),
            measures: Vec::new(),
            consents: Vec::new(),
        }
    }
}
