//! Who leaves or is succeeded: the moment it comes, roles in open cases end or pass to the heir, and the registry says so.
//!
//! Every node looks. Each step is one commit that is refused when it was done already ([`passing`]), so a node may end anywhere and
//! the number of nodes makes no difference; the next look goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use crate::audit::{Action, Draft};
use crate::clock::micros;
use crate::exchange::Exchange;
use crate::exchange::ops::passing;
use crate::method::Admitted;
use crate::party::{Oin, PartnerStatus, Role};
use crate::redact::log;
use crate::registry::Registry;
use crate::store::succession::{codes, depart, settle};
use crate::store::{Changes, CommitError, Seen, Tx, Work, WorkError, pending};
use crate::telemetry::Chain;
use crate::wire::partner_name;

/// Between two looks; sooner when the registry changes or an announced moment comes. A role that was given by a decision made a
/// moment before is found by the next one.
const LOOK: Duration = Duration::from_secs(60);
/// The clock may be moved by hand: it is looked at often while something is announced.
const TICK: Duration = Duration::from_millis(200);
/// After something could not be done.
const AGAIN: Duration = Duration::from_secs(2);
/// Changes of the registry in one look. A guard against a defect that loops: there are some fifty partners.
const MOST: usize = 1_000;
/// Attempts at one case or step in one look, while others change it.
const ATTEMPTS: usize = 8;

/// Looks for ever.
pub(super) async fn follow(exchange: Arc<Exchange>) {
    let mut registry = exchange.registry.subscribe();
    let mut said = Said::default();
    loop {
        registry.mark_unchanged();
        let looked = exchange.clock.now();
        let mut pause = LOOK;
        if let Err(error) = look(&exchange, &mut said).await {
            tracing::warn!(error = %Chain(&error), "who left or is succeeded has not been seen to yet");
            pause = AGAIN;
        }
        let (next, until) = (exchange.registry.borrow().next_change(looked), Instant::now() + pause);
        while Instant::now() < until && next.is_none_or(|next| exchange.clock.now() < next) {
            let tick = if next.is_some() { TICK } else { pause };
            match timeout(tick, registry.changed()).await {
                Ok(Ok(())) => break,
                Ok(Err(_)) => return,
                Err(_) => {}
            }
        }
    }
}

/// What operators were told last.
#[derive(Default)]
struct Said {
    /// Whose heirs take no part.
    waiting: BTreeSet<Oin>,
    /// Who left how many cases that nobody holds.
    orphaned: BTreeMap<Oin, u32>,
}

/// Does all that is to be done now. What fails is tried again later, and holds up nothing else.
async fn look(exchange: &Arc<Exchange>, said: &mut Said) -> Result<(), CommitError> {
    let steps = take_steps(exchange).await;
    let (picture, now) = (Arc::clone(&exchange.registry.borrow()), exchange.clock.now());
    let (mut failed, mut blocked) = (steps.err(), BTreeSet::new());
    for oin in picture.partners.keys() {
        match settle_partner(exchange, &picture, oin, now).await {
            Ok(true) => drop(blocked.insert(oin.clone())),
            Ok(false) => {}
            Err(error) => failed = Some(error),
        }
    }
    for oin in blocked.difference(&said.waiting) {
        tracing::error!(sluis.organisation = log(oin), "ALARM: cases wait for a successor that takes no part itself");
    }
    said.waiting = blocked;
    // Asked of the rows, not of what was done just now: a node that was killed in between would never say it.
    let orphaned = passing::orphaned(&picture, now, &mut exchange.store.read().await?).await?;
    for (oin, cases) in orphaned.iter().filter(|(oin, cases)| said.orphaned.get(*oin) < Some(*cases)) {
        tracing::error!(
            sluis.organisation = log(oin),
            cases,
            "ALARM: a partner left, and nobody holds the cases that it held"
        );
    }
    said.orphaned = orphaned;
    failed.map_or(Ok(()), Err)
}

/// What the registry is to say by now. A step that can't be written holds up no other.
async fn take_steps(exchange: &Arc<Exchange>) -> Result<(), CommitError> {
    let (mut tried, mut failed) = (BTreeMap::<_, usize>::new(), None);
    for _ in 0..MOST {
        let picture = Arc::clone(&exchange.registry.borrow());
        let mut due = steps(&picture, exchange.clock.now());
        let Some(step) = due.find(|step| tried.get(&step.id()).is_none_or(|times| *times < ATTEMPTS)) else { break };
        let (oin, times) = (step.oin.clone(), tried.entry(step.id()).or_default());
        *times += 1;
        match exchange.store.run_tx(Admitted::by_configuration().office(), step).await {
            // Stale: another node was first, or something changed.
            Ok(_) | Err(CommitError::Stale) => exchange.refresh().await?,
            Err(error) => {
                let (organisation, error) = (log(&oin), failed.insert(error));
                tracing::warn!(sluis.organisation = organisation, error = %Chain(error), "the registry does not say yet who left or is succeeded");
                *times = ATTEMPTS;
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Sees to one partner's cases. Whether they wait for an heir that takes no part.
async fn settle_partner(
    exchange: &Arc<Exchange>,
    picture: &Registry,
    oin: &Oin,
    now: OffsetDateTime,
) -> Result<bool, CommitError> {
    let Some(entry) = picture.get(oin) else { return Ok(false) };
    let (left, succeeded) = (entry.left(now).is_some(), entry.is_succeeded(now));
    if !left && !succeeded {
        return Ok(false);
    }
    let mut reader = exchange.store.read().await?;
    let cases = passing::due(picture, oin, now, &mut reader).await?;
    drop(reader);
    let waits = succeeded && !cases.is_empty() && !passing::heir_takes_part(picture, oin, now);
    if left || !waits {
        settle_cases(exchange, oin, cases).await?;
    }
    Ok(waits)
}

async fn settle_cases(exchange: &Arc<Exchange>, oin: &Oin, cases: BTreeSet<String>) -> Result<(), CommitError> {
    let (mut settled, mut failed) = (0_usize, None);
    for case in cases {
        match settle_one(exchange, oin, &case).await {
            Ok(moved) => settled += usize::from(moved),
            // One that can't be written does not hold up the others.
            Err(error) => failed = Some(error),
        }
    }
    if settled > 0 {
        tracing::info!(sluis.organisation = log(oin), cases = settled, "roles of a partner that goes were seen to");
    }
    failed.map_or(Ok(()), Err)
}

async fn settle_one(exchange: &Arc<Exchange>, oin: &Oin, case: &str) -> Result<bool, CommitError> {
    for _ in 0..ATTEMPTS {
        match passing::settle_case(exchange, oin, case).await {
            Err(CommitError::Stale) => exchange.refresh().await?,
            outcome => return outcome,
        }
    }
    // The next look goes on.
    Ok(false)
}

/// What the registry is to say, partner by partner: that it left, and who takes its place.
fn steps(registry: &Registry, now: OffsetDateTime) -> impl Iterator<Item = Step> {
    let rev = registry.rev;
    registry.partners.iter().flat_map(move |(oin, entry)| {
        let left = entry.left(now);
        let departs = left.filter(|_| entry.partner.status != PartnerStatus::Withdrawn).map(What::Departs);
        let due = entry.succession.as_ref().filter(|by| by.effective <= now && !by.settled);
        let settles = due.filter(|_| passing::heir_takes_part(registry, oin, now)).map(|by| {
            let heir = registry.heir(oin, now);
            let held = registry.get(heir).map(|heir| heir.standing_roles.clone()).unwrap_or_default();
            let passes = by.in_time(left);
            let roles = held.into_iter().chain(entry.standing_roles.iter().copied().filter(|_| passes)).collect();
            What::Settles { heir: heir.clone(), roles }
        });
        departs.into_iter().chain(settles).map(move |what| Step { oin: oin.clone(), what, rev, now })
    })
}

/// One change of the registry that nobody asks for: its moment has come.
struct Step {
    oin: Oin,
    what: What,
    rev: i64,
    now: OffsetDateTime,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// A membership ends.
    Departs(OffsetDateTime),
    /// Roles outside any case pass to the heir.
    Settles { heir: Oin, roles: BTreeSet<Role> },
}

impl Step {
    /// Which step it is, whatever else the registry says.
    fn id(&self) -> (Oin, &'static str) {
        (self.oin.clone(), self.what.method())
    }
}

impl What {
    const fn method(&self) -> &'static str {
        match self {
            Self::Departs(_) => "sluis.v1.Registry/SetPartnerStatus",
            Self::Settles { .. } => "sluis.v1.Registry/SucceedPartner",
        }
    }
}

impl Work for Step {
    type Output = ();

    fn seen(&self) -> Seen {
        Seen { registry: Some(self.rev), changes: Changes::Registry, ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        let oin = self.oin.as_str();
        let (method, source) = (self.what.method(), self.oin.to_string());
        let mut draft = Draft { method, action: Some(Action::Update), source, ..Draft::default() };
        let heir = match &self.what {
            What::Departs(_) => None,
            What::Settles { heir, .. } => Some(heir.as_str()),
        };
        for oin in [oin].into_iter().chain(heir) {
            pending::supersede(tx, &partner_name(oin), micros(self.now)).await?;
        }
        let done = match &self.what {
            What::Departs(at) => {
                draft.motivation = "the membership has ended, as announced".to_owned();
                depart(tx, oin, micros(*at)).await?
            }
            What::Settles { heir, roles } => {
                draft.recipients = vec![heir.to_string()];
                draft.motivation = format!("partners/{heir} takes its place from now on");
                settle(tx, oin, heir.as_str(), &codes(roles), micros(self.now)).await?
            }
        };
        if done { Ok(((), draft)) } else { Err(WorkError::Stale) }
    }
}
