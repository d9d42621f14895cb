//! The register of consents (articles 7 and 35).

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::super::facts::Goods;
use super::super::{Decided, Exchange, Facts, Operation, Target};
use super::notice::{Kind, tell_all};
use super::{Change, change_of_case};
use crate::api::v1;
use crate::audit::Draft;
use crate::case::{CaseFile, ConsentOnFile};
use crate::clock::micros;
use crate::covenant::consent::{Given, Giver, Scope};
use crate::covenant::facts::Action;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Category, Form};
use crate::store::{Changes, StoreError, Tx, WorkError, consent};
use crate::wire::{Numbered as _, partner_name, timestamp};

/// `Consents.RecordConsent`.
pub struct RecordConsent {
    change: Change,
    giver: Giver,
    scope: Scope,
    explicit: bool,
    text_version: String,
    expires: Option<OffsetDateTime>,
}

impl Operation for RecordConsent {
    type Message = v1::RecordConsentRequest;
    type Reply = v1::Consent;
    type Rows = ();
    type Plan = ConsentOnFile;

    change_of_case!();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let change = Change::read(&mut fields, &message.request_id, message.context.as_ref(), &message.case);
        let giver = fields.word::<Giver>("giver", message.giver);
        let explicit = message.scope.as_ref().is_some_and(|scope| scope.explicit);
        let scope = read_scope(&mut fields, message.scope.unwrap_or_default());
        let text_version = fields.reference("text_version", &message.text_version);
        let expires = fields.moment_or_none("expire_time", message.expire_time.as_ref());
        fields.done((|| {
            Some(Self {
                change: change?,
                giver: giver?,
                scope: scope?,
                explicit,
                text_version: text_version?,
                expires: expires?,
            })
        })())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C23];
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, ConsentOnFile), Refusal> {
        let permit = facts.manage(hub, Action::RecordConsent, &self.change.context, None, 1)?;
        let case = facts.known_case()?;
        if self.giver != Giver::Youth && !case.regime.authority.contains(&self.giver) {
            return Err(Refusal::malformed("giver", "the youth, or somebody who holds authority in this case"));
        }
        let latest = hub.covenant.consent().latest_end(facts.now);
        let latest = latest.ok_or_else(|| Refusal::malformed("expire_time", "a moment that the calendar knows"))?;
        let valid_until = self.expires.unwrap_or(latest);
        if valid_until <= facts.now || valid_until > latest {
            return Err(Refusal::malformed(
                "expire_time",
                "a moment in the future, at most six months ahead (article 7)",
            ));
        }
        let given = Given {
            giver: self.giver,
            regime: case.regime.clone(),
            scope: self.scope.clone(),
            explicit: self.explicit,
            given_at: facts.now,
            valid_until,
            withdrawn_at: None,
        };
        let consent =
            ConsentOnFile { id: uuid::Uuid::new_v4().to_string(), text_version: self.text_version.clone(), given };
        Ok((Ground::permit(permit), consent))
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Case
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::Consent, WorkError> {
        let case = done.facts.decided_case()?;
        consent::insert(tx, &case.id, &done.plan).await?;
        crate::store::case::save(tx, case).await?;
        draft.consents = vec![done.plan.id.clone()];
        Ok(consent_reply(case.name_for(done.facts.caller.oin()).unwrap_or_default(), &done.plan, true))
    }
}

fn read_scope(fields: &mut Fields, scope: v1::ConsentScope) -> Option<Scope> {
    let articles: Option<BTreeSet<_>> =
        scope.articles.iter().take(40).map(|text| fields.article("scope.articles", text)).collect();
    let categories = fields.words("scope.categories", &scope.categories);
    let recipients = fields.partners("scope.recipients", &scope.recipients);
    let roles = fields.words("scope.recipient_roles", &scope.recipient_roles);
    let sources = fields.partners("scope.sources", &scope.sources);
    for (field, empty) in [
        ("scope.articles", scope.articles.is_empty()),
        ("scope.categories", scope.categories.is_empty()),
        ("scope.recipients", scope.recipients.is_empty() && scope.recipient_roles.is_empty()),
    ] {
        if empty {
            fields.wrong(field, "at least one: consent is specific (article 7)");
        }
    }
    if scope.explicit && scope.sources.is_empty() {
        fields.wrong("scope.sources", "explicit consent names its sources (article 15)");
    }
    Some(Scope {
        articles: articles?,
        categories: categories?.into_iter().collect(),
        recipients: recipients?.into_iter().collect(),
        recipient_roles: roles?.into_iter().collect(),
        sources: sources?.into_iter().collect(),
    })
}

/// `Consents.WithdrawConsent`.
pub struct WithdrawConsent {
    change: Change,
    consent: String,
}

impl Operation for WithdrawConsent {
    type Message = v1::WithdrawConsentRequest;
    type Reply = v1::Consent;
    type Rows = ();
    type Plan = (CaseFile, ConsentOnFile);

    change_of_case!();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let name = fields.nested("name", "consents", &message.name);
        let case = name.as_ref().map(|(case, _)| format!("cases/{case}")).unwrap_or_default();
        let change = Change::read(&mut fields, &message.request_id, message.context.as_ref(), &case);
        fields.done((|| Some(Self { change: change?, consent: name?.1 }))())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C23];
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, Self::Plan), Refusal> {
        let permit = facts.manage(hub, Action::WithdrawConsent, &self.change.context, None, 1)?;
        let mut case = facts.known_case()?.clone();
        let Some(consent) = case.consents.iter_mut().find(|consent| consent.id == self.consent) else {
            return Err(Refusal::not_found());
        };
        consent.given.withdrawn_at = Some(consent.given.withdrawn_at.unwrap_or(facts.now));
        let consent = consent.clone();
        Ok((Ground::permit(permit), (case, consent)))
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Case
    }

    async fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::Consent, WorkError> {
        let (facts, (case, withdrawn)) = (&done.facts, &done.plan);
        consent::withdraw(tx, &self.consent, micros(facts.now)).await?;
        crate::store::case::save(tx, case).await?;
        // Everybody hears it, not only who received under it: who may not know of a consent learns nothing from the notice.
        tell_all(tx, hub, facts, case, Kind::ConsentWithdrawn);
        draft.consents = vec![self.consent.clone()];
        draft.recipients = super::roles::active_partners(hub, facts, case);
        Ok(consent_reply(case.name_for(facts.caller.oin()).unwrap_or_default(), withdrawn, true))
    }
}

/// `Consents.ListConsents`.
pub struct ListConsents {
    context: Context,
    case: String,
    page_size: i64,
    after: String,
}

impl Operation for ListConsents {
    type Message = v1::ListConsentsRequest;
    type Reply = v1::ListConsentsResponse;
    type Rows = ();
    type Plan = bool;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let context = fields.context(message.context.as_ref());
        let case = fields.named("case", "cases", &message.case);
        let page_size = fields.page_size(message.page_size, 50, 100);
        let after = fields.page_after(&message.page_token);
        fields.done((|| Some(Self { context: context?, case: case?, page_size: page_size?, after: after? }))())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn target(&self) -> Target<'_> {
        Target::Case(&self.case)
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C23];
    }

    /// In full to whom the covenant gives C23 in form I, else the status only.
    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, bool), Refusal> {
        let goods = |form| Goods { category: Category::C23, form, source_external: None, expired: false };
        if let Ok(permit) = facts.from_facility(hub, &self.context, goods(Form::I)) {
            return Ok((Ground::permit(permit), true));
        }
        let permit = facts.from_facility(hub, &self.context, goods(Form::L))?;
        Ok((Ground::permit(permit), false))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::ListConsentsResponse, WorkError> {
        let case = done.facts.decided_case()?;
        let name = case.name_for(done.facts.caller.oin()).ok_or(StoreError::Inconsistent("case_name"))?;
        let mut consents: Vec<&ConsentOnFile> = case.consents.iter().filter(|c| c.id > self.after).collect();
        consents.sort_by(|a, b| a.id.cmp(&b.id));
        let size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        let more = consents.len() > size;
        consents.truncate(size);
        let next = consents.last().filter(|_| more).map(|consent| consent.id.clone()).unwrap_or_default();
        let consents = consents.into_iter().map(|consent| consent_reply(name, consent, done.plan)).collect();
        Ok(v1::ListConsentsResponse { consents, next_page_token: next })
    }
}

fn consent_reply(case: &str, consent: &ConsentOnFile, full: bool) -> v1::Consent {
    let given = &consent.given;
    let scope = v1::ConsentScope {
        articles: given.scope.articles.iter().map(ToString::to_string).collect(),
        categories: given.scope.categories.iter().map(|category| category.number()).collect(),
        recipients: given.scope.recipients.iter().map(|oin| partner_name(oin.as_str())).collect(),
        recipient_roles: given.scope.recipient_roles.iter().map(|role| role.number()).collect(),
        sources: given.scope.sources.iter().map(|oin| partner_name(oin.as_str())).collect(),
        explicit: given.explicit,
    };
    v1::Consent {
        name: format!("cases/{case}/consents/{}", consent.id),
        giver: if full { given.giver.number() } else { 0 },
        scope: full.then_some(scope),
        give_time: Some(timestamp(given.given_at)),
        expire_time: Some(timestamp(given.valid_until)),
        withdraw_time: given.withdrawn_at.map(timestamp),
        text_version: if full { consent.text_version.clone() } else { String::new() },
    }
}
