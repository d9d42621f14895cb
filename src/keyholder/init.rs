//! `sluis keyholder init`: the key, made once.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use rand_core::OsRng;

use super::KeyholderError;
use crate::pseudonym::{Epoch, SecretKey, oprf};

/// Makes the key file of the first epoch in `dir`, readable by its owner only, and tells `out` what partners pin.
///
/// # Errors
/// [`KeyholderError::Write`] also when there is a key already: to overwrite it would lose every pseudonym.
pub fn init(dir: &Path, out: &mut dyn Write) -> Result<(), KeyholderError> {
    let seed = SecretKey::generate(&mut OsRng);
    let key = oprf::Keyholder::from_seed(&seed)?;
    let path = dir.join(format!("keyholder.{}.key", Epoch::FIRST.number()));
    let failed = |source| KeyholderError::Write { path: path.clone(), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).map_err(failed)?;
    file.write_all(seed.to_hex().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;

    let known = key.evaluate_known_answer()?;
    let mut tell = || {
        writeln!(out, "key file      {}   keep a copy in a safe; without it every pseudonym is lost", path.display())?;
        writeln!(out, "public key    {}   for every agent: [keyholder] public_key", hex(&key.public_key().to_bytes()))?;
        writeln!(out, "known answer  {}   for the hub: [keyholder] known_answer", hex(known.as_bytes()))
    };
    tell().map_err(KeyholderError::Output)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
