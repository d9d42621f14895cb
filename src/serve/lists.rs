//! Fetches revocation lists from where their issuers publish them, and keeps the last good one (RFC 5280 §5, REFERENCE §3.1:
//! at least every four hours). A list that was fetched is a file that changed: [`super::reload`] puts it in force.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use time::OffsetDateTime;

use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, SetConfig, Source, TrustConfig};
use crate::plain_http::{self, HttpError, StatusCode};
use crate::redact::log;
use crate::telemetry::Chain;
use crate::tls::FileError;
use crate::tls::files::{certificates, revocation_lists};
use crate::trust::List;
use crate::whole_file::{private_directory, replace};

/// Between two rounds, and up to a sixth more: processes don't all come at once.
const ROUND: Duration = Duration::from_secs(3600);
/// For those that are not there at the start.
const START: Duration = Duration::from_secs(10);
/// After a round in which something failed.
const SOON: Duration = Duration::from_secs(300);
/// A list that ends sooner than this, and can't be fetched, is an alarm.
const LATE: time::Duration = time::Duration::hours(12);

/// Why a list was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("can't be fetched")]
    Fetch(#[from] HttpError),
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("what was fetched is not a revocation list")]
    NotAList,
    #[error("what was fetched is not signed by one of the set's issuers")]
    NotSigned,
    #[error("what was fetched is another issuer's list than before, or for another part of its certificates")]
    OtherIssuer,
    #[error("what was fetched is past its next update, or of the future")]
    NotFresh,
    #[error("nothing newer is published")]
    KeptBack,
    #[error("can't be kept")]
    Keep(#[from] std::io::Error),
    #[error("its issuers can't be read")]
    Issuers(#[from] FileError),
}

/// Where the list of a URL is kept.
pub(crate) fn kept(directory: &Path, url: &str) -> PathBuf {
    let hash = ring::digest::digest(&ring::digest::SHA256, url.as_bytes());
    directory.join(format!("{}.crl", hex::encode(hash.as_ref().get(..8).unwrap_or_default())))
}

/// The files that a set's lists are kept in, there or not.
pub(crate) fn files(set: &SetConfig) -> Vec<PathBuf> {
    let directory = set.crl_directory.as_deref();
    set.crl_urls.iter().filter_map(|url| Some(kept(directory?, url))).collect()
}

/// Fetches what is not there yet, so that a first start finds its lists. What fails is said, and fetched again later.
pub(crate) async fn fetch_missing(trust: &TrustConfig) {
    // A server that does not answer must not keep a process from starting.
    if tokio::time::timeout(START, missing(trust)).await.is_err() {
        tracing::warn!(
            "revocation lists are not all there yet: their issuers' certificates are refused until they are"
        );
    }
}

async fn missing(trust: &TrustConfig) {
    for set in &trust.sets {
        let Some(directory) = &set.crl_directory else { continue };
        for url in set.crl_urls.iter().filter(|url| !kept(directory, url).exists()) {
            said(set, url, take(set, directory, url, SystemClock.now()).await);
        }
    }
}

/// Fetches all lists again and again, until the task is dropped.
pub(crate) async fn follow<C: Config + Clone + Send + Sync + 'static>(
    source: Source<C>,
    trust: fn(&C) -> &TrustConfig,
) {
    loop {
        let mut all_well = true;
        // A configuration that can't be read is another's affair: the next round reads it again.
        if let Ok(config) = source.read() {
            for set in &trust(&config).sets {
                let Some(directory) = &set.crl_directory else { continue };
                for url in &set.crl_urls {
                    all_well &= said(set, url, take(set, directory, url, SystemClock.now()).await);
                }
            }
        }
        let jitter = u32::from(uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or_default());
        tokio::time::sleep(if all_well { ROUND + ROUND / 6 / 256 * jitter } else { SOON }).await;
    }
}

/// Whether a list is there that lasts; and says what is wrong.
fn said(set: &SetConfig, url: &str, taken: Result<bool, NotTaken>) -> bool {
    let kept = set.crl_directory.as_deref().map(|directory| kept(directory, url));
    let current = kept.and_then(|file| revocation_lists([file.as_path()]).ok());
    let until = current.as_ref().and_then(|lists| lists.iter().map(|list| list.next_update).max());
    let hours = until.map_or(0, |until| u64::try_from((until - SystemClock.now()).whole_hours()).unwrap_or(0));
    let is_late = until.is_none_or(|until| until - SystemClock.now() < LATE);
    // The same one again, while it ends soon, is no good either: somebody keeps the next one back.
    let taken =
        if is_late { taken.and_then(|is_new| if is_new { Ok(true) } else { Err(NotTaken::KeptBack) }) } else { taken };
    match taken {
        Ok(is_new) => {
            if is_new {
                tracing::info!(set = set.name, url, hours = log(&hours), "a revocation list was fetched");
            }
            true
        }
        Err(error) if is_late => {
            let error = Chain(&error).to_string();
            tracing::error!(
                set = set.name,
                url,
                hours = log(&hours),
                error,
                "ALARM: a revocation list ends soon or is not there, and can't be had: those under its issuer will be refused"
            );
            false
        }
        Err(error) => {
            tracing::warn!(set = set.name, url, error = %Chain(&error), "a revocation list was not fetched; the last good one counts");
            false
        }
    }
}

/// Fetches one list and keeps it, if it is newer than the one that is there and as good.
async fn take(set: &SetConfig, directory: &Path, url: &str, now: OffsetDateTime) -> Result<bool, NotTaken> {
    let answer = plain_http::fetch(url).await?;
    if answer.code != StatusCode::OK {
        return Err(NotTaken::Status(answer.code));
    }
    let der = if answer.body.first() == Some(&0x30) {
        answer.body.to_vec()
    } else {
        CertificateRevocationListDer::from_pem_slice(&answer.body).map_err(|_| NotTaken::NotAList)?.to_vec()
    };
    let list = List::read(&der).map_err(|_| NotTaken::NotAList)?;
    let file = kept(directory, url);
    let current = revocation_lists([file.as_path()]).ok().and_then(|lists| lists.iter().next().cloned());
    let is_same = current.as_ref().is_some_and(|current| current.is_of_the_same(&list));
    if is_same && current.as_ref().is_some_and(|current| current.this_update >= list.this_update) {
        return Ok(false);
    }
    if !list.is_fresh(now, time::Duration::ZERO) {
        return Err(NotTaken::NotFresh);
    }
    let mut issuers: Vec<CertificateDer<'static>> = certificates(&set.anchors)?;
    if let Some(file) = &set.issuers {
        issuers.extend(certificates(file)?);
    }
    if current.as_ref().is_some_and(|current| !current.is_of_the_same(&list)) {
        return Err(NotTaken::OtherIssuer);
    }
    // What comes over http is anybody's until a known issuer has signed it.
    if !issuers.iter().any(|issuer| list.is_signed_by(issuer)) {
        return Err(NotTaken::NotSigned);
    }
    private_directory(directory)?;
    replace(&file, &der)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
