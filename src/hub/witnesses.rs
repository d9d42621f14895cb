//! Hands checkpoints to the witnesses that can be reached (C2SP tlog-witness). Those that can't, agents of partners, come by
//! themselves. With another certificate of the hub's, or other anchors, they are called over a new connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Uri};

use crate::clock::{Clock as _, SystemClock, TlsClock, micros};
use crate::config::{self, HubConfig, PolicyError};
use crate::exchange::{Exchange, Heard};
use crate::plain_http::{self, Answer, HttpError, StatusCode};
use crate::redact::log;
use crate::store::StoreError;
use crate::store::checkpoint::CheckpointRow;
use crate::telemetry::Chain;
use crate::tlog::{AddCheckpoint, Checkpoint, Policy, PublicKey};
use crate::tls::{self, ClientTls, FileError, Identity, TlsError};
use crate::trust::Trust;

/// Between two looks whether something waits to be signed.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause after failures.
const LONGEST: Duration = Duration::from_secs(5);
/// How often a witness that does not sign is spoken of.
const AGAIN: Duration = Duration::from_secs(300);
/// What waits is not late before it was seen to wait for so long.
const SETTLED: Duration = Duration::from_secs(10);
/// Between two looks how long something waits.
const LOOK: Duration = Duration::from_secs(1);
/// Checkpoints that wait for so long are an alarm, microseconds.
const LATE: i64 = 300_000_000;

/// Why the witnesses of the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WitnessesError {
    /// The policy.
    #[error("policy")]
    Policy(#[from] PolicyError),
    /// A witness is to be called, and with what is not said.
    #[error("policy: a witness has a URL; set `certificate` and `key`, with which the hub calls it")]
    Certificate,
    /// A URL.
    #[error("policy: {0}: write https://host:port/prefix")]
    Url(String),
    /// A certificate, key or anchor file.
    #[error(transparent)]
    File(#[from] FileError),
    /// TLS.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
}

/// Who signs the checkpoints of this log besides itself, by the configuration.
///
/// # Errors
/// [`WitnessesError`].
pub(super) fn policy(config: &HubConfig, own: &PublicKey) -> Result<Policy, WitnessesError> {
    let Some(section) = &config.audit.witnesses else { return Ok(Policy::of_log(own.clone())) };
    Ok(config::policy(Some(&section.policy), Some(own.clone()))?)
}

/// Connections to the witnesses that can be reached, in the order of the policy; none is made before it is needed.
type Lines = Vec<Channel>;

/// A witness that can be reached.
struct Desk {
    key: PublicKey,
    path: String,
    /// Its place in the lines.
    nth: usize,
    lines: watch::Receiver<Lines>,
}

/// What calls the witnesses that can be reached.
pub(super) struct Calls(watch::Sender<Lines>);

impl Calls {
    /// Starts to call.
    ///
    /// # Errors
    /// [`WitnessesError`].
    pub(super) fn start(
        tasks: &mut JoinSet<()>,
        exchange: &Arc<Exchange>,
        config: &HubConfig,
    ) -> Result<Self, WitnessesError> {
        let trust = Arc::clone(&exchange.settings.trust.borrow());
        let calls = Self(watch::Sender::new(lines(&exchange.policy, config, &trust)?));
        for (nth, (key, url)) in reachable(&exchange.policy).enumerate() {
            let (_, _, path) = parts(url).ok_or_else(|| WitnessesError::Url(url.to_owned()))?;
            let desk = Desk { key: key.clone(), path, nth, lines: calls.0.subscribe() };
            tasks.spawn(desk.hand_in(Arc::clone(exchange)));
        }
        Ok(calls)
    }

    /// Calls over these from the next checkpoint on; what is under way ends over the old ones.
    pub(super) fn renew(&self, lines: Lines) {
        self.0.send_replace(lines);
    }
}

/// Connections under the certificate that the configuration names, to servers that are believed now.
///
/// # Errors
/// [`WitnessesError`].
pub(super) fn lines(policy: &Policy, config: &HubConfig, trust: &Arc<Trust>) -> Result<Lines, WitnessesError> {
    let Some(section) = &config.audit.witnesses else { return Ok(Lines::new()) };
    let line = |(_, url): (_, &str)| {
        let (Some(certificate), Some(key)) = (&section.certificate, &section.key) else {
            return Err(WitnessesError::Certificate);
        };
        let (host, port, _) = parts(url).ok_or_else(|| WitnessesError::Url(url.to_owned()))?;
        let identity = Identity::load(certificate, key, SystemClock.now())?;
        let trust = match &section.anchors {
            Some(anchors) => tls::files::servers(anchors)?,
            None => Arc::clone(trust),
        };
        let tls = ClientTls::new(&identity, &trust, &host, Arc::new(TlsClock))?;
        Ok(tls.connect_lazy(&format!("{host}:{port}"))?)
    };
    reachable(policy).map(line).collect()
}

fn reachable(policy: &Policy) -> impl Iterator<Item = (&PublicKey, &str)> {
    policy.witnesses().iter().filter_map(|witness| Some((&witness.key, witness.url.as_deref()?)))
}

/// The files that calling witnesses takes: they may change.
pub(super) fn watched(config: &HubConfig) -> Vec<PathBuf> {
    let section = config.audit.witnesses.iter();
    section.flat_map(|it| [&it.certificate, &it.key, &it.anchors]).flatten().cloned().collect()
}

/// Those of them that end.
pub(super) fn ending(config: &HubConfig) -> Vec<PathBuf> {
    let section = config.audit.witnesses.iter();
    section.flat_map(|it| [&it.certificate, &it.anchors]).flatten().cloned().collect()
}

/// Host, port and path of the call.
fn parts(url: &str) -> Option<(String, u16, String)> {
    let url: Uri = url.parse().ok()?;
    let is_plain = url.scheme_str() == Some("https") && url.query().is_none();
    let path = format!("{}/add-checkpoint", url.path().trim_end_matches('/'));
    Some((url.host().filter(|_| is_plain)?.to_owned(), url.port_u16().unwrap_or(443), path))
}

/// Why a witness did not sign this time.
#[derive(Debug, thiserror::Error)]
enum Unsigned {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("it is called no more")]
    NotCalled,
    #[error("it answered {0}")]
    Answer(StatusCode),
    #[error("what it signed is not its signature under this checkpoint")]
    Signature,
    #[error("it has signed another history of this log, or a longer one: was the database put back?")]
    Forked,
}

impl Desk {
    async fn hand_in(self, exchange: Arc<Exchange>) {
        // What the witness signed last, as far as is known here, and what was handed in last.
        let (mut old, mut done) = (0, 0);
        let (mut pause, mut said) = (PAUSE, None::<Instant>);
        loop {
            tokio::time::sleep(pause).await;
            let row = match exchange.to_sign().await {
                Ok(Some(row)) if row.size != done => row,
                _ => continue,
            };
            match self.ask(&exchange, &row, &mut old).await {
                Ok(()) => {
                    (done, pause) = (row.size, PAUSE);
                    if said.take().is_some() {
                        tracing::info!(witness = %self.key.name(), "the witness signs again");
                    }
                }
                Err(error) => {
                    pause = (pause * 2).min(LONGEST);
                    if said.is_none_or(|said| said.elapsed() >= AGAIN) {
                        said = Some(Instant::now());
                        let (witness, why) = (self.key.name(), Chain(&error));
                        if matches!(error, Unsigned::Forked) {
                            tracing::error!(witness = %witness, error = %why, "ALARM: a witness refuses this log");
                        } else {
                            tracing::warn!(witness = %witness, error = %why, "a witness does not sign");
                        }
                    }
                }
            }
        }
    }

    /// Gets a checkpoint signed. One that the witness is beyond is passed over.
    async fn ask(&self, exchange: &Exchange, row: &CheckpointRow, old: &mut u64) -> Result<(), Unsigned> {
        let checkpoint = Checkpoint::open(&row.note, exchange.log.public())
            .map_err(|_| StoreError::Inconsistent("log_checkpoint"))?;
        // Twice: at first the witness may say where it is.
        for _ in 0..2 {
            if *old > row.size {
                return Ok(());
            }
            let proof = exchange.grown_from(checkpoint.tree(), *old).await?.ok_or(Unsigned::Forked)?;
            let body = AddCheckpoint { old: *old, proof, note: row.note.clone() }.to_bytes();
            let line = self.lines.borrow().get(self.nth).cloned().ok_or(Unsigned::NotCalled)?;
            let Answer { code, body } = plain_http::post(&line, &self.path, body).await?;
            match code {
                StatusCode::OK => {
                    if exchange.hear(row.size, &body).await? == Heard::NotAWitness {
                        return Err(Unsigned::Signature);
                    }
                    *old = row.size;
                    return Ok(());
                }
                StatusCode::CONFLICT => {
                    let known = std::str::from_utf8(&body).ok().and_then(|size| size.trim_end().parse().ok());
                    match known {
                        // It knows a tree that this log never signed: it was rolled back.
                        Some(known) if known > exchange.signed_size().await? => return Err(Unsigned::Forked),
                        Some(known) if known != *old => *old = known,
                        _ => return Err(Unsigned::Forked),
                    }
                }
                StatusCode::UNPROCESSABLE_ENTITY => return Err(Unsigned::Forked),
                code => return Err(Unsigned::Answer(code)),
            }
        }
        Err(Unsigned::Answer(StatusCode::CONFLICT))
    }
}

/// Looks since when events wait to be signed, by the log itself or by its witnesses, for ever: first an alarm, then no more
/// disclosures.
pub(super) async fn watch(exchange: Arc<Exchange>) {
    let hours = i64::from(exchange.terms().log.witness_hours);
    let mut said = None::<Instant>;
    // Since when something is late, as this process saw it: a clock that jumps ahead makes nothing late at once. What was late when
    // the process started is late.
    let mut late = None::<Instant>;
    let mut is_first = true;
    loop {
        let Ok(since) = exchange.uncovered_since().await else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let waits = since.map_or(0, |since| micros(exchange.clock.now()).saturating_sub(since));
        late = (waits > LATE).then(|| late.unwrap_or_else(Instant::now));
        let is_settled = is_first || late.is_some_and(|late| late.elapsed() >= SETTLED);
        is_first = false;
        let is_over = hours > 0 && waits > hours * 3_600_000_000;
        // Once stopped, only what is signed goes on again.
        let stops = is_over && (is_settled || exchange.unwitnessed.load(Ordering::Relaxed));
        if exchange.unwitnessed.swap(stops, Ordering::Relaxed) != stops {
            if stops {
                tracing::error!(
                    "ALARM: the log has not been signed for longer than the covenant allows: nothing is disclosed"
                );
            } else {
                tracing::info!("the log is signed: the hub discloses again");
            }
        }
        if waits > LATE && is_settled && said.is_none_or(|said| said.elapsed() >= AGAIN) {
            said = Some(Instant::now());
            let seconds = u64::try_from(waits / 1_000_000).unwrap_or_default();
            tracing::error!(seconds = log(&seconds), "ALARM: events wait to be signed by the log and its witnesses");
        } else if waits <= LATE {
            said = None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn witnesses_are_called_over_https_at_their_prefix() {
        let found = |url| parts(url).map(|(host, port, path)| format!("{host} {port} {path}"));
        assert_eq!(found("https://w.example:4600/log/").unwrap(), "w.example 4600 /log/add-checkpoint");
        assert_eq!(found("https://w.example").unwrap(), "w.example 443 /add-checkpoint");
        for url in ["http://w.example", "w.example:4600", "https://", "https://w.example/?a=b", "ftp://w.example"] {
            assert_eq!(found(url), None, "{url}");
        }
    }
}
