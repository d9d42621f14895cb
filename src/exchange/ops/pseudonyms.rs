//! Pseudonyms per organisation (article 5), and the known-answer check.

use super::super::facts::{Facts, SubjectRef};
use super::super::{Decided, Exchange, Operation};
use crate::api::v1;
use crate::audit::Draft;
use crate::covenant::facts::Action;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::pseudonym::{KnownAnswer, OprfOutput, Scope};
use crate::store::{Tx, WorkError};

/// Reads a subject. A BSN does not belong at the hub: it is refused, and never repeated.
pub(super) fn read_subject(fields: &mut Fields, subject: Option<&v1::Subject>) -> Option<SubjectRef> {
    use v1::subject::Id;
    match subject.and_then(|subject| subject.id.as_ref()) {
        None => {
            fields.wrong("subject", "a subject");
            None
        }
        Some(Id::Bsn(_)) => {
            fields.bsn_at_hub("subject.bsn");
            None
        }
        Some(Id::Pseudonym(text)) => {
            let pseudonym = text.parse().ok();
            if pseudonym.is_none() {
                fields.wrong("subject.pseudonym", "a pseudonym of the caller, 32 characters of base64url");
            }
            pseudonym.map(SubjectRef::Pseudonym)
        }
        Some(Id::VoprfOutput(bytes)) => {
            let output = OprfOutput::from_bytes(bytes).ok();
            if output.is_none() {
                fields.wrong("subject.voprf_output", "64 bytes");
            }
            output.map(SubjectRef::Output)
        }
        Some(Id::Unidentified(_)) => Some(SubjectRef::Unidentified),
    }
}

/// `Pseudonyms.ResolvePseudonym`.
pub struct ResolvePseudonym {
    context: Context,
    output: OprfOutput,
}

impl Operation for ResolvePseudonym {
    type Message = v1::ResolvePseudonymRequest;
    type Reply = v1::ResolvePseudonymResponse;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let context = fields.context(message.context.as_ref());
        let output = match read_subject(&mut fields, message.subject.as_ref()) {
            Some(SubjectRef::Output(output)) => Some(output),
            Some(SubjectRef::Pseudonym(_) | SubjectRef::Unidentified) => {
                fields.wrong("subject", "a BSN at an agent, a VOPRF output at the hub");
                None
            }
            None => None,
        };
        fields.done((|| Some(Self { context: context?, output: output? }))())
    }

    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }

    fn decide(&self, hub: &Exchange, facts: &Facts, (): &(), _: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((Ground::permit(facts.manage(hub, Action::ResolvePseudonym, &self.context, None, 1)?), ()))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::ResolvePseudonymResponse, WorkError> {
        let missing = || WorkError::Refused(Refusal::precondition("the hub's keys do not cover this epoch"));
        let tag = hub.keys.tag(&self.output).map_err(|_| missing())?;
        let oin = done.facts.caller.oin();
        let log = hub.keys.pseudonym(&tag, oin, Scope::Log).map_err(|_| missing())?;
        draft.subject = log.to_text();
        let pseudonym = hub.keys.pseudonym(&tag, oin, Scope::Case).map_err(|_| missing())?;
        Ok(v1::ResolvePseudonymResponse {
            pseudonym: pseudonym.to_text(),
            epoch: hub.keys.pseudonym_epoch.number(),
            log_pseudonym: log.to_text(),
        })
    }
}

/// `Pseudonyms.CheckKnownAnswer`.
pub struct CheckKnownAnswer {
    digest: KnownAnswer,
}

impl Operation for CheckKnownAnswer {
    type Message = v1::CheckKnownAnswerRequest;
    type Reply = v1::CheckKnownAnswerResponse;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let digest = KnownAnswer::from_bytes(&message.digest);
        if digest.is_none() {
            fields.wrong("digest", "32 bytes");
        }
        fields.done(digest.map(|digest| Self { digest }))
    }

    fn decide(&self, hub: &Exchange, _: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        if *self.digest.as_bytes() == hub.settings.known_answer {
            Ok((admitted.office(), ()))
        } else {
            Err(Refusal::precondition("the known answer differs: canonical input, keyholder key or epoch do not agree"))
        }
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        _: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::CheckKnownAnswerResponse, WorkError> {
        Ok(v1::CheckKnownAnswerResponse {})
    }
}
