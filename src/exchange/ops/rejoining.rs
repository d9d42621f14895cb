//! A partner that left joins anew (article 39), as any other joins: it signs the covenant, and its certificates are registered.
//! What it wrote and did before stays under its name; nothing that gave it access then does so again.

use time::OffsetDateTime;

use super::super::Facts;
use super::membership::moment;
use crate::ground::Refusal;
use crate::party::{Oin, PartnerStatus, Role};
use crate::registry::Entry;
use crate::store::succession::OpenCases;

/// How the partner is to be called, which roles it is to hold outside cases, and from when on.
pub(super) struct Wanted<'w> {
    pub(super) name: &'w str,
    pub(super) standing_roles: &'w [Role],
    pub(super) effective: Option<OffsetDateTime>,
}

/// When the partner left, if it did: registering it is joining anew then.
pub(super) fn left(facts: &Facts, oin: &Oin) -> Option<OffsetDateTime> {
    facts.registry.get(oin)?.left(facts.now)
}

/// The partner as it stands when it has joined anew.
pub(super) fn anew(known: &Entry, wanted: &Wanted<'_>, open: OpenCases, now: OffsetDateTime) -> Result<Entry, Refusal> {
    let refused = |why| Err(Refusal::precondition(why));
    if let Some(by) = &known.succession {
        if by.in_time(known.left(now)) {
            return refused(SUCCEEDED);
        }
        // Named afterwards, for the cases alone that nobody held.
        if by.effective > now || !by.settled || open.closed > 0 {
            return refused(PASSING);
        }
    }
    if known.partner.status != PartnerStatus::Withdrawn || open.any > 0 {
        return refused(ENDING);
    }
    if open.nobodys > 0 {
        return refused(NOBODYS);
    }
    let effective_from = wanted.effective.unwrap_or(now);
    if effective_from < now {
        return Err(Refusal::malformed("effective_time", "a moment that is not past, for a partner that joins anew"));
    }
    let mut entry = known.clone();
    entry.partner.name = wanted.name.to_owned();
    entry.partner.status = PartnerStatus::Active;
    entry.partner.effective_from = effective_from;
    entry.partner.withdrawn_at = None;
    entry.partner.accepted_covenant = None;
    entry.standing_roles = wanted.standing_roles.to_vec();
    entry.succession = None;
    // The keys that signed them are revoked.
    entry.keys = None;
    Ok(entry)
}

const SUCCEEDED: &str = "another partner took its place before it left, with all that it had: nobody joins under this OIN any more; \
    an organisation that begins again does so under another OIN, or the successor is succeeded (SucceedPartner)";
const PASSING: &str =
    "cases that it held pass to another partner still: ask again when ListSuccessions shows none, or confirm then";
const ENDING: &str = "it is leaving just now, and the hub ends its roles: ask again in a minute";
const NOBODYS: &str = "it held open cases when it left that nobody holds now: name who takes them first (SucceedPartner); then it joins anew";

/// What joining anew undoes, in words; nothing where nobody does.
pub(super) fn undoes(facts: &Facts, oin: &Oin) -> String {
    let Some(at) = left(facts, oin) else { return String::new() };
    let keys = facts.registry.certificates.values();
    let keys = keys.filter(|row| row.oin == oin.as_str() && row.revoked_at.is_none());
    let mandates = facts.registry.mandates.iter();
    let mandates = mandates.filter(|row| row.principal == oin.as_str() && row.cut_at.is_none());
    let keys = keys.map(|row| format!("key {}", row.key_hash));
    let gone: Vec<String> = keys.chain(mandates.map(|row| format!("mandate {}", row.mandate_id))).collect();
    let gone = if gone.is_empty() { String::new() } else { format!("; ended with that: {}", gone.join(", ")) };
    format!("joins anew after it left at {}, and signs the covenant again{gone}", moment(at))
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::identity::Partner;
    use crate::party::OrgKind;
    use crate::registry::Succession;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn hours(hours: i64) -> OffsetDateTime {
        NOW + Duration::hours(hours)
    }

    /// One that left nine hours ago; whose place is taken so many hours from now, and whether all that was done.
    fn known(status: PartnerStatus, succeeded: Option<(i64, bool)>) -> Entry {
        let succession = |(at, settled)| Succession {
            successor: "00000099100001420000".parse().unwrap(),
            effective: hours(at),
            settled,
        };
        Entry {
            partner: Partner {
                name: "Oud".to_owned(),
                kind: OrgKind::Gemeente,
                status,
                effective_from: hours(-99),
                withdrawn_at: Some(hours(-9)),
                accepted_covenant: Some(1),
            },
            standing_roles: vec![Role::R11],
            keys: Some(crate::api::v1::KeySet::default()),
            succession: succeeded.map(succession),
        }
    }

    #[test]
    fn who_left_joins_anew_once_nothing_of_before_is_open() {
        use PartnerStatus::{Active, Suspended, Withdrawn};
        let none = OpenCases::default();
        let closed = OpenCases { closed: 2, ..none };
        type Known = (PartnerStatus, Option<(i64, bool)>);
        type Why = Option<&'static str>;
        let table: &[(Known, OpenCases, Why)] = &[
            ((Withdrawn, None), none, None),
            // Whoever held them answers for them still.
            ((Withdrawn, None), closed, None),
            ((Withdrawn, None), OpenCases { any: 1, ..none }, Some(ENDING)),
            ((Withdrawn, None), OpenCases { nobodys: 1, ..none }, Some(NOBODYS)),
            // Its moment has come, and the hub has not said so yet.
            ((Active, None), none, Some(ENDING)),
            ((Suspended, None), none, Some(ENDING)),
            // A merger or a new OIN; at the very moment of leaving too.
            ((Withdrawn, Some((-20, true))), none, Some(SUCCEEDED)),
            ((Withdrawn, Some((-20, false))), none, Some(SUCCEEDED)),
            ((Withdrawn, Some((-9, true))), none, Some(SUCCEEDED)),
            // Named afterwards.
            ((Withdrawn, Some((-1, true))), none, None),
            ((Withdrawn, Some((-1, false))), none, Some(PASSING)),
            ((Withdrawn, Some((-1, true))), closed, Some(PASSING)),
            ((Withdrawn, Some((-1, true))), OpenCases { nobodys: 1, ..none }, Some(NOBODYS)),
            ((Withdrawn, Some((1, false))), none, Some(PASSING)),
        ];
        for ((status, succeeded), open, why) in table {
            let wanted = Wanted { name: "Nieuw", standing_roles: &[], effective: None };
            let joined = anew(&known(*status, *succeeded), &wanted, *open, NOW);
            let found = joined.as_ref().err().map(|refusal| refusal.kind.clone());
            assert_eq!(found, why.map(crate::ground::RefusalKind::Precondition), "{status:?} {succeeded:?} {open:?}");
            let Ok(entry) = joined else { continue };
            let partner = &entry.partner;
            assert_eq!((partner.name.as_str(), partner.status), ("Nieuw", Active));
            assert_eq!((partner.effective_from, partner.withdrawn_at, partner.accepted_covenant), (NOW, None, None));
            assert!(entry.standing_roles.is_empty() && entry.succession.is_none() && entry.keys.is_none());
            assert!(entry.takes_part(NOW), "as any partner that has not signed yet");
        }
    }

    #[test]
    fn it_joins_from_now_or_later_with_the_roles_that_are_asked_for() {
        for (effective, from) in [(None, Some(0)), (Some(0), Some(0)), (Some(5), Some(5)), (Some(-1), None)] {
            let standing_roles = &[Role::R13];
            let wanted = Wanted { name: "Nieuw", standing_roles, effective: effective.map(hours) };
            let joined = anew(&known(PartnerStatus::Withdrawn, None), &wanted, OpenCases::default(), NOW).ok();
            assert_eq!(joined.as_ref().map(|entry| entry.partner.effective_from), from.map(hours));
            assert!(joined.is_none_or(|entry| entry.standing_roles == standing_roles));
        }
    }
}
