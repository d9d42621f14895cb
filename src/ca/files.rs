//! Reading and writing the authority's files: nothing is ever overwritten or half written, no key is ever readable by others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::CaError;
use crate::tls::files::is_open_to_others;

/// Largest file that is read, in bytes; and the largest register, of half a million certificates.
const MAX_FILE: u64 = 1 << 20;
const MAX_REGISTER: u64 = 1 << 28;

/// Refuses when one of these files is there already. A courtesy, before anybody is asked for a passphrase.
pub(super) fn check_free(paths: &[&Path]) -> Result<(), CaError> {
    match paths.iter().find(|path| fs::symlink_metadata(path).is_ok()) {
        Some(path) => Err(CaError::Exists(path.to_path_buf())),
        None => Ok(()),
    }
}

/// Whoever holds this is the only one who changes the directory. It ends with the process.
pub(super) struct Alone(#[expect(dead_code, reason = "the lock is held until this is dropped")] File);

/// Waits until nobody else changes this directory.
pub(super) fn alone(folder: &Path) -> Result<Alone, CaError> {
    let directory = open(folder)?;
    directory.lock().map_err(|error| unwritable(folder, &error))?;
    Ok(Alone(directory))
}

/// New files that appear together, once all of them are on the disk; none of them, when one can't be written.
#[derive(Default)]
pub(super) struct Staged(Vec<(PathBuf, PathBuf)>);

impl Staged {
    /// A new file that everybody may read.
    pub(super) fn public(&mut self, path: &Path, text: &[u8]) -> Result<(), CaError> {
        self.add(path, text, 0o644)
    }

    /// A new file that only its owner may read and write.
    pub(super) fn secret(&mut self, path: &Path, text: &str) -> Result<(), CaError> {
        self.add(path, text.as_bytes(), 0o600)
    }

    fn add(&mut self, path: &Path, text: &[u8], mode: u32) -> Result<(), CaError> {
        check_free(&[path])?;
        let staged = beside(path);
        self.0.push((staged.clone(), path.to_owned()));
        create(&staged, text, mode).map_err(|error| unwritable(path, &error))
    }

    /// Gives all of them their names.
    pub(super) fn commit(mut self, _: &Alone) -> Result<(), CaError> {
        let all = std::mem::take(&mut self.0);
        let mut named: Vec<&Path> = Vec::new();
        let result = all.iter().try_for_each(|(staged, path)| {
            check_free(&[path])?;
            fs::rename(staged, path).map_err(|error| unwritable(path, &error))?;
            named.push(path);
            Ok(())
        });
        if result.is_err() {
            named.iter().for_each(|path| drop(fs::remove_file(path)));
            self.0 = all;
            return result;
        }
        all.iter().try_for_each(|(_, path)| sync_directory(path).map_err(|error| unwritable(path, &error)))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.0.iter().for_each(|(staged, _)| drop(fs::remove_file(staged)));
    }
}

/// Replaces a file that everybody may read, or leaves it as it was.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32, _: &Alone) -> Result<(), CaError> {
    let staged = beside(path);
    let written = create(&staged, bytes, mode).and_then(|()| fs::rename(&staged, path));
    written.and_then(|()| sync_directory(path)).map_err(|error| {
        drop(fs::remove_file(&staged));
        unwritable(path, &error)
    })
}

/// Adds a line to a file, or leaves it as it was.
pub(super) fn append(path: &Path, line: &str, _: &Alone) -> Result<(), CaError> {
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(|error| unwritable(path, &error))?;
    let before = file.metadata().map_err(|error| unwritable(path, &error))?.len();
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| sync_directory(path)).map_err(|error| {
        drop(file.set_len(before));
        unwritable(path, &error)
    })
}

/// Makes the directory, closed to others, unless it is there.
pub(super) fn directory(path: &Path) -> Result<(), CaError> {
    crate::whole_file::private_directory(path).map_err(|error| unwritable(path, &error))
}

pub(super) fn read(path: &Path) -> Result<String, CaError> {
    text(open(path)?, path, MAX_FILE).map(|text| text.to_string())
}

/// A file that is no text, such as a revocation list.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, CaError> {
    let mut bytes = Vec::new();
    open(path)?.take(MAX_REGISTER).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

/// The text of a file, if it is there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, CaError> {
    match File::open(path) {
        Ok(file) => text(file, path, MAX_REGISTER).map(|text| Some(text.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Whether it says that it is something else than a private key. Asked before who may read it: a public key is for everybody, and
/// named by mistake.
pub(super) fn is_other_pem(path: &Path) -> Result<bool, CaError> {
    let text = text(open(path)?, path, MAX_FILE)?;
    Ok(text.contains("-----BEGIN ") && !text.contains("PRIVATE KEY-----"))
}

/// Reads a key or a passphrase, unless others may read it too.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, CaError> {
    let file = open(path)?;
    if is_open_to_others(&file).map_err(|error| unreadable(path, &error))? {
        return Err(CaError::OpenKey(path.to_owned()));
    }
    text(file, path, MAX_FILE)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// A file of which nothing is left when it can't be written to its end.
fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| drop(fs::remove_file(path)))
}

/// A name is on the disk when its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn open(path: &Path) -> Result<File, CaError> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn text(file: File, path: &Path, most: u64) -> Result<Zeroizing<String>, CaError> {
    let mut text = Zeroizing::new(String::new());
    file.take(most).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
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
