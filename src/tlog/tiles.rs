//! Some of a tree's tiles, and which others are needed: proofs are worked out in memory, and the tiles they rest on are read
//! from wherever they are kept.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use tlog_tiles::{Error, HASH_SIZE, Hash, HashReader, Tile};

use super::{HEIGHT, Place};

/// Tiles that are here.
#[derive(Debug, Default)]
pub struct Tiles {
    here: HashMap<Place, Vec<u8>>,
    missing: RefCell<BTreeSet<Place>>,
}

/// Why something can't be worked out from these tiles.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// These have to be added first.
    #[error("tiles are missing")]
    Tiles(BTreeSet<Place>),
    /// No tree has it: a place beyond its end, a tile that is too short.
    #[error("there is no such tree")]
    Impossible,
}

impl Tiles {
    /// Adds a tile, or as much as there is of it.
    pub fn add(&mut self, place: Place, bytes: Vec<u8>) {
        self.here.insert(place, bytes);
    }

    /// Works something out with the tiles that it takes, each of which `tile` gives, or nothing of it. `None`: there is no such tree.
    pub fn gather<T>(
        &mut self,
        work: impl Fn(&Self) -> Result<T, Missing>,
        tile: impl Fn(Place) -> Vec<u8>,
    ) -> Option<T> {
        loop {
            match work(self) {
                Ok(found) => return Some(found),
                Err(Missing::Tiles(places)) => places.into_iter().for_each(|place| self.add(place, tile(place))),
                Err(Missing::Impossible) => return None,
            }
        }
    }

    /// Works something out, or says which tiles that takes. What is asked for twice is not there.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn work_out<T>(&self, work: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Missing> {
        self.missing.borrow_mut().clear();
        let found = work(self);
        let missing = self.missing.take();
        match found {
            Ok(found) => Ok(found),
            Err(_) if !missing.is_empty() => Err(Missing::Tiles(missing)),
            Err(_) => Err(Missing::Impossible),
        }
    }
}

/// Every hash of a tree, by the library's numbers.
pub(super) struct Flat<'h>(pub(super) &'h [Hash]);

impl HashReader for Flat<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let hash = |index: &u64| self.0.get(usize::try_from(*index).ok()?).copied();
        indexes.iter().map(hash).collect::<Option<_>>().ok_or(Error::InvalidTile)
    }
}

impl HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let mut hashes = Vec::with_capacity(indexes.len());
        for index in indexes {
            let needed = Tile::from_index(HEIGHT, *index);
            let place = (needed.level(), needed.level_index());
            let Some(bytes) = self.here.get(&place) else {
                self.missing.borrow_mut().insert(place);
                continue;
            };
            // The library takes a tile that is wider than it needs, and stops at one that is empty.
            let width = u32::try_from(bytes.len() / HASH_SIZE).unwrap_or_default().min(1 << HEIGHT);
            if width == 0 {
                return Err(Error::InvalidTile);
            }
            hashes.push(Tile::new(HEIGHT, place.0, place.1, width, false).hash_at_index(bytes, *index)?);
        }
        if hashes.len() == indexes.len() { Ok(hashes) } else { Err(Error::InvalidTile) }
    }
}
