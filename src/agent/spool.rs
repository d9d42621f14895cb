//! Ciphertext on its way, in files that nobody else may read and that are gone when their call is. Plain content is
//! never written to disk.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};

use crate::whole_file;

/// The directory of the spool.
pub(super) struct SpoolDirectory(PathBuf);

impl SpoolDirectory {
    /// Opens the spool in `store` and removes what an earlier process left behind.
    pub(super) fn open(store: &Path) -> io::Result<Self> {
        let path = store.join("spool");
        private_directory(&path)?;
        for entry in std::fs::read_dir(&path)? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(Self(path))
    }

    /// A new, empty file.
    pub(super) async fn create(&self) -> io::Result<Spool> {
        let path = self.0.join(uuid::Uuid::new_v4().to_string());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&path).await?;
        Ok(Spool { writer: BufWriter::new(file), path: SpoolPath(path) })
    }
}

/// Makes a directory that is the agent's alone, or takes it away from others if it is there.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    whole_file::private_directory(path)?;
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

/// A file that is being written.
pub(super) struct Spool {
    writer: BufWriter<File>,
    path: SpoolPath,
}

impl Spool {
    /// Appends.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// Ends writing; from now on it can be read, as often as needed.
    pub(super) async fn finish(mut self) -> io::Result<Spooled> {
        self.writer.flush().await?;
        Ok(Spooled(self.path))
    }
}

/// A file that was written.
pub(super) struct Spooled(SpoolPath);

impl Spooled {
    /// Reads it from the start.
    pub(super) async fn reader(&self) -> io::Result<Pieces> {
        Ok(Pieces(File::open(&self.0.0).await?))
    }
}

/// A file being read.
pub(super) struct Pieces(File);

impl Pieces {
    /// The next bytes, `most` of them unless the file ends; empty at its end.
    pub(super) async fn next(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut piece = Vec::with_capacity(most);
        (&mut self.0).take(most as u64).read_to_end(&mut piece).await?;
        Ok(piece)
    }
}

/// Removes the file when nobody needs it any more.
struct SpoolPath(PathBuf);

impl Drop for SpoolPath {
    fn drop(&mut self) {
        // What can't be removed now is removed at the next start.
        drop(std::fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_live_as_long_as_their_call() {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join("spool")).unwrap();
        let spool = SpoolDirectory::open(store.path()).unwrap();
        let count = || std::fs::read_dir(store.path().join("spool")).unwrap().count();
        let mut file = spool.create().await.unwrap();
        file.write(b"cipher").await.unwrap();
        file.write(b"text").await.unwrap();
        let spooled = file.finish().await.unwrap();
        for _ in 0..2 {
            let mut pieces = spooled.reader().await.unwrap();
            assert_eq!(pieces.next(6).await.unwrap(), b"cipher");
            assert_eq!(pieces.next(6).await.unwrap(), b"text");
            assert!(pieces.next(6).await.unwrap().is_empty());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&spooled.0.0).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let mode = std::fs::metadata(store.path().join("spool")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        assert_eq!(count(), 1);
        drop(spooled);
        assert_eq!(count(), 0);

        let unfinished = spool.create().await.unwrap();
        std::mem::forget(unfinished);
        assert_eq!(count(), 1);
        SpoolDirectory::open(store.path()).unwrap();
        assert_eq!(count(), 0);
    }
}
