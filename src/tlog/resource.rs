//! What a log's files are called: the paths of C2SP tlog-tiles.

use tlog_tiles::Tile;

use super::{FULL, HEIGHT, Place};

/// No path of C2SP: how a log shows witnesses what they can't be asked to sign.
const PENDING: &str = "/checkpoint.pending";

/// A file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The newest checkpoint.
    Checkpoint,
    /// The one that witnesses are to sign before it is shown.
    Pending,
    /// A tile of hashes.
    Tile {
        /// 0: the leaves.
        level: u8,
        /// Place within the level.
        index: u64,
        /// Hashes, 1–256.
        width: usize,
    },
    /// The entries under a tile of level 0.
    Entries {
        /// Place of that tile.
        index: u64,
        /// Entries, 1–256.
        width: usize,
    },
}

impl Resource {
    /// By its path, `/checkpoint` or `/tile/…`. There is one way to write each.
    pub fn from_path(path: &str) -> Option<Self> {
        if path == "/checkpoint" {
            return Some(Self::Checkpoint);
        }
        if path == PENDING {
            return Some(Self::Pending);
        }
        let rest = path.strip_prefix("/tile/")?;
        let (level, rest) = rest.split_once('/')?;
        let entries = level == "entries";
        let number = if entries { 0 } else { level.parse::<u8>().ok().filter(|level| *level < 64)? };
        // The library stops at a width of nothing, however that is written.
        let part = rest.split_once(".p/").map(|(_, part)| part.parse::<u8>().ok());
        if part.is_some_and(|width| width.is_none_or(|width| width == 0)) {
            return None;
        }
        let tile = Tile::from_path(&format!("tile/{HEIGHT}/{}/{rest}", if entries { "data" } else { level })).ok()?;
        let (index, width) = (tile.level_index(), usize::try_from(tile.width()).ok()?);
        Some(if entries { Self::Entries { index, width } } else { Self::Tile { level: number, index, width } })
    }

    /// A tile as it is in a tree of this size: with all of its hashes that there are.
    pub fn tile((level, index): Place, size: u64) -> Self {
        let hashes = size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or_default();
        let width = hashes.saturating_sub(index.saturating_mul(FULL as u64)).min(FULL as u64);
        Self::Tile { level, index, width: usize::try_from(width).unwrap_or_default() }
    }

    /// The tiles of level 0 of a tree of this size, and the entries under each.
    pub fn leaves(size: u64) -> impl Iterator<Item = (Self, Self)> {
        (0..size.div_ceil(FULL as u64)).map(move |index| {
            let tile = Self::tile((0, index), size);
            (tile, Self::Entries { index, width: tile.width() })
        })
    }

    /// The tiles of a tree of this size, from the leaves up.
    pub fn tiles(size: u64) -> impl Iterator<Item = Self> {
        let hashes = move |level: u8| size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or_default();
        (0..64u8).flat_map(move |level| {
            (0..hashes(level).div_ceil(FULL as u64)).map(move |index| Self::tile((level, index), size))
        })
    }

    /// Hashes or entries, 0 for a checkpoint.
    pub const fn width(&self) -> usize {
        match self {
            Self::Checkpoint | Self::Pending => 0,
            Self::Tile { width, .. } | Self::Entries { width, .. } => *width,
        }
    }

    /// Whether it has its greatest width: it never changes any more, nor does what it stands for.
    pub const fn is_full(&self) -> bool {
        self.width() == FULL
    }
}

/// The path of a file.
pub fn path(resource: &Resource) -> String {
    let (level, index, width) = match *resource {
        Resource::Checkpoint => return "/checkpoint".to_owned(),
        Resource::Pending => return PENDING.to_owned(),
        Resource::Tile { level, index, width } => (level.to_string(), index, width),
        Resource::Entries { index, width } => ("entries".to_owned(), index, width),
    };
    let mut digits = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        digits = format!("x{:03}/{digits}", rest % 1000);
        rest /= 1000;
    }
    let part = if width == FULL { String::new() } else { format!(".p/{width}") };
    format!("/tile/{level}/{digits}{part}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let tile = |level, index, width| Some(Resource::Tile { level, index, width });
        let entries = |index, width| Some(Resource::Entries { index, width });
        let table = [
            ("/checkpoint", Some(Resource::Checkpoint)),
            ("/checkpoint.pending", Some(Resource::Pending)),
            ("/tile/0/x001/x234/067", tile(0, 1_234_067, 256)),
            ("/tile/0/000", tile(0, 0, 256)),
            ("/tile/63/001.p/255", tile(63, 1, 255)),
            ("/tile/entries/273.p/112", entries(273, 112)),
            ("/tile/entries/x001/000", entries(1000, 256)),
            ("/tile/64/000", None),
            ("/tile/255/000", None),
            ("/tile/00/000", None),
            ("/tile/+1/000", None),
            ("/tile/data/000", None),
            ("/tile/0/0", None),
            ("/tile/0/001.p/256", None),
            ("/tile/0/001.p/0", None),
            ("/tile/0/001.p/00", None),
            ("/tile/0/001.p/000", None),
            ("/tile/0/001.p/+0", None),
            ("/tile/0/001.p/+1", None),
            ("/tile/0/001.p/1/.p/0", None),
            ("/tile/0/x001.p/0/001.p/1", None),
            ("/tile/entries/001.p/00", None),
            ("/tile/0/001.p/01", None),
            ("/tile/0/001.p/", None),
            ("/tile/0/x000/001", None),
            ("/tile/0/001/002", None),
            ("/tile/0/", None),
            ("/tile/0", None),
            ("/tile//000", None),
            ("/checkpoint/", None),
            ("checkpoint", None),
            ("/tile/0/x018/x446/x744/x073/x709/x551/616.p/255", None),
        ];
        for (text, expected) in table {
            assert_eq!(Resource::from_path(text), expected, "{text}");
            if let Some(resource) = expected {
                assert_eq!(path(&resource), text);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(level in 0u8..64, index in any::<u64>(), width in 1usize..=256) {
            for resource in [Resource::Tile { level, index, width }, Resource::Entries { index, width }] {
                prop_assert_eq!(Resource::from_path(&path(&resource)), Some(resource));
            }
        }

        #[test]
        fn anything_else_is_refused_without_a_stop(text in "(/tile/(entries|[0-9]{1,2})/)?[0-9ex/.p+-]{0,9}(\\.p/[+0-9]{0,4})?") {
            if let Some(resource) = Resource::from_path(&text) {
                prop_assert_eq!(path(&resource), text);
            }
        }
    }
}
