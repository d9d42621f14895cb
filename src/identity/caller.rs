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
    /// The first that fails: key not revoked (`CERT_REVOKED`), certificate still valid (`CERT_EXPIRED`), OIN present
    /// (`OIN_MISSING`) and of a partner (`PARTNER_UNKNOWN`), key registered (`CERT_UNTRUSTED`) and not retired (`CERT_REVOKED`),
    /// of a supplier's key its mandate in force (`CERT_REVOKED`), partner not suspended (`PARTNER_SUSPENDED`) or gone
    /// (`PARTNER_WITHDRAWN`), nor the supplier suspended where it is a partner too, key registered for this very OIN (`OIN_MISMATCH`).
    ///
    /// All of step 1 answers UNAUTHENTICATED; what differs is what the log says. A certificate that has ended is somebody's
    /// oversight, a revoked key in use is perhaps a thief's: what is both must stand in the log as the latter.
    pub fn caller(&self, certificate: &PeerCertificate, now: OffsetDateTime) -> Result<Caller, Reason> {
        let known = self.keys.get(&certificate.key_hash());
        if known.is_some_and(|registration| registration.state == KeyState::Revoked) {
            return Err(Reason::CertRevoked);
        }
        certificate.check_validity(now).map_err(CertificateError::reason)?;
        let shown = certificate.oin().ok_or(Reason::OinMissing)?;
        // In whose name: by the registration alone, and only if the certificate is the supplier's whose key was registered.
        let via = known.and_then(|registration| registration.via.as_ref()).filter(|via| via.oin == *shown);
        let oin = known.filter(|_| via.is_some()).map_or(shown, |registration| &registration.oin);
        let partner =
            self.partners.get(oin).filter(|partner| partner.effective_from <= now).ok_or(Reason::PartnerUnknown)?;
        let registration = known.ok_or(Reason::CertUntrusted)?;
        if !registration.holds(now) {
            return Err(Reason::CertRevoked);
        }
        partner.standing(now)?;
        if let Some(via) = via {
            self.may_supply(&via.oin)?;
        }
        if registration.shown() != shown {
            return Err(Reason::OinMismatch);
        }
        Ok(Caller {
            oin: oin.clone(),
            via: via.map(|via| via.oin.clone()),
            kind: partner.kind,
            holder: registration.holder.clone(),
            accepted: partner.accepted_covenant,
            key: certificate.key_hash(),
            fingerprint: certificate.fingerprint(),
            is_new: !registration.is_used,
        })
    }

    /// Whether `supplier` may act for `principal` at `now` as far as both stand: the one rule for mandates and for calls.
    ///
    /// # Errors
    /// As [`Self::caller`].
    pub fn may_act_for(&self, principal: &Oin, supplier: &Oin, now: OffsetDateTime) -> Result<(), Reason> {
        let known = self.partners.get(principal).filter(|partner| partner.effective_from <= now);
        known.ok_or(Reason::PartnerUnknown)?.standing(now)?;
        self.may_supply(supplier)
    }

    /// Anybody may be a supplier, also one that never was a partner or is none any more; unless it is a partner that is suspended.
    fn may_supply(&self, supplier: &Oin) -> Result<(), Reason> {
        let partner = self.partners.get(supplier);
        let is_suspended = partner.is_some_and(|partner| partner.status == PartnerStatus::Suspended);
        if is_suspended { Err(Reason::PartnerSuspended) } else { Ok(()) }
    }

    /// The next moment after `now` at which somebody is to be refused who is not refused now.
    pub fn next_end(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let retiring = self.keys.values().filter_map(|registration| match registration.state {
            KeyState::Retiring(end) => Some(end),
            KeyState::Announced | KeyState::Active | KeyState::Revoked => None,
        });
        let leaving = self.partners.values().filter_map(|partner| partner.withdrawn_at);
        let given = self.keys.values().filter_map(|registration| Some(registration.via.as_ref()?.given?.ends));
        retiring.chain(leaving).chain(given).filter(|end| *end > now).min()
    }

    /// How a key is registered.
    pub fn key(&self, key: &KeyHash) -> Option<&Registration> {
        self.keys.get(key)
    }

    /// How this certificate's key is registered for the organisation in the certificate, or in whose name that one acts with it.
    /// Says nothing of whether it may call.
    pub fn registered(&self, certificate: &PeerCertificate) -> Option<&Registration> {
        let shown = certificate.oin()?;
        self.keys.get(&certificate.key_hash()).filter(|registration| registration.shown() == shown)
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
    via: Option<Oin>,
    kind: OrgKind,
    holder: Holder,
    accepted: Option<u32>,
    key: KeyHash,
    fingerprint: Fingerprint,
    is_new: bool,
}

impl Caller {
    /// The organisation that calls, or that the person works for; of a supplier's call the partner in whose name it is made.
    pub fn oin(&self) -> &Oin {
        &self.oin
    }

    /// The supplier that calls in the organisation's name; `None` when the organisation calls itself.
    pub fn via(&self) -> Option<&Oin> {
        self.via.as_ref()
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
        let mut shown = f.debug_struct("Caller");
        shown
            .field("oin", &self.oin)
            .field("via", &self.via)
            .field("function", &self.function())
            .finish_non_exhaustive()
    }
}

/// The registration of one key.
#[derive(Clone)]
pub struct Registration {
    /// The organisation that the key was registered for: in its name calls are made.
    pub oin: Oin,
    /// The supplier that holds it in the organisation's place.
    pub via: Option<Via>,
    /// Who in that organisation holds it.
    pub holder: Holder,
    /// Whether it may still be used.
    pub state: KeyState,
    /// Whether a call has been made with it: also one that was set to retire before its first call may be used.
    pub is_used: bool,
}

impl Registration {
    /// The OIN that a certificate with this key has.
    pub fn shown(&self) -> &Oin {
        self.via.as_ref().map_or(&self.oin, |via| &via.oin)
    }

    /// Whether calls with it are let in at `now`, as far as the key goes and the leave to use it in another's name.
    pub fn holds(&self, now: OffsetDateTime) -> bool {
        let given = |via: &Via| via.given.is_some_and(|given| given.holds(now));
        self.state.holds(now) && self.via.as_ref().is_none_or(given)
    }
}

/// A supplier that acts in a partner's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Its OIN, which stands in its certificate.
    pub oin: Oin,
    /// The partner's mandate to it; `None`: there is none any more.
    pub given: Option<Given>,
}

/// The term of a mandate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// From then on.
    pub starts: OffsetDateTime,
    /// No longer from then on.
    pub ends: OffsetDateTime,
}

impl Given {
    /// Whether it is in time.
    pub fn holds(self, now: OffsetDateTime) -> bool {
        self.starts <= now && now < self.ends
    }
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
