//! Listing, fetching and asking for records.

use super::super::facts::{Goods, Scene, Seat};
use super::super::{Decided, Exchange, Facts, Operation, Target};
use super::{Change, change_of_case};
use crate::api::v1;
use crate::audit::Draft;
use crate::case::Party;
use crate::clock::{from_micros, micros};
use crate::covenant::Permit;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal, RefusalKind};
use crate::method::Admitted;
use crate::party::{Category, Form, Oin};
use crate::reason::Reason;
use crate::store::record::RecordRow;
use crate::store::{Reader, StoreError, Tx, WorkError, inbox};
use crate::wire::{Numbered as _, partner_name, timestamp};
use prost::Message as _;

/// Of several refusals, the one that got furthest along the decision order: it says most about what is missing.
pub(super) fn furthest(refusals: Vec<Refusal>) -> Option<Refusal> {
    refusals.into_iter().max_by_key(|refusal| rank(refusal.reason))
}

/// Position of a reason in the decision order of REFERENCE §5.5: role, case, phase, category, basis, limits.
pub(in crate::exchange) const fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::CaseUnknown | Reason::NotInvolved => 0,
        Reason::RoleNotAllowed => 1,
        Reason::RoleExpired | Reason::CaseClosed => 2,
        Reason::PhaseNotAllowed => 3,
        Reason::CategoryNotAllowed => 4,
        Reason::PurposeMismatch => 5,
        Reason::RecipientLimit | Reason::RetentionElapsed => 7,
        _ => 6,
    }
}

/// The first form that may be received; else the refusal that says most.
pub(super) fn any_form(answers: impl Iterator<Item = Result<Permit, Refusal>>) -> Result<Permit, Refusal> {
    let mut refused = Vec::new();
    for answer in answers {
        match answer {
            Ok(permit) => return Ok(permit),
            Err(refusal) => refused.push(refusal),
        }
    }
    Err(furthest(refused).unwrap_or_else(|| Refusal::malformed("form", "a form")))
}

/// Asks both halves of an exchange that happened once, as they stand now.
pub(super) fn exchange_now(
    hub: &Exchange,
    facts: &Facts,
    context: &Context,
    row: &RecordRow,
) -> Result<Permit, Refusal> {
    let (category, form, author, role) =
        match (row.category.parse(), row.form.parse(), row.author_oin.parse(), row.author_role.parse()) {
            (Ok(category), Ok(form), Ok(author), Ok(role)) => (category, form, author, role),
            _ => return Err(Refusal { fault: true, ..Refusal::denied(Reason::LogUnavailable) }),
        };
    let goods = Goods {
        category,
        form,
        source_external: row.source_external.as_deref().and_then(|kind| kind.parse().ok()),
        expired: row.has_expired(facts.now),
    };
    let author: Oin = author;
    // The author may have left the case since: what it sent lawfully stays receivable, so only the receiving half is asked.
    let sender = Seat { party: Party::Partner(author.clone()), role: Some(role), ..facts.seat(hub, &author, role) };
    facts.receive(hub, context, goods, &sender, &facts.seat_of_caller(hub, context))
}

/// A record as an item of its recipient's inbox, if the recipient may still receive it in that role.
pub(in crate::exchange) fn show(
    hub: &Exchange,
    facts: &Facts,
    row: &RecordRow,
    role: &str,
    case: &str,
) -> Option<v1::Record> {
    let context = Context {
        article: crate::party::Article::new(u8::try_from(row.article).ok()?)?,
        purpose: row.purpose.clone(),
        role: role.parse().or_else(|_| row.author_role.parse()).ok()?,
        user_ref: String::new(),
        // Whether the reader states a reason is asked when it fetches; here the record is only announced.
        reason: ANNOUNCED.to_owned(),
    };
    super::newcomer::may_have(hub, facts, &context, row).is_ok().then(|| record_reply(row, case))
}

const ANNOUNCED: &str = "aankondiging in de eigen inbox";

/// `Records.FetchRecord`, up to its first message; the pieces follow from the store.
pub struct FetchRecord {
    context: Context,
    record: String,
    case: String,
}

impl Operation for FetchRecord {
    type Message = v1::FetchRecordRequest;
    type Reply = v1::FetchRecordResponse;
    type Rows = Option<Vec<u8>>;
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let context = fields.context(message.context.as_ref());
        let record = fields.named("name", "records", &message.name);
        let case =
            if message.case.is_empty() { Some(String::new()) } else { fields.named("case", "cases", &message.case) };
        fields.done((|| Some(Self { context: context?, record: record?, case: case? }))())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn target(&self) -> Target<'_> {
        Target::Record(&self.record)
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Option<Vec<u8>>, StoreError> {
        crate::store::record::key(reader, &self.record, facts.caller.oin().as_str()).await
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        key: &Option<Vec<u8>>,
        _: Admitted,
    ) -> Result<(Ground, ()), Refusal> {
        let permit = self.permit(hub, facts)?;
        if key.is_none() {
            return Err(Refusal::precondition("the record is not sealed for the caller yet"));
        }
        Ok((Ground::permit(permit), ()))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::FetchRecordResponse, WorkError> {
        let facts = &done.facts;
        let (Some((row, _)), Some(key)) = (&facts.record, &done.rows) else {
            return Err(StoreError::Inconsistent("record").into());
        };
        draft.recipients = vec![facts.caller.oin().to_string()];
        let author: Option<Oin> = row.author_oin.parse().ok();
        Ok(v1::FetchRecordResponse {
            record: Some(record_reply(row, &self.case)),
            header: Some(v1::SignedHeader { header: row.header.clone(), signature: row.signature.clone() }),
            key: Some(v1::SealedKey::decode(&**key).map_err(|_| StoreError::Inconsistent("record_key"))?),
            author_keys: author.and_then(|oin| facts.registry.opening_keys(&oin).cloned()),
            chunk: None,
        })
    }
}

impl FetchRecord {
    /// UUID of the record.
    pub(in crate::exchange) fn record(&self) -> &str {
        &self.record
    }

    /// Whether the caller may have the record now: asked before the first piece, and again while pieces go out.
    pub(in crate::exchange) fn permit(&self, hub: &Exchange, facts: &Facts) -> Result<Permit, Refusal> {
        let Some((row, recipients)) = &facts.record else {
            return Err(Refusal::denied(match facts.found {
                super::super::Found::NotInvolved => Reason::NotInvolved,
                _ => Reason::CaseUnknown,
            }));
        };
        let oin = facts.caller.oin();
        let own_name = facts.case().and_then(|case| case.name_for(oin)).unwrap_or_default();
        if own_name != self.case {
            return Err(Refusal::denied(Reason::CaseUnknown));
        }
        let role = self.context.role.code();
        let addressed = recipients.iter().any(|r| r.oin == oin.as_str() && (r.role == role || r.role.is_empty()));
        let author = row.author_oin == oin.as_str();
        if !addressed && !author {
            return Err(Refusal::denied(Reason::RoleNotAllowed));
        }
        if i64::from(self.context.article.number()) != row.article {
            return Err(Refusal::denied(Reason::PurposeMismatch));
        }
        if addressed {
            super::newcomer::may_have(hub, facts, &self.context, row)
        } else {
            own_record(hub, facts, &self.context, row)
        }
    }
}

/// What an organisation wrote itself, it may read back as long as it may still send it, and it is kept.
pub(super) fn own_record(hub: &Exchange, facts: &Facts, context: &Context, row: &RecordRow) -> Result<Permit, Refusal> {
    let (Ok(category), Ok(form)) = (row.category.parse(), row.form.parse()) else {
        return Err(Refusal { fault: true, ..Refusal::denied(Reason::LogUnavailable) });
    };
    let wanted = super::route::Wanted {
        context: context.clone(),
        case: String::new(),
        category,
        form,
        roles: row.roles.split_whitespace().filter_map(|role| role.parse().ok()).collect(),
        named: Vec::new(),
        source_external: row.source_external.as_deref().and_then(|kind| kind.parse().ok()),
    };
    let permit = wanted.plan(hub, facts)?.permit;
    if row.has_expired(facts.now) { Err(Refusal::denied(Reason::RetentionElapsed)) } else { Ok(permit) }
}

/// `Records.ListRecords`.
pub struct ListRecords {
    context: Context,
    case: String,
    categories: Vec<Category>,
    page_size: i64,
    after: (i64, String),
}

impl Operation for ListRecords {
    type Message = v1::ListRecordsRequest;
    type Reply = v1::ListRecordsResponse;
    type Rows = Vec<RecordRow>;
    type Plan = Vec<RecordRow>;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let context = fields.context(message.context.as_ref());
        let case = fields.named("case", "cases", &message.case);
        let categories = fields.words::<Category>("categories", &message.categories);
        if message.categories.is_empty() {
            fields.wrong("categories", "at least one category");
        }
        let page_size = fields.page_size(message.page_size, 50, 100);
        let after = read_token(&mut fields, &message.page_token);
        fields.done((|| {
            Some(Self { context: context?, case: case?, categories: categories?, page_size: page_size?, after: after? })
        })())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn target(&self) -> Target<'_> {
        Target::Case(&self.case)
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories.clone_from(&self.categories);
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Vec<RecordRow>, StoreError> {
        let Some(case) = facts.case() else { return Ok(Vec::new()) };
        let (at, id) = &self.after;
        let oin = facts.caller.oin().as_str();
        crate::store::record::list(reader, &case.id, oin, self.context.role.code(), (*at, id), 500).await
    }

    /// Every category asked for must be one that the caller could receive from somebody, in some form; the whole request
    /// is refused otherwise. Then each record is decided by itself.
    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        rows: &Vec<RecordRow>,
        _: Admitted,
    ) -> Result<(Ground, Vec<RecordRow>), Refusal> {
        let mut ground: Option<Permit> = None;
        for category in &self.categories {
            let permit = could_receive(hub, facts, &self.context, *category, Form::ALL)?;
            ground = Some(match ground {
                None => permit,
                Some(first) => first.and(permit),
            });
        }
        let permit = ground.ok_or_else(|| Refusal::malformed("categories", "at least one category"))?;
        let asked = |row: &&RecordRow| {
            let category = row.category.parse::<Category>();
            category.is_ok_and(|category| self.categories.contains(&category))
                && row.article == i64::from(self.context.article.number())
        };
        let open = rows.iter().filter(asked);
        let open = open.filter(|row| exchange_now(hub, facts, &self.context, row).is_ok()).cloned().collect();
        Ok((Ground::permit(permit), open))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::ListRecordsResponse, WorkError> {
        let size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        let page: Vec<&RecordRow> = done.plan.iter().take(size).collect();
        let more = done.plan.len() > size;
        let next = page.last().filter(|_| more).map(|row| format!("{}.{}", row.created_at, row.record_id));
        let records = page.into_iter().map(|row| record_reply(row, &self.case)).collect();
        Ok(v1::ListRecordsResponse { records, next_page_token: next.unwrap_or_default() })
    }
}

fn read_token(fields: &mut Fields, token: &str) -> Option<(i64, String)> {
    if token.is_empty() {
        return Some((i64::MIN, String::new()));
    }
    let parts = token.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    match parts {
        Some((at, id)) => Some((at, fields.uuid("page_token", id)?)),
        None => {
            fields.wrong("page_token", "a token from an earlier page");
            None
        }
    }
}

/// Whether the caller could receive this category from any party of the case now; else the refusal that says most.
fn could_receive(
    hub: &Exchange,
    facts: &Facts,
    context: &Context,
    category: Category,
    forms: &[Form],
) -> Result<Permit, Refusal> {
    let me = facts.seat_of_caller(hub, context);
    let mut senders: Vec<Seat> =
        facts.case().map(|case| case.active(facts.now, hub.terms()).map(Scene::seat_of).collect()).unwrap_or_default();
    if senders.is_empty() {
        // Outside any case, or in nobody's: the question is asked all the same, so that the refusal is the covenant's.
        senders.push(me.clone());
    }
    any_form(senders.iter().flat_map(|sender| {
        let me = &me;
        forms.iter().map(move |form| {
            let goods = Goods { category, form: *form, source_external: None, expired: false };
            facts.receive(hub, context, goods, sender, me)
        })
    }))
}

/// `Records.RequestRecords`.
pub struct RequestRecords {
    change: Change,
    categories: Vec<Category>,
    form: Form,
    sources: Vec<Oin>,
}

impl Operation for RequestRecords {
    type Message = v1::RequestRecordsRequest;
    type Reply = v1::RequestRecordsResponse;
    type Rows = ();
    type Plan = Vec<Seat>;

    change_of_case!();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let change = Change::read(&mut fields, &message.request_id, message.context.as_ref(), &message.case);
        let categories = fields.words("categories", &message.categories);
        if message.categories.is_empty() {
            fields.wrong("categories", "at least one category");
        }
        let form = fields.word("form", message.form);
        let sources = fields.partners("sources", &message.sources);
        fields.done((|| Some(Self { change: change?, categories: categories?, form: form?, sources: sources? }))())
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories.clone_from(&self.categories);
        draft.form = Some(self.form);
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, Vec<Seat>), Refusal> {
        let context = &self.change.context;
        let me = facts.seat_of_caller(hub, context);
        let mut ground: Option<Permit> = None;
        let mut asked: Vec<Seat> = Vec::new();
        for seat in self.seats(hub, facts, &me) {
            let mut permits = Vec::new();
            for category in &self.categories {
                let goods = Goods { category: *category, form: self.form, source_external: None, expired: false };
                permits
                    .push(facts.exchange(hub, context, goods, &seat, &me, 1).map(|(send, receive)| send.and(receive)));
            }
            let whole: Result<Vec<Permit>, Refusal> = permits.into_iter().collect();
            if let Ok(permits) = whole {
                for permit in permits {
                    ground = Some(match ground {
                        None => permit,
                        Some(first) => first.and(permit),
                    });
                }
                asked.push(seat);
            }
        }
        let missing =
            self.sources.iter().any(|oin| !asked.iter().any(|seat| seat.party == Party::Partner(oin.clone())));
        match ground.filter(|_| !missing) {
            Some(permit) => Ok((Ground::permit(permit), asked)),
            None => Err(self.refused(hub, facts, &me)),
        }
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::RequestRecordsResponse, WorkError> {
        let (facts, case) = (&done.facts, done.facts.decided_case()?);
        let partners = super::super::facts::partners(&done.plan);
        let requested = v1::RecordsRequested {
            by: partner_name(facts.caller.oin().as_str()),
            by_role: self.change.context.role.number(),
            article: self.change.context.article.to_string(),
            categories: self.categories.iter().map(|category| category.number()).collect(),
            form: self.form.number(),
        };
        let item = v1::InboxItem { item: Some(v1::inbox_item::Item::Requested(requested)), ..v1::InboxItem::default() };
        for oin in &partners {
            let seat = done.plan.iter().find(|seat| seat.party == Party::Partner((*oin).clone()));
            let new = inbox::NewItem {
                oin: oin.to_string(),
                case_id: Some(case.id.clone()),
                record_id: None,
                role: seat.and_then(|seat| seat.role).map_or("", crate::party::Role::code).to_owned(),
                message: item.encode_to_vec(),
                at: micros(facts.now),
            };
            inbox::push(tx, new);
        }
        draft.recipients = partners.iter().map(ToString::to_string).collect();
        Ok(v1::RequestRecordsResponse { sources: partners.iter().map(|oin| partner_name(oin.as_str())).collect() })
    }
}

impl RequestRecords {
    fn seats(&self, hub: &Exchange, facts: &Facts, me: &Seat) -> Vec<Seat> {
        let Some(case) = facts.case() else { return Vec::new() };
        let named = |seat: &Seat| {
            self.sources.is_empty() || self.sources.iter().any(|oin| seat.party == Party::Partner(oin.clone()))
        };
        case.active(facts.now, hub.terms()).map(Scene::seat_of).filter(|seat| seat != me && named(seat)).collect()
    }

    /// Why nobody may be asked: what stands against receiving says more than what stands against one sender.
    fn refused(&self, hub: &Exchange, facts: &Facts, me: &Seat) -> Refusal {
        let context = &self.change.context;
        let mut refused = Vec::new();
        let mut seats = self.seats(hub, facts, me);
        if seats.is_empty() {
            seats.push(me.clone());
        }
        for category in &self.categories {
            let goods = Goods { category: *category, form: self.form, source_external: None, expired: false };
            let sending = |seat: &Seat| facts.send(hub, context, goods, seat, me).is_ok();
            // Those who could send it are asked first: their refusal is about the caller.
            let (able, others): (Vec<&Seat>, Vec<&Seat>) = seats.iter().partition(|seat| sending(seat));
            let asked = if able.is_empty() { others } else { able };
            refused.extend(asked.iter().filter_map(|seat| facts.receive(hub, context, goods, seat, me).err()));
        }
        furthest(refused).unwrap_or_else(|| Refusal {
            kind: RefusalKind::Precondition("nobody who takes part now may send this to the caller"),
            ..Refusal::denied(Reason::RoleNotAllowed)
        })
    }
}

/// A record for the wire.
pub(super) fn record_reply(row: &RecordRow, case: &str) -> v1::Record {
    v1::Record {
        name: format!("records/{}", row.record_id),
        case: if case.is_empty() { String::new() } else { format!("cases/{case}") },
        category: row.category.parse::<Category>().map(|c| c.number()).unwrap_or_default(),
        form: row.form.parse::<Form>().map(|f| f.number()).unwrap_or_default(),
        article: row.article.to_string(),
        author: partner_name(&row.author_oin),
        author_role: row.author_role.parse::<crate::party::Role>().map(|r| r.number()).unwrap_or_default(),
        schema: row.schema.clone(),
        create_time: Some(timestamp(from_micros(row.created_at))),
        expire_time: row.expires_at.map(|at| timestamp(from_micros(at))),
        ciphertext_size: row.size,
    }
}
