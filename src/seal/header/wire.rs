//! The header as RFC 8785 JSON.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CaseBinding, Header, HeaderError, MAX_HEADER_LEN, Recipient};
use crate::party::{Article, Role, UnknownCode};
use crate::seal::body::BodyDigest;
use crate::seal::canonical::{self, NotCanonical};
use crate::seal::record_key::KeyCommitment;

const VERSION: u8 = 1;
/// Stands for no role, as in the clauses.
const NO_ROLE: &str = "-";

/// All words are the codes of the vocabularies, all byte strings base64url.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u8,
    record: String,
    article: u8,
    category: String,
    form: String,
    author: String,
    schema: String,
    created: String,
    suite: String,
    key_commitment: String,
    ciphertext_sha256: String,
    ciphertext_len: u64,
    open_to: Vec<String>,
    recipients: Vec<RecipientWire>,
}

/// One recipient; also part of an addition.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::seal) struct RecipientWire {
    oin: String,
    role: String,
    case_binding: String,
}

impl Header {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, HeaderError> {
        self.check_recipients()?;
        self.check_open_to()?;
        let bytes = canonical::write(&Wire {
            version: VERSION,
            record: self.record.hyphenated().to_string(),
            article: self.article.number(),
            category: self.category.code().to_owned(),
            form: self.form.code().to_owned(),
            author: self.author.to_string(),
            schema: self.schema.as_str().to_owned(),
            created: canonical::write_time(self.created)?,
            suite: self.suite.code().to_owned(),
            key_commitment: canonical::encode(self.key_commitment.as_bytes()),
            ciphertext_sha256: canonical::encode(&self.body.sha256),
            ciphertext_len: self.body.len,
            open_to: self.open_to.iter().map(|role| role.code().to_owned()).collect(),
            recipients: self.recipients.iter().map(RecipientWire::from).collect(),
        })?;
        if bytes.len() > MAX_HEADER_LEN { Err(HeaderError::TooLong) } else { Ok(bytes) }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() > MAX_HEADER_LEN {
            return Err(HeaderError::TooLong);
        }
        let wire: Wire = canonical::read(bytes)?;
        if wire.version != VERSION {
            return Err(HeaderError::Format);
        }
        let header = Self {
            record: read_uuid(&wire.record)?,
            article: Article::new(wire.article).ok_or(HeaderError::Format)?,
            category: wire.category.parse()?,
            form: wire.form.parse()?,
            author: wire.author.parse()?,
            schema: wire.schema.parse()?,
            created: canonical::read_time(&wire.created)?,
            suite: wire.suite.parse()?,
            key_commitment: KeyCommitment::from_bytes(canonical::decode(&wire.key_commitment)?),
            body: BodyDigest { sha256: canonical::decode(&wire.ciphertext_sha256)?, len: wire.ciphertext_len },
            open_to: wire.open_to.iter().map(|role| role.parse()).collect::<Result<_, _>>()?,
            recipients: wire.recipients.iter().map(Recipient::try_from).collect::<Result<_, _>>()?,
        };
        header.check_recipients()?;
        header.check_open_to()?;
        Ok(header)
    }
}

impl From<&Recipient> for RecipientWire {
    fn from(recipient: &Recipient) -> Self {
        Self {
            oin: recipient.oin.to_string(),
            role: recipient.role.map_or(NO_ROLE, Role::code).to_owned(),
            case_binding: canonical::encode(recipient.case.as_bytes()),
        }
    }
}

impl TryFrom<&RecipientWire> for Recipient {
    type Error = HeaderError;
    fn try_from(wire: &RecipientWire) -> Result<Self, HeaderError> {
        Ok(Self {
            oin: wire.oin.parse()?,
            role: read_role(&wire.role)?,
            case: CaseBinding::from_bytes(canonical::decode(&wire.case_binding)?),
        })
    }
}

fn read_role(text: &str) -> Result<Option<Role>, UnknownCode> {
    if text == NO_ROLE { Ok(None) } else { text.parse().map(Some) }
}

/// Hyphenated lower case only; the parser takes other spellings too.
pub(in crate::seal) fn read_uuid(text: &str) -> Result<Uuid, NotCanonical> {
    let uuid = Uuid::try_parse(text).map_err(|_| NotCanonical)?;
    if uuid.hyphenated().to_string() == text { Ok(uuid) } else { Err(NotCanonical) }
}
