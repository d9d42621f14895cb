//! The agent as a witness of the hub's log. It can't be called from outside, so it comes by itself: it asks for the checkpoint
//! that waits, proves from the log's tiles that the tree holds all that it signed before, and hands its signature in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::Status;
use tonic::transport::Channel;

use super::Agent;
use super::nodes::{Again, Node};
use crate::plain_http::{self, HttpError, StatusCode};
use crate::telemetry::Chain;
use crate::tlog::{AddCheckpoint, Checkpoint, Hash, Missing, PublicKey, Resource, Tiles, Tree, path};
use crate::witness::{NotSigned, Witness};

/// Between two looks: a checkpoint waits for its witnesses about as long.
const PAUSE: Duration = Duration::from_millis(300);
/// Longest pause after failures.
const LONGEST: Duration = Duration::from_secs(10);
/// How often it is said that nothing is signed.
const AGAIN: Duration = Duration::from_secs(300);

/// What signs, and for which log.
pub(super) struct Eye {
    pub(super) witness: Arc<Witness>,
    pub(super) log: PublicKey,
}

/// Why nothing was signed this time.
#[derive(Debug, thiserror::Error)]
enum Unsigned {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0} was answered with {1}")]
    Answer(String, StatusCode),
    #[error("what the hub shows is not a checkpoint of its log")]
    Checkpoint,
    #[error("the log is smaller than what was signed of it: if that lasts it was rolled back")]
    Behind,
    #[error("the log was forked: it does not hold what was signed of it")]
    Forked,
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    #[error("signing broke off")]
    BrokenOff,
}

impl Unsigned {
    /// Whether the log is to blame.
    const fn is_alarm(&self) -> bool {
        matches!(self, Self::Behind | Self::Forked | Self::Checkpoint)
    }
}

impl Agent {
    /// Signs what waits, for ever.
    pub(super) async fn bear_witness(self) {
        let Some(eye) = &self.eye else { return };
        let (mut pause, mut said, mut behind) = (PAUSE, None::<Instant>, None::<Instant>);
        loop {
            tokio::time::sleep(pause).await;
            let time = u64::try_from(self.clock.now().unix_timestamp()).unwrap_or_default();
            let look = |node: Node| async move {
                match look(eye, &node.channel, time).await {
                    // Another node may be there.
                    Err(Unsigned::Http(error)) => Err(Status::unavailable(error.to_string())),
                    looked => Ok(looked),
                }
            };
            match self.links.hub.call(Again::Yes, look).await {
                // Only when it lasts: a node may be behind the others.
                Ok(Err(Unsigned::Behind)) if behind.get_or_insert_with(Instant::now).elapsed() < AGAIN => pause = PAUSE,
                Ok(Ok(())) => {
                    (pause, behind) = (PAUSE, None);
                    if said.take().is_some() {
                        tracing::info!("the log is signed again");
                    }
                }
                Ok(Err(error)) => {
                    pause = (pause * 2).min(LONGEST);
                    if said.is_none_or(|said| said.elapsed() >= AGAIN) {
                        said = Some(Instant::now());
                        if error.is_alarm() {
                            tracing::error!(error = %Chain(&error), "ALARM: this witness does not sign the log");
                        } else {
                            tracing::warn!(error = %Chain(&error), "this witness does not sign now");
                        }
                    }
                }
                Err(_) => pause = (pause * 2).min(LONGEST),
            }
        }
    }
}

async fn look(eye: &Eye, hub: &Channel, time: u64) -> Result<(), Unsigned> {
    let known = eye.witness.signed(eye.log.name());
    let Some(note) = file(hub, Resource::Pending).await? else {
        // What is shown already must not be behind what was signed either.
        let (Some(known), Some(note)) = (known, file(hub, Resource::Checkpoint).await?) else { return Ok(()) };
        let shown = Checkpoint::open(&note, &eye.log).map_err(|_| Unsigned::Checkpoint)?;
        return if known.size > shown.tree().size { Err(Unsigned::Behind) } else { Ok(()) };
    };
    let checkpoint = Checkpoint::open(&note, &eye.log).map_err(|_| Unsigned::Checkpoint)?;
    let new = *checkpoint.tree();
    let old = known.map_or(0, |known| known.size);
    let proof = match known {
        // Another node's, perhaps, which is behind. If none comes that is ahead, the log was rolled back.
        Some(known) if known.size > new.size => return Err(Unsigned::Behind),
        Some(known) => match grown_from(hub, &new, &known).await? {
            Some(proof) => proof,
            None => {
                // By the log's own tiles.
                let (witness, name) = (Arc::clone(&eye.witness), eye.log.name().clone());
                let kept = tokio::task::spawn_blocking(move || witness.keep_evidence(&name, &note)).await;
                return kept.map_or(Err(Unsigned::BrokenOff), |()| Err(Unsigned::Forked));
            }
        },
        None => Vec::new(),
    };
    let (witness, request) = (Arc::clone(&eye.witness), AddCheckpoint { old, proof, note });
    let line = tokio::task::spawn_blocking(move || witness.sign(&request, time));
    let line = line.await.map_err(|_| Unsigned::BrokenOff)??;
    let at = format!("/add-cosignature/{}", new.size);
    match plain_http::post(hub, &at, line).await?.code {
        // It may have been published meanwhile, with the signatures of others.
        StatusCode::OK | StatusCode::CONFLICT => Ok(()),
        code => Err(Unsigned::Answer(at, code)),
    }
}

/// Proves from the log's tiles that a tree holds all of another. `None`: it does not.
async fn grown_from(hub: &Channel, new: &Tree, known: &Tree) -> Result<Option<Vec<Hash>>, Unsigned> {
    let mut tiles = Tiles::default();
    loop {
        let places = match new.follows(known, &tiles) {
            Ok(proof) => return Ok(proof),
            Err(Missing::Tiles(places)) => places,
            Err(Missing::Impossible) => return Ok(None),
        };
        for place in places {
            let tile = Resource::tile(place, new.size);
            match file(hub, tile).await? {
                Some(bytes) if bytes.len() == 32 * tile.width() => tiles.add(place, bytes),
                // No answer to go by: a log that was forked has its tiles.
                _ => return Err(Unsigned::Answer(path(&tile), StatusCode::NOT_FOUND)),
            }
        }
    }
}

async fn file(hub: &Channel, resource: Resource) -> Result<Option<Vec<u8>>, Unsigned> {
    let at = path(&resource);
    let answer = plain_http::get(hub, &at).await?;
    match answer.code {
        StatusCode::OK => Ok(Some(answer.body.to_vec())),
        StatusCode::NOT_FOUND => Ok(None),
        code => Err(Unsigned::Answer(at, code)),
    }
}
