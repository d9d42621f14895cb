//! From a verified certificate to a caller: steps 1 and 2 of the decision order (REFERENCE §5.5).
//!
//! [`Registrations`] is one immutable picture of the registry. It is asked on every request, so that a suspended
//! partner or a revoked key stops at once, however long its connection has been open. Step 3, the covenant, is only
//! reported ([`Caller::accepted`]): a partner has to be able to call before it has signed.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use super::certificate::{CertificateError, Fingerprint, KeyHash, PeerCertificate};
use crate::party::{Oin, OrgKind, PartnerStatus, UnknownCode};
use crate::reason::Reason;

/// One picture of who is known here. Made from storage, replaced as a whole, never changed.
#[derive(Default)]
pub struct Registrations {
    keys: HashMap<KeyHash, Registration>,
    partners: HashMap<Oin, Partner>,
}

impl Registrations {
    /// The picture made of these keys and partners.
    pub fn new(keys: HashMap<KeyHash, Registration>, partners: HashMap<Oin, Partner>) -> Self {
        Self { keys, partners }
    }

    /// Who is calling with this certificate at `now`.
    ///
    /// # Errors
    /// The first that fails: certificate still valid (`CERT_EXPIRED`), OIN present (`OIN_MISSING`) and of a partner
    /// (`PARTNER_UNKNOWN`), key registered (`CERT_UNTRUSTED`) and not revoked (`CERT_REVOKED`), partner not suspended
    /// (`PARTNER_SUSPENDED`) or gone (`PARTNER_WITHDRAWN`), key registered for this very OIN (`OIN_MISMATCH`).
    pub fn caller(&self, certificate: &PeerCertificate, now: OffsetDateTime) -> Result<Caller, Reason> {
        certificate.check_validity(now).map_err(CertificateError::reason)?;
        let oin = certificate.oin().ok_or(Reason::OinMissing)?;
        let partner =
            self.partners.get(oin).filter(|partner| partner.effective_from <= now).ok_or(Reason::PartnerUnknown)?;
        let registration = self.keys.get(&certificate.key_hash()).ok_or(Reason::CertUntrusted)?;
        if !registration.state.holds(now) {
            return Err(Reason::CertRevoked);
        }
        partner.standing(now)?;
        if registration.oin != *oin {
            return Err(Reason::OinMismatch);
        }
        Ok(Caller {
            oin: oin.clone(),
            kind: partner.kind,
            holder: registration.holder.clone(),
            accepted: partner.accepted_covenant,
            key: certificate.key_hash(),
            fingerprint: certificate.fingerprint(),
            is_new: registration.state == KeyState::Announced,
        })
    }

    /// The next moment after `now` at which somebody is to be refused who is not refused now.
    pub fn next_end(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let retiring = self.keys.values().filter_map(|registration| match registration.state {
            KeyState::Retiring(end) => Some(end),
            KeyState::Announced | KeyState::Active | KeyState::Revoked => None,
        });
        let leaving = self.partners.values().filter_map(|partner| partner.withdrawn_at);
        retiring.chain(leaving).filter(|end| *end > now).min()
    }

    /// For whom a key is registered, if it is.
    pub fn registered(&self, key: &KeyHash) -> Option<&Oin> {
        self.keys.get(key).map(|registration| &registration.oin)
    }

    /// The partner with this OIN, whatever its standing.
    pub fn partner(&self, oin: &Oin) -> Option<&Partner> {
        self.partners.get(oin)
    }
}

/// Somebody known, calling with a certificate that is good right now.
///
/// Only [`Registrations::caller`] makes one, so a function that takes a `&Caller` can't be reached by a stranger:
///
/// ```compile_fail,E0451
/// fn forge(known: sluis::identity::Caller) -> sluis::identity::Caller {
///     sluis::identity::Caller { oin: "00000099100001410000".parse().unwrap(), ..known }
/// }
/// ```
#[derive(Clone)]
pub struct Caller {
    oin: Oin,
    kind: OrgKind,
    holder: Holder,
    accepted: Option<u32>,
    key: KeyHash,
    fingerprint: Fingerprint,
    is_new: bool,
}

impl Caller {
    /// The organisation that calls, or that the person works for.
    pub fn oin(&self) -> &Oin {
        &self.oin
    }

    /// Kind of that organisation, from the registry.
    pub fn kind(&self) -> OrgKind {
        self.kind
    }

    /// Whether a system of the organisation calls, or a person.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The person's function; `None` when a system calls.
    pub fn function(&self) -> Option<Function> {
        match self.holder {
            Holder::Organisation => None,
            Holder::Person { function, .. } => Some(function),
        }
    }

    /// Whether the organisation has signed this version of the covenant.
    pub fn accepted(&self, version: u32) -> bool {
        self.accepted == Some(version)
    }

    /// Whether nobody has called with this key before, as far as the picture tells.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Hash of the key that the caller holds.
    pub fn key_hash(&self) -> KeyHash {
        self.key
    }

    /// Hash of the certificate that the caller showed.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// Shows the organisation and the function; never which employee.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("oin", &self.oin).field("function", &self.function()).finish_non_exhaustive()
    }
}

/// The registration of one key.
#[derive(Clone)]
pub struct Registration {
    /// The organisation that the key was registered for.
    pub oin: Oin,
    /// Who in that organisation holds it.
    pub holder: Holder,
    /// Whether it may still be used.
    pub state: KeyState,
}

/// Who holds a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Holder {
    /// The organisation's own systems.
    Organisation,
    /// One employee in one function.
    Person {
        /// The organisation's own, opaque reference.
        person: PersonRef,
        /// What the person is registered to do.
        function: Function,
    },
}

/// What a person is registered to do with the service itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Privacy officer (R14) of one partner: sees that partner's events.
    Officer,
    /// Privacy officer of the network office: sees events across partners.
    NetworkOfficer,
    /// Manager of partners and certificates (R15).
    Operator,
    /// Whoever runs the network's CA: answers requests for certificates, and nothing else.
    Issuer,
}

/// Opaque reference of a person, given out by the organisation: 1–64 of letters, digits, `.`, `_`, `-`.
/// Has no `Debug` and no `Display`, so that it does not end up in a log by accident.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PersonRef(String);

impl PersonRef {
    /// The reference, for storage and the audit event.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PersonRef {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnknownCode("person reference"))
        }
    }
}

/// Whether a registered key may still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// No call has been made with it yet.
    Announced,
    /// In use.
    Active,
    /// Its successor is in use: until this moment.
    Retiring(OffsetDateTime),
    /// Never again.
    Revoked,
}

impl KeyState {
    /// Whether calls with it are let in at `now`.
    pub fn holds(self, now: OffsetDateTime) -> bool {
        match self {
            Self::Announced | Self::Active => true,
            Self::Retiring(end) => now < end,
            Self::Revoked => false,
        }
    }
}

/// An organisation as the registry knows it.
#[derive(Debug, Clone)]
pub struct Partner {
    /// Name, for display only.
    pub name: String,
    /// Kind of signatory.
    pub kind: OrgKind,
    /// Standing as the network office set it.
    pub status: PartnerStatus,
    /// First moment of membership.
    pub effective_from: OffsetDateTime,
    /// First moment after membership, when known.
    pub withdrawn_at: Option<OffsetDateTime>,
    /// Version of the covenant that it signed last.
    pub accepted_covenant: Option<u32>,
}

impl Partner {
    fn standing(&self, now: OffsetDateTime) -> Result<(), Reason> {
        let gone = self.withdrawn_at.is_some_and(|at| at <= now);
        match self.status {
            PartnerStatus::Suspended => Err(Reason::PartnerSuspended),
            PartnerStatus::Withdrawn => Err(Reason::PartnerWithdrawn),
            PartnerStatus::Active if gone => Err(Reason::PartnerWithdrawn),
            PartnerStatus::Active => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
