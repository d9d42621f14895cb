//! A partner that talks to the hub directly and seals for itself, as users of the library do.

use prost::Message as _;
use rand_core::OsRng;
use rustls::pki_types::CertificateDer;
use sluis::api::v1;
use sluis::party::{Category, Form, Oin, Role};
use sluis::seal::certificate_signature::{CertSignature, Scheme};
use sluis::seal::{
    AgentKeys, BodySealer, CaseBinding, Expectation, FreshKey, Header, KeySet, Recipient, SealedKey, SignedHeader,
    SignedKeySet, Suite, open_body, open_record_key, seal_for,
};
use tonic::Status;
use uuid::Uuid;

use crate::calls::{Outcome, Reply};
use crate::network::{Network, Party, id, now};

/// Why a call is made.
#[derive(Clone)]
pub(crate) struct Why {
    pub(crate) article: &'static str,
    pub(crate) purpose: &'static str,
    pub(crate) role: v1::Role,
    pub(crate) reason: &'static str,
}

/// A context without motivation.
pub(crate) const fn why(article: &'static str, purpose: &'static str, role: v1::Role) -> Why {
    Why { article, purpose, role, reason: "" }
}

impl Why {
    pub(crate) const fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    pub(crate) fn context(&self) -> Option<v1::RequestContext> {
        Some(v1::RequestContext {
            article: self.article.to_owned(),
            purpose: self.purpose.to_owned(),
            acting_role: self.role as i32,
            user_ref: "proef.medewerker".to_owned(),
            reason: self.reason.to_owned(),
        })
    }
}

/// The regime of a child of 8 with one parent.
pub(crate) fn regime() -> Option<v1::ConsentRegime> {
    Some(v1::ConsentRegime {
        age_band: v1::AgeBand::AgeBand011 as i32,
        capable: true,
        authority: vec![v1::Giver::Ouder1 as i32],
        ..v1::ConsentRegime::default()
    })
}

/// Whom a case is about.
pub(crate) fn subject(output: Option<Vec<u8>>) -> Option<v1::Subject> {
    use v1::subject::Id;
    let id = output.map_or(Id::Unidentified(v1::Unidentified {}), Id::VoprfOutput);
    Some(v1::Subject { id: Some(id) })
}

/// A case of a child of 8, under a request id of its own.
pub(crate) fn referral(output: Option<Vec<u8>>) -> v1::ReferCaseRequest {
    v1::ReferCaseRequest {
        request_id: id(),
        context: AANMELDING.context(),
        subject: subject(output),
        regime: regime(),
        holder: String::new(),
    }
}

/// The usual reasons to act.
pub(crate) const AANMELDING: Why = why("10", "aanmelding", v1::Role::R01);
pub(crate) const ROL: Why = why("1", "beheer", v1::Role::R02);
pub(crate) const FASE: Why = why("4", "beheer", v1::Role::R02);
pub(crate) const TOESTEMMING: Why = why("7", "beheer", v1::Role::R02);

/// What is published, and for whom.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) case: String,
    pub(crate) why: Why,
    pub(crate) category: v1::Category,
    pub(crate) form: v1::Form,
    pub(crate) roles: Vec<v1::Role>,
    pub(crate) content: Vec<u8>,
}

impl Draft {
    /// Who takes part in the case, for whoever treats the youth (article 12).
    pub(crate) fn of_participants(case: &str) -> Self {
        Self {
            case: case.to_owned(),
            why: why("12", "triage", v1::Role::R02),
            category: v1::Category::C05,
            form: v1::Form::I,
            roles: vec![v1::Role::R07],
            content: b"wie doet mee".to_vec(),
        }
    }
}

impl Party {
    /// Opens a case; gives the caller's own name of it.
    pub(crate) async fn refer(&self, output: Option<Vec<u8>>) -> Result<Reply<v1::Case>, Status> {
        self.client().call("Cases/ReferCase", &referral(output)).await
    }

    pub(crate) async fn assign(&self, case: &str, role: v1::Role, to: &Party) -> Result<Reply<v1::Assignment>, Status> {
        let request = v1::AssignRoleRequest {
            request_id: id(),
            context: ROL.because("proef van toewijzen").context(),
            case: case.to_owned(),
            role: role as i32,
            partner: to.name(),
            external_kind: 0,
            directly_involved: role == v1::Role::R07,
            end_time: None,
        };
        self.client().call("Cases/AssignRole", &request).await
    }

    pub(crate) async fn end_role(&self, assignment: &str) -> Result<Reply<v1::Assignment>, Status> {
        let request = v1::EndRoleRequest { request_id: id(), context: ROL.context(), name: assignment.to_owned() };
        self.client().call("Cases/EndRole", &request).await
    }

    pub(crate) async fn advance(&self, case: &str, phase: v1::Phase) -> Result<Reply<v1::Case>, Status> {
        let request = v1::AdvancePhaseRequest {
            request_id: id(),
            context: FASE.context(),
            case: case.to_owned(),
            phase: phase as i32,
        };
        self.client().call("Cases/AdvancePhase", &request).await
    }

    /// Moves a case forward to a phase; nothing for the phase in which it opens.
    pub(crate) async fn move_to(&self, case: &str, phase: v1::Phase) {
        if phase != v1::Phase::F1 {
            self.advance(case, phase).await.unwrap();
        }
    }

    /// What waits in the inbox after a cursor.
    pub(crate) async fn inbox(&self, cursor: &str) -> Result<Vec<v1::InboxItem>, Status> {
        let request = v1::StreamInboxRequest { context: FASE.context(), cursor: cursor.to_owned(), drain: true };
        let outcome =
            self.client().send("/sluis.v1.Inbox/StreamInbox", vec![request.encode_to_vec()], usize::MAX).await;
        match outcome.status {
            Some(status) => Err(status),
            None => Ok(outcome.messages.iter().map(|bytes| v1::InboxItem::decode(&**bytes).unwrap()).collect()),
        }
    }

    /// The question to seal `record` for a newcomer.
    pub(crate) async fn seal_request(&self, record: &str) -> v1::SealRequest {
        let (_, mut asked) =
            self.client().open("/sluis.v1.Records/StreamSealRequests", tokio_stream::once(Vec::new())).await.unwrap();
        loop {
            let next = tokio::time::timeout(std::time::Duration::from_secs(5), asked.message()).await;
            let bytes = next.expect("a newcomer waits").unwrap().unwrap();
            let request = v1::SealRequest::decode(&*bytes).unwrap();
            if request.record == record {
                return request;
            }
        }
    }

    /// Seals a record's key for a newcomer.
    pub(crate) fn add(&self, asked: &v1::SealRequest) -> v1::AddRecipientRequest {
        let record: Uuid = asked.record.trim_start_matches("records/").parse().unwrap();
        let header = asked.header.clone().unwrap();
        let header = SignedHeader::read(header.header, &header.signature).unwrap();
        let own = self.keys.key_set(self.oin().clone(), sluis::pseudonym::Epoch::FIRST, now()).unwrap();
        let case_ref = asked.case.trim_start_matches("cases/");
        let expectation = Expectation { record, case_ref, me: self.oin() };
        let addressed = header.clone().verify(&own, &expectation).unwrap();
        let key = open_record_key(&self.keys, &addressed, &sealed_key(asked.key.clone().unwrap())).unwrap();
        let route = asked.route.as_ref().unwrap();
        let oin: Oin = route.partner.trim_start_matches("partners/").parse().unwrap();
        let newcomer = key_set(route.keys.as_ref().unwrap(), &oin);
        let case = CaseBinding::from_bytes(route.case_binding.as_slice().try_into().unwrap());
        let recipient = Recipient { oin: oin.clone(), role: Some(role_of(route.role())), case };
        let addition = sluis::seal::Addition::new(&header, recipient, now()).sign(&self.keys).unwrap();
        let sealed = sluis::seal::seal_for_addition(&newcomer, &header, &addition, &key, &mut OsRng).unwrap();
        v1::AddRecipientRequest {
            request_id: id(),
            record: asked.record.clone(),
            key: Some(v1::SealedKey {
                recipient: oin.to_string(),
                suite: v1::SealSuite::Xwing as i32,
                enc: sealed.enc,
                ciphertext: sealed.ciphertext,
                addition: addition.bytes().to_vec(),
                addition_signature: addition.signature().to_vec(),
            }),
        }
    }

    pub(crate) async fn consent(
        &self,
        case: &str,
        articles: &[&str],
        categories: &[v1::Category],
        roles: &[v1::Role],
    ) -> Result<Reply<v1::Consent>, Status> {
        let request = consent(case, articles, categories, roles);
        self.client().call("Consents/RecordConsent", &request).await
    }

    pub(crate) async fn withdraw(&self, consent: &str) -> Result<Reply<v1::Consent>, Status> {
        let request =
            v1::WithdrawConsentRequest { request_id: id(), context: TOESTEMMING.context(), name: consent.to_owned() };
        self.client().call("Consents/WithdrawConsent", &request).await
    }

    /// Plans, seals and publishes.
    pub(crate) async fn publish(&self, draft: &Draft) -> Result<Reply<v1::PublishRecordResponse>, Status> {
        let sealed = self.seal(draft).await?;
        let outcome = self.send(&sealed).await;
        reply(outcome)
    }

    /// Asks for the route and seals for it.
    pub(crate) async fn seal(&self, draft: &Draft) -> Result<Sealed, Status> {
        let record = Uuid::new_v4();
        let plan = self.plan(draft, record).await?.message;
        Ok(self.seal_for_routes(draft, record, &plan.routes))
    }

    pub(crate) async fn plan(&self, draft: &Draft, record: Uuid) -> Result<Reply<v1::RoutePlan>, Status> {
        let request = v1::PlanRouteRequest {
            context: draft.why.context(),
            case: draft.case.clone(),
            category: draft.category as i32,
            form: draft.form as i32,
            recipient_roles: draft.roles.iter().map(|role| *role as i32).collect(),
            recipients: Vec::new(),
            record: format!("records/{record}"),
            source_external: 0,
        };
        self.client().call("Records/PlanRoute", &request).await
    }

    /// Seals for exactly these routes.
    pub(crate) fn seal_for_routes(&self, draft: &Draft, record: Uuid, routes: &[v1::Route]) -> Sealed {
        let mut recipients = Vec::new();
        let mut sets = Vec::new();
        for route in routes {
            let oin: Oin = route.partner.trim_start_matches("partners/").parse().unwrap();
            if recipients.iter().any(|known: &Recipient| known.oin == oin) {
                continue;
            }
            let role = if route.role == 0 { draft.why.role } else { route.role() };
            let case = CaseBinding::from_bytes(route.case_binding.as_slice().try_into().unwrap());
            sets.push(key_set(route.keys.as_ref().unwrap(), &oin));
            recipients.push(Recipient { oin, role: Some(role_of(role)), case });
        }
        recipients.sort_by(|a, b| a.oin.cmp(&b.oin));
        let mut body = Vec::new();
        let mut sealer = BodySealer::new(FreshKey::generate(&mut OsRng));
        sealer.push(&draft.content, &mut body).unwrap();
        let sealed = sealer.finish(&mut body).unwrap();
        let header = Header {
            record,
            article: draft.why.article.parse().unwrap(),
            category: category_of(draft.category),
            form: form_of(draft.form),
            author: self.oin().clone(),
            schema: "sluis/tekst/v1".parse().unwrap(),
            created: now(),
            suite: Suite::XWing,
            key_commitment: sealed.key.commitment(),
            body: sealed.digest,
            recipients,
            open_to: Vec::new(),
        };
        let signed = header.sign(&self.keys).unwrap();
        let keys = sets.iter().map(|set| {
            let key = seal_for(set, &signed, &sealed.key, &mut OsRng).unwrap();
            v1::SealedKey {
                recipient: set.oin().to_string(),
                suite: v1::SealSuite::Xwing as i32,
                enc: key.enc,
                ciphertext: key.ciphertext,
                ..v1::SealedKey::default()
            }
        });
        let open = v1::OpenRecord {
            request_id: id(),
            context: draft.why.context(),
            case: draft.case.clone(),
            category: draft.category as i32,
            form: draft.form as i32,
            recipient_roles: draft.roles.iter().map(|role| *role as i32).collect(),
            recipients: Vec::new(),
            schema: "sluis/tekst/v1".to_owned(),
            record: format!("records/{record}"),
            header: Some(v1::SignedHeader { header: signed.bytes().to_vec(), signature: signed.signature().to_vec() }),
            keys: keys.collect(),
            source_external: 0,
        };
        Sealed { open, body, header }
    }

    /// Sends what was sealed.
    pub(crate) async fn send(&self, sealed: &Sealed) -> Outcome {
        self.client().send("/sluis.v1.Records/PublishRecord", sealed.messages(), usize::MAX).await
    }

    /// Fetches a record and opens it.
    pub(crate) async fn fetch(&self, record: &str, case: &str, why: &Why) -> Result<Fetched, Status> {
        let request = v1::FetchRecordRequest { context: why.context(), name: record.to_owned(), case: case.to_owned() };
        let outcome =
            self.client().send("/sluis.v1.Records/FetchRecord", vec![request.encode_to_vec()], usize::MAX).await;
        if let Some(status) = outcome.status {
            return Err(status);
        }
        let messages: Vec<v1::FetchRecordResponse> =
            outcome.messages.iter().map(|bytes| v1::FetchRecordResponse::decode(&**bytes).unwrap()).collect();
        let content = open(&self.keys, self.oin(), record, case, &messages);
        Ok(Fetched { content, event: outcome.event.unwrap_or_default() })
    }
}

/// A record that came and was opened.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) content: Vec<u8>,
    pub(crate) event: String,
}

/// A sealed record before it is sent.
pub(crate) struct Sealed {
    pub(crate) open: v1::OpenRecord,
    pub(crate) body: Vec<u8>,
    pub(crate) header: Header,
}

impl Sealed {
    /// The messages of the upload.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        use v1::publish_record_request::Chunk;
        let first = v1::PublishRecordRequest { open: Some(self.open.clone()), chunk: None };
        let mut messages = vec![first.encode_to_vec()];
        for piece in self.body.chunks(512 * 1024) {
            let chunk = Some(Chunk::Sealed(piece.to_vec().into()));
            messages.push(v1::PublishRecordRequest { open: None, chunk }.encode_to_vec());
        }
        messages
    }

    /// Signs another header in the place of the first.
    pub(crate) fn resign(&mut self, keys: &AgentKeys, change: impl FnOnce(&mut Header)) {
        change(&mut self.header);
        let signed = self.header.sign(keys).unwrap();
        self.open.header =
            Some(v1::SignedHeader { header: signed.bytes().to_vec(), signature: signed.signature().to_vec() });
    }
}

fn open(keys: &AgentKeys, me: &Oin, record: &str, case: &str, messages: &[v1::FetchRecordResponse]) -> Vec<u8> {
    use v1::fetch_record_response::Chunk;
    let first = &messages[0];
    let header = first.header.clone().unwrap();
    let header = SignedHeader::read(header.header, &header.signature).unwrap();
    let author = key_set(first.author_keys.as_ref().unwrap(), &header.header().author);
    let record: Uuid = record.trim_start_matches("records/").parse().unwrap();
    let expectation = Expectation { record, case_ref: case.trim_start_matches("cases/"), me };
    let key = first.key.clone().unwrap();
    let header = match &*key.addition {
        [] => header.verify(&author, &expectation).unwrap(),
        // For whoever joined later.
        addition => {
            let addition = sluis::seal::SignedAddition::read(addition.to_vec(), &key.addition_signature).unwrap();
            addition.verify(header.authenticate(&author).unwrap(), &author, &expectation).unwrap()
        }
    };
    assert_eq!(key.recipient, me.as_str());
    let key = open_record_key(keys, &header, &sealed_key(key)).unwrap();
    let mut opener = open_body(&key, &header).unwrap();
    let mut content = Vec::new();
    for message in messages {
        if let Some(Chunk::Sealed(bytes)) = &message.chunk {
            opener.push(bytes, &mut content).unwrap();
        }
    }
    opener.finish(&mut content).unwrap();
    content
}

fn sealed_key(key: v1::SealedKey) -> SealedKey {
    SealedKey { suite: Suite::XWing, enc: key.enc, ciphertext: key.ciphertext }
}

/// Published keys, checked against their certificate.
pub(crate) fn key_set(keys: &v1::KeySet, oin: &Oin) -> KeySet {
    let scheme = Scheme::from_code(u16::try_from(keys.signature_scheme).unwrap()).unwrap();
    let signature = CertSignature { scheme, signature: keys.signature.clone() };
    let leaf = CertificateDer::from(keys.certificate_chain[0].as_slice());
    KeySet::verify(&SignedKeySet { bytes: keys.document.clone(), signature }, &leaf, oin).unwrap()
}

/// A consent of the one parent.
pub(crate) fn consent(
    case: &str,
    articles: &[&str],
    categories: &[v1::Category],
    roles: &[v1::Role],
) -> v1::RecordConsentRequest {
    v1::RecordConsentRequest {
        request_id: id(),
        context: TOESTEMMING.context(),
        case: case.to_owned(),
        giver: v1::Giver::Ouder1 as i32,
        scope: Some(v1::ConsentScope {
            articles: articles.iter().map(|article| (*article).to_owned()).collect(),
            categories: categories.iter().map(|category| *category as i32).collect(),
            recipient_roles: roles.iter().map(|role| *role as i32).collect(),
            ..v1::ConsentScope::default()
        }),
        text_version: "2026-1".to_owned(),
        expire_time: None,
    }
}

fn reply<R: prost::Message + Default>(outcome: Outcome) -> Result<Reply<R>, Status> {
    match outcome.status {
        Some(status) => Err(status),
        None => {
            Ok(Reply { message: R::decode(&*outcome.messages[0]).unwrap(), event: outcome.event.unwrap_or_default() })
        }
    }
}

fn role_of(role: v1::Role) -> Role {
    Role::ALL[role as usize - 1]
}

fn category_of(category: v1::Category) -> Category {
    Category::ALL[category as usize - 1]
}

fn form_of(form: v1::Form) -> Form {
    Form::ALL[form as usize - 1]
}

/// Partners in one case: the gemeente holds it, the network's office is R03.
pub(crate) struct Players {
    pub(crate) gemeente: Party,
    pub(crate) aanbieder: Party,
    pub(crate) expert: Party,
}

impl Players {
    pub(crate) async fn join(network: &Network) -> Self {
        use v1::OrganisationKind::{Aanbieder, Gemeente};
        Self {
            gemeente: network.partner(crate::network::GEMEENTE, Gemeente).await,
            aanbieder: network.partner(crate::network::AANBIEDER, Aanbieder).await,
            expert: network.partner(crate::network::EXPERT, Aanbieder).await,
        }
    }
}
