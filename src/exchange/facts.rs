//! What a decision rests on: the caller, the case as recorded, and the questions made of them.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::Exchange;
use super::ops::records::rank;
use crate::audit::Draft;
use crate::case::{Assignment, CaseFile, Held, Party};
use crate::covenant::consent::Ask;
use crate::covenant::facts::{Action, Actor, CaseFacts, ConsentState, Item, Kind, Purpose, Question, Standing};
use crate::covenant::{ConsentBehind, Denial, Permit};
use crate::form::Context;
use crate::ground::Refusal;
use crate::identity::Caller;
use crate::party::{Article, Category, ExternalKind, Form, Oin, OrgKind, PartnerStatus, Role};
use crate::pseudonym::{Pseudonym, SubjectTag};
use crate::reason::Reason;
use crate::registry::Registry;
use crate::store::record::{RecipientRow, RecordRow};
use crate::store::{Seen, StoreError};

use std::sync::Arc;

/// What a call is about.
pub enum Target<'a> {
    /// No case.
    Nothing,
    /// A case by the caller's own name.
    Case(&'a str),
    /// A case by subject.
    Subject(&'a SubjectRef),
    /// A record, in a case or not.
    Record(&'a str),
    /// The same, by its id.
    RecordId(uuid::Uuid),
}

/// A subject as the hub may be told of it.
pub enum SubjectRef {
    /// The tag of a VOPRF output.
    Output(crate::pseudonym::OprfOutput),
    /// The caller's own pseudonym.
    Pseudonym(Pseudonym),
    /// A youth without BSN.
    Unidentified,
}

/// The case of a call.
pub enum Found {
    /// The call names none.
    NotAsked,
    /// There is no such case.
    Unknown,
    /// There is one, and the caller's organisation has never had a name for it.
    NotInvolved,
    /// The caller's organisation takes or took part.
    Case(Arc<CaseFile>),
}

/// Everything known at the moment of a decision.
pub struct Facts {
    /// The moment.
    pub now: OffsetDateTime,
    /// Who calls.
    pub caller: Caller,
    /// The registry's picture.
    pub registry: Arc<Registry>,
    /// The case.
    pub found: Found,
    /// The record that the call names, if the caller is its author or a recipient.
    pub record: Option<(RecordRow, Vec<RecipientRow>)>,
}

/// Somebody who may receive: a role in the case, or a standing role outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Who sits there.
    pub party: Party,
    /// In which role; `None` for article 20: every partner.
    pub role: Option<Role>,
    /// How it holds the role.
    pub standing: Standing,
    /// Registered as directly involved.
    pub involved: bool,
}

impl Seat {
    const fn partner(&self) -> Option<&Oin> {
        match &self.party {
            Party::Partner(oin) => Some(oin),
            Party::External(_) => None,
        }
    }
}

/// What is exchanged, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Goods {
    /// One category.
    pub category: Category,
    /// In one form.
    pub form: Form,
    /// The third party from which the sender had it (article 25).
    pub source_external: Option<ExternalKind>,
    /// Its retention has elapsed.
    pub expired: bool,
}

/// A tag as it is stored; epoch 0 marks a random one, which takes the first epoch's form.
pub fn subject_tag(epoch: u32, value: &[u8]) -> Option<SubjectTag> {
    let epoch = crate::pseudonym::Epoch::new(epoch).unwrap_or(crate::pseudonym::Epoch::FIRST);
    SubjectTag::from_stored(epoch, value).ok()
}

impl Facts {
    /// The case, if the caller's organisation takes or took part in one.
    pub fn case(&self) -> Option<&CaseFile> {
        match &self.found {
            Found::Case(case) => Some(case),
            Found::NotAsked | Found::Unknown | Found::NotInvolved => None,
        }
    }

    /// What a decision on these facts rests on.
    pub(super) fn seen(&self) -> Seen {
        let case = self.case().map(|case| (case.id.clone(), case.rev));
        Seen { registry: Some(self.registry.rev), case, ..Seen::default() }
    }

    /// Whether the caller may learn why it is refused: when no case is at stake, or as an active participant.
    pub(super) fn may_know(&self, hub: &Exchange) -> bool {
        match &self.found {
            Found::NotAsked => true,
            Found::Unknown | Found::NotInvolved => false,
            Found::Case(case) => case.is_participant(self.caller.oin(), self.now, hub.terms()),
        }
    }

    /// Whether a remembered reply may be given once more: to nobody whose part in the case has ended since.
    pub(super) fn may_repeat(&self, hub: &Exchange) -> bool {
        match &self.found {
            Found::NotAsked => true,
            Found::Unknown | Found::NotInvolved => false,
            Found::Case(case) => case.is_participant(self.caller.oin(), self.now, hub.terms()),
        }
    }

    /// Names case and author in the event. The youth's pseudonym is derived when an officer reads, never stored beside a case.
    pub(super) fn describe(&self, draft: &mut Draft) {
        draft.organisation = self.caller.oin().to_string();
        if let Some(case) = self.case() {
            draft.case_id = Some(case.id.clone());
        }
        if let Some((record, _)) = &self.record {
            draft.record.clone_from(&record.record_id);
            draft.source.clone_from(&record.author_oin);
            draft.categories = record.category.parse().into_iter().collect();
            draft.form = record.form.parse().ok();
        }
    }

    /// The case, after a decision that needed one.
    ///
    /// # Errors
    /// A fault of ours: a permit without a case.
    pub fn decided_case(&self) -> Result<&CaseFile, crate::store::WorkError> {
        self.case().ok_or_else(|| StoreError::Inconsistent("case_file").into())
    }

    /// The case, for what may change it.
    ///
    /// # Errors
    /// `CASE_UNKNOWN`.
    pub fn known_case(&self) -> Result<&CaseFile, Refusal> {
        self.case().ok_or_else(|| Refusal::denied(Reason::CaseUnknown))
    }

    /// The kind of a partner; a partner that is gone from the registry has none.
    pub fn kind(&self, oin: &Oin) -> Option<OrgKind> {
        self.registry.get(oin).map(|entry| entry.partner.kind)
    }

    /// Asks for an act on the case that is no exchange.
    pub fn manage(
        &self,
        hub: &Exchange,
        action: Action,
        context: &Context,
        other: Option<Actor>,
        recipients: u32,
    ) -> Result<Permit, Refusal> {
        let question = Question {
            action,
            article: context.article,
            purpose: purpose(context)?,
            actor: self.caller_as(hub, context),
            other,
            case: self.case_facts(),
            item: None,
            recipients,
            reason_given: self.reason_given(hub, context),
        };
        hub.covenant.decide(&question).map_err(|denial| self.refusal(hub, denial))
    }

    /// Asks for an act outside any case, in an office.
    pub fn manage_as(&self, hub: &Exchange, seat: &Seat, action: Action, context: &Context) -> Result<Permit, Refusal> {
        let question = Question {
            action,
            article: context.article,
            purpose: purpose(context)?,
            actor: self.actor(hub, seat),
            other: None,
            case: None,
            item: None,
            recipients: 1,
            reason_given: self.reason_given(hub, context),
        };
        hub.covenant.decide(&question).map_err(|denial| self.refusal(hub, denial))
    }

    /// Asks whether the caller may receive from the facility itself: the case index, the consent register, the log.
    pub fn from_facility(&self, hub: &Exchange, context: &Context, goods: Goods) -> Result<Permit, Refusal> {
        let me = self.seat_of_caller(hub, context);
        let ask = ask(context.article, goods, None, &me);
        let question = Question {
            action: Action::Receive,
            article: context.article,
            purpose: purpose(context)?,
            actor: self.caller_as(hub, context),
            other: None,
            case: self.case_facts(),
            item: Some(self.item(hub, goods, Kind::Facility, &ask)),
            recipients: 1,
            reason_given: self.reason_given(hub, context),
        };
        self.decide(hub, &question, &ask)
    }

    /// Asks both halves of an exchange: may the sender send it, may the recipient receive it.
    pub fn exchange(
        &self,
        hub: &Exchange,
        context: &Context,
        goods: Goods,
        sender: &Seat,
        recipient: &Seat,
        recipients: u32,
    ) -> Result<(Permit, Permit), Refusal> {
        let receive = self.half(hub, Action::Receive, context, goods, sender, recipient, recipients);
        let send = self.half(hub, Action::Send, context, goods, sender, recipient, recipients);
        match (send, receive) {
            (Ok(send), Ok(receive)) => Ok((send, receive)),
            (Err(refusal), Ok(_)) | (Ok(_), Err(refusal)) => Err(refusal),
            // The first failure in the decision order is the reason, whichever half it is in.
            (Err(send), Err(receive)) if rank(send.reason) < rank(receive.reason) => Err(send),
            (Err(_), Err(receive)) => Err(receive),
        }
    }

    /// Asks the receiving half only.
    pub fn receive(
        &self,
        hub: &Exchange,
        context: &Context,
        goods: Goods,
        sender: &Seat,
        recipient: &Seat,
    ) -> Result<Permit, Refusal> {
        self.half(hub, Action::Receive, context, goods, sender, recipient, 1)
    }

    /// Asks the sending half only.
    pub fn send(
        &self,
        hub: &Exchange,
        context: &Context,
        goods: Goods,
        sender: &Seat,
        recipient: &Seat,
    ) -> Result<Permit, Refusal> {
        self.half(hub, Action::Send, context, goods, sender, recipient, 1)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one question; a struct would only rename them")]
    fn half(
        &self,
        hub: &Exchange,
        action: Action,
        context: &Context,
        goods: Goods,
        sender: &Seat,
        recipient: &Seat,
        recipients: u32,
    ) -> Result<Permit, Refusal> {
        let question = self.question(hub, action, context, goods, sender, recipient, recipients)?;
        self.decide(hub, &question, &ask(context.article, goods, Some(sender), recipient))
    }

    /// The answer of the covenant, with the consents that a yes rests on.
    fn decide(&self, hub: &Exchange, question: &Question, ask: &Ask<'_>) -> Result<Permit, Refusal> {
        let permit = hub.covenant.decide(question).map_err(|denial| self.refusal(hub, denial))?;
        let (Some(behind), Some(case)) = (hub.covenant.consent_behind(question), self.case()) else {
            return Ok(permit);
        };
        let found = case.complete_consent(hub.covenant.consent(), self.now, ask, behind == ConsentBehind::Explicit);
        Ok(permit.resting_on(found.unwrap_or_default().into_iter().map(|consent| consent.id.clone())))
    }

    /// One half of an exchange as a question.
    #[expect(clippy::too_many_arguments, reason = "the parts of one question; a struct would only rename them")]
    pub fn question(
        &self,
        hub: &Exchange,
        action: Action,
        context: &Context,
        goods: Goods,
        sender: &Seat,
        recipient: &Seat,
        recipients: u32,
    ) -> Result<Question, Refusal> {
        let (me, other) = if action == Action::Send { (sender, recipient) } else { (recipient, sender) };
        let source_kind = match (goods.source_external, &sender.party) {
            (Some(external), _) => Kind::External(external),
            (None, Party::External(external)) => Kind::External(*external),
            (None, Party::Partner(oin)) => self.kind(oin).map_or(Kind::Facility, Kind::Partner),
        };
        Ok(Question {
            action,
            article: context.article,
            purpose: purpose(context)?,
            actor: self.actor(hub, me),
            other: Some(self.actor(hub, other)),
            case: self.case_facts(),
            item: Some(self.item(hub, goods, source_kind, &ask(context.article, goods, Some(sender), recipient))),
            recipients,
            reason_given: self.reason_given(hub, context),
        })
    }

    /// The covenant sees one unknown case; the log tells whether it exists.
    fn refusal(&self, hub: &Exchange, denial: Denial) -> Refusal {
        let mut refusal = Refusal::from(denial);
        refusal.covenant_version = hub.covenant.version().number;
        if refusal.reason == Reason::CaseUnknown && matches!(self.found, Found::NotInvolved) {
            refusal.reason = Reason::NotInvolved;
        }
        refusal
    }

    fn reason_given(&self, hub: &Exchange, context: &Context) -> bool {
        let least = hub.covenant.parameters().limits.reason_min_chars;
        context.reason.trim().chars().count() >= least
    }

    fn caller_as(&self, hub: &Exchange, context: &Context) -> Actor {
        self.actor(hub, &self.seat_of_caller(hub, context))
    }

    /// The caller in the role that it says it acts in, standing as the records say.
    pub fn seat_of_caller(&self, hub: &Exchange, context: &Context) -> Seat {
        self.seat(hub, self.caller.oin(), context.role)
    }

    /// An organisation in a role, standing as the records say.
    pub fn seat(&self, hub: &Exchange, oin: &Oin, role: Role) -> Seat {
        let party = Party::Partner(oin.clone());
        let held = self.case().map(|case| case.held(oin, role, self.now, hub.terms()));
        let office = self.registry.get(oin).is_some_and(|entry| entry.standing_roles.contains(&role));
        let (standing, involved) = match held {
            Some(Held::Now(assignment)) => (Standing::Participant, assignment.involved),
            Some(Held::Before) => (Standing::Expired, false),
            Some(Held::Never) | None if office => (Standing::Office, false),
            Some(Held::Never) | None => (Standing::None, false),
        };
        Seat { party, role: Some(role), standing, involved }
    }

    /// The seat of an assignment that holds now.
    pub fn seat_of(assignment: &Assignment) -> Seat {
        let standing = match assignment.party {
            Party::Partner(_) => Standing::Participant,
            Party::External(_) => Standing::Third,
        };
        Seat { party: assignment.party.clone(), role: Some(assignment.role), standing, involved: assignment.involved }
    }

    fn actor(&self, hub: &Exchange, seat: &Seat) -> Actor {
        let oin = match &seat.party {
            Party::External(kind) => {
                return Actor { role: seat.role, standing: seat.standing, ..Actor::external(*kind) };
            }
            Party::Partner(oin) => oin,
        };
        let entry = self.registry.get(oin);
        let kind = entry.map_or(OrgKind::Aanbieder, |entry| entry.partner.kind);
        let version = hub.covenant.version().number;
        let status = match entry {
            Some(entry) if entry.takes_part(self.now) => PartnerStatus::Active,
            Some(entry) if entry.partner.status == PartnerStatus::Suspended => PartnerStatus::Suspended,
            Some(_) | None => PartnerStatus::Withdrawn,
        };
        let case = self.case();
        Actor {
            status,
            accepted: entry.is_some_and(|entry| entry.partner.accepted_covenant == Some(version)),
            role: seat.role,
            standing: seat.standing,
            involved: seat.involved,
            // Whoever holds R05 in a case was invited to its table: the role is given by invitation only (article 12).
            invited: seat.role == Some(Role::R05) && seat.standing == Standing::Participant,
            chosen: case.is_some_and(|case| case.chosen.as_ref() == Some(oin)),
            executes_measure: case.is_some_and(|case| case.executes_measure(oin, self.now)),
            ..Actor::partner(kind)
        }
    }

    fn case_facts(&self) -> Option<CaseFacts> {
        let case = self.case()?;
        let holder = case.holder(self.now).and_then(|oin| self.kind(oin)).unwrap_or(OrgKind::Aanbieder);
        Some(CaseFacts {
            escalated: case.escalated,
            measures: case.measures_now(self.now).into_iter().collect(),
            restricted: case.restricted,
            objection: case.objection,
            choice_made: case.chosen.is_some(),
            near_adulthood: case.near_adulthood(self.now),
            ..CaseFacts::in_phase(case.phase, holder)
        })
    }

    fn item(&self, hub: &Exchange, goods: Goods, source: Kind, ask: &Ask<'_>) -> Item {
        let state = |explicit| {
            let case = self.case()?;
            Some(ConsentState::of(&case.complete_consent(hub.covenant.consent(), self.now, ask, explicit)))
        };
        Item {
            category: goods.category,
            form: goods.form,
            source,
            consent: state(false).unwrap_or(ConsentState::Missing),
            explicit_consent: state(true).unwrap_or(ConsentState::Missing),
            expired: goods.expired,
        }
    }
}

/// The consent that an exchange may need. Without a sender the facility itself is the source.
fn ask<'a>(article: Article, goods: Goods, sender: Option<&'a Seat>, recipient: &'a Seat) -> Ask<'a> {
    Ask {
        article,
        category: goods.category,
        recipient: recipient.partner(),
        recipient_role: recipient.role.unwrap_or(Role::R16),
        source: sender.and_then(Seat::partner),
    }
}

/// Distinct partners among seats.
pub fn partners<'a>(seats: impl IntoIterator<Item = &'a Seat>) -> BTreeSet<&'a Oin> {
    seats.into_iter().filter_map(Seat::partner).collect()
}

/// The purpose code of a context.
pub fn purpose(context: &Context) -> Result<Purpose, Refusal> {
    context.purpose.parse().map_err(|_| Refusal::malformed("context.purpose", "a purpose code of the covenant"))
}
