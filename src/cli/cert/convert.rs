//! Certificates in another form.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use cms::cert::CertificateChoices;
use cms::cert::x509::Certificate;
use cms::cert::x509::der::asn1::{ObjectIdentifier, SetOfVec};
use cms::cert::x509::der::{self, Any, Decode as _, Encode as _};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerInfos};
use rustls_pki_types::CertificateDer;

use super::CertError;
use super::holdings::Holdings;
use crate::tls::files::pem_of;
use crate::trust::doctor;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Form {
    Pem,
    Der,
    P7b,
}

pub(super) fn convert(files: &[PathBuf], file: &Path, to: Form, out: &mut dyn Write) -> Result<(), CertError> {
    let holdings = Holdings::read(files)?;
    let order = doctor::order(&holdings.contents);
    let chain: Vec<&CertificateDer<'_>> = order.chain.iter().filter_map(|at| holdings.certificates.get(*at)).collect();
    let bytes = match to {
        Form::Pem => pem_of(&chain).into_bytes(),
        Form::Der => chain.first().map(|der| der.to_vec()).unwrap_or_default(),
        Form::P7b => p7b(&chain).map_err(|_| CertError::NotWritten(file.to_owned()))?,
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

/// RFC 5652 §4 and §5.1.
const ID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// Certificates in a `SignedData` with nothing signed (RFC 5652 §5.1), as Windows and suppliers hand them over.
fn p7b(chain: &[&CertificateDer<'_>]) -> der::Result<Vec<u8>> {
    let choices = chain.iter().map(|one| Ok(CertificateChoices::Certificate(Certificate::from_der(one)?)));
    let choices: Vec<CertificateChoices> = choices.collect::<der::Result<_>>()?;
    let signed = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::new(),
        encap_content_info: EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None },
        certificates: Some(CertificateSet(SetOfVec::try_from(choices)?)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::new()),
    };
    ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&signed)? }.to_der()
}
