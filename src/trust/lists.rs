//! Revocation lists, the newest of every issuer (RFC 5280 §5).

use std::collections::BTreeMap;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::identity::certificate::parse;

/// A list may be of a clock that is this much ahead.
const AHEAD: Duration = Duration::minutes(5);

/// Bytes that are no revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a revocation list, or one without a next update")]
pub struct NotAList;

/// One issuer's list.
#[derive(Clone)]
pub struct List {
    /// Who signed it, as text.
    pub issuer: String,
    /// When it was made.
    pub this_update: OffsetDateTime,
    /// When the next one must be there.
    pub next_update: OffsetDateTime,
    /// How many certificates are on it.
    pub revoked: usize,
    issuer_der: Vec<u8>,
    point: Vec<u8>,
    der: Arc<[u8]>,
    parsed: Arc<CertRevocationList<'static>>,
}

impl List {
    /// Reads a list. Its signature is verified when a chain is judged by it, or by [`List::is_signed_by`].
    ///
    /// # Errors
    /// [`NotAList`].
    pub fn read(der: &[u8]) -> Result<Self, NotAList> {
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| NotAList)?;
        let parsed = CertRevocationList::from(OwnedCertRevocationList::from_der(der).map_err(|_| NotAList)?);
        if !rest.is_empty() {
            return Err(NotAList);
        }
        Ok(Self {
            issuer: list.issuer().to_string(),
            this_update: list.last_update().to_datetime(),
            next_update: list.next_update().ok_or(NotAList)?.to_datetime(),
            revoked: list.iter_revoked_certificates().count(),
            issuer_der: list.issuer().as_raw().to_vec(),
            point: parsed.issuing_distribution_point().unwrap_or_default().to_vec(),
            der: der.into(),
            parsed: Arc::new(parsed),
        })
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it is this authority's, by name and by signature.
    pub fn is_signed_by(&self, issuer: &[u8]) -> bool {
        // The library that judges chains verifies a list's signature together with a chain only.
        let (Ok(issuer), Ok((_, list))) = (parse(issuer), CertificateRevocationList::from_der(&self.der)) else {
            return false;
        };
        issuer.subject().as_raw() == self.issuer_der && list.verify_signature(issuer.public_key()).is_ok()
    }

    /// Whether it is of the same issuer, for the same part of its certificates.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        self.issuer_der == other.issuer_der && self.point == other.point
    }

    /// Whether it counts at `now`, some time after its next update included.
    pub fn is_fresh(&self, now: OffsetDateTime, grace: Duration) -> bool {
        self.this_update <= now + AHEAD && now <= self.next_update + grace
    }

    /// For the TLS library.
    pub(super) fn parsed(&self) -> &CertRevocationList<'static> {
        &self.parsed
    }
}

/// The newest list of every issuer and distribution point.
#[derive(Clone, Default)]
pub struct Lists(BTreeMap<(Vec<u8>, Vec<u8>), List>);

impl Lists {
    /// Takes a list, unless a newer one of the same issuer is there.
    pub fn insert(&mut self, list: List) -> bool {
        let key = (list.issuer_der.clone(), list.point.clone());
        if self.0.get(&key).is_some_and(|known| known.this_update >= list.this_update) {
            return false;
        }
        self.0.insert(key, list);
        true
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &List> {
        self.0.values()
    }

    /// Those of one issuer.
    pub(super) fn of<'l>(&'l self, issuer: &[u8]) -> impl Iterator<Item = &'l List> {
        self.0.values().filter(move |list| list.issuer_der == issuer)
    }
}

impl FromIterator<List> for Lists {
    fn from_iter<I: IntoIterator<Item = List>>(lists: I) -> Self {
        let mut all = Self::default();
        for list in lists {
            all.insert(list);
        }
        all
    }
}
