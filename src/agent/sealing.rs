//! From a route plan to a sealed record: whose keys, which header, one sealed key for each.

use std::collections::BTreeMap;

use rand_core::OsRng;
use time::OffsetDateTime;
use uuid::Uuid;

use super::covenant::OwnCopy;
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
    /// Only these partners; empty: whoever the covenant names.
    pub(super) named: Vec<Oin>,
    /// Only these roles; empty: whichever the covenant names.
    pub(super) roles: Vec<Role>,
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
    /// A recipient that neither covenant nor caller gave.
    #[error("the hub's route plan names partners/{0}, {1}; nothing was sent")]
    Widened(Oin, Widening),
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

/// How a plan goes further than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Widening {
    /// No role, or none that the API has.
    #[error("in a role that can't be read")]
    Role,
    /// The own copy of the covenant.
    #[error("which the agent's own copy of the covenant does not let receive this")]
    NotGranted,
    /// The caller.
    #[error("for which the caller did not ask")]
    NotAsked,
}

/// A recipient and the keys to seal to.
pub(super) type Addressed = BTreeMap<Oin, (Recipient, KeySet)>;

/// Reads a plan: every organisation once, itself included, with keys that are believed. The hub proposes; the own copy of
/// the covenant and the caller's own wishes decide.
///
/// # Errors
/// [`SealRecordError`]. One partner without good keys refuses the whole: all recipients or nothing.
pub(super) fn addressed(
    own: &Own,
    partners: &Partners,
    covenant: &OwnCopy,
    draft: &Draft,
    routes: &[v1::Route],
    now: OffsetDateTime,
) -> Result<Addressed, SealRecordError> {
    let mut addressed = Addressed::new();
    for route in routes {
        let oin = words::partner(&route.partner).ok_or(SealRecordError::Plan("a partner's name"))?;
        let is_self = oin == *own.oin();
        // The author, who seals for newcomers, and who passes on what a third party may have.
        let role = if is_self {
            Some(draft.role)
        } else {
            draft.admits(covenant, &oin, route.role).map_err(|why| SealRecordError::Widened(oin.clone(), why))?
        };
        if addressed.contains_key(&oin) {
            continue;
        }
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
        let case = binding(&route.case_binding).ok_or(SealRecordError::Plan("a case binding"))?;
        addressed.insert(oin.clone(), (Recipient { oin, role, case }, keys));
    }
    if addressed.contains_key(own.oin()) { Ok(addressed) } else { Err(SealRecordError::Plan("the author's own place")) }
}

impl Draft {
    /// The role in which this partner may be a recipient; `None` where the covenant gives it to partners without a role.
    fn admits(&self, covenant: &OwnCopy, oin: &Oin, role: i32) -> Result<Option<Role>, Widening> {
        let role = match role {
            0 => None,
            number => Some(Role::from_number(number).ok_or(Widening::Role)?),
        };
        if !covenant.grants(self.article, role, self.category, self.form) {
            return Err(if role.is_none() { Widening::Role } else { Widening::NotGranted });
        }
        let named = self.named.is_empty() || self.named.contains(oin);
        let asked = self.roles.is_empty() || role.is_some_and(|role| self.roles.contains(&role));
        if named && asked { Ok(role) } else { Err(Widening::NotAsked) }
    }

    /// The roles to which the record may be opened later: none where the caller named whom it is for, nor for C09–C13, of
    /// which every recipient is weighed by itself.
    fn open_to(&self, covenant: &OwnCopy) -> Vec<Role> {
        use Category::{C09, C10, C11, C12, C13};
        if !self.named.is_empty() || [C09, C10, C11, C12, C13].contains(&self.category) {
            return Vec::new();
        }
        let asked = |role: &Role| {
            if self.roles.is_empty() {
                covenant.grants(self.article, Some(*role), self.category, self.form)
            } else {
                self.roles.contains(role)
            }
        };
        Role::ALL.iter().copied().filter(asked).collect()
    }
}

/// Signs the header of a body and seals its key to everybody in it.
///
/// # Errors
/// [`SealRecordError::Header`] or [`SealRecordError::Seal`].
pub(super) fn seal_record(
    own: &Own,
    covenant: &OwnCopy,
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
        open_to: draft.open_to(covenant),
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
