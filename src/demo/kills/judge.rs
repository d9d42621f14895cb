//! The verdict, from storage alone: whether everything that callers were told is so, and nothing else happened.

use std::collections::{BTreeMap, BTreeSet};

use super::inbox::{Came, place};
use super::tally::{Change, Done, Seen};
use crate::api::v1 as api;
use crate::store::StoreError;
use crate::store::check::check;
use crate::store::check::promises::{Effects, Promises};

/// What one partner's inbox brought, live and when it was read once more.
pub(super) struct Arrived {
    pub(super) id: String,
    pub(super) oin: String,
    pub(super) live: Came,
    pub(super) reread: Vec<api::InboxItem>,
}

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Audit events in the store.
    pub(super) events: i64,
    /// Changes that were asked for and answered.
    pub(super) changes: usize,
    /// Inbox items.
    pub(super) items: usize,
    pub(super) broken: Vec<String>,
}

/// Judges the store of stopped hubs.
///
/// # Errors
/// The database can't be read.
pub(super) async fn judge(
    access: &crate::store::Access,
    seen: &Seen,
    workers: &[(String, String)],
    arrived: &[Arrived],
) -> Result<Verdict, StoreError> {
    let report = check(access).await?;
    let mut verdict = Verdict { events: report.events, changes: seen.done.len(), ..Verdict::default() };
    verdict.broken.extend(report.findings.iter().map(|one| format!("{} rows break: {}", one.rows, one.rule)));
    let mut promises = Promises::open(access).await?;
    for event in &seen.events {
        if !promises.is_stored(event).await? {
            verdict.broken.push(format!("event {event} was acknowledged and is not stored"));
        }
    }
    for done in &seen.done {
        if !promises.is_remembered(&done.oin, done.change.method(), &done.request_id).await? {
            let Done { user_ref, change, request_id, .. } = done;
            verdict
                .broken
                .push(format!("{change:?} {request_id} of {user_ref} was acknowledged and is not remembered"));
        }
    }
    for (oin, user_ref) in workers {
        let mine: Vec<&Done> = seen.done.iter().filter(|done| done.user_ref == *user_ref).collect();
        let (wanted, remembered) = (wanted(&mine), i64::try_from(mine.len()).unwrap_or(i64::MAX));
        let got = promises.effects(oin, user_ref).await?;
        if wanted != got {
            verdict.broken.push(format!("{user_ref} was promised {wanted:?}, and the store holds {got:?}"));
        }
        let replies = promises.replies(oin, user_ref).await?;
        if replies != remembered {
            verdict.broken.push(format!("{user_ref} had {remembered} changes answered, and {replies} are remembered"));
        }
    }
    for one in arrived {
        verdict.items += one.reread.len();
        verdict.broken.extend(inbox(one, &promises.inbox(&one.oin).await?));
    }
    Ok(verdict)
}

/// What a worker's changes must have brought about, each once.
fn wanted(done: &[&Done]) -> Effects {
    let distinct = |change: Change| {
        let ids: BTreeSet<&str> =
            done.iter().filter(|one| one.change == change).map(|one| one.request_id.as_str()).collect();
        i64::try_from(ids.len()).unwrap_or(i64::MAX)
    };
    Effects {
        cases: distinct(Change::Refer),
        consents: distinct(Change::Consent),
        // A referral brings three: the referrer, the holder, the coordinator.
        roles: 3 * distinct(Change::Refer) + distinct(Change::Assign),
        records: distinct(Change::Publish),
    }
}

/// The rows, what was read from the start, and what came live must be the same items in the same order: in this load no
/// right ends, so the hub has no reason to skip one.
fn inbox(arrived: &Arrived, rows: &[i64]) -> Vec<String> {
    let Arrived { id, live, reread, .. } = arrived;
    let mut broken: Vec<String> = live.wrong.iter().map(|what| format!("inbox of {id}: {what}")).collect();
    let places: Vec<i64> = reread.iter().map(|item| place(&item.cursor)).collect();
    if places != rows {
        let (read, stored) = (places.len(), rows.len());
        broken
            .push(format!("inbox of {id}: {read} items can be read in other places than the {stored} that are stored"));
    }
    let mut known = BTreeMap::new();
    for item in reread {
        if live.items.get(&place(&item.cursor)) != Some(item) {
            let came = if live.items.contains_key(&place(&item.cursor)) { "otherwise" } else { "never" };
            broken.push(format!("inbox of {id}: live, {} came {came}: {:?}", item.cursor, item.item));
        }
        let bare = api::InboxItem { cursor: String::new(), create_time: None, ..item.clone() };
        if let Some(other) = known.insert(format!("{bare:?}"), &item.cursor) {
            broken.push(format!("inbox of {id}: {other} and {} say the same", item.cursor));
        }
    }
    if live.items.len() > reread.len() {
        broken.push(format!("inbox of {id}: {} items came live, {} are there", live.items.len(), reread.len()));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(place: i64, case: &str) -> api::InboxItem {
        api::InboxItem { cursor: format!("{place}-x"), case: case.to_owned(), ..Default::default() }
    }

    fn arrived(live: &[(i64, &str)], reread: &[(i64, &str)]) -> Arrived {
        let items = live.iter().map(|(place, case)| (*place, item(*place, case))).collect();
        let reread = reread.iter().map(|(place, case)| item(*place, case)).collect();
        Arrived { id: "A".into(), oin: String::new(), live: Came { items, wrong: Vec::new() }, reread }
    }

    #[test]
    fn an_inbox_is_right_only_if_nothing_is_lost_or_twice() {
        let both = [(1, "a"), (2, "b")];
        for (live, reread, rows, broken) in [
            (&both[..], &both[..], &[1, 2][..], 0),
            (&both[..1], &both[..], &[1, 2], 1),
            (&both[..], &both[..1], &[1, 2], 2),
            (&both[..], &both[..], &[1, 2, 3], 1),
            (&[(1, "a"), (2, "a")], &[(1, "a"), (2, "a")], &[1, 2], 1),
            (&[(1, "a"), (2, "c")], &both[..], &[1, 2], 1),
            (&[], &[], &[], 0),
        ] {
            assert_eq!(inbox(&arrived(live, reread), rows).len(), broken, "{live:?} {reread:?} {rows:?}");
        }
    }

    #[test]
    fn a_request_that_was_answered_twice_counts_once() {
        let done = |change, request_id: &str| Done {
            oin: String::new(),
            user_ref: String::new(),
            change,
            request_id: request_id.to_owned(),
        };
        let all = [done(Change::Refer, "1"), done(Change::Refer, "1"), done(Change::Assign, "2")];
        let wanted = wanted(&all.iter().collect::<Vec<_>>());
        assert_eq!(wanted, Effects { cases: 1, consents: 0, roles: 4, records: 0 });
    }
}
