//! Reading the audit log, and refusals that an agent reports.

use std::collections::BTreeMap;

use super::super::facts::{Facts, Seat, subject_tag};
use super::super::{Decided, Exchange, Operation, Target};
use crate::api::v1;
use crate::audit::Draft;
use crate::case::Party;
use crate::clock::{from_micros, micros};
use crate::covenant::facts::{Action, Standing};
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::identity::Function;
use crate::method::{Admitted, Callers, METHODS, Method};
use crate::party::{Category, Role};
use crate::pseudonym::Scope;
use crate::reason::Reason;
use crate::store::event::{Filter, Line, select};
use crate::store::{Reader, StoreError, Tx, WorkError};
use crate::wire::{Numbered as _, outcome_number, partner_name, timestamp};

/// `Audit.QueryEvents`.
pub struct QueryEvents {
    context: Context,
    case: String,
    filter: Filter,
    page_size: i64,
}

/// Lines, and what the reader's organisation calls the cases in them.
#[derive(Default)]
pub struct Found {
    lines: Vec<Line>,
    cases: BTreeMap<String, (String, String)>,
}

impl Operation for QueryEvents {
    type Message = v1::QueryEventsRequest;
    type Reply = v1::QueryEventsResponse;
    type Rows = Found;
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let context = fields.context(message.context.as_ref());
        let case =
            if message.case.is_empty() { Some(String::new()) } else { fields.named("case", "cases", &message.case) };
        let page_size = fields.page_size(message.page_size, 100, 1000);
        let filter = read_filter(&mut fields, &message);
        fields.done((|| Some(Self { context: context?, case: case?, filter: filter?, page_size: page_size? }))())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn target(&self) -> Target<'_> {
        if self.case.is_empty() { Target::Nothing } else { Target::Case(&self.case) }
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C24];
    }

    async fn gather(&self, hub: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Found, StoreError> {
        let case_id = facts.case().map(|case| case.id.clone());
        if !self.case.is_empty() && case_id.is_none() {
            return Ok(Found::default());
        }
        let scope = match facts.caller.function() {
            Some(Function::NetworkOfficer) => None,
            _ => Some(facts.caller.oin().to_string()),
        };
        let mut filter = Filter { scope, case_id, limit: self.page_size + 1, ..self.filter.clone() };
        if filter.scope.is_some() {
            filter.cover_unknown_cases();
        }
        let lines = select(reader, &filter).await?;
        let mut cases = BTreeMap::new();
        for case_id in lines.iter().filter_map(|line| line.case_id.as_ref()) {
            if !cases.contains_key(case_id) {
                let label = crate::store::case::label(reader, case_id, facts.caller.oin().as_str()).await?;
                if let Some((name, epoch, tag)) = label {
                    // Whoever saw the case pseudonymously gets no pseudonym to know its own client by.
                    let case = crate::store::case::load(reader, case_id).await?;
                    let knows = case.is_some_and(|case| case.knows_youth(facts.caller.oin()));
                    let pseudonym = subject_tag(epoch, &tag)
                        .filter(|_| knows)
                        .and_then(|tag| hub.keys.pseudonym(&tag, facts.caller.oin(), Scope::Log).ok())
                        .map(|pseudonym| pseudonym.to_text());
                    cases.insert(case_id.clone(), (name, pseudonym.unwrap_or_default()));
                }
            }
        }
        Ok(Found { lines, cases })
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, _: &Found, _: Admitted) -> Result<(Ground, ()), Refusal> {
        let seat = Seat {
            party: Party::Partner(facts.caller.oin().clone()),
            role: Some(self.context.role),
            // The office of privacy officer is the certificate's registration, which the method table asked for.
            standing: if self.context.role == Role::R14 { Standing::Office } else { Standing::None },
            involved: false,
        };
        let permit = facts.manage_as(hub, &seat, Action::QueryLog, &self.context)?;
        if !self.case.is_empty() && facts.case().is_none() {
            return Err(Refusal::denied(Reason::CaseUnknown));
        }
        Ok((Ground::permit(permit), ()))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::QueryEventsResponse, WorkError> {
        let size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        let Found { lines, cases } = &done.rows;
        let page: Vec<&Line> = lines.iter().take(size).collect();
        let next = page.last().filter(|_| lines.len() > size).map(|line| format!("{}.{}", line.at, line.event_id));
        let reader = done.facts.caller.oin().as_str();
        let whole = done.facts.caller.function() == Some(Function::NetworkOfficer);
        let events = page.into_iter().map(|line| event_reply(line, cases, reader, whole)).collect();
        Ok(v1::QueryEventsResponse { events, next_page_token: next.unwrap_or_default(), ..Default::default() })
    }
}

fn read_filter(fields: &mut Fields, message: &v1::QueryEventsRequest) -> Option<Filter> {
    let organisation = fields.partner_or_none("organisation", &message.organisation);
    let user_ref = optional(&message.user_ref, |text| fields.reference("user_ref", text));
    let article = optional(&message.article, |text| fields.article("article", text));
    let event_id = optional(&message.event, |text| fields.named("event", "events", text));
    let reason = optional(&message.reason, |text| {
        let reason = text.parse::<Reason>().ok();
        if reason.is_none() {
            fields.wrong("reason", "a reason code");
        }
        reason
    });
    let outcome = match message.outcome() {
        v1::Outcome::Unspecified => None,
        v1::Outcome::Allowed => Some("allowed"),
        v1::Outcome::Refused => Some("refused"),
        v1::Outcome::Failed => Some("failed"),
    };
    let from = fields.moment_or_none("start_time", message.start_time.as_ref())?;
    let until = fields.moment_or_none("end_time", message.end_time.as_ref())?;
    let short = match (from, until) {
        (Some(from), Some(until)) if from >= until => {
            fields.wrong("end_time", "a moment after start_time");
            false
        }
        (Some(from), Some(until)) => until - from <= time::Duration::days(31),
        _ => false,
    };
    let selective = !message.case.is_empty()
        || [&message.organisation, &message.user_ref, &message.article, &message.event].iter().any(|f| !f.is_empty())
        || outcome.is_some();
    if !selective && !short {
        fields.wrong("", "a case, organisation, user_ref, article, outcome, event, or a time range of at most 31 days");
    }
    let before = match message.page_token.as_str() {
        "" => None,
        token => {
            let before = token.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned())));
            if before.is_none() {
                fields.wrong("page_token", "a token from an earlier page");
            }
            Some(before?)
        }
    };
    Some(Filter {
        scope: None,
        organisation: organisation?.map(|oin| oin.to_string()),
        event_id: event_id?,
        case_id: None,
        user_ref: user_ref?,
        article: article?.map(|article| i64::from(article.number())),
        outcome,
        reason: reason?.map(Reason::code),
        reason_too: None,
        from: from.map(micros),
        until: until.map(micros),
        before,
        limit: 0,
    })
}

/// Nothing for an empty text, else what it reads as.
fn optional<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

/// An event as one organisation's officer sees it; `whole` for the network's. Of what others did, an officer sees that
/// it concerned the own organisation: not which employee, why, or who else got it. And nobody but the network's officer
/// is told whether a case that its organisation was refused exists.
fn event_reply(line: &Line, cases: &BTreeMap<String, (String, String)>, reader: &str, whole: bool) -> v1::Event {
    let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<String>>();
    let (case, subject) = line.case_id.as_ref().and_then(|id| cases.get(id)).cloned().unwrap_or_default();
    let own = whole || line.organisation == reader;
    let recipients = words(&line.recipients);
    let theirs = |oin: &&String| own || line.source == reader || oin.as_str() == reader;
    let reason = if whole { &line.reason } else { covered(&line.reason) };
    v1::Event {
        name: format!("events/{}", line.event_id),
        time: Some(timestamp(from_micros(line.at))),
        method: line.method.clone(),
        action: line.action.clone(),
        outcome: outcome_number(&line.outcome),
        reason: reason.to_owned(),
        organisation: partner_name(&line.organisation),
        user_ref: if own { line.user_ref.clone() } else { String::new() },
        role: line.role.parse::<Role>().map(|role| role.number()).unwrap_or_default(),
        purpose: line.purpose.clone(),
        article: if line.article == 0 { String::new() } else { line.article.to_string() },
        covenant_version: u32::try_from(line.covenant_version).unwrap_or(0),
        clauses: words(&line.clauses),
        case: if case.is_empty() { String::new() } else { format!("cases/{case}") },
        subject: if subject.is_empty() && line.organisation == reader { line.subject.clone() } else { subject },
        categories: words(&line.categories)
            .iter()
            .filter_map(|c| c.parse::<Category>().ok())
            .map(|c| c.number())
            .collect(),
        form: line.form.parse::<crate::party::Form>().map(|form| form.number()).unwrap_or_default(),
        recipients: recipients.iter().filter(theirs).map(|oin| partner_name(oin)).collect(),
        record: if line.record.is_empty() { String::new() } else { format!("records/{}", line.record) },
        consents: words(&line.consents),
        emergency: line.emergency,
        motivation: if own { line.motivation.clone() } else { String::new() },
        key_hash: line.key_hash.clone(),
        node: line.node.clone(),
        trace_id: line.trace_id.clone(),
        source: if line.source.is_empty() { String::new() } else { partner_name(&line.source) },
        erased: Vec::new(),
        listed: Vec::new(),
    }
}

/// One word for both, so that an organisation's own log does not tell whether somebody else has a case.
fn covered(reason: &str) -> &str {
    if reason == Reason::CaseUnknown.code() { Reason::NotInvolved.code() } else { reason }
}

/// `Audit.ReportRefusal`.
pub struct ReportRefusal {
    request_id: String,
    context: Option<Context>,
    case: String,
    method: &'static Method,
    reason: Reason,
    categories: Vec<Category>,
}

impl Operation for ReportRefusal {
    type Message = v1::ReportRefusalRequest;
    type Reply = v1::ReportRefusalResponse;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        // The refused request may have been refused for its context, so a context that can't be read is left out.
        let context = Fields::default().context(message.context.as_ref());
        let case =
            if message.case.is_empty() { Some(String::new()) } else { fields.named("case", "cases", &message.case) };
        let for_partners = |method: &&Method| method.callers == Callers::Organisations;
        let method = METHODS.iter().filter(for_partners).find(|method| method.name == message.method);
        if method.is_none() {
            fields.wrong("method", "package.Service/Method of this API");
        }
        let reason = message.reason.parse().ok().filter(|r| matches!(r, Reason::BsnInText | Reason::RequestIncomplete));
        if reason.is_none() {
            fields.wrong("reason", "BSN_IN_TEXT or REQUEST_INCOMPLETE: what an agent refuses by itself");
        }
        let categories = fields.words("categories", &message.categories);
        fields.done((|| {
            Some(Self {
                request_id: request_id?,
                context,
                case: case?,
                method: method?,
                reason: reason?,
                categories: categories?,
            })
        })())
    }

    fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn target(&self) -> Target<'_> {
        if self.case.is_empty() { Target::Nothing } else { Target::Case(&self.case) }
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories.clone_from(&self.categories);
    }

    fn decide(&self, _: &Exchange, _: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    /// The line reads as the refusal that it reports.
    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        _: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::ReportRefusalResponse, WorkError> {
        draft.method = self.method.name;
        draft.action = Some(self.method.action);
        draft.reported = Some(self.reason);
        Ok(v1::ReportRefusalResponse {})
    }
}
