//! The covenant as signed data, and its explanations.

use prost::Message as _;
use rustls_pki_types::CertificateDer;

use super::super::facts::{Goods, Seat};
use super::super::{Decided, Exchange, Facts, Found, Operation, Target};
use super::directory::is_callers_leaf;
use crate::api::v1;
use crate::audit::Draft;
use crate::case::Party;
use crate::clock::micros;
use crate::covenant::facts::{Action, Question, Standing};
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::party::{Article, Category, Form, Oin, Role};
use crate::seal::certificate_signature::{CertSignature, Domain, verify};
use crate::store::{Changes, Tx, WorkError};
use crate::wire::{partner_name, timestamp};

/// `covenants/{id}/versions/{number}` of the version in force.
fn version_name(hub: &Exchange) -> String {
    let version = hub.covenant.version();
    format!("covenants/{}/versions/{}", version.name, version.number)
}

/// SHA-256 of the version in force, 32 bytes.
fn content_hash(hub: &Exchange) -> Vec<u8> {
    hex::decode(&hub.covenant.version().content_hash).unwrap_or_default()
}

/// `Covenants.GetCovenant`.
pub struct GetCovenant {
    name: String,
}

impl Operation for GetCovenant {
    type Message = v1::GetCovenantRequest;
    type Reply = v1::Covenant;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        if message.name.len() > 100 {
            fields.wrong("name", "covenants/{id}/versions/{number}, or nothing");
        }
        fields.done(Some(Self { name: message.name }))
    }

    fn decide(&self, hub: &Exchange, _: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        if self.name.is_empty() || self.name == version_name(hub) {
            Ok((admitted.office(), ()))
        } else {
            Err(Refusal::not_found())
        }
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Covenant, WorkError> {
        let version = hub.covenant.version();
        let articles = (1..=40).filter_map(Article::new).filter_map(|article| {
            let text = hub.covenant.text(article)?;
            let title = text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
            Some(v1::Article {
                number: article.to_string(),
                title: title.to_owned(),
                text: text.to_owned(),
                purposes: hub.covenant.purpose(article).map(|purpose| purpose.code().to_owned()).into_iter().collect(),
            })
        });
        let registry = &done.facts.registry;
        // Of one that left and joins anew, it counts again once it has signed again.
        let stands = |signature: &v1::CovenantSignature| {
            let oin = signature.partner.strip_prefix("partners/").and_then(|oin| oin.parse().ok());
            let known = oin.and_then(|oin| registry.get(&oin));
            known.is_some_and(|known| known.partner.accepted_covenant >= Some(version.number))
        };
        let signatures = registry.signatures.iter().filter(|(n, signature)| *n == version.number && stands(signature));
        Ok(v1::Covenant {
            name: version_name(hub),
            title: version.title.clone(),
            content_hash: content_hash(hub),
            effective_time: Some(timestamp(version.valid_from.midnight().assume_utc())),
            expire_time: Some(timestamp(version.valid_until.midnight().assume_utc())),
            articles: articles.collect(),
            signatures: signatures.map(|(_, signature)| signature.clone()).collect(),
        })
    }
}

/// `Covenants.SignCovenant`.
pub struct SignCovenant {
    message: v1::SignCovenantRequest,
}

impl Operation for SignCovenant {
    type Message = v1::SignCovenantRequest;
    type Reply = v1::CovenantSignature;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let id = fields.uuid("request_id", &message.request_id);
        if message.content_hash.len() != 32 {
            fields.wrong("content_hash", "SHA-256, 32 bytes");
        }
        if message.signature.is_empty() || message.certificate_chain.is_empty() {
            fields.wrong("signature", "a signature with the caller's certificate; an agent makes it");
        }
        fields.done(id.map(|_| Self { message }))
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Registry
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.message.request_id)
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        let message = &self.message;
        if message.name != version_name(hub) {
            return Err(Refusal::malformed("name", "the version in force (GetCovenant)"));
        }
        if message.content_hash != content_hash(hub) {
            return Err(Refusal::malformed(
                "content_hash",
                "the hash of that version: the text that was read is another",
            ));
        }
        if !is_callers_leaf(facts, &message.certificate_chain) {
            return Err(Refusal::malformed("certificate_chain", "the certificate with which the caller is connected"));
        }
        let leaf = message.certificate_chain.first().map(|der| CertificateDer::from(der.as_slice()));
        let signature = CertSignature::from_wire(message.signature_scheme, &message.signature);
        let good = leaf.zip(signature).is_some_and(|(leaf, signature)| {
            verify(&leaf, Domain::Covenant, &message.content_hash, &signature).is_ok()
        });
        if !good {
            return Err(Refusal::malformed("signature", "a signature with that certificate over the content hash"));
        }
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::CovenantSignature, WorkError> {
        let (facts, message) = (&done.facts, &self.message);
        let oin = facts.caller.oin();
        let signature = v1::CovenantSignature {
            partner: partner_name(oin.as_str()),
            covenant: message.name.clone(),
            content_hash: message.content_hash.clone(),
            signature_scheme: message.signature_scheme,
            signature: message.signature.clone(),
            certificate_chain: message.certificate_chain.clone(),
            sign_time: Some(timestamp(facts.now)),
        };
        let version = i64::from(hub.covenant.version().number);
        crate::store::registry::sign(tx, oin.as_str(), version, &signature.encode_to_vec(), micros(facts.now)).await?;
        Ok(signature)
    }
}

/// `Covenants.ExplainDecision`.
pub struct ExplainDecision {
    context: Context,
    case: String,
    send: bool,
    category: Category,
    form: Form,
    counterpart: Option<Oin>,
    counterpart_role: Option<Role>,
}

impl Operation for ExplainDecision {
    type Message = v1::ExplainDecisionRequest;
    type Reply = v1::Explanation;
    type Rows = ();
    type Plan = Box<Question>;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let context = fields.context(message.context.as_ref());
        let case =
            if message.case.is_empty() { Some(String::new()) } else { fields.named("case", "cases", &message.case) };
        let category = fields.word("category", message.category);
        let form = fields.word("form", message.form);
        let counterpart = fields.partner_or_none("counterpart", &message.counterpart);
        let counterpart_role = match message.counterpart_role {
            0 => Some(None),
            role => fields.word("counterpart_role", role).map(Some),
        };
        fields.done((|| {
            Some(Self {
                context: context?,
                case: case?,
                send: message.send,
                category: category?,
                form: form?,
                counterpart: counterpart?,
                counterpart_role: counterpart_role?,
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
        draft.categories = vec![self.category];
        draft.form = Some(self.form);
    }

    /// Asking why is allowed to every partner; what it may be told depends on whether it takes part.
    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        (): &(),
        admitted: Admitted,
    ) -> Result<(Ground, Self::Plan), Refusal> {
        let me = facts.seat_of_caller(hub, &self.context);
        let other = match (&self.counterpart, self.counterpart_role) {
            (Some(oin), Some(role)) => facts.seat(hub, oin, role),
            (None, Some(role)) => {
                Seat { party: me.party.clone(), role: Some(role), standing: Standing::None, involved: false }
            }
            (Some(oin), None) => {
                Seat { party: Party::Partner(oin.clone()), role: None, standing: Standing::None, involved: false }
            }
            (None, None) => me.clone(),
        };
        let goods = Goods { category: self.category, form: self.form, source_external: None, expired: false };
        let (action, sender, recipient) =
            if self.send { (Action::Send, &me, &other) } else { (Action::Receive, &other, &me) };
        let question = facts.question(hub, action, &self.context, goods, sender, recipient, 1)?;
        Ok((admitted.office(), Box::new(question)))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::Explanation, WorkError> {
        let facts = &done.facts;
        let insider = match &facts.found {
            Found::NotAsked => true,
            Found::Unknown | Found::NotInvolved => false,
            Found::Case(case) => case.is_participant(facts.caller.oin(), facts.now, hub.terms()),
        };
        Ok(explanation_reply(hub, insider, &done.plan))
    }
}

fn explanation_reply(hub: &Exchange, insider: bool, question: &Question) -> v1::Explanation {
    use crate::covenant::explain::Explanation;
    let explanation = if insider { hub.covenant.explain(question) } else { Explanation::for_outsiders() };
    v1::Explanation {
        allowed: explanation.allowed,
        reason: match explanation.reason {
            Some(reason) if insider => reason.code().to_owned(),
            _ if explanation.allowed => String::new(),
            _ => crate::status::OPAQUE.to_owned(),
        },
        clauses: explanation.clause.into_iter().collect(),
        dutch: explanation.sentence_nl,
        english: explanation.sentence_en,
        nearest_article: explanation.article.map(|article| article.to_string()).unwrap_or_default(),
        missing_dutch: explanation.missing.iter().map(|(dutch, _)| dutch.clone()).collect(),
        missing_english: explanation.missing.iter().map(|(_, english)| english.clone()).collect(),
    }
}
