//! Renewal of certificates: a holder asks with its current one, the CA's own process answers, the registry learns of it.

use prost::Message as _;
use rustls_pki_types::CertificateDer;
use time::Duration;

use super::super::{Decided, Exchange, Facts, Operation};
use super::mandates::may_act_for;
use crate::api::v1;
use crate::api::v1::answer_certificate_request_request::Answer;
use crate::api::v1::certificate_request::State;
use crate::audit::Draft;
use crate::clock::{Clock as _, SystemClock, from_micros, micros};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::certificate::Leaf;
use crate::identity::signing_request::{NoRequest, requested_key_hash};
use crate::identity::{KeyHash, KeyState};
use crate::method::Admitted;
use crate::registry::{needs_two, state};
use crate::seal::certificate_signature::{CertSignature, Domain, verify};
use crate::store::certificates::{self, CertificateRow};
use crate::store::renewal::{self, RequestRow};
use crate::store::{Changes, Reader, StoreError, Tx, WorkError};
use crate::trust::Contents;
use crate::wire::timestamp;

/// Answers are kept for so long: whoever asked fetches them meanwhile.
const KEPT: Duration = Duration::days(30);
/// Requests of one organisation that wait, at most: it has several systems, and a CA that answers within the hour.
const WAITING: i64 = 8;
/// Requests with one certificate in a day, at most.
const A_DAY: i64 = 6;
const TWO: &str = "certificates of operators, issuers and network officers are registered by two operators";
const TAKEN_BACK: &str = "what was issued was revoked since, or is to retire; ask with another key";
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
        signature_scheme: u32::try_from(row.signature_scheme).unwrap_or_default(),
        signature: row.signature.clone(),
        create_time: Some(timestamp(from_micros(row.asked_at))),
        chain,
        refusal: row.refusal.clone(),
    }
}

/// `Certificates.RenewCertificate`.
pub struct RenewCertificate {
    signing_request: Vec<u8>,
    certificate: Vec<u8>,
    proof: CertSignature,
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
        match key {
            Ok(_) => {}
            Err(NoRequest::Unsigned) => {
                fields.wrong("signing_request", "PKCS#10, DER, at most 8 KiB, signed with its own key");
            }
            Err(NoRequest::Kind) => fields.wrong("signing_request", "a key of P-256, P-384 or Ed25519; not RSA"),
        }
        let leaf = Leaf::read(&message.certificate).ok();
        if leaf.is_none() {
            fields.wrong("certificate", "DER of the certificate with which the caller is connected");
        }
        let (signing_request, certificate) = (message.signing_request, message.certificate);
        let proof = CertSignature::from_wire(message.signature_scheme, &message.signature).filter(|proof| {
            verify(&CertificateDer::from(certificate.as_slice()), Domain::Renewal, &signing_request, proof).is_ok()
        });
        if proof.is_none() {
            fields.wrong("signature", "made with the key of the certificate, over the signing request");
        }
        fields.done((|| Some(Self { signing_request, certificate, proof: proof?, leaf: leaf?, key: key.ok()? }))())
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
            return Ok((admitted.office(), Renewal::Known(as_of_now(facts, row, &self.key))));
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
            signature_scheme: self.proof.scheme.code().into(),
            signature: self.proof.signature.clone(),
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
                // Counted where nobody else counts at the same time.
                let asked = renewal::asked(tx, row, micros(done.facts.now - Duration::DAY)).await?;
                if asked.of_key >= A_DAY {
                    return Err(WorkError::Refused(Refusal::limited(
                        "with one certificate the next one is asked for six times in a day at most",
                        6 * 3600,
                    )));
                }
                if asked.waiting >= WAITING {
                    return Err(WorkError::Refused(Refusal::limited(
                        "of one organisation eight requests wait for the CA at most; one that was answered makes room",
                        600,
                    )));
                }
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

/// An answer as it counts now. A certificate whose key was revoked since, or is to retire, is not handed out: whoever asked would put it
/// in the place of a good one.
fn as_of_now(facts: &Facts, row: &RequestRow, key: &KeyHash) -> RequestRow {
    match facts.registry.certificates.get(key) {
        Some(issued) if !is_in_force(issued) => {
            RequestRow { chain: Vec::new(), refusal: TAKEN_BACK.to_owned(), ..row.clone() }
        }
        _ => row.clone(),
    }
}

fn is_in_force(row: &CertificateRow) -> bool {
    matches!(state(row), KeyState::Announced | KeyState::Active)
}

/// The entry of a key that may have a successor: one that is in force, of a partner that takes part, and that has none yet. A key
/// that got out would otherwise become many, and outlive what was done about it.
fn may_renew<'f>(facts: &'f Facts, key: &KeyHash) -> Result<&'f CertificateRow, Refusal> {
    let registry = &facts.registry;
    let row = registry.certificates.get(key).filter(|row| is_in_force(row));
    let row = row.ok_or_else(|| Refusal::precondition("the certificate that is renewed is revoked or retires"))?;
    let partner = row.oin.parse().ok().and_then(|oin| registry.get(&oin));
    if !partner.is_some_and(|entry| entry.is_member(facts.now)) {
        return Err(Refusal::precondition("its organisation does not take part"));
    }
    let oin = row.oin.parse().map_err(|_| Refusal::precondition("its organisation does not take part"))?;
    may_act_for(facts, &oin, &row.via)?;
    let has_one = |other: &CertificateRow| other.replaces == row.key_hash && is_in_force(other);
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
        let old = may_renew(facts, &row.key_hash.parse().map_err(|_| wrong())?)?;
        // A supplier's next certificate is the supplier's again, and its key acts for the same partner.
        let shown = if old.via.is_empty() { &old.oin } else { &old.via };
        if leaf.key_hash.to_string() != row.new_key_hash || leaf.oin().ok().is_none_or(|oin| oin.as_str() != shown) {
            return Err(wrong());
        }
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
            renewed: true,
            retires_at: None,
            ..old.clone()
        })
    }
}
