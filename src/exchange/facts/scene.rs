//! The scene of a decision: the moment, the registry and the case, and the questions that can be made of them whoever asks: a
//! caller, or the hub of its own accord.

use std::sync::Arc;

use time::OffsetDateTime;

use super::super::Exchange;
use super::super::ops::records::rank;
use super::{Found, Goods, Seat, purpose};
use crate::case::{Assignment, CaseFile, Held, Party};
use crate::covenant::consent::Ask;
use crate::covenant::facts::{Action, Actor, CaseFacts, ConsentState, Item, Kind, Question, Standing};
use crate::covenant::{ConsentBehind, Denial, Permit};
use crate::form::Context;
use crate::ground::Refusal;
use crate::party::{Article, Oin, OrgKind, PartnerStatus, Role};
use crate::reason::Reason;
use crate::registry::Registry;
use crate::store::StoreError;

/// When, with whom, in which case.
pub struct Scene {
    /// The moment.
    pub now: OffsetDateTime,
    /// The registry's picture.
    pub registry: Arc<Registry>,
    /// The case.
    pub found: Found,
}

impl Scene {
    /// The case, if the caller's organisation takes or took part in one.
    pub fn case(&self) -> Option<&CaseFile> {
        match &self.found {
            Found::Case(case) => Some(case),
            Found::NotAsked | Found::Unknown | Found::NotInvolved => None,
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
    pub(super) fn decide(&self, hub: &Exchange, question: &Question, ask: &Ask<'_>) -> Result<Permit, Refusal> {
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
    pub(super) fn refusal(&self, hub: &Exchange, denial: Denial) -> Refusal {
        let mut refusal = Refusal::from(denial);
        refusal.covenant_version = hub.covenant.version().number;
        if refusal.reason == Reason::CaseUnknown && matches!(self.found, Found::NotInvolved) {
            refusal.reason = Reason::NotInvolved;
        }
        refusal
    }

    pub(super) fn reason_given(&self, hub: &Exchange, context: &Context) -> bool {
        let least = hub.covenant.parameters().limits.reason_min_chars;
        context.reason.trim().chars().count() >= least
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

    pub(super) fn actor(&self, hub: &Exchange, seat: &Seat) -> Actor {
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
            // The officer of an organisation whose place is taken answers for its log until it leaves.
            Some(entry) if seat.role == Some(Role::R14) && entry.is_member(self.now) => PartnerStatus::Active,
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

    pub(super) fn case_facts(&self) -> Option<CaseFacts> {
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

    pub(super) fn item(&self, hub: &Exchange, goods: Goods, source: Kind, ask: &Ask<'_>) -> Item {
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
pub(super) fn ask<'a>(article: Article, goods: Goods, sender: Option<&'a Seat>, recipient: &'a Seat) -> Ask<'a> {
    Ask {
        article,
        category: goods.category,
        recipient: recipient.partner(),
        recipient_role: recipient.role.unwrap_or(Role::R16),
        source: sender.and_then(Seat::partner),
    }
}
