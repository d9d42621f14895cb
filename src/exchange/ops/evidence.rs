//! Evidence: proofs that events are in the log, and the log's own entries.

use super::super::facts::Facts;
use super::super::{Decided, Exchange, Operation};
use crate::api::v1;
use crate::api::v1::event_proof::State;
use crate::audit::{disclosed, is_own};
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::Function;
use crate::method::Admitted;
use crate::reason::Reason;
use crate::store::checkpoint::newest_published;
use crate::store::tree::{self, Standing};
use crate::store::{Reader, StoreError, Tx, WorkError};
use crate::tlog::{Checkpoint, FULL, Proof, Tiles, bundle};

/// Events in one call.
const MOST: usize = 100;

/// `Audit.ProveEvents`.
pub struct ProveEvents {
    events: Vec<String>,
}

impl Operation for ProveEvents {
    type Message = v1::ProveEventsRequest;
    type Reply = v1::ProveEventsResponse;
    type Rows = Vec<v1::EventProof>;
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        if message.events.is_empty() || message.events.len() > MOST {
            fields.wrong("events", "1 to 100 events");
        }
        let named = message.events.iter().take(MOST).map(|name| fields.named("events", "events", name));
        let events: Option<Vec<String>> = named.collect::<Vec<_>>().into_iter().collect();
        let mut once = events.clone().unwrap_or_default();
        once.sort_unstable();
        once.dedup();
        if once.len() < message.events.len().min(MOST) {
            fields.wrong("events", "each event once");
        }
        fields.done((|| Some(Self { events: events? }))())
    }

    async fn gather(&self, hub: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Self::Rows, StoreError> {
        proofs(hub, facts, &self.events, usize::MAX, reader).await
    }

    /// A proof tells nothing of an event that its leaf does not, and whose events these are was asked with the rows.
    fn decide(&self, _: &Exchange, _: &Facts, _: &Self::Rows, admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut crate::audit::Draft,
    ) -> Result<v1::ProveEventsResponse, WorkError> {
        Ok(v1::ProveEventsResponse { proofs: done.rows.clone(), log_key: hub.log.public().to_string() })
    }
}

/// For each event what proves it, and what the caller may open of it; no more events once these have so many bytes.
pub(super) async fn proofs(
    hub: &Exchange,
    facts: &Facts,
    events: &[String],
    most: usize,
    reader: &mut Reader,
) -> Result<Vec<v1::EventProof>, StoreError> {
    let whole = facts.caller.function() == Some(Function::NetworkOfficer);
    let (own, key) = (facts.caller.oin().as_str(), facts.caller.key_hash().to_string());
    let officer = whole || facts.caller.function() == Some(Function::Officer);
    let checkpoint = match newest_published(reader, hub.log.public().name()).await? {
        Some(row) => Checkpoint::open(&row.note, hub.log.public()).ok(),
        None => None,
    };
    let mut tiles = Tiles::default();
    let mut proofs: Vec<v1::EventProof> = Vec::with_capacity(events.len());
    let mut bytes = 0;
    for event_id in events {
        bytes += proofs.last().map_or(0, prost::Message::encoded_len);
        if bytes > most {
            break;
        }
        let event = format!("events/{event_id}");
        let scope = (!whole).then_some(own);
        let Some(standing) = tree::standing(reader, event_id, scope, &key).await? else {
            proofs.push(v1::EventProof { event, state: State::Unknown.into(), ..v1::EventProof::default() });
            continue;
        };
        let proof = match (&checkpoint, standing.place) {
            (Some(checkpoint), Some(place)) if place < checkpoint.tree().size => {
                let made = tree::work_out(reader, &mut tiles, |tiles| Proof::make(place, checkpoint, tiles));
                Some(made.await?.ok_or(StoreError::Inconsistent("log_tile"))?)
            }
            _ => None,
        };
        let may_open = officer && (whole || is_own(&standing.organisation, &standing.source, own));
        let hidden = hidden(&standing, whole);
        let Standing { leaf, disclosures, .. } = standing;
        proofs.push(v1::EventProof {
            event,
            state: if proof.is_some() { State::Proven } else { State::Waiting }.into(),
            leaf,
            disclosures: if may_open {
                disclosed(&disclosures, hidden).ok_or(StoreError::Inconsistent("audit_event"))?
            } else {
                Vec::new()
            },
            proof: proof.map(|proof| proof.to_bytes()).unwrap_or_default(),
        });
    }
    Ok(proofs)
}

/// Groups that a partner's officer does not get to open: the hub's own name of a case, which all organisations would share; and
/// whatever tells whether somebody else has a case.
fn hidden(standing: &Standing, whole: bool) -> &'static [&'static str] {
    let covers = [Reason::CaseUnknown, Reason::NotInvolved].map(Reason::code);
    match standing.reason.as_str() {
        _ if whole => &[],
        reason if covers.contains(&reason) => &["case", "listed", "subject", "decision"],
        _ => &["case", "listed"],
    }
}

/// `Audit.ReadEntries`.
pub struct ReadEntries {
    tile: u64,
    width: usize,
}

impl Operation for ReadEntries {
    type Message = v1::ReadEntriesRequest;
    type Reply = v1::ReadEntriesResponse;
    type Rows = Vec<Vec<u8>>;
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let width = match usize::try_from(message.width) {
            Ok(0) => Some(FULL),
            Ok(width @ 1..=FULL) => Some(width),
            _ => {
                fields.wrong("width", "1 to 256, or 0 for 256");
                None
            }
        };
        fields.done((|| Some(Self { tile: message.tile, width: width? }))())
    }

    async fn gather(&self, _: &Exchange, facts: &Facts, reader: &mut Reader) -> Result<Self::Rows, StoreError> {
        if facts.caller.function() != Some(Function::NetworkOfficer) {
            return Ok(Vec::new());
        }
        tree::entries(reader, self.tile, self.width).await
    }

    fn decide(
        &self,
        _: &Exchange,
        facts: &Facts,
        leaves: &Self::Rows,
        admitted: Admitted,
    ) -> Result<(Ground, ()), Refusal> {
        if facts.caller.function() != Some(Function::NetworkOfficer) {
            return Err(Refusal::denied(Reason::RoleNotAllowed));
        }
        // A bundle that is shorter than its name says would be a lie.
        if leaves.len() < self.width {
            return Err(Refusal::not_found());
        }
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut crate::audit::Draft,
    ) -> Result<v1::ReadEntriesResponse, WorkError> {
        let bundle = bundle(&done.rows).ok_or(StoreError::Inconsistent("audit_event"))?;
        Ok(v1::ReadEntriesResponse { bundle })
    }
}
