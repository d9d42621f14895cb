//! A file that is replaced as a whole, and is on the disk when that has succeeded: what a process must not forget.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file; readable by its owner alone. It holds what it held before, or all of this.
///
/// # Errors
/// Of the file system.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_directory(path)
}

/// Removes a file, so that it does not come back when the power goes. One that is not there is removed already, but perhaps by a
/// process that ended before the disk knew.
///
/// # Errors
/// Of the file system.
pub fn remove(path: &Path) -> io::Result<()> {
    remove_then(path, sync_directory)
}

fn remove_then(path: &Path, sync: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync(path),
    }
}

/// What names there are is on the disk when their directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// A directory that only its owner can enter; made if it is not there.
///
/// # Errors
/// Of the file system.
pub fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_removed_when_its_directory_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("renewal.key");
        replace(&path, b"key").unwrap();
        let no_disk = |path: &Path| {
            assert!(!path.exists(), "first the name goes, then that is forced");
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        for _ in 0..2 {
            let error = remove_then(&path, no_disk).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "there or not");
        }
        replace(&path, b"key").unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists() && remove(&folder.path().join("none/renewal.key")).is_err());
    }
}
