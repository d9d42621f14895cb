//! From a route plan to a sealed record: whose keys, which header, one sealed key for each.

use std::collections::BTreeMap;

use rand_core::OsRng;
use time::OffsetDateTime;
use uuid::Uuid;

use super::own::Own;
use super::partners::{PartnerKeysError, Partners};
use super::words;
use crate::api::v1;
use crate::party::{Article, Category, Form, Oin, Role};
use crate::seal::{
    CaseBinding, Header, HeaderError, KeySet, Recipient, RecordKey, SchemaName, SealError, SealedBody, SealedKey,
    SignedHeader, Suite, seal_for,
};
use crate::wire::Numbered as _;

/// What a record is, as its author's system says.
pub(super) struct Draft {
    pub(super) article: Article,
    pub(super) category: Category,
    pub(super) form: Form,
    /// Role in which the author acts.
    pub(super) role: Role,
    pub(super) schema: SchemaName,
}

/// Why a record can't be sealed along its route.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealRecordError {
    /// A partner's keys.
    #[error("partners/{0} {1}; nothing was sent")]
    Keys(Oin, PartnerKeysError),
    /// The own keys.
    #[error("this organisation has not published the keys that its agent uses; call Directory.PublishKeys first")]
    NotPublished,
    /// The plan.
    #[error("the hub's route plan can't be read: {0}")]
    Plan(&'static str),
    /// The header.
    #[error("the record's header can't be made")]
    Header(#[from] HeaderError),
    /// A sealed key.
    #[error("the record's key can't be sealed")]
    Seal(#[from] SealError),
}

/// A recipient and the keys to seal to.
pub(super) type Addressed = BTreeMap<Oin, (Recipient, KeySet)>;

/// Reads a plan: every organisation once, itself included, with keys that are believed.
///
/// # Errors
/// [`SealRecordError`]. One partner without good keys refuses the whole: all recipients or nothing.
pub(super) fn addressed(
    own: &Own,
    partners: &Partners,
    draft: &Draft,
    routes: &[v1::Route],
    now: OffsetDateTime,
) -> Result<Addressed, SealRecordError> {
    let mut addressed = Addressed::new();
    for route in routes {
        let oin = words::partner(&route.partner).ok_or(SealRecordError::Plan("a partner's name"))?;
        if addressed.contains_key(&oin) {
            continue;
        }
        let is_self = oin == *own.oin();
        let keys = if is_self {
            let published = route.keys.as_ref().is_some_and(|keys| own.is_current(keys));
            if !published {
                return Err(SealRecordError::NotPublished);
            }
            own.current().set.clone()
        } else {
            let keys = partners.verify(route.keys.as_ref(), &oin, now);
            keys.map_err(|error| SealRecordError::Keys(oin.clone(), error))?
        };
        let role = Role::from_number(route.role).filter(|_| !is_self).unwrap_or(draft.role);
        let case = binding(&route.case_binding).ok_or(SealRecordError::Plan("a case binding"))?;
        addressed.insert(oin.clone(), (Recipient { oin, role, case }, keys));
    }
    if addressed.contains_key(own.oin()) { Ok(addressed) } else { Err(SealRecordError::Plan("the author's own place")) }
}

/// Signs the header of a body and seals its key to everybody in it.
///
/// # Errors
/// [`SealRecordError::Header`] or [`SealRecordError::Seal`].
pub(super) fn seal_record(
    own: &Own,
    draft: &Draft,
    record: Uuid,
    body: &SealedBody,
    addressed: &Addressed,
    now: OffsetDateTime,
) -> Result<(v1::SignedHeader, Vec<v1::SealedKey>), SealRecordError> {
    let header = Header {
        record,
        article: draft.article,
        category: draft.category,
        form: draft.form,
        author: own.oin().clone(),
        schema: draft.schema.clone(),
        created: now,
        suite: Suite::default(),
        key_commitment: body.key.commitment(),
        body: body.digest,
        recipients: addressed.values().map(|(recipient, _)| recipient.clone()).collect(),
    };
    let signed = header.sign(&own.current().keys)?;
    let keys = addressed.values().map(|(_, keys)| seal_to(keys, &signed, &body.key)).collect::<Result<_, _>>()?;
    Ok((signed_header(&signed), keys))
}

fn seal_to(keys: &KeySet, header: &SignedHeader, key: &RecordKey) -> Result<v1::SealedKey, SealError> {
    Ok(sealed_key(keys.oin(), seal_for(keys, header, key, &mut OsRng)?))
}

/// A case binding from the wire.
pub(super) fn binding(bytes: &[u8]) -> Option<CaseBinding> {
    bytes.try_into().ok().map(CaseBinding::from_bytes)
}

/// A header for the wire.
pub(super) fn signed_header(header: &SignedHeader) -> v1::SignedHeader {
    v1::SignedHeader { header: header.bytes().to_vec(), signature: header.signature().to_vec() }
}

/// A sealed key for the wire, of a recipient in the header.
pub(super) fn sealed_key(recipient: &Oin, key: SealedKey) -> v1::SealedKey {
    let suite = match key.suite {
        Suite::X25519 => v1::SealSuite::X25519,
        Suite::XWing => v1::SealSuite::Xwing,
    };
    v1::SealedKey {
        recipient: recipient.to_string(),
        suite: suite.into(),
        enc: key.enc,
        ciphertext: key.ciphertext,
        addition: Vec::new(),
        addition_signature: Vec::new(),
    }
}

/// A sealed key from the wire.
pub(super) fn read_sealed_key(key: &v1::SealedKey) -> Option<SealedKey> {
    let suite = match v1::SealSuite::try_from(key.suite).ok()? {
        v1::SealSuite::X25519 => Suite::X25519,
        v1::SealSuite::Xwing => Suite::XWing,
        v1::SealSuite::Unspecified => return None,
    };
    Some(SealedKey { suite, enc: key.enc.clone(), ciphertext: key.ciphertext.clone() })
}
