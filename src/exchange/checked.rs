//! Published keys that were checked before: an organisation publishes far more records than keys, and the signature under
//! its keys says the same each time. What is remembered is compared with what is published, so it can't be stale.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::api::v1;
use crate::party::Oin;
use crate::seal::KeySet;

/// The newest checked set of each organisation.
#[derive(Default)]
pub struct CheckedKeys(RwLock<HashMap<Oin, Arc<Checked>>>);

struct Checked {
    published: v1::KeySet,
    keys: KeySet,
}

impl CheckedKeys {
    /// What `published` holds, if it is this organisation's and `check` finds it so.
    pub(super) fn get(
        &self,
        oin: &Oin,
        published: &v1::KeySet,
        check: impl FnOnce(&v1::KeySet, &Oin) -> Option<KeySet>,
    ) -> Option<KeySet> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(oin).cloned();
        if let Some(known) = known.filter(|known| known.published == *published) {
            return Some(known.keys.clone());
        }
        let keys = check(published, oin)?;
        let checked = Checked { published: published.clone(), keys: keys.clone() };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(oin.clone(), Arc::new(checked));
        Some(keys)
    }
}
