//! Whether somebody vouches for the keys that a partner published: those that others seal to, and those that open what it wrote.

use std::collections::{BTreeMap, HashMap};

use crate::api::v1;
use crate::identity::certificate::Leaf;
use crate::identity::{Holder, KeyHash, KeyState, Registration};
use crate::party::Oin;
use crate::store::certificates::CertificateRow;

/// Whether the key that signed a published set is registered for this organisation's systems and not revoked: a set under
/// a revoked certificate is in force no longer. One that has retired signed it while it was good; of a
/// supplier's, the mandate still has to be there.
pub(super) fn in_force(set: &v1::KeySet, oin: &Oin, keys: &HashMap<KeyHash, Registration>) -> bool {
    let signer = key_hash(&set.certificate_chain).and_then(|hash| keys.get(&hash));
    signer.is_some_and(|registration| {
        registration.oin == *oin
            && registration.state != KeyState::Revoked
            && registration.holder == Holder::Organisation
            && registration.via.as_ref().is_none_or(|via| via.given.is_some())
    })
}

/// Whether what was signed under a published set may still be opened: neither the key that signed it nor the one that signed a
/// supplier's mandate was revoked as one that got out. What they signed before they were needed no more stands.
pub(super) fn opens(set: &v1::KeySet, oin: &Oin, certificates: &BTreeMap<KeyHash, CertificateRow>) -> bool {
    let good = |chain: &[Vec<u8>]| {
        let row = key_hash(chain).and_then(|hash| certificates.get(&hash));
        row.filter(|row| row.oin == oin.as_str() && row.holder == super::ORGANISATION && !is_exposed(row))
    };
    match good(&set.certificate_chain) {
        None => false,
        Some(row) if row.via.is_empty() => true,
        Some(_) => {
            let mandate = set.mandate.as_ref().and_then(|mandate| good(&mandate.certificate_chain));
            mandate.is_some_and(|signer| signer.via.is_empty())
        }
    }
}

/// Whether a key may be somebody else's: it was revoked, and not because it was needed no more.
pub fn is_exposed(row: &CertificateRow) -> bool {
    row.revoked_at.is_some() && !row.ceased
}

fn key_hash(chain: &[Vec<u8>]) -> Option<KeyHash> {
    Some(Leaf::read(chain.first()?).ok()?.key_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00000099100001410000";
    const B: &str = "00000099100001420000";
    const SUPPLIER: &str = "00000099900000010000";

    /// A certificate, with its row: whose, through whom, and whether it was revoked and ceased.
    fn certificate(oin: &str, via: &str, revoked: Option<bool>) -> (Vec<Vec<u8>>, CertificateRow) {
        let der = rcgen::generate_simple_self_signed([]).unwrap().cert.der().to_vec();
        let row = CertificateRow {
            key_hash: Leaf::read(&der).unwrap().key_hash.to_string(),
            oin: oin.to_owned(),
            via: via.to_owned(),
            holder: super::super::ORGANISATION.to_owned(),
            person_ref: String::new(),
            system: String::new(),
            issuer: String::new(),
            starts_at: 0,
            expires_at: 0,
            registered_at: 0,
            used_at: None,
            anchor_set: String::new(),
            replaces: String::new(),
            renewed: false,
            retires_at: Some(1),
            revoked_at: revoked.map(|_| 1),
            ceased: revoked == Some(true),
            warned: 0,
        };
        (vec![der], row)
    }

    fn opened(signer: (Vec<Vec<u8>>, CertificateRow), mandate: Option<(Vec<Vec<u8>>, CertificateRow)>) -> bool {
        let (certificate_chain, row) = signer;
        let mut rows = vec![row];
        let mandate = mandate.map(|(certificate_chain, row)| {
            rows.push(row);
            v1::Mandate { certificate_chain, ..v1::Mandate::default() }
        });
        let rows = rows.into_iter().map(|row| (row.key_hash.parse().unwrap(), row)).collect();
        let set = v1::KeySet { certificate_chain, mandate, ..v1::KeySet::default() };
        opens(&set, &A.parse().unwrap(), &rows)
    }

    #[test]
    fn what_a_key_vouched_for_is_opened_unless_that_key_got_out() {
        for (oin, revoked, expected) in
            [(A, None, true), (A, Some(true), true), (A, Some(false), false), (B, None, false)]
        {
            assert_eq!(opened(certificate(oin, "", revoked), None), expected, "{oin} {revoked:?}");
        }
        let (chain, row) = certificate(A, "", None);
        let officer = CertificateRow { holder: "officer".to_owned(), ..row.clone() };
        assert!(!opened((chain.clone(), officer), None), "a person's");
        let unknown = v1::KeySet { certificate_chain: certificate(A, "", None).0, ..v1::KeySet::default() };
        let rows = BTreeMap::from([(row.key_hash.parse().unwrap(), row)]);
        assert!(!opens(&unknown, &A.parse().unwrap(), &rows), "nobody's");
        assert!(!opens(&v1::KeySet::default(), &A.parse().unwrap(), &rows));
    }

    #[test]
    fn of_a_supplier_the_mandates_own_key_counts_too() {
        let by = |revoked| certificate(A, SUPPLIER, revoked);
        let own = |revoked| Some(certificate(A, "", revoked));
        for (supplier, mandate, expected) in [
            (by(None), own(None), true),
            (by(Some(true)), own(Some(true)), true),
            (by(Some(false)), own(None), false),
            (by(None), own(Some(false)), false),
            (by(None), None, false),
            (by(None), Some(by(None)), false),
            (by(None), Some(certificate(B, "", None)), false),
        ] {
            assert_eq!(opened(supplier, mandate), expected);
        }
    }
}
