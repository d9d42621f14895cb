//! What is remembered of a partner's keys: a file of lines for each partner, that people may read, compare and remove.

use ring::digest::{SHA256, digest};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::v1;
use crate::identity::certificate::Fingerprint;
use crate::seal::KeySet;
use crate::trust::Contents;

/// The newest key set that was seen: its epoch and the SHA-256 of its document; and who vouched for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) epoch: u32,
    pub(super) sha256: [u8; 32],
    /// Nothing, where somebody wrote the line by hand, or an earlier version did.
    pub(super) vouched: Option<Vouched>,
    /// A list said of one of the certificates that its key got out. Lists forget who has ended; this does not.
    pub(super) exposed: bool,
}

/// When keys were found good last, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vouched {
    /// When they were found good.
    pub(super) seen: OffsetDateTime,
    /// Until when they would be, by what was seen then.
    pub(super) until: OffsetDateTime,
    /// DER: the chain that signed them, and that of the mandate by which it did.
    pub(super) certificates: Vec<Vec<u8>>,
}

impl Pin {
    pub(super) fn of(set: &KeySet, document: &[u8]) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, document).as_ref());
        Self { epoch: set.epoch().number(), sha256, vouched: None, exposed: false }
    }

    /// Whether both are of one document.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        (self.epoch, &self.sha256) == (other.epoch, &other.sha256)
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("{} {}", self.epoch, hex::encode(self.sha256))];
        if let Some(Vouched { seen, until, certificates }) = &self.vouched {
            let moment = |at: &OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
            lines.push(format!("seen {} until {}", moment(seen), moment(until)));
            lines.extend(certificates.iter().map(|der| format!("certificate {}", hex::encode(der))));
        }
        lines.extend(self.exposed.then(|| EXPOSED.to_owned()));
        lines.join("\n") + "\n"
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut lines = text.trim_ascii().lines().map(str::trim_ascii).peekable();
        let (epoch, hex) = lines.next()?.split_once(' ')?;
        let hash: Fingerprint = hex.parse().ok()?;
        let vouched = match lines.next_if(|line| line.starts_with(SEEN)) {
            None => None,
            Some(line) => {
                let (seen, until) = line.strip_prefix(SEEN)?.split_once(" until ")?;
                let moment = |text| OffsetDateTime::parse(text, &Rfc3339).ok();
                let mut certificates = Vec::new();
                while let Some(line) = lines.next_if(|line| line.starts_with(CERTIFICATE)) {
                    certificates.push(hex::decode(line.strip_prefix(CERTIFICATE)?).ok()?);
                }
                Some(Vouched { seen: moment(seen)?, until: moment(until)?, certificates })
            }
        };
        let exposed = lines.next_if(|line| *line == EXPOSED).is_some();
        let pin = Self { epoch: epoch.parse().ok()?, sha256: *hash.as_bytes(), vouched, exposed };
        lines.next().is_none().then_some(pin)
    }
}

const SEEN: &str = "seen ";
const CERTIFICATE: &str = "certificate ";
const EXPOSED: &str = "exposed";

/// Every certificate by which a set of keys is vouched for: what else came along says nothing of them.
pub(super) fn certificates(keys: &v1::KeySet) -> Vec<Vec<u8>> {
    let mandate = keys.mandate.iter().flat_map(|mandate| path(&mandate.certificate_chain));
    path(&keys.certificate_chain).into_iter().chain(mandate).collect()
}

/// The first certificate, its issuers, and theirs.
fn path(chain: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut others: Vec<_> = chain.iter().filter_map(|der| Some((der, Contents::read(der).ok()?))).collect();
    let mut found = Vec::new();
    let mut next: Vec<_> = others.drain(..others.len().min(1)).collect();
    while let Some((der, one)) = next.pop() {
        found.push(der.clone());
        next.extend(others.extract_if(.., |(_, other)| one.is_issued_by(other)));
    }
    found
}
