//! Records: those that the hub says were sent to the organisation, and those that it told the agent of.

use std::collections::BTreeSet;

use super::difference::{Differences, erased, time};
use super::{APART, Answer, Code, Setting, Sides};
use crate::api::v1;
use crate::audit::{Erasures, Group};

/// Calls that send a record.
const SENDS: [&str; 2] = ["sluis.v1.Records/PublishRecord", "sluis.v1.Records/AddRecipient"];

/// Compares the two.
pub(super) fn compare(found: &mut Differences, setting: &Setting<'_>, sides: &Sides<'_>, erasures: &Erasures) {
    let sent = |answer: &&Answer| {
        let event = &answer.event;
        event.outcome() == v1::Outcome::Allowed && SENDS.contains(&event.method.as_str())
    };
    let theirs: Vec<&Answer> = sides.answers.values().filter(sent).collect();
    for answer in theirs.iter().filter(|answer| is_to(&answer.event, &setting.own)) {
        let Some(at) = answer.at().filter(|at| setting.covers(*at) && !setting.is_young(*at)) else { continue };
        let record = &answer.event.record;
        if sides.after.told.contains_key(record) {
            continue;
        }
        let hub = format!("sent by {} at {}, {}", answer.event.organisation, time(at), answer.event.name);
        // An item whose right has ended before anybody looked is passed over: then this is what there is to explain.
        let (code, agent) = if sides.after.has_listened_since(at) {
            (Code::RecordNotTold, "read the inbox since, and was not told")
        } else {
            (Code::InboxNotRead, "has not read the inbox since")
        };
        found.add(code, record, agent, hub);
    }
    let known: BTreeSet<&str> = theirs.iter().map(|answer| answer.event.record.as_str()).collect();
    for (record, (at, made)) in &sides.before.told {
        if !setting.covers(*made) || known.contains(record.as_str()) {
            continue;
        }
        let agent = format!("told of it at {}", time(*at));
        let (by, proven) = by_what(sides, erasures, record, *made, &theirs);
        if proven {
            found.add(Code::EventErased, record, agent, erased(&by));
        } else if !setting.is_young(*made) {
            let hub = match by.is_empty() {
                true => "no event of this record".to_owned(),
                false => format!("{}; and proves no erasure of it by one of them", erased(&by)),
            };
            found.add(Code::RecordNotLogged, record, agent, hub);
        }
    }
}

/// By what the data was erased of the event by which a record came, as the hub says, and whether it proves that. Where it did not
/// say which event that was, it is one of that moment.
fn by_what(
    sides: &Sides<'_>,
    erasures: &Erasures,
    record: &str,
    made: i64,
    theirs: &[&Answer],
) -> (Vec<v1::Erasure>, bool) {
    let near = |answer: &&Answer| answer.at().is_some_and(|at| at.abs_diff(made) <= APART.unsigned_abs());
    let events: Vec<&str> = match sides.before.came_by.get(record) {
        Some(event) => vec![event.strip_prefix("events/").unwrap_or(event)],
        None => theirs.iter().copied().filter(near).map(Answer::id).collect(),
    };
    let of_data = |erasure: &&v1::Erasure| erasure.groups.iter().any(|group| group == Group::Data.code());
    let of_event = |id: &&str| sides.erasures.get(*id).into_iter().flatten().filter(of_data).cloned();
    let proven = events.iter().any(|id| of_event(id).next().is_some() && erasures.name(id, Group::Data));
    (events.iter().flat_map(of_event).collect(), proven)
}

/// Whether somebody else sent a record to this organisation.
fn is_to(event: &v1::Event, own: &String) -> bool {
    event.organisation != *own && event.recipients.contains(own) && !event.record.is_empty()
}
