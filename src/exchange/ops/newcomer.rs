//! Someone who joins later: the author's agent seals for the newcomer, and decides. The hub can't widen access alone.

use prost::Message as _;
use uuid::Uuid;

use super::super::facts::{Goods, Scene, Seat};
use super::super::{Decided, Exchange, Facts, Found, Operation, Target};
use super::publish::published_keys;
use crate::api::v1;
use crate::audit::Draft;
use crate::case::{Assignment, CaseFile, Party};
use crate::clock::{from_micros, micros};
use crate::covenant::Permit;
use crate::covenant::facts::Standing;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Article, Oin, Role};
use crate::reason::Reason;
use crate::seal::{Expectation, OPENS_FOR, SignedAddition, SignedHeader};
use crate::store::record::{RecipientRow, RecordRow, SealRequestRow};
use crate::store::{Reader, StoreError, Tx, WorkError, inbox, record};

/// Records that the holder of a new role may open, as the covenant stands after the role was given.
pub(super) fn may_open(
    hub: &Exchange,
    scene: &Scene,
    case: &CaseFile,
    newcomer: &Assignment,
    records: &[RecordRow],
) -> Vec<RecordRow> {
    let after = Scene {
        now: scene.now,
        registry: std::sync::Arc::clone(&scene.registry),
        found: Found::Case(std::sync::Arc::new(case.clone())),
    };
    let seat = Scene::seat_of(newcomer);
    let open = |row: &&RecordRow| ask(hub, &after, row, &seat).is_ok();
    records.iter().filter(open).cloned().collect()
}

/// Puts a newcomer on the list of each record's author, as far as its agent would seal it still: for who takes the author's place
/// always, for anybody else while the record is young.
pub(super) async fn request(
    tx: &mut Tx<'_>,
    scene: &Scene,
    records: &[RecordRow],
    oin: &Oin,
    role: Role,
) -> Result<(), StoreError> {
    for row in records.iter().filter(|row| row.author_oin != oin.as_str() && is_asked(scene, row, oin)) {
        let (author, id) = (&row.author_oin, &row.record_id);
        record::request_seal(tx, author, id, oin.as_str(), role.code(), micros(scene.now)).await?;
    }
    Ok(())
}

/// Whether the author's agent, which goes by the age of what it sealed, is asked to seal it for somebody.
fn is_asked(scene: &Scene, row: &RecordRow, oin: &Oin) -> bool {
    let young = scene.now - from_micros(row.created_at) <= OPENS_FOR;
    young || row.author_oin.parse::<Oin>().is_ok_and(|author| scene.registry.heir(&author, scene.now) == oin)
}

/// Whether a record may go to a seat now: both halves, in the record's own article and purpose. No motivation is at hand,
/// so what needs one (C09–C13) is never opened to newcomers by itself.
pub(super) fn ask(hub: &Exchange, scene: &Scene, row: &RecordRow, seat: &Seat) -> Result<Permit, Refusal> {
    let fault = || Refusal { fault: true, ..Refusal::denied(Reason::LogUnavailable) };
    let roles: Vec<&str> = row.roles.split_whitespace().collect();
    if !roles.is_empty() && !seat.role.is_some_and(|role| roles.contains(&role.code())) {
        return Err(Refusal::denied(Reason::RoleNotAllowed));
    }
    let context = context_of(row).ok_or_else(fault)?;
    let author: Oin = row.author_oin.parse().map_err(|_| fault())?;
    // Who took the author's place sits in its seat, so that what it wrote does not close with it.
    let author = scene.registry.heir(&author, scene.now);
    let goods = Goods {
        category: row.category.parse().map_err(|_| fault())?,
        form: row.form.parse().map_err(|_| fault())?,
        source_external: row.source_external.as_deref().and_then(|kind| kind.parse().ok()),
        expired: row.has_expired(scene.now),
    };
    let sender = scene.seat(hub, author, context.role);
    let (send, receive) = scene.exchange(hub, &context, goods, &sender, seat, 1)?;
    Ok(send.and(receive))
}

/// Whether somebody in a role sits in the author's place: the record is its own then, under another number.
fn is_heir(scene: &Scene, row: &RecordRow, oin: &Oin, role: Role) -> bool {
    let author: Option<Oin> = row.author_oin.parse().ok().filter(|author| author != oin);
    author.is_some_and(|author| scene.registry.heir(&author, scene.now) == oin) && role.code() == row.author_role
}

/// Whether the caller may have a record now that it is a recipient of: as the covenant says; or, in the author's place, as the author
/// may read back what it wrote.
pub(super) fn may_have(hub: &Exchange, facts: &Facts, context: &Context, row: &RecordRow) -> Result<Permit, Refusal> {
    match super::records::exchange_now(hub, facts, context, row) {
        Err(_) if is_heir(facts, row, facts.caller.oin(), context.role) => {
            super::records::own_record(hub, facts, context, row)
        }
        decided => decided,
    }
}

/// Whether a record may be sealed for who waits for it. No permit stands behind what goes to who sits in the author's place:
/// nothing is exchanged, and the succession is the ground, as operators gave it.
fn may_seal(hub: &Exchange, scene: &Scene, row: &RecordRow, seat: &Seat) -> Result<Option<Permit>, Refusal> {
    let heir = match (&seat.party, seat.role) {
        (Party::Partner(oin), Some(role)) => seat.standing == Standing::Participant && is_heir(scene, row, oin, role),
        _ => false,
    };
    match ask(hub, scene, row, seat) {
        Err(_) if heir && !row.has_expired(scene.now) => Ok(None),
        decided => decided.map(Some),
    }
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
    /// Whether the newcomer waits, in the role that the author signed.
    type Rows = bool;
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

    async fn gather(&self, _: &Exchange, _: &Facts, reader: &mut Reader) -> Result<bool, StoreError> {
        let Some(role) = self.role() else { return Ok(false) };
        record::waits(reader, &self.record.to_string(), self.newcomer.as_str(), role.code()).await
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        waits: &bool,
        admitted: Admitted,
    ) -> Result<(Ground, RecipientRow), Refusal> {
        let mine = facts.record.as_ref().filter(|(row, _)| row.author_oin == facts.caller.oin().as_str());
        let (Some((row, _)), Some(case)) = (mine, facts.case()) else {
            return Err(Refusal::denied(Reason::CaseUnknown));
        };
        let Some(role) = self.role().filter(|_| *waits) else {
            return Err(Refusal::precondition("nobody waits for this record"));
        };
        let seat = facts.seat(hub, &self.newcomer, role);
        let permit = may_seal(hub, facts, row, &seat)?;
        self.check(hub, facts, case, row)?;
        let clauses = permit.iter().flat_map(Permit::clauses).collect::<Vec<_>>().join(" ");
        let recipient = RecipientRow {
            oin: self.newcomer.to_string(),
            role: role.code().to_owned(),
            external_kind: String::new(),
            clauses,
        };
        Ok((permit.map_or_else(|| admitted.office(), Ground::permit), recipient))
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
        record::seal_done(tx, &id, self.newcomer.as_str(), &recipient.role).await?;
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
    /// In which role the author adds it, by its own word.
    const fn role(&self) -> Option<Role> {
        self.addition.addition().recipient.role
    }

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
    seat.is_some_and(|seat| {
        let is_asked = matches!(&seat.party, Party::Partner(oin) if is_asked(facts, row, oin));
        is_asked && may_seal(hub, facts, row, &seat).is_ok()
    })
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
    let seat =
        Seat { party: Party::Partner(newcomer), role: Some(role), standing: Standing::Participant, involved: false };
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
