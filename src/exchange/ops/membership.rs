//! Suspending a partner, letting it take part again, and the end of its membership, at once or at a moment to come (article 39).

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::{Exchange, Facts};
use super::changes::Proposal;
use super::directory::partner_reply;
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::micros;
use crate::covenant::consent::add_months;
use crate::form::Fields;
use crate::ground::Refusal;
use crate::party::{Oin, PartnerStatus};
use crate::registry::Entry;
use crate::store::succession::{self, OpenCases};
use crate::store::{StoreError, Tx, WorkError, registry, renewal};
use crate::wire::partner_name;

/// `Registry.SetPartnerStatus`.
pub struct SetPartnerStatus {
    request_id: String,
    oin: Oin,
    status: PartnerStatus,
    at: Option<OffsetDateTime>,
    reason: String,
}

impl Proposal for SetPartnerStatus {
    const METHOD: &str = "sluis.v1.Registry/SetPartnerStatus";
    type Message = v1::SetPartnerStatusRequest;
    type Reply = v1::Partner;
    type Judged = Entry;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let oin = fields.partner("name", &message.name);
        let status = fields.word("status", message.status);
        let reason = fields.text("reason", &message.reason, 500);
        if message.reason.trim().is_empty() {
            fields.wrong("reason", "a motivation");
        }
        let at = fields.moment_or_none("effective_time", message.effective_time.as_ref());
        if at.flatten().is_some() && status != Some(PartnerStatus::Withdrawn) {
            fields.wrong("effective_time", "nothing, but with WITHDRAWN");
        }
        fields.done((|| Some(Self { request_id: request_id?, oin: oin?, status: status?, at: at?, reason: reason? }))())
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn leaves(&self) -> Option<&Oin> {
        Some(&self.oin)
    }

    fn name(&self, _: &Facts, draft: &mut Draft) {
        draft.source = self.oin.to_string();
        draft.motivation.clone_from(&self.reason);
    }

    fn about(&self) -> Vec<String> {
        vec![partner_name(self.oin.as_str())]
    }

    fn judge(&self, _: &Exchange, facts: &Facts, open: OpenCases) -> Result<Entry, Refusal> {
        if self.oin == *facts.caller.oin() && self.status != PartnerStatus::Active {
            return Err(Refusal::precondition("an operator does not cut off its own organisation"));
        }
        let known = facts.registry.get(&self.oin).ok_or_else(Refusal::not_found)?;
        stand(known, self.status, self.at, open, facts.now)
    }

    fn undoes(&self, facts: &Facts) -> String {
        let known = facts.registry.get(&self.oin).filter(|_| self.status == PartnerStatus::Active);
        known.map(takes_back).unwrap_or_default()
    }

    async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        entry: &Entry,
        facts: &Facts,
        open: OpenCases,
    ) -> Result<v1::Partner, WorkError> {
        let (partner, now) = (&entry.partner, facts.now);
        if partner.status == PartnerStatus::Withdrawn && partner.withdrawn_at == Some(now) {
            succession::check_holds_none(tx, self.oin.as_str(), micros(now)).await?;
        }
        if self.status == PartnerStatus::Active && entry.succession.is_none() {
            succession::take_back(tx, self.oin.as_str()).await?;
        }
        let withdrawn = partner.withdrawn_at.map(micros);
        registry::set_status(tx, self.oin.as_str(), partner.status.code(), withdrawn).await?;
        if partner.status != PartnerStatus::Active {
            renewal::refuse_of_partner(tx, self.oin.as_str(), "its organisation does not take part", micros(now))
                .await?;
        }
        Ok(self.reply(entry, open))
    }

    fn asked(&self, facts: &Facts, open: OpenCases, pending: v1::PendingChange) -> Result<v1::Partner, StoreError> {
        let known = facts.registry.get(&self.oin).ok_or(StoreError::Inconsistent("partner"))?;
        Ok(v1::Partner { pending: Some(pending), ..self.reply(known, open) })
    }

    fn summary(&self) -> String {
        let at = self.at.map(|at| format!(" at {}", moment(at))).unwrap_or_default();
        format!("partners/{} becomes {}{at}: {}", self.oin, self.status.code(), self.reason)
    }

    fn more(&self, hub: &Exchange, facts: &Facts, open: OpenCases) -> String {
        if self.status != PartnerStatus::Withdrawn {
            return self.undoes(facts);
        }
        let now = facts.now;
        let months = hub.terms().terms.exit_notice_months;
        let end = add_months(now.date(), months.into()).map(|day| now.replace_date(day));
        let is_short = end.is_none_or(|end| self.at.unwrap_or(now) < end);
        let notice = if is_short { format!("; less than the {months} months of article 39") } else { String::new() };
        in_words(open) + &notice
    }
}

impl SetPartnerStatus {
    fn reply(&self, entry: &Entry, open: OpenCases) -> v1::Partner {
        let leaves = self.status == PartnerStatus::Withdrawn;
        v1::Partner { open_cases: leaves.then(|| open_cases(open)), ..partner_reply(&self.oin, entry) }
    }
}

/// What an active partner loses that was said of it before.
fn takes_back(known: &Entry) -> String {
    if known.partner.status == PartnerStatus::Suspended {
        return "; lifts its suspension".to_owned();
    }
    let exit = known.partner.withdrawn_at.map(|at| format!("; takes back its exit at {}", moment(at)));
    let by = known.succession.as_ref();
    let by = by.map(|by| format!("; takes back its succession by partners/{}", by.successor));
    exit.into_iter().chain(by).collect()
}

/// How many cases it is about.
pub(super) fn in_words(open: OpenCases) -> String {
    let closed = if open.closed > 0 { format!(", and {} that are closed", open.closed) } else { String::new() };
    format!("; takes part in {} open cases and holds {} of them{closed}", open.any, open.held)
}

pub(super) const fn open_cases(open: OpenCases) -> v1::OpenCases {
    v1::OpenCases { takes_part: open.any, holds: open.held }
}

pub(super) fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// How a partner will stand. An end that was announced stays through a suspension; who is active already takes it back.
fn stand(
    known: &Entry,
    status: PartnerStatus,
    at: Option<OffsetDateTime>,
    open: OpenCases,
    now: OffsetDateTime,
) -> Result<Entry, Refusal> {
    let mut entry = known.clone();
    if known.left(now).is_some() {
        if status != PartnerStatus::Withdrawn {
            return Err(Refusal::precondition("a partner that left joins anew under article 39 (RegisterPartner)"));
        }
        if at.is_some() {
            return Err(Refusal::precondition("the partner has left already"));
        }
        entry.partner.status = PartnerStatus::Withdrawn;
        return Ok(entry);
    }
    match status {
        PartnerStatus::Active if known.partner.status == PartnerStatus::Active => {
            if known.is_succeeded(now) {
                return Err(Refusal::precondition("its place is taken: it leaves when that was said"));
            }
            entry.partner.withdrawn_at = None;
            entry.succession = None;
        }
        PartnerStatus::Active | PartnerStatus::Suspended => entry.partner.status = status,
        PartnerStatus::Withdrawn => {
            let end = at.unwrap_or(now);
            if end < now {
                return Err(Refusal::malformed("effective_time", "a moment that is not past"));
            }
            if known.succession.as_ref().is_some_and(|succession| end < succession.effective) {
                return Err(Refusal::precondition("it leaves no earlier than its successor takes its place"));
            }
            entry.partner.withdrawn_at = Some(end);
            if end == now {
                entry.partner.status = PartnerStatus::Withdrawn;
                if open.held > 0 {
                    return Err(Refusal::precondition(HOLDS));
                }
            }
        }
    }
    Ok(entry)
}

const HOLDS: &str = "the partner holds open cases: it hands them over first (HandOverCase), or a successor is named \
    (SucceedPartner), or its exit is announced for a moment to come; suspend it if it must stop now";

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

    fn entry(status: PartnerStatus, leaves: Option<i64>, succeeded: Option<i64>) -> Entry {
        let succession = |at| Succession {
            successor: "00000099100001420000".parse().unwrap(),
            effective: hours(at),
            settled: false,
        };
        Entry {
            partner: Partner {
                name: String::new(),
                kind: OrgKind::Gemeente,
                status,
                effective_from: hours(-9),
                withdrawn_at: leaves.map(hours),
                accepted_covenant: Some(1),
            },
            standing_roles: Vec::new(),
            keys: None,
            succession: succeeded.map(succession),
        }
    }

    #[test]
    fn whoever_is_active_again_loses_what_was_announced_and_it_is_said() {
        use PartnerStatus::{Active, Suspended};
        for (known, parts) in [
            (entry(Active, None, None), &[][..]),
            (entry(Suspended, Some(5), Some(2)), &["; lifts its suspension"]),
            (entry(Active, Some(5), None), &["; takes back its exit at 2026-11-22T17:00:00Z"]),
            (
                entry(Active, Some(5), Some(2)),
                &[
                    "; takes back its exit at 2026-11-22T17:00:00Z",
                    "; takes back its succession by partners/00000099100001420000",
                ],
            ),
        ] {
            assert_eq!(takes_back(&known), parts.concat());
        }
    }

    #[test]
    fn how_a_partner_stands_after_each_change() {
        use PartnerStatus::{Active, Suspended, Withdrawn};
        type Known = (PartnerStatus, Option<i64>, Option<i64>);
        type After = Option<(PartnerStatus, Option<i64>, bool)>;
        let table: &[(Known, PartnerStatus, Option<i64>, u32, After)] = &[
            // An exit at once, and why not.
            ((Active, None, None), Withdrawn, None, 0, Some((Withdrawn, Some(0), false))),
            ((Active, None, None), Withdrawn, Some(0), 0, Some((Withdrawn, Some(0), false))),
            ((Active, None, None), Withdrawn, None, 1, None),
            ((Suspended, None, None), Withdrawn, None, 1, None),
            ((Suspended, None, None), Withdrawn, None, 0, Some((Withdrawn, Some(0), false))),
            // Announced, moved, taken back; cases may still be held.
            ((Active, None, None), Withdrawn, Some(5), 1, Some((Active, Some(5), false))),
            ((Active, Some(5), None), Withdrawn, Some(3), 1, Some((Active, Some(3), false))),
            ((Active, Some(5), None), Active, None, 1, Some((Active, None, false))),
            ((Active, None, None), Withdrawn, Some(-1), 0, None),
            // A suspension neither moves an end nor takes it back.
            ((Active, Some(5), None), Suspended, None, 1, Some((Suspended, Some(5), false))),
            ((Suspended, Some(5), None), Active, None, 1, Some((Active, Some(5), false))),
            ((Suspended, Some(5), None), Withdrawn, Some(6), 1, Some((Suspended, Some(6), false))),
            // Who has left has left, whatever the row says.
            ((Active, Some(-1), None), Active, None, 0, None),
            ((Active, Some(-1), None), Withdrawn, Some(5), 0, None),
            ((Withdrawn, Some(-1), None), Active, None, 0, None),
            ((Withdrawn, Some(-1), None), Suspended, None, 0, None),
            ((Withdrawn, Some(-1), None), Withdrawn, None, 1, Some((Withdrawn, Some(-1), false))),
            // Who is succeeded leaves no earlier, and does not come back.
            ((Active, Some(9), Some(2)), Withdrawn, Some(1), 0, None),
            ((Active, Some(9), Some(2)), Withdrawn, Some(2), 0, Some((Active, Some(2), true))),
            ((Active, Some(9), Some(2)), Active, None, 0, Some((Active, None, false))),
            ((Active, Some(9), Some(-1)), Active, None, 0, None),
            ((Suspended, Some(9), Some(-1)), Active, None, 0, Some((Active, Some(9), true))),
            ((Active, Some(9), Some(-1)), Withdrawn, None, 0, Some((Withdrawn, Some(0), true))),
            ((Active, Some(9), Some(-1)), Withdrawn, None, 1, None),
        ];
        for ((status, leaves, succeeded), wanted, at, held, expected) in table {
            let open = OpenCases { any: 3, held: *held, ..OpenCases::default() };
            let after = stand(&entry(*status, *leaves, *succeeded), *wanted, at.map(hours), open, NOW).ok();
            let after = after.map(|e| (e.partner.status, e.partner.withdrawn_at, e.succession.is_some()));
            let expected = expected.map(|(status, leaves, succeeded)| (status, leaves.map(hours), succeeded));
            assert_eq!(after, expected, "{status:?} {leaves:?} {succeeded:?} → {wanted:?} {at:?} holding {held}");
        }
    }
}
