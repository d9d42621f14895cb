//! Who joins a case later: the hub asks, and the author's agent decides, by what the author signed when it made the record
//! and by its own copy of the covenant. The hub alone can't widen access to a record.

use std::time::Duration;

use rand_core::OsRng;
use ring::digest;
use time::OffsetDateTime;
use tonic::{Code, Status};
use uuid::Uuid;

use super::Agent;
use super::covenant::OwnCopy;
use super::nodes::{Again, Node, is_gone};
use super::partners::PartnerKeysError;
use super::sealing::{binding, read_sealed_key, sealed_key};
use super::words;
use crate::api::v1;
use crate::api::v1::records_client::RecordsClient;
use crate::config::SealingConfig;
use crate::party::{Category, Form, Oin, Role};
use crate::redact::log;
use crate::seal::{
    Addition, Expectation, Header, HeaderError, OPENS_FOR, Recipient, SealError, SignedHeader, seal_for_addition,
};
use crate::wire::Numbered as _;

const STREAM: &str = "sluis.v1.Records/StreamSealRequests";
const ADD: &str = "sluis.v1.Records/AddRecipient";
/// Pauses between attempts to listen.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a newcomer gets no key.
#[derive(Debug, thiserror::Error)]
enum Declined {
    #[error("the question can't be read")]
    Malformed,
    #[error("the record is not what the question says")]
    OtherRecord,
    #[error("its author did not open it to this role")]
    NotOpen,
    #[error("the covenant does not let this role receive it")]
    NotGranted,
    #[error("the record is too old")]
    TooOld,
    #[error("the newcomer {0}")]
    Keys(#[from] PartnerKeysError),
    #[error("the own header does not hold")]
    Header(#[from] HeaderError),
    #[error("the record's key can't be passed on")]
    Seal(#[from] SealError),
}

impl Agent {
    /// Listens for newcomers for ever.
    pub(super) async fn serve_newcomers(self, sealing: SealingConfig) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.listen(&mut pause, &sealing).await {
                Ok(()) => tracing::debug!("the hub ended the stream of seal requests"),
                Err(status) => {
                    tracing::debug!(code = ?status.code(), "no seal requests can be heard now");
                    // Another node may be there; that none was is no reason to be slow when one is back.
                    if is_gone(&status) {
                        pause = FIRST_PAUSE;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn listen(&self, pause: &mut Duration, sealing: &SealingConfig) -> Result<(), Status> {
        let ask = |node: Node| async move {
            RecordsClient::new(node.channel).stream_seal_requests(v1::StreamSealRequestsRequest {}).await
        };
        let mut renewed = self.links.renewed();
        let mut requests = self.at_hub(STREAM, Again::Yes, ask).await?.into_inner();
        loop {
            let request = tokio::select! {
                request = requests.message() => request.inspect_err(|status| self.stream_ended(STREAM, status))?,
                // The next stream is under the agent's next certificate.
                Ok(()) = renewed.changed() => None,
            };
            let Some(request) = request else { return Ok(()) };
            *pause = FIRST_PAUSE;
            let record = words::id(&request.record, "records").unwrap_or(Uuid::nil());
            match self.add_newcomer(record, &request, sealing) {
                Ok(addition) => match self.send_addition(&addition).await {
                    Ok(_) => tracing::info!(record = log(&record), "a newcomer was added"),
                    Err(status) if is_final(status.code()) => {
                        tracing::warn!(record = log(&record), code = ?status.code(), "the hub refused an addition");
                    }
                    // Not lost: the hub asks again on the next stream.
                    Err(status) => return Err(status),
                },
                Err(why) => tracing::warn!(record = log(&record), why = %why, "a newcomer was declined"),
            }
        }
    }

    async fn send_addition(&self, addition: &v1::AddRecipientRequest) -> Result<(), Status> {
        let tell = |node: Node| {
            let addition = addition.clone();
            async move { RecordsClient::new(node.channel).add_recipient(addition).await }
        };
        self.at_hub(ADD, Again::Yes, tell).await.map(|_| ())
    }

    /// Decides, and seals the record's key to the newcomer.
    fn add_newcomer(
        &self,
        record: Uuid,
        request: &v1::SealRequest,
        sealing: &SealingConfig,
    ) -> Result<v1::AddRecipientRequest, Declined> {
        let (Some(route), Some(header), Some(key)) = (&request.route, &request.header, &request.key) else {
            return Err(Declined::Malformed);
        };
        let header = SignedHeader::read(header.header.clone(), &header.signature)?;
        let case_ref = request.case.strip_prefix("cases/").unwrap_or_default();
        let expectation = Expectation { record, case_ref, me: self.own.oin() };
        let own = header.clone().verify(&self.own.current().set, &expectation)?;
        let now = self.clock.now();
        let oin = words::partner(&route.partner).ok_or(Declined::Malformed)?;
        let role = self.granted(request, route, own.header(), Whom::of(&oin, sealing), now)?;

        let keys = self.partners.verify(route.keys.as_ref(), &oin, now)?;
        let case = binding(&route.case_binding).ok_or(Declined::Malformed)?;
        let recipient = Recipient { oin: oin.clone(), role: Some(role), case };
        let addition = Addition::new(&header, recipient, now).sign(&self.own.current().keys)?;
        let sealed = read_sealed_key(key).ok_or(Declined::Malformed)?;
        let key = self.own.open(&own, &sealed)?;
        let sealed = seal_for_addition(&keys, &header, &addition, &key, &mut OsRng)?;
        Ok(v1::AddRecipientRequest {
            request_id: request_id(addition.bytes()).hyphenated().to_string(),
            record: request.record.clone(),
            key: Some(v1::SealedKey {
                addition: addition.bytes().to_vec(),
                addition_signature: addition.signature().to_vec(),
                ..sealed_key(&oin, sealed)
            }),
        })
    }

    /// The role in which author and covenant let the newcomer receive what the own, verified header says the record is.
    fn granted(
        &self,
        request: &v1::SealRequest,
        route: &v1::Route,
        header: &Header,
        whom: Whom,
        now: OffsetDateTime,
    ) -> Result<Role, Declined> {
        let same = Category::from_number(request.category) == Some(header.category)
            && Form::from_number(request.form) == Some(header.form)
            && request.article.parse().ok() == Some(header.article);
        if !same {
            return Err(Declined::OtherRecord);
        }
        let role = Role::from_number(route.role).ok_or(Declined::Malformed)?;
        may_open(header, role, whom, &self.covenant, now).map(|()| role)
    }
}

/// Who joins, as the own configuration knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Takes the own organisation's place.
    Successor,
    Anybody,
    /// Anybody, and nothing is opened to newcomers here.
    Unwanted,
}

impl Whom {
    fn of(oin: &Oin, sealing: &SealingConfig) -> Self {
        match sealing.late_joiners {
            _ if sealing.successor.as_ref() == Some(oin) => Self::Successor,
            true => Self::Anybody,
            false => Self::Unwanted,
        }
    }
}

/// Whether a record may be opened to somebody who joins in this role now.
fn may_open(header: &Header, role: Role, whom: Whom, covenant: &OwnCopy, now: OffsetDateTime) -> Result<(), Declined> {
    match whom {
        // What was written here is its own now: it is opened to nobody by that.
        Whom::Successor => return Ok(()),
        Whom::Unwanted => return Err(Declined::NotOpen),
        Whom::Anybody => {}
    }
    if !header.open_to.contains(&role) {
        return Err(Declined::NotOpen);
    }
    if now - header.created > OPENS_FOR {
        return Err(Declined::TooOld);
    }
    let granted = covenant.grants(header.article, Some(role), header.category, header.form);
    if granted { Ok(()) } else { Err(Declined::NotGranted) }
}

/// The hub will not think otherwise of the same addition later.
const fn is_final(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound)
}

/// One identifier for one addition, so that sending it twice has one effect (UUID version 8: 16 bytes of SHA-256).
fn request_id(addition: &[u8]) -> Uuid {
    let hash = digest::digest(&digest::SHA256, addition);
    let mut bytes = [0; 16];
    for (slot, byte) in bytes.iter_mut().zip(hash.as_ref()) {
        *slot = *byte;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::Article;
    use crate::seal::{BodyDigest, KeyCommitment, Suite};

    #[test]
    fn a_record_opens_to_its_own_roles_for_a_month() {
        let sealed = OffsetDateTime::UNIX_EPOCH;
        let article = Article::new(14).unwrap();
        let header = Header {
            record: Uuid::nil(),
            article,
            category: Category::C06,
            form: Form::P,
            author: "00000099100001410000".parse().unwrap(),
            schema: "sluis/tekst/v1".parse().unwrap(),
            created: sealed,
            suite: Suite::default(),
            key_commitment: KeyCommitment::from_bytes([0; 32]),
            body: BodyDigest { sha256: [0; 32], len: 0 },
            recipients: vec![],
            open_to: vec![Role::R05, Role::R07],
        };
        let grants = [Role::R05, Role::R08].map(|role| (article, Some(role), Category::C06, Form::P));
        let covenant = OwnCopy::of(grants);
        let month = time::Duration::days(30);
        let open = |role, whom, later| {
            may_open(&header, role, whom, &covenant, sealed + later).map_err(|declined| format!("{declined:?}"))
        };
        for (role, later, expected) in [
            (Role::R05, time::Duration::ZERO, Ok(())),
            (Role::R05, month, Ok(())),
            (Role::R05, month + time::Duration::SECOND, Err("TooOld")),
            (Role::R07, time::Duration::ZERO, Err("NotGranted")),
            (Role::R08, time::Duration::ZERO, Err("NotOpen")),
        ] {
            assert_eq!(open(role, Whom::Anybody, later), expected.map_err(str::to_owned), "{role} {later}");
            // Whoever takes the author's place gets what is its own; and nobody else where nothing is to be opened.
            assert_eq!(open(role, Whom::Successor, later), Ok(()));
            assert_eq!(open(role, Whom::Unwanted, later), Err("NotOpen".to_owned()));
        }
        let own = |late_joiners, oin: &str| SealingConfig { late_joiners, successor: oin.parse().ok() };
        let oin = "00000099100001420000".parse().unwrap();
        for (sealing, whom) in [
            (own(true, ""), Whom::Anybody),
            (own(false, ""), Whom::Unwanted),
            (own(false, "00000099100001420000"), Whom::Successor),
            (own(true, "00000099100001430000"), Whom::Anybody),
        ] {
            assert_eq!(Whom::of(&oin, &sealing), whom, "{sealing:?}");
        }
    }
}
