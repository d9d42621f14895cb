//! Renewal of certificates: a holder asks with its current one, the CA's own process answers, the registry learns of it.

use prost::Message as _;
use rustls_pki_types::CertificateDer;
use time::Duration;

use super::super::{Decided, Exchange, Facts, Operation};
use crate::api::v1;
use crate::api::v1::answer_certificate_request_request::Answer;
use crate::api::v1::certificate_request::State;
use crate::audit::Draft;
use crate::clock::{Clock as _, SystemClock, from_micros, micros};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::certificate::Leaf;
use crate::identity::signing_request::requested_key_hash;
use crate::identity::{KeyHash, KeyState};
use crate::method::Admitted;
use crate::registry::{needs_two, state};
use crate::store::certificates::{self, CertificateRow};
use crate::store::renewal::{self, RequestRow};
use crate::store::{Changes, Reader, StoreError, Tx, WorkError};
use crate::trust::Contents;
use crate::wire::timestamp;

/// Answers are kept for so long: whoever asked fetches them meanwhile.
const KEPT: Duration = Duration::days(30);
const TWO: &str = "certificates of operators, issuers and network officers are registered by two operators";
/// Certificates in a chain, at most.
const LONGEST: usize = 4;

fn reply(row: &RequestRow) -> v1::CertificateRequest {
    let chain = v1::CertificateChain::decode(&*row.chain).map(|chain| chain.certificates).unwrap_or_default();
    let state = match row.answered_at {
        None => State::Waiting,
        Some(_) if chain.is_empty() => State::Refused,
        Some(_) => State::Issued,
    };
    v1::CertificateRequest {
        name: format!("certificateRequests/{}", row.request_name),
        state: state as i32,
        oin: row.oin.clone(),
        replaces: row.key_hash.clone(),
        key_hash: row.new_key_hash.clone(),
        signing_request: row.signing_request.clone(),
        certificate: row.certificate.clone(),
        create_time: Some(timestamp(from_micros(row.asked_at))),
        chain,
        refusal: row.refusal.clone(),
    }
}

/// `Certificates.RenewCertificate`.
pub struct RenewCertificate {
    signing_request: Vec<u8>,
    certificate: Vec<u8>,
    leaf: Leaf,
    key: KeyHash,
}

/// What [`RenewCertificate`] does.
pub enum Renewal {
    /// It was asked for before.
    Known(RequestRow),
    /// It is new.
    New(RequestRow),
}

impl Operation for RenewCertificate {
    type Message = v1::RenewCertificateRequest;
    type Reply = v1::CertificateRequest;
    type Rows = Option<RequestRow>;
    type Plan = Renewal;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let key = requested_key_hash(&message.signing_request);
        if key.is_none() {
            fields.wrong(
                "signing_request",
                "PKCS#10, DER, at most 8 KiB, signed with its own key (P-256, P-384, Ed25519)",
            );
        }
        let leaf = Leaf::read(&message.certificate).ok();
        if leaf.is_none() {
            fields.wrong("certificate", "DER of the certificate with which the caller is connected");
        }
        let (signing_request, certificate) = (message.signing_request, message.certificate);
        fields.done((|| Some(Self { signing_request, certificate, leaf: leaf?, key: key? }))())
    }

    async fn gather(&self, _: &Exchange, _: &Facts, reader: &mut Reader) -> Result<Option<RequestRow>, StoreError> {
        renewal::with_key(reader, &self.key.to_string()).await
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        known: &Option<RequestRow>,
        admitted: Admitted,
    ) -> Result<(Ground, Renewal), Refusal> {
        let caller = &facts.caller;
        if self.leaf.fingerprint != caller.fingerprint() {
            return Err(Refusal::malformed("certificate", "the certificate with which the caller is connected"));
        }
        let holder = facts.registry.certificates.get(&caller.key_hash()).map_or("", |row| &row.holder);
        if needs_two(holder) && facts.registry.takes_two() {
            return Err(Refusal::precondition(TWO));
        }
        if let Some(row) = known.as_ref().filter(|row| row.key_hash == caller.key_hash().to_string()) {
            return Ok((admitted.office(), Renewal::Known(row.clone())));
        }
        if known.is_some() || facts.registry.certificates.contains_key(&self.key) {
            return Err(Refusal::malformed("signing_request", "a key that nobody has used before"));
        }
        may_renew(facts, &caller.key_hash())?;
        let row = RequestRow {
            request_name: uuid::Uuid::new_v4().to_string(),
            oin: caller.oin().to_string(),
            key_hash: caller.key_hash().to_string(),
            new_key_hash: self.key.to_string(),
            signing_request: self.signing_request.clone(),
            certificate: self.certificate.clone(),
            asked_at: micros(facts.now),
            answered_at: None,
            chain: Vec::new(),
            refusal: String::new(),
        };
        Ok((admitted.office(), Renewal::New(row)))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::CertificateRequest, WorkError> {
        match &done.plan {
            Renewal::Known(row) => Ok(reply(row)),
            Renewal::New(row) => {
                renewal::add(tx, row, micros(done.facts.now - KEPT)).await?;
                Ok(reply(row))
            }
        }
    }
}

/// `Certificates.ListCertificateRequests`.
pub struct ListCertificateRequests;

impl Operation for ListCertificateRequests {
    type Message = v1::ListCertificateRequestsRequest;
    type Reply = v1::ListCertificateRequestsResponse;
    type Rows = Vec<RequestRow>;
    type Plan = ();

    fn parse(_: Self::Message) -> Result<Self, Refusal> {
        Ok(Self)
    }

    async fn gather(&self, _: &Exchange, _: &Facts, reader: &mut Reader) -> Result<Vec<RequestRow>, StoreError> {
        renewal::waiting(reader).await
    }

    fn decide(
        &self,
        _: &Exchange,
        _: &Facts,
        _: &Vec<RequestRow>,
        admitted: Admitted,
    ) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::ListCertificateRequestsResponse, WorkError> {
        Ok(v1::ListCertificateRequestsResponse { requests: done.rows.iter().map(reply).collect() })
    }
}

/// `Certificates.AnswerCertificateRequest`.
pub struct AnswerCertificateRequest {
    request_id: String,
    name: String,
    answer: Given,
}

enum Given {
    Issued(Vec<Vec<u8>>),
    Refused(String),
}

/// What [`AnswerCertificateRequest`] does.
pub struct Answered {
    row: RequestRow,
    registered: Option<CertificateRow>,
}

impl Operation for AnswerCertificateRequest {
    type Message = v1::AnswerCertificateRequestRequest;
    type Reply = v1::CertificateRequest;
    type Rows = Option<RequestRow>;
    type Plan = Answered;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let name = fields.named("name", "certificateRequests", &message.name);
        let answer = match message.answer {
            Some(Answer::Issued(chain)) if (1..=LONGEST).contains(&chain.certificates.len()) => {
                Some(Given::Issued(chain.certificates))
            }
            Some(Answer::Refused(why)) if !why.trim().is_empty() => {
                fields.text("refused", &why, 200).map(Given::Refused)
            }
            _ => {
                fields.wrong("answer", "what was issued, 1 to 4 certificates, or why nothing was");
                None
            }
        };
        fields.done((|| Some(Self { request_id: request_id?, name: name?, answer: answer? }))())
    }

    fn changes(&self, done: &Decided<Self>) -> Changes {
        if done.plan.registered.is_some() { Changes::Registry } else { Changes::Nothing }
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn gather(&self, _: &Exchange, _: &Facts, reader: &mut Reader) -> Result<Option<RequestRow>, StoreError> {
        renewal::named(reader, &self.name).await
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        known: &Option<RequestRow>,
        admitted: Admitted,
    ) -> Result<(Ground, Answered), Refusal> {
        let row = known.as_ref().filter(|row| row.answered_at.is_none()).ok_or_else(Refusal::not_found)?;
        let (chain, refusal, registered) = match &self.answer {
            Given::Refused(why) => (Vec::new(), why.clone(), None),
            Given::Issued(chain) => {
                let registered = self.judge(hub, facts, row, chain)?;
                let chain = v1::CertificateChain { certificates: chain.clone() };
                (chain.encode_to_vec(), String::new(), Some(registered))
            }
        };
        let row = RequestRow { answered_at: Some(micros(facts.now)), chain, refusal, ..row.clone() };
        Ok((admitted.office(), Answered { row, registered }))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::CertificateRequest, WorkError> {
        let Answered { row, registered } = &done.plan;
        if !renewal::answer(tx, row).await? {
            return Err(WorkError::Refused(Refusal::not_found()));
        }
        if let Some(registered) = registered {
            certificates::put(tx, registered).await?;
        }
        draft.source.clone_from(&row.oin);
        draft.motivation.clone_from(&row.refusal);
        Ok(reply(row))
    }
}

/// The entry of a key that may have a successor: one that is in force, of a partner that takes part, and that has none yet. A key
/// that got out would otherwise become many, and outlive what was done about it.
fn may_renew<'f>(facts: &'f Facts, key: &KeyHash) -> Result<&'f CertificateRow, Refusal> {
    let registry = &facts.registry;
    let row = registry.certificates.get(key).filter(|row| matches!(state(row), KeyState::Announced | KeyState::Active));
    let row = row.ok_or_else(|| Refusal::precondition("the certificate that is renewed is revoked or retires"))?;
    let partner = row.oin.parse().ok().and_then(|oin| registry.get(&oin));
    if !partner.is_some_and(|entry| entry.takes_part(facts.now)) {
        return Err(Refusal::precondition("its organisation does not take part"));
    }
    let has_one = |other: &CertificateRow| other.replaces == row.key_hash && other.revoked_at.is_none();
    if registry.certificates.values().any(has_one) {
        return Err(Refusal::precondition("it has a successor already: use that one, or have it revoked"));
    }
    Ok(row)
}

impl AnswerCertificateRequest {
    /// The entry of what was issued: for this key and this organisation, believed here, in the place of one that is good.
    fn judge(
        &self,
        hub: &Exchange,
        facts: &Facts,
        row: &RequestRow,
        chain: &[Vec<u8>],
    ) -> Result<CertificateRow, Refusal> {
        let certificates: Vec<CertificateDer<'_>> =
            chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let judged = hub.settings.trust.borrow().judge(&certificates, SystemClock.now());
        if judged.is_err() {
            return Err(Refusal::malformed(
                "issued",
                "certificates that the hub believes: under an anchor of its sets",
            ));
        }
        let wrong = || Refusal::malformed("issued", "a certificate for the key and organisation that asked");
        let der = chain.first().ok_or_else(wrong)?;
        let Contents { leaf, issuer, .. } = Contents::read(der).map_err(|_| wrong())?;
        if leaf.key_hash.to_string() != row.new_key_hash || leaf.oin().ok().is_none_or(|oin| oin.as_str() != row.oin) {
            return Err(wrong());
        }
        let old = may_renew(facts, &row.key_hash.parse().map_err(|_| wrong())?)?;
        if needs_two(&old.holder) && facts.registry.takes_two() {
            return Err(Refusal::precondition(TWO));
        }
        Ok(CertificateRow {
            key_hash: row.new_key_hash.clone(),
            issuer,
            starts_at: micros(leaf.not_before),
            expires_at: micros(leaf.not_after),
            registered_at: micros(facts.now),
            used_at: None,
            anchor_set: String::new(),
            replaces: old.key_hash.clone(),
            retires_at: None,
            ..old.clone()
        })
    }
}
