//! Records: those that the hub says were sent to the organisation, and those that it told the agent of.

use std::collections::BTreeSet;

use super::difference::{Differences, time};
use super::{Answer, Code, Setting, Sides};
use crate::api::v1;

/// Calls that send a record.
const SENDS: [&str; 2] = ["sluis.v1.Records/PublishRecord", "sluis.v1.Records/AddRecipient"];

/// Compares the two.
pub(super) fn compare(found: &mut Differences, setting: &Setting<'_>, sides: &Sides<'_>) {
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
    let is_erased = |answer: &&Answer| answer.event.erased.iter().any(|group| group == "data");
    let erased = theirs.iter().any(is_erased);
    for (record, (at, made)) in &sides.before.told {
        if !setting.covers(*made) || known.contains(record.as_str()) {
            continue;
        }
        let agent = format!("told of it at {}", time(*at));
        if erased {
            found.add(Code::EventErased, record, agent, "perhaps one of the events whose record is erased");
        } else if !setting.is_young(*made) {
            found.add(Code::RecordNotLogged, record, agent, "no event of this record");
        }
    }
}

/// Whether somebody else sent a record to this organisation.
fn is_to(event: &v1::Event, own: &String) -> bool {
    event.organisation != *own && event.recipients.contains(own) && !event.record.is_empty()
}
