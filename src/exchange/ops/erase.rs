//! Erasing what events say of somebody.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::super::facts::Facts;
use super::super::{Decided, Exchange, Operation};
use super::query::pseudonym;
use crate::api::v1;
use crate::audit::{Draft, Group};
use crate::clock::micros;
use crate::covenant::parameters::Log;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::identity::Function;
use crate::method::Admitted;
use crate::party::{Category, Oin};
use crate::pseudonym::Pseudonym;
use crate::reason::Reason;
use crate::store::erasure::{Erasable, Erasing, Which, erasable, retained};
use crate::store::{Reader, StoreError, Tx, WorkError};

/// Events in one erasure: their marks stand in its leaf, which has 64 KiB.
pub const MOST: i64 = 500;
/// Bytes for them there.
const ROOM: usize = 48 << 10;

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
    /// Whose pseudonym it is; nobody named: the officer's organisation's.
    Subject(Option<Oin>, Pseudonym),
    Before(OffsetDateTime),
}

/// Events, and of which cases only the entry goes from a list.
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
        let (mut cases, mut subjects) = (Vec::new(), Vec::new());
        match &self.selection {
            Selection::Case(name) => {
                let named = crate::store::case::by_name(reader, name).await?;
                cases.extend(named.filter(|(_, of)| of == oin.as_str()).map(|(case_id, _)| case_id));
            }
            Selection::Subject(of, subject) => {
                (cases, subjects) = everywhere(hub, of.as_ref().unwrap_or(oin), subject, reader).await?;
            }
            Selection::Events(_) | Selection::Before(_) => {}
        }
        let which = match &self.selection {
            Selection::Events(events) => Which::Named(events.clone()),
            Selection::Case(_) | Selection::Subject(..) => Which::About { cases: cases.clone(), subjects },
            Selection::Before(before) => {
                Which::Between { kind: None, after: retained(reader, None).await?, until: micros(*before) }
            }
        };
        // One more than is erased at once says whether there are more.
        Ok(Chosen { events: erasable(reader, &which, MOST + 1).await?, cases })
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        chosen: &Chosen,
        admitted: Admitted,
    ) -> Result<(Ground, ()), Refusal> {
        if facts.caller.function() != Some(Function::NetworkOfficer) {
            return Err(Refusal::denied(Reason::RoleNotAllowed));
        }
        if self.context.reason.trim().chars().count() < hub.terms().limits.reason_min_chars {
            return Err(Refusal::malformed("context.reason", "the ground of the erasure, at least twenty characters"));
        }
        let least = Log::years_before(facts.now, hub.terms().log.min_retention_years);
        if let Selection::Before(before) = self.selection {
            if before > least {
                return Err(Refusal::malformed("before", "a moment at least the covenant's least retention ago"));
            }
        } else if chosen.events.is_empty() {
            // Nothing erased must not look like everything erased.
            return Err(Refusal::precondition("nothing in the log is about this"));
        }
        // Who did what, why and from where stays for as long as the covenant says: also of whoever erases.
        let answerable = [Group::Actor, Group::Decision, Group::Network];
        let young = chosen.events.iter().any(|event| event.at > micros(least));
        if young && self.groups.iter().any(|group| answerable.contains(group)) {
            return Err(Refusal::malformed(
                "groups",
                "of events younger than the least retention: subject, case, data, listed",
            ));
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
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        let batch = Batch::of(events.get(..most).unwrap_or(events), &self.groups, cases)?;
        tx.erase(&batch.erasing).await?;
        hub.erased.notify_one();
        if let (Selection::Before(_), Some((at, event_id))) = (&self.selection, &batch.last) {
            tx.retained(None, *at, event_id).await?;
        }
        draft.erases = batch.erases();
        let more = batch.cut || events.len() > most;
        Ok(v1::EraseEventsResponse { erased: u32::try_from(batch.erasing.len()).unwrap_or_default(), more })
    }
}

/// A youth's cases, and what each organisation knows the youth by, from what one of them does.
async fn everywhere(
    hub: &Exchange,
    oin: &Oin,
    subject: &Pseudonym,
    reader: &mut Reader,
) -> Result<(Vec<String>, Vec<(String, String)>), StoreError> {
    let mut cases = Vec::new();
    let mut subjects = vec![(oin.to_string(), subject.to_text())];
    for (case_id, epoch, tag) in crate::store::case::tags_of(reader, oin.as_str()).await? {
        if pseudonym(hub, oin, epoch, &tag).as_ref() != Some(subject) {
            continue;
        }
        // Those of the same youth in which this organisation has no part too.
        let of_youth = crate::store::case::by_tag(reader, &tag, oin.as_str()).await?;
        cases.extend(of_youth.into_iter().map(|(case_id, _)| case_id));
        cases.push(case_id);
        cases.sort_unstable();
        cases.dedup();
        for other in crate::store::registry::oins(reader).await? {
            let own = pseudonym(hub, &other, epoch, &tag).map(|own| (other.to_string(), own.to_text()));
            subjects.extend(own.filter(|own| !subjects.contains(own)).into_iter().collect::<Vec<_>>());
        }
    }
    Ok((cases, subjects))
}

/// What goes under one event of erasing.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) erasing: Vec<Erasing>,
    /// The last event that was looked at: its time and UUID.
    pub(crate) last: Option<(i64, String)>,
    /// There was no room for all.
    pub(crate) cut: bool,
}

impl Batch {
    /// What becomes of each event, as far as the leaf of the erasure has room. Of a list in which some of these cases stood, only
    /// their entries go.
    pub(crate) fn of(events: &[Erasable], groups: &[Group], cases: &[String]) -> Result<Self, StoreError> {
        let (mut batch, mut room) = (Self::default(), ROOM);
        for event in events {
            let listed = crate::audit::listed(&event.disclosures);
            let erasing = if cases.iter().any(|case| listed.contains(case)) {
                event.without(&[Group::Listed], Some(cases))?
            } else {
                event.without(groups, None)?
            };
            // A mark of 43 characters and a few digits for each place.
            let taken = erasing.as_ref().map_or(0, |erasing| 51 + 4 * erasing.places.len());
            if taken > room {
                batch.cut = true;
                break;
            }
            room -= taken;
            batch.erasing.extend(erasing);
            batch.last = Some((event.at, event.event_id.clone()));
        }
        Ok(batch)
    }

    /// As the event says it.
    pub(crate) fn erases(&self) -> BTreeMap<String, Vec<usize>> {
        self.erasing.iter().map(|event| (event.event_id.clone(), event.places.clone())).collect()
    }
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
        let of = fields.partner_or_none("subject_of", &message.subject_of);
        let subject = fields.pseudonym("subject", &message.subject);
        return Some(Selection::Subject(of?, subject?));
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
            None => vec![Group::Subject, Group::Case, Group::Data, Group::Listed],
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
