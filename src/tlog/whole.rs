//! A whole log, file by file: whether entries, tiles and checkpoint are of one tree. Needs the log's public key, or its policy, and nothing else.

use std::collections::BTreeMap;

use tlog_tiles::{HASH_SIZE, Hash, record_hash};

use super::checkpoint::{Checkpoint, Tree};
use super::edge::Edge;
use super::policy::{Disbelief, Policy};
use super::resource::{Resource, path};
use super::{FULL, Place};

/// A log that verifies.
#[derive(Debug)]
pub struct Whole {
    /// What the log signed.
    pub checkpoint: Checkpoint,
    /// Entries that were there; the others are known by their hashes only.
    pub entries: u64,
}

/// Where a log does not verify.
#[derive(Debug, thiserror::Error)]
pub enum Fault<E: std::error::Error + 'static> {
    /// A file can't be read.
    #[error("{0} can't be read")]
    Read(String, #[source] E),
    /// A file is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// The checkpoint.
    #[error("/checkpoint")]
    Checkpoint(#[from] Disbelief),
    /// A bundle that does not hold as many entries as its name says.
    #[error("{0} does not hold the entries of its name, whole")]
    Bundle(String),
    /// An entry that is not the one in the tree.
    #[error("entry {0} is not the one that stands in the tree")]
    Entry(u64),
    /// A tile that is not that of the entries.
    #[error("{0} is not the tile of what is below it")]
    Tile(String),
    /// The signed root.
    #[error("the signed root is not that of these {0} entries")]
    Root(u64),
}

/// Entries one after the other, each after its length in two bytes; nothing if one is longer than that can say.
pub fn bundle<'e>(entries: impl IntoIterator<Item = &'e Vec<u8>>) -> Option<Vec<u8>> {
    let mut bundle = Vec::new();
    for entry in entries {
        bundle.extend(u16::try_from(entry.len()).ok()?.to_be_bytes());
        bundle.extend(entry);
    }
    Some(bundle)
}

/// Splits a bundle into its entries, each after its length in two bytes.
pub fn entries(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((len, rest)) = bundle.split_first_chunk() {
        let (entry, after) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        entries.push(entry);
        bundle = after;
    }
    bundle.is_empty().then_some(entries)
}

/// Verifies a log that `read` gives file by file; `None` for a file that is not there. Entries may be missing, tiles may not.
///
/// # Errors
/// [`Fault`]: the first that was found.
pub fn verify<E: std::error::Error + 'static>(
    policy: &Policy,
    mut read: impl FnMut(&Resource) -> Result<Option<Vec<u8>>, E>,
) -> Result<Whole, Fault<E>> {
    let mut file = |resource: &Resource| read(resource).map_err(|error| Fault::Read(path(resource), error));
    let missing = |resource: &Resource| Fault::Missing(path(resource));
    let note = file(&Resource::Checkpoint)?.ok_or_else(|| missing(&Resource::Checkpoint))?;
    let checkpoint = policy.open(&note)?;
    let tree = *checkpoint.tree();
    let (mut edge, mut here, mut unfinished) = (Edge::default(), 0, BTreeMap::new());
    for (tile, bundle) in Resource::leaves(tree.size) {
        let (from, width) = (edge.size(), bundle.width());
        let hashes = hashes(&file(&tile)?.ok_or_else(|| missing(&tile))?);
        if hashes.len() != width {
            return Err(Fault::Tile(path(&tile)));
        }
        if let Some(bytes) = file(&bundle)? {
            let found = entries(&bytes).filter(|found| found.len() == width);
            let found = found.ok_or_else(|| Fault::Bundle(path(&bundle)))?;
            for (place, (entry, hash)) in (from..).zip(found.iter().zip(&hashes)) {
                if record_hash(entry) != *hash {
                    return Err(Fault::Entry(place));
                }
            }
            here += width as u64;
        }
        for (place, bytes) in edge.grow(hashes) {
            // What is full stays so; what is not may grow on the way.
            if bytes.len() == FULL * HASH_SIZE {
                unfinished.remove(&place);
                same(&mut file, place, &bytes)?;
            } else {
                unfinished.insert(place, bytes);
            }
        }
    }
    for (place, bytes) in unfinished {
        same(&mut file, place, &bytes)?;
    }
    if (Tree { size: edge.size(), root: edge.root() }) != tree {
        return Err(Fault::Root(tree.size));
    }
    Ok(Whole { checkpoint, entries: here })
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    let (hashes, rest) = bytes.as_chunks::<HASH_SIZE>();
    if rest.is_empty() { hashes.iter().map(|hash| Hash(*hash)).collect() } else { Vec::new() }
}

fn same<E: std::error::Error + 'static>(
    file: &mut impl FnMut(&Resource) -> Result<Option<Vec<u8>>, Fault<E>>,
    (level, index): Place,
    expected: &[u8],
) -> Result<(), Fault<E>> {
    let tile = Resource::Tile { level, index, width: expected.len() / HASH_SIZE };
    let found = file(&tile)?.ok_or_else(|| Fault::Missing(path(&tile)))?;
    if found == expected { Ok(()) } else { Err(Fault::Tile(path(&tile))) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::note::PrivateKey;
    use super::*;

    type Files = BTreeMap<String, Vec<u8>>;

    fn key() -> PrivateKey {
        PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[1; 32]).unwrap()
    }

    fn entry(number: u64) -> Vec<u8> {
        format!("{{\"id\":{number}}}").into_bytes()
    }

    fn log(size: u64) -> Files {
        let mut files = Files::new();
        let mut edge = Edge::default();
        for index in 0..size.div_ceil(256) {
            let some: Vec<Vec<u8>> = (index * 256..size.min((index + 1) * 256)).map(entry).collect();
            files.insert(path(&Resource::Entries { index, width: some.len() }), bundle(&some).unwrap());
        }
        for ((level, index), bytes) in edge.grow((0..size).map(|number| record_hash(&entry(number)))) {
            files.insert(path(&Resource::Tile { level, index, width: bytes.len() / 32 }), bytes);
        }
        let checkpoint = Checkpoint::sign(&key(), Tree { size, root: edge.root() }).unwrap();
        files.insert("/checkpoint".to_owned(), checkpoint.to_bytes());
        files
    }

    fn verified(files: &Files) -> Result<Whole, Fault<Infallible>> {
        verify(&Policy::of_log(key().public().clone()), |resource| Ok(files.get(&path(resource)).cloned()))
    }

    #[test]
    fn a_log_of_any_size_verifies() {
        for size in [0, 1, 255, 256, 257, 70_000] {
            let whole = verified(&log(size)).unwrap();
            assert_eq!((whole.checkpoint.tree().size, whole.entries), (size, size));
        }
    }

    #[test]
    fn entries_may_be_gone_and_tiles_may_not() {
        let mut files = log(600);
        files.remove("/tile/entries/001");
        assert_eq!(verified(&files).unwrap().entries, 600 - 256);
        files.remove("/tile/1/000.p/2");
        assert_eq!(verified(&files).unwrap_err().to_string(), "/tile/1/000.p/2 is missing");
    }

    #[test]
    fn a_cut_tail_and_a_changed_order_are_found() {
        let mut files = log(600);
        let bundle = files.get_mut("/tile/entries/002.p/88").unwrap();
        bundle.truncate(bundle.len() - 3);
        assert!(matches!(verified(&files), Err(Fault::Bundle(_))));
        let mut files = log(600);
        let tile = files.get_mut("/tile/0/000").unwrap();
        for at in 0..32 {
            tile.swap(at, at + 32);
        }
        assert!(matches!(verified(&files), Err(Fault::Entry(0))));
        files.remove("/tile/entries/000");
        assert!(matches!(verified(&files), Err(Fault::Tile(_))), "nor without the entries");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn no_byte_of_any_file_can_be_changed(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), by in 1u8..=255) {
            let mut files = log(600);
            let name = files.keys().nth(file.index(files.len())).unwrap().clone();
            let bytes = files.get_mut(&name).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert!(verified(&files).is_err(), "{} at {}", name, at);
        }
    }
}
