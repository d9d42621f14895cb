//! Cases in memory. A decision may rest on a case as it was read before, because its commit compares the revision: the memory
//! saves reading, it never decides. Nothing is here that another node needs.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::case::CaseFile;
use crate::party::Oin;

/// Parts with a lock of their own, so that calls do not wait for one another.
const PARTS: usize = 16;
/// Cases in one part. A network has some hundreds of cases; this is a bound, not a tuning.
const ROOM: usize = 256;

/// Cases by id, and by the names that organisations have for them.
#[derive(Default)]
pub struct Cases {
    parts: [Mutex<HashMap<String, Arc<CaseFile>>>; PARTS],
    names: [Mutex<HashMap<String, (Oin, String)>>; PARTS],
    hasher: RandomState,
}

impl Cases {
    /// The case that this organisation calls so. Somebody else's name finds nothing, as an unknown one does.
    pub fn by_name(&self, name: &str, oin: &Oin) -> Option<Arc<CaseFile>> {
        let case_id = match lock(self.part(&self.names, name)?).get(name) {
            Some((owner, case_id)) if owner == oin => case_id.clone(),
            _ => return None,
        };
        self.get(&case_id)
    }

    /// The case with this id.
    pub fn get(&self, case_id: &str) -> Option<Arc<CaseFile>> {
        lock(self.part(&self.parts, case_id)?).get(case_id).cloned()
    }

    /// Keeps a case, unless a newer one is here.
    pub fn keep(&self, case: &Arc<CaseFile>) {
        for (oin, name) in &case.names {
            let Some(part) = self.part(&self.names, name) else { continue };
            let mut names = lock(part);
            make_room(&mut names);
            names.insert(name.clone(), (oin.clone(), case.id.clone()));
        }
        let Some(part) = self.part(&self.parts, &case.id) else { return };
        let mut cases = lock(part);
        make_room(&mut cases);
        if cases.get(&case.id).is_none_or(|known| known.rev <= case.rev) {
            cases.insert(case.id.clone(), Arc::clone(case));
        }
    }

    /// Forgets a case that changed.
    pub fn forget(&self, case_id: &str) {
        if let Some(part) = self.part(&self.parts, case_id) {
            lock(part).remove(case_id);
        }
    }

    /// Forgets every case.
    pub fn forget_all(&self) {
        for part in &self.parts {
            lock(part).clear();
        }
    }

    fn part<'a, T>(&self, parts: &'a [T; PARTS], key: &str) -> Option<&'a T> {
        let hash = usize::try_from(self.hasher.hash_one(key) % PARTS as u64).ok()?;
        parts.get(hash)
    }
}

fn make_room<T>(part: &mut HashMap<String, T>) {
    // Which ones go does not matter: they are read again.
    if part.len() >= ROOM {
        part.clear();
    }
}

/// A panic elsewhere leaves a map that is whole: entries go in and out at once.
fn lock<T>(part: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
