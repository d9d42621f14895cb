//! What a decision rests on: the caller, the case as recorded, and the questions made of them.

mod scene;

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

use std::sync::Arc;

use super::Exchange;
use crate::audit::Draft;
use crate::case::{CaseFile, Party};
use crate::covenant::Permit;
use crate::covenant::facts::{Action, Actor, Kind, Purpose, Question, Standing};
use crate::form::Context;
use crate::ground::Refusal;
use crate::identity::Caller;
use crate::party::{Category, ExternalKind, Form, Oin, Role};
use crate::pseudonym::{Pseudonym, SubjectTag};
use crate::store::Seen;
use crate::store::record::{RecipientRow, RecordRow};

pub use scene::Scene;
use scene::ask;

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
    /// When, of which case, with whom.
    pub scene: Scene,
    /// Who calls.
    pub caller: Caller,
    /// The record that the call names, if the caller is its author or a recipient.
    pub record: Option<(RecordRow, Vec<RecipientRow>)>,
}

impl Deref for Facts {
    type Target = Scene;
    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl DerefMut for Facts {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
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
        draft.via = self.caller.via().map(ToString::to_string).unwrap_or_default();
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

    fn caller_as(&self, hub: &Exchange, context: &Context) -> Actor {
        self.actor(hub, &self.seat_of_caller(hub, context))
    }

    /// The caller in the role that it says it acts in, standing as the records say.
    pub fn seat_of_caller(&self, hub: &Exchange, context: &Context) -> Seat {
        self.seat(hub, self.caller.oin(), context.role)
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
