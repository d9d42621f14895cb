//! The agent's next certificate: asked for ahead of time with the current one, put in its place when it was issued.
//!
//! The new key never leaves the agent. It stands in the store until the certificate is there too; both are then put in place, key
//! first, and what a crash left half done is finished at the next start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand_core::{OsRng, RngCore as _};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use tokio::sync::watch;
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
use crate::identity::certificate::Leaf;
use crate::identity::signing_request::{NextKey, NoKey};
use crate::party::Oin;
use crate::redact::log;
use crate::seal::certificate_signature::CertSignatureError;
use crate::serve;
use crate::telemetry::Chain;
use crate::tls::files::{certificates, pem_of};
use crate::tls::{FileError, Identity};
use crate::trust::{Contents, Trust};
use crate::whole_file;
use crate::wire::partner_name;

/// Without `[renewal]` the configuration is looked at so often: it may come to have one.
const IDLE: Duration = Duration::from_secs(60);
/// Between two tries to publish the keys under a new certificate, or to tell the keyholder of it.
const AGAIN: Duration = Duration::from_secs(10);
/// So many of them.
const AN_HOUR: u32 = 360;
/// After so many tries that it is so long.
const LONGEST: Duration = Duration::from_secs(3600);
/// Seconds between two looks at what the hub shows of the agent's keys.
const LOOK_AT_HUB: u32 = 6 * 3600;
/// With so few days left, that nobody has answered is an alarm.
const LATE: i64 = 14;
/// With so few days left, a keyholder that can't be told is not waited for.
const LAST: i64 = 2;

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
    /// The current key.
    #[error("the current certificate's key can't sign")]
    Sign(#[from] CertSignatureError),
    /// The hub.
    #[error("the hub: {0}")]
    Hub(String),
    /// The hub, of this request.
    #[error("the hub does not take the request: {0}")]
    NotTaken(String),
    /// The CA.
    #[error("the CA refuses: {0}")]
    Refused(String),
    /// The keyholder.
    #[error("the keyholder can't be told of the next certificate: {0}")]
    Keyholder(String),
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
    whole_file::replace(path, bytes).map_err(|error| RenewalError::File(path.to_owned(), error))
}

fn remove(path: &Path) -> Result<(), RenewalError> {
    whole_file::remove(path).map_err(|error| RenewalError::File(path.to_owned(), error))
}

/// Finishes what a crash left half done, and that only: by now something newer may be in the place of what an old renewal left. Where
/// the new key is not in place yet, the hub gives the same answer again.
pub(super) fn finish(config: &AgentConfig) -> Result<(), RenewalError> {
    let files = Files::of(config);
    if !files.chain.exists() {
        return Ok(());
    }
    let now = SystemClock.now();
    let in_place = Identity::load(&config.tls.certificate, &config.tls.key, now);
    match (same(&files.key, &config.tls.key), in_place) {
        // The new key, and not its certificate yet.
        (true, Err(FileError::KeyMismatch { .. })) => {
            if Identity::load(&files.chain, &files.key, now).is_ok() {
                files.place(config)?;
                tracing::info!("a renewed certificate is in place");
            }
            Ok(())
        }
        (true, _) => [&files.chain, &files.key].into_iter().try_for_each(|path| remove(path)),
        (false, _) => remove(&files.chain),
    }
}

/// Whether both are there and hold the same.
fn same(one: &Path, other: &Path) -> bool {
    let read = |path| std::fs::read(path).map(zeroize::Zeroizing::new);
    matches!((read(one), read(other)), (Ok(one), Ok(other)) if one == other)
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
                believed(config, &self.own.shown(), &asked.chain, &key)?;
                // Before it is shown to anybody: no call is to fail for a roster that somebody has to change.
                match self.links.announce(key.key_hash()).await {
                    Err(status) if left > LAST => return Err(RenewalError::Keyholder(told(&status))),
                    _ => {}
                }
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
        let signing_request = key.request()?;
        let proof = self.own.sign_renewal(&signing_request)?;
        let request = v1::RenewCertificateRequest {
            signing_request,
            certificate: current.as_ref().to_vec(),
            signature_scheme: proof.scheme.code().into(),
            signature: proof.signature,
        };
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

    /// Shows the keyholder another certificate, once it knows it: it is told of one that somebody put in place only now, and the old
    /// one is shown until that has come through, while it is good. Ends when there is a `newer` one.
    pub(super) async fn show_keyholder(self, identity: Identity, trust: Arc<Trust>, mut newer: watch::Receiver<()>) {
        let before = self.links.shown_to_keyholder();
        let leaf = |identity: &Identity| identity.leaf().and_then(|leaf| Leaf::read(leaf).ok());
        if let (Some(old), Some(next)) = (leaf(&before), leaf(&identity))
            && old.key_hash != next.key_hash
        {
            // Anchors and lists count at once.
            self.show(&before, &trust);
            for tries in 0_u32.. {
                let Err(status) = self.links.announce(next.key_hash).await else { break };
                if self.links.is_known(&identity, &trust).await {
                    break;
                }
                if tries % AN_HOUR == 0 {
                    tracing::error!(status = %told(&status), "ALARM: the keyholder does not know the agent's new certificate: its roster must be changed");
                }
                if old.check_validity(SystemClock.now()).is_err() {
                    break;
                }
                tokio::select! {
                    _ = newer.changed() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        }
        if matches!(newer.has_changed(), Ok(false)) {
            self.show(&identity, &trust);
        }
    }

    fn show(&self, identity: &Identity, trust: &Arc<Trust>) {
        if let Err(error) = self.links.renew_keyholder(identity, trust) {
            tracing::error!(error = %Chain(&error), "the keyholder is shown the certificate of before");
        }
    }

    /// Publishes the agent's keys anew where the hub shows others of them: at the start and now and then, since an agent may have
    /// stopped between a new certificate or mandate and the publication.
    pub(super) async fn keep_published(self) {
        loop {
            self.clone().publish_anew().await;
            tokio::time::sleep(jittered(LOOK_AT_HUB, OsRng.next_u32())).await;
        }
    }

    /// Publishes the agent's keys under its certificate and mandate of now, if they were published before: peers look at both.
    pub(super) async fn publish_anew(self) {
        let mut again = AGAIN;
        while let Err(status) = self.try_publish_anew().await {
            tracing::warn!(status = %told(&status), "the agent's keys may not be published under its certificate yet");
            tokio::time::sleep(again).await;
            // Every refusal is an event: whoever is not registered yet does not fill the log with them.
            again = LONGEST.min(again.saturating_mul(2));
        }
    }

    async fn try_publish_anew(&self) -> Result<(), Status> {
        let own = v1::GetPartnerRequest { name: partner_name(self.own.oin().as_str()) };
        let known = self.at_hub("sluis.v1.Directory/GetPartner", Again::Yes, |node| {
            let own = own.clone();
            async move { DirectoryClient::new(node.channel).get_partner(own).await }
        });
        if !self.own.is_to_publish(known.await?.into_inner().keys.as_ref()) {
            return Ok(());
        }
        let keys = self.own.published().map_err(|_| Status::internal("the certificate's key can't sign"))?;
        let request = v1::PublishKeysRequest { request_id: Uuid::new_v4().to_string(), keys: Some(keys.clone()) };
        let done = self.at_hub("sluis.v1.Directory/PublishKeys", Again::Yes, |node| {
            let request = request.clone();
            async move { DirectoryClient::new(node.channel).publish_keys(request).await }
        });
        done.await?;
        self.own.was_published(&keys);
        tracing::info!("the agent's keys are published under its certificate and mandate of now");
        Ok(())
    }
}

/// Code and message, without what else a status holds.
pub(super) fn told(status: &Status) -> String {
    format!("{:?}, {}", status.code(), status.message())
}

/// What was issued belongs to the key, to the organisation of the current one, and to an anchor of this agent's.
fn believed(config: &AgentConfig, own: &Oin, chain: &[Vec<u8>], key: &NextKey) -> Result<(), RenewalError> {
    let chain: Vec<CertificateDer<'static>> = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let judged = serve::trust(&config.tls, &config.trust)?.judge(&chain, SystemClock.now());
    let peer = judged.map_err(|_| RenewalError::Issued)?;
    let peer = peer.certificate;
    let is_own = peer.oin() == Some(own);
    if is_own && key.key_hash() == peer.key_hash() { Ok(()) } else { Err(RenewalError::Issued) }
}

/// So many days before its end; and not in the first third of its life, or one that is valid for fewer days would be renewed
/// again and again.
fn is_due(start: OffsetDateTime, end: OffsetDateTime, now: OffsetDateTime, days: u16) -> bool {
    end - now <= time::Duration::days(days.into()) && now - start >= (end - start) / 3
}

/// Half as long at least, half as long again at most.
pub(super) fn jittered(seconds: u32, random: u32) -> Duration {
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
