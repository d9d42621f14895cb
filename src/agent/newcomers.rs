//! Who joins a case later: the hub asks, and the author's agent decides with its own copy of the covenant. The hub
//! alone can't widen access to a record.

use std::time::Duration;

use rand_core::OsRng;
use ring::digest;
use tonic::{Code, Status};
use uuid::Uuid;

use super::Agent;
use super::partners::PartnerKeysError;
use super::sealing::{binding, read_sealed_key, sealed_key};
use super::words;
use crate::api::v1;
use crate::api::v1::records_client::RecordsClient;
use crate::party::{Category, Form, Role};
use crate::redact::log;
use crate::seal::{Addition, Expectation, HeaderError, Recipient, SealError, SignedHeader, seal_for_addition};
use crate::wire::Numbered as _;

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
    #[error("the covenant does not let this role receive it")]
    NotGranted,
    #[error("the newcomer {0}")]
    Keys(#[from] PartnerKeysError),
    #[error("the own header does not hold")]
    Header(#[from] HeaderError),
    #[error("the record's key can't be passed on")]
    Seal(#[from] SealError),
}

impl Agent {
    /// Listens for newcomers for ever.
    pub(super) async fn serve_newcomers(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.listen(&mut pause).await {
                Ok(()) => tracing::debug!("the hub ended the stream of seal requests"),
                Err(status) => tracing::debug!(code = ?status.code(), "no seal requests can be heard now"),
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn listen(&self, pause: &mut Duration) -> Result<(), Status> {
        let mut client = RecordsClient::new(self.hub());
        let mut requests = client.stream_seal_requests(v1::StreamSealRequestsRequest {}).await?.into_inner();
        while let Some(request) = requests.message().await? {
            *pause = FIRST_PAUSE;
            let record = words::id(&request.record, "records").unwrap_or(Uuid::nil());
            match self.add_newcomer(record, &request) {
                Ok(addition) => match client.add_recipient(addition).await {
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
        Ok(())
    }

    /// Decides, and seals the record's key to the newcomer.
    fn add_newcomer(&self, record: Uuid, request: &v1::SealRequest) -> Result<v1::AddRecipientRequest, Declined> {
        let (Some(route), Some(header), Some(key)) = (&request.route, &request.header, &request.key) else {
            return Err(Declined::Malformed);
        };
        let header = SignedHeader::read(header.header.clone(), &header.signature)?;
        let case_ref = request.case.strip_prefix("cases/").unwrap_or_default();
        let expectation = Expectation { record, case_ref, me: self.own.oin() };
        let own = self.by_own_keys(&header, &expectation)?;
        let role = self.granted(request, route, &header)?;

        let oin = words::partner(&route.partner).ok_or(Declined::Malformed)?;
        let now = self.clock.now();
        let keys = self.partners.verify(route.keys.as_ref(), &oin, now)?;
        let case = binding(&route.case_binding).ok_or(Declined::Malformed)?;
        let recipient = Recipient { oin: oin.clone(), role, case };
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

    /// The role in which the own copy of the covenant lets the newcomer receive what the *header* says the record is.
    fn granted(&self, request: &v1::SealRequest, route: &v1::Route, header: &SignedHeader) -> Result<Role, Declined> {
        let header = header.header();
        let same = Category::from_number(request.category) == Some(header.category)
            && Form::from_number(request.form) == Some(header.form)
            && request.article.parse().ok() == Some(header.article);
        if !same {
            return Err(Declined::OtherRecord);
        }
        let role = Role::from_number(route.role).ok_or(Declined::Malformed)?;
        let granted = self.covenant.grants(header.article, Some(role), header.category, header.form);
        if granted { Ok(role) } else { Err(Declined::NotGranted) }
    }
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
