//! Another library builds the same trees: `ct-merkle` shares no line with `tlog_tiles`.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::Sha256;

use super::*;

type Theirs = MemoryBackedTree<Sha256, [u8; 8]>;

/// One tree, built twice.
struct Twice {
    edge: Edge,
    tiles: BTreeMap<Place, Vec<u8>>,
    theirs: Theirs,
}

impl Twice {
    fn of(size: u64) -> Self {
        let mut twice = Self { edge: Edge::default(), tiles: BTreeMap::new(), theirs: Theirs::new() };
        twice.grow(size);
        twice
    }

    fn grow(&mut self, to: u64) {
        let new = self.edge.size()..to;
        self.tiles.extend(self.edge.grow(new.clone().map(|number| record_hash(&leaf(number)))));
        new.for_each(|number| self.theirs.push(leaf(number)));
    }

    fn tree(&self) -> Tree {
        Tree { size: self.edge.size(), root: self.edge.root() }
    }

    fn gather<T>(&self, work: impl Fn(&Tiles) -> Result<T, Missing>) -> T {
        Tiles::default().gather(work, |place| self.tiles.get(&place).cloned().unwrap_or_default()).unwrap()
    }

    /// The hashes that prove an entry, as they stand in our file of proof.
    fn inclusion(&self, index: u64) -> Vec<Hash> {
        let checkpoint = Checkpoint::sign(&key(), self.tree()).unwrap();
        let file = self.gather(|tiles| Proof::make(index, &checkpoint, tiles)).to_bytes();
        let (head, _) = std::str::from_utf8(&file).unwrap().split_once("\n\n").unwrap();
        head.lines().skip(2).map(|line| Hash::parse_hash(line).unwrap()).collect()
    }

    fn consistency(&self, older: &Tree) -> Vec<Hash> {
        self.gather(|tiles| self.tree().follows(older, tiles)).unwrap()
    }

    /// Whether an entry is proven by these hashes: to us, and to them.
    fn includes(&self, index: u64, entry: u64, hashes: &[Hash]) -> (bool, bool) {
        let checkpoint = Checkpoint::sign(&key(), self.tree()).unwrap();
        let file = [proof::head(None, index, hashes).as_bytes(), &checkpoint.to_bytes()].concat();
        let proof = Proof::from_bytes(&file).unwrap();
        let theirs = InclusionProof::try_from_bytes(bytes(hashes)).unwrap();
        (
            proof.verify(record_hash(&leaf(entry)), key().public()).is_ok(),
            root(&self.tree()).verify_inclusion(&leaf(entry), index, &theirs).is_ok(),
        )
    }

    /// Whether these hashes prove that the tree has grown from an older one: to us, and to them.
    fn has_grown_from(&self, older: &Tree, hashes: &[Hash]) -> (bool, bool) {
        let theirs = ConsistencyProof::try_from_bytes(bytes(hashes)).unwrap();
        (
            self.tree().has_grown_from(older, &hashes.to_vec()),
            root(&self.tree()).verify_consistency(&root(older), &theirs).is_ok(),
        )
    }
}

fn key() -> PrivateKey {
    PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[1; 32]).unwrap()
}

const fn leaf(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn root(tree: &Tree) -> RootHash<Sha256> {
    RootHash::new(tree.root.0.into(), tree.size)
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks().0.iter().map(|hash| Hash(*hash)).collect()
}

/// The same hashes with one bit of one of them changed, if there are any.
fn changed(hashes: &[Hash], which: Index, bit: usize) -> Option<Vec<Hash>> {
    let mut hashes = hashes.to_vec();
    let at = (!hashes.is_empty()).then(|| which.index(hashes.len()))?;
    hashes[at].0[bit / 8] ^= 1 << (bit % 8);
    Some(hashes)
}

/// Sizes at which something begins or ends: of a tree, a tile, a level.
fn size() -> impl Strategy<Value = u64> {
    let edges = prop::sample::select(vec![1u64, 2, 3, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025]);
    prop_oneof![1u64..1200, edges]
}

const BOTH: (bool, bool) = (true, true);
const NEITHER: (bool, bool) = (false, false);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn another_library_proves_the_same_entries(size in size(), at in any::<Index>(), which in any::<Index>(), bit in 0usize..256) {
        let twice = Twice::of(size);
        prop_assert_eq!(twice.theirs.root().as_bytes()[..].to_vec(), twice.tree().root.0.to_vec());
        let index = at.index(size as usize) as u64;
        let (ours, theirs) = (twice.inclusion(index), twice.theirs.prove_inclusion(index as usize));
        prop_assert_eq!(&ours, &hashes(theirs.as_bytes()));
        prop_assert_eq!(twice.includes(index, index, &ours), BOTH);
        prop_assert_eq!(twice.includes(index, index + 1, &ours), NEITHER);
        if let Some(wrong) = changed(&ours, which, bit) {
            prop_assert_eq!(twice.includes(index, index, &wrong), NEITHER);
            prop_assert_eq!(twice.includes(index, index, &ours[1..]), NEITHER);
        }
    }

    #[test]
    fn another_library_proves_the_same_growth(one in size(), other in size(), which in any::<Index>(), bit in 0usize..256) {
        let (from, to) = (one.min(other), one.max(other));
        let mut twice = Twice::of(from);
        let older = twice.tree();
        twice.grow(to);
        let (ours, theirs) = (twice.consistency(&older), twice.theirs.prove_consistency((to - from) as usize));
        prop_assert_eq!(&ours, &hashes(theirs.as_bytes()));
        prop_assert_eq!(twice.has_grown_from(&older, &ours), BOTH);
        let forked = Tree { root: record_hash(b"forked"), ..older };
        prop_assert_eq!(twice.has_grown_from(&forked, &ours), NEITHER);
        if let Some(wrong) = changed(&ours, which, bit) {
            prop_assert_eq!(twice.has_grown_from(&older, &wrong), NEITHER);
            prop_assert_eq!(twice.has_grown_from(&older, &ours[1..]), NEITHER);
        }
    }
}

/// As large as the example of tlog-tiles, where three levels of tiles are in use.
#[test]
fn another_library_builds_the_same_tree_of_70_000() {
    let mut twice = Twice::of(65_537);
    let older = twice.tree();
    twice.grow(70_000);
    assert_eq!(twice.theirs.root().as_bytes()[..], twice.tree().root.0);
    for index in [0, 255, 256, 65_535, 65_536, 69_999] {
        let ours = twice.inclusion(index);
        assert_eq!(ours, hashes(twice.theirs.prove_inclusion(index as usize).as_bytes()));
        assert_eq!(twice.includes(index, index, &ours), BOTH);
        assert_eq!(twice.includes(index ^ 1, index, &ours), NEITHER);
    }
    let ours = twice.consistency(&older);
    assert_eq!(ours, hashes(twice.theirs.prove_consistency(70_000 - 65_537).as_bytes()));
    assert_eq!(twice.has_grown_from(&older, &ours), BOTH);
}

#[test]
fn an_empty_tree_has_one_root() {
    for (root, is_one) in [(tlog_tiles::EMPTY_HASH, true), (record_hash(b""), false)] {
        let note = Checkpoint::sign(&key(), Tree { size: 0, root }).unwrap().to_bytes();
        assert_eq!(Checkpoint::open(&note, key().public()).is_ok(), is_one);
    }
}

/// A size that a log signs may be any number: what it takes to reckon with it has an end all the same.
#[test]
fn a_tree_has_no_more_leaves_than_can_be_counted() {
    let (small, most) = (Twice::of(3).tree(), 1 << 62);
    for (size, is_one) in [(3, true), (most, true), (most + 1, false), ((1 << 63) + 1, false), (u64::MAX, false)] {
        let note = Checkpoint::sign(&key(), Tree { size, ..small }).unwrap().to_bytes();
        let read = Checkpoint::open(&note, key().public());
        assert_eq!(read.is_ok(), is_one, "{size}");
        if let Ok(read) = read {
            assert!(size == 3 || read.tree().follows(&small, &Tiles::default()).is_err());
        }
    }
}
