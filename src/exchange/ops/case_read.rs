//! Reading cases, and what a case looks like to one organisation.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::super::facts::{Goods, subject_tag};
use super::super::{Decided, Exchange, Facts, Operation, Target};
use crate::api::v1;
use crate::audit::Draft;
use crate::case::{Assignment, CaseFile, Party};
use crate::covenant::consent::{AgeBand, Giver, Regime};
use crate::exchange::facts::SubjectRef;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Category, Form, Role};
use crate::pseudonym::Scope;
use crate::store::{Reader, StoreError, Tx, WorkError};
use crate::wire::{Numbered as _, moment, partner_name, timestamp};

/// `Cases.GetCase`.
pub struct GetCase {
    context: Context,
    by: By,
    participants: bool,
}

enum By {
    Name(String),
    Subject(SubjectRef),
}

impl GetCase {
    fn categories(&self) -> &'static [Category] {
        if self.participants { &[Category::C01, Category::C05] } else { &[Category::C01] }
    }
}

impl Operation for GetCase {
    type Message = v1::GetCaseRequest;
    type Reply = v1::Case;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let context = fields.context(message.context.as_ref());
        let by = if message.name.is_empty() {
            super::pseudonyms::read_subject(&mut fields, message.subject.as_ref()).map(By::Subject)
        } else {
            fields.named("name", "cases", &message.name).map(By::Name)
        };
        let participants = message.view == v1::CaseView::Participants as i32;
        fields.done((|| Some(Self { context: context?, by: by?, participants }))())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn target(&self) -> Target<'_> {
        match &self.by {
            By::Name(name) => Target::Case(name),
            By::Subject(subject) => Target::Subject(subject),
        }
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = self.categories().to_vec();
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, ()), Refusal> {
        let mut ground = None;
        for category in self.categories() {
            let permit = index_permit(hub, facts, &self.context, *category)?;
            ground = Some(match ground {
                None => permit,
                Some(first) => crate::covenant::Permit::and(first, permit),
            });
        }
        let permit = ground.ok_or_else(|| Refusal::malformed("view", "a view"))?;
        Ok((Ground::permit(permit), ()))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Case, WorkError> {
        let case = done.facts.decided_case()?;
        Ok(case_reply(hub, &done.facts, case, self.context.role, self.participants))
    }
}

/// The case index is shown in whatever form the caller's role has a right to.
fn index_permit(
    hub: &Exchange,
    facts: &Facts,
    context: &Context,
    category: Category,
) -> Result<crate::covenant::Permit, Refusal> {
    super::records::any_form(Form::ALL.iter().map(|form| {
        let goods = Goods { category, form: *form, source_external: None, expired: false };
        facts.from_facility(hub, context, goods)
    }))
}

/// `Cases.ListCases`.
pub struct ListCases {
    user_ref: String,
    page_size: i64,
    after: String,
}

impl Operation for ListCases {
    type Message = v1::ListCasesRequest;
    type Reply = v1::ListCasesResponse;
    type Rows = Vec<CaseFile>;
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let user_ref = fields.user_ref(message.context.as_ref());
        let page_size = fields.page_size(message.page_size, 50, 100);
        let after = fields.page_after(&message.page_token);
        fields.done((|| Some(Self { user_ref: user_ref?, page_size: page_size?, after: after? }))())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.user_ref.clone_from(&self.user_ref);
        draft.categories = vec![Category::C01];
    }

    async fn gather(&self, hub: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Vec<CaseFile>, StoreError> {
        let oin = facts.caller.oin();
        let mut cases = Vec::new();
        let mut after = self.after.clone();
        // Names are random, so their order says nothing; a case whose roles have all ended is passed over.
        loop {
            let names = crate::store::case::names(reader, oin.as_str(), &after, self.page_size).await?;
            let Some((_, last)) = names.last() else { return Ok(cases) };
            after.clone_from(last);
            for (case_id, _) in names {
                let case = crate::store::case::load(reader, &case_id).await?;
                cases.extend(case.filter(|case| case.is_participant(oin, facts.now, hub.terms())));
                if i64::try_from(cases.len()).is_ok_and(|found| found > self.page_size) {
                    return Ok(cases);
                }
            }
        }
    }

    /// The covenant has no clause for one's own work list: it shows an organisation nothing but its own seats.
    fn decide(&self, _: &Exchange, _: &Facts, _: &Vec<CaseFile>, admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::ListCasesResponse, WorkError> {
        let oin = done.facts.caller.oin();
        let size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        let more = done.rows.len() > size;
        let page: Vec<&CaseFile> = done.rows.iter().take(size).collect();
        let next = page.last().filter(|_| more).and_then(|case| case.name_for(oin)).unwrap_or_default().to_owned();
        draft.listed = page.iter().map(|case| case.id.clone()).collect();
        let cases = page.into_iter().map(|case| seats_reply(hub, &done.facts, case)).collect();
        Ok(v1::ListCasesResponse { cases, next_page_token: next })
    }
}

/// A case as the caller's work list shows it: its name and the caller's own roles, nothing of the case index (C01).
fn seats_reply(hub: &Exchange, facts: &Facts, case: &CaseFile) -> v1::Case {
    let v1::Case { name, own_assignments, .. } = case_reply(hub, facts, case, Role::R05, false);
    v1::Case { name, own_assignments, ..v1::Case::default() }
}

/// A case as the caller's organisation sees it in a role.
pub(super) fn case_reply(hub: &Exchange, facts: &Facts, case: &CaseFile, role: Role, participants: bool) -> v1::Case {
    let oin = facts.caller.oin();
    let name = case.name_for(oin).unwrap_or_default();
    let show = |a: &Assignment| assignment_reply(hub, case, name, a);
    let mine = |a: &&Assignment| a.partner() == Some(oin);
    v1::Case {
        name: format!("cases/{name}"),
        phase: case.phase.number(),
        escalated: case.escalated,
        create_time: Some(timestamp(case.created_at)),
        phase_time: Some(timestamp(case.phase_at)),
        own_assignments: case.active(facts.now, hub.terms()).filter(mine).map(show).collect(),
        participants: if participants {
            case.active(facts.now, hub.terms()).filter(|a| !mine(a)).map(show).collect()
        } else {
            Vec::new()
        },
        subject_pseudonym: subject_pseudonym(hub, facts, case, role),
        etag: etag(name, case.rev),
    }
}

/// Experts, analyst and board see pseudonymous data only: not even the pseudonym by which their own organisation would
/// recognise a client of its own.
fn subject_pseudonym(hub: &Exchange, facts: &Facts, case: &CaseFile, role: Role) -> String {
    if !crate::case::knows_youth(role, case.chosen.as_ref() == Some(facts.caller.oin())) {
        return String::new();
    }
    let tag = subject_tag(case.tag_epoch, &case.subject_tag);
    let pseudonym = tag.and_then(|tag| hub.keys.pseudonym(&tag, facts.caller.oin(), Scope::Case).ok());
    pseudonym.map(|p| p.to_text()).unwrap_or_default()
}

/// A role of a party, as it stands in replies.
pub(super) fn assignment_reply(hub: &Exchange, case: &CaseFile, name: &str, a: &Assignment) -> v1::Assignment {
    let ends = [a.ends_at, a.ended_at, case.table_end(a, hub.terms())].into_iter().flatten().min();
    v1::Assignment {
        name: format!("cases/{name}/assignments/{}", a.id),
        role: a.role.number(),
        partner: a.partner().map(|oin| partner_name(oin.as_str())).unwrap_or_default(),
        external_kind: match a.party {
            Party::Partner(_) => 0,
            Party::External(kind) => kind.number(),
        },
        directly_involved: a.involved,
        start_time: Some(timestamp(a.starts_at)),
        end_time: ends.map(timestamp),
    }
}

/// Says only whether two pictures are the same: the count of changes stays inside.
fn etag(name: &str, rev: i64) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, format!("{name}/{rev}").as_bytes());
    hex::encode(hash.as_ref().get(..8).unwrap_or_default())
}

/// That the youth's wish stands alone sets parents aside: that is stated with a reason, in the log.
pub(super) fn check_regime(hub: &Exchange, regime: &Regime, context: &Context) -> Result<(), Refusal> {
    if regime.youth_alone && context.reason.trim().chars().count() < hub.terms().limits.reason_min_chars {
        return Err(Refusal::malformed(
            "context.reason",
            "why the youth's wish stands alone, at least twenty characters",
        ));
    }
    Ok(())
}

/// Who must consent, from the wire.
pub(super) fn read_regime(
    fields: &mut Fields,
    regime: Option<&v1::ConsentRegime>,
) -> Option<(Regime, Option<OffsetDateTime>)> {
    let Some(regime) = regime else {
        fields.wrong("regime", "age band, capacity and who holds authority");
        return None;
    };
    let band = fields.word::<AgeBand>("regime.age_band", regime.age_band);
    let authority = fields.words::<Giver>("regime.authority", &regime.authority);
    let until = match regime.valid_until_month.as_ref() {
        None => Some(None),
        Some(at) => {
            let month = moment(at).filter(|at| at.day() == 1 && at.time() == time::Time::MIDNIGHT);
            if month.is_none() {
                fields.wrong("regime.valid_until_month", "midnight UTC on the first day of a month, never a birthday");
            }
            month.map(Some)
        }
    };
    let authority: BTreeSet<Giver> = authority?.into_iter().collect();
    if authority.contains(&Giver::Youth) {
        fields.wrong("regime.authority", "parents, guardian or representative, not the youth");
        return None;
    }
    let represented = authority.contains(&Giver::Representative);
    let regime =
        Regime { band: band?, capable: regime.capable, youth_alone: regime.youth_alone, authority, represented };
    Some((regime, until?))
}
