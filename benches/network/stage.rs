//! The steps of a call one by one, made of the service's own functions: what each adds to a bare echo.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sluis::api::v1;
use sluis::audit::{Action as Crude, Draft, Event, Leaf, Outcome, SALTS, Stamp, Verdict, encode};
use sluis::clock::{Clock as _, SystemClock, micros};
use sluis::covenant::facts::{Action, Actor, CaseFacts, ConsentState, Item, Kind, Purpose, Question};
use sluis::covenant::{Covenant, Permit};
use sluis::identity::certificate::Leaf as Certificate;
use sluis::identity::{Caller, Holder, KeyState, Partner, PeerCertificate, Registration, Registrations};
use sluis::keys::HubKeys;
use sluis::method::{Method, find};
use sluis::party::{Article, Category, Form, OrgKind, PartnerStatus, Phase, Role};
use sluis::pseudonym::{Epoch, Scope, SubjectTag};
use uuid::Uuid;

use crate::Failed;
use crate::world::{World, ca};

/// How far a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Nothing but the echo.
    Bare,
    /// Who calls, and whether it may call this method.
    Identity,
    /// + what the covenant says.
    Covenant,
    /// + the caller's own name of the youth.
    Pseudonym,
    /// + the event, as the bytes that enter the log, kept in memory.
    Audit,
}

impl Step {
    /// The step of a server's name.
    pub(crate) fn of(server: &str) -> Option<Self> {
        Some(match server {
            "bare" | "twin" => Self::Bare,
            "identity" => Self::Identity,
            "covenant" => Self::Covenant,
            "pseudonym" => Self::Pseudonym,
            "audit" => Self::Audit,
            _ => return None,
        })
    }
}

/// Events kept in memory before they are forgotten: what counts is that each is moved there.
const KEPT: usize = 4096;

/// Everything that the steps need.
pub(crate) struct Stage {
    registrations: Registrations,
    pub(crate) covenant: Covenant,
    keys: HubKeys,
    tag: SubjectTag,
    method: &'static Method,
    rng: SystemRandom,
    log: Mutex<Vec<Leaf>>,
}

impl Stage {
    /// For this network.
    pub(crate) fn new(world: &World) -> Result<Self, Failed> {
        let covenant = Covenant::embedded()?;
        Ok(Self {
            registrations: registrations(world, covenant.version().number)?,
            covenant,
            keys: HubKeys::load(&world.folder.join("keys"))?,
            tag: SubjectTag::from_stored(Epoch::FIRST, &[7; SubjectTag::LEN])?,
            method: find("/sluis.v1.Cases/GetCase").ok_or("no row for GetCase")?,
            rng: SystemRandom::new(),
            log: Mutex::default(),
        })
    }

    /// Goes as far as asked.
    pub(crate) fn go(
        &self,
        step: Step,
        certificate: &PeerCertificate,
        request: &v1::GetCaseRequest,
    ) -> Result<(), Failed> {
        if step < Step::Identity {
            return Ok(());
        }
        let caller = self.identify(certificate)?;
        if step < Step::Covenant {
            return Ok(());
        }
        let permit = self.decide()?;
        if step < Step::Pseudonym {
            return Ok(());
        }
        let pseudonym = self.derive(&caller)?;
        if step < Step::Audit {
            return Ok(());
        }
        let event = self.event(&caller, permit, pseudonym, request)?;
        self.keep(encode(&event));
        Ok(())
    }

    /// Certificate to caller, caller to method.
    pub(crate) fn identify(&self, certificate: &PeerCertificate) -> Result<Caller, Failed> {
        let caller = self.registrations.caller(certificate, SystemClock.now());
        let caller = caller.map_err(|reason| format!("no caller: {}", reason.code()))?;
        let admitted = self.method.admit(&caller, self.covenant.version().number);
        admitted.map_err(|refusal| format!("not admitted: {}", refusal.reason.code()))?;
        Ok(caller)
    }

    /// The question that `Cases.GetCase` asks for the casusregisseur.
    pub(crate) fn decide(&self) -> Result<Permit, Failed> {
        let question = Question {
            action: Action::Receive,
            article: Article::new(10).ok_or("article 10")?,
            purpose: Purpose::Aanmelding,
            actor: Actor::participant(OrgKind::Gemeente, Role::R02),
            other: None,
            case: Some(CaseFacts::in_phase(Phase::F1, OrgKind::Gemeente)),
            item: Some(Item {
                category: Category::C01,
                form: Form::I,
                source: Kind::Facility,
                consent: ConsentState::Missing,
                explicit_consent: ConsentState::Missing,
                expired: false,
            }),
            recipients: 1,
            reason_given: false,
        };
        let decided = self.covenant.decide(&question);
        decided.map_err(|denial| format!("denied: {}", denial.reason.code()).into())
    }

    /// The caller's pseudonym of a youth.
    pub(crate) fn derive(&self, caller: &Caller) -> Result<String, Failed> {
        Ok(self.keys.pseudonym(&self.tag, caller.oin(), Scope::Case)?.to_text())
    }

    /// The event of the call.
    pub(crate) fn event(
        &self,
        caller: &Caller,
        permit: Permit,
        subject: String,
        request: &v1::GetCaseRequest,
    ) -> Result<Event, Failed> {
        let now = SystemClock.now();
        let mut salts = [[0; 16]; SALTS];
        for salt in &mut salts {
            self.rng.fill(salt).map_err(|_| "no randomness")?;
        }
        let context = request.context.clone().unwrap_or_default();
        let draft = Draft {
            method: self.method.name,
            action: Some(Crude::Read),
            organisation: caller.oin().to_string(),
            user_ref: context.user_ref,
            role: Some(Role::R02),
            purpose: context.purpose,
            article: context.article.parse().ok(),
            case_id: Some(request.name.clone()),
            subject,
            categories: vec![Category::C01],
            key_hash: caller.key_hash().to_string(),
            ..Draft::default()
        };
        let verdict = Verdict {
            outcome: Outcome::Allowed,
            clauses: permit.clauses().map(ToOwned::to_owned).collect(),
            covenant_version: permit.version().number,
        };
        let seconds = u64::try_from(now.unix_timestamp())?;
        let name = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.nanosecond()));
        let stamp = Stamp { event_id: name.to_string(), at: micros(now), node: "stage".to_owned(), salts };
        Ok(Event { draft, verdict, stamp })
    }

    fn keep(&self, leaf: Leaf) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() >= KEPT {
            log.clear();
        }
        log.push(leaf);
    }
}

/// The registry's picture of this network.
fn registrations(world: &World, covenant: u32) -> Result<Registrations, Failed> {
    let mut keys = HashMap::new();
    let mut partners = HashMap::new();
    for oin in &world.partners {
        let der = CertificateDer::from_pem_file(ca(&world.folder).join(format!("{oin}.pem")))?;
        let oin: sluis::party::Oin = oin.parse()?;
        let registration = Registration {
            oin: oin.clone(),
            via: None,
            holder: Holder::Organisation,
            state: KeyState::Active,
            is_used: true,
        };
        keys.insert(Certificate::read(&der)?.key_hash, registration);
        let kind = if oin.as_str() == world.gemeente { OrgKind::Gemeente } else { OrgKind::Aanbieder };
        let partner = Partner {
            name: format!("Partner {oin}"),
            kind,
            status: PartnerStatus::Active,
            effective_from: time::OffsetDateTime::UNIX_EPOCH,
            withdrawn_at: None,
            accepted_covenant: Some(covenant),
        };
        partners.insert(oin, partner);
    }
    Ok(Registrations::new(keys, partners))
}
