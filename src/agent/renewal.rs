//! The agent's next certificate: asked for ahead of time with the current one, put in its place when it was issued.
//!
//! The new key never leaves the agent. It stands in the store until the certificate is there too; both are then put in place, key
//! first, and what a crash left half done is finished at the next start.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand_core::{OsRng, RngCore as _};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use tonic::{Code, Status};
use uuid::Uuid;

use super::Agent;
use super::nodes::Again;
use crate::api::v1;
use crate::api::v1::certificate_request::State;
use crate::api::v1::certificates_client::CertificatesClient;
use crate::api::v1::directory_client::DirectoryClient;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{AgentConfig, RenewalConfig, Source};
use crate::identity::signing_request::{NextKey, NoKey};
use crate::redact::log;
use crate::serve;
use crate::telemetry::Chain;
use crate::tls::files::{certificates, pem_of};
use crate::tls::{FileError, Identity};
use crate::trust::Contents;
use crate::whole_file::replace;
use crate::wire::partner_name;

/// Without `[renewal]` the configuration is looked at so often: it may come to have one.
const IDLE: Duration = Duration::from_secs(60);
/// Between two tries to publish the keys under a new certificate.
const AGAIN: Duration = Duration::from_secs(10);
/// With so few days left, that nobody has answered is an alarm.
const LATE: i64 = 14;

/// Why there is no next certificate yet.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// A file.
    #[error("{}: can't be read or written; the agent must own it and its directory", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The current certificate.
    #[error(transparent)]
    Current(#[from] FileError),
    /// The new key.
    #[error("store: renewal.key")]
    Key(#[from] NoKey),
    /// The hub.
    #[error("the hub: {0}")]
    Hub(String),
    /// The hub, of this request.
    #[error("the hub does not take the request: {0}")]
    NotTaken(String),
    /// The CA.
    #[error("the CA refuses: {0}")]
    Refused(String),
    /// What was issued.
    #[error("what was issued is not a certificate for the new key that this agent itself believes")]
    Issued,
}

/// What a look came to.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    /// There is time.
    NotDue,
    /// Asked for, and not answered yet; days that the current one has left.
    Waits(i64),
    /// The next one is in place.
    Placed,
}

/// Files of a renewal that is under way.
struct Files {
    key: PathBuf,
    chain: PathBuf,
}

impl Files {
    fn of(config: &AgentConfig) -> Self {
        let store = &config.store.directory;
        Self { key: store.join("renewal.key"), chain: store.join("renewal.pem") }
    }

    /// The key that is asked for: the one of an earlier look, or a new one.
    fn next_key(&self) -> Result<NextKey, RenewalError> {
        match std::fs::read_to_string(&self.key) {
            Ok(text) => Ok(NextKey::from_pem(&zeroize::Zeroizing::new(text))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = NextKey::generate()?;
                write(&self.key, key.to_pem().as_bytes())?;
                Ok(key)
            }
            Err(error) => Err(RenewalError::File(self.key.clone(), error)),
        }
    }

    /// Puts both in place. Done twice it is done once.
    fn place(&self, config: &AgentConfig) -> Result<(), RenewalError> {
        for (from, to) in [(&self.key, &config.tls.key), (&self.chain, &config.tls.certificate)] {
            let text = std::fs::read(from).map_err(|error| RenewalError::File(from.clone(), error))?;
            write(to, &zeroize::Zeroizing::new(text))?;
        }
        // The chain first: without it nothing is placed again, and a key alone is asked for again at worst.
        [&self.chain, &self.key].into_iter().try_for_each(|path| remove(path))
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), RenewalError> {
    replace(path, bytes).map_err(|error| RenewalError::File(path.to_owned(), error))
}

fn remove(path: &Path) -> Result<(), RenewalError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RenewalError::File(path.to_owned(), error)),
        _ => Ok(()),
    }
}

/// Finishes what a crash left half done.
pub(super) fn finish(config: &AgentConfig) -> Result<(), RenewalError> {
    let files = Files::of(config);
    if files.chain.exists() && files.key.exists() && Identity::load(&files.chain, &files.key, SystemClock.now()).is_ok()
    {
        files.place(config)?;
        tracing::info!("a renewed certificate is in place");
    }
    Ok(())
}

impl Agent {
    /// Looks now and then whether the certificate is to be renewed, for ever.
    pub(super) async fn renew_ahead(self, source: Source<AgentConfig>) {
        let mut said = None;
        loop {
            let config = source.read().ok();
            let Some((config, section)) = config.and_then(|config| config.renewal.map(|section| (config, section)))
            else {
                tokio::time::sleep(IDLE).await;
                continue;
            };
            match self.look_at_certificate(&config, section).await {
                Ok(Looked::NotDue) => said = None,
                Ok(Looked::Placed) => tracing::info!("the agent's certificate was renewed"),
                // Once a day that is left.
                Ok(Looked::Waits(left)) if said != Some(left) => {
                    said = Some(left);
                    let days = u64::try_from(left).unwrap_or_default();
                    if left <= LATE {
                        tracing::error!(days = log(&days), "ALARM: nobody has issued the agent's next certificate");
                    } else {
                        tracing::info!(days = log(&days), "the agent's next certificate is asked for");
                    }
                }
                Ok(Looked::Waits(_)) => {}
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "ALARM: the agent's certificate is not renewed");
                }
            }
            tokio::time::sleep(jittered(section.pause_seconds, OsRng.next_u32())).await;
        }
    }

    async fn look_at_certificate(&self, config: &AgentConfig, section: RenewalConfig) -> Result<Looked, RenewalError> {
        let current = certificates(&config.tls.certificate)?.into_iter().next();
        let current = current.ok_or_else(|| FileError::Empty(config.tls.certificate.clone()))?;
        let read = Contents::read(&current).map_err(|_| FileError::BadCertificate(config.tls.certificate.clone()))?;
        let now = SystemClock.now();
        let left = read.days_left(now);
        if !is_due(read.not_before, read.not_after, now, section.days) {
            return Ok(Looked::NotDue);
        }
        let files = Files::of(config);
        let key = files.next_key()?;
        let asked = self.ask_for_certificate(&key, &current).await;
        if matches!(asked, Err(RenewalError::NotTaken(_))) {
            // A key that was used before, left over by a crash: another time it is another one.
            remove(&files.key)?;
        }
        let asked = asked?;
        match asked.state() {
            State::Waiting | State::Unspecified => Ok(Looked::Waits(left)),
            State::Refused => {
                // Another time it is another request.
                remove(&files.key)?;
                Err(RenewalError::Refused(asked.refusal))
            }
            State::Issued => {
                believed(config, &asked.chain, &key)?;
                write(&files.chain, pem_of(&asked.chain).as_bytes())?;
                files.place(config)?;
                Ok(Looked::Placed)
            }
        }
    }

    async fn ask_for_certificate(
        &self,
        key: &NextKey,
        current: &CertificateDer<'_>,
    ) -> Result<v1::CertificateRequest, RenewalError> {
        let request =
            v1::RenewCertificateRequest { signing_request: key.request()?, certificate: current.as_ref().to_vec() };
        let method = "sluis.v1.Certificates/RenewCertificate";
        let answer = self.at_hub(method, Again::Yes, |node| {
            let request = request.clone();
            async move { CertificatesClient::new(node.channel).renew_certificate(request).await }
        });
        let answer = answer.await.map_err(|status| match status.code() {
            Code::InvalidArgument => RenewalError::NotTaken(told(&status)),
            _ => RenewalError::Hub(told(&status)),
        });
        Ok(answer?.into_inner())
    }

    /// Publishes the agent's keys under its new certificate, if they were published before: peers look at who signed them.
    pub(super) async fn publish_anew(self) {
        while let Err(status) = self.try_publish_anew().await {
            tracing::warn!(status = %told(&status), "the agent's keys are not published under its new certificate yet");
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_publish_anew(&self) -> Result<(), Status> {
        let own = v1::GetPartnerRequest { name: partner_name(self.own.oin().as_str()) };
        let known = self.at_hub("sluis.v1.Directory/GetPartner", Again::Yes, |node| {
            let own = own.clone();
            async move { DirectoryClient::new(node.channel).get_partner(own).await }
        });
        let published = known.await?.into_inner().keys;
        if published.is_none_or(|published| !self.own.is_current(&published)) {
            return Ok(());
        }
        let keys = self.own.published().map_err(|_| Status::internal("the certificate's key can't sign"))?;
        let request = v1::PublishKeysRequest { request_id: Uuid::new_v4().to_string(), keys: Some(keys) };
        let done = self.at_hub("sluis.v1.Directory/PublishKeys", Again::Yes, |node| {
            let request = request.clone();
            async move { DirectoryClient::new(node.channel).publish_keys(request).await }
        });
        done.await?;
        tracing::info!("the agent's keys are published under its new certificate");
        Ok(())
    }
}

/// Code and message, without what else a status holds.
fn told(status: &Status) -> String {
    format!("{:?}, {}", status.code(), status.message())
}

/// What was issued belongs to the key, to this organisation, and to an anchor of this agent's.
fn believed(config: &AgentConfig, chain: &[Vec<u8>], key: &NextKey) -> Result<(), RenewalError> {
    let chain: Vec<CertificateDer<'static>> = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let judged = serve::trust(&config.tls, &config.trust)?.judge(&chain, SystemClock.now());
    let peer = judged.map_err(|_| RenewalError::Issued)?;
    let peer = peer.certificate;
    let is_own = peer.oin() == Some(&config.organisation.oin);
    if is_own && key.key_hash() == peer.key_hash() { Ok(()) } else { Err(RenewalError::Issued) }
}

/// So many days before its end; and not in the first third of its life, or one that is valid for fewer days would be renewed
/// again and again.
fn is_due(start: OffsetDateTime, end: OffsetDateTime, now: OffsetDateTime, days: u16) -> bool {
    end - now <= time::Duration::days(days.into()) && now - start >= (end - start) / 3
}

/// Half as long at least, half as long again at most.
fn jittered(seconds: u32, random: u32) -> Duration {
    let share = f64::from(random) / f64::from(u32::MAX);
    Duration::from_secs(seconds.into()).mul_f64(0.5 + share)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn it_is_due_ahead_of_time_and_once() {
        let (start, end) = (datetime!(2026-01-01 0:00 UTC), datetime!(2026-04-01 0:00 UTC));
        for (days, now, due) in [
            (30, datetime!(2026-03-01 23:59 UTC), false),
            (30, datetime!(2026-03-02 0:00 UTC), true),
            (30, datetime!(2026-04-02 0:00 UTC), true),
            (1000, datetime!(2026-01-30 23:59 UTC), false),
            (1000, datetime!(2026-01-31 0:00 UTC), true),
        ] {
            assert_eq!(is_due(start, end, now, days), due, "{days} days, {now}");
        }
    }

    #[test]
    fn pauses_differ_within_their_bounds() {
        for (random, expected) in [(0, 1800), (u32::MAX / 2, 3599), (u32::MAX, 5400)] {
            assert_eq!(jittered(3600, random).as_secs(), expected);
        }
    }
}
