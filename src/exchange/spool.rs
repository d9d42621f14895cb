//! Where ciphertext waits while it arrives: a file of its own, gone when it is dropped.

use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// Largest body, bytes: 25 MiB of content with padding and framing (DESIGN §7).
pub const LARGEST: u64 = 32 * 1024 * 1024;

/// A body that is still arriving.
pub struct Arriving {
    file: File,
    body: Spooled,
    hash: Context,
}

/// A body that has arrived.
pub struct Spooled {
    path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
}

/// Why a body can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Over [`LARGEST`].
    #[error("the body is too large")]
    TooLarge,
    /// The disk.
    #[error("the spool can't be written")]
    Disk(#[source] std::io::Error),
}

impl Arriving {
    /// Opens a new file in the spool directory, readable by this user only.
    pub async fn create(directory: &Path) -> Result<Self, SpoolError> {
        let path = directory.join(format!("{}.part", uuid::Uuid::new_v4()));
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&path).await.map_err(SpoolError::Disk)?;
        let body = Spooled { path, len: 0, sha256: [0; 32] };
        Ok(Self { file, body, hash: Context::new(&SHA256) })
    }

    /// Takes the next bytes.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let len = self.body.len.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if len > LARGEST {
            return Err(SpoolError::TooLarge);
        }
        self.body.len = len;
        self.hash.update(bytes);
        self.file.write_all(bytes).await.map_err(SpoolError::Disk)
    }

    /// Everything has arrived.
    pub async fn finish(mut self) -> Result<Spooled, SpoolError> {
        self.file.flush().await.map_err(SpoolError::Disk)?;
        let mut body = self.body;
        body.sha256.copy_from_slice(self.hash.finish().as_ref());
        Ok(body)
    }
}

impl Spooled {
    /// Opens it for reading from the start.
    pub async fn open(&self) -> std::io::Result<File> {
        File::open(&self.path).await
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
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
