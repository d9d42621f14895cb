//! Reading and writing the authority's files: nothing is ever overwritten, no key is ever readable by others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::CaError;
use crate::tls::files::is_open_to_others;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Refuses when one of these files is there already. A courtesy, to change nothing at all: the writing itself never
/// overwrites.
pub(super) fn check_free(paths: &[&Path]) -> Result<(), CaError> {
    match paths.iter().find(|path| fs::symlink_metadata(path).is_ok()) {
        Some(path) => Err(CaError::Exists(path.to_path_buf())),
        None => Ok(()),
    }
}

/// Writes a new file that everybody may read.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CaError> {
    create(path, text, 0o644)
}

/// Writes a new file that only its owner may read and write.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<(), CaError> {
    create(path, text, 0o600)
}

/// Makes the directory, closed to others, unless it is there.
pub(super) fn directory(path: &Path) -> Result<(), CaError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| unwritable(path, &error))
}

pub(super) fn read(path: &Path) -> Result<String, CaError> {
    text(open(path)?, path).map(|text| text.to_string())
}

/// Reads a key file, unless others may read it too.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, CaError> {
    let file = open(path)?;
    if is_open_to_others(&file).map_err(|error| unreadable(path, &error))? {
        return Err(CaError::OpenKey(path.to_owned()));
    }
    text(file, path)
}

fn create(path: &Path, text: &str, mode: u32) -> Result<(), CaError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(|error| unwritable(path, &error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| unwritable(path, &error))
}

fn open(path: &Path) -> Result<File, CaError> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn text(file: File, path: &Path) -> Result<Zeroizing<String>, CaError> {
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    Ok(text)
}

fn unwritable(path: &Path, error: &io::Error) -> CaError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => CaError::Exists(path.to_owned()),
        kind => CaError::Unwritable { path: path.to_owned(), kind },
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CaError {
    CaError::Unreadable { path: path.to_owned(), kind: error.kind() }
}
