//! Why certificates were taken back, by the lists that are there: also of certificates that are over by now, which nobody judges
//! any more.

use webpki::RevocationReason;

use super::{Contents, List, Trust};

/// Why a certificate was taken back, the worse one last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TakenBack {
    /// Its holder needs it no more. What it signed before stands.
    Ceased,
    /// Its key may be somebody else's, or nobody says why.
    Exposed,
}

impl Trust {
    /// The worst that any list says of these certificates (DER). A list counts whose issuer is among them, or an anchor.
    pub fn taken_back<C: AsRef<[u8]>>(&self, certificates: &[C]) -> Option<TakenBack> {
        let anchors = self.sets().iter().flat_map(|set| set.anchor_ders.iter().map(AsRef::as_ref));
        let issuers: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).chain(anchors).collect();
        let said = |certificate: &C| {
            let one = Contents::read(certificate.as_ref()).ok()?;
            let serial = hex::decode(&one.serial).ok()?;
            let lists = self.sets().iter().flat_map(|set| set.lists().of(one.issuer_der()));
            let signed = |list: &&List| issuers.iter().any(|issuer| list.is_signed_by(issuer));
            lists
                .filter_map(|list| Some((list, on(list, &serial)?)))
                .filter(|(list, _)| signed(list))
                .map(|(_, why)| why)
                .max()
        };
        certificates.iter().filter_map(said).max()
    }
}

/// What a list says of this serial number. One that can't be searched says the worst.
fn on(list: &List, serial: &[u8]) -> Option<TakenBack> {
    match list.parsed().find_serial(serial) {
        Ok(None) => None,
        Ok(Some(found)) => Some(why(found.reason_code)),
        Err(_) => Some(TakenBack::Exposed),
    }
}

/// RFC 5280 §5.3.1. A privilege that was withdrawn is not among the harmless reasons: it may be for what the holder did.
const fn why(reason: Option<RevocationReason>) -> TakenBack {
    use RevocationReason::{AffiliationChanged, CessationOfOperation, Superseded};
    match reason {
        Some(AffiliationChanged | CessationOfOperation | Superseded) => TakenBack::Ceased,
        _ => TakenBack::Exposed,
    }
}
