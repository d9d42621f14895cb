//! Fetches revocation lists from where their issuers publish them, and keeps the last good one (RFC 5280 §5, REFERENCE §3.1:
//! at least every four hours). A list that was fetched is a file that changed: [`super::reload`] puts it in force.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, SetConfig, Source, TrustConfig};
use crate::plain_http::{self, HttpError, StatusCode};
use crate::redact::log;
use crate::telemetry::Chain;
use crate::tls::FileError;
use crate::tls::files::{certificates, lists_in, revocation_lists};
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
fn kept(directory: &Path, url: &str) -> PathBuf {
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
    if tokio::time::timeout(START, round(trust, |file| !file.exists())).await.is_err() {
        tracing::warn!(
            "revocation lists are not all there yet: their issuers' certificates are refused until they are"
        );
    }
}

/// Fetches every list whose file is `wanted`; whether all is well.
async fn round(trust: &TrustConfig, wanted: impl Fn(&Path) -> bool) -> bool {
    let mut all_well = true;
    for set in &trust.sets {
        for (url, file) in set.crl_urls.iter().zip(files(set)) {
            if wanted(&file) {
                let taken = take(set, &file, url, SystemClock.now()).await;
                all_well &= said(set, &file, url, taken);
            }
        }
    }
    all_well
}

/// Fetches all lists again and again, until the task is dropped.
pub(crate) async fn follow<C: Config + Clone + Send + Sync + 'static>(
    source: Source<C>,
    trust: fn(&C) -> &TrustConfig,
) {
    loop {
        // A configuration that can't be read is another's affair: the next round reads it again.
        let all_well = match source.read() {
            Ok(config) => round(trust(&config), |_| true).await,
            Err(_) => true,
        };
        let chance = uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or_default();
        tokio::time::sleep(pause(all_well, chance)).await;
    }
}

/// Between the end of a round and the next one.
fn pause(all_well: bool, chance: u8) -> Duration {
    if all_well { ROUND + ROUND / 6 / 256 * u32::from(chance) } else { SOON }
}

/// The list that was kept last.
fn last_good(file: &Path) -> Option<List> {
    revocation_lists([file]).ok().and_then(|lists| lists.iter().next().cloned())
}

/// Whether a list is there that lasts; and says what is wrong.
fn said(set: &SetConfig, file: &Path, url: &str, taken: Result<bool, NotTaken>) -> bool {
    let left = last_good(file).map(|list| list.next_update - SystemClock.now());
    let hours = left.map_or(0, |left| u64::try_from(left.whole_hours()).unwrap_or(0));
    let is_late = left.is_none_or(|left| left < LATE);
    // The same one again, while it ends soon, is no good either: somebody keeps the next one back.
    let taken = match taken {
        Ok(false) if is_late => Err(NotTaken::KeptBack),
        taken => taken,
    };
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
async fn take(set: &SetConfig, file: &Path, url: &str, now: OffsetDateTime) -> Result<bool, NotTaken> {
    let answer = plain_http::fetch(url).await?;
    if answer.code != StatusCode::OK {
        return Err(NotTaken::Status(answer.code));
    }
    let lists = lists_in(&answer.body).map_err(|_| NotTaken::NotAList)?;
    let list = lists.into_iter().next().ok_or(NotTaken::NotAList)?.map_err(|_| NotTaken::NotAList)?;
    let current = last_good(file);
    let is_other = current.as_ref().is_some_and(|current| !current.is_of_the_same(&list));
    if !is_other && current.is_some_and(|current| current.this_update >= list.this_update) {
        return Ok(false);
    }
    if !list.is_fresh(now, time::Duration::ZERO) {
        return Err(NotTaken::NotFresh);
    }
    if is_other {
        return Err(NotTaken::OtherIssuer);
    }
    let mut issuers: Vec<CertificateDer<'static>> = certificates(&set.anchors)?;
    if let Some(file) = &set.issuers {
        issuers.extend(certificates(file)?);
    }
    // What comes over http is anybody's until a known issuer has signed it.
    if !issuers.iter().any(|issuer| list.is_signed_by(issuer)) {
        return Err(NotTaken::NotSigned);
    }
    if let Some(directory) = &set.crl_directory {
        private_directory(directory)?;
    }
    replace(file, list.der())?;
    Ok(true)
}

#[cfg(test)]
mod tests;
