//! Publishing a sealed record (DESIGN §7): the hub checks that what is sealed is what the covenant allows, for exactly
//! the recipients that it allows, and can open none of it.

use std::collections::BTreeMap;

use prost::Message as _;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::spool::Spooled;
use super::super::{Decided, Exchange, Facts, Incoming, Operation, Target};
use super::records::record_reply;
use super::route::{Plan, Wanted, addressees, binding, read_wanted, route_reply};
use crate::api::v1;
use crate::audit::Draft;
use crate::case::Party;
use crate::clock::micros;
use crate::covenant::Permit;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal, RefusalKind};
use crate::method::Admitted;
use crate::party::{Oin, Role};
use crate::seal::{CaseBinding, SignedHeader};
use crate::store::record::{RecipientRow, RecordRow};
use crate::store::{StoreError, Tx, WorkError, inbox, record};

/// What arrived: the opening message, and the body in the spool.
pub struct Upload {
    /// First message.
    pub open: v1::OpenRecord,
    /// Ciphertext.
    pub body: Spooled,
}

impl Incoming for Upload {
    fn encoded(&self) -> Vec<u8> {
        v1::PublishRecordRequest { open: Some(self.open.clone()), chunk: None }.encode_to_vec()
    }

    fn same(&self) -> Option<Vec<u8>> {
        // Sealing is never the same twice: a repeat is known by what was asked, under the record's name, which the sealing
        // side derives from request id and content.
        let open = v1::OpenRecord { header: None, keys: Vec::new(), ..self.open.clone() };
        Some(open.encode_to_vec())
    }
}

/// `Records.PublishRecord`.
pub struct PublishRecord {
    request_id: String,
    wanted: Wanted,
    record: Uuid,
    header: SignedHeader,
    keys: BTreeMap<Oin, v1::SealedKey>,
    body: Spooled,
}

/// Bytes of a piece in the store.
const PIECE: usize = 256 * 1024;

impl Operation for PublishRecord {
    type Message = Upload;
    type Reply = v1::PublishRecordResponse;
    type Rows = ();
    type Plan = Plan;

    fn parse(Upload { open, body }: Upload) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("open.request_id", &open.request_id);
        let wanted = read_wanted(
            &mut fields,
            open.context.as_ref(),
            &open.case,
            open.category,
            open.form,
            &open.recipient_roles,
            &open.recipients,
            open.source_external,
        );
        let record = fields.named("open.record", "records", &open.record).and_then(|id| id.parse().ok());
        let header = open.header.and_then(|h| SignedHeader::read(h.header, &h.signature).ok());
        if header.is_none() {
            fields.wrong("open.header", "a signed header in canonical form; seal the content first");
        }
        let keys = read_keys(&mut fields, open.keys);
        fields.done((|| {
            Some(Self { request_id: request_id?, wanted: wanted?, record: record?, header: header?, keys: keys?, body })
        })())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.wanted.context)
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn target(&self) -> Target<'_> {
        self.wanted.target()
    }

    fn describe(&self, facts: &Facts, draft: &mut Draft) {
        self.wanted.describe(draft);
        draft.record = self.record.to_string();
        draft.source = facts.caller.oin().to_string();
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, Plan), Refusal> {
        let plan = self.wanted.plan(hub, facts)?;
        self.check_header(hub, facts)?;
        self.check_route(facts, &plan)?;
        Ok((Ground::permit(plan.permit.clone()), plan))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::PublishRecordResponse, WorkError> {
        let (facts, plan) = (&done.facts, &done.plan);
        let row = self.row(hub, facts, &plan.permit);
        if !record::insert(tx, &row).await? {
            return Err(WorkError::Refused(Refusal::malformed("open.record", "a record name not used before")));
        }
        self.store_body(tx, &row.record_id).await?;
        for (oin, key) in &self.keys {
            record::insert_key(tx, &row.record_id, oin.as_str(), &key.encode_to_vec());
        }
        for route in &plan.routes {
            let (oin, external_kind) = match &route.seat.party {
                Party::Partner(oin) => (oin, ""),
                Party::External(kind) => (facts.caller.oin(), kind.code()),
            };
            let recipient = RecipientRow {
                oin: oin.to_string(),
                role: route.seat.role.map_or("", Role::code).to_owned(),
                external_kind: external_kind.to_owned(),
                clauses: route.clauses.join(" "),
            };
            record::insert_recipient(tx, &row.record_id, &recipient, row.created_at);
        }
        deliver(tx, facts, plan, &row);
        draft.recipients = addressees(facts, &plan.routes).iter().map(ToString::to_string).collect();
        let article = self.wanted.context.article;
        Ok(v1::PublishRecordResponse {
            record: Some(record_reply(&row, &self.wanted.case)),
            routes: plan.routes.iter().map(|r| route_reply(facts, r, article, Some(self.record))).collect(),
        })
    }
}

fn read_keys(fields: &mut Fields, keys: Vec<v1::SealedKey>) -> Option<BTreeMap<Oin, v1::SealedKey>> {
    let mut read = BTreeMap::new();
    for key in keys {
        let sized = matches!(
            (key.suite(), key.enc.len(), key.ciphertext.len()),
            (v1::SealSuite::X25519, 32, 48) | (v1::SealSuite::Xwing, 1120, 48)
        );
        match key.recipient.parse::<Oin>() {
            Ok(oin) if sized && key.addition.is_empty() && !read.contains_key(&oin) => {
                read.insert(oin, key);
            }
            _ => {
                fields.wrong("open.keys", "one sealed key for each organisation in the header");
                return None;
            }
        }
    }
    Some(read)
}

impl PublishRecord {
    /// The header says what the request says, about the body that arrived, signed by the caller.
    fn check_header(&self, hub: &Exchange, facts: &Facts) -> Result<(), Refusal> {
        let header = self.header.header();
        let wanted = &self.wanted;
        let wrong = |expected| Err(Refusal::malformed("open.header", expected));
        if (header.record, &header.author) != (self.record, facts.caller.oin()) {
            return wrong("a header of this record by the caller");
        }
        if (header.article, header.category, header.form) != (wanted.context.article, wanted.category, wanted.form) {
            return wrong("article, category and form as in the request");
        }
        if (header.body.sha256, header.body.len) != (self.body.sha256, self.body.len) {
            return wrong("hash and length of the body that was sent");
        }
        if !crate::seal::body::is_sealed_len(self.body.len) {
            return wrong("a body that is sealed and padded to a size bucket: plain content is not taken");
        }
        if !is_schema(header.schema.as_str()) {
            return wrong("a schema name like sluis/tekst/v1");
        }
        let Some(keys) = published_keys(hub, facts, facts.caller.oin()) else {
            return Err(Refusal::precondition("the caller has not published its keys (Directory.PublishKeys)"));
        };
        // Nothing new is signed with an earlier key.
        if !self.header.is_by(&keys.present()) {
            return wrong("a signature with the caller's published signing key");
        }
        Ok(())
    }

    /// The header names exactly the organisations of the plan, each bound to its own name of the case, and each has a key.
    fn check_route(&self, facts: &Facts, plan: &Plan) -> Result<(), Refusal> {
        let expected = addressees(facts, &plan.routes);
        let header = self.header.header();
        let bound = |oin: &Oin, case: &CaseBinding| binding(facts, self.record, oin) == *case;
        let own = Some(self.wanted.context.role);
        let plays = |oin: &Oin, role: Option<Role>| {
            let author = oin == facts.caller.oin() && role == own;
            let seated = |route: &super::route::Route| {
                route.seat.party == Party::Partner(oin.clone()) && route.seat.role == role
            };
            author || plan.routes.iter().any(seated)
        };
        let agrees = header.recipients.len() == expected.len()
            && header
                .recipients
                .iter()
                .all(|r| expected.contains(&r.oin) && bound(&r.oin, &r.case) && plays(&r.oin, r.role));
        let sealed = self.keys.len() == expected.len() && self.keys.keys().all(|oin| expected.contains(oin));
        if agrees && sealed {
            Ok(())
        } else {
            Err(Refusal {
                kind: RefusalKind::RouteChanged,
                ..Refusal::precondition("the recipients are not those of the route plan")
            })
        }
    }

    fn row(&self, hub: &Exchange, facts: &Facts, permit: &Permit) -> RecordRow {
        let wanted = &self.wanted;
        RecordRow {
            record_id: self.record.to_string(),
            case_id: facts.case().map(|case| case.id.clone()),
            category: wanted.category.code().to_owned(),
            form: wanted.form.code().to_owned(),
            article: i64::from(wanted.context.article.number()),
            purpose: wanted.context.purpose.clone(),
            author_oin: facts.caller.oin().to_string(),
            author_role: wanted.context.role.code().to_owned(),
            source_external: wanted.source_external.map(|kind| kind.code().to_owned()),
            schema: self.header.header().schema.as_str().to_owned(),
            roles: wanted.roles.iter().map(|role| role.code()).collect::<Vec<_>>().join(" "),
            named: !wanted.named.is_empty(),
            header: self.header.bytes().to_vec(),
            signature: self.header.signature().to_vec(),
            size: i64::try_from(self.body.len).unwrap_or(i64::MAX),
            created_at: micros(facts.now),
            expires_at: expires(hub, permit, facts.now).map(micros),
        }
    }

    async fn store_body(&self, tx: &mut Tx<'_>, record_id: &str) -> Result<(), WorkError> {
        let mut reading = self.body.read().await.map_err(StoreError::disk)?;
        let mut seq = 0;
        while let Some(piece) = reading.next(PIECE).await.map_err(StoreError::disk)? {
            record::insert_chunk(tx, record_id, seq, &piece).await?;
            seq += 1;
        }
        Ok(())
    }
}

/// `word/word/vN`, letters and dashes: a name, with no room for a number or a person.
fn is_schema(name: &str) -> bool {
    let mut parts = name.split('/');
    let word = |part: Option<&str>| {
        part.is_some_and(|p| (1..=32).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
    };
    let version = |part: Option<&str>| {
        part.and_then(|p| p.strip_prefix('v'))
            .is_some_and(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
    };
    word(parts.next()) && word(parts.next()) && version(parts.next()) && parts.next().is_none()
}

/// When a record goes: the shortest of the retention classes of its clauses that run from writing. Classes that run from
/// the end of the case have no moment yet.
fn expires(hub: &Exchange, permit: &Permit, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let classes = permit.retention().filter_map(|class| hub.terms().retention.get(class));
    classes.filter_map(|class| class.ends_after_writing(now)).min()
}

/// One item for each organisation, in its first role.
fn deliver(tx: &mut Tx<'_>, facts: &Facts, plan: &Plan, row: &RecordRow) {
    let mut told = std::collections::BTreeSet::new();
    for route in &plan.routes {
        let Party::Partner(oin) = &route.seat.party else { continue };
        if !told.insert(oin.clone()) {
            continue;
        }
        let item = inbox::NewItem {
            oin: oin.to_string(),
            case_id: row.case_id.clone(),
            record_id: Some(row.record_id.clone()),
            role: route.seat.role.map_or("", Role::code).to_owned(),
            message: super::notice::record(tx),
            at: micros(facts.now),
        };
        inbox::push(tx, item);
    }
}

/// An organisation's published keys, checked against the certificate that signed them.
pub(super) fn published_keys(hub: &Exchange, facts: &Facts, oin: &Oin) -> Option<crate::seal::KeySet> {
    let keys = facts.registry.get(oin)?.keys.as_ref()?;
    hub.checked.get(oin, keys, super::directory::verify_keys)
}
