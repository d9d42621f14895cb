//! How a tree grows: all that is needed of what stands already is its right edge, the last tile of every level while that is
//! not full.

use std::collections::BTreeMap;

use tlog_tiles::{EMPTY_HASH, HASH_SIZE, Hash, Tile, tree_hash};

use super::tiles::Tiles;
use super::{FULL, HEIGHT, Place};

/// The right edge of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// Hashes of the unfinished tile of each level, from the leaves up.
    levels: Vec<Vec<u8>>,
}

impl Edge {
    /// Which tiles the edge of a tree of this size is made of.
    pub fn places(size: u64) -> Vec<Place> {
        (0..levels(size)).filter(|level| width(size, *level) > 0).map(|level| (level, index(size, level))).collect()
    }

    /// The edge of a tree of this size from its stored tiles; nothing if one is missing or shorter than it has to be.
    pub fn from_tiles(size: u64, mut tile: impl FnMut(Place) -> Option<Vec<u8>>) -> Option<Self> {
        let mut edge = Self { size, levels: Vec::new() };
        for level in 0..levels(size) {
            let width = width(size, level) * HASH_SIZE;
            let bytes = if width == 0 { Vec::new() } else { tile((level, index(size, level)))? };
            edge.levels.push(bytes.get(..width)?.to_vec());
        }
        Some(edge)
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends leaves, given by their hashes; gives the tiles that are new or longer, each with its place and all of its bytes.
    pub fn grow(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<(Place, Vec<u8>)> {
        let before = self.size;
        let mut tiles = BTreeMap::new();
        for leaf in leaves {
            self.push(0, leaf, &mut tiles);
            self.size += 1;
        }
        // What is unfinished is stored too, where it changed.
        for (level, bytes) in (0..).zip(&self.levels) {
            let has_grown = before >> (u32::from(HEIGHT) * u32::from(level)) != self.at(level);
            if has_grown && !bytes.is_empty() {
                tiles.insert((level, index(self.size, level)), bytes.clone());
            }
        }
        tiles.into_iter().collect()
    }

    fn push(&mut self, level: u8, hash: Hash, full: &mut BTreeMap<Place, Vec<u8>>) {
        let place = index(self.size, level);
        let at = usize::from(level);
        if self.levels.len() <= at {
            self.levels.resize(at + 1, Vec::new());
        }
        let Some(bytes) = self.levels.get_mut(at) else { return };
        bytes.extend_from_slice(&hash.0);
        if bytes.len() == FULL * HASH_SIZE {
            let bytes = std::mem::take(bytes);
            let above = Tile::subtree_hash(&bytes);
            full.insert((level, place), bytes);
            self.push(level + 1, above, full);
        }
    }

    /// Hashes at this level.
    const fn at(&self, level: u8) -> u64 {
        match self.size.checked_shr(HEIGHT as u32 * level as u32) {
            Some(hashes) => hashes,
            None => 0,
        }
    }

    /// The root hash.
    pub fn root(&self) -> Hash {
        if self.size == 0 {
            return EMPTY_HASH;
        }
        let mut tiles = Tiles::default();
        for (level, bytes) in (0..).zip(&self.levels) {
            tiles.add((level, index(self.size, level)), bytes.clone());
        }
        // Every hash that a root is made of stands in the edge.
        tree_hash(self.size, &tiles).unwrap_or(EMPTY_HASH)
    }
}

/// Levels of tiles in a tree of this size.
fn levels(size: u64) -> u8 {
    let bits = u64::BITS - size.leading_zeros();
    u8::try_from(bits.div_ceil(u32::from(HEIGHT))).unwrap_or_default()
}

/// Width of the unfinished tile of a level, 0 if there is none.
fn width(size: u64, level: u8) -> usize {
    let hashes = size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or_default();
    usize::try_from(hashes % FULL as u64).unwrap_or_default()
}

/// Place within its level of the unfinished tile, which the next leaf goes to.
fn index(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(HEIGHT) * (u32::from(level) + 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tlog_tiles::{record_hash, stored_hash_index, stored_hashes};

    use super::super::tiles::Flat;
    use super::*;

    fn leaf(number: u64) -> Hash {
        record_hash(&number.to_be_bytes())
    }

    /// Every hash of a tree, as the library stores them one by one.
    fn flat(size: u64) -> Vec<Hash> {
        let mut flat = Vec::new();
        for number in 0..size {
            let new = stored_hashes(number, &number.to_be_bytes(), &Flat(&flat)).unwrap();
            assert_eq!(flat.len() as u64, stored_hash_index(0, number));
            flat.extend(new);
        }
        flat
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// However the leaves come, root and tiles are those of the library that keeps every hash.
        #[test]
        fn growth_in_steps_is_the_tree_of_the_library(steps in proptest::collection::vec(0u64..700, 1..8)) {
            let mut edge = Edge::default();
            let mut stored = BTreeMap::new();
            for step in steps {
                let from = edge.size();
                let grown = edge.grow((from..from + step).map(leaf));
                prop_assert_eq!(step == 0, grown.is_empty());
                stored.extend(grown);
                let again = Edge::from_tiles(edge.size(), |place| stored.get(&place).cloned());
                prop_assert_eq!(again.as_ref(), Some(&edge));
            }
            let flat = flat(edge.size());
            let expected = if edge.size() == 0 { EMPTY_HASH } else { tree_hash(edge.size(), &Flat(&flat)).unwrap() };
            prop_assert_eq!(edge.root(), expected);
            let tiles = Tile::new_tiles(HEIGHT, 0, edge.size());
            prop_assert_eq!(tiles.len(), stored.len());
            for tile in tiles {
                prop_assert_eq!(&stored[&(tile.level(), tile.level_index())], &tile.read_data(&Flat(&flat)).unwrap());
            }
        }
    }

    /// The example of tlog-tiles: 273 full tiles and one of 112; one full and one of 17; one of 1.
    #[test]
    fn a_tree_of_70000_has_the_tiles_of_the_specification() {
        let mut edge = Edge::default();
        let grown = edge.grow((0..70_000).map(leaf));
        let widths = |level: u8| {
            let of = grown.iter().filter(move |((l, _), _)| *l == level);
            of.map(|(_, bytes)| bytes.len() / HASH_SIZE).collect::<Vec<_>>()
        };
        assert_eq!((widths(0).len(), widths(0)[..273].iter().all(|w| *w == 256), widths(0)[273]), (274, true, 112));
        assert_eq!((widths(1), widths(2), widths(3)), (vec![256, 17], vec![1], vec![]));
        assert_eq!(Edge::places(70_000), [(0, 273), (1, 1), (2, 0)]);
        assert_eq!(Edge::places(256), [(1, 0)]);
    }

    #[test]
    fn an_edge_with_a_short_or_a_missing_tile_is_none() {
        let mut edge = Edge::default();
        let grown = edge.grow((0..300).map(leaf));
        let tiles: BTreeMap<_, _> = grown.into_iter().collect();
        assert!(Edge::from_tiles(300, |place| tiles.get(&place).cloned()).is_some());
        assert!(Edge::from_tiles(301, |place| tiles.get(&place).cloned()).is_none());
        assert!(Edge::from_tiles(300, |_| None).is_none());
        assert!(Edge::from_tiles(0, |_| None).is_some_and(|edge| edge.root() == EMPTY_HASH));
    }
}
