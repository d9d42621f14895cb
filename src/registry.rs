//! One immutable picture of the registry: who takes part, with which keys and signatures.
//!
//! It is replaced as a whole when something changes; every decision carries the revision that it saw, and a commit with
//! an older one is decided again ([`crate::store::Seen`]).

mod mandates;
mod succession;
mod vouching;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost::Message as _;
use time::OffsetDateTime;

use crate::api::v1;
use crate::clock::from_micros;
use crate::identity::{Function, Holder, KeyHash, KeyState, Partner, Registration, Registrations};
use crate::party::{Oin, Role};
use crate::store::StoreError;
use crate::store::certificates::CertificateRow;
use crate::store::mandate::MandateRow;
use crate::store::registry::Rows;

pub use succession::Succession;
pub use vouching::is_exposed;

/// The picture.
#[derive(Default)]
pub struct Registry {
    /// Revision of the store that it was read from.
    pub rev: i64,
    /// Keys and partners, for finding out who calls.
    pub registrations: Registrations,
    /// Every registered certificate by the hash of its key.
    pub certificates: BTreeMap<KeyHash, CertificateRow>,
    /// Every mandate that was registered: by principal, supplier and time of registration.
    pub mandates: Vec<MandateRow>,
    /// Every partner by OIN.
    pub partners: BTreeMap<Oin, Entry>,
    /// What every partner published last, whoever signed it: peers may have seen it, and hold the next one against it.
    pub last_keys: BTreeMap<Oin, v1::KeySet>,
    /// Whose last keys open nothing either: a key that vouched for them got out.
    pub withheld: BTreeSet<Oin>,
    /// Signatures by version and OIN.
    pub signatures: Vec<(u32, v1::CovenantSignature)>,
}

/// A partner with what it published.
#[derive(Clone)]
pub struct Entry {
    /// Name, kind, standing.
    pub partner: Partner,
    /// Roles held outside any case.
    pub standing_roles: Vec<Role>,
    /// Published keys, as long as the key that signed them is vouched for.
    pub keys: Option<v1::KeySet>,
    /// Who takes its place.
    pub succession: Option<Succession>,
}

impl Registry {
    /// Makes the picture from rows.
    pub fn from_rows(rows: Rows) -> Result<Self, StoreError> {
        let bad = |table| move |_| StoreError::Inconsistent(table);
        let mut partners = BTreeMap::new();
        for row in rows.partners {
            let oin: Oin = row.oin.parse().map_err(bad("partner"))?;
            let partner = Partner {
                name: row.display_name,
                kind: row.kind.parse().map_err(bad("partner"))?,
                status: row.status.parse().map_err(bad("partner"))?,
                effective_from: from_micros(row.effective_at),
                withdrawn_at: row.withdrawn_at.map(from_micros),
                accepted_covenant: u32::try_from(row.accepted_covenant).ok().filter(|version| *version > 0),
            };
            let standing_roles = row
                .standing_roles
                .split_whitespace()
                .map(|code| code.parse().map_err(bad("partner")))
                .collect::<Result<_, _>>()?;
            partners.insert(oin, Entry { partner, standing_roles, keys: None, succession: None });
        }
        let (mut keys, mut certificates) = (HashMap::new(), BTreeMap::new());
        for row in rows.certificates {
            let hash: KeyHash = row.key_hash.parse().map_err(bad("certificate"))?;
            let holder = holder(&row.holder, &row.person_ref)?;
            let oin = row.oin.parse().map_err(bad("certificate"))?;
            let via = mandates::via(&rows.mandates, &row.oin, &row.via)?;
            keys.insert(hash, Registration { oin, via, holder, state: state(&row), is_used: row.used_at.is_some() });
            certificates.insert(hash, row);
        }
        mandates::withhold(&rows.mandates, &mut keys);
        let (mut last_keys, mut withheld) = (BTreeMap::new(), BTreeSet::new());
        for (oin, message) in rows.key_sets {
            let oin: Oin = oin.parse().map_err(bad("key_set"))?;
            let set = v1::KeySet::decode(&*message).map_err(|_| StoreError::Inconsistent("key_set"))?;
            if let Some(entry) = partners.get_mut(&oin) {
                entry.keys = vouching::in_force(&set, &oin, &keys).then(|| set.clone());
            }
            if !vouching::opens(&set, &oin, &certificates) {
                withheld.insert(oin.clone());
            }
            last_keys.insert(oin, set);
        }
        for row in &rows.successions {
            let (oin, succession) = Succession::read(row)?;
            if let Some(entry) = partners.get_mut(&oin) {
                entry.succession = Some(succession);
            }
        }
        let mut signatures = Vec::new();
        for (_, version, message) in rows.signatures {
            let version = u32::try_from(version).map_err(|_| StoreError::Inconsistent("covenant_signature"))?;
            let signature =
                v1::CovenantSignature::decode(&*message).map_err(|_| StoreError::Inconsistent("covenant_signature"))?;
            signatures.push((version, signature));
        }
        let known = partners.iter().map(|(oin, entry)| (oin.clone(), entry.partner.clone())).collect();
        let (rev, registrations, mandates) = (rows.rev, Registrations::new(keys, known), rows.mandates);
        Ok(Self { rev, registrations, certificates, mandates, partners, last_keys, withheld, signatures })
    }

    /// The keys by which what a partner wrote is opened, also when it has left since, or nobody seals to it any more.
    pub fn opening_keys(&self, oin: &Oin) -> Option<&v1::KeySet> {
        self.last_keys.get(oin).filter(|_| !self.withheld.contains(oin))
    }

    /// Partners that hold this role outside any case and take part now.
    pub fn standing(&self, role: Role, now: OffsetDateTime) -> impl Iterator<Item = &Oin> {
        self.partners
            .iter()
            .filter(move |(_, entry)| entry.standing_roles.contains(&role) && entry.takes_part(now))
            .map(|(oin, _)| oin)
    }

    /// Whether there ever was a second operator: from then on a change that cuts somebody off, or makes an operator, takes two.
    pub fn takes_two(&self) -> bool {
        let operators = self.certificates.values().filter(|row| row.holder == OPERATOR);
        operators.map(|row| (&row.oin, &row.person_ref)).collect::<BTreeSet<_>>().len() > 1
    }

    /// The mandate of one partner to one supplier that was not cut; its time may be over.
    pub fn mandate(&self, principal: &Oin, delegate: &Oin) -> Option<&MandateRow> {
        mandates::between(&self.mandates, principal.as_str(), delegate.as_str())
    }

    /// Whether a supplier may act by this mandate now: it was not cut, it is in time, the key that signed it is the partner's own
    /// still, and both stand well.
    pub fn is_in_force(&self, row: &MandateRow, now: OffsetDateTime) -> bool {
        let both = row.principal.parse().ok().zip(row.delegate.parse().ok());
        let stands = both.is_some_and(|(oin, via): (Oin, Oin)| self.registrations.may_act_for(&oin, &via, now).is_ok());
        row.cut_at.is_none() && mandates::term(row).holds(now) && self.is_signed_by_its_principal(row) && stands
    }

    /// Whether the key that signed a mandate is registered for the partner's own systems, and not revoked.
    pub fn is_signed_by_its_principal(&self, row: &MandateRow) -> bool {
        mandates::is_own(row, |hash| self.registrations.key(hash))
    }

    /// The partner with this OIN.
    pub fn get(&self, oin: &Oin) -> Option<&Entry> {
        self.partners.get(oin)
    }
}

/// Where a key is in its life, leaving the clock aside.
pub fn state(row: &CertificateRow) -> KeyState {
    match (row.revoked_at, row.retires_at, row.used_at) {
        (Some(_), _, _) => KeyState::Revoked,
        (None, Some(end), _) => KeyState::Retiring(from_micros(end)),
        (None, None, None) => KeyState::Announced,
        (None, None, Some(_)) => KeyState::Active,
    }
}

fn holder(code: &str, person: &str) -> Result<Holder, StoreError> {
    let function = match code {
        ORGANISATION => return Ok(Holder::Organisation),
        "officer" => Function::Officer,
        NETWORK_OFFICER => Function::NetworkOfficer,
        OPERATOR => Function::Operator,
        ISSUER => Function::Issuer,
        _ => return Err(StoreError::Inconsistent("certificate")),
    };
    let person = person.parse().map_err(|_| StoreError::Inconsistent("certificate"))?;
    Ok(Holder::Person { person, function })
}

/// The code of a holder as the store keeps it.
pub const fn holder_code(holder: v1::HolderKind) -> Option<&'static str> {
    match holder {
        v1::HolderKind::Unspecified => None,
        v1::HolderKind::Organisation => Some(ORGANISATION),
        v1::HolderKind::Officer => Some("officer"),
        v1::HolderKind::NetworkOfficer => Some(NETWORK_OFFICER),
        v1::HolderKind::Operator => Some(OPERATOR),
        v1::HolderKind::Issuer => Some(ISSUER),
    }
}

/// A holder for the wire.
pub fn holder_kind(code: &str) -> v1::HolderKind {
    match code {
        ORGANISATION => v1::HolderKind::Organisation,
        "officer" => v1::HolderKind::Officer,
        NETWORK_OFFICER => v1::HolderKind::NetworkOfficer,
        OPERATOR => v1::HolderKind::Operator,
        ISSUER => v1::HolderKind::Issuer,
        _ => v1::HolderKind::Unspecified,
    }
}

/// How the store calls an operator.
pub const OPERATOR: &str = "operator";
const ORGANISATION: &str = "organisation";
const ISSUER: &str = "issuer";
const NETWORK_OFFICER: &str = "network_officer";

/// Whether making such a holder takes two operators.
pub fn needs_two(holder: &str) -> bool {
    matches!(holder, OPERATOR | ISSUER | NETWORK_OFFICER)
}
