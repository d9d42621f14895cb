//! What stands in files that people send: certificates in one of the usual forms, and what they send by mistake.

use std::path::{Path, PathBuf};

use cms::cert::CertificateChoices;
use cms::cert::x509::der::{Decode as _, Encode as _};
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use rustls_pki_types::CertificateDer;
use x509_parser::pem::Pem;

use super::CertError;
use crate::trust::Contents;
use crate::trust::doctor::Both;

/// Largest file that is looked at, in bytes.
const MOST: u64 = 4 << 20;

/// One thing in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Certificate,
    Request,
    List,
    PrivateKey,
    Unknown,
}

impl Part {
    pub(super) const fn words(self) -> Both {
        match self {
            Self::Certificate => ("a certificate", "een certificaat"),
            Self::Request => ("a signing request, not a certificate", "een certificaataanvraag, geen certificaat"),
            Self::List => ("a revocation list", "een intrekkingslijst"),
            Self::PrivateKey => ("a private key", "een privésleutel"),
            Self::Unknown => ("something else", "iets anders"),
        }
    }

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Request => "request",
            Self::List => "crl",
            Self::PrivateKey => "private_key",
            Self::Unknown => "unknown",
        }
    }
}

/// All certificates of some files, in the order in which they were found.
#[derive(Default)]
pub(super) struct Holdings {
    pub(super) parts: Vec<(PathBuf, Vec<Part>)>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) contents: Vec<Contents>,
}

impl Holdings {
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, CertError> {
        let mut all = Self::default();
        for file in files {
            let parts = all.file(file)?;
            all.parts.push((file.clone(), parts));
        }
        match files.first().filter(|_| all.certificates.is_empty()) {
            Some(file) => Err(CertError::Nothing(file.clone())),
            None => Ok(all),
        }
    }

    fn file(&mut self, path: &Path) -> Result<Vec<Part>, CertError> {
        use std::io::Read as _;
        let unreadable = |error| CertError::Unreadable(path.to_owned(), error);
        let mut bytes = zeroize::Zeroizing::new(Vec::new());
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MOST).read_to_end(&mut bytes).map_err(unreadable)?;
        let blocks: Vec<Pem> = Pem::iter_from_buffer(&bytes).filter_map(Result::ok).collect();
        if blocks.is_empty() {
            return self.der(&bytes).ok_or_else(|| {
                if is_pkcs12(&bytes) { CertError::Pkcs12(path.to_owned()) } else { CertError::Nothing(path.to_owned()) }
            });
        }
        let mut parts = Vec::new();
        for block in blocks {
            match block.label.as_str() {
                "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => {
                    parts.push(self.certificate(&block.contents))
                }
                "PKCS7" | "CMS" => parts.extend(self.pkcs7(&block.contents).unwrap_or_else(|| vec![Part::Unknown])),
                "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => parts.push(Part::Request),
                "X509 CRL" => parts.push(Part::List),
                label if label.ends_with("PRIVATE KEY") => parts.push(Part::PrivateKey),
                _ => parts.push(Part::Unknown),
            }
        }
        Ok(parts)
    }

    fn der(&mut self, bytes: &[u8]) -> Option<Vec<Part>> {
        use x509_parser::prelude::FromDer as _;
        if Contents::read(bytes).is_ok() {
            return Some(vec![self.certificate(bytes)]);
        }
        if let Some(parts) = self.pkcs7(bytes) {
            return Some(parts);
        }
        if x509_parser::certification_request::X509CertificationRequest::from_der(bytes).is_ok() {
            return Some(vec![Part::Request]);
        }
        crate::trust::List::read(bytes).is_ok().then(|| vec![Part::List])
    }

    fn certificate(&mut self, der: &[u8]) -> Part {
        let Ok(contents) = Contents::read(der) else { return Part::Unknown };
        self.certificates.push(CertificateDer::from(der.to_vec()));
        self.contents.push(contents);
        Part::Certificate
    }

    /// The certificates of a .p7b: a `SignedData` without anything signed (RFC 5652 §5).
    fn pkcs7(&mut self, bytes: &[u8]) -> Option<Vec<Part>> {
        let info = ContentInfo::from_der(bytes).ok()?;
        let signed: SignedData = info.content.decode_as().ok()?;
        let all = signed.certificates?;
        let each = all.0.iter().map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => certificate.to_der().ok(),
            CertificateChoices::Other(_) => None,
        });
        let ders: Vec<Option<Vec<u8>>> = each.collect();
        Some(ders.iter().map(|der| der.as_deref().map_or(Part::Unknown, |der| self.certificate(der))).collect())
    }
}

/// `PFX ::= SEQUENCE { version INTEGER (3), ... }` (RFC 7292 §4): told apart to say what to do with it.
fn is_pkcs12(bytes: &[u8]) -> bool {
    let after_length = match bytes {
        [0x30, 0x82, _, _, rest @ ..] | [0x30, 0x81, _, rest @ ..] => rest,
        [0x30, length, rest @ ..] if *length < 0x80 => rest,
        _ => return false,
    };
    after_length.starts_with(&[0x02, 0x01, 0x03])
}
