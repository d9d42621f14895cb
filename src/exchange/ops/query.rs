//! Reading the audit log: what an officer asks for, and what it may see of what is there.

use std::collections::{BTreeMap, BTreeSet};

use super::super::facts::{Facts, Seat, subject_tag};
use super::super::{Decided, Exchange, Operation, Target};
use super::evidence::proofs;
use crate::api::v1;
use crate::audit::{Draft, Group, groups, is_own};
use crate::case::Party;
use crate::clock::{from_micros, micros};
use crate::covenant::facts::{Action, Standing};
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::identity::Function;
use crate::method::Admitted;
use crate::party::{Category, Oin, Role};
use crate::pseudonym::{Pseudonym, Scope};
use crate::reason::Reason;
use crate::store::case::Label;
use crate::store::search::{About, Filter, Line, select};
use crate::store::{Reader, StoreError, Tx, WorkError};
use crate::wire::{Numbered as _, outcome_number, partner_name, partner_or_nobody, timestamp};
use time::OffsetDateTime;

/// Events in one answer with proofs.
const MOST: i64 = 100;
/// Bytes of proofs in one page: with the events, a client that takes 4 MiB takes it.
const PROVEN: usize = 2 << 20;

/// `Audit.QueryEvents`.
pub struct QueryEvents {
    context: Context,
    case: String,
    subject: Option<Pseudonym>,
    filter: Filter,
    page_size: i64,
    proofs: bool,
}

/// Lines, what the reader's organisation calls the cases in them, and proofs.
#[derive(Default)]
pub struct Found {
    lines: Vec<Line>,
    /// Whether another page follows.
    more: bool,
    cases: BTreeMap<String, (String, String)>,
    proofs: Vec<v1::EventProof>,
    erasures: Vec<v1::Erasure>,
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
        let subject = optional(&message.subject, |text| fields.pseudonym("subject", text));
        let most = if message.proofs { MOST } else { 1000 };
        let page_size = fields.page_size(message.page_size, 100, most);
        let filter = read_filter(&mut fields, &message);
        fields.done((|| {
            Some(Self {
                context: context?,
                case: case?,
                subject: subject?,
                filter: filter?,
                page_size: page_size?,
                proofs: message.proofs,
            })
        })())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn target(&self) -> Target<'_> {
        if self.case.is_empty() { Target::Nothing } else { Target::Case(&self.case) }
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories = vec![Category::C24];
        // Whose log was read is for that youth to know.
        if let Some(subject) = &self.subject {
            draft.subject = subject.to_text();
        }
    }

    async fn gather(&self, hub: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Found, StoreError> {
        let case_id = facts.case().map(|case| case.id.clone());
        if !self.case.is_empty() && case_id.is_none() {
            return Ok(Found::default());
        }
        let oin = facts.caller.oin();
        let whole = facts.caller.function() == Some(Function::NetworkOfficer);
        let mut filter =
            Filter { scope: (!whole).then(|| oin.to_string()), limit: self.page_size + 1, ..self.filter.clone() };
        if let Some(about) = &mut filter.about {
            about.cases.extend(case_id);
            if let Some(subject) = &self.subject {
                let known = of_subject(hub, oin, subject, reader).await?;
                // Both were asked for: the case, if it is this subject's.
                if about.cases.is_empty() {
                    about.cases = known;
                    about.subject = Some((oin.to_string(), subject.to_text()));
                } else {
                    about.cases.retain(|case| known.contains(case));
                }
            }
        }
        let mut lines = select(reader, &filter).await?;
        let named_in = |line: &Line| line.case_id.iter().chain(&line.listed).cloned().collect::<Vec<_>>();
        let ids: BTreeSet<String> = lines.iter().flat_map(named_in).collect();
        let labels = crate::store::case::labels(reader, &ids, oin.as_str()).await?;
        let cases = labels.into_iter().map(|label| named(hub, oin, label)).collect();
        let mut size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        let mut proven = Vec::new();
        if self.proofs {
            let events: Vec<String> = lines.iter().take(size).map(|line| line.event_id.clone()).collect();
            proven = proofs(hub, facts, &events, PROVEN, reader).await?;
            size = proven.len();
        }
        let more = lines.len() > size;
        lines.truncate(size);
        let erasures = erasures(&lines, &filter, reader).await?;
        Ok(Found { lines, more, cases, proofs: proven, erasures })
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
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::QueryEventsResponse, WorkError> {
        let Found { lines, more, cases, proofs, erasures } = &done.rows;
        let next = lines.last().filter(|_| *more).map(|line| format!("{}.{}", line.at, line.event_id));
        let reader = done.facts.caller.oin().as_str();
        let whole = done.facts.caller.function() == Some(Function::NetworkOfficer);
        let events = lines.iter().map(|line| event_reply(line, cases, reader, whole)).collect();
        let log_key = if self.proofs { hub.log.public().to_string() } else { String::new() };
        let next_page_token = next.unwrap_or_default();
        let scope = if whole { "network".to_owned() } else { partner_name(reader) };
        let (proofs, erasures) = (proofs.clone(), erasures.clone());
        Ok(v1::QueryEventsResponse { events, next_page_token, proofs, log_key, scope, erasures })
    }
}

/// The hub's own id of a case; what an organisation calls it, and its own pseudonym of the youth: whoever saw the case
/// pseudonymously gets no pseudonym to know its own client by.
fn named(hub: &Exchange, oin: &Oin, label: Label) -> (String, (String, String)) {
    let knows = label.knows_youth();
    let pseudonym = knows.then(|| pseudonym(hub, oin, label.epoch, &label.tag)).flatten();
    (label.case_id, (label.name, pseudonym.map(|pseudonym| pseudonym.to_text()).unwrap_or_default()))
}

/// By what events were erased: those that were found, and the one that was asked for by name and is not found without its data.
/// Whoever knows its name has had to do with it; nobody hears more of it than that.
async fn erasures(lines: &[Line], filter: &Filter, reader: &mut Reader) -> Result<Vec<v1::Erasure>, StoreError> {
    let unfound = filter.event_id.as_deref().filter(|_| lines.is_empty());
    let found = lines.iter().filter(|line| !line.erased.is_empty()).map(|line| line.event_id.as_str());
    let asked: Vec<&str> = found.chain(unfound).collect();
    let erased = crate::store::erasure::erasures(reader, &asked).await?;
    let by_pair = erased.chunk_by(|a, b| (&a.event_id, &a.by) == (&b.event_id, &b.by));
    let all = by_pair.filter_map(|same| {
        let places: Vec<usize> = same.iter().map(|one| one.place).collect();
        let mut groups = groups(&places);
        groups.retain(|group| unfound.is_none() || *group == Group::Data);
        let first = same.first().filter(|_| !groups.is_empty())?;
        let [event, by] = [&first.event_id, &first.by].map(|id| format!("events/{id}"));
        Some(v1::Erasure { event, by, groups: groups.iter().map(|group| group.code().to_owned()).collect() })
    });
    Ok(all.collect())
}

/// Cases of which an organisation knows that they are this youth's.
async fn of_subject(
    hub: &Exchange,
    oin: &Oin,
    subject: &Pseudonym,
    reader: &mut Reader,
) -> Result<Vec<String>, StoreError> {
    let own = crate::store::case::tags_of(reader, oin.as_str()).await?;
    let of_youth = own.into_iter().filter(|(_, epoch, tag)| pseudonym(hub, oin, *epoch, tag).as_ref() == Some(subject));
    let ids = of_youth.map(|(case_id, _, _)| case_id).collect();
    let labels = crate::store::case::labels(reader, &ids, oin.as_str()).await?;
    Ok(labels.into_iter().filter(Label::knows_youth).map(|label| label.case_id).collect())
}

/// What an organisation knows a youth by, in the log.
pub(super) fn pseudonym(hub: &Exchange, oin: &Oin, epoch: u32, tag: &[u8]) -> Option<Pseudonym> {
    let tag = subject_tag(epoch, tag)?;
    hub.keys.pseudonym(&tag, oin, Scope::Log).ok()
}

fn read_filter(fields: &mut Fields, message: &v1::QueryEventsRequest) -> Option<Filter> {
    let organisation = fields.partner_or_none("organisation", &message.organisation);
    let requester = fields.partner_or_none("requester", &message.requester);
    let source = fields.partner_or_none("source", &message.source);
    let via = optional(&message.via, |text| {
        let via = text.parse::<Oin>().ok();
        if via.is_none() {
            fields.wrong("via", "20 digits, or nothing");
        }
        via
    });
    let user_ref = optional(&message.user_ref, |text| fields.reference("user_ref", text));
    let purpose = optional(&message.purpose, |text| fields.reference("purpose", text));
    let article = optional(&message.article, |text| fields.article("article", text));
    let event_id = optional(&message.event, |text| fields.named("event", "events", text));
    let trace_id = optional(&message.trace_id, |text| trace_id(fields, text));
    let role = if message.role == 0 { Some(None) } else { fields.word::<Role>("role", message.role).map(Some) };
    let reason = optional(&message.reason, |text| {
        let reason = text.parse::<Reason>().ok();
        if reason.is_none() {
            fields.wrong("reason", "a reason code");
        }
        reason
    });
    let outcome = outcome(fields, message.outcome);
    let (from, until, short) = period(fields, message)?;
    let selective = [&message.case, &message.subject, &message.organisation, &message.requester, &message.source]
        .into_iter()
        .chain([&message.user_ref, &message.event, &message.trace_id, &message.via])
        .any(|text| !text.is_empty())
        || outcome.is_some_and(|outcome| outcome != "allowed")
        || message.emergency;
    if !selective && !short {
        fields.wrong(
            "",
            "a case, subject, organisation, requester, source, user_ref, event, trace_id, via, an outcome that is not allowed, \
             emergency, or a time range of at most 31 days",
        );
    }
    let about = about(fields, message);
    let before = page_token(fields, &message.page_token)?;
    Some(Filter {
        scope: None,
        organisation: organisation?.map(|oin| oin.to_string()),
        requester: requester?.map(|oin| oin.to_string()),
        source: source?.map(|oin| oin.to_string()),
        via: via?.map(|oin| oin.to_string()),
        event_id: event_id?,
        about: about?,
        user_ref: user_ref?,
        role: role?.map(Role::code),
        purpose: purpose?,
        article: article?.map(|article| i64::from(article.number())),
        outcome,
        reason: reason?.map(Reason::code),
        emergency: message.emergency,
        trace_id: trace_id?,
        from: from.map(micros),
        until: until.map(micros),
        before,
        limit: 0,
    })
}

type Period = (Option<OffsetDateTime>, Option<OffsetDateTime>, bool);

/// From, until, and whether that is a month at most.
fn period(fields: &mut Fields, message: &v1::QueryEventsRequest) -> Option<Period> {
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
    Some((from, until, short))
}

fn about(fields: &mut Fields, message: &v1::QueryEventsRequest) -> Option<Option<About>> {
    use v1::query_events_request::Appearance;
    let is_about = !message.case.is_empty() || !message.subject.is_empty();
    let Ok(appearance) = Appearance::try_from(message.appearance) else {
        fields.wrong("appearance", "one of the values that the API names");
        return None;
    };
    if !is_about && appearance != Appearance::Unspecified {
        fields.wrong("appearance", "nothing without a case or a subject");
        return None;
    }
    let about = About {
        consulted: appearance != Appearance::Listed,
        listed: appearance != Appearance::Consulted,
        ..About::default()
    };
    Some(is_about.then_some(about))
}

/// The code of an outcome that is asked for; none for any.
fn outcome(fields: &mut Fields, number: i32) -> Option<&'static str> {
    match v1::Outcome::try_from(number) {
        Ok(v1::Outcome::Unspecified) => None,
        Ok(v1::Outcome::Allowed) => Some("allowed"),
        Ok(v1::Outcome::Refused) => Some("refused"),
        Ok(v1::Outcome::Failed) => Some("failed"),
        Err(_) => {
            fields.wrong("outcome", "an outcome of this version, or none");
            None
        }
    }
}

fn trace_id(fields: &mut Fields, text: &str) -> Option<String> {
    let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex {
        fields.wrong("trace_id", "32 hexadecimal digits");
    }
    hex.then(|| text.to_ascii_lowercase())
}

fn page_token(fields: &mut Fields, token: &str) -> Option<Option<(i64, String)>> {
    if token.is_empty() {
        return Some(None);
    }
    let id = |id: &str| uuid::Uuid::try_parse(id).ok().map(|id| id.to_string());
    let before = token.split_once('.').and_then(|(at, name)| Some((at.parse().ok()?, id(name)?)));
    if before.is_none() {
        fields.wrong("page_token", "a token from an earlier page");
    }
    Some(Some(before?))
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
    let erased = words(&line.erased);
    // What was erased is not said in another way: a case that stays would tell whose it is.
    let subject = if erased.iter().any(|group| group == Group::Subject.code()) { String::new() } else { subject };
    let own = whole || is_own(&line.organisation, &line.source, reader);
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
        organisation: partner_or_nobody(&line.organisation),
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
        source: partner_or_nobody(&line.source),
        erased,
        via: line.via.clone(),
        listed: line.listed.iter().filter_map(|id| cases.get(id)).map(|(name, _)| format!("cases/{name}")).collect(),
    }
}

/// One word for both, so that an organisation's own log does not tell whether somebody else has a case.
fn covered(reason: &str) -> &str {
    if reason == Reason::CaseUnknown.code() { Reason::NotInvolved.code() } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As no condition it would give more than was asked for.
    #[test]
    fn a_word_that_this_version_does_not_know_is_no_condition_left_out() {
        let asked = v1::QueryEventsRequest {
            context: Some(v1::RequestContext {
                article: "36".to_owned(),
                purpose: "verantwoording".to_owned(),
                acting_role: v1::Role::R14.into(),
                user_ref: "fg".to_owned(),
                ..Default::default()
            }),
            user_ref: "mdw-1".to_owned(),
            ..Default::default()
        };
        assert!(QueryEvents::parse(asked.clone()).is_ok());
        for wrong in [
            v1::QueryEventsRequest { outcome: 99, ..asked.clone() },
            v1::QueryEventsRequest { role: 99, ..asked.clone() },
            v1::QueryEventsRequest { appearance: 99, ..asked.clone() },
        ] {
            assert!(QueryEvents::parse(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
