//! Whom a call is about: a number becomes a VOPRF output here and goes no further (guarantee G3).

use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::Agent;
use super::forward::leash;
use super::nodes::Again;
use super::refusal::Violation;
use crate::api::v1;
use crate::api::v1::subject::Id;
use crate::inspect::Look;
use crate::pseudonym::Bsn;
use crate::reason::Reason;
use crate::serve::leash::Leash;

/// A request that is about a person.
pub(super) trait AboutSubject: prost::Message {
    /// The person, if the request names one.
    fn subject(&mut self) -> Option<&mut v1::Subject>;
}

macro_rules! about_subject {
    ($($message:ident),+) => {
        $(impl AboutSubject for v1::$message {
            fn subject(&mut self) -> Option<&mut v1::Subject> {
                self.subject.as_mut()
            }
        })+
    };
}

about_subject!(ReferCaseRequest, GetCaseRequest, ResolvePseudonymRequest);

impl Agent {
    /// Looks the request through and puts the form for the hub in place of the number.
    pub(super) async fn conceal<M: AboutSubject>(
        &self,
        method: &'static str,
        mut request: Request<M>,
    ) -> Result<Concealed<M>, Status> {
        let leash = leash(&request);
        // The number leaves the message before anything else happens to it.
        let id = request.get_mut().subject().and_then(|subject| subject.id.take());
        let id = id.map(|id| match id {
            Id::Bsn(text) => Given::Number(Zeroizing::new(text)),
            other => Given::Other(other),
        });
        let look = self.inspect(method, request.get_ref()).await?;
        let again = Again::by(&look);
        let Some(given) = id else { return Ok(Concealed { request, again, about_subject: false }) };
        let concealed = match given {
            Given::Number(text) => self.concealed(method, &look, &text, leash.as_ref()).await?,
            Given::Other(Id::VoprfOutput(_)) => {
                let expected = "a BSN, your own pseudonym, or unidentified: the agent makes the rest";
                let violation = [Violation::new("subject.voprf_output", expected)];
                return Err(self.refuse(method, &look, Reason::RequestIncomplete, &violation).await);
            }
            Given::Other(Id::Pseudonym(text)) if text.len() < Self::SHORTEST_PSEUDONYM => {
                let violation = [Violation::new("subject.pseudonym", "a pseudonym as ResolvePseudonym gave it")];
                return Err(self.refuse(method, &look, Reason::RequestIncomplete, &violation).await);
            }
            Given::Other(id) => {
                self.links.agreed().await?;
                id
            }
        };
        if let Some(subject) = request.get_mut().subject() {
            subject.id = Some(concealed);
        }
        Ok(Concealed { request, again, about_subject: true })
    }

    /// Nobody's pseudonym is as short as a number that somebody put in the wrong field.
    const SHORTEST_PSEUDONYM: usize = 20;

    async fn concealed(
        &self,
        method: &'static str,
        look: &Look,
        text: &str,
        leash: Option<&Leash>,
    ) -> Result<Id, Status> {
        let Ok(bsn) = Bsn::parse(text) else {
            let violation = [Violation::new("subject.bsn", "nine digits that pass the elfproef")];
            return Err(self.refuse(method, look, Reason::RequestIncomplete, &violation).await);
        };
        let epoch = self.links.agreed().await?;
        let y = self.links.evaluate(&bsn, epoch, leash).await?;
        Ok(Id::VoprfOutput(y.as_bytes().to_vec()))
    }
}

/// A request that may leave.
pub(super) struct Concealed<M> {
    pub(super) request: Request<M>,
    pub(super) again: Again,
    /// Whether it names a subject, which no hub with other keys may see.
    pub(super) about_subject: bool,
}

/// A subject as the local system gave it; the number is wiped on drop.
enum Given {
    Number(Zeroizing<String>),
    Other(Id),
}
