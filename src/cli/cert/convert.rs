//! Certificates in another form.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use rustls_pki_types::CertificateDer;

use super::CertError;
use super::holdings::Holdings;
use crate::tls::files::pem_of;
use crate::trust::doctor;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Form {
    Pem,
    Der,
}

pub(super) fn convert(files: &[PathBuf], file: &Path, to: Form, out: &mut dyn Write) -> Result<(), CertError> {
    let holdings = Holdings::read(files)?;
    let order = doctor::order(&holdings.contents);
    let chain: Vec<&CertificateDer<'_>> = order.chain.iter().filter_map(|at| holdings.certificates.get(*at)).collect();
    let bytes = match to {
        Form::Pem => pem_of(&chain).into_bytes(),
        Form::Der => chain.first().map(|der| der.to_vec()).unwrap_or_default(),
    };
    let mut new = std::fs::OpenOptions::new();
    let opened = new.write(true).create_new(true).open(file);
    let mut opened = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => CertError::Exists(file.to_owned()),
        _ => CertError::Unreadable(file.to_owned(), error),
    })?;
    opened.write_all(&bytes)?;
    for at in &order.chain {
        let name = holdings.contents.get(*at).map(|one| one.known_as().to_owned()).unwrap_or_default();
        writeln!(out, "{name}")?;
    }
    Ok(())
}
