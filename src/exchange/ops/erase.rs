//! Erasing what events say of somebody.

use time::OffsetDateTime;

use super::super::facts::Facts;
use super::super::{Decided, Exchange, Operation};
use super::query::of_subject;
use crate::api::v1;
use crate::audit::{Draft, Group};
use crate::clock::micros;
use crate::covenant::parameters::Log;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::identity::Function;
use crate::method::Admitted;
use crate::party::Category;
use crate::pseudonym::Pseudonym;
use crate::reason::Reason;
use crate::store::erasure::{Erasable, Erasing, Which, erasable, retained};
use crate::store::{Reader, StoreError, Tx, WorkError};

/// Events in one erasure: their names stand in its leaf, which has 64 KiB.
pub const MOST: i64 = 500;

/// `Audit.EraseEvents`.
pub struct EraseEvents {
    request_id: String,
    context: Context,
    selection: Selection,
    groups: Vec<Group>,
}

enum Selection {
    Events(Vec<String>),
    Case(String),
    Subject(Pseudonym),
    Before(OffsetDateTime),
}

/// Events, of which list entries only these cases go, and whether there are more.
#[derive(Default)]
pub struct Chosen {
    events: Vec<Erasable>,
    cases: Vec<String>,
}

impl Operation for EraseEvents {
    type Message = v1::EraseEventsRequest;
    type Reply = v1::EraseEventsResponse;
    type Rows = Chosen;
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let context = fields.context(message.context.as_ref());
        let selection = selection(&mut fields, &message);
        let groups = groups(&mut fields, &message);
        fields.done((|| {
            Some(Self { request_id: request_id?, context: context?, selection: selection?, groups: groups? })
        })())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        // Not whom it was about: that is what is erased.
        draft.categories = vec![Category::C24];
    }

    async fn gather(&self, hub: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Chosen, StoreError> {
        if facts.caller.function() != Some(Function::NetworkOfficer) {
            return Ok(Chosen::default());
        }
        let oin = facts.caller.oin();
        let cases = match &self.selection {
            Selection::Case(name) => {
                let named = crate::store::case::by_name(reader, name).await?;
                named.filter(|(_, of)| of == oin.as_str()).map(|(case_id, _)| case_id).into_iter().collect()
            }
            Selection::Subject(subject) => of_subject(hub, oin, subject, reader).await?,
            Selection::Events(_) | Selection::Before(_) => Vec::new(),
        };
        let which = match &self.selection {
            Selection::Events(events) => Which::Named(events.clone()),
            Selection::Case(_) => Which::About { cases: cases.clone(), subject: None },
            Selection::Subject(subject) => {
                Which::About { cases: cases.clone(), subject: Some((oin.to_string(), subject.to_text())) }
            }
            Selection::Before(before) => {
                Which::Between { kind: None, after: retained(reader, None).await?, until: micros(*before) }
            }
        };
        Ok(Chosen { events: erasable(reader, &which, MOST).await?, cases })
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, _: &Chosen, admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        if facts.caller.function() != Some(Function::NetworkOfficer) {
            return Err(Refusal::denied(Reason::RoleNotAllowed));
        }
        if self.context.reason.trim().chars().count() < hub.terms().limits.reason_min_chars {
            return Err(Refusal::malformed("context.reason", "the ground of the erasure, at least twenty characters"));
        }
        if let Selection::Before(before) = self.selection {
            if before > Log::years_before(facts.now, hub.terms().log.min_retention_years) {
                return Err(Refusal::malformed("before", "a moment at least the covenant's least retention ago"));
            }
        }
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::EraseEventsResponse, WorkError> {
        let Chosen { events, cases } = &done.rows;
        let erasing = erasing(events, &self.groups, cases)?;
        tx.erase(&erasing).await?;
        hub.erased.notify_one();
        if let (Selection::Before(_), Some(last)) = (&self.selection, events.last()) {
            tx.retained(None, last.at, &last.event_id).await?;
        }
        draft.erases = erasing.iter().map(|event| (event.event_id.clone(), event.places.clone())).collect();
        let more = i64::try_from(events.len()).is_ok_and(|found| found >= MOST);
        let more = more && !matches!(self.selection, Selection::Events(_));
        Ok(v1::EraseEventsResponse { erased: u32::try_from(erasing.len()).unwrap_or_default(), more })
    }
}

/// What becomes of each event. Of a list in which one of these cases stood, only its entry goes.
pub(crate) fn erasing(events: &[Erasable], groups: &[Group], cases: &[String]) -> Result<Vec<Erasing>, StoreError> {
    let mut all = Vec::new();
    for event in events {
        let listed = crate::audit::listed(&event.disclosures);
        let entry = cases.iter().find(|case| listed.contains(case));
        all.extend(match entry {
            Some(case) => event.without(&[Group::Listed], Some(case))?,
            None => event.without(groups, None)?,
        });
    }
    Ok(all)
}

fn selection(fields: &mut Fields, message: &v1::EraseEventsRequest) -> Option<Selection> {
    let given =
        [!message.events.is_empty(), !message.case.is_empty(), !message.subject.is_empty(), message.before.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        fields.wrong("", "exactly one of events, case, subject and before");
        return None;
    }
    if !message.events.is_empty() {
        if i64::try_from(message.events.len()).is_ok_and(|events| events > MOST) {
            fields.wrong("events", "1 to 500 events");
            return None;
        }
        let events = message.events.iter().map(|name| fields.named("events", "events", name)).collect::<Vec<_>>();
        return events.into_iter().collect::<Option<Vec<_>>>().map(Selection::Events);
    }
    if !message.case.is_empty() {
        return fields.named("case", "cases", &message.case).map(Selection::Case);
    }
    if !message.subject.is_empty() {
        return fields.pseudonym("subject", &message.subject).map(Selection::Subject);
    }
    fields.moment_or_none("before", message.before.as_ref())?.map(Selection::Before)
}

fn groups(fields: &mut Fields, message: &v1::EraseEventsRequest) -> Option<Vec<Group>> {
    let mut groups = Vec::new();
    for word in &message.groups {
        match word.parse() {
            Ok(group) if !groups.contains(&group) => groups.push(group),
            _ => {
                fields.wrong("groups", "actor, subject, case, data, decision, network, listed: each once");
                return None;
            }
        }
    }
    if groups.is_empty() {
        return Some(match message.before {
            Some(_) => Group::ALL.to_vec(),
            None => vec![Group::Subject, Group::Case, Group::Data, Group::Decision, Group::Listed],
        });
    }
    let needed: &[Group] = match message.before {
        Some(_) => &Group::ALL,
        // What is found by them would be found again, for ever.
        None if !message.case.is_empty() || !message.subject.is_empty() => {
            &[Group::Subject, Group::Case, Group::Listed]
        }
        None => &[],
    };
    if needed.iter().any(|group| !groups.contains(group)) {
        fields.wrong(
            "groups",
            "with a case or a subject at least subject, case and listed; with before all of them, or none",
        );
        return None;
    }
    Some(groups)
}
