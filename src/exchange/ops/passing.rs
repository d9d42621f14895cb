//! What the hub does of its own accord in the cases of a partner that has left, or whose place is taken: roles end, and pass to the
//! heir. Each case is one transaction with one event, whoever does it first; so a case is as it was or as it is to be. Only what passes
//! to somebody who was named after the exit is a second one, so that an exit leaves the same whenever it is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::OffsetDateTime;

use super::super::Exchange;
use super::super::facts::{Found, Scene};
use super::changes::Proposal as _;
use super::membership::SetPartnerStatus;
use super::newcomer;
use super::notice::{Kind, concerns, tell, tell_end};
use super::succession::SucceedPartner;
use crate::audit::{Action, Draft};
use crate::case::{Assignment, CaseFile, Held, Party};
use crate::clock::micros;
use crate::covenant::parameters::Parameters;
use crate::method::Admitted;
use crate::party::{Category, Oin, Role};
use crate::registry::Registry;
use crate::store::record::RecordRow;
use crate::store::succession::{closed_cases, in_cases, left_cases, measured_cases, nobodys_cases};
use crate::store::{Changes, CommitError, Reader, Seen, StoreError, Tx, Work, WorkError};

/// Cases in which something is to be done once the partner has left or is succeeded, by the hub's own ids.
pub async fn due(
    registry: &Registry,
    oin: &Oin,
    now: OffsetDateTime,
    reader: &mut Reader,
) -> Result<BTreeSet<String>, StoreError> {
    let Some(entry) = registry.get(oin) else { return Ok(BTreeSet::new()) };
    // What was held when it left, though its agreed end may have come since.
    let mut cases = in_cases(reader, oin.as_str(), micros(entry.left(now).unwrap_or(now))).await?;
    if let Some(by) = &entry.succession {
        cases.extend(closed_cases(reader, oin.as_str(), micros(now)).await?);
        if by.in_time(entry.left(now)) {
            cases.extend(measured_cases(reader, oin.as_str(), micros(now)).await?);
        }
        if let Some(left) = entry.left(now) {
            let all = by.in_time(Some(left));
            cases.extend(left_cases(reader, oin.as_str(), micros(left), &registry.line(oin, now), all).await?);
        }
    }
    Ok(cases)
}

/// Who goes, and who comes in its place.
#[derive(Debug, Clone)]
struct Going<'a> {
    from: &'a Oin,
    /// Its heir, and since when the place is taken.
    heir: Option<(&'a Oin, OffsetDateTime)>,
    /// All that took its place one after another, up to the heir.
    line: Vec<&'a Oin>,
    left: Option<OffsetDateTime>,
}

impl<'a> Going<'a> {
    /// What is so of a partner now; nothing while it stays, or while its heir takes no part.
    fn of(registry: &'a Registry, from: &'a Oin, now: OffsetDateTime) -> Option<Self> {
        let entry = registry.get(from)?;
        let left = entry.left(now);
        let taken = entry.succession.as_ref().filter(|by| by.effective <= now);
        let heir = registry.heir(from, now);
        let heir = taken.map(|by| (heir, by.effective)).filter(|_| heir_takes_part(registry, from, now));
        (heir.is_some() || left.is_some()).then(|| Self { from, heir, line: registry.line(from, now), left })
    }

    /// Whether the heir took the place no later than the one that goes left.
    fn in_time(&self) -> bool {
        self.heir.is_none_or(|(_, since)| self.left.is_none_or(|left| since <= left))
    }

    /// Whether a role is held still; or was when its holder left, and nobody has put down its end. Whoever did may have done it by a
    /// later clock than this look's: another node, after this one began to look.
    fn held(&self, role: &Assignment, now: OffsetDateTime) -> bool {
        let is_agreed = role.ends_at.is_none_or(|end| self.left.unwrap_or(now) < end);
        role.starts_at <= now && is_agreed && role.ended_at.is_none()
    }
}

/// Whether whoever sits in an organisation's place takes part.
pub fn heir_takes_part(registry: &Registry, from: &Oin, now: OffsetDateTime) -> bool {
    registry.get(registry.heir(from, now)).is_some_and(|heir| heir.takes_part(now))
}

/// A case after somebody went, and what changed in it.
#[derive(Debug)]
struct After {
    case: CaseFile,
    /// To whom something may pass.
    heir: Option<Oin>,
    ended: Vec<Assignment>,
    begun: Vec<Assignment>,
    /// The heir carries out measures.
    measures: bool,
    /// The heir is the provider that was chosen.
    chosen: bool,
}

/// The case as it is to be; nothing if there is nothing to do. `id` makes ids of roles and names of the case.
fn pass(before: &CaseFile, going: &Going<'_>, now: OffsetDateTime, mut id: impl FnMut() -> String) -> Option<After> {
    let closed = before.is_closed();
    let goes = |a: &Assignment| a.partner() == Some(going.from) && (!closed || a.role == Role::R02);
    let held = |a: &Assignment| goes(a) && going.held(a, now);
    // Somebody who is named afterwards finds the case as the exit left it, whenever that is carried out: the exit comes first.
    let exit_alone = !closed && !going.in_time() && before.assignments.iter().any(held);
    let comes = going.heir.filter(|_| !exit_alone);
    // Of a case that is closed, whoever takes the place answers for what is kept (articles 31–37), and nothing else is done in it.
    if closed && comes.is_none() {
        return None;
    }
    let heir = comes.map(|(heir, _)| heir.clone());
    let mut after =
        After { case: before.clone(), heir, ended: Vec::new(), begun: Vec::new(), measures: false, chosen: false };
    for own in after.case.assignments.iter_mut().filter(|a| held(a)) {
        // Whoever has left held it until then.
        own.ended_at = Some(going.left.unwrap_or(now).max(own.starts_at));
        after.ended.push(own.clone());
    }
    if let Some((heir, _)) = comes {
        let passes = |a: &&Assignment| match going.left {
            None => after.ended.iter().any(|ended| ended.id == a.id),
            Some(left) => passes_later(a, left, going.in_time(), now),
        };
        let passing: Vec<Assignment> =
            after.case.assignments.iter().filter(|a| goes(a)).filter(passes).cloned().collect();
        for gone in &passing {
            let twice = after.begun.iter().any(|other: &Assignment| other.role == gone.role);
            if !twice && !has_had(&after.case, heir, &going.line, gone, going.left, now) {
                let party = Party::Partner(heir.clone());
                after.begun.push(Assignment { id: id(), party, starts_at: now, ended_at: None, ..gone.clone() });
            }
        }
        after.case.assignments.extend(after.begun.iter().cloned());
        if !after.begun.is_empty() {
            after.case.names.entry(heir.clone()).or_insert_with(&mut id);
        }
        for measure in after.case.measures.iter_mut().filter(|m| m.executor == *going.from) {
            if !closed && going.in_time() && measure.ends_at.is_none_or(|end| now < end) {
                measure.executor = heir.clone();
                after.measures = true;
            }
        }
        // The role may have ended with the membership, long before it passes.
        let provides = |a: &Assignment| a.role == Role::R09 && a.partner() == Some(heir) && a.holds(now);
        let chosen_goes = after.case.chosen.as_ref() == Some(going.from) && passing.iter().any(|a| a.role == Role::R09);
        if chosen_goes && after.case.assignments.iter().any(provides) {
            after.case.chosen = Some(heir.clone());
            after.chosen = true;
        }
    }
    let is_moved = !after.ended.is_empty() || !after.begun.is_empty() || after.measures;
    is_moved.then_some(after)
}

/// Whether a role that ended when its holder left passes: all of them to a successor that was named in time, and to one that is
/// named afterwards only the case itself (R02), if nobody else has it by now. Whoever holds the case gives the others.
fn passes_later(ended: &Assignment, left: OffsetDateTime, in_time: bool, now: OffsetDateTime) -> bool {
    let with_membership = ended.ended_at == Some(left.max(ended.starts_at));
    let is_agreed = ended.ends_at.is_none_or(|end| now < end);
    with_membership && is_agreed && (ended.role == Role::R02 || in_time)
}

/// Whether the heir holds a role that somebody held before; or, when that one ended with a membership, the heir or one before it in
/// the line has held it since (what was ended there was ended); or another holds the case.
fn has_had(
    case: &CaseFile,
    heir: &Oin,
    line: &[&Oin],
    gone: &Assignment,
    left: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> bool {
    let same = case.assignments.iter().filter(|a| a.role == gone.role && a.id != gone.id);
    match left {
        None => same.filter(|a| a.partner() == Some(heir)).any(|a| a.holds(now)),
        Some(left) => same
            .filter(|a| a.partner().is_some_and(|oin| line.contains(&oin)) || gone.role == Role::R02)
            .any(|a| a.ended_at.is_none_or(|end| end > left)),
    }
}

/// Who has left how many open cases that nobody holds.
pub async fn orphaned(
    registry: &Registry,
    now: OffsetDateTime,
    reader: &mut Reader,
) -> Result<BTreeMap<Oin, u32>, StoreError> {
    let mut found = BTreeMap::new();
    for (oin, entry) in &registry.partners {
        if entry.left(now).is_none() {
            continue;
        }
        let cases = nobodys_cases(reader, oin.as_str(), micros(now)).await?;
        if cases > 0 {
            found.insert(oin.clone(), cases);
        }
    }
    Ok(found)
}

/// Does what is to be done in one case, and whether something was.
///
/// # Errors
/// [`CommitError::Stale`] when it changed meanwhile, or another node was first.
pub async fn settle_case(hub: &Arc<Exchange>, from: &Oin, case_id: &str) -> Result<bool, CommitError> {
    let (registry, now) = (Arc::clone(&hub.registry.borrow()), hub.clock.now());
    let mut reader = hub.store.read().await?;
    let Some(case) = crate::store::case::load(&mut reader, case_id).await? else { return Ok(false) };
    let Some(going) = Going::of(&registry, from, now) else { return Ok(false) };
    let Some(after) = pass(&case, &going, now, || uuid::Uuid::new_v4().to_string()) else { return Ok(false) };
    let (heir, exit_alone) = (after.heir.clone(), after.heir.is_none() && going.heir.is_some());
    // Counted first: a record that comes in between makes this picture older, never newer.
    let count = crate::store::case::record_count(&mut reader, case_id).await?;
    let (mut records, mut own) = (Vec::new(), Vec::new());
    // What a case held that is closed is sealed for nobody any more.
    let sealed_for = heir.as_ref().filter(|_| !case.is_closed());
    if sealed_for.is_some() {
        records = crate::store::record::open_to_newcomers(&mut reader, case_id, micros(now)).await?;
    }
    for author in sealed_for.iter().flat_map(|heir| registry.predecessors(heir, now)) {
        own.extend(crate::store::succession::written_by(&mut reader, case_id, author.as_str(), micros(now)).await?);
    }
    drop(reader);
    let rev = case.rev;
    let scene = Scene { now, registry: Arc::clone(&registry), found: Found::Case(Arc::new(case)) };
    let open =
        after.begun.iter().map(|a| (a.role, newcomer::may_open(hub, &scene, &after.case, a, &records))).collect();
    let work = Settle { hub: Arc::clone(hub), scene, from: from.clone(), heir, after, rev, count, open, own };
    hub.store.run_tx(Admitted::by_configuration().office(), work).await?;
    if exit_alone {
        Box::pin(settle_case(hub, from, case_id)).await?;
    }
    Ok(true)
}

struct Settle {
    hub: Arc<Exchange>,
    scene: Scene,
    from: Oin,
    heir: Option<Oin>,
    after: After,
    rev: i64,
    /// Records of the case in all.
    count: i64,
    /// What the heir may open in each role that it gets.
    open: Vec<(Role, Vec<RecordRow>)>,
    /// What was written by those in whose place the heir sits, as far as their agents are still there.
    own: Vec<RecordRow>,
}

impl Work for Settle {
    type Output = ();

    fn seen(&self) -> Seen {
        let case = Some((self.after.case.id.clone(), self.rev));
        Seen { registry: Some(self.scene.registry.rev), case, changes: Changes::Case, ..Seen::default() }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        use crate::store::case;
        let After { case: after, ended, begun, measures, .. } = &self.after;
        case::check_record_count(tx, &after.id, self.count).await?;
        for assignment in ended {
            let end = assignment.ended_at.unwrap_or(self.scene.now);
            case::end_assignment(tx, &assignment.id, micros(end)).await?;
            tell_end(tx, &self.scene, after, assignment).await?;
        }
        if let Some(heir) = &self.heir {
            if let Some(name) = after.name_for(heir).filter(|_| !begun.is_empty()) {
                case::insert_name(tx, &after.id, heir, name).await?;
            }
            for assignment in begun {
                case::insert_assignment(tx, &after.id, assignment).await?;
                tell(tx, &self.scene, after, heir, Kind::RoleAssigned, Some(assignment.role));
            }
            if *measures {
                let now = micros(self.scene.now);
                crate::store::succession::pass_measures(tx, &after.id, self.from.as_str(), heir.as_str(), now).await?;
            }
            self.ask_to_seal(tx, heir).await?;
        }
        case::save(tx, after).await?;
        self.tell_others(tx);
        Ok(((), self.draft()))
    }
}

impl Settle {
    /// Authors' agents seal for the heir what its roles open; that of the one that goes, and of those whose place it took itself, all
    /// that they wrote in a role that the heir has now: it becomes the heir's own.
    async fn ask_to_seal(&self, tx: &mut Tx<'_>, heir: &Oin) -> Result<(), StoreError> {
        for (role, records) in &self.open {
            newcomer::request(tx, &self.scene, records, heir, *role).await?;
        }
        let (case, terms) = (&self.after.case, self.hub.terms());
        for row in &self.own {
            let role: Role = row.author_role.parse().map_err(|_| StoreError::Inconsistent("record"))?;
            if matches!(case.held(heir, role, self.scene.now, terms), Held::Now(_)) {
                newcomer::request(tx, &self.scene, std::slice::from_ref(row), heir, role).await?;
            }
        }
        Ok(())
    }

    /// The other participants hear that somebody else sits there now, or nobody.
    fn tell_others(&self, tx: &mut Tx<'_>) {
        let case = &self.after.case;
        for oin in audience(case, self.heir.as_ref(), self.scene.now, self.hub.terms()) {
            tell(tx, &self.scene, case, oin, Kind::Participants, self.main_role());
        }
    }

    /// The role by which the change is named: the case itself before any other.
    fn main_role(&self) -> Option<Role> {
        let mut roles = self.after.ended.iter().chain(&self.after.begun).map(|a| a.role);
        roles.clone().find(|role| *role == Role::R02).or_else(|| roles.next())
    }

    /// Nobody asked: the organisation that goes is the one that it concerns, and the one that comes.
    fn draft(&self) -> Draft {
        let codes = |roles: &[Assignment]| roles.iter().map(|a| a.role.code()).collect::<Vec<_>>().join(" ");
        let (ended, begun) = (codes(&self.after.ended), codes(&self.after.begun));
        let measures = if self.after.measures { "; carries out its measures" } else { "" };
        let chosen = if self.after.chosen { "; is the provider chosen" } else { "" };
        let motivation = match &self.heir {
            Some(heir) => format!("partners/{heir} takes its place; ended: {ended}; begun: {begun}{measures}{chosen}"),
            None => format!("left; ended: {ended}"),
        };
        Draft {
            method: if self.heir.is_some() { SucceedPartner::METHOD } else { SetPartnerStatus::METHOD },
            action: Some(Action::Update),
            source: self.from.to_string(),
            recipients: self.heir.iter().map(ToString::to_string).collect(),
            case_id: Some(self.after.case.id.clone()),
            role: self.main_role(),
            categories: vec![Category::C05],
            motivation,
            ..Draft::default()
        }
    }
}

/// Whoever takes part and may hear who does, but the heir that hears of its own roles.
fn audience<'c>(
    case: &'c CaseFile,
    heir: Option<&Oin>,
    now: OffsetDateTime,
    terms: &'c Parameters,
) -> BTreeSet<&'c Oin> {
    let hears = |a: &&Assignment| concerns(Kind::Participants, a.role, case.chosen.as_ref() == a.partner());
    let begins =
        |oin: &&Oin| Some(*oin) == heir && case.assignments.iter().any(|a| a.partner() == heir && a.starts_at == now);
    case.active(now, terms).filter(hears).filter_map(Assignment::partner).filter(|oin| !begins(oin)).collect()
}

#[cfg(test)]
mod tests;
