//! Someone who joins later: the author's agent seals for the newcomer, and decides. The hub can't widen access alone.

use prost::Message as _;
use uuid::Uuid;

use super::super::facts::{Goods, Seat};
use super::super::{Decided, Exchange, Facts, Found, Operation, Target};
use super::publish::published_keys;
use crate::api::v1;
use crate::audit::Draft;
use crate::case::{Assignment, CaseFile, Party};
use crate::clock::micros;
use crate::covenant::Permit;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Article, Oin, Role};
use crate::reason::Reason;
use crate::seal::{Expectation, SignedAddition, SignedHeader};
use crate::store::record::{RecipientRow, RecordRow, SealRequestRow};
use crate::store::{Reader, StoreError, Tx, WorkError, inbox, record};

/// Records that the holder of a new role may open, as the covenant stands after the role was given.
pub(super) fn may_open(
    hub: &Exchange,
    facts: &Facts,
    case: &CaseFile,
    newcomer: &Assignment,
    records: &[RecordRow],
) -> Vec<RecordRow> {
    let after = Facts {
        now: facts.now,
        caller: facts.caller.clone(),
        registry: std::sync::Arc::clone(&facts.registry),
        found: Found::Case(std::sync::Arc::new(case.clone())),
        record: None,
    };
    let seat = Facts::seat_of(newcomer);
    let open = |row: &&RecordRow| ask(hub, &after, row, &seat).is_ok();
    records.iter().filter(open).cloned().collect()
}

/// Puts a newcomer on the list of each record's author.
pub(super) async fn request(
    tx: &mut Tx<'_>,
    facts: &Facts,
    records: &[RecordRow],
    oin: &Oin,
    role: Role,
) -> Result<(), StoreError> {
    for row in records.iter().filter(|row| row.author_oin != oin.as_str()) {
        let (author, id) = (&row.author_oin, &row.record_id);
        record::request_seal(tx, author, id, oin.as_str(), role.code(), micros(facts.now)).await?;
    }
    Ok(())
}

/// Whether a record may go to a seat now: both halves, in the record's own article and purpose. No motivation is at hand,
/// so what needs one (C09–C13) is never opened to newcomers by itself.
pub(super) fn ask(hub: &Exchange, facts: &Facts, row: &RecordRow, seat: &Seat) -> Result<Permit, Refusal> {
    let fault = || Refusal { fault: true, ..Refusal::denied(Reason::LogUnavailable) };
    let roles: Vec<&str> = row.roles.split_whitespace().collect();
    if !roles.is_empty() && !seat.role.is_some_and(|role| roles.contains(&role.code())) {
        return Err(Refusal::denied(Reason::RoleNotAllowed));
    }
    let context = context_of(row).ok_or_else(fault)?;
    let author: Oin = row.author_oin.parse().map_err(|_| fault())?;
    let goods = Goods {
        category: row.category.parse().map_err(|_| fault())?,
        form: row.form.parse().map_err(|_| fault())?,
        source_external: row.source_external.as_deref().and_then(|kind| kind.parse().ok()),
        expired: row.expires_at.is_some_and(|end| end <= micros(facts.now)),
    };
    let sender = facts.seat(hub, &author, context.role);
    let (send, receive) = facts.exchange(hub, &context, goods, &sender, seat, 1)?;
    Ok(send.and(receive))
}

fn context_of(row: &RecordRow) -> Option<Context> {
    Some(Context {
        article: Article::new(u8::try_from(row.article).ok()?)?,
        purpose: row.purpose.clone(),
        role: row.author_role.parse().ok()?,
        user_ref: "agent".to_owned(),
        reason: String::new(),
    })
}

/// `Records.AddRecipient`.
pub struct AddRecipient {
    request_id: String,
    record: Uuid,
    newcomer: Oin,
    key: v1::SealedKey,
    addition: SignedAddition,
}

impl Operation for AddRecipient {
    type Message = v1::AddRecipientRequest;
    type Reply = v1::AddRecipientResponse;
    type Rows = Vec<SealRequestRow>;
    type Plan = RecipientRow;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let record = fields.named("record", "records", &message.record).and_then(|id| id.parse().ok());
        let key = message.key.unwrap_or_default();
        let newcomer = key.recipient.parse().ok();
        if newcomer.is_none() {
            fields.wrong("key.recipient", "an OIN of 20 digits");
        }
        let addition = SignedAddition::read(key.addition.clone(), &key.addition_signature).ok();
        if addition.is_none() {
            fields.wrong("key.addition", "a signed addition in canonical form");
        }
        fields.done((|| {
            Some(Self { request_id: request_id?, record: record?, newcomer: newcomer?, key, addition: addition? })
        })())
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn target(&self) -> Target<'_> {
        Target::RecordId(self.record)
    }

    fn describe(&self, facts: &Facts, draft: &mut Draft) {
        draft.recipients = vec![self.newcomer.to_string()];
        if let Some((row, _)) = &facts.record {
            draft.purpose.clone_from(&row.purpose);
            draft.article = u8::try_from(row.article).ok().and_then(Article::new);
            draft.role = row.author_role.parse().ok();
        }
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Self::Rows, StoreError> {
        record::seal_requests(reader, facts.caller.oin().as_str()).await
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        waiting: &Self::Rows,
        _: Admitted,
    ) -> Result<(Ground, RecipientRow), Refusal> {
        let mine = facts.record.as_ref().filter(|(row, _)| row.author_oin == facts.caller.oin().as_str());
        let (Some((row, _)), Some(case)) = (mine, facts.case()) else {
            return Err(Refusal::denied(Reason::CaseUnknown));
        };
        let asked = |w: &&SealRequestRow| w.record_id == row.record_id && w.oin == self.newcomer.as_str();
        let Some(role) = waiting.iter().find(asked).and_then(|w| w.role.parse::<Role>().ok()) else {
            return Err(Refusal::precondition("nobody waits for this record"));
        };
        let seat = facts.seat(hub, &self.newcomer, role);
        let permit = ask(hub, facts, row, &seat)?;
        self.check(hub, facts, case, row)?;
        let clauses = permit.clauses().collect::<Vec<_>>().join(" ");
        let recipient = RecipientRow {
            oin: self.newcomer.to_string(),
            role: role.code().to_owned(),
            external_kind: String::new(),
            clauses,
        };
        Ok((Ground::permit(permit), recipient))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::AddRecipientResponse, WorkError> {
        let (facts, recipient) = (&done.facts, &done.plan);
        let id = self.record.to_string();
        record::insert_recipient(tx, &id, recipient, micros(facts.now));
        record::insert_key(tx, &id, self.newcomer.as_str(), &self.key.encode_to_vec());
        record::seal_done(tx, &id, self.newcomer.as_str()).await?;
        let item = inbox::NewItem {
            oin: self.newcomer.to_string(),
            case_id: facts.case().map(|case| case.id.clone()),
            record_id: Some(id),
            role: recipient.role.clone(),
            message: super::notice::record(tx),
            at: micros(facts.now),
        };
        inbox::push(tx, item);
        Ok(v1::AddRecipientResponse {})
    }
}

impl AddRecipient {
    /// The author signed this addition, to this record, for this newcomer's own name of the case.
    fn check(&self, hub: &Exchange, facts: &Facts, case: &CaseFile, row: &RecordRow) -> Result<(), Refusal> {
        let wrong = || Refusal::malformed("key.addition", "an addition to this record for the newcomer, by its author");
        let header = SignedHeader::read(row.header.clone(), &row.signature).map_err(|_| wrong())?;
        let author = published_keys(hub, facts, facts.caller.oin()).ok_or_else(wrong)?;
        let name = case.name_for(&self.newcomer).ok_or_else(wrong)?;
        let expectation = Expectation { record: self.record, case_ref: name, me: &self.newcomer };
        let header = header.authenticate(&author).map_err(|_| wrong())?;
        self.addition.clone().verify(header, &author.present(), &expectation).map(|_| ()).map_err(|_| wrong())
    }
}

/// Whether the record may go to who waits for it, as things stand now.
pub(in crate::exchange) fn still_open(
    hub: &Exchange,
    facts: &Facts,
    row: &RecordRow,
    waiting: &SealRequestRow,
) -> bool {
    let seat = waiting.oin.parse().ok().zip(waiting.role.parse().ok()).map(|(oin, role)| facts.seat(hub, &oin, role));
    seat.is_some_and(|seat| ask(hub, facts, row, &seat).is_ok())
}

/// What the author's agent is told of one newcomer.
pub(in crate::exchange) fn seal_request(
    facts: &Facts,
    row: &RecordRow,
    key: &[u8],
    waiting: &SealRequestRow,
) -> Option<v1::SealRequest> {
    use crate::wire::Numbered as _;
    let newcomer: Oin = waiting.oin.parse().ok()?;
    let role: Role = waiting.role.parse().ok()?;
    let seat = Seat {
        party: Party::Partner(newcomer),
        role: Some(role),
        standing: crate::covenant::facts::Standing::Participant,
        involved: false,
    };
    let route = super::route::Route { seat, clauses: Vec::new() };
    let article = Article::new(u8::try_from(row.article).ok()?)?;
    let record: Uuid = row.record_id.parse().ok()?;
    let name = facts.case().and_then(|case| case.name_for(facts.caller.oin())).unwrap_or_default();
    Some(v1::SealRequest {
        record: format!("records/{record}"),
        case: format!("cases/{name}"),
        category: row.category.parse::<crate::party::Category>().ok()?.number(),
        form: row.form.parse::<crate::party::Form>().ok()?.number(),
        article: article.to_string(),
        route: Some(super::route::sealing_route(facts, &route, article, Some(record))),
        header: Some(v1::SignedHeader { header: row.header.clone(), signature: row.signature.clone() }),
        key: v1::SealedKey::decode(key).ok(),
    })
}
