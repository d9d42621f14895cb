//! Where ciphertext waits while it arrives: in memory while it is small, as most is, otherwise in a file of its own that is
//! gone when it is dropped.

use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Largest body, bytes: 25 MiB of content with padding and framing (DESIGN §7).
pub const LARGEST: u64 = 32 * 1024 * 1024;
/// Largest body that stays in memory, bytes. A letter is smaller; and as much may stand in the buffers of its connection.
const SMALL: usize = 128 * 1024;

/// A body that is still arriving.
pub struct Arriving<'a> {
    directory: &'a Path,
    small: Vec<u8>,
    large: Option<(File, Part)>,
    len: u64,
    hash: Context,
}

/// A body that has arrived.
pub struct Spooled {
    held: Held,
    /// Bytes.
    pub len: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
}

enum Held {
    Memory(Vec<u8>),
    File(Part),
}

/// A file of ours, until it is dropped.
struct Part(PathBuf);

/// A body that is being read.
pub enum Reading<'a> {
    /// The rest of it.
    Memory(&'a [u8]),
    /// The file, where the next piece starts.
    File(File),
}

/// Why a body can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Over [`LARGEST`].
    #[error("the body is too large")]
    TooLarge,
    /// The disk.
    #[error("the spool can't be written")]
    Disk(#[from] std::io::Error),
}

impl<'a> Arriving<'a> {
    /// Nothing has arrived. What does not stay small goes to a file in this directory.
    pub fn new(directory: &'a Path) -> Self {
        Self { directory, small: Vec::new(), large: None, len: 0, hash: Context::new(&SHA256) }
    }

    /// Takes the next bytes.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let len = self.len.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if len > LARGEST {
            return Err(SpoolError::TooLarge);
        }
        self.len = len;
        self.hash.update(bytes);
        if self.large.is_none() && self.small.len() + bytes.len() <= SMALL {
            self.small.extend_from_slice(bytes);
            return Ok(());
        }
        let (mut file, part) = match self.large.take() {
            Some(large) => large,
            None => {
                let (mut file, part) = Part::create(self.directory).await?;
                file.write_all(&std::mem::take(&mut self.small)).await?;
                (file, part)
            }
        };
        file.write_all(bytes).await?;
        self.large = Some((file, part));
        Ok(())
    }

    /// Everything has arrived.
    pub async fn finish(self) -> Result<Spooled, SpoolError> {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.finish().as_ref());
        let held = match self.large {
            None => Held::Memory(self.small),
            Some((mut file, part)) => {
                file.flush().await?;
                Held::File(part)
            }
        };
        Ok(Spooled { held, len: self.len, sha256 })
    }
}

impl Spooled {
    /// From the start.
    pub async fn read(&self) -> std::io::Result<Reading<'_>> {
        Ok(match &self.held {
            Held::Memory(bytes) => Reading::Memory(bytes),
            Held::File(part) => Reading::File(File::open(&part.0).await?),
        })
    }
}

impl Reading<'_> {
    /// The next piece, as large as `size` unless it is the last; `None` at the end.
    pub async fn next(&mut self, size: usize) -> std::io::Result<Option<Vec<u8>>> {
        let piece = match self {
            Self::Memory(rest) => {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                *rest = after;
                piece.to_vec()
            }
            Self::File(file) => {
                let mut piece = Vec::with_capacity(size);
                file.take(u64::try_from(size).unwrap_or(u64::MAX)).read_to_end(&mut piece).await?;
                piece
            }
        };
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

impl Part {
    /// A new file, readable by this user only.
    async fn create(directory: &Path) -> std::io::Result<(File, Self)> {
        let path = directory.join(format!("{}.part", uuid::Uuid::new_v4()));
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&path).await?;
        Ok((file, Self(path)))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(error = %error, "spooled body not removed");
        }
    }
}

/// Removes what a killed process left behind. At start, before anything arrives.
pub async fn clean(directory: &Path) -> std::io::Result<()> {
    tokio::fs::create_dir_all(directory).await?;
    #[cfg(unix)]
    tokio::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).await?;
    let mut entries = tokio::fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        if entry.path().extension().is_some_and(|extension| extension == "part") {
            tokio::fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ring::digest::digest;

    use super::*;

    /// Sends `len` bytes in messages of `message`, and reads them back in pieces of `piece`.
    async fn through(directory: &Path, len: usize, message: usize, piece: usize) -> usize {
        let body: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut arriving = Arriving::new(directory);
        for bytes in body.chunks(message) {
            arriving.push(bytes).await.unwrap();
        }
        let spooled = arriving.finish().await.unwrap();
        assert_eq!(spooled.len, len as u64);
        assert_eq!(spooled.sha256, digest(&SHA256, &body).as_ref());
        let mut reading = spooled.read().await.unwrap();
        let mut read = Vec::new();
        while let Some(bytes) = reading.next(piece).await.unwrap() {
            assert!(bytes.len() == piece || read.len() + bytes.len() == len, "only the last piece is short");
            read.extend(bytes);
        }
        assert!(read == body);
        std::fs::read_dir(directory).unwrap().count()
    }

    #[tokio::test]
    async fn what_is_small_needs_no_file_and_what_is_large_leaves_none() {
        let directory = tempfile::tempdir().unwrap();
        for (len, files) in [(0, 0), (1, 0), (SMALL - 1, 0), (SMALL, 0), (SMALL + 1, 1), (3 * SMALL, 1)] {
            for message in [1000, SMALL, 2 * SMALL] {
                assert_eq!(through(directory.path(), len, message, 4096).await, files, "{len} by {message}");
            }
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut arriving = Arriving::new(directory.path());
        let mebibyte = vec![0; 1 << 20];
        for _ in 0..32 {
            arriving.push(&mebibyte).await.unwrap();
        }
        assert!(matches!(arriving.push(&[0]).await, Err(SpoolError::TooLarge)));
        drop(arriving);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_the_disks_fault() {
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("gone");
        let mut arriving = Arriving::new(&gone);
        assert!(matches!(arriving.push(&vec![0; SMALL + 1]).await, Err(SpoolError::Disk(_))));
    }
}
